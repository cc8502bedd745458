//! What CI servers are told: annotations, summaries, Code Quality, JUnit, labels.

use std::path::Path;

use drey_gate::Request;
use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::support::{ask, ask_in, counts, fixture, ratios, report};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn annotations(request: &Request, environment: &[(&str, &str)], expected: Expect) {
    let (_, out) = ask_in(request, environment).expect("a verdict");
    let lines: Vec<&str> = out.lines().filter(|line| line.starts_with("::")).collect();
    expected.assert_eq(&(lines.join("\n") + "\n"));
}

const GITHUB: (&str, &str) = ("GITHUB_ACTIONS", "true");

#[test]
fn github_is_shown_the_line_that_failed() {
    annotations(
        &report("worse"),
        &[GITHUB],
        expect![[r#"
        ::error file=scenarios/deletion.yaml,line=11,col=5,title=deletion%3A fails now::fails now (passed -> failed)%0Aeventually: FlinkDeployment/app the job was started once%0Astatus.lifecycleState: expected "STABLE", is "DEPLOYED"%0Areplay: drey replay scenarios/deletion.yaml --case default,crash=1-reply-lost --seed 0x1
        ::error file=scenarios/fresh.yaml,line=1,title=fresh%3A new and fails::new and fails (- -> broken)%0Apanic: index out of bounds%0Areplay: drey replay scenarios/fresh.yaml --seed 0x1
        ::error file=scenarios/upgrade-keeps-state.yaml,line=1,title=upgrade-keeps-state [mode=last-state]%3A more scenario ms (+50 %25)::more scenario ms (+50 %25) (60000 -> 90000)
        ::error file=scenarios/upgrade-keeps-state.yaml,line=1,title=upgrade-keeps-state [mode=last-state]%3A more changes (+43 %25)::more changes (+43 %25) (28 -> 40)
        ::error file=scenarios/upgrade-keeps-state.yaml,line=18,col=5,title=upgrade-keeps-state [mode=savepoint]%3A fails now::fails now (passed -> failed)%0Aeventually: FlinkDeployment/app status.lifecycleState == STABLE%0Astatus.lifecycleState: expected "STABLE", is "DEPLOYED"%0Areplay: drey replay ./scenarios/upgrade-keeps-state.yaml --case mode=savepoint --seed 0x1
        ::error file=tests/fixtures/scenarios-stored.json,line=15,title=rest-down%3A not run::not run (passed -> -)%0Aof scenarios/rest-down.yaml; give --partial when only a part was run
        ::warning file=scenarios/known-bug.yaml,line=7,col=5,title=known-bug%3A still fails::still fails (failed -> failed)%0Aeventually: FlinkDeployment/app status.lifecycleState == STABLE%0Astatus.lifecycleState: expected "STABLE", is "DEPLOYED"%0Areplay: drey replay scenarios/known-bug.yaml --seed 0x1
    "#]],
    );
    annotations(
        &counts("counts-worse.json"),
        &[GITHUB],
        expect![[r#"
        ::error file=tests/fixtures/counts-stored.json,line=2,title=converged pass%3A requests%3A more::more (0 -> 1)
        ::error file=tests/fixtures/counts-stored.json,line=2,title=converged pass%3A requests%3A misses its goal::misses its goal (at most 0 -> 1)
        ::error file=tests/fixtures/counts-stored.json,line=3,title=create%3A requests%3A more (+8.3 %25)::more (+8.3 %25) (12 -> 13)
        ::error file=tests/fixtures/counts-stored.json,line=4,title=create%3A writes%3A no longer counted::no longer counted (9 -> -)
    "#]],
    );
}

#[test]
fn annotations_are_for_github_unless_asked_for() {
    let (_, out) = ask(&report("worse"));
    assert!(!out.contains("::error"), "{out}");
    let (_, out) = ask(&Request { annotations: Some(true), ..report("worse") });
    assert!(out.contains("::error file=scenarios/upgrade-keeps-state.yaml,line=18,"), "{out}");
    let (_, out) =
        ask_in(&Request { annotations: Some(false), ..report("worse") }, &[GITHUB]).expect("a verdict");
    assert!(!out.contains("::error"), "{out}");
}

#[test]
fn the_summary_is_written_and_appended() {
    let folder = folder();
    let (own, step) = (folder.path().join("out/gate.md"), folder.path().join("step.md"));
    std::fs::write(&step, "## Another step\n").expect("write");
    let request = Request { markdown: Some(own.clone()), ..report("worse") };
    let environment = [("GITHUB_STEP_SUMMARY", step.to_str().expect("a path"))];
    ask_in(&request, &environment).expect("a verdict");
    assert_eq!(text(&step), format!("## Another step\n{}", text(&own)));
    expect![[r###"
        ## ❌ drey gate: worse (6 worse, 1 known, 1 note)

        Next: mend it; if it is meant, store it with --update-baseline and read the diff.

        ### scenarios

        7 cases of 5 scenarios in 9 runs: 2 passed, 3 failed, 1 broken, 1 skipped, against `tests/fixtures/scenarios-stored.json`

        | | | what | stored | found | where |
        |---|---|---|---|---|---|
        | ❌ worse | deletion | fails now | passed | failed | scenarios/deletion.yaml:11 |
        | ❌ worse | fresh | new and fails | - | broken | scenarios/fresh.yaml:1 |
        | ❌ worse | upgrade-keeps-state \[mode=last-state\] | more scenario ms (+50 %) | 60000 | 90000 | scenarios/upgrade-keeps-state.yaml:1 |
        | ❌ worse | upgrade-keeps-state \[mode=last-state\] | more changes (+43 %) | 28 | 40 | scenarios/upgrade-keeps-state.yaml:1 |
        | ❌ worse | upgrade-keeps-state \[mode=savepoint\] | fails now | passed | failed | scenarios/upgrade-keeps-state.yaml:18 |
        | ❌ worse | rest-down | not run | passed | - | tests/fixtures/scenarios-stored.json:15 |
        | ➖ known | known-bug | still fails | failed | failed | scenarios/known-bug.yaml:7 |
        | note | fresh \[a=1\] | not in the baseline | - | passed | scenarios/fresh.yaml:1 |

        <details><summary>deletion: fails now</summary>

        ```text
        eventually: FlinkDeployment/app the job was started once
        status.lifecycleState: expected "STABLE", is "DEPLOYED"
        replay: drey replay scenarios/deletion.yaml --case default,crash=1-reply-lost --seed 0x1
        ```

        </details>

        <details><summary>fresh: new and fails</summary>

        ```text
        panic: index out of bounds
        replay: drey replay scenarios/fresh.yaml --seed 0x1
        ```

        </details>

        <details><summary>upgrade-keeps-state \[mode=savepoint\]: fails now</summary>

        ```text
        eventually: FlinkDeployment/app status.lifecycleState == STABLE
        status.lifecycleState: expected "STABLE", is "DEPLOYED"
        replay: drey replay ./scenarios/upgrade-keeps-state.yaml --case mode=savepoint --seed 0x1
        ```

        </details>

        <details><summary>rest-down: not run</summary>

        ```text
        of scenarios/rest-down.yaml; give --partial when only a part was run
        ```

        </details>

    "###]].assert_eq(&text(&own));
}

#[test]
fn gitlab_gets_a_code_quality_report() {
    let folder = folder();
    let path = folder.path().join("gl-code-quality-report.json");
    ask(&Request { code_quality: Some(path.clone()), ..report("worse") });
    let entries: Vec<Value> = serde_json::from_str(&text(&path)).expect("a list");
    let mut fingerprints: Vec<&str> =
        entries.iter().filter_map(|entry| entry["fingerprint"].as_str()).collect();
    fingerprints.sort_unstable();
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), entries.len());
    let failing = entries
        .iter()
        .find(|entry| entry["location"]["positions"]["begin"] == json!({"line": 18, "column": 5}))
        .expect("the failing line");
    assert_eq!(failing["location"]["path"], "scenarios/upgrade-keeps-state.yaml");
    assert_eq!(failing["severity"], "major");
    // Nothing to tell is told as nothing: GitLab wants the file.
    ask(&Request { code_quality: Some(path.clone()), ..counts("counts-same.json") });
    assert_eq!(text(&path), "[]\n");
}

#[test]
fn absolute_paths_are_shown_from_the_root_of_the_checkout() {
    let folder = folder();
    let stored = text(&fixture("worse").join("events.jsonl"));
    let moved = stored
        .replace("./scenarios/", "/checkout/scenarios/")
        .replace("\"scenarios/", "\"/checkout/scenarios/");
    let path = folder.path().join("events.jsonl");
    std::fs::write(&path, moved).expect("write");
    let request = Request { report: Some(path), ..Request::default() };
    let (_, out) = ask_in(&request, &[GITHUB, ("GITHUB_WORKSPACE", "/checkout")]).expect("a verdict");
    assert!(out.contains("::error file=scenarios/upgrade-keeps-state.yaml,line=18,"), "{out}");
}

#[test]
fn junit_passes_through_as_it_is() {
    let folder = folder();
    let path = folder.path().join("junit.xml");
    ask(&Request { junit: Some(path.clone()), ..report("worse") });
    assert_eq!(text(&path), text(&fixture("worse/junit.xml")));
}

#[test]
fn the_verdict_is_there_for_programs() {
    let folder = folder();
    let path = folder.path().join("verdict.json");
    ask(&Request { verdict: Some(path.clone()), ..ratios("ratios-noisy.json") });
    let verdict: Value = serde_json::from_str(&text(&path)).expect("JSON");
    assert_eq!((verdict["outcome"].as_str(), verdict["exitCode"].as_u64()), (Some("unsure"), Some(3)));
    assert_eq!(verdict["sections"][0]["findings"][0]["weight"], "unsure");
}

#[test]
fn a_label_lets_through_and_is_named() {
    let label = |request: Request| Request { override_label: Some("slower-is-fine".to_owned()), ..request };
    let labels = [("CI_MERGE_REQUEST_LABELS", "docs,slower-is-fine"), GITHUB];
    for request in [report("worse"), counts("counts-worse.json"), ratios("ratios-noisy.json")] {
        let (code, out) = ask_in(&label(request.clone()), &labels).expect("a verdict");
        assert_eq!(code, 0, "{out}");
        let said = "let through by the label `slower-is-fine` (from CI_MERGE_REQUEST_LABELS)";
        assert!(out.contains(said) && !out.contains("::error") && out.contains("::warning"), "{out}");
        // Another label, or none, changes nothing.
        assert_ne!(
            ask_in(&label(request.clone()), &[("CI_MERGE_REQUEST_LABELS", "docs")]).expect("a verdict").0,
            0
        );
        assert_ne!(ask_in(&request, &labels).expect("a verdict").0, 0);
    }
    let (_, out) = ask_in(&label(report("stored")), &labels).expect("a verdict");
    assert!(!out.contains("let through"), "nothing had to be: {out}");
}

#[test]
fn labels_are_read_from_the_event_of_github() {
    let folder = folder();
    let path = folder.path().join("event.json");
    std::fs::write(&path, r#"{"pull_request": {"labels": [{"name": "accepted"}]}}"#).expect("write");
    let request = Request { override_label: Some("accepted".to_owned()), ..report("worse") };
    let environment = [("GITHUB_EVENT_PATH", path.to_str().expect("a path"))];
    assert_eq!(ask_in(&request, &environment).expect("a verdict").0, 0);
    std::fs::write(&path, "{").expect("write");
    assert_eq!(ask_in(&request, &environment).expect("a verdict").0, 1);
}
