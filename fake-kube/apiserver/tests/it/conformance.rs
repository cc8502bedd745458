//! The recorded cases against the server in process; cases known to fail are listed with the reason.

use std::collections::BTreeSet;
use std::path::Path;

use fake_kube_apiserver::conformance::local::Local;
use fake_kube_apiserver::conformance::{self, Case, Fixture};

fn run_one(case: &Case, fixtures: &[Fixture]) -> Vec<String> {
    let mut local = if conformance::needs_rbac(case) { Local::restricted(7) } else { Local::new(7) };
    if let Err(e) = conformance::install(&mut local, fixtures) {
        return vec![e];
    }
    if case.needs.iter().any(|n| n == "compaction") {
        local.server.compact(local.server.revision());
    }
    conformance::run(case, &mut local, "qwrtzpsd").problems
}

#[test]
fn recorded_cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cases");
    let (topics, fixtures) = conformance::load(&folder).expect("the cases are checked in");
    let only = std::env::var("CASES").unwrap_or_default();
    let selected = |id: &str| only.is_empty() || only.split(',').any(|p| id.starts_with(p));
    let known =
        conformance::known_failures(include_str!("../known-failures.txt")).expect("a list with reasons");
    let (mut ran, mut passed, mut skipped) = (0, 0, 0);
    let (mut broken, mut cured, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for topic in &topics {
        let (mut topic_ran, mut topic_passed) = (0, 0);
        for case in topic.cases.iter().filter(|c| selected(&c.id)) {
            seen.insert(case.id.clone());
            if !conformance::runs_alone(case) {
                skipped += 1;
                continue;
            }
            topic_ran += 1;
            let problems = run_one(case, &fixtures);
            topic_passed += usize::from(problems.is_empty());
            match (problems.is_empty(), known.contains_key(&case.id)) {
                (true, true) => cured.push(case.id.clone()),
                (false, false) => {
                    println!("FAIL {} ({}) {}", case.id, case.priority, case.title);
                    problems.iter().for_each(|p| println!("    {p}"));
                    broken.push(case.id.clone());
                }
                (false, true) if !only.is_empty() => {
                    println!("known {} ({}) {}", case.id, case.priority, case.title);
                    problems.iter().for_each(|p| println!("    {p}"));
                }
                _ => {}
            }
        }
        println!("{:24} {topic_passed:3} of {topic_ran:3}", topic.name);
        (ran, passed) = (ran + topic_ran, passed + topic_passed);
    }
    println!("total {passed} of {ran} passed, {skipped} need controllers or webhooks");
    assert!(ran > 0, "no case ran");
    assert!(
        broken.is_empty(),
        "{} cases fail and are not in known-failures.txt: {}",
        broken.len(),
        broken.join(" ")
    );
    assert!(cured.is_empty(), "these pass now, remove them from known-failures.txt: {}", cured.join(" "));
    if only.is_empty() {
        let gone: Vec<&String> = known.keys().filter(|k| !seen.contains(*k)).collect();
        assert!(gone.is_empty(), "known-failures.txt names cases that do not exist: {gone:?}");
    }
}
