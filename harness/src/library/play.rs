//! Plays scenarios on several threads and collects their reports in the order of the files.

use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use drey_language::report::{CaseReport, Outcome};
use drey_language::scenario::{Case, Scenario};
use drey_language::vocabulary::Vocabulary;

use crate::run::{CaseRun, Crash, Played, run_case};

/// How to play.
#[derive(Clone, Debug)]
pub struct Options {
    pub seed: u64,
    pub jobs: usize,
    pub mode: String,
    pub scale: f64,
}

impl Options {
    /// Virtual time, one job per core.
    pub fn usual(seed: u64) -> Options {
        let jobs = std::thread::available_parallelism().map_or(1, NonZero::get);
        Options { seed, jobs, mode: "virtual".to_owned(), scale: 1.0 }
    }
}

/// Told as cases begin and end, from one thread at a time.
pub trait Progress: Send {
    fn started(&mut self, title: &str);
    fn finished(&mut self, report: &CaseReport);
}

impl Progress for () {
    fn started(&mut self, _title: &str) {}
    fn finished(&mut self, _report: &CaseReport) {}
}

/// One thing to run: a cell of a scenario.
struct Job<'a> {
    scenario: &'a Scenario,
    case: &'a Case,
}

/// Plays every case of every scenario; answers the reports in file order.
pub fn play(
    scenarios: &[Scenario],
    vocabulary: &Vocabulary,
    options: &Options,
    progress: &mut dyn Progress,
) -> Vec<CaseReport> {
    let jobs = scenarios.iter().flat_map(|scenario| scenario.cases.iter().map(move |case| Job { scenario, case }));
    let queue: Mutex<VecDeque<(usize, Job<'_>)>> = Mutex::new(jobs.enumerate().collect());
    let done: Mutex<(Vec<(usize, Vec<CaseReport>)>, &mut dyn Progress)> = Mutex::new((Vec::new(), progress));
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some((index, job)) = next else { return };
                    let reports = job.run(vocabulary, options, &done);
                    done.lock().unwrap_or_else(PoisonError::into_inner).0.push((index, reports));
                }
            });
        }
    });
    let (mut reports, _) = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    reports.sort_by_key(|(index, _)| *index);
    reports.into_iter().flat_map(|(_, reports)| reports).collect()
}

type Done<'a> = Mutex<(Vec<(usize, Vec<CaseReport>)>, &'a mut dyn Progress)>;

impl Job<'_> {
    fn run(&self, vocabulary: &Vocabulary, options: &Options, done: &Done<'_>) -> Vec<CaseReport> {
        if !self.scenario.modes.iter().any(|mode| *mode == options.mode) {
            let reason = format!("runs in {} only", self.scenario.modes.join(", "));
            return vec![self.tell(done, self.report(&self.case.name, options, Outcome::Skipped { reason }))];
        }
        let run = CaseRun { seed: options.seed, scale: options.scale, crash: None };
        let first = self.play_one(&self.case.name, vocabulary, options, &run, done);
        let writes = first.1;
        let mut reports = vec![first.0];
        if crashes_at_every_write(self.case) && matches!(reports[0].outcome, Outcome::Passed) {
            for (at_write, is_committed) in (1..=writes).flat_map(|n| [(n, false), (n, true)]) {
                let side = if is_committed { "reply-lost" } else { "not-sent" };
                let name = format!("{},crash={at_write}-{side}", self.case.name);
                let run = CaseRun { crash: Some(Crash { at_write, is_committed }), ..run.clone() };
                reports.push(self.play_one(&name, vocabulary, options, &run, done).0);
            }
        }
        reports
    }

    fn play_one(
        &self,
        name: &str,
        vocabulary: &Vocabulary,
        options: &Options,
        run: &CaseRun,
        done: &Done<'_>,
    ) -> (CaseReport, u32) {
        let title = self.report(name, options, Outcome::Passed).title();
        done.lock().unwrap_or_else(PoisonError::into_inner).1.started(&title);
        let played = run_case(self.case, vocabulary, run);
        let writes = played.writes;
        let report = self.fill(self.report(name, options, outcome(&played)), played);
        (self.tell(done, report), writes)
    }

    fn tell(&self, done: &Done<'_>, report: CaseReport) -> CaseReport {
        done.lock().unwrap_or_else(PoisonError::into_inner).1.finished(&report);
        report
    }

    fn report(&self, name: &str, options: &Options, outcome: Outcome) -> CaseReport {
        let metadata = &self.scenario.metadata;
        let file = self.scenario.path.display().to_string();
        let case = if name == "default" { String::new() } else { format!(" --case {name}") };
        CaseReport {
            scenario: metadata.name.clone(),
            case: name.to_owned(),
            replay: format!("drey replay {file}{case} --seed {:#x} --mode {}", options.seed, options.mode),
            file,
            description: metadata.description.clone(),
            tags: metadata.tags.clone(),
            bugs: metadata.bugs.clone(),
            mode: options.mode.clone(),
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

    fn fill(&self, report: CaseReport, played: Played) -> CaseReport {
        CaseReport {
            elapsed: played.scenario_time,
            wall: played.real_time,
            events: played.events,
            events_dropped: played.events_dropped,
            ..report
        }
    }
}

fn outcome(played: &Played) -> Outcome {
    match (&played.broken, &played.failure) {
        (Some(error), _) => Outcome::Broken { error: error.clone() },
        (None, Some(failure)) => Outcome::Failed { failures: vec![failure.clone()] },
        (None, None) => Outcome::Passed,
    }
}

/// `crashOperator: {everyWrite: true}` stands for one run per write and side.
fn crashes_at_every_write(case: &Case) -> bool {
    let is_one = |step: &&drey_language::Step| step.name == "crashOperator" && step.args.opt_flag("everyWrite") == Some(true);
    case.all_steps().iter().any(is_one)
}
