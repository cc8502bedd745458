//! The one stream of events of a run, shared by everything that happens in a world.

use std::sync::{Arc, Mutex, PoisonError};

use drey_language::events::{Event, Kind, Lane, Log};

use super::clock::ScenarioClock;

/// A cheap handle; all clones write to the same stream.
#[derive(Clone)]
pub struct Journal {
    clock: ScenarioClock,
    log: Arc<Mutex<Log>>,
}

impl Journal {
    pub fn new(clock: ScenarioClock) -> Journal {
        Journal { clock, log: Arc::default() }
    }

    /// An event of now, to be filled in and handed to [`Journal::push`].
    pub fn event(&self, lane: Lane, kind: Kind, text: impl Into<String>) -> Event {
        Event::new(self.clock.now(), lane, kind, text)
    }

    /// Appends; returns the event's number, for others to name as their cause.
    pub fn push(&self, event: Event) -> u64 {
        self.with(|log| log.push(event))
    }

    pub fn note(&self, lane: Lane, kind: Kind, object: &str, text: impl Into<String>) -> u64 {
        self.push(self.event(lane, kind, text).about(object))
    }

    pub fn with<T>(&self, f: impl FnOnce(&mut Log) -> T) -> T {
        f(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Everything so far.
    pub fn events(&self) -> Vec<Event> {
        self.with(|log| log.events().to_vec())
    }
}
