//! The fake API server alone, in process: create, status update and what a watcher of changes sees of it.

use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fake_kube_apiserver::{ApiServer, ManualClock, Options, Resource};
use serde_json::{Value, json};

const OBJECTS: usize = 100;

fn server() -> ApiServer {
    let start = "2026-01-01T00:00:00Z".parse().expect("a timestamp");
    ApiServer::new(Options::new(Arc::new(ManualClock::new(start))))
}

fn config_map(index: usize) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("map-{index:03}")}, "data": {"key": "value"}})
}

/// Creates, changes and deletes each object; answers the sum of the revisions a follower saw.
fn round() -> u64 {
    let (api, resource) = (server(), Resource::core("configmaps"));
    let (client, mut changes) = (api.client("bench"), api.changes());
    for index in 0..OBJECTS {
        let stored =
            client.create(&resource, "default", config_map(index)).expect("a plain ConfigMap is taken");
        let mut changed = (*stored).clone();
        changed["data"]["key"] = json!("other");
        client.update(&resource, "default", changed).expect("nobody else writes it");
    }
    for index in 0..OBJECTS {
        client.delete(&resource, "default", &format!("map-{index:03}"), &json!({})).expect("it exists");
    }
    let mut sum = 0;
    while let Some(change) = changes.try_next() {
        sum += change.revision;
    }
    sum
}

fn api(c: &mut Criterion) {
    println!("create, update, delete of {OBJECTS} ConfigMaps: checksum {}", round());
    let mut group = c.benchmark_group("API server in process");
    group.sample_size(20).throughput(Throughput::Elements(3 * OBJECTS as u64));
    group.bench_function("writes, each seen by a follower", |b| b.iter(round));
    group.finish();
}

criterion_group!(benches, api);
criterion_main!(benches);
