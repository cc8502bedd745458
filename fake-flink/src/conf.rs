//! The parsed Flink configuration: flat keys with typed getters that know Flink's durations and key aliases.
//!
//! Values are kept as text. Whether a text parses is decided where Flink decides it: at the reading of the option.

use crate::version::Version;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Conf {
    entries: BTreeMap<String, String>,
    /// Names that came with 1.20 set nothing.
    #[serde(skip)]
    is_older: bool,
}

/// Options that a release before 1.20 knows by their older names alone (seen on 1.18.1).
const NEW_IN_1_20: [&str; 8] = [
    "execution.checkpointing.dir",
    "execution.checkpointing.savepoint-dir",
    "execution.checkpointing.storage",
    "execution.checkpointing.num-retained",
    "execution.checkpointing.incremental",
    "execution.state-recovery.path",
    "execution.state-recovery.claim-mode",
    "execution.state-recovery.ignore-unclaimed-state",
];

/// Keys that Flink 1.19 and 1.20 renamed; either spelling sets the option (old -> new).
const RENAMED: &[(&str, &str)] = &[
    ("state.checkpoints.dir", "execution.checkpointing.dir"),
    ("state.savepoints.dir", "execution.checkpointing.savepoint-dir"),
    ("state.backend", "state.backend.type"),
    ("state.checkpoint-storage", "execution.checkpointing.storage"),
    ("state.checkpoints.num-retained", "execution.checkpointing.num-retained"),
    ("restart-strategy", "restart-strategy.type"),
    ("execution.savepoint.path", "execution.state-recovery.path"),
    ("execution.savepoint.ignore-unclaimed-state", "execution.state-recovery.ignore-unclaimed-state"),
    ("execution.savepoint-restore-mode", "execution.state-recovery.claim-mode"),
    ("high-availability", "high-availability.type"),
    ("execution.checkpointing.unaligned", "execution.checkpointing.unaligned.enabled"),
    ("state.backend.incremental", "execution.checkpointing.incremental"),
    (
        "jobmanager.adaptive-scheduler.resource-wait-timeout",
        "jobmanager.adaptive-scheduler.submission.resource-wait-timeout",
    ),
    (
        "jobmanager.adaptive-scheduler.resource-stabilization-timeout",
        "jobmanager.adaptive-scheduler.submission.resource-stabilization-timeout",
    ),
    (
        "jobmanager.adaptive-scheduler.scaling-interval.min",
        "jobmanager.adaptive-scheduler.executing.cooldown-after-rescaling",
    ),
];

impl Conf {
    pub fn new(entries: BTreeMap<String, String>) -> Conf {
        Conf { entries, is_older: false }
    }

    /// As a release reads it.
    #[must_use]
    pub fn read_by(self, version: Version) -> Conf {
        Conf { is_older: !version.knows_options_of_1_20(), ..self }
    }

    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.entries.insert(key.into(), value.into());
    }

    /// This configuration with `other` on top, as a job sees cluster and own values.
    pub fn overlaid(&self, other: &BTreeMap<String, String>) -> Conf {
        let mut merged = self.entries.clone();
        for (key, value) in other {
            for (old, new) in RENAMED {
                if self.is_older && NEW_IN_1_20.contains(new) {
                    continue;
                }
                if key == old {
                    merged.remove(*new);
                } else if key == new {
                    merged.remove(*old);
                }
            }
            merged.insert(key.clone(), value.clone());
        }
        Conf { entries: merged, is_older: self.is_older }
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        let direct = self.entries.get(key).filter(|_| !(self.is_older && NEW_IN_1_20.contains(&key)));
        let old = || RENAMED.iter().filter(|(_, new)| *new == key);
        let aliased = || old().find_map(|(old, _)| self.entries.get(*old));
        direct.or_else(aliased).map(|v| v.trim()).filter(|v| !v.is_empty())
    }

    pub fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    pub fn bool(&self, key: &str, default: bool) -> bool {
        self.get(key).map_or(default, |v| v.eq_ignore_ascii_case("true"))
    }

    pub fn int(&self, key: &str, default: i64) -> i64 {
        self.get(key).and_then(|v| v.parse().ok()).unwrap_or(default)
    }

    pub fn float(&self, key: &str, default: f64) -> f64 {
        self.get(key).and_then(|v| v.parse().ok()).unwrap_or(default)
    }

    /// Flink's maps, `a:1,b:2`.
    pub fn map(&self, key: &str) -> BTreeMap<&str, &str> {
        let pairs = self.get(key).unwrap_or_default().split(',');
        pairs.filter_map(|pair| pair.split_once(':')).map(|(k, v)| (k.trim(), v.trim())).collect()
    }

    /// Milliseconds; a value that does not parse counts as absent (the options checked at job start use
    /// [`parse_millis`] themselves).
    pub fn millis(&self, key: &str, default: i64) -> i64 {
        self.get(key).and_then(|v| parse_millis(v).ok()).unwrap_or(default)
    }
}

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotADuration {
    NoNumber,
    Unit(String),
}

/// Flink's duration syntax: `3 s`, `10min`, `PT5M`, a bare number is milliseconds.
pub fn parse_millis(text: &str) -> Result<i64, NotADuration> {
    let text = text.trim();
    if let Some(iso) = text.strip_prefix("PT").or_else(|| text.strip_prefix("pt")) {
        return parse_iso(iso).ok_or(NotADuration::NoNumber);
    }
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: i64 = text[..digits].parse().map_err(|_| NotADuration::NoNumber)?;
    let unit = text[digits..].trim().to_ascii_lowercase();
    let factor_us: i64 = match unit.as_str() {
        "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1_000,
        "d" | "day" | "days" => 86_400_000_000,
        "h" | "hour" | "hours" => 3_600_000_000,
        "m" | "min" | "minute" | "minutes" => 60_000_000,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000_000,
        "us" | "µs" | "micro" | "micros" | "microsecond" | "microseconds" => 1,
        "ns" | "nano" | "nanos" | "nanosecond" | "nanoseconds" => 0,
        _ => return Err(NotADuration::Unit(unit)),
    };
    Ok(number.saturating_mul(factor_us) / 1_000)
}

fn parse_iso(text: &str) -> Option<i64> {
    let (mut total, mut number) = (0.0, String::new());
    for c in text.chars() {
        let factor = match c.to_ascii_uppercase() {
            'H' => 3_600_000.0,
            'M' => 60_000.0,
            'S' => 1_000.0,
            _ => {
                number.push(c);
                continue;
            }
        };
        total += std::mem::take(&mut number).parse::<f64>().ok()? * factor;
    }
    number.is_empty().then_some(total as i64)
}

/// `java.time.Duration.toString()`, which several REST texts show.
pub fn iso(ms: i64) -> String {
    if ms == 0 {
        return "PT0S".to_owned();
    }
    let (hours, minutes, rest) = (ms / 3_600_000, ms / 60_000 % 60, ms % 60_000);
    let mut out = "PT".to_owned();
    if hours > 0 {
        out.push_str(&format!("{hours}H"));
    }
    if minutes > 0 {
        out.push_str(&format!("{minutes}M"));
    }
    if rest > 0 {
        let seconds = format!("{:.3}", rest as f64 / 1000.0);
        out.push_str(seconds.trim_end_matches('0').trim_end_matches('.'));
        out.push('S');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in [
            ("3s", 3000),
            ("10 min", 600_000),
            ("500", 500),
            ("PT5M", 300_000),
            ("1 h", 3_600_000),
            ("PT1.5S", 1500),
        ] {
            assert_eq!(parse_millis(text), Ok(ms), "{text}");
        }
        assert_eq!(parse_millis("soon"), Err(NotADuration::NoNumber));
        assert_eq!(parse_millis("3 parsecs"), Err(NotADuration::Unit("parsecs".to_owned())));
    }

    #[test]
    fn iso_texts() {
        for (ms, text) in
            [(3000, "PT3S"), (60_000, "PT1M"), (3_600_000, "PT1H"), (100, "PT0.1S"), (0, "PT0S")]
        {
            assert_eq!(iso(ms), text);
        }
    }

    #[test]
    fn either_spelling_of_a_renamed_key() {
        let conf = Conf::new([("state.checkpoints.dir".to_owned(), "s3://old".to_owned())].into());
        assert_eq!(conf.get("execution.checkpointing.dir"), Some("s3://old"));
        let own = [("execution.checkpointing.dir".to_owned(), "s3://new".to_owned())].into();
        assert_eq!(conf.overlaid(&own).get("execution.checkpointing.dir"), Some("s3://new"));
    }
}
