//! Pod templates: merging the common one with that of a process, and what the operator adds (kubernetes-objects.md 4).

use drey_api::{FlinkDeploymentSpec, PodTemplate};
use serde_json::{Map, Value, json};

use crate::config::{FlinkConf, ProcessResources, keys, process_resources};

pub(super) const MAIN_CONTAINER: &str = "flink-main-container";

/// How lists of two templates are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArrayMerge {
    /// The n-th element with the n-th.
    ByIndex,
    /// Elements of the same `name`; lists without names by index.
    ByName,
}

impl ArrayMerge {
    pub fn of(conf: &FlinkConf) -> Self {
        if conf.value(keys::POD_TEMPLATE_MERGE_BY_NAME) { Self::ByName } else { Self::ByIndex }
    }
}

/// Lays `overlay` over `base`: objects field by field, lists as `arrays` says, anything else is replaced.
pub fn merge(base: &mut Value, overlay: &Value, arrays: ArrayMerge) {
    match (base, overlay) {
        (_, Value::Null) => {}
        (Value::Object(base), Value::Object(overlay)) => {
            for (key, value) in overlay {
                merge(base.entry(key.clone()).or_insert(Value::Null), value, arrays);
            }
        }
        (Value::Array(base), Value::Array(overlay)) => match arrays {
            ArrayMerge::ByName if all_named(base) && all_named(overlay) => {
                merge_by_name(base, overlay, arrays)
            }
            _ => merge_by_index(base, overlay, arrays),
        },
        (base, overlay) => *base = overlay.clone(),
    }
}

/// Texts and numbers at the same index: the overlay's wins. Apache's operator keeps the base's there, so that
/// `args: [b, c]` over `args: [a]` becomes `[a, c]`, which nobody can have meant.
fn merge_by_index(base: &mut Vec<Value>, overlay: &[Value], arrays: ArrayMerge) {
    for (index, value) in overlay.iter().enumerate() {
        match base.get_mut(index) {
            Some(existing) => merge(existing, value, arrays),
            None => base.push(value.clone()),
        }
    }
}

fn merge_by_name(base: &mut Vec<Value>, overlay: &[Value], arrays: ArrayMerge) {
    for value in overlay {
        match base.iter_mut().find(|existing| existing["name"] == value["name"]) {
            Some(existing) => merge(existing, value, arrays),
            None => base.push(value.clone()),
        }
    }
}

fn all_named(items: &[Value]) -> bool {
    items.iter().all(|item| item.get("name").is_some_and(Value::is_string))
}

/// The JobManager's template with everything the spec says of its pods.
pub(super) fn job_manager(spec: &FlinkDeploymentSpec, conf: &FlinkConf) -> Value {
    let process = spec.job_manager.as_ref();
    let resources = process.map(|jm| process_resources(jm.resource.as_ref(), jm.resources.as_ref()));
    let own = process.and_then(|jm| jm.pod_template.as_ref());
    let mut template = merged(spec.pod_template.as_ref(), own, conf).unwrap_or_else(|| json!({}));
    add_other_resources(&mut template, &resources.unwrap_or_default());
    if conf.value(keys::JM_STARTUP_PROBE_ENABLED) {
        let container = main_container(&mut template);
        container.entry("startupProbe").or_insert_with(startup_probe);
    }
    template
}

/// The TaskManagers' template, which the JobManager reads from a file; `None` where nothing is said of them.
pub(super) fn task_manager(spec: &FlinkDeploymentSpec, conf: &FlinkConf) -> Option<Value> {
    let process = spec.task_manager.as_ref();
    let resources = process.map(|tm| process_resources(tm.resource.as_ref(), tm.resources.as_ref()));
    let resources = resources.unwrap_or_default();
    let own = process.and_then(|tm| tm.pod_template.as_ref());
    let mut template = match merged(spec.pod_template.as_ref(), own, conf) {
        Some(template) => template,
        None if resources.other_requests.is_empty() && resources.other_limits.is_empty() => return None,
        None => json!({}),
    };
    add_other_resources(&mut template, &resources);
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod"});
    merge(&mut pod, &template, ArrayMerge::ByIndex);
    Some(pod)
}

fn merged(common: Option<&PodTemplate>, own: Option<&PodTemplate>, conf: &FlinkConf) -> Option<Value> {
    match (common.map(PodTemplate::essential), own.map(PodTemplate::essential)) {
        (None, None) => None,
        (Some(only), None) | (None, Some(only)) => Some(only),
        (Some(mut common), Some(own)) => {
            merge(&mut common, &own, ArrayMerge::of(conf));
            Some(common)
        }
    }
}

/// Resource names other than cpu and memory, which Flink's configuration does not know.
fn add_other_resources(template: &mut Value, resources: &ProcessResources) {
    for (kind, amounts) in [("requests", &resources.other_requests), ("limits", &resources.other_limits)] {
        if amounts.is_empty() {
            continue;
        }
        let container = main_container(template);
        let of_kind = object(object(container, "resources"), kind);
        of_kind.extend(amounts.iter().map(|(name, amount)| (name.clone(), amount.clone())));
    }
}

/// The container starts once the REST endpoint answers; there is no limit, since Flink may recover for hours.
fn startup_probe() -> Value {
    json!({
        "failureThreshold": i32::MAX,
        "httpGet": {"path": "/config", "port": "rest"},
        "periodSeconds": 1,
    })
}

/// The container Flink runs in: found by name, or added last.
pub(super) fn main_container(template: &mut Value) -> &mut Map<String, Value> {
    let containers = list(object(as_object(template), "spec"), "containers");
    let position = containers.iter().position(|container| container["name"] == MAIN_CONTAINER);
    let position = position.unwrap_or_else(|| {
        containers.push(json!({"name": MAIN_CONTAINER}));
        containers.len() - 1
    });
    as_object(&mut containers[position])
}

/// `parent.key` as an object; anything else there gives way to an empty one.
pub(super) fn object<'a>(parent: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    as_object(parent.entry(key.to_owned()).or_insert(Value::Null))
}

/// `parent.key` as a list; anything else there gives way to an empty one.
pub(super) fn list<'a>(parent: &'a mut Map<String, Value>, key: &str) -> &'a mut Vec<Value> {
    let value = parent.entry(key.to_owned()).or_insert(Value::Null);
    if !value.is_array() {
        *value = json!([]);
    }
    match value {
        Value::Array(items) => items,
        _ => unreachable!("made a list above"),
    }
}

pub(super) fn as_object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made an object above"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(arrays: ArrayMerge, base: Value, overlay: Value, expected: Value) {
        let mut merged = base;
        merge(&mut merged, &overlay, arrays);
        assert_eq!(merged, expected);
    }

    #[test]
    fn by_index() {
        check(
            ArrayMerge::ByIndex,
            json!({"containers": [{"name": "a", "image": "1"}], "keep": 1, "over": 1}),
            json!({"containers": [{"image": "2"}, {"name": "b"}], "over": 2}),
            json!({"containers": [{"name": "a", "image": "2"}, {"name": "b"}], "keep": 1, "over": 2}),
        );
        // Sidecars at different positions are mixed; that is what the option below is for.
        check(
            ArrayMerge::ByIndex,
            json!([{"name": "sidecar", "image": "s"}]),
            json!([{"name": "flink-main-container"}]),
            json!([{"name": "flink-main-container", "image": "s"}]),
        );
    }

    #[test]
    fn by_name() {
        check(
            ArrayMerge::ByName,
            json!([{"name": "sidecar", "env": [{"name": "A", "value": "1"}]}, {"name": "main"}]),
            json!([{"name": "main", "image": "m"}, {"name": "sidecar", "env": [{"name": "B", "value": "2"}]}, {"name": "new"}]),
            json!([
                {"name": "sidecar", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
                {"name": "main", "image": "m"},
                {"name": "new"},
            ]),
        );
        check(
            ArrayMerge::ByName,
            json!([{"key": "a", "v": 1}]),
            json!([{"key": "b"}]),
            json!([{"key": "b", "v": 1}]),
        );
    }

    /// Apache's operator gives `["a", "c"]` here.
    #[test]
    fn texts_at_the_same_index_are_replaced() {
        check(ArrayMerge::ByIndex, json!(["a"]), json!(["b", "c"]), json!(["b", "c"]));
    }

    #[test]
    fn nulls_say_nothing_and_kinds_may_differ() {
        check(ArrayMerge::ByIndex, json!({"a": 1}), json!({"a": null}), json!({"a": 1}));
        check(ArrayMerge::ByIndex, json!({"a": [1]}), json!({"a": {"b": 1}}), json!({"a": {"b": 1}}));
    }
}
