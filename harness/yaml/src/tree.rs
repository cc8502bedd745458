//! YAML text to a marked tree: every key and value knows its place. Strict where YAML is generous: duplicate keys,
//! tags, merge keys and non-scalar keys are errors; nesting and alias expansion are bounded.
//! Scalars follow the YAML 1.2 core schema (`yes` is text, `1.20` keeps its spelling beside its number).

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::source::{Source, Span};
use granit_parser::{Event, Parser, ScalarStyle};
use serde_json::{Number, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub span: Span,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Null,
    Bool(bool),
    /// A number and its spelling: `1.20` must be able to say that it should have been quoted.
    Number(Number, String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    pub name: String,
    pub span: Span,
}

/// Deeper than any Kubernetes object; keeps every later recursion small.
const MAX_DEPTH: usize = 64;
/// Bounds what aliases can unfold to.
const MAX_NODES: usize = 200_000;

impl Node {
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|(k, _)| k.name == key).map(|(_, v)| v),
            _ => None,
        }
    }

    pub fn as_text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What the value is, in the words of an error message.
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Number(..) => "a number",
            Kind::Text(_) => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }

    /// The plain JSON value, order of keys kept.
    pub fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(b) => Value::Bool(*b),
            Kind::Number(n, _) => Value::Number(n.clone()),
            Kind::Text(t) => Value::String(t.clone()),
            Kind::List(items) => Value::Array(items.iter().map(Node::to_json).collect()),
            Kind::Map(entries) => {
                Value::Object(entries.iter().map(|(k, v)| (k.name.clone(), v.to_json())).collect())
            }
        }
    }

    /// A tree made by a program instead of a parser: every part of it stands at `span`.
    pub fn from_json(value: &Value, span: &Span) -> Node {
        let kind = match value {
            Value::Null => Kind::Null,
            Value::Bool(b) => Kind::Bool(*b),
            Value::Number(n) => Kind::Number(n.clone(), n.to_string()),
            Value::String(t) => Kind::Text(t.clone()),
            Value::Array(items) => Kind::List(items.iter().map(|v| Node::from_json(v, span)).collect()),
            Value::Object(map) => {
                let key = |name: &String| Key { name: name.clone(), span: span.clone() };
                Kind::Map(map.iter().map(|(k, v)| (key(k), Node::from_json(v, span))).collect())
            }
        };
        Node { span: span.clone(), kind }
    }

    fn count(&self) -> usize {
        match &self.kind {
            Kind::List(items) => 1 + items.iter().map(Node::count).sum::<usize>(),
            Kind::Map(entries) => 1 + entries.iter().map(|(_, v)| v.count()).sum::<usize>(),
            _ => 1,
        }
    }

    fn depth(&self) -> usize {
        match &self.kind {
            Kind::List(items) => 1 + items.iter().map(Node::depth).max().unwrap_or(0),
            Kind::Map(entries) => 1 + entries.iter().map(|(_, v)| v.depth()).max().unwrap_or(0),
            _ => 1,
        }
    }
}

/// All documents of a text. Empty documents are left out, as `kubectl` does.
pub fn parse_documents(source: &Arc<Source>) -> Result<Vec<Node>, Diagnostics> {
    let mut builder = Builder::new(source);
    for item in Parser::new_from_str(source.text()) {
        match item {
            Ok((event, span)) => builder.take(event, &span),
            Err(error) => {
                builder.problems.push(crate::hints::explain(source, &error));
                break;
            }
        }
        if builder.stopped {
            break;
        }
    }
    builder.finish()
}

/// A collection that is still open.
enum Open {
    List(Vec<Node>),
    /// Entries so far and the key that waits for its value.
    Map(Vec<(Key, Node)>, Option<Key>),
}

struct Frame {
    open: Open,
    span: Span,
    anchor: usize,
}

struct Builder<'s> {
    source: &'s Arc<Source>,
    stack: Vec<Frame>,
    documents: Vec<Node>,
    anchors: BTreeMap<usize, Node>,
    problems: Diagnostics,
    nodes: usize,
    stopped: bool,
}

impl<'s> Builder<'s> {
    fn new(source: &'s Arc<Source>) -> Builder<'s> {
        Builder {
            source,
            stack: Vec::new(),
            documents: Vec::new(),
            anchors: BTreeMap::new(),
            problems: Diagnostics::default(),
            nodes: 0,
            stopped: false,
        }
    }

    fn take(&mut self, event: Event<'_>, at: &granit_parser::Span) {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let span = self.span(at);
                if tag.is_some() {
                    self.refuse_tag(&span);
                }
                // A map's key is the scalar met while no key waits.
                if let Some(Frame { open: Open::Map(_, waiting @ None), .. }) = self.stack.last_mut() {
                    *waiting = Some(Key { name: text.into_owned(), span });
                    self.check_key();
                    return;
                }
                let kind = scalar(&text, style == ScalarStyle::Plain);
                self.close(Node { span, kind }, anchor);
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.begin(Open::List(Vec::new()), at, anchor, tag.is_some());
            }
            Event::MappingStart(_, anchor, tag) => {
                self.begin(Open::Map(Vec::new(), None), at, anchor, tag.is_some());
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(id) => self.alias(id, at),
            _ => {}
        }
    }

    fn begin(&mut self, open: Open, at: &granit_parser::Span, anchor: usize, tagged: bool) {
        let start = &at.start;
        let span = Span::new(self.source, start.line() as u32, start.col() as u32 + 1, 1);
        if tagged {
            self.refuse_tag(&span);
        }
        if matches!(self.stack.last(), Some(Frame { open: Open::Map(_, None), .. })) {
            self.stop(Diagnostic::error("complex-key", &span, "a key must be text, not a list or a map"));
        } else if self.stack.len() >= MAX_DEPTH {
            self.stop(Diagnostic::error("too-deep", &span, format!("nested deeper than {MAX_DEPTH} levels")));
        } else {
            self.stack.push(Frame { open, span, anchor });
        }
    }

    fn end(&mut self) {
        let Some(frame) = self.stack.pop() else { return };
        let kind = match frame.open {
            Open::List(items) => Kind::List(items),
            Open::Map(entries, _) => Kind::Map(entries),
        };
        self.close(Node { span: frame.span, kind }, frame.anchor);
    }

    /// A value is complete: hand it to what is open around it.
    fn close(&mut self, node: Node, anchor: usize) {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            let message = format!("more than {MAX_NODES} values");
            self.stop(Diagnostic::error("too-large", &node.span, message));
            return;
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut() {
            None if matches!(node.kind, Kind::Null) => {}
            None => self.documents.push(node),
            Some(Frame { open: Open::List(items), .. }) => items.push(node),
            Some(Frame { open: Open::Map(entries, waiting), .. }) => {
                if let Some(key) = waiting.take() {
                    match entries.iter().find(|(k, _)| k.name == key.name) {
                        None => entries.push((key, node)),
                        Some((first, _)) => {
                            let message = format!("duplicate key `{}`", key.name);
                            let problem = Diagnostic::error("duplicate-key", &key.span, message)
                                .related(&first.span, "is the first one")
                                .help("keep one of the two; the second never silently wins");
                            self.problems.push(problem);
                        }
                    }
                }
            }
        }
    }

    fn alias(&mut self, id: usize, at: &granit_parser::Span) {
        let span = self.span(at);
        if matches!(self.stack.last(), Some(Frame { open: Open::Map(_, None), .. })) {
            return self.stop(Diagnostic::error("complex-key", &span, "a key must be text, not an alias"));
        }
        let Some(node) = self.anchors.get(&id).cloned() else {
            let message = "the alias stands inside the value it names";
            return self.stop(Diagnostic::error("recursive-alias", &span, message));
        };
        self.nodes += node.count();
        if self.stack.len() + node.depth() > MAX_DEPTH {
            let message = format!("nested deeper than {MAX_DEPTH} levels");
            return self.stop(Diagnostic::error("too-deep", &span, message));
        }
        self.close(node, 0);
    }

    fn check_key(&mut self) {
        if let Some(Frame { open: Open::Map(_, Some(key)), .. }) = self.stack.last()
            && key.name == "<<"
        {
            let problem = Diagnostic::error("merge-key", &key.span, "the merge key `<<` is not supported")
                .help("repeat the keys, or share steps with `use:` and values with `params:`");
            self.problems.push(problem);
        }
    }

    fn refuse_tag(&mut self, span: &Span) {
        let problem = Diagnostic::error("tag", span, "YAML tags are not supported")
            .help("remove the `!..`; write text in quotes");
        self.problems.push(problem);
    }

    fn stop(&mut self, problem: Diagnostic) {
        self.problems.push(problem);
        self.stopped = true;
    }

    fn span(&self, at: &granit_parser::Span) -> Span {
        let (start, end) = (&at.start, &at.end);
        let width = if end.line() == start.line() { end.col().saturating_sub(start.col()) } else { 1 };
        Span::new(self.source, start.line() as u32, start.col() as u32 + 1, width as u32)
    }

    fn finish(mut self) -> Result<Vec<Node>, Diagnostics> {
        self.problems.settle();
        if self.problems.is_empty() { Ok(self.documents) } else { Err(self.problems) }
    }
}

/// The core schema of YAML 1.2.2, section 10.3.2, without the values JSON has no word for (`.inf`, `.nan`).
fn scalar(text: &str, plain: bool) -> Kind {
    if !plain {
        return Kind::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        "true" | "True" | "TRUE" => return Kind::Bool(true),
        "false" | "False" | "FALSE" => return Kind::Bool(false),
        _ => {}
    }
    match number(text) {
        Some(number) => Kind::Number(number, text.to_owned()),
        None => Kind::Text(text.to_owned()),
    }
}

fn number(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let first = unsigned.bytes().next()?;
    if !first.is_ascii_digit() && first != b'.' {
        return None;
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return i64::from_str_radix(hex, 16).ok().map(Number::from);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return i64::from_str_radix(octal, 8).ok().map(Number::from);
    }
    if let Ok(integer) = text.parse::<i64>() {
        return Some(Number::from(integer));
    }
    let float_shape =
        unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !float_shape || !unsigned.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse::<f64>().ok().and_then(Number::from_f64)
}
