//! Cluster mode: `drey run` against a cluster it knows by a kubeconfig only. The cluster is `drey play` in a process of
//! its own: an API server with a service proxy, a kubelet and Flink behind it, and no operator.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::support::{Play, drey, operator_binary, repository, text};

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

fn command(play: &Play, scenario: &Path, more: &[&str]) -> Command {
    let mut command = drey();
    command.arg("run").arg(scenario).args(["--mode", "cluster", "--verbose", "--kubeconfig"]);
    command.arg(&play.kubeconfig).args(more);
    command
}

fn run(play: &Play, scenario: &Path) -> (Option<i32>, String) {
    told(&command(play, scenario, &[]).output().expect("drey runs"))
}

fn told(out: &Output) -> (Option<i32>, String) {
    (out.status.code(), format!("{}{}", text(&out.stdout), text(&out.stderr)))
}

fn own_namespaces(play: &Play) -> Vec<String> {
    namespaces(play).into_iter().filter(|name| name.starts_with("drey-")).collect()
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
monitors:
  - never: {{name: a lease, call: {{to: api, kind: Lease}}}}
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
    assert!(!said.contains("skipped step never"), "requests pass the proxy and are heard: {said}");
    assert_eq!(own_namespaces(&play), [""; 0], "{said}");
}

/// A scenario that deploys and then waits for something that never comes.
fn endless(folder: &Path) -> PathBuf {
    let manifest = repository("scenarios/manifests/basic-example.yaml").canonicalize().expect("the manifest");
    let of = "FlinkDeployment/basic-example";
    let scenario = format!(
        "apiVersion: drey/v1
kind: Scenario
metadata: {{name: endless}}
modes: [cluster]
steps:
  - apply: {{file: {}}}
  - eventually: {{within: 30s, of: {of}, match: {{status: {{lifecycleState: STABLE}}}}}}
  - advance: 1h
",
        manifest.display()
    );
    write(folder, "endless.yaml", &scenario)
}

#[test]
fn an_interrupted_run_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let play = cluster(folder.path());
    let mut run = command(&play, &endless(folder.path()), &[])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("drey starts");
    let deadline = Instant::now() + Duration::from_secs(30);
    while own_namespaces(&play).is_empty() {
        assert!(Instant::now() < deadline, "it makes a namespace");
        std::thread::sleep(Duration::from_millis(50));
    }
    // Into the middle of a deployment.
    std::thread::sleep(Duration::from_millis(300));
    assert!(run.try_wait().expect("it can be asked").is_none(), "it goes on for an hour");
    let killed = Command::new("kill").args(["-INT", &run.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    let (code, said) = told(&run.wait_with_output().expect("it ends"));
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("interrupted"), "{said}");
    assert_eq!(own_namespaces(&play), [""; 0], "{said}");
}

/// Our operator as a process of its own, ended with the test.
struct Operator(Child);

impl Drop for Operator {
    fn drop(&mut self) {
        // Already gone is fine: the test is over either way.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Operator {
    fn start(play: &Play) -> Operator {
        let child = Command::new(operator_binary())
            .arg("--kubeconfig")
            .arg(&play.kubeconfig)
            .args(["--flink-transport", "proxy", "--listen", "off", "--log", "warn"])
            .env_remove("KUBECONFIG")
            .stdout(Stdio::null())
            .spawn()
            .expect("the operator starts");
        Operator(child)
    }
}

/// Three processes: the cluster, the operator that is deployed, and the one that tests.
#[test]
fn a_deployed_operator_is_tested_from_outside() {
    let folder = tempfile::tempdir().expect("a folder");
    let play = Play::start(folder.path(), &["--empty", "--no-operator", "--time-scale", "10", "--quiet"]);
    let manifest = repository("scenarios/manifests/basic-example.yaml").canonicalize().expect("the manifest");
    let of = "FlinkDeployment/basic-example";
    let scenario = format!(
        "apiVersion: drey/v1
kind: Scenario
metadata: {{name: deployed}}
modes: [cluster]
steps:
  - apply: {{file: {}}}
  - eventually: {{within: 30s, of: {of}, match: {{status: {{lifecycleState: STABLE}}}}}}
  - crashOperator: {{}}
  - delete: {{of: {of}, wait: 30s}}
",
        manifest.display()
    );
    let scenario = write(folder.path(), "deployed.yaml", &scenario);
    let deployed =
        || told(&command(&play, &scenario, &["--operator", "deployed"]).output().expect("drey runs"));

    let operator = Operator::start(&play);
    let (code, said) = deployed();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1 passed") && said.contains("out of reach"), "the skipped crash is told: {said}");
    assert_eq!(own_namespaces(&play), [""; 0], "{said}");
    drop(operator);
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
