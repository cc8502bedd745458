//! `fake-flink serve`: one cluster or hundreds, until they exit or the process is stopped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use fake_flink::serve::control::{Clusters, ControlSocket, Controlled, Named};
use fake_flink::serve::{Front, Hosted, Limits, listen};
use fake_flink::{Signal, Version};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::clusters::{self, Planned};
use crate::shape::{self, Dashboards, Shape};
use crate::signals::Signals;
use crate::storage;

/// Serve JobManagers until they exit or the process is stopped; prints one line `ready http://ADDRESS` when it answers.
#[derive(clap::Args)]
pub struct Serve {
    /// Flink version to play: 1.15 to 1.20, 2.0 to 2.4.
    #[arg(long, default_value = "1.20")]
    flink: Version,
    /// Address of the REST API; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// Listen on other addresses than this machine's own: whoever reaches the port may do everything.
    #[arg(long)]
    insecure_bind: bool,
    /// A session cluster with one TaskManager; without it an application runs.
    #[arg(long)]
    session: bool,
    /// Programs besides the known ones, YAML or JSON (docs/fake-flink-jobs.md); an application runs the first of them.
    #[arg(long, value_name = "FILE")]
    job: Option<PathBuf>,
    /// Flink configuration, repeatable.
    #[arg(long = "config", value_name = "KEY=VALUE")]
    config: Vec<String>,
    /// Keep snapshots in this folder, or as objects: s3://BUCKET/PREFIX with AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID,
    /// AWS_SECRET_ACCESS_KEY and AWS_REGION. Without it they end with the process.
    #[arg(long, value_name = "DIR|URL")]
    storage: Option<String>,
    /// Open the control endpoint here, for faults and stubs.
    #[arg(long, value_name = "ADDR:PORT")]
    control: Option<SocketAddr>,
    /// Host a cluster of this name, repeatable: at an address of its own, or by host name at --listen.
    #[arg(long = "cluster", value_name = "NAME[=ADDR:PORT]")]
    named: Vec<String>,
    /// Host the clusters of this file.
    #[arg(long, value_name = "FILE")]
    clusters: Option<PathBuf>,
    /// Model seconds per real second.
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    time_scale: f64,
    /// Decides ids and how long things take.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Start and transitions take no time.
    #[arg(long)]
    instant: bool,
    /// The flink-runtime-web jar whose dashboard is served; otherwise the one that `make web` fetched or Maven keeps,
    /// if any.
    #[arg(long, value_name = "FILE")]
    web_jar: Option<PathBuf>,
    /// Print the JobManager log to standard error.
    #[arg(long)]
    log: bool,
    /// Be the JobManager of a pod, as the image is: configuration from $FLINK_CONF_DIR, HA ConfigMaps and TaskManager pods
    /// through the API server. With --session a session cluster, otherwise an application.
    #[cfg(feature = "kubernetes")]
    #[arg(long, conflicts_with_all = ["listen", "config", "control", "named", "clusters", "storage", "time_scale", "instant"])]
    kubernetes: bool,
}

pub fn run(arguments: &Serve) -> anyhow::Result<i32> {
    #[cfg(feature = "kubernetes")]
    if arguments.kubernetes {
        let form = if arguments.session { "kubernetes-session" } else { "kubernetes-application" };
        return crate::entrypoint::run(&["kubernetes-jobmanager.sh".to_owned(), form.to_owned()]);
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(serve(arguments))
}

impl Serve {
    fn shape(&self) -> anyhow::Result<Shape> {
        ensure!(
            self.time_scale.is_finite() && (0.001..=10_000.0).contains(&self.time_scale),
            "use --time-scale {}: a number from 0.001 to 10000",
            self.time_scale
        );
        let (programs, main_class) = shape::programs(self.job.as_deref())?;
        Ok(Shape {
            programs,
            main_class,
            flink: self.flink,
            session: self.session,
            config: shape::config(&self.config)?,
            time_scale: self.time_scale,
            seed: self.seed,
            instant: self.instant,
            log: self.log,
        })
    }

    async fn bind(&self, address: SocketAddr) -> anyhow::Result<TcpListener> {
        if !address.ip().is_loopback() && !self.insecure_bind {
            bail!(
                "listen on {address}: not a loopback address, and whoever reaches it may do everything; allow it with --insecure-bind"
            );
        }
        TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))
    }
}

/// A cluster that runs, and where.
struct Running {
    name: String,
    address: SocketAddr,
    /// None: by host name at the common listener.
    listener: Option<TcpListener>,
    hosted: Hosted,
}

async fn serve(arguments: &Serve) -> anyhow::Result<i32> {
    let signals = Signals::hear()?;
    let usual = arguments.shape()?;
    let planned = clusters::plan(arguments.clusters.as_deref(), &arguments.named, &usual)?;
    let control = match arguments.control {
        Some(address) => Some(ControlSocket::bind(address).await?),
        None => None,
    };
    let is_lone = planned.is_empty();
    let common = match is_lone || planned.iter().any(|cluster| cluster.listen.is_none()) {
        true => Some(arguments.bind(arguments.listen).await?),
        false => None,
    };
    let planned = match is_lone {
        true => vec![Planned { name: "default".to_owned(), listen: None, shape: usual }],
        false => planned,
    };
    let running = start(arguments, planned, common.as_ref()).await?;
    let controlled = named(&running, is_lone);
    announce(&running, common.as_ref(), control.as_ref(), is_lone)?;
    let _controlling = control.map(|socket| {
        let clusters: Clusters = Arc::new(move || controlled.clone());
        AbortOnDrop(tokio::spawn(socket.serve(clusters)))
    });
    let hosted: Vec<Hosted> = running.iter().map(|cluster| cluster.hosted.clone()).collect();
    let everything = all(running, common, is_lone, Limits::default());
    Ok(until_ended(everything, &hosted, signals).await)
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn start(
    arguments: &Serve,
    planned: Vec<Planned>,
    common: Option<&TcpListener>,
) -> anyhow::Result<Vec<Running>> {
    let mut dashboards = Dashboards::new(arguments.web_jar.as_deref());
    let storage = storage::open(arguments.storage.as_deref())?;
    let mut running = Vec::new();
    for Planned { name, listen, shape } in planned {
        let listener = match listen {
            Some(address) => {
                Some(arguments.bind(address).await.with_context(|| format!("host cluster {name}"))?)
            }
            None => None,
        };
        let bound = listener.as_ref().or(common).context("find the common listener")?;
        let address = bound.local_addr().context("read the bound address")?;
        let options = shape.options(address, storage.clone(), dashboards.of(shape.flink)?)?;
        running.push(Running { name, address, listener, hosted: Hosted::start(options) });
    }
    Ok(running)
}

impl Running {
    fn url(&self, is_lone: bool) -> String {
        match &self.listener {
            None if !is_lone => format!("http://{}.localhost:{}", self.name, self.address.port()),
            _ => format!("http://{}", self.address),
        }
    }
}

fn named(running: &[Running], is_lone: bool) -> Vec<Arc<dyn Controlled>> {
    let named = |cluster: &Running| -> Arc<dyn Controlled> {
        let (name, url) = (cluster.name.clone(), cluster.url(is_lone));
        Arc::new(Named { name, url, hosted: cluster.hosted.clone(), earlier: None })
    };
    running.iter().map(named).collect()
}

/// The addresses; the ready line comes last, and alone on standard output unless there are several clusters.
fn announce(
    running: &[Running],
    common: Option<&TcpListener>,
    control: Option<&ControlSocket>,
    is_lone: bool,
) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    if let Some(control) = control {
        eprintln!("control {}", control.url());
    }
    for cluster in running.iter().filter(|_| !is_lone) {
        writeln!(out, "cluster {} {}", cluster.name, cluster.url(is_lone))
            .context("write to the terminal")?;
    }
    let address = match common {
        Some(listener) => listener.local_addr().context("read the bound address")?,
        None => running.first().map(|cluster| cluster.address).context("find a cluster to host")?,
    };
    writeln!(out, "ready http://{address}").and_then(|()| out.flush()).context("write to the terminal")
}

/// Runs all clusters.
async fn all(running: Vec<Running>, common: Option<TcpListener>, is_lone: bool, limits: Limits) -> i32 {
    let mut tasks = JoinSet::new();
    let mut by_name = BTreeMap::new();
    for cluster in running {
        let hosted = cluster.hosted;
        match cluster.listener {
            Some(listener) => {
                let front = Front::one(hosted.clone());
                tasks.spawn(async move { listen(listener, front, limits, hosted.run()).await });
            }
            None => {
                by_name.insert(cluster.name, hosted);
            }
        }
    }
    if let Some(listener) = common {
        let hosted: Vec<Hosted> = by_name.values().cloned().collect();
        let front = match hosted.first() {
            Some(lone) if is_lone => Front::one(lone.clone()),
            _ => Front::by_name(by_name),
        };
        tasks.spawn(async move { listen(listener, front, limits, run_all(hosted)).await });
    }
    last_bad(tasks).await
}

async fn run_all(hosted: Vec<Hosted>) -> i32 {
    let mut tasks = JoinSet::new();
    for cluster in hosted {
        tasks.spawn(async move { cluster.run().await });
    }
    last_bad(tasks).await
}

/// The code of the last one that ended badly, or 0.
async fn last_bad(mut tasks: JoinSet<i32>) -> i32 {
    let mut code = 0;
    while let Some(ended) = tasks.join_next().await {
        // A task that panicked has said so already.
        let ended = ended.unwrap_or(1);
        code = if ended == 0 { code } else { ended };
    }
    code
}

/// Signals go to every JobManager; a second one ends the process at once.
async fn until_ended(everything: impl Future<Output = i32>, hosted: &[Hosted], mut signals: Signals) -> i32 {
    let mut everything = std::pin::pin!(everything);
    let code = tokio::select! {
        code = &mut everything => return code,
        code = signals.next() => code,
    };
    for cluster in hosted {
        cluster.signal(Signal::Term);
    }
    tokio::select! {
        _ = everything => code,
        code = signals.next() => code,
    }
}
