//! The options of `fake-kube serve` and what it does: server, objects from files, cluster, listener, `ready`.
//! With `--control`, the endpoint that sets faults; with `--run`, containers that are processes.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use fake_kube::control::{Complaint, Control, ControlSocket, PodFaults, RequestFaults};
use fake_kube::host::{HostOptions, HostPrograms, Rule};
use fake_kube::{
    AuditLog, Cluster, Controller, Delay, Identities, Knobs, ListenOptions, Outside, Programs, ServiceProxy,
    Shell,
};
use fake_kube_apiserver::{ApiServer, Clock, Options, Status};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::clock::ScaledClock;

/// Clients read text: trees are there for the objects that are being worked on.
const TREES_MAX: usize = 64;

#[derive(clap::Args)]
pub struct Serve {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Allow an address that others can reach. Without --token-auth or --rbac everybody is an administrator; with one of
    /// them, and TLS, this is not needed.
    #[arg(long)]
    insecure_bind: bool,
    /// Plain HTTP instead of TLS.
    #[arg(long)]
    http: bool,
    /// Folder or file with CustomResourceDefinitions as YAML or JSON; may be repeated.
    #[arg(long, value_name = "PATH")]
    crds: Vec<PathBuf>,
    /// Folder or file with objects to create at the start; may be repeated.
    #[arg(long, value_name = "PATH")]
    manifests: Vec<PathBuf>,
    /// Where to write a kubeconfig.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Controllers to run: names separated by commas, `*` for all, `-name` for all but this one.
    #[arg(long, default_value = "*", allow_hyphen_values = true)]
    controllers: String,
    /// The cluster's time runs this much faster than the wall clock.
    #[arg(long, default_value_t = 1.0, value_name = "X")]
    time_scale: f64,
    /// Bearer tokens: lines `token,user,uid,"group1,group2"`.
    #[arg(long, value_name = "FILE")]
    token_auth: Option<PathBuf>,
    /// Enforce roles and bindings: everybody may do what RBAC allows them. Members of system:masters may do everything;
    /// the kubeconfig's user is one.
    #[arg(long)]
    rbac: bool,
    /// Keep everything that is stored in this file, over restarts and crashes.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Write a line per request here, as `kube-apiserver --audit-log-path` does.
    #[arg(long, value_name = "FILE")]
    audit_log: Option<PathBuf>,
    /// Open the control endpoint on this loopback address (127.0.0.1:0 takes a free port): `drey fault` sets faults and
    /// time there. Its address is told on standard error and in the kubeconfig.
    #[arg(long, value_name = "ADDR:PORT")]
    control: Option<SocketAddr>,
    /// Run the containers of images that fit IMAGE (`*` is any text) as processes of this machine: COMMAND with the
    /// container's words, variables and files (below $CONTAINER_ROOT) and an address of its own, 127.N.x.y. Repeatable, the
    /// first that fits counts. The processes have your rights, and end with the cluster.
    #[arg(long, value_name = "IMAGE=COMMAND")]
    run: Vec<Rule>,
    /// With --run: so many processes at the same time at most.
    #[arg(long, value_name = "N", default_value_t = 200, requires = "run")]
    run_max: usize,
    /// Seed of names, uids and delays.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub async fn run(options: Serve) -> anyhow::Result<()> {
    if !options.run.is_empty() && options.http {
        bail!("--run with --http: programs in pods reach the API server over TLS; leave --http out");
    }
    let network = match options.run.is_empty() {
        true => None,
        false => Some(Network::claim().await?),
    };
    if !(options.time_scale.is_finite() && options.time_scale > 0.0) {
        bail!("--time-scale {}: give a positive number, such as 1 or 10", options.time_scale);
    }
    let mut identities = match &options.token_auth {
        Some(path) => Identities::read(path)?,
        None => Identities::default(),
    };
    if options.rbac && options.token_auth.is_none() {
        identities.add_admin()?;
    }
    let controllers_on = chosen(&options.controllers)?;
    let control = match options.control {
        Some(address) => Some(ControlSocket::bind(address).await?),
        None => None,
    };
    let time = ScaledClock::start(options.time_scale);
    let clock: Arc<dyn Clock> = Arc::new(time.clone());
    let mut server = Options::new(clock.clone());
    server.seed = options.seed;
    server.rbac = options.rbac;
    server.trees_max = Some(TREES_MAX);
    let mut restored = false;
    let (api, journal) = match &options.state {
        Some(path) => {
            restored = path.exists();
            let (api, journal, note) = fake_kube::state::open(path, server)?;
            note.iter().for_each(|n| eprintln!("{n}"));
            (api, Some(journal))
        }
        None => (ApiServer::new(server), None),
    };
    let proxy = ServiceProxy::default();
    let listening = fake_kube::listen(
        api.clone(),
        ListenOptions {
            bind: options.listen,
            insecure_bind: options.insecure_bind,
            tls: !options.http,
            kubeconfig: options.kubeconfig.clone(),
            control: control.as_ref().map(|c| c.url().to_owned()),
            identities,
            proxy: proxy.clone(),
            journal: journal.clone(),
            audit: options.audit_log.as_deref().map(AuditLog::create).transpose()?,
            ..ListenOptions::default()
        },
    )
    .await?;
    api.set_address(&listening.addr.to_string());
    let knobs = Knobs {
        seed: options.seed,
        root_ca: listening.ca.clone(),
        controllers_on,
        // What a watch, a queue and a write take in a real controller manager, and what a scheduler takes beside it. A
        // client that makes three requests in a row meets the object as it left it, on a busy machine, too.
        controllers: Delay::uniform_millis(30, 80),
        pod_schedule: Delay::uniform_millis(150, 300),
        furnished: true,
        pod_loopback: network.as_ref().map(|network| network.number),
        ..Knobs::default()
    };
    let host = match options.run.is_empty() {
        true => None,
        false => Some(HostPrograms::new(HostOptions {
            rules: options.run.clone(),
            starter: crate::contain::starter(false)?,
            starter_in_terminal: crate::contain::starter(true)?,
            processes_max: options.run_max,
            api: api.clone(),
            address: reachable(listening.addr),
            ca: listening.ca.clone(),
            clock: Box::new({
                let time = time.clone();
                move || time.told()
            }),
        })?),
    };
    let programs: Arc<dyn Programs> = match &host {
        Some(host) => Arc::new(host.clone()),
        None => Arc::new(Shell),
    };
    let cluster = Cluster::new(api.clone(), clock.clone(), knobs, programs);
    let _controlling = control.map(|socket| {
        eprintln!("control {}", socket.url());
        let faults = RequestFaults::install(&api, clock, None);
        let pods = Some(PodFaults::new(cluster.pods()));
        socket.serve(Control { faults, time: Some(Arc::new(time)), pods })
    });
    if let Some(host) = &host {
        host.set_waker(cluster.waker());
    }
    cluster.set_outside(Outside::Https);
    proxy.set(cluster.clone());
    let running = tokio::spawn({
        let cluster = cluster.clone();
        async move { cluster.run(std::future::pending()).await }
    });
    for path in options.crds.iter().chain(&options.manifests) {
        load(&api, path, restored).await?;
    }
    if let Some(journal) = &journal {
        journal.durable(api.revision()).await.map_err(anyhow::Error::msg)?;
    }
    println!("ready {}", listening.url);
    asked_to_stop().await?;
    running.abort();
    if let Some(host) = &host {
        host.end();
    }
    listening.shutdown().await;
    for complaint in cluster.complaints() {
        eprintln!("refused: {complaint}");
    }
    Ok(())
}

/// Ctrl-C, or SIGTERM as whoever started it in the background sends it.
async fn asked_to_stop() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("wait for an interrupt"),
        _ = terminate.recv() => Ok(()),
    }
}

/// The same server, as this machine reaches it.
fn reachable(bound: SocketAddr) -> SocketAddr {
    match bound.ip().is_unspecified() {
        true => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), bound.port()),
        false => bound,
    }
}

/// Addresses of pods that are processes: 127.N.x.y, N this cluster's own on this machine.
struct Network {
    number: u8,
    /// Says that it is taken, as long as this lives.
    _claim: tokio::net::TcpListener,
}

/// Where a cluster claims its network: an address that no pod gets.
const CLAIM: (u8, u8, u16) = (255, 254, 10_255);

impl Network {
    async fn claim() -> anyhow::Result<Network> {
        let first = std::process::id();
        // 127.0.x.y is everybody's.
        for number in (0..254).map(|turn| (first.wrapping_add(turn) % 254) as u8 + 1) {
            let (x, y, port) = CLAIM;
            if let Ok(claim) = tokio::net::TcpListener::bind((Ipv4Addr::new(127, number, x, y), port)).await {
                return Ok(Network { number, _claim: claim });
            }
        }
        bail!(
            "find addresses for --run: every network from 127.1.0.0/16 to 127.254.0.0/16 is taken, or this system has no \
             addresses but 127.0.0.1 (Linux has; elsewhere run it in a container)"
        )
    }
}

fn chosen(list: &str) -> anyhow::Result<Vec<Controller>> {
    let mut on = Vec::new();
    for word in list.split(',').map(str::trim).filter(|w| !w.is_empty()) {
        let (name, remove) = word.strip_prefix('-').map_or((word, false), |n| (n, true));
        if name == "*" {
            on = Controller::ALL.to_vec();
            continue;
        }
        let Some(controller) = Controller::parse(name) else {
            let why =
                Complaint::word("--controllers", "controller", name, Controller::ALL.map(Controller::name));
            bail!("{why}\nthere are: {}", why.allowed.join(", "));
        };
        if remove {
            if on.is_empty() {
                on = Controller::ALL.to_vec();
            }
            on.retain(|c| *c != controller);
        } else if !on.contains(&controller) {
            on.push(controller);
        }
    }
    Ok(on)
}

/// `known`: objects that are there already are left as they are.
async fn load(api: &ApiServer, path: &Path, known: bool) -> anyhow::Result<()> {
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        let entries = std::fs::read_dir(path).with_context(|| format!("read folder {}", path.display()))?;
        files = entries.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
        files.retain(|f| f.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json"));
        files.sort();
    }
    for file in files {
        let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&text).with_context(|| format!("parse {}", file.display()))?;
        for object in documents.into_iter().filter(|d| !d.is_null()) {
            let what = format!("{} {}", object["kind"], object["metadata"]["name"]);
            create(api, object, known)
                .await
                .with_context(|| format!("create {what} of {}", file.display()))?;
        }
    }
    Ok(())
}

async fn create(api: &ApiServer, object: Value, known: bool) -> anyhow::Result<()> {
    let client = api.client("fake-kube");
    let part = |p: &str| object.pointer(p).and_then(Value::as_str).unwrap_or("").to_owned();
    let (api_version, kind) = (part("/apiVersion"), part("/kind"));
    let served = client.resource_of_kind(&api_version, &kind).with_context(|| {
        format!("no resource serves {api_version} {kind}; give its CRD with --crds first")
    })?;
    let namespace = match part("/metadata/namespace") {
        ns if ns.is_empty() && served.namespaced => "default".to_owned(),
        ns => ns,
    };
    match client.create(&served.resource, &namespace, object) {
        Ok(_) => Ok(()),
        Err(Status { code: 409, .. }) if known => Ok(()),
        Err(Status { message, .. }) => bail!(message),
    }
}
