//! Objects as the Go libraries encode them, generated messages of every kind, and bytes of any kind.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::special::Special;
use super::table::{Field, Kind, Table, TypeId};
use super::*;

const SAMPLES: &str = include_str!("../../data/proto-samples.tsv");

/// Go's JSON says `null` where ours says nothing: empty lists that are always written, zero times.
fn without_nulls(v: &Value) -> Value {
    match v {
        Value::Object(m) => {
            let kept = m.iter().filter(|(_, v)| !v.is_null());
            Value::Object(kept.map(|(k, v)| (k.clone(), without_nulls(v))).collect())
        }
        Value::Array(l) => Value::Array(l.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

#[test]
fn objects_as_go_writes_them() {
    let mut seen = 0;
    for line in SAMPLES.lines() {
        let (text, wire) = line.split_once('\t').expect("two columns");
        let object: Value = serde_json::from_str(text).expect("JSON");
        let wire = STANDARD.decode(wire).expect("base64");
        let kind = object["kind"].as_str().unwrap_or("");
        assert_eq!(super::object(&object).as_deref().map(shown), Some(shown(&wire)), "{kind}");
        let envelope = open(&wire).expect("an envelope");
        assert_eq!(
            (envelope.api_version.as_str(), envelope.kind.as_str()),
            (object["apiVersion"].as_str().unwrap_or(""), kind)
        );
        let message = Message::of(&envelope.api_version, kind).expect("a known kind");
        let mut back = message.decode(&envelope.raw).expect("decodes");
        back["apiVersion"] = object["apiVersion"].clone();
        back["kind"] = object["kind"].clone();
        assert_eq!(back, without_nulls(&object), "{kind}");
        seen += 1;
    }
    assert!(seen >= 19, "{seen}");
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Draws values of a message from a stream of choices: what Go could have written.
struct Draw<'a> {
    choices: &'a [u8],
    at: usize,
}

impl Draw<'_> {
    fn next(&mut self, n: u8) -> u8 {
        let c = self.choices.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        c % n
    }

    fn message(&mut self, id: TypeId, depth: usize) -> Value {
        let table = Table::load();
        let of = table.get(id);
        match of.special {
            Special::None => {
                let mut out = Map::new();
                for f in &of.fields {
                    if f.inline {
                        let Kind::Message(inner) = f.kind else { continue };
                        if let Value::Object(m) = self.message(inner, depth) {
                            out.extend(m);
                        }
                    } else if let Some(v) = self.field(f, depth) {
                        out.insert(f.name.to_owned(), v);
                    }
                }
                Value::Object(out)
            }
            Special::Time => {
                json!(["2026-01-02T03:04:05Z", "1969-12-31T23:59:59Z"][usize::from(self.next(2))])
            }
            Special::MicroTime => json!("2026-01-02T03:04:05.000006Z"),
            Special::Quantity => json!(["0", "100m", "1Gi"][usize::from(self.next(3))]),
            Special::IntOrString => [json!(-1), json!("25%"), json!(8080)][usize::from(self.next(3))].clone(),
            Special::Raw => json!({"f:a": {".": {}}}),
            Special::Items => json!(["a", ""]),
            Special::SchemaOrBool => json!(self.next(2) == 1),
            Special::SchemaOrList => json!([]),
        }
    }

    fn field(&mut self, f: &Field, depth: usize) -> Option<Value> {
        let plain = !f.pointer && !f.repeated && !f.map && f.kind != Kind::Bytes;
        let must = plain && (!f.omit_empty || matches!(f.kind, Kind::Message(_)));
        if !must && (depth > 6 || self.next(4) != 1) {
            return None;
        }
        let depth = depth + 1;
        if f.map {
            return Some(json!({"b": self.one(f, depth), "a": self.one(f, depth)}));
        }
        if f.repeated {
            return Some(json!([self.one(f, depth), self.one(f, depth)]));
        }
        let v = self.one(f, depth);
        // A plain zero is left out where `omitempty` says so.
        let zero = v == json!("") || v == json!(0) || v == json!(false);
        (f.pointer || !f.omit_empty || !zero).then_some(v)
    }

    fn one(&mut self, f: &Field, depth: usize) -> Value {
        match f.kind {
            Kind::Text => json!(["", "x", "ünï"][usize::from(self.next(3))]),
            Kind::Bytes => json!("AAEC"),
            Kind::Int32 => json!([0, 1, -1, i32::MAX, i32::MIN][usize::from(self.next(5))]),
            Kind::Int64 => json!([0, 1, -1, i64::MAX, i64::MIN][usize::from(self.next(5))]),
            Kind::Bool => json!(self.next(2) == 1),
            Kind::Double => [json!(0), json!(1.5), json!(-3)][usize::from(self.next(3))].clone(),
            Kind::Message(id) => self.message(id, depth),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_message_survives_the_way_there_and_back(choices in prop::collection::vec(any::<u8>(), 300)) {
        let table = Table::load();
        for id in table.ids() {
            let of = table.get(id);
            if of.special != Special::None || of.fields.is_empty() || of.name.starts_with("runtime.") {
                continue;
            }
            let value = Draw { choices: &choices, at: id % 50 }.message(id, 0);
            let raw = Message(id).encode(&value);
            prop_assert_eq!(&Message(id).decode(&raw).expect(of.name), &value, "{}", of.name);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), at in any::<usize>()) {
        let table = Table::load();
        let _ = open(&bytes);
        let _ = Message(at % table.ids().end).decode(&bytes);
    }

    #[test]
    fn damaged_objects_are_read_or_refused(line in 0_usize..19, at in any::<usize>(), byte in any::<u8>()) {
        let (_, wire) = SAMPLES.lines().nth(line).and_then(|l| l.split_once('\t')).expect("a sample");
        let mut wire = STANDARD.decode(wire).expect("base64");
        let at = 4 + at % (wire.len() - 4);
        wire[at] = byte;
        for body in [&wire[..], &wire[..at]] {
            if let Ok(e) = open(body)
                && let Some(m) = Message::of(&e.api_version, &e.kind)
                && let Ok(v) = m.decode(&e.raw)
            {
                m.encode(&v);
            }
        }
    }
}

#[test]
fn errors_are_those_of_the_generated_code() {
    let config_map = Message::of("v1", "ConfigMap").expect("known");
    let check = |raw: &[u8], expected: &str| assert_eq!(config_map.decode(raw), Err(expected.to_owned()));
    check(&[0xff, 0xff], "unexpected EOF");
    check(&[0x0a, 0x05, 0x00], "unexpected EOF");
    check(&[0x08, 0x01], "proto: wrong wireType = 0 for field ObjectMeta");
    check(&[0x0c], "proto: ConfigMap: wiretype end group for non-group");
    check(&[0x00], "proto: ConfigMap: illegal tag 0 (wire type 0)");
    check(&[0xff; 11], "proto: integer overflow");
    check(
        &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        "proto: negative length found during unmarshaling",
    );
    assert_eq!(open(b"").map(|_| ()), Err("empty data".into()));
    assert_eq!(open(b"k8s\0").map(|_| ()), Err("empty body".into()));
    assert!(Message::of("t.example.com/v1", "Widget").is_none());
}

#[test]
fn nesting_is_bounded() {
    let schema = Table::load().find("apiextensions.v1.JSONSchemaProps").map(Message).expect("known");
    let mut raw = Vec::new();
    for _ in 0..5_000 {
        let mut outer = Vec::new();
        wire::put_bytes(&mut outer, 28, &raw);
        raw = outer;
    }
    assert_eq!(schema.decode(&raw), Err("exceeded max depth".to_owned()));
}

#[test]
fn empty_texts_behind_pointers_stay() {
    let check = |schema, member, expected| assert_eq!(keeps_empty_text(schema, member), expected, "{member}");
    check("io.k8s.api.coordination.v1.LeaseSpec", "holderIdentity", Some(true));
    check("io.k8s.api.core.v1.PersistentVolumeClaimSpec", "volumeName", Some(false));
    check("io.k8s.api.core.v1.EnvVar", "name", Some(true));
    check("io.k8s.api.core.v1.PodSpec", "containers", None);
    check("io.k8s.api.core.v1.PodSpec", "unheard", None);
    check("none", "name", None);
}
