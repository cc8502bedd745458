//! Compiled schemas of CRDs, kept for the process: a run of scenarios installs the same few CRDs into one fresh server
//! after another, and compiling a large one takes tens of milliseconds.
//!
//! Documents are compared as a whole and in order (members are reported in it), so a hit is never a guess.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::Schema;

/// The oldest goes beyond this many.
const KEPT_MAX: usize = 32;

struct Kept {
    document: Value,
    schema: Schema,
    /// The structural checks passed.
    structural: bool,
}

static KEPT: Mutex<VecDeque<Kept>> = Mutex::new(VecDeque::new());

pub(super) fn find(document: &Value, structural: bool) -> Option<Schema> {
    let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let fits = |k: &&Kept| (k.structural || !structural) && same(&k.document, document);
    kept.iter().find(fits).map(|k| k.schema.clone())
}

pub(super) fn keep(document: &Value, schema: &Schema, structural: bool) {
    let entry = Kept { document: document.clone(), schema: schema.clone(), structural };
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() == KEPT_MAX {
        kept.pop_front();
    }
    kept.push_back(entry);
}

/// Equal with members in the same order; documents that differ mostly do so early.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((k, v), (l, w))| k == l && same(v, w))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(v, w)| same(v, w)),
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn order_tells_documents_apart() {
        let document = |first: &str, second: &str| json!({"type": "object", "properties": {first: {"type": "string"}, second: {"type": "integer"}}});
        assert!(same(&document("a", "b"), &document("a", "b")));
        assert!(!same(&json!({"a": 1, "b": 2}), &json!({"b": 2, "a": 1})));
        let one = Schema::custom(&document("p", "q"));
        let again = Schema::custom(&document("p", "q"));
        assert!(std::sync::Arc::ptr_eq(&one.0, &again.0));
        assert!(find(&document("p", "q"), true).is_none(), "nobody checked it");
    }
}
