//! Which rules hold for which kind. Leaves out: kinds nobody writes against this server; they are checked by type only.

use fake_kube_schema::{Cause, Reason, quantity_nanos};
use serde_json::{Value, json};

use super::Rule::{Code, Each, In, Positive, Required};
use super::{
    Rule, Walk, config, is_empty, jobs, join, limits, networking, pod, pod_update, present, quota, service,
    text, update, webhooks, workload,
};
use crate::resource::Definition;
use crate::{events, validate};

/// A change between two states of an object.
type Change = fn(&Value, &Value) -> Vec<Cause>;

/// Rules for the object, and for the step from the old one.
struct Kind {
    group: &'static str,
    plural: &'static str,
    rules: &'static [Rule],
    update: Option<Change>,
}

const fn kind(group: &'static str, plural: &'static str, rules: &'static [Rule]) -> Kind {
    Kind { group, plural, rules, update: None }
}

const KINDS: &[Kind] = &[
    Kind { update: Some(pod_update::causes), ..kind("", "pods", &[Code(pod_spec)]) },
    kind("", "services", &[In("spec", service::SERVICE)]),
    Kind { update: Some(quota::change), ..kind("", "resourcequotas", &[In("spec", &[Code(quota::spec)])]) },
    Kind { update: Some(update::claim), ..kind("", "persistentvolumeclaims", &[Code(claim)]) },
    Kind { update: Some(jobs::change), ..kind("batch", "jobs", &[Code(jobs::job)]) },
    kind("batch", "cronjobs", &[In("spec", jobs::CRON_JOB)]),
    kind(
        "networking.k8s.io",
        "ingresses",
        &[Code(|w, o, _| w.apply(networking::INGRESS, &o["spec"], "spec"))],
    ),
    kind(
        "networking.k8s.io",
        "networkpolicies",
        &[Code(|w, o, _| w.apply(networking::POLICY, &o["spec"], "spec"))],
    ),
    Kind {
        update: Some(|new, old| update::immutable(new, old, "spec.controller").into_iter().collect()),
        ..kind(
            "networking.k8s.io",
            "ingressclasses",
            &[Code(|w, o, _| networking::class(w, &o["spec"], "spec"))],
        )
    },
    Kind {
        update: Some(update::priority),
        ..kind("scheduling.k8s.io", "priorityclasses", &[Code(priority)])
    },
    Kind {
        update: Some(update::storage_class),
        ..kind("storage.k8s.io", "storageclasses", &[Code(storage_class)])
    },
    kind("", "limitranges", &[Code(|w, o, _| limits::range(w, &o["spec"], "spec"))]),
    kind("rbac.authorization.k8s.io", "roles", &[Each("rules", POLICY)]),
    kind("rbac.authorization.k8s.io", "clusterroles", &[Each("rules", POLICY)]),
    Kind { update: Some(update::role_ref), ..kind("rbac.authorization.k8s.io", "rolebindings", BINDING) },
    Kind {
        update: Some(update::role_ref),
        ..kind("rbac.authorization.k8s.io", "clusterrolebindings", CLUSTER_BINDING)
    },
    kind("admissionregistration.k8s.io", "validatingwebhookconfigurations", webhooks::VALIDATING),
    kind("admissionregistration.k8s.io", "mutatingwebhookconfigurations", webhooks::MUTATING),
    kind("policy", "poddisruptionbudgets", &[In("spec", &[Code(budget)])]),
    kind("autoscaling", "horizontalpodautoscalers", &[In("spec", &[Code(autoscaler)])]),
];

/// Rules of a kind beyond its schema; `old` is there for an update. Subresources have rules of their own about changes.
pub(crate) fn of_kind(
    def: &Definition,
    subresource: &str,
    object: &Value,
    old: Option<&Value>,
) -> Vec<Cause> {
    if def.is_custom() {
        return Vec::new();
    }
    let status = subresource == "status";
    match (def.group.as_str(), def.plural.as_str()) {
        ("", "configmaps") => config::config_map(object, old),
        ("", "secrets") => config::secret(object, old),
        ("" | "events.k8s.io", "events") => events::validate(def, object, old),
        ("coordination.k8s.io", "leases") => validate::lease(object),
        ("", "namespaces") => validate::namespace(object),
        ("apps", "deployments" | "replicasets") if status => workload::status(def, object),
        _ if status => Vec::new(),
        ("apps", "deployments" | "replicasets" | "statefulsets" | "daemonsets") => {
            workload::workload(def, object, old)
        }
        (group, plural) => {
            KINDS.iter().find(|k| (k.group, k.plural) == (group, plural)).map_or_else(Vec::new, |kind| {
                table(kind, object, old.filter(|_| subresource.is_empty()), old.is_none())
            })
        }
    }
}

fn table(kind: &Kind, object: &Value, old: Option<&Value>, is_new: bool) -> Vec<Cause> {
    let mut walk = Walk::new(object);
    (walk.old, walk.is_new) = (old, is_new);
    walk.apply(kind.rules, object, "");
    if let (Some(change), Some(old)) = (kind.update, old) {
        walk.out.extend(change(object, old));
    }
    walk.out
}

fn pod_spec(w: &mut Walk<'_>, pod: &Value, _: &str) {
    let spec = &pod["spec"];
    w.apply(pod::POD, spec, "spec");
    if w.is_new && !is_empty(&spec["ephemeralContainers"]) {
        w.out.push(Cause::forbidden("spec.ephemeralContainers", "cannot be set on create"));
    }
    if w.is_new && !is_empty(&spec["schedulingGates"]) && !text(spec, "nodeName").is_empty() {
        let why = "cannot be set until all schedulingGates have been cleared";
        w.out.push(Cause::forbidden("spec.nodeName", why));
    }
}

/// ValidatePriorityClass: the highest a user may take, and names that are the system's.
fn priority(w: &mut Walk<'_>, class: &Value, _: &str) {
    const HIGHEST: i64 = 1_000_000_000;
    const SYSTEM: [(&str, i64); 2] =
        [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];
    let (name, value) = (crate::meta::name(class), class["value"].as_i64().unwrap_or(0));
    if name.starts_with("system-") {
        if !SYSTEM.contains(&(name, value)) {
            let why = "priority class names with 'system-' prefix are reserved for system use only. error: ";
            let why = match SYSTEM.iter().find(|(known, _)| *known == name) {
                Some((_, wanted)) => format!("{why}value of {name} PriorityClass must be {wanted}"),
                None => format!("{why}{name} is not a known system priority class"),
            };
            w.out.push(Cause::forbidden("metadata.name", &why));
        }
    } else if value > HIGHEST {
        let why = format!("maximum allowed value of a user defined priority is {HIGHEST}");
        w.out.push(Cause::forbidden("value", &why));
    }
    w.apply(const { &[Rule::OneOf("preemptionPolicy", &["PreemptLowerPriority", "Never"])] }, class, "");
}

/// ValidateStorageClass.
fn storage_class(w: &mut Walk<'_>, class: &Value, _: &str) {
    w.apply(const { &[Required("provisioner", "")] }, class, "");
    let provisioner = text(class, "provisioner");
    let wrong = crate::names::qualified(&provisioner.to_lowercase());
    if let Some(why) = wrong.filter(|_| !provisioner.is_empty()) {
        w.invalid("provisioner".to_owned(), &json!(provisioner), &why);
    }
    for (key, _) in class["parameters"].as_object().into_iter().flatten().filter(|(key, _)| key.is_empty()) {
        w.invalid("parameters".to_owned(), &json!(key), "field can not be empty.");
    }
    w.apply(
        const {
            &[
                Rule::OneOf("reclaimPolicy", &["Delete", "Retain"]),
                Rule::OneOf("volumeBindingMode", &["Immediate", "WaitForFirstConsumer"]),
            ]
        },
        class,
        "",
    );
}

fn claim(w: &mut Walk<'_>, claim: &Value, _: &str) {
    const MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
    let spec = &claim["spec"];
    w.apply(const { &[Required("accessModes", "at least 1 access mode is required")] }, spec, "spec");
    for mode in spec["accessModes"].as_array().into_iter().flatten() {
        if !mode.as_str().is_some_and(|m| MODES.contains(&m)) {
            w.out.push(Cause::not_supported("spec.accessModes", mode, MODES));
        }
    }
    let storage = &spec["resources"]["requests"]["storage"];
    let at = "spec.resources[storage]".to_owned();
    match storage.as_str() {
        None => w.out.push(Cause::required(at, "")),
        Some(amount) if quantity_nanos(amount).is_some_and(|n| n <= 0) => {
            w.invalid(at, storage, "must be greater than zero");
        }
        Some(_) => {}
    }
}

const POLICY: &[Rule] = &[Required("verbs", "verbs must contain at least one value"), Code(policy)];

fn policy(w: &mut Walk<'_>, rule: &Value, path: &str) {
    let urls = &rule["nonResourceURLs"];
    if is_empty(urls) {
        let needed = const {
            &[
                Required("apiGroups", "resource rules must supply at least one api group"),
                Required("resources", "resource rules must supply at least one resource"),
            ]
        };
        return w.apply(needed, rule, path);
    }
    let at = join(path, "nonResourceURLs");
    if w.object["kind"] == "Role" {
        w.invalid(at.clone(), urls, "namespaced rules cannot apply to non-resource URLs");
    }
    if ["apiGroups", "resources", "resourceNames"].iter().any(|k| !is_empty(&rule[*k])) {
        w.invalid(at, urls, "rules cannot apply to both regular resources and non-resource URLs");
    }
}

const BINDING: &[Rule] =
    &[In("roleRef", &[Code(role_kind), Required("name", "")]), Each("subjects", SUBJECT)];
const CLUSTER_BINDING: &[Rule] = BINDING;
const SUBJECT: &[Rule] = &[Required("name", ""), Code(subject)];

fn role_kind(w: &mut Walk<'_>, role: &Value, path: &str) {
    let cluster = w.object["kind"] == "ClusterRoleBinding";
    let allowed: &[&str] = if cluster { &["ClusterRole"] } else { &["Role", "ClusterRole"] };
    let kind = text(role, "kind");
    if !allowed.contains(&kind) {
        w.out.push(Cause::not_supported(join(path, "kind"), &json!(kind), allowed));
    }
}

fn subject(w: &mut Walk<'_>, subject: &Value, path: &str) {
    match text(subject, "kind") {
        "ServiceAccount" => w.apply(const { &[Required("namespace", "")] }, subject, path),
        "User" | "Group" => {}
        other => {
            let allowed = ["ServiceAccount", "User", "Group"];
            w.out.push(Cause::not_supported(join(path, "kind"), &json!(other), &allowed));
        }
    }
}

fn budget(w: &mut Walk<'_>, spec: &Value, path: &str) {
    let (low, high) = (present(spec, "minAvailable"), present(spec, "maxUnavailable"));
    if let (Some(low), Some(high)) = (low, high) {
        // Printed as the Go struct, whose fields keep their order.
        let message = format!(
            "Invalid value: {{\"MinAvailable\":{low},\"Selector\":{},\"MaxUnavailable\":{high},\
             \"UnhealthyPodEvictionPolicy\":{}}}: minAvailable and maxUnavailable cannot be both set",
            spec["selector"], spec["unhealthyPodEvictionPolicy"]
        );
        w.out.push(Cause { field: path.to_owned(), reason: Reason::Invalid, message });
    }
    for key in ["minAvailable", "maxUnavailable"] {
        int_or_percent(w, spec, key, path);
        at_most_all(w, spec, key, path);
    }
}

fn percent(text: &str) -> Option<&str> {
    text.strip_suffix('%').filter(|d| !d.is_empty() && d.bytes().all(|c| c.is_ascii_digit()))
}

/// ValidatePositiveIntOrPercent.
pub(crate) fn int_or_percent(w: &mut Walk<'_>, spec: &Value, key: &str, path: &str) {
    let value = &spec[key];
    if let Some(n) = value.as_i64().filter(|n| *n < 0) {
        w.invalid(join(path, key), &json!(n), "must be greater than or equal to 0");
    }
    if value.as_str().is_some_and(|text| percent(text).is_none()) {
        let why = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or \
                   '93%', regex used for validation is '[0-9]+%')";
        w.invalid(join(path, key), value, why);
    }
}

/// IsNotMoreThan100Percent.
pub(crate) fn at_most_all(w: &mut Walk<'_>, spec: &Value, key: &str, path: &str) {
    let digits = spec[key].as_str().and_then(percent);
    if digits.is_some_and(|d| d.parse::<u32>().is_ok_and(|n| n > 100)) {
        w.invalid(join(path, key), &spec[key], "must not be greater than 100%");
    }
}

fn autoscaler(w: &mut Walk<'_>, spec: &Value, path: &str) {
    let (low, high) = (spec["minReplicas"].as_i64(), spec["maxReplicas"].as_i64().unwrap_or(0));
    if let Some(n) = low.filter(|n| *n < 1) {
        w.invalid(join(path, "minReplicas"), &json!(n), "must be greater than or equal to 1");
    }
    w.apply(const { &[Positive("maxReplicas")] }, spec, path);
    if low.is_some_and(|low| high < low) {
        w.invalid(join(path, "maxReplicas"), &json!(high), "must be greater than or equal to `minReplicas`");
    }
    let (target, at) = (&spec["scaleTargetRef"], join(path, "scaleTargetRef"));
    w.apply(const { &[Required("kind", ""), Required("name", "")] }, target, &at);
    if text(target, "apiVersion").is_empty() {
        w.invalid(join(&at, "apiVersion"), &json!(""), "apiVersion must specify API group");
    }
}
