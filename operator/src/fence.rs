//! The right to write. An operator that may have lost its lease must not write any more, however far a pass has
//! come: every write asks the fence first, and gets a deadline by which it must be over.
//!
//! Deadlines are on the monotonic clock of the runtime: a wall clock that is set back must not lengthen a lease.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

/// Shared by the lease keeper, which moves it, and by every write, which asks it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fence {
    /// Outer `None`: no leader election, always open. Inner `None`: the lease is not held.
    holds_until: Option<Arc<Mutex<Option<Instant>>>>,
}

impl Fence {
    /// For an operator without leader election.
    pub(crate) fn open() -> Fence {
        Fence { holds_until: None }
    }

    /// Shut until the lease is held.
    pub(crate) fn shut() -> Fence {
        Fence { holds_until: Some(Arc::default()) }
    }

    /// The lease was renewed, or (`None`) lost.
    pub(crate) fn move_to(&self, deadline: Option<Instant>) {
        if let Some(holds_until) = &self.holds_until {
            *holds_until.lock().expect("nothing panics while holding the fence") = deadline;
        }
    }

    /// How long (runtime time) a write begun now may take at most; `None` when it must not begin.
    pub(crate) fn allowance(&self, wanted: Duration) -> Option<Duration> {
        let Some(holds_until) = &self.holds_until else { return Some(wanted) };
        let deadline = (*holds_until.lock().expect("nothing panics while holding the fence"))?;
        let left = deadline.saturating_duration_since(Instant::now());
        (!left.is_zero()).then(|| left.min(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_write_must_fit_before_the_deadline() {
        let s = Duration::from_secs;
        assert_eq!(Fence::open().allowance(s(30)), Some(s(30)));
        let fence = Fence::shut();
        assert_eq!(fence.allowance(s(30)), None);
        fence.move_to(Some(Instant::now() + s(40)));
        assert_eq!(fence.allowance(s(30)), Some(s(30)));
        tokio::time::advance(s(30)).await;
        assert_eq!(fence.allowance(s(30)), Some(s(10)));
        tokio::time::advance(s(10)).await;
        assert_eq!(fence.allowance(s(30)), None);
        fence.move_to(Some(Instant::now() + s(1)));
        assert_eq!(fence.clone().allowance(s(30)), Some(s(1)));
        fence.move_to(None);
        assert_eq!(fence.allowance(s(30)), None);
    }
}
