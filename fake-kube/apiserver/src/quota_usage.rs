//! What objects use of a ResourceQuota, and which quotas are about them: resources, counts and scopes (kubernetes 1.35
//! pkg/quota/v1/evaluator/core and apiserver pkg/quota/v1/generic). Pure, for admission and for the controller that fills
//! in what is used. Leaves out claims of devices.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::{Add, Sub};

use fake_kube_schema::{quantity_nanos, quantity_text};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// By the name a quota has for it.
pub type Usage = BTreeMap<String, Amount>;

/// A quantity that keeps the way it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    nanos: i128,
    is_binary: bool,
}

impl Amount {
    pub fn count(n: usize) -> Amount {
        Amount { nanos: i128::try_from(n).unwrap_or(i128::MAX / NANOS) * NANOS, is_binary: false }
    }

    pub fn parse(text: &str) -> Option<Amount> {
        Some(Amount { nanos: quantity_nanos(text)?, is_binary: text.ends_with('i') })
    }

    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    pub fn exceeds(&self, other: &Amount) -> bool {
        self.nanos > other.nanos
    }

    /// The difference, or nothing.
    fn beyond(self, other: Amount) -> Amount {
        Amount { nanos: (self - other).nanos.max(0), ..self }
    }

    fn max(self, other: Amount) -> Amount {
        if other.nanos > self.nanos { other } else { self }
    }

    /// In whole units.
    fn whole(self) -> Amount {
        Amount {
            nanos: self.nanos.div_euclid(NANOS) * NANOS + if self.nanos % NANOS > 0 { NANOS } else { 0 },
            ..self
        }
    }
}

const NANOS: i128 = 1_000_000_000;

impl Add for Amount {
    type Output = Amount;

    /// Nothing takes the form of what is added to it.
    fn add(self, other: Amount) -> Amount {
        let is_binary = if self.is_zero() { other.is_binary } else { self.is_binary };
        Amount { nanos: self.nanos.saturating_add(other.nanos), is_binary }
    }
}

impl Sub for Amount {
    type Output = Amount;

    fn sub(self, other: Amount) -> Amount {
        Amount { nanos: self.nanos.saturating_sub(other.nanos), ..self }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quantity_text(self.nanos, self.is_binary))
    }
}

pub fn add(total: &mut Usage, more: Usage) {
    for (name, amount) in more {
        let entry = total.entry(name).or_default();
        *entry = *entry + amount;
    }
}

/// What `new` uses more than `old`.
pub fn beyond(new: &Usage, old: &Usage) -> Usage {
    let more = |(name, amount): (&String, &Amount)| {
        (name.clone(), old.get(name).map_or(*amount, |before| amount.beyond(*before)))
    };
    new.iter().map(more).collect()
}

const ALIASED: [&str; 4] = ["configmaps", "resourcequotas", "replicationcontrollers", "secrets"];
const COMPUTE: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
const OF_CLASS: &str = ".storageclass.storage.k8s.io/";

/// Whether a name in a quota is about objects of this resource, which is called as in `count/..`.
pub fn covers(resource: &str, name: &str) -> bool {
    if name.strip_prefix("count/").is_some_and(|counted| counted == resource) {
        return true;
    }
    match resource {
        "pods" => {
            let of_list =
                name.strip_prefix("requests.").or_else(|| name.strip_prefix("limits.")).unwrap_or(name);
            name == "pods"
                || COMPUTE.contains(&of_list)
                || name.starts_with("hugepages-")
                || name.starts_with("requests.hugepages-")
                || name.strip_prefix("requests.").is_some_and(is_extended)
        }
        "services" => matches!(name, "services" | "services.nodeports" | "services.loadbalancers"),
        "persistentvolumeclaims" => {
            let plain = name.split_once(OF_CLASS).map_or(name, |(_, rest)| rest);
            matches!(plain, "persistentvolumeclaims" | "requests.storage")
        }
        other => ALIASED.contains(&other) && name == other,
    }
}

fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/")
}

/// What one object uses.
pub fn usage(resource: &str, object: &Value, now: Timestamp) -> Usage {
    let one = Amount::count(1);
    let mut out = Usage::from([(format!("count/{resource}"), one)]);
    match resource {
        "pods" => pod(object, now, &mut out),
        "services" => service(&object["spec"], &mut out),
        "persistentvolumeclaims" => claim(object, &mut out),
        other if ALIASED.contains(&other) => {
            out.insert(other.to_owned(), one);
        }
        _ => {}
    }
    out
}

/// A pod that is over, or should be gone long since, uses nothing but its place in the storage.
fn pod(pod: &Value, now: Timestamp, out: &mut Usage) {
    let is_over = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    let grace = pod["metadata"]["deletionGracePeriodSeconds"].as_i64();
    let deletion = pod["metadata"]["deletionTimestamp"].as_str().and_then(|t| t.parse::<Timestamp>().ok());
    let is_stuck = deletion.zip(grace).is_some_and(|(t, grace)| {
        t.saturating_add(SignedDuration::from_secs(grace.clamp(0, 1 << 40))).is_ok_and(|end| now > end)
    });
    if is_over || is_stuck {
        return;
    }
    out.insert("pods".to_owned(), Amount::count(1));
    for (name, amount) in pod_amounts(pod, "requests") {
        if COMPUTE.contains(&name.as_str()) || name.starts_with("hugepages-") {
            out.insert(name.clone(), amount);
            out.insert(format!("requests.{name}"), amount);
        } else if is_extended(&name) {
            out.insert(format!("requests.{name}"), amount);
        }
    }
    for (name, amount) in pod_amounts(pod, "limits") {
        if COMPUTE.contains(&name.as_str()) {
            out.insert(format!("limits.{name}"), amount);
        }
    }
}

fn containers<'a>(pod: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    pod["spec"][list].as_array().into_iter().flatten()
}

fn amounts(list: &Value) -> Usage {
    let each = list.as_object().into_iter().flatten();
    each.filter_map(|(k, v)| Some((k.clone(), Amount::parse(v.as_str()?)?))).collect()
}

/// What the containers of a pod ask for together (component-helpers resource/helpers.go: PodRequests, PodLimits): main
/// containers and sidecars, or the largest init container with the sidecars before it; what is said for the pod as a
/// whole counts instead.
fn pod_amounts(pod: &Value, list: &str) -> Usage {
    let of = |c: &Value| amounts(&c["resources"][list]);
    let (mut total, mut sidecars, mut most) = (Usage::new(), Usage::new(), Usage::new());
    containers(pod, "containers").for_each(|c| add(&mut total, of(c)));
    for container in containers(pod, "initContainers") {
        let mut here = of(container);
        if container["restartPolicy"] == "Always" {
            add(&mut total, here.clone());
            add(&mut sidecars, here);
            here = sidecars.clone();
        } else {
            add(&mut here, sidecars.clone());
        }
        for (name, amount) in here {
            let entry = most.entry(name).or_insert(amount);
            *entry = entry.max(amount);
        }
    }
    for (name, amount) in most {
        let entry = total.entry(name).or_insert(amount);
        *entry = entry.max(amount);
    }
    for (name, amount) in amounts(&pod["spec"]["resources"][list]) {
        total.insert(name, amount);
    }
    for (name, amount) in amounts(&pod["spec"]["overhead"]) {
        match total.get_mut(&name) {
            Some(entry) => *entry = *entry + amount,
            None if list == "requests" => {
                total.insert(name, amount);
            }
            None => {}
        }
    }
    total
}

fn service(spec: &Value, out: &mut Usage) {
    let ports = spec["ports"].as_array().map_or(&[][..], Vec::as_slice);
    let given = ports.iter().filter(|p| p["nodePort"].as_i64().is_some_and(|n| n != 0)).count();
    let is_balanced = spec["type"] == "LoadBalancer";
    let nodes = match spec["type"].as_str() {
        Some("NodePort") => ports.len(),
        Some("LoadBalancer") if spec["allocateLoadBalancerNodePorts"] == false => given,
        Some("LoadBalancer") => ports.len(),
        _ => 0,
    };
    out.insert("services".to_owned(), Amount::count(1));
    out.insert("services.nodeports".to_owned(), Amount::count(nodes));
    out.insert("services.loadbalancers".to_owned(), Amount::count(usize::from(is_balanced)));
}

fn claim(claim: &Value, out: &mut Usage) {
    let annotated = &claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"];
    let class = annotated.as_str().or(claim["spec"]["storageClassName"].as_str()).unwrap_or("");
    let allocated = claim["status"]["allocatedResources"]["storage"].as_str().and_then(Amount::parse);
    let asked = claim["spec"]["resources"]["requests"]["storage"].as_str().and_then(Amount::parse);
    let storage = asked.map(|asked| allocated.map_or(asked, |more| asked.max(more)).whole());
    let mut insert = |name: &str, amount: Amount| {
        out.insert(name.to_owned(), amount);
        if !class.is_empty() {
            out.insert(format!("{class}{OF_CLASS}{name}"), amount);
        }
    };
    insert("persistentvolumeclaims", Amount::count(1));
    if let Some(storage) = storage {
        insert("requests.storage", storage);
    }
}

/// Whether all scopes of a quota hold for an object. Kinds that know no scopes are in none.
pub fn in_scope(quota: &Value, resource: &str, object: &Value) -> bool {
    let spec = &quota["spec"];
    let plain = spec["scopes"].as_array().into_iter().flatten();
    let plain = plain.filter_map(Value::as_str).map(|scope| (scope, "Exists", &Value::Null));
    let selectors =
        spec["scopeSelector"]["matchExpressions"].as_array().into_iter().flatten().map(|s| {
            (s["scopeName"].as_str().unwrap_or(""), s["operator"].as_str().unwrap_or(""), &s["values"])
        });
    plain.chain(selectors).all(|(scope, operator, values)| match resource {
        "pods" => pod_in(object, scope, operator, values),
        "persistentvolumeclaims" if scope == "VolumeAttributesClass" => {
            let wanted = object["spec"]["volumeAttributesClassName"].as_str();
            let current = object["status"]["currentVolumeAttributesClassName"].as_str();
            let classes: BTreeSet<&str> =
                wanted.into_iter().chain(current).filter(|c| !c.is_empty()).collect();
            match operator {
                "Exists" => !classes.is_empty(),
                _ if classes.is_empty() => selects(operator, values, None),
                _ => classes.iter().any(|class| selects(operator, values, Some(class))),
            }
        }
        _ => false,
    })
}

fn pod_in(pod: &Value, scope: &str, operator: &str, values: &Value) -> bool {
    let class = pod["spec"]["priorityClassName"].as_str().filter(|c| !c.is_empty());
    match scope {
        "Terminating" => is_terminating(pod),
        "NotTerminating" => !is_terminating(pod),
        "BestEffort" => is_best_effort(pod),
        "NotBestEffort" => !is_best_effort(pod),
        "PriorityClass" if operator == "Exists" => class.is_some(),
        "PriorityClass" => selects(operator, values, class),
        "CrossNamespacePodAffinity" => looks_abroad(pod),
        _ => false,
    }
}

/// A pod whose time is limited.
pub fn is_terminating(pod: &Value) -> bool {
    pod["spec"]["activeDeadlineSeconds"].as_i64().is_some_and(|n| n >= 0)
}

fn is_best_effort(pod: &Value) -> bool {
    if let Some(class) = pod["status"]["qosClass"].as_str().filter(|c| !c.is_empty()) {
        return class == "BestEffort";
    }
    let asks = |resources: &Value| {
        ["requests", "limits"].iter().any(|list| {
            let given = amounts(&resources[list]);
            ["cpu", "memory"].iter().any(|name| given.get(*name).is_some_and(|a| !a.is_zero()))
        })
    };
    let mut all = containers(pod, "containers").chain(containers(pod, "initContainers"));
    !asks(&pod["spec"]["resources"]) && !all.any(|c| asks(&c["resources"]))
}

/// An operator over the name of a class, as over a label that is there or not.
fn selects(operator: &str, values: &Value, class: Option<&str>) -> bool {
    let listed = || values.as_array().is_some_and(|all| all.iter().any(|v| v.as_str() == class));
    match operator {
        "In" => class.is_some() && listed(),
        "NotIn" => class.is_none() || !listed(),
        "Exists" => class.is_some(),
        "DoesNotExist" => class.is_none(),
        _ => false,
    }
}

/// Its affinity looks at pods of other namespaces.
fn looks_abroad(pod: &Value) -> bool {
    let is_abroad = |term: &Value| {
        term["namespaces"].as_array().is_some_and(|n| !n.is_empty()) || !term["namespaceSelector"].is_null()
    };
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let affinity = &pod["spec"]["affinity"][kind];
        let list = |key: &str| affinity[key].as_array().cloned().unwrap_or_default();
        list("requiredDuringSchedulingIgnoredDuringExecution").iter().any(is_abroad)
            || list("preferredDuringSchedulingIgnoredDuringExecution")
                .iter()
                .any(|t| is_abroad(&t["podAffinityTerm"]))
    })
}

/// `must specify requests.cpu for: a,b`: a quota of cores or memory wants every container to say what it takes.
pub fn unspecified(pod: &Value, names: &[&str]) -> Option<String> {
    let pod_level = &pod["spec"]["resources"];
    let is_said =
        ["requests", "limits"].iter().any(|l| pod_level[*l].as_object().is_some_and(|m| !m.is_empty()));
    if is_said {
        return None;
    }
    let mut parts = Vec::new();
    let sorted: BTreeSet<&&str> = names.iter().collect();
    for name in sorted {
        let (list, resource) = name.split_once('.').unwrap_or(("requests", name));
        if !matches!(list, "requests" | "limits") || !matches!(resource, "cpu" | "memory") {
            continue;
        }
        let all = containers(pod, "containers").chain(containers(pod, "initContainers"));
        let silent: BTreeSet<&str> = all
            .filter(|c| c["resources"][list][resource].is_null())
            .filter_map(|c| c["name"].as_str())
            .collect();
        if !silent.is_empty() {
            parts.push(format!("{name} for: {}", silent.into_iter().collect::<Vec<_>>().join(",")));
        }
    }
    (!parts.is_empty()).then(|| format!("must specify {}", parts.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(usage: &Usage, name: &str) -> String {
        usage.get(name).map_or_else(|| "-".to_owned(), ToString::to_string)
    }

    #[test]
    fn amounts_keep_their_form() {
        let check = |amounts: &[&str], expected: &str| {
            let sum = amounts.iter().filter_map(|a| Amount::parse(a)).fold(Amount::default(), |a, b| a + b);
            assert_eq!(sum.to_string(), expected);
        };
        check(&["500m", "1"], "1500m");
        check(&["512Mi", "512Mi"], "1Gi");
        check(&["1Gi", "1G"], "2073741824");
        check(&["1000"], "1k");
        check(&[], "0");
    }

    #[test]
    fn pods() {
        let container = |cpu: &str, memory: &str| json!({"resources": {"requests": {"cpu": cpu}, "limits": {"memory": memory}}});
        let mut sidecar = container("200m", "1Gi");
        sidecar["restartPolicy"] = json!("Always");
        let pod = |phase: &str| {
            json!({"spec": {"containers": [container("1", "1Gi"), container("500m", "1Gi")],
                "initContainers": [sidecar, container("2", "64Mi")]}, "status": {"phase": phase}})
        };
        let used = usage("pods", &pod("Running"), Timestamp::UNIX_EPOCH);
        let checks = [
            ("count/pods", "1"),
            ("pods", "1"),
            ("cpu", "2200m"),
            ("requests.cpu", "2200m"),
            ("limits.memory", "3Gi"),
            ("limits.cpu", "-"),
        ];
        for (name, expected) in checks {
            assert_eq!(shown(&used, name), expected, "{name}");
        }
        let over = usage("pods", &pod("Failed"), Timestamp::UNIX_EPOCH);
        assert_eq!((shown(&over, "count/pods").as_str(), shown(&over, "pods").as_str()), ("1", "-"));
    }

    #[test]
    fn services_and_claims() {
        let of = |spec: Value| usage("services", &json!({"spec": spec}), Timestamp::UNIX_EPOCH);
        let ports = json!([{"port": 1}, {"port": 2, "nodePort": 30_000}]);
        let used =
            of(json!({"type": "LoadBalancer", "ports": ports, "allocateLoadBalancerNodePorts": false}));
        assert_eq!(
            (shown(&used, "services.nodeports").as_str(), shown(&used, "services.loadbalancers").as_str()),
            ("1", "1")
        );
        assert_eq!(shown(&of(json!({"type": "NodePort", "ports": ports})), "services.nodeports"), "2");
        assert_eq!(shown(&of(json!({"type": "ClusterIP", "ports": ports})), "services.nodeports"), "0");
        let claim =
            json!({"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}}});
        let used = usage("persistentvolumeclaims", &claim, Timestamp::UNIX_EPOCH);
        for name in ["requests.storage", "fast.storageclass.storage.k8s.io/requests.storage"] {
            assert_eq!(shown(&used, name), "1Gi");
            assert!(covers("persistentvolumeclaims", name));
        }
    }

    #[test]
    fn scopes() {
        let check = |scope: Value, pod: Value, expected: bool| {
            let quota = json!({"spec": {"scopeSelector": {"matchExpressions": [scope]}}});
            assert_eq!(in_scope(&quota, "pods", &json!({"spec": pod})), expected, "{scope} {pod}");
        };
        let exists = |scope: &str| json!({"scopeName": scope, "operator": "Exists"});
        let idle = || json!({"containers": [{}]});
        let busy = || json!({"containers": [{"resources": {"limits": {"cpu": "1"}}}]});
        check(exists("BestEffort"), idle(), true);
        check(exists("BestEffort"), busy(), false);
        check(exists("NotBestEffort"), busy(), true);
        check(exists("Terminating"), json!({"activeDeadlineSeconds": 5}), true);
        check(exists("NotTerminating"), json!({}), true);
        let class =
            |operator: &str| json!({"scopeName": "PriorityClass", "operator": operator, "values": ["high"]});
        check(class("In"), json!({"priorityClassName": "high"}), true);
        check(class("In"), json!({}), false);
        check(class("NotIn"), json!({}), true);
        check(class("NotIn"), json!({"priorityClassName": "high"}), false);
        let term = json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"namespaceSelector": {}}]}});
        check(exists("CrossNamespacePodAffinity"), json!({"affinity": term}), true);
        check(exists("CrossNamespacePodAffinity"), json!({}), false);
        let quota = json!({"spec": {"scopes": ["BestEffort"]}});
        assert!(in_scope(&quota, "pods", &json!({"spec": idle()})));
        assert!(!in_scope(&quota, "configmaps", &json!({})), "knows no scopes");
    }
}
