//! How slow and how large the simulated cluster is. Every delay is drawn from the seed, the action's name and the
//! object, never from the order of draws: adding a draw does not shift the others.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use crate::json::{after, fnv64a};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Delay {
    Fixed(Duration),
    Uniform {
        min: Duration,
        max: Duration,
    },
    /// Never longer than `max`.
    LogNormal {
        median: Duration,
        sigma: f64,
        max: Duration,
    },
}

impl Delay {
    pub const NONE: Delay = Delay::Fixed(Duration::ZERO);

    pub fn millis(ms: u64) -> Delay {
        Delay::Fixed(Duration::from_millis(ms))
    }

    pub fn uniform_millis(min: u64, max: u64) -> Delay {
        Delay::Uniform { min: Duration::from_millis(min), max: Duration::from_millis(max) }
    }

    /// The delay of one action on one object; `what` names both.
    pub fn draw(&self, seed: u64, what: &str) -> Duration {
        if let Delay::Fixed(delay) = *self {
            return delay;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ fnv64a(what.as_bytes()));
        let mut unit = || (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        match *self {
            Delay::Fixed(delay) => delay,
            Delay::Uniform { min, max } => min + max.saturating_sub(min).mul_f64(unit()),
            Delay::LogNormal { median, sigma, max } => {
                // Box-Muller; the first number must not be zero.
                let (u, v) = (unit().max(f64::MIN_POSITIVE), unit());
                let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
                let factor = (sigma * normal).exp().min(1e6);
                median.mul_f64(factor).min(max)
            }
        }
    }

    pub fn after(&self, now: Timestamp, seed: u64, what: &str) -> Timestamp {
        after(now, SignedDuration::try_from(self.draw(seed, what)).unwrap_or(SignedDuration::ZERO))
    }
}

#[derive(Clone, Debug)]
pub struct Knobs {
    pub seed: u64,
    /// Pod seen by the scheduler -> bound.
    pub pod_schedule: Delay,
    pub image_pull: Delay,
    /// Image present -> container running.
    pub container_start: Delay,
    /// A lifecycle hook begun -> done, beside what its command takes of itself.
    pub hook: Delay,
    /// A process ended by a signal -> its container is reported stopped.
    pub termination: Delay,
    pub gc: Delay,
    /// A change -> the other controllers look at it.
    pub controllers: Delay,
    pub nodes: Vec<NodeSpec>,
    /// Pods get addresses of this machine, 127.N.x.y, that processes can listen on; otherwise 10.244.x.y.
    pub pod_loopback: Option<u8>,
    /// Start with what an installed cluster has (kube-api.md 2.15): the StorageClass `standard`, the default one, the
    /// PriorityClasses `system-*`, and APIServices. Without any StorageClass nothing waits for its claims.
    pub furnished: bool,
    /// Kept per container, the oldest lines go first.
    pub log_lines_max: usize,
    /// PEM text for the `kube-root-ca.crt` ConfigMaps.
    pub root_ca: String,
    /// What runs; all by default.
    pub controllers_on: Vec<crate::Controller>,
}

impl Default for Knobs {
    fn default() -> Knobs {
        Knobs {
            seed: 0,
            pod_schedule: Delay::uniform_millis(5, 50),
            image_pull: Delay::uniform_millis(500, 2500),
            container_start: Delay::uniform_millis(200, 800),
            hook: Delay::uniform_millis(5, 50),
            termination: Delay::uniform_millis(50, 300),
            gc: Delay::uniform_millis(5, 50),
            controllers: Delay::NONE,
            nodes: vec![NodeSpec::default()],
            pod_loopback: None,
            furnished: false,
            log_lines_max: 10_000,
            root_ca: String::new(),
            controllers_on: crate::Controller::ALL.to_vec(),
        }
    }
}

impl Knobs {
    /// Everything as fast as it can be: for tests that look at order and not at time.
    pub fn instant() -> Knobs {
        Knobs {
            pod_schedule: Delay::NONE,
            image_pull: Delay::NONE,
            container_start: Delay::NONE,
            hook: Delay::NONE,
            termination: Delay::NONE,
            gc: Delay::NONE,
            ..Knobs::default()
        }
    }

    pub fn without(mut self, controllers: &[crate::Controller]) -> Knobs {
        self.controllers_on.retain(|c| !controllers.contains(c));
        self
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct NodeSpec {
    pub name: String,
    /// Quantities as Kubernetes writes them.
    pub cpu: String,
    pub memory: String,
    pub pods: u32,
    pub labels: Vec<(String, String)>,
    /// `(key, value, effect)`
    pub taints: Vec<(String, String, String)>,
}

impl Default for NodeSpec {
    fn default() -> NodeSpec {
        NodeSpec {
            name: "node-1".into(),
            cpu: "64".into(),
            memory: "256Gi".into(),
            pods: 250,
            labels: Vec::new(),
            taints: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_seed_and_name_only() {
        let d = Delay::uniform_millis(10, 1000);
        assert_eq!(d.draw(7, "pull/a"), d.draw(7, "pull/a"));
        assert_ne!(d.draw(7, "pull/a"), d.draw(7, "pull/b"));
        assert_ne!(d.draw(7, "pull/a"), d.draw(8, "pull/a"));
        for i in 0..200 {
            let drawn = d.draw(i, "x");
            assert!(drawn >= Duration::from_millis(10) && drawn <= Duration::from_secs(1));
            let max = Duration::from_secs(3);
            assert!(Delay::LogNormal { median: Duration::from_secs(1), sigma: 2.0, max }.draw(i, "x") <= max);
        }
    }
}
