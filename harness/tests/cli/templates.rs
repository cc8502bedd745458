//! The templates of ci/templates: they are YAML, say only what this `drey` understands, and do what they are for.

use std::path::{Path, PathBuf};
use std::process::Command;

use drey_language::Source;
use drey_language::yaml::parse_documents;
use serde_json::Value;

use crate::drey::{root, run};

const NAMES: [&str; 2] = ["github-workflow.yml", "gitlab-ci.yml"];

fn template(name: &str) -> Value {
    let path = root().join("ci/templates").join(name);
    let text = std::fs::read_to_string(&path).expect("the template is there");
    let documents = parse_documents(&Source::new(name, text)).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(documents.len(), 1, "{name}");
    documents[0].to_json()
}

/// What a shell is given: the `run` of steps, the `script` of jobs.
fn commands(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("run", Value::String(text)) => found.push(text.clone()),
                    ("script", Value::Array(lines)) => {
                        found.extend(lines.iter().filter_map(Value::as_str).map(str::to_owned));
                    }
                    _ => found.extend(commands(value)),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| found.extend(commands(item))),
        _ => {}
    }
    found
}

/// Those that call drey, as words.
fn calls(name: &str) -> Vec<String> {
    let all = commands(&template(name));
    let calls: Vec<String> = all.into_iter().filter(|command| command.starts_with("drey ")).collect();
    assert_eq!(calls.len(), 3, "{name}: {calls:?}");
    calls
}

#[test]
fn every_command_and_flag_exists() {
    for name in NAMES {
        for call in calls(name) {
            let words: Vec<&str> = call.split(" ||").next().unwrap_or_default().split_whitespace().collect();
            let said = run(&root(), &[words[1], "--help"]);
            assert_eq!(said.code, 0, "{name}: there is no `drey {}`: {said:?}", words[1]);
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                let has_it = said.out.split_whitespace().any(|word| word.trim_end_matches(',') == *flag);
                assert!(has_it, "{name}: `drey {}` has no {flag}", words[1]);
            }
        }
    }
}

/// Runs what calls drey as the CI server would; the exit code is that of the first which fails.
fn play(name: &str, folder: &Path, environment: &[(&str, &str)]) -> (i32, String) {
    let script = calls(name).join("\n");
    // GitHub goes on after `continue-on-error`.
    let script = script.replace(
        "drey run scenarios --report drey-report",
        "drey run scenarios --report drey-report || true",
    );
    let bin = PathBuf::from(env!("CARGO_BIN_EXE_drey"));
    let bin = bin.parent().expect("a folder").display().to_string();
    let path = format!("{bin}:{}", std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", &script]).current_dir(folder).env("PATH", path);
    for name in
        ["GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_EVENT_PATH", "CI_MERGE_REQUEST_LABELS", "DREY_SEED"]
    {
        shell.env_remove(name);
    }
    let output = shell.envs(environment.iter().copied()).output().expect("a shell");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().expect("it ends by itself"), text)
}

const SCENARIO: &str = "apiVersion: drey/v1
kind: Scenario
metadata: {name: config-map}
steps:
  - create: {object: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: v}}}
  - assert: {of: ConfigMap/a, match: {data: {k: v}}}
";

#[test]
fn they_pass_fail_and_let_through() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let scenario = folder.path().join("scenarios/config-map.yaml");
    std::fs::create_dir(folder.path().join("scenarios")).expect("a folder");
    std::fs::write(&scenario, SCENARIO).expect("write");
    for arguments in [
        ["run", "scenarios", "--bless", "--report", "drey-report"].as_slice(),
        &["gate", "--report", "drey-report", "--baseline", "drey-baseline.json", "--update-baseline"],
    ] {
        assert_eq!(run(folder.path(), arguments).code, 0, "{arguments:?}");
    }
    for name in NAMES {
        std::fs::write(&scenario, SCENARIO).expect("write");
        let (code, text) = play(name, folder.path(), &[]);
        assert_eq!(code, 0, "{name}: {text}");
        std::fs::write(&scenario, SCENARIO.replace("match: {data: {k: v}}", "match: {data: {k: w}}"))
            .expect("write");
        let (code, text) = play(name, folder.path(), &[("GITHUB_ACTIONS", "true")]);
        assert_eq!(code, 1, "{name}: {text}");
        assert!(text.contains("::error file=scenarios/config-map.yaml,line=6,"), "{name}: {text}");
        let junit = std::fs::read_to_string(folder.path().join("drey-junit.xml")).expect("JUnit");
        assert!(junit.contains("failures=\"1\""), "{name}: {junit}");
        let labels = [("CI_MERGE_REQUEST_LABELS", "docs,drey-accepted")];
        let (code, text) = play(name, folder.path(), &labels);
        assert!(code == 0 && text.contains("let through by the label"), "{name}: {text}");
    }
    let quality =
        std::fs::read_to_string(folder.path().join("gl-code-quality-report.json")).expect("Code Quality");
    assert!(quality.contains("\"line\": 6"), "{quality}");
}

fn in_turn(arguments: &[&str]) -> (i32, String) {
    let script = root().join("ci/templates/in-turn");
    let output = Command::new(script).args(arguments).output().expect("bash is there");
    let code = output.status.code().expect("it ends by itself");
    (code, String::from_utf8(output.stdout).expect("UTF-8") + &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn two_commands_are_timed_in_turn_for_the_gate() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let gate = |samples: &str, most: &str| {
        std::fs::write(folder.path().join("samples.json"), samples).expect("write");
        run(folder.path(), &["gate", "--ratios", "samples.json", "--ratio-max", most, "--noise-max", "1000%"])
    };
    let (code, slower) = in_turn(&["three times", "5", "sleep 0.3", "sleep 0.1"]);
    assert_eq!(code, 0, "{slower}");
    let said = gate(&slower, "1.5");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.contains("three times"), "{said:?}");
    assert_eq!(gate(&slower, "30").code, 0);
    for bad in
        [&["too few", "4", "true", "true"][..], &["name", "5", "true"], &["a \"quote\"", "5", "true", "true"]]
    {
        assert_eq!(in_turn(bad).0, 2, "{bad:?}");
    }
    let (code, text) = in_turn(&["fails", "5", "false", "true"]);
    assert!(code != 0 && !text.contains("GateRatios"), "{text}");
}

/// Nothing was run: the gate has no report, and that is no pass.
#[test]
fn a_run_that_did_not_begin_fails() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(folder.path().join("scenarios")).expect("a folder");
    let (code, text) = play(NAMES[1], folder.path(), &[]);
    assert_eq!(code, 2, "{text}");
}
