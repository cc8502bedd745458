//! The pod status a kubelet reports: phase, conditions, container statuses (kube-api.md 3.2; `getPhase` and
//! `status.Generate*Condition` of the kubelet).

use fake_kube_apiserver::equal;
use serde_json::{Value, json};

use super::container::{COMPONENT, Container, Role, State, World};
use super::images;
use super::worker::{Worker, may_restart};
use crate::json::*;
use crate::view::resource as r;
use crate::write::Write;

pub fn phase(worker: &Worker, pod: &Value) -> &'static str {
    if worker.failed.is_some() {
        return "Failed";
    }
    let over = |c: &Container| c.ended().is_some() && (is_deleting(pod) || !may_restart(c, pod));
    let failed_init = worker
        .containers
        .iter()
        .any(|c| c.role == Role::Init && over(c) && c.ended().is_some_and(|e| e.code != 0));
    if failed_init && !is_deleting(pod) {
        return "Failed";
    }
    if !initialized(worker) {
        return "Pending";
    }
    let mut main = worker.containers.iter().filter(|c| c.role == Role::Main).peekable();
    if main.peek().is_none() {
        return "Pending";
    }
    let main: Vec<&Container> = main.collect();
    if main.iter().any(|c| c.last.is_none() && (!c.is_running() || c.is_hooked()) && c.ended().is_none()) {
        return "Pending";
    }
    if main.iter().any(|c| !over(c)) {
        return "Running";
    }
    let all_zero = main.iter().all(|c| c.ended().is_some_and(|e| e.code == 0));
    if all_zero { "Succeeded" } else { "Failed" }
}

pub fn initialized(worker: &Worker) -> bool {
    worker.containers.iter().all(|c| match c.role {
        Role::Init => c.ended().is_some_and(|e| e.code == 0),
        Role::Sidecar => c.started || c.restarts > 0 || c.ended().is_some(),
        Role::Main => true,
    })
}

/// Writes the status if it differs from the stored one. Conditions of others (PodScheduled, DisruptionTarget,
/// readiness gates) are kept as they are. Whether it wrote.
pub fn report(worker: &Worker, w: &mut World) -> bool {
    let status = generate(worker, w);
    let differs = !equal(&status, at(w.pod, "/status"));
    if differs {
        let mut object = Value::clone(w.pod);
        object["status"] = status;
        w.step.push(Write::update_status(COMPONENT, r::PODS, object));
    }
    differs
}

fn generate(worker: &Worker, w: &World) -> Value {
    let pod = w.pod;
    let phase = phase(worker, pod);
    let mut status = json!({});
    if let Some(generation) = at(pod, "/metadata/generation").as_i64() {
        status["observedGeneration"] = generation.into();
    }
    status["phase"] = phase.into();
    status["conditions"] = conditions(worker, w, phase).into();
    if let Some((reason, message)) = &worker.failed {
        status["message"] = message.as_str().into();
        status["reason"] = (*reason).into();
    }
    status["hostIP"] = worker.host_ip.as_str().into();
    status["hostIPs"] = json!([{"ip": worker.host_ip}]);
    if worker.sandbox {
        status["podIP"] = worker.ip.as_str().into();
        status["podIPs"] = json!([{"ip": worker.ip}]);
    }
    status["startTime"] = stamp(worker.start_time);
    let of = |main: bool| -> Vec<Value> {
        let chosen = worker.containers.iter().filter(|c| (c.role == Role::Main) == main);
        chosen.map(|c| container_status(c, worker, w)).collect()
    };
    if worker.containers.iter().any(|c| c.role != Role::Main) {
        status["initContainerStatuses"] = of(false).into();
    }
    status["containerStatuses"] = of(true).into();
    // Members this kubelet does not know (resize, ephemeral containers..) stay.
    for (k, v) in at(pod, "/status").as_object().into_iter().flatten() {
        if status.get(k).is_none() && !matches!(k.as_str(), "reason" | "message" | "nominatedNodeName") {
            status[k] = v.clone();
        }
    }
    status
}

fn is_ready(c: &Container, w: &World) -> bool {
    c.ready && !w.faults.not_ready(w.pod)
}

fn conditions(worker: &Worker, w: &World, phase: &str) -> Vec<Value> {
    let initialized = initialized(worker);
    let pending: Vec<&str> = worker
        .containers
        .iter()
        .filter(|c| c.role == Role::Init && c.ended().is_none_or(|e| e.code != 0))
        .map(|c| c.name.as_str())
        .collect();
    let unready: Vec<&str> = worker
        .containers
        .iter()
        .filter(|c| c.role != Role::Init && !is_ready(c, w))
        .map(|c| c.name.as_str())
        .collect();
    let over = match phase {
        "Succeeded" => Some("PodCompleted"),
        "Failed" => Some("PodFailed"),
        _ => None,
    };
    let ready = match over {
        Some(reason) => (false, reason, String::new()),
        None if unready.is_empty() => (true, "", String::new()),
        None => {
            (false, "ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" ")))
        }
    };
    let gates: Vec<&str> = items(w.pod, "/spec/readinessGates")
        .iter()
        .filter_map(|g| g["conditionType"].as_str())
        .filter(|g| !condition_is_true(w.pod, g))
        .collect();
    let pod_ready = match gates.first() {
        Some(gate) if ready.0 => (
            false,
            "ReadinessGatesNotReady",
            format!("corresponding condition of pod readiness gate \"{gate}\" does not exist."),
        ),
        _ => ready.clone(),
    };
    let init = match (initialized, over) {
        (true, Some("PodCompleted")) => (true, "PodCompleted", String::new()),
        (true, _) => (true, "", String::new()),
        (false, _) => (
            false,
            "ContainersNotInitialized",
            format!("containers with incomplete status: [{}]", pending.join(" ")),
        ),
    };
    let sandbox_up =
        worker.sandbox && (over.is_none() || worker.containers.iter().any(Container::is_running));
    let own = [
        ("PodReadyToStartContainers", (sandbox_up, "", String::new())),
        ("Initialized", init),
        ("Ready", pod_ready),
        ("ContainersReady", ready),
    ];
    let mut out: Vec<Value> = own.iter().map(|(kind, state)| condition_value(w, kind, state)).collect();
    let others = items(w.pod, "/status/conditions").iter();
    out.extend(others.filter(|c| own.iter().all(|(kind, _)| c["type"] != *kind)).cloned());
    out
}

fn condition_value(w: &World, kind: &str, state: &(bool, &str, String)) -> Value {
    let (on, reason, message) = state;
    let status = if *on { "True" } else { "False" };
    let since = condition(w.pod, kind)
        .filter(|c| c["status"] == status)
        .map_or(stamp(w.now), |c| c["lastTransitionTime"].clone());
    let mut out = json!({"type": kind});
    if let Some(generation) = at(w.pod, "/metadata/generation").as_i64() {
        out["observedGeneration"] = generation.into();
    }
    out["status"] = status.into();
    out["lastProbeTime"] = Value::Null;
    out["lastTransitionTime"] = since;
    if !reason.is_empty() {
        out["reason"] = (*reason).into();
    }
    if !message.is_empty() {
        out["message"] = message.as_str().into();
    }
    out
}

fn container_status(c: &Container, worker: &Worker, w: &World) -> Value {
    let spec = c.spec(w.pod);
    let image = spec["image"].as_str().unwrap_or("");
    let is_first = c.is_hooked() && c.last.is_none();
    let ran = !c.id.is_empty() && !is_first;
    let last = c.ended().filter(|_| failed_start(c, worker, w).is_some()).or(c.last.as_ref());
    let mut out = json!({
        "name": c.name,
        "state": state(c, worker, w),
        "lastState": last.map_or(json!({}), |e| json!({"terminated": terminated(e)})),
        "ready": match c.role { Role::Init => c.ended().is_some_and(|e| e.code == 0), _ => is_ready(c, w) },
        "restartCount": c.restarts,
        "image": if ran { images::full_name(image) } else { image.to_owned() },
        "imageID": if ran { images::image_id(image) } else { String::new() },
    });
    if ran {
        out["containerID"] = c.id.as_str().into();
    }
    out["started"] = (c.is_running() && c.started).into();
    out
}

/// Why it could not be started, for a container that is to run again.
fn failed_start<'a>(c: &'a Container, worker: &Worker, w: &World) -> Option<&'a str> {
    let is_going = !is_deleting(w.pod) && worker.failed.is_none();
    let is_waiting = c.ended().is_none() || may_restart(c, w.pod);
    c.hook_error.as_deref().filter(|_| is_going && is_waiting)
}

fn state(c: &Container, worker: &Worker, w: &World) -> Value {
    let waiting = |reason: &str, message: &str| {
        let mut v = json!({"waiting": {"reason": reason}});
        if !message.is_empty() {
            v["waiting"]["message"] = message.into();
        }
        v
    };
    let has_init = worker.containers.iter().any(|c| c.role != Role::Main);
    let creating = if has_init { "PodInitializing" } else { "ContainerCreating" };
    if let Some(message) = failed_start(c, worker, w)
        && !matches!(c.state, State::Held { .. })
        && (!c.is_running() || c.is_hooked())
    {
        return waiting("PostStartHookError", message);
    }
    match &c.state {
        State::Running { since } if !c.is_hooked() => json!({"running": {"startedAt": stamp(*since)}}),
        State::Ended(e) => json!({"terminated": terminated(e)}),
        State::Held { .. } => waiting("CrashLoopBackOff", &c.back_off_text(w.pod)),
        State::PullFailed { reason, message, .. } => waiting(reason, message),
        State::ConfigError { message, .. } => waiting("CreateContainerConfigError", message),
        // Between two runs the last one is still what is seen.
        State::Pulling { .. } | State::Starting { .. } | State::Running { .. } if c.last.is_some() => {
            c.last.as_ref().map_or(Value::Null, |e| json!({"terminated": terminated(e)}))
        }
        State::Idle | State::Pulling { .. } | State::Starting { .. } | State::Running { .. } => {
            waiting(creating, "")
        }
    }
}

fn terminated(e: &super::container::Ended) -> Value {
    let mut v = json!({"exitCode": e.code, "reason": e.reason});
    if !e.message.is_empty() {
        v["message"] = e.message.as_str().into();
    }
    v["startedAt"] = stamp(e.started);
    v["finishedAt"] = stamp(e.finished);
    v["containerID"] = e.id.as_str().into();
    v
}
