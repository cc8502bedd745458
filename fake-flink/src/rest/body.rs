//! Request bodies read the way Jackson reads them into Flink's classes: lenient about scalars, strict about enums.
//!
//! Reference section 1: empty is `{}`, text after the first value is ignored, `null` is a NullPointerException, unknown
//! members are refused by 1.18 only.

use super::error::{RestError, rest_caused};
use crate::ids::parse_hex32;
use crate::throwable::{Throwable, class};
use crate::version::Version;
use http::StatusCode;
use serde_json::{Map, Value};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Text,
    Bool,
    Int,
    Long,
    Enum(&'static [&'static str]),
    Hex32,
    TextList,
    TextMap,
    /// The bounds of one vertex.
    Requirement,
    Any,
}

pub(crate) struct Spec {
    pub class: &'static str,
    pub members: &'static [(&'static str, Kind)],
    pub required: &'static [&'static str],
    /// Members not listed are data (resource requirements).
    pub open: bool,
}

/// In the order of the Java enum: a number picks by position.
const FORMATS: Kind = Kind::Enum(&["CANONICAL", "NATIVE"]);
const CLAIM: Kind = Kind::Enum(&["CLAIM", "NO_CLAIM", "LEGACY"]);

const fn spec(class: &'static str, members: &'static [(&'static str, Kind)]) -> Spec {
    Spec { class, members, required: &[], open: false }
}

pub(crate) static EMPTY: Spec = spec("EmptyRequestBody", &[]);
pub(crate) static SAVEPOINT: Spec = spec(
    "SavepointTriggerRequestBody",
    &[
        ("target-directory", Kind::Text),
        ("cancel-job", Kind::Bool),
        ("formatType", FORMATS),
        ("triggerId", Kind::Hex32),
    ],
);
pub(crate) static STOP: Spec = spec(
    "StopWithSavepointRequestBody",
    &[
        ("targetDirectory", Kind::Text),
        ("drain", Kind::Bool),
        ("formatType", FORMATS),
        ("triggerId", Kind::Hex32),
    ],
);
pub(crate) static CHECKPOINT: Spec = spec(
    "CheckpointTriggerRequestBody",
    &[("checkpointType", Kind::Enum(&["CONFIGURED", "FULL", "INCREMENTAL"])), ("triggerId", Kind::Hex32)],
);
pub(crate) static DISPOSAL: Spec = spec("SavepointDisposalRequest", &[("savepoint-path", Kind::Text)]);
pub(crate) static HEARTBEAT: Spec = Spec {
    class: "JobClientHeartbeatRequestBody",
    members: &[("expiredTimestamp", Kind::Long)],
    required: &["expiredTimestamp"],
    open: false,
};
pub(crate) static REQUIREMENTS: Spec =
    Spec { class: "JobResourceRequirementsBody", members: &[], required: &[], open: true };
pub(crate) static COORDINATION: Spec =
    spec("ClientCoordinationRequestBody", &[("serializedCoordinationRequest", Kind::Text)]);
pub(crate) static SUBMIT: Spec = spec(
    "JobSubmitRequestBody",
    &[
        ("jobGraphFileName", Kind::Text),
        ("executionPlanFileName", Kind::Text),
        ("jobJarFileNames", Kind::TextList),
        ("jobArtifactFileNames", Kind::Any),
    ],
);
pub(crate) static PROFILING: Spec = Spec {
    class: "ProfilingRequestBody",
    members: &[("mode", Kind::Enum(&["CPU", "ALLOC", "LOCK", "WALL", "ITIMER"])), ("duration", Kind::Int)],
    required: &["duration"],
    open: false,
};
pub(crate) static JAR_PLAN: Spec = spec(
    "JarPlanRequestBody",
    &[
        ("entryClass", Kind::Text),
        ("programArgs", Kind::Text),
        ("programArgsList", Kind::TextList),
        ("parallelism", Kind::Int),
        ("jobId", Kind::Hex32),
        ("flinkConfiguration", Kind::TextMap),
    ],
);
pub(crate) static JAR_RUN: Spec = spec(
    "JarRunRequestBody",
    &[
        ("entryClass", Kind::Text),
        ("programArgs", Kind::Text),
        ("programArgsList", Kind::TextList),
        ("parallelism", Kind::Int),
        ("jobId", Kind::Hex32),
        ("allowNonRestoredState", Kind::Bool),
        ("savepointPath", Kind::Text),
        ("restoreMode", CLAIM),
        ("claimMode", CLAIM),
        ("flinkConfiguration", Kind::TextMap),
    ],
);

/// The members with their values made into the type of the class; null members are left out.
pub(crate) fn read(bytes: &[u8], spec: &Spec, version: Version) -> Result<Map<String, Value>, RestError> {
    if bytes.is_empty() {
        return check(Map::new(), spec, version).map_err(|why| match why {
            RestError::Handler { status, cause } => {
                let text = "Bad request received. Request did not conform to expected format.";
                RestError::Handler { status, cause: Throwable { message: Some(text.to_owned()), ..cause } }
            }
            other => other,
        });
    }
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let first = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>().next();
    match first {
        Some(Ok(Value::Object(members))) => check(members, spec, version),
        // 1.18 can make the heartbeat body from a bare number and from nothing else (recorded).
        Some(Ok(Value::Number(_))) if spec.class == HEARTBEAT.class && version.rejects_unknown_fields() => {
            Ok(Map::new())
        }
        Some(Ok(Value::Null)) => Err(RestError::Server(Throwable::bare(class::NULL_POINTER))),
        Some(Ok(_)) => Err(mismatch(spec, "exc.MismatchedInputException", "Cannot deserialize value")),
        Some(Err(why)) => Err(mismatch(spec, "core.JsonParseException", &why.to_string())),
        // Nothing but white space.
        None => Err(mismatch(spec, "exc.MismatchedInputException", "No content to map due to end-of-input")),
    }
}

fn check(
    members: Map<String, Value>,
    spec: &Spec,
    version: Version,
) -> Result<Map<String, Value>, RestError> {
    // The class of 1.18 has no creator Jackson could use (recorded).
    if spec.class == HEARTBEAT.class && version.rejects_unknown_fields() {
        return Err(mismatch(spec, "exc.InvalidDefinitionException", "Cannot construct instance"));
    }
    let mut out = Map::new();
    for (name, value) in members {
        let kind = match spec.members.iter().find(|(member, _)| *member == name) {
            // 2.0 dropped the text form.
            Some(_) if name == "programArgs" && version.is_2() => continue,
            Some((_, kind)) if name != "claimMode" || !version.rejects_unknown_fields() => *kind,
            None if spec.open && parse_hex32(&name).is_some() => Kind::Requirement,
            None if spec.open => {
                return Err(mismatch(spec, "exc.InvalidFormatException", "Cannot deserialize Map key"));
            }
            _ if version.rejects_unknown_fields() => {
                let text = format!("Unrecognized field \"{name}\"");
                return Err(mismatch(spec, "exc.UnrecognizedPropertyException", &text));
            }
            _ => continue,
        };
        if is_absent(&value, kind) {
            continue;
        }
        let read = convert(value, kind).ok_or_else(|| {
            let text = format!("Cannot deserialize value of member \"{name}\"");
            mismatch(spec, "exc.InvalidFormatException", &text)
        })?;
        out.insert(name, read);
    }
    if let Some(missing) = spec.required.iter().find(|name| !out.contains_key(**name)) {
        let text = format!("Missing required creator property '{missing}'");
        return Err(mismatch(spec, "exc.MismatchedInputException", &text));
    }
    Ok(out)
}

/// Null, and for numbers the empty text. A vertex may be named without bounds.
fn is_absent(value: &Value, kind: Kind) -> bool {
    match kind {
        Kind::Requirement => false,
        Kind::Int | Kind::Long => value.is_null() || *value == "",
        _ => value.is_null(),
    }
}

fn mismatch(spec: &Spec, kind: &str, text: &str) -> RestError {
    let package = if kind.starts_with("core.") { "" } else { "databind." };
    let class = format!("org.apache.flink.shaded.jackson2.com.fasterxml.jackson.{package}{kind}");
    let message = format!("Request did not match expected format {}.", spec.class);
    rest_caused(StatusCode::BAD_REQUEST, message, Throwable::new(&class, text))
}

fn convert(value: Value, kind: Kind) -> Option<Value> {
    match (kind, value) {
        (Kind::Any, value) => Some(value),
        (Kind::Text, value) => scalar_text(&value).map(Value::String),
        (Kind::Bool, Value::Bool(b)) => Some(Value::Bool(b)),
        (Kind::Bool, Value::Number(n)) => Some(Value::Bool(n.as_i64()? != 0)),
        (Kind::Bool, Value::String(s)) => match s.trim() {
            "true" | "True" | "TRUE" => Some(Value::Bool(true)),
            "false" | "False" | "FALSE" | "" => Some(Value::Bool(false)),
            _ => None,
        },
        (Kind::Int, value) => i64::from(i32::try_from(whole(&value)?).ok()?).into_value(),
        (Kind::Long, value) => whole(&value)?.into_value(),
        (Kind::Enum(names), value) => constant(names, &value).map(Value::from),
        (Kind::Requirement, value) => is_requirement(&value).then_some(value),
        (Kind::Hex32, Value::String(s)) => parse_hex32(&s).map(Value::String),
        (Kind::TextList, Value::Array(items)) => {
            let text = |v: &Value| if v.is_null() { Some(String::new()) } else { scalar_text(v) };
            let texts: Option<Vec<Value>> = items.iter().map(|v| text(v).map(Value::String)).collect();
            texts.map(Value::Array)
        }
        (Kind::TextMap, Value::Object(members)) => {
            // A null is found out later, by who puts it into the configuration.
            let text =
                |v: &Value| if v.is_null() { Some(Value::Null) } else { scalar_text(v).map(Value::String) };
            let texts: Option<Map<String, Value>> =
                members.iter().map(|(k, v)| Some((k.clone(), text(v)?))).collect();
            texts.map(Value::Object)
        }
        (Kind::Bool | Kind::Hex32 | Kind::TextList | Kind::TextMap, _) => None,
    }
}

/// By name, or by position as number or digits.
fn constant(names: &'static [&'static str], value: &Value) -> Option<&'static str> {
    let named = names.iter().find(|name| *value == **name);
    let position = || match value {
        Value::Number(n) => n.as_u64(),
        Value::String(s) => s.parse().ok(),
        _ => None,
    };
    named.or_else(|| names.get(usize::try_from(position()?).ok()?)).copied()
}

fn is_requirement(value: &Value) -> bool {
    let bound = |name: &str| {
        let value = value.pointer(&format!("/parallelism/{name}"));
        value.and_then(whole).is_some_and(|bound| i32::try_from(bound).is_ok())
    };
    value.is_null() || bound("lowerBound") && bound("upperBound")
}

trait IntoValue {
    fn into_value(self) -> Option<Value>;
}

impl IntoValue for i64 {
    fn into_value(self) -> Option<Value> {
        Some(Value::from(self))
    }
}

/// A number as Jackson reads it into a whole one: digits in a text, and what is before the point.
pub(super) fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(n) => n.as_i64().or_else(|| {
            let inside = |f: &f64| f.abs() < i64::MAX as f64;
            n.as_f64().filter(inside).map(|f| f as i64)
        }),
        Value::String(s) => s.trim().parse().ok(),
        _ => None,
    }
}

fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(s) => Some(s.clone()),
        Value::Number(n) => Some(n.to_string()),
        Value::Bool(b) => Some(b.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
