//! Writes docs/fake-flink-fidelity.md: how many recordings there are of what, and which of them do not pass.
//!
//! The tests in `cases` and `recordings` hold every recording that is not on one of the two lists, and fail when a listed
//! one passes, so that the page follows from the data and the lists alone.

use super::cases::{KNOWN_FAILURES, all};
use super::recordings::{NOT_PASSING, RECORDED};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

const HEAD: &str = "# How faithful fake-flink is

Written by `DREY_UPDATE_FIDELITY=1 cargo test -p fake-flink fidelity`; the test fails when this file is out of date.

## Cases
Requests with the answers that real session clusters gave (1.18.1, 1.20.3 and 2.2.1), topic by topic. Each runs as every release,
in process under virtual time and over HTTP; status, headers that matter, and bodies must be the same but for ids, times and
sizes. `make test-real-flink` holds real clusters to the same recordings. Cases that a release cannot carry out are not counted
for it.

| topic | recorded | pass as 1.18.1 | pass as 1.20.3 | pass as 2.2.1 |
|---|---|---|---|---|
";

const SINGLE: &str = "
## Single calls
870 calls that were recorded one by one, of session clusters (s, x), application clusters with HA in ConfigMaps (app) and
clusters under the adaptive scheduler (ad). A model is brought into the situation of each, by events and never by canned
answers, and asked at the moment the real one was asked at; status, members, types, enums and texts of errors are compared.

| cluster | 1.18.1 | 1.20.3 | 2.2.1 |
|---|---|---|---|
";

#[test]
fn fidelity() {
    let page = page();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/fake-flink-fidelity.md");
    if std::env::var_os("DREY_UPDATE_FIDELITY").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == page,
        "docs/fake-flink-fidelity.md is out of date: DREY_UPDATE_FIDELITY=1 cargo test -p fake-flink fidelity"
    );
}

fn page() -> String {
    let mut text = HEAD.to_owned();
    let mut topics: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut skipped: Vec<(String, String)> = Vec::new();
    for case in all() {
        let of = |key: &str| case[key].as_str().unwrap().to_owned();
        topics.entry(of("topic")).or_default().push(of("id"));
        let by = case["skip"].as_object().into_iter().flatten();
        skipped.extend(by.map(|(version, _)| (version.clone(), of("id"))));
    }
    let failing = |version: &str, ids: &[String]| {
        KNOWN_FAILURES.iter().filter(|(v, id, _)| *v == version && ids.iter().any(|i| i == id)).count()
    };
    let row = |topic: &str, ids: &[String]| {
        let [a, b, c] = ["1.18.1", "1.20.3", "2.2.1"].map(|v| {
            let is_asked = |id: &&String| !skipped.iter().any(|(of, skipped)| of == v && skipped == *id);
            let asked = ids.iter().filter(is_asked).count();
            format!("{} of {asked}", asked - failing(v, ids))
        });
        format!("| {topic} | {} | {a} | {b} | {c} |\n", ids.len())
    };
    topics.iter().for_each(|(topic, ids)| text += &row(topic, ids));
    text += &row("**all**", &topics.values().flatten().cloned().collect::<Vec<_>>());

    text += SINGLE;
    let mut clusters: BTreeMap<String, [Vec<String>; 3]> = BTreeMap::new();
    for (at, (_, _, lines)) in RECORDED.iter().enumerate() {
        for line in lines.lines() {
            let call: Value = serde_json::from_str(line).unwrap();
            let cluster = call["cluster"].as_str().unwrap().to_owned();
            let id = format!("{cluster}-{}", call["name"].as_str().unwrap());
            for key in [cluster, "**all**".to_owned()] {
                clusters.entry(key).or_default()[at].push(id.clone());
            }
        }
    }
    // The sum comes last.
    for (cluster, calls) in clusters.iter().skip(1).chain(clusters.iter().take(1)) {
        write!(text, "| {cluster} |").unwrap();
        for ((version, ..), ids) in RECORDED.iter().zip(calls) {
            let wrong = NOT_PASSING.iter().filter(|(v, id, _)| v == version && ids.iter().any(|i| i == id));
            write!(text, " {} of {} |", ids.len() - wrong.count(), ids.len()).unwrap();
        }
        text += "\n";
    }

    text += "\n## What does not pass\n\n| release | recording | why |\n|---|---|---|\n";
    for (version, id, why) in KNOWN_FAILURES.iter().chain(NOT_PASSING) {
        writeln!(text, "| {version} | {id} | {why} |").unwrap();
    }
    if KNOWN_FAILURES.is_empty() && NOT_PASSING.is_empty() {
        text += "| none | | |\n";
    }
    text +=
        "\nWhat is known to differ beyond the recordings: docs/fake-flink.md and docs/fake-flink-jobs.md.\n";
    text
}
