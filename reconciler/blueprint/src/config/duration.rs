//! Durations as Flink writes them: a whole number and a unit (`24 h`, `30s`, `100`), or ISO 8601 (`PT5M`).
//!
//! ISO 8601 is a deliberate extension for old versions: Flink 2 reads it, the parser of 1.x does not, and operators
//! print it, so users paste it back. It matters only for keys the operator itself reads.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// Label as accepted, and its nanoseconds.
const UNITS: [(&[&str], u128); 7] = [
    (&["d", "day", "days"], 86_400_000_000_000),
    (&["h", "hour", "hours"], 3_600_000_000_000),
    (&["min", "m", "minute", "minutes"], 60_000_000_000),
    (&["s", "sec", "secs", "second", "seconds"], 1_000_000_000),
    (&["ms", "milli", "millis", "millisecond", "milliseconds"], 1_000_000),
    (&["us", "µs", "micro", "micros", "microsecond", "microseconds"], 1_000),
    (&["ns", "nano", "nanos", "nanosecond", "nanoseconds"], 1),
];

/// What people write instead, and what they mean.
const NEAR_UNITS: [(&str, &str); 9] = [
    ("hr", "h"),
    ("hrs", "h"),
    ("mins", "min"),
    ("msec", "ms"),
    ("msecs", "ms"),
    ("usec", "us"),
    ("nsec", "ns"),
    ("dd", "d"),
    ("hh", "h"),
];

/// Parses a duration; the error is a fragment that says what is wrong and what to write instead.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text.starts_with(['P', 'p']) {
        return parse_iso(text);
    }
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = (&text[..digits], text[digits..].trim());
    if number.is_empty() {
        return Err(format!("a duration starts with a whole number; {}", advice("10 s")));
    }
    let factor = match unit.to_lowercase().as_str() {
        "" => 1_000_000, // Flink reads a bare number as milliseconds.
        label => match UNITS.iter().find(|(labels, _)| labels.contains(&label)) {
            Some((_, nanos)) => *nanos,
            None => {
                return Err(format!("the unit '{unit}' is not known; {}", advice(&corrected(number, label))));
            }
        },
    };
    let nanos = number.parse::<u128>().ok().and_then(|n| n.checked_mul(factor));
    nanos
        .and_then(|nanos| {
            Some(Duration::new((nanos / 1_000_000_000).try_into().ok()?, (nanos % 1_000_000_000) as u32))
        })
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| format!("the duration is too long; {}", advice("24 h")))
}

/// Longer than any sensible setting and short enough to be added to any timestamp.
const LONGEST: Duration = Duration::from_secs(1_000 * 365 * 86_400);

fn parse_iso(text: &str) -> Result<Duration, String> {
    let span: Span = text.parse().map_err(|_| format!("not an ISO 8601 duration; {}", advice("PT5M")))?;
    span.to_duration(SpanRelativeTo::days_are_24_hours())
        .ok()
        .and_then(|signed| Duration::try_from(signed).ok())
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| {
            format!("an ISO 8601 duration of days or less, not negative, is needed; {}", advice("PT5M"))
        })
}

fn corrected(number: &str, label: &str) -> String {
    if let Some((_, unit)) = NEAR_UNITS.iter().find(|(near, _)| *near == label) {
        return format!("{number} {unit}");
    }
    match (label, number.parse::<u64>().ok().and_then(|n| n.checked_mul(7))) {
        ("w" | "week" | "weeks", Some(days)) => format!("{days} d"),
        _ if label.starts_with('.') => "1500 ms".to_owned(),
        _ => format!("{number} s"),
    }
}

fn advice(example: &str) -> String {
    format!("accepted units are d, h, min, s, ms, us and ns; write for example '{example}'")
}

/// The shortest text that parses back to the same duration: `90 s`, `5 min`, `1 d`.
pub fn duration_text(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let (labels, factor) =
        UNITS.iter().find(|(_, factor)| nanos != 0 && nanos.is_multiple_of(*factor)).unwrap_or(&UNITS[4]);
    format!("{} {}", nanos / factor, labels[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<u64, &str>) {
        match (parse_duration(text), expected) {
            (Ok(got), Ok(ms)) => assert_eq!(got, Duration::from_millis(ms), "{text}"),
            (Err(got), Err(part)) => assert!(got.contains(part), "{text}: {got}"),
            (got, expected) => panic!("{text}: got {got:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn durations_in_the_field() {
        check("24 h", Ok(86_400_000));
        check("24h", Ok(86_400_000));
        check("30 s", Ok(30_000));
        check("100ms", Ok(100));
        check(" 5 MINUTE ", Ok(300_000));
        check("10 min", Ok(600_000));
        check("2 m", Ok(120_000));
        check("3 secs", Ok(3_000));
        check("5000", Ok(5_000));
        check("0", Ok(0));
        check("1 d", Ok(86_400_000));
        check("2000 us", Ok(2));
        check("3000000 ns", Ok(3));
    }

    #[test]
    fn iso_8601() {
        check("PT5M", Ok(300_000));
        check("PT1H30M", Ok(5_400_000));
        check("P1DT1S", Ok(86_401_000));
        check("PT0.5S", Ok(500));
        check("P1M", Err("days or less"));
        check("-PT5M", Err("starts with a whole number"));
        check("P", Err("write for example 'PT5M'"));
    }

    #[test]
    fn mistakes_are_answered_with_the_correction() {
        check(
            "24 hrs",
            Err(
                "the unit 'hrs' is not known; accepted units are d, h, min, s, ms, us and ns; write for example '24 h'",
            ),
        );
        check("5 mins", Err("write for example '5 min'"));
        check("2 weeks", Err("write for example '14 d'"));
        check("1.5 h", Err("the unit '.5 h' is not known"));
        check("h", Err("starts with a whole number"));
        check("", Err("starts with a whole number"));
        check("-1 min", Err("starts with a whole number"));
        check("99999999999999999999 d", Err("too long"));
        check("9999999 d", Err("too long"));
    }

    #[test]
    fn text_form_parses_back() {
        for (ms, text) in
            [(0, "0 ms"), (90_000, "90 s"), (300_000, "5 min"), (86_400_000, "1 d"), (1, "1 ms")]
        {
            assert_eq!(duration_text(Duration::from_millis(ms)), text);
            check(text, Ok(ms));
        }
    }
}
