//! How large a process is: `resource` (older) or `resources` (Kubernetes' form) of a spec (kubernetes-objects.md 5).

use std::collections::BTreeMap;

use drey_api::{Resource, ResourceRequirements};
use serde_json::Value;

use super::memory::parse_process_memory;
use super::quantity::parse_quantity;

/// The sizes that become Flink options, and the rest that goes to the container as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProcessResources {
    pub memory_bytes: Option<u64>,
    pub cpu: Option<f64>,
    pub memory_limit_factor: Option<f64>,
    pub cpu_limit_factor: Option<f64>,
    /// Other resource names, `ephemeral-storage` included, as written.
    pub other_requests: BTreeMap<String, Value>,
    pub other_limits: BTreeMap<String, Value>,
}

/// `resources` wins when it asks for anything at all. Amounts that cannot be read count as absent: validation
/// names them (`validate`).
pub fn process_resources(
    resource: Option<&Resource>,
    resources: Option<&ResourceRequirements>,
) -> ProcessResources {
    match resources.filter(|r| !r.requests.is_empty() || !r.limits.is_empty()) {
        Some(resources) => from_requirements(resources),
        None => resource.map(from_resource).unwrap_or_default(),
    }
}

fn from_resource(resource: &Resource) -> ProcessResources {
    let mut result = ProcessResources {
        memory_bytes: resource.memory.as_deref().and_then(|text| parse_process_memory(text).ok()),
        cpu: resource.cpu.as_ref().and_then(serde_json::Number::as_f64),
        ..ProcessResources::default()
    };
    if let Some(storage) = &resource.ephemeral_storage {
        let storage = Value::String(storage.clone());
        result.other_requests.insert("ephemeral-storage".to_owned(), storage.clone());
        result.other_limits.insert("ephemeral-storage".to_owned(), storage);
    }
    result
}

fn from_requirements(resources: &ResourceRequirements) -> ProcessResources {
    let memory = |map: &BTreeMap<String, Value>| {
        map.get("memory").and_then(|value| parse_process_memory(&amount_text(value)).ok())
    };
    let cpu = |map: &BTreeMap<String, Value>| {
        map.get("cpu").and_then(|value| parse_quantity(&amount_text(value)).ok()).map(|q| q.as_f64())
    };
    // Request and limit are read the same way. Apache's operator divides Kubernetes amounts here, so that a request
    // of `1024m` (1024 MiB to Flink, one and a bit bytes to Kubernetes) with a limit of `2Gi` gives a factor of
    // two thousand million.
    let (memory_request, memory_limit) = (memory(&resources.requests), memory(&resources.limits));
    let (cpu_request, cpu_limit) = (cpu(&resources.requests), cpu(&resources.limits));
    let as_float = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64);
    ProcessResources {
        memory_bytes: memory_request.or(memory_limit),
        cpu: cpu_request.or(cpu_limit),
        memory_limit_factor: factor(as_float(memory_request), as_float(memory_limit)),
        cpu_limit_factor: factor(cpu_request, cpu_limit),
        other_requests: others(&resources.requests),
        other_limits: others(&resources.limits),
    }
}

fn factor(request: Option<f64>, limit: Option<f64>) -> Option<f64> {
    request.filter(|request| *request > 0.0).and_then(|request| limit.map(|limit| limit / request))
}

fn others(amounts: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let mut others = amounts.clone();
    others.retain(|name, _| name != "memory" && name != "cpu");
    others
}

/// A quantity is written as text or as number.
pub(crate) fn amount_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn requirements(value: Value) -> ResourceRequirements {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_newer_form_wins_when_it_says_something() {
        let old: Resource = serde_json::from_value(json!({"memory": "1g", "cpu": 1})).unwrap();
        let empty = ResourceRequirements::default();
        assert_eq!(process_resources(Some(&old), Some(&empty)).cpu, Some(1.0));
        let new = requirements(json!({"limits": {"cpu": "500m"}}));
        let got = process_resources(Some(&old), Some(&new));
        assert_eq!((got.cpu, got.memory_bytes, got.cpu_limit_factor), (Some(0.5), None, None));
    }

    #[test]
    fn limit_factors_compare_amounts_read_alike() {
        let mixed = requirements(json!({
            "requests": {"memory": "1024m", "cpu": 1, "nvidia.com/gpu": 1},
            "limits": {"memory": "2Gi", "cpu": "1500m", "nvidia.com/gpu": 1},
        }));
        let got = process_resources(None, Some(&mixed));
        assert_eq!(got.memory_bytes, Some(1 << 30));
        assert_eq!(got.memory_limit_factor, Some(2.0));
        assert_eq!(got.cpu_limit_factor, Some(1.5));
        assert_eq!(got.other_requests, BTreeMap::from([("nvidia.com/gpu".to_owned(), json!(1))]));
    }

    #[test]
    fn ephemeral_storage_is_request_and_limit() {
        let old: Resource = serde_json::from_value(json!({"ephemeralStorage": "2G"})).unwrap();
        let got = process_resources(Some(&old), None);
        assert_eq!(got.other_requests, got.other_limits);
        assert_eq!(got.other_limits["ephemeral-storage"], json!("2G"));
    }
}
