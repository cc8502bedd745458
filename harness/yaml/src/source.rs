//! Source texts and positions in them. Every node, step and diagnostic carries a `Span`, so that whatever goes
//! wrong later, even in a run, can point at a line of the file. Leaves out: reading files (see `files`).

use std::fmt;
use std::sync::Arc;

/// One text as it was read, with the name under which the user knows it.
#[derive(Debug)]
pub struct Source {
    name: String,
    text: String,
}

impl Source {
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Source> {
        Arc::new(Source { name: name.into(), text: text.into() })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of a line, counted from 1, without its line break; empty beyond the end.
    pub fn line(&self, number: u32) -> &str {
        let index = (number as usize).saturating_sub(1);
        self.text.split('\n').nth(index).unwrap_or("").trim_end_matches('\r')
    }
}

/// A place in a source: where something starts and how many columns of that line it covers.
#[derive(Clone)]
pub struct Span {
    source: Arc<Source>,
    line: u32,
    column: u32,
    width: u32,
}

impl Span {
    /// Lines and columns count from 1; columns count characters.
    pub fn new(source: &Arc<Source>, line: u32, column: u32, width: u32) -> Span {
        Span { source: source.clone(), line: line.max(1), column: column.max(1), width: width.max(1) }
    }

    /// The start of a file: for what is missing in it altogether.
    pub fn start_of(source: &Arc<Source>) -> Span {
        Span::new(source, 1, 1, 1)
    }

    pub fn source(&self) -> &Arc<Source> {
        &self.source
    }

    pub fn file(&self) -> &str {
        &self.source.name
    }

    pub fn line(&self) -> u32 {
        self.line
    }

    pub fn column(&self) -> u32 {
        self.column
    }

    pub fn width(&self) -> u32 {
        self.width
    }

    /// The same place moved right within its line: used for positions inside a scalar.
    pub fn shifted(&self, columns: u32, width: u32) -> Span {
        Span::new(&self.source, self.line, self.column + columns, width)
    }

    /// `file:line`, the form messages in a running text use.
    pub fn short(&self) -> String {
        format!("{}:{}", self.source.name, self.line)
    }

    /// A sort key that puts diagnostics of one file in reading order.
    pub fn order(&self) -> (&str, u32, u32) {
        (&self.source.name, self.line, self.column)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.source.name, self.line, self.column)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for Span {
    fn eq(&self, other: &Span) -> bool {
        self.order() == other.order() && self.width == other.width
    }
}

impl Eq for Span {}
