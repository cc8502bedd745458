//! What the jobs of a cluster went through, for judges outside who cannot watch: the newest of it, numbered.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::model::api::JobFact;

/// Of one cluster; the oldest go first.
const KEPT_MAX: usize = 2_000;

#[derive(Clone, Debug, Default)]
pub struct History {
    facts: VecDeque<(Timestamp, JobFact)>,
    dropped: u64,
}

impl History {
    pub(super) fn add(&mut self, at: Timestamp, fact: JobFact) {
        // States are in the facts of the moment, and there are many of them.
        if matches!(fact, JobFact::State { .. }) {
            return;
        }
        if self.facts.len() == KEPT_MAX {
            self.facts.pop_front();
            self.dropped += 1;
        }
        self.facts.push_back((at, fact));
    }

    pub fn to_json(&self) -> Value {
        let numbered = (self.dropped..).zip(&self.facts);
        Value::Array(numbered.map(|(number, (at, fact))| show(number, *at, fact)).collect())
    }
}

fn show(number: u64, at: Timestamp, fact: &JobFact) -> Value {
    let (what, mut told) = match fact {
        JobFact::Started { job, restored_from, progress } => {
            ("started", json!({"job": job, "from": restored_from, "progress": progress}))
        }
        JobFact::Restored { job, from, progress, lost } => {
            ("restored", json!({"job": job, "from": from, "progress": progress, "lost": lost}))
        }
        JobFact::State { job, state } => ("state", json!({"job": job, "state": state.name()})),
        JobFact::Stopped { job, state, progress } => {
            ("stopped", json!({"job": job, "state": state.name(), "progress": progress}))
        }
        JobFact::Checkpoint { job, id, path, progress } => {
            ("checkpoint", json!({"job": job, "id": id, "path": path, "progress": progress}))
        }
        JobFact::Savepoint { job, id, path, progress } => {
            ("savepoint", json!({"job": job, "id": id, "path": path, "progress": progress}))
        }
    };
    told["number"] = number.into();
    told["at"] = at.to_string().into();
    told["what"] = what.into();
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_when_the_oldest_are_gone() {
        let mut history = History::default();
        for progress in 0..KEPT_MAX as u64 + 2 {
            let job = "a".to_owned();
            history.add(Timestamp::UNIX_EPOCH, JobFact::Started { job, restored_from: None, progress });
        }
        let told = history.to_json();
        assert_eq!(told.as_array().map(Vec::len), Some(KEPT_MAX));
        assert_eq!((&told[0]["number"], &told[0]["progress"]), (&json!(2), &json!(2)));
        assert_eq!((&told[0]["what"], &told[0]["from"]), (&json!("started"), &Value::Null));
    }
}
