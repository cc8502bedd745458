//! Reads serialised Java objects without their classes: fields by name, and what `writeObject` added. Bounded by the
//! length of its input; numbers are kept as bits, block data is passed over.

use std::collections::BTreeMap;
use std::rc::Rc;

/// Everything that can be referred to, in the order of its handles.
pub(super) struct Graph {
    nodes: Vec<Node>,
    pub root: Value,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Bits(i64),
    Node(usize),
}

pub(super) enum Node {
    /// Under way, or nothing anybody asks for: arrays and classes as values.
    Other,
    Class(Rc<Class>),
    Text(String),
    Constant(Value),
    Object(Object),
}

pub(super) struct Object {
    pub class: Rc<Class>,
    pub fields: BTreeMap<String, Value>,
    /// What `writeObject` wrote after the fields: elements of collections, keys and values of maps.
    pub extra: Vec<Value>,
}

pub(super) struct Class {
    pub name: String,
    flags: u8,
    fields: Vec<(u8, String)>,
    above: Option<Rc<Class>>,
}

const HEADER: [u8; 4] = [0xac, 0xed, 0, 5];
const FIRST_HANDLE: u32 = 0x7e_0000;
const DEPTH_MAX: u16 = 200;
const WRITE_METHOD: u8 = 1;
const SERIALIZABLE: u8 = 2;
const EXTERNALIZABLE: u8 = 4;

impl Graph {
    /// `None`: not a whole stream.
    pub fn read(bytes: &[u8]) -> Option<Graph> {
        let mut reader = Reader { rest: bytes.strip_prefix(&HEADER)?, nodes: Vec::new(), depth: 0 };
        let root = reader.value()?;
        Some(Graph { nodes: reader.nodes, root })
    }

    pub fn node(&self, value: Value) -> Option<&Node> {
        match value {
            Value::Node(at) => self.nodes.get(at),
            Value::Null | Value::Bits(_) => None,
        }
    }

    pub fn object(&self, value: Value) -> Option<&Object> {
        match self.node(value)? {
            Node::Object(object) => Some(object),
            _ => None,
        }
    }

    pub fn text(&self, value: Value) -> Option<&str> {
        match self.node(value)? {
            Node::Text(text) => Some(text),
            Node::Constant(name) => self.text(*name),
            _ => None,
        }
    }

    pub fn field(&self, of: Value, name: &str) -> Option<Value> {
        self.object(of)?.fields.get(name).copied()
    }

    /// The entries of a map whose keys are texts.
    pub fn entries(&self, map: Value) -> impl Iterator<Item = (&str, Value)> {
        let pairs = self.object(map).map_or(&[][..], |map| &map.extra).chunks_exact(2);
        pairs.filter_map(|pair| Some((self.text(pair[0])?, pair[1])))
    }

    /// Those of them whose values are texts, numbers or booleans, as texts.
    pub fn texts(&self, map: Value) -> BTreeMap<String, String> {
        let entry = |(key, value): (&str, Value)| Some((key.to_owned(), self.scalar(value)?));
        self.entries(map).filter_map(entry).collect()
    }

    fn scalar(&self, value: Value) -> Option<String> {
        if let Some(text) = self.text(value) {
            return Some(text.to_owned());
        }
        let boxed = self.object(value)?;
        match (boxed.class.name.as_str(), boxed.fields.get("value")?) {
            ("java.lang.Integer", Value::Bits(bits)) => Some((*bits as i32).to_string()),
            ("java.lang.Long", Value::Bits(bits)) => Some(bits.to_string()),
            ("java.lang.Boolean", Value::Bits(bits)) => Some((*bits != 0).to_string()),
            _ => None,
        }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    nodes: Vec<Node>,
    depth: u16,
}

/// What stands where a value may: block data and ends are none.
enum Content {
    Value(Value),
    Block,
    End,
}

impl Reader<'_> {
    fn value(&mut self) -> Option<Value> {
        match self.content()? {
            Content::Value(value) => Some(value),
            Content::Block | Content::End => None,
        }
    }

    fn content(&mut self) -> Option<Content> {
        self.depth += 1;
        let read = if self.depth > DEPTH_MAX { None } else { self.tagged() };
        self.depth -= 1;
        read
    }

    fn tagged(&mut self) -> Option<Content> {
        let value = match self.byte()? {
            0x70 => Value::Null,
            0x71 => {
                let handle = self.number(4)? as u32;
                let at = usize::try_from(handle.checked_sub(FIRST_HANDLE)?).ok()?;
                Value::Node(at).filter_known(&self.nodes)?
            }
            tag @ (0x72 | 0x7d) => self.new_class(tag == 0x7d)?,
            0x73 => self.object()?,
            0x74 => {
                let length = self.number(2)? as usize;
                self.text(length)?
            }
            0x75 => self.array()?,
            0x76 => {
                self.class()?;
                self.add(Node::Other)
            }
            0x77 => {
                let length = self.byte()?;
                self.take(usize::from(length))?;
                return Some(Content::Block);
            }
            0x78 => return Some(Content::End),
            0x7a => {
                let length = self.number(4)? as usize;
                self.take(length)?;
                return Some(Content::Block);
            }
            0x7c => {
                let length = usize::try_from(self.number(8)?).ok()?;
                self.text(length)?
            }
            0x7e => {
                self.class()?;
                let at = self.add(Node::Other);
                let name = self.value()?;
                self.set(at, Node::Constant(name))
            }
            _ => return None,
        };
        Some(Content::Value(value))
    }

    fn class(&mut self) -> Option<Option<Rc<Class>>> {
        match self.value()? {
            Value::Null => Some(None),
            Value::Node(at) => match self.nodes.get(at)? {
                Node::Class(class) => Some(Some(class.clone())),
                _ => None,
            },
            Value::Bits(_) => None,
        }
    }

    fn new_class(&mut self, proxy: bool) -> Option<Value> {
        if proxy {
            let at = self.add(Node::Other);
            for _ in 0..self.number(4)? {
                self.utf()?;
            }
            self.extra()?;
            let above = self.class()?;
            let class = Class { name: "proxy".to_owned(), flags: SERIALIZABLE, fields: Vec::new(), above };
            return Some(self.set(at, Node::Class(Rc::new(class))));
        }
        let name = self.utf()?;
        self.number(8)?;
        let at = self.add(Node::Other);
        let flags = self.byte()?;
        let mut fields = Vec::new();
        for _ in 0..self.number(2)? {
            let kind = self.byte()?;
            fields.push((kind, self.utf()?));
            if matches!(kind, b'L' | b'[') {
                self.value()?;
            }
        }
        self.extra()?;
        let above = self.class()?;
        Some(self.set(at, Node::Class(Rc::new(Class { name, flags, fields, above }))))
    }

    fn object(&mut self) -> Option<Value> {
        let class = self.class()??;
        let at = self.add(Node::Other);
        let mut object = Object { class: class.clone(), fields: BTreeMap::new(), extra: Vec::new() };
        let mut line = vec![class];
        while let Some(above) = line.last().and_then(|class| class.above.clone()) {
            line.push(above);
        }
        for class in line.iter().rev() {
            if class.flags & SERIALIZABLE != 0 {
                for (kind, name) in &class.fields {
                    let value = self.of_kind(*kind)?;
                    object.fields.insert(name.clone(), value);
                }
            }
            if class.flags & (WRITE_METHOD | EXTERNALIZABLE) != 0 {
                object.extra.extend(self.extra()?);
            }
        }
        Some(self.set(at, Node::Object(object)))
    }

    fn array(&mut self) -> Option<Value> {
        let class = self.class()??;
        let at = self.add(Node::Other);
        let length = self.number(4)? as usize;
        let kind = *class.name.as_bytes().get(1)?;
        if kind == b'B' {
            self.take(length)?;
            return Some(at);
        }
        for _ in 0..length {
            self.of_kind(kind)?;
        }
        Some(at)
    }

    fn of_kind(&mut self, kind: u8) -> Option<Value> {
        let width = match kind {
            b'B' | b'Z' => 1,
            b'C' | b'S' => 2,
            b'I' | b'F' => 4,
            b'J' | b'D' => 8,
            b'L' | b'[' => return self.value(),
            _ => return None,
        };
        self.number(width).map(Value::Bits)
    }

    /// Contents up to the end of a block.
    fn extra(&mut self) -> Option<Vec<Value>> {
        let mut values = Vec::new();
        loop {
            match self.content()? {
                Content::Value(value) => values.push(value),
                Content::Block => {}
                Content::End => return Some(values),
            }
        }
    }

    fn text(&mut self, length: usize) -> Option<Value> {
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        Some(self.add(Node::Text(text)))
    }

    fn utf(&mut self) -> Option<String> {
        let length = self.number(2)? as usize;
        Some(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn number(&mut self, width: usize) -> Option<i64> {
        Some(self.take(width)?.iter().fold(0, |n: i64, byte| n << 8 | i64::from(*byte)))
    }

    fn take(&mut self, length: usize) -> Option<&[u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn add(&mut self, node: Node) -> Value {
        self.nodes.push(node);
        Value::Node(self.nodes.len() - 1)
    }

    fn set(&mut self, at: Value, node: Node) -> Value {
        if let Value::Node(index) = at {
            self.nodes[index] = node;
        }
        at
    }
}

impl Value {
    fn filter_known(self, nodes: &[Node]) -> Option<Value> {
        matches!(self, Value::Node(at) if at < nodes.len()).then_some(self)
    }
}
