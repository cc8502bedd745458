//! How built-in kinds differ: names, generation, status, what a write may touch (registry/*/strategy.go).

use fake_kube_schema::equal_members;
use serde_json::{Value, json};

use crate::meta;
use crate::names::NameRule;
use crate::resource::{Definition, Traits};

const WITH_GENERATION: [(&str, &str); 18] = [
    ("", "pods"),
    ("", "replicationcontrollers"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("apps", "daemonsets"),
    ("apps", "deployments"),
    ("apps", "replicasets"),
    ("apps", "statefulsets"),
    ("batch", "cronjobs"),
    ("batch", "jobs"),
    ("discovery.k8s.io", "endpointslices"),
    ("networking.k8s.io", "ingresses"),
    ("networking.k8s.io", "ingressclasses"),
    ("networking.k8s.io", "networkpolicies"),
    ("policy", "poddisruptionbudgets"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ("flowcontrol.apiserver.k8s.io", "flowschemas"),
];

/// Kinds whose PUT needs a resourceVersion (kube-api.md 2.5).
const CONDITIONAL_UPDATE: [(&str, &str); 5] = [
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("apiregistration.k8s.io", "apiservices"),
    ("coordination.k8s.io", "leases"),
    ("policy", "poddisruptionbudgets"),
    ("flowcontrol.apiserver.k8s.io", "flowschemas"),
];

pub(crate) fn traits(group: &str, plural: &str) -> Traits {
    let listed = |list: &[(&str, &str)]| list.contains(&(group, plural));
    let rbac = group == "rbac.authorization.k8s.io";
    Traits {
        name_rule: match (group, plural) {
            ("", "namespaces") => NameRule::Label,
            ("", "services") => NameRule::Label1035,
            _ if rbac => NameRule::PathSegment,
            // Only what the path forbids is checked: operators name Events `JobManagerDeployment.123`
            // (kubernetes-objects.md 6, recorded from Apache's operator on a real server).
            ("" | "events.k8s.io", "events") => NameRule::PathSegment,
            _ => NameRule::Subdomain,
        },
        generation: listed(&WITH_GENERATION),
        status: true,
        unconditional_update: !listed(&CONDITIONAL_UPDATE),
        create_on_update: rbac
            || listed(&[
                ("coordination.k8s.io", "leases"),
                ("", "endpoints"),
                ("", "events"),
                ("events.k8s.io", "events"),
            ])
            || listed(&[("", "limitranges")]),
        delete_returns_object: group.is_empty() && matches!(plural, "pods" | "services" | "serviceaccounts"),
        orphan_by_default: (group, plural) == ("batch", "jobs"),
        virtual_kind: group == "authorization.k8s.io" || group == "authentication.k8s.io",
    }
}

/// Before validation of a create: what the server sets or clears beyond metadata.
pub(crate) fn prepare_create(def: &Definition, object: &mut Value, uid: &str) {
    if def.has_status() {
        reset_status(def, object);
    }
    match (def.group.as_str(), def.plural.as_str()) {
        ("", "namespaces") => namespace(object),
        ("", "pods") => {
            object["status"] = json!({"phase": "Pending", "qosClass": qos(object)});
            // Negative grace is read as the shortest there is (case val-pod-policies).
            if object["spec"]["terminationGracePeriodSeconds"].as_i64().is_some_and(|n| n < 0) {
                object["spec"]["terminationGracePeriodSeconds"] = json!(1);
            }
        }
        ("batch", "jobs") => job_labels(object, uid),
        _ => {}
    }
}

/// `status` as it is right after creation.
fn reset_status(def: &Definition, object: &mut Value) {
    let initial = match (def.group.as_str(), def.plural.as_str()) {
        _ if def.is_custom() => None,
        ("apps", "replicasets") => Some(json!({"replicas": 0})),
        ("apps", "statefulsets") => Some(json!({"replicas": 0, "availableReplicas": 0})),
        ("apps", "daemonsets") => Some(json!({"currentNumberScheduled": 0, "numberMisscheduled": 0,
            "desiredNumberScheduled": 0, "numberReady": 0})),
        ("", "replicationcontrollers") => Some(json!({"replicas": 0})),
        ("", "services") | ("networking.k8s.io", "ingresses") => Some(json!({"loadBalancer": {}})),
        ("", "persistentvolumeclaims") => Some(json!({"phase": "Pending"})),
        ("", "persistentvolumes") => Some(json!({"phase": "Pending"})),
        ("apps", "deployments") | ("batch", "jobs" | "cronjobs") => Some(json!({})),
        ("", "resourcequotas") => Some(json!({})),
        ("autoscaling", _) => Some(json!({"desiredReplicas": 0, "currentMetrics": null})),
        ("policy", _) => Some(
            json!({"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}),
        ),
        ("", "nodes") => return,
        _ => None,
    };
    match initial {
        Some(v) => object["status"] = v,
        None => {
            if let Some(map) = object.as_object_mut() {
                map.shift_remove("status");
            }
        }
    }
}

fn namespace(object: &mut Value) {
    let name = meta::name(object).to_owned();
    object["status"] = json!({"phase": "Active"});
    if object["spec"]["finalizers"].as_array().is_none_or(|l| !l.iter().any(|f| f == "kubernetes")) {
        let mut list = object["spec"]["finalizers"].as_array().cloned().unwrap_or_default();
        list.push("kubernetes".into());
        if !object["spec"].is_object() {
            object["spec"] = json!({});
        }
        object["spec"]["finalizers"] = Value::Array(list);
    }
    let labels = meta::of(object).entry("labels").or_insert_with(|| json!({}));
    if labels.is_object() && !name.is_empty() {
        labels["kubernetes.io/metadata.name"] = name.into();
    }
}

fn job_labels(object: &mut Value, uid: &str) {
    if object["spec"]["manualSelector"] == true {
        return;
    }
    let name = meta::name(object).to_owned();
    let labels = [
        ("batch.kubernetes.io/controller-uid", uid),
        ("batch.kubernetes.io/job-name", name.as_str()),
        ("controller-uid", uid),
        ("job-name", name.as_str()),
    ];
    if !object["spec"].is_object() {
        return;
    }
    if !object["spec"]["template"].is_object() {
        object["spec"]["template"] = json!({});
    }
    let map = meta::of(&mut object["spec"]["template"]).entry("labels").or_insert_with(|| json!({}));
    if map.is_object() {
        for (k, v) in labels {
            map[k] = v.into();
        }
    }
    object["spec"]["selector"] = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
    if object["spec"]["manualSelector"].is_null() {
        object["spec"]["manualSelector"] = json!(false);
    }
    // A job without labels shows those of its template.
    let labels = object["spec"]["template"]["metadata"]["labels"].clone();
    if meta::get(object, "labels").is_none() {
        meta::set(object, "labels", labels);
    }
}

/// Guaranteed, Burstable or BestEffort (pkg/apis/core/v1/helper/qos).
pub(crate) fn qos(pod: &Value) -> &'static str {
    let lists = ["initContainers", "containers"];
    let containers: Vec<&Value> =
        lists.iter().flat_map(|l| pod["spec"][*l].as_array().into_iter().flatten()).collect();
    let quantity = |c: &Value, kind: &str, name: &str| {
        let v = &c["resources"][kind][name];
        v.as_str().map(str::to_owned).or_else(|| v.as_i64().map(|n| n.to_string())).filter(|s| s != "0")
    };
    let mut any = false;
    let mut guaranteed = !containers.is_empty();
    for c in &containers {
        for name in ["cpu", "memory"] {
            let (request, limit) = (quantity(c, "requests", name), quantity(c, "limits", name));
            any |= request.is_some() || limit.is_some();
            // A missing request is defaulted from the limit.
            guaranteed &= limit.is_some() && (request.is_none() || request == limit);
        }
    }
    match (guaranteed, any) {
        (true, _) => "Guaranteed",
        (false, true) => "Burstable",
        (false, false) => "BestEffort",
    }
}

/// Before validation of an update through the main endpoint.
pub(crate) fn prepare_update(def: &Definition, object: &mut Value, old: &Value) {
    let kept: &[&str] = match (def.group.as_str(), def.plural.as_str()) {
        _ if def.has_status() => &["status"],
        _ => &[],
    };
    for key in kept {
        keep(object, old, key);
    }
    if def.is("", "namespaces") {
        // Only /finalize changes spec.finalizers.
        keep(object, old, "spec");
    }
    bump_generation(def, object, old);
}

/// `object[key]` becomes what it was.
pub(crate) fn keep(object: &mut Value, old: &Value, key: &str) {
    let Some(map) = object.as_object_mut() else { return };
    match old.get(key) {
        Some(v) => {
            map.insert(key.to_owned(), v.clone());
        }
        None => {
            map.shift_remove(key);
        }
    }
}

/// CR: any change outside metadata; built-in: a spec change (kube-api.md 2.2). `object.status` is restored already
/// where it is a subresource.
pub(crate) fn bump_generation(def: &Definition, object: &mut Value, old: &Value) {
    let old_generation = meta::generation(old);
    if !def.is_custom() && !def.traits.generation {
        return;
    }
    let changed = if def.is_custom() {
        let differs = |a: &Value, b: &Value| {
            a.as_object()
                .into_iter()
                .flatten()
                .any(|(k, v)| k != "metadata" && !equal_members(b.get(k), Some(v)))
        };
        differs(object, old) || differs(old, object)
    } else {
        !equal_members(object.get("spec"), old.get("spec"))
            || !def.has_status() && strip(object) != strip(old)
    };
    let next = old_generation.unwrap_or(0) + i64::from(changed);
    if next > 0 {
        meta::set(object, "generation", json!(next));
    }
}

/// Everything but metadata, for kinds without a spec (webhook configurations).
fn strip(object: &Value) -> Value {
    let mut out = object.clone();
    if let Some(map) = out.as_object_mut() {
        map.shift_remove("metadata");
    }
    out
}

/// What decoding folds together: `stringData` of a Secret goes into `data`.
pub(crate) fn convert(def: &Definition, object: &mut Value) {
    use base64::Engine;
    if !def.is("", "secrets") {
        return;
    }
    let Some(Value::Object(texts)) = object.as_object_mut().and_then(|m| m.shift_remove("stringData")) else {
        return;
    };
    for (key, value) in texts {
        let encoded = base64::engine::general_purpose::STANDARD.encode(value.as_str().unwrap_or(""));
        if !object["data"].is_object() {
            object["data"] = json!({});
        }
        object["data"][key] = json!(encoded);
    }
}

/// Pods tolerate a lost node for five minutes unless they say otherwise.
pub(crate) fn default_tolerations(pod: &mut Value) {
    let mut list = pod["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerated = list.iter().any(|t| {
            let (k, effect) = (t["key"].as_str().unwrap_or(""), t["effect"].as_str().unwrap_or(""));
            (k == key || k.is_empty()) && (effect == "NoExecute" || effect.is_empty())
        });
        if !tolerated {
            list.push(
                json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}),
            );
        }
    }
    pod["spec"]["tolerations"] = Value::Array(list);
}

/// Members of a status that Go always writes, or derives from each other.
pub(crate) fn fill_status(def: &Definition, object: &mut Value) {
    if !def.is("", "pods") {
        return;
    }
    let Some(status) = object.get_mut("status").filter(|s| s.is_object()) else { return };
    let conditions = status.get_mut("conditions").and_then(Value::as_array_mut);
    for c in conditions.into_iter().flatten().filter_map(Value::as_object_mut) {
        for key in ["lastProbeTime", "lastTransitionTime"] {
            c.entry(key).or_insert(Value::Null);
        }
    }
    if let Some(ip) = status["podIP"].as_str().filter(|s| !s.is_empty()).map(str::to_owned)
        && status["podIPs"].as_array().is_none_or(Vec::is_empty)
    {
        status["podIPs"] = json!([{"ip": ip}]);
    }
}
