//! The configuration keys the reconciler reads, typed (reconciler.md 9).
//!
//! Read twice per pass: from the observe configuration (what runs) and from the deploy configuration (what is
//! wanted); which of the two a rule means, section 4 says.

use drey_api::SavepointFormat;
use drey_blueprint::config::keys::{self, SavepointFormatType};
use drey_blueprint::config::{FlinkConf, Key};
use std::time::Duration;

const USER_JOB_ID: Key<String> = Key::new("$internal.pipeline.job-id", None);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ha {
    #[default]
    None,
    Kubernetes,
    /// ZooKeeper or a user's own factory: active, and its metadata out of sight.
    Other,
}

impl Ha {
    pub fn is_activated(self) -> bool {
        self != Ha::None
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    pub ha: Ha,
    pub recovery: bool,
    pub restart_failed: bool,
    pub rollback: bool,
    pub readiness_timeout: Duration,
    pub health: Option<HealthSettings>,
    pub savepoint_dir: Option<String>,
    pub savepoint_format: SavepointFormat,
    pub checkpoint_kind: String,
    pub drain: bool,
    pub checkpointing_timeout: Duration,
    pub last_state_fallback: bool,
    pub last_state_cancel: bool,
    pub max_checkpoint_age: Option<Duration>,
    pub ignore_pending_savepoint: bool,
    pub savepoint_on_deletion: bool,
    pub shutdown_ttl: Duration,
    pub savepoint_grace: Duration,
    pub checkpoint_grace: Duration,
    pub periodic_savepoint: String,
    pub periodic_checkpoint: String,
    pub cleanup: bool,
    pub history_max_count: i64,
    pub history_max_age: Duration,
    /// A job id the user fixed (T59).
    pub user_job_id: Option<String>,
    pub ha_storage_dir: Option<String>,
    pub task_managers: i64,
    pub autoscaler: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct HealthSettings {
    pub restarts_window: Duration,
    pub restarts_threshold: i64,
    pub checkpoint_progress: bool,
    pub checkpoint_window: Option<Duration>,
    pub checkpoint_interval: Option<Duration>,
    pub checkpoint_timeout: Duration,
    pub tolerable_failures: i64,
}

impl Settings {
    pub fn read(conf: &FlinkConf) -> Settings {
        let text = |key| conf.get(key).filter(|text: &String| !text.trim().is_empty());
        let slots = conf.value(keys::TASK_SLOTS).max(1);
        Settings {
            ha: ha(&conf.value(keys::HIGH_AVAILABILITY)),
            recovery: conf.value(keys::JM_DEPLOYMENT_RECOVERY_ENABLED),
            restart_failed: conf.value(keys::JOB_RESTART_FAILED),
            rollback: conf.value(keys::DEPLOYMENT_ROLLBACK_ENABLED),
            readiness_timeout: conf.value(keys::DEPLOYMENT_READINESS_TIMEOUT),
            health: conf.value(keys::HEALTH_CHECK_ENABLED).then(|| health(conf)),
            savepoint_dir: text(keys::SAVEPOINT_DIR),
            savepoint_format: match conf.get(keys::SAVEPOINT_FORMAT_TYPE) {
                Some(SavepointFormatType::Native) => SavepointFormat::Native,
                Some(SavepointFormatType::Canonical) | None => SavepointFormat::Canonical,
            },
            checkpoint_kind: conf.get(keys::CHECKPOINT_TYPE).unwrap_or_default().as_str().to_owned(),
            drain: conf.value(keys::DRAIN_ON_SAVEPOINT),
            checkpointing_timeout: conf.value(keys::CHECKPOINTING_TIMEOUT),
            last_state_fallback: conf.value(keys::LAST_STATE_FALLBACK_ENABLED),
            last_state_cancel: conf.value(keys::LAST_STATE_JOB_CANCEL_ENABLED),
            max_checkpoint_age: conf.get(keys::LAST_STATE_MAX_CHECKPOINT_AGE),
            ignore_pending_savepoint: conf.value(keys::IGNORE_PENDING_SAVEPOINT),
            savepoint_on_deletion: conf.value(keys::SAVEPOINT_ON_DELETION),
            shutdown_ttl: conf.value(keys::JM_DEPLOYMENT_SHUTDOWN_TTL),
            savepoint_grace: conf.value(keys::SAVEPOINT_TRIGGER_GRACE_PERIOD),
            checkpoint_grace: conf.value(keys::CHECKPOINT_TRIGGER_GRACE_PERIOD),
            periodic_savepoint: conf.value(keys::PERIODIC_SAVEPOINT_INTERVAL),
            periodic_checkpoint: conf.value(keys::PERIODIC_CHECKPOINT_INTERVAL),
            cleanup: conf.value(keys::SAVEPOINT_CLEANUP_ENABLED),
            history_max_count: conf.value(keys::SAVEPOINT_HISTORY_MAX_COUNT),
            history_max_age: conf.value(keys::SAVEPOINT_HISTORY_MAX_AGE),
            user_job_id: text(USER_JOB_ID),
            ha_storage_dir: text(keys::HA_STORAGE_DIR),
            autoscaler: conf.value(keys::AUTOSCALER_ENABLED),
            task_managers: conf.value(keys::PARALLELISM).max(0).saturating_add(slots - 1) / slots,
        }
    }
}

fn ha(kind: &str) -> Ha {
    const FACTORY: &str = "org.apache.flink.kubernetes.highavailability.KubernetesHaServicesFactory";
    match kind.trim() {
        none if none.is_empty() || none.eq_ignore_ascii_case("none") => Ha::None,
        kubernetes if kubernetes.eq_ignore_ascii_case("kubernetes") => Ha::Kubernetes,
        factory if factory.eq_ignore_ascii_case(FACTORY) => Ha::Kubernetes,
        _ => Ha::Other,
    }
}

fn health(conf: &FlinkConf) -> HealthSettings {
    HealthSettings {
        restarts_window: conf.value(keys::HEALTH_CHECK_RESTARTS_WINDOW),
        restarts_threshold: conf.value(keys::HEALTH_CHECK_RESTARTS_THRESHOLD),
        checkpoint_progress: conf.value(keys::HEALTH_CHECK_CHECKPOINT_PROGRESS_ENABLED),
        checkpoint_window: conf.get(keys::HEALTH_CHECK_CHECKPOINT_PROGRESS_WINDOW),
        checkpoint_interval: conf.get(keys::CHECKPOINTING_INTERVAL),
        checkpoint_timeout: conf.value(keys::CHECKPOINTING_TIMEOUT),
        tolerable_failures: conf.value(keys::TOLERABLE_CHECKPOINT_FAILURES),
    }
}
