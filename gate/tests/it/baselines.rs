//! `--update-baseline`: what is accepted is what passes next time, and nothing else changes.

use std::path::Path;

use drey_gate::counts::Counts;
use drey_gate::{Baseline, Limits, Request};
use expect_test::expect_file;

use crate::support::{ask, counts, fixture, partial, some, strict};

fn update(request: Request, path: &Path) -> String {
    let request = Request { baseline: Some(path.to_path_buf()), update_baseline: true, ..request };
    let (code, text) = ask(&request);
    assert_eq!(code, 0, "{text}");
    std::fs::read_to_string(path).expect("it was written")
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn the_stored_fixture_is_what_an_update_writes() {
    let folder = folder();
    let path = folder.path().join("new/baseline.json");
    let text = update(Request { report: some("stored"), ..Request::default() }, &path);
    expect_file![std::path::absolute(fixture("scenarios-stored.json")).expect("a path")].assert_eq(&text);
    let left: Vec<_> = std::fs::read_dir(path.parent().expect("a folder")).expect("it is there").collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn what_was_accepted_passes() {
    let folder = folder();
    let path = folder.path().join("baseline.json");
    for report in ["stored", "worse", "better", "loopback"] {
        let mut request = strict(Request { report: some(report), ..Request::default() });
        update(request.clone(), &path);
        request.baseline = Some(path.clone());
        let (code, text) = ask(&request);
        assert_eq!(code, 0, "{report}: {text}");
    }
    let stored = Baseline::read(&path).expect("a baseline").scenarios.expect("scenarios");
    let modes: std::collections::BTreeSet<&str> = stored.keys().map(|id| id.mode.as_str()).collect();
    assert_eq!(
        modes.into_iter().collect::<Vec<_>>(),
        ["loopback", "virtual"],
        "each mode is stored beside the others"
    );
}

#[test]
fn sections_and_counts_that_were_not_measured_stay() {
    let folder = folder();
    let path = folder.path().join("baseline.json");
    update(Request { report: some("stored"), ..Request::default() }, &path);
    update(Request { counts: some("counts-better.json"), ..Request::default() }, &path);
    update(Request { ratios: some("ratios-better.json"), ..Request::default() }, &path);
    let stored = Baseline::read(&path).expect("a baseline");
    assert_eq!(stored.scenarios.expect("scenarios").len(), 5 + 1);
    assert_eq!(stored.counts.expect("counts")["create: requests"].value, 11);
    let list = stored.ratios.expect("ratios")["list"];
    assert!(list.ratio.is_some_and(|ratio| (0.69..0.72).contains(&ratio)) && list.max < 0.8, "{list:?}");
}

/// A flat map of counts stays one; what this run cannot count is kept.
#[test]
fn a_flat_baseline_stays_flat() {
    let folder = folder();
    let path = folder.path().join("counts.json");
    std::fs::copy(fixture("counts-stored.json"), &path).expect("copy the fixture");
    let text = update(counts("counts-same.json"), &path);
    let before = std::fs::read_to_string(fixture("counts-stored.json")).expect("the fixture");
    assert_eq!(text, before);
    let text = update(counts("counts-worse.json"), &path);
    assert!(
        text.contains("\"decide: allocations in release\": 90") && !text.contains("create: writes"),
        "{text}"
    );
}

#[test]
fn a_part_does_not_forget_the_rest() {
    let folder = folder();
    let path = folder.path().join("baseline.json");
    let whole = update(Request { report: some("stored"), ..Request::default() }, &path);
    let text = update(partial(Request { report: some("all-skipped"), ..Request::default() }), &path);
    assert_eq!(text, whole);
}

/// What is left out of a baseline is told: nobody would look for it there.
#[test]
fn ratios_that_cannot_be_told_are_left_out_aloud() {
    let path = folder().keep().join("baseline.json");
    let update = |file: &str| {
        let request = Request { ratios: some(file), update_baseline: true, ..Request::default() };
        ask(&Request { baseline: Some(path.clone()), ..request }).1
    };
    let text = update("ratios-noisy.json");
    assert!(text.contains("left out, for their samples scatter by more than 10 %: list ("), "{text}");
    assert!(text.contains("next: take more pairs"), "{text}");
    assert!(!update("ratios-better.json").contains("left out"));
    std::fs::remove_dir_all(path.parent().expect("a folder")).expect("remove the folder");
}

/// Neither noise nor what somebody fixed by hand is overwritten.
#[test]
fn ratios_are_stored_when_they_can_be_told() {
    let folder = folder();
    let path = folder.path().join("baseline.json");
    std::fs::copy(fixture("ratios-stored.json"), &path).expect("copy the fixture");
    let ratios = |path: &Path| Baseline::read(path).expect("a baseline").ratios.expect("ratios");
    let before = ratios(&path);
    update(Request { ratios: some("ratios-noisy.json"), ..Request::default() }, &path);
    let close = |name: &str| (ratios(&path)[name].ratio, ratios(&path)[name].max);
    assert_eq!(close("list"), (before["list"].ratio, before["list"].max));
    update(Request { ratios: some("ratios-worse.json"), ..Request::default() }, &path);
    assert!(close("list").1 > 1.3, "{:?}", close("list"));
    assert_eq!(close("throughput").1, 0.5, "fixed");
    assert_eq!(
        ask(&Request { ratios: some("ratios-worse.json"), baseline: Some(path), ..Request::default() }).0,
        1
    );
    assert_eq!(Limits::default().ratio_max, 1.05);
}

#[test]
fn counts_are_written_as_they_are_read() {
    let folder = folder();
    let path = folder.path().join("new/counts.json");
    let counts = Counts::read(&fixture("counts-same.json")).expect("counts");
    counts.write(&path).expect("write");
    assert_eq!(Counts::read(&path).expect("counts"), counts);
}
