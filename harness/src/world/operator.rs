//! The operator under test: started, crashed at an exact request, paused, joined by a second one. Ours in this process, or
//! any program that takes a kubeconfig.

mod command;
mod in_process;

use std::sync::Arc;

use drey_language::events::{Kind, Lane};
use drey_operator::{FlinkTransport, LeaseConfig, PassObserver};

use super::clock::ScenarioClock;
use super::journal::Journal;

pub use command::{CommandLine, Surroundings};
pub use in_process::ApiAccess;

/// How to make an operator; the same for every start.
#[derive(Clone)]
pub struct Blueprint {
    pub program: Program,
    pub flink: Arc<dyn FlinkTransport>,
    pub clock: ScenarioClock,
    pub journal: Journal,
    pub config: drey_blueprint::config::OperatorConfig,
    pub observer: Arc<dyn PassObserver>,
    pub leader_election: Option<LeaseConfig>,
    /// Resources looked at at the same time; 1 in virtual time.
    pub concurrency: u16,
}

/// Whose code runs.
#[derive(Clone)]
pub enum Program {
    /// Ours, in this process, by this way to the API server.
    InProcess(ApiAccess),
    /// A program of its own.
    Command(Arc<CommandLine>, Arc<Surroundings>),
}

/// What can be done to a process, whatever it is made of.
trait Process: Send {
    /// Dies at once.
    fn crash(&self);
    fn is_dead(&self) -> bool;
    /// Whether it works, rather than wait for the lease.
    fn leads(&self) -> bool;
    /// A handle that kills it if it leads, for fault rules.
    fn killer(&self) -> Box<dyn Fn() + Send + Sync>;
    /// Stands still from now on.
    fn pause(&self);
    fn resume(&self);
    /// Asks it to stop as SIGTERM does.
    fn terminate(&mut self);
}

/// One operator process. Dropping it is a crash.
pub struct OperatorProcess {
    pub identity: String,
    is_retired: bool,
    process: Box<dyn Process>,
}

impl OperatorProcess {
    pub fn start(blueprint: &Blueprint, identity: &str) -> OperatorProcess {
        let process: Box<dyn Process> = match &blueprint.program {
            Program::InProcess(api) => Box::new(in_process::InProcess::start(blueprint, api, identity)),
            Program::Command(line, surroundings) => {
                Box::new(command::Command::start(line, surroundings, &blueprint.journal, identity))
            }
        };
        let text = format!("{identity} starts");
        blueprint.journal.push(blueprint.journal.event(Lane::Operator, Kind::Process, text));
        OperatorProcess { identity: identity.to_owned(), is_retired: false, process }
    }

    pub fn crash(&self) {
        self.process.crash();
    }

    pub fn is_dead(&self) -> bool {
        self.process.is_dead()
    }

    /// It was asked to stop and has no successor to come.
    pub fn is_retired(&self) -> bool {
        self.is_retired
    }

    pub fn leads(&self) -> bool {
        self.process.leads()
    }

    pub fn killer(&self) -> Box<dyn Fn() + Send + Sync> {
        self.process.killer()
    }

    pub fn pause(&self) {
        self.process.pause();
    }

    pub fn resume(&self) {
        self.process.resume();
    }

    pub fn terminate(&mut self) {
        self.is_retired = true;
        self.process.terminate();
    }
}
