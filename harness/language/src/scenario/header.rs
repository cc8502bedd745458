//! The top level of a scenario or fragment file: which keys there are, what the header says.

use super::args::Arg;
use super::checker::Checker;
use super::matrix::{Matrix, Strategy};
use super::{API_VERSION, Clock, Metadata};
use crate::diagnostics::Diagnostic;
use crate::vocabulary::{Shape, Type};
use crate::yaml::{Kind, Node};
use indexmap::IndexMap;
use jiff::Timestamp;
use std::time::Duration;

/// Scenario time passes at most this long unless `clock.limit` says otherwise.
const DEFAULT_LIMIT: Duration = Duration::from_secs(24 * 3600);
/// A fixed moment, so that a transcript without `clock.start` is the same every day.
const DEFAULT_START: &str = "2026-01-01T00:00:00Z";

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Scenario,
    Fragment,
}

impl Sort {
    pub fn kind(self) -> &'static str {
        match self {
            Sort::Scenario => "Scenario",
            Sort::Fragment => "Fragment",
        }
    }

    /// Keys of the top level, with `Any` for what is checked per case.
    pub fn shape(self) -> Shape {
        let shape = Shape::new()
            .required("apiVersion", Type::words(&[API_VERSION]), "version of the language")
            .required("kind", Type::words(&[self.kind()]), "what this file is")
            .optional("params", Type::map(Type::Any), "values for `${params.x}`")
            .optional("monitors", Type::Any, "checks that hold from start to end");
        match self {
            Sort::Scenario => shape
                .required("metadata", metadata_shape(), "name and labels")
                .optional("modes", Type::list(Type::Text), "where it may run")
                .optional("matrix", matrix_shape(), "axes to multiply the scenario by")
                .optional(
                    "crds",
                    Type::list(Type::Text),
                    "files with CRDs that the world serves; their kinds can be named",
                )
                .optional("clock", Type::Any, "scenario time")
                .optional("world", Type::Any, "what the scenario starts with")
                .optional("use", Type::Any, "fragments that come before the steps")
                .required("steps", Type::Any, "what happens")
                .optional("catch", Type::Any, "steps after a failure"),
            Sort::Fragment => shape
                .optional("description", Type::Text, "what it is for")
                .optional("steps", Type::Any, "what happens")
                .at_least_one(&["steps", "monitors"]),
        }
    }
}

pub(crate) fn scenario_shape() -> Shape {
    Sort::Scenario.shape()
}

pub(crate) fn fragment_shape() -> Shape {
    Sort::Fragment.shape()
}

fn metadata_shape() -> Shape {
    Shape::new()
        .required("name", Type::Text, "name of the scenario, unique, as in a file name")
        .optional("tags", Type::list(Type::Text), "for selection")
        .optional("bugs", Type::list(Type::Text), "issues it is about")
        .optional("description", Type::Text, "what it shows, for reports")
}

pub(super) fn matrix_shape() -> Shape {
    Shape::new()
        .required("axes", Type::map(Type::list(Type::Scalar)), "name to values")
        .optional("strategy", Type::words(&["full", "pairwise", "listed"]), "`full` unless said")
        .optional("exclude", Type::list(Type::map(Type::Scalar)), "cells left out")
        .optional("cases", Type::list(Type::map(Type::Scalar)), "the cells, for `listed`")
}

pub(crate) fn clock_shape() -> Shape {
    Shape::new().optional("start", Type::Timestamp, "`2026-01-01T00:00:00Z` unless said").optional(
        "limit",
        Type::Duration,
        "most scenario time; `24h` unless said",
    )
}

pub(super) fn metadata(checker: &mut Checker<'_, '_>, node: &Node) -> Metadata {
    let shape = metadata_shape();
    // The shape of the whole file was checked and reported before: only values matter here.
    let before = checker.session.problems.len();
    let checked = checker.shape(&shape, node).unwrap_or_default();
    checker.session.problems.0.truncate(before);
    let text = |key: &str| checked.get(key).and_then(Arg::as_text).unwrap_or_default().to_owned();
    let texts = |key: &str| -> Vec<String> {
        checked.get(key).map(|a| a.texts().into_iter().map(str::to_owned).collect()).unwrap_or_default()
    };
    let metadata = Metadata {
        name: text("name"),
        tags: texts("tags"),
        bugs: texts("bugs"),
        description: text("description"),
    };
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if let Some(name) = node.get("name")
        && (!metadata.name.chars().all(legal) || metadata.name.is_empty() || metadata.name.len() > 63)
    {
        let problem = Diagnostic::error("name", &name.span, "not a scenario name").at("metadata.name");
        checker.report(problem.help("use up to 63 lower-case letters, digits and `-`: `savepoint-fallback`"));
    }
    metadata
}

pub(super) fn modes(checker: &mut Checker<'_, '_>, node: Option<&Node>) -> Vec<String> {
    let known = checker.vocabulary.modes().to_vec();
    let Some(node) = node else { return checker.vocabulary.usual_modes().to_vec() };
    let arg = checker.key("modes", |c| c.check(&Type::list(Type::Enum(known)), node));
    arg.map(|a| a.texts().into_iter().map(str::to_owned).collect()).unwrap_or_default()
}

pub(super) fn clock(checker: &mut Checker<'_, '_>, node: Option<&Node>) -> Clock {
    let start = DEFAULT_START.parse::<Timestamp>().unwrap_or_default();
    let mut clock = Clock { start, limit: DEFAULT_LIMIT };
    if let Some(node) = node
        && let Some(arg) = checker.key("clock", |c| c.check(&clock_shape().into(), node))
    {
        clock.start = arg.opt_timestamp("start").unwrap_or(clock.start);
        clock.limit = arg.opt_duration("limit").unwrap_or(clock.limit);
    }
    clock
}

/// The parts of `matrix:`; `None` without one, or when its form was already reported as wrong.
pub(super) fn matrix<'n>(checker: &mut Checker<'_, '_>, node: Option<&'n Node>) -> Option<Matrix<'n>> {
    let node = node?;
    let before = checker.session.problems.len();
    let checked = checker.shape(&matrix_shape(), node);
    checker.session.problems.0.truncate(before);
    checked.as_ref()?;
    let list = |key: &str| match node.get(key).map(|n| &n.kind) {
        Some(Kind::List(items)) => items.iter().collect(),
        _ => Vec::new(),
    };
    let strategy = match node.get("strategy").and_then(Node::as_text) {
        Some("pairwise") => Strategy::Pairwise,
        Some("listed") => Strategy::Listed,
        _ => Strategy::Full,
    };
    let mut axes = IndexMap::new();
    if let Some(Node { kind: Kind::Map(entries), .. }) = node.get("axes") {
        for (key, values) in entries {
            let Kind::List(values) = &values.kind else { continue };
            repeated(checker, &key.name, values);
            axes.insert(key.name.clone(), values.clone());
        }
    }
    if strategy == Strategy::Listed && node.get("cases").is_none() {
        let problem = Diagnostic::error("missing-key", &node.span, "`strategy: listed` without `cases`");
        checker.report(problem.at("matrix").help("add `cases: [{axis: value, ..}]`"));
    }
    if let (true, Some(cases)) = (strategy != Strategy::Listed, node.get("cases")) {
        let problem =
            Diagnostic::error("exclusive-keys", &cases.span, "`cases` belongs to `strategy: listed`");
        checker.report(problem.at("matrix.cases").help("write `strategy: listed`, or remove `cases`"));
    }
    Some(Matrix { node, axes, strategy, exclude: list("exclude"), cases: list("cases") })
}

/// Equal values would make two cases of one name.
fn repeated(checker: &mut Checker<'_, '_>, axis: &str, values: &[Node]) {
    for (i, value) in values.iter().enumerate() {
        let first = values[..i].iter().find(|v| super::matrix::plain(v) == super::matrix::plain(value));
        if let Some(first) = first {
            let problem = Diagnostic::error(
                "duplicate-value",
                &value.span,
                format!("axis `{axis}` has this value twice"),
            );
            checker.report(
                problem.at(format!("matrix.axes.{axis}[{i}]")).related(&first.span, "is the first one"),
            );
        }
    }
}
