//! The golden transcript beside each scenario: what a run looked like when somebody last read it.

use std::io;
use std::path::{Path, PathBuf};

use drey_language::report::CaseReport;
use drey_language::reporters::transcript;

/// Whether a run is the one that was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Same,
    /// Nobody has blessed one yet.
    Absent,
    /// A diff for people.
    Different(String),
}

/// `scenarios/theme/name.yaml`, case `a=b` -> `scenarios/theme/name.golden/a-b.txt`; `name.golden.txt` without a matrix.
pub fn path_of(file: &Path, case: &str) -> PathBuf {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    if case == "default" {
        return file.with_file_name(format!("{stem}.golden.txt"));
    }
    let clean = |c: char| if c.is_ascii_alphanumeric() || "=._-".contains(c) { c } else { '-' };
    let case: String = case.replace(',', "+").chars().map(|c| if c == '+' { c } else { clean(c) }).collect();
    file.with_file_name(format!("{stem}.golden")).join(format!("{case}.txt"))
}

/// Compares with the golden file, or writes it.
pub fn check(report: &CaseReport, is_blessing: bool) -> io::Result<Verdict> {
    let path = path_of(Path::new(&report.file), &report.case);
    let text = transcript::render(report);
    if is_blessing {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, text)?;
        return Ok(Verdict::Same);
    }
    match std::fs::read_to_string(&path) {
        Ok(golden) if golden == text => Ok(Verdict::Same),
        Ok(golden) => Ok(Verdict::Different(transcript::diff(&golden, &text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Verdict::Absent),
        Err(error) => Err(error),
    }
}
