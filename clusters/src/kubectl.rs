//! What happens once there is a kubeconfig, by kubectl: waiting, CRDs, workloads, a name for this machine. Pure: calls,
//! manifests, and the reading of answers.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::call::Call;
use crate::file::{ClusterFile, Ingress, S3};
use crate::problem::{Problem, Trouble};
use crate::record::LABEL;

/// Where everything goes that `up` adds to a cluster.
pub const NAMESPACE: &str = "drey-system";

/// Apache's CRDs with the extensions of ours, as an operator's chart installs them.
const CRDS: &[&str] = &[
    include_str!("../../deploy/crds/flinkdeployments.flink.apache.org-v1.yml"),
    include_str!("../../deploy/crds/flinksessionjobs.flink.apache.org-v1.yml"),
    include_str!("../../deploy/crds/flinkstatesnapshots.flink.apache.org-v1.yml"),
];
const CRD: &str = "flinkdeployments.flink.apache.org";
const CRD_VERSION: &str = "v1beta1";

const APPLYING: Duration = Duration::from_secs(120);
/// One question to an API server that may not be there.
const REQUEST: &str = "--request-timeout=10s";

/// A cluster that can be talked to: our file, one context in it.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    pub kubeconfig: &'a Path,
    pub context: &'a str,
}

impl Access<'_> {
    fn call<S: Into<String>>(self, args: impl IntoIterator<Item = S>) -> Call {
        let base = Call::new("kubectl", ["--kubeconfig"]).path(self.kubeconfig);
        let mut call = base.arg("--context").arg(self.context);
        call.args.extend(args.into_iter().map(Into::into));
        call
    }

    pub fn ready(self) -> Call {
        self.call(["get", "--raw", "/readyz", REQUEST])
    }

    pub fn version(self) -> Call {
        self.call(["get", "--raw", "/version", REQUEST])
    }

    pub fn apply(self, manifest: &str) -> Call {
        let args = ["apply", "--server-side", "--field-manager=drey", REQUEST, "-f", "-"];
        self.call(args).stdin(manifest).within(APPLYING)
    }

    pub fn rollout(self, deployment: &str, wait: Duration) -> Call {
        let timeout = format!("--timeout={}s", wait.as_secs());
        let name = format!("deployment/{deployment}");
        self.call(["-n", NAMESPACE, "rollout", "status", &name, &timeout]).within(wait + APPLYING)
    }

    /// Prints nothing when there is no such CRD.
    pub fn crd(self) -> Call {
        self.call(["get", "crd", CRD, "--ignore-not-found", "-o", "json", REQUEST])
    }

    pub fn crds_established(self, wait: Duration) -> Call {
        let timeout = format!("--timeout={}s", wait.as_secs());
        self.call(["wait", "--for=condition=Established", &timeout, &format!("crd/{CRD}")])
            .within(wait + APPLYING)
    }

    /// Everything of ours but the CRDs: with them all FlinkDeployments of the cluster would go.
    pub fn remove(self, cluster: &str) -> Call {
        let kinds = "ingressclasses,clusterrolebindings,clusterroles,namespaces";
        let label = format!("{LABEL}={cluster}");
        self.call(["delete", kinds, "-l", &label, "--ignore-not-found", "--wait=true"]).within(APPLYING * 2)
    }
}

pub fn current_context(kubeconfig: Option<&Path>) -> Call {
    with_file(Call::new("kubectl", ["config", "current-context"]), kubeconfig)
}

/// One context of a kubeconfig with its keys, as a file of its own.
pub fn extract(kubeconfig: Option<&Path>, context: &str) -> Call {
    let args = ["config", "view", "--raw", "--minify", "--flatten", "--context", context];
    with_file(Call::new("kubectl", args), kubeconfig)
}

fn with_file(call: Call, kubeconfig: Option<&Path>) -> Call {
    match kubeconfig {
        Some(file) => call.arg("--kubeconfig").path(file),
        None => call,
    }
}

/// Two kubeconfigs as one; of equal names the first file's wins.
pub fn merged(first: &Path, second: &Path) -> Call {
    let list = format!("{}:{}", first.display(), second.display());
    Call::new("kubectl", ["config", "view", "--raw", "--flatten"]).env("KUBECONFIG", list)
}

/// Takes a context with its cluster and user out of a kubeconfig. kind and k3d name them alike but for k3d's user.
pub fn unmerge(kubeconfig: &Path, context: &str) -> Vec<Call> {
    let user = if context.starts_with("k3d-") { format!("admin@{context}") } else { context.to_owned() };
    let call = |word: &str, name: &str| {
        Call::new("kubectl", ["config", word, name, "--kubeconfig"]).path(kubeconfig)
    };
    vec![call("delete-context", context), call("delete-cluster", context), call("delete-user", &user)]
}

pub fn crds() -> String {
    CRDS.join("\n---\n")
}

/// What [`Access::crd`] printed: a CRD without our version would lose its objects if ours were put over it.
pub fn check_crd(text: &str) -> Result<(), Problem> {
    if text.trim().is_empty() {
        return Ok(());
    }
    let crd: Value = serde_json::from_str(text).unwrap_or_default();
    let versions = crd["spec"]["versions"].as_array().into_iter().flatten();
    let names: Vec<&str> = versions.filter_map(|version| version["name"].as_str()).collect();
    if names.contains(&CRD_VERSION) {
        return Ok(());
    }
    let why =
        format!("the cluster has CRD {CRD} in version {}, and we bring {CRD_VERSION}", names.join(", "));
    let next =
        "remove that CRD and its objects if nobody needs them, write `crds: false`, or use another cluster";
    Err(Problem::new(Trouble::CrdVersion, "install the CRDs", why, next))
}

pub fn namespace(file: &ClusterFile) -> String {
    filled(include_str!("../manifests/namespace.yaml"), file, &[])
}

/// k3s writes `true` into the label of its servers, kubeadm nothing.
pub fn ingress(file: &ClusterFile, ingress: &Ingress, is_k3s: bool) -> String {
    let control_plane = if is_k3s { "\"true\"" } else { "\"\"" };
    let values = [("__IMAGE__", ingress.image.as_str()), ("__CONTROL_PLANE__", control_plane)];
    filled(include_str!("../manifests/ingress.yaml"), file, &values)
}

pub fn s3(file: &ClusterFile, s3: &S3) -> String {
    let values = [("__IMAGE__", s3.image.as_str()), ("__BUCKET__", s3.bucket.as_str())];
    filled(include_str!("../manifests/s3.yaml"), file, &values)
}

fn filled(template: &str, file: &ClusterFile, values: &[(&str, &str)]) -> String {
    let named = template.replace("__NAME__", &file.name);
    values.iter().fold(named, |text, (key, value)| text.replace(key, value))
}

/// How pods reach this machine.
#[derive(Clone, Debug, PartialEq)]
pub enum HostAddress {
    /// A name that the cluster's DNS knows already.
    Name(&'static str),
    /// The gateway of the containers' network.
    Gateway(Ipv4Addr),
}

/// `host.drey-system` leads to this machine, whatever the provider calls it.
pub fn host_service(file: &ClusterFile, address: &HostAddress) -> String {
    let label = format!("{LABEL}: {}", file.name);
    let head = |kind: &str, version: &str, labels: &str| {
        format!(
            "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: host, namespace: {NAMESPACE}, labels: {{{label}{labels}}}}}\n"
        )
    };
    match address {
        HostAddress::Name(name) => {
            format!("{}spec: {{type: ExternalName, externalName: {name}}}\n", head("Service", "v1", ""))
        }
        // Without a port the service is headless: its name is the address, on any port.
        HostAddress::Gateway(address) => format!(
            "{}spec: {{clusterIP: None}}\n---\n{}addressType: IPv4\nendpoints: [{{addresses: [{address}], conditions: {{ready: true}}}}]\nports: []\n",
            head("Service", "v1", ""),
            head("EndpointSlice", "discovery.k8s.io/v1", ", kubernetes.io/service-name: host"),
        ),
    }
}

/// The IPv4 gateway in what `docker network inspect` prints; there is an IPv6 one beside it.
pub fn gateway(text: &str) -> Option<Ipv4Addr> {
    let networks: Value = serde_json::from_str(text).ok()?;
    let configs = networks[0]["IPAM"]["Config"].as_array()?;
    configs.iter().filter_map(|config| config["Gateway"].as_str()).find_map(|address| address.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use drey_yaml::Source;
    use drey_yaml::tree::parse_documents;
    use serde_json::json;

    fn documents(text: &str) -> Vec<Value> {
        let documents = parse_documents(&Source::new("manifest", text)).expect("YAML");
        documents.iter().map(|document| document.to_json()).collect()
    }

    #[test]
    fn this_machine_has_a_name_in_the_cluster() {
        let file = ClusterFile::default();
        let named = documents(&host_service(&file, &HostAddress::Name("host.k3d.internal")));
        assert_eq!(named[0]["spec"], json!({"type": "ExternalName", "externalName": "host.k3d.internal"}));
        let by_address = documents(&host_service(&file, &HostAddress::Gateway(Ipv4Addr::new(172, 18, 0, 1))));
        assert_eq!(by_address[0]["spec"], json!({"clusterIP": "None"}));
        assert_eq!(by_address[1]["endpoints"][0]["addresses"], json!(["172.18.0.1"]));
        assert_eq!(by_address[1]["metadata"]["labels"]["kubernetes.io/service-name"], "host");
    }

    /// As recorded: an IPv6 network without a gateway beside the IPv4 one.
    #[test]
    fn the_gateway_of_kinds_network() {
        let text = include_str!("../tests/recordings/docker/network-kind-inspect.json");
        assert_eq!(gateway(text), Some(Ipv4Addr::new(172, 18, 0, 1)));
        assert_eq!(gateway("[]"), None);
    }

    #[test]
    fn manifests_are_filled_and_carry_our_label() {
        let file = ClusterFile { name: "x".to_owned(), ..ClusterFile::default() };
        let ingress = Ingress { port: 1, image: "traefik:v3".to_owned() };
        let store = S3 { bucket: "b-1".to_owned(), image: "minio:1".to_owned() };
        for text in [namespace(&file), super::ingress(&file, &ingress, true), s3(&file, &store)] {
            assert!(!text.contains("__"), "{text}");
            for object in documents(&text) {
                assert_eq!(object["metadata"]["labels"][LABEL], "x", "{object}");
            }
        }
        assert_eq!(documents(&crds()).len(), CRDS.len());
    }
}
