//! Field paths as a chain on the stack, printed only when there is something to report.

use std::fmt;

/// A place in an object; `Root` prints as the empty string.
#[derive(Clone, Copy)]
pub(crate) enum Path<'a> {
    Root,
    /// A part that is looked at by itself: texts begin below it, fields of errors name it.
    Part(&'a str),
    Key(&'a Path<'a>, &'a str),
    /// A key of a map, as Go prints it: `options[a]`.
    Entry(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl<'a> Path<'a> {
    pub(crate) fn key(&'a self, key: &'a str) -> Path<'a> {
        Path::Key(self, key)
    }

    pub(crate) fn entry(&'a self, key: &'a str) -> Path<'a> {
        Path::Entry(self, key)
    }

    pub(crate) fn index(&'a self, index: usize) -> Path<'a> {
        Path::Index(self, index)
    }

    /// As a `field` of an error: the root is `<nil>`.
    pub(crate) fn field(&self) -> String {
        match (self, self.part()) {
            (Path::Root, _) => "<nil>".into(),
            (Path::Part(part), _) => (*part).into(),
            (_, None) => self.to_string(),
            (_, Some(part)) => format!("{part}.{self}"),
        }
    }

    /// The part that the chain begins with.
    fn part(&self) -> Option<&'a str> {
        match self {
            Path::Root => None,
            Path::Part(part) => Some(part),
            Path::Key(parent, _) | Path::Entry(parent, _) | Path::Index(parent, _) => parent.part(),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root | Path::Part(_) => Ok(()),
            Path::Key(Path::Root | Path::Part(_), key) => f.write_str(key),
            Path::Key(parent, key) => write!(f, "{parent}.{key}"),
            Path::Entry(parent, key) => write!(f, "{parent}[{key}]"),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}
