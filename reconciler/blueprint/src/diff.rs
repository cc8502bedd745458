//! How much two specs differ, and in what (reconciler.md 2.8).
//!
//! A difference has a weight: nothing to do, scale in place, upgrade, or redeploy from a given savepoint. The
//! heaviest single difference decides. Fields not listed in a rule mean an upgrade.

mod flatten;
mod rules;

use std::fmt;

use drey_api::{DeploymentMode, FlinkDeploymentSpec, FlinkSessionJobSpec};

pub use rules::configuration_kind;

/// What a difference calls for, from light to heavy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiffKind {
    Ignore,
    Scale,
    Upgrade,
    SavepointRedeploy,
}

impl DiffKind {
    pub fn as_str(self) -> &'static str {
        match self {
            DiffKind::Ignore => "IGNORE",
            DiffKind::Scale => "SCALE",
            DiffKind::Upgrade => "UPGRADE",
            DiffKind::SavepointRedeploy => "SAVEPOINT_REDEPLOY",
        }
    }
}

/// One field that differs: path, both values as text (`null` for none), and what it calls for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub path: String,
    pub old: String,
    pub new: String,
    pub kind: DiffKind,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} : {} -> {}", self.path, self.old, self.new)
    }
}

/// All differences of two specs, sorted by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecDiff {
    /// The type compared, as the text form names it.
    pub of: &'static str,
    pub kind: DiffKind,
    pub changes: Vec<Change>,
}

impl SpecDiff {
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Text of the `SpecChanged` event.
    pub fn event_text(&self) -> String {
        format!("{} change(s) detected ({self}), starting reconciliation.", self.kind.as_str())
    }

    fn new(of: &'static str, mut changes: Vec<Change>) -> Self {
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        let kind = changes.iter().map(|change| change.kind).max().unwrap_or(DiffKind::Ignore);
        Self { of, kind, changes }
    }
}

/// `Diff: FlinkDeploymentSpec[image : a -> b, restartNonce : null -> 1]`
impl fmt::Display for SpecDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changes: Vec<String> = self.changes.iter().map(Change::to_string).collect();
        write!(f, "Diff: {}[{}]", self.of, changes.join(", "))
    }
}

/// Differences from `old` (recorded) to `new` (wanted). `mode` is that of the running deployment.
pub fn diff(old: &FlinkDeploymentSpec, new: &FlinkDeploymentSpec, mode: DeploymentMode) -> SpecDiff {
    let mut changes = rules::Changes::new(mode);
    changes.deployment(old, new);
    SpecDiff::new("FlinkDeploymentSpec", changes.into_vec())
}

/// The same for session jobs, which run on a cluster of the given mode.
pub fn diff_session_job(
    old: &FlinkSessionJobSpec,
    new: &FlinkSessionJobSpec,
    mode: DeploymentMode,
) -> SpecDiff {
    let mut changes = rules::Changes::new(mode);
    changes.session_job(old, new);
    SpecDiff::new("FlinkSessionJobSpec", changes.into_vec())
}
