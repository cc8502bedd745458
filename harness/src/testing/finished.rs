//! What became of a scenario: a verdict to assert, and a transcript to keep.

use std::path::Path;
use std::time::Duration;

use drey_language::report::{CaseReport, Outcome};
use drey_language::reporters::transcript;

use super::{BLESS, is_blessing, told};
use crate::library::{Kept, keep};

/// A scenario that has been played.
#[derive(Clone, Debug)]
pub struct Finished {
    report: CaseReport,
}

impl Finished {
    pub(super) fn new(report: CaseReport) -> Finished {
        Finished { report }
    }

    pub fn passed(&self) -> bool {
        matches!(self.report.outcome, Outcome::Passed)
    }

    /// Why it did not pass, as `drey run` tells it: what was expected, how close it came, the history, the last calls.
    pub fn failure(&self) -> Option<String> {
        (!self.passed()).then(|| match &self.report.outcome {
            Outcome::Skipped { reason } => format!("skipped: {reason}"),
            _ => told(&self.report),
        })
    }

    /// Goes on only when all steps held and no invariant was broken.
    ///
    /// # Panics
    /// With the whole failure.
    #[track_caller]
    pub fn assert_passed(self) -> Finished {
        if let Some(failure) = self.failure() {
            panic!("{failure}");
        }
        self
    }

    /// Goes on only when it failed, and the failure says this: for tests of what must not work.
    ///
    /// # Panics
    /// When it passed, or failed for another reason.
    #[track_caller]
    pub fn assert_failed(self, with: &str) -> Finished {
        match self.failure() {
            None => panic!("{} passed, a failure with {with:?} was expected", self.report.title()),
            Some(failure) if !failure.contains(with) => panic!("expected {with:?} in\n{failure}"),
            Some(_) => self,
        }
    }

    /// The run as text: what happened when, by whom, which fields changed. In virtual time it is the same for the same
    /// seed, in every process and on every machine; it holds no real time and no path but those the scenario names: made
    /// for snapshot tests.
    pub fn transcript(&self) -> String {
        transcript::render(&self.report)
    }

    /// Holds the transcript against a file; `DREY_BLESS=1` writes it, when the scenario passed.
    ///
    /// # Panics
    /// When the scenario did not pass, or its transcript is another one; the difference is shown.
    #[track_caller]
    pub fn assert_transcript(self, file: impl AsRef<Path>) -> Finished {
        let (finished, file) = (self.assert_passed(), file.as_ref());
        let shown = file.display();
        match keep(file, &finished.transcript(), is_blessing()) {
            Ok(Kept::Same) => finished,
            Ok(Kept::Absent) => panic!(
                "{shown} does not exist: read the run, then keep it with {BLESS}=1\n{}",
                finished.transcript()
            ),
            Ok(Kept::Different(diff)) => {
                panic!("not the run kept in {shown}; {BLESS}=1 keeps this one\n{diff}")
            }
            Err(error) => panic!("failed to use {shown}: {error}"),
        }
    }

    /// Scenario time that passed.
    pub fn elapsed(&self) -> Duration {
        self.report.elapsed
    }
}
