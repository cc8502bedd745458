//! Asynchronous operations: triggered, in progress, done, polled, expired.
//!
//! A result lives `rest.async.store-duration` from its completion; polling does not extend it, but a result nobody
//! fetched delays the shutdown of the process (reference, section 2).

use crate::throwable::Throwable;
use indexmap::IndexMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OpKind {
    /// Savepoint and stop-with-savepoint share their keys.
    Savepoint,
    Checkpoint,
    Disposal,
    DataSet,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpKey {
    pub kind: OpKind,
    pub job: String,
    pub trigger: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum OpResult {
    Location(String),
    CheckpointId(u64),
    Empty,
    Failure(Throwable),
}

#[derive(Clone, Debug, PartialEq)]
pub enum OpState {
    InProgress,
    Done { at: i64, result: OpResult, fetched: bool },
}

#[derive(Clone, Debug, Default)]
pub struct Operations {
    entries: IndexMap<OpKey, OpState>,
    store_ms: i64,
}

/// Beyond this many the oldest finished ones go first; a real store is bounded only by time.
const MAX: usize = 10_000;

impl Operations {
    pub fn new(store_ms: i64) -> Operations {
        Operations { entries: IndexMap::new(), store_ms }
    }

    /// False when the key is known already: the trigger is idempotent.
    pub fn begin(&mut self, key: OpKey, now: i64) -> bool {
        self.expire(now);
        if self.entries.contains_key(&key) {
            return false;
        }
        if self.entries.len() >= MAX
            && let Some(old) = self.entries.iter().position(|(_, s)| matches!(s, OpState::Done { .. }))
        {
            self.entries.shift_remove_index(old);
        }
        self.entries.insert(key, OpState::InProgress);
        true
    }

    pub fn finish(&mut self, key: &OpKey, result: OpResult, now: i64) {
        if let Some(state @ OpState::InProgress) = self.entries.get_mut(key) {
            *state = OpState::Done { at: now, result, fetched: false };
        }
    }

    pub fn poll(&mut self, key: &OpKey, now: i64) -> Option<OpState> {
        self.expire(now);
        let state = self.entries.get_mut(key)?;
        if let OpState::Done { fetched, .. } = state {
            *fetched = true;
        }
        Some(state.clone())
    }

    /// Until when a finished, never fetched result holds up a shutdown.
    pub fn holds_shutdown_until(&mut self, now: i64) -> Option<i64> {
        self.expire(now);
        let open = self.entries.values().filter_map(|s| match s {
            OpState::Done { at, fetched: false, .. } => Some(at + self.store_ms),
            _ => None,
        });
        open.max()
    }

    fn expire(&mut self, now: i64) {
        let store_ms = self.store_ms;
        self.entries.retain(|_, s| !matches!(s, OpState::Done { at, .. } if now >= *at + store_ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_counts_from_completion() {
        let key = OpKey { kind: OpKind::Savepoint, job: "j".into(), trigger: "t".into() };
        let mut ops = Operations::new(5000);
        assert!(ops.begin(key.clone(), 0));
        assert!(!ops.begin(key.clone(), 100_000));
        ops.finish(&key, OpResult::Empty, 100_000);
        assert_eq!(ops.holds_shutdown_until(100_001), Some(105_000));
        assert!(ops.poll(&key, 104_999).is_some());
        assert_eq!(ops.holds_shutdown_until(104_999), None);
        assert!(ops.poll(&key, 105_000).is_none());
    }
}
