//! What is looked at before anything else: is the resource ours to manage, and did the last plan fail?

use crate::decision::{ActionKind, Component, EventKind};
use crate::error::{ErrorDocument, ErrorType};
use crate::observation::{ActionError, ActionFailure};
use crate::pass::{Flow, Pass};
use crate::upgrade::stop;
use drey_api::constants::CANARY_LABEL;
use drey_api::{DeploymentMode, SnapshotTriggerType};
use std::time::Duration;

/// Application clusters in native mode on a supported Flink version. Everything else is left alone, and said so.
pub fn managed(p: &mut Pass) -> Flow {
    let labels = p.o.resource.metadata.labels.as_ref();
    if labels.and_then(|labels| labels.get(CANARY_LABEL)).is_some_and(|value| value == "true") {
        p.note("7.5", "a canary is never deployed");
        return p.on_change("canary");
    }
    let deleting = p.o.resource.metadata.deletion_timestamp.is_some();
    let spec = &p.o.resource.spec;
    let recorded = p.recorded.as_ref().map(|recorded| &recorded.spec);
    // What is recorded decides while there is something: a forbidden switch is for validation to refuse.
    let kind = recorded.unwrap_or(spec);
    let unmanaged = match (kind.job.is_some(), kind.deployment_mode()) {
        (true, DeploymentMode::Native) => None,
        (false, _) => Some("a session cluster (spec.job is not set)"),
        (true, DeploymentMode::Standalone) => Some("a cluster in standalone mode (spec.mode: standalone)"),
    };
    if let Some(what) = unmanaged {
        let text = format!("{what} is not managed by this version of the operator: nothing is touched");
        p.note("gate", text.clone());
        p.verbatim = p.recorded.is_some();
        p.fail(ErrorDocument::new(ErrorType::Validation, text), Component::Operator, "NotManaged");
        return p.on_change("not managed");
    }
    // What already runs is kept in view while validation refuses the new version.
    if !deleting && recorded.is_none() && spec.flink_version.is_none_or(|version| !version.is_supported()) {
        let version = spec.flink_version.map_or("null".to_owned(), |version| version.to_string());
        let text = format!("Flink version {version} is not supported by this operator version");
        p.note("2.2.4", text.clone());
        p.event_once(EventKind::Warning, Component::Operator, "UnsupportedFlinkVersion", &text);
        return p.on_change("unsupported Flink version");
    }
    Ok(())
}

/// The stored specs. One that cannot be read means that what runs is unknown: nothing is touched.
pub fn load(p: &mut Pass) -> Flow {
    let Some(text) = p.status.reconciliation_status.last_reconciled_spec.clone() else { return Ok(()) };
    if text.trim().is_empty() {
        return Ok(());
    }
    match p.policy.stored_spec(&text) {
        Ok(recorded) => {
            p.recorded = Some(recorded);
            Ok(())
        }
        Err(problem) => {
            let text = format!("{problem}: what runs is unknown, nothing is touched");
            p.note("2.10", text.clone());
            p.event_once(EventKind::Warning, Component::Operator, "Error", &text);
            p.on_change("the stored spec cannot be read")
        }
    }
}

/// The shell comes back with the action that failed: say so, wait, and let a later pass decide from what it sees.
pub fn failed_plan(p: &mut Pass) -> Flow {
    let Some(failure) = p.o.failure.clone() else {
        return Ok(());
    };
    p.memo.failures = p.memo.failures.saturating_add(1);
    p.note("2.9", format!("{:?} failed: {}", failure.action, describe(&failure.error)));
    if failure.action == ActionKind::Rescale {
        // 2.8: on any error it takes an upgrade.
        p.memo.scale_failed = Some(p.generation);
        p.memo.scaled = None;
        p.memo.failures = 0;
        return p.again("scaling in place failed: upgrade instead");
    }
    match &failure.error {
        ActionError::Unreachable { why } => {
            let wait = crate::pace::back_off(
                Duration::from_millis(250),
                2.0,
                Duration::from_secs(10),
                p.memo.failures,
            );
            return p.after(wait, format!("nobody answered: {why}"));
        }
        ActionError::Kube { code: 409, .. } => {
            let wait = crate::pace::back_off(
                Duration::from_millis(50),
                2.0,
                Duration::from_secs(5),
                p.memo.failures,
            );
            return p.after(wait, "the stored object is newer: look again");
        }
        ActionError::Kube { code, .. }
            if is_trouble_of_the_server(*code) && !must_be_told(p, failure.action) =>
        {
            let wait = crate::pace::back_off(
                Duration::from_millis(250),
                2.0,
                Duration::from_secs(10),
                p.memo.failures,
            );
            return p.after(wait, format!("the API server is in trouble: {}", describe(&failure.error)));
        }
        ActionError::Kube { .. } | ActionError::Flink { .. } => {}
    }
    report(p, &failure);
    p.after(p.policy.back_off(p.memo.failures), "the last plan failed")
}

/// Overloaded, broken or cut off from its store: tried again soon, like a server that does not answer.
fn is_trouble_of_the_server(code: u16) -> bool {
    matches!(code, 429 | 500..=504)
}

/// Trouble of about a quarter of a minute with one request is more than a hiccup: a webhook or a quota may answer so
/// for ever. A write to the resource itself that fails cannot be reported anywhere, and by the time it can, it is over.
fn must_be_told(p: &Pass, action: ActionKind) -> bool {
    const QUIET: u32 = 6;
    let is_own =
        matches!(action, ActionKind::PersistStatus | ActionKind::AddFinalizer | ActionKind::RemoveFinalizer);
    !is_own && p.memo.failures > QUIET
}

fn report(p: &mut Pass, failure: &ActionFailure) {
    let (kind, component, reason, text) = match failure.action {
        ActionKind::StopWithSavepoint => {
            stop::give_up_trigger(p);
            (ErrorType::UpgradeFailure, Component::JobManagerDeployment, "SavepointError", "Savepoint Error")
        }
        ActionKind::TriggerSavepoint => {
            give_up_manual_savepoint(p);
            (
                ErrorType::Reconciliation,
                Component::Operator,
                "SavepointError",
                "Savepoint could not be triggered",
            )
        }
        ActionKind::TriggerCheckpoint => {
            p.status.job_status.checkpoint_info.clear_trigger();
            (
                ErrorType::Reconciliation,
                Component::Operator,
                "CheckpointError",
                "Checkpoint could not be triggered",
            )
        }
        ActionKind::CancelJob => (
            ErrorType::UpgradeFailure,
            Component::JobManagerDeployment,
            "CleanupFailed",
            "Cancellation Error",
        ),
        ActionKind::CreateCluster => {
            if is_definite(&failure.error) {
                p.memo.rejected = p.status.observed_generation;
            }
            (
                ErrorType::Reconciliation,
                Component::JobManagerDeployment,
                "Error",
                "The cluster could not be created",
            )
        }
        ActionKind::PersistStatus
        | ActionKind::DeleteCluster
        | ActionKind::DeleteHa
        | ActionKind::StripJobGraphs
        | ActionKind::DisposeSavepoint
        | ActionKind::Rescale
        | ActionKind::AddFinalizer
        | ActionKind::RemoveFinalizer => (
            ErrorType::Reconciliation,
            Component::JobManagerDeployment,
            "Error",
            "An action of the operator failed",
        ),
    };
    let mut error = ErrorDocument::new(kind, format!("{text} -> {}", describe(&failure.error)));
    error.http_code = match failure.error {
        ActionError::Kube { code, .. } | ActionError::Flink { code, .. } => Some(code),
        ActionError::Unreachable { .. } => None,
    };
    p.fail(error, component, reason);
}

fn give_up_manual_savepoint(p: &mut Pass) {
    let info = &mut p.status.job_status.savepoint_info;
    if info.trigger_type != Some(SnapshotTriggerType::Upgrade) {
        info.clear_trigger();
    }
}

/// The API server said no: this request will never take effect.
fn is_definite(error: &ActionError) -> bool {
    match error {
        ActionError::Kube { code, .. } => (400..500).contains(code) && !matches!(code, 408 | 409 | 429),
        ActionError::Flink { .. } | ActionError::Unreachable { .. } => false,
    }
}

fn describe(error: &ActionError) -> String {
    match error {
        ActionError::Kube { code, reason, message } => format!("HTTP {code} {reason}: {message}"),
        ActionError::Flink { code, message } => format!("Flink answered HTTP {code}: {message}"),
        ActionError::Unreachable { why } => format!("nobody answered: {why}"),
    }
}
