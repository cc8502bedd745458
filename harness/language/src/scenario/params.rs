//! `${params.x}`: typed substitution on the parsed tree. A scalar that is nothing but a reference takes the param's
//! type; inside a longer text the param's spelling is inserted. Positions stay those of the place of use.

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::yaml::{Kind, Node};
use indexmap::IndexMap;
use std::collections::BTreeSet;

/// The params in force for one file of one case.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub params: IndexMap<String, Node>,
}

pub(super) struct Substitution<'a> {
    pub scope: &'a Scope,
    pub problems: &'a mut Diagnostics,
    pub used: &'a mut BTreeSet<String>,
}

impl Substitution<'_> {
    pub fn apply(&mut self, node: &Node, path: &str) -> Node {
        let kind = match &node.kind {
            Kind::Text(text) if text.contains("${") => self.text(node, text, path),
            Kind::List(items) => {
                let items =
                    items.iter().enumerate().map(|(i, item)| self.apply(item, &format!("{path}[{i}]")));
                Kind::List(items.collect())
            }
            Kind::Map(entries) => {
                let entries = entries.iter().map(|(key, value)| {
                    if key.name.contains("${params.") {
                        let problem = Diagnostic::error(
                            "param-in-key",
                            &key.span,
                            "params are not filled in within keys",
                        )
                        .at(path)
                        .help("use the param in a value, or spell the key out");
                        self.problems.push(problem);
                    }
                    let path =
                        if path.is_empty() { key.name.clone() } else { format!("{path}.{}", key.name) };
                    (key.clone(), self.apply(value, &path))
                });
                Kind::Map(entries.collect())
            }
            other => other.clone(),
        };
        Node { span: node.span.clone(), kind }
    }

    fn text(&mut self, node: &Node, text: &str, path: &str) -> Kind {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, reference) = rest.split_at(at);
            // `$${params.x}` stands for the text `${params.x}`.
            if let Some(before) = before.strip_suffix('$') {
                out.push_str(before);
                out.push_str("${");
                rest = &reference[2..];
                continue;
            }
            out.push_str(before);
            let Some(end) = reference.find('}') else {
                out.push_str(reference);
                rest = "";
                break;
            };
            let inner = &reference[2..end];
            rest = &reference[end + 1..];
            let Some(name) = self.param_name(inner, node, path) else {
                out.push_str(&reference[..=end]);
                continue;
            };
            let Some(value) = self.lookup(name, node, path) else { continue };
            if out.is_empty() && rest.is_empty() && before.is_empty() {
                return value.kind;
            }
            self.insert(&mut out, name, &value, node, path);
        }
        out.push_str(rest);
        Kind::Text(out)
    }

    /// Texts of other tools also use `${..}`: only `params.` is ours. A bare param name is a slip worth a word.
    fn param_name<'t>(&mut self, inner: &'t str, node: &Node, path: &str) -> Option<&'t str> {
        if let Some(name) = inner.strip_prefix("params.") {
            return Some(name);
        }
        if self.scope.params.contains_key(inner) {
            let problem =
                Diagnostic::error("param-reference", &node.span, format!("`${{{inner}}}` is not filled in"))
                    .at(path)
                    .nearest(format!("${{params.{inner}}}"))
                    .help(format!("write `$${{{inner}}}` if the text itself is meant"));
            self.problems.push(problem);
        }
        None
    }

    fn lookup(&mut self, name: &str, node: &Node, path: &str) -> Option<Node> {
        let mut keys = name.split('.');
        let first = keys.next().unwrap_or_default();
        self.used.insert(first.to_owned());
        let found =
            self.scope.params.get(first).and_then(|param| keys.try_fold(param, |value, key| value.get(key)));
        if let Some(value) = found {
            return Some(relocated(value, node));
        }
        let known: Vec<&String> = self.scope.params.keys().collect();
        let mut problem =
            Diagnostic::error("unknown-param", &node.span, format!("no param `{name}`")).at(path);
        problem = match known.is_empty() {
            true => problem.help(format!("declare it: `params: {{{first}: ..}}`")),
            false => {
                problem.allowed(first, known).help("declare it below `params:` or as an axis of `matrix:`")
            }
        };
        self.problems.push(problem);
        None
    }

    fn insert(&mut self, out: &mut String, name: &str, value: &Node, node: &Node, path: &str) {
        match &value.kind {
            Kind::Text(text) => out.push_str(text),
            Kind::Number(_, spelling) => out.push_str(spelling),
            Kind::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
            Kind::Null | Kind::List(_) | Kind::Map(_) => {
                let message =
                    format!("param `{name}` is {} and cannot stand inside a text", value.describe());
                let problem = Diagnostic::error("param-type", &node.span, message)
                    .at(path)
                    .help(format!("use it as a whole value: `${{params.{name}}}`"));
                self.problems.push(problem);
            }
        }
    }
}

/// The value with every position moved to the place of use: that is the line the author must look at.
fn relocated(value: &Node, to: &Node) -> Node {
    let kind = match &value.kind {
        Kind::List(items) => Kind::List(items.iter().map(|item| relocated(item, to)).collect()),
        Kind::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| {
                let key = crate::yaml::Key { name: key.name.clone(), span: to.span.clone() };
                (key, relocated(value, to))
            });
            Kind::Map(entries.collect())
        }
        other => other.clone(),
    };
    Node { span: to.span.clone(), kind }
}
