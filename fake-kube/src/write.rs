//! What a controller decides: writes as values, in the order they must happen, and when to look again.
//! Leaves out how they are carried out (`cluster`), so a test can read a decision without a server.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::json::{earliest, name, namespace, text, uid};
use crate::view::Key;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    pub writes: Vec<Write>,
    pub due: Option<Timestamp>,
}

impl Step {
    pub fn nothing() -> Step {
        Step::default()
    }

    pub fn push(&mut self, write: Write) {
        self.writes.push(write);
    }

    pub fn look_again(&mut self, at: Timestamp) {
        self.due = earliest(self.due, Some(at));
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// Who writes, as field manager and user agent.
    pub actor: &'static str,
    pub target: Key,
    pub op: Op,
    /// Recorded after success; `{name}` becomes the name of the object written.
    pub on_ok: Option<EventSpec>,
    pub on_refusal: Option<OnRefusal>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    Create(Value),
    /// A PUT with the resourceVersion in the object: lost races are retried by the next sync.
    Update(Value),
    UpdateStatus(Value),
    MergePatch(Value),
    Delete {
        policy: Option<&'static str>,
        grace: Option<i64>,
        uid: Option<String>,
    },
    Bind {
        node: String,
    },
    /// PUT of `namespaces/n/finalize`.
    Finalize(Value),
    Event(EventSpec),
}

/// A refused write is reported on its owner, and the rest of the same batch is dropped: real controllers start
/// slowly (1, 2, 4.. creates) and stop at the first error.
#[derive(Clone, Debug, PartialEq)]
pub struct OnRefusal {
    pub owner_uid: String,
    pub reason: &'static str,
    /// `{error}` becomes the text of the refusal.
    pub event: EventSpec,
}

#[derive(Clone, Debug, PartialEq)]
pub struct EventSpec {
    pub involved: Value,
    pub kind: EventKind,
    pub reason: &'static str,
    pub message: String,
    pub component: &'static str,
    pub host: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    Normal,
    Warning,
}

impl EventKind {
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::Normal => "Normal",
            EventKind::Warning => "Warning",
        }
    }
}

impl EventSpec {
    pub fn normal(
        about: &Value,
        component: &'static str,
        reason: &'static str,
        message: String,
    ) -> EventSpec {
        EventSpec {
            involved: reference(about),
            kind: EventKind::Normal,
            reason,
            message,
            component,
            host: None,
        }
    }

    pub fn warning(
        about: &Value,
        component: &'static str,
        reason: &'static str,
        message: String,
    ) -> EventSpec {
        EventSpec { kind: EventKind::Warning, ..EventSpec::normal(about, component, reason, message) }
    }

    pub fn namespace(&self) -> &str {
        match self.involved["namespace"].as_str() {
            Some(ns) if !ns.is_empty() => ns,
            _ => "default",
        }
    }
}

/// An ObjectReference to a stored object.
pub fn reference(object: &Value) -> Value {
    let mut r = json!({"kind": text(object, "/kind")});
    if !namespace(object).is_empty() {
        r["namespace"] = namespace(object).into();
    }
    r["name"] = name(object).into();
    r["uid"] = uid(object).into();
    r["apiVersion"] = text(object, "/apiVersion").into();
    r["resourceVersion"] = text(object, "/metadata/resourceVersion").into();
    r
}

impl Write {
    pub fn new(actor: &'static str, target: Key, op: Op) -> Write {
        Write { actor, target, op, on_ok: None, on_refusal: None }
    }

    pub fn create(actor: &'static str, resource: &str, object: Value) -> Write {
        Write::new(actor, Key::of(resource, &object), Op::Create(object))
    }

    pub fn update(actor: &'static str, resource: &str, object: Value) -> Write {
        Write::new(actor, Key::of(resource, &object), Op::Update(object))
    }

    pub fn update_status(actor: &'static str, resource: &str, object: Value) -> Write {
        Write::new(actor, Key::of(resource, &object), Op::UpdateStatus(object))
    }

    pub fn merge(actor: &'static str, key: &Key, patch: Value) -> Write {
        Write::new(actor, key.clone(), Op::MergePatch(patch))
    }

    pub fn delete(actor: &'static str, key: &Key, policy: Option<&'static str>, uid: &str) -> Write {
        Write::new(actor, key.clone(), Op::Delete { policy, grace: None, uid: Some(uid.into()) })
    }

    pub fn event(event: EventSpec) -> Write {
        let key = Key::new(crate::view::resource::EVENTS, event.namespace(), "");
        Write::new(event.component, key, Op::Event(event))
    }

    pub fn then(mut self, event: EventSpec) -> Write {
        self.on_ok = Some(event);
        self
    }

    pub fn or_refused(mut self, refusal: OnRefusal) -> Write {
        self.on_refusal = Some(refusal);
        self
    }
}
