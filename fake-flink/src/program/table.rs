//! Programs by entry class: what `main()` does, under which arguments.

use super::job::Job;
use super::known;
use crate::throwable::{Throwable, class};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq)]
pub enum Behaviour {
    Job(Job),
    /// `main()` calls `execute()` more than once.
    Jobs {
        jobs: Vec<Job>,
        execution: Execution,
    },
    /// `main()` throws.
    Throws(Throwable),
    /// `main()` returns without a job.
    NoJob,
    /// There is no `main()`.
    NotMain,
}

/// How a `main()` with several jobs runs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Execution {
    /// `execute()`: the next job is submitted when the one before is over.
    OneAfterAnother,
    /// `executeAsync()`: all at once.
    AllAtOnce,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    pub behaviour: Behaviour,
}

impl Program {
    pub fn job(job: Job) -> Program {
        Program { behaviour: Behaviour::Job(job) }
    }

    /// The behaviour under these arguments.
    pub fn with_args(&self, args: &[String]) -> Behaviour {
        match &self.behaviour {
            Behaviour::Job(job) => Behaviour::Job(job.clone().with_args(args)),
            Behaviour::Jobs { jobs, execution } => {
                // Each job keeps its own name: one `--name` for all would make them indistinguishable.
                let named = |job: &Job| Job { name: job.name.clone(), ..job.clone().with_args(args) };
                Behaviour::Jobs { jobs: jobs.iter().map(named).collect(), execution: *execution }
            }
            Behaviour::Throws(t) if t.message.as_deref() == Some(REFUSED) => {
                Behaviour::Throws(Throwable::new(&t.class, format!("{REFUSED}{}", args.join(","))))
            }
            other => other.clone(),
        }
    }
}

/// `conformance.MainThrows` names its arguments.
const REFUSED: &str = "main refused ";

/// Programs by entry class, and one for every class that is not named.
#[derive(Clone, Debug, PartialEq)]
pub struct ProgramTable {
    by_class: BTreeMap<String, Program>,
    default: Program,
}

impl Default for ProgramTable {
    fn default() -> ProgramTable {
        let mut table = ProgramTable { by_class: BTreeMap::new(), default: Program::job(known::default()) };
        for (class, topology) in known::BY_CLASS {
            table.insert(class, Program::job(topology()));
        }
        let refused = Throwable::new(class::ILLEGAL_ARGUMENT, REFUSED);
        table.insert("conformance.MainThrows", Program { behaviour: Behaviour::Throws(refused) });
        table.insert("conformance.NoJob", Program { behaviour: Behaviour::NoJob });
        for class in ["conformance.NotMain", "conformance.Common"] {
            table.insert(class, Program { behaviour: Behaviour::NotMain });
        }
        table
    }
}

impl ProgramTable {
    pub fn insert(&mut self, class: &str, program: Program) {
        self.by_class.insert(class.to_owned(), program);
    }

    pub fn set_default(&mut self, program: Program) {
        self.default = program;
    }

    pub fn find(&self, class: Option<&str>) -> &Program {
        class.and_then(|c| self.by_class.get(c)).unwrap_or(&self.default)
    }
}
