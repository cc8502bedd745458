//! Quartz cron expressions: `seconds minutes hours day-of-month month day-of-week [year]`, in UTC.
//!
//! All of Quartz's notation: lists, ranges (also wrapping ones such as `FRI-MON`), steps, names, `?`, `L`, `L-3`,
//! `LW`, `15W`, `6L`, `6#3`. Weekdays count from Sunday = 1. Not here: calendars and other time zones.

use std::collections::BTreeSet;

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// A parsed expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    seconds: BTreeSet<u16>,
    minutes: BTreeSet<u16>,
    hours: BTreeSet<u16>,
    days: Days,
    months: BTreeSet<u16>,
    /// `None`: every year.
    years: Option<BTreeSet<u16>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Days {
    OfMonth(Vec<DayOfMonth>),
    OfWeek(Vec<DayOfWeek>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum DayOfMonth {
    In(BTreeSet<u16>),
    /// So many days before the last.
    BeforeLast(u16),
    LastWeekday,
    /// The weekday nearest to a day, within the month.
    NearestWeekday(u16),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum DayOfWeek {
    In(BTreeSet<u16>),
    LastInMonth(u16),
    Nth(u16, u16),
}

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

impl Cron {
    pub fn parse(text: &str) -> Result<Self, String> {
        let upper = text.to_uppercase();
        let fields: Vec<&str> = upper.split_whitespace().collect();
        let [seconds, minutes, hours, day, month, weekday, rest @ ..] = fields.as_slice() else {
            return Err(format!(
                "the cron expression has {} fields and needs 6 or 7: seconds come first; write for example '0 0 * * * ?' for every hour",
                fields.len()
            ));
        };
        let years = match rest {
            [] | ["*"] => None,
            [years] => Some(YEAR.values(years)?),
            _ => return Err(format!("the cron expression has {} fields and needs 6 or 7", fields.len())),
        };
        let days = match (*day, *weekday) {
            ("?", "?") => {
                return Err("either day of month or day of week must be given, not '?' for both".to_owned());
            }
            ("?", weekday) => Days::OfWeek(weekday.split(',').map(day_of_week).collect::<Result<_, _>>()?),
            (day, "?" | "*") => Days::OfMonth(day.split(',').map(day_of_month).collect::<Result<_, _>>()?),
            // Quartz refuses this; a day of month that says "any" leaves the week to decide.
            ("*", weekday) => Days::OfWeek(weekday.split(',').map(day_of_week).collect::<Result<_, _>>()?),
            _ => {
                return Err(
                    "day of month and day of week cannot both be given; write '?' for one of them".to_owned()
                );
            }
        };
        Ok(Self {
            seconds: SECOND.values(seconds)?,
            minutes: MINUTE.values(minutes)?,
            hours: HOUR.values(hours)?,
            days,
            months: MONTH.values(month)?,
            years,
        })
    }

    /// The first moment strictly after `last`; `None` when the expression names no further one.
    pub fn next_after(&self, last: Timestamp) -> Option<Timestamp> {
        let start = last.checked_add(1.second()).ok()?.to_zoned(TimeZone::UTC).datetime();
        let start = start.with().subsec_nanosecond(0).build().ok()?;
        let mut date = start.date();
        // Weekday patterns repeat within 28 years; 40 covers the century exception. Bounded in any case.
        for _ in 0..40 * 366 {
            if self.matches_date(date) {
                let from = if date == start.date() { start.time() } else { Time::midnight() };
                if let Some(time) = self.time_from(from) {
                    return DateTime::from_parts(date, time)
                        .to_zoned(TimeZone::UTC)
                        .ok()
                        .map(|z| z.timestamp());
                }
            }
            date = self.following(date)?;
        }
        None
    }

    /// The day after, or the first of the next month where this month is out of the question.
    fn following(&self, date: Date) -> Option<Date> {
        match self.months.contains(&(date.month() as u16)) {
            true => date.tomorrow().ok(),
            false => date.last_of_month().tomorrow().ok(),
        }
    }

    fn matches_date(&self, date: Date) -> bool {
        let year_fits = self.years.as_ref().is_none_or(|years| years.contains(&(date.year() as u16)));
        let month_fits = self.months.contains(&(date.month() as u16));
        year_fits
            && month_fits
            && match &self.days {
                Days::OfMonth(days) => days.iter().any(|day| day.matches(date)),
                Days::OfWeek(days) => days.iter().any(|day| day.matches(date)),
            }
    }

    fn time_from(&self, from: Time) -> Option<Time> {
        for &hour in self.hours.range(from.hour() as u16..) {
            let same_hour = hour == from.hour() as u16;
            let first_minute = if same_hour { from.minute() as u16 } else { 0 };
            for &minute in self.minutes.range(first_minute..) {
                let same_minute = same_hour && minute == from.minute() as u16;
                let first_second = if same_minute { from.second() as u16 } else { 0 };
                if let Some(&second) = self.seconds.range(first_second..).next() {
                    return Time::new(hour as i8, minute as i8, second as i8, 0).ok();
                }
            }
        }
        None
    }
}

impl DayOfMonth {
    fn matches(&self, date: Date) -> bool {
        let last = date.last_of_month();
        match self {
            Self::In(days) => days.contains(&(date.day() as u16)),
            Self::BeforeLast(offset) => date.day() as i32 == last.day() as i32 - i32::from(*offset),
            Self::LastWeekday => date == nearest_weekday(last),
            Self::NearestWeekday(day) => {
                let target = last.day().min(*day as i8);
                date.with().day(target).build().is_ok_and(|target| date == nearest_weekday(target))
            }
        }
    }
}

impl DayOfWeek {
    fn matches(&self, date: Date) -> bool {
        let weekday = date.weekday().to_sunday_one_offset() as u16;
        match self {
            Self::In(days) => days.contains(&weekday),
            Self::LastInMonth(day) => weekday == *day && date.day() > date.last_of_month().day() - 7,
            Self::Nth(day, nth) => weekday == *day && (date.day() as u16 - 1) / 7 + 1 == *nth,
        }
    }
}

/// Saturday moves to Friday and Sunday to Monday, unless that leaves the month.
fn nearest_weekday(day: Date) -> Date {
    let moved = match day.weekday() {
        Weekday::Saturday if day.day() == 1 => day.checked_add(2.days()),
        Weekday::Saturday => day.yesterday(),
        Weekday::Sunday if day == day.last_of_month() => day.checked_sub(2.days()),
        Weekday::Sunday => day.tomorrow(),
        _ => Ok(day),
    };
    moved.unwrap_or(day)
}

fn day_of_month(text: &str) -> Result<DayOfMonth, String> {
    if text == "L" {
        return Ok(DayOfMonth::BeforeLast(0));
    }
    if text == "LW" {
        return Ok(DayOfMonth::LastWeekday);
    }
    if let Some(offset) = text.strip_prefix("L-") {
        return offset
            .parse()
            .ok()
            .filter(|n| *n <= 30)
            .map(DayOfMonth::BeforeLast)
            .ok_or_else(|| DAY.wrong(text));
    }
    if let Some(day) = text.strip_suffix('W') {
        return Ok(DayOfMonth::NearestWeekday(DAY.value(day)?));
    }
    Ok(DayOfMonth::In(DAY.values(text)?))
}

fn day_of_week(text: &str) -> Result<DayOfWeek, String> {
    if text == "L" {
        return Ok(DayOfWeek::In(BTreeSet::from([7])));
    }
    if let Some((day, nth)) = text.split_once('#') {
        let nth = nth.parse().ok().filter(|n| (1..=5).contains(n)).ok_or_else(|| WEEKDAY.wrong(text))?;
        return Ok(DayOfWeek::Nth(WEEKDAY.value(day)?, nth));
    }
    if let Some(day) = text.strip_suffix('L') {
        return Ok(DayOfWeek::LastInMonth(WEEKDAY.value(day)?));
    }
    Ok(DayOfWeek::In(WEEKDAY.values(text)?))
}

/// What one position may hold.
struct Field {
    name: &'static str,
    first: u16,
    last: u16,
    names: &'static [&'static str],
}

const SECOND: Field = Field { name: "seconds", first: 0, last: 59, names: &[] };
const MINUTE: Field = Field { name: "minutes", first: 0, last: 59, names: &[] };
const HOUR: Field = Field { name: "hours", first: 0, last: 23, names: &[] };
const DAY: Field = Field { name: "day of month", first: 1, last: 31, names: &[] };
const MONTH: Field = Field { name: "month", first: 1, last: 12, names: &MONTHS };
const WEEKDAY: Field = Field { name: "day of week", first: 1, last: 7, names: &WEEKDAYS };
const YEAR: Field = Field { name: "year", first: 1970, last: 2199, names: &[] };

impl Field {
    fn wrong(&self, text: &str) -> String {
        format!("'{text}' is not a {} of a cron expression ({} to {})", self.name, self.first, self.last)
    }

    fn value(&self, text: &str) -> Result<u16, String> {
        let named = self.names.iter().position(|name| *name == text).map(|index| index as u16 + self.first);
        named
            .or_else(|| text.parse().ok())
            .filter(|value| (self.first..=self.last).contains(value))
            .ok_or_else(|| self.wrong(text))
    }

    fn values(&self, text: &str) -> Result<BTreeSet<u16>, String> {
        let mut values = BTreeSet::new();
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                Some((range, step)) => (range, Some(step)),
                None => (part, None),
            };
            let (from, to) = match range {
                "*" | "" if range == "*" || step.is_some() => (self.first, self.last),
                range => match range.split_once('-') {
                    Some((from, to)) => (self.value(from)?, self.value(to)?),
                    None if step.is_some() => (self.value(range)?, self.last),
                    None => (self.value(range)?, self.value(range)?),
                },
            };
            let step = match step {
                None => 1,
                Some(step) => step.parse().ok().filter(|n: &u16| *n > 0).ok_or_else(|| self.wrong(part))?,
            };
            values.extend(self.walk(from, to).step_by(step.into()));
        }
        Ok(values)
    }

    /// From `from` to `to`, past the end and on from the beginning where `to` is smaller.
    fn walk(&self, from: u16, to: u16) -> impl Iterator<Item = u16> {
        let size = self.last - self.first + 1;
        let length = if to >= from { to - from + 1 } else { size - from + to + 1 };
        let first = self.first;
        (0..length).map(move |offset| first + (from - first + offset) % size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expression: &str, after: &str, expected: &[&str]) {
        let cron = Cron::parse(expression).unwrap_or_else(|problem| panic!("{expression}: {problem}"));
        let mut last: Timestamp = after.parse().unwrap();
        for expected in expected {
            last = cron.next_after(last).unwrap_or_else(|| panic!("{expression}: nothing after {last}"));
            assert_eq!(last.to_string(), *expected, "{expression}");
        }
    }

    #[test]
    fn times_of_day() {
        check("0 0 * * * ?", "2026-01-01T00:00:00Z", &["2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"]);
        check("0 */15 * * * ?", "2026-01-01T00:14:59.5Z", &["2026-01-01T00:15:00Z", "2026-01-01T00:30:00Z"]);
        check("0 5/20 8-9 * * ?", "2026-01-01T08:45:00Z", &["2026-01-01T09:05:00Z", "2026-01-01T09:25:00Z"]);
        check("30 0 0 * * ? *", "2026-12-31T12:00:00Z", &["2027-01-01T00:00:30Z"]);
        check("0 0 22-1 * * ?", "2026-01-01T23:00:00Z", &["2026-01-02T00:00:00Z", "2026-01-02T01:00:00Z"]);
    }

    #[test]
    fn days() {
        check("0 0 3 ? * MON-FRI", "2026-01-02T03:00:00Z", &["2026-01-05T03:00:00Z"]);
        check("0 0 3 ? * FRI-MON", "2026-01-05T03:00:00Z", &["2026-01-09T03:00:00Z", "2026-01-10T03:00:00Z"]);
        check("0 0 0 L * ?", "2026-02-01T00:00:00Z", &["2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z"]);
        check("0 0 0 L-2 * ?", "2026-02-01T00:00:00Z", &["2026-02-26T00:00:00Z"]);
        check("0 0 0 LW * ?", "2026-02-01T00:00:00Z", &["2026-02-27T00:00:00Z"]);
        check("0 0 0 15W * ?", "2026-02-01T00:00:00Z", &["2026-02-16T00:00:00Z"]);
        check("0 0 0 1W * ?", "2026-08-01T00:00:00Z", &["2026-08-03T00:00:00Z"]);
        check("0 0 0 ? * 6L", "2026-01-01T00:00:00Z", &["2026-01-30T00:00:00Z"]);
        check("0 0 0 ? * 6#3", "2026-01-01T00:00:00Z", &["2026-01-16T00:00:00Z"]);
        check("0 0 0 29 FEB ?", "2026-01-01T00:00:00Z", &["2028-02-29T00:00:00Z"]);
        check("0 0 0 1,15 1/6 ?", "2026-01-02T00:00:00Z", &["2026-01-15T00:00:00Z", "2026-07-01T00:00:00Z"]);
        check("0 0 0 1 1 ? 2030", "2026-01-02T00:00:00Z", &["2030-01-01T00:00:00Z"]);
    }

    #[test]
    fn an_expression_may_name_no_further_moment() {
        let past = Cron::parse("0 0 0 1 1 ? 2020").unwrap();
        assert_eq!(past.next_after("2026-01-01T00:00:00Z".parse().unwrap()), None);
        let never = Cron::parse("0 0 0 31 FEB ?").unwrap();
        assert_eq!(never.next_after("2026-01-01T00:00:00Z".parse().unwrap()), None);
    }

    #[test]
    fn mistakes() {
        for (expression, part) in [
            ("0 0 * * *", "has 5 fields"),
            ("0 0 * * * ? * *", "has 8 fields"),
            ("60 0 * * * ?", "'60' is not a seconds"),
            ("0 0 * 1 * MON", "write '?' for one of them"),
            ("0 0 * ? * ?", "not '?' for both"),
            ("0 0 * ? * FOO", "'FOO' is not a day of week"),
            ("0 0/0 * * * ?", "'0/0' is not a minutes"),
            ("0 0 * ? * 6#6", "'6#6' is not a day of week"),
        ] {
            let problem = Cron::parse(expression).unwrap_err();
            assert!(problem.contains(part), "{expression}: {problem}");
        }
    }
}
