//! The Job controller: pods until enough succeeded, back-off, the two-step conditions (kube-api.md 3.3, case wl-job).
//! A finished pod is counted through `uncountedTerminatedPods` and its tracking finalizer, as the real one does, so
//! that no lost race counts twice. Indexed Jobs have a pod for each index. Policies of failure and success are
//! `job_policies`. Leaves out limits per index.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::deployment::ACTOR;
use super::job_policies::{self, Failure};
use super::replica_set::pod_from_template;
use crate::json::*;
use crate::view::{Key, View, resource as r};
use crate::write::{EventSpec, OnRefusal, Step, Write};

const COMPONENT: &str = "job-controller";
const TRACKING: &str = "batch.kubernetes.io/job-tracking";
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// 10 s doubling to 6 min between pods after failures.
const BACKOFF_SECS: i64 = 10;
const BACKOFF_MAX_SECS: i64 = 360;

pub fn sync(view: &View, key: &Key, now: Timestamp) -> Step {
    let mut step = Step::nothing();
    let Some(job) = view.find(key) else { return step };
    let pods = view.controlled(r::PODS, uid(job));
    if is_finished(job) || is_deleting(job) {
        release(&pods, &mut step);
        expire(job, key, now, &mut step);
        return step;
    }
    let mut new = Tally::of(job, &pods, now);
    let verdict = decided(job).or_else(|| failed_by_policy(job, &pods)).or_else(|| new.verdict(job, now));
    // Failures that do not count are let go at once.
    let ignored = pods.iter().filter(|p| has_finalizer(p, TRACKING) && is_ignored(job, p));
    for pod in ignored {
        step.push(Write::merge(ACTOR, &Key::of(r::PODS, pod), untracked(pod)));
    }
    let active: Vec<&Arc<Value>> =
        pods.iter().copied().filter(|p| super::replica_set::is_active(p)).collect();
    new.write_conditions(job, verdict.as_ref(), active.is_empty(), now, &mut step);
    if verdict.is_none() {
        new.write_suspension(job, now, &mut step);
    }
    if new.status != *at(job, "/status") {
        let mut object = Value::clone(job);
        object["status"] = new.status.clone();
        step.push(Write::update_status(ACTOR, r::JOBS, object));
    }
    // Only what the stored status already lists may lose its finalizer.
    let listed = uncounted(at(job, "/status"));
    for pod in pods.iter().filter(|p| has_finalizer(p, TRACKING) && listed.iter().any(|(u, _)| u == uid(p))) {
        step.push(Write::merge(ACTOR, &Key::of(r::PODS, pod), untracked(pod)));
    }
    match verdict {
        Some(_) => {
            for pod in &active {
                step.push(Write::delete(ACTOR, &Key::of(r::PODS, pod), None, uid(pod)));
            }
        }
        None if flag(job, "/spec/suspend") => {
            for pod in &active {
                step.push(Write::delete(ACTOR, &Key::of(r::PODS, pod), None, uid(pod)));
            }
        }
        None => create(view, job, &pods, active.len(), &new, now, &mut step),
    }
    if let Some(deadline) = deadline(job).filter(|t| *t > now) {
        step.look_again(deadline);
    }
    step
}

fn is_finished(job: &Value) -> bool {
    condition_is_true(job, "Complete") || condition_is_true(job, "Failed")
}

fn release(pods: &[&Arc<Value>], step: &mut Step) {
    for pod in pods.iter().filter(|p| has_finalizer(p, TRACKING)) {
        step.push(Write::merge(ACTOR, &Key::of(r::PODS, pod), untracked(pod)));
    }
}

fn untracked(pod: &Value) -> Value {
    let kept: Vec<Value> =
        items(pod, "/metadata/finalizers").iter().filter(|f| *f != TRACKING).cloned().collect();
    let kept = if kept.is_empty() { Value::Null } else { kept.into() };
    json!({"metadata": {"uid": uid(pod), "finalizers": kept}})
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
    let seconds = at(job, "/spec/activeDeadlineSeconds").as_i64()?;
    Some(after_secs(time(job, "/status/startTime")?, seconds))
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

#[derive(Clone)]
struct Verdict {
    /// Kind of the first and of the last condition.
    kinds: (&'static str, &'static str),
    reason: &'static str,
    message: String,
}

const FAILING: (&str, &str) = ("FailureTarget", "Failed");
const SUCCEEDING: (&str, &str) = ("SuccessCriteriaMet", "Complete");

/// A verdict of a policy stands: what happens to the remaining pods changes nothing.
fn decided(job: &Value) -> Option<Verdict> {
    [(FAILING, "PodFailurePolicy"), (SUCCEEDING, "SuccessPolicy")].into_iter().find_map(|(kinds, reason)| {
        let known = condition(job, kinds.0).filter(|c| c["status"] == "True" && c["reason"] == reason)?;
        Some(Verdict { kinds, reason, message: text(known, "/message").to_owned() })
    })
}

fn failed_by_policy(job: &Value, pods: &[&Arc<Value>]) -> Option<Verdict> {
    let failed = pods.iter().filter(|p| text(p, "/status/phase") == "Failed");
    let message = failed.into_iter().find_map(|pod| match job_policies::judge(job, pod) {
        Failure::FailsJob(message) => Some(message),
        _ => None,
    })?;
    Some(Verdict { kinds: FAILING, reason: "PodFailurePolicy", message })
}

fn is_ignored(job: &Value, pod: &Value) -> bool {
    text(pod, "/status/phase") == "Failed" && job_policies::judge(job, pod) == Failure::Ignored
}

struct Tally {
    status: Value,
    /// Indexes that are done, of an indexed Job.
    indexes: BTreeSet<i64>,
    succeeded: i64,
    failed: i64,
    pending: usize,
}

impl Tally {
    fn of(job: &Value, pods: &[&Arc<Value>], now: Timestamp) -> Tally {
        let old = at(job, "/status");
        let (mut succeeded, mut failed) = (int(old, "/succeeded"), int(old, "/failed"));
        let mut list = uncounted(old);
        // Without its finalizer a listed pod is counted for good.
        list.retain(|(u, ok)| {
            let held = pods.iter().any(|p| uid(p) == u && has_finalizer(p, TRACKING));
            if !held {
                if *ok { succeeded += 1 } else { failed += 1 }
            }
            held
        });
        for pod in pods.iter().filter(|p| has_finalizer(p, TRACKING)) {
            if list.iter().any(|(u, _)| u == uid(pod)) {
                continue;
            }
            match text(pod, "/status/phase") {
                "Succeeded" => list.push((uid(pod).to_owned(), true)),
                "Failed" if is_ignored(job, pod) => {}
                "Failed" => list.push((uid(pod).to_owned(), false)),
                _ if is_deleting(pod) => list.push((uid(pod).to_owned(), false)),
                _ => {}
            }
        }
        let active = pods.iter().filter(|p| super::replica_set::is_active(p));
        let ready = active.clone().filter(|p| condition_is_true(p, "Ready")).count();
        let terminating = pods
            .iter()
            .filter(|p| is_deleting(p) && !matches!(text(p, "/status/phase"), "Succeeded" | "Failed"))
            .count();
        let mut status = Map::new();
        let conditions = items(old, "/conditions");
        if !conditions.is_empty() {
            status.insert("conditions".into(), conditions.clone().into());
        }
        // Each resumption is a new start; a Job that was never let go has none.
        let resumed = condition_is_true(job, "Suspended") && !flag(job, "/spec/suspend");
        let start = Some(at(old, "/startTime").clone()).filter(|s| !s.is_null() && !resumed);
        let start = start.or_else(|| (!flag(job, "/spec/suspend")).then(|| stamp(now)));
        status.extend(start.map(|start| ("startTime".into(), start)));
        let mut indexes = parse_indexes(text(old, "/completedIndexes"));
        if is_indexed(job) {
            let done = pods.iter().filter(|p| text(p, "/status/phase") == "Succeeded");
            indexes.extend(done.filter_map(|p| index_of(p)));
            if !indexes.is_empty() {
                status.insert("completedIndexes".into(), show_indexes(&indexes).into());
            }
        }
        let active = i64::try_from(active.count()).unwrap_or(i64::MAX);
        for (name, n) in [("active", active), ("succeeded", succeeded), ("failed", failed)] {
            if n > 0 {
                status.insert(name.into(), n.into());
            }
        }
        status.insert("terminating".into(), terminating.into());
        let mut uncounted = json!({});
        for (part, ok) in [("succeeded", true), ("failed", false)] {
            let uids: Vec<&str> = list.iter().filter(|(_, o)| *o == ok).map(|(u, _)| u.as_str()).collect();
            if !uids.is_empty() {
                uncounted[part] = uids.into();
            }
        }
        status.insert("uncountedTerminatedPods".into(), uncounted);
        status.insert("ready".into(), ready.into());
        let total = |ok: bool| i64::try_from(list.iter().filter(|(_, o)| *o == ok).count()).unwrap_or(0);
        let done = if is_indexed(job) {
            i64::try_from(indexes.len()).unwrap_or(i64::MAX)
        } else {
            succeeded + total(true)
        };
        Tally {
            indexes,
            succeeded: done,
            failed: failed + total(false),
            pending: list.len(),
            status: Value::Object(status),
        }
    }

    fn verdict(&self, job: &Value, now: Timestamp) -> Option<Verdict> {
        // No completions: a work queue, done when one pod succeeded and none is left.
        let done = match at(job, "/spec/completions").as_i64() {
            Some(n) => self.succeeded >= n,
            None => self.succeeded > 0 && int(&self.status, "/active") == 0,
        };
        if self.failed > int_or(job, "/spec/backoffLimit", 6) {
            let message = "Job has reached the specified backoff limit".to_owned();
            return Some(Verdict { kinds: FAILING, reason: "BackoffLimitExceeded", message });
        }
        if deadline(job).is_some_and(|t| t <= now) {
            let message = "Job was active longer than specified deadline".to_owned();
            return Some(Verdict { kinds: FAILING, reason: "DeadlineExceeded", message });
        }
        if let Some(message) = job_policies::success(job, &self.indexes, parse_indexes) {
            return Some(Verdict { kinds: SUCCEEDING, reason: "SuccessPolicy", message });
        }
        let message = "Reached expected number of succeeded pods".to_owned();
        done.then_some(Verdict { kinds: SUCCEEDING, reason: "CompletionsReached", message })
    }

    /// A Job says that it is held, and, once it was, that it goes on.
    fn write_suspension(&mut self, job: &Value, now: Timestamp, step: &mut Step) {
        let suspended = flag(job, "/spec/suspend");
        let known = condition(job, "Suspended").map(|c| c["status"] == "True");
        if known.unwrap_or(false) == suspended {
            return;
        }
        let (status, reason, message, event) = if suspended {
            ("True", "JobSuspended", "Job suspended", "Suspended")
        } else {
            ("False", "JobResumed", "Job resumed", "Resumed")
        };
        let mut conditions = items(&self.status, "/conditions").clone();
        conditions.retain(|c| c["type"] != "Suspended");
        conditions.push(json!({"type": "Suspended", "status": status, "lastProbeTime": stamp(now),
            "lastTransitionTime": stamp(now), "reason": reason, "message": message}));
        self.status["conditions"] = conditions.into();
        step.push(Write::event(EventSpec::normal(job, COMPONENT, event, message.into())));
    }

    fn write_conditions(
        &mut self,
        job: &Value,
        v: Option<&Verdict>,
        idle: bool,
        now: Timestamp,
        step: &mut Step,
    ) {
        let Some(v) = v else { return };
        let over = idle && self.pending == 0 && int(&self.status, "/terminating") == 0;
        let mut conditions = items(&self.status, "/conditions").clone();
        for kind in std::iter::once(v.kinds.0).chain(over.then_some(v.kinds.1)) {
            if !conditions.iter().any(|c| c["type"] == kind) {
                conditions.push(json!({"type": kind, "status": "True", "lastProbeTime": stamp(now),
                    "lastTransitionTime": stamp(now), "reason": v.reason, "message": v.message}));
            }
        }
        self.status["conditions"] = conditions.into();
        if over {
            if v.kinds.1 == "Complete" {
                self.status["completionTime"] = stamp(now);
                step.push(Write::event(EventSpec::normal(
                    job,
                    COMPONENT,
                    "Completed",
                    "Job completed".into(),
                )));
            } else {
                step.push(Write::event(EventSpec::warning(job, COMPONENT, v.reason, v.message.clone())));
            }
        }
    }
}

fn create(
    view: &View,
    job: &Arc<Value>,
    pods: &[&Arc<Value>],
    active: usize,
    tally: &Tally,
    now: Timestamp,
    step: &mut Step,
) {
    if let Some(refusal) = view.refusals.get(uid(job)).filter(|refusal| refusal.retry_at() > now) {
        step.look_again(refusal.retry_at());
        return;
    }
    let active = i64::try_from(active).unwrap_or(i64::MAX);
    let parallelism = int_or(job, "/spec/parallelism", 1);
    let wanted = match at(job, "/spec/completions").as_i64() {
        Some(n) => parallelism.min(n - tally.succeeded),
        None if tally.succeeded > 0 => active,
        None => parallelism,
    };
    if wanted <= active {
        return;
    }
    let last_failure = pods
        .iter()
        .filter(|p| text(p, "/status/phase") == "Failed")
        .filter_map(|p| {
            let ended = items(p, "/status/containerStatuses")
                .iter()
                .filter_map(|c| time(c, "/state/terminated/finishedAt"))
                .max();
            ended.or_else(|| time(p, "/metadata/creationTimestamp"))
        })
        .max();
    if let Some(failed) = last_failure.filter(|_| tally.failed > 0) {
        let wait = BACKOFF_SECS.saturating_mul(1 << (tally.failed - 1).clamp(0, 10)).min(BACKOFF_MAX_SECS);
        let again = after_secs(failed, wait);
        if again > now {
            step.look_again(again);
            return;
        }
    }
    let count = usize::try_from((wanted - active).min(500)).unwrap_or(0);
    let free: Vec<Option<i64>> = if is_indexed(job) {
        let taken: BTreeSet<i64> =
            pods.iter().filter(|p| super::replica_set::is_active(p)).filter_map(|p| index_of(p)).collect();
        let all = 0..int(job, "/spec/completions");
        all.filter(|i| !taken.contains(i) && !tally.indexes.contains(i)).take(count).map(Some).collect()
    } else {
        vec![None; count]
    };
    for index in free {
        step.push(
            Write::create(ACTOR, r::PODS, pod(job, index))
                .then(EventSpec::normal(job, COMPONENT, "SuccessfulCreate", "Created pod: {name}".into()))
                .or_refused(OnRefusal {
                    owner_uid: uid(job).into(),
                    reason: "FailedCreate",
                    event: EventSpec::warning(
                        job,
                        COMPONENT,
                        "FailedCreate",
                        "Error creating: {error}".into(),
                    ),
                }),
        );
    }
}

fn is_indexed(job: &Value) -> bool {
    text(job, "/spec/completionMode") == "Indexed"
}

fn index_of(pod: &Value) -> Option<i64> {
    annotation(pod, INDEX)?.parse().ok()
}

/// `0-2,5`.
fn show_indexes(indexes: &BTreeSet<i64>) -> String {
    let mut ranges: Vec<(i64, i64)> = Vec::new();
    for &i in indexes {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == i => *last = i,
            _ => ranges.push((i, i)),
        }
    }
    let shown: Vec<String> = ranges
        .iter()
        .map(|(first, last)| match last - first {
            0 => first.to_string(),
            1 => format!("{first},{last}"),
            _ => format!("{first}-{last}"),
        })
        .collect();
    shown.join(",")
}

fn parse_indexes(text: &str) -> BTreeSet<i64> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<i64>().ok()?..=last.parse::<i64>().ok()?.min(100_000))
    };
    text.split(',').filter_map(range).flatten().collect()
}

/// What tells a pod of an indexed Job which one it is: name, host name, annotation, label and variable.
fn give_index(pod: &mut Value, job: &Value, index: i64) {
    set(pod, "/metadata/generateName", format!("{}-{index}-", name(job)).into());
    set(pod, "/spec/hostname", format!("{}-{index}", name(job)).into());
    for map in ["annotations", "labels"] {
        set(pod, &format!("/metadata/{map}/{}", INDEX.replace('/', "~1")), index.to_string().into());
    }
    let variable = json!({"name": "JOB_COMPLETION_INDEX",
        "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": format!("metadata.labels['{INDEX}']")}}});
    for list in ["initContainers", "containers"] {
        for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
            let is_there = items(container, "/env").iter().any(|v| v["name"] == "JOB_COMPLETION_INDEX");
            if !is_there {
                let mut all = items(container, "/env").clone();
                all.push(variable.clone());
                container["env"] = all.into();
            }
        }
    }
}

fn pod(job: &Value, index: Option<i64>) -> Value {
    let mut pod = pod_from_template(job, "batch/v1", "Job");
    if let Some(index) = index {
        give_index(&mut pod, job, index);
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
    fn indexes_are_told_as_ranges() {
        for (text, shown) in [("", ""), ("3", "3"), ("0,1", "0,1"), ("0-2,5", "0-2,5"), ("2,1,0", "0-2")] {
            assert_eq!(show_indexes(&parse_indexes(text)), shown);
        }
    }

    #[test]
    fn fails_beyond_the_limit() {
        let listed = json!({"uncountedTerminatedPods": {"failed": ["u-p"]}});
        let failed = "status uncounted={} FailureTarget+Failed";
        check(listed, Some(pod_in("Failed", false)), &["BackoffLimitExceeded", failed]);
    }
}
