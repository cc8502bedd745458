//! Configuration questions an upgrade asks: high availability, where state goes, how long things may take.

use std::time::Duration;

use crate::config::{FlinkConf, OperatorConfig, keys};

/// Where a JobManager keeps what survives it (reconciler.md 5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HighAvailability {
    None,
    Kubernetes,
    ZooKeeper,
    /// A factory class only Flink knows.
    Custom(String),
}

const KUBERNETES_FACTORY: &str = "org.apache.flink.kubernetes.highavailability.KubernetesHaServicesFactory";

impl HighAvailability {
    pub fn of(conf: &FlinkConf) -> Self {
        let value = conf.value(keys::HIGH_AVAILABILITY);
        let is = |name: &str| value.trim().eq_ignore_ascii_case(name);
        if is("NONE") || is("") {
            Self::None
        } else if is("kubernetes") || is(KUBERNETES_FACTORY) {
            Self::Kubernetes
        } else if is("zookeeper") {
            Self::ZooKeeper
        } else {
            Self::Custom(value)
        }
    }

    /// Configured; whether there is metadata to restore from is another question.
    pub fn is_active(&self) -> bool {
        *self != Self::None
    }
}

pub fn savepoint_dir(conf: &FlinkConf) -> Option<&str> {
    conf.text(keys::SAVEPOINT_DIR).map(str::trim).filter(|dir| !dir.is_empty())
}

pub fn checkpoint_dir(conf: &FlinkConf) -> Option<&str> {
    conf.text(keys::CHECKPOINT_DIR).map(str::trim).filter(|dir| !dir.is_empty())
}

/// `None` when checkpointing is not configured here (it may still be enabled in the job's code) or switched off.
pub fn checkpoint_interval(conf: &FlinkConf) -> Option<Duration> {
    conf.get(keys::CHECKPOINTING_INTERVAL).filter(|interval| !interval.is_zero())
}

/// How long a checkpoint may take; also the limit for stopping with a savepoint.
pub fn checkpoint_timeout(conf: &FlinkConf) -> Duration {
    conf.value(keys::CHECKPOINTING_TIMEOUT)
}

pub fn tolerable_checkpoint_failures(conf: &FlinkConf) -> u32 {
    conf.value(keys::TOLERABLE_CHECKPOINT_FAILURES).clamp(0, u32::MAX.into()) as u32
}

/// The time without a completed checkpoint after which a job counts as unhealthy; `None` switches the check off
/// (reconciler.md 5.4: a window below the least sensible one is raised to it).
pub fn checkpoint_progress_window(conf: &FlinkConf) -> Option<Duration> {
    if !conf.value(keys::HEALTH_CHECK_CHECKPOINT_PROGRESS_ENABLED) {
        return None;
    }
    let configured = conf.get(keys::HEALTH_CHECK_CHECKPOINT_PROGRESS_WINDOW);
    let interval = checkpoint_interval(conf);
    if configured.is_none() && interval.is_none() {
        return None;
    }
    let longest = interval.unwrap_or_default().max(checkpoint_timeout(conf));
    let least = longest.saturating_mul(tolerable_checkpoint_failures(conf).saturating_add(2));
    Some(configured.unwrap_or(least).max(least))
}

/// How many savepoints are kept, and for how long; the operator's own limits cap what a resource may ask for.
pub fn savepoint_history(conf: &FlinkConf, operator: &OperatorConfig) -> (usize, Duration) {
    let asked = conf.value(keys::SAVEPOINT_HISTORY_MAX_COUNT);
    let cap = operator.get(keys::SAVEPOINT_HISTORY_MAX_COUNT_THRESHOLD);
    let count = usize::try_from(cap.map_or(asked, |cap| asked.min(cap))).unwrap_or(0);
    let age = conf.value(keys::SAVEPOINT_HISTORY_MAX_AGE);
    let age_cap = operator.get(keys::SAVEPOINT_HISTORY_MAX_AGE_THRESHOLD);
    (count, age_cap.map_or(age, |cap| age.min(cap)))
}

/// A job id fixed by the user; it is honoured on every deployment.
pub fn fixed_job_id(conf: &FlinkConf) -> Option<&str> {
    conf.text(keys::INTERNAL_JOB_ID).filter(|id| !id.trim().is_empty())
}

/// Where the results of finished jobs are noted, a fresh place for each deployment: a note left by an earlier run
/// of the same job id would make Flink believe the job is done. `unique` must differ between deployments and be
/// the same when one deployment is repeated.
pub fn job_result_store_path(conf: &FlinkConf, cluster_id: &str, unique: &str) -> Option<String> {
    let storage = conf.text(keys::HA_STORAGE_DIR)?.trim_end_matches('/');
    Some(format!("{storage}/job-result-store/{cluster_id}/{unique}"))
}

/// The setting that lets the adaptive scheduler change parallelism without a restart.
pub fn uses_adaptive_scheduler(conf: &FlinkConf) -> bool {
    conf.value(keys::SCHEDULER).eq_ignore_ascii_case("adaptive")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(entries: &[(&str, &str)]) -> FlinkConf {
        entries.iter().copied().collect()
    }

    #[test]
    fn kinds_of_high_availability() {
        for (key, value, expected) in [
            ("high-availability.type", "kubernetes", HighAvailability::Kubernetes),
            ("high-availability.type", "KUBERNETES", HighAvailability::Kubernetes),
            ("high-availability", KUBERNETES_FACTORY, HighAvailability::Kubernetes),
            ("high-availability.type", "zookeeper", HighAvailability::ZooKeeper),
            ("high-availability.type", "none", HighAvailability::None),
            ("high-availability.storageDir", "file:///ha", HighAvailability::None),
            ("high-availability.type", "com.Own", HighAvailability::Custom("com.Own".to_owned())),
        ] {
            assert_eq!(HighAvailability::of(&conf(&[(key, value)])), expected, "{key}={value}");
        }
    }

    /// T73.
    #[test]
    fn checkpoint_progress_window_is_never_too_short() {
        let window = "kubernetes.operator.cluster.health-check.checkpoint-progress.window";
        let seconds =
            |entries: &[(&str, &str)]| checkpoint_progress_window(&conf(entries)).map(|d| d.as_secs());
        assert_eq!(seconds(&[]), None);
        assert_eq!(seconds(&[("execution.checkpointing.interval", "1 min")]), Some(1200));
        assert_eq!(seconds(&[(window, "5 min")]), Some(1200));
        assert_eq!(seconds(&[(window, "1 h")]), Some(3600));
        let tolerant = [
            ("execution.checkpointing.interval", "1 min"),
            ("execution.checkpointing.timeout", "30 s"),
            ("execution.checkpointing.tolerable-failed-checkpoints", "3"),
        ];
        assert_eq!(seconds(&tolerant), Some(300));
        let off = ("kubernetes.operator.cluster.health-check.checkpoint-progress.enabled", "false");
        assert_eq!(seconds(&[off, (window, "1 h")]), None);
    }

    #[test]
    fn savepoint_history_is_capped_by_the_operator() {
        let cap = [
            ("kubernetes.operator.savepoint.history.max.count.threshold", "3"),
            ("kubernetes.operator.savepoint.history.max.age.threshold", "1 h"),
        ];
        let capped = OperatorConfig::new(cap.map(|(k, v)| (k.to_owned(), v.to_owned())).into()).unwrap();
        let hours = |count: usize, hours: u64| (count, Duration::from_secs(hours * 3600));
        let asked = conf(&[("kubernetes.operator.savepoint.history.max.count", "5")]);
        assert_eq!(savepoint_history(&asked, &OperatorConfig::default()), hours(5, 24));
        assert_eq!(savepoint_history(&asked, &capped), hours(3, 1));
        assert_eq!(savepoint_history(&FlinkConf::new(), &OperatorConfig::default()), hours(10, 24));
    }

    /// T60: the path ends in an id of its own for each deployment.
    #[test]
    fn job_result_store() {
        let conf = conf(&[("high-availability.storageDir", "file:///ha/")]);
        let path = job_result_store_path(&conf, "app", "id-1");
        assert_eq!(path.as_deref(), Some("file:///ha/job-result-store/app/id-1"));
        assert_eq!(job_result_store_path(&FlinkConf::new(), "app", "id-1"), None);
    }
}
