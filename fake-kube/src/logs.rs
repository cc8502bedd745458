//! Container logs: a bounded ring of lines per container, and the one of the run before (`kubectl logs --previous`).

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;

use jiff::Timestamp;

#[derive(Clone, Debug, Default)]
pub struct Logs {
    current: BTreeMap<(String, String), Ring>,
    previous: BTreeMap<(String, String), Ring>,
    runs: u64,
    /// Those who follow a log and have read all of it.
    readers: Vec<Waker>,
}

#[derive(Clone, Debug, Default)]
pub struct Ring {
    lines: VecDeque<(Timestamp, String)>,
    /// Tells the runs of a container apart.
    run: u64,
    /// Lines that were there before the first one that is kept.
    dropped: u64,
}

/// How far somebody has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    run: u64,
    line: u64,
}

/// The part of a log somebody asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tail {
    pub lines: Option<u64>,
    pub bytes: Option<u64>,
    pub since: Option<Timestamp>,
    pub timestamps: bool,
}

impl Logs {
    pub fn begin(&mut self, uid: &str, container: &str) {
        let key = (uid.to_owned(), container.to_owned());
        self.runs += 1;
        let ring = Ring { run: self.runs, ..Ring::default() };
        if let Some(old) = self.current.insert(key.clone(), ring) {
            self.previous.insert(key, old);
        }
    }

    pub fn write(&mut self, uid: &str, container: &str, now: Timestamp, text: &str, max: usize) {
        let ring = self.current.entry((uid.to_owned(), container.to_owned())).or_default();
        for line in text.split('\n') {
            ring.lines.push_back((now, line.to_owned()));
        }
        while ring.lines.len() > max {
            ring.lines.pop_front();
            ring.dropped += 1;
        }
    }

    /// The end of a container's current log.
    pub fn end(&self, uid: &str, container: &str) -> Option<Place> {
        let ring = self.read(uid, container, false)?;
        Some(Place { run: ring.run, line: ring.dropped + ring.lines.len() as u64 })
    }

    /// What was written since, of that run only; None when the run is not known any more.
    pub fn since(&self, uid: &str, container: &str, place: &mut Place, timestamps: bool) -> Option<String> {
        let rings = [false, true].into_iter().filter_map(|p| self.read(uid, container, p));
        let ring = rings.into_iter().find(|r| r.run == place.run)?;
        let skip = usize::try_from(place.line.saturating_sub(ring.dropped)).unwrap_or(usize::MAX);
        let mut out = String::new();
        for (t, line) in ring.lines.iter().skip(skip) {
            write_line(&mut out, *t, line, timestamps);
        }
        place.line = ring.dropped + ring.lines.len() as u64;
        Some(out)
    }

    /// Wakes the reader at the next [`Logs::wake`].
    pub fn wait(&mut self, waker: &Waker) {
        if !self.readers.iter().any(|w| w.will_wake(waker)) {
            self.readers.push(waker.clone());
        }
    }

    /// Something may have been written, or have ended.
    pub fn wake(&mut self) {
        self.readers.drain(..).for_each(Waker::wake);
    }

    pub fn read(&self, uid: &str, container: &str, previous: bool) -> Option<&Ring> {
        let runs = if previous { &self.previous } else { &self.current };
        runs.get(&(uid.to_owned(), container.to_owned()))
    }

    pub fn forget(&mut self, uid: &str) {
        self.current.retain(|(u, _), _| u != uid);
        self.previous.retain(|(u, _), _| u != uid);
    }
}

impl Ring {
    pub fn text(&self, tail: Tail) -> String {
        let wanted: Vec<&(Timestamp, String)> =
            self.lines.iter().filter(|(t, _)| tail.since.is_none_or(|s| *t >= s)).collect();
        let skip =
            tail.lines.map_or(0, |n| wanted.len().saturating_sub(usize::try_from(n).unwrap_or(usize::MAX)));
        let mut out = String::new();
        for (t, line) in &wanted[skip..] {
            write_line(&mut out, *t, line, tail.timestamps);
        }
        if let Some(limit) = tail.bytes.and_then(|b| usize::try_from(b).ok()).filter(|b| *b < out.len()) {
            let end = (0..=limit).rev().find(|i| out.is_char_boundary(*i)).unwrap_or(0);
            out.truncate(end);
        }
        out
    }
}

fn write_line(out: &mut String, t: Timestamp, line: &str, timestamps: bool) {
    if timestamps {
        out.push_str(&format!("{} ", t.strftime("%Y-%m-%dT%H:%M:%S.%9fZ")));
    }
    out.push_str(line);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_are_bounded_and_kept_once() {
        let mut logs = Logs::default();
        let t = Timestamp::UNIX_EPOCH;
        logs.begin("u", "c");
        for i in 0..5 {
            logs.write("u", "c", t, &format!("line {i}"), 3);
        }
        let text = |logs: &Logs, previous, tail| logs.read("u", "c", previous).map(|r| r.text(tail));
        assert_eq!(text(&logs, false, Tail::default()).as_deref(), Some("line 2\nline 3\nline 4\n"));
        let one = Tail { lines: Some(1), timestamps: true, ..Tail::default() };
        assert_eq!(text(&logs, false, one).as_deref(), Some("1970-01-01T00:00:00.000000000Z line 4\n"));
        assert_eq!(text(&logs, true, Tail::default()), None);
        let mut place = logs.end("u", "c").expect("a log");
        assert_eq!(logs.since("u", "c", &mut place, false).as_deref(), Some(""));
        for i in 5..8 {
            logs.write("u", "c", t, &format!("line {i}"), 3);
        }
        logs.begin("u", "c");
        logs.write("u", "c", t, "of the next run", 3);
        assert_eq!(logs.since("u", "c", &mut place, false).as_deref(), Some("line 5\nline 6\nline 7\n"));
        assert_eq!(logs.since("u", "c", &mut place, false).as_deref(), Some(""));
        assert_eq!(text(&logs, true, Tail { bytes: Some(4), ..Tail::default() }).as_deref(), Some("line"));
        logs.forget("u");
        assert!(logs.read("u", "c", true).is_none());
    }
}
