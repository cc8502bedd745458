//! Messages to JSON: what Go would write after reading the same bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value, json};

use super::special::{self, Special};
use super::table::{Field, Kind, MessageType, Table, TypeId};
use super::wire::{self, Content};

/// Deeper messages are refused: what is read must also be JSON, which nests 128 levels at most.
const DEPTH_MAX: usize = 100;

pub(super) fn message(table: &Table, id: TypeId, raw: &[u8]) -> Result<Map<String, Value>, String> {
    fields(table, table.get(id), raw, 0)
}

/// The members of an ordinary message.
pub(super) fn fields(
    table: &Table,
    of: &MessageType,
    raw: &[u8],
    depth: usize,
) -> Result<Map<String, Value>, String> {
    let mut out = Map::new();
    if depth > DEPTH_MAX {
        return Err("exceeded max depth".to_owned());
    }
    wire::fields(raw, of.short_name(), |seen| {
        // Fields nobody knows are passed over, as by Go.
        let Some(field) = of.field(seen.number) else { return Ok(()) };
        if field.map {
            let (key, value) = entry(table, field, seen.bytes(&field.go_name())?, depth)?;
            let Value::Object(map) = slot(&mut out, field.name, || json!({})) else { return Ok(()) };
            map.insert(key, value);
            return Ok(());
        }
        if field.repeated {
            let mut items = Vec::new();
            many(table, field, seen, depth, &mut items)?;
            if let Value::Array(list) = slot(&mut out, field.name, || json!([])) {
                list.append(&mut items);
            }
            return Ok(());
        }
        let value = single(table, field, seen, depth)?;
        if field.inline {
            if let Some(Value::Object(inner)) = value {
                out.extend(inner);
            }
            return Ok(());
        }
        match value {
            Some(v) if field.pointer || !field.omit_empty || !is_zero(table, field, &v) => {
                // The last of several wins; messages grow together.
                match (out.get_mut(field.name), v) {
                    (Some(Value::Object(old)), Value::Object(new)) => old.extend(new),
                    (Some(old), v) => *old = v,
                    (None, v) => drop(out.insert(field.name.to_owned(), v)),
                }
            }
            _ => drop(out.shift_remove(field.name)),
        }
        Ok(())
    })?;
    Ok(out)
}

/// The fields of a union in wire order.
pub(super) fn numbered(
    table: &Table,
    of: &MessageType,
    raw: &[u8],
    depth: usize,
) -> Result<Vec<(u32, Value)>, String> {
    let mut out = Vec::new();
    wire::fields(raw, of.short_name(), |seen| {
        if let Some(field) = of.field(seen.number)
            && let Some(v) = single(table, field, seen, depth)?
        {
            out.push((seen.number, v));
        }
        Ok(())
    })?;
    Ok(out)
}

fn slot<'a>(out: &'a mut Map<String, Value>, name: &str, empty: impl FnOnce() -> Value) -> &'a mut Value {
    out.entry(name).or_insert_with(empty)
}

/// What `omitempty` leaves out of a plain (not pointer) member. Structs are always written.
fn is_zero(table: &Table, field: &Field, value: &Value) -> bool {
    match value {
        Value::Bool(b) => !b,
        Value::String(s) => s.is_empty() && !matches!(field.kind, Kind::Message(_)),
        Value::Number(n) => match field.kind {
            Kind::Message(id) => table.get(id).special == Special::IntOrString && n.as_i64() == Some(0),
            _ => n.as_f64() == Some(0.0),
        },
        Value::Null => true,
        Value::Array(l) => l.is_empty(),
        Value::Object(_) => false,
    }
}

fn many(
    table: &Table,
    field: &Field,
    seen: &wire::Field<'_>,
    depth: usize,
    out: &mut Vec<Value>,
) -> Result<(), String> {
    if let (Kind::Int32 | Kind::Int64 | Kind::Bool, Content::Bytes(bytes)) = (field.kind, &seen.content) {
        return wire::packed(bytes, |v| out.push(scalar(field.kind, v)));
    }
    out.push(single(table, field, seen, depth)?.unwrap_or(Value::Null));
    Ok(())
}

fn scalar(kind: Kind, value: u64) -> Value {
    match kind {
        Kind::Bool => json!(value != 0),
        Kind::Int32 => json!(value as u32 as i32),
        _ => json!(value.cast_signed()),
    }
}

/// One value; None where Go would write null.
fn single(
    table: &Table,
    field: &Field,
    seen: &wire::Field<'_>,
    depth: usize,
) -> Result<Option<Value>, String> {
    Ok(Some(match (field.kind, &seen.content) {
        (Kind::Text, Content::Bytes(b)) => Value::from(String::from_utf8_lossy(b)),
        (Kind::Bytes, Content::Bytes(b)) => Value::from(STANDARD.encode(b)),
        (Kind::Int32 | Kind::Int64 | Kind::Bool, Content::Varint(v)) => scalar(field.kind, *v),
        (Kind::Double, Content::Fixed64(bits)) => {
            Number::from_f64(f64::from_bits(*bits)).map_or(Value::Null, short)
        }
        (Kind::Message(id), Content::Bytes(b)) => return nested(table, id, b, depth + 1),
        _ => return Err(seen.mismatch(&field.go_name())),
    }))
}

/// Go writes whole doubles without a fraction.
fn short(n: Number) -> Value {
    match n.as_f64() {
        Some(f) if f.fract() == 0.0 && f.abs() < 1e15 => json!(f as i64),
        _ => Value::Number(n),
    }
}

fn nested(table: &Table, id: TypeId, raw: &[u8], depth: usize) -> Result<Option<Value>, String> {
    if depth > DEPTH_MAX {
        return Err("exceeded max depth".to_owned());
    }
    let of = table.get(id);
    match of.special {
        Special::None => fields(table, of, raw, depth).map(|m| Some(Value::Object(m))),
        _ => special::decode(table, of, raw, depth),
    }
}

/// An entry of a map; a missing value is the zero of its type.
fn entry(table: &Table, field: &Field, raw: &[u8], depth: usize) -> Result<(String, Value), String> {
    let (mut key, mut value) = (String::new(), None);
    wire::fields(raw, &field.go_name(), |f| {
        match f.number {
            1 => key = String::from_utf8_lossy(f.bytes(&field.go_name())?).into_owned(),
            2 => value = single(table, field, f, depth)?,
            _ => {}
        }
        Ok(())
    })?;
    let zero = || match field.kind {
        Kind::Message(id) => nested(table, id, b"", depth + 1).map(Option::unwrap_or_default),
        Kind::Bool => Ok(json!(false)),
        Kind::Int32 | Kind::Int64 | Kind::Double => Ok(json!(0)),
        Kind::Text | Kind::Bytes => Ok(json!("")),
    };
    Ok((key, value.map_or_else(zero, Ok)?))
}
