//! Walks over schemas: a CRD drawn from a seed, and objects that fit it more or less.

use fake_kube_apiserver::conformance::Case;
use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::chance::{Chance, drawn};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const THINGS: &str = "/apis/{{id}}.example.com/v1/namespaces/{{ns}}/things";
const OBJECTS: usize = 8;
const DEPTH: u32 = 3;

/// Strings that mean something to a format, a pattern or a length.
const TEXTS: [&str; 12] = [
    "",
    "a",
    "abc",
    "ABC",
    "a-b",
    "10.0.0.1",
    "fe80::1",
    "2024-01-02",
    "2024-01-02T03:04:05Z",
    "5m",
    "aGVsbG8=",
    "01234567-89ab-cdef-0123-456789abcdef",
];
const FORMATS: [&str; 12] = [
    "date",
    "date-time",
    "duration",
    "ipv4",
    "ipv6",
    "ip",
    "byte",
    "uuid",
    "email",
    "uri",
    "hostname",
    "made-up",
];
const PATTERNS: [&str; 4] = ["^[a-z]+$", "^[A-Z]", "b", "^a?$"];

/// A definition and objects of it, as a case without answers.
pub fn case(seed: u64) -> Case {
    let mut draw = Draw { rng: Rng::with_seed(seed) };
    let spec = draw.object(0);
    let schema = json!({"type": "object", "properties": {"spec": spec}});
    let names = json!({"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"});
    let version =
        json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
    let group = "{{id}}.example.com";
    let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("things.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}});
    let create = json!({"method": "POST", "path": DEFINITIONS, "body": crd});
    let mut steps = vec![json!({"request": create}), json!({"sleep": 0.5})];
    for n in 0..OBJECTS {
        let body = json!({"apiVersion": format!("{group}/v1"), "kind": "Thing",
            "metadata": {"name": format!("o{n}")}, "spec": draw.fitting(&spec)});
        steps.push(json!({"request": {"method": "POST", "path": THINGS, "body": body}}));
        let patch = json!({"spec": draw.fitting(&spec)});
        let request = json!({"method": "PATCH", "path": format!("{THINGS}/o{n}"), "body": patch,
            "headers": {"Content-Type": "application/merge-patch+json"}});
        steps.push(json!({"request": request}));
    }
    drawn(format!("schema-{seed}"), steps, json!({}))
}

struct Draw {
    rng: Rng,
}

impl Draw {
    fn schema(&mut self, depth: u32) -> Value {
        let simple = depth >= DEPTH;
        let mut schema = match self.rng.u32(..if simple { 6 } else { 10 }) {
            0 | 1 => self.text(),
            2 => self.number("integer"),
            3 => self.number("number"),
            4 => json!({"type": "boolean"}),
            5 => json!({"x-kubernetes-int-or-string": true}),
            6 | 7 => self.object(depth),
            8 => self.map(depth),
            _ => self.list(depth),
        };
        if self.rng.rarely(8) {
            schema["nullable"] = json!(true);
        }
        // Defaults are judged by formats, too, that have no effect elsewhere; those stay apart.
        let plain =
            schema["type"] == "string" && schema["format"] != "made-up" || schema.get("format").is_none();
        if self.rng.rarely(4) && plain && schema["type"] != "object" {
            schema["default"] = self.fitting(&schema);
        }
        schema
    }

    fn text(&mut self) -> Value {
        let mut schema = json!({"type": "string"});
        match self.rng.u32(..6) {
            0 => schema["enum"] = json!(["a", "abc", "10.0.0.1"]),
            1 => schema["pattern"] = json!(self.rng.one(&PATTERNS)),
            2 => schema["format"] = json!(self.rng.one(&FORMATS)),
            3 => schema["minLength"] = json!(self.rng.u32(..3)),
            4 => schema["maxLength"] = json!(self.rng.u32(..5)),
            _ => {}
        }
        schema
    }

    fn number(&mut self, kind: &str) -> Value {
        let mut schema = json!({"type": kind});
        match self.rng.u32(..6) {
            0 => {
                schema["minimum"] = json!(self.rng.i32(-2..3));
                if self.rng.rarely(2) {
                    schema["exclusiveMinimum"] = json!(true);
                }
            }
            1 => {
                schema["maximum"] = json!(self.rng.i32(0..6));
                if self.rng.rarely(2) {
                    schema["exclusiveMaximum"] = json!(true);
                }
            }
            2 => schema["multipleOf"] = json!(self.rng.one(&[2.0, 3.0, 0.5])),
            3 => schema["enum"] = json!([1, 2, 5]),
            4 => schema["format"] = json!(self.rng.one(&["int32", "int64", "float", "double"])),
            _ => {}
        }
        schema
    }

    fn object(&mut self, depth: u32) -> Value {
        let mut properties = Map::new();
        for key in ["a", "b", "c", "d"] {
            if !self.rng.rarely(3) {
                let below = self.schema(depth + 1);
                properties.insert(key.to_owned(), below);
            }
        }
        let first = properties.keys().next().cloned();
        let mut schema = json!({"type": "object", "properties": properties});
        match (self.rng.u32(..8), first) {
            (0, Some(key)) => schema["required"] = json!([key]),
            (1, _) => schema["required"] = json!(["zz"]),
            (2, _) => schema["maxProperties"] = json!(2),
            (3, _) => schema["minProperties"] = json!(1),
            (4, _) => schema["x-kubernetes-preserve-unknown-fields"] = json!(true),
            (5, Some(key)) => schema["anyOf"] = json!([{"required": [key]}, {"required": ["d"]}]),
            (6, Some(key)) => schema["not"] = json!({"required": [key, "d"]}),
            (7, Some(key)) => {
                schema["x-kubernetes-validations"] =
                    json!([{"rule": format!("has(self.{key})"), "message": "the first is wanted"}]);
            }
            _ => {}
        }
        if self.rng.rarely(6) {
            schema["x-kubernetes-map-type"] = json!(self.rng.one(&["atomic", "granular"]));
        }
        schema
    }

    fn map(&mut self, depth: u32) -> Value {
        let values = self.schema(depth + 1);
        let mut schema = json!({"type": "object", "additionalProperties": values});
        if self.rng.rarely(3) {
            schema["maxProperties"] = json!(2);
        }
        schema
    }

    fn list(&mut self, depth: u32) -> Value {
        let mut schema = json!({"type": "array"});
        match self.rng.u32(..5) {
            0 => {
                schema["x-kubernetes-list-type"] = json!("map");
                schema["x-kubernetes-list-map-keys"] = json!(["k"]);
                let value = self.schema(depth + 1);
                schema["items"] = json!({"type": "object", "required": ["k"],
                    "properties": {"k": {"type": "string"}, "v": value}});
            }
            1 => {
                schema["x-kubernetes-list-type"] = json!("set");
                schema["items"] = self.text();
            }
            _ => {
                schema["items"] = self.schema(depth + 1);
                if self.rng.rarely(2) {
                    schema["x-kubernetes-list-type"] = json!("atomic");
                }
            }
        }
        match self.rng.u32(..6) {
            0 => schema["minItems"] = json!(1),
            1 => schema["maxItems"] = json!(2),
            _ => {}
        }
        schema
    }

    /// A value for a schema; one in ten is of whatever type.
    fn fitting(&mut self, schema: &Value) -> Value {
        if self.rng.rarely(10) {
            return self.anything();
        }
        if schema["x-kubernetes-int-or-string"] == true {
            return if self.rng.bool() { json!(self.rng.i32(0..9)) } else { json!(self.rng.one(&TEXTS)) };
        }
        if let Some(choices) = schema["enum"].as_array()
            && !self.rng.rarely(4)
        {
            return choices[self.rng.usize(..choices.len())].clone();
        }
        match schema["type"].as_str() {
            Some("string") => json!(self.rng.one(&TEXTS)),
            Some("integer") if self.rng.rarely(12) => json!(3_000_000_000_i64),
            Some("integer") => json!(self.rng.i32(-2..8)),
            Some("number") => json!(f64::from(self.rng.i32(-4..16)) / 4.0),
            Some("boolean") => json!(self.rng.bool()),
            Some("array") => {
                let count = self.rng.usize(..4);
                (0..count).map(|_| self.fitting(&schema["items"])).collect()
            }
            Some("object") => self.members(schema),
            _ => self.anything(),
        }
    }

    fn members(&mut self, schema: &Value) -> Value {
        let mut out = Map::new();
        for (key, below) in schema["properties"].as_object().into_iter().flatten() {
            if !self.rng.rarely(4) {
                out.insert(key.clone(), self.fitting(below));
            }
        }
        if schema.get("additionalProperties").is_some() {
            for key in ["x", "y", "z"] {
                if self.rng.bool() {
                    out.insert(key.to_owned(), self.fitting(&schema["additionalProperties"]));
                }
            }
        }
        if self.rng.rarely(8) {
            out.insert("surplus".to_owned(), json!({"deep": 1}));
        }
        Value::Object(out)
    }

    fn anything(&mut self) -> Value {
        let all = [json!(1), json!("s"), json!(true), json!([1]), json!({"a": "b"}), Value::Null, json!(1.5)];
        all[self.rng.usize(..all.len())].clone()
    }
}
