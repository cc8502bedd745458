//! What is said to the author of a bad file: where, what, the nearest valid spelling, what is allowed, what to do next.
//! The rendering is golden-tested (`tests/bad`). Leaves out: failures of a run, which are `failure`.

use crate::paint::Paint;
use crate::source::Span;
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

/// One thing to say about one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Stable name of the rule, for filters and tests: `unknown-key`.
    pub code: &'static str,
    pub span: Span,
    /// Where in the document: `steps[2].eventually.within`. Empty when the document could not be read.
    pub path: String,
    pub message: String,
    pub nearest: Option<String>,
    pub allowed: Vec<String>,
    /// The next step, a full sentence.
    pub help: Option<String>,
    /// Other places that matter: the first of two equal keys, the chain of a cycle.
    pub related: Vec<(Span, String)>,
    /// The matrix case in which it shows, when it does not show in the first.
    pub case: Option<String>,
}

impl Diagnostic {
    pub fn error(code: &'static str, span: &Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            code,
            span: span.clone(),
            path: String::new(),
            message: message.into(),
            nearest: None,
            allowed: Vec::new(),
            help: None,
            related: Vec::new(),
            case: None,
        }
    }

    pub fn warning(code: &'static str, span: &Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, span, message) }
    }

    pub fn at(mut self, path: impl Into<String>) -> Diagnostic {
        self.path = path.into();
        self
    }

    pub fn help(mut self, text: impl Into<String>) -> Diagnostic {
        self.help = Some(text.into());
        self
    }

    pub fn related(mut self, span: &Span, text: impl Into<String>) -> Diagnostic {
        self.related.push((span.clone(), text.into()));
        self
    }

    pub fn nearest(mut self, text: impl Into<String>) -> Diagnostic {
        self.nearest = Some(text.into());
        self
    }

    /// Names what would have been valid, and the one of them that is probably meant.
    pub fn allowed<S: AsRef<str>>(
        mut self,
        written: &str,
        candidates: impl IntoIterator<Item = S>,
    ) -> Diagnostic {
        self.allowed = candidates.into_iter().map(|c| c.as_ref().to_owned()).collect();
        self.nearest = nearest(written, &self.allowed);
        self
    }

    /// What to do: as the rule says, else what follows from the spellings that are valid.
    fn next_step(&self) -> Option<String> {
        let from_spelling = || match (&self.nearest, self.allowed.is_empty()) {
            (Some(nearest), _) => Some(format!("write `{nearest}` if that is what you mean")),
            (None, false) => Some("use one of the allowed spellings".to_owned()),
            (None, true) => None,
        };
        self.help.clone().or_else(from_spelling)
    }

    /// `file:line:column: error: message`, the source line with a caret, then the details.
    pub fn render(&self, paint: Paint) -> String {
        let label = match self.severity {
            Severity::Error => paint.red("error"),
            Severity::Warning => paint.yellow("warning"),
        };
        let mut out = format!("{}: {label}: {}\n", paint.bold(&self.span.to_string()), self.message);
        push_excerpt(&mut out, &self.span, paint);
        let mut line = |key: &str, value: &str| {
            out.push_str(&format!("  {} {value}\n", paint.dim(&format!("{:>8}", format!("{key}:")))));
        };
        if !self.path.is_empty() {
            line("path", &self.path);
        }
        if let Some(nearest) = &self.nearest {
            line("nearest", nearest);
        }
        if !self.allowed.is_empty() {
            line("allowed", &shorten(&self.allowed));
        }
        for (span, text) in &self.related {
            line("see", &format!("{span} {text}"));
        }
        if let Some(case) = &self.case {
            line("case", case);
        }
        if let Some(next) = self.next_step() {
            line("next", &next);
        }
        out
    }
}

/// All that is wrong with a file, in reading order. Never empty when returned as an error.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }

    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|d| d.severity == Severity::Error)
    }

    /// Reading order, and one message per rule and place: a matrix repeats most of them per case.
    pub fn settle(&mut self) {
        self.0.sort_by(|a, b| (a.span.order(), a.code).cmp(&(b.span.order(), b.code)));
        self.0.dedup_by(|b, a| a.span == b.span && a.code == b.code && a.path == b.path);
        // A param that could not be filled in also has the wrong type: only the cause is worth saying.
        let unfilled: Vec<Span> =
            self.0.iter().filter(|d| d.code.contains("param")).map(|d| d.span.clone()).collect();
        self.0.retain(|d| d.code.contains("param") || !unfilled.contains(&d.span));
    }

    /// The diagnostics one below the other and a closing count.
    pub fn render(&self, paint: Paint) -> String {
        let mut out = String::new();
        for diagnostic in self.0.iter().take(MAX_SHOWN) {
            out.push_str(&diagnostic.render(paint));
            out.push('\n');
        }
        let errors = self.0.iter().filter(|d| d.severity == Severity::Error).count();
        let warnings = self.0.len() - errors;
        let mut counts = Vec::new();
        if errors > 0 {
            counts.push(plural(errors, "error"));
        }
        if warnings > 0 {
            counts.push(plural(warnings, "warning"));
        }
        out.push_str(&counts.join(", "));
        if self.0.len() > MAX_SHOWN {
            out.push_str(&format!(" (the first {MAX_SHOWN} shown)"));
        }
        out.push('\n');
        out
    }
}

/// More than this many messages at once are not read by anybody.
const MAX_SHOWN: usize = 50;

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Paint::Plain))
    }
}

impl std::error::Error for Diagnostics {}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Paint::Plain))
    }
}

impl std::error::Error for Diagnostic {}

impl From<Box<Diagnostic>> for Diagnostics {
    fn from(diagnostic: Box<Diagnostic>) -> Diagnostics {
        Diagnostics(vec![*diagnostic])
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Diagnostics {
        Diagnostics(vec![diagnostic])
    }
}

/// The candidate that is probably meant: equal but for case and separators, else close by edit distance.
pub fn nearest<S: AsRef<str>>(written: &str, candidates: &[S]) -> Option<String> {
    let folded = fold(written);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let candidate = candidate.as_ref();
        let distance = strsim::damerau_levenshtein(&folded, &fold(candidate));
        if best.is_none_or(|(d, _)| distance < d) {
            best = Some((distance, candidate));
        }
    }
    let (distance, candidate) = best?;
    // One slip in short words, a third of the letters in long ones: beyond that a hint misleads.
    let tolerated = (written.chars().count().max(candidate.chars().count()) / 3).max(1);
    (distance <= tolerated).then(|| candidate.to_owned())
}

fn fold(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect()
}

fn push_excerpt(out: &mut String, span: &Span, paint: Paint) {
    let full = span.source().line(span.line());
    if full.trim().is_empty() {
        return;
    }
    // Tabs would move the caret; a very long line is cut around the place.
    let column = span.column() as usize - 1;
    let skip = if column > 100 { column - 60 } else { 0 };
    let start = if skip > 0 { ".." } else { "" };
    let shown: String =
        full.chars().skip(skip).take(140).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let room = shown.chars().count().saturating_sub(column - skip).max(1);
    let carets = "^".repeat((span.width() as usize).clamp(1, room));
    let number = span.line().to_string();
    let bar = paint.blue("|");
    out.push_str(&format!("  {} {bar} {start}{}\n", paint.blue(&number), shown.trim_end()));
    let pad = " ".repeat(number.len());
    out.push_str(&format!(
        "  {pad} {bar} {}{}\n",
        " ".repeat(start.len() + column - skip),
        paint.red(&carets)
    ));
}

fn shorten(allowed: &[String]) -> String {
    const SHOWN: usize = 40;
    let mut text = allowed.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if allowed.len() > SHOWN {
        text.push_str(&format!(", .. ({} more)", allowed.len() - SHOWN));
    }
    text
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_forgives_slips_and_case_but_does_not_guess() {
        let keys = ["within", "match", "cel", "restartAfter"];
        let check = |written: &str, expected: Option<&str>| {
            assert_eq!(nearest(written, &keys).as_deref(), expected, "{written}");
        };
        check("withn", Some("within"));
        check("Match", Some("match"));
        check("restart-after", Some("restartAfter"));
        check("restrat_after", Some("restartAfter"));
        check("timeout", None);
        check("", None);
    }
}
