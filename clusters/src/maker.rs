//! kind and k3d, the tools that make nodes of containers: what they are called with, and how their answers are read.
//! Pure: nothing is run here. Facts: `docs/clusters.md`, section "What was seen of the tools".

use std::time::Duration;

use serde_json::{Value, json};

use crate::call::Call;
use crate::engine::Engine;
use crate::file::ClusterFile;
use crate::host::Place;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    Kind,
    K3d,
}

/// What a tool knows of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Absent,
    Stopped,
    /// Nodes are there; kind does not say whether they run.
    There,
}

/// Beside what one waits for readiness: pulling images, and stopping.
const PULLING: Duration = Duration::from_secs(900);
const CHANGING: Duration = Duration::from_secs(300);
/// Port of the registry inside its container.
const REGISTRY_PORT: u16 = 5000;
const REGISTRY_IMAGE: &str = "registry:2";

impl Maker {
    pub fn program(self) -> &'static str {
        match self {
            Maker::Kind => "kind",
            Maker::K3d => "k3d",
        }
    }

    /// The oldest release whose flags and configuration are those used here.
    pub fn oldest(self) -> (u32, u32) {
        match self {
            Maker::Kind => (0, 20),
            Maker::K3d => (5, 4),
        }
    }

    /// The context's name, which the tool decides.
    pub fn context(self, name: &str) -> String {
        format!("{}-{name}", self.program())
    }

    fn call<S: Into<String>>(self, engine: &Engine, args: impl IntoIterator<Item = S>) -> Call {
        let call = engine.on(Call::new(self.program(), args));
        match self {
            Maker::Kind => call,
            // k3d colours even into pipes unless told.
            Maker::K3d => {
                let call = call.env("LOG_COLORS", "false");
                match engine.socket_for_k3d() {
                    Some(socket) => call.env("DOCKER_SOCK", socket),
                    None => call,
                }
            }
        }
    }

    pub fn version(self) -> Call {
        Call::new(self.program(), ["version"])
    }

    pub fn list(self, engine: &Engine) -> Call {
        match self {
            Maker::Kind => self.call(engine, ["get", "clusters"]),
            Maker::K3d => self.call(engine, ["cluster", "list", "-o", "json"]),
        }
    }

    /// What [`Maker::list`] printed, about one cluster.
    pub fn presence(self, list: &str, name: &str) -> Presence {
        match self {
            Maker::Kind if list.lines().any(|line| line.trim() == name) => Presence::There,
            Maker::Kind => Presence::Absent,
            Maker::K3d => {
                let clusters: Value = serde_json::from_str(list).unwrap_or_default();
                let mut clusters = clusters.as_array().into_iter().flatten();
                match clusters.find(|cluster| cluster["name"] == name) {
                    None => Presence::Absent,
                    Some(cluster) if cluster["serversRunning"] == 0 => Presence::Stopped,
                    Some(_) => Presence::There,
                }
            }
        }
    }

    /// Makes it, reachable on 127.0.0.1 only, and touches no kubeconfig but ours.
    pub fn create(self, file: &ClusterFile, place: &Place, engine: &Engine, api_port: u16) -> Call {
        let wait = format!("{}s", file.wait.as_secs());
        let call = match self {
            Maker::Kind => self
                .call(engine, ["create", "cluster", "--name", &file.name, "--config"])
                .path(&place.kind_config())
                .arg("--kubeconfig")
                .path(&place.kubeconfig())
                .arg("--wait")
                .arg(wait),
            Maker::K3d => self.call(engine, k3d_create(file, api_port, &wait)),
        };
        call.within(file.wait + PULLING).shown()
    }

    /// A cluster that was stopped, as after a restart of the machine.
    pub fn start(self, file: &ClusterFile, engine: &Engine) -> Option<Call> {
        let wait = format!("{}s", file.wait.as_secs());
        match self {
            Maker::Kind => None,
            Maker::K3d => {
                let call = self.call(engine, ["cluster", "start", &file.name, "--timeout", &wait]);
                Some(call.within(file.wait + CHANGING).shown())
            }
        }
    }

    /// Prints a kubeconfig.
    pub fn kubeconfig(self, name: &str, engine: &Engine) -> Call {
        match self {
            Maker::Kind => self.call(engine, ["get", "kubeconfig", "--name", name]),
            Maker::K3d => self.call(engine, ["kubeconfig", "get", name]),
        }
    }

    /// One image per call: given two, one of which is missing, k3d reports success for both.
    pub fn load(self, image: &str, name: &str, engine: &Engine) -> Call {
        let call = match self {
            Maker::Kind => self.call(engine, ["load", "docker-image", image, "--name", name]),
            Maker::K3d => self.call(engine, ["image", "import", image, "-c", name]),
        };
        call.within(PULLING).shown()
    }

    pub fn delete(self, place: &Place, engine: &Engine) -> Call {
        let call = match self {
            Maker::Kind => self
                .call(engine, ["delete", "cluster", "--name", &place.name, "--kubeconfig"])
                .path(&place.kubeconfig()),
            Maker::K3d => self.call(engine, ["cluster", "delete", &place.name]),
        };
        call.within(CHANGING)
    }

    /// What the tool may leave after a deletion, or after a creation that came to nothing: each may be gone already.
    /// kind's network is shared by all its clusters and stays.
    pub fn leftovers(self, name: &str, engine: &Engine) -> Vec<Call> {
        match self {
            Maker::Kind => vec![engine.docker(["rm", "-f", "-v", &registry_name(name)])],
            Maker::K3d => vec![
                engine.docker(["rm", "-f", "-v", &registry_name(name)]),
                engine.docker(["network", "rm", &format!("k3d-{name}")]),
                engine.docker(["volume", "rm", &format!("k3d-{name}-images")]),
            ],
        }
    }

    /// The registry of kind's recipe: its own container, told to every node, told to people by a ConfigMap. k3d makes and
    /// connects its own while it creates.
    pub fn registry(self, file: &ClusterFile, engine: &Engine) -> Vec<Call> {
        let (Maker::Kind, Some(port)) = (self, file.registry) else { return Vec::new() };
        let name = registry_name(&file.name);
        let publish = format!("127.0.0.1:{port}:{REGISTRY_PORT}");
        let label = format!("{}={}", crate::record::LABEL, file.name);
        let run = [
            "run",
            "-d",
            "--restart=unless-stopped",
            "--name",
            &name,
            "--label",
            &label,
            "-p",
            &publish,
            REGISTRY_IMAGE,
        ];
        let mut calls =
            vec![engine.docker(run).within(PULLING), engine.docker(["network", "connect", "kind", &name])];
        calls.extend(kind_nodes(file).map(|node| {
            let folder = format!("/etc/containerd/certs.d/localhost:{port}");
            let hosts = format!("[host.\"http://{name}:{REGISTRY_PORT}\"]\n");
            let script = format!("mkdir -p {folder} && cat > {folder}/hosts.toml");
            engine.docker(["exec", "-i", &node, "sh", "-c", &script]).stdin(hosts)
        }));
        calls
    }
}

/// k3d's and ours: the same name, so that one deletion fits both.
pub fn registry_name(cluster: &str) -> String {
    format!("{cluster}-registry")
}

fn kind_nodes(file: &ClusterFile) -> impl Iterator<Item = String> {
    let workers = (1..=file.workers).map(|n| if n == 1 { "worker".to_owned() } else { format!("worker{n}") });
    std::iter::once("control-plane".to_owned()).chain(workers).map(|role| format!("{}-{role}", file.name))
}

/// kind's configuration file, as JSON, which is YAML.
pub fn kind_config(file: &ClusterFile) -> String {
    let ports = |is_first: bool| -> Value {
        if !is_first {
            return json!([]);
        }
        let ingress = file.ingress.as_ref().map(|ingress| (ingress.port, 80));
        let all = ingress.into_iter().chain(file.ports.iter().map(|port| (port.host, port.node)));
        // Without the address kind publishes to the whole network.
        let mapping = |(host, node): (u16, u16)| json!({"hostPort": host, "containerPort": node, "listenAddress": "127.0.0.1", "protocol": "TCP"});
        all.map(mapping).collect()
    };
    let mounts: Vec<Value> = file
        .mounts
        .iter()
        .map(|mount| json!({"hostPath": mount.host, "containerPath": mount.node, "readOnly": mount.is_read_only}))
        .collect();
    let node = |role: &str, is_first: bool| {
        let mut node = json!({"role": role, "extraPortMappings": ports(is_first), "extraMounts": mounts});
        if let Some(image) = &file.node_image {
            node["image"] = json!(image);
        }
        node
    };
    let workers = (0..file.workers).map(|_| node("worker", false));
    let mut config = json!({
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {"apiServerAddress": "127.0.0.1"},
        "nodes": std::iter::once(node("control-plane", true)).chain(workers).collect::<Vec<_>>(),
    });
    if let Some(port) = file.api_port {
        config["networking"]["apiServerPort"] = json!(port);
    }
    if file.registry.is_some() {
        // The key of containerd 2, which nodes since kind 0.27 run.
        let patch = "[plugins.\"io.containerd.cri.v1.images\".registry]\n  config_path = \"/etc/containerd/certs.d\"\n";
        config["containerdConfigPatches"] = json!([patch]);
    }
    format!("{config:#}\n")
}

/// k3d takes everything by flags. Its default API address is 0.0.0.0 and its default wait endless: both are said.
fn k3d_create(file: &ClusterFile, api_port: u16, wait: &str) -> Vec<String> {
    let mut args: Vec<String> = ["cluster", "create", &file.name].map(str::to_owned).into();
    let mut flag = |name: &str, value: String| args.extend([name.to_owned(), value]);
    flag("--api-port", format!("127.0.0.1:{api_port}"));
    flag("--timeout", wait.to_owned());
    flag("--agents", file.workers.to_string());
    if let Some(image) = &file.node_image {
        flag("--image", image.clone());
    }
    for (host, node) in
        file.ingress.iter().map(|i| (i.port, 80)).chain(file.ports.iter().map(|p| (p.host, p.node)))
    {
        flag("--port", format!("127.0.0.1:{host}:{node}@loadbalancer"));
    }
    for mount in &file.mounts {
        let mode = if mount.is_read_only { ":ro" } else { "" };
        flag("--volume", format!("{}:{}{mode}@all", mount.host.display(), mount.node));
    }
    if let Some(port) = file.registry {
        flag("--registry-create", format!("{}:127.0.0.1:{port}", registry_name(&file.name)));
    }
    // One ingress controller for all providers: ours, when asked for.
    flag("--k3s-arg", "--disable=traefik@server:*".to_owned());
    args.extend(["--wait", "--kubeconfig-update-default=false"].map(str::to_owned));
    args
}
