//! Looking into answers: JSON pointers with `key=x`, `key^x` in lists and `#` for the length, and conditions on them.

use serde_json::{Value, json};

pub fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub fn find(value: &Value, path: &str) -> Option<Value> {
    let mut at = value.clone();
    for segment in path.split('/').skip(1) {
        let segment = segment.replace("~1", "/").replace("~0", "~");
        at = match &at {
            Value::Array(l) if segment == "#" => json!(l.len()),
            Value::Object(m) if segment == "#" => json!(m.len()),
            Value::Array(l) => element(l, &segment)?.clone(),
            Value::Object(m) => m.get(&segment)?.clone(),
            _ => return None,
        };
    }
    Some(at)
}

fn element<'a>(list: &'a [Value], segment: &str) -> Option<&'a Value> {
    if let Ok(index) = segment.parse::<usize>() {
        return list.get(index);
    }
    if let Some((k, x)) = segment.split_once('=') {
        return list.iter().find(|e| e.get(k).is_some_and(|v| text(v) == x));
    }
    let (k, x) = segment.split_once('^')?;
    list.iter().find(|e| e.get(k).is_some_and(|v| text(v).starts_with(x)))
}

/// Removes a member; `*` stands for every element or member.
pub fn remove(value: &mut Value, path: &str) {
    let (head, rest) = path[1..].split_once('/').map_or((&path[1..], None), |(h, r)| (h, Some(r)));
    match (value, rest) {
        (Value::Array(l), Some(rest)) if head == "*" => {
            l.iter_mut().for_each(|v| remove(v, &format!("/{rest}")));
        }
        (Value::Object(m), Some(rest)) if head == "*" => {
            m.values_mut().for_each(|v| remove(v, &format!("/{rest}")));
        }
        (Value::Object(m), Some(rest)) => {
            if let Some(next) = m.get_mut(head) {
                remove(next, &format!("/{rest}"));
            }
        }
        (Value::Array(l), Some(rest)) => {
            if let Some(next) = head.parse::<usize>().ok().and_then(|i| l.get_mut(i)) {
                remove(next, &format!("/{rest}"));
            }
        }
        (Value::Object(m), None) => {
            m.shift_remove(head);
        }
        _ => {}
    }
}

/// Sets or, with `{{none}}`, removes what a pointer of a variant's patch names.
pub fn apply(body: &mut Value, path: &str, new: &Value) {
    if path.is_empty() {
        *body = new.clone();
        return;
    }
    let (above, last) = path.rsplit_once('/').unwrap_or(("", ""));
    let last = last.replace("~1", "/").replace("~0", "~");
    match body.pointer_mut(above) {
        Some(Value::Object(m)) if new == "{{none}}" => {
            m.shift_remove(&last);
        }
        Some(Value::Object(m)) => {
            m.insert(last, new.clone());
        }
        Some(Value::Array(l)) => l[last.parse::<usize>().unwrap()] = new.clone(),
        _ => panic!("a patch of {path} has nowhere to go"),
    }
}

/// `left op right`.
pub fn holds(op: &str, left: Option<&Value>, right: &Value) -> bool {
    if op == "exists" {
        return left.is_some() == (right != &json!(false));
    }
    let Some(left) = left else { return false };
    let number = |v: &Value| v.as_f64().or_else(|| v.as_str()?.parse().ok()).unwrap_or(f64::NAN);
    let length = || match left {
        Value::Array(l) => l.len(),
        Value::Object(m) => m.len(),
        other => text(other).len(),
    };
    match op {
        "in" => right.as_array().is_some_and(|l| l.contains(left)),
        "eq" => left == right || text(left) == text(right),
        "ne" => text(left) != text(right),
        "gt" => number(left) > number(right),
        "ge" => number(left) >= number(right),
        "lt" => number(left) < number(right),
        "le" => number(left) <= number(right),
        "contains" => text(left).contains(&text(right)),
        "matches" => regex::Regex::new(&text(right)).unwrap().is_match(&text(left)),
        "len" => length() as f64 == number(right),
        "minlen" => length() as f64 >= number(right),
        other => panic!("unknown operator {other}"),
    }
}
