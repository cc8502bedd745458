//! Deployments, ReplicaSets, StatefulSets and DaemonSets (pkg/apis/apps/validation; cases val-deployment,
//! val-statefulset, val-deployment-status).

use fake_kube_schema::Cause;
use serde_json::{Value, json};

use super::Rule::NotNegative;
use super::selector::LABEL_SELECTOR;
use super::{Rule, Walk, is_empty, join, kinds, pod};
use crate::resource::Definition;
use crate::selector::LabelSelector;

/// The spec and what an update may not change.
pub(crate) fn workload(def: &Definition, object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let spec = &object["spec"];
    let mut walk = Walk::new(object);
    if def.plural == "statefulsets" {
        stateful_set(&mut walk, spec);
    }
    walk.apply(const { &[NotNegative("replicas")] }, spec, "spec");
    let selector = &spec["selector"];
    let empty = selector.as_object().is_some_and(|s| s.values().all(is_empty));
    walk.apply(const { &[Rule::In("selector", LABEL_SELECTOR)] }, spec, "spec");
    if selector.is_null() {
        walk.out.push(Cause::required("spec.selector", ""));
    } else if empty {
        let why = format!("empty selector is invalid for {}", def.kind.to_lowercase());
        walk.invalid("spec.selector".to_owned(), selector, &why);
    }
    let template = &spec["template"];
    if selector.is_null() || !LabelSelector::from_object(selector).matches(template) {
        let why = "`selector` does not match template `labels`";
        walk.invalid("spec.template.metadata.labels".to_owned(), &template["metadata"]["labels"], why);
    }
    walk.apply(pod::POD, &template["spec"], "spec.template.spec");
    if let Some(other) = template["spec"]["restartPolicy"].as_str().filter(|p| *p != "Always") {
        walk.out.push(Cause::not_supported("spec.template.spec.restartPolicy", &json!(other), &["Always"]));
    }
    if !template["spec"]["activeDeadlineSeconds"].is_null() {
        let at = "spec.template.spec.activeDeadlineSeconds";
        // What a Deployment makes of it is a ReplicaSet.
        let kind = if def.plural == "deployments" { "ReplicaSet" } else { &def.kind };
        let why = format!("activeDeadlineSeconds in {kind} is not Supported");
        walk.out.push(Cause::forbidden(at, &why));
    }
    if def.plural == "deployments" {
        strategy(&mut walk, spec, "spec");
    }
    walk.apply(
        const { &[NotNegative("minReadySeconds"), NotNegative("revisionHistoryLimit")] },
        spec,
        "spec",
    );
    match def.plural.as_str() {
        "deployments" => deadline(&mut walk, spec),
        "daemonsets" => daemon_set(&mut walk, spec),
        _ => {}
    }
    let mut out = walk.out;
    let Some(old) = old else { return out };
    if def.plural == "statefulsets" {
        out.extend(stateful_set_update(spec, &old["spec"]));
    } else if old["spec"]["selector"] != *selector {
        out.push(Cause::invalid("spec.selector", selector, "field is immutable"));
    }
    out
}

const STATEFUL_SET_MUTABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

fn stateful_set_update(spec: &Value, old: &Value) -> Option<Cause> {
    let [first @ .., last] = STATEFUL_SET_MUTABLE;
    let why = format!(
        "updates to statefulset spec for fields other than '{}' and '{last}' are forbidden",
        first.join("', '")
    );
    super::update::differ_except(spec, old, &STATEFUL_SET_MUTABLE).then(|| Cause::forbidden("spec", &why))
}

const COUNTS: &[Rule] = &[
    NotNegative("replicas"),
    NotNegative("updatedReplicas"),
    NotNegative("fullyLabeledReplicas"),
    NotNegative("readyReplicas"),
    NotNegative("availableReplicas"),
    NotNegative("unavailableReplicas"),
    NotNegative("collisionCount"),
];

/// `/status` of a Deployment or ReplicaSet: counts that fit together.
pub(crate) fn status(def: &Definition, object: &Value) -> Vec<Cause> {
    let status = &object["status"];
    let mut walk = Walk::new(object);
    walk.apply(COUNTS, status, "status");
    let count = |key: &str| status[key].as_i64().unwrap_or(0);
    let parts: &[&str] = match def.plural.as_str() {
        "deployments" => &["updatedReplicas", "readyReplicas", "availableReplicas"],
        _ => &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"],
    };
    for key in parts.iter().filter(|k| count(k) > count("replicas")) {
        walk.invalid(format!("status.{key}"), &json!(count(key)), "cannot be greater than status.replicas");
    }
    let available = count("availableReplicas");
    if available > count("readyReplicas") {
        let why = "cannot be greater than readyReplicas";
        walk.invalid("status.availableReplicas".to_owned(), &json!(available), why);
    }
    walk.out
}

/// Pods of a node are replaced by going first or by coming first (ValidateRollingUpdateDaemonSet).
fn daemon_set(w: &mut Walk<'_>, spec: &Value) {
    let (rolling, at) = (&spec["updateStrategy"]["rollingUpdate"], "spec.updateStrategy.rollingUpdate");
    match spec["updateStrategy"]["type"].as_str().unwrap_or("RollingUpdate") {
        "OnDelete" => return,
        "RollingUpdate" => {}
        other => {
            // Printed as the Go struct.
            let shown = json!({"Type": other, "RollingUpdate": null});
            let known = ["RollingUpdate", "OnDelete"];
            return w.out.push(Cause::not_supported("spec.updateStrategy", &shown, &known));
        }
    }
    for key in ["maxUnavailable", "maxSurge"] {
        kinds::int_or_percent(w, rolling, key, at);
        kinds::at_most_all(w, rolling, key, at);
    }
    match (is_zero(&rolling["maxUnavailable"]), is_zero(&rolling["maxSurge"])) {
        (false, false) => {
            let why = "may not be set when maxUnavailable is non-zero";
            w.invalid(join(at, "maxSurge"), &rolling["maxSurge"], why);
        }
        (true, true) => {
            w.out.push(Cause::required(join(at, "maxUnavailable"), "cannot be 0 when maxSurge is 0"))
        }
        _ => {}
    }
}

/// What a StatefulSet says first.
fn stateful_set(w: &mut Walk<'_>, spec: &Value) {
    if let Some(policy) =
        spec["podManagementPolicy"].as_str().filter(|p| !["OrderedReady", "Parallel"].contains(p))
    {
        let why = "must be 'OrderedReady' or 'Parallel'";
        w.invalid("spec.podManagementPolicy".to_owned(), &json!(policy), why);
    }
    let (strategy, rolling) = (&spec["updateStrategy"], &spec["updateStrategy"]["rollingUpdate"]);
    let at = "spec.updateStrategy.rollingUpdate";
    match strategy["type"].as_str().unwrap_or("RollingUpdate") {
        "OnDelete" if !rolling.is_null() => {
            // Printed as the Go struct.
            let shown = json!({"Partition": rolling["partition"].as_i64().unwrap_or(0), "MaxUnavailable": rolling["maxUnavailable"]});
            w.invalid(at.to_owned(), &shown, "only allowed for updateStrategy 'RollingUpdate'");
        }
        "OnDelete" => {}
        "RollingUpdate" => {
            w.apply(const { &[NotNegative("partition")] }, rolling, at);
            kinds::int_or_percent(w, rolling, "maxUnavailable", at);
        }
        other => {
            let shown = json!({"Type": other, "RollingUpdate": null});
            w.invalid("spec.updateStrategy".to_owned(), &shown, "must be 'RollingUpdate' or 'OnDelete'");
        }
    }
}

fn strategy(w: &mut Walk<'_>, spec: &Value, path: &str) {
    let rolling = &spec["strategy"]["rollingUpdate"];
    let at = join(path, "strategy.rollingUpdate");
    let is_rolling = spec["strategy"]["type"].as_str().unwrap_or("RollingUpdate") == "RollingUpdate";
    for key in ["maxUnavailable", "maxSurge"].iter().filter(|_| is_rolling) {
        kinds::int_or_percent(w, rolling, key, &at);
    }
    deployment(spec, &mut w.out);
    if is_rolling {
        kinds::at_most_all(w, rolling, "maxUnavailable", &at);
    }
}

fn deadline(w: &mut Walk<'_>, spec: &Value) {
    w.apply(const { &[NotNegative("progressDeadlineSeconds")] }, spec, "spec");
    let ready = spec["minReadySeconds"].as_i64().unwrap_or(0);
    if let Some(n) = spec["progressDeadlineSeconds"].as_i64().filter(|n| *n <= ready) {
        w.invalid(
            "spec.progressDeadlineSeconds".to_owned(),
            &json!(n),
            "must be greater than minReadySeconds",
        );
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
}

fn is_zero(v: &Value) -> bool {
    v.as_i64() == Some(0) || v.as_str() == Some("0%")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rules: fn(&mut Walk<'_>, &Value), spec: Value, expected: &[&str]) {
        let mut walk = Walk::new(&spec);
        rules(&mut walk, &spec);
        assert_eq!(walk.out.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{spec}");
    }

    #[test]
    fn daemons_go_first_or_come_first() {
        let rolling = |unavailable: Value, surge: Value| {
            json!({"updateStrategy": {"type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}}})
        };
        check(daemon_set, rolling(json!(1), json!(0)), &[]);
        check(daemon_set, rolling(json!(0), json!("10%")), &[]);
        check(
            daemon_set,
            rolling(json!(1), json!(1)),
            &[
                "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero",
            ],
        );
        check(
            daemon_set,
            rolling(json!(0), json!(0)),
            &[
                "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
            ],
        );
    }

    #[test]
    fn a_stateful_set_says_how_it_goes_on() {
        check(
            stateful_set,
            json!({"podManagementPolicy": "Parallel", "updateStrategy": {"type": "OnDelete"}}),
            &[],
        );
        check(
            stateful_set,
            json!({"podManagementPolicy": "Random", "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": -1}}}),
            &[
                "spec.podManagementPolicy: Invalid value: \"Random\": must be 'OrderedReady' or 'Parallel'",
                "spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0",
            ],
        );
    }
}
