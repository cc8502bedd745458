//! Decoding built-in kinds: what a Go struct would refuse in the JSON, before any validation (400, or 422 in a patch).
//!
//! The recorded OpenAPI documents stand for the structs: their names and field types are those of the Go types. Leaves
//! out: quantity syntax.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use fake_kube_schema::Builtins;
use serde_json::Value;

const PREFIX: &str = "#/components/schemas/";
/// Deeper objects do not occur among built-in kinds.
const DEPTH_MAX: usize = 40;

/// The decoder's complaint about `object`, if any.
pub(crate) fn mismatch(group: &str, version: &str, kind: &str, object: &Value) -> Option<String> {
    let package = if group == "apiextensions.k8s.io" {
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions"
    } else if group.is_empty() {
        "io.k8s.api.core"
    } else {
        &format!("io.k8s.api.{}", group.split('.').next().unwrap_or(group))
    };
    check(object, &format!("{package}.{version}.{kind}"), kind, None, 0)
}

/// Where a value is: put into words only when there is something to say about it.
struct Path<'a> {
    up: Option<&'a Path<'a>>,
    member: &'a str,
}

impl std::fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(up) = self.up {
            write!(f, "{up}.")?;
        }
        f.write_str(self.member)
    }
}

/// Documents are parsed once.
fn document(name: &str) -> Option<Arc<Value>> {
    static PARSED: Mutex<BTreeMap<String, Option<Arc<Value>>>> = Mutex::new(BTreeMap::new());
    let mut parsed = PARSED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = parsed.get(name) {
        return known.clone();
    }
    parsed.entry(name.to_owned()).or_insert_with(|| Builtins::load().document(name).map(Arc::new)).clone()
}

/// Checks `value` against the named struct; `path` is where it is, none at the root.
fn check(value: &Value, name: &str, owner: &str, path: Option<&Path<'_>>, depth: usize) -> Option<String> {
    if depth > DEPTH_MAX {
        return None;
    }
    let short = name.rsplit('.').next().unwrap_or(name);
    match short {
        "Time" | "MicroTime" => return time(value, short == "MicroTime"),
        // Free forms: they read whatever they get.
        "IntOrString"
        | "Quantity"
        | "FieldsV1"
        | "RawExtension"
        | "JSON"
        | "JSONSchemaPropsOrBool"
        | "JSONSchemaPropsOrArray"
        | "JSONSchemaPropsOrStringArray" => return None,
        _ => {}
    }
    let schema = document(name)?;
    let Value::Object(map) = value else {
        let of = package(name).map_or_else(|| short.to_owned(), |p| format!("{p}.{short}"));
        return (!value.is_null()).then(|| cannot(value, owner, path, &of));
    };
    for (key, v) in map {
        let Some(field) = schema["properties"].get(key) else { continue };
        let at = Path { up: path, member: key };
        if let Some(text) = member(v, field, short, Some(&at), depth + 1) {
            return Some(text);
        }
    }
    None
}

/// Checks one member against its schema; references are followed.
fn member(
    value: &Value,
    field: &Value,
    owner: &str,
    path: Option<&Path<'_>>,
    depth: usize,
) -> Option<String> {
    if value.is_null() || depth > DEPTH_MAX {
        return None;
    }
    let reference = field["$ref"].as_str().or_else(|| field["allOf"][0]["$ref"].as_str());
    if let Some(name) = reference.and_then(|r| r.strip_prefix(PREFIX)) {
        return check(value, name, owner, path, depth + 1);
    }
    let of = match (field["type"].as_str()?, field["format"].as_str()) {
        ("string", Some("byte")) => match value {
            Value::String(text) => return base64_error(text),
            _ => Some("[]uint8"),
        },
        ("string", _) => (!value.is_string()).then_some("string"),
        ("boolean", _) => (!value.is_boolean()).then_some("bool"),
        ("integer", format) => {
            let whole = value.is_i64() || value.is_u64();
            (!whole).then_some(if format == Some("int64") { "int64" } else { "int32" })
        }
        ("number", _) => (!value.is_number()).then_some("float64"),
        ("array", _) => match value {
            Value::Array(list) => {
                return list.iter().find_map(|v| member(v, &field["items"], owner, path, depth + 1));
            }
            _ => return Some(cannot(value, owner, path, &format!("[]{}", element(&field["items"])))),
        },
        ("object", _) => match value {
            Value::Object(map) => {
                let items = &field["additionalProperties"];
                return map.values().find_map(|v| member(v, items, owner, path, depth + 1));
            }
            _ => {
                return Some(cannot(
                    value,
                    owner,
                    path,
                    &format!("map[string]{}", element(&field["additionalProperties"])),
                ));
            }
        },
        _ => None,
    };
    of.map(|of| cannot(value, owner, path, of))
}

fn element(schema: &Value) -> String {
    let reference = schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str());
    if let Some(name) = reference.and_then(|r| r.strip_prefix(PREFIX)) {
        let short = name.rsplit('.').next().unwrap_or(name);
        return package(name).map_or_else(|| short.to_owned(), |p| format!("{p}.{short}"));
    }
    schema["type"].as_str().unwrap_or("interface {}").to_owned()
}

/// The Go package of a type: `v1` of `io.k8s.api.core.v1.Pod`.
fn package(name: &str) -> Option<&str> {
    name.rsplit('.').nth(1)
}

fn cannot(value: &Value, owner: &str, path: Option<&Path<'_>>, of: &str) -> String {
    let path = path.map(Path::to_string).unwrap_or_default();
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() && matches!(of, "int32" | "int64") => {
            return format!(
                "json: cannot unmarshal number {n} into Go struct field {owner}.{path} of type {of}"
            );
        }
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    format!("json: cannot unmarshal {kind} into Go struct field {owner}.{path} of type {of}")
}

/// Go's complaint about bytes that are not base64.
fn base64_error(text: &str) -> Option<String> {
    use base64::DecodeError::{InvalidByte, InvalidLastSymbol};
    use base64::Engine;
    let at = match base64::engine::general_purpose::STANDARD.decode(text).err()? {
        InvalidByte(at, _) | InvalidLastSymbol(at, _) => at,
        _ => text.len() / 4 * 4,
    };
    Some(format!("illegal base64 data at input byte {at}"))
}

/// `metav1.Time` takes RFC 3339, `MicroTime` wants exactly six digits (kube-api.md 2.12).
fn time(value: &Value, micro: bool) -> Option<String> {
    let Some(text) = value.as_str() else {
        return Some(format!(
            "json: cannot unmarshal {} into Go value of type string",
            if value.is_number() { "number" } else { "object" }
        ));
    };
    fake_kube_schema::builtins::parse_time(text, micro).err()
}
