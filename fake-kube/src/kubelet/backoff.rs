//! Restart and image back-off: 10 s doubling to 300 s, forgotten after twice the maximum without trouble
//! (client-go `flowcontrol.Backoff` as the kubelet uses it; kube-api.md 3.2).

use jiff::{SignedDuration, Timestamp};

use crate::json::after_secs;

const INITIAL_SECS: i64 = 10;
const MAX_SECS: i64 = 300;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Backoff {
    wait_secs: Option<i64>,
    last: Option<Timestamp>,
}

impl Backoff {
    pub fn wait_secs(&self) -> i64 {
        self.wait_secs.unwrap_or(INITIAL_SECS)
    }

    /// Until when something that ended at `ended` has to wait, if it still has to.
    pub fn holds_until(&self, ended: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let wait = self.wait_secs.filter(|_| !self.expired(ended))?;
        let until = after_secs(ended, wait);
        (now < until).then_some(until)
    }

    /// One more attempt starts now.
    pub fn next(&mut self, now: Timestamp) {
        self.wait_secs = Some(match self.wait_secs {
            Some(wait) if !self.expired(now) => (wait * 2).min(MAX_SECS),
            _ => INITIAL_SECS,
        });
        self.last = Some(now);
    }

    fn expired(&self, event: Timestamp) -> bool {
        self.last.is_some_and(|last| event.duration_since(last) > SignedDuration::from_secs(2 * MAX_SECS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_and_forgets() {
        let t0 = Timestamp::UNIX_EPOCH;
        let mut b = Backoff::default();
        assert_eq!(b.holds_until(t0, t0), None, "the first restart is immediate");
        let mut waits = Vec::new();
        let mut now = t0;
        for _ in 0..7 {
            b.next(now);
            let until = b.holds_until(now, now).expect("waits");
            waits.push(until.duration_since(now).as_secs());
            now = until;
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300]);
        let healthy = after_secs(now, 11 * 60);
        assert_eq!(b.holds_until(healthy, healthy), None);
        b.next(healthy);
        assert_eq!(b.wait_secs(), 10);
    }
}
