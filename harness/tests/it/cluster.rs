//! Cluster mode: `drey run` against a cluster it knows by a kubeconfig only. The cluster is `drey play` in a process of
//! its own: an API server with a service proxy, a kubelet and Flink behind it, and no operator.

use std::path::{Path, PathBuf};

use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::support::{Play, drey, repository, text};

const WORLD: &str = "apiVersion: drey/v1
kind: Scenario
metadata: {name: empty-cluster}
world: {operator: {replicas: 0}, kubelet: {instant: true}, flink: {instant: true}}
steps: [{advance: 1s}]
";

fn write(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).expect("written");
    path
}

fn cluster(folder: &Path) -> Play {
    let world = write(folder, "empty-cluster.yaml", WORLD);
    Play::start(folder, &[world.to_str().expect("a plain path"), "--pause-at", "1", "--quiet"])
}

fn run(play: &Play, scenario: &Path) -> (Option<i32>, String) {
    let out = drey()
        .arg("run")
        .arg(scenario)
        .args(["--mode", "cluster", "--verbose", "--kubeconfig"])
        .arg(&play.kubeconfig)
        .output()
        .expect("drey runs");
    (out.status.code(), format!("{}{}", text(&out.stdout), text(&out.stderr)))
}

fn namespaces(play: &Play) -> Vec<String> {
    let kubeconfig = Kubeconfig::read_from(&play.kubeconfig).expect("a kubeconfig");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        let client = kube::Client::try_from(config.expect("a usable one")).expect("a client");
        let all: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client);
        let list = all.list(&ListParams::default()).await.expect("an answer");
        list.items.into_iter().filter_map(|namespace| namespace.metadata.name).collect()
    })
}

#[test]
fn a_scenario_passes_on_a_cluster_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let play = cluster(folder.path());
    let manifest = repository("scenarios/manifests/basic-example.yaml").canonicalize().expect("the manifest");
    let of = "FlinkDeployment/basic-example";
    let scenario = format!(
        "apiVersion: drey/v1
kind: Scenario
metadata: {{name: on-a-cluster}}
modes: [cluster]
steps:
  - apply: {{file: {}}}
  - eventually: {{within: 30s, of: {of}, match: {{status: {{lifecycleState: STABLE}}}}}}
  - restoredFrom: {{name: basic-example, is: nothing}}
  - patch: {{of: {of}, merge: {{spec: {{job: {{parallelism: 4}}}}}}}}
  - eventually: {{within: 30s, of: {of}, match: {{status: {{lifecycleState: STABLE, observedGeneration: 2}}}}}}
  - sequence: {{of: {of}, field: status.lifecycleState, expect: [STABLE, UPGRADING, STABLE]}}
  - delete: {{of: {of}, wait: 30s}}
",
        manifest.display()
    );
    let (code, said) = run(&play, &write(folder.path(), "on-a-cluster.yaml", &scenario));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1 passed"), "{said}");
    assert!(said.contains("restoredFrom") && said.contains("knowledge"), "the skipped step is told: {said}");
    let left: Vec<_> = namespaces(&play).into_iter().filter(|name| name.starts_with("drey-")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_run_in_which_everything_is_skipped_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    let play = cluster(folder.path());
    let scenario = "apiVersion: drey/v1
kind: Scenario
metadata: {name: nothing-to-do}
modes: [cluster]
steps: [{job: {name: app, set: FAILED}}]
";
    let (code, said) = run(&play, &write(folder.path(), "nothing-to-do.yaml", scenario));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("cannot be made to do this"), "{said}");
}
