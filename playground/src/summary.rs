//! An object in a few words, as `kubectl get` has columns for it, and how it does.

use serde_json::Value;

/// `good`, `busy`, `bad`, or nothing to say.
pub type Tone = &'static str;

pub fn of(object: &Value) -> (String, Tone) {
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return ("terminating".to_owned(), "busy");
    }
    match object["kind"].as_str().unwrap_or_default() {
        "FlinkDeployment" | "FlinkSessionJob" => flink(&object["status"]),
        "FlinkStateSnapshot" => state(object["status"]["state"].as_str().unwrap_or("")),
        "Pod" => pod(&object["status"]),
        "Deployment" | "StatefulSet" | "ReplicaSet" => replicas(object),
        "ConfigMap" | "Secret" => {
            let keys = object["data"].as_object().map_or(0, serde_json::Map::len);
            (format!("{keys} keys"), "")
        }
        "Service" => (object["spec"]["type"].as_str().unwrap_or_default().to_owned(), ""),
        "Lease" => (object["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned(), ""),
        "Event" => (object["reason"].as_str().unwrap_or_default().to_owned(), ""),
        _ => (String::new(), ""),
    }
}

fn flink(status: &Value) -> (String, Tone) {
    let text = |pointer| status.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (lifecycle, job) = (text("/lifecycleState"), text("/jobStatus/state"));
    let tone = match (lifecycle, job) {
        ("STABLE", "RUNNING" | "FINISHED" | "") => "good",
        ("FAILED", _) | (_, "FAILED") => "bad",
        _ => "busy",
    };
    let words: Vec<&str> = [lifecycle, job].into_iter().filter(|word| !word.is_empty()).collect();
    (if words.is_empty() { "new".to_owned() } else { words.join(" · ") }, tone)
}

fn state(word: &str) -> (String, Tone) {
    let tone = match word {
        "COMPLETED" => "good",
        "FAILED" => "bad",
        _ => "busy",
    };
    (word.to_owned(), tone)
}

fn pod(status: &Value) -> (String, Tone) {
    let list = |key: &str| status[key].as_array().map(Vec::as_slice).unwrap_or_default();
    let waiting = list("containerStatuses").iter().find_map(|one| one["state"]["waiting"]["reason"].as_str());
    let ended =
        list("containerStatuses").iter().find_map(|one| one["state"]["terminated"]["reason"].as_str());
    let phase = status["phase"].as_str().unwrap_or("Pending");
    let is_ready = list("conditions").iter().any(|one| one["type"] == "Ready" && one["status"] == "True");
    let restarts: u64 = list("containerStatuses").iter().filter_map(|one| one["restartCount"].as_u64()).sum();
    let mut words = vec![phase.to_owned()];
    words.extend(ended.or(waiting).map(str::to_owned));
    if is_ready {
        words.push("ready".to_owned());
    }
    if restarts > 0 {
        words.push(format!("{restarts} restarts"));
    }
    let tone = match (phase, ended.or(waiting)) {
        ("Failed", _)
        | (_, Some("CrashLoopBackOff" | "ImagePullBackOff" | "ErrImagePull" | "OOMKilled" | "Error")) => {
            "bad"
        }
        _ if is_ready || phase == "Succeeded" => "good",
        _ => "busy",
    };
    (words.join(" · "), tone)
}

fn replicas(object: &Value) -> (String, Tone) {
    let wanted = object["spec"]["replicas"].as_u64().unwrap_or(1);
    let ready = object["status"]["readyReplicas"].as_u64().unwrap_or(0);
    (format!("{ready}/{wanted} ready"), if ready >= wanted { "good" } else { "busy" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_in_a_few_words() {
        let check = |object: Value, expected: (&str, &str)| {
            let (text, tone) = of(&object);
            assert_eq!((text.as_str(), tone), expected, "{object}");
        };
        let app = |lifecycle: &str, job: &str| json!({"kind": "FlinkDeployment", "status": {"lifecycleState": lifecycle, "jobStatus": {"state": job}}});
        check(app("STABLE", "RUNNING"), ("STABLE · RUNNING", "good"));
        check(app("DEPLOYED", "RECONCILING"), ("DEPLOYED · RECONCILING", "busy"));
        check(app("FAILED", "FAILED"), ("FAILED · FAILED", "bad"));
        check(json!({"kind": "FlinkDeployment"}), ("new", "busy"));
        check(
            json!({"kind": "Deployment", "spec": {"replicas": 2}, "status": {"readyReplicas": 1}}),
            ("1/2 ready", "busy"),
        );
        let ready = json!([{"type": "Ready", "status": "True"}]);
        check(
            json!({"kind": "Pod", "status": {"phase": "Running", "conditions": ready, "containerStatuses": [{"restartCount": 2}]}}),
            ("Running · ready · 2 restarts", "good"),
        );
        let waiting = json!([{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]);
        check(
            json!({"kind": "Pod", "status": {"phase": "Pending", "containerStatuses": waiting}}),
            ("Pending · ImagePullBackOff", "bad"),
        );
        check(json!({"kind": "Pod", "metadata": {"deletionTimestamp": "x"}}), ("terminating", "busy"));
        check(json!({"kind": "Gadget"}), ("", ""));
    }
}
