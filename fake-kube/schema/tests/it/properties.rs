//! Properties that hold for any JSON: no panic, idempotence, ownership that fits the object.

use fake_kube_schema::managed::{self, Write};
use fake_kube_schema::{Schema, patch};
use proptest::prelude::*;
use serde_json::{Value, json};

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3i64..3).prop_map(Value::from),
        Just(json!(1.5)),
        "[a-c]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key(), inner, 0..4).prop_map(|m| json!(m)),
        ]
    })
}

/// Names that meet the schema below often enough.
fn key() -> impl Strategy<Value = String> {
    let names = [
        "spec", "items", "tags", "name", "value", "plain", "options", "single", "extra", "port", "zzz",
        "$patch",
    ];
    prop::sample::select(names.to_vec()).prop_map(str::to_string)
}

fn schema() -> Schema {
    Schema::from_crd(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "items": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"], "properties": {
                "name": {"type": "string"}, "value": {"type": "string", "default": "v"}}}},
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "plain": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
        "options": {"type": "object", "additionalProperties": {"type": "string"}},
        "single": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"name": {"type": "string"}}},
        "extra": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "port": {"x-kubernetes-int-or-string": true},
        "value": {"type": "integer", "minimum": 1, "default": 2}
    }}}}))
    .expect("structural")
}

/// An object that fits the schema above.
fn fitting_spec() -> impl Strategy<Value = Value> {
    let text = || "[a-c]{1,2}";
    (
        prop::collection::btree_map(text(), prop::option::of(text()), 0..3),
        prop::collection::btree_set(text(), 0..3),
        prop::collection::btree_map(text(), text(), 0..3),
        prop::option::of(1i64..5),
        prop::option::of(any_json()),
    )
        .prop_map(|(items, tags, options, value, extra)| {
            let items: Vec<Value> = items
                .into_iter()
                .map(|(name, value)| match value {
                    Some(value) => json!({"name": name, "value": value}),
                    None => json!({"name": name}),
                })
                .collect();
            let mut spec = json!({"items": items, "tags": tags, "options": options});
            if let Some(value) = value {
                spec["value"] = json!(value);
            }
            if let Some(extra @ Value::Object(_)) = extra {
                spec["extra"] = extra;
            }
            spec
        })
}

fn object(spec: Value) -> Value {
    json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "a"}, "spec": spec})
}

fn write(manager: &str) -> Write<'_> {
    let now = "2024-01-01T00:00:00Z".parse().expect("time");
    Write { manager, api_version: "g/v1", subresource: "", now, same_schema: false, reset_fields: &[] }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn patches_never_panic(doc in any_json(), change in any_json(), path in "(/[a-c0-9~-]{0,2}){0,3}") {
        let _ = patch::merge(&doc, &change);
        let _ = patch::strategic(&schema(), &doc, &change);
        for op in ["add", "remove", "replace", "test", "move", "copy"] {
            let _ = patch::json(&doc, &json!([{"op": op, "path": path, "from": path, "value": change}]));
        }
    }

    #[test]
    fn merging_the_same_patch_twice_changes_nothing_more(doc in any_json(), change in any_json()) {
        if let Ok(once) = patch::merge(&doc, &change) {
            prop_assert_eq!(patch::merge(&once, &change), Ok(once.clone()));
        }
    }

    #[test]
    fn pruning_and_defaulting_are_idempotent(spec in any_json()) {
        let schema = schema();
        let mut once = object(spec);
        schema.prune(&mut once);
        schema.default(&mut once);
        schema.drop_nulls(&mut once);
        let mut twice = once.clone();
        prop_assert_eq!(schema.prune(&mut twice), Vec::<String>::new());
        schema.default(&mut twice);
        schema.drop_nulls(&mut twice);
        prop_assert_eq!(&once, &twice);
        let _ = schema.validate(&once, None);
        prop_assert!(schema.validate(&once, Some(&once)).is_empty(), "an unchanged object is never refused");
    }

    #[test]
    fn applying_twice_changes_nothing(first in fitting_spec(), second in fitting_spec()) {
        let schema = schema();
        let live = managed::apply(&schema, None, &object(first), &write("a"), false).expect("create");
        let once = managed::apply(&schema, Some(&live), &object(second.clone()), &write("b"), true).expect("forced");
        let twice = managed::apply(&schema, Some(&once), &object(second), &write("b"), false).expect("own fields");
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn who_applies_alone_decides_everything(first in fitting_spec(), second in fitting_spec()) {
        // Null and empty containers of the free-form part are leaves of their own; the declared part is compared.
        let schema = schema();
        let live = managed::apply(&schema, None, &object(first), &write("a"), false).expect("create");
        let after = managed::apply(&schema, Some(&live), &object(second.clone()), &write("a"), false).expect("own fields");
        prop_assert_eq!(after["spec"].get("value"), second.get("value"));
        let names = |v: &Value| -> Vec<Value> {
            let mut names: Vec<String> = v["items"].as_array().into_iter().flatten().map(|i| i["name"].to_string()).collect();
            names.sort();
            names.into_iter().map(Value::from).collect()
        };
        prop_assert_eq!(names(&after["spec"]), names(&second));
    }

    #[test]
    fn owned_fields_exist(first in fitting_spec(), second in fitting_spec()) {
        let schema = schema();
        let live = managed::apply(&schema, None, &object(first), &write("a"), false).expect("create");
        let mut updated = object(second);
        updated["metadata"]["managedFields"] = live["metadata"]["managedFields"].clone();
        managed::track_update(&schema, Some(&live), &mut updated, &write("u"));
        for entry in updated["metadata"]["managedFields"].as_array().into_iter().flatten() {
            for key in entry["fieldsV1"]["f:spec"].as_object().into_iter().flatten().map(|(k, _)| k) {
                if let Some(field) = key.strip_prefix("f:") {
                    prop_assert!(updated["spec"].get(field).is_some(), "{field} is owned but absent");
                }
            }
        }
    }
}
