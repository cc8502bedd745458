//! JSON to CEL values and back, functions over JSON, and execution errors in plain words.

use super::{EvalError, Function};
use cel::extractors::Arguments;
use cel::objects::{Key, Map};
use cel::{Context, ExecutionError, FunctionContext, Value as Cel};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// Whole numbers become `int`, as in Kubernetes; the crate's own conversion makes positive ones `uint`.
pub(super) fn from_json(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(b) => Cel::Bool(*b),
        Value::Number(n) => match n.as_i64() {
            Some(int) => Cel::Int(int),
            None => Cel::Float(n.as_f64().unwrap_or(f64::MAX)),
        },
        Value::String(s) => Cel::String(Arc::new(s.clone())),
        Value::Array(items) => Cel::List(Arc::new(items.iter().map(from_json).collect())),
        Value::Object(map) => {
            let entries: HashMap<Key, Cel> =
                map.iter().map(|(k, v)| (Key::String(Arc::new(k.clone())), from_json(v))).collect();
            Cel::Map(Map { map: Arc::new(entries) })
        }
    }
}

/// Maps come back with sorted keys: the crate keeps them unordered.
pub(super) fn to_json(value: &Cel) -> Result<Value, EvalError> {
    let mut json =
        value.json().map_err(|_| EvalError::Failed(format!("a {} is not data", value.type_of())))?;
    json.sort_all_objects();
    Ok(json)
}

pub(super) fn timestamp(now: jiff::Timestamp) -> Cel {
    let text = format!("{now:.3}");
    // The function of CEL itself parses the text, so that this crate needs no second time library.
    let program = cel::Program::compile(&format!("timestamp('{text}')")).ok();
    program.and_then(|p| p.execute(&Context::default()).ok()).unwrap_or(Cel::Null)
}

pub(super) fn register(context: &mut Context<'static>, name: &str, function: Function) {
    let owned = name.to_owned();
    context.add_function(name, move |ftx: &FunctionContext, Arguments(args): Arguments| {
        let fail = |message: String| ExecutionError::function_error(&owned, message);
        let json = |value: &Cel| to_json(value).map_err(|e| fail(e.to_string()));
        let this = ftx.this.as_ref().map(json).transpose()?;
        let args: Vec<Value> = args.iter().map(json).collect::<Result<_, _>>()?;
        function(this.as_ref(), &args).map(|value| from_json(&value)).map_err(fail)
    });
}

pub(super) fn explain(error: &ExecutionError) -> EvalError {
    let text = match error {
        ExecutionError::NoSuchKey(key) => return EvalError::Missing(key.to_string()),
        ExecutionError::IndexOutOfBounds(_) => return EvalError::Missing("[..]".to_owned()),
        ExecutionError::UndeclaredReference(name) => format!("nothing is bound to `{name}`"),
        ExecutionError::FunctionError { function, message } => format!("{function}: {message}"),
        ExecutionError::ValuesNotComparable(a, b) => format!("cannot compare {} with {}", named(a), named(b)),
        ExecutionError::UnsupportedBinaryOperator(op, a, b) => {
            format!("cannot compute {} {op} {}", named(a), named(b))
        }
        ExecutionError::UnsupportedUnaryOperator(op, a) => format!("cannot compute {op} of {}", named(a)),
        ExecutionError::NoSuchOverload => {
            "the types do not fit together, or a field of something without fields is read".to_owned()
        }
        ExecutionError::InvalidArgumentCount { expected, actual } => {
            format!("a function takes {expected} arguments and got {actual}")
        }
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "division by zero".to_owned()
        }
        other => other.to_string(),
    };
    EvalError::Failed(text)
}

fn named(value: &Cel) -> String {
    let json = value.json().map(|v| v.to_string()).unwrap_or_default();
    let short: String = json.chars().take(60).collect();
    format!("{} {short}", value.type_of()).trim_end().to_owned()
}
