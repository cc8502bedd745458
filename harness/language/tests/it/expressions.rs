//! Expressions: values, names, errors while a run evaluates them.

use crate::product;
use drey_language::cel::{Bindings, EvalError, Evaluator};
use drey_language::{Source, Span};
use proptest::prelude::*;
use serde_json::{Value, json};

fn eval(source: &str) -> Result<Value, EvalError> {
    let vocabulary = product::vocabulary();
    let span = Span::start_of(&Source::new("x", source));
    let expression = vocabulary.environment().compile(source, &span).unwrap_or_else(|e| panic!("{e}"));
    let obj = json!({"spec": {"n": 3, "big": 9_007_199_254_740_993_i64, "ratio": 0.5, "items": [{"s": "R"}, {"s": "F"}, {"s": "R"}]},
        "metadata": {"generation": 2, "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"a/b": "c"}}});
    let bindings = Bindings::new("2026-01-01T00:10:00Z".parse().unwrap())
        .with("obj", &obj)
        .with("params", &json!({"n": 3}))
        .with("flink", &json!({"app": [{"state": "RUNNING"}]}));
    expression.eval(&Evaluator::new(vocabulary.environment()), &bindings)
}

#[test]
fn values() {
    let check = |source: &str, expected: Value| assert_eq!(eval(source), Ok(expected), "{source}");
    check("obj.spec.n == params.n", json!(true));
    check("obj.spec.n + 1", json!(4));
    check("obj.spec.big", json!(9_007_199_254_740_993_i64));
    check("obj.spec.ratio < 0.6 && obj.spec.n >= 3", json!(true));
    check("obj.spec.items.filter(j, j.s == 'R').size()", json!(2));
    check("obj.spec.items.all(j, j.s in ['R', 'F'])", json!(true));
    check("obj.spec.items.exists(j, j.s == 'X')", json!(false));
    check("obj.metadata.labels['a/b']", json!("c"));
    check("has(obj.status) ? obj.status.x : 'none'", json!("none"));
    check("now - timestamp(obj.metadata.creationTimestamp) == duration('10m')", json!(true));
    check("old == null", json!(true));
    check("has(old.status)", json!(false));
    check("old != null && old.status.ready", json!(false));
    check("obj.spec.items.exists(i, i.s == obj.spec.items[1].s)", json!(true));
    check("flink.jobs('app').filter(j, j.state == 'RUNNING').size()", json!(1));
    check("flink.jobs('other').size()", json!(0));
    check("{'b': 1, 'a': 2}", json!({"a": 2, "b": 1}));
}

#[test]
fn failures_are_told_in_plain_words() {
    let check = |source: &str, expected: EvalError| assert_eq!(eval(source), Err(expected), "{source}");
    check("obj.status.x == 1", EvalError::Missing("status".to_owned()));
    check("flink.jobs()", EvalError::Failed("jobs: takes the name of a cluster".to_owned()));
    check("obj.spec.items[7].s == 'R'", EvalError::Missing("[..]".to_owned()));
    // The object itself is absent: as if each of its fields were.
    check("old.status == 1", EvalError::Missing("status".to_owned()));
    check("old.status.state == 'R'", EvalError::Missing("status".to_owned()));
    check("!old.status.ready", EvalError::Missing("status".to_owned()));
    check("old.n > 3", EvalError::Missing("n".to_owned()));
    check("has(old.status.x)", EvalError::Missing("status".to_owned()));
    let fields = "the types do not fit together, or a field of something without fields is read";
    check("obj.spec.n.foo", EvalError::Failed(fields.to_owned()));
    check("1 / 0", EvalError::Failed("division by zero".to_owned()));
}

#[test]
fn only_a_truth_value_is_a_condition() {
    let vocabulary = product::vocabulary();
    let span = Span::start_of(&Source::new("x", ""));
    let expression = vocabulary.environment().compile("1 + 1", &span).unwrap();
    let result = expression.holds(&Evaluator::new(vocabulary.environment()), &Bindings::default());
    assert_eq!(result, Err(EvalError::NotBoolean("2".to_owned())));
}

#[test]
fn what_an_expression_reads_is_known_before_it_runs() {
    let vocabulary = product::vocabulary();
    let span = Span::start_of(&Source::new("x", ""));
    let source =
        "obj.status.state == 'R' && obj.spec.items.exists(i, i.x == obj.status.state) && old != null";
    let expression = vocabulary.environment().compile(source, &span).unwrap();
    assert_eq!(expression.fields_of("obj"), ["status.state", "spec.items"]);
    assert!(expression.reads("old") && !expression.reads("now"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_expression_makes_the_evaluator_panic(
        parts in prop::collection::vec((prop::sample::select(ATOMS), prop::sample::select(OPERATORS), prop::sample::select(CALLS)), 1..4)
    ) {
        let text: String = parts.iter().map(|(atom, operator, call)| format!("{atom}{call}{operator}")).collect();
        let text = format!("{text} 1");
        let vocabulary = product::vocabulary();
        let span = Span::start_of(&Source::new("x", ""));
        if let Ok(expression) = vocabulary.environment().compile(&text, &span) {
            let bindings = Bindings::default().with("obj", &json!({"a": [1, "x", {"b": null}], "n": i64::MAX, "m": i64::MIN}));
            let _ = expression.eval(&Evaluator::new(vocabulary.environment()), &bindings);
        }
    }
}

const ATOMS: &[&str] = &[
    "obj",
    "obj.a",
    "obj.a[0]",
    "obj.a[5]",
    "obj.a[-1]",
    "obj.n",
    "obj.m",
    "-obj.m",
    "'x'",
    "''",
    "[]",
    "{}",
    "null",
    "1",
    "-1",
    "0",
    "0u",
    "1.5",
    "now",
    "old",
    "params",
    "duration('1h')",
    "duration('9999999h')",
    "duration('x')",
    "timestamp('2026-01-01T00:00:00Z')",
    "timestamp('x')",
    "size()",
    "size(obj)",
    "int('x')",
    "int(1e300)",
    "uint(-1)",
    "string(obj)",
    "bytes('x')",
    "double('x')",
    "max()",
    "min()",
    "max([])",
    "min(1, 'x')",
    "has(obj.a)",
    "type(obj)",
    "matches('a', '(')",
    "optional.none()",
    "b'x'",
    "jobs()",
    "timestamp()",
    "duration()",
    "contains()",
    "[1][9223372036854775807]",
];
const OPERATORS: &[&str] =
    &[" + ", " - ", " * ", " / ", " % ", " == ", " < ", " && ", " || ", " in ", " ? 1 : "];
const CALLS: &[&str] = &[
    "",
    "",
    "",
    ".size()",
    ".size(1)",
    ".contains()",
    ".contains(1)",
    ".startsWith('x')",
    ".endsWith()",
    ".matches('[')",
    ".matches()",
    ".map(x, x + 1)",
    ".filter(x, x)",
    ".all(x, x > 0)",
    ".exists_one(x, x == 1)",
    ".getFullYear()",
    ".getHours('x')",
    ".getHours()",
    ".jobs('x')",
    "[0]",
    "['a']",
    ".a",
    ".b.c",
    ".max()",
    ".string()",
    ".getMilliseconds()",
    ".getDayOfWeek()",
];
