//! YAML bodies as Go's sigs.k8s.io/yaml reads them: YAML 1.1 words for flags and numbers, merge keys, keys of any scalar,
//! the first document only; duplicate keys noted for strict decoding. What is wrong is said in its words ([`errors`]).

mod errors;
mod scalar;

use std::collections::BTreeMap;

use fake_kube_schema::text::go_quote;
use granit_parser::{Event, Options, Parser, ScalarStyle, Span, Tag};
use serde_json::{Map, Value};

use crate::codec::Decoded;

/// Values an aliased document may grow to.
const VALUES_MAX: usize = 1_000_000;

/// Parses the first document of `body`; an empty one is null.
pub(crate) fn parse(body: &[u8]) -> Result<Decoded, String> {
    let text = errors::readable(body)?;
    let mut options = Options::default();
    options.emit_unresolved_aliases = true;
    options.set_emit_comments(false);
    let mut composer = Composer { text, ..Composer::default() };
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((Event::DocumentEnd | Event::StreamEnd, _)) => break,
            Ok((event, span)) => composer.take(event, &span)?,
            Err(e) => return Err(errors::syntax(text, &e)),
        }
    }
    let strict = if composer.duplicates.is_empty() {
        Vec::new()
    } else {
        vec![format!("yaml: unmarshal errors:\n  {}", composer.duplicates.join("\n  "))]
    };
    let value = composer.root.unwrap_or(Node::Plain(Value::Null)).into_value()?;
    Ok(Decoded { value, strict })
}

/// A value, or what JSON has no word for.
#[derive(Clone, Debug)]
enum Node {
    Plain(Value),
    /// `.inf`, `.nan`: refused when it is made JSON, after everything else was read.
    Unspeakable(&'static str),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// Keys keep their type until the end: `1` and `"1"` are two.
#[derive(Clone, Debug, PartialEq)]
struct Key(Value);

impl Node {
    fn into_value(self) -> Result<Value, String> {
        Ok(match self {
            Node::Plain(v) => v,
            Node::Unspeakable(what) => return Err(format!("json: unsupported value: {what}")),
            Node::List(items) => {
                Value::Array(items.into_iter().map(Node::into_value).collect::<Result<_, _>>()?)
            }
            Node::Map(members) => {
                let mut out = Map::new();
                for (Key(key), node) in members {
                    let name = match key {
                        Value::String(s) => s,
                        Value::Null => {
                            let value = node.into_value().map_or_else(|e| e, |v| go_syntax(&v));
                            return Err(format!(
                                "unsupported map key of type: %!s(<nil>), key: <nil>, value: {value}"
                            ));
                        }
                        other => other.to_string(),
                    };
                    out.insert(name, node.into_value()?);
                }
                Value::Object(out)
            }
        })
    }
}

/// `%#v` of an untyped value.
fn go_syntax(v: &Value) -> String {
    match v {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::String(s) => go_quote(s),
        Value::Array(l) => {
            format!("[]interface {{}}{{{}}}", l.iter().map(go_syntax).collect::<Vec<_>>().join(", "))
        }
        Value::Object(m) => {
            let all: Vec<String> =
                m.iter().map(|(k, v)| format!("{}:{}", go_quote(k), go_syntax(v))).collect();
            format!("map[interface {{}}]interface {{}}{{{}}}", all.join(", "))
        }
        other => other.to_string(),
    }
}

/// A collection under way.
enum Open {
    List(Vec<Node>),
    /// With the key whose value comes next.
    Map {
        members: Vec<(Key, Node)>,
        key: Option<(Value, usize)>,
    },
}

#[derive(Default)]
struct Composer<'a> {
    text: &'a str,
    root: Option<Node>,
    /// Collections and the anchors they define.
    open: Vec<(Open, usize)>,
    anchors: BTreeMap<usize, (Node, usize)>,
    duplicates: Vec<String>,
    values: usize,
}

impl Composer<'_> {
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let node = scalar::resolve(&text, style == ScalarStyle::Plain, tag_name(tag.as_deref()))?;
                self.finish(node, anchor, span)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open.push((Open::List(Vec::new()), anchor));
                Ok(())
            }
            Event::MappingStart(_, anchor, _) => {
                self.open.push((Open::Map { members: Vec::new(), key: None }, anchor));
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some((Open::List(items), anchor)) => self.finish(Node::List(items), anchor, span),
                Some((Open::Map { members, .. }, anchor)) => self.finish(Node::Map(members), anchor, span),
                None => Ok(()),
            },
            Event::Alias(id) => {
                if self.open.iter().any(|(_, anchor)| *anchor == id) {
                    return Err(format!("yaml: anchor '{}' value contains itself", self.alias_name(span)));
                }
                let Some((node, size)) = self.anchors.get(&id).cloned() else {
                    return Err(format!("yaml: unknown anchor '{}' referenced", self.alias_name(span)));
                };
                self.values += size;
                self.finish(node, 0, span)
            }
            Event::UnresolvedAlias(name) => Err(format!("yaml: unknown anchor '{name}' referenced")),
            _ => Ok(()),
        }
    }

    fn alias_name(&self, span: &Span) -> String {
        let rest = self.text.chars().skip(span.start.index() + 1);
        rest.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect()
    }

    /// A node is complete: it becomes the root, an item, a key or a value.
    fn finish(&mut self, node: Node, anchor: usize, span: &Span) -> Result<(), String> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err("yaml: document contains excessive aliasing".to_owned());
        }
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), size(&node)));
        }
        match self.open.last_mut().map(|(o, _)| o) {
            None => self.root = Some(node),
            Some(Open::List(items)) => items.push(node),
            Some(Open::Map { members, key }) => match key.take() {
                None => match node {
                    Node::Plain(v) if !v.is_array() && !v.is_object() => {
                        *key = Some((v, span.start.line()));
                    }
                    Node::Unspeakable(what) => *key = Some((Value::from(what), span.start.line())),
                    other => {
                        return Err(format!("yaml: invalid map key: {}", go_syntax(&other.into_value()?)));
                    }
                },
                Some((Value::String(s), _)) if s == "<<" => merge(members, node)?,
                Some((name, line)) => {
                    if let Some((_, old)) = members.iter_mut().find(|(k, _)| k.0 == name) {
                        self.duplicates
                            .push(format!("line {line}: key {} already set in map", go_syntax(&name)));
                        *old = node;
                    } else {
                        members.push((Key(name), node));
                    }
                }
            },
        }
        Ok(())
    }
}

fn size(node: &Node) -> usize {
    match node {
        Node::Plain(_) | Node::Unspeakable(_) => 1,
        Node::List(l) => 1 + l.iter().map(size).sum::<usize>(),
        Node::Map(m) => 1 + m.iter().map(|(_, n)| size(n)).sum::<usize>(),
    }
}

/// `<<: *other`
fn merge(members: &mut Vec<(Key, Node)>, from: Node) -> Result<(), String> {
    let refused = || Err("yaml: map merge requires map or sequence of maps as the value".to_owned());
    match from {
        Node::Map(more) => {
            for (key, node) in more {
                match members.iter_mut().find(|(k, _)| *k == key) {
                    Some((_, old)) => *old = node,
                    None => members.push((key, node)),
                }
            }
            Ok(())
        }
        // The first of several wins: the last is laid down first.
        Node::List(maps) => maps.into_iter().rev().try_for_each(|m| match m {
            Node::Map(_) => merge(members, m),
            _ => refused(),
        }),
        _ => refused(),
    }
}

fn tag_name(tag: Option<&Tag>) -> Option<String> {
    tag.map(|t| t.to_string())
}

#[cfg(test)]
mod tests;
