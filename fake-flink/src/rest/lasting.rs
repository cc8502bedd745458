//! Answers that stay right while time passes: JSON encoded once, with places left for what counts from some instant.
//!
//! A client that polls sees the same job again and again, only longer. What an answer was made of is noted beside it
//! ([`Basis`]); while that is the same the answer is, but for its clocks.

use bytes::Bytes;
use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Milliseconds in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Millis {
    Fixed(i64),
    /// As long as since this instant.
    Since(i64),
}

/// The moment of the answer itself.
pub(crate) const NOW: Millis = Millis::Since(0);

impl Serialize for Millis {
    /// A number of 128 bits means a clock to [`Lasting`]; nothing else in an answer is that wide.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match *self {
            Millis::Fixed(ms) => to.serialize_i64(ms),
            Millis::Since(from) => to.serialize_i128(from.into()),
        }
    }
}

impl Millis {
    pub fn at(self, now: i64) -> i64 {
        match self {
            Millis::Fixed(ms) => ms,
            Millis::Since(from) => now.saturating_sub(from),
        }
    }
}

/// Encoded JSON; at each byte [`CLOCK`] stands the time since one of the instants.
#[derive(Debug)]
pub(crate) struct Lasting {
    text: Bytes,
    since: Vec<i64>,
}

/// Control characters are escaped in JSON, so none is in its text.
const CLOCK: u8 = 0;
/// Digits of an i64 and its sign.
const CLOCK_WIDTH: usize = 20;

impl Lasting {
    pub fn of(value: &impl Serialize) -> Lasting {
        let (mut text, mut since) = (Vec::new(), Vec::new());
        let mut encoder = serde_json::Serializer::with_formatter(&mut text, Clocks(&mut since));
        value.serialize(&mut encoder).expect("names are text and memory takes every byte");
        Lasting { text: text.into(), since }
    }

    pub fn at(&self, now: i64) -> Bytes {
        if self.since.is_empty() {
            return self.text.clone();
        }
        let mut out = Vec::with_capacity(self.text.len() + self.since.len() * CLOCK_WIDTH);
        let mut begin = 0;
        for (end, since) in memchr::memchr_iter(CLOCK, &self.text).zip(&self.since) {
            out.extend_from_slice(&self.text[begin..end]);
            let _ = write!(out, "{}", now.saturating_sub(*since));
            begin = end + 1;
        }
        out.extend_from_slice(&self.text[begin..]);
        out.into()
    }
}

struct Clocks<'a>(&'a mut Vec<i64>);

impl Formatter for Clocks<'_> {
    fn write_i128<W: Write + ?Sized>(&mut self, to: &mut W, value: i128) -> io::Result<()> {
        self.0.push(i64::try_from(value).unwrap_or_default());
        to.write_all(&[CLOCK])
    }
}

/// What an answer was made of: numbers that grow when the thing is another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Basis {
    /// Of the whole model.
    pub revision: u64,
    /// Of one job as a cache shows it.
    pub shown: u64,
    /// Of the metrics fetched.
    pub metrics: u64,
}

/// The newest answer of each kind, by what was asked for (a job, or the empty text).
#[derive(Debug)]
pub(crate) struct Encoded<K>(BTreeMap<K, BTreeMap<String, (Basis, Lasting)>>);

impl<K> Default for Encoded<K> {
    fn default() -> Encoded<K> {
        Encoded(BTreeMap::new())
    }
}

/// Of one kind; more jobs than that are encoded anew.
const KEPT_MAX: usize = 1_024;

impl<K: Ord> Encoded<K> {
    pub fn find(&self, kind: &K, of: &str, basis: Basis) -> Option<&Lasting> {
        let (made_of, lasting) = self.0.get(kind)?.get(of)?;
        (*made_of == basis).then_some(lasting)
    }

    pub fn keep(&mut self, kind: K, of: &str, basis: Basis, lasting: Lasting) {
        let of_kind = self.0.entry(kind).or_default();
        if of_kind.len() >= KEPT_MAX && !of_kind.contains_key(of) {
            of_kind.clear();
        }
        of_kind.insert(of.to_owned(), (basis, lasting));
    }

    /// Leaves out what nobody can ask for any more.
    pub fn retain(&mut self, is_known: impl Fn(&str) -> bool) {
        self.0.values_mut().for_each(|of_kind| of_kind.retain(|of, _| of.is_empty() || is_known(of)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[derive(Serialize)]
    struct Shown {
        #[serde(flatten)]
        what: Value,
        now: Millis,
        duration: Millis,
        over: Millis,
    }

    fn shown() -> Shown {
        let what = json!({"name": "a\u{0}b \" \\", "n": i64::MIN, "x": 1.5});
        Shown { what, now: NOW, duration: Millis::Since(40), over: Millis::Fixed(7) }
    }

    #[test]
    fn clocks_run_and_the_rest_stays() {
        let lasting = Lasting::of(&shown());
        for now in [40, 41, 1_795_252_300_000] {
            let read: Value = serde_json::from_slice(&lasting.at(now)).unwrap();
            let expected = json!({"name": "a\u{0}b \" \\", "n": i64::MIN, "x": 1.5, "now": now,
                "duration": now - 40, "over": 7});
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn an_answer_is_found_while_its_basis_is_the_same() {
        let mut kept = Encoded::default();
        let basis = Basis { revision: 3, ..Basis::default() };
        kept.keep("details", "job", basis, Lasting::of(&1));
        assert!(kept.find(&"details", "job", basis).is_some());
        assert!(kept.find(&"details", "job", Basis { metrics: 1, ..basis }).is_none());
        assert!(
            kept.find(&"details", "other", basis).is_none() && kept.find(&"plan", "job", basis).is_none()
        );
        kept.retain(|id| id != "job");
        assert!(kept.find(&"details", "job", basis).is_none());
        (0..2 * KEPT_MAX).for_each(|n| kept.keep("details", &n.to_string(), basis, Lasting::of(&n)));
        assert!(kept.0["details"].len() <= KEPT_MAX);
    }
}
