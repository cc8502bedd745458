//! The CronJob controller: a Job when one is due, at most one behind, history limits, concurrency policies
//! (kubernetes 1.35 pkg/controller/cronjob: syncCronJob, mostRecentScheduleTime, cleanupFinishedJobs).
//! Schedules and the zones they are in: `fake_kube_apiserver::cron`.

use std::sync::Arc;

use fake_kube_apiserver::cron::{self, Schedule};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::deployment::ACTOR;
use crate::json::*;
use crate::view::{Key, View, resource as r};
use crate::write::{EventSpec, OnRefusal, Step, Write};

const COMPONENT: &str = "cronjob-controller";
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// More missed times than these are told.
const MISSED_MAX: i64 = 100;

pub fn sync(view: &View, key: &Key, now: Timestamp) -> Step {
    let mut step = Step::nothing();
    let Some(cron) = view.find(key) else { return step };
    let mut jobs = view.controlled(r::JOBS, uid(cron));
    jobs.sort_by_key(|j| (text(j, "/status/startTime").to_owned(), name(j).to_owned()));
    let status = status(cron, &jobs, &mut step);
    if status != *at(cron, "/status") {
        let mut object = Value::clone(cron);
        object["status"] = status.clone();
        step.push(Write::update_status(ACTOR, r::CRON_JOBS, object));
    }
    if is_deleting(cron) {
        return step;
    }
    for (kind, limit) in [("Complete", "successful"), ("Failed", "failed")] {
        let ended: Vec<&Arc<Value>> =
            jobs.iter().copied().filter(|j| condition_is_true(j, kind) && !is_deleting(j)).collect();
        if let Some(limit) = at(cron, &format!("/spec/{limit}JobsHistoryLimit")).as_u64() {
            let surplus = ended.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
            ended.iter().take(surplus).for_each(|job| delete(cron, job, &mut step));
        }
    }
    let named = text(cron, "/spec/timeZone");
    match cron::zone(named) {
        Ok(_) if flag(cron, "/spec/suspend") => {}
        Ok(zone) => schedule(cron, &jobs, &status, &zone, now, &mut step),
        Err(why) => {
            let message = format!("invalid timeZone: {named:?}: {why}");
            step.push(Write::event(EventSpec::warning(cron, COMPONENT, "UnknownTimeZone", message)));
        }
    }
    step
}

fn is_finished(job: &Value) -> bool {
    condition_is_true(job, "Complete") || condition_is_true(job, "Failed")
}

/// What of its Jobs is told, with the events that come with it.
fn status(cron: &Arc<Value>, jobs: &[&Arc<Value>], step: &mut Step) -> Value {
    let old = at(cron, "/status");
    for reference in items(old, "/active") {
        let job = jobs.iter().find(|j| reference["uid"] == uid(j));
        let (reason, message) = match job {
            None => ("MissingJob", format!("Active job went missing: {}", text(reference, "/name"))),
            Some(job) if is_finished(job) => {
                let condition = if condition_is_true(job, "Complete") { "Complete" } else { "Failed" };
                let message = format!("Saw completed job: {}, condition: {condition}", name(job));
                ("SawCompletedJob", message)
            }
            Some(_) => continue,
        };
        step.push(Write::event(EventSpec::normal(cron, COMPONENT, reason, message)));
    }
    let mut status = old.as_object().cloned().unwrap_or_default();
    let active: Vec<Value> = jobs
        .iter()
        .filter(|j| !is_finished(j))
        .map(|j| {
            json!({"kind": "Job", "namespace": namespace(j), "name": name(j), "uid": uid(j), "apiVersion": "batch/v1",
                "resourceVersion": active_version(old, j)})
        })
        .collect();
    status.shift_remove("active");
    if !active.is_empty() {
        status.insert("active".into(), active.into());
    }
    let mut latest = |key: &str, times: Vec<Timestamp>| {
        let known = status.get(key).and_then(Value::as_str).and_then(|t| t.parse().ok());
        if let Some(last) = times.into_iter().chain(known).max() {
            status.insert(key.to_owned(), stamp(last));
        }
    };
    let scheduled = |j: &&Arc<Value>| annotation(j, SCHEDULED)?.parse::<Timestamp>().ok();
    latest("lastScheduleTime", jobs.iter().filter_map(scheduled).collect());
    let succeeded = jobs.iter().filter(|j| condition_is_true(j, "Complete"));
    latest("lastSuccessfulTime", succeeded.filter_map(|j| time(j, "/status/completionTime")).collect());
    Value::Object(status)
}

/// A reference is not written again for every change of its Job.
fn active_version(old: &Value, job: &Value) -> Value {
    let known = items(old, "/active").iter().find(|a| a["uid"] == uid(job));
    known.map_or(at(job, "/metadata/resourceVersion"), |a| &a["resourceVersion"]).clone()
}

fn schedule(
    cron: &Arc<Value>,
    jobs: &[&Arc<Value>],
    status: &Value,
    zone: &TimeZone,
    now: Timestamp,
    step: &mut Step,
) {
    let mut warn = |reason: &'static str, message: String| {
        step.push(Write::event(EventSpec::warning(cron, COMPONENT, reason, message)));
    };
    let written = text(cron, "/spec/schedule");
    let schedule = match Schedule::parse(written) {
        Ok(schedule) => schedule,
        Err(why) => return warn("UnparseableSchedule", format!("unparseable schedule: {written:?} : {why}")),
    };
    let deadline = at(cron, "/spec/startingDeadlineSeconds").as_i64();
    let since = time(status, "/lastScheduleTime")
        .or_else(|| time(cron, "/metadata/creationTimestamp"))
        .unwrap_or(now);
    let earliest = deadline.map_or(since, |s| {
        since.max(now.saturating_sub(SignedDuration::from_secs(s)).unwrap_or(Timestamp::MIN))
    });
    let Some((due, missed)) = most_recent(&schedule, zone, earliest, now) else {
        if let Some(next) = schedule.next(now, zone) {
            step.look_again(next);
        }
        return;
    };
    if missed > MISSED_MAX {
        let message =
            "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
        warn("TooManyMissedTimes", message.to_owned());
    }
    if let Some(next) = schedule.next(now, zone) {
        step.look_again(next);
    }
    let job_name = format!("{}-{}", name(cron), due.as_second() / 60);
    if time(status, "/lastScheduleTime") == Some(due) || jobs.iter().any(|j| name(j) == job_name) {
        return;
    }
    let active: Vec<&Arc<Value>> = jobs.iter().copied().filter(|j| !is_finished(j)).collect();
    match text(cron, "/spec/concurrencyPolicy") {
        "Forbid" if !active.is_empty() => {
            let message =
                "Not starting job because prior execution is running and concurrency policy is Forbid";
            step.push(Write::event(EventSpec::normal(cron, COMPONENT, "JobAlreadyActive", message.into())));
            return;
        }
        "Replace" => active.iter().filter(|j| !is_deleting(j)).for_each(|job| delete(cron, job, step)),
        _ => {}
    }
    create(cron, &job_name, due, zone, step);
}

/// The last time that is due, and how many there were since.
fn most_recent(
    schedule: &Schedule,
    zone: &TimeZone,
    earliest: Timestamp,
    now: Timestamp,
) -> Option<(Timestamp, i64)> {
    let next = |after: Timestamp| schedule.next(after, zone).filter(|t| *t <= now);
    let first = next(earliest)?;
    let Some(second) = next(first) else { return Some((first, 1)) };
    let between = second.duration_since(first).as_secs().max(1);
    let missed = now.duration_since(first).as_secs() / between + 1;
    // From shortly before now on, as there can be very many.
    let near = first.saturating_add(SignedDuration::from_secs((missed - 2) * between)).ok()?;
    let (mut last, mut at) = (first, near);
    for _ in 0..1000 {
        match next(at) {
            Some(t) => (last, at) = (t.max(last), t),
            None => break,
        }
    }
    Some((last, missed))
}

fn create(cron: &Arc<Value>, job_name: &str, due: Timestamp, zone: &TimeZone, step: &mut Step) {
    let template = at(cron, "/spec/jobTemplate");
    let mut metadata = json!({"name": job_name, "namespace": namespace(cron)});
    if let Some(labels) = at(template, "/metadata/labels").as_object() {
        metadata["labels"] = labels.clone().into();
    }
    let mut annotations = at(template, "/metadata/annotations").as_object().cloned().unwrap_or_default();
    annotations.insert(SCHEDULED.to_owned(), local(due, zone).into());
    metadata["annotations"] = annotations.into();
    metadata["ownerReferences"] = json!([controller_ref(cron, "batch/v1", "CronJob")]);
    let job =
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": at(template, "/spec")});
    let refused = OnRefusal {
        owner_uid: uid(cron).into(),
        reason: "FailedCreate",
        event: EventSpec::warning(cron, COMPONENT, "FailedCreate", "Error creating job: {error}".into()),
    };
    step.push(
        Write::create(ACTOR, r::JOBS, job)
            .then(EventSpec::normal(cron, COMPONENT, "SuccessfulCreate", "Created job {name}".into()))
            .or_refused(refused),
    );
}

/// A time by the clocks of a zone, as RFC 3339 has it: `2026-01-01T01:00:00+01:00`.
fn local(at: Timestamp, zone: &TimeZone) -> String {
    let at = at.to_zoned(zone.clone());
    match at.offset().is_zero() {
        true => at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        false => at.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
    }
}

fn delete(cron: &Arc<Value>, job: &Arc<Value>, step: &mut Step) {
    let message = format!("Deleted job {}", name(job));
    let event = EventSpec::normal(cron, COMPONENT, "SuccessfulDelete", message);
    step.push(Write::delete(ACTOR, &Key::of(r::JOBS, job), Some("Background"), uid(job)).then(event));
}

#[cfg(test)]
mod tests {
    use super::super::testing::{now, view};
    use super::*;
    use crate::write::Op;

    fn cron(spec: Value, status: Value) -> (&'static str, Value) {
        let mut object = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c", "namespace": "n", "uid": "u-c",
            "creationTimestamp": "2025-12-31T23:50:30Z"},
            "spec": {"schedule": "*/5 * * * *", "jobTemplate": {"metadata": {"labels": {"l": "1"}}, "spec": {"template": {}}},
                "successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 1, "concurrencyPolicy": "Allow"}, "status": status});
        for (k, v) in spec.as_object().into_iter().flatten() {
            object["spec"][k] = v.clone();
        }
        (r::CRON_JOBS, object)
    }

    fn job(name: &str, ended: &str) -> (&'static str, Value) {
        let conditions =
            if ended.is_empty() { json!([]) } else { json!([{"type": ended, "status": "True"}]) };
        let object = json!({"metadata": {"name": name, "namespace": "n", "uid": format!("u-{name}"), "resourceVersion": "7",
            "ownerReferences": [{"kind": "CronJob", "name": "c", "uid": "u-c", "controller": true}]},
            "status": {"conditions": conditions, "startTime": "2025-12-31T00:00:00Z", "completionTime": "2025-12-31T00:01:00Z"}});
        (r::JOBS, object)
    }

    fn check(objects: Vec<(&str, Value)>, expected: &[&str]) {
        let step = sync(&view(objects), &Key::new(r::CRON_JOBS, "n", "c"), now());
        let said = step.writes.iter().map(|w| match &w.op {
            Op::Create(j) => format!("create {} {}", name(j), at(j, "/metadata/annotations")[SCHEDULED]),
            Op::Delete { .. } => format!("delete {}", w.target.name),
            Op::UpdateStatus(o) => format!("active {}", items(o, "/status/active").len()),
            Op::Event(e) => e.reason.to_owned(),
            other => format!("{other:?}"),
        });
        assert_eq!(said.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_last_time_that_was_missed_is_made_up_for() {
        // Three times since its creation; the last is now.
        check(vec![cron(json!({}), json!({}))], &[r#"create c-29453760 "2026-01-01T00:00:00Z""#]);
        check(vec![cron(json!({"suspend": true}), json!({}))], &[]);
        check(vec![cron(json!({"schedule": "1 0 * * *"}), json!({}))], &[]);
        check(vec![cron(json!({}), json!({"lastScheduleTime": "2026-01-01T00:00:00Z"}))], &[]);
        check(vec![cron(json!({"schedule": "nope"}), json!({}))], &["UnparseableSchedule"]);
        check(vec![cron(json!({"timeZone": "Mars/Base"}), json!({}))], &["UnknownTimeZone"]);
        check(vec![cron(json!({"timeZone": "Mars/Base", "suspend": true}), json!({}))], &["UnknownTimeZone"]);
        // At one in Berlin.
        check(
            vec![cron(json!({"schedule": "0 1 1 * *", "timeZone": "Europe/Berlin"}), json!({}))],
            &[r#"create c-29453760 "2026-01-01T01:00:00+01:00""#],
        );
    }

    #[test]
    fn concurrency_and_history() {
        let forbid = || cron(json!({"concurrencyPolicy": "Forbid"}), json!({}));
        check(vec![forbid(), job("a", "")], &["active 1", "JobAlreadyActive"]);
        let replace = || cron(json!({"concurrencyPolicy": "Replace"}), json!({}));
        check(
            vec![replace(), job("a", "")],
            &["active 1", "delete a", r#"create c-29453760 "2026-01-01T00:00:00Z""#],
        );
        let known = json!({"lastScheduleTime": "2026-01-01T00:00:00Z", "active": [{"uid": "u-a", "name": "a"}, {"uid": "u-x", "name": "x"}]});
        check(
            vec![cron(json!({}), known), job("a", "Complete"), job("b", "Complete"), job("d", "Failed")],
            &["SawCompletedJob", "MissingJob", "active 0", "delete a"],
        );
    }
}
