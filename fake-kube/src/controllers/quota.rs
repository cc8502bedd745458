//! `status` of ResourceQuotas: what is used of what is allowed (case wl-quota). Refusing is the API server's part.
//! Leaves out quota scopes.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::deployment::ACTOR;
use super::{Happened, only};
use crate::json::*;
use crate::quantity::milli;
use crate::view::{Key, View, resource as r};
use crate::write::{Step, Write};

pub fn wakes(h: &Happened, view: &View) -> BTreeSet<Key> {
    let mut keys = only(h, r::QUOTAS);
    // Status writes use up nothing: only what appears, goes, ends or changes its spec does.
    let matters = h.deleted
        || h.old.is_none_or(|old| {
            at(old, "/spec") != at(h.object, "/spec")
                || text(old, "/status/phase") != text(h.object, "/status/phase")
        });
    if !h.key.namespace.is_empty() && matters {
        keys.extend(view.list_in(r::QUOTAS, &h.key.namespace).map(|(k, _)| k.clone()));
    }
    keys
}

pub fn sync(view: &View, key: &Key) -> Step {
    let mut step = Step::nothing();
    let Some(quota) = view.find(key).filter(|q| !is_deleting(q)) else { return step };
    let hard = at(quota, "/spec/hard").clone();
    let mut used = Map::new();
    for name in hard.as_object().into_iter().flatten().map(|(k, _)| k) {
        used.insert(name.clone(), usage(view, &key.namespace, name).into());
    }
    let status = json!({"hard": hard, "used": used});
    if status != *at(quota, "/status") {
        let mut object = Value::clone(quota);
        object["status"] = status;
        step.push(Write::update_status(ACTOR, r::QUOTAS, object));
    }
    step
}

fn usage(view: &View, namespace: &str, name: &str) -> String {
    let count = |resource: &str| view.list_in(resource, namespace).count().to_string();
    if let Some(resource) = name.strip_prefix("count/") {
        return count(resource);
    }
    let live = || {
        let pods = view.list_in(r::PODS, namespace).map(|(_, p)| p);
        pods.filter(|p| !matches!(text(p, "/status/phase"), "Succeeded" | "Failed"))
    };
    match name {
        "pods" => live().count().to_string(),
        "services"
        | "secrets"
        | "configmaps"
        | "persistentvolumeclaims"
        | "resourcequotas"
        | "replicationcontrollers" => count(name),
        _ => {
            let (list, resource) = name.split_once('.').unwrap_or(("requests", name));
            let of_container =
                |c: &Value| c["resources"][list][resource].as_str().and_then(milli).unwrap_or(0);
            let total: i128 = live().flat_map(|p| items(p, "/spec/containers")).map(of_container).sum();
            print(total, resource)
        }
    }
}

/// Whole units plainly, cores in thousandths, bytes in the largest binary unit that divides them.
fn print(milli: i128, resource: &str) -> String {
    if milli % 1000 != 0 {
        return format!("{milli}m");
    }
    let mut n = milli / 1000;
    if resource == "cpu" || n == 0 {
        return n.to_string();
    }
    for unit in ["", "Ki", "Mi", "Gi", "Ti"] {
        if n % 1024 != 0 || unit == "Ti" {
            return format!("{n}{unit}");
        }
        n /= 1024;
    }
    n.to_string()
}

#[cfg(test)]
mod tests {
    use super::super::testing::view;
    use super::*;

    #[test]
    fn usage_of_pods() {
        let pod = |name: &str, phase: &str| {
            let o = json!({"metadata": {"name": name, "namespace": "n"}, "status": {"phase": phase},
                "spec": {"containers": [{"resources": {"requests": {"cpu": "1.5", "memory": "512Mi"}}}]}});
            (r::PODS, o)
        };
        let v = view(vec![pod("a", "Running"), pod("b", "Pending"), pod("c", "Failed")]);
        let check = |name: &str, expected: &str| assert_eq!(usage(&v, "n", name), expected, "{name}");
        check("pods", "2");
        check("count/pods", "3");
        check("cpu", "3");
        check("requests.memory", "1Gi");
        check("limits.cpu", "0");
        check("configmaps", "0");
    }
}
