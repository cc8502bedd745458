//! The operator as a program: reads its configuration, connects, and runs until it is told to stop.

mod args;
mod clock;
mod serve;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use args::{Args, Listen, Transport};
use clap::Parser;
use drey_blueprint::config::{OperatorConfig, keys};
use drey_operator::{
    Deps, DirectTransport, FlinkTransport, LeaseConfig, Metrics, ProxyTransport, configured_concurrency,
    configured_lease, run,
};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

const DEFAULT_LEASE: &str = "flink-operator-lease";
const COULD_NOT_START: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    match start(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(COULD_NOT_START)
        }
    }
}

async fn start(args: Args) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&args.log)
        .map_err(|e| anyhow!("could not read the log filter `{}`: {e}\nnext: try --log info", args.log))?;
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).init();

    let config = configuration(&args)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let connection = drey_operator::connect(args.kubeconfig.as_deref(), args.context.as_deref()).await?;
    let clock = Arc::new(clock::SystemClock::of_environment()?);
    let metrics = Arc::new(Metrics::new(Arc::<clock::SystemClock>::clone(&clock)));
    let flink: Arc<dyn FlinkTransport> = match args.flink_transport {
        Transport::Direct => Arc::new(DirectTransport::new()),
        Transport::Proxy => Arc::new(ProxyTransport::new(connection.client.clone())),
    };
    let lease_namespace = args.lease_namespace.as_deref().unwrap_or(&connection.default_namespace);
    let leader_election = configured_lease(&config, lease_namespace)
        .or_else(|| args.leader_elect.then(|| LeaseConfig::new(lease_namespace, DEFAULT_LEASE)));
    let listener = listener(&args, &config).await?;
    tracing::info!(
        cluster = connection.description,
        namespaces = ?config.watched_namespaces(None),
        lease = ?leader_election.as_ref().map(|l| format!("{}/{}", l.namespace, l.name)),
        "starts"
    );
    let deps = Deps {
        client: connection.client,
        flink,
        clock,
        identity: identity(&args)?,
        observer: Arc::<Metrics>::clone(&metrics),
        leader_election,
        concurrency: configured_concurrency(&config),
        config,
    };
    let stop = stop_signal()?;
    let probes = async move {
        match listener {
            Some(listener) => serve::serve(listener, metrics).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        result = run(deps, stop) => result,
        () = probes => Ok(()),
    }
}

/// The file, then `--set`, then `--namespaces`.
fn configuration(args: &Args) -> anyhow::Result<OperatorConfig> {
    let (text, place) = match &args.config {
        None => (String::new(), "the command line".to_owned()),
        Some(path) => (read(path)?, path.display().to_string()),
    };
    let list = |problems: Vec<_>| {
        let lines: Vec<String> = problems.iter().map(|p| format!("\n  {p}")).collect();
        anyhow!("the operator's configuration ({place}) cannot be used:{}", lines.concat())
    };
    let base = if text.trim().is_empty() {
        OperatorConfig::default()
    } else {
        OperatorConfig::from_yaml(&text).with_context(|| format!("could not read {place}"))?.map_err(list)?
    };
    let mut entries = args.set.clone();
    let namespaces: Vec<&str> = args.namespaces.iter().map(|n| n.trim()).filter(|n| !n.is_empty()).collect();
    if !namespaces.is_empty() {
        entries.push((keys::WATCHED_NAMESPACES.name.to_owned(), namespaces.join(",")));
    }
    let given_lease = keys::LEADER_ELECTION_LEASE_NAME.name;
    let names_lease = base.get(keys::LEADER_ELECTION_LEASE_NAME).is_some()
        || entries.iter().any(|(key, _)| key == given_lease);
    if args.leader_elect {
        if !names_lease {
            entries.push((given_lease.to_owned(), DEFAULT_LEASE.to_owned()));
        }
        entries.push((keys::LEADER_ELECTION_ENABLED.name.to_owned(), "true".to_owned()));
    }
    base.with(entries).map_err(list)
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path)
        .with_context(|| format!("could not read the operator's configuration {}", path.display()))
}

fn identity(args: &Args) -> anyhow::Result<String> {
    let given = args.identity.clone().or_else(|| std::env::var("HOSTNAME").ok());
    let named = given.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    match named {
        Some(name) => Ok(name),
        None if args.leader_elect => Err(anyhow!(
            "leader election needs to know who this is\nnext: give --identity NAME, or set POD_NAME"
        )),
        None => Ok("drey-operator".to_owned()),
    }
}

async fn listener(args: &Args, config: &OperatorConfig) -> anyhow::Result<Option<TcpListener>> {
    let address = match args.listen {
        Some(Listen::Off) => return Ok(None),
        Some(Listen::At(address)) => address,
        None if !config.value(keys::HEALTH_PROBE_ENABLED) => return Ok(None),
        None => {
            let port = u16::try_from(config.value(keys::HEALTH_PROBE_PORT)).unwrap_or(8085);
            ([0, 0, 0, 0], port).into()
        }
    };
    let listener = TcpListener::bind(address).await.map_err(|e| {
        anyhow!("could not listen on {address} for /health and /metrics: {e}\nnext: --listen ADDR:PORT or --listen off")
    })?;
    tracing::info!(address = %listener.local_addr().unwrap_or(address), "serves /health and /metrics");
    Ok(Some(listener))
}

fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("could not listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("could not listen for SIGINT")?;
    Ok(async move {
        tokio::select! {
            biased;
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to stop");
    })
}
