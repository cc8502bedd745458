//! Virtual time and loopback mode come to the same end: not the same requests at the same moments, but the same objects in
//! the same state. A cell of every scenario that runs in both.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use drey_harness::library::{self, GOLDEN_SEED, Goldens, Mode, Options, Run, cells_of};
use drey_harness::run::end_state::EndState;
use drey_harness::run::vocabulary;

use crate::support::repository;

#[test]
fn virtual_time_and_loopback_come_to_the_same_end() {
    let vocabulary = vocabulary();
    let found = library::find(&[repository("scenarios")], &vocabulary).expect("the library");
    let is_of_both = |run: &Run<'_>| {
        ["virtual", "loopback"].iter().all(|mode| run.scenario.modes.iter().any(|one| one == mode))
    };
    let first = found.scenarios.iter().filter_map(|scenario| cells_of(scenario).next());
    let runs: Vec<Run<'_>> = first.filter(is_of_both).collect();
    assert!(runs.len() >= 100, "the library has shrunk: {}", runs.len());
    let usual = Options { jobs: 1, goldens: Goldens::Ignore, ..Options::usual(GOLDEN_SEED) };
    let end = |run: &Run<'_>, mode: Mode| -> EndState {
        let options = Options { mode, ..usual.clone() };
        let played = library::play_in_its_world(run, &vocabulary, &options);
        assert!(
            played.failure.is_none() && played.broken.is_none(),
            "{} in {mode}: {:?} {:?}",
            run.scenario.path.display(),
            played.failure,
            played.broken
        );
        played.end
    };
    let (next, differences) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (one, other) = (end(run, Mode::Virtual), end(run, Mode::Loopback));
            if one != other {
                let name = run.scenario.path.display().to_string();
                differences.lock().expect("no panic").push(format!("{name}\n{}", difference(&one, &other)));
            }
        }
    };
    let threads = thread::available_parallelism().map_or(2, usize::from) * 2;
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let differences = differences.into_inner().expect("no panic");
    assert!(differences.is_empty(), "{} ends differ:\n{}", differences.len(), differences.join("\n"));
    println!("{} scenarios come to the same end", runs.len());
}

fn difference(one: &EndState, other: &EndState) -> String {
    let mut lines = Vec::new();
    for key in one.keys().chain(other.keys().filter(|key| !one.contains_key(*key))) {
        if one.get(key) != other.get(key) {
            let told = |state: &EndState| state.get(key).map_or("not there".to_owned(), ToString::to_string);
            lines.push(format!("  {key}\n    virtual  {}\n    loopback {}", told(one), told(other)));
        }
    }
    lines.join("\n")
}
