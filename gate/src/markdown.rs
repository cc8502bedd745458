//! The verdict as Markdown, for the summary page of a CI run and for a comment on the change.

use drey_yaml::markdown::{escape, fenced};

use crate::verdict::{Finding, Outcome, Section, Verdict, Weight};

/// Comment fields of forges hold about 64 KiB.
const ROWS_SHOWN: usize = 100;
const DETAILS_SHOWN: usize = 10;

pub fn render(verdict: &Verdict) -> String {
    let mark = match verdict.outcome {
        _ if verdict.overridden.is_some() => "⚠️",
        Outcome::Pass | Outcome::Improved => "✅",
        Outcome::Regressed => "❌",
        Outcome::Unsure => "❔",
    };
    let mut out = format!("## {mark} drey gate: {}\n\n", escape(&verdict.headline()));
    if let Some(next) = verdict.next() {
        out.push_str(&format!("Next: {}.\n\n", escape(next)));
    }
    verdict.sections.iter().for_each(|section| render_section(section, &mut out));
    out
}

fn render_section(section: &Section, out: &mut String) {
    let against =
        section.baseline.as_deref().map_or("no baseline".to_owned(), |name| format!("against `{name}`"));
    out.push_str(&format!("### {}\n\n{}, {against}\n\n", section.title, escape(&section.summary)));
    if section.findings.is_empty() {
        return;
    }
    out.push_str("| | | what | stored | found | where |\n|---|---|---|---|---|---|\n");
    for finding in section.findings.iter().take(ROWS_SHOWN) {
        let place = finding.place.as_ref().map(|place| format!("{}:{}", place.file, place.line));
        let columns = [
            mark(finding.weight).to_owned(),
            escape(&finding.name),
            escape(&finding.what),
            escape(&finding.stored),
            escape(&finding.found),
            escape(&place.unwrap_or_default()),
        ];
        out.push_str(&format!("| {} |\n", columns.join(" | ")));
    }
    if section.findings.len() > ROWS_SHOWN {
        out.push_str(&format!("\nand {} more\n", section.findings.len() - ROWS_SHOWN));
    }
    out.push('\n');
    let is_told = |finding: &&Finding| !finding.detail.is_empty() && finding.weight <= Weight::Unsure;
    for finding in section.findings.iter().filter(is_told).take(DETAILS_SHOWN) {
        let title = escape(&format!("{}: {}", finding.name, finding.what));
        out.push_str(&format!(
            "<details><summary>{title}</summary>\n\n{}</details>\n\n",
            fenced(&finding.detail)
        ));
    }
}

fn mark(weight: Weight) -> &'static str {
    match weight {
        Weight::Worse => "❌ worse",
        Weight::Unsure => "❔ unsure",
        Weight::Better => "🟢 better",
        Weight::Known => "➖ known",
        Weight::Note => "note",
    }
}
