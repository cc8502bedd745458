//! Exceptions of the job as Warning events (reconciler.md 7.4).
//!
//! Asked for only when the job changed state since the last look (`last-modification` moves with every restart), so
//! that a job that simply runs costs one request per pass. After a start of the operator the last half hour is
//! reported; the events' names are derived from their texts, so nothing appears twice. What comes after that first look
//! is new, and the count of its event grows.

use crate::ask::Ask;
use crate::decision::{Component, Event, EventKind};
use crate::ids;
use crate::observation::{ExceptionFact, JobFact, Seen};
use crate::pass::{Flow, Pass};
use std::collections::BTreeMap;

const FIRST_LOOK_BACK_MS: i64 = 30 * 60 * 1000;

pub fn report(p: &mut Pass, job: &JobFact) -> Flow {
    if p.memo.job_modified == Some(job.last_modification) {
        return Ok(());
    }
    let o = p.o;
    let Seen::Known(entries) = p.need(&o.flink.exceptions, Ask::Exceptions { job: job.id.clone() })? else {
        p.note("7.4", "exceptions could not be asked for");
        return Ok(());
    };
    let (since, first_look) = match &p.memo.exceptions_until {
        Some((id, until)) if *id == job.id => (*until, false),
        Some(_) | None => (p.now_ms() - FIRST_LOOK_BACK_MS, true),
    };
    let limit = p.policy.exceptions_per_pass;
    let mut fresh: Vec<&ExceptionFact> = entries.iter().filter(|e| e.timestamp > since).collect();
    fresh.sort_by_key(|entry| std::cmp::Reverse(entry.timestamp));
    for entry in fresh.iter().take(limit) {
        let event = Event { once: first_look, ..event(entry, p.policy.exception_lines) };
        p.push_event(event);
    }
    let until = fresh.first().map_or(since, |newest| newest.timestamp);
    p.memo.exceptions_until = Some((job.id.clone(), until));
    Ok(())
}

fn event(entry: &ExceptionFact, lines: usize) -> Event {
    let message = shortened(&entry.stacktrace, lines);
    let mut annotations = BTreeMap::new();
    annotations.insert("exception-timestamp".to_owned(), jiff_text(entry.timestamp));
    let optional =
        [("task-name", &entry.task_name), ("endpoint", &entry.endpoint), ("tm-id", &entry.task_manager_id)];
    for (key, value) in optional {
        if let Some(value) = value {
            annotations.insert(key.to_owned(), value.clone());
        }
    }
    for (label, value) in entry.labels.iter().filter(|(label, _)| is_annotation_key(label)) {
        annotations.insert(format!("failure-label-{label}"), value.clone());
    }
    Event {
        kind: EventKind::Warning,
        reason: "JobException".into(),
        key: Some(format!("jobmanager-exception-{}", ids::derive(&[&message]))),
        message,
        component: Component::Job,
        once: true,
        annotations,
    }
}

fn shortened(stacktrace: &str, lines: usize) -> String {
    let total = stacktrace.lines().count();
    let mut text = stacktrace.lines().take(lines).collect::<Vec<_>>().join("\n");
    if total > lines {
        text.push_str(&format!("\n... ({} more lines)", total - lines));
    }
    text
}

fn jiff_text(ms: i64) -> String {
    crate::pace::from_millis(ms).to_string()
}

fn is_annotation_key(label: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !label.is_empty()
        && label.len() <= 49
        && label.chars().all(inner)
        && label.ends_with(|c: char| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_traces_are_cut_and_say_so() {
        assert_eq!(shortened("a\nb\nc", 5), "a\nb\nc");
        assert_eq!(shortened("a\nb\nc\nd", 2), "a\nb\n... (2 more lines)");
    }
}
