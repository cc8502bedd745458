//! The CustomResourceDefinitions, generated from a compact description.
//!
//! The same documents are checked in under `deploy/crds`; `cargo run -p drey-api --example crds` writes them and a
//! test keeps them equal. They accept and reject what the CRDs of Apache's operator do, so that either set may be
//! installed: same fields, types, enums, columns, short names and subresources.

mod schema;

use serde_json::{Value, json};

use crate::constants::{GROUP, VERSION};
use crate::{FlinkDeployment, FlinkSessionJob, FlinkStateSnapshot};
use schema::Types;

const RESOURCES: &str = include_str!("resources.schema");
const POD: &str = include_str!("pod.schema");

/// All definitions: FlinkDeployment, FlinkSessionJob, FlinkStateSnapshot.
pub fn crds() -> Vec<Value> {
    vec![flink_deployment(), flink_session_job(), flink_state_snapshot()]
}

/// The structural schema (`openAPIV3Schema`) of one of our kinds.
pub fn schema_of(kind: &str) -> Option<Value> {
    let known = [FlinkDeployment::KIND, FlinkSessionJob::KIND, FlinkStateSnapshot::KIND];
    known.contains(&kind).then(|| Types::read(&[RESOURCES, POD]).expand(kind))
}

fn flink_deployment() -> Value {
    let scale = json!({
        "labelSelectorPath": ".status.taskManager.labelSelector",
        "specReplicasPath": ".spec.taskManager.replicas",
        "statusReplicasPath": ".status.taskManager.replicas",
    });
    definition(
        Names {
            kind: FlinkDeployment::KIND,
            plural: FlinkDeployment::PLURAL,
            singular: "flinkdeployment",
            short: "flinkdep",
        },
        job_columns(),
        json!({"scale": scale, "status": {}}),
    )
}

fn flink_session_job() -> Value {
    definition(
        Names {
            kind: FlinkSessionJob::KIND,
            plural: FlinkSessionJob::PLURAL,
            singular: "flinksessionjob",
            short: "sessionjob",
        },
        job_columns(),
        json!({"status": {}}),
    )
}

fn flink_state_snapshot() -> Value {
    definition(
        Names {
            kind: FlinkStateSnapshot::KIND,
            plural: FlinkStateSnapshot::PLURAL,
            singular: "flinkstatesnapshot",
            short: "flinksnp",
        },
        json!([
            column("Path", ".status.path", "Where the snapshot is."),
            column("Result Timestamp", ".status.resultTimestamp", "When the snapshot completed or failed."),
            column("Snapshot State", ".status.state", "How far the snapshot has come."),
        ]),
        json!({"status": {}}),
    )
}

fn job_columns() -> Value {
    json!([
        column("Job Status", ".status.jobStatus.state", "State of the job when last observed."),
        column("Lifecycle State", ".status.lifecycleState", "State of the resource as a whole."),
    ])
}

fn column(name: &str, path: &str, description: &str) -> Value {
    json!({"description": description, "jsonPath": path, "name": name, "priority": 0, "type": "string"})
}

struct Names {
    kind: &'static str,
    plural: &'static str,
    singular: &'static str,
    short: &'static str,
}

fn definition(names: Names, columns: Value, subresources: Value) -> Value {
    let Names { kind, plural, singular, short } = names;
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{GROUP}")},
        "spec": {
            "group": GROUP,
            "names": {"kind": kind, "plural": plural, "shortNames": [short], "singular": singular},
            "scope": "Namespaced",
            "versions": [{
                "additionalPrinterColumns": columns,
                "name": VERSION,
                "schema": {"openAPIV3Schema": Types::read(&[RESOURCES, POD]).expand(kind)},
                "served": true,
                "storage": true,
                "subresources": subresources,
            }],
        },
    })
}
