//! ResourceQuotas: names of resources, amounts, and scopes that fit them (pkg/apis/core/validation: ValidateResourceQuota).

use std::collections::BTreeSet;

use fake_kube_schema::{Cause, quantity_nanos};
use serde_json::{Value, json};

use super::{Walk, join, text};

const SCOPES: [&str; 7] = [
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "VolumeAttributesClass",
    "CrossNamespacePodAffinity",
];
/// What is counted in whole numbers.
const COUNTED: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];
const PODS: [&str; 7] =
    ["pods", "cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
const MEASURED: [&str; 10] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
];

pub(super) fn is_standard(name: &str) -> bool {
    COUNTED.contains(&name)
        || MEASURED.contains(&name)
        || name.starts_with("hugepages-")
        || name.starts_with("requests.hugepages-")
}

/// Whether a scope can hold for what uses this resource.
fn fits(scope: &str, name: &str) -> bool {
    match scope {
        "BestEffort" => name == "pods",
        "VolumeAttributesClass" => matches!(name, "persistentvolumeclaims" | "requests.storage"),
        other if SCOPES.contains(&other) => PODS.contains(&name),
        _ => true,
    }
}

pub(crate) fn spec(w: &mut Walk<'_>, spec: &Value, path: &str) {
    let hard = spec["hard"].as_object();
    for (name, amount) in hard.into_iter().flatten() {
        resource(w, name, amount, &format!("{path}.hard[{name}]"));
    }
    let sorted: BTreeSet<&str> = hard.into_iter().flatten().map(|(k, _)| k.as_str()).collect();
    let names: Vec<&str> = sorted.into_iter().filter(|n| is_standard(n)).collect();
    let at = join(path, "scopes");
    let plain: Vec<&str> =
        spec["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for scope in &plain {
        if !SCOPES.contains(scope) {
            w.invalid(at.clone(), &spec["scopes"], "unsupported scope");
        }
        for _ in names.iter().filter(|n| !fits(scope, n)) {
            w.invalid(at.clone(), &spec["scopes"], "unsupported scope applied to resource");
        }
    }
    conflicts(w, &plain, &spec["scopes"], &at);
    if spec["scopeSelector"].is_object() {
        selector(w, spec, &names, &join(path, "scopeSelector.matchExpressions"));
    }
}

fn resource(w: &mut Walk<'_>, name: &str, amount: &Value, path: &str) {
    let shown = json!(name);
    if let Some(why) = crate::names::qualified(name) {
        w.invalid(path.to_owned(), &shown, &why);
    } else if !name.contains('/') && !is_standard(name) && name != "storage" {
        w.invalid(path.to_owned(), &shown, "must be a standard resource type or fully qualified");
        w.invalid(path.to_owned(), &shown, "must be a standard resource for quota");
    } else if name == "storage" {
        w.invalid(path.to_owned(), &shown, "must be a standard resource for quota");
    }
    let Some(nanos) = amount.as_str().and_then(quantity_nanos) else { return };
    if nanos < 0 {
        w.invalid(path.to_owned(), amount, "must be greater than or equal to 0");
    }
    if COUNTED.contains(&name) && nanos % 1_000_000_000 != 0 {
        w.invalid(path.to_owned(), amount, "must be an integer");
    }
}

fn conflicts(w: &mut Walk<'_>, scopes: &[&str], shown: &Value, path: &str) {
    for pair in [["BestEffort", "NotBestEffort"], ["NotTerminating", "Terminating"]] {
        if pair.iter().all(|scope| scopes.contains(scope)) {
            w.invalid(path.to_owned(), shown, "conflicting scopes");
        }
    }
}

fn selector(w: &mut Walk<'_>, spec: &Value, names: &[&str], path: &str) {
    let expressions = spec["scopeSelector"]["matchExpressions"].as_array().into_iter().flatten();
    let mut all = Vec::new();
    for expression in expressions {
        let (scope, operator) = (text(expression, "scopeName"), text(expression, "operator"));
        all.push(scope);
        if !SCOPES.contains(&scope) {
            w.invalid(join(path, "scopeName"), &expression["scopeName"], "unsupported scope");
        }
        for _ in names.iter().filter(|n| !fits(scope, n)) {
            w.invalid(path.to_owned(), &shown(spec), "unsupported scope applied to resource");
        }
        let is_plain = SCOPES.contains(&scope) && !matches!(scope, "PriorityClass" | "VolumeAttributesClass");
        if is_plain && operator != "Exists" {
            let why = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, \
                       ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort \
                       or ResourceQuotaScopeCrossNamespacePodAffinity";
            w.invalid(join(path, "operator"), &expression["operator"], why);
        }
        let is_empty = expression["values"].as_array().is_none_or(Vec::is_empty);
        match operator {
            "In" | "NotIn" if is_empty => {
                let why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                w.out.push(Cause::required(join(path, "values"), why));
            }
            "Exists" | "DoesNotExist" if !is_empty => {
                let why = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                w.invalid(join(path, "values"), &expression["values"], why);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => w.invalid(join(path, "operator"), &expression["operator"], "not a valid selector operator"),
        }
    }
    conflicts(w, &all, &spec["scopes"], path);
}

/// The selector as Go prints it.
fn shown(spec: &Value) -> Value {
    let each = spec["scopeSelector"]["matchExpressions"].as_array().into_iter().flatten();
    let each =
        each.map(|e| json!({"ScopeName": e["scopeName"], "Operator": e["operator"], "Values": e["values"]}));
    json!({"MatchExpressions": each.collect::<Vec<_>>()})
}

/// The scopes of a quota stay.
pub(crate) fn change(object: &Value, old: &Value) -> Vec<Cause> {
    let set = |o: &Value| -> BTreeSet<String> {
        let all = o["spec"]["scopes"].as_array().into_iter().flatten();
        all.filter_map(|s| s.as_str().map(str::to_owned)).collect()
    };
    let is_changed = set(object) != set(old);
    let cause = || Cause::invalid("spec.scopes", &object["spec"]["scopes"], "field is immutable");
    is_changed.then(cause).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_fit_what_is_counted() {
        let check = |quota: Value, expected: &[&str]| {
            let mut walk = Walk::new(&quota);
            spec(&mut walk, &quota, "spec");
            assert_eq!(walk.out.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{quota}");
        };
        check(
            json!({"hard": {"pods": "3", "requests.cpu": "1", "count/jobs.batch": "2", "gold.storageclass.storage.k8s.io/requests.storage": "1Gi"}}),
            &[],
        );
        check(json!({"hard": {"pods": "1"}, "scopes": ["BestEffort", "NotTerminating"]}), &[]);
        check(
            json!({"hard": {"cpu": "1"}, "scopes": ["BestEffort"]}),
            &["spec.scopes: Invalid value: [\"BestEffort\"]: unsupported scope applied to resource"],
        );
        check(
            json!({"scopes": ["Terminating", "NotTerminating", "Odd"]}),
            &[
                "spec.scopes: Invalid value: [\"Terminating\",\"NotTerminating\",\"Odd\"]: unsupported scope",
                "spec.scopes: Invalid value: [\"Terminating\",\"NotTerminating\",\"Odd\"]: conflicting scopes",
            ],
        );
        check(
            json!({"hard": {"pods": "500m", "apples": "1"}}),
            &[
                "spec.hard[pods]: Invalid value: \"500m\": must be an integer",
                "spec.hard[apples]: Invalid value: \"apples\": must be a standard resource type or fully qualified",
                "spec.hard[apples]: Invalid value: \"apples\": must be a standard resource for quota",
            ],
        );
        let class = |operator: &str, values: Value| {
            json!({"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions":
            [{"scopeName": "PriorityClass", "operator": operator, "values": values}]}})
        };
        check(class("In", json!(["high"])), &[]);
        check(
            class("In", json!([])),
            &[
                "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
            ],
        );
    }
}
