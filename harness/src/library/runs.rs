//! One thing to run: a cell of a scenario, perhaps with a crash at a write. Knows its name, how to find it again by that
//! name, and what its report says. Leaves out: playing it.

use std::time::Duration;

use drey_language::diagnostics::nearest;
use drey_language::report::{CaseReport, Outcome};
use drey_language::scenario::{Case, Scenario};

use super::play::Options;
use crate::run::{Crash, Played};

/// A cell of a scenario, or that cell with the operator dying at one write.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    pub scenario: &'a Scenario,
    pub case: &'a Case,
    pub crash: Option<Crash>,
}

/// All cells, in the order of the files.
pub fn cells(scenarios: &[Scenario]) -> Vec<Run<'_>> {
    scenarios.iter().flat_map(cells_of).collect()
}

pub fn cells_of(scenario: &Scenario) -> impl Iterator<Item = Run<'_>> {
    scenario.cases.iter().map(move |case| Run { scenario, case, crash: None })
}

/// The run of that name, as reports and replay lines give it: `upgradeMode=savepoint,crash=7-reply-lost`.
pub fn find_run<'a>(scenario: &'a Scenario, name: &str) -> Result<Run<'a>, String> {
    let (cell, crash) = match split_crash(name) {
        Some((cell, crash)) => (cell, Some(crash)),
        None => (name, None),
    };
    if let Some(case) = scenario.case(cell) {
        return Ok(Run { scenario, case, crash });
    }
    let names: Vec<&str> = scenario.cases.iter().map(|case| case.name.as_str()).collect();
    let hint = nearest(cell, &names).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Err(format!("find case `{cell}` in {}{hint}\ncases: {}", scenario.path.display(), names.join("  ")))
}

const NOT_SENT: &str = "not-sent";
const REPLY_LOST: &str = "reply-lost";

/// `a=b,crash=7-reply-lost` -> `a=b` and the crash.
fn split_crash(name: &str) -> Option<(&str, Crash)> {
    let (cell, crash) = name.rsplit_once(",crash=")?;
    let (at_write, side) = crash.split_once('-')?;
    let is_committed = match side {
        NOT_SENT => false,
        REPLY_LOST => true,
        _ => return None,
    };
    Some((cell, Crash { at_write: at_write.parse().ok()?, is_committed }))
}

impl<'a> Run<'a> {
    /// `default`, `upgradeMode=savepoint`, `default,crash=7-reply-lost`.
    pub fn name(&self) -> String {
        match self.crash {
            None => self.case.name.clone(),
            Some(Crash { at_write, is_committed }) => {
                let side = if is_committed { REPLY_LOST } else { NOT_SENT };
                format!("{},crash={at_write}-{side}", self.case.name)
            }
        }
    }

    /// Whether this cell stands for one more run per write and side (`crashOperator: {everyWrite: true}`).
    pub fn crashes_at_every_write(&self) -> bool {
        let is_one = |step: &&drey_language::Step| {
            step.name == "crashOperator" && step.args.opt_flag("everyWrite") == Some(true)
        };
        self.crash.is_none() && self.case.all_steps().iter().any(is_one)
    }

    /// The runs that crash the operator at each of its writes, before it is sent and after it was carried out.
    pub fn crashed_at_each(&self, writes: u32) -> Vec<Run<'a>> {
        let points = (1..=writes)
            .flat_map(|at_write| [false, true].map(|is_committed| Crash { at_write, is_committed }));
        points.map(|crash| Run { crash: Some(crash), ..*self }).collect()
    }

    /// The report of a run that did not take place or has not yet.
    pub fn report(&self, options: &Options, outcome: Outcome) -> CaseReport {
        let metadata = &self.scenario.metadata;
        CaseReport {
            scenario: metadata.name.clone(),
            case: self.name(),
            file: self.scenario.path.display().to_string(),
            replay: self.replay(options),
            description: metadata.description.clone(),
            tags: metadata.tags.clone(),
            bugs: metadata.bugs.clone(),
            mode: options.mode.to_string(),
            seed: options.seed,
            start: self.case.clock.start,
            elapsed: Duration::ZERO,
            wall: Duration::ZERO,
            outcome,
            skipped_steps: Vec::new(),
            events: Vec::new(),
            events_dropped: 0,
        }
    }

    /// The report of what was played.
    pub fn report_played(&self, options: &Options, played: Played) -> CaseReport {
        let outcome = match (played.broken, played.failure) {
            (Some(error), _) => Outcome::Broken { error },
            (None, Some(failure)) => Outcome::Failed { failures: vec![failure] },
            (None, None) if played.done == 0 && !played.skipped.is_empty() => {
                let first = &played.skipped[0];
                Outcome::Skipped {
                    reason: format!("no step can be carried out here; {}: {}", first.step, first.reason),
                }
            }
            (None, None) => Outcome::Passed,
        };
        CaseReport {
            elapsed: played.scenario_time,
            wall: played.real_time,
            events: played.events,
            events_dropped: played.events_dropped,
            skipped_steps: played.skipped,
            start: played.start.unwrap_or(self.case.clock.start),
            ..self.report(options, outcome)
        }
    }

    fn replay(&self, options: &Options) -> String {
        let name = self.name();
        let case = if name == "default" { String::new() } else { format!(" --case {}", quoted(&name)) };
        let mode = if options.mode == super::Mode::Virtual {
            String::new()
        } else {
            format!(" --mode {}", options.mode)
        };
        let operator = match &options.command {
            Some((line, _)) => format!(" --operator command {}", quoted(line.text())),
            None => String::new(),
        };
        let file = self.scenario.path.display().to_string();
        format!("drey replay {}{case} --seed {:#x}{mode}{operator}", quoted(&file), options.seed)
    }
}

/// For a shell: quoted where it is not plainly one word.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "=,._-/+:@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_crashes_are_read_back() {
        let crash = |at_write, is_committed| Crash { at_write, is_committed };
        assert_eq!(split_crash("default,crash=7-reply-lost"), Some(("default", crash(7, true))));
        assert_eq!(split_crash("a=b,c=d,crash=12-not-sent"), Some(("a=b,c=d", crash(12, false))));
        for other in ["default", "a=b,crash=x-not-sent", "a=b,crash=1-sideways", "crash=1-not-sent"] {
            assert_eq!(split_crash(other), None, "{other}");
        }
    }

    #[test]
    fn replay_lines_survive_a_shell() {
        assert_eq!(quoted("a/b.yaml"), "a/b.yaml");
        assert_eq!(quoted("a b's"), r"'a b'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
