//! What a YAML syntax error probably means to the person who typed the file. The parser says where it gave up;
//! the cause is often a tab, a `//` comment or a missing quote on that line or shortly before it.

use crate::diagnostics::Diagnostic;
use crate::source::{Source, Span};
use granit_parser::ScanError;
use std::sync::Arc;

pub(crate) fn explain(source: &Arc<Source>, error: &ScanError) -> Diagnostic {
    let marker = error.marker();
    let line = (marker.line() as u32).max(1);
    tab(source, line)
        .or_else(|| slashes(source, line))
        .or_else(|| unquoted(source, line))
        .unwrap_or_else(|| plain(source, error, line, marker.col() as u32 + 1))
}

fn plain(source: &Arc<Source>, error: &ScanError, line: u32, column: u32) -> Diagnostic {
    let info = error.info();
    let end = source.text().trim_end().lines().count() as u32;
    let message = match info.trim() {
        "" if line >= end => "not valid YAML: the file ends inside a bracket or a quoted text".to_owned(),
        "" => "not valid YAML".to_owned(),
        info => format!("not valid YAML: {info}"),
    };
    Diagnostic::error("syntax", &Span::new(source, line, column, 1), message)
        .help("check indentation, quotes and brackets on this line and the one before")
}

/// A tab in the indentation of the line where the parser stopped, or of the line before.
fn tab(source: &Arc<Source>, line: u32) -> Option<Diagnostic> {
    let with_tab = [line, line.saturating_sub(1)].into_iter().filter(|n| *n > 0).find_map(|number| {
        let text = source.line(number);
        let indentation = text.chars().take_while(|c| c.is_whitespace()).count();
        let column = text.chars().take(indentation).position(|c| c == '\t')?;
        Some((number, column as u32 + 1))
    });
    let (number, column) = with_tab?;
    let span = Span::new(source, number, column, 1);
    let problem =
        Diagnostic::error("tab-indentation", &span, "a tab indents this line; YAML allows only spaces");
    Some(problem.help("replace the tab by spaces and let the editor insert spaces in .yaml files"))
}

/// A `//` comment on the line where the parser stopped, or up to three lines before: YAML folds lines together
/// before it notices.
fn slashes(source: &Arc<Source>, line: u32) -> Option<Diagnostic> {
    let number = (line.saturating_sub(3).max(1)..=line)
        .rev()
        .find(|n| source.line(*n).trim_start().starts_with("//"))?;
    let text = source.line(number);
    let column = text.chars().take_while(|c| c.is_whitespace()).count() as u32 + 1;
    let span = Span::new(source, number, column, 2);
    let nearest = format!("#{}", text.trim_start().trim_start_matches('/'));
    let problem =
        Diagnostic::error("slash-comment", &span, "`//` does not start a comment in YAML, `#` does");
    Some(problem.nearest(nearest).help("write the comment with `#`"))
}

/// `key: value: more` or `key: @x`: the value needs quotes.
fn unquoted(source: &Arc<Source>, line: u32) -> Option<Diagnostic> {
    let text = source.line(line);
    let value = text.trim_start().trim_start_matches("- ");
    let (_, rest) = value.split_once(": ")?;
    let rest = rest.trim();
    let starts_badly = rest.starts_with(['@', '`', '%']);
    let second_colon = rest.contains(": ") && !rest.starts_with(['{', '[', '"', '\'', '#', '|', '>']);
    if !starts_badly && !second_colon {
        return None;
    }
    let at = text.find(rest)?;
    let column = text[..at].chars().count() as u32 + 1;
    let span = Span::new(source, line, column, rest.chars().count() as u32);
    let escaped = rest.replace('\\', "\\\\").replace('"', "\\\"");
    let problem = Diagnostic::error("needs-quotes", &span, "this value must be quoted");
    Some(problem.nearest(format!("\"{escaped}\"")).help("put the value in quotes"))
}
