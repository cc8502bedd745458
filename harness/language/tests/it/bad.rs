//! The corpus of bad files: each `tests/bad/x.yaml` has `tests/bad/x.txt`, what its author is told.

use crate::product;
use drey_language::{Paint, parse};
use expect_test::expect_file;
use std::path::Path;

#[test]
fn every_bad_file_is_answered_as_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let vocabulary = product::vocabulary();
    let mut names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|e| e == "yaml"));
    names.sort();
    assert!(names.len() >= 25, "the corpus shrank to {}", names.len());
    for path in names {
        let problems = parse(&path, &vocabulary).map(|_| ()).expect_err(&path.display().to_string());
        assert!(problems.has_errors());
        // Paths of a machine do not belong into goldens.
        let text = problems.render(Paint::Plain).replace(&format!("{}/", folder.display()), "");
        expect_file![path.with_extension("txt")].assert_eq(&text);
    }
}

#[test]
fn colour_changes_nothing_but_colour() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad/unknown-key.yaml");
    let problems = parse(&path, &product::vocabulary()).map(|_| ()).unwrap_err();
    let coloured = problems.render(Paint::Colour);
    let mut plain = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    assert_ne!(coloured, plain);
    assert_eq!(plain, problems.render(Paint::Plain));
}

#[test]
fn a_missing_scenario_names_the_nearest_file() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad/unknwon-key.yaml");
    let problems = parse(&path, &product::vocabulary()).map(|_| ()).unwrap_err();
    assert!(problems.to_string().contains("unknown-key.yaml"), "{problems}");
}
