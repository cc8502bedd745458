//! A Markdown summary for pull requests and CI pages: counts, failures in full, then every case in one table.

use drey_yaml::markdown::{escape, fenced};

use crate::duration;
use crate::failure;
use crate::paint::Paint;
use crate::report::{CaseReport, Outcome, RunReport};

/// The whole summary. Comment fields of forges hold about 64 KiB: failures beyond the first ones are only named.
const FAILURES_SHOWN: usize = 10;

pub fn render(report: &RunReport) -> String {
    let mut out = format!("## {}: {}\n\n", escape(&report.title), report.summary());
    let bad: Vec<&CaseReport> = report.cases.iter().filter(|case| case.outcome.is_bad()).collect();
    for case in bad.iter().take(FAILURES_SHOWN) {
        out.push_str(&format!("### {} {}\n\n{}", mark(case), escape(&case.title()), fenced(&trouble(case))));
    }
    if bad.len() > FAILURES_SHOWN {
        out.push_str(&format!("and {} more failures, see the table\n\n", bad.len() - FAILURES_SHOWN));
    }
    out.push_str("| | scenario | case | scenario time | notes |\n|---|---|---|---|---|\n");
    for case in &report.cases {
        let columns = [
            mark(case),
            &escape(&case.scenario),
            &escape(&case.case),
            &duration::format(case.elapsed),
            &notes(case),
        ];
        out.push_str(&format!("| {} |\n", columns.join(" | ")));
    }
    out
}

fn mark(case: &CaseReport) -> &'static str {
    match &case.outcome {
        Outcome::Passed => "✅",
        Outcome::Failed { .. } => "❌",
        Outcome::Skipped { .. } => "➖",
        Outcome::Broken { .. } => "💥",
    }
}

fn trouble(case: &CaseReport) -> String {
    match &case.outcome {
        Outcome::Failed { failures } => {
            failures.iter().map(|f| failure::render(f, case, Paint::Plain)).collect::<Vec<_>>().join("\n")
        }
        Outcome::Broken { error } => format!("{error}\nreplay: {}\n", case.replay),
        Outcome::Passed | Outcome::Skipped { .. } => String::new(),
    }
}

fn notes(case: &CaseReport) -> String {
    let mut notes = Vec::new();
    if let Outcome::Skipped { reason } = &case.outcome {
        notes.push(format!("skipped: {}", escape(reason)));
    }
    if !case.skipped_steps.is_empty() {
        notes.push(format!("{} steps skipped in mode {}", case.skipped_steps.len(), escape(&case.mode)));
    }
    if !case.bugs.is_empty() {
        notes.push(escape(&case.bugs.join(", ")));
    }
    notes.join("; ")
}
