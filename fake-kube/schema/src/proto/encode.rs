//! JSON to messages, as the generated Go code writes them: plain members always, also when zero; pointers, lists and
//! maps when there is something; in the order of field numbers, maps by key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::special::{self, Special};
use super::table::{Field, Kind, MessageType, Table, TypeId};
use super::wire;

static NULL: Value = Value::Null;

pub(super) fn message(table: &Table, id: TypeId, value: &Value, out: &mut Vec<u8>) {
    let of = table.get(id);
    if of.special != Special::None {
        return special::encode(table, of, value, out);
    }
    for field in &of.fields {
        if field.inline {
            // Its members are among ours.
            put(table, field, value, out);
            continue;
        }
        let member = value.get(field.name).unwrap_or(&NULL);
        if field.map {
            put_map(table, field, member, out);
        } else if field.repeated {
            for item in member.as_array().into_iter().flatten() {
                put(table, field, item, out);
            }
        } else if member.is_null() && (field.pointer || field.kind == Kind::Bytes) {
            // Absent.
        } else {
            put(table, field, member, out);
        }
    }
}

/// A field of a union, by its number.
pub(super) fn numbered(table: &Table, of: &MessageType, number: u32, value: &Value, out: &mut Vec<u8>) {
    if let Some(field) = of.field(number) {
        put(table, field, value, out);
    }
}

fn put(table: &Table, field: &Field, value: &Value, out: &mut Vec<u8>) {
    put_as(table, field.number, field.kind, value, out);
}

fn put_as(table: &Table, number: u32, kind: Kind, value: &Value, out: &mut Vec<u8>) {
    match kind {
        Kind::Text => wire::put_bytes(out, number, value.as_str().unwrap_or("").as_bytes()),
        Kind::Bytes => {
            let bytes = value.as_str().and_then(|s| STANDARD.decode(s).ok()).unwrap_or_default();
            wire::put_bytes(out, number, &bytes);
        }
        Kind::Int32 | Kind::Int64 => wire::put_int(out, number, value.as_i64().unwrap_or(0)),
        Kind::Bool => wire::put_int(out, number, i64::from(value.as_bool().unwrap_or(false))),
        Kind::Double => wire::put_double(out, number, value.as_f64().unwrap_or(0.0)),
        Kind::Message(id) => {
            let mut inner = Vec::new();
            message(table, id, value, &mut inner);
            wire::put_bytes(out, number, &inner);
        }
    }
}

fn put_map(table: &Table, field: &Field, value: &Value, out: &mut Vec<u8>) {
    let Value::Object(map) = value else { return };
    let mut keys: Vec<&String> = map.keys().collect();
    keys.sort();
    for key in keys {
        let mut entry = Vec::new();
        wire::put_bytes(&mut entry, 1, key.as_bytes());
        put_as(table, 2, field.kind, &map[key], &mut entry);
        wire::put_bytes(out, field.number, &entry);
    }
}
