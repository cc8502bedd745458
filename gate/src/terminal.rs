//! The verdict as a table for people at a terminal, and in the log of a CI job.

use drey_yaml::Paint;

use crate::verdict::{Finding, Outcome, Section, Verdict, Weight};

/// Longer lists are read by nobody here; the Markdown summary and `--verdict` have more.
const ROWS_SHOWN: usize = 100;
/// Of what needs nobody's hand.
const NOTES_SHOWN: usize = 10;
const DETAIL_LINES: usize = 8;
const NAME_WIDTH: usize = 60;

pub fn render(verdict: &Verdict, paint: Paint) -> String {
    let mut out = String::new();
    for section in &verdict.sections {
        render_section(section, paint, &mut out);
    }
    let headline = verdict.headline();
    let headline = match verdict.outcome {
        _ if verdict.overridden.is_some() => paint.yellow(&headline),
        Outcome::Pass | Outcome::Improved => paint.green(&headline),
        Outcome::Regressed => paint.red(&headline),
        Outcome::Unsure => paint.yellow(&headline),
    };
    out.push_str(&format!("verdict: {headline}\n"));
    if let Some(next) = verdict.next() {
        out.push_str(&format!("next: {next}\n"));
    }
    out
}

fn render_section(section: &Section, paint: Paint, out: &mut String) {
    let against = match &section.baseline {
        Some(baseline) => format!(" (against {baseline})"),
        None => " (no baseline)".to_owned(),
    };
    out.push_str(&format!("{}: {}{}\n", paint.bold(&section.title), section.summary, paint.dim(&against)));
    let shown = shown(&section.findings);
    let cells: Vec<[String; 4]> = shown.iter().map(|finding| cells(finding)).collect();
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    for (finding, [name, what, change, place]) in shown.iter().zip(&cells) {
        let weight = colour(finding.weight, paint);
        let row =
            format!("{weight}  {name:0$}  {what:1$}  {change:2$}  {place}", widths[0], widths[1], widths[2]);
        out.push_str(&format!("  {}\n", row.trim_end()));
        for line in finding.detail.lines().take(DETAIL_LINES) {
            out.push_str(&format!("            {}\n", paint.dim(line)));
        }
    }
    let hidden = section.findings.len() - shown.len();
    if hidden > 0 {
        out.push_str(&format!("  and {hidden} more\n"));
    }
}

/// The first of each weight, so that notes never hide what matters.
fn shown(findings: &[Finding]) -> Vec<&Finding> {
    let most = |weight| match weight {
        Weight::Worse | Weight::Unsure | Weight::Better => ROWS_SHOWN,
        Weight::Known | Weight::Note => NOTES_SHOWN,
    };
    let of_weight =
        |weight| findings.iter().filter(move |finding| finding.weight == weight).take(most(weight));
    Weight::ALL.into_iter().flat_map(of_weight).collect()
}

fn cells(finding: &Finding) -> [String; 4] {
    let name = match finding.name.char_indices().nth(NAME_WIDTH) {
        Some((at, _)) => format!("{}..", &finding.name[..at]),
        None => finding.name.clone(),
    };
    let change = match (finding.stored.as_str(), finding.found.as_str()) {
        ("", "") => String::new(),
        (stored, found) => format!("{stored} -> {found}"),
    };
    let place = finding.place.as_ref().map(|place| format!("{}:{}", place.file, place.line));
    [name, finding.what.clone(), change, place.unwrap_or_default()]
}

fn colour(weight: Weight, paint: Paint) -> String {
    // Padded before it is painted: escape sequences have no width.
    let word = format!("{:6}", weight.name());
    match weight {
        Weight::Worse => paint.red(&word),
        Weight::Unsure => paint.yellow(&word),
        Weight::Better => paint.green(&word),
        Weight::Known | Weight::Note => paint.dim(&word),
    }
}
