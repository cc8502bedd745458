//! Whether a body decodes into the Go types of a built-in kind, and encoding/json's words when it does not.
//!
//! Evidence: cases val-pod-decode, upd-merge-bad, upd-json-fail. The text is what follows
//! `Pod in version "v1" cannot be handled as a Pod: `, respectively the detail of the cause `patch`.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use super::quantity;
use crate::DEPTH_MAX;
use crate::schema::{Additional, Arena, Node, NodeId, Type};

const TIME_LAYOUT: [&str; 13] = ["2006", "-", "01", "-", "02", "T", "15", ":", "04", ":", "05", "", "Z07:00"];

/// The first member, in document order, that does not decode.
pub(crate) fn error(arena: &Arena, object: &Value) -> Option<String> {
    let mut place = Place { owner: String::new(), path: String::new() };
    walk(arena, arena.root, object, &mut place, 0).err()
}

/// Where encoding/json says it is: the struct, and the members on the way (map keys and indices do not show).
struct Place {
    owner: String,
    path: String,
}

fn walk(arena: &Arena, id: NodeId, value: &Value, place: &mut Place, depth: usize) -> Result<(), String> {
    if depth > DEPTH_MAX || value.is_null() {
        return Ok(());
    }
    let node = arena.node(id);
    let name = node.name.as_deref().unwrap_or_default();
    let mismatch = |place: &Place| {
        let got = match value {
            Value::Number(n) if n.is_f64() => format!("number {n}"),
            Value::Number(_) => "number".into(),
            Value::Bool(_) => "bool".into(),
            Value::String(_) => "string".into(),
            Value::Array(_) => "array".into(),
            Value::Object(_) | Value::Null => "object".into(),
        };
        let target = go_type(arena, id);
        Err(match place.path.as_str() {
            "" => format!("json: cannot unmarshal {got} into Go value of type {target}"),
            path => format!(
                "json: cannot unmarshal {got} into Go struct field {}.{path} of type {target}",
                place.owner
            ),
        })
    };
    match (node.kind, value) {
        (Type::Object, Value::Object(map)) => {
            let struct_name = short(name);
            for (key, member) in map {
                let Some(child) = node.member(key) else { continue };
                if !node.properties.contains_key(key) {
                    walk(arena, child, member, place, depth + 1)?;
                    continue;
                }
                let below = Place {
                    owner: struct_name.to_string(),
                    path: if place.path.is_empty() { key.clone() } else { format!("{}.{key}", place.path) },
                };
                walk(arena, child, member, &mut { below }, depth + 1)?;
            }
            Ok(())
        }
        (Type::Array, Value::Array(items)) => match node.items {
            Some(child) => items.iter().try_for_each(|item| walk(arena, child, item, place, depth + 1)),
            None => Ok(()),
        },
        (Type::String, Value::String(text)) => string(node, name, text),
        (Type::Integer, Value::Number(n)) if !n.is_f64() => Ok(()),
        (Type::Number, Value::Number(_)) | (Type::Boolean, Value::Bool(_)) => Ok(()),
        (Type::IntOrString, Value::Number(_) | Value::String(_)) => Ok(()),
        (Type::Any, Value::String(text)) if name.ends_with(".Quantity") => match quantity::canonical(text) {
            Some(_) => Ok(()),
            None => Err(quantity_error(text)),
        },
        (Type::Any, _) => Ok(()),
        (Type::Object, _)
            if node.properties.is_empty() && !matches!(node.additional, Additional::Schema(_)) =>
        {
            Ok(())
        }
        _ => mismatch(place),
    }
}

fn string(node: &Node, name: &str, text: &str) -> Result<(), String> {
    match node.checks.as_ref().and_then(|c| c.format.as_deref()) {
        Some("date-time") => time(text, name.ends_with(".MicroTime")),
        Some("byte") => base64(text),
        _ => Ok(()),
    }
}

fn base64(text: &str) -> Result<(), String> {
    let plain: String = text.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
    match GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new()).decode(&plain) {
        Ok(_) => Ok(()),
        Err(base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _)) => {
            Err(format!("illegal base64 data at input byte {at}"))
        }
        // Go stops at the start of the incomplete group.
        Err(_) => Err(format!("illegal base64 data at input byte {}", plain.len() / 4 * 4)),
    }
}

fn quantity_error(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_digit() || "+-.eEinumkKMGTP".contains(c);
    if text.is_empty() || !text.chars().all(allowed) {
        return "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
            .into();
    }
    "unable to parse quantity's suffix".into()
}

/// Go's `time.Parse` of RFC 3339; MicroTime wants exactly six digits (reference 2.12).
pub fn time(text: &str, micro: bool) -> Result<(), String> {
    let layout = if micro { "2006-01-02T15:04:05.000000Z07:00" } else { "2006-01-02T15:04:05Z07:00" };
    let fail = |rest: &str, element: &str| {
        Err(format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {element:?}"))
    };
    let mut rest = text;
    for element in TIME_LAYOUT {
        let digits = |n: usize| rest.get(..n).is_some_and(|d| d.bytes().all(|b| b.is_ascii_digit()));
        let length = match element {
            "" => {
                let fraction =
                    rest.strip_prefix('.').map_or(0, |f| f.bytes().take_while(u8::is_ascii_digit).count());
                if micro && fraction < 6 {
                    return fail(rest, ".000000");
                }
                if micro {
                    7
                } else if fraction > 0 {
                    fraction + 1
                } else {
                    0
                }
            }
            "Z07:00" => {
                let offset = rest.starts_with(['+', '-']) && rest.len() == 6 && rest.as_bytes()[3] == b':';
                if rest != "Z" && !offset {
                    return fail(rest, element);
                }
                rest.len()
            }
            "-" | "T" | ":" if rest.starts_with(element) => 1,
            "2006" if digits(4) => 4,
            "01" | "02" | "15" | "04" | "05" if digits(2) => 2,
            _ => return fail(rest, element),
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    if text.parse::<jiff::Timestamp>().is_err() {
        return Err(format!("parsing time {text:?}: day out of range"));
    }
    Ok(())
}

/// `Container` of `io.k8s.api.core.v1.Container`.
fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// `v1.Container`, `[]string`, `map[string]string`, `int32`.
fn go_type(arena: &Arena, id: NodeId) -> String {
    let node = arena.node(id);
    let format = node.checks.as_ref().and_then(|c| c.format.as_deref());
    match (node.kind, node.name.as_deref(), node.additional) {
        (Type::Object, Some(name), _) if !node.properties.is_empty() => {
            let parts: Vec<&str> = name.rsplit('.').take(2).collect();
            parts.into_iter().rev().collect::<Vec<_>>().join(".")
        }
        (Type::Object, _, Additional::Schema(child)) => format!("map[string]{}", go_type(arena, child)),
        (Type::Array, ..) => format!("[]{}", node.items.map_or("interface {}".into(), |i| go_type(arena, i))),
        (Type::Integer, ..) => format.unwrap_or("int64").to_string(),
        (Type::Number, ..) => "float64".into(),
        (Type::Boolean, ..) => "bool".into(),
        (Type::String, ..) if format == Some("byte") => "[]uint8".into(),
        (Type::String, ..) => "string".into(),
        _ => "interface {}".into(),
    }
}

#[cfg(test)]
mod tests {
    use crate::Builtins;
    use serde_json::json;

    #[test]
    fn texts_are_those_of_go() {
        let schema = |kind: &str| Builtins::load().schema("", "v1", kind).expect("kind");
        let pod = |spec| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec});
        let rows = [
            (
                "Pod",
                pod(json!({"containers": {}})),
                "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
            ),
            (
                "Pod",
                pod(json!({"containers": [{"ports": [{"containerPort": "x"}]}]})),
                "json: cannot unmarshal string into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32",
            ),
            (
                "Pod",
                pod(json!({"terminationGracePeriodSeconds": "x"})),
                "json: cannot unmarshal string into Go struct field PodSpec.spec.terminationGracePeriodSeconds of type int64",
            ),
            (
                "Pod",
                json!({"metadata": {"creationTimestamp": "x"}}),
                "parsing time \"x\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"x\" as \"2006\"",
            ),
            (
                "Pod",
                json!({"metadata": {"labels": {"a": true}}}),
                "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string",
            ),
            (
                "ConfigMap",
                json!({"data": "x"}),
                "json: cannot unmarshal string into Go struct field ConfigMap.data of type map[string]string",
            ),
            (
                "ConfigMap",
                json!({"data": {"k": 1}}),
                "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
            ),
            ("Secret", json!({"data": {"k": "%"}}), "illegal base64 data at input byte 0"),
        ];
        for (kind, body, expected) in rows {
            assert_eq!(schema(kind).decode_error(&body).as_deref(), Some(expected));
        }
        assert_eq!(schema("Pod").decode_error(&pod(json!({"containers": [{"name": "c"}]}))), None);
    }
}
