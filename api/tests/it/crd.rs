//! The CRDs: equal to the checked-in documents, to the Rust types, and to those of Apache's operator 1.15.0.

use std::collections::BTreeSet;
use std::path::Path;

use drey_api::crd::{crds, schema_of};
use drey_api::{FlinkDeployment, FlinkSessionJob, FlinkStateSnapshot};
use expect_test::expect;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::shared::shared;

fn read_yaml(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn checked_in_documents_are_current() {
    for crd in crds() {
        let name = crd["metadata"]["name"].as_str().unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../deploy/crds/{name}-v1.yml"));
        assert!(read_yaml(&path) == crd, "{name} differs: run `cargo run -p drey-api --example crds`");
    }
}

/// Everything that decides what is accepted and shown; descriptions are free.
#[test]
fn same_as_the_definitions_in_the_field() {
    let folder = "real/flink-kubernetes-operator-1.15.0/helm/flink-kubernetes-operator/crds";
    let Some(folder) = shared(folder) else { return };
    let mut differences = Vec::new();
    for crd in crds() {
        let name = crd["metadata"]["name"].as_str().unwrap();
        let theirs = read_yaml(&folder.join(format!("{name}-v1.yml")));
        compare(name, &without_descriptions(&crd), &without_descriptions(&theirs), &mut differences);
    }
    // 1.15.0 knows neither the newest Flink versions nor `resources`, which the next release brings.
    expect![[r#"
        ours only: flinkdeployments.flink.apache.org.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.flinkVersion.enum "v2_3"
        ours only: flinkdeployments.flink.apache.org.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.flinkVersion.enum "v2_4"
        ours only: flinkdeployments.flink.apache.org.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.jobManager.properties.resources
        ours only: flinkdeployments.flink.apache.org.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.taskManager.properties.resources"#]].assert_eq(&differences.join("\n"));
}

fn without_descriptions(crd: &Value) -> Value {
    let mut crd = crd.clone();
    for column in crd["spec"]["versions"][0]["additionalPrinterColumns"].as_array_mut().unwrap() {
        column.as_object_mut().unwrap().remove("description");
    }
    crd
}

fn compare(path: &str, ours: &Value, theirs: &Value, differences: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let inner = format!("{path}.{key}");
                match (a.get(key), b.get(key)) {
                    (Some(a), Some(b)) => compare(&inner, a, b, differences),
                    (Some(_), None) => differences.push(format!("ours only: {inner}")),
                    (None, _) => differences.push(format!("theirs only: {inner}")),
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.iter().chain(b).all(Value::is_string) => {
            let (a, b): (BTreeSet<_>, BTreeSet<_>) =
                (a.iter().map(Value::to_string).collect(), b.iter().map(Value::to_string).collect());
            differences.extend(a.difference(&b).map(|only| format!("ours only: {path} {only}")));
            differences.extend(b.difference(&a).map(|only| format!("theirs only: {path} {only}")));
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                compare(&format!("{path}[{index}]"), a, b, differences);
            }
        }
        (a, b) if a == b => {}
        (a, b) => differences.push(format!("{path}: ours {a}, theirs {b}")),
    }
}

/// An object with every field of the schema reads into the Rust type and writes back unchanged: no field is missing
/// from the types, none is named differently, and no enum value is unknown.
#[track_caller]
fn types_match_schema<T: Serialize + DeserializeOwned>(kind: &str) {
    let schema = schema_of(kind).unwrap();
    for variant in 0..16 {
        let mut full = sample(&schema, variant);
        full["apiVersion"] = json!("flink.apache.org/v1beta1");
        full["kind"] = json!(kind);
        full["metadata"] = json!({"name": "full"});
        let typed: T = serde_json::from_value(full.clone()).unwrap_or_else(|e| panic!("{kind}: {e}"));
        let back = serde_json::to_value(&typed).unwrap();
        let mut differences = Vec::new();
        compare(kind, &back, &full, &mut differences);
        assert!(differences.is_empty(), "{differences:#?}");
    }
}

/// A value that has every field of `schema`; `variant` chooses among enum values.
fn sample(schema: &Value, variant: usize) -> Value {
    if let Some(values) = schema["enum"].as_array() {
        return values[variant % values.len()].clone();
    }
    match schema["type"].as_str() {
        Some("string") => json!("text"),
        Some("integer") => json!(7),
        Some("number") => json!(0.5),
        Some("boolean") => json!(true),
        Some("array") => json!([sample(&schema["items"], variant)]),
        Some("object") if schema.get("additionalProperties").is_some() => {
            json!({"key": sample(&schema["additionalProperties"], variant)})
        }
        Some("object") => {
            let fields = schema["properties"].as_object().cloned().unwrap_or_default();
            Value::Object(fields.iter().map(|(k, v)| (k.clone(), sample(v, variant))).collect::<Map<_, _>>())
        }
        _ => json!({"anything": [1, {"goes": "here"}]}),
    }
}

#[test]
fn types_have_exactly_the_fields_of_the_schemas() {
    types_match_schema::<FlinkDeployment>("FlinkDeployment");
    types_match_schema::<FlinkSessionJob>("FlinkSessionJob");
    types_match_schema::<FlinkStateSnapshot>("FlinkStateSnapshot");
}

/// The converse: what the types write without being given anything is known to the schema.
#[test]
fn defaults_are_written_within_the_schema() {
    let mut deployment = FlinkDeployment::new("x", Default::default());
    deployment.spec.job = Some(Default::default());
    deployment.spec.job_manager = Some(Default::default());
    deployment.spec.task_manager = Some(Default::default());
    deployment.status = Some(Default::default());
    within("FlinkDeployment", &serde_json::to_value(&deployment).unwrap());
    let mut job = FlinkSessionJob::new("x", Default::default());
    job.status = Some(Default::default());
    within("FlinkSessionJob", &serde_json::to_value(&job).unwrap());
    let mut snapshot = FlinkStateSnapshot::new("x", Default::default());
    snapshot.spec.savepoint = Some(Default::default());
    snapshot.status = Some(Default::default());
    within("FlinkStateSnapshot", &serde_json::to_value(&snapshot).unwrap());
}

#[track_caller]
fn within(kind: &str, object: &Value) {
    let schema = schema_of(kind).unwrap();
    let mut unknown = Vec::new();
    for part in ["spec", "status"] {
        unknown_fields(part, &object[part], &schema["properties"][part], &mut unknown);
    }
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// Paths of `value` that `schema` does not know: what strict field validation warns about and pruning drops.
fn unknown_fields(path: &str, value: &Value, schema: &Value, unknown: &mut Vec<String>) {
    if schema.get("x-kubernetes-preserve-unknown-fields").is_some() {
        return;
    }
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                unknown_fields(&format!("{path}[{index}]"), item, &schema["items"], unknown);
            }
        }
        Value::Object(map) => {
            for (key, inner) in map {
                let known = schema["properties"].get(key).or_else(|| schema.get("additionalProperties"));
                match known {
                    Some(known) => unknown_fields(&format!("{path}.{key}"), inner, known, unknown),
                    None => unknown.push(format!("{path}.{key}")),
                }
            }
        }
        _ => {}
    }
}

#[track_caller]
fn unknown_in_manifest(file: &str, expected: &[&str]) {
    let Some(path) = shared(&format!("real/manifests/{file}")) else { return };
    let manifest = read_yaml(&path);
    let mut unknown = Vec::new();
    unknown_fields(
        "spec",
        &manifest["spec"],
        &schema_of("FlinkDeployment").unwrap()["properties"]["spec"],
        &mut unknown,
    );
    assert_eq!(unknown, expected, "{file}");
}

#[test]
fn a_misspelt_volume_source_is_an_unknown_field() {
    unknown_in_manifest(
        "flawed/pod-template-misspelt-volume.yaml",
        &["spec.podTemplate.spec.volumes[0].persistenceVolumeClaim"],
    );
    unknown_in_manifest("application-ha-rocksdb.yaml", &[]);
    unknown_in_manifest("application-sidecar-pod-template.yaml", &[]);
    unknown_in_manifest("application-savepoint-nfs.yaml", &[]);
}
