//! One stored version of an object: as a tree, as text, or both.
//!
//! Readers in this process want trees, clients of the HTTP face want text, and a tree takes ten times the memory of its
//! text. A server that serves clients therefore keeps the trees of the newest versions only ([`Stored::pack`]); one that
//! is asked for again is read from its text.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use bytes::Bytes;
use fake_kube_schema::{write_json, write_json_text};
use serde_json::Value;

#[derive(Debug)]
pub struct Stored {
    pub revision: u64,
    kept: Kept,
    /// Made at first use and shared by all readers.
    text: OnceLock<Text>,
}

#[derive(Debug)]
enum Kept {
    /// For good: the server reads objects of this kind itself, or keeps all trees.
    Pinned(Arc<Value>),
    Loose(Mutex<Tree>),
}

#[derive(Debug)]
enum Tree {
    Held(Arc<Value>),
    /// Gone when nobody else has it; the text has everything.
    Lent(Weak<Value>),
}

/// `{"kind":..,"apiVersion":..,"metadata":..}` and a line feed, as a GET of the stored version answers it.
#[derive(Debug)]
struct Text {
    whole: Bytes,
    /// Where the members after kind and apiVersion begin.
    head: usize,
}

impl Stored {
    /// One whose tree stays.
    pub(crate) fn new(revision: u64, value: Value) -> Stored {
        Stored { revision, kept: Kept::Pinned(Arc::new(value)), text: OnceLock::new() }
    }

    /// One whose tree can be given up.
    pub(crate) fn loose(revision: u64, value: Value) -> Stored {
        let tree = Mutex::new(Tree::Held(Arc::new(value)));
        Stored { revision, kept: Kept::Loose(tree), text: OnceLock::new() }
    }

    /// The object. Whoever looks at several of its members keeps what this answers.
    pub fn value(&self) -> Arc<Value> {
        let tree = match &self.kept {
            Kept::Pinned(value) => return value.clone(),
            Kept::Loose(tree) => tree,
        };
        let mut tree = tree.lock().unwrap_or_else(PoisonError::into_inner);
        match &*tree {
            Tree::Held(value) => value.clone(),
            Tree::Lent(known) => known.upgrade().unwrap_or_else(|| {
                let read = self.text.get().and_then(|text| serde_json::from_slice(&text.whole).ok());
                let value = Arc::new(read.unwrap_or_default());
                *tree = Tree::Lent(Arc::downgrade(&value));
                value
            }),
        }
    }

    /// The object, of a kind whose trees stay (`store::is_packed`).
    pub(crate) fn pinned(&self) -> &Value {
        match &self.kept {
            Kept::Pinned(value) => value,
            Kept::Loose(_) => &Value::Null,
        }
    }

    /// The whole object as its storage version shows it, with a line feed.
    pub(crate) fn line(&self) -> &Bytes {
        &self.text().whole
    }

    /// The members after apiVersion and kind, serialised: `"metadata":{..},..` without the outer braces.
    pub(crate) fn members(&self) -> &[u8] {
        let text = self.text();
        text.whole.get(text.head..text.whole.len().saturating_sub(2)).unwrap_or_default()
    }

    fn text(&self) -> &Text {
        self.text.get_or_init(|| write(&self.value()))
    }

    /// Keeps the text alone.
    pub(crate) fn pack(&self) {
        let Kept::Loose(tree) = &self.kept else { return };
        self.text();
        let mut tree = tree.lock().unwrap_or_else(PoisonError::into_inner);
        if let Tree::Held(value) = &*tree {
            // Who points at a tree that is gone keeps the room it began in.
            let is_ours_alone = Arc::strong_count(value) == 1;
            *tree = Tree::Lent(if is_ours_alone { Weak::new() } else { Arc::downgrade(value) });
        }
    }

    /// Keeps the tree again, if there is one.
    pub(crate) fn unpack(&self) {
        let Kept::Loose(tree) = &self.kept else { return };
        let mut tree = tree.lock().unwrap_or_else(PoisonError::into_inner);
        if let Tree::Lent(known) = &*tree
            && let Some(value) = known.upgrade()
        {
            *tree = Tree::Held(value);
        }
    }
}

fn write(value: &Value) -> Text {
    let mut out = Vec::with_capacity(4096);
    let said = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or("");
    out.extend_from_slice(b"{\"kind\":");
    write_json_text(&mut out, said("kind"));
    out.extend_from_slice(b",\"apiVersion\":");
    write_json_text(&mut out, said("apiVersion"));
    let mut head = out.len();
    for (key, member) in value.as_object().into_iter().flatten() {
        if key == "apiVersion" || key == "kind" {
            continue;
        }
        out.push(b',');
        write_json_text(&mut out, key);
        out.push(b':');
        write_json(&mut out, member);
    }
    // The comma is not theirs.
    head = out.len().min(head + 1);
    out.extend_from_slice(b"}\n");
    // Copied to where there is no room to spare: it stays, and allocators leave what shrinks in the block it grew to.
    Text { whole: Bytes::copy_from_slice(&out), head }
}

/// Serialises an object's members other than apiVersion and kind, without the braces.
pub(crate) fn members(value: &Value) -> Bytes {
    let text = write(value);
    text.whole.slice(text.head..text.whole.len() - 2)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(object: Value, line: &str, members: &str) {
        let stored = Stored::loose(1, object.clone());
        assert_eq!((stored.line().as_ref(), stored.members()), (line.as_bytes(), members.as_bytes()));
        let held = stored.value();
        stored.pack();
        assert!(Arc::ptr_eq(&held, &stored.value()), "a tree somebody has is not read again");
        drop(held);
        assert_eq!(*stored.value(), object);
        let again = stored.value();
        assert!(Arc::ptr_eq(&again, &stored.value()));
    }

    #[test]
    fn packed_objects_are_what_they_were() {
        check(
            json!({"apiVersion": "v1", "kind": "K", "metadata": {"name": "a"}, "x": [1.1, 1e300, -0.0, "\u{7f}\n"]}),
            "{\"kind\":\"K\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\"},\"x\":[1.1,1e+300,-0.0,\"\u{7f}\\n\"]}\n",
            "\"metadata\":{\"name\":\"a\"},\"x\":[1.1,1e+300,-0.0,\"\u{7f}\\n\"]",
        );
        check(json!({"kind": "K", "apiVersion": "v1"}), "{\"kind\":\"K\",\"apiVersion\":\"v1\"}\n", "");
    }

    /// A number that is read one unit off would move each time it is packed.
    #[test]
    fn numbers_do_not_drift() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..2_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let number = f64::from_bits(seed);
            if !number.is_finite() {
                continue;
            }
            let stored = Stored::loose(1, json!({"kind": "K", "apiVersion": "v1", "n": number}));
            stored.pack();
            assert_eq!(stored.value()["n"].as_f64().map(f64::to_bits), Some(number.to_bits()));
        }
    }
}
