//! A swagger as protobuf: package `openapi.v2` of gnostic, which kubectl and client-go ask `/openapi/v2` for.
//!
//! Field numbers are those of gnostic-models, openapiv2/OpenAPIv2.proto. Only what a Kubernetes swagger contains is
//! written: no examples, headers, tags or forms.

use serde_json::{Map, Value};

/// Encodes a swagger.
pub fn encode(swagger: &Value) -> Vec<u8> {
    let mut out = Message::default();
    out.text(1, &swagger["swagger"]);
    out.message(2, |m| {
        m.text(1, &swagger["info"]["title"]);
        m.text(2, &swagger["info"]["version"]);
    });
    out.message(8, |m| {
        for (path, item) in entries(&swagger["paths"]) {
            m.message(2, |m| {
                m.str(1, path);
                m.message(2, |m| path_item(m, item));
            });
        }
    });
    out.message(9, |m| named_schemas(m, &swagger["definitions"]));
    for requirement in list(&swagger["security"]) {
        out.message(12, |m| {
            for (name, scopes) in entries(requirement) {
                m.message(1, |m| {
                    m.str(1, name);
                    m.message(2, |m| list(scopes).for_each(|s| m.text(1, s)));
                });
            }
        });
    }
    out.message(13, |m| {
        for (name, security) in entries(&swagger["securityDefinitions"]) {
            m.message(1, |m| {
                m.str(1, name);
                m.message(2, |m| m.message(2, |m| api_key(m, security)));
            });
        }
    });
    out.0
}

fn api_key(m: &mut Message, security: &Value) {
    for (number, key) in [(1, "type"), (2, "name"), (3, "in"), (4, "description")] {
        m.text(number, &security[key]);
    }
}

fn path_item(m: &mut Message, item: &Value) {
    for (number, method) in
        [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (6, "options"), (7, "head"), (8, "patch")]
    {
        if let Some(o) = item.get(method) {
            m.message(number, |m| operation(m, o));
        }
    }
    list(&item["parameters"]).for_each(|p| m.message(9, |m| parameter(m, p)));
}

fn operation(m: &mut Message, o: &Value) {
    list(&o["tags"]).for_each(|t| m.text(1, t));
    m.text(3, &o["description"]);
    m.text(5, &o["operationId"]);
    list(&o["produces"]).for_each(|t| m.text(6, t));
    list(&o["consumes"]).for_each(|t| m.text(7, t));
    list(&o["parameters"]).for_each(|p| m.message(8, |m| parameter(m, p)));
    m.message(9, |m| {
        for (code, answer) in entries(&o["responses"]) {
            m.message(1, |m| {
                m.str(1, code);
                m.message(2, |m| m.message(1, |m| response(m, answer)));
            });
        }
    });
    list(&o["schemes"]).for_each(|t| m.text(10, t));
    extensions(m, 13, o);
}

fn response(m: &mut Message, answer: &Value) {
    m.text(1, &answer["description"]);
    if let Some(s) = answer.get("schema") {
        m.message(2, |m| m.message(1, |m| schema(m, s)));
    }
}

/// `ParametersItem { parameter: Parameter { body | non-body { query | path } } }`.
fn parameter(m: &mut Message, p: &Value) {
    m.message(1, |m| match p["in"].as_str() {
        Some("body") => m.message(1, |m| {
            m.text(1, &p["description"]);
            m.text(2, &p["name"]);
            m.text(3, &p["in"]);
            m.flag(4, &p["required"]);
            m.message(5, |m| schema(m, &p["schema"]));
        }),
        place => m.message(2, |m| {
            let (number, kind, unique) = if place == Some("path") { (4, 5, 19) } else { (3, 6, 20) };
            m.message(number, |m| {
                m.flag(1, &p["required"]);
                m.text(2, &p["in"]);
                m.text(3, &p["description"]);
                m.text(4, &p["name"]);
                m.text(kind, &p["type"]);
                m.flag(unique, &p["uniqueItems"]);
            });
        }),
    });
}

fn named_schemas(m: &mut Message, schemas: &Value) {
    for (name, s) in entries(schemas) {
        m.message(1, |m| {
            m.str(1, name);
            m.message(2, |m| schema(m, s));
        });
    }
}

fn schema(m: &mut Message, s: &Value) {
    for (number, key) in [(1, "$ref"), (2, "format"), (3, "title"), (4, "description"), (13, "pattern")] {
        m.text(number, &s[key]);
    }
    for (number, key) in [(6, "multipleOf"), (7, "maximum"), (9, "minimum")] {
        m.double(number, &s[key]);
    }
    for (number, key) in [
        (11, "maxLength"),
        (12, "minLength"),
        (14, "maxItems"),
        (15, "minItems"),
        (17, "maxProperties"),
        (18, "minProperties"),
    ] {
        m.integer(number, &s[key]);
    }
    for (number, key) in [(8, "exclusiveMaximum"), (10, "exclusiveMinimum"), (16, "uniqueItems")] {
        m.flag(number, &s[key]);
    }
    list(&s["required"]).for_each(|r| m.text(19, r));
    list(&s["enum"]).for_each(|v| m.message(20, |m| m.str(2, &yaml(v))));
    match s.get("additionalProperties") {
        Some(Value::Bool(allowed)) => m.message(21, |m| m.varint_field(2, u64::from(*allowed))),
        Some(inner) => m.message(21, |m| m.message(1, |m| schema(m, inner))),
        None => {}
    }
    if s["type"].is_string() {
        m.message(22, |m| m.text(1, &s["type"]));
    }
    if let Some(items) = s.get("items") {
        m.message(23, |m| m.message(1, |m| schema(m, items)));
    }
    list(&s["allOf"]).for_each(|a| m.message(24, |m| schema(m, a)));
    if s.get("properties").is_some() {
        m.message(25, |m| named_schemas(m, &s["properties"]));
    }
    extensions(m, 31, s);
}

/// `x-` members: their values are YAML texts, which JSON is.
fn extensions(m: &mut Message, number: u32, of: &Value) {
    for (name, value) in entries(of).filter(|(name, _)| name.starts_with("x-")) {
        m.message(number, |m| {
            m.str(1, name);
            m.message(2, |m| m.str(2, &yaml(value)));
        });
    }
}

fn yaml(value: &Value) -> String {
    let mut text = value.to_string();
    text.push('\n');
    text
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Bytes of a protobuf message under way. Zero values are not written, as proto3 has it.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, number: u32, wire: u32) {
        self.varint(u64::from(number << 3 | wire));
    }

    fn varint_field(&mut self, number: u32, value: u64) {
        if value != 0 {
            self.key(number, 0);
            self.varint(value);
        }
    }

    fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.key(number, 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn str(&mut self, number: u32, text: &str) {
        if !text.is_empty() {
            self.bytes(number, text.as_bytes());
        }
    }

    fn text(&mut self, number: u32, value: &Value) {
        self.str(number, value.as_str().unwrap_or_default());
    }

    fn flag(&mut self, number: u32, value: &Value) {
        self.varint_field(number, u64::from(value.as_bool().unwrap_or_default()));
    }

    fn integer(&mut self, number: u32, value: &Value) {
        self.varint_field(number, value.as_i64().unwrap_or_default().cast_unsigned());
    }

    fn double(&mut self, number: u32, value: &Value) {
        if let Some(value) = value.as_f64().filter(|v| *v != 0.0) {
            self.key(number, 1);
            self.0.extend_from_slice(&value.to_le_bytes());
        }
    }

    fn message(&mut self, number: u32, write: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        write(&mut inner);
        self.bytes(number, &inner.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bytes_are_those_of_gnostic() {
        let swagger = json!({"swagger": "2.0", "info": {"title": "K", "version": "1"}, "paths": {},
            "definitions": {"a.B": {"type": "object", "x-kubernetes-list-type": "map"}}});
        let wanted: &[u8] = &[
            0x0a, 3, b'2', b'.', b'0', // swagger
            0x12, 6, 0x0a, 1, b'K', 0x12, 1, b'1', // info
            0x42, 0, // paths
            0x4a, 57, 0x0a, 55, 0x0a, 3, b'a', b'.', b'B', // definitions: a.B
            0x12, 48, 0xb2, 1, 8, 0x0a, 6, b'o', b'b', b'j', b'e', b'c', b't', // type
            0xfa, 1, 34, 0x0a, 22, // vendor extension: name and YAML
        ];
        let bytes = encode(&swagger);
        assert_eq!(&bytes[..wanted.len()], wanted);
        assert!(bytes.windows(22).any(|w| w == b"x-kubernetes-list-type"));
        assert!(bytes.windows(6).any(|w| w == b"\"map\"\n"));
    }
}
