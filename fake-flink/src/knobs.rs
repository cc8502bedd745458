//! How long things take in the model. Every wait of the JobManager is one of these knobs; all of them at zero is an
//! instant JobManager. Defaults follow the recorded traces (application start to RUNNING about two seconds).

use crate::ids::Ids;
use std::time::Duration;

/// A duration that may vary; variation is drawn from the cluster's seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Delay {
    Fixed(Duration),
    Uniform(Duration, Duration),
    /// `median` and the sigma of the underlying normal distribution.
    LogNormal {
        median: Duration,
        sigma: f64,
    },
}

impl Delay {
    pub const ZERO: Delay = Delay::Fixed(Duration::ZERO);

    pub const fn millis(ms: u64) -> Delay {
        Delay::Fixed(Duration::from_millis(ms))
    }

    pub(crate) fn draw_ms(&self, ids: &mut Ids) -> i64 {
        let ms = match *self {
            Delay::Fixed(d) => d.as_millis() as f64,
            Delay::Uniform(low, high) => {
                let (low, high) = (low.as_millis() as f64, high.as_millis() as f64);
                low + (high - low).max(0.0) * ids.unit()
            }
            Delay::LogNormal { median, sigma } => {
                // Box-Muller; `1 - unit` keeps the logarithm finite.
                let (u, v) = (1.0 - ids.unit(), ids.unit());
                let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
                median.as_millis() as f64 * (sigma * normal).exp()
            }
        };
        ms.clamp(0.0, 1e12) as i64
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct ModelKnobs {
    /// Process start until the REST port is open; before it connections are refused.
    pub rest_up: Delay,
    /// REST port open until the dispatcher leads; in between every call is answered 503.
    pub leader_ready: Delay,
    /// Wait for the lease of an earlier leader (HA with a held lock only); `None`: the configured lease duration.
    pub lease_wait: Option<Delay>,
    /// `main()` until the job is submitted.
    pub main_method: Delay,
    /// INITIALIZING until CREATED: the JobMaster starts and restores.
    pub job_init: Delay,
    /// CREATED until RUNNING.
    pub schedule: Delay,
    /// Slots there until tasks INITIALIZE.
    pub deploy: Delay,
    /// Tasks INITIALIZING until RUNNING: state is loaded.
    pub restore_state: Delay,
    pub cancel: Delay,
    /// The last task finishes until the job is FINISHED.
    pub finish: Delay,
    pub checkpoint: Delay,
    pub savepoint: Delay,
    pub stop: Delay,
    pub disposal: Delay,
    /// The job's end until the process ends, for application clusters that shut down.
    pub shutdown: Delay,
    /// Bytes of state one checkpointed subtask adds.
    pub state_bytes_per_subtask: u64,
    /// Whether the leader lock is renewed on schedule; off it is written only when its content changes, which spares
    /// an observer one ConfigMap write per retry period.
    pub renew_lease: bool,
}

impl Default for ModelKnobs {
    fn default() -> ModelKnobs {
        ModelKnobs {
            rest_up: Delay::millis(1500),
            leader_ready: Delay::millis(400),
            lease_wait: None,
            main_method: Delay::millis(300),
            job_init: Delay::millis(450),
            schedule: Delay::millis(120),
            deploy: Delay::millis(400),
            restore_state: Delay::millis(200),
            cancel: Delay::millis(40),
            finish: Delay::millis(30),
            checkpoint: Delay::millis(30),
            savepoint: Delay::millis(120),
            stop: Delay::millis(150),
            disposal: Delay::millis(10),
            shutdown: Delay::millis(1500),
            state_bytes_per_subtask: 457,
            renew_lease: false,
        }
    }
}

impl ModelKnobs {
    /// Nothing takes time. Configured waits (checkpoint interval, restart delay) stay, they belong to the job.
    pub fn instant() -> ModelKnobs {
        ModelKnobs {
            rest_up: Delay::ZERO,
            leader_ready: Delay::ZERO,
            lease_wait: Some(Delay::ZERO),
            main_method: Delay::ZERO,
            job_init: Delay::ZERO,
            schedule: Delay::ZERO,
            deploy: Delay::ZERO,
            restore_state: Delay::ZERO,
            cancel: Delay::ZERO,
            finish: Delay::ZERO,
            checkpoint: Delay::ZERO,
            savepoint: Delay::ZERO,
            stop: Delay::ZERO,
            disposal: Delay::ZERO,
            shutdown: Delay::ZERO,
            ..ModelKnobs::default()
        }
    }
}
