//! Why a case failed, collected while it runs; `report` turns it into what the reporters show.

use std::time::Duration;

use drey_language::failure::Failure as Reported;
use drey_language::matching::Mismatch;
use drey_language::{Span, Step};
use jiff::Timestamp;

/// One failure.
#[derive(Clone, Debug, Default)]
pub struct Failure {
    /// What was expected, on one line.
    pub expected: String,
    /// Further facts, a line each.
    pub lines: Vec<String>,
    /// The word of the step, or `invariant`.
    pub check: Option<String>,
    pub object: Option<String>,
    pub within: Option<Duration>,
    pub mismatches: Vec<Mismatch>,
    /// Fields of the object whose history matters.
    pub fields: Vec<String>,
    /// Where in the scenario file: the step that asked, or during which a breach of what always holds was found.
    pub span: Option<Span>,
}

impl Failure {
    pub fn new(expected: impl Into<String>) -> Failure {
        Failure { expected: expected.into(), ..Failure::default() }
    }

    pub fn invariant(text: impl Into<String>) -> Failure {
        Failure { check: Some("invariant".to_owned()), ..Failure::new(text) }
    }

    pub fn line(mut self, line: impl Into<String>) -> Failure {
        self.lines.push(line.into());
        self
    }

    pub fn lines(mut self, lines: impl IntoIterator<Item = String>) -> Failure {
        self.lines.extend(lines);
        self
    }

    pub fn at(mut self, span: &Span) -> Failure {
        self.span.get_or_insert_with(|| span.clone());
        self
    }

    /// The innermost step keeps the failure.
    pub fn in_step(mut self, step: &Step) -> Failure {
        self.check.get_or_insert_with(|| step.name.clone());
        self.at(&step.span)
    }

    /// As the reporters take it; `now` is the moment of the verdict.
    pub fn report(&self, now: Timestamp) -> Reported {
        Reported {
            check: self.check.clone().unwrap_or_else(|| "scenario".to_owned()),
            at: self.span.as_ref().map(ToString::to_string),
            object: self.object.clone(),
            expected: self.expected.clone(),
            within: self.within,
            t: now,
            mismatches: self.mismatches.clone(),
            fields: self.fields.clone(),
            note: self.lines.join("\n"),
            event: None,
        }
    }
}

/// What no answer from the API server means for a step.
impl From<crate::world::hands::NoAnswer> for Failure {
    fn from(error: crate::world::hands::NoAnswer) -> Failure {
        Failure::new(error.to_string())
    }
}

/// The runner and the vocabulary disagree about a step: a defect of ours, told at the step's place.
impl From<Box<drey_language::Diagnostic>> for Failure {
    fn from(diagnostic: Box<drey_language::Diagnostic>) -> Failure {
        Failure::new(diagnostic.message.clone()).at(&diagnostic.span)
    }
}
