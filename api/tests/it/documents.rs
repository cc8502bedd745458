//! Documents people really write, and what stored objects may look like.

use drey_api::{
    FlinkDeployment, FlinkSessionJob, FlinkStateSnapshot, JobState, SavepointFormat, UpgradeMode,
};
use serde_json::{Value, json};

use crate::shared::shared;

/// Whatever was given is still there after reading and writing; defaults may be added.
#[track_caller]
fn keeps_everything(path: &str, given: &Value, written: &Value) {
    match (given, written) {
        (Value::Object(given), Value::Object(written)) => {
            for (key, value) in given {
                let Some(kept) = written.get(key) else { panic!("{path}.{key} is lost") };
                keeps_everything(&format!("{path}.{key}"), value, kept);
            }
        }
        (given, written) => assert_eq!(given, written, "{path}"),
    }
}

#[test]
fn manifests_survive_a_round_trip() {
    let Some(folder) = shared("real/manifests") else { return };
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for document in documents {
            let written = match document["kind"].as_str().unwrap() {
                "FlinkDeployment" => {
                    serde_json::to_value(serde_json::from_value::<FlinkDeployment>(document.clone()).unwrap())
                }
                "FlinkSessionJob" => {
                    serde_json::to_value(serde_json::from_value::<FlinkSessionJob>(document.clone()).unwrap())
                }
                other => panic!("{}: unexpected kind {other}", path.display()),
            };
            keeps_everything(&path.display().to_string(), &document, &written.unwrap());
            count += 1;
        }
    }
    assert!(count >= 12, "only {count} documents found");
}

#[test]
fn defaults_on_reading() {
    let deployment: FlinkDeployment =
        serde_json::from_value(json!({"spec": {"job": {}, "jobManager": {}, "taskManager": {}}})).unwrap();
    let job = deployment.spec.job.as_ref().unwrap();
    assert_eq!(
        (job.parallelism, job.state, job.upgrade_mode),
        (0, JobState::Running, UpgradeMode::Stateless)
    );
    assert!(job.args.is_empty());
    assert!(deployment.spec.flink_configuration.is_empty());
    assert_eq!(deployment.spec.job_manager.unwrap().replicas, 1);
    assert_eq!(deployment.spec.task_manager.unwrap().replicas, None);

    let snapshot: FlinkStateSnapshot =
        serde_json::from_value(json!({"spec": {"savepoint": {}}, "status": {}})).unwrap();
    assert_eq!(snapshot.spec.backoff_limit, -1);
    let savepoint = snapshot.spec.savepoint.unwrap();
    assert_eq!(savepoint.format_type, SavepointFormat::Canonical);
    assert!(savepoint.dispose_on_delete && !savepoint.already_exists);
}

#[test]
fn a_fresh_status_says_missing_and_upgrading() {
    let written = serde_json::to_value(drey_api::FlinkDeploymentStatus::default()).unwrap();
    assert_eq!(written["jobManagerDeploymentStatus"], "MISSING");
    assert_eq!(written["reconciliationStatus"], json!({"reconciliationTimestamp": 0, "state": "UPGRADING"}));
    assert_eq!(written["jobStatus"]["checkpointInfo"], json!({"lastPeriodicCheckpointTimestamp": 0}));
}

/// One object that does not read would stop the list of all objects, so whatever the schema lets pass must read.
#[test]
fn whatever_the_schema_accepts_is_read() {
    for spec in [
        json!({"unknownField": {"a": 1}}),
        json!({"flinkConfiguration": "a text"}),
        json!({"flinkConfiguration": ["a", "list"]}),
        json!({"job": {"parallelism": 2.0, "savepointTriggerNonce": 4000000000i64}}),
        json!({"job": null, "restartNonce": null, "flinkConfiguration": null, "jobManager": {"replicas": null}}),
        json!({"jobManager": {"resource": {"cpu": 0.5}, "resources": {"requests": {"cpu": 1, "memory": "1Gi"}}}}),
        json!({"flinkVersion": "v3_7"}),
        json!({"podTemplate": {"apiVersion": "v1", "kind": "Pod", "spec": {"brandNewField": true}}}),
    ] {
        let read = serde_json::from_value::<FlinkDeployment>(json!({"spec": spec}));
        assert!(read.is_ok(), "{spec}: {}", read.unwrap_err());
    }
}

#[test]
fn a_pod_template_keeps_fields_this_crate_does_not_know() {
    let template = json!({"metadata": {"name": "pod"}, "spec": {"brandNewField": {"deep": [1, null]}}});
    let deployment: FlinkDeployment =
        serde_json::from_value(json!({"spec": {"podTemplate": template}})).unwrap();
    assert_eq!(deployment.spec.pod_template.unwrap().as_value(), &template);
}
