//! `load`: API servers under load. Starts `fake-kube serve` and, where it was built, the real CRD server, does the same
//! to both over real HTTP and prints what a CPU second of each brings; then the API server in this process.
//! Nothing is judged: exit code 0 when everything could be measured.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Parser;
use drey_benches::load::phases::{self, Plan};
use drey_benches::load::{
    Figures, Program, Served, Turns, beside, chart, check_pairs, in_process, in_process_table, side_by_side,
};
use drey_benches::page;

/// That of the `drey` command, unless allocations are counted.
#[cfg(not(feature = "count-allocations"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "load")]
struct Options {
    /// Our server's binary; without it, the one beside this program.
    #[arg(long, value_name = "FILE")]
    fake: Option<PathBuf>,
    /// The real CRD server's binary; without it, that of $DREY_REAL_CRD_SERVER or the one `make test-real` builds. It is
    /// left out where there is none.
    #[arg(long, value_name = "FILE")]
    real: Option<PathBuf>,
    /// Measure a server that runs already instead of starting any.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Its process id: without it there is no CPU time and no memory.
    #[arg(long, requires = "kubeconfig")]
    pid: Option<u32>,
    #[arg(long, default_value_t = 10_000)]
    objects: usize,
    #[arg(long, default_value_t = 8)]
    connections: usize,
    #[arg(long, default_value_t = 8)]
    watchers: usize,
    /// Gets; half as many status patches are made, twice.
    #[arg(long, default_value_t = 8_000)]
    requests: usize,
    #[arg(long, default_value_t = 5)]
    lists: usize,
    /// Leave out what is measured in this process.
    #[arg(long)]
    no_in_process: bool,
    /// Leave out what is measured over HTTP.
    #[arg(long)]
    no_http: bool,
    /// Further arguments of `fake-kube serve`.
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    serve: Vec<String>,
    /// Instead of the tables: ours and the real one are asked in turn, for `drey gate --ratios FILE`.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["write", "kubeconfig", "no_http"])]
    ratios: Option<PathBuf>,
    /// Pairs of samples of each kind for --ratios.
    #[arg(long, value_name = "N", default_value_t = 9, requires = "ratios")]
    pairs: usize,
    /// Rewrite the tables and the plot of docs/benchmarks.md.
    #[arg(long)]
    write: bool,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    ensure!(
        options.objects > 0 && options.connections > 0,
        "at least one object and one connection are needed"
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if let Some(file) = &options.ratios {
        check_pairs(options.pairs)?;
        return runtime.block_on(in_turn(&options))?.write(file);
    }
    let mut over_http = String::new();
    if !options.no_http {
        let (ours, real) = runtime.block_on(servers(&options))?;
        over_http = side_by_side(&ours, real.as_ref());
        println!("{over_http}");
    }
    let mut rows = Vec::new();
    if !options.no_in_process {
        let (found, checksum) = in_process::measure(&in_process::Sizes::usual())?;
        rows = found;
        println!("{}checksum {checksum:016x}", in_process_table(&rows));
    }
    if options.write {
        ensure!(!over_http.is_empty() && !rows.is_empty(), "--write needs all of the figures");
        write(&over_http, &rows)?;
    }
    Ok(())
}

fn plan(options: &Options) -> Plan {
    Plan {
        starts: 11,
        objects: options.objects,
        connections: options.connections,
        gets: options.requests,
        patches: options.requests / 2,
        watchers: options.watchers,
        lists: options.lists,
    }
}

fn ours(options: &Options) -> anyhow::Result<Program> {
    let binary = beside(options.fake.as_ref(), "fake-kube")?;
    Ok(Program::Ours { binary, arguments: options.serve.clone() })
}

async fn in_turn(options: &Options) -> anyhow::Result<Turns> {
    let binary = options.real.clone().or_else(built);
    let binary =
        binary.context("find the real CRD server: `make test-real` builds one, --real names another")?;
    let (ours, real) = (Served::start(&ours(options)?)?, Served::start(&Program::Real { binary })?);
    phases::in_turn(&ours, &real, &plan(options), options.pairs).await
}

async fn servers(options: &Options) -> anyhow::Result<(Figures, Option<Figures>)> {
    let plan = plan(options);
    if let Some(kubeconfig) = &options.kubeconfig {
        let figures = phases::load(&Served::found(kubeconfig, options.pid), &plan).await?;
        return Ok((figures, None));
    }
    let ours = phases::measure(&ours(options)?, &plan).await;
    let ours = ours.context("measure fake-kube")?;
    let Some(binary) = options.real.clone().or_else(built) else {
        eprintln!("no real CRD server: `make test-real` builds one, --real names another; measured without");
        return Ok((ours, None));
    };
    let real = phases::measure(&Program::Real { binary }, &Plan { starts: 3, ..plan }).await;
    Ok((ours, Some(real.context("measure the real CRD server")?)))
}

/// The one named, or the one where ci/test-real puts it.
fn built() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("DREY_REAL_CRD_SERVER") {
        return Some(path.into());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/real-crd-server/real-crd-server");
    path.is_file().then_some(path)
}

fn write(over_http: &str, rows: &[drey_benches::load::Row]) -> anyhow::Result<()> {
    let head = page::machine();
    let lines = [
        (in_process::NOBODY, "nobody watches", "#0b6bcb"),
        (in_process::STRANGERS, "1,000 watch other things", "#3a8a3a"),
        (in_process::INTERESTED, "8 watch the namespace", "#c4541c"),
    ];
    page::write_plot("load.svg", &chart(rows, &lines))?;
    page::rewrite(&[("load", format!("{head}\n{over_http}")), ("in-process", in_process_table(rows))])
}
