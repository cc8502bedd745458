//! The stream protocol: class descriptors, objects, arrays, strings and back references.

use std::collections::BTreeMap;

use super::classes::{BYTES, Class};

const MAGIC_AND_VERSION: [u8; 4] = [0xac, 0xed, 0x00, 0x05];
const NULL: u8 = 0x70;
const REFERENCE: u8 = 0x71;
const CLASS_DESCRIPTOR: u8 = 0x72;
const OBJECT: u8 = 0x73;
const STRING: u8 = 0x74;
const ARRAY: u8 = 0x75;
const END_OF_BLOCK: u8 = 0x78;
const LONG_STRING: u8 = 0x7c;
const ENUM: u8 = 0x7e;
const FIRST_HANDLE: u32 = 0x7e_0000;

/// A stream under way. Methods write the parts in the order Java does, since handles count what came before.
pub(super) struct Stream {
    bytes: Vec<u8>,
    /// What can be referred to again: classes, strings that Java keeps once, singletons.
    handles: BTreeMap<Shared, u32>,
    next: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Shared {
    Class(&'static str),
    Text(String),
    Singleton(&'static str),
}

/// An object that was begun, for references to itself.
#[derive(Clone, Copy)]
pub(super) struct Handle(u32);

impl Stream {
    pub fn new() -> Stream {
        Stream { bytes: MAGIC_AND_VERSION.to_vec(), handles: BTreeMap::new(), next: FIRST_HANDLE }
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Begins an object; its fields follow, those of the topmost class first.
    pub fn object(&mut self, class: &'static Class) -> Handle {
        self.bytes.push(OBJECT);
        self.class(class);
        self.handle()
    }

    /// An object without fields of which there is one only.
    pub fn singleton(&mut self, class: &'static Class) {
        let shared = Shared::Singleton(class.name);
        if !self.refer(&shared) {
            let Handle(handle) = self.object(class);
            self.handles.insert(shared, handle);
        }
    }

    /// Begins an array; so many elements follow.
    pub fn array(&mut self, class: &'static Class, length: usize) {
        self.bytes.push(ARRAY);
        self.class(class);
        self.handle();
        self.int(u32::try_from(length).unwrap_or(u32::MAX));
    }

    pub fn byte_array(&mut self, bytes: &[u8]) {
        self.array(&BYTES, bytes.len());
        self.bytes.extend(bytes);
    }

    pub fn enumeration(&mut self, class: &'static Class, constant: &str) {
        self.bytes.push(ENUM);
        self.class(class);
        self.handle();
        self.shared_text(constant);
    }

    /// Ends the fields of a class that writes itself.
    pub fn end_of_block(&mut self) {
        self.bytes.push(END_OF_BLOCK);
    }

    pub fn null(&mut self) {
        self.bytes.push(NULL);
    }

    pub fn reference(&mut self, Handle(handle): Handle) {
        self.bytes.push(REFERENCE);
        self.int(handle);
    }

    pub fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub fn int(&mut self, value: u32) {
        self.bytes.extend(value.to_be_bytes());
    }

    /// A string of its own.
    pub fn text(&mut self, text: &str) {
        let bytes = modified_utf8(text);
        match u16::try_from(bytes.len()) {
            Ok(length) => {
                self.bytes.push(STRING);
                self.bytes.extend(length.to_be_bytes());
            }
            Err(_) => {
                self.bytes.push(LONG_STRING);
                self.bytes.extend((bytes.len() as u64).to_be_bytes());
            }
        }
        self.bytes.extend(bytes);
        self.handle();
    }

    /// A string that Java holds once, such as a literal or the name of a class.
    pub fn shared_text(&mut self, text: &str) {
        let shared = Shared::Text(text.to_owned());
        if !self.refer(&shared) {
            self.handles.insert(shared, self.next);
            self.text(text);
        }
    }

    fn class(&mut self, class: &'static Class) {
        let shared = Shared::Class(class.name);
        if self.refer(&shared) {
            return;
        }
        self.bytes.push(CLASS_DESCRIPTOR);
        self.short_text(class.name);
        self.bytes.extend(class.uid.to_be_bytes());
        let Handle(handle) = self.handle();
        self.handles.insert(shared, handle);
        self.byte(class.flags);
        self.bytes.extend((class.fields.len() as u16).to_be_bytes());
        for (name, kind) in class.fields {
            self.byte(kind.as_bytes()[0]);
            self.short_text(name);
            if kind.len() > 1 {
                self.shared_text(kind);
            }
        }
        self.end_of_block();
        match class.parent {
            Some(parent) => self.class(parent),
            None => self.null(),
        }
    }

    /// Names of classes and fields: always short.
    fn short_text(&mut self, text: &'static str) {
        self.bytes.extend((text.len() as u16).to_be_bytes());
        self.bytes.extend(text.as_bytes());
    }

    fn refer(&mut self, shared: &Shared) -> bool {
        let handle = self.handles.get(shared).copied();
        if let Some(handle) = handle {
            self.reference(Handle(handle));
        }
        handle.is_some()
    }

    fn handle(&mut self) -> Handle {
        let handle = self.next;
        self.next += 1;
        Handle(handle)
    }
}

/// Java's own UTF-8: NUL takes two bytes, and what lies beyond the basic plane is a pair of surrogates, three bytes each.
fn modified_utf8(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for unit in text.encode_utf16() {
        match unit {
            0x01..=0x7f => bytes.push(unit as u8),
            0 | 0x80..=0x7ff => bytes.extend([0xc0 | (unit >> 6) as u8, 0x80 | (unit & 0x3f) as u8]),
            _ => bytes.extend([
                0xe0 | (unit >> 12) as u8,
                0x80 | ((unit >> 6) & 0x3f) as u8,
                0x80 | (unit & 0x3f) as u8,
            ]),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_say_their_length_in_eight_bytes() {
        let mut stream = Stream::new();
        stream.text(&"x".repeat(70_000));
        let bytes = stream.into_bytes();
        assert_eq!(bytes[4..13], [LONG_STRING, 0, 0, 0, 0, 0, 1, 0x11, 0x70]);
        assert_eq!(bytes.len(), 13 + 70_000);
    }

    #[test]
    fn texts_are_in_the_utf8_of_java() {
        assert_eq!(modified_utf8("a\0ü"), [b'a', 0xc0, 0x80, 0xc3, 0xbc]);
        assert_eq!(modified_utf8("\u{1f600}"), [0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]);
    }
}
