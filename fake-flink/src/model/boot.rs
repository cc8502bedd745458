//! The life of the process: start, leadership, recovery of jobs, the end. `main()` is in `application.rs`.
//!
//! Order of events and log lines as recorded (reference, sections 5 and 6). Exit codes are those the operating system
//! sees: 1443 becomes 163.

use super::api::{Effect, JobFact, Mode, ResourceManager};
use super::application::Application;
use super::cluster::{Cluster, JobTimer, Timer};
use super::facts::Phase;
use super::job::{ClaimMode, Restore};
use super::state::JobState;
use super::submission::Submission;
use crate::conf::Conf;
use crate::logs::Level;
use crate::storage::Plan;

const ENTRYPOINT: &str = "ClusterEntrypoint";
/// `ClusterEntrypoint.RUNTIME_FAILURE_RETURN_CODE`.
const FATAL: i32 = 2;

impl Cluster {
    pub(super) fn entrypoint_class(&self) -> &'static str {
        match (&self.mode, self.resources) {
            (Mode::Application { .. }, ResourceManager::Native) => "KubernetesApplicationClusterEntrypoint",
            (Mode::Application { .. }, ResourceManager::Standalone) => {
                "StandaloneApplicationClusterEntryPoint"
            }
            (Mode::Session, ResourceManager::Native) => "KubernetesSessionClusterEntrypoint",
            (Mode::Session, ResourceManager::Standalone) => "StandaloneSessionClusterEntrypoint",
        }
    }

    pub(super) fn boot(&mut self) {
        let (entrypoint, version) = (self.entrypoint_class(), self.version);
        self.log(ENTRYPOINT, format!("Starting {entrypoint}."));
        let banner =
            format!(" Starting {entrypoint} (Version: {version}, Scala: 2.12, Rev:{})", version.commit());
        self.log(ENTRYPOINT, banner);
        let wait = self.draw(self.knobs.rest_up);
        self.after(wait, Timer::RestUp);
    }

    pub(super) fn rest_up(&mut self) {
        self.phase = Phase::Electing;
        let (ip, port) = (self.pod_ip.clone(), self.rest_port());
        self.log("RestEndpoint", format!("Rest endpoint listening at {ip}:{port}"));
        self.elect();
    }

    /// A lock left by an earlier leader is waited for: nobody releases it, not even a graceful stop (recorded).
    fn elect(&mut self) {
        self.ha.await_lock();
        let mut wait = self.draw(self.knobs.leader_ready);
        if self.ha.enabled && self.ha.foreign_lock().is_some() {
            wait += match self.knobs.lease_wait {
                Some(delay) => self.draw(delay),
                None => self.lease_ms(),
            };
        }
        self.after(wait, Timer::Leader);
    }

    pub(super) fn leader(&mut self) {
        if self.phase != Phase::Electing {
            return;
        }
        if self.ha.is_renewed_by_another() {
            return self.elect();
        }
        self.phase = Phase::Leading;
        self.ha_granted();
        let (session, address) =
            (self.ha.session.clone(), format!("http://{}:{}", self.pod_ip, self.rest_port()));
        self.log("RestEndpoint", format!("{address} was granted leadership with leaderSessionID={session}"));
        self.log("RestEndpoint", format!("Web frontend listening at {address}."));
        self.log(
            "DefaultDispatcherRunner",
            format!("DefaultDispatcherRunner was granted leadership with leader id {session}. Creating new DispatcherLeaderProcess."),
        );
        self.recover_jobs();
        if !self.phase.is_exited() && matches!(self.mode, Mode::Application { .. }) {
            let wait = self.draw(self.knobs.main_method);
            self.after(wait, Timer::Main);
        }
    }

    /// Jobs whose graph is stored run again, as they were submitted: a changed program or parallelism does not reach
    /// them. This is why an operator removes the graphs before it submits an upgrade.
    fn recover_jobs(&mut self) {
        for (key, plan) in self.ha_stored_jobs() {
            let Some(Plan { job: id, program, parallelism, conf }) = plan else {
                let text = format!(
                    "Could not retrieve submitted JobGraph from state handle under {key}. This indicates that the retrieved state handle is broken. Try cleaning the state handle store."
                );
                return self.fatal(&text);
            };
            let (store, what) = if self.version.is_2() {
                ("DefaultExecutionPlanStore", "StreamGraph")
            } else {
                ("DefaultJobGraphStore", "JobGraph")
            };
            self.log(store, format!("Recovered {what}(jobId: {id})."));
            let conf = conf.read_by(self.version);
            let restore = restore_of(&conf);
            self.accept(Submission { id: id.clone(), program, parallelism, conf, restore });
            let wait = self.draw(self.knobs.job_init);
            self.job_after(&id, wait, JobTimer::Initialize);
        }
    }

    pub(super) fn initialize_on_time(&mut self, job: &str) {
        if let Err(cause) = self.initialize(job) {
            if self.mode == Mode::Session {
                return self.initialization_failed(job, &cause);
            }
            // Recorded for a missing savepoint: the process ends with 2, whatever shutdown-on-application-finish says.
            let text = format!("JobMaster for job {job} failed.\n{}", cause.trace());
            self.fatal(&text);
        }
    }

    pub(super) fn fatal(&mut self, message: &str) {
        self.log_at(
            Level::Error,
            ENTRYPOINT,
            format!("Fatal error occurred in the cluster entrypoint.\n{message}"),
        );
        self.exit(FATAL);
    }

    /// `DELETE /cluster` and the end of an application.
    pub(crate) fn shut_down(&mut self, status: &str, code: i32) {
        if matches!(self.phase, Phase::Ending { .. } | Phase::Exited { .. }) {
            return;
        }
        let entrypoint = self.entrypoint_class();
        self.log(
            ENTRYPOINT,
            format!("Shutting {entrypoint} down with application status {status}. Diagnostics null."),
        );
        self.phase = Phase::Ending { code };
        let wait = self.draw(self.knobs.shutdown);
        self.after(wait, Timer::Shutdown);
    }

    /// Ends the process unless a result nobody fetched holds it (then later, with code 2).
    pub(super) fn try_shutdown(&mut self) {
        let Phase::Ending { code } = self.phase else { return };
        let timed_out = self.results_until.is_some_and(|until| self.now >= until);
        match self.ops.holds_shutdown_until(self.now) {
            Some(until) => {
                self.results_until = Some(until);
                // Looked at again often enough to leave soon after the result is fetched.
                let next = (self.now + 100).min(until);
                self.at(next, Timer::Shutdown);
            }
            None if timed_out => {
                let seconds = self.conf.millis("rest.async.store-duration", 300_000) / 1000;
                self.log_at(
                    Level::Warn,
                    ENTRYPOINT,
                    format!("Waiting for results to be accessed timed out after {seconds} seconds."),
                );
                self.finish_shutdown(FATAL);
            }
            None => self.finish_shutdown(code),
        }
    }

    fn finish_shutdown(&mut self, code: i32) {
        self.suspend_jobs();
        self.ha_cluster_cleaned();
        let entrypoint = self.entrypoint_class();
        let shown = if code == 1443 & 0xff { 1443 } else { code };
        self.log(
            ENTRYPOINT,
            format!("Terminating cluster entrypoint process {entrypoint} with exit code {shown}."),
        );
        if self.resources == ResourceManager::Native {
            self.emit(Effect::DeleteCluster);
        }
        self.exit(code);
    }

    /// SIGTERM: jobs are suspended, leadership is given up, HA data stays.
    pub(super) fn terminate(&mut self) {
        self.log(ENTRYPOINT, "RECEIVED SIGNAL 15: SIGTERM. Shutting down as requested.");
        self.suspend_jobs();
        if self.phase == Phase::Leading {
            self.ha_resigned();
        }
        self.exit(143);
    }

    pub(super) fn leadership_lost(&mut self, why: &str) {
        if self.phase != Phase::Leading {
            return;
        }
        self.log("DefaultDispatcherRunner", format!("DefaultDispatcherRunner was revoked the leadership ({why}). Stopping the DispatcherLeaderProcess."));
        self.suspend_jobs();
        self.jobs.clear();
        self.application = Application::default();
        self.drop_job_timers();
        for tm in self.tms.values_mut() {
            tm.allocated.clear();
        }
        self.phase = Phase::Electing;
        self.elect();
    }

    fn suspend_jobs(&mut self) {
        let open: Vec<String> =
            self.jobs.values().filter(|j| !j.state.is_terminal()).map(|j| j.id.clone()).collect();
        for job in open {
            self.abort_snapshots(&job, "Checkpoint Coordinator is suspending.");
            let progress = self.jobs[&job].progress(self.now);
            self.go(&job, JobState::Suspended);
            self.log("Dispatcher", format!("Job {job} reached terminal state SUSPENDED."));
            self.fact(JobFact::Stopped { job: job.clone(), state: JobState::Suspended, progress });
            if let Some(job) = self.jobs.get_mut(&job) {
                job.generation += 1;
            }
        }
    }
}

/// Where the configuration says to start from.
pub(super) fn restore_of(conf: &Conf) -> Restore {
    Restore {
        path: conf.get("execution.state-recovery.path").map(str::to_owned),
        allow_non_restored: conf.bool("execution.state-recovery.ignore-unclaimed-state", false),
        claim: match conf.get("execution.state-recovery.claim-mode").unwrap_or("NO_CLAIM") {
            "CLAIM" => ClaimMode::Claim,
            "LEGACY" => ClaimMode::Legacy,
            _ => ClaimMode::NoClaim,
        },
    }
}

pub(crate) fn default_parallelism(conf: &crate::Conf) -> u32 {
    conf.int("parallelism.default", 1).clamp(1, 32_768) as u32
}
