//! Effective configuration as rows: reconciler.md 2.6, config.md 4.

use drey_api::{DeploymentMode, FlinkVersion, ReconciledSpec};
use drey_blueprint::config::{OperatorConfig, effective, keys};
use drey_testkit::{DeploymentBuilder, flink_deployment, session_cluster, session_job};
use expect_test::{Expect, expect};

fn operator(entries: &[(&str, &str)]) -> OperatorConfig {
    OperatorConfig::new(entries.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()).unwrap()
}

#[track_caller]
fn deployed_with(cr: DeploymentBuilder, expected: Expect) {
    let cr = cr.build();
    let conf = effective::deploy(&OperatorConfig::default(), &cr, &cr.spec);
    let lines: String = conf.iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
    expected.assert_eq(&lines);
}

#[test]
fn a_stateless_application() {
    deployed_with(
        flink_deployment("app").generation(3),
        expect![[r#"
        $internal.flink.version: v1_20
        execution.checkpointing.externalized-checkpoint-retention: RETAIN_ON_CANCELLATION
        execution.shutdown-on-application-finish: false
        execution.submit-failed-job-on-application-error: true
        execution.target: kubernetes-application
        jobmanager.memory.process.size: 2147483648 bytes
        kubernetes.cluster-id: app
        kubernetes.container.image.ref: flink:1.20
        kubernetes.jobmanager.annotations: flinkdeployment.flink.apache.org/generation:3
        kubernetes.jobmanager.cpu.amount: 1.0
        kubernetes.jobmanager.replicas: 1
        kubernetes.namespace: jobs
        kubernetes.rest-service.exposed.type: ClusterIP
        kubernetes.service-account: flink
        kubernetes.taskmanager.cpu.amount: 1.0
        parallelism.default: 2
        pipeline.jars: local:///opt/flink/examples/streaming/StateMachineExample.jar
        pipeline.name: app
        taskmanager.memory.process.size: 2147483648 bytes
        taskmanager.numberOfTaskSlots: 2
        web.cancel.enable: false
    "#]],
    );
}

#[test]
fn a_last_state_application_with_everything() {
    let cr = flink_deployment("app").last_state().with_ha().version(FlinkVersion::V1_16).spec(|spec| {
        let job = spec.job.as_mut().unwrap();
        job.entry_class = Some("com.Main".to_owned());
        job.args = ["--plain", "with;separator", "it's", ""].map(str::to_owned).into();
        job.allow_non_restored_state = Some(true);
        spec.image_pull_policy = Some("Always".to_owned());
        spec.job_manager = serde_json::from_value(serde_json::json!({
            "replicas": 2,
            "resources": {"requests": {"memory": "1Gi", "cpu": "500m"}, "limits": {"memory": "2Gi", "cpu": 1}},
        }))
        .unwrap();
    });
    let cr = cr.without_config("execution.checkpointing.interval");
    deployed_with(
        cr,
        expect![[r#"
        $internal.application.main: com.Main
        $internal.application.program-args: --plain;'with;separator';'it''s';''
        $internal.flink.version: v1_16
        execution.checkpointing.externalized-checkpoint-retention: RETAIN_ON_CANCELLATION
        execution.checkpointing.interval: 5 min
        execution.savepoint.ignore-unclaimed-state: true
        execution.shutdown-on-application-finish: false
        execution.submit-failed-job-on-application-error: true
        execution.target: kubernetes-application
        high-availability.cluster-id: app
        high-availability.storageDir: file:///flink/ha
        high-availability.type: kubernetes
        jobmanager.memory.process.size: 1073741824 bytes
        kubernetes.cluster-id: app
        kubernetes.container.image: flink:1.20
        kubernetes.container.image.pull-policy: Always
        kubernetes.jobmanager.annotations: flinkdeployment.flink.apache.org/generation:1
        kubernetes.jobmanager.cpu: 0.5
        kubernetes.jobmanager.cpu.amount: 0.5
        kubernetes.jobmanager.cpu.limit-factor: 2.0
        kubernetes.jobmanager.memory.limit-factor: 2.0
        kubernetes.jobmanager.replicas: 2
        kubernetes.namespace: jobs
        kubernetes.rest-service.exposed.type: ClusterIP
        kubernetes.service-account: flink
        kubernetes.taskmanager.cpu: 1.0
        kubernetes.taskmanager.cpu.amount: 1.0
        parallelism.default: 2
        pipeline.jars: local:///opt/flink/examples/streaming/StateMachineExample.jar
        pipeline.name: app
        state.checkpoints.dir: file:///flink/checkpoints
        state.savepoints.dir: file:///flink/savepoints
        taskmanager.memory.process.size: 2147483648 bytes
        taskmanager.numberOfTaskSlots: 2
        web.cancel.enable: false
    "#]],
    );
}

#[test]
fn a_session_cluster() {
    deployed_with(
        session_cluster("session"),
        expect![[r#"
        $internal.flink.version: v1_20
        execution.target: kubernetes-session
        jobmanager.memory.process.size: 2147483648 bytes
        kubernetes.cluster-id: session
        kubernetes.container.image.ref: flink:1.20
        kubernetes.jobmanager.annotations: flinkdeployment.flink.apache.org/generation:1
        kubernetes.jobmanager.cpu.amount: 1.0
        kubernetes.jobmanager.replicas: 1
        kubernetes.namespace: jobs
        kubernetes.rest-service.exposed.type: ClusterIP
        kubernetes.service-account: flink
        kubernetes.taskmanager.cpu.amount: 1.0
        taskmanager.memory.process.size: 2147483648 bytes
        taskmanager.numberOfTaskSlots: 2
        web.cancel.enable: false
    "#]],
    );
}

#[test]
fn arguments_survive_the_text_form() {
    let args: Vec<String> =
        ["--plain", "a;b", "it's", "", " blank ", "\"q\"", "k:v,w", "[x]"].map(str::to_owned).into();
    let cr = flink_deployment("app").job(|job| job.args.clone_from(&args)).build();
    let conf = effective::deploy(&OperatorConfig::default(), &cr, &cr.spec);
    assert_eq!(conf.value(keys::INTERNAL_PROGRAM_ARGS), args);
    let single = vec!["[x]".to_owned()];
    let cr = flink_deployment("app").job(|job| job.args.clone_from(&single)).build();
    let conf = effective::deploy(&OperatorConfig::default(), &cr, &cr.spec);
    assert_eq!(conf.value(keys::INTERNAL_PROGRAM_ARGS), single);
}

#[test]
fn parallelism() {
    let of = |cr: DeploymentBuilder| {
        let cr = cr.build();
        effective::deploy(&OperatorConfig::default(), &cr, &cr.spec).value(keys::PARALLELISM)
    };
    let replicas =
        |spec: &mut drey_api::FlinkDeploymentSpec| spec.task_manager.as_mut().unwrap().replicas = Some(3);
    let overrides = "pipeline.jobvertex-parallelism-overrides";
    let standalone = |spec: &mut drey_api::FlinkDeploymentSpec| spec.mode = Some(DeploymentMode::Standalone);
    assert_eq!(of(flink_deployment("app").parallelism(5)), 5);
    assert_eq!(of(flink_deployment("app").parallelism(5).spec(replicas)), 6);
    assert_eq!(of(flink_deployment("app").parallelism(5).config(overrides, "a:9,b:4")), 5);
    assert_eq!(of(flink_deployment("app").parallelism(5).config(overrides, "a:9,b:4").spec(standalone)), 9);
    // What the user writes as parallelism.default gives way to the job's.
    assert_eq!(of(flink_deployment("app").parallelism(5).config("parallelism.default", 4)), 5);
}

/// B11, T80: the savepoint directory and operator options follow the current spec without a deployment.
#[test]
fn observing_looks_at_the_current_spec_for_operator_options() {
    let rollback = "kubernetes.operator.deployment.rollback.enabled";
    let old =
        flink_deployment("app").with_ha().config("rest.port", "1").config("job.autoscaler.enabled", "true");
    let deployed = ReconciledSpec::new(old.clone().build().spec, false).spec;
    let current =
        old.config(rollback, "true").config("rest.port", "2").config("state.savepoints.dir", "s3://new");
    let conf = effective::observe(&OperatorConfig::default(), &current.build(), &deployed);
    assert!(conf.value(keys::DEPLOYMENT_ROLLBACK_ENABLED));
    assert_eq!(conf.value(keys::REST_PORT), 1);
    assert_eq!(conf.text(keys::SAVEPOINT_DIR), Some("s3://new"));
    assert_eq!(conf.raw("kubernetes.jobmanager.annotations"), None);
}

/// Apache's operator goes on with the removed key until something else causes a deployment.
#[test]
fn a_removed_operator_option_is_gone_at_once() {
    let rollback = "kubernetes.operator.deployment.rollback.enabled";
    let deployed = flink_deployment("app").with_ha().config(rollback, "true").build().spec;
    let current = flink_deployment("app").with_ha().build();
    let conf = effective::observe(&OperatorConfig::default(), &current, &deployed);
    assert!(!conf.value(keys::DEPLOYMENT_ROLLBACK_ENABLED));
}

#[test]
fn defaults_and_the_users_words_for_the_same_key() {
    let operator = operator(&[
        ("state.savepoints.dir", "s3://default"),
        ("execution.checkpointing.dir", "s3://default"),
        ("taskmanager.numberOfTaskSlots", "1"),
        ("kubernetes.operator.default-configuration.flink-version.v1_20.taskmanager.numberOfTaskSlots", "8"),
    ]);
    let cr = flink_deployment("app")
        .without_config("taskmanager.numberOfTaskSlots")
        .config("execution.checkpointing.savepoint-dir", "s3://mine")
        .config("state.checkpoints.dir", "s3://mine")
        .build();
    let conf = effective::user(&operator, &cr, &cr.spec);
    assert_eq!(conf.text(keys::SAVEPOINT_DIR), Some("s3://mine"));
    assert_eq!(conf.text(keys::CHECKPOINT_DIR), Some("s3://mine"));
    assert_eq!(conf.value(keys::TASK_SLOTS), 8);
}

#[test]
fn flink_is_not_told_what_the_operator_is_told() {
    let cr = flink_deployment("app")
        .config("kubernetes.operator.savepoint.history.max.age", "1 h")
        .config("job.autoscaler.enabled", "true")
        .build();
    let conf = effective::shipped(&effective::deploy(&OperatorConfig::default(), &cr, &cr.spec));
    assert!(
        conf.iter()
            .all(|(key, _)| !key.starts_with("kubernetes.operator.") && !key.starts_with("job.autoscaler."))
    );
    assert!(conf.raw("kubernetes.cluster-id").is_some());
}

#[test]
fn a_session_job_inherits_from_its_cluster() {
    let cluster = session_cluster("cluster")
        .config("state.savepoints.dir", "s3://cluster")
        .config("a", "cluster")
        .build();
    let job = session_job("job", "cluster")
        .config("a", "job")
        .config("execution.checkpointing.savepoint-dir", "s3://job");
    let conf = effective::session_job(&OperatorConfig::default(), &cluster, &cluster.spec, &job.build());
    assert_eq!(conf.raw("a"), Some("job"));
    assert_eq!(conf.text(keys::SAVEPOINT_DIR), Some("s3://job"));
    assert_eq!(conf.get(keys::PIPELINE_NAME).as_deref(), Some("job"));
    assert_eq!(conf.get(keys::K8S_CLUSTER_ID).as_deref(), Some("cluster"));
}
