//! Maps read field by field, with what is wrong gathered at its place: an unknown field is answered with the nearest that
//! exists, a missing one with what stands there instead. Leaves out: what any field means.

use std::cell::RefCell;
use std::sync::Arc;

use drey_yaml::tree::{Key, Kind, Node, parse_documents};
use drey_yaml::{Diagnostic, Diagnostics, Source, Span};

use crate::API_VERSION;

/// Gathers what is wrong.
#[derive(Default)]
pub(crate) struct Problems(RefCell<Diagnostics>);

/// A map that is being read.
pub(crate) struct Fields<'n, 'p> {
    node: &'n Node,
    entries: &'n [(Key, Node)],
    path: String,
    asked: Vec<&'static str>,
    /// Fields nobody asks for are left alone: a newer writer may have put them there.
    is_lenient: bool,
    problems: &'p Problems,
}

impl Problems {
    pub fn push(&self, problem: Diagnostic) {
        self.0.borrow_mut().push(problem);
    }

    pub fn finish<T>(self, value: Option<T>) -> Result<T, Diagnostics> {
        let mut problems = self.0.into_inner();
        problems.settle();
        match value {
            Some(value) if problems.is_empty() => Ok(value),
            _ => Err(problems),
        }
    }

    pub fn map<'n>(&self, node: &'n Node, path: &str) -> Option<Fields<'n, '_>> {
        let Kind::Map(entries) = &node.kind else {
            self.wrong_type(node, path, "a map");
            return None;
        };
        let path = path.to_owned();
        Some(Fields { node, entries, path, asked: Vec::new(), is_lenient: false, problems: self })
    }

    pub fn wrong_type(&self, node: &Node, path: &str, wanted: &str) {
        let message = format!("{wanted} belongs here, not {}", node.describe());
        let problem = Diagnostic::error("wrong-type", &node.span, message).at(path);
        self.push(problem.help(format!("write {wanted}")));
    }
}

impl<'n, 'p> Fields<'n, 'p> {
    pub fn lenient(mut self) -> Fields<'n, 'p> {
        self.is_lenient = true;
        self
    }

    pub fn problems(&self) -> &'p Problems {
        self.problems
    }

    pub fn span(&self) -> &'n Span {
        &self.node.span
    }

    /// The place of a field; of the map, where it is missing.
    pub fn span_of(&self, key: &str) -> &'n Span {
        self.entries
            .iter()
            .find(|(written, _)| written.name == key)
            .map_or(&self.node.span, |(_, node)| &node.span)
    }

    pub fn place(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub fn push(&self, key: &str, problem: Diagnostic) {
        self.problems.push(problem.at(self.place(key)));
    }

    /// The field, where it is there and not null.
    pub fn get(&mut self, key: &'static str) -> Option<&'n Node> {
        self.asked.push(key);
        let found = self.entries.iter().find(|(written, _)| written.name == key).map(|(_, node)| node);
        found.filter(|node| !matches!(node.kind, Kind::Null))
    }

    /// As [`Fields::get`]; its absence is a problem that names what may have been meant.
    pub fn need(&mut self, key: &'static str) -> Option<&'n Node> {
        let found = self.get(key);
        if found.is_none() {
            let others: Vec<&str> = self.entries.iter().map(|(key, _)| key.name.as_str()).collect();
            let near = drey_yaml::diagnostics::nearest(key, &others);
            let message = format!("`{key}` is missing");
            let problem = Diagnostic::error("missing-field", &self.node.span, message);
            let problem = match near {
                Some(near) => problem.help(format!("write `{key}` where `{near}` stands, if that is meant")),
                None => problem.help(format!("add `{key}`")),
            };
            self.push(key, problem);
        }
        found
    }

    pub fn text(&mut self, key: &'static str) -> Option<&'n str> {
        self.get(key).and_then(|node| self.as_text(key, node))
    }

    pub fn need_text(&mut self, key: &'static str) -> Option<&'n str> {
        self.need(key).and_then(|node| self.as_text(key, node))
    }

    fn as_text(&self, key: &str, node: &'n Node) -> Option<&'n str> {
        let text = node.as_text();
        if text.is_none() {
            self.problems.wrong_type(node, &self.place(key), "text");
        }
        text
    }

    pub fn whole(&mut self, key: &'static str) -> Option<u64> {
        let node = self.get(key)?;
        whole(self.problems, node, &self.place(key))
    }

    pub fn need_whole(&mut self, key: &'static str) -> Option<u64> {
        let node = self.need(key)?;
        whole(self.problems, node, &self.place(key))
    }

    pub fn positive(&mut self, key: &'static str) -> Option<f64> {
        let node = self.get(key)?;
        positive(self.problems, node, &self.place(key))
    }

    pub fn flag(&mut self, key: &'static str) -> bool {
        match self.get(key).map(|node| (node, &node.kind)) {
            Some((_, Kind::Bool(value))) => *value,
            Some((node, _)) => {
                self.problems.wrong_type(node, &self.place(key), "true or false");
                false
            }
            None => false,
        }
    }

    pub fn word(&mut self, key: &'static str, words: &[&'static str]) -> Option<&'static str> {
        let text = self.text(key)?;
        let found = words.iter().find(|word| **word == text).copied();
        if found.is_none() {
            let message = format!("`{text}` is not a valid value");
            let problem = Diagnostic::error("bad-value", self.span_of(key), message);
            self.push(key, problem.allowed(text, words));
        }
        found
    }

    pub fn map(&mut self, key: &'static str) -> Option<Fields<'n, 'p>> {
        let node = self.get(key)?;
        self.problems.map(node, &self.place(key))
    }

    pub fn need_map(&mut self, key: &'static str) -> Option<Fields<'n, 'p>> {
        let node = self.need(key)?;
        self.problems.map(node, &self.place(key))
    }

    pub fn list(&mut self, key: &'static str) -> &'n [Node] {
        match self.get(key).map(|node| (node, &node.kind)) {
            Some((_, Kind::List(items))) => items,
            Some((node, _)) => {
                self.problems.wrong_type(node, &self.place(key), "a list");
                &[]
            }
            None => &[],
        }
    }

    /// All entries of a map whose keys are names that somebody chose.
    pub fn entries(mut self) -> impl Iterator<Item = (&'n Key, &'n Node, String)> {
        self.is_lenient = true;
        let (entries, path) = (self.entries, self.path.clone());
        entries.iter().map(move |(key, node)| (key, node, format!("{path}.{}", key.name)))
    }
}

/// Whatever was not asked for by the time nobody asks any more.
impl Drop for Fields<'_, '_> {
    fn drop(&mut self) {
        if self.is_lenient {
            return;
        }
        let mut seen = std::collections::BTreeSet::new();
        self.asked.retain(|key| seen.insert(*key));
        for (key, _) in self.entries.iter().filter(|(key, _)| !self.asked.contains(&key.name.as_str())) {
            let problem =
                Diagnostic::error("unknown-field", &key.span, format!("unknown field `{}`", key.name));
            self.push(&key.name, problem.allowed(&key.name, &self.asked));
        }
    }
}

pub(crate) fn whole(problems: &Problems, node: &Node, path: &str) -> Option<u64> {
    let found = match &node.kind {
        Kind::Number(number, _) => number.as_u64(),
        _ => None,
    };
    if found.is_none() {
        problems.wrong_type(node, path, "a whole number from 0");
    }
    found
}

pub(crate) fn positive(problems: &Problems, node: &Node, path: &str) -> Option<f64> {
    let found = match &node.kind {
        Kind::Number(number, _) => number.as_f64().filter(|number| number.is_finite() && *number > 0.0),
        _ => None,
    };
    if found.is_none() {
        problems.wrong_type(node, path, "a number above 0");
    }
    found
}

/// The one document of a file. `.json` files are told about in the words of JSON.
pub(crate) fn document(source: &Arc<Source>) -> Result<Node, Diagnostics> {
    if source.name().ends_with(".json") {
        serde_json::from_str::<serde::de::IgnoredAny>(source.text())
            .map_err(|error| not_json(source, &error))?;
    }
    let mut documents = parse_documents(source)?;
    match (documents.pop(), documents.is_empty()) {
        (Some(document), true) => Ok(document),
        (None, _) => Err(Diagnostic::error("empty", &Span::start_of(source), "the file is empty")
            .help("was it cut off while it was written? write it again")
            .into()),
        (Some(_), false) => {
            Err(Diagnostic::error("documents", &Span::start_of(source), "more than one document")
                .help("keep one")
                .into())
        }
    }
}

pub(crate) fn not_json(source: &Arc<Source>, error: &serde_json::Error) -> Diagnostics {
    let (line, column) = (error.line() as u32, error.column() as u32);
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    let message = format!("not valid JSON: {what}");
    let help = match error.classify() {
        serde_json::error::Category::Eof => "the file ends too early: write it again, and let its writer end",
        _ => "check quotes, commas and brackets here and on the line before",
    };
    Diagnostic::error("syntax", &Span::new(source, line, column.max(1), 1), message).help(help).into()
}

/// Reads `apiVersion` and `kind`, which every file of ours has.
pub(crate) fn header(fields: &mut Fields<'_, '_>, kind: &'static str) -> Option<()> {
    let version = fields.need_text("apiVersion")?;
    if version != API_VERSION {
        let message = format!("`{version}` is not a version this drey reads");
        let problem = Diagnostic::error("version", fields.span_of("apiVersion"), message)
            .allowed(version, [API_VERSION])
            .help(format!("write the file again with this drey, which writes {API_VERSION}"));
        fields.push("apiVersion", problem);
        // What follows may mean anything: nothing more is said about it.
        fields.is_lenient = true;
        return None;
    }
    let found = fields.need_text("kind")?;
    if found != kind {
        let message = format!("a {found} stands here, where a {kind} is read");
        let problem = Diagnostic::error("kind", fields.span_of("kind"), message).allowed(found, [kind]);
        fields.push("kind", problem.help(format!("give the file with `kind: {kind}`")));
        fields.is_lenient = true;
        return None;
    }
    Some(())
}
