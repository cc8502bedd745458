//! A valid deployment to start from, and the policy most tests use.

use drey_api::FlinkDeployment;
use drey_blueprint::config::OperatorConfig;
use drey_reconciler::Policy;
use jiff::Timestamp;
use serde_json::{Value, json};

pub const START_MS: i64 = 1_700_000_000_000;

pub fn start() -> Timestamp {
    Timestamp::from_millisecond(START_MS).unwrap()
}

pub fn policy() -> Policy {
    Policy::new(OperatorConfig::default())
}

/// An application with HA, checkpoints and savepoints; `changes` is merged into the spec.
pub fn app(changes: Value) -> FlinkDeployment {
    let mut spec = json!({
        "image": "flink:1.20",
        "flinkVersion": "v1_20",
        "serviceAccount": "flink",
        "flinkConfiguration": {
            "high-availability.type": "kubernetes",
            "high-availability.storageDir": "s3://bucket/ha",
            "state.checkpoints.dir": "s3://bucket/checkpoints",
            "state.savepoints.dir": "s3://bucket/savepoints",
            "taskmanager.numberOfTaskSlots": "1",
        },
        "jobManager": {"resource": {"memory": "1024m", "cpu": 1.0}},
        "taskManager": {"resource": {"memory": "1024m", "cpu": 1.0}},
        "job": {"jarURI": "local:///job.jar", "parallelism": 2, "upgradeMode": "savepoint"},
    });
    merge(&mut spec, changes);
    serde_json::from_value(json!({
        "metadata": {
            "name": "app", "namespace": "default", "uid": "4a1e0000-0000-4000-8000-000000000001", "generation": 1,
            "creationTimestamp": start().to_string(),
        },
        "spec": spec,
    }))
    .expect("the fixture is a valid resource")
}

/// Without HA.
pub fn no_ha(mut changes: Value) -> FlinkDeployment {
    merge(&mut changes, json!({"flinkConfiguration": {"high-availability.type": "NONE"}}));
    app(changes)
}

/// JSON merge patch; null removes.
pub fn merge(target: &mut Value, patch: Value) {
    match patch {
        Value::Object(entries) => {
            if !target.is_object() {
                *target = json!({});
            }
            for (key, value) in entries {
                match value {
                    Value::Null => {
                        target.as_object_mut().unwrap().remove(&key);
                    }
                    value => merge(&mut target[key.as_str()], value),
                }
            }
        }
        other => *target = other,
    }
}
