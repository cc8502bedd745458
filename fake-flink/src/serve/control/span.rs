//! A duration as people write it: `20s`, `10m`, `2h`, `500ms`.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A century outlasts every test.
const MILLIS_MAX: i64 = 100 * 365 * 86_400_000;

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Span, D::Error> {
        let text = String::deserialize(from)?;
        // A bare number is milliseconds to Flink and seconds to most people: the unit must be said.
        let has_unit = text.trim_end().ends_with(|c: char| c.is_ascii_alphabetic());
        let millis = crate::conf::parse_millis(&text).ok();
        let millis = millis.filter(|ms| has_unit && (0..=MILLIS_MAX).contains(ms));
        let wrong = || D::Error::custom(format!("{text:?} is no duration such as 500ms, 20s or 10m"));
        Ok(Span(Duration::from_millis(millis.ok_or_else(wrong)?.unsigned_abs())))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let ms = self.0.as_millis();
        to.collect_str(&if ms.is_multiple_of(1000) { format!("{}s", ms / 1000) } else { format!("{ms}ms") })
    }
}
