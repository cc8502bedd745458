//! What users really write: valid manifests lead to objects, flawed ones to a clear answer.

use std::path::Path;

use drey_api::{FlinkDeployment, FlinkSessionJob, FlinkVersion};
use drey_blueprint::config::{OperatorConfig, effective, keys, parse_legacy};
use drey_blueprint::objects::{DeployOptions, application_cluster, session_cluster};
use drey_blueprint::validate::{flink_deployment, flink_session_job};
use serde_json::Value;

use crate::shared::shared;

fn documents(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    serde_saphyr::from_multiple(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn yaml_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(yaml_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Validates a deployment and builds its objects.
fn deploys(path: &Path, document: Value) {
    let cr: FlinkDeployment = serde_json::from_value(document).unwrap();
    let operator = OperatorConfig::default();
    flink_deployment(&cr, None, &operator).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let conf = effective::deploy(&operator, &cr, &cr.spec);
    let options = DeployOptions { job_id: "0".repeat(32), ..DeployOptions::default() };
    let objects = match cr.is_application() {
        true => application_cluster(&cr, &cr.spec, &conf, &options),
        false => session_cluster(&cr, &cr.spec, &conf),
    };
    let objects = objects.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!(objects.deployment["metadata"]["name"], cr.name());
    assert!(objects.dependents("uid").len() >= 2);
}

#[test]
fn valid_manifests_lead_to_objects() {
    let Some(folder) = shared("real/manifests") else { return };
    let mut count = 0;
    for path in yaml_files(&folder).iter().filter(|path| !path.to_string_lossy().contains("flawed")) {
        for document in documents(path) {
            match document["kind"].as_str() {
                Some("FlinkDeployment") => deploys(path, document),
                Some("FlinkSessionJob") => {
                    let job: FlinkSessionJob = serde_json::from_value(document).unwrap();
                    flink_session_job(&job, None, None, &OperatorConfig::default()).unwrap();
                }
                other => panic!("{}: {other:?}", path.display()),
            }
            count += 1;
        }
    }
    assert!(count >= 12, "only {count} documents");
}

/// The examples Apache's operator ships; those in standalone mode are answered, not deployed.
#[test]
fn shipped_examples_lead_to_objects() {
    let Some(folder) = shared("real/flink-kubernetes-operator-1.15.0/examples") else { return };
    let (mut count, mut over_tls) = (0, 0);
    for path in yaml_files(&folder) {
        // Values for other tools lie between them.
        for document in documents(&path) {
            let is_deployment =
                document["kind"] == "FlinkDeployment" && document["spec"]["image"].is_string();
            if is_deployment && document["spec"]["mode"] != "standalone" {
                let cr: FlinkDeployment = serde_json::from_value(document.clone()).unwrap();
                let answer = flink_deployment(&cr, None, &OperatorConfig::default());
                if answer.is_err_and(|error| error.rule == "own: plain REST") {
                    over_tls += 1;
                    continue;
                }
                deploys(&path, document);
                count += 1;
            }
        }
    }
    assert!(count >= 10, "only {count} documents");
    assert!((1..=3).contains(&over_tls), "{over_tls} documents of the example for TLS");
}

#[track_caller]
fn answer(file: &str, expected: &str) {
    let Some(path) = shared(&format!("real/manifests/flawed/{file}.yaml")) else { return };
    let [document] = documents(&path).try_into().expect("one document");
    let cr: FlinkDeployment = serde_json::from_value(document).unwrap();
    let error = flink_deployment(&cr, None, &OperatorConfig::default()).expect_err(file);
    assert_eq!(error.message, expected);
}

#[test]
fn flawed_manifests_are_answered() {
    let checkpoints = "Checkpoint directory[execution.checkpointing.dir] must be defined for last-state and savepoint upgrade modes";
    answer("last-state-without-ha", checkpoints);
    answer("savepoint-without-directory", checkpoints);
    answer(
        "redeploy-nonce-without-path",
        "InitialSavepointPath must not be empty for savepoint redeployment",
    );
}

/// The configuration Apache's chart installs, file and values, is a configuration for us.
#[test]
fn the_configuration_of_the_chart_is_read() {
    let Some(chart) = shared("real/flink-kubernetes-operator-1.15.0/helm/flink-kubernetes-operator") else {
        return;
    };
    let file = std::fs::read_to_string(chart.join("conf/flink-conf.yaml")).unwrap();
    let [values] = documents(&chart.join("values.yaml")).try_into().expect("one document");
    let appended = values["defaultConfiguration"]["flink-conf.yaml"].as_str().unwrap();
    let (entries, ignored) = parse_legacy(&format!("{file}\n{appended}"));
    assert!(ignored.is_empty(), "{ignored:?}");
    let config = OperatorConfig::new(entries).unwrap();
    assert_eq!(config.value(keys::RECONCILE_INTERVAL).as_secs(), 15);
    assert_eq!(config.value(keys::PROGRESS_CHECK_INTERVAL).as_secs(), 5);
    assert!(config.warnings().is_empty(), "{:?}", config.warnings());
    let java_options = |version| {
        let conf = config.defaults_for("ns", Some(version));
        (conf.raw("env.java.opts.all").is_some(), conf.raw("env.java.default-opts.all").is_some())
    };
    assert_eq!(java_options(FlinkVersion::V1_17), (false, false));
    assert_eq!(java_options(FlinkVersion::V1_18), (true, false));
    assert_eq!(java_options(FlinkVersion::V2_0), (false, true));
}
