//! The parts of a failure text, each on a stream of its own.

use crate::sample::{case, start};
use drey_language::Paint;
use drey_language::events::{Event, Kind, Lane, Log};
use drey_language::failure::{Failure, active_faults, causes, history, last_calls, render};
use drey_language::report::Outcome;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

fn at(seconds: u64) -> Timestamp {
    start() + Duration::from_secs(seconds)
}

/// A stream in which a field of one object takes these values, a second apart.
fn changes(values: &[Value]) -> Vec<Event> {
    let mut log = Log::default();
    for (t, value) in values.iter().enumerate() {
        let new = (value != "(deleted)").then(|| Arc::new(json!({"status": {"phase": value}})));
        let event = Event::new(at(t as u64 + 1), Lane::Api, Kind::Change, "changed").about("Pod/a");
        log.push(event.detail(json!({"actor": "operator", "verb": "update"})).states(None, new));
    }
    log.into_events()
}

fn told(events: &[Event], until: u64) -> String {
    let moments = history(events, "Pod/a", "status.phase", start(), at(until));
    let one = |value: &Option<Value>| {
        value.as_ref().map_or("-".to_owned(), |v| v.as_str().unwrap_or("?").to_owned())
    };
    moments.iter().map(|m| format!("{}@{}", one(&m.value), m.since.as_secs())).collect::<Vec<_>>().join(" ")
}

#[test]
fn history_keeps_changes_of_value_only() {
    let check = |values: &[Value], until, expected: &str| assert_eq!(told(&changes(values), until), expected);
    check(&[], 9, "-@0");
    check(&[json!("A"), json!("A"), json!("B")], 9, "-@0 A@1 B@3");
    check(&[json!("A"), json!("B")], 1, "-@0 A@1");
    check(&[json!("A"), json!(null), json!("A")], 9, "-@0 A@1 -@2 A@3");
    check(&[json!("A"), json!("(deleted)")], 9, "-@0 A@1 -@2");
    assert_eq!(told(&changes(&[json!("A")])[..0], 9), "-@0");
    let other = history(&changes(&[json!("A")]), "Pod/b", "status.phase", start(), at(9));
    assert_eq!(other.len(), 1);
    assert!(history(&changes(&[json!("A")]), "Pod/a", "status..phase", start(), at(9)).is_empty());
}

#[test]
fn a_long_history_is_cut_in_the_middle() {
    let values: Vec<Value> = (0..40).map(|n| json!(format!("S{n}"))).collect();
    let report = case("long", Outcome::Passed, changes(&values));
    let failure = Failure {
        check: "always".to_owned(),
        at: None,
        object: Some("Pod/a".to_owned()),
        expected: "calm".to_owned(),
        within: None,
        t: at(60),
        mismatches: Vec::new(),
        fields: vec!["status.phase".to_owned()],
        note: "first line\nsecond line".to_owned(),
        event: Some(40),
    };
    let text = render(&failure, &report, Paint::Plain);
    for part in ["S0", "(29 more values)", "S39", "broken by: 00:00:40 api Pod/a changed", "note: first line"]
    {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    assert!(!text.contains("S20"));
    assert!(text.lines().count() < 25);
}

#[test]
fn causes_are_followed_backwards_and_never_in_circles() {
    let mut events = changes(&[json!("A"), json!("B"), json!("C"), json!("D"), json!("E"), json!("F")]);
    for event in events.iter_mut().skip(1) {
        event.cause = Some(event.seq - 1);
    }
    let seqs =
        |event: &Event, events: &[Event]| causes(events, event).iter().map(|e| e.seq).collect::<Vec<_>>();
    assert_eq!(seqs(&events[5], &events), [5, 4, 3], "the nearest three");
    assert_eq!(seqs(&events[1], &events), [1]);
    events[2].cause = Some(3);
    events[3].cause = Some(99);
    assert!(seqs(&events[2], &events).is_empty(), "its own cause");
    assert!(seqs(&events[3], &events).is_empty(), "a cause that was not kept");
}

#[test]
fn faults_are_active_from_start_to_end_or_until() {
    let mut log = Log::default();
    let fault = |t: u64, name: &str, until: Option<u64>| {
        let until = until.map(|u| at(u).to_string());
        Event::new(at(t), Lane::Fault, Kind::FaultStarted, name).detail(json!({"name": name, "until": until}))
    };
    let first = log.push(fault(1, "ended", None));
    log.push(fault(2, "expired", Some(5)));
    log.push(fault(3, "lasting", Some(60)));
    log.push(Event::new(at(4), Lane::Fault, Kind::FaultEnded, "over").detail(json!({"fault": first})));
    log.push(fault(20, "later", None));
    let names =
        |t| active_faults(log.events(), at(t)).iter().map(|f| f.event.text.clone()).collect::<Vec<_>>();
    assert_eq!(names(3), ["ended", "expired", "lasting"]);
    assert_eq!(names(4), ["expired", "lasting"]);
    assert_eq!(names(5), ["lasting"]);
    assert_eq!(names(60), ["later"]);
}

#[test]
fn calls_are_the_last_ones_before_the_verdict_in_order() {
    let mut log = Log::default();
    for t in 0..20 {
        log.push(Event::new(at(t), Lane::Flink, Kind::Call, format!("call {t}")));
    }
    let texts: Vec<&str> = last_calls(log.events(), at(9)).iter().map(|e| e.text.as_str()).collect();
    assert_eq!(texts, ["call 4", "call 5", "call 6", "call 7", "call 8", "call 9"]);
}
