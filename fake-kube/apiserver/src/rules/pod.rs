//! PodSpec (ValidatePodSpec in pkg/apis/core/validation/validation.go; cases val-pod-*, smp-volumes).
//!
//! Leaves out: resource claims, resources of whole pods, Windows. Placement and security are next door.

use fake_kube_schema::{Cause, quantity_nanos};
use serde_json::{Value, json};

use super::Rule::{
    Code, Each, EachUnique, In, Labels, NotNegative, OneOf, Only, Port, Positive, Required, Text, Within,
};
use super::selector::list;
use super::{Limit, Rule, Walk, is_empty, join, placement, present, quota, security, text};
use crate::names;

/// A Pod, or the template of one.
pub(crate) const POD: &[Rule] = &[
    Code(volumes),
    Code(containers),
    Code(init_containers),
    Code(security::host_network),
    OneOf("restartPolicy", &["Always", "OnFailure", "Never"]),
    OneOf("dnsPolicy", &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]),
    Labels("nodeSelector"),
    Code(security::of_pod),
    In("securityContext", security::POD),
    In("affinity", placement::AFFINITY),
    Code(placement::dns),
    Code(placement::gates),
    Code(placement::spread),
    Code(security::host_users),
    Text("serviceAccountName", names::subdomain),
    Text("nodeName", names::subdomain),
    Within("activeDeadlineSeconds", 1, 2_147_483_647),
    Text("hostname", names::label),
    Text("subdomain", names::label),
    Each("tolerations", TOLERATION),
    Each("hostAliases", &[Code(placement::host_aliases)]),
    Text("priorityClassName", names::subdomain),
    Text("runtimeClassName", names::subdomain),
    OneOf("preemptionPolicy", &["PreemptLowerPriority", "Never"]),
    In("os", &[Required("name", "cannot be empty")]),
];

/// What containers have that run as long as the pod does.
const RUNNING: &[Rule] = &[
    In("lifecycle", &[In("postStart", HANDLER), In("preStop", HANDLER)]),
    In("livenessProbe", PROBE),
    In("livenessProbe", ONE_SUCCESS),
    In("readinessProbe", PROBE),
    In("startupProbe", PROBE),
    In("startupProbe", ONE_SUCCESS),
];

/// What every container has, in the order of validateContainerCommon.
const COMMON: &[Rule] = &[
    Required("name", ""),
    Text("name", names::label),
    Required("image", ""),
    OneOf("terminationMessagePolicy", &["FallbackToLogsOnError", "File"]),
    EachUnique("ports", "name", PORT),
    Each("env", ENV),
    Code(env_from),
    Code(mounts),
    OneOf("imagePullPolicy", &["Always", "IfNotPresent", "Never"]),
    In("resources", &[Code(resources)]),
    In("securityContext", security::CONTAINER),
];

const PORT: &[Rule] = &[
    Text("name", super::port_name),
    Code(container_port),
    Code(host_port),
    OneOf("protocol", &["SCTP", "TCP", "UDP"]),
];

const ENV: &[Rule] = &[Required("name", ""), Text("name", env_name), Code(value_from)];

const PROBE: &[Rule] = &[
    Only(&["exec", "httpGet", "tcpSocket", "grpc"], ONE_HANDLER),
    Code(handler),
    NotNegative("initialDelaySeconds"),
    NotNegative("timeoutSeconds"),
    NotNegative("periodSeconds"),
    NotNegative("successThreshold"),
    NotNegative("failureThreshold"),
    Positive("terminationGracePeriodSeconds"),
];

const HANDLER: &[Rule] = &[Only(&["exec", "httpGet", "tcpSocket", "sleep"], ONE_HANDLER), Code(handler)];

const ONE_HANDLER: Limit =
    Limit { several: "may not specify more than 1 handler type", none: "must specify a handler type" };

const ACTION: &[Rule] = &[
    In("exec", &[Required("command", "")]),
    In("httpGet", &[Required("path", ""), Port("port"), OneOf("scheme", &["HTTP", "HTTPS"]), Code(headers)]),
    In("tcpSocket", &[Port("port")]),
    In("grpc", &[Within("port", 1, 65535)]),
];

const ONE_SUCCESS: &[Rule] = &[Code(|w, v, path| {
    if let Some(n) = v["successThreshold"].as_i64().filter(|n| *n != 1) {
        w.invalid(join(path, "successThreshold"), &json!(n), "must be 1");
    }
})];

const TOLERATION: &[Rule] = &[
    Text("key", |k| names::qualified(k).into_iter().collect()),
    Code(toleration),
    OneOf("effect", &["NoSchedule", "PreferNoSchedule", "NoExecute"]),
];

/// Sources of a volume in the order a real server looks at them: the second one found is refused.
const SOURCES: &[&str] = &[
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "flocker",
    "downwardAPI",
    "fc",
    "azureFile",
    "configMap",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "projected",
    "portworxVolume",
    "scaleIO",
    "storageos",
    "csi",
    "ephemeral",
    "image",
];

const SOURCE: &[Rule] = &[
    Only(
        SOURCES,
        Limit { several: "may not specify more than 1 volume type", none: "must specify a volume type" },
    ),
    In("hostPath", &[Required("path", "")]),
    In("secret", &[Required("secretName", ""), Code(mode), Each("items", ITEM)]),
    In("nfs", &[Required("server", ""), Required("path", "")]),
    In("persistentVolumeClaim", &[Required("claimName", "")]),
    In("downwardAPI", &[Code(mode)]),
    In("configMap", &[Required("name", ""), Code(mode), Each("items", ITEM)]),
    In("projected", &[Code(mode)]),
    In("csi", &[Required("driver", "")]),
];

const ITEM: &[Rule] = &[Required("key", ""), Required("path", "")];

/// Only a volume without faults can be mounted.
fn volumes(w: &mut Walk<'_>, spec: &Value, path: &str) {
    w.volumes.clear();
    for (i, volume) in spec["volumes"].as_array().into_iter().flatten().enumerate() {
        let at = format!("{path}.volumes[{i}]");
        let before = w.out.len();
        w.apply(SOURCE, volume, &at);
        w.apply(const { &[Required("name", ""), Text("name", names::label)] }, volume, &at);
        let name = text(volume, "name").to_owned();
        if w.volumes.contains(&name) {
            w.out.push(Cause::duplicate(join(&at, "name"), &json!(name)));
        }
        if w.out.len() == before {
            w.volumes.insert(name);
        }
    }
}

fn mode(w: &mut Walk<'_>, source: &Value, path: &str) {
    if let Some(n) = source["defaultMode"].as_i64().filter(|n| !(0..=0o777).contains(n)) {
        let why = "must be a number between 0 and 0777 (octal), both inclusive";
        w.invalid(join(path, "defaultMode"), &json!(n), why);
    }
}

fn containers(w: &mut Walk<'_>, spec: &Value, path: &str) {
    w.apply(const { &[Required("containers", "")] }, spec, path);
    let (all, at) = (list(spec, "containers"), join(path, "containers"));
    let mut seen: Vec<&str> = Vec::new();
    for (i, container) in all.iter().enumerate() {
        let at = format!("{at}[{i}]");
        w.apply(COMMON, container, &at);
        unique(w, container, &mut seen, &at);
        w.apply(RUNNING, container, &at);
    }
    host_ports(w, all, &at);
    images(w, all, &at);
}

/// Init containers share the names of the others. Those that go on beside them are containers like the others.
fn init_containers(w: &mut Walk<'_>, spec: &Value, path: &str) {
    let (all, at) = (list(spec, "initContainers"), join(path, "initContainers"));
    let mut seen: Vec<&str> = list(spec, "containers").iter().map(|c| text(c, "name")).collect();
    for (i, container) in all.iter().enumerate() {
        let at = format!("{at}[{i}]");
        w.apply(COMMON, container, &at);
        unique(w, container, &mut seen, &at);
        // Each runs alone, and its ports have the path of the first.
        host_ports(w, std::slice::from_ref(container), &join(path, "initContainers"));
        if text(container, "restartPolicy") == "Always" {
            w.apply(RUNNING, container, &at);
            continue;
        }
        for key in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if present(container, key).is_some() {
                let why = "may not be set for init containers without restartPolicy=Always";
                w.out.push(Cause::forbidden(join(&at, key), why));
            }
        }
    }
    images(w, all, &at);
}

fn unique<'a>(w: &mut Walk<'_>, container: &'a Value, seen: &mut Vec<&'a str>, path: &str) {
    let name = text(container, "name");
    if !name.is_empty() && seen.contains(&name) {
        w.out.push(Cause::duplicate(join(path, "name"), &json!(name)));
    }
    seen.push(name);
}

/// A port of the node is taken once (AccumulateUniqueHostPorts).
fn host_ports(w: &mut Walk<'_>, containers: &[Value], path: &str) {
    let mut seen = Vec::new();
    for (i, container) in containers.iter().enumerate() {
        for (j, port) in list(container, "ports").iter().enumerate() {
            let Some(number) = port["hostPort"].as_i64().filter(|n| *n != 0) else { continue };
            let taken = format!("{}/{}/{number}", text(port, "protocol"), text(port, "hostIP"));
            if seen.contains(&taken) {
                w.out.push(Cause::duplicate(format!("{path}[{i}].ports[{j}].hostPort"), &json!(taken)));
            }
            seen.push(taken);
        }
    }
}

/// Templates may hold placeholders; the image of a pod is taken as it is written.
fn images(w: &mut Walk<'_>, containers: &[Value], path: &str) {
    for (i, container) in containers.iter().enumerate().filter(|_| w.object["kind"] == "Pod") {
        let image = text(container, "image");
        if image.trim() != image {
            let why = "must not have leading or trailing whitespace";
            w.invalid(format!("{path}[{i}].image"), &json!(image), why);
        }
    }
}

fn headers(w: &mut Walk<'_>, action: &Value, path: &str) {
    for header in list(action, "httpHeaders") {
        let name = text(header, "name");
        if name.is_empty() || !name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') {
            let why = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex \
                       used for validation is '[-A-Za-z0-9]+')";
            w.invalid(join(path, "httpHeaders"), &json!(name), why);
        }
    }
}

fn handler(w: &mut Walk<'_>, probe: &Value, path: &str) {
    w.apply(ACTION, probe, path);
}

fn container_port(w: &mut Walk<'_>, port: &Value, path: &str) {
    match port["containerPort"].as_i64().unwrap_or(0) {
        0 => w.out.push(Cause::required(join(path, "containerPort"), "")),
        _ => w.apply(const { &[Within("containerPort", 1, 65535)] }, port, path),
    }
}

fn host_port(w: &mut Walk<'_>, port: &Value, path: &str) {
    if port["hostPort"].as_i64().unwrap_or(0) != 0 {
        w.apply(const { &[Within("hostPort", 1, 65535)] }, port, path);
    }
}

/// IsEnvVarName as 1.34 relaxed it.
fn env_name(name: &str) -> Vec<String> {
    let ok = name.bytes().all(|c| (0x20..0x7f).contains(&c) && c != b'=');
    let why =
        "a valid environment variable name must consist only of printable ASCII characters other than '='";
    if ok { Vec::new() } else { vec![why.to_owned()] }
}

fn value_from(w: &mut Walk<'_>, env: &Value, path: &str) {
    let Some(from) = present(env, "valueFrom") else { return };
    let at = join(path, "valueFrom");
    if let Some(field) = present(from, "fieldRef") {
        field_ref(w, field, &join(&at, "fieldRef"));
    }
    w.apply(
        const {
            &[
                In("resourceFieldRef", &[Required("resource", "")]),
                In("configMapKeyRef", KEY_REF),
                In("secretKeyRef", KEY_REF),
                In("fileKeyRef", &[Required("volumeName", ""), Required("path", ""), Required("key", "")]),
            ]
        },
        from,
        &at,
    );
    let kinds = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];
    let why = match kinds.iter().filter(|k| present(from, k).is_some()).count() {
        0 => {
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        }
        _ if !text(env, "value").is_empty() => "may not be specified when `value` is not empty",
        1 => return,
        _ => "may not have more than one field specified at a time",
    };
    w.invalid(at, &json!(""), why);
}

const KEY_REF: &[Rule] = &[
    Required("name", ""),
    Required("key", ""),
    Text("key", |k| super::config::key(k).into_iter().collect()),
];

/// Fields of a pod the downward API knows, and those it offers to an environment.
const KNOWN: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
    "status.nominatedNodeName",
];
const OFFERED: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

fn field_ref(w: &mut Walk<'_>, field: &Value, path: &str) {
    let name = text(field, "fieldPath");
    let at = join(path, "fieldPath");
    let subscript = name.starts_with("metadata.labels['") || name.starts_with("metadata.annotations['");
    if name.is_empty() {
        w.out.push(Cause::required(at, ""));
    } else if !KNOWN.contains(&name) && !subscript {
        let why = format!("error converting fieldPath: field label not supported: {name}");
        w.invalid(at, &json!(name), &why);
    } else if !OFFERED.contains(&name) && !subscript {
        w.out.push(Cause::not_supported(at, &json!(name), OFFERED));
    }
}

fn env_from(w: &mut Walk<'_>, container: &Value, path: &str) {
    let at = join(path, "envFrom");
    for (i, source) in container["envFrom"].as_array().into_iter().flatten().enumerate() {
        w.apply(
            const {
                &[
                    Text("prefix", env_name),
                    In("configMapRef", &[Required("name", "")]),
                    In("secretRef", &[Required("name", "")]),
                ]
            },
            source,
            &format!("{at}[{i}]"),
        );
        let why = match ["configMapRef", "secretRef"].iter().filter(|k| present(source, k).is_some()).count()
        {
            0 => "must specify one of: `configMapRef` or `secretRef`",
            1 => continue,
            _ => "may not have more than one field specified at a time",
        };
        w.invalid(at.clone(), &json!(""), why);
    }
}

fn mounts(w: &mut Walk<'_>, container: &Value, path: &str) {
    let mut points: Vec<&str> = Vec::new();
    for (i, mount) in container["volumeMounts"].as_array().into_iter().flatten().enumerate() {
        let at = format!("{path}.volumeMounts[{i}]");
        let (name, point) = (text(mount, "name"), text(mount, "mountPath"));
        if name.is_empty() {
            w.out.push(Cause::required(join(&at, "name"), ""));
        }
        if !w.volumes.contains(name) {
            w.out.push(Cause::not_found(join(&at, "name"), &json!(name)));
        }
        if point.is_empty() {
            w.out.push(Cause::required(join(&at, "mountPath"), ""));
        }
        if points.contains(&point) {
            w.invalid(join(&at, "mountPath"), &json!(point), "must be unique");
        }
        points.push(point);
        sub_path(w, mount, &at);
    }
}

fn sub_path(w: &mut Walk<'_>, mount: &Value, at: &str) {
    let (plain, expression) = (text(mount, "subPath"), text(mount, "subPathExpr"));
    for (key, value) in [("subPath", plain), ("subPathExpr", expression)] {
        if value.starts_with('/') {
            w.invalid(join(at, key), &json!(value), "must be a relative path");
        }
        if value.split('/').any(|s| s == "..") {
            w.invalid(join(at, key), &json!(value), "must not contain '..'");
        }
    }
    if !plain.is_empty() && !expression.is_empty() {
        w.invalid(
            join(at, "subPathExpr"),
            &json!(expression),
            "subPathExpr and subPath are mutually exclusive",
        );
    }
}

/// Of Kubernetes itself: `kubernetes.io/..` and what is below it.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// validateContainerResourceName.
pub(super) fn resource_name(w: &mut Walk<'_>, name: &str, path: &str) {
    let shown = json!(name);
    let wrong = names::qualified_all(name);
    for why in &wrong {
        w.invalid(path.to_owned(), &shown, why);
    }
    if name.contains('/') {
        // A request for it must have a name in quotas, too.
        let is_extended =
            !name.starts_with("requests.") && names::qualified(&format!("requests.{name}")).is_none();
        if !is_native(name) && !is_extended {
            w.invalid(path.to_owned(), &shown, "doesn't follow extended resource name standard");
        }
        return;
    }
    if matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-") {
        return;
    }
    if wrong.is_empty() && !quota::is_standard(name) && name != "storage" {
        w.invalid(path.to_owned(), &shown, "must be a standard resource type or fully qualified");
    }
    w.invalid(path.to_owned(), &shown, "must be a standard resource for containers");
}

/// Amounts are not negative, and a request stays below its limit.
fn resources(w: &mut Walk<'_>, resources: &Value, path: &str) {
    let amount = |v: &Value| {
        let text = v.as_str().map_or_else(|| v.to_string(), str::to_owned);
        quantity_nanos(&text).map(|n| (n, text))
    };
    for list in ["limits", "requests"] {
        for (name, v) in resources[list].as_object().into_iter().flatten() {
            resource_name(w, name, &format!("{path}.{list}[{name}]"));
            let Some((n, shown)) = amount(v) else { continue };
            let limit = if list == "requests" { amount(&resources["limits"][name]) } else { None };
            let is_extended = name.contains('/') && !is_native(name);
            let at = format!("{path}.{list}[{name}]");
            if n < 0 {
                w.invalid(at.clone(), &json!(shown), "must be greater than or equal to 0");
            }
            if is_extended && n % 1_000_000_000 != 0 {
                w.invalid(at, &json!(shown), "must be an integer");
            }
            match limit {
                Some((l, most)) if n != l && (is_extended || name.starts_with("hugepages-")) => {
                    let why = format!("must be equal to {name} limit of {most}");
                    w.invalid(join(path, "requests"), &json!(shown), &why);
                }
                Some((l, most)) if n > l => {
                    let why = format!("must be less than or equal to {name} limit of {most}");
                    w.invalid(join(path, "requests"), &json!(shown), &why);
                }
                None if list == "requests" && (is_extended || name.starts_with("hugepages-")) => {
                    let why = "Limit must be set for non overcommitable resources";
                    w.out.push(Cause::required(join(path, "limits"), why));
                }
                _ => {}
            }
        }
    }
}

fn toleration(w: &mut Walk<'_>, t: &Value, path: &str) {
    let (key, operator, value) = (text(t, "key"), text(t, "operator"), text(t, "value"));
    if key.is_empty() && operator != "Exists" {
        let why =
            "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        w.invalid(join(path, "operator"), &json!(operator), why);
    }
    if !is_empty(&t["tolerationSeconds"]) && text(t, "effect") != "NoExecute" {
        let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        w.invalid(join(path, "effect"), &t["effect"], why);
    }
    match operator {
        "" | "Equal" => {
            if let Some(why) = names::label_value(value) {
                w.invalid(join(path, "operator"), &json!(value), &why);
            }
        }
        "Exists" if !value.is_empty() => {
            w.invalid(join(path, "operator"), t, "value must be empty when `operator` is 'Exists'");
        }
        "Exists" => {}
        other => {
            w.out.push(Cause::not_supported(join(path, "operator"), &json!(other), &["Equal", "Exists"]));
        }
    }
}
