//! Admission webhooks in virtual time: pods behind a Service answer them, and controllers' writes go through them too.

use std::sync::Arc;

use base64::Engine;
use bytes::Bytes;
use fake_kube::{Knobs, Process, ProcessEvent, ProcessStart, Programs, Shell, Signal};
use fake_kube_apiserver::Resource;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::*;

/// Pods of the image `hook` answer reviews: they add a label, and refuse names that begin with `bad`.
struct WithHooks;

impl Programs for WithHooks {
    fn start(&self, start: &ProcessStart) -> Box<dyn Process> {
        if start.image.starts_with("hook") { Box::new(Hook) } else { Shell.start(start) }
    }
}

struct Hook;

impl Process for Hook {
    fn step(&mut self, _: Timestamp) -> Vec<ProcessEvent> {
        Vec::new()
    }

    fn next_due(&self) -> Option<Timestamp> {
        None
    }

    fn http(
        &mut self,
        port: u16,
        request: &http::Request<Bytes>,
        _: Timestamp,
    ) -> Option<http::Response<Bytes>> {
        let review: Value = serde_json::from_slice(request.body()).ok().filter(|_| port == 8443)?;
        let asked = &review["request"];
        let mut response = json!({"uid": asked["uid"], "allowed": true});
        let name = asked["object"]["metadata"]["name"].as_str().unwrap_or("");
        if name.starts_with("bad") {
            response = json!({"uid": asked["uid"], "allowed": false, "status": {"message": "bad name", "code": 403}});
        } else if request.uri().path() == "/mutate" {
            let patch = r#"[{"op":"add","path":"/metadata/labels/seen","value":"yes"}]"#;
            response["patchType"] = json!("JSONPatch");
            response["patch"] = json!(base64::engine::general_purpose::STANDARD.encode(patch));
        }
        let review =
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
        Some(http::Response::new(Bytes::from(review.to_string())))
    }

    fn signal(&mut self, _: Signal, _: Timestamp) -> Vec<ProcessEvent> {
        vec![ProcessEvent::exit(0)]
    }
}

fn configuration(kind: &str, path: &str, policy: &str) -> Value {
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "hooks"},
        "webhooks": [{"name": "pods.hooks.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "failurePolicy": policy,
            "clientConfig": {"service": {"name": "hooks", "namespace": "default", "path": path}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]}]})
}

fn configure(w: &World, plural: &str, object: Value) {
    let resource = Resource::new("admissionregistration.k8s.io", "v1", plural);
    w.client.create(&resource, "", object).expect("a configuration");
}

async fn serve_hooks(w: &World) {
    let spec = json!({"containers": [{"name": "c", "image": "hook:1", "ports": [{"containerPort": 8443}]}]});
    w.create("pods", pod("hooks", spec));
    w.create(
        "services",
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hooks"},
            "spec": {"selector": {"app": "hooks"}, "ports": [{"port": 443, "targetPort": 8443}]}}),
    );
    let has_address = |w: &World| {
        let endpoints = w.get("endpoints", "hooks")?;
        endpoints.pointer("/subsets/0/addresses/0").map(|_| ())
    };
    w.until("the webhook is up", has_address).await;
}

#[test]
fn pods_of_a_deployment_are_mutated() {
    story(Knobs::default(), Arc::new(WithHooks), |w| async move {
        serve_hooks(&w).await;
        configure(
            &w,
            "mutatingwebhookconfigurations",
            configuration("MutatingWebhookConfiguration", "/mutate", "Fail"),
        );
        w.create("deployments", deployment("d", 2));
        let seen = |w: &World| {
            let pods = w.list("pods");
            let seen = pods.iter().filter(|p| p["metadata"]["labels"]["seen"] == "yes").count();
            (seen == 2).then_some(pods.len())
        };
        assert_eq!(w.until("two labelled pods", seen).await, 3, "each pod was made once");
    });
}

#[test]
fn a_pod_that_is_refused_is_not_made() {
    story(Knobs::default(), Arc::new(WithHooks), |w| async move {
        serve_hooks(&w).await;
        let object = configuration("ValidatingWebhookConfiguration", "/validate", "Fail");
        configure(&w, "validatingwebhookconfigurations", object);
        let create = |name: &str| {
            let spec = json!({"containers": [{"name": "c", "image": "busybox:1"}]});
            w.client.create(&resource("pods"), "default", pod(name, spec)).map(|_| ())
        };
        // The cluster is free to answer at once: nobody waits.
        assert_eq!(create("good"), Ok(()));
        let refused = create("bad-1").expect_err("the webhook refuses");
        assert_eq!(
            (refused.code, refused.message.as_str()),
            (403, "admission webhook \"pods.hooks.example.com\" denied the request: bad name")
        );
        assert_eq!(w.get("pods", "bad-1"), None);
    });
}

#[test]
fn a_service_that_is_not_there_fails_or_is_ignored() {
    plain(|w| async move {
        let object = configuration("ValidatingWebhookConfiguration", "/validate", "Fail");
        configure(&w, "validatingwebhookconfigurations", object);
        let spec = json!({"containers": [{"name": "c", "image": "busybox:1"}]});
        let refused =
            w.client.create(&resource("pods"), "default", pod("p", spec.clone())).expect_err("no service");
        assert_eq!(
            refused.message,
            "Internal error occurred: failed calling webhook \"pods.hooks.example.com\": failed to call webhook: Post \
             \"https://hooks.default.svc:443/validate?timeout=10s\": service \"hooks\" not found"
        );
        let configurations =
            Resource::new("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations");
        let ignore = json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]);
        w.client
            .patch(&configurations, "", "hooks", "", fake_kube_apiserver::PatchKind::Json, &ignore)
            .expect("the policy changes");
        w.create("pods", pod("p", spec));
    });
}
