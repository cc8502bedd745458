//! The transcript: a run as text that is the same every time it is the same run. Golden files are made of it, so it
//! has scenario times only, no wall time, no paths of a machine. Changes are shown field by field.

use crate::changes::changes;
use crate::duration;
use crate::events::{Event, Kind};
use crate::report::{CaseReport, Outcome};
use serde_json::Value;
use similar::TextDiff;

/// Fields that change with every write and tell nothing.
const NOISE: &[&str] = &["metadata.resourceVersion", "metadata.managedFields", "metadata.generation"];
/// Changes of one event shown before the rest is counted.
const CHANGES_SHOWN: usize = 12;

/// The whole case: header, one line per event, details below, verdict.
pub fn render(case: &CaseReport) -> String {
    let mut out = format!("{}\nmode {}, seed {:#x}\n\n", case.title(), case.mode, case.seed);
    let mut last = None;
    for event in case.events.iter().filter(|event| event.detail.get("quiet") != Some(&Value::Bool(true))) {
        let time = duration::format_clock(event.since(case.start));
        // A repeated time is left blank: simultaneous events stand together.
        let shown = if last.as_ref() == Some(&time) { String::new() } else { time.clone() };
        last = Some(time);
        out.push_str(&line(event, &shown));
        details(event, &mut out);
    }
    if case.events_dropped > 0 {
        out.push_str(&format!("({} further events were not kept)\n", case.events_dropped));
    }
    for step in &case.skipped_steps {
        out.push_str(&format!("skipped {} ({}): {}\n", step.step, step.at, step.reason));
    }
    out.push_str(&format!("\n{} after {}\n", case.outcome.word(), duration::format(case.elapsed)));
    if let Outcome::Failed { failures } = &case.outcome {
        failures.iter().for_each(|f| out.push_str(&format!("  {}: {}\n", f.check, f.expected)));
    }
    out
}

fn line(event: &Event, time: &str) -> String {
    let object = event.object.as_deref().map(|o| format!("{o} ")).unwrap_or_default();
    let text = event.text.replace('\n', "\n    ");
    // No numbers: one more event would change every line after it.
    format!("{time:>12} {:<8} {object}{text}\n", event.lane)
}

fn details(event: &Event, out: &mut String) {
    // `summary: true`: the line says all a reader of transcripts needs; the fields are in the JSON lines and pages.
    if event.kind != Kind::Change || event.detail.get("summary") == Some(&Value::Bool(true)) {
        return;
    }
    // A created or deleted object is told by its line; its fields are in the JSON lines.
    let (Some(old), Some(new)) = (event.old.as_deref(), event.new.as_deref()) else { return };
    let mut shown = changes(old, new);
    shown.retain(|change| !NOISE.iter().any(|noise| change.path.starts_with(noise)));
    for change in shown.iter().take(CHANGES_SHOWN) {
        let one = |value: &Option<Value>| {
            value.as_ref().map_or_else(|| "(absent)".to_owned(), crate::matching::brief)
        };
        out.push_str(&format!("{:>28} {}: {} -> {}\n", "", change.path, one(&change.old), one(&change.new)));
    }
    if shown.len() > CHANGES_SHOWN {
        out.push_str(&format!("{:>28} (and {} more)\n", "", shown.len() - CHANGES_SHOWN));
    }
}

/// A line diff with context, for people: empty when equal. `-` is expected, `+` is actual.
pub fn diff(expected: &str, actual: &str) -> String {
    if expected == actual {
        return String::new();
    }
    TextDiff::from_lines(expected, actual)
        .unified_diff()
        .context_radius(4)
        .header("expected", "actual")
        .to_string()
}
