//! The one stream of events of a run, shared by everything that happens in a world.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drey_language::events::{Event, Kind, Lane, Log};

use super::clock::ScenarioClock;

/// A cheap handle; all clones write to the same stream.
#[derive(Clone)]
pub struct Journal {
    clock: ScenarioClock,
    book: Arc<Mutex<Book>>,
}

#[derive(Default)]
struct Book {
    log: Log,
    listener: Option<Listener>,
}

/// Told of every event as it happens, with its number.
pub type Listener = Arc<dyn Fn(&Event) + Send + Sync>;

impl Journal {
    pub fn new(clock: ScenarioClock) -> Journal {
        Journal { clock, book: Arc::default() }
    }

    /// An event of now, to be filled in and handed to [`Journal::push`].
    pub fn event(&self, lane: Lane, kind: Kind, text: impl Into<String>) -> Event {
        Event::new(self.clock.now(), lane, kind, text)
    }

    /// Appends; returns the event's number, for others to name as their cause.
    pub fn push(&self, event: Event) -> u64 {
        let mut book = self.book();
        let Some(listener) = book.listener.clone() else { return book.log.push(event) };
        let seq = book.log.push(event.clone());
        listener(&Event { seq, ..event });
        seq
    }

    /// From now on the listener is told; first what has happened so far. It must not write to the journal.
    pub fn listen(&self, listener: Listener) {
        let mut book = self.book();
        book.log.events().iter().for_each(|event| listener(event));
        book.listener = Some(listener);
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn note(&self, lane: Lane, kind: Kind, object: &str, text: impl Into<String>) -> u64 {
        self.push(self.event(lane, kind, text).about(object))
    }

    pub fn with<T>(&self, f: impl FnOnce(&mut Log) -> T) -> T {
        f(&mut self.book().log)
    }

    /// Number of the latest event; 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.with(|log| log.events().last().map_or(0, |event| event.seq))
    }

    /// Everything so far.
    pub fn events(&self) -> Vec<Event> {
        self.with(|log| log.events().to_vec())
    }
}
