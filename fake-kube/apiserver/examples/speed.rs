//! What starting a server and writing a FlinkDeployment costs: `cargo run --release -p fake-kube-apiserver --example
//! speed --features conformance`. Prints microseconds per operation and a checksum of the work, so that two runs can
//! be compared.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use fake_kube_apiserver::conformance::local::Local;
use fake_kube_apiserver::conformance::{Sent, Transport};
use serde_json::{Value, json};

const ROUNDS: u32 = 1000;
const CRDS: [&str; 3] = ["flinkdeployments", "flinksessionjobs", "flinkstatesnapshots"];
const LIST: &str = "/apis/flink.apache.org/v1beta1/namespaces/default/flinkdeployments";

fn main() {
    let crds: Vec<Value> = CRDS.iter().map(|name| crd(name)).collect();
    let mut local = Local::new(1);
    for what in ["first", "second"] {
        let started = Instant::now();
        local = Local::new(1);
        println!("{what} server{:>28.0} us", micros(started, 1));
        let started = Instant::now();
        for crd in &crds {
            send(&mut local, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "json", crd);
        }
        println!("{what} three CRDs{:>24.0} us", micros(started, 1));
    }
    let one = format!("{LIST}/app");
    let apply = format!("{one}?fieldManager=m");
    let mut checksum = 0;
    let mut rounds = |what: &str, f: &mut dyn FnMut(u32) -> usize| {
        let started = Instant::now();
        (0..ROUNDS).for_each(|i| checksum += f(i));
        println!("{what:24}{:>16.1} us", micros(started, ROUNDS));
    };
    rounds("apply, changing", &mut |i| send(&mut local, "PATCH", &apply, "apply-patch+yaml", &deployment(i)));
    rounds("apply, the same", &mut |_| send(&mut local, "PATCH", &apply, "apply-patch+yaml", &deployment(0)));
    let status = format!("{one}/status?fieldManager=operator");
    rounds("merge patch of status", &mut |i| {
        send(&mut local, "PATCH", &status, "merge-patch+json", &json!({"status": observed(i)}))
    });
    let mut current = deployment(0);
    rounds("PUT of status", &mut |i| {
        current["status"] = observed(i);
        current["metadata"]["resourceVersion"] = json!(local.server.revision().to_string());
        send(&mut local, "PUT", &status, "json", &current)
    });
    println!("checksum {}", black_box(checksum));
}

fn micros(started: Instant, rounds: u32) -> f64 {
    started.elapsed().as_secs_f64() * 1e6 / f64::from(rounds)
}

fn crd(name: &str) -> Value {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy/crds");
    let text =
        std::fs::read_to_string(folder.join(format!("{name}.flink.apache.org-v1.yml"))).expect("a CRD");
    serde_saphyr::from_str(&text).expect("a CRD is YAML")
}

fn send(local: &mut Local, method: &str, target: &str, media: &str, body: &Value) -> usize {
    let headers = vec![("content-type".to_owned(), format!("application/{media}"))];
    let body = Some(body.to_string().into_bytes());
    let sent = Sent { method: method.to_owned(), target: target.to_owned(), headers, body };
    let reply = local.request(&sent).expect("answered");
    assert!(reply.status < 300, "{method} {target}: {}", String::from_utf8_lossy(&reply.body));
    reply.body.len()
}

fn observed(i: u32) -> Value {
    json!({"jobManagerDeploymentStatus": "READY", "lifecycleState": "STABLE", "observedGeneration": 1,
        "clusterInfo": {"flink-version": "1.20.1", "total-cpu": "2.0"},
        "jobStatus": {"jobId": "5f2c", "jobName": "app", "state": "RUNNING", "updateTime": i.to_string()},
        "reconciliationStatus": {"state": "DEPLOYED", "reconciliationTimestamp": i,
            "lastReconciledSpec": deployment(i).to_string(), "lastStableSpec": deployment(0).to_string()}})
}

fn deployment(i: u32) -> Value {
    json!({"apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment",
    "metadata": {"name": "app", "namespace": "default", "labels": {"app": "x"}},
    "spec": {"image": "flink:1.20", "flinkVersion": "v1_20", "serviceAccount": "flink", "mode": "native",
        "flinkConfiguration": (0..20).map(|n| (format!("some.option.{n}"), json!("value"))).collect::<serde_json::Map<_, _>>(),
        "jobManager": {"resource": {"memory": "2048m", "cpu": 1}, "replicas": 1},
        "taskManager": {"resource": {"memory": "2048m", "cpu": 1}},
        "podTemplate": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "t"}, "spec": {
            "containers": [{"name": "flink-main-container", "env": [{"name": "A", "value": "1"}],
                "ports": [{"containerPort": 9249, "name": "metrics", "protocol": "TCP"}],
                "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
            "volumes": [{"name": "v", "emptyDir": {}}]}},
        "job": {"jarURI": "local:///a.jar", "parallelism": i % 2 + 1, "upgradeMode": "savepoint", "state": "running",
            "args": ["--a", "b"], "entryClass": "a.B"}}})
}
