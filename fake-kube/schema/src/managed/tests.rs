//! Who owns what of an object of a built-in kind that was created, as `kubectl get --show-managed-fields` shows it.

use serde_json::{Value, json};

use super::{Write, track_update};
use crate::builtins::Builtins;

fn check(api_version: &str, kind: &str, mut object: Value, expected: Value) {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let schema = Builtins::load().schema(group, version, kind).expect("a kind every server has");
    object["apiVersion"] = api_version.into();
    object["kind"] = kind.into();
    object["metadata"]["name"] = "x".into();
    schema.default(&mut object);
    let write = Write {
        manager: "m",
        api_version,
        subresource: "",
        now: jiff::Timestamp::UNIX_EPOCH,
        same_schema: false,
        reset_fields: &["status"],
    };
    track_update(&schema, None, &mut object, &write);
    assert_eq!(object["metadata"]["managedFields"][0]["fieldsV1"], expected, "{kind}");
}

/// Structs that are always there belong to nobody; maps and lists that need not be there do.
#[test]
fn what_every_object_of_a_kind_has_belongs_to_nobody() {
    let container = json!({".": {}, "f:image": {}, "f:imagePullPolicy": {}, "f:name": {}, "f:resources": {},
        "f:terminationMessagePath": {}, "f:terminationMessagePolicy": {}});
    let pod = json!({"f:containers": {"k:{\"name\":\"c\"}": container}, "f:dnsPolicy": {}, "f:restartPolicy": {},
        "f:schedulerName": {}, "f:securityContext": {}, "f:terminationGracePeriodSeconds": {}});
    let labels = json!({".": {}, "f:app": {}});
    let template = json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}});
    check(
        "apps/v1",
        "Deployment",
        json!({"metadata": {"labels": {"app": "x"}},
            "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": template}}),
        json!({"f:metadata": {"f:labels": labels}, "f:spec": {"f:progressDeadlineSeconds": {}, "f:replicas": {},
            "f:revisionHistoryLimit": {}, "f:selector": {},
            "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}}, "f:type": {}},
            "f:template": {"f:metadata": {"f:labels": labels}, "f:spec": pod}}}),
    );
    check(
        "v1",
        "Service",
        json!({"spec": {"ports": [{"port": 80}]}}),
        json!({"f:spec": {"f:internalTrafficPolicy": {}, "f:ports": {".": {},
            "k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}, "f:protocol": {}, "f:targetPort": {}}},
            "f:sessionAffinity": {}, "f:type": {}}}),
    );
    check("v1", "ConfigMap", json!({"data": {"a": "b"}}), json!({"f:data": {".": {}, "f:a": {}}}));
    check(
        "coordination.k8s.io/v1",
        "Lease",
        json!({"spec": {"holderIdentity": "me"}}),
        json!({"f:spec": {"f:holderIdentity": {}}}),
    );
}
