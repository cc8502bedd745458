//! `drey cluster`: real clusters for scenarios. What is done is in `drey_clusters`; here is the command line.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use drey_clusters::{
    ClusterFile, Clusters, Health, Host, Permission, Problem, Processes, Provider, Status, Which, interrupt,
    name,
};
use drey_language::duration;

use crate::arguments::show_diagnostics;

/// Make, look at and remove real clusters: k3d, kind, Colima, or one that is there already.
///
/// Drives the tools' own commands and keeps each cluster's kubeconfig apart from yours. Changes nothing on a cluster
/// that it did not make, unless its context is named with --yes-use-context.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES, after_help = "`drey cluster --help` shows examples.")]
pub struct Arguments {
    #[command(subcommand)]
    word: Word,
}

#[derive(Subcommand)]
enum Word {
    /// Make the cluster what the file says; what is there already stays.
    Up(Up),
    /// Remove a cluster that `up` made; from somebody else's cluster, what `up` put there.
    Down(Name),
    /// What clusters there are, and whether they answer.
    Status(Look),
    /// Give images of the local engine to the nodes.
    LoadImage(Load),
    /// Remove what killed and finished runs left behind.
    Prune(Prune),
}

#[derive(clap::Args)]
struct Up {
    /// The cluster file; docs/clusters.md shows all it can say. Default: a small cluster with the CRDs.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Who makes it. Default: as the file says, else whatever this machine has.
    #[arg(long, value_name = "PROVIDER", value_parser = Provider::check)]
    provider: Option<String>,
    /// Its name, over that of the file. Default: drey.
    #[arg(long)]
    name: Option<String>,
    /// Append a random word to the name: runs beside each other get a cluster each, and `prune` removes it one day.
    #[arg(long)]
    unique: bool,
    /// Put the context into your kubeconfig, too; its current context stays.
    #[arg(long)]
    merge: bool,
    /// Use this context although drey did not make its cluster.
    #[arg(long, value_name = "NAME")]
    yes_use_context: Option<String>,
}

#[derive(clap::Args)]
struct Name {
    /// The cluster's name.
    #[arg(long, default_value = "drey")]
    name: String,
}

#[derive(clap::Args)]
struct Look {
    /// Only this cluster; exit code 1 unless it is ready.
    #[arg(long)]
    name: Option<String>,
}

#[derive(clap::Args)]
struct Load {
    /// Images as the local engine knows them.
    #[arg(required = true)]
    images: Vec<String>,
    /// The cluster's name.
    #[arg(long, default_value = "drey")]
    name: String,
}

#[derive(clap::Args)]
struct Prune {
    /// Every cluster that drey made, on this engine and by its records.
    #[arg(long)]
    all: bool,
    /// Age from which clusters made with --unique count as finished.
    #[arg(long, value_name = "DURATION", default_value = "6h", value_parser = age)]
    older_than: Duration,
    /// Only say what would be removed.
    #[arg(long)]
    dry_run: bool,
}

const EXAMPLES: &str = "\
Examples:
  drey cluster up                                    what this machine has; says what it chose
  drey cluster up --provider kind --config cluster.yaml
  export KUBECONFIG=$(drey cluster up)               it prints the kubeconfig's path, no more
  drey cluster up --provider kubeconfig --yes-use-context staging
  drey cluster load-image drey-operator:dev fake-flink:dev
  drey cluster up --unique                           a cluster of its own for a run beside others
  drey cluster prune                                 after kill -9, or a machine that went down
  drey cluster down

Exit codes: 0 done; 1 it could not be done, and why; 2 the command line or the cluster file is wrong; 130 Ctrl-C.";

pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let host = Host::of_process();
    let runner = Processes::new(interrupt::on_signals()?).showing();
    // Standard output is for what scripts read.
    let say = |text: &str| drop(writeln!(io::stderr(), "  {text}"));
    let clusters = Clusters::new(&runner, &host, &say);
    let done = match &arguments.word {
        Word::Up(arguments) => return up(&clusters, arguments),
        Word::Down(which) => clusters.down(&which.name).map(|was_there| down_text(&which.name, was_there)),
        Word::Status(look) => clusters.status(look.name.as_deref()).map(|found| status_text(&found)),
        Word::LoadImage(load) => clusters.load_images(&load.name, &load.images).map(|()| (String::new(), 0)),
        Word::Prune(prune) => {
            clusters.prune(&prune.which(), prune.dry_run).map(|found| (prune.text(&found), 0))
        }
    };
    finish(done)
}

fn finish(done: Result<(String, u8), Problem>) -> anyhow::Result<u8> {
    match done {
        Ok((text, code)) => {
            io::stdout().write_all(text.as_bytes())?;
            Ok(code)
        }
        Err(problem) => {
            writeln!(io::stderr(), "error: failed to {problem}")?;
            let is_interrupted = problem.trouble == drey_clusters::Trouble::Interrupted;
            Ok(if is_interrupted { interrupt::INTERRUPTED } else { 1 })
        }
    }
}

fn up(clusters: &Clusters<'_>, arguments: &Up) -> anyhow::Result<u8> {
    let file = match arguments
        .config
        .as_deref()
        .map(ClusterFile::read)
        .unwrap_or_else(|| Ok(ClusterFile::default()))
    {
        Ok(file) => file,
        Err(problems) => {
            show_diagnostics([&problems])?;
            return Ok(2);
        }
    };
    let name = arguments.name.clone().unwrap_or(file.name);
    if let Err(problem) = name::check(&name) {
        writeln!(io::stderr(), "error: failed to {problem}")?;
        return Ok(2);
    }
    let name =
        if arguments.unique { name::unique(&name, RandomState::new().build_hasher().finish()) } else { name };
    let provider = arguments.provider.as_deref().map_or(file.provider, Provider::named);
    let permission = Permission {
        context: arguments.yes_use_context.clone(),
        merge: arguments.merge,
        is_temporary: arguments.unique,
    };
    let done = clusters.up(&ClusterFile { name, provider, ..file }, &permission);
    finish(done.map(|ready| {
        let told =
            format!("  cluster `{}` is ready: {}, context {}", ready.name, ready.provider, ready.context);
        drop(writeln!(io::stderr(), "{told}"));
        (format!("{}\n", ready.kubeconfig.display()), 0)
    }))
}

fn down_text(name: &str, was_there: bool) -> (String, u8) {
    let text = if was_there {
        format!("cluster `{name}` is gone\n")
    } else {
        format!("there is no cluster `{name}`\n")
    };
    (text, 0)
}

fn status_text(found: &[Status]) -> (String, u8) {
    if found.is_empty() {
        return ("no clusters; `drey cluster up` makes one\n".to_owned(), 0);
    }
    let line = |status: &Status| {
        let health = match &status.health {
            Health::Ready(version) => format!("ready, Kubernetes {version}"),
            Health::HalfMade => "half made: `up` again, or `prune`".to_owned(),
            Health::NotReady(problem) => format!("not ready: {}", problem.why),
        };
        let kubeconfig = status.kubeconfig.display();
        format!(
            "{}  {}  context {}  {kubeconfig}\n  {health}\n",
            status.name, status.provider, status.context
        )
    };
    let is_ready = |status: &Status| matches!(status.health, Health::Ready(_));
    (found.iter().map(line).collect(), u8::from(!found.iter().all(is_ready)))
}

impl Prune {
    fn which(&self) -> Which {
        if self.all { Which::All } else { Which::Strays { older_than: self.older_than } }
    }

    fn text(&self, found: &drey_clusters::Pruned) -> String {
        let done = if self.dry_run { "would remove" } else { "removed" };
        let mut text: String = found.removed.iter().map(|name| format!("{done} {name}\n")).collect();
        for name in &found.of_others {
            text.push_str(&format!(
                "left {name}: made by a drey with other records; --all removes it, too\n"
            ));
        }
        if text.is_empty() { "nothing to remove\n".to_owned() } else { text }
    }
}

fn age(text: &str) -> Result<Duration, String> {
    duration::parse(text).map_err(|error| format!("{error}; {}", duration::UNIT_HELP))
}
