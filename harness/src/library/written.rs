//! The report of a run as a folder: pages, JUnit, events, transcripts, summary. It appears whole or not at all: it is
//! written beside its place and then moved there. A folder that is not an earlier report is never replaced.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use drey_language::report::RunReport;
use drey_language::reporters::{JsonLines, Reporter, html, junit, markdown};

use super::golden;

/// A place that was found fit for a report.
#[derive(Clone, Debug)]
pub struct ReportFolder {
    path: PathBuf,
}

/// Says of a folder that we wrote it and may replace it.
const MARK: &str = ".drey-report";

impl ReportFolder {
    /// Looks at the place, before anything runs. Writes nothing.
    pub fn claim(path: &Path) -> anyhow::Result<ReportFolder> {
        let shown = path.display();
        anyhow::ensure!(
            path.file_name().is_some(),
            "use {shown} for the report: name a folder of its own, such as target/drey/report"
        );
        if path.exists() {
            anyhow::ensure!(path.is_dir(), "use {shown} for the report: it is a file; name a folder");
            let is_empty = std::fs::read_dir(path).with_context(|| format!("read {shown}"))?.next().is_none();
            anyhow::ensure!(
                is_empty || path.join(MARK).is_file(),
                "use {shown} for the report: it holds other files, which a report would replace; name another folder"
            );
        }
        Ok(ReportFolder { path: path.to_path_buf() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes everything, replacing an earlier report.
    pub fn write(&self, report: &RunReport) -> anyhow::Result<()> {
        let mut fresh = self.path.clone().into_os_string();
        fresh.push(format!(".new-{}", std::process::id()));
        let fresh = PathBuf::from(fresh);
        let written = write_into(&fresh, report).and_then(|()| self.put_in_place(&fresh));
        if written.is_err() {
            // The reason is told below; a rest that cannot be removed either adds nothing to it.
            let _ = std::fs::remove_dir_all(&fresh);
        }
        written.with_context(|| format!("write the report to {}", self.path.display()))
    }

    fn put_in_place(&self, fresh: &Path) -> anyhow::Result<()> {
        if self.path.exists() {
            std::fs::remove_dir_all(&self.path)?;
        }
        Ok(std::fs::rename(fresh, &self.path)?)
    }
}

fn write_into(folder: &Path, report: &RunReport) -> anyhow::Result<()> {
    let transcripts = folder.join("transcripts");
    std::fs::create_dir_all(&transcripts)?;
    std::fs::write(folder.join(MARK), "written by drey run; replaced by the next one\n")?;
    html::write(folder, report)?;
    std::fs::write(folder.join("junit.xml"), junit::render(report)?)?;
    std::fs::write(folder.join("summary.md"), markdown::render(report))?;
    write_events(&folder.join("events.jsonl"), report)?;
    for case in &report.cases {
        std::fs::write(transcripts.join(format!("{}.txt", case.slug())), golden::transcript_of(case))?;
    }
    Ok(())
}

fn write_events(path: &Path, report: &RunReport) -> io::Result<()> {
    let mut lines = JsonLines::new(BufWriter::new(std::fs::File::create(path)?));
    lines.begin(report.cases.len())?;
    for case in &report.cases {
        let title = case.title();
        lines.case_started(&title)?;
        case.events.iter().try_for_each(|event| lines.event(&title, event))?;
        lines.case_finished(case)?;
    }
    lines.end(report)?;
    lines.into_inner().flush()
}
