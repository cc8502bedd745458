//! Findings at the lines they are about, in the forms of two CI servers: workflow commands of GitHub and a Code Quality
//! report of GitLab. Only what somebody has to look at: worse, unsure, and known to be bad.

use std::path::Path;

use serde_json::{Value, json};

use crate::report::Place;
use crate::verdict::{Finding, Verdict, Weight};

/// GitHub shows this many of each level and step; the rest is in the summary.
const SHOWN: usize = 10;

/// `::error file=..,line=..,col=..,title=..::..`, one per line. `root`: what absolute paths are below.
/// <https://docs.github.com/actions/reference/workflow-commands-for-github-actions#setting-an-error-message>
pub fn github(verdict: &Verdict, root: Option<&Path>) -> String {
    let mut out = String::new();
    for level in ["error", "warning"] {
        let of_level = told(verdict).filter(|finding| github_level(verdict, finding.weight) == level);
        for finding in of_level.take(SHOWN) {
            let place = finding.place.as_ref().map(|place| {
                let column = place.column.map(|column| format!("col={column},")).unwrap_or_default();
                format!("file={},line={},{column}", property(&shown(place, root)), place.line)
            });
            let title = format!("{}: {}", finding.name, finding.what);
            out.push_str(&format!(
                "::{level} {}title={}::{}\n",
                place.unwrap_or_default(),
                property(&title),
                data(&message(finding))
            ));
        }
    }
    out
}

fn github_level(verdict: &Verdict, weight: Weight) -> &'static str {
    match weight {
        Weight::Worse | Weight::Unsure if verdict.overridden.is_none() => "error",
        _ => "warning",
    }
}

/// What asks for somebody's attention.
fn told(verdict: &Verdict) -> impl Iterator<Item = &Finding> {
    let is_told = |weight| {
        matches!(weight, Weight::Worse | Weight::Unsure | Weight::Known)
            || (verdict.is_strict && weight == Weight::Better)
    };
    verdict.findings().filter(move |finding| is_told(finding.weight))
}

/// What it is, what it was, and why.
fn message(finding: &Finding) -> String {
    let mut text = finding.what.clone();
    if !finding.found.is_empty() {
        text.push_str(&format!(" ({} -> {})", finding.stored, finding.found));
    }
    if !finding.detail.is_empty() {
        text.push_str(&format!("\n{}", finding.detail));
    }
    text
}

fn shown(place: &Place, root: Option<&Path>) -> String {
    let path = Path::new(&place.file);
    let below = root.and_then(|root| path.strip_prefix(root).ok()).unwrap_or(path);
    below.display().to_string()
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// A Code Quality report: a list, empty when there is nothing to tell.
/// <https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format>
pub fn gitlab(verdict: &Verdict, root: Option<&Path>) -> Value {
    let entry = |finding: &Finding| {
        let severity = match finding.weight {
            Weight::Worse => "major",
            Weight::Unsure => "minor",
            _ => "info",
        };
        let path = finding.place.as_ref().map_or(".".to_owned(), |place| shown(place, root));
        json!({
            "description": format!("{}: {}", finding.name, message(finding).replace('\n', "; ")),
            "check_name": format!("drey-gate/{}", finding.weight.name()),
            "fingerprint": fingerprint(&[&path, &finding.name, without_numbers(&finding.what)]),
            "severity": severity,
            "location": location(&path, finding.place.as_ref()),
        })
    };
    Value::Array(told(verdict).map(entry).collect())
}

/// By line and column where both are known, else by line.
fn location(path: &str, place: Option<&Place>) -> Value {
    match place {
        Some(Place { line, column: Some(column), .. }) => {
            json!({"path": path, "positions": {"begin": {"line": line, "column": column}}})
        }
        place => json!({"path": path, "lines": {"begin": place.map_or(1, |place| place.line)}}),
    }
}

/// The same finding has the same fingerprint in every pipeline: the server then knows it again.
fn fingerprint(parts: &[&str]) -> String {
    let word = |offset: u64| {
        let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
        // FNV-1a, twice from different starts.
        bytes.fold(offset, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    };
    format!("{:016x}{:016x}", word(0xcbf2_9ce4_8422_2325), word(0x6472_6579_6761_7465))
}

/// `more passes (+12 %)` -> `more passes`: another number is no other finding.
fn without_numbers(what: &str) -> &str {
    what.split(" (").next().unwrap_or(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_workflow_commands_are_escaped() {
        assert_eq!(data("50 %\nand: more, too"), "50 %25%0Aand: more, too");
        assert_eq!(property("a: b, c"), "a%3A b%2C c");
    }
}
