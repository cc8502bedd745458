//! What the operator is told once, for all resources.

use crate::error::Limits;
use crate::known::Known;
use drey_api::{ReconciledSpec, SpecFormatError};
use drey_blueprint::config::OperatorConfig;
use drey_blueprint::config::keys;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Policy {
    pub config: OperatorConfig,
    /// Ceiling of the growing intervals at which something under way is polled.
    pub poll_ceiling: Duration,
    /// How long a JobManager that is up may list no job before the job counts as missing.
    pub submission_grace: Duration,
    /// After this long an unanswered create request can no longer take effect.
    pub request_lifetime: Duration,
    pub exceptions_per_pass: usize,
    pub exception_lines: usize,
    pub(crate) known: Known,
}

impl Policy {
    pub fn new(config: OperatorConfig) -> Policy {
        Policy {
            poll_ceiling: Duration::from_secs(5),
            submission_grace: Duration::from_secs(60),
            request_lifetime: Duration::from_secs(60),
            exceptions_per_pass: usize::try_from(config.value(keys::EVENTS_EXCEPTION_LIMIT)).unwrap_or(10),
            exception_lines: usize::try_from(config.value(keys::EVENTS_EXCEPTION_STACK_TRACE_LINES))
                .unwrap_or(5),
            known: Known::default(),
            config,
        }
    }

    /// A spec stored as text, read once.
    pub fn stored_spec(&self, text: &str) -> Result<Arc<ReconciledSpec>, SpecFormatError> {
        self.known.spec(text)
    }

    pub fn reconcile_interval(&self) -> Duration {
        self.config.value(keys::RECONCILE_INTERVAL)
    }

    pub fn progress_interval(&self) -> Duration {
        self.config.value(keys::PROGRESS_CHECK_INTERVAL)
    }

    pub fn error_limits(&self) -> Limits {
        let size = |key| usize::try_from(self.config.value::<i64>(key)).unwrap_or_default();
        Limits {
            field_length: size(keys::EXCEPTION_FIELD_MAX_LENGTH),
            causes: size(keys::EXCEPTION_THROWABLE_LIST_MAX_COUNT),
        }
    }

    /// Error back-off after `failures` failed plans in a row.
    pub fn back_off(&self, failures: u32) -> Duration {
        let ceiling = self.config.get(keys::RETRY_MAX_INTERVAL).unwrap_or(Duration::from_secs(300));
        let first = self.config.value(keys::RETRY_INITIAL_INTERVAL);
        let multiplier = self.config.get(keys::RETRY_INTERVAL_MULTIPLIER).unwrap_or(1.5);
        crate::pace::back_off(first, multiplier, ceiling, failures)
    }
}

impl Default for Policy {
    fn default() -> Self {
        Policy::new(OperatorConfig::default())
    }
}
