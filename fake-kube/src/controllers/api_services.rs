//! APIServices: one per group and version of the CRDs, and whether each is available, as the aggregator in a
//! kube-apiserver keeps them (pkg/controlplane/controller/crdregistration, kube-aggregator/pkg/controllers/autoregister
//! and status). Those of built-in groups are furniture; a cluster without furniture has none and gets none.
//! Leaves out passing requests on: whoever registers a server of their own reads that in the condition.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Happened;
use crate::json::*;
use crate::view::{Key, View, resource as r};
use crate::write::{Step, Write};

const ACTOR: &str = "kube-apiserver";
/// `true`: follows its CRD; `onstart`: made at the start where it is missing, and then left alone.
const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";

/// Group, version, and their places among all groups and among the versions of theirs, as kube-apiserver 1.35 ranks them.
const BUILT_IN: [(&str, &str, u32, u32); 21] = [
    ("", "v1", 18_000, 1),
    ("apps", "v1", 17_800, 15),
    ("events.k8s.io", "v1", 17_750, 15),
    ("authentication.k8s.io", "v1", 17_700, 15),
    ("authorization.k8s.io", "v1", 17_600, 15),
    ("autoscaling", "v2", 17_500, 30),
    ("autoscaling", "v1", 17_500, 15),
    ("batch", "v1", 17_400, 15),
    ("certificates.k8s.io", "v1", 17_300, 15),
    ("networking.k8s.io", "v1", 17_200, 15),
    ("policy", "v1", 17_100, 15),
    ("rbac.authorization.k8s.io", "v1", 17_000, 15),
    ("storage.k8s.io", "v1", 16_800, 15),
    ("admissionregistration.k8s.io", "v1", 16_700, 15),
    ("apiextensions.k8s.io", "v1", 16_700, 15),
    ("scheduling.k8s.io", "v1", 16_600, 15),
    ("coordination.k8s.io", "v1", 16_500, 15),
    ("node.k8s.io", "v1", 16_300, 15),
    ("discovery.k8s.io", "v1", 16_200, 15),
    ("resource.k8s.io", "v1", 16_200, 20),
    ("flowcontrol.apiserver.k8s.io", "v1", 16_100, 21),
];

/// Those a server starts with.
pub fn built_in() -> impl Iterator<Item = Value> {
    BUILT_IN
        .into_iter()
        .map(|(group, version, among, within)| registered(group, version, among, within, "onstart"))
}

fn registered(group: &str, version: &str, among: u32, within: u32, managed: &str) -> Value {
    json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": format!("{version}.{group}"), "labels": {MANAGED: managed}},
        "spec": {"group": group, "version": version, "groupPriorityMinimum": among, "versionPriority": within}})
}

pub fn wakes(h: &Happened, view: &View) -> BTreeSet<Key> {
    let states = || [Some(h.object), h.old].into_iter().flatten();
    match &*h.key.resource {
        r::API_SERVICES => BTreeSet::from([h.key.clone()]),
        r::CRDS if view.list(r::API_SERVICES).next().is_some() => {
            states().flat_map(|crd| names(crd)).map(key).collect()
        }
        r::SERVICES => behind(view, |namespace, name| (namespace, name) == (&h.key.namespace, &h.key.name)),
        r::SLICES => behind(view, |namespace, name| {
            namespace == h.key.namespace && states().any(|slice| service_of(slice) == name)
        }),
        _ => BTreeSet::new(),
    }
}

/// The APIServices whose server is a Service that `fits`.
fn behind(view: &View, fits: impl Fn(&str, &str) -> bool) -> BTreeSet<Key> {
    let server = |o: &Value| fits(text(o, "/spec/service/namespace"), text(o, "/spec/service/name"));
    view.list(r::API_SERVICES).filter(|(_, o)| server(o)).map(|(key, _)| key.clone()).collect()
}

fn key(name: String) -> Key {
    Key::new(r::API_SERVICES, "", &name)
}

/// What the versions of a CRD are registered as.
fn names(crd: &Value) -> Vec<String> {
    let group = text(crd, "/spec/group");
    items(crd, "/spec/versions").iter().map(|v| format!("{}.{group}", text(v, "/name"))).collect()
}

pub fn sync(view: &View, key: &Key, now: Timestamp) -> Step {
    let mut step = Step::nothing();
    let served = view.list(r::CRDS).any(|(_, crd)| serves(crd, &key.name));
    match view.find(key) {
        None if served => {
            let (version, group) = key.name.split_once('.').unwrap_or((&key.name, ""));
            step.push(Write::create(ACTOR, r::API_SERVICES, registered(group, version, 1000, 100, "true")));
        }
        Some(object) if !served && object["metadata"]["labels"][MANAGED] == "true" => {
            step.push(Write::delete(ACTOR, key, None, uid(object)));
        }
        Some(object) => step.writes.extend(judged(view, object, now)),
        None => {}
    }
    step
}

fn serves(crd: &Value, name: &str) -> bool {
    let group = text(crd, "/spec/group");
    let versions = items(crd, "/spec/versions").iter().filter(|v| v["served"] == true);
    name.split_once('.')
        .is_some_and(|(version, of)| of == group && versions.clone().any(|v| v["name"] == version))
}

/// The condition `Available`, where it is not as it is already.
fn judged(view: &View, object: &Value, now: Timestamp) -> Option<Write> {
    let (on, reason, message) = availability(view, object);
    let known = condition(object, "Available");
    if known.is_some_and(|c| c["status"] == on && c["reason"] == reason && c["message"] == *message) {
        return None;
    }
    let since = known.filter(|c| c["status"] == on).map_or(stamp(now), |c| c["lastTransitionTime"].clone());
    let mut object = object.clone();
    object["status"] = json!({"conditions": [{"type": "Available", "status": on, "lastTransitionTime": since,
        "reason": reason, "message": message}]});
    Some(Write::update_status(ACTOR, r::API_SERVICES, object))
}

fn availability(view: &View, object: &Value) -> (&'static str, &'static str, String) {
    if at(object, "/spec/service").is_null() {
        return ("True", "Local", "Local APIServices are always available".to_owned());
    }
    let (namespace, name) = (text(object, "/spec/service/namespace"), text(object, "/spec/service/name"));
    let asked = int_or(object, "/spec/service/port", 443);
    let (reason, why) = match view.get(r::SERVICES, namespace, name) {
        None => ("ServiceNotFound", format!("service/{name} in {namespace:?} is not present")),
        Some(service) => match items(service, "/spec/ports").iter().find(|p| p["port"] == asked) {
            None => (
                "ServicePortError",
                format!("service/{name} in {namespace:?} is not listening on port {asked}"),
            ),
            Some(port) => unanswered(view, object, text(port, "/name")),
        },
    };
    ("False", reason, why)
}

fn unanswered(view: &View, object: &Value, port: &str) -> (&'static str, String) {
    let (namespace, name) = (text(object, "/spec/service/namespace"), text(object, "/spec/service/name"));
    let slices = || view.list_in(r::SLICES, namespace).filter(|(_, s)| service_of(s) == name).map(|(_, s)| s);
    let ready = |s: &Value| {
        let answers = |e: &Value| at(e, "/conditions/ready") != &json!(false);
        items(s, "/endpoints").iter().any(answers)
            && items(s, "/ports").iter().any(|p| text(p, "/name") == port)
    };
    if slices().next().is_none() {
        return (
            "EndpointsNotFound",
            format!("cannot find endpointslices for service/{name} in {namespace:?}"),
        );
    }
    if !slices().any(|s| ready(s)) {
        let why = format!(
            "endpointslices for service/{name} in {namespace:?} have no addresses with port name {port:?}"
        );
        return ("MissingEndpoints", why);
    }
    ("FailedDiscoveryCheck", "fake-kube passes no requests on to aggregated API servers".to_owned())
}

fn service_of(slice: &Value) -> &str {
    slice["metadata"]["labels"]["kubernetes.io/service-name"].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{now, view};
    use super::*;

    fn crd(versions: Value) -> Value {
        json!({"metadata": {"name": "widgets.t.example.com"}, "spec": {"group": "t.example.com", "versions": versions}})
    }

    fn of(objects: Vec<(&str, Value)>, name: &str) -> Vec<Write> {
        sync(&view(objects), &key(name.to_owned()), now()).writes
    }

    #[test]
    fn versions_of_crds_come_and_go() {
        let served = crd(json!([{"name": "v1", "served": true}, {"name": "v2", "served": false}]));
        assert_eq!(names(&served), ["v1.t.example.com", "v2.t.example.com"]);
        let created = of(vec![(r::CRDS, served.clone())], "v1.t.example.com");
        assert_eq!(created[0].target, key("v1.t.example.com".to_owned()));
        assert_eq!(of(vec![(r::CRDS, served)], "v2.t.example.com"), []);
        let stale = registered("t.example.com", "v1", 1000, 100, "true");
        let gone = of(vec![(r::API_SERVICES, stale)], "v1.t.example.com");
        assert!(matches!(gone[0].op, crate::write::Op::Delete { .. }), "{gone:?}");
        let own = registered("apps", "v1", 17_800, 15, "onstart");
        assert!(matches!(
            of(vec![(r::API_SERVICES, own)], "v1.apps")[0].op,
            crate::write::Op::UpdateStatus(_)
        ));
    }

    #[test]
    fn a_foreign_server_is_looked_for() {
        let mut metrics = registered("metrics.k8s.io", "v1beta1", 100, 100, "");
        metrics["spec"]["service"] = json!({"namespace": "kube-system", "name": "metrics-server"});
        let service = json!({"metadata": {"name": "metrics-server", "namespace": "kube-system"},
            "spec": {"ports": [{"name": "https", "port": 443}]}});
        let slice = |ready: bool| {
            json!({"metadata": {"name": "metrics-server-1", "namespace": "kube-system",
                    "labels": {"kubernetes.io/service-name": "metrics-server"}},
                "endpoints": [{"addresses": ["10.244.0.7"], "conditions": {"ready": ready}}],
                "ports": [{"name": "https", "port": 10_250}]})
        };
        let reason = |others: Vec<(&str, Value)>| availability(&view(others), &metrics).1;
        assert_eq!(reason(vec![]), "ServiceNotFound");
        assert_eq!(reason(vec![(r::SERVICES, service.clone())]), "EndpointsNotFound");
        assert_eq!(
            reason(vec![(r::SERVICES, service.clone()), (r::SLICES, slice(false))]),
            "MissingEndpoints"
        );
        assert_eq!(
            reason(vec![(r::SERVICES, service.clone()), (r::SLICES, slice(true))]),
            "FailedDiscoveryCheck"
        );
        metrics["spec"]["service"]["port"] = json!(8443);
        assert_eq!(availability(&view(vec![(r::SERVICES, service)]), &metrics).1, "ServicePortError");
    }
}
