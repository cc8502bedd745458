//! The report of a run as a folder: pages, JUnit, events, transcripts, summary. What holds events is written as each run
//! ends, so that nobody keeps them. It appears whole or not at all: it grows beside its place and then moves there. A
//! folder that is not an earlier report is never replaced.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use drey_language::report::{CaseReport, RunReport};
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

    /// Begins a new report beside an earlier one.
    pub fn begin(self) -> Growing {
        let mut fresh = self.path.clone().into_os_string();
        fresh.push(format!(".new-{}", std::process::id()));
        Growing { fresh: fresh.into(), place: self, error: None }
    }
}

/// A report that is being written: what needs the events of a run, when that run ends; the rest at the end. Dropped
/// before that, it leaves nothing.
pub struct Growing {
    place: ReportFolder,
    fresh: PathBuf,
    error: Option<anyhow::Error>,
}

/// One file per run with its part of `events.jsonl`, until all can be put in order.
const PARTS: &str = "parts";
const TRANSCRIPTS: &str = "transcripts";

impl Growing {
    /// A run has ended. An error is kept for the end: the runs go on.
    pub fn add(&mut self, case: &CaseReport) {
        if self.error.is_none() {
            self.error = self.try_add(case).err();
        }
    }

    fn try_add(&self, case: &CaseReport) -> anyhow::Result<()> {
        let (parts, transcripts) = (self.fresh.join(PARTS), self.fresh.join(TRANSCRIPTS));
        std::fs::create_dir_all(&parts)?;
        std::fs::create_dir_all(&transcripts)?;
        let slug = case.slug();
        std::fs::write(transcripts.join(format!("{slug}.txt")), golden::transcript_of(case))?;
        html::write_case(&self.fresh, case)?;
        Ok(write_part(&parts.join(slug), case)?)
    }

    /// Writes the rest and replaces an earlier report.
    pub fn finish(mut self, report: &RunReport) -> anyhow::Result<()> {
        let written = match self.error.take() {
            None => self.rest(report).and_then(|()| self.put_in_place()),
            Some(error) => Err(error),
        };
        written.with_context(|| format!("write the report to {}", self.place.path.display()))
    }

    fn rest(&self, report: &RunReport) -> anyhow::Result<()> {
        let folder = &self.fresh;
        std::fs::write(folder.join(MARK), "written by drey run; replaced by the next one\n")?;
        html::write_index(folder, report)?;
        std::fs::write(folder.join("junit.xml"), junit::render(report)?)?;
        std::fs::write(folder.join("summary.md"), markdown::render(report))?;
        let parts = folder.join(PARTS);
        let mut out = BufWriter::new(std::fs::File::create(folder.join("events.jsonl"))?);
        JsonLines::new(&mut out).begin(report.cases.len())?;
        for case in &report.cases {
            io::copy(&mut std::fs::File::open(parts.join(case.slug()))?, &mut out)?;
        }
        JsonLines::new(&mut out).end(report)?;
        out.flush()?;
        Ok(std::fs::remove_dir_all(parts)?)
    }

    fn put_in_place(&self) -> anyhow::Result<()> {
        let path = &self.place.path;
        if path.exists() {
            std::fs::remove_dir_all(path)?;
        }
        Ok(std::fs::rename(&self.fresh, path)?)
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        // Finished, it is not there any more; a rest that cannot be removed is nobody's loss.
        let _ = std::fs::remove_dir_all(&self.fresh);
    }
}

fn write_part(path: &Path, case: &CaseReport) -> io::Result<()> {
    let mut lines = JsonLines::new(BufWriter::new(std::fs::File::create(path)?));
    let title = case.title();
    lines.case_started(&title)?;
    case.events.iter().try_for_each(|event| lines.event(&title, event))?;
    lines.case_finished(case)?;
    lines.into_inner().flush()
}
