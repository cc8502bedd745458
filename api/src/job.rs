//! `spec.job` (reconciler.md 1.1).

use serde::{Deserialize, Serialize};

use crate::lenient;

/// What runs and how it is upgraded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobSpec {
    #[serde(rename = "jarURI", skip_serializing_if = "Option::is_none")]
    pub jar_uri: Option<String>,
    #[serde(default, deserialize_with = "lenient::integer_or_zero")]
    pub parallelism: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_class: Option<String>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub args: Vec<String>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub state: JobState,
    /// Deprecated in favour of FlinkStateSnapshot, and still in use.
    #[serde(default, deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    pub savepoint_trigger_nonce: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_savepoint_path: Option<String>,
    /// Deprecated in favour of FlinkStateSnapshot, and still in use.
    #[serde(default, deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    pub checkpoint_trigger_nonce: Option<i64>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub upgrade_mode: UpgradeMode,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_non_restored_state: Option<bool>,
    #[serde(default, deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    pub savepoint_redeploy_nonce: Option<i64>,
    #[serde(default, deserialize_with = "lenient::integer", skip_serializing_if = "Option::is_none")]
    pub autoscaler_reset_nonce: Option<i64>,
}

/// What the user wants the job to do. What it does is `FlinkJobState`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    #[default]
    Running,
    Suspended,
}

impl JobState {
    pub fn as_str(self) -> &'static str {
        match self {
            JobState::Running => "running",
            JobState::Suspended => "suspended",
        }
    }
}

/// Which state an upgraded job starts from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpgradeMode {
    Savepoint,
    LastState,
    #[default]
    Stateless,
}

impl UpgradeMode {
    pub fn as_str(self) -> &'static str {
        match self {
            UpgradeMode::Savepoint => "savepoint",
            UpgradeMode::LastState => "last-state",
            UpgradeMode::Stateless => "stateless",
        }
    }

    pub fn is_stateful(self) -> bool {
        match self {
            UpgradeMode::Savepoint | UpgradeMode::LastState => true,
            UpgradeMode::Stateless => false,
        }
    }
}
