//! Maps read field by field, with what is wrong gathered at its place: an unknown field is answered with the nearest that
//! exists, a missing one with what stands there instead. For small strict files with a header of their own; leaves out what
//! any field means, and the language of scenarios, whose words are data.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::diagnostics::nearest;
use crate::tree::{Key, Kind, Node, parse_documents};
use crate::{API_VERSION, Diagnostic, Diagnostics, Source, Span, duration};

/// Gathers what is wrong.
#[derive(Default)]
pub struct Problems(RefCell<Diagnostics>);

/// A map that is being read.
pub struct Fields<'n, 'p> {
    node: &'n Node,
    entries: &'n [(Key, Node)],
    path: String,
    asked: Vec<&'static str>,
    /// Fields nobody asks for are left alone, and null is as good as absent: a newer writer may have put them there.
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
        // Of a number it is not the kind that is wrong.
        let found = match &node.kind {
            Kind::Number(_, text) => text.as_str(),
            _ => node.describe(),
        };
        let message = format!("{wanted} belongs here, not {found}");
        let problem = Diagnostic::error("wrong-type", &node.span, message).at(path);
        self.push(problem.help(format!("write {wanted}")));
    }

    /// A number that counts something.
    pub fn whole(&self, node: &Node, path: &str) -> Option<u64> {
        let found = match &node.kind {
            Kind::Number(number, _) => number.as_u64(),
            _ => None,
        };
        if found.is_none() {
            self.wrong_type(node, path, "a whole number from 0");
        }
        found
    }

    /// A number that measures something.
    pub fn positive(&self, node: &Node, path: &str) -> Option<f64> {
        let found = match &node.kind {
            Kind::Number(number, _) => number.as_f64().filter(|number| number.is_finite() && *number > 0.0),
            _ => None,
        };
        if found.is_none() {
            self.wrong_type(node, path, "a number above 0");
        }
        found
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

    fn find(&self, key: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(written, _)| written.name == key).map(|(_, node)| node)
    }

    /// The field, where it is there.
    pub fn get(&mut self, key: &'static str) -> Option<&'n Node> {
        self.asked.push(key);
        self.find(key).filter(|node| !(self.is_lenient && matches!(node.kind, Kind::Null)))
    }

    /// As [`Fields::get`]; its absence is a problem that names what may have been meant.
    pub fn need(&mut self, key: &'static str) -> Option<&'n Node> {
        self.need_as(key, "..")
    }

    /// `example`: what to write.
    fn need_as(&mut self, key: &'static str, example: &str) -> Option<&'n Node> {
        let found = self.get(key);
        if found.is_none() {
            let others: Vec<&str> = self.entries.iter().map(|(key, _)| key.name.as_str()).collect();
            let help = match nearest(key, &others) {
                Some(near) => format!("write `{key}` where `{near}` stands, if that is meant"),
                None if is_json(self.span()) && example == ".." => format!("add `{key}`"),
                None if is_json(self.span()) => format!("add `\"{key}\": \"{example}\"`"),
                None => format!("add `{key}: {example}` here"),
            };
            let problem = Diagnostic::error("missing-key", &self.node.span, format!("`{key}` is missing"));
            self.push(key, problem.help(help));
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

    /// Text that says something.
    pub fn filled(&mut self, key: &'static str) -> Option<&'n str> {
        let text = self.text(key)?;
        self.is_filled(self.span_of(key), &self.place(key), text).then_some(text)
    }

    pub fn need_filled(&mut self, key: &'static str) -> Option<&'n str> {
        self.need(key)?;
        self.filled(key)
    }

    fn is_filled(&self, span: &Span, path: &str, text: &str) -> bool {
        let is_filled = !text.trim().is_empty();
        if !is_filled {
            let problem = Diagnostic::error("empty-text", span, "this text is empty").at(path);
            self.problems.push(problem.help("write what is meant, or leave it out"));
        }
        is_filled
    }

    /// Text under a rule that says what is wrong, and what to do.
    pub fn checked(
        &mut self,
        key: &'static str,
        rule: fn(&str) -> Result<(), (String, String)>,
    ) -> Option<&'n str> {
        let text = self.filled(key)?;
        let Err((why, next)) = rule(text) else { return Some(text) };
        self.push(key, Diagnostic::error("bad-value", self.span_of(key), why).help(next));
        None
    }

    pub fn word(&mut self, key: &'static str, words: &[&'static str]) -> Option<&'static str> {
        self.word_or(key, words, "use one of the allowed spellings")
    }

    /// As [`Fields::word`], with what to do about a word that is like none of them.
    pub fn word_or(
        &mut self,
        key: &'static str,
        words: &[&'static str],
        otherwise: &str,
    ) -> Option<&'static str> {
        let text = self.text(key)?;
        let found = words.iter().find(|word| **word == text).copied();
        if found.is_none() {
            let message = format!("`{text}` is not a valid value");
            let problem = Diagnostic::error("bad-value", self.span_of(key), message).allowed(text, words);
            let is_like_none = problem.nearest.is_none();
            self.push(key, if is_like_none { problem.help(otherwise) } else { problem });
        }
        found
    }

    pub fn whole(&mut self, key: &'static str) -> Option<u64> {
        let node = self.get(key)?;
        self.problems.whole(node, &self.place(key))
    }

    pub fn need_whole(&mut self, key: &'static str) -> Option<u64> {
        let node = self.need(key)?;
        self.problems.whole(node, &self.place(key))
    }

    /// A whole number within bounds, which are told.
    pub fn number(&mut self, key: &'static str, bounds: RangeInclusive<u16>) -> Option<u16> {
        let node = self.get(key)?;
        let Kind::Number(number, written) = &node.kind else {
            self.problems.wrong_type(node, &self.place(key), "a whole number");
            return None;
        };
        let value = number.as_u64().and_then(|number| u16::try_from(number).ok());
        let fitting = value.filter(|value| bounds.contains(value));
        if fitting.is_none() {
            let (least, most) = (bounds.start(), bounds.end());
            let message = format!("`{written}` is not between {least} and {most}");
            let help = format!("write a whole number from {least} to {most}");
            self.push(key, Diagnostic::error("bad-value", &node.span, message).help(help));
        }
        fitting
    }

    pub fn port(&mut self, key: &'static str) -> Option<u16> {
        self.number(key, 1..=u16::MAX)
    }

    pub fn need_port(&mut self, key: &'static str) -> Option<u16> {
        self.need(key)?;
        self.port(key)
    }

    pub fn positive(&mut self, key: &'static str) -> Option<f64> {
        let node = self.get(key)?;
        self.problems.positive(node, &self.place(key))
    }

    pub fn flag(&mut self, key: &'static str) -> Option<bool> {
        let node = self.get(key)?;
        match node.kind {
            Kind::Bool(value) => Some(value),
            _ => {
                self.problems.wrong_type(node, &self.place(key), "true or false");
                None
            }
        }
    }

    /// How long something takes: a second at least.
    pub fn duration(&mut self, key: &'static str) -> Option<Duration> {
        let text = self.text(key)?;
        let problem = match duration::parse(text) {
            Ok(duration) if duration >= Duration::from_secs(1) => return Some(duration),
            Ok(_) => Diagnostic::error("bad-value", self.span_of(key), "shorter than a second")
                .help("write at least `1s`"),
            Err(error) => Diagnostic {
                nearest: error.nearest,
                ..Diagnostic::error("bad-duration", self.span_of(key), error.message)
                    .help(duration::UNIT_HELP)
            },
        };
        self.push(key, problem);
        None
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

    /// A list of texts that say something.
    pub fn texts(&mut self, key: &'static str) -> Vec<String> {
        let place = self.place(key);
        let mut texts = Vec::new();
        for (index, item) in self.list(key).iter().enumerate() {
            let path = format!("{place}[{index}]");
            match item.as_text() {
                Some(text) if self.is_filled(&item.span, &path, text) => texts.push(text.to_owned()),
                Some(_) => {}
                None => self.problems.wrong_type(item, &path, "text"),
            }
        }
        texts
    }

    /// A list of maps; one that cannot be read is left out, and said.
    pub fn maps<T>(&mut self, key: &'static str, read: impl Fn(Fields<'n, 'p>) -> Option<T>) -> Vec<T> {
        let (place, problems) = (self.place(key), self.problems);
        let items = self.list(key).iter().enumerate();
        let maps = items.filter_map(|(index, item)| problems.map(item, &format!("{place}[{index}]")));
        maps.filter_map(read).collect()
    }

    /// All entries of a map whose keys are names that somebody chose.
    pub fn entries(mut self) -> impl Iterator<Item = (&'n Key, &'n Node, String)> {
        self.is_lenient = true;
        let (entries, path) = (self.entries, self.path.clone());
        entries.iter().map(move |(key, node)| (key, node, format!("{path}.{}", key.name)))
    }

    /// Reads `apiVersion` and `kind`, which every file of ours has. None: what follows may mean anything, and nothing more
    /// is said about it.
    pub fn header(&mut self, kind: &'static str) -> Option<()> {
        let version =
            self.need_as("apiVersion", API_VERSION).and_then(|node| self.as_text("apiVersion", node));
        let found = self.need_as("kind", kind).and_then(|node| self.as_text("kind", node));
        if let Some(version) = version.filter(|version| *version != API_VERSION) {
            let message = format!("`{version}` is not a version this drey reads");
            let problem = Diagnostic::error("version", self.span_of("apiVersion"), message)
                .allowed(version, [API_VERSION])
                .help(format!("write the file again with this drey, which writes {API_VERSION}"));
            self.push("apiVersion", problem);
            self.is_lenient = true;
            return None;
        }
        if let Some(found) = found.filter(|found| *found != kind) {
            let message = format!("a {found} stands here, where a {kind} is read");
            let problem = Diagnostic::error("kind", self.span_of("kind"), message).allowed(found, [kind]);
            self.push("kind", problem.help(format!("give the file with `kind: {kind}`")));
            self.is_lenient = true;
            return None;
        }
        Some(())
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
            // Who writes JSON calls it a field.
            let noun = if is_json(&key.span) { "field" } else { "key" };
            let problem =
                Diagnostic::error("unknown-key", &key.span, format!("unknown {noun} `{}`", key.name));
            self.push(&key.name, problem.allowed(&key.name, &self.asked));
        }
    }
}

fn is_json(span: &Span) -> bool {
    [".json", ".jsonl"].iter().any(|ending| span.file().ends_with(ending))
}

/// The one document of a file. `.json` files are told about in the words of JSON.
pub fn document(source: &Arc<Source>) -> Result<Node, Diagnostics> {
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

pub fn not_json(source: &Arc<Source>, error: &serde_json::Error) -> Diagnostics {
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
