//! Time as the server sees it: a clock handed in, and a manual one for tests and virtual-time runs.
//!
//! Leaves out real time: a binary brings its own [`Clock`] over the system clock.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::future::BoxFuture;
use jiff::Timestamp;

/// Where the server takes its time from.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Timestamp;
    /// Completes once `now()` is at or past `t`.
    fn sleep_until(&self, t: Timestamp) -> BoxFuture<'static, ()>;
}

/// A clock that stands still until it is moved.
#[derive(Clone)]
pub struct ManualClock(Arc<Mutex<Manual>>);

struct Manual {
    now: Timestamp,
    sleepers: BTreeMap<(Timestamp, u64), Waker>,
    next: u64,
}

impl ManualClock {
    pub fn new(start: Timestamp) -> ManualClock {
        ManualClock(Arc::new(Mutex::new(Manual { now: start, sleepers: BTreeMap::new(), next: 0 })))
    }

    fn lock(&self) -> MutexGuard<'_, Manual> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The moment the earliest sleeper waits for.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.lock().sleepers.keys().next().map(|(at, _)| *at)
    }

    /// Moves to `t` (never back) and wakes whoever is due.
    pub fn advance_to(&self, t: Timestamp) {
        let due: Vec<Waker> = {
            let mut m = self.lock();
            m.now = m.now.max(t);
            let now = m.now;
            let later = m.sleepers.split_off(&(now, u64::MAX));
            std::mem::replace(&mut m.sleepers, later).into_values().collect()
        };
        due.into_iter().for_each(Waker::wake);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.lock().now
    }

    fn sleep_until(&self, t: Timestamp) -> BoxFuture<'static, ()> {
        Box::pin(ManualSleep { clock: self.clone(), at: t, slot: None })
    }
}

struct ManualSleep {
    clock: ManualClock,
    at: Timestamp,
    slot: Option<u64>,
}

impl Future for ManualSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let clock = self.clock.clone();
        let mut m = clock.lock();
        if m.now >= self.at {
            return Poll::Ready(());
        }
        let slot = self.slot.unwrap_or(m.next);
        if self.slot.is_none() {
            m.next += 1;
        }
        m.sleepers.insert((self.at, slot), cx.waker().clone());
        self.slot = Some(slot);
        Poll::Pending
    }
}

impl Drop for ManualSleep {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.clock.lock().sleepers.remove(&(self.at, slot));
        }
    }
}
