//! The vocabulary is data: every example in it must be valid by its own schema.

use drey_language::files::Memory;
use drey_language::scenario::parse_with;
use drey_language::vocabulary::StepKind;
use drey_language::{Scenario, Vocabulary};
use std::path::Path;

fn files(body: &str) -> Memory {
    let head = "apiVersion: drey/v1\nkind: Scenario\nmetadata: {name: example}\n";
    let fragment = "apiVersion: drey/v1\nkind: Fragment\nparams: {name: x}\nsteps: [{advance: 1s}]\n";
    Memory::default()
        .with("s.yaml", format!("{head}{body}"))
        .with("app.yaml", "kind: ConfigMap\nmetadata: {name: app}\n")
        .with("bad.yaml", "kind: ConfigMap\n")
        .with("lib/base-app.yaml", fragment)
}

fn read(vocabulary: &Vocabulary, body: &str) -> Scenario {
    parse_with(Path::new("s.yaml"), vocabulary, &files(body)).unwrap_or_else(|e| panic!("{body}\n{e}"))
}

#[test]
fn every_example_is_valid_by_its_own_schema() {
    let vocabulary = Vocabulary::core();
    for schema in vocabulary.steps() {
        let scenario = read(&vocabulary, &format!("steps:\n  - {}\n", schema.example));
        let name = &scenario.cases[0].steps[0].name;
        let expected = if schema.name == "fault" { "pauseOperator" } else { &schema.name };
        assert_eq!(name, expected);
        if schema.kind == StepKind::Monitor {
            read(&vocabulary, &format!("monitors:\n  - {}\nsteps: []\n", schema.example));
        }
    }
}
