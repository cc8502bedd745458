//! What is done about a deployment whose spec is settled: restarts, recovery, shutdown (reconciler.md 5.2, 5.3), and
//! when to look again.

use crate::cluster::{Cluster, available_since, cluster};
use crate::decision::{Action, Component, EventKind, Next, Restore};
use crate::error::{ErrorDocument, ErrorType};
use crate::health;
use crate::observe::Sight;
use crate::pace;
use crate::pass::{End, Flow, Pass};
use crate::rollback;
use crate::upgrade::{choose, restore};
use drey_api::constants::LAST_STATE_SAVEPOINT_PATH;
use drey_api::{FlinkJobState, JobManagerDeploymentStatus, JobState, ReconciliationState, UpgradeMode};
use std::borrow::Cow;
use std::time::Duration;

/// QUIRK left behind: there it just stays missing, which looks as if somebody would still do something about it.
const WITHOUT_HA: &str = "JobManager deployment is missing, and without high availability it is not known where its \
                          newest state is. Manual restore required. To start from a savepoint or a retained \
                          checkpoint, set its path as job.initialSavepointPath and a new job.savepointRedeployNonce.";

/// 5.3.1: a FAILED job starts again from its last checkpoint, or from nothing if that is what the mode says.
pub fn restart_failed(p: &mut Pass) -> Flow {
    if p.job_state() != Some(FlinkJobState::Failed)
        || !p.configs.observe.restart_failed
        || p.recorded_state() != JobState::Running
    {
        return Ok(());
    }
    if p.upgrade_mode().is_stateful() && !choose::last_savepoint_known(p) {
        let message = choose::UNKNOWN_CHECKPOINT.to_owned();
        crate::upgrade::refuse(p, &choose::Refusal { rule: "4.3.2", reason: "UpgradeFailed", message });
        return Ok(());
    }
    p.note("5.3.1", "the job has failed and is restarted");
    p.status.error = None;
    let mode = if p.upgrade_mode().is_stateful() { UpgradeMode::Savepoint } else { UpgradeMode::Stateless };
    restart(p, mode)
}

/// 5.3.3: the old cluster goes; when it is gone, recovery starts the new one.
pub fn restart_unhealthy(p: &mut Pass) -> Flow {
    let Some(record) = health::stored(p).filter(|record| !record.health_result.healthy) else {
        return Ok(());
    };
    if p.configs.observe.health.is_none() || p.job_is_terminal() || !p.jm_is_ready() {
        return Ok(());
    }
    if p.upgrade_mode().is_stateful() && !choose::ha_metadata(p).is_available() {
        p.note("5.4", "unhealthy, and not restarted: no HA metadata to go on from");
        return Ok(());
    }
    p.note("5.3.3", "the job is unhealthy: its cluster is replaced");
    let message = record.health_result.error.unwrap_or_else(|| "Restarting unhealthy job".into());
    p.event(EventKind::Warning, Component::Job, "RestartUnhealthyJob", message);
    health::forget(p);
    if p.configs.observe.ha.is_activated() && choose::ha_metadata(p).is_available() {
        restore::rely_on_metadata(p);
        p.lose_sight_of_job();
        p.set_jm(JobManagerDeploymentStatus::Missing);
        return restore::remove(p);
    }
    restart(p, UpgradeMode::Stateless)
}

/// 5.2: the JobManager is gone and the job should run.
pub fn recover(p: &mut Pass) -> Flow {
    if p.jm() != JobManagerDeploymentStatus::Missing
        || p.job_is_terminal()
        || p.recorded_state() != JobState::Running
    {
        return repair(p);
    }
    if !p.configs.observe.recovery {
        p.note("5.2", "the JobManager is gone, and recovery is switched off");
        say_missing(p);
        return Ok(());
    }
    let ha = p.configs.observe.ha.is_activated();
    if !ha && p.upgrade_mode().is_stateful() {
        let message = WITHOUT_HA.to_owned();
        crate::upgrade::refuse(p, &choose::Refusal { rule: "5.2", reason: "RestoreFailed", message });
        return Ok(());
    }
    match cluster(p.o) {
        Cluster::Gone => {}
        Cluster::Unknown | Cluster::Vanishing | Cluster::Leaving | Cluster::Present(_) => {
            return p.on_change("waiting for the lost JobManager's pods to be gone");
        }
    }
    p.note("5.2", "the JobManager is gone and is started again");
    if !ha {
        say_recovering(p);
        return restart(p, UpgradeMode::Stateless);
    }
    if let Some(deployed) = p.deployed_spec().map(Cow::into_owned) {
        p.spec = deployed;
        p.load_configs();
    }
    restore::recover_from_ha(p)
}

/// Said when it is done: a deployment that cannot be recovered is not being recovered in every pass.
pub fn say_recovering(p: &mut Pass) {
    p.event(EventKind::Warning, Component::Job, "RecoverDeployment", "Recovering lost deployment");
}

/// It stays missing, and that stays visible.
fn say_missing(p: &mut Pass) {
    if p.status.error.is_none() {
        let error = ErrorDocument::new(ErrorType::MissingJobManager, "Missing JobManager deployment");
        p.fail(error, Component::JobManagerDeployment, "Missing");
    }
}

/// Objects of the cluster that a crash kept from being created, or that somebody deleted. At once: what a pass
/// creates is known to the next one, and a create that comes too often finds the object there and leaves it.
fn repair(p: &mut Pass) -> Flow {
    let Cluster::Present(facts) = cluster(p.o) else { return Ok(()) };
    let ours = facts.generation.is_some() && !p.job_id().is_empty();
    if !ours || (facts.has_rest_service && facts.has_config_map) || p.recorded_state() != JobState::Running {
        return Ok(());
    }
    let path = p.status.job_status.upgrade_savepoint_path.clone();
    let restore = match path {
        Some(path) if path == LAST_STATE_SAVEPOINT_PATH => Restore::HaMetadata { guarded: true },
        Some(path) if p.recorded_mode() == UpgradeMode::Savepoint => Restore::From(path),
        Some(_) | None => Restore::Empty,
    };
    if let Some(deployed) = p.deployed_spec().map(Cow::into_owned) {
        p.spec = deployed;
        p.load_configs();
    }
    p.note("repair", "objects of the cluster are missing: they are created again");
    // The generation it was created for; the recorded one moves on with ignored changes.
    let generation = facts.generation.unwrap_or(p.generation);
    match restore::new_cluster(p, restore, generation) {
        Ok(cluster) => p.act(Action::CreateCluster(Box::new(cluster))),
        Err(refusal) => crate::upgrade::refuse(p, &refusal),
    }
    Ok(())
}

/// A restart in place: recorded like an upgrade to the same spec, so that a crash cannot leave it half done.
fn restart(p: &mut Pass, mode: UpgradeMode) -> Flow {
    if p.recon() == ReconciliationState::RolledBack {
        p.set_recon(ReconciliationState::RollingBack);
        p.set_recorded_mode(mode);
    } else {
        p.set_recorded_mode(mode);
        p.set_recorded_job_state(JobState::Suspended);
        p.set_recon(ReconciliationState::Upgrading);
    }
    p.end_job();
    restore::run(p)
}

/// 5.3.4: an ended job keeps its JobManager for a while, so that people can look at it.
pub fn shut_down(p: &mut Pass) -> Flow {
    let Cluster::Present(_) = cluster(p.o) else { return Ok(()) };
    match remaining_ttl(p) {
        Some(Duration::ZERO) => {
            p.note("5.3.4", "the ended job's JobManager has served its time");
            // Our own doing, so nobody reports it missing.
            p.set_jm(JobManagerDeploymentStatus::Missing);
            restore::remove(p)
        }
        Some(_) | None => Ok(()),
    }
}

/// How long an ended job's JobManager still stays.
fn remaining_ttl(p: &Pass) -> Option<Duration> {
    if !p.job_is_terminal() || p.jm() == JobManagerDeploymentStatus::Missing {
        return None;
    }
    let ended: i64 = p.status.job_status.update_time.as_deref()?.parse().ok()?;
    let until = pace::from_millis(
        ended.saturating_add(i64::try_from(p.configs.observe.shutdown_ttl.as_millis()).ok()?),
    );
    Some(Duration::try_from(until.duration_since(p.now)).unwrap_or(Duration::ZERO))
}

/// Nothing (more) to do in this pass: when to look again.
pub fn idle(p: &mut Pass, sight: &Sight) -> Flow {
    let next = next(p, sight);
    Err(End::Next(match (next, rollback::due_in(p)) {
        (Next::After(wait, _), Some(due)) if due < wait => {
            Next::After(due, "the readiness timeout".to_owned())
        }
        (next, _) => next,
    }))
}

fn next(p: &Pass, sight: &Sight) -> Next {
    let after = |wait: Duration, reason: &str| Next::After(wait, reason.to_owned());
    let growing = |since: i64, reason: &str| {
        after(pace::growing(pace::from_millis(since), p.now, p.policy.poll_ceiling), reason)
    };
    let info = &p.status.job_status.savepoint_info;
    if info.is_pending() && sight.job.is_some() {
        return growing(info.trigger_timestamp.unwrap_or_default(), "a savepoint is pending");
    }
    let checkpoint = &p.status.job_status.checkpoint_info;
    if checkpoint.is_pending() && sight.job.is_some() {
        return growing(checkpoint.trigger_timestamp.unwrap_or_default(), "a checkpoint is pending");
    }
    let interval = p.policy.reconcile_interval();
    if let Some(retry) = p.memo.snapshot_retry.filter(|at| p.now < *at && sight.job.is_some()) {
        let wait = Duration::try_from(retry.duration_since(p.now)).unwrap_or_default();
        return after(wait.clamp(pace::SOONEST, interval), "a snapshot failed and may be tried again then");
    }
    if let Some(ttl) = remaining_ttl(p) {
        return after(ttl.clamp(pace::SOONEST, interval), "the job has ended");
    }
    if p.recorded_state() == JobState::Suspended {
        return Next::OnChange("suspended".to_owned());
    }
    let changed = p.status.job_status.update_time.as_deref().and_then(|ms| ms.parse().ok());
    match (p.jm(), p.job_state()) {
        (JobManagerDeploymentStatus::Ready, Some(FlinkJobState::Running)) => after(interval, "the job runs"),
        (JobManagerDeploymentStatus::Ready, _) if sight.job.is_some() => {
            growing(changed.unwrap_or_default(), "the job is on its way")
        }
        (JobManagerDeploymentStatus::Ready, _) => after(interval, "the JobManager does not know the job"),
        (JobManagerDeploymentStatus::DeployedNotReady | JobManagerDeploymentStatus::Deploying, _) => {
            match cluster(p.o) {
                Cluster::Present(facts) if facts.available_replicas > 0 => {
                    let since = available_since(facts).map_or(0, |since| since.as_millisecond());
                    growing(since, "the JobManager does not answer yet")
                }
                _ => after(p.policy.progress_interval(), "waiting for the JobManager"),
            }
        }
        (JobManagerDeploymentStatus::Missing | JobManagerDeploymentStatus::Error, _) => {
            after(interval, "no JobManager")
        }
    }
}
