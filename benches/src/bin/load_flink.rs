//! `load-flink`: JobManagers under load. Starts `fake-flink serve` and asks it and, where its address is given, a real one.
//! Nothing is judged: exit code 0 when everything could be measured.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Parser;
use drey_benches::load::flink::{self, Plan, side_by_side};
use drey_benches::load::{Endpoint, Served, Turns, beside, check_pairs};
use drey_benches::page;

/// That of the `drey` command, unless allocations are counted.
#[cfg(not(feature = "count-allocations"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "load-flink")]
struct Options {
    /// Our server's binary; without it, the one beside this program.
    #[arg(long, value_name = "FILE")]
    fake: Option<PathBuf>,
    /// Address of a real session cluster with four free slots (`ci/real-flink/cluster start`).
    #[arg(long, value_name = "URL")]
    real: Option<String>,
    /// Process id of its JobManager: without it there is no CPU time and no memory.
    #[arg(long, requires = "real")]
    pid: Option<u32>,
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Requests of each kind; a real one gets twice as many before they count.
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

fn jar() -> anyhow::Result<Vec<u8>> {
    let jar = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fake-flink/tests/data/Job.jar");
    std::fs::read(&jar).with_context(|| format!("read {}", jar.display()))
}

fn binary(options: &Options) -> anyhow::Result<PathBuf> {
    beside(options.fake.as_ref(), "fake-flink")
}

async fn in_turn(options: &Options) -> anyhow::Result<Turns> {
    let ours = flink::start(binary(options)?).context("start fake-flink")?;
    let url = options.real.clone().context("find the real JobManager: give --real URL")?;
    let real = Served::running(Endpoint::Url(url), options.pid);
    let Options { connections, requests, .. } = *options;
    let plan = Plan { connections, requests, warm_up: 2 * requests };
    flink::in_turn(&ours, &real, &jar()?, &plan, options.pairs).await
}

async fn measure(options: &Options) -> anyhow::Result<String> {
    let jar = jar()?;
    let Options { connections, requests, .. } = *options;
    let plan = Plan { connections, requests, warm_up: 100 };
    let ours = flink::ours(binary(options)?, &jar, &plan).await.context("measure fake-flink")?;
    let Some(url) = &options.real else {
        eprintln!("no real JobManager: `make load-flink` starts one; measured without");
        return Ok(side_by_side(&ours, None));
    };
    let served = Served::running(Endpoint::Url(url.clone()), options.pid);
    let plan = Plan { warm_up: 2 * requests, ..plan };
    let real = flink::load(&served, &jar, &plan).await.context("measure the real JobManager")?;
    Ok(side_by_side(&ours, Some(&real)))
}
