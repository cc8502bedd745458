//! Restart strategies: whether and when a failed job runs again, and what they are called in logs and REST texts.
//!
//! Defaults differ by version (reference, section 4): unset with checkpointing on is fixed-delay without end up to
//! 1.18 and exponential-delay from 1.19; unset without checkpointing is none.

use crate::conf::{Conf, iso};
use crate::version::Version;
use std::collections::VecDeque;

#[derive(Clone, Debug, PartialEq)]
pub enum Strategy {
    None,
    FixedDelay { attempts: i64, delay: i64 },
    FailureRate { max: i64, interval: i64, delay: i64 },
    ExponentialDelay(Exponential),
}

#[derive(Clone, Debug, PartialEq)]
pub struct RestartStrategy {
    pub strategy: Strategy,
    /// Set by the configuration rather than by default.
    pub explicit: bool,
    failures: i64,
    recent: VecDeque<i64>,
    exponential: Backoff,
}

/// Where exponential delay stands. 1.19 rewrote it: it counts attempts, merges failures before the restart into one,
/// and never waits less than the initial backoff (read from the classes of 1.18.1 and 2.2.1).
#[derive(Clone, Debug, PartialEq)]
enum Backoff {
    Until118 { current: i64, last_failure: i64 },
    Since119 { attempt: i64, next_restart: i64 },
}

impl Backoff {
    fn new(version: Version, initial: i64) -> Backoff {
        if version.since_1_20() {
            // `Integer.MIN_VALUE`: long before any threshold.
            Backoff::Since119 { attempt: 0, next_restart: i64::from(i32::MIN) }
        } else {
            Backoff::Until118 { current: initial, last_failure: 0 }
        }
    }

    /// The delay after a failure and which attempt in a row the next one is.
    fn after_failure(&mut self, now: i64, e: &Exponential, unit: f64) -> (i64, i64) {
        let jittered = |backoff: i64| backoff + (backoff as f64 * e.jitter * (2.0 * unit - 1.0)) as i64;
        match self {
            Backoff::Until118 { current, last_failure } => {
                if now - *last_failure >= e.reset_after + *current {
                    *current = e.initial;
                } else if *current < e.max {
                    *current = ((*current as f64 * e.multiplier) as i64).min(e.max).max(e.initial);
                }
                *last_failure = now;
                (jittered(*current).max(0), 0)
            }
            Backoff::Since119 { attempt, next_restart } => {
                if now > *next_restart {
                    if now - *next_restart >= e.reset_after {
                        *attempt = 0;
                    }
                    let backoff = e.initial as f64 * e.multiplier.powf(*attempt as f64);
                    *next_restart = now + jittered(backoff as i64).min(e.max).max(e.initial);
                    *attempt += 1;
                }
                (*next_restart - now, *attempt)
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Exponential {
    initial: i64,
    max: i64,
    multiplier: f64,
    reset_after: i64,
    jitter: f64,
    /// Attempts in a row; 1.18 has no limit.
    attempts: i64,
}

impl RestartStrategy {
    pub fn from_conf(conf: &Conf, version: Version, checkpointing: bool) -> RestartStrategy {
        let configured = conf.get("restart-strategy.type").map(str::to_ascii_lowercase);
        let strategy = match configured.as_deref() {
            Some("none" | "off" | "disable") => Strategy::None,
            Some("fixed-delay" | "fixeddelay") => Strategy::FixedDelay {
                attempts: conf.int("restart-strategy.fixed-delay.attempts", 1),
                delay: conf.millis("restart-strategy.fixed-delay.delay", 1000),
            },
            Some("failure-rate" | "failurerate") => Strategy::FailureRate {
                max: conf.int("restart-strategy.failure-rate.max-failures-per-interval", 1),
                interval: conf.millis("restart-strategy.failure-rate.failure-rate-interval", 60_000),
                delay: conf.millis("restart-strategy.failure-rate.delay", 1000),
            },
            Some("exponential-delay" | "exponentialdelay") => exponential(conf, version),
            _ if !checkpointing => Strategy::None,
            _ if version.since_1_20() => exponential(conf, version),
            _ => Strategy::FixedDelay { attempts: i64::from(i32::MAX), delay: 1000 },
        };
        let initial = if let Strategy::ExponentialDelay(e) = &strategy { e.initial } else { 0 };
        RestartStrategy {
            exponential: Backoff::new(version, initial),
            strategy,
            explicit: configured.is_some(),
            failures: 0,
            recent: VecDeque::new(),
        }
    }

    /// The delay before the next attempt, or `None` when recovery is suppressed. `unit` is a draw in `0..1`.
    pub fn on_failure(&mut self, now: i64, unit: f64) -> Option<i64> {
        self.failures += 1;
        match self.strategy {
            Strategy::None => None,
            Strategy::FixedDelay { attempts, delay } => (self.failures <= attempts).then_some(delay),
            Strategy::FailureRate { max, interval, delay } => {
                self.recent.push_back(now);
                while self.recent.len() > max.max(0) as usize + 1 {
                    self.recent.pop_front();
                }
                let oldest = *self.recent.front()?;
                let exceeded = self.recent.len() > max.max(0) as usize && now - oldest <= interval;
                (!exceeded).then_some(delay)
            }
            Strategy::ExponentialDelay(ref e) => {
                let (delay, attempt) = self.exponential.after_failure(now, e, unit);
                (attempt <= e.attempts).then_some(delay)
            }
        }
    }

    /// As the log line of the JobMaster and `Recovery is suppressed by ...` name it.
    pub fn name(&self) -> String {
        match &self.strategy {
            Strategy::None => "NoRestartBackoffTimeStrategy".to_owned(),
            Strategy::FixedDelay { attempts, delay } => format!(
                "FixedDelayRestartBackoffTimeStrategy(maxNumberRestartAttempts={attempts}, backoffTimeMS={delay})"
            ),
            // The name stands there twice, with one bracket to close.
            Strategy::FailureRate { max, interval, delay } => format!(
                "FailureRateRestartBackoffTimeStrategy(FailureRateRestartBackoffTimeStrategy(failuresIntervalMS={interval},\
                 backoffTimeMS={delay},maxFailuresPerInterval={max})"
            ),
            Strategy::ExponentialDelay(e) => {
                let Exponential { initial, max, multiplier, reset_after, jitter, attempts } = e;
                let common = format!(
                    "ExponentialDelayRestartBackoffTimeStrategy(initialBackoffMS={initial}, maxBackoffMS={max}, \
                     backoffMultiplier={multiplier:?}, resetBackoffThresholdMS={reset_after}, jitterFactor={jitter:?}"
                );
                match self.exponential {
                    Backoff::Until118 { .. } => {
                        format!("{common}, currentBackoffMS={initial}, lastFailureTimestamp=0)")
                    }
                    Backoff::Since119 { attempt, next_restart } => format!(
                        "{common}, attemptsBeforeResetBackoff={attempts}, currentRestartAttempt={attempt}, \
                         nextRestartTimestamp={next_restart})"
                    ),
                }
            }
        }
    }

    /// The `restart-strategy` text of `GET /jobs/:id/config` where the job carries its own strategy.
    pub fn describe(&self, version: Version) -> String {
        let span = |ms: i64| if version.is_2() { iso(ms) } else { format!("{ms} ms") };
        match &self.strategy {
            _ if !self.explicit => "Cluster level default restart strategy".to_owned(),
            Strategy::None => "Restart deactivated.".to_owned(),
            Strategy::FixedDelay { attempts, delay } => {
                format!("Restart with fixed delay ({}). #{attempts} restart attempts.", span(*delay))
            }
            Strategy::FailureRate { max, interval, delay } => format!(
                "Failure rate restart with maximum of {max} failures within interval {} and fixed delay {}.",
                span(*interval),
                span(*delay)
            ),
            Strategy::ExponentialDelay(Exponential {
                initial, max, multiplier, reset_after, jitter, ..
            }) => format!(
                "Restart with exponential delay: starting at {}, increasing by {multiplier:.6}, with maximum {}. \
                 Delay resets after {} with jitter {jitter:.6}",
                span(*initial),
                span(*max),
                span(*reset_after)
            ),
        }
    }
}

fn exponential(conf: &Conf, version: Version) -> Strategy {
    let (multiplier, max) = if version.since_1_20() { (1.5, 60_000) } else { (2.0, 300_000) };
    Strategy::ExponentialDelay(Exponential {
        initial: conf.millis("restart-strategy.exponential-delay.initial-backoff", 1000),
        max: conf.millis("restart-strategy.exponential-delay.max-backoff", max),
        multiplier: conf.float("restart-strategy.exponential-delay.backoff-multiplier", multiplier),
        reset_after: conf.millis("restart-strategy.exponential-delay.reset-backoff-threshold", 3_600_000),
        jitter: conf.float("restart-strategy.exponential-delay.jitter-factor", 0.1),
        attempts: conf.int(
            "restart-strategy.exponential-delay.attempts-before-reset-backoff",
            if version.since_1_20() { i64::from(i32::MAX) } else { i64::MAX },
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strategy(version: Version, checkpointing: bool, keys: &[(&str, &str)]) -> RestartStrategy {
        let conf = Conf::new(keys.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect());
        RestartStrategy::from_conf(&conf, version, checkpointing)
    }

    fn delays(mut s: RestartStrategy, at: &[i64]) -> Vec<Option<i64>> {
        at.iter().map(|now| s.on_failure(*now, 0.5)).collect()
    }

    #[test]
    fn defaults_by_version() {
        assert_eq!(strategy(Version::V1_18, false, &[]).strategy, Strategy::None);
        let fixed = Strategy::FixedDelay { attempts: i64::from(i32::MAX), delay: 1000 };
        assert_eq!(strategy(Version::V1_18, true, &[]).strategy, fixed);
        assert!(matches!(
            strategy(Version::V2_2, true, &[]).strategy,
            Strategy::ExponentialDelay(Exponential { max: 60_000, .. })
        ));
    }

    #[test]
    fn fixed_delay_counts_to_its_limit() {
        let s = strategy(
            Version::V1_20,
            true,
            &[("restart-strategy", "fixed-delay"), ("restart-strategy.fixed-delay.attempts", "2")],
        );
        assert_eq!(delays(s, &[0, 1, 2]), [Some(1000), Some(1000), None]);
    }

    #[test]
    fn failure_rate_forgets_what_is_past() {
        let s = strategy(Version::V1_20, true, &[("restart-strategy.type", "failure-rate")]);
        assert_eq!(delays(s, &[0, 61_000, 62_000]), [Some(1000), Some(1000), None]);
    }

    #[test]
    fn exponential_delay_grows_and_resets() {
        let s = strategy(Version::V2_2, true, &[("restart-strategy.type", "exponential-delay")]);
        assert_eq!(delays(s, &[0, 2000, 5000, 4_000_000]), [Some(1000), Some(1500), Some(2250), Some(1000)]);
    }

    #[test]
    fn exponential_delay_since_1_19() {
        let keys = [
            ("restart-strategy.type", "exponential-delay"),
            ("restart-strategy.exponential-delay.attempts-before-reset-backoff", "2"),
        ];
        let s = || strategy(Version::V1_20, true, &keys);
        assert_eq!(delays(s(), &[0, 2000, 5000]), [Some(1000), Some(1500), None]);
        // A second failure before the restart is part of the first.
        assert_eq!(delays(s(), &[0, 400, 2000]), [Some(1000), Some(600), Some(1500)]);
        // Jitter never shortens the initial backoff.
        assert_eq!(s().on_failure(0, 0.0), Some(1000));
        assert_eq!(s().on_failure(0, 1.0), Some(1100));
    }

    #[test]
    fn names_as_seen() {
        let name = |version, keys: &[(&str, &str)]| strategy(version, true, keys).name();
        assert_eq!(
            name(Version::V2_2, &[]),
            "ExponentialDelayRestartBackoffTimeStrategy(initialBackoffMS=1000, maxBackoffMS=60000, backoffMultiplier=1.5, \
             resetBackoffThresholdMS=3600000, jitterFactor=0.1, attemptsBeforeResetBackoff=2147483647, \
             currentRestartAttempt=0, nextRestartTimestamp=-2147483648)"
        );
        assert_eq!(
            name(Version::V1_20, &[("restart-strategy.type", "failure-rate")]),
            "FailureRateRestartBackoffTimeStrategy(FailureRateRestartBackoffTimeStrategy(failuresIntervalMS=60000,\
             backoffTimeMS=1000,maxFailuresPerInterval=1)"
        );
    }
}
