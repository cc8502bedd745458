//! The JobManager: from Deployment, pods and one REST answer to `jobManagerDeploymentStatus` (reconciler.md 3.4).
//!
//! Kubernetes is looked at in every pass, since the watches make it free. QUIRK left behind: Apache's operator does
//! not look at the Deployment while READY, rests 10 s between "the port is open" and the first question, and so
//! notices a deleted Deployment only through REST timeouts.

use super::{Sight, job};
use crate::ask::Ask;
use crate::cluster::{Cluster, available_since, cluster, failure, pods_to_ask_about};
use crate::decision::{Component, EventKind};
use crate::error::{ErrorDocument, ErrorType};
use crate::observation::{JobFact, JobManagerFacts, Seen, Why};
use crate::pass::{Flow, Pass};
use crate::upgrade::restore;
use drey_api::{FlinkJobState, JobManagerDeploymentStatus};
use std::time::Duration;

pub fn observe(p: &mut Pass) -> Flow<Sight> {
    match cluster(p.o) {
        Cluster::Unknown => unknown(p),
        Cluster::Gone | Cluster::Vanishing => {
            missing(p);
            Ok(Sight::default())
        }
        Cluster::Leaving => {
            p.note("3.4", "the JobManager Deployment is being deleted");
            if p.jm() == JobManagerDeploymentStatus::Ready {
                p.set_jm(JobManagerDeploymentStatus::DeployedNotReady);
            }
            p.lose_sight_of_job();
            Ok(Sight::default())
        }
        Cluster::Present(facts) if facts.available_replicas > 0 => ask(p, facts),
        Cluster::Present(facts) => {
            starting(p, facts)?;
            Ok(Sight::default())
        }
    }
}

/// No JobManager process of this deployment is there to know of anything.
pub fn is_down(p: &Pass) -> bool {
    match cluster(p.o) {
        Cluster::Present(facts) => facts.available_replicas == 0,
        Cluster::Gone | Cluster::Vanishing | Cluster::Leaving => true,
        Cluster::Unknown => false,
    }
}

/// A suspended application: whether its JobManager is still there, nothing more. No request is made.
pub fn observe_suspended(p: &mut Pass) -> Flow {
    match cluster(p.o) {
        Cluster::Unknown => return unknown(p),
        Cluster::Gone | Cluster::Vanishing => p.set_jm(JobManagerDeploymentStatus::Missing),
        Cluster::Leaving => p.set_jm(JobManagerDeploymentStatus::DeployedNotReady),
        Cluster::Present(facts) if facts.available_replicas == 0 => {
            p.set_jm(JobManagerDeploymentStatus::Deploying)
        }
        Cluster::Present(_) => p.set_jm(JobManagerDeploymentStatus::DeployedNotReady),
    }
    Ok(())
}

fn unknown<T>(p: &mut Pass) -> Flow<T> {
    p.note("3.4", "the watch of Deployments has not answered: nothing is concluded");
    p.after(Duration::from_secs(1), "waiting for the watch of Deployments")
}

fn missing(p: &mut Pass) {
    let known = match p.jm() {
        JobManagerDeploymentStatus::Missing | JobManagerDeploymentStatus::Error => true,
        JobManagerDeploymentStatus::Ready
        | JobManagerDeploymentStatus::DeployedNotReady
        | JobManagerDeploymentStatus::Deploying => false,
    };
    p.set_jm(JobManagerDeploymentStatus::Missing);
    p.lose_sight_of_job();
    if !known && !p.job_is_terminal() {
        restore::rely_on_metadata(p);
    }
    if !known {
        p.note("3.4.4", "the JobManager Deployment is gone");
        let error = ErrorDocument::new(ErrorType::MissingJobManager, "Missing JobManager deployment");
        p.fail(error, Component::JobManagerDeployment, "Missing");
    }
}

/// Not available: either something is visibly wrong, or it is on its way.
fn starting(p: &mut Pass, facts: &JobManagerFacts) -> Flow {
    let stuck = pods_to_ask_about(p.o);
    // Pods that wait for a ConfigMap nobody has created yet get it in this pass.
    if !stuck.is_empty() && facts.has_config_map {
        let o = p.o;
        p.need(&o.mount_failures, Ask::PodEvents { pods: stuck })?;
    }
    p.lose_sight_of_job();
    let Some(failure) = failure(facts, p.o) else {
        p.set_jm(JobManagerDeploymentStatus::Deploying);
        return Ok(());
    };
    // Told once, and again where another error has hidden it and is over.
    if p.jm() != JobManagerDeploymentStatus::Error || p.status.error.is_none() {
        p.note("3.4.3b", format!("the JobManager cannot start: {}", failure.reason));
        let mut error = ErrorDocument::new(ErrorType::DeploymentFailed, failure.message);
        error.reason = Some(failure.reason.clone());
        // One event per cause: the text of a back-off names ever longer waits.
        let key = Some(failure.about);
        p.fail_about(error, Component::JobManagerDeployment, &failure.reason, key);
    }
    p.set_jm(JobManagerDeploymentStatus::Error);
    Ok(())
}

fn ask(p: &mut Pass, facts: &JobManagerFacts) -> Flow<Sight> {
    let o = p.o;
    match p.need(&o.flink.jobs, Ask::Jobs)? {
        Seen::Known(jobs) => answered(p, facts, jobs),
        Seen::Absent => {
            no_answer(p, &Why::Http { code: 404, message: "no /jobs/overview".into() });
            Ok(Sight::default())
        }
        Seen::Unreachable { why } => {
            no_answer(p, why);
            Ok(Sight::default())
        }
        Seen::NotAsked => unreachable_not_asked(p),
    }
}

fn unreachable_not_asked(p: &mut Pass) -> Flow<Sight> {
    p.after(Duration::from_secs(1), "jobs were not asked for")
}

/// An HTTP error comes from a JobManager that is up; everything else is "not there (yet)" alike (3.6).
fn no_answer(p: &mut Pass, why: &Why) {
    p.note("3.6", format!("the JobManager did not say what runs: {why}"));
    p.set_jm(match why {
        Why::Http { .. } | Why::Timeout => JobManagerDeploymentStatus::DeployedNotReady,
        Why::Refused | Why::Dns | Why::Reset => JobManagerDeploymentStatus::Deploying,
    });
    if p.job_is_running() {
        p.set_job_state(FlinkJobState::Reconciling);
    }
}

fn answered(p: &mut Pass, facts: &JobManagerFacts, jobs: &[JobFact]) -> Flow<Sight> {
    let id = p.job_id();
    if let Some(found) = jobs.iter().find(|job| job.id == id) {
        p.set_jm(JobManagerDeploymentStatus::Ready);
        job::found(p, found)?;
        return Ok(Sight { job: Some(found.clone()) });
    }
    if p.job_is_terminal() {
        // Flink forgets an ended job after jobstore.expiration-time. QUIRK left behind: `Job Not Found`.
        p.note("3.6", "the ended job is no longer listed: it stays ended");
        p.set_jm(JobManagerDeploymentStatus::Ready);
        return Ok(Sight::default());
    }
    let just_started = p.job_state().is_none_or(|state| state == FlinkJobState::Reconciling)
        && available_since(facts).is_some_and(|since| {
            p.now.duration_since(since)
                < jiff::SignedDuration::try_from(p.policy.submission_grace).unwrap_or_default()
        });
    if jobs.is_empty() && just_started {
        p.note("3.6", "the JobManager is up and its main() has not submitted the job yet");
        p.set_jm(JobManagerDeploymentStatus::DeployedNotReady);
        return Ok(Sight::default());
    }
    p.set_jm(JobManagerDeploymentStatus::Ready);
    job::not_found(p);
    Ok(Sight::default())
}

/// For tests of the wording in one place: the event of a missing job.
pub const JOB_NOT_FOUND: &str = "Job Not Found";

pub fn job_not_found_event(p: &mut Pass) {
    p.event_once(EventKind::Warning, Component::Job, "Missing", JOB_NOT_FOUND);
}
