//! The one stream of what happened in a run. Worlds write it, reporters and failure texts read it; nothing else is
//! needed to explain a run afterwards. Times are scenario times. Leaves out: how events are collected.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Version of the JSON form; raised when a reader of the old form would misread the new one.
pub const SCHEMA: u32 = 2;

/// Who or where, one row of the timeline each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    User,
    Operator,
    /// Objects in the API server.
    Api,
    Kubelet,
    /// The product that runs in the pods.
    Flink,
    Fault,
    Check,
}

impl Lane {
    pub const ALL: [Lane; 7] =
        [Lane::User, Lane::Operator, Lane::Api, Lane::Kubelet, Lane::Flink, Lane::Fault, Lane::Check];

    pub fn name(self) -> &'static str {
        match self {
            Lane::User => "user",
            Lane::Operator => "operator",
            Lane::Api => "api",
            Lane::Kubelet => "kubelet",
            Lane::Flink => "flink",
            Lane::Fault => "fault",
            Lane::Check => "check",
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What sort of thing happened. The comment says what `detail` holds where readers rely on it. `quiet: true` in the
/// detail of any kind keeps the event out of transcripts: routine that would bury the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A step of the scenario began: `{step, at}`.
    Step,
    /// An object changed: `{verb, actor, old, new, revision, summary}`; `old`/`new` null when absent. `summary: true`
    /// says that the text already tells what changed, so transcripts leave the fields out.
    Change,
    /// A request was answered: `{to, method, path, code, millis, fault}`.
    Call,
    /// A pass of the reconciler: `{number, trigger}`.
    Reconcile,
    /// A process started or ended, a pod changed state.
    Process,
    /// A fault became active: `{name, at, until}`; its `seq` identifies it.
    FaultStarted,
    /// A fault struck: `{fault: seq, hit}`.
    FaultHit,
    /// A fault ended: `{fault: seq}`.
    FaultEnded,
    CheckPassed,
    /// `{at}`: `file:line:column` of the step that failed, or during which an invariant was found broken.
    CheckFailed,
    Log,
    Note,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Step => "step",
            Kind::Change => "change",
            Kind::Call => "call",
            Kind::Reconcile => "reconcile",
            Kind::Process => "process",
            Kind::FaultStarted => "fault-started",
            Kind::FaultHit => "fault-hit",
            Kind::FaultEnded => "fault-ended",
            Kind::CheckPassed => "check-passed",
            Kind::CheckFailed => "check-failed",
            Kind::Log => "log",
            Kind::Note => "note",
        }
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Position in the stream, from 1, without gaps.
    pub seq: u64,
    /// Scenario time.
    pub t: Timestamp,
    pub lane: Lane,
    pub kind: Kind,
    /// `Kind/name` of the object it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// One line for people, without time, lane and object.
    pub text: String,
    /// `seq` of the event that led to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<u64>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub detail: Value,
    /// Of a change: the object before, shared with whoever made it.
    #[serde(default, with = "shared", skip_serializing_if = "Option::is_none")]
    pub old: Option<Arc<Value>>,
    /// Of a change: the object after.
    #[serde(default, with = "shared", skip_serializing_if = "Option::is_none")]
    pub new: Option<Arc<Value>>,
}

/// Objects are written out and read back as themselves.
mod shared {
    use super::*;
    use serde::{Deserializer, Serializer};

    pub fn serialize<S: Serializer>(object: &Option<Arc<Value>>, to: S) -> Result<S::Ok, S::Error> {
        object.as_deref().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Arc<Value>>, D::Error> {
        Ok(Option::<Value>::deserialize(from)?.map(Arc::new))
    }
}

impl Event {
    /// An event to be numbered by the log it is put into.
    pub fn new(t: Timestamp, lane: Lane, kind: Kind, text: impl Into<String>) -> Event {
        let text = text.into();
        Event {
            seq: 0,
            t,
            lane,
            kind,
            object: None,
            text,
            cause: None,
            detail: Value::Null,
            old: None,
            new: None,
        }
    }

    pub fn about(mut self, object: impl Into<String>) -> Event {
        self.object = Some(object.into());
        self
    }

    pub fn because(mut self, seq: Option<u64>) -> Event {
        self.cause = seq;
        self
    }

    pub fn detail(mut self, detail: Value) -> Event {
        self.detail = detail;
        self
    }

    /// What a change made of what.
    pub fn states(mut self, old: Option<Arc<Value>>, new: Option<Arc<Value>>) -> Event {
        (self.old, self.new) = (old, new);
        self
    }

    /// Time since the start of the scenario.
    pub fn since(&self, start: Timestamp) -> Duration {
        Duration::try_from(self.t.duration_since(start)).unwrap_or_default()
    }
}

/// An append-only stream with numbers. Bounded: beyond the limit events are counted, not kept, and the reports say so.
#[derive(Clone, Debug, Default)]
pub struct Log {
    events: Vec<Event>,
    dropped: u64,
}

/// A run with more events than this is broken in a way its first part already shows.
pub const MAX_EVENTS: usize = 500_000;

impl Log {
    /// Numbers the event and keeps it; returns its number.
    pub fn push(&mut self, mut event: Event) -> u64 {
        event.seq = self.events.len() as u64 + self.dropped + 1;
        let seq = event.seq;
        if self.events.len() < MAX_EVENTS {
            self.events.push(event);
        } else {
            self.dropped += 1;
        }
        seq
    }

    pub fn events(&self) -> &[Event] {
        &self.events
    }

    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    pub fn into_events(self) -> Vec<Event> {
        self.events
    }

    pub fn get(&self, seq: u64) -> Option<&Event> {
        by_seq(&self.events, seq)
    }
}

/// The event of that number, in a stream sorted by number.
pub fn by_seq(events: &[Event], seq: u64) -> Option<&Event> {
    events.binary_search_by_key(&seq, |e| e.seq).ok().map(|i| &events[i])
}
