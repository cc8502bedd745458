//! Plain scalars by the table of go-yaml 2 (`resolve.go`).

use base64::Engine;
use serde_json::{Number, Value};

use super::Node;

/// What a scalar means; `tag` as written or resolved, such as `!!int`.
pub(super) fn resolve(text: &str, plain: bool, tag: Option<String>) -> Result<Node, String> {
    let string = || Node::Plain(Value::from(text));
    let short = tag.map(|t| match t.strip_prefix("tag:yaml.org,2002:") {
        Some(name) => format!("!!{name}"),
        None => t,
    });
    match short.as_deref() {
        None if !plain => Ok(string()),
        None => Ok(implicit(text).0),
        Some("!!binary") => {
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(text.trim())
                .map_err(|_| "yaml: !!binary value contains invalid base64 data".to_owned())?;
            Ok(Node::Plain(Value::from(String::from_utf8_lossy(&bytes))))
        }
        Some(wanted @ ("!!int" | "!!float" | "!!bool" | "!!null")) => {
            let (node, found) = implicit(text);
            if found == wanted || (wanted == "!!float" && found == "!!int") {
                return Ok(node);
            }
            Err(format!("yaml: cannot decode {found} `{text}` as a {wanted}"))
        }
        Some(_) => Ok(string()),
    }
}

fn implicit(text: &str) -> (Node, &'static str) {
    let plain = |v: Value| Node::Plain(v);
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return (plain(Value::Null), "!!null"),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return (plain(true.into()), "!!bool");
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return (plain(false.into()), "!!bool");
        }
        ".nan" | ".NaN" | ".NAN" => return (Node::Unspeakable("NaN"), "!!float"),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return (Node::Unspeakable("+Inf"), "!!float");
        }
        "-.inf" | "-.Inf" | "-.INF" => return (Node::Unspeakable("-Inf"), "!!float"),
        _ => {}
    }
    if text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        let bare = text.replace('_', "");
        if !text.starts_with('.')
            && let Some(n) = integer(&bare)
        {
            return (plain(Value::Number(n)), "!!int");
        }
        if let Some(n) = float(&bare) {
            return (plain(n), "!!float");
        }
    }
    (plain(Value::from(text)), "!!str")
}

/// `strconv.ParseInt(s, 0, 64)`, then unsigned.
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, &lower[..]),
    };
    if digits.is_empty() || digits.starts_with(['+', '-']) {
        return None;
    }
    let signed = if negative { format!("-{digits}") } else { digits.to_owned() };
    i64::from_str_radix(&signed, radix)
        .map(Number::from)
        .ok()
        .or_else(|| u64::from_str_radix(&signed, radix).ok().map(Number::from))
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`; too large a number stays text.
fn float(text: &str) -> Option<Value> {
    let bare = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = bare.split_once(['e', 'E']).map_or((bare, None), |(m, e)| (m, Some(e)));
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let good = (digits(whole) && (fraction.is_empty() || digits(fraction)))
        || (whole.is_empty() && digits(fraction));
    if !good || exponent.is_some_and(|e| !digits(e.strip_prefix(['-', '+']).unwrap_or(e))) {
        return None;
    }
    let n: f64 = text.parse().ok().filter(|n: &f64| n.is_finite())?;
    if n.fract() == 0.0 && n.abs() < 1e15 && !(n == 0.0 && n.is_sign_negative()) {
        return Some(Value::from(n as i64));
    }
    Number::from_f64(n).map(Value::Number)
}
