//! Two APIs, one kind of object, different strictness: `ValidateEventCreate` and `ValidateEventUpdate` of Kubernetes 1.35.

use fake_kube_apiserver::conformance::local::Local;
use fake_kube_apiserver::conformance::{Reply, Sent, Transport};
use serde_json::{Value, json};

const CORE: &str = "/api/v1/namespaces/default/events";
const STRICT: &str = "/apis/events.k8s.io/v1/namespaces/default/events";

/// The code, and which fields were complained about.
fn send(local: &mut Local, method: &str, target: &str, object: &Value) -> (u16, Vec<String>) {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    let body = Some(object.to_string().into_bytes());
    let sent = Sent { method: method.into(), target: target.into(), headers, body };
    let Reply { status, body, .. } = local.request(&sent).expect("an answer");
    let answer: Value = serde_json::from_slice(&body).expect("JSON");
    let causes = answer["details"]["causes"].as_array().cloned().unwrap_or_default();
    (status, causes.iter().map(|cause| cause["field"].as_str().unwrap_or_default().to_owned()).collect())
}

fn event(api: &str, about: &str, change: &Value) -> Value {
    let controller = if api == "v1" { "reportingComponent" } else { "reportingController" };
    let mut event = json!({
        "apiVersion": api, "kind": "Event", "metadata": {"name": "e", "namespace": "default"},
        about: {"kind": "Pod", "name": "p", "namespace": "default"}, "type": "Normal", "reason": "R", "action": "A",
        "eventTime": "2026-01-01T00:00:00.000000Z", controller: "example.com/c", "reportingInstance": "i"
    });
    for (key, value) in change.as_object().expect("an object") {
        match key.as_str() {
            "name" => event["metadata"]["name"] = value.clone(),
            key => event[key] = value.clone(),
        }
    }
    event
}

#[test]
fn core_takes_what_events_k8s_io_refuses() {
    let core = |change: Value| event("v1", "involvedObject", &change);
    let strict = |change: Value| event("events.k8s.io/v1", "regarding", &change);
    let mut local = Local::new(1);
    let loose = json!({"type": "Error", "name": "loose"});
    assert_eq!(send(&mut local, "POST", CORE, &core(loose.clone())), (201, vec![]));
    assert_eq!(send(&mut local, "POST", STRICT, &strict(loose)), (422, vec!["type".to_owned()]));
    let counted = json!({"deprecatedCount": 2, "series": {"count": 1, "lastObservedTime": null}});
    let words = ["series.count", "series.lastObservedTime", "count"].map(str::to_owned);
    assert_eq!(send(&mut local, "POST", STRICT, &strict(counted)), (422, words.to_vec()));
    // Each names the field as it calls it.
    let nobody = |key: &str| json!({key: "-x", "name": "nobody"});
    let refused = |field: &str| (422, vec![field.to_owned()]);
    assert_eq!(
        send(&mut local, "POST", CORE, &core(nobody("reportingComponent"))),
        refused("reportingComponent")
    );
    assert_eq!(
        send(&mut local, "POST", STRICT, &strict(nobody("reportingController"))),
        refused("reportingController")
    );
}

#[test]
fn what_was_told_may_be_changed_through_core_only() {
    let mut local = Local::new(1);
    let change = json!({"reason": "Other"});
    let told = event("v1", "involvedObject", &json!({}));
    assert_eq!(send(&mut local, "POST", CORE, &told), (201, vec![]));
    let strict = event("events.k8s.io/v1", "regarding", &change);
    let (code, fields) = send(&mut local, "PUT", &format!("{STRICT}/e"), &strict);
    assert_eq!((code, fields.contains(&"reason".to_owned())), (422, true), "{fields:?}");
    let core = event("v1", "involvedObject", &change);
    assert_eq!(send(&mut local, "PUT", &format!("{CORE}/e"), &core), (200, vec![]));
}
