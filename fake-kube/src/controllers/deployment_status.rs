//! Status and conditions of a Deployment (kube-api.md 3.1; recorded in wl-rollout, wl-pod-lost, wl-quota, wl-pause).

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::deployment::Sized;
use super::rollout::Limits;
use crate::json::*;

/// `progressDeadlineSeconds` at its maximum means none.
pub fn tracks_progress(deployment: &Value) -> bool {
    at(deployment, "/spec/progressDeadlineSeconds").as_i64().is_some_and(|s| s != i64::from(i32::MAX))
}

/// Sets a condition unless it already says so. A replaced condition moves to the end, as in the real controller.
pub fn set(deployment: &mut Value, kind: &str, status: &str, reason: &str, message: &str, now: Timestamp) {
    let current = condition(deployment, kind);
    if current.is_some_and(|c| c["status"] == status && c["reason"] == reason) {
        return;
    }
    let transition =
        current.filter(|c| c["status"] == status).map_or(stamp(now), |c| c["lastTransitionTime"].clone());
    let new = json!({"type": kind, "status": status, "lastUpdateTime": stamp(now), "lastTransitionTime": transition,
                     "reason": reason, "message": message});
    drop_condition(deployment, kind);
    let mut conditions = items(deployment, "/status/conditions").clone();
    conditions.push(new);
    crate::json::set(deployment, "/status/conditions", conditions.into());
}

fn drop_condition(deployment: &mut Value, kind: &str) {
    if let Some(list) = deployment.pointer_mut("/status/conditions").and_then(Value::as_array_mut) {
        list.retain(|c| c["type"] != kind);
    }
}

/// Paused and resumed are told in Progressing, but never over a missed deadline.
pub fn note_pause(deployment: &mut Value, now: Timestamp) {
    if !tracks_progress(deployment) {
        return;
    }
    let reason = condition(deployment, "Progressing").map(|c| c["reason"].as_str().unwrap_or("").to_owned());
    if reason.as_deref() == Some("ProgressDeadlineExceeded") {
        return;
    }
    let paused = flag(deployment, "/spec/paused");
    if paused && reason.as_deref() != Some("DeploymentPaused") {
        set(deployment, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused", now);
    } else if !paused && reason.as_deref() == Some("DeploymentPaused") {
        set(deployment, "Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed", now);
    }
}

/// The counters and the Available condition; other conditions as they are.
pub fn compute(d: &Value, all: &[Sized], new: Option<&Sized>, terminating: i64, now: Timestamp) -> Value {
    let sum = |pointer: &str| all.iter().map(|rs| int(&rs.object, pointer)).sum::<i64>();
    let available = sum("/status/availableReplicas");
    let wanted: i64 = all.iter().map(|rs| rs.replicas).sum();
    let mut status = Map::new();
    status.insert("observedGeneration".into(), at(d, "/metadata/generation").clone());
    let counters = [
        ("replicas", sum("/status/replicas")),
        ("updatedReplicas", new.map_or(0, |rs| int(&rs.object, "/status/replicas"))),
        ("readyReplicas", sum("/status/readyReplicas")),
        ("availableReplicas", available),
        ("unavailableReplicas", (wanted - available).max(0)),
    ];
    status.extend(counters.into_iter().filter(|(_, n)| *n != 0).map(|(k, n)| (k.to_owned(), n.into())));
    status.insert("terminatingReplicas".into(), terminating.into());
    if let Some(n) = at(d, "/status/collisionCount").as_i64() {
        status.insert("collisionCount".into(), n.into());
    }
    let mut scratch = json!({"status": {"conditions": at(d, "/status/conditions")}});
    if available >= int_or(d, "/spec/replicas", 1) - Limits::of(d).unavailable {
        let message = "Deployment has minimum availability.";
        set(&mut scratch, "Available", "True", "MinimumReplicasAvailable", message, now);
    } else {
        let message = "Deployment does not have minimum availability.";
        set(&mut scratch, "Available", "False", "MinimumReplicasUnavailable", message, now);
    }
    status.insert("conditions".into(), scratch["status"]["conditions"].take());
    Value::Object(status)
}

pub fn is_complete(deployment: &Value, status: &Value) -> bool {
    let replicas = int_or(deployment, "/spec/replicas", 1);
    int(status, "/updatedReplicas") == replicas
        && int(status, "/replicas") == replicas
        && int(status, "/availableReplicas") == replicas
        && int(status, "/observedGeneration") >= int(deployment, "/metadata/generation")
}

/// Progressing and ReplicaFailure on top of the computed status that `deployment` already carries.
pub fn progress(d: &Value, stored: &Value, all: &[Sized], new: Option<&Sized>, now: Timestamp) -> Value {
    let mut d = d.clone();
    if tracks_progress(&d) {
        let current = condition(&d, "Progressing").cloned();
        let status = at(&d, "/status").clone();
        let settled = int(&status, "/replicas") == int(&status, "/updatedReplicas")
            && current.as_ref().is_some_and(|c| c["reason"] == "NewReplicaSetAvailable");
        if !settled {
            note_progress(&mut d, &status, stored, current, new, now);
        }
    } else {
        drop_condition(&mut d, "Progressing");
    }
    note_failure(&mut d, all, new, now);
    d["status"].take()
}

fn note_progress(
    d: &mut Value,
    status: &Value,
    stored: &Value,
    current: Option<Value>,
    new: Option<&Sized>,
    now: Timestamp,
) {
    let subject = match new {
        Some(rs) => format!("ReplicaSet \"{}\"", rs.name()),
        None => format!("Deployment \"{}\"", name(stored)),
    };
    if is_complete(stored, status) {
        let message = format!("{subject} has successfully progressed.");
        set(d, "Progressing", "True", "NewReplicaSetAvailable", &message, now);
    } else if has_progressed(status, at(stored, "/status")) {
        // Progress refreshes lastUpdateTime, from which the deadline counts.
        let kept = current.filter(|c| c["status"] == "True").map(|c| c["lastTransitionTime"].clone());
        drop_condition(d, "Progressing");
        let message = format!("{subject} is progressing.");
        set(d, "Progressing", "True", "ReplicaSetUpdated", &message, now);
        if let (Some(t), Some(list)) =
            (kept, d.pointer_mut("/status/conditions").and_then(Value::as_array_mut))
            && let Some(last) = list.last_mut()
        {
            last["lastTransitionTime"] = t;
        }
    } else if current.is_some_and(|c| timed_out(&c, stored, now)) {
        let message = format!("{subject} has timed out progressing.");
        set(d, "Progressing", "False", "ProgressDeadlineExceeded", &message, now);
    }
}

fn has_progressed(status: &Value, old: &Value) -> bool {
    let old_replicas = |s: &Value| int(s, "/replicas") - int(s, "/updatedReplicas");
    int(status, "/updatedReplicas") > int(old, "/updatedReplicas")
        || old_replicas(status) < old_replicas(old)
        || int(status, "/readyReplicas") > int(old, "/readyReplicas")
        || int(status, "/availableReplicas") > int(old, "/availableReplicas")
}

fn timed_out(condition: &Value, deployment: &Value, now: Timestamp) -> bool {
    match condition["reason"].as_str().unwrap_or("") {
        "NewReplicaSetAvailable" => false,
        "ProgressDeadlineExceeded" => true,
        _ => time(condition, "/lastUpdateTime")
            .is_some_and(|t| after_secs(t, int(deployment, "/spec/progressDeadlineSeconds")) < now),
    }
}

/// When the deadline must be looked at again: one second after it passes, for times have whole seconds.
pub fn deadline(d: &Value) -> Option<Timestamp> {
    if !tracks_progress(d) || flag(d, "/spec/paused") || is_complete(d, at(d, "/status")) {
        return None;
    }
    let current = condition(d, "Progressing")?;
    if matches!(current["reason"].as_str(), Some("NewReplicaSetAvailable" | "ProgressDeadlineExceeded")) {
        return None;
    }
    Some(after_secs(time(current, "/lastUpdateTime")?, int(d, "/spec/progressDeadlineSeconds") + 1))
}

fn note_failure(d: &mut Value, all: &[Sized], new: Option<&Sized>, now: Timestamp) {
    let failure = new.into_iter().chain(all).find_map(|rs| condition(&rs.object, "ReplicaFailure").cloned());
    match failure {
        Some(c) => {
            let part = |k: &str| c[k].as_str().unwrap_or("").to_owned();
            set(d, "ReplicaFailure", &part("status"), &part("reason"), &part("message"), now);
        }
        None => drop_condition(d, "ReplicaFailure"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{deployment, now};
    use super::*;
    use std::sync::Arc;

    fn rs(replicas: i64, status: Value) -> Sized {
        Sized { object: Arc::new(json!({"metadata": {"name": "d-x"}, "status": status})), replicas }
    }

    fn after_rollout(d: &Value, rs: &Sized, t: Timestamp) -> Value {
        let mut d2 = d.clone();
        d2["status"] = compute(d, std::slice::from_ref(rs), Some(rs), 0, t);
        d2["status"] = progress(&d2, d, std::slice::from_ref(rs), Some(rs), t);
        d2
    }

    #[test]
    fn the_deadline_counts_from_the_last_progress() {
        let mut d = deployment(1);
        d["spec"]["progressDeadlineSeconds"] = 5.into();
        set(&mut d, "Progressing", "True", "NewReplicaSetCreated", "Created new replica set \"d-x\"", now());
        let pending = rs(1, json!({"replicas": 1}));
        let d = after_rollout(&d, &pending, now());
        assert_eq!(condition(&d, "Progressing").expect("set")["reason"], "ReplicaSetUpdated");
        assert_eq!(deadline(&d), Some(after_secs(now(), 6)));
        let d = after_rollout(&d, &pending, after_secs(now(), 6));
        let c = condition(&d, "Progressing").expect("set");
        assert_eq!(c["message"], "ReplicaSet \"d-x\" has timed out progressing.");
        assert_eq!(c["status"], "False");
        assert_eq!(deadline(&d), None);
    }

    #[test]
    fn a_completed_rollout_flips_available_only() {
        let d = after_rollout(
            &deployment(1),
            &rs(1, json!({"replicas": 1, "readyReplicas": 1, "availableReplicas": 1})),
            now(),
        );
        assert_eq!(condition(&d, "Progressing").expect("set")["reason"], "NewReplicaSetAvailable");
        let d = after_rollout(&d, &rs(1, json!({"replicas": 1})), after_secs(now(), 9999));
        assert_eq!(condition(&d, "Progressing").expect("set")["reason"], "NewReplicaSetAvailable");
        assert_eq!(condition(&d, "Available").expect("set")["status"], "False");
        assert_eq!(int(&d, "/status/unavailableReplicas"), 1);
    }
}
