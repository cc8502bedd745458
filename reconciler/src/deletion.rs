//! The resource is being deleted (reconciler.md 2.5, 4.9): JobManager first, then HA metadata, then the finalizer.

use crate::cluster::{Cluster, cluster, never_started};
use crate::decision::{Action, Component, EventKind};
use crate::ha::{self, HaMetadata};
use crate::observe;
use crate::pass::{Flow, Pass};
use crate::phase::{Phase, phase};
use crate::upgrade::stop::{self, Stopped};
use crate::upgrade::{choose, restore};
use drey_api::constants::FLINK_DEPLOYMENT_FINALIZER;
use drey_api::{LifecycleState, UpgradeMode};
use std::time::Duration;

/// Tasks of a job may take so long to start before anybody hears of it.
const TASKS_GRACE_MS: i64 = 60_000;

const WITHOUT_TASKS: &str = "The deletion waits for all tasks of the job to run, since a savepoint is to be taken first \
                             (kubernetes.operator.job.savepoint-on-deletion); set the option to false to delete \
                             without one";

pub fn has_finalizer(p: &Pass) -> bool {
    let finalizers = p.o.resource.metadata.finalizers.as_deref().unwrap_or_default();
    finalizers.iter().any(|finalizer| finalizer == FLINK_DEPLOYMENT_FINALIZER)
}

pub fn run(p: &mut Pass) -> Flow {
    if !has_finalizer(p) {
        return p.on_change("deleted; nothing of ours is left to do");
    }
    p.event_once(EventKind::Normal, Component::Operator, "Cleanup", "Cleaning up FlinkDeployment");
    p.status.lifecycle_state = Some(LifecycleState::Deleting);
    if wants_savepoint(p) {
        take_savepoint(p)?;
    }
    match cluster(p.o) {
        Cluster::Gone => last_things(p),
        Cluster::Present(_) => {
            p.note("4.9", "the JobManager is removed");
            // Tried once: a JobManager that cannot be asked is removed all the same.
            if p.job_is_cancellable() && p.memo.failures == 0 {
                p.persist();
                let job = p.job_id();
                p.act(Action::CancelJob { job });
            }
            restore::remove(p)
        }
        Cluster::Leaving | Cluster::Vanishing | Cluster::Unknown => restore::remove(p),
    }
}

/// HA metadata goes only when nobody is left who could write it again.
fn last_things(p: &mut Pass) -> Flow {
    if !restore::ha_is_seen(p) {
        return p.after(Duration::from_secs(1), "waiting for the watch of ConfigMaps");
    }
    let maps = ha::map_names(&p.o.ha);
    if !maps.is_empty() {
        p.note("4.9", "HA metadata is removed with the deployment");
        p.act(Action::DeleteHa { config_maps: maps });
    }
    p.note("4.9", "nothing is left: the finalizer goes");
    p.act(Action::RemoveFinalizer);
    // The object may be gone after that: nothing more is written to it.
    p.status = p.before.clone();
    p.verbatim = true;
    p.on_change("deleted")
}

fn wants_savepoint(p: &Pass) -> bool {
    p.recorded.is_some()
        && p.configs.observe.savepoint_on_deletion
        && !p.job_is_terminal()
        && matches!(phase(p), Phase::Deployed | Phase::StoppingWithSavepoint)
}

/// No JobManager, and nothing it could be started from; or one that never ran: there is no state to save.
fn cannot_run_again(p: &Pass) -> bool {
    match cluster(p.o) {
        Cluster::Gone => choose::ha_metadata(p) == HaMetadata::Gone,
        Cluster::Present(facts) => never_started(facts) && p.recorded_mode() != UpgradeMode::LastState,
        Cluster::Leaving | Cluster::Vanishing | Cluster::Unknown => false,
    }
}

/// QUIRK left behind: there a job that was not RUNNING made every pass fail. Here the deletion waits and says why;
/// switching the option off lets it go on.
fn take_savepoint(p: &mut Pass) -> Flow {
    let sight = observe::observe(p)?;
    if cannot_run_again(p) {
        return Ok(());
    }
    if phase(p) == Phase::StoppingWithSavepoint {
        return match stop::look(p, &sight)? {
            Stopped::Done => {
                p.end_job();
                p.persist();
                Ok(())
            }
            Stopped::Failed | Stopped::NotBegun => {
                p.after(p.policy.progress_interval(), "the savepoint failed")
            }
            Stopped::Lost => Ok(()),
        };
    }
    if p.job_is_terminal() {
        return Ok(());
    }
    if let Some(job) = sight.job.as_ref().filter(|job| p.job_is_running() && !job.all_tasks_run()) {
        p.note("4.9", "not all tasks of the job run: no savepoint could be taken yet");
        if job.last_modification.saturating_add(TASKS_GRACE_MS) < p.now_ms() {
            p.event_once(EventKind::Warning, Component::Operator, "CleanupFailed", WITHOUT_TASKS);
        }
        return p.poll(
            job.last_modification,
            p.policy.poll_ceiling,
            "savepoint before deletion: tasks start",
        );
    }
    if p.job_is_running() {
        p.note("4.9", "a savepoint is taken before the deployment goes");
        stop::begin_savepoint(p);
        let since = p.now_ms();
        return p.poll(since, p.policy.poll_ceiling, "savepoint before deletion");
    }
    let text = "The deletion waits for the job to run, since a savepoint is to be taken first \
                (kubernetes.operator.job.savepoint-on-deletion); set the option to false to delete without one";
    p.note("4.9", text);
    p.event_once(EventKind::Warning, Component::Operator, "CleanupFailed", text);
    p.after(p.policy.progress_interval(), "deletion waits for a savepoint")
}
