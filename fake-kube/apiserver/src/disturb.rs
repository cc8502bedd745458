//! What a watch can suffer while it runs, as a fault: events late, several changes of an object shown as one, events
//! shown twice, or in another order than they happened in.
//!
//! A client meets all of this: informers coalesce and relist, a watch resumed at an earlier version repeats events, and
//! two watches are never in step. Versions of one object never go backwards here. Leaves out what ends a watch.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use crate::store::{Event, Key};

#[derive(Clone, Debug, PartialEq)]
pub struct Disturbance {
    pub how: How,
    /// How long events are held back, or collected before they are shown together.
    pub window: SignedDuration,
    /// From then on the watch is like any other.
    pub until: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Late,
    /// Of the changes of an object within the window only what they come to is shown.
    Coalesced,
    Twice,
    /// Objects overtake each other within the window.
    Shuffled {
        seed: u64,
    },
}

impl Disturbance {
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now >= until)
    }

    /// How many events from the front can be shown now.
    pub(crate) fn ready(&self, events: &[Arc<Event>], now: Timestamp) -> usize {
        let Some(first) = events.first() else { return 0 };
        match self.how {
            How::Twice => events.len(),
            How::Late => events.iter().take_while(|e| self.shown_at(e) <= now).count(),
            How::Coalesced | How::Shuffled { .. } if self.shown_at(first) > now => 0,
            How::Coalesced | How::Shuffled { .. } => {
                events.iter().take_while(|e| e.at < self.shown_at(first)).count().max(1)
            }
        }
    }

    /// When an event that opens a window is shown.
    pub(crate) fn shown_at(&self, event: &Event) -> Timestamp {
        let at = event.at.saturating_add(self.window).unwrap_or(Timestamp::MAX);
        self.until.map_or(at, |until| at.min(until))
    }

    /// The events as they are shown: each group as one.
    pub(crate) fn arrange(&self, events: Vec<Arc<Event>>) -> Vec<Vec<Arc<Event>>> {
        match self.how {
            How::Late => events.into_iter().map(|e| vec![e]).collect(),
            How::Twice => events.into_iter().flat_map(|e| [vec![e.clone()], vec![e]]).collect(),
            How::Coalesced => {
                let mut groups: Vec<Vec<Arc<Event>>> = by_object(events).into_values().collect();
                groups.sort_by_key(|g| g.last().map(|e| e.revision));
                groups
            }
            How::Shuffled { seed } => {
                let first = events.first().map_or(0, |e| e.revision);
                let mut rng = ChaCha8Rng::seed_from_u64(seed ^ first);
                let mut queues: Vec<VecDeque<Arc<Event>>> =
                    by_object(events).into_values().map(VecDeque::from).collect();
                let mut out = Vec::new();
                while !queues.is_empty() {
                    let i = (rng.next_u64() % queues.len() as u64) as usize;
                    out.extend(queues[i].pop_front().map(|e| vec![e]));
                    if queues[i].is_empty() {
                        queues.remove(i);
                    }
                }
                out
            }
        }
    }
}

fn by_object(events: Vec<Arc<Event>>) -> BTreeMap<Key, Vec<Arc<Event>>> {
    let mut out: BTreeMap<Key, Vec<Arc<Event>>> = BTreeMap::new();
    for e in events {
        out.entry(e.key.clone()).or_default().push(e);
    }
    out
}
