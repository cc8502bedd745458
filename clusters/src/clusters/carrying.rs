//! Carries out plans: runs, writes, asks again, takes back.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::{Clusters, io_problem};
use crate::call::Call;
use crate::engine::ask;
use crate::explain;
use crate::host::write_private;
use crate::plan::{Plan, Step};
use crate::problem::{Problem, Trouble};

/// How often a cluster that comes up is asked.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// For how long an engine may go on with what a client that was cut off had asked for.
const SETTLES: Duration = Duration::from_secs(2);

impl Clusters<'_> {
    pub(super) fn carry_out(&self, plan: &Plan, wait: Duration) -> Result<(), Problem> {
        for step in &plan.steps {
            if let Err(problem) = self.take(step, wait) {
                return Err(self.take_back(&plan.undo, problem));
            }
        }
        Ok(())
    }

    fn take(&self, step: &Step, wait: Duration) -> Result<(), Problem> {
        match step {
            Step::Run { doing, call } => {
                (self.say)(doing);
                ask(self.runner, call, doing).map(drop)
            }
            Step::Write { path, text } => self.write(path, text),
            Step::Keep { doing, call, path } => {
                let outcome = ask(self.runner, call, doing)?;
                self.write(path, &outcome.stdout)
            }
            Step::Until { doing, call } => {
                (self.say)(doing);
                self.until(call, doing, wait)
            }
        }
    }

    /// What may get better by itself is asked again; a wrong certificate does not.
    fn until(&self, call: &Call, doing: &str, wait: Duration) -> Result<(), Problem> {
        let start = Instant::now();
        loop {
            let problem = match ask(self.runner, call, doing) {
                Ok(_) => return Ok(()),
                Err(problem) => problem,
            };
            let may_come =
                matches!(problem.trouble, Trouble::Unreachable | Trouble::Other | Trouble::TookTooLong);
            if !may_come || start.elapsed() + ASK_AGAIN > wait {
                return Err(problem);
            }
            thread::sleep(ASK_AGAIN);
        }
    }

    fn take_back(&self, undo: &[Call], problem: Problem) -> Problem {
        if undo.is_empty() {
            return problem;
        }
        (self.say)("taking back what was begun");
        let take_all = || -> Vec<String> {
            undo.iter().filter_map(|call| self.gone(call).err()).map(|p| p.why).collect()
        };
        let mut failed = take_all();
        if matches!(problem.trouble, Trouble::Interrupted | Trouble::TookTooLong) {
            // A node that the engine was still making is not there to be removed the first time.
            thread::sleep(SETTLES);
            failed = take_all();
        }
        match failed.is_empty() {
            true => problem.and("What was begun is taken back"),
            false => problem.and("Something could not be taken back: run `drey cluster prune`"),
        }
    }

    /// Runs a removal. What is gone already is as wanted.
    pub(super) fn gone(&self, call: &Call) -> Result<(), Problem> {
        let doing = format!("run `{call}`");
        let outcome = self.runner.run(call).map_err(|error| explain::cut(&doing, &error))?;
        let said = outcome.stderr.to_lowercase();
        // docker of containers and volumes, docker of networks, kubectl of entries of a kubeconfig.
        let is_gone = ["no such", "not found", ", not in "].iter().any(|text| said.contains(text));
        if outcome.is_success() || is_gone {
            return Ok(());
        }
        Err(explain::exit(&doing, call, &outcome))
    }

    pub(super) fn write(&self, path: &Path, text: &str) -> Result<(), Problem> {
        write_private(path, text).map_err(|error| io_problem("write a file", path, &error))
    }
}
