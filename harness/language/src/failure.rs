//! What a failed expectation tells, as a pure function of the failure and the event stream: the closest value, the
//! history of the fields involved with causes, the last calls, the active faults, the replay line
//! (scenario-language.md, section 5).

use crate::duration;
use crate::events::{Event, Kind, by_seq};
use crate::matching::{Mismatch, path};
use crate::paint::Paint;
use crate::report::CaseReport;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// One expectation that did not hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The word of the step, or the name of an invariant: `eventually`, `never double-run`.
    pub check: String,
    /// `file:line:column` of the step, when a line of a scenario asked for it.
    #[serde(default)]
    pub at: Option<String>,
    /// `Kind/name` of the object it is about.
    #[serde(default)]
    pub object: Option<String>,
    /// What was expected, on one line: `status.jobStatus.state == RUNNING`.
    pub expected: String,
    /// The deadline that passed.
    #[serde(default)]
    pub within: Option<Duration>,
    /// Scenario time of the verdict.
    pub t: Timestamp,
    /// Field differences at that moment.
    #[serde(default)]
    pub mismatches: Vec<Mismatch>,
    /// Fields whose history matters, as paths in the object.
    #[serde(default)]
    pub fields: Vec<String>,
    /// More for people, several lines allowed.
    #[serde(default)]
    pub note: String,
    /// The event that broke it, where one did.
    #[serde(default)]
    pub event: Option<u64>,
}

/// How much of each list is shown. Ends matter more than middles: a history is cut in the middle.
const HISTORY_SHOWN: usize = 12;
const CALLS_SHOWN: usize = 6;
const MISMATCHES_SHOWN: usize = 10;

/// The failure with everything around it.
pub fn render(failure: &Failure, case: &CaseReport, paint: Paint) -> String {
    let mut out = headline(failure, paint);
    // An empty key continues the block above.
    let mut line = |key: &str, text: &str| match key {
        "" => out.push_str(&format!(
            "{:14}{text}
",
            ""
        )),
        _ => out.push_str(&format!(
            "  {} {text}
",
            paint.dim(&format!("{key}:"))
        )),
    };
    for mismatch in failure.mismatches.iter().take(MISMATCHES_SHOWN) {
        line("differs", &mismatch.to_string());
    }
    if failure.mismatches.len() > MISMATCHES_SHOWN {
        line("differs", &format!("(and {} more)", failure.mismatches.len() - MISMATCHES_SHOWN));
    }
    if let Some(object) = &failure.object {
        for field in &failure.fields {
            let steps = history(&case.events, object, field, case.start, failure.t);
            if let Some(text) = closest(&steps, field) {
                line("closest", &text);
            }
            line("history", &history_text(&steps, field, failure.fields.len() > 1));
        }
    }
    let broken_by = failure.event.and_then(|seq| by_seq(&case.events, seq));
    // The verdict itself breaks nothing.
    if let Some(event) = broken_by.filter(|event| event.kind != Kind::CheckFailed) {
        line("broken by", &event_text(event, case.start));
        for cause in causes(&case.events, event) {
            line("  because", &event_text(cause, case.start));
        }
    }
    let calls = last_calls(&case.events, failure.t);
    if let Some((first, rest)) = calls.split_first() {
        line("last calls", &call_text(first, &case.events, case.start));
        rest.iter().for_each(|call| line("", &call_text(call, &case.events, case.start)));
    }
    for fault in active_faults(&case.events, failure.t) {
        line("active fault", &fault.text(case.start, failure));
    }
    for (index, note) in failure.note.lines().enumerate() {
        line(if index == 0 { "note" } else { "" }, note);
    }
    line("replay", &case.replay);
    out
}

fn headline(failure: &Failure, paint: Paint) -> String {
    let mut text = paint.red(&format!("{} failed", failure.check));
    text.push_str(": ");
    if let Some(object) = &failure.object {
        text.push_str(&format!("{}  ", paint.bold(object)));
    }
    text.push_str(&failure.expected);
    if let Some(within) = failure.within {
        text.push_str(&format!("  within {}", duration::format(within)));
    }
    if let Some(at) = &failure.at {
        text.push_str(&format!("   ({at})"));
    }
    text.push('\n');
    text
}

/// A value a field had, since when, and which event brought it.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    pub since: Duration,
    /// `None`: absent.
    pub value: Option<Value>,
    pub why: String,
    pub seq: u64,
}

/// The values a field went through up to `until`. Starts with "absent" unless the object was there from the start.
pub fn history(
    events: &[Event],
    object: &str,
    field: &str,
    start: Timestamp,
    until: Timestamp,
) -> Vec<Moment> {
    let Ok(segments) = path::parse(field) else { return Vec::new() };
    let changes = events
        .iter()
        .filter(|e| e.kind == Kind::Change && e.t <= until && e.object.as_deref() == Some(object));
    let mut moments = vec![Moment { since: Duration::ZERO, value: None, why: String::new(), seq: 0 }];
    for event in changes {
        let value =
            event.new.as_deref().and_then(|new| path::get(new, &segments)).filter(|v| !v.is_null()).cloned();
        if moments.last().is_some_and(|last| last.value == value) {
            continue;
        }
        let moment = Moment { since: event.since(start), value, why: why(events, event), seq: event.seq };
        // Present from the first instant: "absent" was never true.
        if moments.len() == 1 && moment.since.is_zero() {
            moments.clear();
        }
        moments.push(moment);
    }
    moments
}

/// `operator update, reconcile #2, cause: watch Deployment/app MODIFIED`.
fn why(events: &[Event], change: &Event) -> String {
    let text = |key: &str| change.detail.get(key).and_then(Value::as_str);
    let mut parts = vec![[text("actor"), text("verb")].into_iter().flatten().collect::<Vec<_>>().join(" ")];
    for cause in causes(events, change) {
        if cause.kind != Kind::Reconcile {
            parts.push(format!("cause: {}", cause.text));
            continue;
        }
        parts.extend(
            cause.detail.get("number").and_then(Value::as_u64).map(|number| format!("reconcile #{number}")),
        );
        // The pass knows what woke it: the chain behind it would say the same in more words.
        if let Some(trigger) = cause.detail.get("trigger").and_then(Value::as_str) {
            parts.push(format!("cause: {trigger}"));
            break;
        }
    }
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

/// The chain of causes, nearest first; bounded, and proof against a loop in bad data.
pub fn causes<'e>(events: &'e [Event], event: &Event) -> Vec<&'e Event> {
    const LINKS: usize = 3;
    let mut out = Vec::new();
    let mut seq = event.cause.filter(|cause| *cause < event.seq);
    while let Some(cause) = seq.and_then(|seq| by_seq(events, seq)) {
        out.push(cause);
        if out.len() == LINKS {
            break;
        }
        seq = cause.cause.filter(|next| *next < cause.seq);
    }
    out
}

fn closest(steps: &[Moment], field: &str) -> Option<String> {
    let last = steps.last()?;
    let at = duration::format_clock(last.since);
    Some(match &last.value {
        Some(value) => format!("{field} is {} since {at}", plain(value)),
        None => format!("{field} is absent since {at}"),
    })
}

fn history_text(steps: &[Moment], field: &str, several: bool) -> String {
    let one = |moment: &Moment| {
        let value = moment.value.as_ref().map_or_else(|| "(absent)".to_owned(), plain);
        let why = if moment.why.is_empty() { String::new() } else { format!(" [{}]", moment.why) };
        format!("{} {value}{why}", duration::format_clock(moment.since))
    };
    let mut parts: Vec<String> = steps.iter().map(one).collect();
    if parts.len() > HISTORY_SHOWN {
        let hidden = parts.len() - HISTORY_SHOWN;
        parts.splice(2..2 + hidden, [format!("({hidden} more values)")]);
    }
    let name = if several { format!("{field}: ") } else { String::new() };
    format!("{name}{}", parts.join("\n           -> "))
}

/// The last calls before the verdict, in order.
pub fn last_calls(events: &[Event], until: Timestamp) -> Vec<&Event> {
    let mut calls: Vec<&Event> =
        events.iter().rev().filter(|e| e.kind == Kind::Call && e.t <= until).take(CALLS_SHOWN).collect();
    calls.reverse();
    calls
}

fn call_text(call: &Event, events: &[Event], start: Timestamp) -> String {
    let mut text = event_text(call, start);
    let fault = call.detail.get("fault").and_then(Value::as_u64).and_then(|seq| by_seq(events, seq));
    if let Some(fault) = fault {
        let at = fault.detail.get("at").and_then(Value::as_str).unwrap_or(&fault.text);
        let hits = events
            .iter()
            .filter(|e| e.seq <= call.seq && e.detail.get("fault") == Some(&Value::from(fault.seq)));
        text.push_str(&format!("  (fault {at}, hit {})", hits.filter(|e| e.kind == Kind::Call).count()));
    }
    text
}

/// A fault that had begun and not ended.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveFault<'e> {
    pub event: &'e Event,
    pub until: Option<Timestamp>,
}

impl ActiveFault<'_> {
    fn text(&self, start: Timestamp, failure: &Failure) -> String {
        let event = self.event;
        let name = event.detail.get("name").and_then(Value::as_str).unwrap_or(&event.text);
        let mut text = format!("{name} since {}", duration::format_clock(event.since(start)));
        match self
            .until
            .and_then(|until| Duration::try_from(until.duration_since(start)).ok().map(|d| (until, d)))
        {
            None => text.push_str(", until the end"),
            Some((until, ends)) => {
                text.push_str(&format!(", ends {}", duration::format_clock(ends)));
                let beyond = Duration::try_from(until.duration_since(failure.t)).unwrap_or_default();
                if !beyond.is_zero() && failure.within.is_some() {
                    text.push_str(&format!("   <- outlives your deadline by {}", duration::format(beyond)));
                }
            }
        }
        text
    }
}

/// The faults in force at a moment, in the order they began.
pub fn active_faults(events: &[Event], at: Timestamp) -> Vec<ActiveFault<'_>> {
    let before: Vec<&Event> = events.iter().filter(|e| e.t <= at).collect();
    let ended: Vec<u64> = before
        .iter()
        .filter(|e| e.kind == Kind::FaultEnded)
        .filter_map(|e| e.detail.get("fault").and_then(Value::as_u64))
        .collect();
    let until = |e: &Event| e.detail.get("until").and_then(Value::as_str).and_then(|t| t.parse().ok());
    before
        .into_iter()
        .filter(|e| e.kind == Kind::FaultStarted && !ended.contains(&e.seq))
        .map(|event| ActiveFault { event, until: until(event) })
        .filter(|fault| fault.until.is_none_or(|until: Timestamp| until > at))
        .collect()
}

fn event_text(event: &Event, start: Timestamp) -> String {
    let object = event.object.as_deref().map(|o| format!("{o} ")).unwrap_or_default();
    format!("{} {} {object}{}", duration::format_clock(event.since(start)), event.lane, event.text)
}

/// Text without quotes, everything else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() => text.chars().take(120).collect(),
        other => crate::matching::brief(other),
    }
}
