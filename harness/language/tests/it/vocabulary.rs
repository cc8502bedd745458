//! The vocabulary is data: every example in it must be valid by its own schema.

use crate::product;
use drey_language::files::Memory;
use drey_language::matching::OPERATORS;
use drey_language::scenario::parse_with;
use drey_language::vocabulary::StepKind;
use drey_language::yaml::parse_documents;
use drey_language::{Scenario, Source, Vocabulary, lint};
use expect_test::expect;
use serde_json::Value;
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

/// Replaces what stands between the marks of a section.
fn with_section(document: &str, name: &str, text: &str) -> String {
    let mark = format!("<!-- generated: {name} -->\n");
    let (before, rest) = document.split_once(&mark).unwrap_or_else(|| panic!("no section {name}"));
    let (_, after) = rest.split_once("<!-- end -->").unwrap_or_else(|| panic!("section {name} has no end"));
    format!("{before}{mark}\n{}\n\n<!-- end -->{after}", text.trim())
}

#[test]
fn the_documentation_lists_the_vocabulary_as_it_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/scenario-language.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let vocabulary = Vocabulary::core();
    let operators: String = OPERATORS.iter().map(|(name, doc)| format!("| `{name}` | {doc} |\n")).collect();
    let mut expected = with_section(&document, "steps", &vocabulary.markdown());
    expected =
        with_section(&expected, "operators", &format!("| operator | fits when |\n|---|---|\n{operators}"));
    expected = with_section(&expected, "names", &vocabulary.expressions_markdown());
    expect_test::expect_file![path].assert_eq(&expected);
}

#[test]
fn the_example_of_the_documentation_is_valid_and_lint_is_silent() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/scenario-language.md");
    let document = std::fs::read_to_string(path).unwrap();
    let example = document.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let files = Memory::default().with("rolling-change.yaml", example);
    let read = parse_with(Path::new("rolling-change.yaml"), &Vocabulary::core(), &files);
    let scenario = read.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(scenario.cases.len(), 3);
    let warnings = lint::scenario(&scenario);
    assert!(warnings.is_empty(), "{warnings}");
}

#[test]
fn explain_tells_keys_and_example_or_the_nearest_word() {
    let vocabulary = Vocabulary::core();
    expect![[r#"
        eventually: The condition holds at some moment before the deadline.
          of: an object as `Kind/name` - the object, as `Kind/name`
          within: a duration such as `90s` (required) - the deadline
          match: a partial-match tree - a partial-match tree
          cel: an expression - an expression over `obj`
          exactly one of: match, cel
        example:
          - eventually: {within: 2m, of: Deployment/app, match: {status: {readyReplicas: 3}}}
    "#]]
    .assert_eq(&vocabulary.explain("eventually").unwrap());
    let unknown = vocabulary.explain("eventualy").unwrap_err();
    assert!(unknown.starts_with("no step `eventualy`; did you mean `eventually`?"), "{unknown}");
}

/// The parts of JSON Schema that ours uses, enough to hold it against files. `None`: fits.
fn violates(schema: &Value, root: &Value, value: &Value) -> Option<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let target =
            root.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("{name} leads nowhere"));
        return violates(target, root, value);
    }
    let fits = |schema: &Value| violates(schema, root, value).is_none();
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => vec![kind],
    };
    let wider = if kind == "integer" { "number" } else { kind };
    if !types.contains(&kind) && !types.contains(&wider) {
        return Some(format!("{value} is not {types:?}"));
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        return Some(format!("{value} is not in {}", schema["enum"]));
    }
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str()) {
        // Look-ahead is JavaScript's; what it asks for (not empty) is asked here.
        let pattern = regex::Regex::new(&pattern.replace("(?=.)", "")).unwrap();
        if text.is_empty() || !pattern.is_match(text) {
            return Some(format!("{text} does not match {pattern}"));
        }
    }
    let count = |key: &str| schema[key].as_array().map(|all| all.iter().filter(|s| fits(s)).count());
    if count("anyOf") == Some(0) || count("oneOf").is_some_and(|n| n != 1) {
        return Some(format!("{value} fits no alternative"));
    }
    if let Some(all) = schema["allOf"].as_array()
        && let Some(found) = all.iter().find_map(|s| violates(s, root, value))
    {
        return Some(found);
    }
    if schema.get("not").is_some_and(fits) {
        return Some(format!("{value} fits what it must not"));
    }
    if let (Some(items), Some(list)) = (schema.get("items"), value.as_array()) {
        return list.iter().find_map(|item| violates(items, root, item));
    }
    let map = value.as_object()?;
    let missing = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|key| !map.contains_key(key.as_str().unwrap()));
    if let Some(missing) = missing {
        return Some(format!("{missing} is missing"));
    }
    map.iter().find_map(|(key, value)| {
        match (schema["properties"].get(key), schema.get("additionalProperties")) {
            (Some(property), _) => violates(property, root, value),
            (None, Some(Value::Bool(false))) => Some(format!("{key} is not allowed")),
            (None, Some(other @ Value::Object(_))) => violates(other, root, value),
            (None, _) => None,
        }
    })
}

fn json_of(yaml: &str) -> Value {
    parse_documents(&Source::new("x", yaml)).unwrap()[0].to_json()
}

#[test]
fn the_json_schema_accepts_what_the_parser_accepts() {
    let vocabulary = product::vocabulary();
    let schema = vocabulary.json_schema();
    let head = "apiVersion: drey/v1\nkind: Scenario\nmetadata: {name: x}\n";
    for step in vocabulary.steps() {
        let file = json_of(&format!("{head}steps:\n  - {}\n", step.example));
        assert_eq!(violates(&schema, &schema, &file), None, "{}", step.example);
    }
    for part in [
        "steps: [{scale: {of: Deployment/app, replicas: \"${params.n}\"}}]",
        "steps: [{advance: 1h 30m, name: x, virtualOnly: true}]",
        "clock: {start: \"2026-01-01T00:00:00Z\", limit: 1h}\nuse: [{file: a.yaml, with: {x: 1}}]\nsteps: []",
    ] {
        assert_eq!(violates(&schema, &schema, &json_of(&format!("{head}{part}"))), None, "{part}");
    }
    let fragment = vocabulary.fragment_json_schema();
    assert_eq!(
        violates(
            &fragment,
            &fragment,
            &json_of("apiVersion: drey/v1\nkind: Fragment\nsteps: [{advance: 1s}]")
        ),
        None
    );
}

#[test]
fn the_json_schema_refuses_the_plain_mistakes() {
    let vocabulary = product::vocabulary();
    let schema = vocabulary.json_schema();
    let head = "apiVersion: drey/v1\nkind: Scenario\nmetadata: {name: x}\n";
    for part in [
        "steps: [{advnce: 10m}]",
        "steps: [{advance: 10m, converge: {within: 1m}}]",
        "steps: [{advance: 10 minutes}]",
        "steps: [{eventually: {of: Deployment/app, match: {}}}]",
        "steps: [{eventually: {within: 1m, match: {}, cel: x}}]",
        "steps: [{job: {name: app, set: FAILD}}]",
        "steps: [{crashOperator: {on: {after: 1s}, everyWrite: true}}]",
        "monitors: [{advance: 10m}]\nsteps: []",
        "modes: [virtul]\nsteps: []",
        "wolrd: {}\nsteps: []",
        "world: {operatr: {}}\nsteps: []",
    ] {
        assert!(violates(&schema, &schema, &json_of(&format!("{head}{part}"))).is_some(), "{part}");
    }
}
