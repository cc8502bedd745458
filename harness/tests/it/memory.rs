//! What a run leaves behind: its report, and nothing of its world.

use std::sync::Arc;

use drey_harness::library::{self, Goldens, Options, Progress};
use drey_harness::modes::{ListenerOptions, Place};
use drey_harness::run::{CaseRun, Interrupt, run_case, vocabulary};
use drey_harness::world::Listener;
use drey_language::events::Event;
use drey_language::report::CaseReport;

use crate::support::repository;

/// The journal of a run holds the listener it was given, and everything in its world holds the journal.
#[test]
fn worlds_go_with_their_runs() {
    let file = repository("scenarios/chaos/status-write-conflicts.yaml");
    let found = library::find(&[file], &vocabulary()).expect("it is there");
    let case = &found.scenarios[0].cases[0];
    for place in [Place::Virtual, Place::Loopback(ListenerOptions::default())] {
        let listener: Listener = Arc::new(|_| {});
        let left = Arc::downgrade(&listener);
        let (mode, interrupt) = (place.mode(), Interrupt::default());
        let run =
            CaseRun { seed: 1, speed_max: None, crash: None, place, listener: Some(listener), interrupt };
        let played = run_case(case, &vocabulary(), &run);
        assert!(played.failure.is_none() && played.broken.is_none(), "{mode}");
        drop(run);
        assert_eq!(left.strong_count(), 0, "{mode}: something of the world is left");
    }
}

#[derive(Default)]
struct Ear {
    told: Vec<String>,
    events: usize,
    of_report: usize,
}

impl Progress for Ear {
    fn expected(&mut self, _runs: usize) {}

    fn started(&mut self, title: &str) {
        self.told.push(format!("started {title}"));
    }

    fn finished(&mut self, report: &CaseReport) {
        self.told.push(format!("finished {}", report.title()));
        self.of_report += report.events.len();
    }

    fn wants_events(&self) -> bool {
        true
    }

    fn event(&mut self, title: &str, event: &Event) {
        assert_eq!(self.told.last(), Some(&format!("started {title}")), "within the run: {}", event.text);
        self.events += 1;
        assert_eq!(event.seq, self.events as u64, "in order, none left out");
    }
}

#[test]
fn events_are_told_before_the_run_is_over_and_not_kept_after_it() {
    let file = repository("scenarios/chaos/status-write-conflicts.yaml");
    let found = library::find(&[file], &vocabulary()).expect("it is there");
    let runs: Vec<_> = library::cells(&found.scenarios).into_iter().take(1).collect();
    let options = Options { jobs: 1, goldens: Goldens::Ignore, ..Options::usual(1) };
    let mut ear = Ear::default();
    let reports = library::play(&runs, &vocabulary(), &options, &mut ear);
    assert!(ear.events > 50, "{} events", ear.events);
    assert_eq!(ear.events, ear.of_report, "the report has the same ones");
    assert!(reports[0].events.is_empty(), "nobody needs them any more");
}
