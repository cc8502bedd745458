//! From a marked tree to a pattern. A key that starts with `$` is an operator; a misspelt one is an error, never a
//! field name that silently matches nothing.

use super::{OPERATORS, Operator, Ordering, Pattern, Tree};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::yaml::{Key, Kind, Node};
use regex::RegexBuilder;
use serde_json::Value;

/// Regular expressions larger than this when compiled are refused.
const REGEX_BYTES: usize = 1 << 20;

impl Tree {
    /// Compiles a tree; positions in the diagnostics are those of the nodes, paths are relative to the tree.
    pub fn compile(node: &Node) -> Result<Tree, Diagnostics> {
        let mut problems = Diagnostics::default();
        let pattern = pattern(node, "", &mut problems);
        if problems.is_empty() { Ok(Tree { pattern, written: node.to_json() }) } else { Err(problems) }
    }
}

fn pattern(node: &Node, path: &str, problems: &mut Diagnostics) -> Pattern {
    match &node.kind {
        Kind::Map(entries) if entries.iter().any(|(k, _)| k.name.starts_with('$')) => {
            operators(node, entries, path, problems)
        }
        Kind::Map(entries) => {
            let keys = entries
                .iter()
                .map(|(k, v)| (k.name.clone(), pattern(v, &super::path::join(path, &k.name), problems)));
            Pattern::Keys(keys.collect())
        }
        Kind::List(items) => Pattern::Items(patterns(items, path, problems)),
        _ => Pattern::Equal(node.to_json()),
    }
}

fn patterns(items: &[Node], path: &str, problems: &mut Diagnostics) -> Vec<Pattern> {
    items.iter().enumerate().map(|(i, item)| pattern(item, &format!("{path}[{i}]"), problems)).collect()
}

fn operators(node: &Node, entries: &[(Key, Node)], path: &str, problems: &mut Diagnostics) -> Pattern {
    let mut all = Vec::new();
    for (key, value) in entries {
        let at = super::path::join(path, &key.name);
        if key.name == "items" && node.get("$byKey").is_some() {
            continue;
        }
        let operator = match key.name.as_str() {
            "$byKey" => by_key(node, value, &at, problems),
            name if name.starts_with('$') => operator(name, key, value, &at, problems),
            name => {
                let problem =
                    Diagnostic::error("tree", &key.span, format!("field `{name}` beside an operator"))
                        .at(&at);
                let help =
                    "operators and fields cannot share a map; put the field's pattern on its own level";
                problems.push(problem.help(help));
                None
            }
        };
        all.extend(operator);
    }
    Pattern::All(all)
}

fn operator(name: &str, key: &Key, value: &Node, at: &str, problems: &mut Diagnostics) -> Option<Operator> {
    let mut refuse = |message: &str, help: &str| {
        problems
            .push(Diagnostic::error("tree", &value.span, format!("`{name}` {message}")).at(at).help(help));
        None
    };
    let ordering = match name {
        "$gt" => Some(Ordering::Greater),
        "$gte" => Some(Ordering::GreaterOrEqual),
        "$lt" => Some(Ordering::Less),
        "$lte" => Some(Ordering::LessOrEqual),
        _ => None,
    };
    if let Some(ordering) = ordering {
        let Kind::Number(number, _) = &value.kind else {
            return refuse("compares with a number", "write a number");
        };
        return Some(Operator::Compare(ordering, number.clone()));
    }
    match (name, &value.kind) {
        ("$contains", Kind::List(items)) => Some(Operator::Contains(patterns(items, at, problems))),
        ("$contains", _) => Some(Operator::Contains(vec![pattern(value, at, problems)])),
        ("$exact", _) => Some(Operator::Exact(value.to_json())),
        ("$absent", Kind::Bool(truth)) => Some(Operator::Absent(*truth)),
        ("$present", Kind::Bool(truth)) => Some(Operator::Present(*truth)),
        ("$absent" | "$present", _) => refuse("takes true or false", "write `true`"),
        ("$matches", Kind::Text(text)) => match RegexBuilder::new(text).size_limit(REGEX_BYTES).build() {
            Ok(regex) => Some(Operator::Matches(regex)),
            Err(error) => {
                let why = error.to_string();
                let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                refuse(&format!("is not a regular expression: {why}"), "escape special characters with `\\`")
            }
        },
        ("$matches", _) => refuse("takes a regular expression as text", "put it in quotes"),
        ("$length", _) => Some(Operator::Length(Box::new(pattern(value, at, problems)))),
        ("$not", _) => Some(Operator::Not(Box::new(pattern(value, at, problems)))),
        ("$anyOf", Kind::List(items)) => Some(Operator::AnyOf(patterns(items, at, problems))),
        ("$anyOf", _) => refuse("takes a list of patterns", "write `[a, b]`"),
        _ => {
            let known = OPERATORS.iter().map(|(name, _)| *name);
            let problem = Diagnostic::error("tree", &key.span, format!("no operator `{name}`"));
            problems
                .push(problem.at(at).allowed(name, known).help("a key that starts with `$` is an operator"));
            None
        }
    }
}

fn by_key(node: &Node, key: &Node, at: &str, problems: &mut Diagnostics) -> Option<Operator> {
    let help = "write `{$byKey: name, items: [{name: main, image: x}]}`";
    let (Some(name), Some(Node { kind: Kind::List(items), .. })) = (key.as_text(), node.get("items")) else {
        let problem =
            Diagnostic::error("tree", &key.span, "`$byKey` takes the name of a key, and `items` beside it");
        problems.push(problem.at(at).help(help));
        return None;
    };
    let mut wanted = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let inner = format!("{at}.items[{i}]");
        match item.get(name).map(Node::to_json) {
            Some(value @ (Value::String(_) | Value::Number(_) | Value::Bool(_))) => {
                wanted.push((value, pattern(item, &inner, problems)));
            }
            _ => {
                let message = format!("this item has no `{name}` to be found by");
                problems.push(Diagnostic::error("tree", &item.span, message).at(inner).help(help));
            }
        }
    }
    Some(Operator::ByKey(name.to_owned(), wanted))
}
