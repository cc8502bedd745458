//! The roles and bindings a cluster starts with: those for people and their tools (kube-api.md 2.15).
//!
//! Rights as in the policy of a real 1.35. Left out: the roles of components (`system:kube-scheduler`,
//! `system:controller:*`), which here are code in the server's own process.

use serde_json::{Value, json};

use crate::local::LocalClient;
use crate::resource::Resource;
use crate::status::Result;

const READ: &str = "get list watch";
const WRITE: &str = "create delete deletecollection patch update";
const READ_WRITE: &str = "create delete deletecollection get list patch update watch";

const WORKLOADS: &str = "daemonsets deployments deployments/scale replicasets replicasets/scale statefulsets \
                         statefulsets/scale";

/// Name, the role it is aggregated to, and rules: groups, resources, verbs. The core group is `core`.
type Table = &'static [(&'static str, &'static str, &'static [(&'static str, &'static str, &'static str)])];

const ROLES: Table = &[
    (
        "system:aggregate-to-admin",
        "admin",
        &[
            ("authorization.k8s.io", "localsubjectaccessreviews", "create"),
            ("rbac.authorization.k8s.io", "rolebindings roles", READ_WRITE),
        ],
    ),
    (
        "system:aggregate-to-edit",
        "edit",
        &[
            ("core", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy", READ),
            ("core", "serviceaccounts", "impersonate"),
            ("core", "pods pods/attach pods/exec pods/portforward pods/proxy", WRITE),
            ("core", "pods/eviction", "create"),
            (
                "core",
                "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets \
                 serviceaccounts services services/proxy",
                WRITE,
            ),
            ("core", "serviceaccounts/token", "create"),
            ("apps", WORKLOADS, WRITE),
            ("apps", "deployments/rollback", WRITE),
            ("autoscaling", "horizontalpodautoscalers", WRITE),
            ("batch", "cronjobs jobs", WRITE),
            ("policy", "poddisruptionbudgets", WRITE),
            ("networking.k8s.io", "ingresses networkpolicies", WRITE),
            ("coordination.k8s.io", "leases", READ_WRITE),
        ],
    ),
    (
        "system:aggregate-to-view",
        "view",
        &[
            (
                "core",
                "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers \
                 replicationcontrollers/scale serviceaccounts services services/status",
                READ,
            ),
            (
                "core",
                "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status \
                 resourcequotas resourcequotas/status",
                READ,
            ),
            ("core", "namespaces", READ),
            ("discovery.k8s.io", "endpointslices", READ),
            ("apps", WORKLOADS, READ),
            (
                "apps",
                "controllerrevisions daemonsets/status deployments/status replicasets/status statefulsets/status",
                READ,
            ),
            ("autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status", READ),
            ("batch", "cronjobs cronjobs/status jobs jobs/status", READ),
            ("policy", "poddisruptionbudgets poddisruptionbudgets/status", READ),
            ("networking.k8s.io", "ingresses ingresses/status networkpolicies", READ),
        ],
    ),
    (
        "system:basic-user",
        "",
        &[
            ("authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews", "create"),
            ("authentication.k8s.io", "selfsubjectreviews", "create"),
        ],
    ),
];

/// Roles about paths.
const PATHS: &[(&str, &str)] = &[
    (
        "system:discovery",
        "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/",
    ),
    ("system:monitoring", "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*"),
    ("system:public-info-viewer", "/healthz /livez /readyz /version /version/"),
];

/// Roles made of those labelled for them.
const AGGREGATED: &[(&str, &[&str])] =
    &[("admin", &["admin", "edit", "view"]), ("edit", &["edit", "view"]), ("view", &["view"])];

/// Bindings of roles to groups, under the role's name.
const BINDINGS: &[(&str, &[&str])] = &[
    ("cluster-admin", &["system:masters"]),
    ("system:basic-user", &["system:authenticated"]),
    ("system:discovery", &["system:authenticated"]),
    ("system:monitoring", &["system:monitoring"]),
    ("system:public-info-viewer", &["system:authenticated", "system:unauthenticated"]),
];

const GROUP: &str = "rbac.authorization.k8s.io";

/// Creates what is not there yet.
pub(crate) fn install(client: &LocalClient) -> Result<()> {
    for role in roles() {
        create(client, "clusterroles", role)?;
    }
    for (name, groups) in BINDINGS {
        let subjects: Vec<Value> =
            groups.iter().map(|g| json!({"apiGroup": GROUP, "kind": "Group", "name": g})).collect();
        let mut binding = named("ClusterRoleBinding", name);
        binding["roleRef"] = json!({"apiGroup": GROUP, "kind": "ClusterRole", "name": name});
        binding["subjects"] = json!(subjects);
        create(client, "clusterrolebindings", binding)?;
    }
    Ok(())
}

fn create(client: &LocalClient, plural: &str, object: Value) -> Result<()> {
    match client.create(&Resource::new(GROUP, "v1", plural), "", object) {
        Err(e) if !e.is_already_exists() => Err(e),
        _ => Ok(()),
    }
}

fn roles() -> Vec<Value> {
    let mut all = named("ClusterRole", "cluster-admin");
    all["rules"] = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["*"], "verbs": ["*"]}]);
    let mut out = vec![all];
    for (name, target, rules) in ROLES {
        let mut role = named("ClusterRole", name);
        if !target.is_empty() {
            role["metadata"]["labels"][label(target)] = json!("true");
        }
        role["rules"] = rules.iter().map(|(group, resources, verbs)| rule(group, resources, verbs)).collect();
        out.push(role);
    }
    for (name, paths) in PATHS {
        let mut role = named("ClusterRole", name);
        role["rules"] = json!([{"nonResourceURLs": words(paths), "verbs": ["get"]}]);
        out.push(role);
    }
    for (name, parts) in AGGREGATED {
        let mut role = named("ClusterRole", name);
        if *name != "admin" {
            // `edit` is part of `admin`, `view` of both.
            let into = if *name == "edit" { "admin" } else { "edit" };
            role["metadata"]["labels"][label(into)] = json!("true");
        }
        role["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {(label(name)): "true"}}]});
        // What the aggregating controller makes of it.
        let sources = ROLES.iter().filter(|(_, target, _)| parts.contains(target));
        role["rules"] = sources.flat_map(|(_, _, r)| r.iter()).map(|(g, r, v)| rule(g, r, v)).collect();
        out.push(role);
    }
    out
}

fn rule(group: &str, resources: &str, verbs: &str) -> Value {
    let group = if group == "core" { "" } else { group };
    json!({"apiGroups": [group], "resources": words(resources), "verbs": words(verbs)})
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn label(role: &str) -> String {
    format!("{GROUP}/aggregate-to-{role}")
}

fn named(kind: &str, name: &str) -> Value {
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": {"name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"}}})
}
