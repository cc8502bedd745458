//! The operators of `examples/other-operators`, as docs/other-operators.md shows them: both pass their scenarios, and of
//! both the mistake they can be told to make is found. Built by `make test-clients`; without it skipped, aloud.

use std::path::PathBuf;
use std::process::Command;

use crate::cluster_bad_input::Served;
use crate::support::{drey, repository, text};

/// Where `make test-clients` has put it.
fn built(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("DREY_CLIENTS").map(|folder| PathBuf::from(folder).join(name));
    let path = path.filter(|path| path.exists());
    if path.is_none() {
        println!("skipped: {name} is not there; make test-clients builds it");
    }
    path
}

fn run(operator: &str, scenarios: &[&str], jobs: &str, bug: &str) -> (Option<i32>, String) {
    let mut command = drey();
    command.arg("run").args(scenarios).args(["--mode", "loopback", "--jobs", jobs, "--verbose"]);
    told(command, operator, bug)
}

fn told(mut command: Command, operator: &str, bug: &str) -> (Option<i32>, String) {
    command.current_dir(repository("examples/other-operators"));
    let out = command.args(["--operator", "command", operator]).env("BUG", bug).output().expect("drey runs");
    (out.status.code(), format!("{}{}", text(&out.stdout), text(&out.stderr)))
}

fn passes(name: &str, operator: &str) {
    let (code, said) = run(operator, &["scenarios"], "4", "0");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("5 scenarios: 4 passed, 0 failed, 1 skipped"), "{said}");
    let runs = said.matches("passed one-ledger-whatever-happens").count();
    assert!(runs > 4, "it is crashed at every write: {said}");
    println!("shelves with {name}: {runs} runs of one scenario");
}

/// Runs that fail do so at a deadline of half a minute, real time: no more at once than a busy machine serves.
fn its_bug_is_found(operator: &str, symptom: &str) {
    let scenarios = ["scenarios/books-are-counted.yaml", "scenarios/one-ledger-whatever-happens.yaml"];
    let (code, said) = run(operator, &scenarios, "4", "1");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("passed books-are-counted"), "nobody sees it on a quiet day: {said}");
    assert!(said.contains("failed one-ledger-whatever-happens [default,crash="), "{said}");
    assert!(said.contains(symptom), "{said}");
}

/// A scenario that names nothing the operator makes: what is asked of any operator finds it.
fn bad_manners_are_found(operator: &str, bug: &str, symptom: &str) {
    let (code, said) = run(operator, &["scenarios/shelves-come-and-go.yaml"], "1", bug);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(symptom), "{said}");
}

/// Ten minutes pass in seconds on a cluster whose time runs faster.
fn a_forgotten_finalizer_is_found(operator: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Served::start(folder.path(), &["--time-scale", "100", "--control", "127.0.0.1:0"]);
    let run = |bug: &str| {
        let mut command = drey();
        command.args(["run", "scenarios/shelves-are-let-go-of.yaml", "--mode", "cluster", "--kubeconfig"]);
        command.arg(&cluster.kubeconfig);
        told(command, operator, bug)
    };
    let (code, said) = run("0");
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run("hold");
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("minutes ago and is not let go of: its finalizers are toys.example.com/ledger"),
        "{said}"
    );
    assert!(cluster.names("Namespace").iter().all(|name| !name.starts_with("drey-")), "left behind: {said}");
}

/// Each of them mostly waits: beside each other they take as long as one.
fn beside_each_other(deeds: &[&(dyn Fn() + Sync)]) {
    std::thread::scope(|scope| {
        for deed in deeds {
            scope.spawn(deed);
        }
    });
}

#[test]
fn clients_shelves_with_controller_runtime() {
    let Some(operator) = built("shelf-operator") else { return };
    let operator = operator.to_str().expect("a plain path");
    let told = "writes one object over and over: PUT /apis/toys.example.com";
    beside_each_other(&[
        &|| passes("controller-runtime", operator),
        &|| its_bug_is_found(operator, "expected 1 writes, found 0"),
        &|| bad_manners_are_found(operator, "loop", told),
        &|| a_forgotten_finalizer_is_found(operator),
    ]);
}

#[test]
fn clients_shelves_with_kopf() {
    let Some(python) = built("python/bin/python") else { return };
    let operator = format!("{} kopf/shelves.py", python.display());
    let told = "ConfigMap default/novels-ledger, which the operator made, is left though Shelf";
    beside_each_other(&[
        &|| passes("kopf", &operator),
        &|| its_bug_is_found(&operator, "409 AlreadyExists"),
        &|| bad_manners_are_found(&operator, "leak", told),
    ]);
}
