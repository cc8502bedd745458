//! `cluster.yaml`: what a cluster should be, in one small strict file. Every key is optional but the header; what is
//! unknown is answered with file, line, nearest spelling and next step. Leaves out: which tool makes it so.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use drey_yaml::fields::{Fields, Problems};
use drey_yaml::files::{Disk, Files};
use drey_yaml::tree::{Node, parse_documents};
use drey_yaml::{Diagnostic, Diagnostics, Source, Span};

use crate::name;
use crate::provider::Provider;

/// The wish.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterFile {
    pub name: String,
    pub provider: Provider,
    /// Node image; the tool's own default when there is none.
    pub node_image: Option<String>,
    pub workers: u16,
    /// Port of the API server on 127.0.0.1; a free one when there is none.
    pub api_port: Option<u16>,
    /// How long the cluster, and then each workload, may take to become ready.
    pub wait: Duration,
    /// Images of the local engine that the nodes are to have.
    pub images: Vec<String>,
    /// Port of a registry on 127.0.0.1 that the nodes pull from.
    pub registry: Option<u16>,
    pub ports: Vec<Port>,
    pub mounts: Vec<Mount>,
    pub has_crds: bool,
    pub ingress: Option<Ingress>,
    pub s3: Option<S3>,
    /// A name inside the cluster by which pods reach this machine: `host.drey-system`.
    pub has_host: bool,
    pub colima: Colima,
    /// For provider `kubeconfig`: which context, of which file.
    pub context: Option<String>,
    pub kubeconfig: Option<PathBuf>,
}

/// A port of this machine, on 127.0.0.1, that leads to a port of the nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    pub host: u16,
    pub node: u16,
}

/// A folder of this machine that the nodes see. Absolute.
#[derive(Clone, Debug, PartialEq)]
pub struct Mount {
    pub host: PathBuf,
    pub node: String,
    pub is_read_only: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Ingress {
    /// Port on 127.0.0.1 behind which the controller answers.
    pub port: u16,
    pub image: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct S3 {
    pub bucket: String,
    pub image: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Colima {
    pub profile: String,
    /// Kubernetes of the VM itself; k3d or kind inside when false. `None`: as the VM is, a new one with.
    pub kubernetes: Option<bool>,
    pub cpus: u16,
    pub memory_gib: u16,
    pub disk_gib: u16,
}

/// Traefik's and MinIO's images, pinned: a cluster made again next year is the same.
const INGRESS_IMAGE: &str = "traefik:v3.5.3";
const S3_IMAGE: &str = "minio/minio:RELEASE.2025-09-07T16-13-09Z";

impl Default for ClusterFile {
    fn default() -> ClusterFile {
        ClusterFile {
            name: "drey".to_owned(),
            provider: Provider::Auto,
            node_image: None,
            workers: 0,
            api_port: None,
            wait: Duration::from_secs(300),
            images: Vec::new(),
            registry: None,
            ports: Vec::new(),
            mounts: Vec::new(),
            has_crds: true,
            ingress: None,
            s3: None,
            has_host: false,
            colima: Colima {
                profile: "default".to_owned(),
                kubernetes: None,
                cpus: 4,
                memory_gib: 8,
                disk_gib: 60,
            },
            context: None,
            kubeconfig: None,
        }
    }
}

impl ClusterFile {
    /// Every port of this machine that it wants, with the key that says so.
    pub fn wanted_ports(&self) -> Vec<(u16, &'static str)> {
        let ingress = self.ingress.as_ref().map(|ingress| ingress.port);
        let single = [(self.api_port, "apiPort"), (self.registry, "registry"), (ingress, "ingress")];
        let single = single.into_iter().filter_map(|(port, key)| Some((port?, key)));
        single.chain(self.ports.iter().map(|port| (port.host, "ports"))).collect()
    }

    /// Reads a file. Paths in it are relative to its folder.
    pub fn read(path: &Path) -> Result<ClusterFile, Diagnostics> {
        let source = |text: String| Source::new(path.display().to_string(), text);
        match Disk.read(path) {
            Ok(text) => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                ClusterFile::parse(&source(text), folder.unwrap_or(Path::new(".")))
            }
            Err(error) => {
                let span = Span::start_of(&source(String::new()));
                let problem = Diagnostic::error("unreadable", &span, format!("cannot be read: {error}"));
                Err(problem.help("name an existing file after --config; docs/clusters.md shows one").into())
            }
        }
    }

    /// `folder`: what relative paths are relative to.
    pub fn parse(source: &Arc<Source>, folder: &Path) -> Result<ClusterFile, Diagnostics> {
        let documents = parse_documents(source)?;
        let [root] = documents.as_slice() else {
            let message = format!("{} documents, where a cluster file has one", documents.len());
            let help = "write `apiVersion: drey/v1`, `kind: Cluster` and `metadata: {name: ..}`, once";
            return Err(Diagnostic::error("documents", &Span::start_of(source), message).help(help).into());
        };
        let problems = Problems::default();
        let file = problems.map(root, "").and_then(|fields| read_root(fields, folder));
        if let Some(file) = &file {
            same_port_twice(&problems, root, file);
        }
        problems.finish(file)
    }
}

fn read_root(mut root: Fields<'_, '_>, folder: &Path) -> Option<ClusterFile> {
    let default = ClusterFile::default();
    root.header("Cluster")?;
    Some(ClusterFile {
        name: root.need_map("metadata").and_then(read_name).unwrap_or(default.name),
        provider: root
            .word_or("provider", Provider::NAMES, Provider::OTHERS)
            .map_or(default.provider, Provider::named),
        node_image: root.filled("nodeImage").map(str::to_owned),
        workers: root.number("workers", 0..=20).unwrap_or(default.workers),
        api_port: root.port("apiPort"),
        wait: root.duration("wait").unwrap_or(default.wait),
        images: root.texts("images"),
        registry: root.map("registry").and_then(|mut registry| registry.need_port("port")),
        ports: root.maps("ports", |mut port| {
            let (host, node) = (port.need_port("host"), port.need_port("node"));
            Some(Port { host: host?, node: node? })
        }),
        mounts: root.maps("mounts", |mount| read_mount(mount, folder)),
        has_crds: root.flag("crds").unwrap_or(default.has_crds),
        ingress: root.map("ingress").and_then(|mut ingress| {
            let image = ingress.filled("image").unwrap_or(INGRESS_IMAGE).to_owned();
            Some(Ingress { port: ingress.need_port("port")?, image })
        }),
        s3: root.map("s3").map(|mut s3| S3 {
            bucket: s3.checked("bucket", bucket_rule).unwrap_or("drey").to_owned(),
            image: s3.filled("image").unwrap_or(S3_IMAGE).to_owned(),
        }),
        has_host: root.flag("hostAccess").unwrap_or(default.has_host),
        colima: root.map("colima").map_or(default.colima, read_colima),
        context: root.filled("context").map(str::to_owned),
        kubeconfig: root.filled("kubeconfig").map(|path| absolute(folder, path)),
    })
}

fn read_name(mut metadata: Fields<'_, '_>) -> Option<String> {
    metadata.need("name")?;
    metadata.checked("name", name_rule).map(str::to_owned)
}

fn read_mount(mut mount: Fields<'_, '_>, folder: &Path) -> Option<Mount> {
    mount.need("node");
    let (host, node) = (mount.need_filled("host"), mount.checked("node", absolute_rule));
    let is_read_only = mount.flag("readOnly").unwrap_or(false);
    Some(Mount { host: absolute(folder, host?), node: node?.to_owned(), is_read_only })
}

fn read_colima(mut colima: Fields<'_, '_>) -> Colima {
    let default = ClusterFile::default().colima;
    Colima {
        profile: colima.checked("profile", name_rule).map_or(default.profile, str::to_owned),
        kubernetes: colima.flag("kubernetes"),
        cpus: colima.number("cpus", 1..=256).unwrap_or(default.cpus),
        memory_gib: colima.number("memoryGiB", 1..=4096).unwrap_or(default.memory_gib),
        disk_gib: colima.number("diskGiB", 10..=65_000).unwrap_or(default.disk_gib),
    }
}

/// Two uses of one port of this machine: docker would find out halfway.
fn same_port_twice(problems: &Problems, root: &Node, file: &ClusterFile) {
    let mut used = Vec::new();
    for (port, key) in file.wanted_ports() {
        if used.contains(&port) {
            let span = root.get(key).map_or(&root.span, |node| &node.span);
            let message = format!("port {port} of this machine is wanted twice");
            let problem = Diagnostic::error("port-twice", span, message).at(key);
            problems.push(problem.help("give each its own port"));
        }
        used.push(port);
    }
}

fn absolute(folder: &Path, path: &str) -> PathBuf {
    let joined = folder.join(path);
    std::path::absolute(&joined).unwrap_or(joined)
}

fn name_rule(name: &str) -> Result<(), (String, String)> {
    name::check(name).map_err(|problem| (problem.why, problem.next))
}

fn absolute_rule(path: &str) -> Result<(), (String, String)> {
    if path.starts_with('/') {
        return Ok(());
    }
    Err((format!("`{path}` is no absolute path on the node"), format!("write `/{path}`")))
}

/// S3's rule for names that are also host names.
fn bucket_rule(bucket: &str) -> Result<(), (String, String)> {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_valid = (3..=63).contains(&bucket.len())
        && bucket.chars().all(|c| is_word(c) || c == '-')
        && bucket.starts_with(is_word)
        && bucket.ends_with(is_word);
    let why = format!("`{bucket}` is no valid bucket name");
    if is_valid { Ok(()) } else { Err((why, "use 3 to 63 characters of a-z, 0-9 and `-`".to_owned())) }
}
