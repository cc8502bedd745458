//! A strict reader of maps over marked YAML: every key is asked for by name and type, and what was never asked for is
//! unknown. Problems gather; a value that is missing or wrong is `None`.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use drey_yaml::tree::{Key, Kind, Node};
use drey_yaml::{Diagnostic, Diagnostics, Span, duration};

use crate::file::ClusterFile;

/// Gathers what is wrong.
#[derive(Default)]
pub(crate) struct Reader {
    problems: Rc<RefCell<Diagnostics>>,
}

/// A map that is being read.
pub(crate) struct Map<'n> {
    node: &'n Node,
    entries: &'n [(Key, Node)],
    path: String,
    asked: Vec<&'static str>,
    problems: Rc<RefCell<Diagnostics>>,
}

impl Reader {
    pub fn map<'n>(&mut self, node: &'n Node, path: &str) -> Option<Map<'n>> {
        let problems = self.problems.clone();
        match &node.kind {
            Kind::Map(entries) => {
                Some(Map { node, entries, path: path.to_owned(), asked: Vec::new(), problems })
            }
            _ => {
                wrong_type(&problems, node, path, "a map");
                None
            }
        }
    }

    /// Two uses of one port of this machine: docker would find out halfway.
    pub fn same_port_twice(&mut self, root: &Node, file: &ClusterFile) {
        let mut used = Vec::new();
        for (port, key) in file.wanted_ports() {
            if used.contains(&port) {
                let span = root.get(key).map_or(&root.span, |node| &node.span);
                let message = format!("port {port} of this machine is wanted twice");
                let problem = Diagnostic::error("port-twice", span, message).at(key);
                self.problems.borrow_mut().push(problem.help("give each its own port"));
            }
            used.push(port);
        }
    }

    pub fn finish<T>(self, value: T) -> Result<T, Diagnostics> {
        let mut problems = self.problems.take();
        problems.settle();
        if problems.is_empty() { Ok(value) } else { Err(problems) }
    }
}

impl<'n> Map<'n> {
    fn get(&mut self, key: &'static str) -> Option<&'n Node> {
        self.asked.push(key);
        self.entries.iter().find(|(written, _)| written.name == key).map(|(_, node)| node)
    }

    /// Where the value stands.
    fn span(&self, key: &str) -> &'n Span {
        let value = self.entries.iter().find(|(written, _)| written.name == key);
        value.map_or(&self.node.span, |(_, node)| &node.span)
    }

    fn place(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn push(&self, problem: Diagnostic, key: &str) {
        self.problems.borrow_mut().push(problem.at(self.place(key)));
    }

    pub fn map(&mut self, key: &'static str) -> Option<Map<'n>> {
        let node = self.get(key)?;
        Reader { problems: self.problems.clone() }.map(node, &self.place(key))
    }

    pub fn text(&mut self, key: &'static str) -> Option<String> {
        let node = self.get(key)?;
        match &node.kind {
            Kind::Text(text) if !text.trim().is_empty() => Some(text.clone()),
            _ => {
                wrong_type(&self.problems, node, &self.place(key), "text");
                None
            }
        }
    }

    pub fn required_text(&mut self, key: &'static str) -> Option<String> {
        self.require(&[key]);
        self.text(key)
    }

    /// Text under a rule that says what is wrong and what to do.
    pub fn checked(
        &mut self,
        key: &'static str,
        rule: fn(&str) -> Result<(), (String, String)>,
    ) -> Option<String> {
        let text = self.text(key)?;
        let Err((why, next)) = rule(&text) else { return Some(text) };
        let span = self.span(key);
        self.push(Diagnostic::error("bad-value", span, why).help(next), key);
        None
    }

    pub fn word(&mut self, key: &'static str, words: &[&'static str]) -> Option<&'static str> {
        let text = self.text(key)?;
        let found = words.iter().find(|word| **word == text).copied();
        if found.is_none() {
            let span = self.span(key);
            let problem = Diagnostic::error("bad-value", span, format!("`{text}` is not a valid value"));
            self.push(problem.allowed(&text, words), key);
        }
        found
    }

    pub fn number(&mut self, key: &'static str, least: u16, most: u16) -> Option<u16> {
        let node = self.get(key)?;
        let Kind::Number(number, written) = &node.kind else {
            wrong_type(&self.problems, node, &self.place(key), "a whole number");
            return None;
        };
        let value = number.as_u64().and_then(|n| u16::try_from(n).ok());
        let fitting = value.filter(|value| (least..=most).contains(value));
        if fitting.is_none() {
            let message = format!("`{written}` is not between {least} and {most}");
            let help = format!("write a whole number from {least} to {most}");
            self.push(Diagnostic::error("bad-value", &node.span, message).help(help), key);
        }
        fitting
    }

    pub fn port(&mut self, key: &'static str) -> Option<u16> {
        self.number(key, 1, u16::MAX)
    }

    pub fn required_port(&mut self, key: &'static str) -> Option<u16> {
        self.require(&[key]);
        self.port(key)
    }

    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let node = self.get(key)?;
        match node.kind {
            Kind::Bool(value) => Some(value),
            _ => {
                wrong_type(&self.problems, node, &self.place(key), "true or false");
                None
            }
        }
    }

    pub fn duration(&mut self, key: &'static str) -> Option<Duration> {
        let text = self.text(key)?;
        match duration::parse(&text) {
            Ok(duration) if duration >= Duration::from_secs(1) => Some(duration),
            Ok(_) => {
                let span = self.span(key);
                let problem = Diagnostic::error("bad-value", span, "shorter than a second");
                self.push(problem.help("write at least `1s`"), key);
                None
            }
            Err(error) => {
                let span = self.span(key);
                let mut problem = Diagnostic::error("bad-duration", span, error.message);
                problem.nearest = error.nearest;
                self.push(problem.help(duration::UNIT_HELP), key);
                None
            }
        }
    }

    fn list(&mut self, key: &'static str) -> &'n [Node] {
        let Some(node) = self.get(key) else { return &[] };
        match &node.kind {
            Kind::List(items) => items,
            _ => {
                wrong_type(&self.problems, node, &self.place(key), "a list");
                &[]
            }
        }
    }

    pub fn texts(&mut self, key: &'static str) -> Vec<String> {
        let place = self.place(key);
        let mut texts = Vec::new();
        for (index, item) in self.list(key).iter().enumerate() {
            match &item.kind {
                Kind::Text(text) if !text.trim().is_empty() => texts.push(text.clone()),
                _ => wrong_type(&self.problems, item, &format!("{place}[{index}]"), "text"),
            }
        }
        texts
    }

    pub fn maps<T>(&mut self, key: &'static str, read: impl Fn(&mut Map<'n>) -> Option<T>) -> Vec<T> {
        let place = self.place(key);
        let mut reader = Reader { problems: self.problems.clone() };
        let items = self.list(key).iter().enumerate();
        let maps = items.filter_map(|(index, item)| reader.map(item, &format!("{place}[{index}]")));
        maps.collect::<Vec<_>>().iter_mut().filter_map(read).collect()
    }

    pub fn require(&mut self, keys: &[&'static str]) {
        for key in keys {
            if self.get(key).is_none() {
                let message = format!("`{key}` is missing");
                let problem = Diagnostic::error("missing-key", &self.node.span, message);
                self.push(problem.help(format!("add `{key}: ..` here")), key);
            }
        }
    }
}

/// Whatever was not asked for by the time nobody asks any more.
impl Drop for Map<'_> {
    fn drop(&mut self) {
        self.asked.sort_unstable();
        self.asked.dedup();
        for (key, _) in self.entries.iter().filter(|(key, _)| !self.asked.contains(&key.name.as_str())) {
            let problem = Diagnostic::error("unknown-key", &key.span, format!("unknown key `{}`", key.name));
            self.push(problem.allowed(&key.name, &self.asked), &key.name);
        }
    }
}

fn wrong_type(problems: &RefCell<Diagnostics>, node: &Node, path: &str, wanted: &str) {
    let message = format!("{wanted} belongs here, not {}", node.describe());
    let problem = Diagnostic::error("wrong-type", &node.span, message).at(path);
    problems.borrow_mut().push(problem.help(format!("write {wanted}")));
}
