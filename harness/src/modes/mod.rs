//! Where a scenario is played: in memory and virtual time, behind real sockets of this machine, or on a cluster that
//! somebody else runs. Steps, judges and reports are the same in all three; what differs is how requests travel, which
//! clock runs, and what can be broken.

pub mod cluster;
pub mod control_endpoint;
mod fault_proxy;
mod flink_doors;
mod flink_sockets;
mod ground_truth;
mod loopback;
mod needed_rights;
mod operator_rights;
mod outside;
mod pace;
pub mod playground;
mod pod_faults;
mod preflight;

use std::num::NonZero;
use std::sync::Arc;

use drey_language::scenario::Step;
use drey_language::vocabulary::StepKind;

pub use crate::library::Mode;
pub use cluster::{OperatorUnderTest, RemoteCluster};
pub use fault_proxy::{FaultProxy, Leader};
pub use flink_doors::FlinkDoors;
pub use flink_sockets::FlinkSockets;
pub use ground_truth::GroundTruth;
pub use loopback::{ListenerOptions, Sockets};
pub use operator_rights::OperatorRights;
pub use outside::Reach;
pub use pace::{Pace, block_on as block_on_at_pace, block_on_steered};
pub use pod_faults::PodFaults;

use crate::world::{CommandLine, TimeOfDay};

/// A connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("connection cut")]
struct Cut;

/// For a port of this machine, of which a proxy of the environment knows nothing. A 429 or 503 is the operator's to handle.
fn straight(mut config: kube::Config) -> kube::Config {
    config.default_retry = false;
    config.proxy_url = None;
    config
}

/// A mode with what it needs to begin.
#[derive(Clone, Debug, Default)]
pub enum Place {
    #[default]
    Virtual,
    Loopback(ListenerOptions),
    /// The simulated cluster behind sockets, and an operator that is a program of its own: the time of day passes.
    Command(Arc<CommandLine>, TimeOfDay),
    Cluster(Arc<RemoteCluster>),
}

impl Place {
    pub fn mode(&self) -> Mode {
        match self {
            Place::Virtual => Mode::Virtual,
            Place::Loopback(_) | Place::Command(..) => Mode::Loopback,
            Place::Cluster(_) => Mode::Cluster,
        }
    }

    /// Whether the operator is a program of its own, which ends when it likes.
    pub fn is_command(&self) -> bool {
        match self {
            Place::Command(..) => true,
            Place::Cluster(cluster) => matches!(cluster.operator, OperatorUnderTest::Command(_)),
            Place::Virtual | Place::Loopback(_) => false,
        }
    }

    /// Whether real time passes there, on clocks that are not ours.
    pub fn has_time_of_day(&self) -> bool {
        matches!(self, Place::Command(..) | Place::Cluster(_))
    }

    /// Whether a monitor may yet hear what it is about: a program's calls to Flink are heard from the first one on that
    /// passes the proxy. One that never heard any is reported as skipped in the end.
    pub fn may_hear_later(&self, step: &Step, reach: Reach) -> bool {
        step.kind == StepKind::Monitor && self.skip_reason(step, Reach { calls: true, ..reach }).is_none()
    }

    /// Why a step is not carried out here; it is reported as skipped.
    pub fn skip_reason(&self, step: &Step, reach: Reach) -> Option<&'static str> {
        match self {
            Place::Virtual => None,
            _ if step.virtual_only => Some("it says virtualOnly"),
            Place::Loopback(_) => None,
            Place::Command(..) => outside::of_a_program(step, reach),
            Place::Cluster(cluster) => outside::on_a_cluster(step, &cluster.operator, reach),
        }
    }
}

/// Runs at the same time, unless somebody chooses. Over sockets they wait a little at each jump of the clock; a cluster
/// is shared with others.
pub fn usual_jobs(mode: Mode) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    match mode {
        Mode::Virtual => cores,
        Mode::Loopback => cores * 2,
        Mode::Cluster => 1,
    }
}

/// Why a mode cannot be played at a scale.
pub fn check_scale(mode: Mode, scale: f64) -> Result<(), String> {
    if !(scale.is_finite() && scale > 0.0) {
        return Err(format!("--time-scale {scale}: give a positive number, such as 1 or 30"));
    }
    match mode {
        Mode::Virtual if scale != 1.0 => {
            Err("--time-scale: virtual time jumps and has no scale; leave it out, or add --mode loopback"
                .to_owned())
        }
        Mode::Cluster if scale != 1.0 => {
            Err("--time-scale: a real cluster's time runs as it does; leave it out".to_owned())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_has_a_scale() {
        let check = |mode, scale: f64, is_fine: bool| {
            assert_eq!(check_scale(mode, scale).is_ok(), is_fine, "{mode} {scale}")
        };
        for mode in Mode::ALL {
            check(mode, 1.0, true);
            check(mode, 0.0, false);
            check(mode, f64::NAN, false);
            check(mode, 10.0, mode == Mode::Loopback);
        }
    }
}
