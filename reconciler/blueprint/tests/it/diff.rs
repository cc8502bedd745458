//! Spec differences as rows: reconciler.md 2.8 and the T-cases of 10.3.

use drey_api::{DeploymentMode, FlinkDeployment, FlinkDeploymentSpec, FlinkVersion};
use drey_blueprint::diff::{DiffKind, diff, diff_session_job};
use drey_testkit::{DeploymentBuilder, flink_deployment, session_cluster, session_job};
use serde_json::json;

use DeploymentMode::{Native, Standalone};
use DiffKind::{Ignore, SavepointRedeploy, Scale, Upgrade};

fn base() -> DeploymentBuilder {
    flink_deployment("app").last_state()
}

#[track_caller]
fn check(mode: DeploymentMode, new: DeploymentBuilder, kind: DiffKind, text: &str) {
    check_from(mode, base(), new, kind, text);
}

#[track_caller]
fn check_from(
    mode: DeploymentMode,
    old: DeploymentBuilder,
    new: DeploymentBuilder,
    kind: DiffKind,
    text: &str,
) {
    let diff = diff(&old.build().spec, &new.build().spec, mode);
    assert_eq!(diff.to_string(), format!("Diff: FlinkDeploymentSpec[{text}]"));
    assert_eq!(diff.kind, kind);
}

#[test]
fn t29_changes_that_do_not_restart() {
    let new = base()
        .stateless()
        .job(|job| {
            job.allow_non_restored_state = Some(true);
            job.initial_savepoint_path = Some("p".to_owned());
            job.savepoint_trigger_nonce = Some(1);
        })
        .config("kubernetes.operator.reconcile.interval", "1 min")
        .config("job.autoscaler.enabled", "true")
        .config("job.autoscaler.metrics.window", "2 min")
        .config("parallelism.default", 4);
    let diff = diff(&base().build().spec, &new.build().spec, Native);
    assert_eq!((diff.kind, diff.changes.len()), (Ignore, 8));
}

#[test]
fn t30_parallelism() {
    check(Native, base().parallelism(3), Upgrade, "job.parallelism : 2 -> 3");
    check(Standalone, base().parallelism(3), Scale, "job.parallelism : 2 -> 3");
}

#[test]
fn t31_parallelism_overrides() {
    let new = || base().config("pipeline.jobvertex-parallelism-overrides", "v1:2");
    let text = "flinkConfiguration.pipeline.jobvertex-parallelism-overrides : null -> v1:2";
    check(Native, new(), Scale, text);
    check(Standalone, new(), Upgrade, text);
}

#[test]
fn t32_task_manager() {
    let replicas =
        |n| move |spec: &mut FlinkDeploymentSpec| spec.task_manager.as_mut().unwrap().replicas = Some(n);
    let (two, three) = (|| base().spec(replicas(2)), || base().spec(replicas(3)));
    check_from(Native, two(), three(), Upgrade, "taskManager.replicas : 2 -> 3");
    check_from(Standalone, two(), three(), Scale, "taskManager.replicas : 2 -> 3");
    let and_memory = three().spec(|spec| {
        let resource = spec.task_manager.as_mut().unwrap().resource.as_mut().unwrap();
        resource.memory = Some("4g".to_owned());
    });
    let text = "taskManager.replicas : 2 -> 3, taskManager.resource.memory : 2048m -> 4g";
    check_from(Standalone, two(), and_memory, Upgrade, text);
}

#[test]
fn t33_restart_nonce() {
    check(Native, base().restart_nonce(1), Upgrade, "restartNonce : null -> 1");
    check_from(Native, base().restart_nonce(1), base().restart_nonce(2), Upgrade, "restartNonce : 1 -> 2");
    check_from(Native, base().restart_nonce(1), base(), Ignore, "");
}

#[test]
fn savepoint_redeploy_nonce() {
    let nonce = |n| base().job(move |job| job.savepoint_redeploy_nonce = Some(n));
    check(Native, nonce(1), SavepointRedeploy, "job.savepointRedeployNonce : null -> 1");
    check_from(Native, nonce(1), base(), Ignore, "");
    let with_image = nonce(1).image("other");
    check(
        Native,
        with_image,
        SavepointRedeploy,
        "image : flink:1.20 -> other, job.savepointRedeployNonce : null -> 1",
    );
}

#[test]
fn t34_remains_of_older_templates() {
    let with = |template: serde_json::Value| {
        base().spec(move |spec| spec.pod_template = drey_api::PodTemplate::from_value(template))
    };
    let old = json!({"apiVersion": "v1", "kind": "Pod", "status": {}, "spec": {"hostname": "a"}});
    check_from(Native, with(old.clone()), with(json!({"spec": {"hostname": "a"}})), Ignore, "");
    let new = json!({"spec": {"hostname": "b", "containers": [{"name": "x"}]}});
    let text = "podTemplate.spec.containers[0].name : null -> x, podTemplate.spec.hostname : a -> b";
    check_from(Native, with(old), with(new), Upgrade, text);
}

#[test]
fn t35_the_same_spec_differs_in_nothing() {
    check(Native, base(), Ignore, "");
    // Written differently, meant alike.
    check(Native, base().spec(|spec| spec.mode = Some(Native)), Ignore, "");
    check(Native, base().spec(|spec| spec.log_configuration = Some(Default::default())), Ignore, "");
    let nested: FlinkDeployment = serde_json::from_value(json!({"spec": {
        "flinkConfiguration": {"a": {"b": 1}}, "jobManager": {"resource": {"cpu": 1}}}}))
    .unwrap();
    let flat: FlinkDeployment = serde_json::from_value(json!({"spec": {
        "flinkConfiguration": {"a.b": "1"}, "jobManager": {"resource": {"cpu": 1.0}}}}))
    .unwrap();
    assert!(diff(&nested.spec, &flat.spec, Native).is_empty());
}

#[test]
fn what_runs_differently_is_an_upgrade() {
    check(Native, base().suspended(), Upgrade, "job.state : running -> suspended");
    check(Native, base().version(FlinkVersion::V2_0), Upgrade, "flinkVersion : v1_20 -> v2_0");
    check(Native, base().config("a", "b"), Upgrade, "flinkConfiguration.a : null -> b");
    check(Native, base().job(|job| job.args = vec!["x".to_owned()]), Upgrade, "job.args[0] : null -> x");
    check_from(
        Native,
        session_cluster("app"),
        session_cluster("app").spec(|spec| spec.task_manager = None),
        Upgrade,
        "taskManager.resource.cpu : 1 -> null, taskManager.resource.memory : 2048m -> null",
    );
}

#[test]
fn event_text() {
    let new = base().image("img2").restart_nonce(1).build();
    let diff = diff(&base().image("img1").build().spec, &new.spec, Native);
    assert_eq!(
        diff.event_text(),
        "UPGRADE change(s) detected (Diff: FlinkDeploymentSpec[image : img1 -> img2, restartNonce : null -> 1]), \
         starting reconciliation."
    );
}

#[test]
fn session_jobs() {
    let old = session_job("job", "cluster").build();
    let new = session_job("job", "other").jar("https://x/y.jar").build();
    let diff = diff_session_job(&old.spec, &new.spec, Native);
    assert_eq!(diff.kind, Upgrade);
    assert_eq!(
        diff.to_string(),
        "Diff: FlinkSessionJobSpec[deploymentName : cluster -> other, \
         job.jarURI : https://jars.example.com/job.jar -> https://x/y.jar]"
    );
}
