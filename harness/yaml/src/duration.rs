//! Durations and times of day as scenario authors write them: `90s`, `10m`, `1h30m`, `24 h`, `00:30:00`.
//! Strict: every number has a unit, units fall from large to small. Leaves out: clocks.

use std::time::Duration;

/// What is wrong with a duration, and what was probably meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DurationError {
    pub message: String,
    pub nearest: Option<String>,
}

/// Unit, its spelling variants that we answer with a hint, its length in milliseconds.
const UNITS: &[(&str, &[&str], u64)] = &[
    ("d", &["day", "days"], 86_400_000),
    ("h", &["hr", "hrs", "hour", "hours"], 3_600_000),
    ("m", &["min", "mins", "minute", "minutes"], 60_000),
    ("s", &["sec", "secs", "second", "seconds"], 1_000),
    ("ms", &["msec", "millis", "millisecond", "milliseconds"], 1),
];

/// Longest duration accepted, about 136 years: keeps every sum of scenario times far from overflow.
const MAX_MS: u64 = 50_000 * 86_400_000;

pub const UNIT_HELP: &str =
    "write a number with one of the units d, h, m, s, ms, largest first: `90s`, `1h30m`, `24 h`";

pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let parts = split(text)?;
    let mut total: u64 = 0;
    let mut previous: Option<usize> = None;
    for (number, unit) in &parts {
        let Some(rank) = UNITS.iter().position(|(name, _, _)| name == unit) else {
            return Err(unknown_unit(unit, &parts));
        };
        if previous.is_some_and(|p| p >= rank) {
            return Err(fail("units must fall from large to small, each at most once", None));
        }
        previous = Some(rank);
        let value: u64 = number.parse().map_err(|_| fail(format!("number `{number}` is too large"), None))?;
        total = value
            .checked_mul(UNITS[rank].2)
            .and_then(|ms| total.checked_add(ms))
            .filter(|ms| *ms <= MAX_MS)
            .ok_or_else(|| fail("longer than 50000 days", None))?;
    }
    Ok(Duration::from_millis(total))
}

/// Shortest exact spelling, the one messages use: `1h30m`, `0s`, `1500ms` as `1s500ms`.
pub fn format(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (unit, _, length) in UNITS {
        if rest >= *length {
            out.push_str(&format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    out
}

/// `HH:MM:SS` since the start of the scenario; hours may exceed 23.
pub fn parse_clock(text: &str) -> Option<Duration> {
    let fields: Vec<&str> = text.split(':').collect();
    let [hours, minutes, seconds] = fields.as_slice() else { return None };
    let number = |field: &str, limit: u64| {
        let two_digits = field.len() >= 2 && field.len() <= 4 && field.bytes().all(|b| b.is_ascii_digit());
        two_digits.then(|| field.parse::<u64>().ok()).flatten().filter(|n| *n < limit)
    };
    let (h, m, s) = (number(hours, 10_000)?, number(minutes, 60)?, number(seconds, 60)?);
    Some(Duration::from_secs(h * 3600 + m * 60 + s))
}

/// `00:00:41`, with milliseconds only where there are some: how times are shown everywhere.
pub fn format_clock(since_start: Duration) -> String {
    let seconds = since_start.as_secs();
    let base = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    match since_start.subsec_millis() {
        0 => base,
        ms => format!("{base}.{ms:03}"),
    }
}

fn split(text: &str) -> Result<Vec<(String, String)>, DurationError> {
    let trimmed = text.trim();
    if let Some((value, _)) = trimmed.split_once("//") {
        let value = value.trim();
        let nearest = parse(value).is_ok().then(|| format!("{value} # .."));
        return Err(fail("`//` does not start a comment in YAML, `#` does", nearest));
    }
    let mut parts = Vec::new();
    let mut rest = trimmed;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        if number.is_empty() {
            return Err(not_a_duration(trimmed));
        }
        let after = after.trim_start();
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        if unit.is_empty() {
            let bare = after.is_empty() && parts.is_empty();
            return Err(if bare { no_unit(number) } else { not_a_duration(trimmed) });
        }
        parts.push((number.to_owned(), unit.to_owned()));
        rest = after.trim_start();
    }
    if parts.is_empty() { Err(fail("empty", None)) } else { Ok(parts) }
}

fn no_unit(number: &str) -> DurationError {
    fail("number without a unit", Some(format!("{number}s")))
}

/// Decimal and signed numbers are recognised only to answer them well: `1.5h` -> `1h30m`, `-30s` -> `30s`.
fn not_a_duration(text: &str) -> DurationError {
    if let Some(positive) = text.strip_prefix('-') {
        return fail("a duration cannot be negative here", parse(positive).ok().map(format));
    }
    let digits = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let (number, unit) = text.split_at(digits);
    let known = UNITS.iter().find(|(name, variants, _)| {
        let unit = unit.trim();
        *name == unit || variants.contains(&unit)
    });
    if let (Ok(value), Some((_, _, length))) = (number.parse::<f64>(), known) {
        let ms = value * *length as f64;
        let nearest =
            (ms.fract() == 0.0 && ms <= MAX_MS as f64).then(|| format(Duration::from_millis(ms as u64)));
        return fail("numbers in a duration are whole", nearest);
    }
    fail("not a duration", None)
}

fn unknown_unit(unit: &str, parts: &[(String, String)]) -> DurationError {
    let fix = |unit: &str| -> Option<&'static str> {
        let lower = unit.to_ascii_lowercase();
        UNITS
            .iter()
            .find(|(name, variants, _)| *name == lower || variants.contains(&lower.as_str()))
            .map(|u| u.0)
    };
    let fixed: Option<Vec<String>> = parts
        .iter()
        .map(|(number, unit)| fix(unit).map(|unit| (number, unit)))
        .map(|p| p.map(|(n, u)| format!("{n} {u}")))
        .collect();
    fail(format!("unknown unit `{unit}`"), fixed.map(|p| p.join(" ")).filter(|text| parse(text).is_ok()))
}

fn fail(message: impl Into<String>, nearest: Option<String>) -> DurationError {
    DurationError { message: message.into(), nearest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_spellings() {
        let check = |text: &str, ms: u64| assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        check("90s", 90_000);
        check("10m", 600_000);
        check("1h30m", 5_400_000);
        check("1h 30m", 5_400_000);
        check("24 h", 86_400_000);
        check("1d", 86_400_000);
        check("250ms", 250);
        check("1s500ms", 1_500);
        check("0s", 0);
    }

    #[test]
    fn refused_spellings_come_with_what_was_meant() {
        let check = |text: &str, nearest: Option<&str>| {
            let error = parse(text).expect_err(text);
            assert_eq!(error.nearest.as_deref(), nearest, "{text}: {}", error.message);
        };
        check("24 hrs", Some("24 h"));
        check("5 Minutes", Some("5 m"));
        check("1 hour 30 min", Some("1 h 30 m"));
        check("90", Some("90s"));
        check("1.5h", Some("1h30m"));
        check("-30s", Some("30s"));
        check("2m // two", Some("2m # .."));
        check("30m1h", None);
        check("soon", None);
        check("5 parsecs", None);
        check("", None);
        check("99999999999999999999h", None);
        check("9999999999d", None);
    }

    #[test]
    fn formatting_is_the_inverse() {
        for text in ["1h30m", "90s", "1d2h3m4s5ms", "0s"] {
            let duration = parse(text).unwrap();
            assert_eq!(parse(&format(duration)), Ok(duration));
        }
        assert_eq!(format(Duration::from_secs(90)), "1m30s");
    }

    #[test]
    fn times_of_day() {
        assert_eq!(parse_clock("00:30:00"), Some(Duration::from_secs(1800)));
        assert_eq!(parse_clock("100:00:01"), Some(Duration::from_secs(360_001)));
        for bad in ["0:30:00", "00:60:00", "00:30", "aa:00:00", "00:00:00:00"] {
            assert_eq!(parse_clock(bad), None, "{bad}");
        }
        assert_eq!(format_clock(Duration::from_millis(41_250)), "00:00:41.250");
    }
}
