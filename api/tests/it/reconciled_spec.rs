//! The stored-spec text: format, stability, older forms (reconciler.md 2.10).

use std::error::Error;

use drey_api::{FlinkDeploymentSpec, FlinkSessionJobSpec, JobState, ReconciledSpec, UpgradeMode};
use expect_test::expect;
use serde_json::json;

#[test]
fn format() {
    let spec: FlinkDeploymentSpec = serde_json::from_value(json!({
        "job": {"jarURI": "local:///a.jar", "parallelism": 2, "upgradeMode": "last-state"},
        "flinkConfiguration": {"b": "2", "a": {"z": 1, "c": [1, 2]}},
        "flinkVersion": "v1_20",
        "jobManager": {"resource": {"memory": "2048m", "cpu": 1.0}},
    }))
    .unwrap();
    expect![[r#"{"spec":{"job":{"jarURI":"local:///a.jar","parallelism":2,"args":[],"state":"running","upgradeMode":"last-state"},"flinkConfiguration":{"a":{"c":[1,2],"z":1},"b":"2"},"flinkVersion":"v1_20","jobManager":{"resource":{"cpu":1.0,"memory":"2048m"},"replicas":1}},"resource_metadata":{"apiVersion":"flink.apache.org/v1beta1","firstDeployment":true}}"#]].assert_eq(&ReconciledSpec::new(spec, true).to_text());
}

#[test]
fn equal_specs_give_equal_texts() {
    let texts = [
        r#"{"podTemplate":{"spec":{"b":1,"a":{"y":1,"x":2}},"metadata":{}},"flinkConfiguration":{"b":"1","a":"2"}}"#,
        r#"{"flinkConfiguration":{"a":"2","b":"1"},"podTemplate":{"metadata":{},"spec":{"a":{"x":2,"y":1},"b":1}}}"#,
    ];
    let [one, two] = texts.map(|text| {
        let spec: FlinkDeploymentSpec = serde_json::from_str(text).unwrap();
        ReconciledSpec::new(spec, false).to_text()
    });
    assert_eq!(one, two);
    assert_eq!(ReconciledSpec::<FlinkDeploymentSpec>::parse(&one).unwrap().to_text(), one);
}

#[test]
fn texts_of_older_operators() {
    let bare =
        r#"{"job":{"jarURI":"j","state":"suspended","args":null},"restartNonce":null,"apiVersion":"x/v1"}"#;
    let read: ReconciledSpec = ReconciledSpec::parse(bare).unwrap();
    assert_eq!(read.metadata, None);
    assert!(!read.is_first_deployment());
    assert_eq!(read.spec.job.unwrap().state, JobState::Suspended);

    let with_metadata = r#"{"spec":{"job":{"upgradeMode":"savepoint"}},
        "resource_metadata":{"apiVersion":"flink.apache.org/v1beta1","metadata":{"generation":4},"firstDeployment":true}}"#;
    let read: ReconciledSpec = ReconciledSpec::parse(with_metadata).unwrap();
    assert!(read.is_first_deployment());
    assert_eq!(read.spec.job.as_ref().unwrap().upgrade_mode, UpgradeMode::Savepoint);
    assert!(!read.to_text().contains("generation"));

    let session = r#"{"spec":{"deploymentName":"c"},"resource_metadata":null}"#;
    let read: ReconciledSpec<FlinkSessionJobSpec> = ReconciledSpec::parse(session).unwrap();
    assert_eq!(read.spec.deployment_name.as_deref(), Some("c"));
}

#[test]
fn an_unreadable_text_says_what_and_why() {
    let error = ReconciledSpec::<FlinkDeploymentSpec>::parse("{\"spec\":7}").unwrap_err();
    assert_eq!(error.to_string(), "read the spec stored in status.reconciliationStatus");
    assert!(error.source().unwrap().to_string().contains("expected struct FlinkDeploymentSpec"));
}
