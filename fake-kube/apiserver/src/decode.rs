//! Decoding built-in kinds: what a Go struct would refuse in the JSON, before any validation (400, or 422 in a patch).
//!
//! The recorded OpenAPI documents stand for the structs: their names and field types are those of the Go types. Leaves
//! out: quantity syntax.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

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
    check(object, &*shape(&format!("{package}.{version}.{kind}"))?, kind, None, 0)
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

/// A type of the documents, in the form in which it is asked for with every write.
enum Shape {
    Time {
        is_micro: bool,
    },
    /// Reads whatever it gets.
    Free,
    Struct(Struct),
}

struct Struct {
    short: String,
    /// As errors name it: `v1.Pod`.
    of: String,
    fields: BTreeMap<String, Field>,
}

/// What a member must be.
enum Field {
    Free,
    Named(Named),
    Bytes,
    Text,
    Flag,
    Whole(&'static str),
    Number,
    List(Box<Field>, String),
    Map(Box<Field>, String),
}

/// A type by its name, found when the first value of it comes: types contain themselves.
struct Named {
    name: String,
    shape: OnceLock<Option<Arc<Shape>>>,
}

impl Named {
    fn shape(&self) -> Option<&Shape> {
        self.shape.get_or_init(|| shape(&self.name)).as_deref()
    }
}

/// The type of this name; documents are parsed once.
fn shape(name: &str) -> Option<Arc<Shape>> {
    static KNOWN: Mutex<BTreeMap<String, Option<Arc<Shape>>>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = known.get(name) {
        return known.clone();
    }
    known.entry(name.to_owned()).or_insert_with(|| Shape::of(name).map(Arc::new)).clone()
}

impl Shape {
    fn of(name: &str) -> Option<Shape> {
        let short = name.rsplit('.').next().unwrap_or(name);
        match short {
            "Time" | "MicroTime" => return Some(Shape::Time { is_micro: short == "MicroTime" }),
            "IntOrString"
            | "Quantity"
            | "FieldsV1"
            | "RawExtension"
            | "JSON"
            | "JSONSchemaPropsOrBool"
            | "JSONSchemaPropsOrArray"
            | "JSONSchemaPropsOrStringArray" => return Some(Shape::Free),
            _ => {}
        }
        let schema = Builtins::load().document(name)?;
        let members = schema["properties"].as_object().into_iter().flatten();
        let fields = members.map(|(key, field)| (key.clone(), Field::of(field))).collect();
        Some(Shape::Struct(Struct { short: short.to_owned(), of: in_go(name), fields }))
    }
}

impl Field {
    fn of(schema: &Value) -> Field {
        if let Some(name) = reference(schema) {
            return Field::Named(Named { name: name.to_owned(), shape: OnceLock::new() });
        }
        let list_of = |key: &str| (Box::new(Field::of(&schema[key])), element(&schema[key]));
        match (schema["type"].as_str().unwrap_or_default(), schema["format"].as_str()) {
            ("string", Some("byte")) => Field::Bytes,
            ("string", _) => Field::Text,
            ("boolean", _) => Field::Flag,
            ("integer", format) => Field::Whole(if format == Some("int64") { "int64" } else { "int32" }),
            ("number", _) => Field::Number,
            ("array", _) => {
                let (items, of) = list_of("items");
                Field::List(items, format!("[]{of}"))
            }
            ("object", _) => {
                let (items, of) = list_of("additionalProperties");
                Field::Map(items, format!("map[string]{of}"))
            }
            _ => Field::Free,
        }
    }
}

/// Checks `value` against the type; `path` is where it is, none at the root.
fn check(value: &Value, shape: &Shape, owner: &str, path: Option<&Path<'_>>, depth: usize) -> Option<String> {
    if depth > DEPTH_MAX {
        return None;
    }
    let of = match shape {
        Shape::Time { is_micro } => return time(value, *is_micro),
        Shape::Free => return None,
        Shape::Struct(of) => of,
    };
    let Value::Object(map) = value else {
        return (!value.is_null()).then(|| cannot(value, owner, path, &of.of));
    };
    for (key, v) in map {
        let Some(field) = of.fields.get(key) else { continue };
        let at = Path { up: path, member: key };
        if let Some(text) = member(v, field, &of.short, Some(&at), depth + 1) {
            return Some(text);
        }
    }
    None
}

/// Checks one member; references are followed.
fn member(
    value: &Value,
    field: &Field,
    owner: &str,
    path: Option<&Path<'_>>,
    depth: usize,
) -> Option<String> {
    if value.is_null() || depth > DEPTH_MAX {
        return None;
    }
    let of = match field {
        Field::Free => None,
        Field::Named(named) => return check(value, named.shape()?, owner, path, depth + 1),
        Field::Bytes => match value {
            Value::String(text) => return base64_error(text),
            _ => Some("[]uint8"),
        },
        Field::Text => (!value.is_string()).then_some("string"),
        Field::Flag => (!value.is_boolean()).then_some("bool"),
        Field::Whole(of) => (!value.is_i64() && !value.is_u64()).then_some(*of),
        Field::Number => (!value.is_number()).then_some("float64"),
        Field::List(items, of) => match value {
            Value::Array(list) => {
                return list.iter().find_map(|v| member(v, items, owner, path, depth + 1));
            }
            _ => Some(of.as_str()),
        },
        Field::Map(items, of) => match value {
            Value::Object(map) => {
                return map.values().find_map(|v| member(v, items, owner, path, depth + 1));
            }
            _ => Some(of.as_str()),
        },
    };
    of.map(|of| cannot(value, owner, path, of))
}

/// The type a schema refers to.
fn reference(schema: &Value) -> Option<&str> {
    let reference = schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str());
    reference.and_then(|r| r.strip_prefix(PREFIX))
}

fn element(schema: &Value) -> String {
    if let Some(name) = reference(schema) {
        return in_go(name);
    }
    schema["type"].as_str().unwrap_or("interface {}").to_owned()
}

/// A type with its Go package: `v1.Pod` of `io.k8s.api.core.v1.Pod`.
fn in_go(name: &str) -> String {
    let mut parts = name.rsplit('.');
    let short = parts.next().unwrap_or(name);
    parts.next().map_or_else(|| short.to_owned(), |package| format!("{package}.{short}"))
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
