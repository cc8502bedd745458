//! `fake-flink serve`: one JobManager on a loopback port, for hand tests and black-box suites.

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};
use fake_flink::dashboard::Dashboard;
use fake_flink::serve::{ServeOptions, serve};
use fake_flink::{Delay, ModelKnobs, ResourceManager, StartOptions, Version};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve one JobManager until it exits or the process is stopped.
    Serve(Serve),
}

#[derive(clap::Args)]
struct Serve {
    /// Flink version to play: 1.15 to 1.20, 2.0 to 2.4.
    #[arg(long, default_value = "1.20")]
    flink: Version,
    #[arg(long, default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// A session cluster with one TaskManager; without it the default application runs.
    #[arg(long)]
    session: bool,
    /// Flink configuration, repeatable.
    #[arg(long = "config", value_name = "KEY=VALUE")]
    config: Vec<String>,
    /// Model seconds per real second.
    #[arg(long, default_value_t = 1.0)]
    time_scale: f64,
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
}

fn main() -> anyhow::Result<()> {
    let Command::Serve(arguments) = Arguments::parse().command;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    let code = runtime.block_on(run(arguments))?;
    std::process::exit(code);
}

async fn run(arguments: Serve) -> anyhow::Result<i32> {
    let listener = tokio::net::TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("listen on {}", arguments.listen))?;
    let address = listener.local_addr().context("read the bound address")?;
    let log: fn(&str) = if arguments.log { |line| eprintln!("{line}") } else { |_| {} };
    let task_managers = if arguments.session {
        let slots = arguments.config.iter().find_map(|c| c.strip_prefix("taskmanager.numberOfTaskSlots="));
        let slots = slots
            .map_or(Ok(4), str::parse)
            .context("read taskmanager.numberOfTaskSlots: a whole number, for example 4")?;
        vec![("localhost:40001-5e55ed".to_owned(), slots)]
    } else {
        Vec::new()
    };
    let options = ServeOptions {
        start: start_options(&arguments, address)?,
        time_scale: arguments.time_scale,
        task_manager_start: Duration::from_secs(2),
        task_managers,
        log,
    };
    println!("ready http://{address}");
    serve(listener, options, async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
    .await
}

fn start_options(arguments: &Serve, address: SocketAddr) -> anyhow::Result<StartOptions> {
    let now = jiff::Timestamp::UNIX_EPOCH;
    let mut start = if arguments.session {
        StartOptions { resources: ResourceManager::Standalone, ..StartOptions::session(arguments.flink, now) }
            .config("taskmanager.numberOfTaskSlots", "4")
    } else {
        StartOptions::application(arguments.flink, now)
    };
    start.seed = arguments.seed;
    let web_jar = arguments.web_jar.clone().or_else(|| Dashboard::find(arguments.flink));
    start.dashboard = web_jar.as_deref().map(Dashboard::open).transpose()?;
    start.pod_ip = address.ip().to_string();
    start = start.config("rest.port", &address.port().to_string());
    start.model = if arguments.instant {
        ModelKnobs::instant()
    } else {
        // A server says ready when it is.
        ModelKnobs { rest_up: Delay::ZERO, leader_ready: Delay::ZERO, ..ModelKnobs::default() }
    };
    for entry in &arguments.config {
        let Some((key, value)) = entry.split_once('=') else {
            bail!("read --config {entry:?}: expected KEY=VALUE, for example parallelism.default=2")
        };
        start = start.config(key.trim(), value.trim());
    }
    Ok(start)
}
