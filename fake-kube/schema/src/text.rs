//! How Go prints values: `%q`, `%v` of decoded JSON, and encoding/json. Error texts are byte-exact, so this matters.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::tz::Offset;
use serde_json::{Number, Value};

/// `metav1.Time`: whole seconds in UTC. Two of them go into every object.
pub fn time_text(time: Timestamp) -> String {
    let at = Offset::UTC.to_datetime(time);
    let numbers = [at.month(), at.day(), at.hour(), at.minute(), at.second()];
    if !(0..10_000).contains(&at.year()) {
        return time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    }
    let mut out = Vec::with_capacity("2006-01-02T15:04:05Z".len());
    let digits = |number: i16| [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8];
    out.extend(digits(at.year() / 100));
    out.extend(digits(at.year() % 100));
    for (before, number) in b"--T::".iter().zip(numbers) {
        out.push(*before);
        out.extend(digits(number.into()));
    }
    out.push(b'Z');
    String::from_utf8(out).unwrap_or_default()
}

/// `%q`: a Go string literal.
pub fn go_quote(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                write_escape(&mut out, format_args!("\\x{:02x}", c as u32))
            }
            c if c.is_control() => write_escape(&mut out, format_args!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn write_escape(out: &mut String, args: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(args);
}

/// How `field.Error` prints a bad value: strings quoted the Go way, everything else as compact JSON with sorted keys.
pub fn json_text(value: &Value) -> String {
    match value {
        Value::String(s) => go_quote(s),
        Value::Number(n) => number_text(n),
        other => compact_json(other),
    }
}

/// encoding/json of decoded JSON: compact, object keys sorted, floats the Go way.
pub fn compact_json(value: &Value) -> String {
    let mut out = String::new();
    push_json(&mut out, value);
    out
}

fn push_json(out: &mut String, value: &Value) {
    match value {
        Value::Number(n) => out.push_str(&json_number(n)),
        Value::String(_) | Value::Null | Value::Bool(_) => out.push_str(&value.to_string()),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                push_json(out, item);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (i, (key, item)) in sorted(map).into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                push_json(out, item);
            }
            out.push('}');
        }
    }
}

fn sorted(map: &serde_json::Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by(|a, b| a.0.cmp(b.0));
    entries
}

/// A number as Go's `%v` prints it: integers bare, floats by [`float_text`].
pub fn number_text(n: &Number) -> String {
    match n.as_f64() {
        Some(f) if n.is_f64() => float_text(f),
        _ => n.to_string(),
    }
}

/// `%v` of a float64: shortest digits, exponent form below 1e-4 and from 1e+06 on (`1e+20`, `0.3`, `10`).
pub fn float_text(f: f64) -> String {
    float_with_exponent(f, -4, 6, 2)
}

/// A float64 in encoding/json: exponent form below 1e-6 and from 1e21 on, one exponent digit at least.
fn json_number(n: &Number) -> String {
    match n.as_f64() {
        Some(f) if n.is_f64() => float_with_exponent(f, -6, 21, 1),
        _ => n.to_string(),
    }
}

fn float_with_exponent(f: f64, plain_from: i32, plain_below: i32, digits_min: usize) -> String {
    let text = format!("{f:e}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let plain = exponent.parse::<i32>().is_ok_and(|e| (plain_from..plain_below).contains(&e));
    if plain || f == 0.0 {
        return format!("{f}");
    }
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>digits_min$}")
}

/// `%v` of decoded JSON: `map[a:1 b:[x y]]`, strings bare, null `<nil>`.
pub fn go_value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => number_text(n),
        Value::String(s) => s.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go_value).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let entries: Vec<String> =
                sorted(map).into_iter().map(|(k, v)| format!("{k}:{}", go_value(v))).collect();
            format!("map[{}]", entries.join(" "))
        }
    }
}

/// `%#v` of decoded JSON, as structured-merge-diff prints what it got instead of a string.
pub fn go_syntax(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".into(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => number_text(n),
        Value::String(s) => go_quote(s),
        Value::Array(items) => {
            format!("[]interface {{}}{{{}}}", items.iter().map(go_syntax).collect::<Vec<_>>().join(", "))
        }
        Value::Object(map) => {
            let entries: Vec<String> =
                sorted(map).into_iter().map(|(k, v)| format!("{}:{}", go_quote(k), go_syntax(v))).collect();
            format!("map[string]interface {{}}{{{}}}", entries.join(", "))
        }
    }
}

/// `%T` of decoded JSON.
pub fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_are_whole_seconds() {
        let check = |time: &str, expected: &str| {
            let time: Timestamp = time.parse().expect("a time");
            assert_eq!(time_text(time), expected);
            assert_eq!(time_text(time), time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        };
        check("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z");
        check("2024-02-29T23:59:59.999999999Z", "2024-02-29T23:59:59Z");
        check("1969-12-31T23:59:58.5Z", "1969-12-31T23:59:58Z");
        check("0999-10-11T12:13:14Z", "0999-10-11T12:13:14Z");
        check("9999-12-30T00:00:00Z", "9999-12-30T00:00:00Z");
    }

    #[test]
    fn values_print_as_go_prints_them() {
        let rows = [
            (json!("a\"b\\c"), "\"a\\\"b\\\\c\""),
            (json!(1e20), "1e+20"),
            (json!(0.3), "0.3"),
            (json!(10.0), "10"),
            (json!(1234567.0), "1.234567e+06"),
            (json!([1234567.0]), "[1234567]"),
            (json!({"b": 1, "a": [null, true]}), "{\"a\":[null,true],\"b\":1}"),
        ];
        for (value, expected) in rows {
            assert_eq!(json_text(&value), expected);
        }
        assert_eq!(go_value(&json!({"image": "x", "a": [1, {"b": 2}]})), "map[a:[1 map[b:2]] image:x]");
    }
}
