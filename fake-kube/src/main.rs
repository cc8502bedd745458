//! `fake-kube serve`: the simulated cluster on a loopback port, for kubectl, browsers and other operators.

mod clock;
mod contain;
mod serve;

use clap::{Parser, Subcommand};

/// A simulated Kubernetes cluster in one process.
#[derive(Parser)]
#[command(name = "fake-kube", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a cluster until interrupted; prints one line `ready <url>` when it can be used.
    Serve(Box<serve::Serve>),
    #[command(hide = true)]
    Contain(contain::Contain),
}

fn main() -> anyhow::Result<()> {
    let options = match Cli::parse().command {
        Command::Serve(options) => options,
        Command::Contain(contain) => return contain::run(&contain),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve::run(*options))
}
