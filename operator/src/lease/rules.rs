//! The rules of a lease, without requests and without a clock of their own.
//!
//! The times other operators write are not trusted (their clocks may differ), nor is our own wall clock (it may
//! be set): a lease is expired when *we* have seen it unchanged for its whole duration on the monotonic clock.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::LeaseConfig;

/// What to do about the lease now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Move {
    /// It does not exist: POST this.
    Create(Value),
    /// It is ours, free, or expired: PUT this, with the version it was seen in.
    Take(Value),
    /// Somebody holds it; look again.
    Wait { holder: String },
}

/// What one candidate remembers.
#[derive(Debug)]
pub(crate) struct Rules {
    config: LeaseConfig,
    me: String,
    /// The spec last seen, and when we first saw it so.
    seen: Option<(Value, Instant)>,
}

impl Rules {
    pub(crate) fn new(config: LeaseConfig, me: String) -> Rules {
        Rules { config, me, seen: None }
    }

    /// Judges the lease as it is stored (`None`: it is not).
    /// `now` is what gets written, `tick` what is measured; `runtime` converts durations to those of `tick`.
    pub(crate) fn judge(
        &mut self,
        lease: Option<&Value>,
        now: Timestamp,
        tick: Instant,
        runtime: impl Fn(Duration) -> Duration,
    ) -> Move {
        let Some(lease) = lease else {
            self.seen = None;
            return Move::Create(self.object(&Value::Null, now, now, 0));
        };
        let spec = &lease["spec"];
        let since = match &self.seen {
            Some((seen, since)) if seen == spec => *since,
            Some(_) | None => {
                self.seen = Some((spec.clone(), tick));
                tick
            }
        };
        let holder = spec["holderIdentity"].as_str().unwrap_or_default();
        let transitions = spec["leaseTransitions"].as_i64().unwrap_or(0);
        if holder == self.me {
            let acquired = spec["acquireTime"].as_str().and_then(|t| t.parse().ok()).unwrap_or(now);
            return Move::Take(self.object(lease, acquired, now, transitions));
        }
        let declared = Duration::from_secs(spec["leaseDurationSeconds"].as_u64().unwrap_or(0));
        let unchanged = tick.saturating_duration_since(since);
        if !holder.is_empty() && unchanged < runtime(declared.max(self.config.duration)) {
            return Move::Wait { holder: holder.to_owned() };
        }
        Move::Take(self.object(lease, now, now, transitions.saturating_add(1)))
    }

    /// The lease given up, so that the next one need not wait for it to expire.
    pub(crate) fn released(&self, lease: &Value, now: Timestamp) -> Value {
        let mut lease = lease.clone();
        lease["spec"] = json!({
            "holderIdentity": "",
            "leaseDurationSeconds": 1,
            "acquireTime": micro(now),
            "renewTime": micro(now),
            "leaseTransitions": lease["spec"]["leaseTransitions"],
        });
        lease
    }

    fn object(&self, stored: &Value, acquired: Timestamp, now: Timestamp, transitions: i64) -> Value {
        let mut lease = match stored {
            Value::Object(_) => stored.clone(),
            _ => json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": { "name": self.config.name, "namespace": self.config.namespace },
            }),
        };
        lease["spec"] = json!({
            "holderIdentity": self.me,
            "leaseDurationSeconds": self.config.duration.as_secs().max(1),
            "acquireTime": micro(acquired),
            "renewTime": micro(now),
            "leaseTransitions": transitions,
        });
        lease
    }
}

/// A `MicroTime`: six digits, always.
fn micro(t: Timestamp) -> String {
    format!("{t:.6}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn rules(me: &str) -> Rules {
        Rules::new(LeaseConfig::new("ops", "drey"), me.to_owned())
    }

    fn lease(holder: &str, renewed: i64) -> Value {
        json!({
            "metadata": { "name": "drey", "resourceVersion": "7" },
            "spec": {
                "holderIdentity": holder, "leaseDurationSeconds": 15, "acquireTime": micro(t(0)),
                "renewTime": micro(t(renewed)), "leaseTransitions": 3,
            },
        })
    }

    /// The move as a short text: `create`, `wait b`, `take 4@10` (transitions, acquired at).
    fn text(m: &Move) -> String {
        let spec = |v: &Value| {
            let acquired: Timestamp = v["spec"]["acquireTime"].as_str().unwrap().parse().unwrap();
            assert_eq!(v["spec"]["holderIdentity"], "a");
            format!("{}@{}", v["spec"]["leaseTransitions"], acquired.as_second())
        };
        match m {
            Move::Create(v) => format!("create {}", spec(v)),
            Move::Take(v) => format!("take {}", spec(v)),
            Move::Wait { holder } => format!("wait {holder}"),
        }
    }

    fn judge(rules: &mut Rules, lease: Option<&Value>, at: i64, start: Instant) -> Move {
        let tick = start + Duration::from_secs(at.unsigned_abs());
        rules.judge(lease, t(at), tick, |d| d)
    }

    /// Judges a row of (time, stored lease) as candidate `a`.
    fn check(rows: &[(i64, Option<Value>)], expected: &[&str]) {
        let mut rules = rules("a");
        let start = Instant::now();
        let moves: Vec<String> =
            rows.iter().map(|(at, lease)| text(&judge(&mut rules, lease.as_ref(), *at, start))).collect();
        assert_eq!(moves, expected);
    }

    #[test]
    fn no_lease_is_created() {
        check(&[(10, None)], &["create 0@10"]);
    }

    #[test]
    fn our_own_is_renewed_and_keeps_when_it_was_acquired() {
        check(&[(20, Some(lease("a", 10)))], &["take 3@0"]);
    }

    #[test]
    fn a_released_one_is_taken_at_once() {
        check(&[(20, Some(lease("", 10)))], &["take 4@20"]);
    }

    #[test]
    fn a_foreign_one_is_taken_after_we_saw_it_unchanged_for_its_duration() {
        let l = || Some(lease("b", 10));
        check(&[(100, l()), (114, l()), (115, l())], &["wait b", "wait b", "take 4@115"]);
    }

    #[test]
    fn a_renewal_starts_the_wait_anew_whatever_time_it_says() {
        check(
            &[(100, Some(lease("b", 10))), (110, Some(lease("b", 11))), (120, Some(lease("b", 11)))],
            &["wait b", "wait b", "wait b"],
        );
    }

    #[test]
    fn a_holder_that_asks_for_longer_gets_it() {
        let mut long = lease("b", 10);
        long["spec"]["leaseDurationSeconds"] = json!(60);
        check(
            &[(0, Some(long.clone())), (59, Some(long.clone())), (60, Some(long))],
            &["wait b", "wait b", "take 4@60"],
        );
    }

    #[test]
    fn a_take_carries_the_version_it_was_seen_in() {
        let m = judge(&mut rules("a"), Some(&lease("", 1)), 5, Instant::now());
        let Move::Take(object) = m else { panic!("not taken: {m:?}") };
        assert_eq!(object["metadata"]["resourceVersion"], "7");
        assert_eq!(object["spec"]["renewTime"], "1970-01-01T00:00:05.000000Z");
    }

    #[test]
    fn release_keeps_the_count_and_names_nobody() {
        let released = rules("a").released(&lease("a", 1), t(9));
        assert_eq!(released["spec"]["holderIdentity"], "");
        assert_eq!(released["spec"]["leaseTransitions"], 3);
        assert_eq!(released["metadata"]["resourceVersion"], "7");
    }

    #[test]
    fn timings_that_allow_two_leaders_are_refused() {
        let config = LeaseConfig::new("ops", "drey");
        assert_eq!(config.check(), Ok(()));
        let wrong = LeaseConfig { renew_deadline: Duration::from_secs(15), ..config };
        assert!(wrong.check().unwrap_err().contains("renew-deadline"));
    }
}
