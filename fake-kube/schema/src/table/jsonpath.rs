//! The JSONPath subset of printer columns: members (`.a`, escaped dots, `['a']`), indices, `[*]`, `..` left out, and
//! equality filters `[?(@.type=="Ready")]` (case crl-columns).

use serde_json::Value;

/// A parsed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    Index(i64),
    Every,
    Filter { path: JsonPath, equal: bool, value: Value },
}

impl JsonPath {
    /// Parses `.spec.x`; the error says what is wrong.
    pub fn parse(text: &str) -> Result<JsonPath, String> {
        let mut steps = Vec::new();
        let mut rest = text.trim().trim_start_matches('{').trim_end_matches('}').trim_start_matches('$');
        while !rest.is_empty() {
            rest = match rest.strip_prefix('.') {
                Some(after) => member(after, &mut steps)?,
                None if rest.starts_with('[') => bracket(rest, &mut steps)?,
                None => member(rest, &mut steps)?,
            };
        }
        Ok(JsonPath(steps))
    }

    /// Everything the path finds, in order.
    pub fn find<'a>(&self, object: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![object];
        for step in &self.0 {
            found = found.into_iter().flat_map(|value| step.apply(value)).collect();
        }
        found
    }
}

fn member<'a>(text: &'a str, steps: &mut Vec<Step>) -> Result<&'a str, String> {
    let mut name = String::new();
    let mut chars = text.char_indices();
    let mut end = text.len();
    while let Some((i, c)) = chars.next() {
        match c {
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            '.' | '[' => {
                end = i;
                break;
            }
            c => name.push(c),
        }
    }
    match name.as_str() {
        "" if text.starts_with('[') => {}
        "" => return Err("empty path element".into()),
        "*" => steps.push(Step::Every),
        _ => steps.push(Step::Member(name)),
    }
    Ok(&text[end..])
}

fn bracket<'a>(text: &'a str, steps: &mut Vec<Step>) -> Result<&'a str, String> {
    let end = closing(text).ok_or("unterminated array")?;
    let inner = text[1..end].trim();
    let step = if inner == "*" {
        Step::Every
    } else if let Some(filter) = inner.strip_prefix("?(").and_then(|f| f.strip_suffix(')')) {
        let (path, equal, value) = match (filter.split_once("=="), filter.split_once("!=")) {
            (Some((path, value)), _) => (path, true, value),
            (None, Some((path, value))) => (path, false, value),
            (None, None) => return Err(format!("unsupported filter {filter}")),
        };
        let path = JsonPath::parse(path.trim().trim_start_matches('@'))?;
        Step::Filter { path, equal, value: literal(value.trim()) }
    } else if let Ok(index) = inner.parse() {
        Step::Index(index)
    } else {
        let name = inner.trim_matches(['\'', '"']);
        if name.len() == inner.len() {
            return Err(format!("invalid array index {inner}"));
        }
        Step::Member(name.into())
    };
    steps.push(step);
    Ok(&text[end + 1..])
}

/// The position of the bracket that closes the first one; brackets in quotes do not count.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    for (i, c) in text.char_indices() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(q), c) if q == c => quote = None,
            (None, ']') => return Some(i),
            _ => {}
        }
    }
    None
}

fn literal(text: &str) -> Value {
    let bare = text.trim_matches(['\'', '"']);
    if bare.len() == text.len() {
        serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
    } else {
        Value::from(bare)
    }
}

impl Step {
    fn apply<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match (self, value) {
            (Step::Member(name), Value::Object(map)) => map.get(name).into_iter().collect(),
            (Step::Index(index), Value::Array(items)) => {
                let i = if *index < 0 { index + items.len() as i64 } else { *index };
                usize::try_from(i).ok().and_then(|i| items.get(i)).into_iter().collect()
            }
            (Step::Every, Value::Array(items)) => items.iter().collect(),
            (Step::Every, Value::Object(map)) => map.values().collect(),
            (Step::Filter { path, equal, value }, Value::Array(items)) => items
                .iter()
                .filter(|item| path.find(item).iter().any(|found| (*found == value) == *equal))
                .collect(),
            _ => vec![],
        }
    }
}
