//! The log of the operator that runs in this process: its last lines, with scenario times, for whoever looks.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drey_language::duration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::world::ScenarioClock;

const LINES_MAX: usize = 2_000;

/// A cheap handle; clones are the same book.
#[derive(Clone, Default)]
pub struct Logbook(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    lines: VecDeque<String>,
    clock: Option<ScenarioClock>,
}

impl Logbook {
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this process's log goes here. A second one is refused by the library, and has no lines then.
    pub fn install(&self) {
        let writer = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new("off,drey_operator=debug"))
            .with_ansi(false)
            .with_timer(self.clone())
            .with_writer(move || writer.clone());
        let _ = subscriber.try_init();
    }

    /// Lines carry the time of this clock.
    pub(super) fn follow(&self, clock: ScenarioClock) {
        self.lock().clock = Some(clock);
    }

    pub fn tail(&self, lines: usize) -> String {
        let book = self.lock();
        let skipped = book.lines.len().saturating_sub(lines);
        book.lines.iter().skip(skipped).map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

/// The library hands over one whole line at a time.
impl io::Write for Logbook {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut book = self.lock();
        book.lines.push_back(String::from_utf8_lossy(line).trim_end().to_owned());
        if book.lines.len() > LINES_MAX {
            book.lines.pop_front();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl FormatTime for Logbook {
    fn format_time(&self, to: &mut Writer<'_>) -> fmt::Result {
        let clock = self.lock().clock;
        write!(to, "{:<12}", clock.map(|clock| duration::format_clock(clock.elapsed())).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_last_lines_are_kept() {
        let book = Logbook::default();
        for n in 0..LINES_MAX + 5 {
            book.clone().write_all(format!("{n}\n").as_bytes()).expect("memory takes it");
        }
        assert_eq!(book.tail(2), format!("{}\n{}", LINES_MAX + 3, LINES_MAX + 4));
        assert_eq!(book.tail(usize::MAX).lines().count(), LINES_MAX);
    }
}
