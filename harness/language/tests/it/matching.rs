//! Partial-match trees, row by row: pattern, value, differences.

use drey_language::matching::{glob, partial_match, render};
use serde_json::{Value, json};

fn check(pattern: Value, value: Value, differences: &str) {
    let found = partial_match(&pattern, &value).err().map(|m| render(&m)).unwrap_or_default();
    assert_eq!(found.trim_end(), differences, "{pattern} against {value}");
}

#[test]
fn maps_match_by_the_keys_they_name() {
    check(json!({"a": 1}), json!({"a": 1, "b": 2}), "");
    check(
        json!({"a": {"b": 1, "c": 2}}),
        json!({"a": {"b": 9}}),
        "a.b: expected 1, is 9\na.c: expected 2, is absent",
    );
    check(json!({"a": {"b": 1}}), json!({}), "a.b: expected 1, is absent");
    check(json!({"a": {"b": 1}}), json!({"a": "x"}), "a: expected a map, is \"x\"");
    check(json!({"a": null}), json!({}), "");
    check(json!({"a": null}), json!({"a": 1}), "a: expected null, is 1");
    check(json!({"a": {}}), json!({}), "a: expected a map, is absent");
    check(json!({"x/y.z": 1}), json!({"x/y.z": 2}), "[\"x/y.z\"]: expected 1, is 2");
}

#[test]
fn numbers_match_by_value_and_texts_are_not_numbers() {
    check(json!({"a": 1}), json!({"a": 1.0}), "");
    check(json!({"a": 1}), json!({"a": "1"}), "a: expected 1, is \"1\"");
    check(
        json!({"a": 9_007_199_254_740_993_i64}),
        json!({"a": 9_007_199_254_740_992_i64}),
        "a: expected 9007199254740993, is 9007199254740992",
    );
    check(json!({"a": {"$gte": 1, "$lt": 3}}), json!({"a": 3}), "a: expected < 3, is 3");
    check(json!({"a": {"$gt": 1}}), json!({}), "a: expected > 1, is absent");
    check(json!({"a": {"$lte": 2.5}}), json!({"a": 2}), "");
}

#[test]
fn lists_have_explicit_modes() {
    check(json!([1, 2]), json!([1, 2]), "");
    check(json!({"l": [{"a": 1}]}), json!({"l": [{"a": 1, "b": 2}]}), "");
    check(
        json!({"l": [1]}),
        json!({"l": [1, 2]}),
        "l: expected 1 elements (use `$contains` for some of them), has 2, is [1,2]",
    );
    check(json!({"l": {"$contains": [2, 1]}}), json!({"l": [1, 5, 2]}), "");
    check(json!({"l": {"$contains": [1, 1]}}), json!({"l": [1, 2]}), "l: expected an element 1, is [1,2]");
    // The first pattern must leave the only fitting element to the second.
    check(json!({"$contains": [{"a": {"$present": true}}, {"a": 1}]}), json!([{"a": 1}, {"a": 2}]), "");
    check(
        json!({"$contains": [{"name": "main", "ready": true}]}),
        json!([{"name": "side", "ready": false}, {"name": "main", "ready": false}]),
        "(whole): expected an element {name: \"main\", ready: true} (closest differs in ready: expected true, is false), is \"2 elements\"",
    );
    check(
        json!({"$byKey": "name", "items": [{"name": "b", "x": 2}]}),
        json!([{"name": "a"}, {"name": "b", "x": 2}]),
        "",
    );
    check(
        json!({"$byKey": "name", "items": [{"name": "b", "x": 1}, {"name": "c"}]}),
        json!([{"name": "b", "x": 2}]),
        "[name=b].x: expected 1, is 2\n[name=c]: expected present, is absent",
    );
    check(json!({"$length": 2}), json!([1, 2]), "");
    check(json!({"l": {"$length": {"$gte": 3}}}), json!({"l": [1]}), "l.$length: expected >= 3, is 1");
}

#[test]
fn exact_tells_surplus_too() {
    check(json!({"$exact": {"a": 1}}), json!({"a": 1}), "");
    check(
        json!({"m": {"$exact": {"a": 1, "c": 3}}}),
        json!({"m": {"a": 2, "b": 1}}),
        "m.a: expected 1, is 2\nm.c: expected 3, is absent\nm.b: expected absent, is 1",
    );
    check(json!({"$exact": {}}), json!({"a": 1}), "a: expected absent, is 1");
}

#[test]
fn texts_absence_and_choices() {
    check(json!({"a": {"$absent": true}}), json!({}), "");
    check(json!({"a": {"b": {"$absent": true}}}), json!({}), "");
    check(json!({"a": {"$absent": true}}), json!({"a": 1}), "a: expected absent, is 1");
    check(json!({"a": {"$present": true}}), json!({"a": null}), "a: expected present, is null");
    check(json!({"a": {"$matches": "^sp-[0-9]+$"}}), json!({"a": "sp-12"}), "");
    check(json!({"a": {"$matches": "^sp"}}), json!({"a": "x"}), "a: expected text that fits /^sp/, is \"x\"");
    check(json!({"a": {"$contains": "lost"}}), json!({"a": "HA metadata lost"}), "");
    check(
        json!({"a": {"$contains": "lost"}}),
        json!({"a": "fine"}),
        "a: expected text containing \"lost\", is \"fine\"",
    );
    check(json!({"a": {"$not": 1}}), json!({"a": 1}), "a: expected not 1, is 1");
    check(json!({"a": {"$anyOf": ["x", "y"]}}), json!({"a": "z"}), "a: expected \"x\" or \"y\", is \"z\"");
    check(
        json!({"a": {"$contians": [1]}}),
        json!({"a": [1]}),
        "a.$contians: expected no operator `$contians`, is absent",
    );
}

#[test]
fn stars_stand_for_any_text() {
    for (pattern, text, fits) in [
        ("a", "a", true),
        ("a*", "abc", true),
        ("*c", "abc", true),
        ("a*c", "ac", true),
        ("a*a", "a", false),
        ("*b*", "abc", true),
        ("a*b*c", "a1b2c", true),
        ("a*b*c", "a1c", false),
        ("*", "", true),
    ] {
        assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
    }
}
