//! How soon to look again while something is under way: soon at first, then at intervals that grow with the wait.
//!
//! The interval is a function of how long the thing has been going on (read from the status), so no counter needs
//! to survive a restart. QUIRK of Apache's operator left behind: a fixed 10 s rest before every look.

use jiff::Timestamp;
use std::time::Duration;

pub const SOONEST: Duration = Duration::from_millis(100);

/// As long as has passed since `since`, within bounds: 100 ms, 200 ms, 400 ms, ... `ceiling`.
pub fn growing(since: Timestamp, now: Timestamp, ceiling: Duration) -> Duration {
    let passed = Duration::try_from(now.duration_since(since)).unwrap_or(Duration::ZERO);
    passed.clamp(SOONEST, ceiling.max(SOONEST))
}

/// A timestamp of milliseconds; what cannot be one counts as long ago.
pub fn from_millis(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Exponential back-off after `failures` failed plans in a row.
pub fn back_off(first: Duration, multiplier: f64, ceiling: Duration, failures: u32) -> Duration {
    let factor = multiplier.max(1.0).powi(failures.saturating_sub(1).min(64) as i32);
    let seconds = (first.as_secs_f64() * factor).min(ceiling.as_secs_f64());
    Duration::from_secs_f64(seconds.max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_double_from_100_ms_up_to_the_ceiling() {
        let start = Timestamp::UNIX_EPOCH;
        let (mut at, mut intervals) = (start, Vec::new());
        for _ in 0..9 {
            let wait = growing(start, at, Duration::from_secs(5));
            intervals.push(wait.as_millis());
            at += jiff::SignedDuration::try_from(wait).unwrap();
        }
        assert_eq!(intervals, [100, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(growing(at, start, Duration::from_secs(5)), SOONEST, "a clock that went back");
    }

    #[test]
    fn back_off_grows_and_is_bounded() {
        let wait = |n| back_off(Duration::from_secs(5), 1.5, Duration::from_secs(300), n).as_millis();
        assert_eq!([wait(1), wait(2), wait(3)], [5_000, 7_500, 11_250]);
        assert_eq!(wait(u32::MAX), 300_000);
    }
}
