//! The operator's only source of time. Left out on purpose: a real implementation (binaries bring one).

use std::time::Duration;

use jiff::Timestamp;

/// Tells wall-clock time, and how long a wait of the world's time takes on the runtime's timer.
pub trait Clock: Send + Sync + 'static {
    /// Now, as it is written into statuses, events and leases.
    fn now(&self) -> Timestamp;

    /// World time to tokio time. A loopback run that plays an hour in a minute divides here; everything the
    /// operator waits for (requeue, back-off, lease, time-outs) goes through it.
    fn runtime(&self, world: Duration) -> Duration {
        world
    }
}

/// `now` plus a duration; saturates instead of failing on absurd values.
pub(crate) fn after(now: Timestamp, d: Duration) -> Timestamp {
    let d = jiff::SignedDuration::try_from(d).unwrap_or(jiff::SignedDuration::MAX);
    now.saturating_add(d).unwrap_or(Timestamp::MAX)
}

/// How much time lies between `now` and `then`; zero when `then` has passed.
pub(crate) fn until(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or(Duration::ZERO)
}
