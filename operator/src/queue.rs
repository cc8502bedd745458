//! Which resource is due when. Ordered maps and a sequence number make the order of passes a function of the
//! order of triggers: two runs with the same world make the same passes.
//!
//! Not here: why a resource waits (back-off, rate limit, requeue); callers hand in the time.

use std::collections::BTreeMap;
use std::fmt;

use tokio::time::Instant;

/// The resource a pass is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub namespace: String,
    pub name: String,
}

impl Key {
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Key {
        Key { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Why a pass is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// A watched object of this kind changed.
    Changed(&'static str),
    /// The time came that the last pass had named, with its reason.
    Due(String),
    /// The last pass failed.
    Retry { attempt: u32 },
    /// The stored object was newer than the one the last pass had looked at.
    Conflict,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Changed(kind) => write!(f, "{kind} changed"),
            Cause::Due(reason) => write!(f, "due: {reason}"),
            Cause::Retry { attempt } => write!(f, "retry {attempt}"),
            Cause::Conflict => f.write_str("conflict"),
        }
    }
}

#[derive(Debug, Default)]
struct Slot {
    due: Option<(Instant, u64)>,
    cause: Option<Cause>,
    running: bool,
    /// Triggered while running: due again as soon as the pass ends.
    again: bool,
}

/// Due times per resource; a resource is handed out to one pass at a time. Owned by the one loop that runs passes.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    slots: BTreeMap<Key, Slot>,
    due: BTreeMap<(Instant, u64), Key>,
    sequence: u64,
}

impl Queue {
    /// Makes a resource due now.
    pub(crate) fn trigger(&mut self, key: &Key, cause: Cause, now: Instant) {
        let slot = self.slots.entry(key.clone()).or_default();
        if slot.running {
            slot.again = true;
            slot.cause = Some(cause);
        } else if slot.due.is_none_or(|(at, _)| at > now) {
            self.put(key, now, cause);
        }
    }

    /// When `take` will have something to give, as far as is known now.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next resource that is due. It counts as running until `finish`, `postpone` or `forget`.
    pub(crate) fn take(&mut self, now: Instant) -> Option<(Key, Cause)> {
        if self.next_due()? > now {
            return None;
        }
        let (_, key) = self.due.pop_first()?;
        let slot = self.slots.entry(key.clone()).or_default();
        slot.due = None;
        slot.running = true;
        let cause = slot.cause.take().unwrap_or(Cause::Conflict);
        Some((key, cause))
    }

    /// The pass is over; `next` names when the resource is due again, if it is.
    pub(crate) fn finish(&mut self, key: &Key, next: Option<(Instant, Cause)>, now: Instant) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        slot.running = false;
        if std::mem::take(&mut slot.again) {
            let cause = slot.cause.take().unwrap_or(Cause::Conflict);
            self.put(key, now, cause);
        } else if let Some((at, cause)) = next {
            self.put(key, at, cause);
        } else {
            slot.cause = None;
        }
    }

    /// Like `finish`, but a change that came meanwhile waits too (rate limit).
    pub(crate) fn postpone(&mut self, key: &Key, until: Instant, cause: Cause) {
        if let Some(slot) = self.slots.get_mut(key) {
            slot.running = false;
            slot.again = false;
            self.put(key, until, cause);
        }
    }

    /// The resource is gone; nothing is due for it, unless it was triggered while the pass ran.
    pub(crate) fn forget(&mut self, key: &Key, now: Instant) {
        let Some(slot) = self.slots.remove(key) else { return };
        if let Some(at) = slot.due {
            self.due.remove(&at);
        }
        if slot.again {
            self.trigger(key, slot.cause.unwrap_or(Cause::Conflict), now);
        }
    }

    fn put(&mut self, key: &Key, at: Instant, cause: Cause) {
        self.sequence += 1;
        let slot = self.slots.entry(key.clone()).or_default();
        if let Some(old) = slot.due.replace((at, self.sequence)) {
            self.due.remove(&old);
        }
        slot.cause = Some(cause);
        self.due.insert((at, self.sequence), key.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(name: &str) -> Key {
        Key::new("ns", name)
    }

    fn changed() -> Cause {
        Cause::Changed("x")
    }

    fn due(reason: &str) -> Cause {
        Cause::Due(reason.to_owned())
    }

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn hands_out_in_order_of_due_time_then_of_trigger() {
        let (mut q, t) = (Queue::default(), Instant::now());
        q.trigger(&key("b"), changed(), t);
        q.trigger(&key("a"), changed(), t);
        assert_eq!(q.take(t), Some((key("b"), changed())));
        assert_eq!(q.take(t), Some((key("a"), changed())));
        assert_eq!(q.take(t), None);
        q.finish(&key("b"), Some((t + s(9), due("later"))), t);
        q.finish(&key("a"), Some((t + s(5), due("sooner"))), t);
        assert_eq!(q.take(t + s(4)), None);
        assert_eq!(q.next_due(), Some(t + s(5)));
        assert_eq!(q.take(t + s(10)), Some((key("a"), due("sooner"))));
        assert_eq!(q.take(t + s(10)), Some((key("b"), due("later"))));
    }

    #[test]
    fn a_change_during_a_pass_makes_it_due_again() {
        let (mut q, t) = (Queue::default(), Instant::now());
        q.trigger(&key("a"), changed(), t);
        q.take(t);
        q.trigger(&key("a"), Cause::Changed("y"), t);
        assert_eq!(q.take(t + s(100)), None, "not handed out twice");
        q.finish(&key("a"), Some((t + s(60), due("x"))), t + s(1));
        assert_eq!(q.take(t + s(1)), Some((key("a"), Cause::Changed("y"))));
    }

    #[test]
    fn a_change_beats_a_later_due_time_and_not_an_earlier_one() {
        let (mut q, t) = (Queue::default(), Instant::now());
        q.trigger(&key("a"), changed(), t);
        q.take(t);
        q.finish(&key("a"), Some((t + s(60), due("x"))), t);
        q.trigger(&key("a"), Cause::Changed("first"), t + s(1));
        q.trigger(&key("a"), Cause::Changed("second"), t + s(2));
        assert_eq!(q.take(t + s(2)), Some((key("a"), Cause::Changed("first"))));
        q.finish(&key("a"), None, t + s(2));
        assert_eq!(q.next_due(), None);
    }

    #[test]
    fn a_postponed_resource_waits_even_if_it_changed_meanwhile() {
        let (mut q, t) = (Queue::default(), Instant::now());
        q.trigger(&key("a"), changed(), t);
        q.take(t);
        q.trigger(&key("a"), changed(), t);
        q.postpone(&key("a"), t + s(3), changed());
        assert_eq!(q.take(t + s(2)), None);
        assert_eq!(q.take(t + s(3)), Some((key("a"), changed())));
    }

    #[test]
    fn a_forgotten_resource_is_due_only_if_it_came_back() {
        let (mut q, t) = (Queue::default(), Instant::now());
        q.trigger(&key("a"), changed(), t);
        q.take(t);
        q.forget(&key("a"), t);
        q.finish(&key("a"), Some((t, Cause::Conflict)), t);
        assert_eq!(q.take(t + s(1)), None);
        q.trigger(&key("a"), changed(), t);
        q.take(t);
        q.trigger(&key("a"), Cause::Changed("created again"), t);
        q.forget(&key("a"), t);
        assert_eq!(q.take(t), Some((key("a"), Cause::Changed("created again"))));
    }
}
