//! Variables, pointers and comparisons of the case format.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value, json};

pub(super) type Variables = BTreeMap<String, String>;

/// Replaces `{{name}}`, `{{rv+1000}}`, `{{repeat x 3000}}` in strings and keys.
pub(super) fn substitute(v: &Value, vars: &Variables) -> Result<Value, String> {
    Ok(match v {
        Value::String(s) => Value::String(text(s, vars)?),
        Value::Array(l) => Value::Array(l.iter().map(|x| substitute(x, vars)).collect::<Result<_, _>>()?),
        Value::Object(m) => {
            let mut out = Map::new();
            for (k, x) in m {
                out.insert(text(k, vars)?, substitute(x, vars)?);
            }
            Value::Object(out)
        }
        other => other.clone(),
    })
}

pub(super) fn text(s: &str, vars: &Variables) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = s;
    while let Some(at) = rest.find("{{") {
        let Some(end) = rest[at..].find("}}") else { break };
        let name = rest[at + 2..at + end].trim();
        if name.contains(['{', '}']) {
            out.push_str(&rest[..at + 2]);
            rest = &rest[at + 2..];
            continue;
        }
        out.push_str(&rest[..at]);
        out.push_str(&variable(name, vars)?);
        rest = &rest[at + end + 2..];
    }
    out.push_str(rest);
    Ok(out)
}

fn variable(name: &str, vars: &Variables) -> Result<String, String> {
    if let Some(args) = name.strip_prefix("repeat ") {
        let (what, times) = args.split_once(' ').ok_or("repeat needs two arguments")?;
        return Ok(what.repeat(times.parse().map_err(|_| "repeat needs a count")?));
    }
    if let Some(v) = vars.get(name) {
        return Ok(v.clone());
    }
    if let Some(at) = name.rfind(['+', '-'])
        && let (Some(base), Ok(n)) = (vars.get(&name[..at]), name[at..].parse::<i64>())
    {
        let base: i64 = base.parse().map_err(|_| format!("{name}: not a number"))?;
        return Ok((base + n).to_string());
    }
    Err(format!("no value for {{{{{name}}}}}"))
}

/// A JSON pointer; `name=x` and `metadata.name=x` select the first such element of a list.
pub(super) fn pointer<'a>(v: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('/').skip(1).try_fold(v, |v, seg| {
        let seg = seg.replace("~1", "/").replace("~0", "~");
        match v {
            Value::Array(list) => match (seg.parse::<i64>(), seg.split_once('=')) {
                (Ok(i), _) if i < 0 => list.get(list.len().checked_sub(i.unsigned_abs() as usize)?),
                (Ok(i), _) => list.get(i as usize),
                (_, Some((k, want))) => list
                    .iter()
                    .find(|e| k.split('.').try_fold(*e, |e, k| e.get(k)).is_some_and(|x| printed(x) == want)),
                _ => None,
            },
            Value::Object(m) => m.get(&seg),
            _ => None,
        }
    })
}

/// Removes what a pointer names; `*` means every element.
pub(super) fn drop_at(v: &mut Value, path: &str) {
    let (head, rest) =
        path[1..].split_once('/').map_or((&path[1..], None), |(h, r)| (h, Some(format!("/{r}"))));
    let head = head.replace("~1", "/").replace("~0", "~");
    if head == "*" {
        if let Some(rest) = rest {
            match v {
                Value::Array(l) => l.iter_mut().for_each(|x| drop_at(x, &rest)),
                Value::Object(m) => m.values_mut().for_each(|x| drop_at(x, &rest)),
                _ => {}
            }
        }
        return;
    }
    match v {
        Value::Array(list) => {
            let found = pointer(&Value::Array(list.clone()), &format!("/{head}")).cloned();
            let Some(at) = found.and_then(|f| list.iter().position(|x| *x == f)) else { return };
            match rest {
                Some(rest) => drop_at(&mut list[at], &rest),
                None => {
                    list.remove(at);
                }
            }
        }
        Value::Object(m) => match (rest, m.get_mut(&head)) {
            (Some(rest), Some(x)) => drop_at(x, &rest),
            (None, Some(_)) => {
                m.shift_remove(&head);
            }
            _ => {}
        },
        _ => {}
    }
}

/// A value the way the recorder compared it as text.
fn printed(v: &Value) -> String {
    match v {
        Value::String(s) => s.clone(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Null => "None".to_owned(),
        other => other.to_string(),
    }
}

pub(super) fn holds(op: &str, left: Option<&Value>, right: &Value) -> bool {
    if op == "exists" {
        return left.is_some() == right.as_bool().unwrap_or(true);
    }
    let Some(left) = left else { return false };
    let number = |v: &Value| printed(v).parse::<i64>().ok();
    let size = |v: &Value| match v {
        Value::Array(l) => l.len(),
        Value::Object(m) => m.len(),
        Value::String(s) => s.chars().count(),
        _ => 0,
    } as i64;
    match op {
        "eq" => same(left, right) || printed(left) == printed(right),
        "ne" => printed(left) != printed(right),
        "gt" | "ge" | "lt" | "le" => match (number(left), number(right)) {
            (Some(a), Some(b)) => match op {
                "gt" => a > b,
                "ge" => a >= b,
                "lt" => a < b,
                _ => a <= b,
            },
            _ => false,
        },
        "contains" => {
            let hay = left.as_str().map_or_else(|| left.to_string(), str::to_owned);
            hay.contains(&printed(right))
        }
        "matches" => {
            right.as_str().and_then(|r| Regex::new(r).ok()).is_some_and(|r| r.is_match(&printed(left)))
        }
        "len" => Some(size(left)) == number(right),
        "minlen" => number(right).is_some_and(|n| size(left) >= n),
        _ => false,
    }
}

/// Equality with numbers compared by value (the recorder does not tell 1 from 1.0).
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(a, b)| same(a, b)),
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(k, v)| y.get(k).is_some_and(|w| same(v, w)))
        }
        _ => a == b,
    }
}

/// Where two values differ, one line each, at most `max`.
pub fn differences(path: &str, want: &Value, got: &Value, out: &mut Vec<String>, max: usize) {
    if out.len() >= max || same(want, got) {
        return;
    }
    match (want, got) {
        (Value::Object(w), Value::Object(g)) => {
            for (k, v) in w {
                differences(&format!("{path}/{k}"), v, g.get(k).unwrap_or(&json!("<absent>")), out, max);
            }
            for (k, v) in g.iter().filter(|(k, _)| !w.contains_key(*k)) {
                differences(&format!("{path}/{k}"), &json!("<absent>"), v, out, max);
            }
        }
        (Value::Array(w), Value::Array(g)) if w.len() == g.len() => {
            for (i, (a, b)) in w.iter().zip(g).enumerate() {
                differences(&format!("{path}/{i}"), a, b, out, max);
            }
        }
        _ => out.push(format!("{path}\n      want {}\n      got  {}", clip(want), clip(got))),
    }
}

fn clip(v: &Value) -> String {
    let s = v.to_string();
    if s.chars().count() > 600 { format!("{}..", s.chars().take(600).collect::<String>()) } else { s }
}
