//! The golden transcript beside each scenario: what a run looked like when somebody last read it.

use std::io;
use std::path::{Path, PathBuf};

use drey_language::failure::Failure;
use drey_language::report::{CaseReport, Outcome};
use drey_language::reporters::transcript;

use super::mode::Mode;

/// Goldens are transcripts of this seed, in virtual time. Other seeds and modes are judged by steps and invariants.
pub const GOLDEN_SEED: u64 = 1;

/// The tag of sessions that `drey play` saved. Their steps tell how they ended; once blessed they are compared, too.
const RECORDED: &str = "recorded";

/// What to do about golden transcripts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Goldens {
    /// A run that differs from its golden, or has none, fails; one that was recorded may have none.
    #[default]
    Compare,
    /// Runs that passed become the golden ones.
    Bless,
    Ignore,
}

/// Whether a run is the one that was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Same,
    /// Nobody has blessed one yet.
    Absent,
    /// A diff for people.
    Different(String),
}

/// The word of failures that only say "not the golden run".
const CHECK: &str = "golden";

/// `scenarios/theme/name.yaml`, case `a=b` -> `scenarios/theme/name.golden/a-b.txt`; `name.golden.txt` without a matrix.
pub fn path_of(file: &Path, case: &str) -> PathBuf {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    if case == "default" {
        return file.with_file_name(format!("{stem}.golden.txt"));
    }
    let clean = |c: char| match c {
        ',' => '+',
        c if c.is_ascii_alphanumeric() || "=._-".contains(c) => c,
        _ => '-',
    };
    let case: String = case.chars().map(clean).collect();
    file.with_file_name(format!("{stem}.golden")).join(format!("{case}.txt"))
}

/// The transcript as golden files hold it: of a run that differs from its golden only, without that verdict.
pub fn transcript_of(report: &CaseReport) -> String {
    match &report.outcome {
        Outcome::Failed { failures } if failures.iter().all(|failure| failure.check == CHECK) => {
            transcript::render(&CaseReport { outcome: Outcome::Passed, ..report.clone() })
        }
        _ => transcript::render(report),
    }
}

/// Holds a run that passed against its golden transcript. What failed already has more to tell.
pub fn judge(report: CaseReport, goldens: Goldens) -> CaseReport {
    let applies = goldens != Goldens::Ignore
        && report.mode == Mode::Virtual.name()
        && report.seed == GOLDEN_SEED
        && matches!(report.outcome, Outcome::Passed);
    if !applies {
        return report;
    }
    let path = path_of(Path::new(&report.file), &report.case);
    let shown = path.display();
    let outcome = match check(&path, &transcript::render(&report), goldens == Goldens::Bless) {
        Ok(Verdict::Same) => Outcome::Passed,
        Ok(Verdict::Absent) if report.tags.iter().any(|tag| tag == RECORDED) => Outcome::Passed,
        Ok(Verdict::Absent) => {
            let next = format!(
                "next: read the run (`{}`), then keep it as the golden one: `make bless`, or `drey run {} --bless`",
                report.replay, report.file
            );
            failed(&report, format!("a golden transcript in {shown}, and there is none"), next)
        }
        Ok(Verdict::Different(diff)) => {
            let next = "next: read the difference; if this is how it should be, `make bless` keeps it";
            failed(&report, format!("the run kept in {shown}"), format!("{}\n{next}", diff.trim_end()))
        }
        Err(error) => Outcome::Broken { error: format!("failed to use {shown}: {error}") },
    };
    CaseReport { outcome, ..report }
}

fn failed(report: &CaseReport, expected: String, note: String) -> Outcome {
    let failure = Failure {
        check: CHECK.to_owned(),
        at: None,
        object: None,
        expected,
        within: None,
        // No moment of the run: what was going on at its end explains nothing here.
        t: report.start,
        mismatches: Vec::new(),
        fields: Vec::new(),
        note,
        event: None,
    };
    Outcome::Failed { failures: vec![failure] }
}

/// Holds a transcript against the one that is kept; the first is kept when that is wished.
pub fn check(path: &Path, text: &str, is_blessing: bool) -> io::Result<Verdict> {
    let golden = match std::fs::read_to_string(path) {
        Ok(golden) => Some(golden),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    match golden {
        Some(golden) if golden == text => Ok(Verdict::Same),
        _ if is_blessing => write(path, text).map(|()| Verdict::Same),
        Some(golden) => Ok(Verdict::Different(transcript::diff(&golden, text))),
        None => Ok(Verdict::Absent),
    }
}

/// Beside it first and then in its place: an interrupted write leaves the old golden.
fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let fresh = path.with_extension("txt.new");
    std::fs::write(&fresh, text)?;
    std::fs::rename(&fresh, path)
}

/// Golden files below the folders that belong to none of these runs: left behind by a renamed scenario or case.
pub fn stale<'a>(
    folders: &[PathBuf],
    wanted: impl Iterator<Item = (&'a Path, &'a str)>,
) -> io::Result<Vec<PathBuf>> {
    let wanted: std::collections::BTreeSet<PathBuf> =
        wanted.map(|(file, case)| path_of(file, case)).collect();
    let mut found = Vec::new();
    for folder in folders.iter().filter(|path| path.is_dir()) {
        found.extend(
            super::find::files_below(folder)?
                .into_iter()
                .filter(|path| is_golden(path) && !wanted.contains(path)),
        );
    }
    Ok(found)
}

fn is_golden(path: &Path) -> bool {
    let is_text = path.extension().is_some_and(|extension| extension == "txt");
    let stem_ends =
        |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(".golden"));
    is_text && (stem_ends(&path.with_extension("")) || path.parent().is_some_and(stem_ends))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goldens_lie_beside_their_scenario() {
        let path = |case| path_of(Path::new("s/theme/name.yaml"), case);
        assert_eq!(path("default"), Path::new("s/theme/name.golden.txt"));
        assert_eq!(path("a=b,c=1.20"), Path::new("s/theme/name.golden/a=b+c=1.20.txt"));
        assert_eq!(path("a=b c/d"), Path::new("s/theme/name.golden/a=b-c-d.txt"));
        for case in ["default", "a=b"] {
            assert!(is_golden(&path(case)), "{case}");
        }
        assert!(!is_golden(Path::new("s/notes.txt")) && !is_golden(Path::new("s/name.yaml")));
    }
}
