//! The field tables, read from `data/proto.tsv` on first use. The format is described in `tools/proto_fields/main.go`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::special::Special;

const DATA: &str = include_str!("../../data/proto.tsv");

pub(super) type TypeId = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Bytes,
    Int32,
    Int64,
    Bool,
    Double,
    Message(TypeId),
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    /// The JSON member; of an inline field, unused.
    pub(super) name: &'static str,
    go_name: &'static str,
    pub(super) kind: Kind,
    pub(super) pointer: bool,
    pub(super) omit_empty: bool,
    pub(super) repeated: bool,
    pub(super) map: bool,
    pub(super) inline: bool,
}

impl Field {
    /// As errors of the generated code call it.
    pub(super) fn go_name(&self) -> String {
        if !self.go_name.is_empty() {
            return self.go_name.to_owned();
        }
        let mut letters = self.name.chars();
        letters.next().map_or_else(String::new, |c| c.to_uppercase().chain(letters).collect())
    }
}

#[derive(Debug)]
pub(super) struct MessageType {
    pub(super) name: &'static str,
    pub(super) special: Special,
    pub(super) fields: Vec<Field>,
}

impl MessageType {
    pub(super) fn short_name(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }

    pub(super) fn field(&self, number: u32) -> Option<&Field> {
        // Numbers are dense and sorted: mostly the field is at its place.
        self.fields.binary_search_by_key(&number, |f| f.number).ok().map(|i| &self.fields[i])
    }
}

pub(super) struct Table {
    types: Vec<MessageType>,
    index: BTreeMap<&'static str, TypeId>,
}

impl Table {
    pub(super) fn load() -> &'static Table {
        static LOADED: OnceLock<Table> = OnceLock::new();
        LOADED.get_or_init(|| Table::read(DATA))
    }

    fn read(data: &'static str) -> Table {
        let mut table = Table { types: Vec::new(), index: BTreeMap::new() };
        for line in data.lines() {
            table.id(line.split('\t').next().unwrap_or(line));
        }
        for line in data.lines() {
            let mut columns = line.split('\t').filter(|c| !c.is_empty());
            let Some(name) = columns.next() else { continue };
            let id = table.id(name);
            let fields = columns.filter_map(|c| table.field_of(c)).collect();
            table.types[id].fields = fields;
        }
        table
    }

    /// Types that encode themselves have no line of their own and come up by reference.
    fn id(&mut self, name: &'static str) -> TypeId {
        if let Some(id) = self.index.get(name) {
            return *id;
        }
        let id = self.types.len();
        self.types.push(MessageType { name, special: Special::of(name), fields: Vec::new() });
        self.index.insert(name, id);
        id
    }

    fn field_of(&mut self, column: &'static str) -> Option<Field> {
        let mut words = column.split(' ');
        let number = words.next()?.parse().ok()?;
        let (name, kind) = (words.next()?, words.next()?);
        let start = kind.find(|c: char| c.is_ascii_alphabetic())?;
        let (flags, kind) = kind.split_at(start);
        let kind = match kind.split_once(':') {
            Some((_, message)) => Kind::Message(self.id(message)),
            None => match kind {
                "s" => Kind::Text,
                "b" => Kind::Bytes,
                "i" => Kind::Int32,
                "l" => Kind::Int64,
                "t" => Kind::Bool,
                "d" => Kind::Double,
                _ => return None,
            },
        };
        Some(Field {
            number,
            name,
            go_name: words.next().unwrap_or(""),
            kind,
            pointer: flags.contains('?'),
            omit_empty: flags.contains('-'),
            repeated: flags.contains('['),
            map: flags.contains('{'),
            inline: flags.contains('^'),
        })
    }

    pub(super) fn find(&self, name: &str) -> Option<TypeId> {
        self.index.get(name).copied()
    }

    pub(super) fn get(&self, id: TypeId) -> &MessageType {
        &self.types[id]
    }

    #[cfg(test)]
    pub(super) fn ids(&self) -> std::ops::Range<TypeId> {
        0..self.types.len()
    }
}
