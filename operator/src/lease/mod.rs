//! Leader election on a `coordination.k8s.io/v1` Lease: one operator works, the others wait.
//!
//! The rules are a pure machine (`rules`); `keeper` sends its requests.

mod keeper;
mod rules;

use std::time::Duration;

pub(crate) use keeper::Keeper;

/// Which lease, and its timings: `retry_period` < `renew_deadline` < `duration`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseConfig {
    pub namespace: String,
    pub name: String,
    /// Others may take over after the lease did not change for this long.
    pub duration: Duration,
    /// The holder stops writing when it could not renew for this long.
    pub renew_deadline: Duration,
    pub retry_period: Duration,
}

impl LeaseConfig {
    /// The customary timings, 15 s, 10 s and 2 s.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> LeaseConfig {
        LeaseConfig {
            namespace: namespace.into(),
            name: name.into(),
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }

    /// Timings with which two operators could lead at once are refused.
    pub fn check(&self) -> Result<(), String> {
        if self.retry_period < self.renew_deadline && self.renew_deadline < self.duration {
            return Ok(());
        }
        Err(format!(
            "leader election of lease {}/{}: need retry-period < renew-deadline < lease-duration, \
             have {:?}, {:?}, {:?}; the defaults are 2 s, 10 s, 15 s \
             (kubernetes.operator.leader-election.*)",
            self.namespace, self.name, self.retry_period, self.renew_deadline, self.duration
        ))
    }
}
