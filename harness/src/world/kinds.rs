//! Kinds a scenario may name, and where their objects live.

use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// One kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindInfo {
    pub kind: &'static str,
    pub group: &'static str,
    pub version: &'static str,
    pub plural: &'static str,
    pub is_namespaced: bool,
}

const fn kind(
    kind: &'static str,
    group: &'static str,
    version: &'static str,
    plural: &'static str,
) -> KindInfo {
    KindInfo { kind, group, version, plural, is_namespaced: true }
}

const fn cluster_kind(
    kind: &'static str,
    group: &'static str,
    version: &'static str,
    plural: &'static str,
) -> KindInfo {
    KindInfo { kind, group, version, plural, is_namespaced: false }
}

const FLINK: &str = "flink.apache.org";
const RBAC: &str = "rbac.authorization.k8s.io";

pub const KINDS: &[KindInfo] = &[
    kind("FlinkDeployment", FLINK, "v1beta1", "flinkdeployments"),
    kind("FlinkSessionJob", FLINK, "v1beta1", "flinksessionjobs"),
    kind("FlinkStateSnapshot", FLINK, "v1beta1", "flinkstatesnapshots"),
    kind("ConfigMap", "", "v1", "configmaps"),
    kind("CronJob", "batch", "v1", "cronjobs"),
    kind("DaemonSet", "apps", "v1", "daemonsets"),
    kind("Deployment", "apps", "v1", "deployments"),
    kind("Endpoints", "", "v1", "endpoints"),
    kind("EndpointSlice", "discovery.k8s.io", "v1", "endpointslices"),
    kind("Event", "", "v1", "events"),
    kind("Ingress", "networking.k8s.io", "v1", "ingresses"),
    kind("Job", "batch", "v1", "jobs"),
    kind("Lease", "coordination.k8s.io", "v1", "leases"),
    kind("PersistentVolumeClaim", "", "v1", "persistentvolumeclaims"),
    kind("Pod", "", "v1", "pods"),
    kind("PodDisruptionBudget", "policy", "v1", "poddisruptionbudgets"),
    kind("ReplicaSet", "apps", "v1", "replicasets"),
    kind("ResourceQuota", "", "v1", "resourcequotas"),
    kind("Role", RBAC, "v1", "roles"),
    kind("RoleBinding", RBAC, "v1", "rolebindings"),
    kind("Secret", "", "v1", "secrets"),
    kind("Service", "", "v1", "services"),
    kind("ServiceAccount", "", "v1", "serviceaccounts"),
    kind("StatefulSet", "apps", "v1", "statefulsets"),
    cluster_kind("ClusterRole", RBAC, "v1", "clusterroles"),
    cluster_kind("ClusterRoleBinding", RBAC, "v1", "clusterrolebindings"),
    cluster_kind("CustomResourceDefinition", "apiextensions.k8s.io", "v1", "customresourcedefinitions"),
    cluster_kind("Namespace", "", "v1", "namespaces"),
    cluster_kind("Node", "", "v1", "nodes"),
    cluster_kind("PersistentVolume", "", "v1", "persistentvolumes"),
];

/// Kinds of the CRDs that scenarios bring along, each kept once for as long as the process lives.
static DECLARED: Mutex<Vec<&'static KindInfo>> = Mutex::new(Vec::new());

/// Makes the kind of a CRD known. The reader of scenarios has seen that it has what is needed.
pub fn declare(crd: &Value) -> anyhow::Result<()> {
    let text = |pointer: &str| crd.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (kind, group) = (text("/spec/names/kind"), text("/spec/group"));
    if let Some(known) = find(kind) {
        anyhow::ensure!(
            known.group == group,
            "declare kind {kind} of {group}: another scenario or the harness itself knows {kind} of `{}`\nnext: run them apart",
            known.group
        );
        return Ok(());
    }
    let leak = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
    let info = KindInfo {
        kind: leak(kind),
        group: leak(group),
        version: leak(stored_version(crd)),
        plural: leak(text("/spec/names/plural")),
        is_namespaced: text("/spec/scope") != "Cluster",
    };
    DECLARED.lock().unwrap_or_else(PoisonError::into_inner).push(Box::leak(Box::new(info)));
    Ok(())
}

fn stored_version(crd: &Value) -> &str {
    let versions = crd["spec"]["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let stored = versions.iter().find(|version| version["storage"] == true).or(versions.first());
    stored.and_then(|version| version["name"].as_str()).unwrap_or_default()
}

/// The kinds of Flink, which the language does not know by itself.
pub fn flink_kinds() -> impl Iterator<Item = &'static str> {
    KINDS.iter().filter(|info| info.group == FLINK).map(|info| info.kind)
}

pub fn find(kind: &str) -> Option<&'static KindInfo> {
    KINDS.iter().find(|info| info.kind == kind).or_else(|| {
        let declared = DECLARED.lock().unwrap_or_else(PoisonError::into_inner);
        declared.iter().copied().find(|info| info.kind == kind)
    })
}

pub fn by_plural(group: &str, plural: &str) -> Option<&'static KindInfo> {
    KINDS.iter().find(|info| info.plural == plural && info.group == group)
}

impl KindInfo {
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The collection's path: `/apis/apps/v1/namespaces/default/deployments`.
    pub fn path(&self, namespace: &str) -> String {
        let root = if self.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", self.group) };
        if self.is_namespaced && !namespace.is_empty() {
            format!("{root}/{}/namespaces/{namespace}/{}", self.version, self.plural)
        } else {
            format!("{root}/{}/{}", self.version, self.plural)
        }
    }
}
