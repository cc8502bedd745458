//! Defaults of built-in kinds: the zero values Go writes out come from the schemas, the rest from the table here.
//!
//! Evidence: reference 3.1, 3.4, cases def-*. Leaves out what needs state or several objects: cluster IPs, node ports,
//! IP families, limit ranges, priorities, service accounts.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use super::normalize;
use crate::DEPTH_MAX;
use crate::schema::{Arena, NodeId, default};

/// When a rule of the table applies.
enum When {
    Always,
    /// The sibling has this value.
    Is(&'static str, &'static str),
    /// The sibling has one of these values.
    In(&'static str, &'static [&'static str]),
    /// The sibling is absent.
    Without(&'static str),
}
use When::{Always, In, Is, Without};

/// (type below io.k8s.api, member, default as JSON, condition), in order.
static TABLE: &[Row] = &[
    ("core.v1.PodSpec", "restartPolicy", "\"Always\"", Always),
    ("core.v1.PodSpec", "terminationGracePeriodSeconds", "30", Always),
    ("core.v1.PodSpec", "dnsPolicy", "\"ClusterFirst\"", Always),
    ("core.v1.PodSpec", "securityContext", "{}", Always),
    ("core.v1.PodSpec", "schedulerName", "\"default-scheduler\"", Always),
    ("core.v1.Container", "terminationMessagePath", "\"/dev/termination-log\"", Always),
    ("core.v1.Container", "terminationMessagePolicy", "\"File\"", Always),
    ("core.v1.EphemeralContainer", "terminationMessagePath", "\"/dev/termination-log\"", Always),
    ("core.v1.EphemeralContainer", "terminationMessagePolicy", "\"File\"", Always),
    ("core.v1.Probe", "timeoutSeconds", "1", Always),
    ("core.v1.Probe", "periodSeconds", "10", Always),
    ("core.v1.Probe", "successThreshold", "1", Always),
    ("core.v1.Probe", "failureThreshold", "3", Always),
    ("core.v1.HTTPGetAction", "path", "\"/\"", Always),
    ("core.v1.HTTPGetAction", "scheme", "\"HTTP\"", Always),
    ("core.v1.GRPCAction", "service", "\"\"", Always),
    ("core.v1.ObjectFieldSelector", "apiVersion", "\"v1\"", Always),
    ("core.v1.SecretVolumeSource", "defaultMode", "420", Always),
    ("core.v1.ConfigMapVolumeSource", "defaultMode", "420", Always),
    ("core.v1.DownwardAPIVolumeSource", "defaultMode", "420", Always),
    ("core.v1.ProjectedVolumeSource", "defaultMode", "420", Always),
    ("core.v1.ServiceAccountTokenProjection", "expirationSeconds", "3600", Always),
    ("core.v1.HostPathVolumeSource", "type", "\"\"", Always),
    ("core.v1.ServiceSpec", "sessionAffinity", "\"None\"", Always),
    ("core.v1.ServiceSpec", "type", "\"ClusterIP\"", Always),
    (
        "core.v1.ServiceSpec",
        "sessionAffinityConfig",
        "{\"clientIP\":{\"timeoutSeconds\":10800}}",
        Is("sessionAffinity", "ClientIP"),
    ),
    (
        "core.v1.ServiceSpec",
        "externalTrafficPolicy",
        "\"Cluster\"",
        In("type", &["NodePort", "LoadBalancer"]),
    ),
    (
        "core.v1.ServiceSpec",
        "internalTrafficPolicy",
        "\"Cluster\"",
        In("type", &["ClusterIP", "NodePort", "LoadBalancer"]),
    ),
    ("core.v1.ServiceSpec", "allocateLoadBalancerNodePorts", "true", Is("type", "LoadBalancer")),
    ("core.v1.Secret", "type", "\"Opaque\"", Always),
    ("core.v1.NamespaceStatus", "phase", "\"Active\"", Always),
    ("core.v1.PodStatus", "phase", "\"Pending\"", Always),
    ("core.v1.PersistentVolumeClaimSpec", "volumeMode", "\"Filesystem\"", Always),
    ("core.v1.PersistentVolumeClaimStatus", "phase", "\"Pending\"", Always),
    ("core.v1.PersistentVolumeSpec", "persistentVolumeReclaimPolicy", "\"Retain\"", Always),
    ("core.v1.PersistentVolumeSpec", "volumeMode", "\"Filesystem\"", Always),
    ("core.v1.PersistentVolumeStatus", "phase", "\"Pending\"", Always),
    ("apps.v1.DeploymentSpec", "replicas", "1", Always),
    ("apps.v1.DeploymentSpec", "revisionHistoryLimit", "10", Always),
    ("apps.v1.DeploymentSpec", "progressDeadlineSeconds", "600", Always),
    ("apps.v1.DeploymentStrategy", "type", "\"RollingUpdate\"", Always),
    ("apps.v1.DeploymentStrategy", "rollingUpdate", "{}", Is("type", "RollingUpdate")),
    ("apps.v1.RollingUpdateDeployment", "maxUnavailable", "\"25%\"", Always),
    ("apps.v1.RollingUpdateDeployment", "maxSurge", "\"25%\"", Always),
    ("apps.v1.ReplicaSetSpec", "replicas", "1", Always),
    ("apps.v1.StatefulSetSpec", "replicas", "1", Always),
    ("apps.v1.StatefulSetSpec", "podManagementPolicy", "\"OrderedReady\"", Always),
    ("apps.v1.StatefulSetSpec", "revisionHistoryLimit", "10", Always),
    ("apps.v1.StatefulSetSpec", "persistentVolumeClaimRetentionPolicy", "{}", Always),
    ("apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy", "whenDeleted", "\"Retain\"", Always),
    ("apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy", "whenScaled", "\"Retain\"", Always),
    ("apps.v1.StatefulSetUpdateStrategy", "type", "\"RollingUpdate\"", Always),
    ("apps.v1.StatefulSetUpdateStrategy", "rollingUpdate", "{}", Is("type", "RollingUpdate")),
    ("apps.v1.RollingUpdateStatefulSetStrategy", "partition", "0", Always),
    ("apps.v1.RollingUpdateStatefulSetStrategy", "maxUnavailable", "1", Always),
    ("apps.v1.DaemonSetSpec", "revisionHistoryLimit", "10", Always),
    ("apps.v1.DaemonSetUpdateStrategy", "type", "\"RollingUpdate\"", Always),
    ("apps.v1.DaemonSetUpdateStrategy", "rollingUpdate", "{}", Is("type", "RollingUpdate")),
    ("apps.v1.RollingUpdateDaemonSet", "maxUnavailable", "1", Always),
    ("apps.v1.RollingUpdateDaemonSet", "maxSurge", "0", Always),
    ("batch.v1.JobSpec", "completions", "1", Without("parallelism")),
    ("batch.v1.JobSpec", "parallelism", "1", Always),
    ("batch.v1.JobSpec", "backoffLimit", "6", Without("backoffLimitPerIndex")),
    ("batch.v1.JobSpec", "backoffLimit", "2147483647", Always),
    ("batch.v1.JobSpec", "completionMode", "\"NonIndexed\"", Always),
    ("batch.v1.JobSpec", "suspend", "false", Always),
    ("batch.v1.JobSpec", "podReplacementPolicy", "\"TerminatingOrFailed\"", Without("podFailurePolicy")),
    ("batch.v1.JobSpec", "podReplacementPolicy", "\"Failed\"", Always),
    ("batch.v1.CronJobSpec", "concurrencyPolicy", "\"Allow\"", Always),
    ("batch.v1.CronJobSpec", "suspend", "false", Always),
    ("batch.v1.CronJobSpec", "successfulJobsHistoryLimit", "3", Always),
    ("batch.v1.CronJobSpec", "failedJobsHistoryLimit", "1", Always),
    ("batch.v1.PodFailurePolicyOnPodConditionsPattern", "status", "\"True\"", Always),
    ("networking.v1.NetworkPolicyPort", "protocol", "\"TCP\"", Always),
    ("networking.v1.IngressClassParametersReference", "scope", "\"Cluster\"", Always),
    ("core.v1.ReplicationControllerSpec", "replicas", "1", Always),
    ("core.v1.ISCSIVolumeSource", "iscsiInterface", "\"default\"", Always),
    ("core.v1.ISCSIPersistentVolumeSource", "iscsiInterface", "\"default\"", Always),
    ("rbac.v1.RoleRef", "apiGroup", "\"rbac.authorization.k8s.io\"", Always),
    ("rbac.v1.Subject", "apiGroup", "\"rbac.authorization.k8s.io\"", In("kind", &["User", "Group"])),
    ("storage.v1.StorageClass", "reclaimPolicy", "\"Delete\"", Always),
    ("storage.v1.StorageClass", "volumeBindingMode", "\"Immediate\"", Always),
    ("storage.v1.CSIDriverSpec", "attachRequired", "true", Always),
    ("storage.v1.CSIDriverSpec", "podInfoOnMount", "false", Always),
    ("storage.v1.CSIDriverSpec", "storageCapacity", "false", Always),
    ("storage.v1.CSIDriverSpec", "fsGroupPolicy", "\"ReadWriteOnceWithFSType\"", Always),
    ("storage.v1.CSIDriverSpec", "volumeLifecycleModes", "[\"Persistent\"]", Always),
    ("storage.v1.CSIDriverSpec", "requiresRepublish", "false", Always),
    ("storage.v1.CSIDriverSpec", "seLinuxMount", "false", Always),
    ("scheduling.v1.PriorityClass", "preemptionPolicy", "\"PreemptLowerPriority\"", Always),
    ("autoscaling.v1.HorizontalPodAutoscalerSpec", "minReplicas", "1", Always),
    ("autoscaling.v2.HorizontalPodAutoscalerSpec", "minReplicas", "1", Always),
    (
        "autoscaling.v2.HorizontalPodAutoscalerSpec",
        "metrics",
        "[{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"target\":{\"type\":\"Utilization\",\"averageUtilization\":80}}}]",
        Always,
    ),
    ("admissionregistration.v1.ValidatingWebhook", "failurePolicy", "\"Fail\"", Always),
    ("admissionregistration.v1.ValidatingWebhook", "matchPolicy", "\"Equivalent\"", Always),
    ("admissionregistration.v1.ValidatingWebhook", "namespaceSelector", "{}", Always),
    ("admissionregistration.v1.ValidatingWebhook", "objectSelector", "{}", Always),
    ("admissionregistration.v1.ValidatingWebhook", "timeoutSeconds", "10", Always),
    ("admissionregistration.v1.MutatingWebhook", "failurePolicy", "\"Fail\"", Always),
    ("admissionregistration.v1.MutatingWebhook", "matchPolicy", "\"Equivalent\"", Always),
    ("admissionregistration.v1.MutatingWebhook", "namespaceSelector", "{}", Always),
    ("admissionregistration.v1.MutatingWebhook", "objectSelector", "{}", Always),
    ("admissionregistration.v1.MutatingWebhook", "timeoutSeconds", "10", Always),
    ("admissionregistration.v1.MutatingWebhook", "reinvocationPolicy", "\"Never\"", Always),
    ("admissionregistration.v1.RuleWithOperations", "scope", "\"*\"", Always),
    ("admissionregistration.v1.ServiceReference", "port", "443", Always),
    ("admissionregistration.v1.ValidatingAdmissionPolicySpec", "failurePolicy", "\"Fail\"", Always),
    ("admissionregistration.v1.MatchResources", "matchPolicy", "\"Equivalent\"", Always),
    ("admissionregistration.v1.MatchResources", "namespaceSelector", "{}", Always),
    ("admissionregistration.v1.MatchResources", "objectSelector", "{}", Always),
    ("admissionregistration.v1.NamedRuleWithOperations", "scope", "\"*\"", Always),
    ("flowcontrol.v1.FlowSchemaSpec", "matchingPrecedence", "1000", Always),
    ("flowcontrol.v1.LimitedPriorityLevelConfiguration", "nominalConcurrencyShares", "30", Always),
    ("flowcontrol.v1.LimitedPriorityLevelConfiguration", "lendablePercent", "0", Always),
    ("flowcontrol.v1.ExemptPriorityLevelConfiguration", "nominalConcurrencyShares", "0", Always),
    ("flowcontrol.v1.ExemptPriorityLevelConfiguration", "lendablePercent", "0", Always),
    ("flowcontrol.v1.QueuingConfiguration", "queues", "64", Always),
    ("flowcontrol.v1.QueuingConfiguration", "handSize", "8", Always),
    ("flowcontrol.v1.QueuingConfiguration", "queueLengthLimit", "50", Always),
];

type Row = (&'static str, &'static str, &'static str, When);

/// The rows of one type: most types have none, and every part of every object asks.
fn rows_of(name: &str) -> impl Iterator<Item = &'static Row> {
    static BY_TYPE: OnceLock<BTreeMap<&str, Vec<&Row>>> = OnceLock::new();
    let by_type = BY_TYPE.get_or_init(|| {
        let mut out: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
        TABLE.iter().for_each(|row| out.entry(row.0).or_default().push(row));
        out
    });
    by_type.get(name).into_iter().flatten().copied()
}

/// Defaults every part of an object, top down.
pub(crate) fn fill(arena: &Arena, object: &mut Value) {
    normalize::forget_unset(arena, object);
    default::fill(arena, object);
    // Members the table added have zero values of their own to write out.
    if walk(arena, arena.root, object, 0) {
        default::fill(arena, object);
    }
    normalize::write_empty_lists(arena, object);
}

const JOB_SPEC: &str = "batch.v1.JobSpec";

/// Types with defaults that compute ([`by_code`]).
const CODED: [&str; 14] = [
    "batch.v1.Job",
    "core.v1.ReplicationController",
    "discovery.v1.EndpointPort",
    "autoscaling.v2.HorizontalPodAutoscalerBehavior",
    "core.v1.Container",
    "core.v1.EphemeralContainer",
    "core.v1.Volume",
    "core.v1.ServicePort",
    "core.v1.EndpointPort",
    "core.v1.PodSpec",
    "core.v1.Pod",
    "core.v1.LimitRangeItem",
    "networking.v1.NetworkPolicySpec",
    "apps.v1.StatefulSetSpec",
];

/// Whether the type of this name has defaults of its own.
pub(crate) fn has_coded_defaults(name: &str) -> bool {
    let name = name.strip_prefix("io.k8s.api.");
    name.is_some_and(|name| CODED.contains(&name) || rows_of(name).next().is_some())
}

/// Whether it added members.
fn walk(arena: &Arena, id: NodeId, value: &mut Value, depth: usize) -> bool {
    if depth > DEPTH_MAX || !arena.coded_below[id as usize] {
        return false;
    }
    let node = arena.node(id);
    let mut has_added = false;
    match value {
        Value::Object(map) => {
            if let Some(name) = node.name.as_deref().and_then(|n| n.strip_prefix("io.k8s.api.")) {
                // Those of a job are of Jobs: what a CronJob makes them from stays as it is written.
                has_added |= name != JOB_SPEC && by_table(name, map);
                // What is added further down are texts and amounts, which have no defaults.
                let before = map.len();
                by_code(name, map);
                has_added |= map.len() != before;
            }
            for (key, member) in map.iter_mut() {
                if let Some(child) = node.member(key).filter(|child| arena.coded_below[*child as usize]) {
                    has_added |= walk(arena, child, member, depth + 1);
                }
            }
        }
        Value::Array(items) => {
            let Some(child) = node.items else { return false };
            for item in items {
                has_added |= walk(arena, child, item, depth + 1);
            }
        }
        _ => {}
    }
    has_added
}

/// Whether it set members.
fn by_table(name: &str, map: &mut Map<String, Value>) -> bool {
    let mut has_set = false;
    for (_, member, default, when) in rows_of(name) {
        let text =
            |map: &Map<String, Value>, key: &str| map.get(key).and_then(Value::as_str).map(str::to_string);
        let applies = match when {
            Always => true,
            Is(sibling, value) => text(map, sibling).as_deref() == Some(value),
            In(sibling, values) => text(map, sibling).is_some_and(|v| values.contains(&v.as_str())),
            Without(sibling) => !map.contains_key(*sibling),
        };
        let unset = match map.get(*member) {
            None => true,
            // The empty string of a non-pointer field is the unset value; the table's own empty defaults stay.
            Some(Value::String(s)) => s.is_empty(),
            Some(Value::Number(n)) => n.as_i64() == Some(0) && name == "core.v1.Probe",
            Some(Value::Array(items)) => items.is_empty() && name.ends_with("AutoscalerSpec"),
            Some(_) => false,
        };
        if applies && unset {
            map.insert((*member).into(), serde_json::from_str(default).unwrap_or_default());
            has_set = true;
        }
    }
    has_set
}

/// Defaults that compute.
fn by_code(name: &str, map: &mut Map<String, Value>) {
    match name {
        "core.v1.Container" | "core.v1.EphemeralContainer" => image_pull_policy(map),
        "core.v1.Volume" if map.len() == 1 => drop(map.insert("emptyDir".into(), json!({}))),
        "core.v1.ServicePort" => {
            let unset = map.get("targetPort").is_none_or(|t| t == &json!(0) || t == &json!(""));
            if let (true, Some(port)) = (unset, map.get("port").cloned()) {
                map.insert("targetPort".into(), port);
            }
        }
        "core.v1.EndpointPort" => drop(map.entry("protocol").or_insert_with(|| json!("TCP"))),
        "discovery.v1.EndpointPort" => {
            map.entry("name").or_insert_with(|| json!(""));
            map.entry("protocol").or_insert_with(|| json!("TCP"));
        }
        "batch.v1.Job" => {
            if let Some(spec) = map.get_mut("spec").and_then(Value::as_object_mut) {
                by_table(JOB_SPEC, spec);
            }
        }
        "core.v1.ReplicationController" => replication_controller(map),
        "autoscaling.v2.HorizontalPodAutoscalerBehavior" => scaling_rules(map),
        "core.v1.PodSpec" => mirror_service_account(map),
        "core.v1.Pod" => pod(map),
        "core.v1.LimitRangeItem" => limit_range_item(map),
        "networking.v1.NetworkPolicySpec" if !map.contains_key("policyTypes") => {
            let egress = map.get("egress").and_then(Value::as_array).is_some_and(|e| !e.is_empty());
            let types = if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
            map.insert("policyTypes".into(), types);
        }
        "apps.v1.StatefulSetSpec" => {
            for claim in
                map.get_mut("volumeClaimTemplates").and_then(Value::as_array_mut).into_iter().flatten()
            {
                if let Some(claim) = claim.as_object_mut() {
                    claim.entry("kind").or_insert_with(|| json!("PersistentVolumeClaim"));
                    claim.entry("apiVersion").or_insert_with(|| json!("v1"));
                }
            }
        }
        _ => {}
    }
}

/// `Always` for `:latest` and untagged images, `IfNotPresent` otherwise (case def-image-pull-policy).
fn image_pull_policy(map: &mut Map<String, Value>) {
    if map.get("imagePullPolicy").and_then(Value::as_str).is_some_and(|p| !p.is_empty()) {
        return;
    }
    let image = map.get("image").and_then(Value::as_str).unwrap_or_default();
    let (plain, digest) = match image.split_once('@') {
        Some((plain, _)) => (plain, true),
        None => (image, false),
    };
    let tag = plain.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag);
    let latest = match tag {
        None => !digest,
        Some(tag) => tag == "latest",
    };
    map.insert("imagePullPolicy".into(), json!(if latest { "Always" } else { "IfNotPresent" }));
}

/// The deprecated `serviceAccount` says the same as `serviceAccountName`.
fn mirror_service_account(map: &mut Map<String, Value>) {
    let name = ["serviceAccountName", "serviceAccount"]
        .iter()
        .find_map(|key| map.get(*key).filter(|v| v.as_str().is_some_and(|s| !s.is_empty())).cloned());
    if let Some(name) = name {
        map.insert("serviceAccountName".into(), name.clone());
        map.insert("serviceAccount".into(), name);
    }
}

/// Selector and labels of a ReplicationController are those of its template.
fn replication_controller(map: &mut Map<String, Value>) {
    let labels = map.get("spec").and_then(|spec| spec.pointer("/template/metadata/labels")).cloned();
    let Some(labels) = labels.filter(|labels| labels.as_object().is_some_and(|l| !l.is_empty())) else {
        return;
    };
    for (of, key) in [("spec", "selector"), ("metadata", "labels")] {
        let Some(of) = map.get_mut(of).and_then(Value::as_object_mut) else { continue };
        if of.get(key).and_then(Value::as_object).is_none_or(Map::is_empty) {
            of.insert(key.into(), labels.clone());
        }
    }
}

/// Rules of an autoscaler are whole as soon as it has any (SetDefaults_HorizontalPodAutoscalerBehavior).
fn scaling_rules(map: &mut Map<String, Value>) {
    let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
    let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
    let up = json!({"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [pods, percent]});
    let down = json!({"selectPolicy": "Max", "policies": [percent]});
    for (key, defaults) in [("scaleUp", up), ("scaleDown", down)] {
        let rules = map.entry(key).or_insert_with(|| json!({}));
        let (Some(rules), Value::Object(defaults)) = (rules.as_object_mut(), defaults) else { continue };
        for (key, value) in defaults {
            rules.entry(key).or_insert(value);
        }
    }
}

/// With the network of its node each port of a container is one of the node (defaultHostNetworkPorts).
fn host_ports(container: &mut Value) {
    for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(port) = port.as_object_mut() else { continue };
        if let Some(number) = port.get("containerPort").cloned()
            && port.get("hostPort").is_none_or(|host| *host == 0)
        {
            port.insert("hostPort".into(), number);
        }
    }
}

/// Requests default to limits, in pods only.
fn pod(map: &mut Map<String, Value>) {
    let Some(spec) = map.get_mut("spec").and_then(Value::as_object_mut) else { return };
    spec.entry("enableServiceLinks").or_insert(json!(true));
    let has_node_network = spec.get("hostNetwork") == Some(&json!(true));
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if has_node_network {
                host_ports(container);
            }
            let Some(resources) = container.get_mut("resources").and_then(Value::as_object_mut) else {
                continue;
            };
            let Some(Value::Object(limits)) = resources.get("limits").cloned() else { continue };
            let requests = resources.entry("requests").or_insert_with(|| json!({}));
            for (key, limit) in limits {
                if let Some(requests) = requests.as_object_mut() {
                    requests.entry(key).or_insert(limit);
                }
            }
        }
    }
}

/// Limits of containers: default from max, defaultRequest from default and min (case def-misc).
fn limit_range_item(map: &mut Map<String, Value>) {
    if map.get("type").and_then(Value::as_str) != Some("Container") {
        return;
    }
    let amounts = |map: &Map<String, Value>, key: &str| {
        map.get(key).and_then(Value::as_object).cloned().unwrap_or_default()
    };
    let with = |mut to: Map<String, Value>, from: &Map<String, Value>| {
        for (key, value) in from {
            to.entry(key.clone()).or_insert_with(|| value.clone());
        }
        to
    };
    let default = with(amounts(map, "default"), &amounts(map, "max"));
    let request = with(with(amounts(map, "defaultRequest"), &default), &amounts(map, "min"));
    for (key, value) in [("default", default), ("defaultRequest", request)] {
        if !value.is_empty() {
            map.insert(key.into(), Value::Object(value));
        }
    }
}
