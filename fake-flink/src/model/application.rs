//! Application mode: `main()` in the JobManager, the jobs it executes, and what their ends mean for the process.
//!
//! `ApplicationDispatcherBootstrap` of all recorded versions: with HA or a fixed job id there may be one job only, its
//! id fixed or derived from the cluster id; otherwise `main()` may execute several, each with a random id.

use super::api::Mode;
use super::boot::{default_parallelism, restore_of};
use super::checks;
use super::cluster::{Cluster, JobTimer, Timer};
use super::facts::Phase;
use super::state::JobState;
use super::submission::Submission;
use crate::logs::Level;
use crate::program::{Behaviour, Execution, Job};
use crate::throwable::{Throwable, class};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const BOOTSTRAP: &str = "ApplicationDispatcherBootstrap";
const APPLICATION_EXECUTION: &str =
    "org.apache.flink.client.deployment.application.ApplicationExecutionException";
/// What `execute()` says when it is called again where only one job is allowed.
pub(crate) const ONE_EXECUTE: &str =
    "Cannot have more than one execute() or executeAsync() call in a single environment.";

/// What is left of `main()`.
#[derive(Debug, Default)]
pub(crate) struct Application {
    /// Jobs it has yet to execute.
    ahead: VecDeque<Job>,
    /// Jobs it waits for.
    open: BTreeSet<String>,
    /// How often it called `execute()`.
    executed: u32,
}

impl Cluster {
    pub(super) fn main_method(&mut self) {
        if self.phase != Phase::Leading {
            return;
        }
        if !self.application.ahead.is_empty() {
            return self.execute_next();
        }
        let Mode::Application { main_class, args, .. } = &self.mode else { return };
        let behaviour = self.programs.find(main_class.as_deref()).with_args(args);
        let (jobs, execution) = match behaviour {
            Behaviour::Throws(cause) => return self.main_failed(main_error(cause)),
            Behaviour::NoJob => {
                let none = "The application contains no execute() calls.";
                return self.main_failed(Throwable::new(APPLICATION_EXECUTION, none));
            }
            Behaviour::NotMain => {
                let none = "The given program class does not have a main(String[]) method.";
                return self.main_failed(Throwable::new(class::PROGRAM_INVOCATION, none));
            }
            Behaviour::Job(job) => (vec![job], Execution::OneAfterAnother),
            Behaviour::Jobs { jobs, execution } => (jobs, execution),
        };
        if let Err(cause) = checks::in_main(&self.conf.overlaid(&BTreeMap::new()), self.version) {
            return self.main_failed(main_error(cause));
        }
        self.application.ahead = jobs.into();
        match execution {
            Execution::OneAfterAnother => self.execute_next(),
            Execution::AllAtOnce => {
                while !self.application.ahead.is_empty() && !self.phase.is_exited() {
                    self.execute_next();
                }
            }
        }
    }

    /// `execute()` for the next job of `main()`.
    fn execute_next(&mut self) {
        let Some(mut program) = self.application.ahead.pop_front() else { return };
        self.application.executed += 1;
        let is_first = self.application.executed == 1;
        if !is_first && self.is_single_job() {
            return self.main_failed(main_error(Throwable::new(class::FLINK_RUNTIME, ONE_EXECUTE)));
        }
        let id = if is_first { self.application_job_id() } else { self.ids.hex32() };
        if self.ha_result_of(&id).is_some() {
            // Public knowledge: the submission is refused as globally terminated, the bootstrap tolerates it.
            self.log_at(Level::Warn, "Dispatcher", format!("Ignoring job submission ({id}) because the job already reached a globally-terminal state (i.e. FAILED, CANCELED, FINISHED) in a previous execution."));
            return self.application_over(JobState::Finished);
        }
        if self.jobs.contains_key(&id) {
            self.application.open.insert(id.clone());
            return self.log(BOOTSTRAP, format!("Job {id} was recovered successfully."));
        }
        let conf = self.conf.overlaid(&BTreeMap::new());
        match program.clone().in_mode(&conf, self.version) {
            Ok(made) => program = made,
            Err(cause) => return self.main_failed(main_error(cause)),
        }
        let has_class = matches!(&self.mode, Mode::Application { main_class: Some(_), .. });
        if let Some(name) = conf.get("pipeline.name").filter(|_| !has_class) {
            program.name = name.to_owned();
        }
        let restore = restore_of(&conf);
        self.log("EmbeddedExecutor", format!("Submitting Job with JobId={id}."));
        let parallelism = default_parallelism(&conf);
        self.accept(Submission { id: id.clone(), program, parallelism, conf, restore });
        self.log("EmbeddedExecutor", format!("Job {id} is submitted."));
        self.application.open.insert(id.clone());
        let wait = self.draw(self.knobs.job_init);
        self.job_after(&id, wait, JobTimer::Initialize);
    }

    fn is_single_job(&self) -> bool {
        self.ha.enabled || self.fixed_job_id().is_some()
    }

    fn fixed_job_id(&self) -> Option<String> {
        self.conf.get("$internal.pipeline.job-id").and_then(crate::ids::parse_hex32)
    }

    /// The configured id, or with HA the one derived from the cluster id, or a random one.
    fn application_job_id(&mut self) -> String {
        match self.fixed_job_id() {
            Some(id) => id,
            None if self.ha.enabled => {
                // `new JobID(clusterId.hashCode(), 0)`: Java's hash, sign-extended.
                let hash = self
                    .ha
                    .cluster_id()
                    .encode_utf16()
                    .fold(0i32, |h, c| h.wrapping_mul(31).wrapping_add(i32::from(c)));
                format!("{:016x}{:016x}", i64::from(hash), 0)
            }
            None => self.ids.hex32(),
        }
    }

    /// `main()` threw: a FAILED `(application driver)` job where that is asked for, else the process ends.
    fn main_failed(&mut self, cause: Throwable) {
        self.application.ahead.clear();
        let fixed = self.fixed_job_id();
        self.log_at(Level::Warn, BOOTSTRAP, format!("Application failed unexpectedly: \n{}", cause.trace()));
        let submits = self.conf.bool("execution.submit-failed-job-on-application-error", false);
        match fixed.filter(|id| submits && !self.jobs.contains_key(id)) {
            Some(id) => {
                self.submit_driver_failure(&id, cause);
                self.application_over(JobState::Failed);
            }
            None => self.fatal("Application failed unexpectedly."),
        }
    }

    /// A job of the application ended: `main()` goes on, or fails with it, or has nothing more to wait for.
    pub(super) fn application_job_over(&mut self, job: &str, state: JobState) {
        let is_application = matches!(self.mode, Mode::Application { .. });
        if !is_application || self.jobs.get(job).is_some_and(|j| j.driver_only) {
            return;
        }
        self.application.open.remove(job);
        if state != JobState::Finished {
            self.application.ahead.clear();
            self.application_over(state);
        } else if !self.application.ahead.is_empty() {
            let wait = self.draw(self.knobs.main_method);
            self.after(wait, Timer::Main);
        } else if self.application.open.is_empty() {
            self.application_over(state);
        }
    }

    /// All jobs are over, or there never was one.
    pub(super) fn application_over(&mut self, state: JobState) {
        let (text, status, code) = match state {
            JobState::Finished => ("Application completed SUCCESSFULLY", "SUCCEEDED", 0),
            JobState::Canceled => ("Application CANCELED:", "CANCELED", 0),
            _ => ("Application FAILED:", "FAILED", 1443 & 0xff),
        };
        self.log(BOOTSTRAP, text);
        if self.conf.bool("execution.shutdown-on-application-finish", true) {
            self.shut_down(status, code);
        }
    }
}

pub(crate) fn main_error(cause: Throwable) -> Throwable {
    let text = cause.message.clone().unwrap_or_else(|| cause.class.clone());
    Throwable::new(class::PROGRAM_INVOCATION, format!("The main method caused an error: {text}"))
        .caused_by(cause)
}
