//! The operators of `examples/other-operators`, as docs/other-operators.md shows them: both pass their scenarios, and of
//! both the mistake they can be told to make is found. Built by `make test-clients`; without it skipped, aloud.

use std::path::PathBuf;

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

fn run(operator: &str, scenarios: &str, bug: &str) -> (Option<i32>, String) {
    let out = drey()
        .current_dir(repository("examples/other-operators"))
        .args(["run", scenarios, "--mode", "loopback", "--jobs", "4", "--verbose"])
        .args(["--operator", "command", operator])
        .env("BUG", bug)
        .output()
        .expect("drey runs");
    (out.status.code(), format!("{}{}", text(&out.stdout), text(&out.stderr)))
}

fn passes_and_its_bug_is_found(name: &str, operator: &str, symptom: &str) {
    let (code, said) = run(operator, "scenarios", "0");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("4 scenarios: 4 passed"), "{said}");
    let runs = said.matches("passed one-ledger-whatever-happens").count();
    assert!(runs > 4, "it is crashed at every write: {said}");
    println!("shelves with {name}: {runs} runs of one scenario");

    let (code, said) = run(operator, "scenarios", "1");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("passed books-are-counted"), "nobody sees it on a quiet day: {said}");
    assert!(said.contains("failed one-ledger-whatever-happens [default,crash="), "{said}");
    assert!(said.contains(symptom), "{said}");
}

/// A scenario that names nothing the operator makes: what is asked of any operator finds it.
fn bad_manners_are_found(operator: &str, bug: &str, told: &str) {
    let (code, said) = run(operator, "scenarios/shelves-come-and-go.yaml", bug);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(told), "{said}");
}

#[test]
fn clients_shelves_with_controller_runtime() {
    let Some(operator) = built("shelf-operator") else { return };
    let operator = operator.to_str().expect("a plain path");
    passes_and_its_bug_is_found("controller-runtime", operator, "expected 1 writes, found 0");
    bad_manners_are_found(operator, "loop", "writes one object over and over: PUT /apis/toys.example.com");
}

#[test]
fn clients_shelves_with_kopf() {
    let Some(python) = built("python/bin/python") else { return };
    let operator = format!("{} kopf/shelves.py", python.display());
    passes_and_its_bug_is_found("kopf", &operator, "409 AlreadyExists");
    bad_manners_are_found(
        &operator,
        "leak",
        "ConfigMap default/novels-ledger, which the operator made, is left though Shelf",
    );
}
