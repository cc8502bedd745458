//! `cluster.yaml`: what a cluster should be, in one small strict file. Every key is optional but the header; what is
//! unknown is answered with file, line, nearest spelling and next step. Leaves out: which tool makes it so.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use drey_yaml::files::{Disk, Files};
use drey_yaml::tree::{Node, parse_documents};
use drey_yaml::{Diagnostic, Diagnostics, Source, Span};

use crate::name;
use crate::provider::Provider;
use crate::reader::{Map, Reader};

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
        let mut reader = Reader::default();
        let file = read_root(&mut reader, root, folder);
        reader.finish(file)
    }
}

fn read_root(reader: &mut Reader, root: &Node, folder: &Path) -> ClusterFile {
    let default = ClusterFile::default();
    let Some(mut map) = reader.map(root, "") else { return default };
    map.word("apiVersion", &["drey/v1"]);
    map.word("kind", &["Cluster"]);
    let file = ClusterFile {
        name: map.map("metadata").and_then(|mut meta| read_name(&mut meta)).unwrap_or(default.name),
        provider: map.word("provider", Provider::NAMES).map_or(default.provider, Provider::named),
        node_image: map.text("nodeImage"),
        workers: map.number("workers", 0, 20).unwrap_or(default.workers),
        api_port: map.port("apiPort"),
        wait: map.duration("wait").unwrap_or(default.wait),
        images: map.texts("images"),
        registry: map.map("registry").and_then(|mut registry| registry.required_port("port")),
        ports: map.maps("ports", |port| {
            let (host, node) = (port.required_port("host"), port.required_port("node"));
            Some(Port { host: host?, node: node? })
        }),
        mounts: map.maps("mounts", |mount| {
            mount.require(&["node"]);
            let (host, node) = (mount.required_text("host"), mount.checked("node", absolute_rule));
            let is_read_only = mount.boolean("readOnly").unwrap_or(false);
            Some(Mount { host: absolute(folder, host?), node: node?, is_read_only })
        }),
        has_crds: map.boolean("crds").unwrap_or(default.has_crds),
        ingress: map.map("ingress").and_then(|mut ingress| {
            let image = ingress.text("image").unwrap_or_else(|| INGRESS_IMAGE.to_owned());
            Some(Ingress { port: ingress.required_port("port")?, image })
        }),
        s3: map.map("s3").map(|mut s3| S3 {
            bucket: s3.checked("bucket", bucket_rule).unwrap_or_else(|| "drey".to_owned()),
            image: s3.text("image").unwrap_or_else(|| S3_IMAGE.to_owned()),
        }),
        has_host: map.boolean("hostAccess").unwrap_or(default.has_host),
        colima: map.map("colima").map_or(default.colima.clone(), |mut colima| Colima {
            profile: colima.checked("profile", name_rule).unwrap_or(default.colima.profile),
            kubernetes: colima.boolean("kubernetes"),
            cpus: colima.number("cpus", 1, 256).unwrap_or(default.colima.cpus),
            memory_gib: colima.number("memoryGiB", 1, 4096).unwrap_or(default.colima.memory_gib),
            disk_gib: colima.number("diskGiB", 10, 65_000).unwrap_or(default.colima.disk_gib),
        }),
        context: map.text("context"),
        kubeconfig: map.text("kubeconfig").map(|path| absolute(folder, path)),
    };
    map.require(&["apiVersion", "kind", "metadata"]);
    reader.same_port_twice(root, &file);
    file
}

fn read_name(metadata: &mut Map<'_>) -> Option<String> {
    metadata.require(&["name"]);
    metadata.checked("name", name_rule)
}

fn absolute(folder: &Path, path: String) -> PathBuf {
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
