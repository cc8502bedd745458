//! The keys of the operator's configuration that concern the shell, read once at start.

use std::time::Duration;

use drey_blueprint::config::{OperatorConfig, keys};

use crate::lease::LeaseConfig;
use crate::limiter::{Backoff, RateLimit};

/// A resource that waits for a change, or that failed too often, is looked at after this long all the same: a
/// watch event that got lost, or a permission given later, must not make it wait for ever.
pub(crate) const RESYNC: Duration = Duration::from_secs(600);

/// The shell's own settings.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    /// Empty: the whole cluster.
    pub namespaces: Vec<String>,
    pub label_selector: Option<String>,
    pub rate_limit: RateLimit,
    pub backoff: Backoff,
    pub flink_timeout: Duration,
    pub flink_cancel_timeout: Duration,
}

impl Settings {
    pub(crate) fn of(config: &OperatorConfig) -> Settings {
        let default = Backoff::default();
        Settings {
            namespaces: config.watched_namespaces(None).into_iter().collect(),
            label_selector: config.get(keys::LABEL_SELECTOR).filter(|s| !s.trim().is_empty()),
            rate_limit: RateLimit {
                limit: u32::try_from(config.value(keys::RATE_LIMITER_LIMIT)).unwrap_or(0),
                period: config.value(keys::RATE_LIMITER_REFRESH_PERIOD),
            },
            backoff: Backoff {
                initial: config.value(keys::RETRY_INITIAL_INTERVAL),
                multiplier: config.value(keys::RETRY_INTERVAL_MULTIPLIER),
                cap: config.get(keys::RETRY_MAX_INTERVAL),
                attempts_max: u32::try_from(config.value(keys::RETRY_MAX_ATTEMPTS))
                    .unwrap_or(default.attempts_max),
            },
            flink_timeout: config.value(keys::FLINK_CLIENT_TIMEOUT),
            flink_cancel_timeout: config.value(keys::FLINK_CANCEL_TIMEOUT),
        }
    }
}

/// `kubernetes.operator.reconcile.parallelism`; -1 is no bound in the Java operator, here the largest there is.
pub fn configured_concurrency(config: &OperatorConfig) -> u16 {
    u16::try_from(config.value(keys::RECONCILE_PARALLELISM)).unwrap_or(u16::MAX).max(1)
}

/// `kubernetes.operator.leader-election.*`, when it is enabled.
pub fn configured_lease(config: &OperatorConfig, namespace: &str) -> Option<LeaseConfig> {
    if !config.value(keys::LEADER_ELECTION_ENABLED) {
        return None;
    }
    Some(LeaseConfig {
        namespace: namespace.to_owned(),
        name: config.get(keys::LEADER_ELECTION_LEASE_NAME)?,
        duration: config.value(keys::LEADER_ELECTION_LEASE_DURATION),
        renew_deadline: config.value(keys::LEADER_ELECTION_RENEW_DEADLINE),
        retry_period: config.value(keys::LEADER_ELECTION_RETRY_PERIOD),
    })
}
