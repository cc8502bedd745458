//! When periodic snapshots are due: every so often, or by a cron expression (reconciler.md 5.8).

use std::time::Duration;

use jiff::Timestamp;

use crate::config::{FlinkConf, Key, parse_duration};
use crate::cron::Cron;

/// A rhythm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    Off,
    Every(Duration),
    Cron(Cron),
}

impl Schedule {
    /// Blank or a zero duration is off. The error says what is wrong with either reading.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self::Off);
        }
        match parse_duration(text) {
            Ok(Duration::ZERO) => Ok(Self::Off),
            Ok(interval) => Ok(Self::Every(interval)),
            Err(_) if looks_like_cron(text) => Cron::parse(text).map(Self::Cron),
            Err(problem) => {
                Err(format!("neither a duration ({problem}) nor a cron expression of 6 or 7 fields"))
            }
        }
    }

    /// The schedule under `key`. One that cannot be read is off; validation and the log tell the user.
    pub fn of(conf: &FlinkConf, key: Key<String>) -> Self {
        Self::parse(&conf.value(key)).unwrap_or(Self::Off)
    }

    /// The first moment after `last` the schedule names; `None` when there is none.
    pub fn next_after(&self, last: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Off => None,
            Self::Every(interval) => last.checked_add(*interval).ok(),
            Self::Cron(cron) => cron.next_after(last),
        }
    }

    /// Strictly past the next moment after `last`.
    pub fn is_due(&self, last: Timestamp, now: Timestamp) -> bool {
        self.next_after(last).is_some_and(|due| due < now)
    }
}

fn looks_like_cron(text: &str) -> bool {
    text.split_whitespace().count() >= 5
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// T85.
    #[test]
    fn periodic_triggers() {
        let created = at("2026-01-01T00:00:00Z");
        let every = Schedule::parse("10m").unwrap();
        assert!(!every.is_due(created, at("2026-01-01T00:10:00Z")));
        assert!(every.is_due(created, at("2026-01-01T00:10:01Z")));

        let hourly = Schedule::parse("0 0 * * * ?").unwrap();
        assert!(!hourly.is_due(created, at("2026-01-01T00:59:59Z")));
        assert!(hourly.is_due(created, at("2026-01-01T01:00:01Z")));
        assert!(!hourly.is_due(at("2026-01-01T01:00:01Z"), at("2026-01-01T01:59:00Z")));

        for off in ["", "  ", "0", "0 s"] {
            assert_eq!(Schedule::parse(off), Ok(Schedule::Off), "{off:?}");
        }
        assert!(!Schedule::Off.is_due(created, at("2036-01-01T00:00:00Z")));
    }

    #[test]
    fn mistakes_are_explained() {
        let problem = Schedule::parse("6 hrs").unwrap_err();
        assert!(problem.contains("write for example '6 h'"), "{problem}");
        let problem = Schedule::parse("*/5 * * * *").unwrap_err();
        assert!(problem.contains("seconds come first"), "{problem}");
    }
}
