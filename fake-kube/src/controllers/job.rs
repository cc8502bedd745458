//! The Job controller: pods until enough succeeded, back-off, the two-step conditions (kube-api.md 3.3, case wl-job;
//! kubernetes 1.35 pkg/controller/job: syncJob, trackJobStatusAndRemoveFinalizers). A finished pod is counted through
//! `uncountedTerminatedPods` and its tracking finalizer, as the real one does, so that no lost race counts twice; an index
//! that is done is counted by its number. Policies of failure and success are `job_policies`, indexes and their limits
//! `job_indexes`, which pods are made and removed `job_pods`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::deployment::ACTOR;
use super::job_indexes::{self, index_of, is_indexed};
use super::job_pods;
use super::job_policies::{self, Failure};
use crate::json::*;
use crate::view::{Key, View, resource as r};
use crate::write::{EventSpec, Step, Write};

pub(super) const COMPONENT: &str = "job-controller";
pub(super) const TRACKING: &str = "batch.kubernetes.io/job-tracking";
const ITSELF: &str = "kubernetes.io/job-controller";

pub fn sync(view: &View, key: &Key, now: Timestamp) -> Step {
    let mut step = Step::nothing();
    let Some(job) = view.find(key) else { return step };
    // Somebody else looks after it.
    if at(job, "/spec/managedBy").as_str().is_some_and(|by| by != ITSELF) {
        return step;
    }
    let pods = view.controlled(r::PODS, uid(job));
    if is_finished(job) || is_deleting(job) {
        pods.iter().filter(|p| is_tracked(p)).for_each(|p| release(p, &mut step));
        expire(job, key, now, &mut step);
        return step;
    }
    let tally = Tally::of(job, &pods);
    let mut verdict = tally.verdict(now);
    let mut plan = match &verdict {
        Some(_) => job_pods::Plan { delete: tally.active.clone(), ..Default::default() },
        None => job_pods::plan(&tally, now),
    };
    let active = tally.active.len() - plan.delete.len();
    if verdict.is_none() {
        verdict = tally.completion(active);
        if verdict.is_some() {
            plan.create.clear();
        }
    }
    let status = tally.status(verdict.as_ref(), &plan.delete, now, &mut step);
    if status != *at(job, "/status") {
        let mut object = Value::clone(job);
        object["status"] = status.clone();
        step.push(Write::update_status(ACTOR, r::JOBS, object));
    }
    tally.release(verdict.as_ref(), &plan.delete, &mut step);
    plan.carry_out(view, &tally, now, &mut step);
    if let Some(deadline) = deadline(job).filter(|t| *t > now) {
        step.look_again(deadline);
    }
    step
}

fn is_finished(job: &Value) -> bool {
    condition_is_true(job, "Complete") || condition_is_true(job, "Failed")
}

pub(super) fn is_tracked(pod: &Value) -> bool {
    has_finalizer(pod, TRACKING)
}

/// Lets a pod go, as far as this controller is concerned.
pub(super) fn release(pod: &Arc<Value>, step: &mut Step) {
    let kept: Vec<Value> =
        items(pod, "/metadata/finalizers").iter().filter(|f| *f != TRACKING).cloned().collect();
    let kept = if kept.is_empty() { Value::Null } else { kept.into() };
    let patch = json!({"metadata": {"uid": uid(pod), "finalizers": kept}});
    step.push(Write::merge(ACTOR, &Key::of(r::PODS, pod), patch));
}

fn expire(job: &Value, key: &Key, now: Timestamp, step: &mut Step) {
    let Some(ttl) = at(job, "/spec/ttlSecondsAfterFinished").as_i64().filter(|_| !is_deleting(job)) else {
        return;
    };
    let ended = ["Complete", "Failed"].iter().find_map(|c| time(condition(job, c)?, "/lastTransitionTime"));
    match ended.map(|t| after_secs(t, ttl)) {
        Some(t) if t <= now => step.push(Write::delete(ACTOR, key, Some("Foreground"), uid(job))),
        Some(t) => step.look_again(t),
        None => {}
    }
}

fn deadline(job: &Value) -> Option<Timestamp> {
    let seconds = at(job, "/spec/activeDeadlineSeconds").as_i64().filter(|_| !is_suspended(job))?;
    Some(after_secs(time(job, "/status/startTime")?, seconds))
}

pub(super) fn is_suspended(job: &Value) -> bool {
    flag(job, "/spec/suspend")
}

/// Pods are replaced once they failed, not when they begin to end (`onlyReplaceFailedPods`).
pub(super) fn waits_for_failure(job: &Value) -> bool {
    text(job, "/spec/podReplacementPolicy") == "Failed" || at(job, "/spec/podFailurePolicy").is_object()
}

pub(super) fn is_failed(job: &Value, pod: &Value) -> bool {
    match text(pod, "/status/phase") {
        "Failed" => true,
        "Succeeded" => false,
        _ => is_deleting(pod) && !waits_for_failure(job),
    }
}

pub(super) fn is_terminating(pod: &Value) -> bool {
    is_deleting(pod) && !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

#[derive(Clone)]
struct Verdict {
    /// Kind of the first and of the last condition.
    kinds: (&'static str, &'static str),
    reason: String,
    message: String,
}

const FAILING: (&str, &str) = ("FailureTarget", "Failed");
const SUCCEEDING: (&str, &str) = ("SuccessCriteriaMet", "Complete");

impl Verdict {
    fn fails(reason: &str, message: &str) -> Verdict {
        Verdict { kinds: FAILING, reason: reason.to_owned(), message: message.to_owned() }
    }

    fn succeeds(reason: &str, message: &str) -> Verdict {
        Verdict { kinds: SUCCEEDING, reason: reason.to_owned(), message: message.to_owned() }
    }

    /// One that is told already stands: what happens to the remaining pods changes nothing.
    fn known(job: &Value) -> Option<Verdict> {
        [SUCCEEDING, FAILING].into_iter().find_map(|kinds| {
            let known = condition(job, kinds.0).filter(|c| c["status"] == "True")?;
            let (reason, message) = (text(known, "/reason").to_owned(), text(known, "/message").to_owned());
            Some(Verdict { kinds, reason, message })
        })
    }

    fn is_success(&self) -> bool {
        self.kinds == SUCCEEDING
    }
}

/// A Job and its pods, counted.
pub(super) struct Tally<'a> {
    pub job: &'a Arc<Value>,
    pub pods: &'a [&'a Arc<Value>],
    pub active: Vec<&'a Arc<Value>>,
    /// Counted, and their finalizers not yet taken off: uid and whether it succeeded.
    uncounted: Vec<(String, bool)>,
    /// Of the status, with those that have lost their finalizers since.
    base: (i64, i64),
    pub succeeded: i64,
    pub failed: i64,
    /// Indexes that are done, of an indexed Job.
    pub indexes: BTreeSet<i64>,
    /// Those that failed for good, where each has its limit.
    pub failed_indexes: Option<BTreeSet<i64>>,
    /// The last failed pod of an index that waits for its next pod, which takes the count over.
    pub delayed: BTreeMap<i64, &'a Arc<Value>>,
}

impl<'a> Tally<'a> {
    fn of(job: &'a Arc<Value>, pods: &'a [&'a Arc<Value>]) -> Tally<'a> {
        let old = at(job, "/status");
        let mut base = (int(old, "/succeeded"), int(old, "/failed"));
        let mut uncounted = uncounted(old);
        // Without its finalizer a listed pod is counted for good.
        uncounted.retain(|(u, ok)| {
            let held = pods.iter().any(|p| uid(p) == u && is_tracked(p));
            if !held {
                if *ok { base.0 += 1 } else { base.1 += 1 }
            }
            held
        });
        let listed: BTreeSet<&str> = uncounted.iter().map(|(u, _)| u.as_str()).collect();
        let fresh = || {
            let tracked = pods.iter().filter(|p| is_tracked(p) && !listed.contains(uid(p)));
            tracked.filter(|p| !is_indexed(job) || job_indexes::valid(job, p).is_some())
        };
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let total = |ok: bool| count(uncounted.iter().filter(|(_, o)| *o == ok).count());
        let done = fresh().filter(|p| text(p, "/status/phase") == "Succeeded");
        let lost = fresh().filter(|p| is_failed(job, p) && job_policies::judge(job, p) != Failure::Ignored);
        let mut succeeded = base.0 + total(true) + count(done.clone().count());
        let failed = base.1 + total(false) + count(lost.count());
        let mut indexes = BTreeSet::new();
        if is_indexed(job) {
            indexes = job_indexes::parse(text(old, "/completedIndexes"), int(job, "/spec/completions"));
            indexes.extend(done.filter_map(|p| index_of(p)));
            succeeded = count(indexes.len());
        }
        let active: Vec<&Arc<Value>> =
            pods.iter().copied().filter(|p| super::replica_set::is_active(p)).collect();
        let failed_indexes = job_indexes::failed(job, pods);
        let delayed = match &failed_indexes {
            Some(failed) => job_indexes::delayed(job, pods, &active, &indexes, failed),
            None => BTreeMap::new(),
        };
        Tally { job, pods, active, uncounted, base, succeeded, failed, indexes, failed_indexes, delayed }
    }

    /// What is decided before pods are made or removed.
    fn verdict(&self, now: Timestamp) -> Option<Verdict> {
        let job = self.job;
        Verdict::known(job)
            .or_else(|| self.failed_by_policy())
            .or_else(|| {
                let is_over = self.failed > int_or(job, "/spec/backoffLimit", 6) || self.restarts_exceeded();
                is_over.then(|| {
                    Verdict::fails("BackoffLimitExceeded", "Job has reached the specified backoff limit")
                })
            })
            .or_else(|| {
                let is_late = deadline(job).is_some_and(|t| t <= now);
                is_late.then(|| {
                    Verdict::fails("DeadlineExceeded", "Job was active longer than specified deadline")
                })
            })
            .or_else(|| self.failed_by_indexes())
            .or_else(|| {
                let message = job_policies::success(job, &self.indexes, |text| {
                    job_indexes::parse(text, int(job, "/spec/completions"))
                })?;
                Some(Verdict::succeeds("SuccessPolicy", &message))
            })
    }

    fn failed_by_policy(&self) -> Option<Verdict> {
        let message =
            self.pods.iter().filter(|p| is_failed(self.job, p)).find_map(|pod| match job_policies::judge(
                self.job, pod,
            ) {
                Failure::FailsJob(message) => Some(message),
                _ => None,
            })?;
        Some(Verdict::fails("PodFailurePolicy", &message))
    }

    fn failed_by_indexes(&self) -> Option<Verdict> {
        let failed = i64::try_from(self.failed_indexes.as_ref()?.len()).unwrap_or(i64::MAX);
        if at(self.job, "/spec/maxFailedIndexes").as_i64().is_some_and(|max| failed > max) {
            let message = "Job has exceeded the specified maximal number of failed indexes";
            return Some(Verdict::fails("MaxFailedIndexesExceeded", message));
        }
        let is_through = failed > 0 && failed + self.succeeded >= int(self.job, "/spec/completions");
        is_through.then(|| Verdict::fails("FailedIndexes", "Job has failed indexes"))
    }

    /// Containers that are started again in their pods count as well (`pastBackoffLimitOnFailure`).
    fn restarts_exceeded(&self) -> bool {
        if text(self.job, "/spec/template/spec/restartPolicy") != "OnFailure" {
            return false;
        }
        let running = self.pods.iter().filter(|p| matches!(text(p, "/status/phase"), "Running" | "Pending"));
        let lists = ["/status/initContainerStatuses", "/status/containerStatuses"];
        let restarts: i64 = running
            .flat_map(|p| lists.iter().flat_map(move |l| items(p, l)))
            .map(|c| int(c, "/restartCount"))
            .sum();
        restarts >= int_or(self.job, "/spec/backoffLimit", 6).max(1)
    }

    /// Enough succeeded, and of those that are left nobody runs.
    fn completion(&self, active: usize) -> Option<Verdict> {
        // No completions: a work queue, done when one pod succeeded and none is left.
        let enough = match at(self.job, "/spec/completions").as_i64() {
            Some(n) => self.succeeded >= n,
            None => self.succeeded > 0,
        };
        let is_done = enough && active == 0;
        is_done.then(|| Verdict::succeeds("CompletionsReached", "Reached expected number of succeeded pods"))
    }

    /// Whether a pod's finalizer may be taken off once it is counted (`canRemoveFinalizer`).
    fn can_go(&self, pod: &Value, verdict: Option<&Verdict>) -> bool {
        let is_delayed = index_of(pod)
            .and_then(|index| self.delayed.get(&index))
            .is_some_and(|last| uid(last) == uid(pod));
        verdict.is_some()
            || text(pod, "/status/phase") == "Succeeded"
            || is_failed(self.job, pod) && !is_delayed
    }

    /// How a pod that can go is counted: as a failure, or not at all.
    fn counts_as_failed(&self, pod: &Value, verdict: Option<&Verdict>) -> bool {
        let given_up = verdict.is_some_and(|v| !v.is_success());
        text(pod, "/status/phase") != "Succeeded"
            && (is_failed(self.job, pod) || given_up)
            && (!is_indexed(self.job) || job_indexes::valid(self.job, pod).is_some())
            && job_policies::judge(self.job, pod) != Failure::Ignored
    }

    fn status(
        &self,
        verdict: Option<&Verdict>,
        deleted: &[&Arc<Value>],
        now: Timestamp,
        step: &mut Step,
    ) -> Value {
        let (job, old) = (self.job, at(self.job, "/status"));
        let mut list = self.uncounted.clone();
        let listed: BTreeSet<&str> = self.uncounted.iter().map(|(u, _)| u.as_str()).collect();
        let is_removed = |p: &Arc<Value>| deleted.iter().any(|d| uid(d) == uid(p));
        for pod in self.pods.iter().filter(|p| is_tracked(p) && !listed.contains(uid(p))) {
            if !self.can_go(pod, verdict) {
                continue;
            }
            match text(pod, "/status/phase") {
                "Succeeded" if is_indexed(job) => {}
                "Succeeded" => list.push((uid(pod).to_owned(), true)),
                _ if self.counts_as_failed(pod, verdict) => list.push((uid(pod).to_owned(), false)),
                _ => {}
            }
        }
        let mut status = Map::new();
        let conditions = items(old, "/conditions");
        if !conditions.is_empty() {
            status.insert("conditions".into(), conditions.clone().into());
        }
        // Each resumption is a new start; a Job that was never let go has none.
        let resumed = condition_is_true(job, "Suspended") && !is_suspended(job);
        let start = Some(at(old, "/startTime").clone()).filter(|s| !s.is_null() && !resumed);
        let start = start.or_else(|| (!is_suspended(job)).then(|| stamp(now)));
        status.extend(start.map(|start| ("startTime".into(), start)));
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let (mut succeeded, failed) = self.base;
        if is_indexed(job) {
            succeeded = count(self.indexes.len());
            if !self.indexes.is_empty() {
                status.insert("completedIndexes".into(), job_indexes::show(&self.indexes).into());
            }
            if let Some(failed) = &self.failed_indexes {
                status.insert("failedIndexes".into(), job_indexes::show(failed).into());
            }
        }
        let running: Vec<&&Arc<Value>> = self.active.iter().filter(|p| !is_removed(p)).collect();
        let counters = [("active", count(running.len())), ("succeeded", succeeded), ("failed", failed)];
        status.extend(counters.into_iter().filter(|(_, n)| *n > 0).map(|(k, n)| (k.to_owned(), n.into())));
        let terminating = self.pods.iter().filter(|p| is_terminating(p)).count() + deleted.len();
        status.insert("terminating".into(), terminating.into());
        let mut uncounted = json!({});
        for (part, ok) in [("succeeded", true), ("failed", false)] {
            let uids: Vec<&str> = list.iter().filter(|(_, o)| *o == ok).map(|(u, _)| u.as_str()).collect();
            if !uids.is_empty() {
                uncounted[part] = uids.into();
            }
        }
        status.insert("uncountedTerminatedPods".into(), uncounted);
        let ready = running.iter().filter(|p| condition_is_true(p, "Ready")).count();
        status.insert("ready".into(), ready.into());
        let mut status = Value::Object(status);
        match verdict {
            Some(v) => self.write_conditions(&mut status, v, list.is_empty() && terminating == 0, now, step),
            None => self.write_suspension(&mut status, now, step),
        }
        status
    }

    /// A Job says that it is held, and, once it was, that it goes on.
    fn write_suspension(&self, status: &mut Value, now: Timestamp, step: &mut Step) {
        let suspended = is_suspended(self.job);
        let known = condition(self.job, "Suspended").map(|c| c["status"] == "True");
        if known.unwrap_or(false) == suspended {
            return;
        }
        let (is_on, reason, message, event) = if suspended {
            ("True", "JobSuspended", "Job suspended", "Suspended")
        } else {
            ("False", "JobResumed", "Job resumed", "Resumed")
        };
        let mut conditions = items(status, "/conditions").clone();
        conditions.retain(|c| c["type"] != "Suspended");
        conditions.push(json!({"type": "Suspended", "status": is_on, "lastProbeTime": stamp(now),
            "lastTransitionTime": stamp(now), "reason": reason, "message": message}));
        status["conditions"] = conditions.into();
        step.push(Write::event(EventSpec::normal(self.job, COMPONENT, event, message.into())));
    }

    /// The first condition at once, the last one when all pods are counted and gone.
    fn write_conditions(
        &self,
        status: &mut Value,
        v: &Verdict,
        is_settled: bool,
        now: Timestamp,
        step: &mut Step,
    ) {
        // Pods that are counted in this very status still have to lose their finalizers; then it is looked at again.
        let mut conditions = items(status, "/conditions").clone();
        for kind in std::iter::once(v.kinds.0).chain(is_settled.then_some(v.kinds.1)) {
            if !conditions.iter().any(|c| c["type"] == kind) {
                conditions.push(json!({"type": kind, "status": "True", "lastProbeTime": stamp(now),
                    "lastTransitionTime": stamp(now), "reason": v.reason, "message": v.message}));
            }
        }
        status["conditions"] = conditions.into();
        if !is_settled {
            return;
        }
        let event = if v.is_success() {
            status["completionTime"] = stamp(now);
            EventSpec::normal(self.job, COMPONENT, "Completed", "Job completed".into())
        } else {
            EventSpec::warning(self.job, COMPONENT, reason_of(&v.reason), v.message.clone())
        };
        step.push(Write::event(event));
    }

    /// Takes the finalizers off pods that are counted in the stored status, or are not to be counted.
    fn release(&self, verdict: Option<&Verdict>, deleted: &[&Arc<Value>], step: &mut Step) {
        let stored = uncounted(at(self.job, "/status"));
        let done = job_indexes::parse(text(self.job, "/status/completedIndexes"), i64::MAX);
        for pod in self.pods.iter().filter(|p| is_tracked(p)) {
            let is_stored = stored.iter().any(|(u, _)| u == uid(pod));
            let is_removed = verdict.is_none() && deleted.iter().any(|d| uid(d) == uid(pod));
            let is_counted = match text(pod, "/status/phase") {
                "Succeeded" if is_indexed(self.job) => index_of(pod).is_none_or(|i| done.contains(&i)),
                "Succeeded" => false,
                _ => !self.counts_as_failed(pod, verdict),
            };
            if is_removed || is_stored || self.can_go(pod, verdict) && is_counted {
                release(pod, step);
            }
        }
    }
}

/// Reasons of verdicts are few, and events name them.
fn reason_of(reason: &str) -> &'static str {
    let known = [
        "BackoffLimitExceeded",
        "DeadlineExceeded",
        "MaxFailedIndexesExceeded",
        "FailedIndexes",
        "PodFailurePolicy",
    ];
    known.into_iter().find(|k| *k == reason).unwrap_or("Failed")
}

/// uid and whether it succeeded.
fn uncounted(status: &Value) -> Vec<(String, bool)> {
    let of = |part: &str, ok: bool| {
        let list =
            items(status, &format!("/uncountedTerminatedPods/{part}")).iter().filter_map(Value::as_str);
        list.map(move |u| (u.to_owned(), ok)).collect::<Vec<_>>()
    };
    [of("succeeded", true), of("failed", false)].concat()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{now, view};
    use super::*;
    use crate::write::Op;

    fn job(status: Value) -> Value {
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "n", "uid": "u-j"},
            "spec": {"completions": 1, "parallelism": 1, "backoffLimit": 0, "template": {"spec": {}}}, "status": status})
    }

    fn pod_in(phase: &str, tracked: bool) -> Value {
        let finalizers = if tracked { json!([TRACKING]) } else { json!([]) };
        json!({"metadata": {"name": "p", "namespace": "n", "uid": "u-p", "finalizers": finalizers,
            "ownerReferences": [{"kind": "Job", "name": "j", "uid": "u-j", "controller": true}]}, "status": {"phase": phase}})
    }

    fn check(status: Value, pod: Option<Value>, expected: &[&str]) {
        let mut objects = vec![(r::JOBS, job(status))];
        objects.extend(pod.map(|p| (r::PODS, p)));
        let step = sync(&view(objects), &Key::new(r::JOBS, "n", "j"), now());
        let said: Vec<String> = step
            .writes
            .iter()
            .map(|w| match &w.op {
                Op::Create(_) => "create".to_owned(),
                Op::UpdateStatus(o) => {
                    let kinds: Vec<&str> =
                        items(o, "/status/conditions").iter().map(|c| text(c, "/type")).collect();
                    format!(
                        "status uncounted={} {}",
                        at(o, "/status/uncountedTerminatedPods"),
                        kinds.join("+")
                    )
                }
                Op::MergePatch(_) => "release".to_owned(),
                Op::Event(e) => e.reason.to_owned(),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(said, expected);
    }

    #[test]
    fn counts_in_three_steps() {
        check(json!({}), None, &["status uncounted={} ", "create"]);
        check(
            json!({}),
            Some(pod_in("Succeeded", true)),
            &[r#"status uncounted={"succeeded":["u-p"]} SuccessCriteriaMet"#],
        );
        let listed = json!({"uncountedTerminatedPods": {"succeeded": ["u-p"]}});
        let counted = "status uncounted={} SuccessCriteriaMet+Complete";
        check(listed, Some(pod_in("Succeeded", false)), &["Completed", counted]);
    }

    #[test]
    fn fails_beyond_the_limit() {
        let listed = json!({"uncountedTerminatedPods": {"failed": ["u-p"]}});
        let failed = "status uncounted={} FailureTarget+Failed";
        check(listed, Some(pod_in("Failed", false)), &["BackoffLimitExceeded", failed]);
    }
}
