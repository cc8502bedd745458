//! Who runs where when there is not room for all, in virtual time.

use std::sync::Arc;

use fake_kube::{Knobs, NodeSpec, Shell};
use fake_kube_apiserver::Resource;
use serde_json::{Value, json};

use crate::support::*;

fn told(tell: impl AsyncFnOnce(World)) {
    let node = NodeSpec { cpu: "4".into(), ..NodeSpec::default() };
    let knobs = Knobs { nodes: vec![node], ..Knobs::instant() };
    story(knobs, Arc::new(Shell), |w| async move { tell(w).await });
}

fn class(w: &World, name: &str, value: i64, policy: &str) {
    let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
        "value": value, "preemptionPolicy": policy});
    let resource = Resource::new("scheduling.k8s.io", "v1", "priorityclasses");
    w.client.create(&resource, "", class).expect("a class");
}

fn sized(name: &str, class: &str, cpu: &str, lifecycle: Value) -> Value {
    let container =
        json!({"name": "c", "image": "i:1", "lifecycle": lifecycle, "resources": {"requests": {"cpu": cpu}}});
    pod(name, json!({"priorityClassName": class, "containers": [container]}))
}

#[test]
fn the_less_important_pod_makes_room() {
    told(async |w| {
        class(&w, "low", 10, "PreemptLowerPriority");
        class(&w, "middle", 50, "Never");
        class(&w, "high", 100, "PreemptLowerPriority");
        w.create("pods", sized("low", "low", "3", json!({"preStop": {"sleep": {"seconds": 10}}})));
        w.ready_pod().await;
        w.create("pods", sized("high", "high", "3", json!({})));
        w.pass(2).await;
        let low = w.get("pods", "low").expect("it has its grace");
        let target = condition(&low, "DisruptionTarget");
        assert_eq!((&target["status"], &target["reason"]), (&json!("True"), &json!("PreemptionByScheduler")));
        assert_eq!(target["message"], "default-scheduler: preempting to accommodate a higher priority pod");
        assert!(low["metadata"]["deletionTimestamp"].is_string());
        let high = w.get("pods", "high").expect("it");
        assert_eq!(high["status"]["nominatedNodeName"], "node-1");
        assert_eq!(
            condition(&high, "PodScheduled")["message"],
            "0/1 nodes are available: 1 Insufficient cpu."
        );
        let preempted = format!(
            "Preempted: Preempted by pod {} on node node-1",
            high["metadata"]["uid"].as_str().expect("a uid")
        );
        assert!(w.events("Pod").contains(&preempted), "{:?}", w.events("Pod"));
        // What becomes free is kept: there is a core for nobody else.
        w.create("pods", sized("middle", "middle", "2", json!({})));
        w.pass(2).await;
        let middle = w.get("pods", "middle").expect("it");
        assert_eq!(
            condition(&middle, "PodScheduled")["message"],
            "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never."
        );
        w.until("the more important one runs", |w| w.get("pods", "high").filter(|p| is_true(p, "Ready")))
            .await;
        let high = w.get("pods", "high").expect("it");
        assert!(high["status"].get("nominatedNodeName").is_none());
        assert!(w.get("pods", "low").is_none());
        assert!(w.get("pods", "middle").expect("it")["spec"].get("nodeName").is_none());
        w.delete("pods", "high", json!({}));
        w.until("its turn", |w| w.get("pods", "middle").filter(|p| is_true(p, "Ready"))).await;
    });
}

/// Creates until the quota has been counted, then says how the last one went.
async fn admitted(w: &World, plural: &str, object: Value) -> Result<(), String> {
    w.pass(1).await;
    let made = w.client.create(&resource(plural), "default", object);
    made.map(|_| ()).map_err(|status| status.message)
}

fn quota(w: &World, name: &str, spec: Value) {
    w.create(
        "resourcequotas",
        json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": spec}),
    );
}

#[test]
fn quotas_are_about_what_is_in_their_scope() {
    told(async |w| {
        quota(&w, "idle", json!({"hard": {"pods": "1"}, "scopes": ["BestEffort"]}));
        let classes = json!({"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]});
        quota(&w, "high", json!({"hard": {"requests.cpu": "1"}, "scopeSelector": classes}));
        class(&w, "high", 100, "Never");
        let plain = |name: &str| pod(name, json!({"containers": [{"name": "c", "image": "i:1"}]}));
        let busy = |name: &str, class: &str, cpu: &str| {
            let mut pod = sized(name, class, cpu, Value::Null);
            if class.is_empty() {
                pod["spec"].as_object_mut().expect("a spec").shift_remove("priorityClassName");
            }
            pod
        };
        assert_eq!(admitted(&w, "pods", plain("a")).await, Ok(()));
        let why =
            "pods \"b\" is forbidden: exceeded quota: idle, requested: pods=1, used: pods=1, limited: pods=1";
        assert_eq!(admitted(&w, "pods", plain("b")).await, Err(why.to_owned()));
        assert_eq!(admitted(&w, "pods", busy("c", "", "2")).await, Ok(()));
        assert_eq!(admitted(&w, "pods", busy("d", "high", "600m")).await, Ok(()));
        let why = "pods \"e\" is forbidden: exceeded quota: high, requested: requests.cpu=500m, used: requests.cpu=600m, limited: requests.cpu=1";
        assert_eq!(admitted(&w, "pods", busy("e", "high", "500m")).await, Err(why.to_owned()));
        w.pass(1).await;
        let used = |name: &str| w.get("resourcequotas", name).expect("it")["status"]["used"].clone();
        assert_eq!((used("idle"), used("high")), (json!({"pods": "1"}), json!({"requests.cpu": "600m"})));
    });
}

#[test]
fn quotas_hold_for_updates_that_use_more() {
    told(async |w| {
        let hard =
            json!({"services.nodeports": "1", "count/deployments.apps": "1", "requests.storage": "2Gi"});
        quota(&w, "q", json!({"hard": hard}));
        let service = |kind: &str| {
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
            "spec": {"type": kind, "selector": {"a": "b"}, "ports": [{"name": "x", "port": 1}, {"name": "y", "port": 2}]}})
        };
        assert_eq!(admitted(&w, "services", service("ClusterIP")).await, Ok(()));
        let kind = fake_kube_apiserver::PatchKind::Merge;
        let patch = json!({"spec": {"type": "NodePort"}});
        let refused =
            w.client.patch(&resource("services"), "default", "s", "", kind, &patch).expect_err("two ports");
        assert_eq!(
            refused.message,
            "services \"s\" is forbidden: exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0, \
             limited: services.nodeports=1"
        );
        assert_eq!(admitted(&w, "deployments", deployment("d", 0)).await, Ok(()));
        let why = "deployments.apps \"e\" is forbidden: exceeded quota: q, requested: count/deployments.apps=1, used: \
                   count/deployments.apps=1, limited: count/deployments.apps=1";
        assert_eq!(admitted(&w, "deployments", deployment("e", 0)).await, Err(why.to_owned()));
        // What is there already may be changed.
        w.patch("deployments", "d", json!({"spec": {"replicas": 1}}));
    });
}

#[test]
fn a_bound_claim_grows_within_range_and_quota() {
    let node = NodeSpec { cpu: "4".into(), ..NodeSpec::default() };
    let knobs = Knobs { nodes: vec![node], furnished: true, ..Knobs::instant() };
    story(knobs, Arc::new(Shell), |w| async move {
        let range = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "r"},
            "spec": {"limits": [{"type": "PersistentVolumeClaim", "max": {"storage": "3Gi"}}]}});
        w.create("limitranges", range);
        quota(&w, "q", json!({"hard": {"requests.storage": "2Gi"}}));
        let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "v"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
        assert_eq!(admitted(&w, "persistentvolumeclaims", claim).await, Ok(()));
        let volume = json!({"name": "v", "persistentVolumeClaim": {"claimName": "v"}});
        w.create(
            "pods",
            pod("p", json!({"containers": [{"name": "c", "image": "i:1"}], "volumes": [volume]})),
        );
        let is_bound =
            |w: &World| w.get("persistentvolumeclaims", "v").filter(|c| c["status"]["phase"] == "Bound");
        w.until("bound", is_bound).await;
        let grown = |size: &str| {
            let patch = json!({"spec": {"resources": {"requests": {"storage": size}}}});
            let claims = resource("persistentvolumeclaims");
            let kind = fake_kube_apiserver::PatchKind::Merge;
            w.client.patch(&claims, "default", "v", "", kind, &patch).map(|_| ()).map_err(|s| s.message)
        };
        let lead = "persistentvolumeclaims \"v\" is forbidden";
        let fixed = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must \
                     support resize";
        assert_eq!(grown("2Gi"), Err(format!("{lead}: {fixed}")));
        let classes = fake_kube_apiserver::Resource::new("storage.k8s.io", "v1", "storageclasses");
        let merge = fake_kube_apiserver::PatchKind::Merge;
        let growing = json!({"allowVolumeExpansion": true});
        w.client.patch(&classes, "", "standard", "", merge, &growing).expect("a class that grows");
        assert_eq!(
            grown("4Gi"),
            Err(format!(
                "{lead}: maximum storage usage per PersistentVolumeClaim is 3Gi, but request is 4Gi"
            ))
        );
        assert_eq!(
            grown("3Gi"),
            Err(format!(
                "{lead}: exceeded quota: q, requested: requests.storage=2Gi, used: requests.storage=1Gi, limited: requests.storage=2Gi"
            ))
        );
        assert_eq!(grown("2Gi"), Ok(()));
        let has = |w: &World| {
            w.get("persistentvolumeclaims", "v").filter(|c| c["status"]["capacity"]["storage"] == "2Gi")
        };
        let claim = w.until("grown", has).await;
        let volumes = w.client.list(&resource("persistentvolumes"), "", "").expect("a list");
        assert_eq!(volumes[0]["spec"]["capacity"]["storage"], "2Gi");
        let resizing = format!(
            "Resizing: External resizer is resizing volume {}",
            claim["spec"]["volumeName"].as_str().expect("one")
        );
        assert!(is_told(&w, &resizing));
        let why = "PersistentVolumeClaim \"v\" is invalid: spec.resources.requests.storage: Forbidden: field can not be \
                   less than status.capacity";
        assert_eq!(grown("1Gi"), Err(why.to_owned()));
    });
}

/// However often.
fn is_told(w: &World, event: &str) -> bool {
    w.events("PersistentVolumeClaim").iter().any(|e| e.starts_with(event))
}

#[test]
fn claims_get_the_volumes_that_were_made_for_them() {
    plain(|w| async move {
        let volumes = resource("persistentvolumes");
        let volume = |name: &str, storage: &str, more: Value| {
            let mut o = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
                "spec": {"capacity": {"storage": storage}, "accessModes": ["ReadWriteOnce"], "storageClassName": "manual",
                    "hostPath": {"path": "/mnt"}}});
            for (key, value) in more.as_object().into_iter().flatten() {
                o["spec"][key] = value.clone();
            }
            w.client.create(&volumes, "", o).expect("a volume");
        };
        let claim = |name: &str, more: Value| {
            let mut o = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
                "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "manual",
                    "resources": {"requests": {"storage": "5Gi"}}}});
            for (key, value) in more.as_object().into_iter().flatten() {
                o["spec"][key] = value.clone();
            }
            w.create("persistentvolumeclaims", o);
        };
        let bound = |w: &World, name: &str| {
            let c = w.get("persistentvolumeclaims", name)?;
            let of = |p: &str| c.pointer(p).and_then(Value::as_str).unwrap_or("").to_owned();
            (of("/status/phase") == "Bound").then(|| (of("/spec/volumeName"), of("/status/capacity/storage")))
        };
        claim("first", json!({}));
        w.pass(5).await;
        assert_eq!(bound(&w, "first"), None);
        let missing = "ProvisioningFailed: storageclass.storage.k8s.io \"manual\" not found".to_owned();
        assert!(is_told(&w, &missing));
        volume("large", "50Gi", json!({}));
        let first = w.until("bound", |w| bound(w, "first")).await;
        assert_eq!(first, ("large".to_owned(), "50Gi".to_owned()));

        volume("kept", "1Ti", json!({"claimRef": {"namespace": "default", "name": "third"}}));
        volume("other", "6Gi", json!({}));
        claim("second", json!({}));
        claim("third", json!({}));
        assert_eq!(w.until("bound", |w| bound(w, "second")).await.0, "other");
        assert_eq!(w.until("bound", |w| bound(w, "third")).await.0, "kept");
        claim("fourth", json!({"volumeName": "kept"}));
        w.pass(5).await;
        assert_eq!(bound(&w, "fourth"), None);
        let taken = "FailedBinding: volume \"kept\" already bound to a different claim.".to_owned();
        assert!(is_told(&w, &taken));

        // What is kept stays with its old claim, by its uid, until somebody frees it.
        w.delete("persistentvolumeclaims", "second", json!({}));
        let phase = |w: &World| w.client.get(&volumes, "", "other").expect("it")["status"]["phase"].clone();
        w.until("released", |w| (phase(w) == "Released").then_some(())).await;
        claim("second", json!({}));
        w.pass(5).await;
        assert_eq!(bound(&w, "second"), None);
        let free = json!({"spec": {"claimRef": null}});
        let merge = fake_kube_apiserver::PatchKind::Merge;
        w.client.patch(&volumes, "", "other", "", merge, &free).expect("freed");
        assert_eq!(w.until("bound", |w| bound(w, "second")).await.0, "other");
    });
}

#[test]
fn claims_that_wait_are_bound_before_their_pod() {
    let knobs = Knobs { furnished: true, ..Knobs::default() };
    story(knobs, Arc::new(Shell), |w| async move {
        let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "v"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
        w.create("persistentvolumeclaims", claim);
        w.pass(5).await;
        let claim = |w: &World| w.get("persistentvolumeclaims", "v").expect("it");
        assert_eq!(claim(&w)["status"]["phase"], "Pending");
        let waiting =
            "WaitForFirstConsumer: waiting for first consumer to be created before binding".to_owned();
        assert!(w.events("PersistentVolumeClaim").contains(&waiting));
        let volume = json!({"name": "v", "persistentVolumeClaim": {"claimName": "v"}});
        w.create(
            "pods",
            pod("p", json!({"containers": [{"name": "c", "image": "i:1"}], "volumes": [volume]})),
        );
        w.until("the pod is bound", |w| {
            let is_placed = w.get("pods", "p").is_some_and(|p| p["spec"]["nodeName"].is_string());
            assert!(!is_placed || claim(w)["status"]["phase"] == "Bound", "the claim comes first");
            is_placed.then_some(())
        })
        .await;
        assert_eq!(claim(&w)["metadata"]["annotations"]["volume.kubernetes.io/selected-node"], "node-1");
        w.ready_pod().await;
    });
}
