//! A duration as scenario files write it: `20s`, `1h30m`, `1m 30s`, `500ms`.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A century outlasts every test.
const MILLIS_MAX: u64 = 100 * 365 * 86_400_000;

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Span, D::Error> {
        let text = String::deserialize(from)?;
        let millis = millis(&text).filter(|ms| *ms <= MILLIS_MAX);
        let wrong = || D::Error::custom(format!("{text:?} is no duration such as 500ms, 20s, 10m or 1h30m"));
        Ok(Span(Duration::from_millis(millis.ok_or_else(wrong)?)))
    }
}

/// Numbers with units that fall from large to small. A bare number is milliseconds to Flink and seconds to most people:
/// the unit must be said. Of one part Flink's own spellings are right, too (`5 min`).
fn millis(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let (mut total, mut before) = (0_u64, u64::MAX);
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let after = rest[digits..].trim_start();
        let letters = after.len() - after.trim_start_matches(char::is_alphabetic).len();
        let (number, unit) = (rest[..digits].parse::<u64>().ok()?, &after[..letters]);
        let one = u64::try_from(crate::conf::parse_millis(&format!("1{unit}")).ok()?).ok()?;
        if unit.is_empty() || one >= before {
            return None;
        }
        total = total.checked_add(number.checked_mul(one)?)?;
        before = one;
        rest = after[letters..].trim_start();
    }
    (before < u64::MAX).then_some(total)
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let ms = self.0.as_millis();
        to.collect_str(&if ms.is_multiple_of(1000) { format!("{}s", ms / 1000) } else { format!("{ms}ms") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_several_parts() {
        for (text, expected) in [
            ("1h30m", Some(5_400_000)),
            ("1m 30s", Some(90_000)),
            ("1h 30m 5s", Some(5_405_000)),
            ("1s500ms", Some(1_500)),
            ("5 min", Some(300_000)),
            (" 24 h ", Some(86_400_000)),
            ("0s", Some(0)),
            ("90", None),
            ("", None),
            ("1m1h", None),
            ("1m1m", None),
            ("1m30", None),
            ("1.5h", None),
            ("-1s", None),
            ("1 fortnight", None),
            ("99999999999999999d", None),
        ] {
            assert_eq!(millis(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_century_is_the_longest() {
        let read = |text: &str| serde_json::from_value::<Span>(text.into());
        assert_eq!(read("1m30s").unwrap(), Span(Duration::from_secs(90)));
        assert!(read("40000d").unwrap_err().to_string().contains("1h30m"));
    }
}
