//! The words of the command and what they promise: exit codes, last lines, formats, folders.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::drey::{root, run};

const SCENARIO: &str = "apiVersion: drey/v1
kind: Scenario
metadata: {name: config-map, tags: [small]}
steps:
  - create: {object: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: v}}}
  - assert: {of: ConfigMap/a, match: {data: {k: v}}}
";

/// A folder with one small scenario that passes, or fails when `expected` is not `v`.
fn library(expected: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = SCENARIO.replace("match: {data: {k: v}}", &format!("match: {{data: {{k: {expected}}}}}"));
    std::fs::write(folder.path().join("config-map.yaml"), text).expect("write a scenario");
    folder
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default()
}

#[test]
fn without_a_golden_a_run_fails_until_it_is_blessed() {
    let folder = library("v");
    let said = run(folder.path(), &["run", "."]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.out.contains("a golden transcript in ./config-map.golden.txt, and there is none"),
        "{said:?}"
    );
    assert!(said.out.contains("make bless"), "{said:?}");
    assert!(!folder.path().join("config-map.golden.txt").exists());

    let said = run(folder.path(), &["run", ".", "--bless"]);
    assert_eq!(said.code, 0, "{said:?}");
    let said = run(folder.path(), &["run", "."]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        last_line(&said.out)
            .starts_with("1 scenarios: 1 passed, 0 failed, 0 skipped (seed 1, 0.0 h of scenario time in ")
    );

    let golden = folder.path().join("config-map.golden.txt");
    let text = std::fs::read_to_string(&golden).expect("it was blessed");
    std::fs::write(&golden, text.replace("config-map", "another")).expect("write it");
    let said = run(folder.path(), &["run", "."]);
    assert_eq!(said.code, 1, "{said:?}");
    let diff = ["-another", "+config-map", "make bless"];
    assert!(diff.iter().all(|part| said.out.contains(part)), "{said:?}");
    assert!(last_line(&said.out).starts_with("1 scenarios: 0 passed, 1 failed, 0 skipped"), "{said:?}");
    // Another seed is another run: no golden speaks about it.
    assert_eq!(run(folder.path(), &["run", ".", "--seed", "0x2"]).code, 0);
}

#[test]
fn a_failed_run_is_not_blessed_and_tells_how_to_see_it_again() {
    let folder = library("w");
    let said = run(folder.path(), &["run", ".", "--bless"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.contains("differs: data.k: expected \"w\", is \"v\""), "{said:?}");
    assert!(said.out.contains("replay: drey replay ./config-map.yaml --seed 0x1"), "{said:?}");
    assert!(!folder.path().join("config-map.golden.txt").exists());
    let said = run(folder.path(), &["replay", "./config-map.yaml", "--seed", "0x1"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.contains("failed after"), "{said:?}");
}

#[test]
fn a_report_is_written_whole_and_replaces_only_reports() {
    let folder = library("v");
    let report = folder.path().join("report");
    for _ in 0..2 {
        let said = run(folder.path(), &["run", ".", "--no-golden", "--report", "report"]);
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.out.contains("report: report/index.html"), "{said:?}");
        for name in ["index.html", "junit.xml", "events.jsonl", "summary.md"] {
            assert!(report.join(name).is_file(), "{name}");
        }
        assert_eq!(std::fs::read_dir(report.join("transcripts")).expect("a folder").count(), 1);
    }
    // A second scenario is found in the report folder's place only if somebody else wrote there.
    let said = run(folder.path(), &["run", "config-map.yaml", "--no-golden", "--report", "."]);
    assert_eq!(said.code, 2, "{said:?}");
    let foreign = folder.path().join("mine");
    std::fs::create_dir(&foreign)
        .and_then(|()| std::fs::write(foreign.join("notes.txt"), "keep me"))
        .expect("write");
    let said = run(folder.path(), &["run", "config-map.yaml", "--no-golden", "--report", "mine"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("holds other files"), "{said:?}");
    assert!(foreign.join("notes.txt").is_file());
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn json_is_one_record_a_line_and_nothing_else() {
    let folder = library("v");
    let said = run(folder.path(), &["run", ".", "--no-golden", "--format", "json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let records: Vec<Value> =
        said.out.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    let count = |kind: &str| records.iter().filter(|record| record["type"] == kind).count();
    assert_eq!((count("run"), count("case"), count("result"), count("summary")), (1, 1, 1, 1));
    assert!(count("event") > 0);
    let result = records.iter().find(|record| record["type"] == "result").expect("counted above");
    assert_eq!(result["outcome"]["result"], "passed");
    assert!(last_line(&said.err).starts_with("1 scenarios: 1 passed"), "{said:?}");
}

#[test]
fn list_lint_schema_and_words() {
    let folder = library("v");
    let said = run(folder.path(), &["list", "."]);
    assert!(said.code == 0 && said.out.contains("config-map  config-map.yaml  [small]"), "{said:?}");
    let said = run(folder.path(), &["list", ".", "--format", "json"]);
    let record: Value = serde_json::from_str(said.out.trim()).expect("one record");
    assert_eq!(record["cases"], serde_json::json!(["default"]));
    assert_eq!(run(folder.path(), &["lint", "."]).code, 0);
    std::fs::write(folder.path().join("gone.golden.txt"), "").expect("write");
    let said = run(folder.path(), &["lint", ".", "--strict"]);
    assert!(
        said.code == 1 && said.err.contains("gone.golden.txt: warning: no scenario has this"),
        "{said:?}"
    );
    let schema: Value = serde_json::from_str(&run(folder.path(), &["schema"]).out).expect("JSON");
    assert!(schema["$defs"]["step"]["properties"]["eventually"].is_object());
    let said = run(folder.path(), &["explain-step", "eventually"]);
    assert!(said.code == 0 && said.out.contains("within"), "{said:?}");
    for word in
        ["", "run", "list", "lint", "explain", "replay", "schema", "explain-step", "fault", "fault add"]
    {
        let arguments: Vec<&str> = word.split(' ').chain(["--help"]).filter(|one| !one.is_empty()).collect();
        let said = run(folder.path(), &arguments);
        assert!(said.code == 0 && said.out.contains("Usage:"), "{word}: {said:?}");
    }
}

#[test]
fn filters_choose_runs() {
    let folder = library("v");
    for (filter, code) in [
        ("tag:small", 0),
        ("!tag:small", 2),
        ("config", 0),
        ("name:config-*", 0),
        ("name:config", 2),
        ("case:default", 0),
    ] {
        let said = run(folder.path(), &["run", ".", "--no-golden", "--filter", filter]);
        assert_eq!(said.code, code, "{filter}: {said:?}");
    }
}

#[test]
fn explain_tells_every_pass_that_did_something() {
    let file = "scenarios/upgrade/running-keeps-state.yaml";
    let text = std::fs::read_to_string(root().join(file)).expect("the scenario is there");
    assert!(text.contains("kind: Scenario"));
    let listed = run(&root(), &["list", file, "--format", "json"]);
    let record: Value = serde_json::from_str(listed.out.trim()).expect("one record");
    let case = record["cases"][0].as_str().expect("it has a case").to_owned();
    let said = run(&root(), &["explain", file, "--case", &case]);
    assert_eq!(said.code, 0, "{said:?}");
    for part in [
        "pass 1  ",
        "  trigger  ",
        "  rules    ",
        "  plan     ",
        "  next     ",
        "  outcome  done",
        "CreateCluster",
        "passes in",
    ] {
        assert!(said.out.contains(part), "no `{part}` in\n{}", said.out);
    }
    let said = run(&root(), &["explain", file, "--case", &case, "--format", "json"]);
    let passes: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(passes.iter().any(|pass| {
        pass["plan"].as_array().is_some_and(|plan| plan.iter().any(|one| one == "CreateCluster"))
    }));
}

#[test]
fn closed_pipes_are_no_failure() {
    let mut child = crate::drey::drey(&root(), &["schema"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("drey starts");
    drop(child.stdout.take());
    let status = child.wait().expect("drey ends");
    assert!(status.code().is_some_and(|code| code == 0), "{status:?}");
    assert!(Path::new(env!("CARGO_BIN_EXE_drey")).exists());
}

/// `drey run | grep -q` under `pipefail`: what is not read is judged all the same.
#[test]
fn closed_pipes_change_no_verdict() {
    let folder = library("v");
    std::fs::write(folder.path().join("typo.yaml"), SCENARIO.replace("steps:", "stpes:"))
        .expect("write a scenario");
    let text = SCENARIO.replace("steps:", "clock: {limit: 1ms}\nsteps:");
    std::fs::write(folder.path().join("config-map.yaml"), text).expect("write a scenario");
    for (words, expected) in [
        (&["run", "config-map.yaml", "--no-golden"][..], 1),
        (&["run", "typo.yaml"], 2),
        (&["lint", "typo.yaml"], 2),
        (&["replay", "config-map.yaml"], 1),
        (&["gate", "--report", "."], 2),
    ] {
        let mut drey = crate::drey::drey(folder.path(), words);
        let mut child = drey.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("drey starts");
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(child.wait().expect("drey ends").code(), Some(expected), "{words:?}");
    }
}

/// What holds everywhere has no line of its own: it is told at the step before which it was found broken.
#[test]
fn every_failure_has_a_line_in_the_stream() {
    let folder = library("v");
    let text = SCENARIO.replace("steps:", "clock: {limit: 1ms}\nsteps:");
    std::fs::write(folder.path().join("config-map.yaml"), text).expect("write a scenario");
    let said = run(folder.path(), &["run", ".", "--no-golden", "--format", "json"]);
    assert_eq!(said.code, 1, "{said:?}");
    let records: Vec<Value> =
        said.out.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    let result = records.iter().find(|record| record["type"] == "result").expect("a result");
    let failure = &result["outcome"]["failures"][0];
    assert_eq!(failure["check"], "invariant", "{failure}");
    assert_eq!(failure["at"], "config-map.yaml:6:5", "{failure}");
    let event = records.iter().find(|record| record["kind"] == "check-failed").expect("an event");
    assert_eq!(event["detail"]["at"], failure["at"]);
}
