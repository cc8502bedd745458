//! Long lists as JSON, written while they are sent: what is held is the objects, whose text they have already, and one
//! piece of the answer.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use crate::resource::Definition;
use crate::stored::Stored;

/// Bytes of a piece, about.
const PIECE: usize = 128 << 10;
/// Lists shorter than this go out as one.
pub(crate) const LONG: usize = 64 << 10;

/// The rest of a list.
pub(crate) struct Pages {
    def: Arc<Definition>,
    head: Bytes,
    items: std::vec::IntoIter<Arc<Stored>>,
    is_first: bool,
    is_done: bool,
    left: usize,
}

const END: &[u8] = b"]}\n";

impl Pages {
    /// `head` ends in front of the first item.
    pub(crate) fn new(def: Arc<Definition>, head: Bytes, items: Vec<Arc<Stored>>) -> Pages {
        let text: usize = items.iter().map(|item| length(&def, item) + 1).sum();
        let left = head.len() + text.saturating_sub(1) + END.len();
        Pages { def, head, items: items.into_iter(), is_first: true, is_done: false, left }
    }

    /// Bytes that are still to come.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    pub(crate) fn is_done(&self) -> bool {
        self.is_done
    }

    pub(crate) fn next(&mut self) -> Option<Bytes> {
        if self.is_done {
            return None;
        }
        let mut out = BytesMut::with_capacity(self.left.min(PIECE + (PIECE >> 3)));
        out.put_slice(&std::mem::take(&mut self.head));
        while out.len() < PIECE {
            let Some(item) = self.items.next() else {
                out.put_slice(END);
                self.is_done = true;
                break;
            };
            if !std::mem::take(&mut self.is_first) {
                out.put_u8(b',');
            }
            write(&mut out, &self.def, &item);
        }
        self.left = self.left.saturating_sub(out.len());
        Some(out.freeze())
    }
}

/// Whether the object's text is what this version shows.
pub(crate) fn is_plain(def: &Definition, item: &Stored) -> bool {
    def.is_settled(item.revision) && item.line().starts_with(def.heading().as_bytes())
}

/// Typed lists leave kind and apiVersion out of their items.
fn write(out: &mut BytesMut, def: &Definition, item: &Stored) {
    if def.is_custom() {
        let line = item.line();
        out.put_slice(&line[..line.len() - 1]);
    } else {
        out.put_u8(b'{');
        out.put_slice(item.members());
        out.put_u8(b'}');
    }
}

fn length(def: &Definition, item: &Stored) -> usize {
    if def.is_custom() { item.line().len() - 1 } else { item.members().len() + 2 }
}
