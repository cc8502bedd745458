//! Which pods a Job makes and removes: parallelism, what is left to do, the wait after failures, indexes (kubernetes 1.35
//! pkg/controller/job: manageJob, activePodsForRemoval, backoff_utils.go).

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::deployment::ACTOR;
use super::job::{COMPONENT, TRACKING, Tally, is_suspended, is_terminating, waits_for_failure};
use super::job_indexes::{self, finished, index_of, is_indexed};
use super::replica_set::{deletion_rank, pod_from_template};
use crate::json::*;
use crate::view::{Key, View, resource as r};
use crate::write::{EventSpec, OnRefusal, Step, Write};

/// 10 s doubling to 10 min between pods after failures (`DefaultJobPodFailureBackOff`, `MaxJobPodFailureBackOff`).
const BACKOFF_SECS: i64 = 10;
const BACKOFF_MAX_SECS: i64 = 600;
/// `MaxPodCreateDeletePerSync`
const BATCH_MAX: usize = 500;

/// What is to be done about pods.
#[derive(Default)]
pub(super) struct Plan<'a> {
    pub delete: Vec<&'a Arc<Value>>,
    /// Pods to make, each with its index where it has one.
    pub create: Vec<Option<i64>>,
    /// When more can be made.
    pub again: Option<Timestamp>,
}

/// Either pods are removed or pods are made; removing comes first.
pub(super) fn plan<'a>(tally: &Tally<'a>, now: Timestamp) -> Plan<'a> {
    let job = tally.job;
    if is_suspended(job) {
        return Plan { delete: tally.active.clone(), ..Plan::default() };
    }
    let active = i64::try_from(tally.active.len()).unwrap_or(i64::MAX);
    let parallelism = int_or(job, "/spec/parallelism", 1);
    let wanted = match at(job, "/spec/completions").as_i64() {
        Some(n) => (n - tally.succeeded).clamp(0, parallelism.max(0)),
        None if tally.succeeded > 0 => active,
        None => parallelism,
    };
    let mut delete = surplus(tally, usize::try_from(active - wanted).unwrap_or(0));
    delete.truncate(BATCH_MAX);
    if !delete.is_empty() {
        return Plan { delete, ..Plan::default() };
    }
    let ending = match waits_for_failure(job) {
        true => tally.pods.iter().filter(|p| is_terminating(p)).count(),
        false => 0,
    };
    let ending = i64::try_from(ending).unwrap_or(i64::MAX);
    let missing = usize::try_from(wanted - ending - active).unwrap_or(0).min(BATCH_MAX);
    if missing == 0 {
        return Plan::default();
    }
    if tally.failed_indexes.is_none()
        && let Some(until) = backoff(tally).filter(|t| *t > now)
    {
        return Plan { again: Some(until), ..Plan::default() };
    }
    if !is_indexed(job) {
        return Plan { create: vec![None; missing], ..Plan::default() };
    }
    let waiting = |index: &i64| {
        let last = tally.delayed.get(index)?;
        let until = after_secs(finished(last)?, wait_secs(job_indexes::failures(last) + 1));
        (until > now).then_some(until)
    };
    let pending = pending(tally, missing);
    let again = pending.iter().filter_map(waiting).min();
    let create = pending.into_iter().filter(|i| waiting(i).is_none()).map(Some).collect();
    Plan { create, again, ..Plan::default() }
}

/// At least so many active pods too many, and those whose index another has, or nobody should have.
fn surplus<'a>(tally: &Tally<'a>, at_least: usize) -> Vec<&'a Arc<Value>> {
    let mut left = tally.active.clone();
    left.sort_by_key(|p| deletion_rank(p));
    let mut out = Vec::new();
    if is_indexed(tally.job) {
        // The most valuable of each index stays.
        let mut seen = BTreeSet::new();
        let stays: BTreeSet<&str> = left
            .iter()
            .rev()
            .filter(|p| job_indexes::valid(tally.job, p).is_some_and(|i| seen.insert(i)))
            .map(|p| uid(p))
            .collect();
        (left, out) = left.into_iter().partition(|p| stays.contains(uid(p)));
    }
    let more = at_least.saturating_sub(out.len());
    out.extend(left.into_iter().take(more));
    out
}

/// The first indexes that have no pod and are not over.
fn pending(tally: &Tally, count: usize) -> Vec<i64> {
    let mut taken: BTreeSet<i64> = tally.active.iter().filter_map(|p| index_of(p)).collect();
    if waits_for_failure(tally.job) {
        taken.extend(tally.pods.iter().filter(|p| is_terminating(p)).filter_map(|p| index_of(p)));
    }
    let is_failed = |i: &i64| tally.failed_indexes.as_ref().is_some_and(|f| f.contains(i));
    let all = 0..int(tally.job, "/spec/completions");
    all.filter(|i| !taken.contains(i) && !tally.indexes.contains(i) && !is_failed(i)).take(count).collect()
}

fn wait_secs(failures: i64) -> i64 {
    BACKOFF_SECS.saturating_mul(1 << (failures - 1).clamp(0, 10)).min(BACKOFF_MAX_SECS)
}

/// Until when it waits after the failures since the last success.
fn backoff(tally: &Tally) -> Option<Timestamp> {
    let ended = |phase: &str| {
        let pods = tally.pods.iter().filter(|p| match phase {
            "Failed" => super::job::is_failed(tally.job, p),
            _ => text(p, "/status/phase") == phase,
        });
        let mut all: Vec<Timestamp> = pods.filter_map(|p| finished(p)).collect();
        all.sort();
        all
    };
    let (good, mut bad) = (ended("Succeeded"), ended("Failed"));
    let failures = match good.last() {
        Some(success) => {
            bad.retain(|t| t > success);
            i64::try_from(bad.len()).unwrap_or(i64::MAX)
        }
        None => tally.failed.max(i64::try_from(bad.len()).unwrap_or(i64::MAX)),
    };
    (failures > 0).then(|| bad.last().map(|last| after_secs(*last, wait_secs(failures))))?
}

impl Plan<'_> {
    pub(super) fn carry_out(&self, view: &View, tally: &Tally, now: Timestamp, step: &mut Step) {
        let job = tally.job;
        for pod in &self.delete {
            let message = format!("Deleted pod: {}", name(pod));
            let event = EventSpec::normal(job, COMPONENT, "SuccessfulDelete", message);
            step.push(Write::delete(ACTOR, &Key::of(r::PODS, pod), None, uid(pod)).then(event));
        }
        if let Some(again) = self.again {
            step.look_again(again);
        }
        if self.create.is_empty() {
            return;
        }
        if let Some(refusal) = view.refusals.get(uid(job)).filter(|refusal| refusal.retry_at() > now) {
            step.look_again(refusal.retry_at());
            return;
        }
        for index in &self.create {
            let event = EventSpec::normal(job, COMPONENT, "SuccessfulCreate", "Created pod: {name}".into());
            let why = "Error creating: {error}".into();
            let refused = OnRefusal {
                owner_uid: uid(job).into(),
                reason: "FailedCreate",
                event: EventSpec::warning(job, COMPONENT, "FailedCreate", why),
            };
            step.push(Write::create(ACTOR, r::PODS, pod(tally, *index)).then(event).or_refused(refused));
        }
    }
}

fn pod(tally: &Tally, index: Option<i64>) -> Value {
    let job = tally.job;
    let mut pod = pod_from_template(job, "batch/v1", "Job");
    if let Some(index) = index {
        job_indexes::give(&mut pod, job, index, tally.delayed.get(&index).copied());
    }
    for prefix in ["batch.kubernetes.io~1", ""] {
        set(&mut pod, &format!("/metadata/labels/{prefix}controller-uid"), uid(job).into());
        set(&mut pod, &format!("/metadata/labels/{prefix}job-name"), name(job).into());
    }
    let mut finalizers = items(&pod, "/metadata/finalizers").clone();
    finalizers.push(TRACKING.into());
    set(&mut pod, "/metadata/finalizers", finalizers.into());
    pod
}
