//! Which worlds the scenarios of the library run in: said in the files, counted by `drey list`, and true in the documents.

use drey_harness::library::{self, Mode, per_mode};
use drey_harness::run::vocabulary;

use crate::support::{drey, repository, text};

/// What the project promises.
const ON_A_CLUSTER_MIN: usize = 40;

#[test]
fn the_documents_tell_how_many_scenarios_run_where() {
    let found = library::find(&[repository("scenarios")], &vocabulary()).expect("the library");
    let worlds = per_mode(found.scenarios.iter());
    let count = |mode: Mode| worlds.iter().find(|(one, _)| *one == mode).map_or(0, |(_, count)| *count);
    let (all, cluster) = (found.scenarios.len(), count(Mode::Cluster));
    assert!(cluster >= ON_A_CLUSTER_MIN, "{cluster} scenarios name the mode cluster");
    assert_eq!((count(Mode::Virtual), count(Mode::Loopback)), (all, all), "all run in both");
    let document = std::fs::read_to_string(repository("docs/cluster-mode.md")).expect("the document");
    let said = format!("{cluster} scenarios of the library run on a cluster");
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words(&document).contains(&said), "docs/cluster-mode.md says otherwise than: {said}");
    let out = drey().current_dir(repository("")).arg("list").output().expect("drey runs");
    let last = text(&out.stdout).lines().last().unwrap_or_default().to_owned();
    assert!(last.ends_with(&format!("{all} in virtual, {all} in loopback, {cluster} in cluster")), "{last}");
}

/// A reader of one file should not have to know what holds where nothing is said; other people's files may leave it out.
#[test]
fn every_scenario_of_the_library_says_where_it_runs() {
    let found = library::find(&[repository("scenarios")], &vocabulary()).expect("the library");
    assert!(found.problems.is_empty() && found.scenarios.len() > 100, "{}", found.scenarios.len());
    let says = |path: &std::path::Path| {
        let file = std::fs::read_to_string(path).expect("a file that was found");
        file.lines().any(|line| line.starts_with("modes: ["))
    };
    let silent: Vec<_> = found.scenarios.iter().map(|one| &one.path).filter(|path| !says(path)).collect();
    assert!(silent.is_empty(), "add `modes: [virtual, loopback]`, and cluster if it runs there: {silent:?}");
}
