//! `load-flink`: JobManagers under load. Starts `fake-flink serve` and asks it and, where its address is given, a real one.
//! Nothing is judged: exit code 0 when everything could be measured.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Parser;
use drey_benches::load::flink::{self, Plan, Programs, side_by_side};
use drey_benches::load::{Endpoint, Served, Turns, beside, check_pairs};
use drey_benches::page;

/// That of the `drey` command, unless allocations are counted.
#[cfg(not(feature = "count-allocations"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Its compiler is not done after twice as many requests as count: job details cost a third after thirty thousand of what
/// they cost after eight.
const WARM_UP: usize = 8;

#[derive(Parser)]
#[command(name = "load-flink")]
struct Options {
    /// Our server's binary; without it, the one beside this program.
    #[arg(long, value_name = "FILE")]
    fake: Option<PathBuf>,
    /// The large job as a jar, with classes where a real cluster is to run it; `ci/load-flink` makes one.
    #[arg(long, value_name = "FILE")]
    large: PathBuf,
    /// Address of a real session cluster with seven free slots (`ci/real-flink/cluster start`).
    #[arg(long, value_name = "URL")]
    real: Option<String>,
    /// Process id of its JobManager: without it there is no CPU time and no memory.
    #[arg(long, requires = "real")]
    pid: Option<u32>,
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Requests of each kind; a real one gets eight times as many before they count.
    #[arg(long, default_value_t = 4_000)]
    requests: usize,
    /// Instead of the table: both are asked in turn, for `drey gate --ratios FILE`.
    #[arg(long, value_name = "FILE", requires_all = ["real", "pid"], conflicts_with = "write")]
    ratios: Option<PathBuf>,
    /// Pairs of samples of each kind for --ratios.
    #[arg(long, value_name = "N", default_value_t = 9, requires = "ratios")]
    pairs: usize,
    /// Rewrite the table of docs/benchmarks.md.
    #[arg(long)]
    write: bool,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    ensure!(
        options.requests > 0 && options.connections > 0,
        "at least one request and one connection are needed"
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if let Some(file) = &options.ratios {
        check_pairs(options.pairs)?;
        return runtime.block_on(in_turn(&options))?.write(file);
    }
    let table = runtime.block_on(measure(&options))?;
    println!("{table}");
    if options.write {
        page::rewrite(&[("load-flink", format!("{}\n{table}", page::machine()))])?;
    }
    Ok(())
}

fn programs(options: &Options) -> anyhow::Result<Programs> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |jar: &Path| std::fs::read(jar).with_context(|| format!("read {}", jar.display()));
    Ok(Programs {
        small: read(&root.join("fake-flink/tests/data/Job.jar"))?,
        large: read(&options.large)?,
        described: root.join("ci/real-flink/load/orders.yaml"),
    })
}

fn binary(options: &Options) -> anyhow::Result<PathBuf> {
    beside(options.fake.as_ref(), "fake-flink")
}

async fn in_turn(options: &Options) -> anyhow::Result<Turns> {
    let programs = programs(options)?;
    let ours = flink::start(binary(options)?, &programs).context("start fake-flink")?;
    let url = options.real.clone().context("find the real JobManager: give --real URL")?;
    let real = Served::running(Endpoint::Url(url), options.pid);
    let Options { connections, requests, .. } = *options;
    let plan = Plan { connections, requests, warm_up: WARM_UP * requests };
    flink::in_turn(&ours, &real, &programs, &plan, options.pairs).await
}

async fn measure(options: &Options) -> anyhow::Result<String> {
    let programs = programs(options)?;
    let Options { connections, requests, .. } = *options;
    let plan = Plan { connections, requests, warm_up: 100 };
    let ours = flink::ours(binary(options)?, &programs, &plan).await.context("measure fake-flink")?;
    let Some(url) = &options.real else {
        eprintln!("no real JobManager: `make load-flink` starts one; measured without");
        return Ok(side_by_side(&ours, None));
    };
    let served = Served::running(Endpoint::Url(url.clone()), options.pid);
    let plan = Plan { warm_up: WARM_UP * requests, ..plan };
    let real = flink::load(&served, &programs, &plan).await.context("measure the real JobManager")?;
    Ok(side_by_side(&ours, Some(&real)))
}
