//! The count a run ends with. Scenarios are counted, not runs: a scenario passes when each of its cases does.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use drey_language::report::{Outcome, RunReport};

/// What became of the scenarios.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tally {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
    pub seed: u64,
    pub scenario_time: Duration,
    pub real_time: Duration,
}

impl Tally {
    pub fn of(report: &RunReport, seed: u64) -> Tally {
        // By file: two scenarios of one name are two.
        let mut files: BTreeMap<&str, (bool, bool)> = BTreeMap::new();
        for case in &report.cases {
            let (has_run, is_bad) = files.entry(&case.file).or_default();
            *has_run |= !matches!(case.outcome, Outcome::Skipped { .. });
            *is_bad |= case.outcome.is_bad();
        }
        let count = |wanted: (bool, bool)| files.values().filter(|seen| **seen == wanted).count();
        Tally {
            passed: count((true, false)),
            failed: count((true, true)),
            skipped: count((false, false)),
            seed,
            scenario_time: report.cases.iter().map(|case| case.elapsed).sum(),
            real_time: report.wall,
        }
    }

    /// Whether any scenario ran at all.
    pub fn has_run(&self) -> bool {
        self.passed + self.failed > 0
    }

    /// 0 all well, 1 something failed, 2 nothing ran.
    pub fn exit_code(&self) -> u8 {
        match (self.failed, self.passed) {
            (0, 0) => 2,
            (0, _) => 0,
            _ => 1,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { passed, failed, skipped, seed, scenario_time, real_time } = self;
        let hours = scenario_time.as_secs_f64() / 3600.0;
        let seconds = real_time.as_secs_f64();
        write!(
            f,
            "{} scenarios: {passed} passed, {failed} failed, {skipped} skipped (seed {seed}, {hours:.1} h of scenario time in {seconds:.1} s)",
            passed + failed + skipped
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_the_one_promised() {
        let tally = Tally {
            passed: 30,
            failed: 1,
            skipped: 2,
            seed: 7,
            scenario_time: Duration::from_secs(5 * 3600 + 720),
            real_time: Duration::from_millis(8140),
        };
        assert_eq!(
            tally.to_string(),
            "33 scenarios: 30 passed, 1 failed, 2 skipped (seed 7, 5.2 h of scenario time in 8.1 s)"
        );
        assert_eq!(tally.exit_code(), 1);
        assert_eq!(Tally { failed: 0, ..tally }.exit_code(), 0);
        assert_eq!(Tally { failed: 0, passed: 0, ..tally }.exit_code(), 2);
    }
}
