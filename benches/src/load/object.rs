//! The custom resources of the measurements: FlinkDeployments of 2.7 kB, as users write them.

use serde_json::{Map, Value, json};

/// Where they live; every server has this namespace, or needs none.
pub const COLLECTION: &str = "/apis/flink.apache.org/v1beta1/namespaces/default/flinkdeployments";
pub const ALL: &str = "/apis/flink.apache.org/v1beta1/flinkdeployments";
pub const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Bytes of one as it is sent.
pub const BYTES: usize = 2_700;

/// The CRD as Apache publishes it.
pub const DEFINITION: &str = include_str!("../../../deploy/crds/flinkdeployments.flink.apache.org-v1.yml");

pub fn name(index: usize) -> String {
    format!("app-{index:06}")
}

pub fn path(index: usize) -> String {
    format!("{COLLECTION}/{}", name(index))
}

/// One of [`BYTES`] bytes: an application whose configuration is as long as it takes.
pub fn deployment(index: usize) -> Value {
    let mut object = crate::fleet::manifest(&name(index), "savepoint");
    object["metadata"]["namespace"] = json!("default");
    object["metadata"]["labels"] = json!({"app": name(index), "team": format!("team-{}", index % 10)});
    let mut options = match object["spec"]["flinkConfiguration"].take() {
        Value::Object(options) => options,
        _ => Map::new(),
    };
    let mut left =
        BYTES.saturating_sub(object.to_string().len() + Value::from(options.clone()).to_string().len());
    let mut number = 0;
    while left > 80 {
        let (option, value) =
            (format!("pipeline.option-{number:02}"), "a value of some length, as paths have");
        left = left.saturating_sub(option.len() + value.len() + 6);
        options.insert(option, json!(value));
        number += 1;
    }
    options.insert("pad".to_owned(), json!("x".repeat(left.saturating_sub(9))));
    object["spec"]["flinkConfiguration"] = Value::Object(options);
    object
}

/// A status as an operator writes it, which differs each time.
pub fn status(round: usize) -> Value {
    json!({"status": {
        "jobManagerDeploymentStatus": "READY", "lifecycleState": "STABLE", "observedGeneration": 1,
        "jobStatus": {"jobId": "5f2c0a", "jobName": "app", "state": "RUNNING", "updateTime": round.to_string()},
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_as_long_as_it_says() {
        for index in [0, 9_999] {
            let length = deployment(index).to_string().len();
            assert!(length.abs_diff(BYTES) < 8, "{length}");
        }
    }
}
