//! Messages whose JSON is not an object of their fields: times, quantities, raw JSON, unions.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::table::{MessageType, Table};
use super::wire::{self, Content};
use super::{decode, encode};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    None,
    Time,
    MicroTime,
    Quantity,
    IntOrString,
    /// RawExtension, FieldsV1, apiextensions JSON: the bytes are JSON.
    Raw,
    /// ExtraValue, Verbs and their kin: a list.
    Items,
    /// JSONSchemaPropsOrBool, ..OrArray, ..OrStringArray.
    SchemaOrBool,
    SchemaOrList,
}

impl Special {
    pub(super) fn of(name: &str) -> Special {
        match name {
            "meta.v1.Time" => Special::Time,
            "meta.v1.MicroTime" => Special::MicroTime,
            "resource.Quantity" => Special::Quantity,
            "intstr.IntOrString" => Special::IntOrString,
            "runtime.RawExtension" | "meta.v1.FieldsV1" | "apiextensions.v1.JSON" => Special::Raw,
            "apiextensions.v1.JSONSchemaPropsOrBool" => Special::SchemaOrBool,
            "apiextensions.v1.JSONSchemaPropsOrArray" | "apiextensions.v1.JSONSchemaPropsOrStringArray" => {
                Special::SchemaOrList
            }
            _ if name.ends_with(".ExtraValue") || name == "meta.v1.Verbs" => Special::Items,
            _ => Special::None,
        }
    }
}

/// Reads a special message; None where Go would write nothing or null.
pub(super) fn decode(
    table: &Table,
    of: &MessageType,
    raw: &[u8],
    depth: usize,
) -> Result<Option<Value>, String> {
    match of.special {
        Special::None => Ok(None),
        Special::Time | Special::MicroTime => time(raw, of.special == Special::MicroTime),
        Special::Quantity => {
            let mut text = String::from("0");
            wire::fields(raw, "Quantity", |f| {
                if f.number == 1 {
                    text = String::from_utf8_lossy(f.bytes("String")?).into_owned();
                }
                Ok(())
            })?;
            Ok(Some(Value::from(text)))
        }
        Special::IntOrString => int_or_string(raw).map(Some),
        Special::Raw => {
            let mut found = None;
            wire::fields(raw, of.short_name(), |f| {
                if f.number == 1 {
                    found = Some(f.bytes("Raw")?);
                }
                Ok(())
            })?;
            match found {
                None | Some([]) => Ok(None),
                Some(text) => serde_json::from_slice(text).map(Some).map_err(|e| e.to_string()),
            }
        }
        Special::Items => {
            let all = decode::fields(table, of, raw, depth)?;
            Ok(Some(all.into_iter().next().map_or_else(|| json!([]), |(_, v)| v)))
        }
        Special::SchemaOrBool | Special::SchemaOrList => union(table, of, raw, depth),
    }
}

fn time(raw: &[u8], micro: bool) -> Result<Option<Value>, String> {
    let (mut seconds, mut nanos) = (0_i64, 0_i64);
    wire::fields(raw, "Timestamp", |f| {
        let int = |name: &str| match f.content {
            Content::Varint(v) => Ok(v.cast_signed()),
            _ => Err(f.mismatch(name)),
        };
        match f.number {
            1 => seconds = int("Seconds")?,
            2 => nanos = int("Nanos")?,
            _ => {}
        }
        Ok(())
    })?;
    // Without bytes the time stays the zero one, which JSON writes as null.
    if raw.is_empty() {
        return Ok(None);
    }
    let nanos = i32::try_from(nanos.clamp(0, 999_999_999)).unwrap_or(0);
    let t = Timestamp::new(seconds, nanos).map_err(|_| "Time is outside of years 0 to 9999".to_owned())?;
    let format = if micro { "%Y-%m-%dT%H:%M:%S.%6fZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
    Ok(Some(Value::from(t.strftime(format).to_string())))
}

fn int_or_string(raw: &[u8]) -> Result<Value, String> {
    let (mut kind, mut int, mut text) = (0_u64, 0_i64, String::new());
    wire::fields(raw, "IntOrString", |f| {
        match (f.number, &f.content) {
            (1, Content::Varint(v)) => kind = *v,
            (2, Content::Varint(v)) => int = v.cast_signed(),
            (3, Content::Bytes(b)) => text = String::from_utf8_lossy(b).into_owned(),
            (1, _) => return Err(f.mismatch("Type")),
            (2, _) => return Err(f.mismatch("IntVal")),
            (3, _) => return Err(f.mismatch("StrVal")),
            _ => {}
        }
        Ok(())
    })?;
    Ok(if kind == 0 { json!(int) } else { json!(text) })
}

/// A schema, or else a flag or a list.
fn union(table: &Table, of: &MessageType, raw: &[u8], depth: usize) -> Result<Option<Value>, String> {
    let (mut schema, mut flag, mut list) = (None, None, Vec::new());
    for (number, value) in decode::numbered(table, of, raw, depth)? {
        match (of.special, number) {
            (Special::SchemaOrBool, 1) => flag = Some(value),
            (Special::SchemaOrBool, _) | (_, 1) => schema = Some(value),
            _ => list.push(value),
        }
    }
    Ok(Some(match (schema, flag) {
        (Some(s), _) => s,
        (None, Some(f)) => f,
        (None, None) if of.special == Special::SchemaOrBool => json!(false),
        (None, None) => Value::Array(list),
    }))
}

/// Writes the content of a special message; a null or absent value is Go's zero.
pub(super) fn encode(table: &Table, of: &MessageType, value: &Value, out: &mut Vec<u8>) {
    match of.special {
        Special::None => {}
        Special::Time | Special::MicroTime => {
            if let Some(t) = value.as_str().and_then(|s| s.parse::<Timestamp>().ok()) {
                let micros = i64::from(t.subsec_nanosecond()) / 1000 * 1000;
                wire::put_int(out, 1, t.as_second());
                wire::put_int(out, 2, if of.special == Special::MicroTime { micros } else { 0 });
            }
        }
        Special::Quantity => {
            let text = match value {
                Value::String(s) => s.clone(),
                Value::Number(n) => n.to_string(),
                _ => "0".to_owned(),
            };
            wire::put_bytes(out, 1, text.as_bytes());
        }
        Special::IntOrString => {
            wire::put_int(out, 1, i64::from(value.is_string()));
            wire::put_int(out, 2, value.as_i64().unwrap_or(0));
            wire::put_bytes(out, 3, value.as_str().unwrap_or("").as_bytes());
        }
        Special::Raw => {
            if !value.is_null() {
                wire::put_bytes(out, 1, value.to_string().as_bytes());
            }
        }
        Special::Items => {
            for item in value.as_array().into_iter().flatten() {
                wire::put_bytes(out, 1, item.as_str().unwrap_or("").as_bytes());
            }
        }
        Special::SchemaOrBool => {
            // A schema stands for "true" (apiextensions, JSONSchemaPropsOrBool.UnmarshalJSON).
            wire::put_int(out, 1, i64::from(value != &Value::Bool(false)));
            if value.is_object() {
                encode::numbered(table, of, 2, value, out);
            }
        }
        Special::SchemaOrList => match value {
            Value::Array(items) => items.iter().for_each(|i| encode::numbered(table, of, 2, i, out)),
            Value::Object(_) => encode::numbered(table, of, 1, value, out),
            _ => {}
        },
    }
}
