//! Validation of workloads and Services: the refusals an operator's author runs into (cases val-deployment, val-service).
//!
//! Leaves out: the rest of PodSpec, addresses of Services.

use fake_kube_schema::Cause;
use serde_json::{Value, json};

use crate::resource::Definition;
use crate::selector::LabelSelector;

/// Deployment, ReplicaSet, StatefulSet, DaemonSet.
pub(crate) fn workload(def: &Definition, object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let spec = &object["spec"];
    let mut out = Vec::new();
    if let Some(n) = spec["replicas"].as_i64().filter(|n| *n < 0) {
        out.push(Cause::invalid("spec.replicas", &json!(n), "must be greater than or equal to 0"));
    }
    let selector = &spec["selector"];
    let empty = selector.as_object().is_some_and(|s| s.values().all(is_empty));
    if selector.is_null() {
        out.push(Cause::required("spec.selector", ""));
    } else if empty {
        let why = format!("empty selector is invalid for {}", def.kind.to_lowercase());
        out.push(Cause::invalid("spec.selector", selector, &why));
    }
    let template = &spec["template"];
    if selector.is_null() || !LabelSelector::from_object(selector).matches(template) {
        let why = "`selector` does not match template `labels`";
        out.push(Cause::invalid("spec.template.metadata.labels", &template["metadata"]["labels"], why));
    }
    if template["spec"]["containers"].as_array().is_none_or(Vec::is_empty) {
        out.push(Cause::required("spec.template.spec.containers", ""));
    }
    if let Some(other) = template["spec"]["restartPolicy"].as_str().filter(|p| *p != "Always") {
        out.push(Cause::not_supported("spec.template.spec.restartPolicy", &json!(other), &["Always"]));
    }
    if def.plural == "deployments" {
        deployment(spec, &mut out);
    }
    if old.is_some_and(|o| o["spec"]["selector"] != *selector) {
        out.push(Cause::invalid("spec.selector", selector, "field is immutable"));
    }
    out
}

fn is_empty(v: &Value) -> bool {
    match v {
        Value::Null => true,
        Value::Array(l) => l.is_empty(),
        Value::Object(m) => m.is_empty(),
        _ => false,
    }
}

fn deployment(spec: &Value, out: &mut Vec<Cause>) {
    let (kind, rolling) =
        (spec["strategy"]["type"].as_str().unwrap_or("RollingUpdate"), &spec["strategy"]["rollingUpdate"]);
    match kind {
        "Recreate" if !rolling.is_null() => {
            let why = "may not be specified when strategy `type` is 'Recreate'";
            out.push(Cause::forbidden("spec.strategy.rollingUpdate", why));
        }
        "RollingUpdate" if is_zero(&rolling["maxSurge"]) && is_zero(&rolling["maxUnavailable"]) => {
            let why = "may not be 0 when `maxSurge` is 0";
            out.push(Cause::invalid(
                "spec.strategy.rollingUpdate.maxUnavailable",
                &rolling["maxUnavailable"],
                why,
            ));
        }
        "Recreate" | "RollingUpdate" => {}
        // Printed as the Go struct, whose fields keep their order.
        other => {
            let message = format!(
                "Unsupported value: {{\"Type\":{},\"RollingUpdate\":null}}: supported values: \"Recreate\", \"RollingUpdate\"",
                json!(other)
            );
            let reason = fake_kube_schema::Reason::NotSupported;
            out.push(Cause { field: "spec.strategy".to_owned(), reason, message });
        }
    }
    let ready = spec["minReadySeconds"].as_i64().unwrap_or(0);
    if let Some(n) = spec["progressDeadlineSeconds"].as_i64().filter(|n| *n <= ready) {
        out.push(Cause::invalid(
            "spec.progressDeadlineSeconds",
            &json!(n),
            "must be greater than minReadySeconds",
        ));
    }
}

fn is_zero(v: &Value) -> bool {
    v.as_i64() == Some(0) || v.as_str() == Some("0%")
}

/// The ports and the type of a Service.
pub(crate) fn service(object: &Value) -> Vec<Cause> {
    let spec = &object["spec"];
    let mut out = Vec::new();
    let kind = spec["type"].as_str().unwrap_or("ClusterIP");
    let ports = spec["ports"].as_array().map_or(&[][..], Vec::as_slice);
    if ports.is_empty() && kind != "ExternalName" && spec["clusterIP"] != "None" {
        out.push(Cause::required("spec.ports", ""));
    }
    if kind == "ExternalName" && spec["externalName"].as_str().unwrap_or("").is_empty() {
        out.push(Cause::required("spec.externalName", ""));
    }
    for (i, p) in ports.iter().enumerate() {
        if ports.len() > 1 && p["name"].as_str().unwrap_or("").is_empty() {
            out.push(Cause::required(format!("spec.ports[{i}].name"), ""));
        }
        for key in ["port", "targetPort"] {
            if let Some(n) = p[key].as_i64().filter(|n| !(1..=65535).contains(n)) {
                let why = "must be between 1 and 65535, inclusive";
                out.push(Cause::invalid(format!("spec.ports[{i}].{key}"), &json!(n), why));
            }
        }
    }
    let kinds = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    if !kinds.contains(&kind) {
        out.push(Cause::not_supported("spec.type", &json!(kind), &kinds));
    }
    out
}
