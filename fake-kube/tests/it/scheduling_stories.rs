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
