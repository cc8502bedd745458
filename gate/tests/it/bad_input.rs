//! Bad input gives no verdict: file, line, field, nearest spelling, next step.

use std::path::PathBuf;

use drey_gate::Request;
use expect_test::{Expect, expect};

use crate::support::{ask_in, fixture};

/// The file's name says as what it is given.
fn request(name: &str) -> Request {
    let path = Some(fixture("bad").join(name));
    let counts = Some(fixture("counts-same.json"));
    match name.split('-').next() {
        Some("baseline") => Request { counts, baseline: path, ..Request::default() },
        Some("counts") => {
            Request { counts: path, baseline: Some(fixture("counts-stored.json")), ..Request::default() }
        }
        Some("ratios") => Request { ratios: path, ..Request::default() },
        _ => Request { report: path, ..Request::default() },
    }
}

fn told(request: &Request) -> String {
    match ask_in(request, &[]) {
        Ok((code, text)) => panic!("a verdict, code {code}: {text}"),
        Err(problem) => problem.to_string(),
    }
}

fn check(name: &str, expected: Expect) {
    expected.assert_eq(&told(&request(name)));
}

#[test]
fn every_bad_file_is_answered_with_place_and_next_step() {
    let mut names: Vec<PathBuf> = std::fs::read_dir(fixture("bad"))
        .expect("the corpus")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    names.sort();
    assert!(names.len() >= 20, "the corpus shrank to {}", names.len());
    for path in names {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let text = told(&request(&name));
        assert!(text.contains(&format!("{}:", path.display())), "{name} is not named: {text}");
        assert!(text.contains("next: "), "{name} has no next step: {text}");
    }
}

#[test]
fn an_unknown_field_is_told_with_the_nearest() {
    check(
        "baseline-unknown-field.json",
        expect![[r#"
        tests/fixtures/bad/baseline-unknown-field.json:7:3: error: unknown field `ratioes`
          7 |   "ratioes": {}
            |   ^^^^^^^^^
             path: ratioes
          nearest: ratios
          allowed: apiVersion, kind, scenarios, counts, ratios
             next: write `ratios` if that is what you mean

        1 error
    "#]],
    );
    check(
        "baseline-unknown-case-field.json",
        expect![[r#"
            tests/fixtures/bad/baseline-unknown-case-field.json:9:9: error: unknown field `scenarioMS`
              9 |         "scenarioMS": 3
                |         ^^^^^^^^^^^^
                 path: scenarios.a.yaml.a.scenarioMS
              nearest: scenarioMs
              allowed: outcome, seed, skippedSteps, scenarioMs, passes, calls, changes
                 next: write `scenarioMs` if that is what you mean

            1 error
        "#]],
    );
    check(
        "counts-misspelt-section.json",
        expect![[r#"
        tests/fixtures/bad/counts-misspelt-section.json:1:1: error: `counts` is missing
          1 | {
            | ^
             path: counts
             next: write `counts` where `count` stands, if that is meant

        tests/fixtures/bad/counts-misspelt-section.json:4:3: error: unknown field `count`
          4 |   "count": {
            |   ^^^^^^^
             path: count
          nearest: counts
          allowed: apiVersion, kind, counts, goals, leftOut
             next: write `counts` if that is what you mean

        2 errors
    "#]],
    );
}

#[test]
fn another_version_is_not_guessed_at() {
    check(
        "baseline-another-version.json",
        expect![[r#"
        tests/fixtures/bad/baseline-another-version.json:2:17: error: `drey/v2` is not a version this drey reads
          2 |   "apiVersion": "drey/v2",
            |                 ^^^^^^^^^
             path: apiVersion
          nearest: drey/v1
          allowed: drey/v1
             next: write the file again with this drey, which writes drey/v1

        1 error
    "#]],
    );
    check(
        "another-schema.jsonl",
        expect![[r#"
        tests/fixtures/bad/another-schema.jsonl:1:1: error: schema 7 is not one this drey reads
          1 | {"type":"run","schema":7,"cases":8}
            | ^
             path: schema
          allowed: 2
             next: run the scenarios and the gate with the same drey

        1 error
    "#]],
    );
}

#[test]
fn truncated_files_say_so() {
    check(
        "baseline-cut.json",
        expect![[r#"
        tests/fixtures/bad/baseline-cut.json:6:4: error: not valid JSON: EOF while parsing an object
             next: the file ends too early: write it again, and let its writer end

        1 error
    "#]],
    );
    check(
        "cut-between-records.jsonl",
        expect![[r#"
        tests/fixtures/bad/cut-between-records.jsonl:242:1: error: the file ends before its `summary` record
             next: the run was interrupted or the file cut off: run the scenarios again

        1 error
    "#]],
    );
    let text = told(&request("cut-in-a-record.jsonl"));
    assert!(text.contains("EOF while parsing") && text.contains("run the scenarios again"), "{text}");
}

#[test]
fn values_that_cannot_be_meant_are_told() {
    check(
        "misspelt-outcome.jsonl",
        expect![[r#"
        tests/fixtures/bad/misspelt-outcome.jsonl:3:1: error: `pased` is not a valid value
          3 | {"type":"result","case":"a","scenario":"a","file":"a.yaml","description":"","tags":[],"bugs":[],"mode":"virtual","seed":1,"replay":"drey rep
            | ^
             path: outcome.result
          nearest: passed
          allowed: passed, skipped, failed, broken
             next: write `passed` if that is what you mean

        1 error
    "#]],
    );
    check(
        "missing-field.jsonl",
        expect![[r#"
        tests/fixtures/bad/missing-field.jsonl:3:1: error: `outcome` is missing
          3 | {"type":"result","case":"a","scenario":"a","file":"a.yaml","description":"","tags":[],"bugs":[],"mode":"virtual","seed":1,"replay":"drey rep
            | ^
             path: outcome
             next: write `outcome` where `outcom` stands, if that is meant

        1 error
    "#]],
    );
    check(
        "wrong-type.jsonl",
        expect![[r#"
            tests/fixtures/bad/wrong-type.jsonl:3:1: error: a whole number from 0 belongs here, not text
              3 | {"type":"result","case":"a","scenario":"a","file":"a.yaml","description":"","tags":[],"bugs":[],"mode":"virtual","seed":"one","replay":"drey
                | ^
                 path: seed
                 next: write a whole number from 0

            1 error
        "#]],
    );
    check(
        "ratios-odd-pairs.json",
        expect![[r#"
        tests/fixtures/bad/ratios-odd-pairs.json:6:15: error: 3 samples of ours and 2 of the reference
          6 |       "ours": [
            |               ^
             path: ratios.list.ours
             next: measure both in turn, as often: a pair is one sample of each

        1 error
    "#]],
    );
    check(
        "ratios-missing-side.json",
        expect![[r#"
            tests/fixtures/bad/ratios-missing-side.json:5:13: error: `reference` is missing
              5 |     "list": {
                |             ^
                 path: ratios.list.reference
                 next: write `reference` where `referense` stands, if that is meant

            tests/fixtures/bad/ratios-missing-side.json:9:7: error: unknown field `referense`
              9 |       "referense": [
                |       ^^^^^^^^^^^
                 path: ratios.list.referense
              nearest: reference
              allowed: ours, reference, better, unit
                 next: write `reference` if that is what you mean

            2 errors
        "#]],
    );
}

#[test]
fn files_that_are_not_there_are_told() {
    let missing = fixture("no-such");
    let check = |request: &Request, part: &str| {
        let text = told(request);
        assert!(text.contains("no-such") && text.contains(part), "{text}");
    };
    check(&Request { report: Some(missing.clone()), ..Request::default() }, "drey run --report DIR");
    check(&Request { ratios: Some(missing.clone()), ..Request::default() }, "after --ratios");
    let counts = Some(fixture("counts-same.json"));
    check(&Request { counts, baseline: Some(missing), ..Request::default() }, "--update-baseline makes one");
}

#[test]
fn a_request_for_nothing_is_told() {
    let check = |request: Request, part: &str| {
        let text = told(&request);
        assert!(text.contains(part), "{text}");
    };
    check(Request::default(), "give --report DIR, --counts FILE or --ratios FILE");
    check(
        Request { counts: Some(fixture("counts-same.json")), ..Request::default() },
        "give --baseline FILE",
    );
    let report = Some(fixture("stored"));
    check(Request { report, update_baseline: true, ..Request::default() }, "say which with --baseline FILE");
    let report = Some(fixture("bad/empty.jsonl"));
    check(Request { report, ..Request::default() }, "the file is empty");
    let ratios = Some(fixture("ratios-worse.json"));
    check(Request { ratios, junit: Some("x.xml".into()), ..Request::default() }, "give --report DIR");
}
