//! The second half: what is left of the old cluster goes, then the job starts again (reconciler.md 4.2, 4.8).
//!
//! The order that no crash may break: recorded "about to" and job id stored, old JobManager seen gone, metadata of a
//! job that will not be restored from it removed, cluster created, recorded "deployed".

use super::choose::{self, Refusal, UNKNOWN_CHECKPOINT, known_path};
use super::{redeploy, refuse};
use crate::blueprint;
use crate::cluster::{Cluster, cluster};
use crate::decision::{Action, Component, EventKind, NewCluster, Restore};
use crate::ha::{self, HaMetadata};
use crate::health;
use crate::ids;
use crate::observation::Seen;
use crate::pass::{Flow, Pass};
use crate::recovery;
use crate::rollback;
use crate::settings::Ha;
use drey_api::constants::LAST_STATE_SAVEPOINT_PATH;
use drey_api::{FlinkJobState, JobManagerDeploymentStatus, JobState, ReconciliationState, UpgradeMode};
use std::time::Duration;

pub const RESTORE_FAILED: &str = "HA metadata is not available to restore from last state.It is possible that the job has \
                              finished or terminally failed, or the configmaps have been deleted.";

/// What a new cluster starts from, and what that means for what the old one left.
struct Start {
    restore: Restore,
    /// Only a job restored from its HA metadata keeps its id (B04).
    keep_id: bool,
    drop_ha: bool,
}

/// The first deployment. A JobManager that is already there belongs to somebody else and is left alone.
pub fn first(p: &mut Pass) -> Flow {
    match cluster(p.o) {
        Cluster::Gone => create(p, false),
        Cluster::Unknown => unknown(p),
        Cluster::Present(_) | Cluster::Leaving | Cluster::Vanishing => {
            p.note("2.7", "a JobManager of this name exists already: nothing is created beside it");
            p.on_change("waiting for the JobManager of an earlier resource to be gone")
        }
    }
}

/// Suspended, and to run again.
pub fn resume(p: &mut Pass) -> Flow {
    inherit_mode(p);
    p.record_before_attempt();
    bring_up(p)
}

/// Between the halves.
pub fn run(p: &mut Pass) -> Flow {
    if p.recon() == ReconciliationState::RollingBack {
        rollback::target(p);
    }
    if continues_old_attempt(p) {
        return bring_up(p);
    }
    if redeploy::is_asked_for(p) {
        return redeploy::run(p);
    }
    if p.recorded.as_ref().is_some_and(|recorded| recorded.is_first_deployment()) {
        p.note("3.3.4", "the first deployment never came about: it starts over");
        p.clear_recorded();
        return super::first(p);
    }
    inherit_mode(p);
    match p.desired() {
        JobState::Running => bring_up(p),
        JobState::Suspended => come_to_rest(p),
    }
}

/// How the job was stopped decides how it is restored, unless the user asks for no state at all (4.2).
fn inherit_mode(p: &mut Pass) {
    let recorded = p.recorded_mode();
    if p.upgrade_mode() != UpgradeMode::Stateless || p.recon() == ReconciliationState::RollingBack {
        p.set_target_mode(recorded);
    }
}

/// Suspended between the halves, or on purpose. QUIRK left behind: there a switch to suspended between the halves
/// left the resource UPGRADING for ever.
fn come_to_rest(p: &mut Pass) -> Flow {
    p.set_target_mode(p.recorded_mode());
    match cluster(p.o) {
        Cluster::Gone => {
            p.set_jm(JobManagerDeploymentStatus::Missing);
            p.note("4.2", "suspended");
            p.record_deployed();
            p.on_change("suspended")
        }
        Cluster::Present(_) | Cluster::Leaving | Cluster::Vanishing | Cluster::Unknown => remove(p),
    }
}

/// Towards the target spec, by way of no JobManager at all.
pub fn bring_up(p: &mut Pass) -> Flow {
    match cluster(p.o) {
        Cluster::Gone => create(p, true),
        Cluster::Present(_) | Cluster::Leaving | Cluster::Vanishing | Cluster::Unknown => remove(p),
    }
}

/// Removes what is left of the old JobManager; nothing is created before it has been seen gone.
pub fn remove(p: &mut Pass) -> Flow {
    match cluster(p.o) {
        Cluster::Present(facts) => {
            p.note("4.8.5", "the old JobManager is removed; HA metadata stays");
            p.persist();
            p.act(Action::DeleteCluster { uid: facts.uid.clone() });
            p.on_change("waiting for the old JobManager to be gone")
        }
        Cluster::Leaving | Cluster::Vanishing => p.on_change("waiting for the old JobManager to be gone"),
        Cluster::Unknown => unknown(p),
        Cluster::Gone => Ok(()),
    }
}

fn unknown(p: &mut Pass) -> Flow {
    p.after(Duration::from_secs(1), "waiting for the watch of Deployments")
}

/// A JobManager may only be created here: its predecessor has been seen gone.
fn create(p: &mut Pass, after_another: bool) -> Flow {
    p.set_jm(JobManagerDeploymentStatus::Missing);
    ha_seen(p)?;
    let Some(start) = start(p)? else {
        return p.after(p.policy.reconcile_interval(), "the job cannot be restored");
    };
    let pending = attempt_pending(p);
    if !(pending && p.status.observed_generation == Some(p.generation) && p.recorded.is_some()) {
        p.record_before_attempt();
    }
    let job_id = job_id(p, start.keep_id || pending);
    p.status.job_status.job_id = Some(job_id);
    p.set_job_state(FlinkJobState::Reconciling);
    note_source(p, &start.restore);
    p.persist();
    clean_metadata(p, start.drop_ha && after_another && !(pending && attempt_ran(p)));
    submit(p, start.restore)?;
    p.record_deployed();
    deployed(p)
}

/// The deployed cluster again, from its HA metadata; what is recorded stays as it is (5.2).
pub fn recover_from_ha(p: &mut Pass) -> Flow {
    p.set_target_mode(UpgradeMode::LastState);
    ha_seen(p)?;
    let Some(start) = start(p)? else {
        return p.after(p.policy.reconcile_interval(), "the job cannot be restored");
    };
    recovery::say_recovering(p);
    let job_id = job_id(p, true);
    p.status.job_status.job_id = Some(job_id);
    note_source(p, &start.restore);
    p.persist();
    clean_metadata(p, false);
    submit(p, start.restore)?;
    deployed(p)
}

fn deployed(p: &mut Pass) -> Flow {
    p.status.error = None;
    p.set_job_state(FlinkJobState::Reconciling);
    p.set_jm(JobManagerDeploymentStatus::Deploying);
    p.after(p.policy.progress_interval(), "waiting for the JobManager")
}

fn submit(p: &mut Pass, restore: Restore) -> Flow {
    health::forget(p);
    p.memo.saw_metadata = false;
    p.event(EventKind::Normal, Component::JobManagerDeployment, "Submit", "Starting deployment");
    let generation = p.status.observed_generation.unwrap_or(p.generation);
    match new_cluster(p, restore, generation) {
        Ok(cluster) => {
            p.act(Action::CreateCluster(Box::new(cluster)));
            Ok(())
        }
        Err(refusal) => {
            refuse(p, &refusal);
            p.on_change("the spec cannot be turned into Kubernetes objects")
        }
    }
}

pub fn new_cluster(p: &Pass, restore: Restore, generation: i64) -> Result<NewCluster, Refusal> {
    let job_id = p.job_id();
    let objects = blueprint::objects(p, &restore, &job_id, generation)?;
    Ok(NewCluster { objects, job_id, restore, generation })
}

/// Where the state comes from; `None`: refused, and said so.
fn start(p: &mut Pass) -> Flow<Option<Start>> {
    match p.upgrade_mode() {
        UpgradeMode::Stateless => Ok(Some(Start { restore: Restore::Empty, keep_id: false, drop_ha: true })),
        UpgradeMode::Savepoint => Ok(from_path(p)),
        UpgradeMode::LastState => from_metadata(p),
    }
}

fn from_path(p: &mut Pass) -> Option<Start> {
    let restore = match known_path(p) {
        Some(path) if path == LAST_STATE_SAVEPOINT_PATH => {
            let message = UNKNOWN_CHECKPOINT.to_owned();
            refuse(p, &Refusal { rule: "4.3.2", reason: "UpgradeFailed", message });
            return None;
        }
        Some(path) => Restore::From(path),
        None => Restore::Empty,
    };
    Some(Start { restore, keep_id: false, drop_ha: true })
}

fn from_metadata(p: &mut Pass) -> Flow<Option<Start>> {
    let metadata = match p.configs.deploy.ha {
        Ha::Kubernetes => ha::metadata(&p.o.ha),
        Ha::None => HaMetadata::Gone,
        Ha::Other => HaMetadata::Elsewhere,
    };
    let restore = match metadata {
        HaMetadata::Unknown => {
            p.note("4.8.8", "the HA metadata could not be read: nothing is concluded");
            return p.after(Duration::from_secs(1), "waiting for the watch of ConfigMaps");
        }
        HaMetadata::Gone => {
            let message = RESTORE_FAILED.to_owned();
            refuse(p, &Refusal { rule: "4.8.8", reason: "RestoreFailed", message });
            return Ok(None);
        }
        HaMetadata::WithCheckpoint | HaMetadata::Elsewhere => Restore::HaMetadata { guarded: true },
        // No checkpoint was ever completed: what the job was started from is still the newest state.
        HaMetadata::WithoutCheckpoint => match p.status.job_status.upgrade_savepoint_path.clone() {
            Some(path) if path == LAST_STATE_SAVEPOINT_PATH => {
                p.note("4.8.8", "the metadata held a checkpoint and holds none any more");
                let message = RESTORE_FAILED.to_owned();
                refuse(p, &Refusal { rule: "4.8.8", reason: "RestoreFailed", message });
                return Ok(None);
            }
            Some(path) => Restore::From(path),
            None => Restore::HaMetadata { guarded: false },
        },
    };
    Ok(Some(Start { restore, keep_id: true, drop_ha: false }))
}

/// The job is about to live in its HA metadata alone. Seen with a checkpoint now, metadata without one would later be a
/// loss and no beginning; the dummy path says so even after a crash.
pub fn rely_on_metadata(p: &mut Pass) {
    if matches!(choose::ha_metadata(p), HaMetadata::WithCheckpoint | HaMetadata::Elsewhere) {
        p.status.job_status.upgrade_savepoint_path = Some(LAST_STATE_SAVEPOINT_PATH.to_owned());
    }
}

/// The path on record is the newest state there is, so it follows what the job is started from.
fn note_source(p: &mut Pass, restore: &Restore) {
    let path = match restore {
        Restore::Empty => None,
        Restore::From(path) => Some(path.clone()),
        Restore::HaMetadata { guarded: true } => Some(LAST_STATE_SAVEPOINT_PATH.to_owned()),
        Restore::HaMetadata { guarded: false } => p.status.job_status.upgrade_savepoint_path.clone(),
    };
    p.note("4.8.2", format!("start from {restore:?}"));
    p.status.job_status.upgrade_savepoint_path = path;
}

/// With another job id the old metadata would only mislead the new JobManager; with the same one it is the state,
/// and only the stored job graph must go so that the new one counts (B23).
fn clean_metadata(p: &mut Pass, drop_ha: bool) {
    let names = ha::map_names(&p.o.ha);
    if drop_ha && !names.is_empty() {
        p.act(Action::DeleteHa { config_maps: names });
        return;
    }
    let keys = ha::job_graph_keys(&p.o.ha);
    if !keys.is_empty() {
        p.act(Action::StripJobGraphs { keys });
    }
}

fn job_id(p: &Pass, keep: bool) -> String {
    if let Some(fixed) = &p.configs.deploy.user_job_id {
        return fixed.clone();
    }
    let current = p.job_id();
    if keep && !current.is_empty() {
        return current;
    }
    let (generation, now) = (p.generation.to_string(), p.now_ms().to_string());
    ids::derive(&[p.o.resource.uid(), "job", &generation, &now])
}

/// A create request was about to be sent, or was sent and never answered: its job id is stored and stays.
fn attempt_pending(p: &Pass) -> bool {
    let stored = &p.before;
    stored.job_manager_deployment_status == JobManagerDeploymentStatus::Missing
        && stored.job_status.state == Some(FlinkJobState::Reconciling)
        && stored.job_status.job_id.is_some()
        && matches!(
            stored.reconciliation_status.state,
            ReconciliationState::Upgrading | ReconciliationState::RollingBack
        )
        && stored.reconciliation_status.last_reconciled_spec.is_some()
}

/// The create request took effect unseen, and its JobManager is gone again: metadata of the job stored before it was sent
/// is newer than what the attempt starts from, and a JobManager that finds it goes on from there.
fn attempt_ran(p: &Pass) -> bool {
    if p.configs.deploy.user_job_id.is_some() {
        // Every attempt has this id: whose metadata it is cannot be told.
        return false;
    }
    let own = format!("-{}-config-map", p.job_id());
    ha::map_names(&p.o.ha).iter().any(|name| name.ends_with(&own))
}

/// The spec changed while a create request may still take effect: two answers to "what runs" must not exist, so the
/// recorded attempt is carried through first and the new spec follows as an upgrade.
fn continues_old_attempt(p: &mut Pass) -> bool {
    if p.recon() != ReconciliationState::Upgrading
        || !attempt_pending(p)
        || p.status.observed_generation == Some(p.generation)
        || !matches!(cluster(p.o), Cluster::Gone)
    {
        return false;
    }
    let rejected = p.memo.rejected == p.status.observed_generation;
    let age = p.now_ms().saturating_sub(p.status.reconciliation_status.reconciliation_timestamp);
    if rejected || u128::try_from(age).unwrap_or_default() > p.policy.request_lifetime.as_millis() {
        return false;
    }
    let Some(recorded) = p.recorded.clone() else { return false };
    p.note("3.3.4", "the spec changed while the recorded attempt is open: that one is carried through first");
    p.spec = recorded.spec.clone();
    if let Some(job) = &mut p.spec.job {
        job.state = JobState::Running;
    }
    p.generation = p.status.observed_generation.unwrap_or(p.generation);
    p.load_configs();
    true
}

/// Old metadata must be dealt with before a JobManager starts: it would recover the old job beside the new one.
fn ha_seen(p: &mut Pass) -> Flow {
    if ha_is_seen(p) {
        return Ok(());
    }
    p.note("4.8.8", "the HA metadata could not be read: nothing is started beside it");
    p.after(Duration::from_secs(1), "waiting for the watch of ConfigMaps")
}

/// Whether HA facts were delivered at all; used by stages that must not act on an empty guess.
pub fn ha_is_seen(p: &Pass) -> bool {
    matches!(p.o.ha, Seen::Known(_) | Seen::Absent)
}
