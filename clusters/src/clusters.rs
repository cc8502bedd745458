//! The clusters of this machine: one method per word of `drey cluster`. What is to be done is decided by `choose` and
//! `plan`; here it is looked, carried out and recorded.

mod carrying;
mod making;
mod removing;
mod using;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::call::Runner;
use crate::engine::{Engine, ask};
use crate::host::{Host, Place};
use crate::maker::{Maker, Presence};
use crate::problem::{Problem, Trouble};
use crate::record::{self, Lock, Record};

/// The clusters of this machine.
pub struct Clusters<'a> {
    runner: &'a dyn Runner,
    host: &'a Host,
    /// Takes what is said while something takes its time.
    say: &'a dyn Fn(&str),
}

/// What `up` may do beside making the cluster.
#[derive(Clone, Debug, Default)]
pub struct Permission {
    /// A context that may be changed although drey did not make its cluster.
    pub context: Option<String>,
    /// Put the context into the user's kubeconfig, too.
    pub merge: bool,
    /// The cluster is for one run.
    pub is_temporary: bool,
}

/// A cluster that is ready.
#[derive(Clone, Debug, PartialEq)]
pub struct Ready {
    pub name: String,
    pub provider: &'static str,
    pub context: String,
    pub kubeconfig: PathBuf,
}

/// What `status` tells of one cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    pub name: String,
    pub provider: &'static str,
    pub context: String,
    pub kubeconfig: PathBuf,
    pub health: Health,
}

/// What `prune` is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Which {
    /// What was given up halfway, and what was made for one run this long ago.
    Strays { older_than: Duration },
    /// Every cluster of ours, those claimed on the engine from elsewhere, too.
    All,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pruned {
    pub removed: Vec<String>,
    /// Claimed on this engine by a drey with other records: another user or machine, or a home that is gone.
    pub of_others: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Health {
    /// With the version of Kubernetes.
    Ready(String),
    /// An `up` was given up halfway, or is under way.
    HalfMade,
    NotReady(Problem),
}

impl<'a> Clusters<'a> {
    pub fn new(runner: &'a dyn Runner, host: &'a Host, say: &'a dyn Fn(&str)) -> Clusters<'a> {
        Clusters { runner, host, say }
    }

    fn presence(&self, name: &str, maker: Maker, engine: &Engine) -> Result<Presence, Problem> {
        let doing = format!("list the clusters of {}", maker.program());
        let outcome = ask(self.runner, &maker.list(engine), &doing)?;
        Ok(maker.presence(&outcome.stdout, name))
    }

    fn marks(&self, engine: &Engine) -> Result<Vec<(String, Maker)>, Problem> {
        let outcome = ask(self.runner, &record::marks(engine), "look for clusters of ours")?;
        Ok(record::parse_marks(&outcome.stdout))
    }

    fn lock(&self, place: &Place) -> Result<Lock, Problem> {
        let taken =
            Lock::take(place).map_err(|error| io_problem("lock the cluster", &place.folder, &error))?;
        taken.ok_or_else(|| {
            let why = "another `drey cluster` is at work on it";
            let next = "wait for it, or give each run a cluster of its own with --unique";
            Problem::new(Trouble::InUse, format!("change cluster `{}`", place.name), why, next)
        })
    }

    fn keep(&self, record: &Record, place: &Place) -> Result<(), Problem> {
        record.save(place).map_err(|error| io_problem("record the cluster", &place.record(), &error))
    }
}

fn io_problem(doing: &str, path: &Path, error: &std::io::Error) -> Problem {
    let is_full = error.kind() == std::io::ErrorKind::StorageFull;
    let trouble = if is_full { Trouble::OutOfDisk } else { Trouble::Other };
    let next = "see that the folder can be written, or set DREY_STATE to another one";
    Problem::new(trouble, doing, format!("{}: {error}", path.display()), next)
}
