//! Warnings about pods and pod templates: allowed, yet hardly meant (pkg/api/pod/warnings.go; cases smp-host-aliases,
//! val-duplicates-warn). Leaves out: fractional bytes, overlapping projected volumes, host IPs without ports.

use serde_json::Value;

use crate::resource::Definition;

/// Labels of nodes, and since when which other one takes their place.
const LABELS: [(&str, &str); 5] = [
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
    ),
    (
        "beta.kubernetes.io/instance-type",
        "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead",
    ),
];

const ANNOTATIONS: [(&str, &str); 4] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
    (
        "seccomp.security.alpha.kubernetes.io/pod",
        "non-functional in v1.27+; use the \"seccompProfile\" field instead",
    ),
];

const VOLUMES: [(&str, &str); 8] = [
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
];

/// What a write of `new` is warned about. Of an update only what changes the spec is looked at.
pub(crate) fn of_pods(def: &Definition, new: &Value, old: Option<&Value>) -> Vec<String> {
    let place: &[&str] = match (def.group.as_str(), def.plural.as_str()) {
        ("", "pods") => &[],
        ("apps", "daemonsets" | "deployments" | "replicasets" | "statefulsets")
        | ("", "replicationcontrollers")
        | ("batch", "jobs") => &["spec", "template"],
        ("batch", "cronjobs") => &["spec", "jobTemplate", "spec", "template"],
        ("", "podtemplates") => &["template"],
        _ => return Vec::new(),
    };
    if old.is_some_and(|old| old.get("spec") == new.get("spec") && old.get("template") == new.get("template"))
    {
        return Vec::new();
    }
    let Some(pod) = place.iter().try_fold(new, |v, key| v.get(*key)) else { return Vec::new() };
    let base = place.iter().map(|key| format!("{key}.")).collect::<String>();
    let mut out = Vec::new();
    placement(&pod["spec"], &base, &mut out);
    metadata_and_volumes(pod, &base, &mut out);
    containers(&pod["spec"], &base, &mut out);
    if pod["spec"]["terminationGracePeriodSeconds"].as_i64().is_some_and(|n| n < 0) {
        let why = "must be >= 0; negative values are invalid and will be treated as 1.";
        out.push(format!("{base}spec.terminationGracePeriodSeconds: {why}"));
    }
    ports(&pod["spec"], &base, &mut out);
    out
}

fn lookup(table: &'static [(&str, &str)], key: &str) -> Option<&'static str> {
    table.iter().find(|(k, _)| *k == key).map(|(_, why)| *why)
}

fn list<'a>(v: &'a Value, key: &str) -> impl Iterator<Item = (usize, &'a Value)> {
    v[key].as_array().into_iter().flatten().enumerate()
}

fn placement(spec: &Value, base: &str, out: &mut Vec<String>) {
    for key in spec["nodeSelector"].as_object().into_iter().flat_map(|m| m.keys()) {
        if let Some(why) = lookup(&LABELS, key) {
            out.push(format!("{base}spec.nodeSelector[{key}]: {why}"));
        }
    }
    let affinity = &spec["affinity"]["nodeAffinity"];
    let path = format!("{base}spec.affinity.nodeAffinity");
    let required = &affinity["requiredDuringSchedulingIgnoredDuringExecution"];
    for (i, term) in list(required, "nodeSelectorTerms") {
        let at = format!("{path}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[{i}]");
        expressions(term, &at, out);
    }
    for (i, preferred) in list(affinity, "preferredDuringSchedulingIgnoredDuringExecution") {
        let at = format!("{path}.preferredDuringSchedulingIgnoredDuringExecution[{i}].preference");
        expressions(&preferred["preference"], &at, out);
    }
    for (i, constraint) in list(spec, "topologySpreadConstraints") {
        let at = format!("{base}spec.topologySpreadConstraints[{i}]");
        let key = constraint["topologyKey"].as_str().unwrap_or("");
        if let Some(why) = lookup(&LABELS, key) {
            out.push(format!("{at}.topologyKey: {key} is {why}"));
        }
        if constraint["labelSelector"].is_null() {
            out.push(format!("{at}.labelSelector: a null labelSelector results in matching no pod"));
        }
    }
}

fn expressions(term: &Value, path: &str, out: &mut Vec<String>) {
    for (i, e) in list(term, "matchExpressions") {
        let key = e["key"].as_str().unwrap_or("");
        if let Some(why) = lookup(&LABELS, key) {
            out.push(format!("{path}.matchExpressions[{i}].key: {key} is {why}"));
        }
    }
}

fn metadata_and_volumes(pod: &Value, base: &str, out: &mut Vec<String>) {
    for key in pod["metadata"]["annotations"].as_object().into_iter().flat_map(|m| m.keys()) {
        if let Some(why) = lookup(&ANNOTATIONS, key) {
            out.push(format!("{base}metadata.annotations[{key}]: {why}"));
        }
    }
    for (i, volume) in list(&pod["spec"], "volumes") {
        for (kind, why) in VOLUMES.iter().filter(|(kind, _)| !volume[*kind].is_null()) {
            out.push(format!("{base}spec.volumes[{i}].{kind}: {why}"));
        }
    }
    for (i, secret) in list(&pod["spec"], "imagePullSecrets") {
        if secret["name"].as_str().unwrap_or("").is_empty() {
            out.push(format!("{base}spec.imagePullSecrets[{i}].name: invalid empty name \"\""));
        }
    }
}

const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

fn containers(spec: &Value, base: &str, out: &mut Vec<String>) {
    for (group, i, container) in LISTS.iter().flat_map(|g| list(spec, g).map(move |(i, c)| (g, i, c))) {
        let mut seen: Vec<&str> = Vec::new();
        for (n, item) in list(container, "env") {
            let name = item["name"].as_str().unwrap_or("");
            // `X=$(X):more` builds on the one before.
            let (value, reference) = (item["value"].as_str().unwrap_or(""), format!("$({name})"));
            let builds_on = item["valueFrom"].is_null() && value != reference && value.contains(&reference);
            if seen.contains(&name) && !builds_on {
                out.push(format!(
                    "{base}spec.{group}[{i}].env[{n}]: hides previous definition of \"{name}\", which may be dropped \
                     when using apply"
                ));
            }
            seen.push(name);
        }
    }
}

fn ports(spec: &Value, base: &str, out: &mut Vec<String>) {
    let mut seen: Vec<(String, &Value)> = Vec::new();
    for (group, i, container) in LISTS.iter().flat_map(|g| list(spec, g).map(move |(i, c)| (g, i, c))) {
        for (n, port) in list(container, "ports") {
            let field = format!("{base}spec.{group}[{i}].ports[{n}]");
            let of = |p: &Value, key: &str| p[key].clone();
            let same = |p: &Value, key: &str| of(p, key) == of(port, key);
            let host = |p: &Value| p["hostPort"].as_i64().unwrap_or(0);
            for (other, p) in seen.iter().filter(|(_, p)| same(p, "containerPort") && same(p, "protocol")) {
                if same(p, "hostIP") && host(p) == host(port) {
                    out.push(format!("{field}: duplicate port definition with {other}"));
                } else if host(p) == 0 || host(port) == 0 {
                    out.push(format!("{field}: overlapping port definition with {other}"));
                } else if host(p) == host(port) && p["hostIP"].is_null() != port["hostIP"].is_null() {
                    out.push(format!("{field}: dangerously ambiguous port definition with {other}"));
                }
            }
            seen.push((field, port));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_variable_may_build_on_the_one_before() {
        let check = |second: Value| {
            let mut out = Vec::new();
            let spec = json!({"containers": [{"env": [{"name": "A", "value": "1"}, second]}]});
            containers(&spec, "", &mut out);
            out.len()
        };
        assert_eq!(check(json!({"name": "A", "value": "$(A):2"})), 0);
        assert_eq!(check(json!({"name": "A", "value": "$(A)"})), 1);
        assert_eq!(check(json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}})), 1);
        assert_eq!(check(json!({"name": "B", "value": "2"})), 0);
    }

    #[test]
    fn ports_are_compared_across_containers() {
        let spec = json!({"containers": [{"ports": [{"containerPort": 80, "protocol": "TCP"}]},
            {"ports": [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 80, "protocol": "UDP"}]}]});
        let mut out = Vec::new();
        ports(&spec, "", &mut out);
        assert_eq!(
            out,
            ["spec.containers[1].ports[0]: duplicate port definition with spec.containers[0].ports[0]"]
        );
    }
}
