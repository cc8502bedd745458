//! Partial-match trees: the shape an object must have, with differences told field by field. Maps match by the keys
//! they name, lists by an explicit mode, scalars by equality or a comparison. Compiled while a file is read, so that
//! a bad operator is an error with a position. Leaves out: relations between fields, which are for CEL.

mod compile;
mod evaluate;
pub mod path;

pub(crate) use evaluate::brief;
pub use evaluate::{Mismatch, partial_match, render};

use regex::Regex;
use serde_json::{Number, Value};
use std::fmt;

/// A compiled tree.
#[derive(Clone, PartialEq)]
pub struct Tree {
    pattern: Pattern,
    written: Value,
}

impl Tree {
    /// As the author wrote it.
    pub fn to_json(&self) -> Value {
        self.written.clone()
    }

    /// Everything that does not fit, in tree order; empty is a match. `None` is an absent value.
    pub fn mismatches(&self, actual: Option<&Value>) -> Vec<Mismatch> {
        evaluate::mismatches(&self.pattern, actual)
    }

    pub fn matches(&self, actual: Option<&Value>) -> bool {
        self.mismatches(actual).is_empty()
    }

    /// The paths of the fields the tree speaks about: what a failure shows the history of.
    pub fn fields(&self) -> Vec<String> {
        evaluate::fields(&self.pattern)
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tree({})", self.written)
    }
}

/// What must hold at one place.
#[derive(Clone, Debug)]
enum Pattern {
    /// Equal as JSON, numbers by value.
    Equal(Value),
    /// Every named key fits; other keys are not looked at.
    Keys(Vec<(String, Pattern)>),
    /// A list written without a mode: same length, each element by its place.
    Items(Vec<Pattern>),
    /// Operators, all of which must hold.
    All(Vec<Operator>),
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        // Patterns are compared only through the tree as written; regexes have no equality.
        format!("{self:?}") == format!("{other:?}")
    }
}

#[derive(Clone, Debug)]
enum Operator {
    /// Each pattern fits some element, different ones for different patterns.
    Contains(Vec<Pattern>),
    /// Equal, nothing more: extra keys count as differences.
    Exact(Value),
    /// Elements found by the value of a key; the rest of the list is not looked at.
    ByKey(String, Vec<(Value, Pattern)>),
    Absent(bool),
    Present(bool),
    Matches(Regex),
    Compare(Ordering, Number),
    Length(Box<Pattern>),
    Not(Box<Pattern>),
    AnyOf(Vec<Pattern>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ordering {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Every operator, with one sentence for documentation.
pub const OPERATORS: &[(&str, &str)] = &[
    ("$contains", "a list has elements that fit these patterns, in any order; a text contains this text"),
    ("$exact", "the value is exactly this: no further keys, no further elements"),
    ("$byKey", "list elements found by a key: `{$byKey: name, items: [{name: main, image: x}]}`"),
    ("$absent", "`true`: the field is not there"),
    ("$present", "`true`: the field is there, whatever it holds"),
    ("$matches", "a text fits this regular expression somewhere; anchor with `^` and `$`"),
    ("$gt", "a number greater than this"),
    ("$gte", "a number greater than or equal to this"),
    ("$lt", "a number less than this"),
    ("$lte", "a number less than or equal to this"),
    ("$length", "the length of a list, map or text fits: `{$length: 2}`, `{$length: {$gte: 1}}`"),
    ("$not", "the pattern does not fit"),
    ("$anyOf", "one of the patterns fits"),
];

/// `*` stands for any text, everything else for itself.
pub fn glob(pattern: &str, text: &str) -> bool {
    let parts: Vec<&str> = pattern.split('*').collect();
    let [first, middle @ .., last] = parts.as_slice() else { return pattern == text };
    let Some(rest) = text.strip_prefix(first) else { return false };
    let Some(mut rest) = rest.strip_suffix(last) else { return false };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}
