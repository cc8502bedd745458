//! How often one resource may be looked at, and how long a failing one waits. Pure: time comes in.
//!
//! Differs from the Java operator on purpose (reconciler.md 2.4): a pass over the limit waits only for what
//! remains of the window, and the second half of something begun is not held up, because the job stands still
//! meanwhile; nor does it use up what changes may cost, or a JobManager lost right after an upgrade would be seen late.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::{after, until};

/// Urgent passes have this many times the limit, so that even a decision that never settles cannot spin.
const URGENT_FACTOR: u32 = 20;

/// `kubernetes.operator.rate-limiter.*`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Passes per period; 0 is no limit.
    pub limit: u32,
    pub period: Duration,
}

impl Default for RateLimit {
    fn default() -> Self {
        RateLimit { limit: 5, period: Duration::from_secs(15) }
    }
}

/// The window of one resource; urgent passes and others are counted apart.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limiter {
    since: Option<Timestamp>,
    calm: u32,
    urgent: u32,
    last_was_urgent: bool,
}

impl Limiter {
    /// Counts a pass that is about to start. `Err` says how long it has to wait instead, and counts nothing.
    pub(crate) fn admit(&mut self, limit: RateLimit, now: Timestamp, urgent: bool) -> Result<(), Duration> {
        if limit.limit == 0 || limit.period.is_zero() {
            return Ok(());
        }
        let since = match self.since {
            Some(since) if now < after(since, limit.period) => since,
            Some(_) | None => {
                *self = Limiter { since: Some(now), ..Limiter::default() };
                now
            }
        };
        let allowed = if urgent { limit.limit.saturating_mul(URGENT_FACTOR) } else { limit.limit };
        let count = self.count(urgent);
        if *count >= allowed {
            return Err(until(now, after(since, limit.period)));
        }
        *count += 1;
        self.last_was_urgent = urgent;
        Ok(())
    }

    fn count(&mut self, urgent: bool) -> &mut u32 {
        if urgent { &mut self.urgent } else { &mut self.calm }
    }

    /// Takes the last pass back: it sent no request, and the limit is there to spare the servers. Without this, the
    /// steps of a starting pod would use up the window, and its readiness be seen seconds late.
    pub(crate) fn refund(&mut self) {
        let count = self.count(self.last_was_urgent);
        *count = count.saturating_sub(1);
    }
}

/// `kubernetes.operator.retry.*`
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    pub initial: Duration,
    pub multiplier: f64,
    pub cap: Option<Duration>,
    pub attempts_max: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { initial: Duration::from_secs(5), multiplier: 1.5, cap: None, attempts_max: 15 }
    }
}

/// Nothing waits longer than this between attempts, whatever is configured.
const DELAY_MAX: Duration = Duration::from_secs(24 * 3600);

impl Backoff {
    /// The wait before attempt `attempt` (the first retry is 1); `None` when there have been enough.
    pub(crate) fn delay(&self, attempt: u32) -> Option<Duration> {
        if attempt > self.attempts_max {
            return None;
        }
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let factor = self.multiplier.max(1.0).powi(exponent);
        let cap = self.cap.unwrap_or(DELAY_MAX).min(DELAY_MAX);
        let seconds = (self.initial.as_secs_f64() * factor).min(cap.as_secs_f64());
        Some(Duration::from_secs_f64(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Admits passes at the given seconds (`!` marks urgent ones) and writes what happened.
    fn check(limit: u32, passes: &[&str], expected: &str) {
        let limit = RateLimit { limit, period: Duration::from_secs(15) };
        let mut limiter = Limiter::default();
        let mut seen = Vec::new();
        for pass in passes {
            let (at, urgent) = pass.strip_suffix('!').map_or((*pass, false), |at| (at, true));
            let now = Timestamp::from_millisecond((at.parse::<f64>().unwrap() * 1000.0) as i64).unwrap();
            seen.push(match limiter.admit(limit, now, urgent) {
                Ok(()) => "ok".to_owned(),
                Err(wait) => format!("{}", wait.as_secs_f64()),
            });
        }
        assert_eq!(seen.join(" "), expected, "{passes:?}");
    }

    #[test]
    fn waits_only_for_the_rest_of_the_window() {
        check(5, &["0", "1", "2", "3", "4", "14.7", "15"], "ok ok ok ok ok 0.3 ok");
    }

    #[test]
    fn a_pass_without_requests_is_free() {
        let limit = RateLimit { limit: 1, period: Duration::from_secs(15) };
        let mut limiter = Limiter::default();
        for second in 0..10 {
            let now = Timestamp::from_second(second).unwrap();
            assert_eq!(limiter.admit(limit, now, false), Ok(()), "second {second}");
            limiter.refund();
        }
        assert_eq!(limiter.admit(limit, Timestamp::from_second(10).unwrap(), false), Ok(()));
        assert!(limiter.admit(limit, Timestamp::from_second(11).unwrap(), false).is_err());
    }

    #[test]
    fn a_new_window_begins_with_the_next_pass() {
        check(2, &["0", "10", "16", "17", "18", "31", "32"], "ok ok ok ok 13 ok ok");
    }

    #[test]
    fn the_second_half_is_not_held_up_and_holds_nothing_up() {
        check(2, &["0", "1", "1!", "2!", "3"], "ok ok ok ok 12");
        check(2, &["0!", "0!", "0!", "1", "2", "3"], "ok ok ok ok ok 12");
    }

    #[test]
    fn even_urgent_passes_end() {
        let mut passes = vec!["0!"; 41];
        passes.push("1!");
        let expected = format!("{}15 14", "ok ".repeat(40));
        check(2, &passes, &expected);
    }

    #[test]
    fn no_limit() {
        check(0, &["0", "0", "0"], "ok ok ok");
    }

    #[test]
    fn backoff_rows() {
        let row = |b: Backoff, n| b.delay(n).map(|d| (d.as_secs_f64() * 100.0).round() / 100.0);
        let b = Backoff::default();
        assert_eq!(row(b, 1), Some(5.0));
        assert_eq!(row(b, 2), Some(7.5));
        assert_eq!(row(b, 3), Some(11.25));
        assert_eq!(row(b, 15), Some(1459.65));
        assert_eq!(row(b, 16), None);
        let capped = Backoff { cap: Some(Duration::from_secs(10)), ..b };
        assert_eq!(row(capped, 3), Some(10.0));
        let absurd = Backoff { multiplier: 1e300, attempts_max: u32::MAX, ..b };
        assert_eq!(row(absurd, 9), Some(86_400.0));
        let shrinking = Backoff { multiplier: 0.1, ..b };
        assert_eq!(row(shrinking, 5), Some(5.0));
    }
}
