//! The `drey` command: reads the command line, hands over to one file per word, turns the result into an exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod arguments;
mod cluster;
mod endpoint;
mod explain;
mod fault;
mod flink;
mod gate;
mod lint;
mod list;
mod place;
mod play;
mod replay;
mod run;
mod schema;
mod show;

/// A simulation is mostly the coming and going of small JSON values.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs Flink deployments through failures, upgrades and crashes against the real reconciler, without a cluster:
/// scenarios in YAML, virtual time, the same run for the same seed.
#[derive(Parser)]
#[command(name = "drey", version, max_term_width = 110, after_long_help = EXAMPLES, after_help = SHORT_EXAMPLES)]
struct Command {
    #[command(subcommand)]
    word: Word,
}

#[derive(Subcommand)]
enum Word {
    Run(run::Arguments),
    Play(play::Arguments),
    Cluster(cluster::Arguments),
    Fault(fault::Arguments),
    Flink(flink::Arguments),
    List(list::Arguments),
    Lint(lint::Arguments),
    Explain(explain::Arguments),
    Gate(Box<gate::Arguments>),
    Replay(replay::Arguments),
    Schema(schema::Arguments),
    ExplainStep(schema::StepArguments),
}

const SHORT_EXAMPLES: &str = "`drey --help` shows examples, `drey run --help` all about running.";

const EXAMPLES: &str = "\
Examples:
  drey run                                     the whole library below scenarios/
  drey run scenarios/upgrade --report out      one theme, with a report to open in a browser: out/index.html
  drey run --filter 'tag:upgrade !loopback'    by tag, name or text
  drey play                                    a cluster on a port, for kubectl
  drey fault add --verb patch --status 409     break its API server while it runs
  drey cluster up                              a real one: k3d, kind, Colima, or yours
  drey flink fault app 'checkpoint: {stall: true}'   break a running fake Flink
  drey list                                    what there is
  drey explain scenarios/upgrade/x.yaml        why the reconciler did what it did, pass by pass
  drey replay scenarios/upgrade/x.yaml --seed 7   one run again, told in full
  drey gate --report out --baseline gate.json   worse than what is stored? one answer for CI
  drey explain-step savepoint                  a word of the scenario language with all its keys
  drey schema > scenario.schema.json           for completion in editors

Exit codes: 0 all passed; 1 something failed; 2 nothing ran, because of the command line, a file, or an empty choice;
3 `gate` cannot tell.";

fn main() -> ExitCode {
    let result = match Command::parse().word {
        Word::Run(arguments) => run::run(&arguments),
        Word::Cluster(arguments) => cluster::run(&arguments),
        Word::Play(arguments) => play::run(&arguments),
        Word::Fault(arguments) => fault::run(&arguments),
        Word::Flink(arguments) => flink::run(&arguments),
        Word::List(arguments) => list::run(&arguments),
        Word::Lint(arguments) => lint::run(&arguments),
        Word::Explain(arguments) => explain::run(&arguments),
        Word::Gate(arguments) => gate::run(&arguments),
        Word::Replay(arguments) => replay::run(&arguments),
        Word::Schema(arguments) => schema::run(&arguments),
        Word::ExplainStep(arguments) => schema::explain_step(&arguments),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is gone too, nobody is left to tell.
            let _ = writeln!(io::stderr(), "error: failed to {error:#}");
            ExitCode::from(2)
        }
    }
}

/// `drey list | head`: whoever read the output has had enough, which is no failure. Words that give a verdict say it all the
/// same (`arguments::Regardless`).
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.into_iter().any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Command::command().debug_assert();
    }
}
