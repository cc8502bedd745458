//! `status` of ResourceQuotas: what is used of what is allowed, by the objects in its scopes (case wl-quota; kubernetes
//! 1.35 pkg/controller/resourcequota). Refusing is the API server's part, what an object uses is shared with it.

use std::collections::BTreeSet;

use fake_kube_apiserver::equal;
use fake_kube_apiserver::quota_usage::{self, Usage};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::deployment::ACTOR;
use super::{Happened, only};
use crate::json::*;
use crate::view::{Key, View, resource as r};
use crate::write::{Step, Write};

pub fn wakes(h: &Happened, view: &View) -> BTreeSet<Key> {
    let mut keys = only(h, r::QUOTAS);
    // Status writes use up nothing: only what appears, goes, ends or changes its spec does.
    let matters = || {
        h.deleted
            || h.old.is_none_or(|old| {
                !equal(at(old, "/spec"), at(h.object, "/spec"))
                    || text(old, "/status/phase") != text(h.object, "/status/phase")
            })
    };
    // Nearly no namespace has a quota.
    let mut quotas = view.list_in(r::QUOTAS, &h.key.namespace).peekable();
    if !h.key.namespace.is_empty() && quotas.peek().is_some() && matters() {
        keys.extend(quotas.map(|(k, _)| k.clone()));
    }
    keys
}

pub fn sync(view: &View, key: &Key, now: Timestamp) -> Step {
    let mut step = Step::nothing();
    let Some(quota) = view.find(key).filter(|q| !is_deleting(q)) else { return step };
    let hard = at(quota, "/spec/hard").clone();
    let names: Vec<&str> = hard.as_object().into_iter().flatten().map(|(k, _)| k.as_str()).collect();
    let resources: BTreeSet<&str> = names.iter().filter_map(|n| counted_as(n)).collect();
    let mut total = Usage::new();
    for resource in resources {
        let here = view.seen_in(resource, &key.namespace);
        for object in here.filter(|o| quota_usage::in_scope(quota, resource, o)) {
            quota_usage::add(&mut total, quota_usage::usage(resource, &object, now));
        }
    }
    let mut used = Map::new();
    for name in names.into_iter().filter(|n| counted_as(n).is_some()) {
        used.insert(name.to_owned(), total.get(name).copied().unwrap_or_default().to_string().into());
    }
    let status = json!({"hard": hard, "used": used});
    if status != *at(quota, "/status") {
        let mut object = Value::clone(quota);
        object["status"] = status;
        step.push(Write::update_status(ACTOR, r::QUOTAS, object));
    }
    step
}

/// The objects an entry of a quota is about.
fn counted_as(name: &str) -> Option<&str> {
    let counted = [
        "pods",
        "services",
        "persistentvolumeclaims",
        "configmaps",
        "secrets",
        "resourcequotas",
        "replicationcontrollers",
    ];
    let known = counted.into_iter().find(|resource| quota_usage::covers(resource, name));
    name.strip_prefix("count/").or(known)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{now, view};
    use super::*;
    use crate::write::Op;

    /// What is said to be used of these names in these scopes.
    fn check(scopes: Value, expected: Value) {
        let pod = |name: &str, phase: &str, deadline: Value| {
            let o = json!({"metadata": {"name": name, "namespace": "n"}, "status": {"phase": phase},
                "spec": {"activeDeadlineSeconds": deadline, "containers": [{"resources": {"requests": {"cpu": "1.5", "memory": "512Mi"}}}]}});
            (r::PODS, o)
        };
        let hard: Map<String, Value> =
            expected.as_object().into_iter().flatten().map(|(k, _)| (k.clone(), json!("9"))).collect();
        let quota =
            json!({"metadata": {"name": "q", "namespace": "n"}, "spec": {"hard": hard, "scopes": scopes}});
        let objects = vec![
            (r::QUOTAS, quota),
            pod("a", "Running", Value::Null),
            pod("b", "Pending", json!(60)),
            pod("c", "Failed", Value::Null),
        ];
        let step = sync(&view(objects), &Key::new(r::QUOTAS, "n", "q"), now());
        let Some(Op::UpdateStatus(o)) = step.writes.first().map(|w| &w.op) else { panic!("a status") };
        assert_eq!(*at(o, "/status/used"), expected);
    }

    #[test]
    fn usage_of_pods() {
        check(
            Value::Null,
            json!({"pods": "2", "count/pods": "3", "cpu": "3", "requests.memory": "1Gi", "limits.cpu": "0",
                "configmaps": "0", "count/deployments.apps": "0"}),
        );
        check(json!(["Terminating"]), json!({"pods": "1", "requests.cpu": "1500m"}));
        check(json!(["BestEffort"]), json!({"pods": "0"}));
    }
}
