//! Following every change of the store, for controllers and recorders in the same process.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};

use crate::fault::Change;
use crate::server::ApiServer;

/// How many changes one step of a follower copies out of the history.
const BATCH: usize = 256;

/// A cursor over all changes. One that falls behind the kept history skips what is gone; [`Changes::lost`] says so.
pub struct Changes {
    server: ApiServer,
    id: u64,
    seen: u64,
    ready: VecDeque<Change>,
    lost: bool,
}

impl Changes {
    pub(crate) fn new(server: ApiServer) -> Changes {
        let (id, seen) = server.with(|s| (s.store.waiter_id(), s.store.revision()));
        Changes { server, id, seen, ready: VecDeque::new(), lost: false }
    }

    /// The next change; never ends.
    pub async fn next(&mut self) -> Change {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The next change if there is one already.
    pub fn try_next(&mut self) -> Option<Change> {
        self.fill(None);
        self.ready.pop_front()
    }

    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Change> {
        self.fill(Some(cx));
        self.ready.pop_front().map_or(Poll::Pending, Poll::Ready)
    }

    /// True once after changes were dropped by compaction before they were read: list again.
    pub fn lost(&mut self) -> bool {
        std::mem::take(&mut self.lost)
    }

    fn fill(&mut self, cx: Option<&mut Context<'_>>) {
        if !self.ready.is_empty() {
            return;
        }
        let (id, seen) = (self.id, self.seen);
        let (batch, last, lost) = self.server.with(|s| {
            let events: Vec<_> = s.store.all_after(seen).take(BATCH).cloned().collect();
            if let (Some(cx), true) = (cx, events.is_empty()) {
                s.store.follow(id, cx.waker());
            }
            let last = events.last().map_or(seen, |e| e.revision);
            let batch: Vec<Change> = events.iter().filter_map(|e| s.change(e)).collect();
            (batch, last, s.store.compacted() > seen)
        });
        self.lost |= lost;
        self.seen = if batch.is_empty() && lost { last.max(self.server.revision()) } else { last };
        self.ready.extend(batch);
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        let id = self.id;
        self.server.with(|s| s.store.unfollow(id));
    }
}
