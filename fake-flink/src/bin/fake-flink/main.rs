//! The `fake-flink` command: reads the command line, hands over to one file per form, turns the result into an exit code.
//! Under the names of the image's own scripts it is what they start (`entrypoint.rs`).

#[cfg(feature = "kubernetes")]
mod chronicle;
mod clusters;
#[cfg(feature = "kubernetes")]
mod entrypoint;
mod serve;
mod shape;
mod signals;
mod storage;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A Flink JobManager without a JVM: its REST API over a model of its jobs.
#[derive(Parser)]
#[command(name = "fake-flink", version, after_long_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(Box<serve::Serve>),
}

const EXAMPLES: &str = "\
Examples:
  fake-flink serve --session                             a session cluster on 127.0.0.1:8081
  fake-flink serve --flink 2.2 --listen 127.0.0.1:0      an application on a free port
  fake-flink serve --session --storage ./state           snapshots that survive a restart
  fake-flink serve --session --control 127.0.0.1:0       to break it meanwhile: docs/fake-flink.md
  fake-flink serve --session --cluster a --cluster b     two of them: http://a.localhost:8081, http://b.localhost:8081
  fake-flink serve --clusters many.yaml                  hundreds, each as the file says

Exit codes: that of the JobManager (143 after SIGTERM); 2 it did not start.";

fn main() -> ExitCode {
    match run() {
        // The shell sees the low byte, as of the real process.
        Ok(code) => ExitCode::from((code & 0xff) as u8),
        Err(error) => {
            // Where standard error is gone too, nobody is left to tell.
            let _ = writeln!(std::io::stderr(), "error: failed to {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> anyhow::Result<i32> {
    #[cfg(feature = "kubernetes")]
    if let Some(words) = entrypoint::words(&std::env::args().collect::<Vec<_>>()) {
        return entrypoint::run(&words);
    }
    let Command::Serve(serve) = Arguments::parse().command;
    serve::run(&serve)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
