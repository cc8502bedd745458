//! Compares a pattern with a value and says field by field what differs.

use super::path::join;
use super::{Operator, Ordering, Pattern, Tree};
use crate::source::{Source, Span};
use crate::yaml::Node;
use serde_json::{Number, Value};

/// One difference. `actual` is `None` when the field is absent.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Mismatch {
    pub path: String,
    /// What was wanted, in words or as JSON.
    pub expected: String,
    pub actual: Option<Value>,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = if self.path.is_empty() { "(whole)" } else { &self.path };
        match &self.actual {
            Some(actual) => write!(f, "{path}: expected {}, is {}", self.expected, brief(actual)),
            None => write!(f, "{path}: expected {}, is absent", self.expected),
        }
    }
}

/// Matches a tree that a program made. A bad operator is a mismatch that says so.
pub fn partial_match(expected: &Value, actual: &Value) -> Result<(), Vec<Mismatch>> {
    let nowhere = Span::start_of(&Source::new("tree", ""));
    let mismatches = match Tree::compile(&Node::from_json(expected, &nowhere)) {
        Ok(tree) => tree.mismatches(Some(actual)),
        Err(problems) => {
            let bad = problems.iter().map(|p| Mismatch {
                path: p.path.clone(),
                expected: p.message.clone(),
                actual: None,
            });
            bad.collect()
        }
    };
    if mismatches.is_empty() { Ok(()) } else { Err(mismatches) }
}

/// One line per difference.
pub fn render(mismatches: &[Mismatch]) -> String {
    mismatches.iter().map(|m| format!("{m}\n")).collect()
}

pub(super) fn mismatches(pattern: &Pattern, actual: Option<&Value>) -> Vec<Mismatch> {
    let mut out = Vec::new();
    compare(pattern, actual, "", &mut out);
    out
}

pub(super) fn fields(pattern: &Pattern) -> Vec<String> {
    let mut out = Vec::new();
    collect(pattern, "", &mut out);
    out
}

fn collect(pattern: &Pattern, path: &str, out: &mut Vec<String>) {
    match pattern {
        Pattern::Keys(keys) if !keys.is_empty() => {
            keys.iter().for_each(|(key, inner)| collect(inner, &join(path, key), out));
        }
        _ => out.push(path.to_owned()),
    }
}

fn compare(pattern: &Pattern, actual: Option<&Value>, path: &str, out: &mut Vec<Mismatch>) {
    match pattern {
        Pattern::Equal(wanted) => {
            // An explicit null asks for a field that is null or not there: the API server drops nulls.
            if !equal(wanted, actual.unwrap_or(&Value::Null)) {
                out.push(mismatch(path, brief(wanted), actual));
            }
        }
        Pattern::Keys(keys) => match actual {
            Some(Value::Object(map)) => {
                keys.iter().for_each(|(key, inner)| compare(inner, map.get(key), &join(path, key), out));
            }
            // Descend all the same: `$absent` below an absent map holds, and each wanted field gets its line.
            None if !keys.is_empty() => {
                keys.iter().for_each(|(key, inner)| compare(inner, None, &join(path, key), out));
            }
            other => out.push(mismatch(path, "a map".to_owned(), other)),
        },
        Pattern::Items(wanted) => items(wanted, actual, path, out),
        Pattern::All(operators) => operators.iter().for_each(|operator| apply(operator, actual, path, out)),
    }
}

fn items(wanted: &[Pattern], actual: Option<&Value>, path: &str, out: &mut Vec<Mismatch>) {
    let Some(Value::Array(list)) = actual else {
        return out.push(mismatch(path, "a list".to_owned(), actual));
    };
    if list.len() != wanted.len() {
        let expected =
            format!("{} elements (use `$contains` for some of them), has {}", wanted.len(), list.len());
        out.push(mismatch(path, expected, actual));
    }
    for (i, (pattern, value)) in wanted.iter().zip(list).enumerate() {
        compare(pattern, Some(value), &format!("{path}[{i}]"), out);
    }
}

fn apply(operator: &Operator, actual: Option<&Value>, path: &str, out: &mut Vec<Mismatch>) {
    let mut refuse = |expected: String| out.push(mismatch(path, expected, actual));
    match operator {
        Operator::Absent(wanted) | Operator::Present(wanted) => {
            let absent = matches!(operator, Operator::Absent(_)) == *wanted;
            if absent != actual.is_none_or(Value::is_null) {
                refuse(if absent { "absent" } else { "present" }.to_owned());
            }
        }
        Operator::Exact(wanted) => exact(wanted, actual, path, out),
        Operator::Matches(regex) => {
            if !actual.and_then(Value::as_str).is_some_and(|text| regex.is_match(text)) {
                refuse(format!("text that fits /{}/", regex.as_str()));
            }
        }
        Operator::Compare(ordering, bound) => {
            let holds = actual.and_then(Value::as_number).is_some_and(|n| ordered(*ordering, n, bound));
            if !holds {
                refuse(format!("{} {bound}", ordering.sign()));
            }
        }
        Operator::Length(inner) => {
            let length = match actual {
                Some(Value::Array(list)) => Some(list.len()),
                Some(Value::Object(map)) => Some(map.len()),
                Some(Value::String(text)) => Some(text.chars().count()),
                _ => None,
            };
            compare(inner, length.map(Value::from).as_ref(), &format!("{path}.$length"), out);
        }
        Operator::Not(inner) => {
            if mismatches(inner, actual).is_empty() {
                refuse(format!("not {}", describe(inner)));
            }
        }
        Operator::AnyOf(choices) => {
            if !choices.iter().any(|choice| mismatches(choice, actual).is_empty()) {
                let all = choices.iter().map(describe).collect::<Vec<_>>().join(" or ");
                refuse(all);
            }
        }
        Operator::Contains(wanted) => contains(wanted, actual, path, out),
        Operator::ByKey(key, wanted) => by_key(key, wanted, actual, path, out),
    }
}

/// Exactly equal, told per field: differing, missing and surplus ones.
fn exact(wanted: &Value, actual: Option<&Value>, path: &str, out: &mut Vec<Mismatch>) {
    match (wanted, actual) {
        (Value::Object(want), Some(Value::Object(have))) => {
            want.iter().for_each(|(key, value)| exact(value, have.get(key), &join(path, key), out));
            let surplus = have.iter().filter(|(key, _)| !want.contains_key(*key));
            out.extend(
                surplus.map(|(key, value)| mismatch(&join(path, key), "absent".to_owned(), Some(value))),
            );
        }
        (Value::Array(want), Some(Value::Array(have))) if want.len() == have.len() => {
            let pairs = want.iter().zip(have).enumerate();
            pairs.for_each(|(i, (w, h))| exact(w, Some(h), &format!("{path}[{i}]"), out));
        }
        _ if actual.is_some_and(|actual| equal(wanted, actual)) => {}
        _ => out.push(mismatch(path, brief(wanted), actual)),
    }
}

fn contains(wanted: &[Pattern], actual: Option<&Value>, path: &str, out: &mut Vec<Mismatch>) {
    if let Some(Value::String(text)) = actual {
        for pattern in wanted {
            match pattern {
                Pattern::Equal(Value::String(part)) if text.contains(part.as_str()) => {}
                other => out.push(mismatch(path, format!("text containing {}", describe(other)), actual)),
            }
        }
        return;
    }
    let Some(Value::Array(list)) = actual else {
        return out.push(mismatch(path, "a list or a text".to_owned(), actual));
    };
    let assigned = assign(wanted, list);
    for (pattern, _) in wanted.iter().zip(&assigned).filter(|(_, found)| found.is_none()) {
        // The element that comes closest tells more than "not found".
        let closest = list.iter().map(|value| mismatches(pattern, Some(value))).min_by_key(Vec::len);
        match closest.filter(|differences| !differences.is_empty() && matches!(pattern, Pattern::Keys(_))) {
            Some(differences) => {
                let hint = differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                let expected = format!("an element {} (closest differs in {hint})", describe(pattern));
                out.push(Mismatch {
                    path: path.to_owned(),
                    expected,
                    actual: Some(Value::from(format!("{} elements", list.len()))),
                });
            }
            None => out.push(mismatch(path, format!("an element {}", describe(pattern)), actual)),
        }
    }
}

/// Gives each pattern an element of its own where that is possible (augmenting paths): with [a*, ab] against
/// [ab, a], taking the first fit for the first pattern would wrongly leave the second without one.
fn assign(wanted: &[Pattern], list: &[Value]) -> Vec<Option<usize>> {
    let fits: Vec<Vec<usize>> = wanted
        .iter()
        .map(|pattern| (0..list.len()).filter(|i| mismatches(pattern, Some(&list[*i])).is_empty()).collect())
        .collect();
    let mut owner: Vec<Option<usize>> = vec![None; list.len()];
    for pattern in 0..wanted.len() {
        let mut seen = vec![false; list.len()];
        augment(pattern, &fits, &mut owner, &mut seen);
    }
    (0..wanted.len()).map(|pattern| owner.iter().position(|o| *o == Some(pattern))).collect()
}

fn augment(pattern: usize, fits: &[Vec<usize>], owner: &mut [Option<usize>], seen: &mut [bool]) -> bool {
    for &element in &fits[pattern] {
        if std::mem::replace(&mut seen[element], true) {
            continue;
        }
        let free = match owner[element] {
            None => true,
            Some(other) => augment(other, fits, owner, seen),
        };
        if free {
            owner[element] = Some(pattern);
            return true;
        }
    }
    false
}

fn by_key(
    key: &str,
    wanted: &[(Value, Pattern)],
    actual: Option<&Value>,
    path: &str,
    out: &mut Vec<Mismatch>,
) {
    let Some(Value::Array(list)) = actual else {
        return out.push(mismatch(path, "a list".to_owned(), actual));
    };
    for (name, pattern) in wanted {
        let shown = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
        let inner = format!("{path}[{key}={shown}]");
        match list.iter().find(|value| value.get(key) == Some(name)) {
            Some(value) => compare(pattern, Some(value), &inner, out),
            None => out.push(mismatch(&inner, "present".to_owned(), None)),
        }
    }
}

/// Equal as JSON, but 1 equals 1.0: YAML authors do not choose between them.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || a.as_f64() == b.as_f64() && a.is_f64() != b.is_f64()
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|other| equal(v, other)))
        }
        _ => a == b,
    }
}

fn ordered(ordering: Ordering, actual: &Number, bound: &Number) -> bool {
    let order = match (actual.as_i64(), bound.as_i64()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => actual.as_f64().zip(bound.as_f64()).and_then(|(a, b)| a.partial_cmp(&b)),
    };
    order.is_some_and(|order| match ordering {
        Ordering::Less => order.is_lt(),
        Ordering::LessOrEqual => order.is_le(),
        Ordering::Greater => order.is_gt(),
        Ordering::GreaterOrEqual => order.is_ge(),
    })
}

impl Ordering {
    fn sign(self) -> &'static str {
        match self {
            Ordering::Less => "<",
            Ordering::LessOrEqual => "<=",
            Ordering::Greater => ">",
            Ordering::GreaterOrEqual => ">=",
        }
    }
}

fn describe(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Equal(value) => brief(value),
        Pattern::Keys(keys) => {
            let inner =
                keys.iter().map(|(key, p)| format!("{key}: {}", describe(p))).collect::<Vec<_>>().join(", ");
            format!("{{{inner}}}")
        }
        Pattern::Items(items) => format!("[{}]", items.iter().map(describe).collect::<Vec<_>>().join(", ")),
        Pattern::All(operators) => operators.iter().map(describe_operator).collect::<Vec<_>>().join(" and "),
    }
}

fn describe_operator(operator: &Operator) -> String {
    match operator {
        Operator::Contains(p) => {
            format!("containing {}", p.iter().map(describe).collect::<Vec<_>>().join(", "))
        }
        Operator::Exact(value) => format!("exactly {}", brief(value)),
        Operator::ByKey(key, wanted) => format!("{} elements by {key}", wanted.len()),
        Operator::Absent(truth) | Operator::Present(truth) => {
            let absent = matches!(operator, Operator::Absent(_)) == *truth;
            if absent { "absent" } else { "present" }.to_owned()
        }
        Operator::Matches(regex) => format!("/{}/", regex.as_str()),
        Operator::Compare(ordering, bound) => format!("{} {bound}", ordering.sign()),
        Operator::Length(inner) => format!("length {}", describe(inner)),
        Operator::Not(inner) => format!("not {}", describe(inner)),
        Operator::AnyOf(choices) => choices.iter().map(describe).collect::<Vec<_>>().join(" or "),
    }
}

fn mismatch(path: &str, expected: String, actual: Option<&Value>) -> Mismatch {
    Mismatch { path: path.to_owned(), expected, actual: actual.cloned() }
}

/// JSON on one line, cut where it would bury the message.
pub(crate) fn brief(value: &Value) -> String {
    const SHOWN: usize = 160;
    let text = value.to_string();
    if text.chars().count() <= SHOWN {
        return text;
    }
    format!("{}..", text.chars().take(SHOWN).collect::<String>())
}
