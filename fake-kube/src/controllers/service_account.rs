//! What every namespace is given: the ServiceAccount `default` and the ConfigMap `kube-root-ca.crt`
//! (kube-api.md 2.15, case gc-serviceaccount). Both come back when deleted.

use std::collections::BTreeSet;

use serde_json::json;

use super::deployment::ACTOR;
use super::{Happened, only};
use crate::json::{is_deleting, text};
use crate::view::{Key, View, resource as r};
use crate::write::{Step, Write};

const ROOT_CA: &str = "kube-root-ca.crt";
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

pub fn wakes(h: &Happened) -> BTreeSet<Key> {
    let mut keys = only(h, r::NAMESPACES);
    let given = matches!(
        (&*h.key.resource, h.key.name.as_str()),
        (r::SERVICE_ACCOUNTS, "default") | (r::CONFIG_MAPS, ROOT_CA)
    );
    if given {
        keys.insert(Key::new(r::NAMESPACES, "", &h.key.namespace));
    }
    keys
}

pub fn sync(view: &View, key: &Key, root_ca: &str) -> Step {
    let mut step = Step::nothing();
    let Some(ns) = view.find(key) else { return step };
    if is_deleting(ns) || text(ns, "/status/phase") == "Terminating" {
        return step;
    }
    if view.get(r::SERVICE_ACCOUNTS, &key.name, "default").is_none() {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
                             "metadata": {"name": "default", "namespace": key.name}});
        step.push(Write::create(ACTOR, r::SERVICE_ACCOUNTS, account));
    }
    match view.get(r::CONFIG_MAPS, &key.name, ROOT_CA) {
        None => {
            let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": ROOT_CA, "namespace": key.name, "annotations": {"kubernetes.io/description": DESCRIPTION}},
                "data": {"ca.crt": root_ca}});
            step.push(Write::create(ACTOR, r::CONFIG_MAPS, map));
        }
        Some(map) if map["data"] != json!({"ca.crt": root_ca}) && !is_deleting(map) => {
            let mut map = serde_json::Value::clone(map);
            map["data"] = json!({"ca.crt": root_ca});
            step.push(Write::update(ACTOR, r::CONFIG_MAPS, map));
        }
        Some(_) => {}
    }
    step
}

#[cfg(test)]
mod tests {
    use super::super::testing::view;
    use super::*;

    #[test]
    fn gives_both_once() {
        let ns = || (r::NAMESPACES, json!({"metadata": {"name": "n"}, "status": {"phase": "Active"}}));
        let key = Key::new(r::NAMESPACES, "", "n");
        let names = |objects| {
            let step = sync(&view(objects), &key, "PEM");
            step.writes.iter().map(|w| w.target.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(vec![ns()]), ["default", ROOT_CA]);
        let account = (r::SERVICE_ACCOUNTS, json!({"metadata": {"name": "default", "namespace": "n"}}));
        let map = (
            r::CONFIG_MAPS,
            json!({"metadata": {"name": ROOT_CA, "namespace": "n"}, "data": {"ca.crt": "PEM"}}),
        );
        assert_eq!(names(vec![ns(), account, map]), [] as [&str; 0]);
    }
}
