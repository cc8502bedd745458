//! How fast the whole loop runs in virtual time: roll-out, calm, upgrade of every deployment, deletion.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::fleet::{Fleet, Until, manifest, names, simulate, usual};

/// One part of a fleet's life.
#[derive(Clone, Debug)]
pub struct Stretch {
    pub name: &'static str,
    pub scenario: Duration,
    pub real: Duration,
    /// Of the thread, where the system tells (Linux).
    pub cpu: Option<Duration>,
    pub passes: u64,
}

#[derive(Clone, Debug)]
pub struct Speed {
    pub deployments: usize,
    pub stretches: Vec<Stretch>,
    /// Of the whole story; the same for the same work.
    pub checksum: u64,
}

impl Stretch {
    /// Scenario seconds per real second.
    pub fn factor(&self) -> f64 {
        self.scenario.as_secs_f64() / self.real.as_secs_f64().max(f64::EPSILON)
    }

    pub fn passes_per_second(&self) -> f64 {
        self.passes as f64 / self.real.as_secs_f64().max(f64::EPSILON)
    }

    pub fn passes_per_cpu_second(&self) -> Option<f64> {
        Some(self.passes as f64 / self.cpu?.as_secs_f64().max(f64::EPSILON))
    }
}

impl Speed {
    /// All stretches as one.
    pub fn whole(&self) -> Stretch {
        let of = |part: fn(&Stretch) -> Duration| self.stretches.iter().map(part).sum();
        Stretch {
            name: "whole life",
            scenario: of(|stretch| stretch.scenario),
            real: of(|stretch| stretch.real),
            cpu: self.stretches.iter().map(|stretch| stretch.cpu).sum(),
            passes: self.stretches.iter().map(|stretch| stretch.passes).sum(),
        }
    }

    /// Each part as in the faster of two measurements of one life: whatever else a machine does only adds to the times.
    pub fn or_faster(mut self, other: Speed) -> Speed {
        for (best, again) in self.stretches.iter_mut().zip(other.stretches) {
            if again.real < best.real {
                *best = again;
            }
        }
        self
    }

    pub fn stretch(&self, name: &str) -> Option<&Stretch> {
        self.stretches.iter().find(|stretch| stretch.name == name)
    }
}

const WITHIN: Duration = Duration::from_secs(3600);

/// A fleet's life with `calm` of undisturbed running.
pub fn life(deployments: usize, calm: Duration, seed: u64) -> anyhow::Result<Speed> {
    simulate(seed, async move || {
        let mut fleet = Fleet::boot(usual(seed), seed).await?;
        let names = names(deployments);
        let mut stretches = Vec::new();

        let clock = Stopwatch::start(&fleet);
        for name in &names {
            fleet.apply(&manifest(name, "savepoint")).await?;
        }
        fleet.wait(&names, Until::Stable, WITHIN).await?;
        stretches.push(clock.stop("roll-out", &fleet));

        let clock = Stopwatch::start(&fleet);
        fleet.run(calm).await?;
        stretches.push(clock.stop("calm", &fleet));

        let clock = Stopwatch::start(&fleet);
        for name in &names {
            fleet.patch(name, &json!({"spec": {"job": {"parallelism": 4}}})).await?;
        }
        fleet.wait(&names, Until::Stable, WITHIN).await?;
        stretches.push(clock.stop("upgrade", &fleet));

        let clock = Stopwatch::start(&fleet);
        for name in &names {
            fleet.delete(name).await?;
        }
        fleet.wait(&names, Until::Gone, WITHIN).await?;
        stretches.push(clock.stop("delete", &fleet));
        Ok(Speed { deployments, stretches, checksum: fleet.checksum() })
    })
}

/// Real time of `calm` in a fleet that runs already, and the passes of it.
pub fn calm(deployments: usize, calm: Duration, seed: u64) -> anyhow::Result<Stretch> {
    simulate(seed, async move || {
        let mut fleet = Fleet::boot(usual(seed), seed).await?;
        let names = names(deployments);
        for name in &names {
            fleet.apply(&manifest(name, "savepoint")).await?;
        }
        fleet.wait(&names, Until::Stable, WITHIN).await?;
        let clock = Stopwatch::start(&fleet);
        fleet.run(calm).await?;
        Ok(clock.stop("calm", &fleet))
    })
}

struct Stopwatch {
    scenario: Duration,
    real: Instant,
    cpu: Option<Duration>,
    passes: u64,
}

impl Stopwatch {
    fn start(fleet: &Fleet) -> Stopwatch {
        let (scenario, passes) = (fleet.world.clock.elapsed(), fleet.passes.count());
        Stopwatch { scenario, real: Instant::now(), cpu: cpu_time(), passes }
    }

    fn stop(self, name: &'static str, fleet: &Fleet) -> Stretch {
        Stretch {
            name,
            scenario: fleet.world.clock.elapsed() - self.scenario,
            real: self.real.elapsed(),
            cpu: cpu_time().zip(self.cpu).map(|(now, then)| now.saturating_sub(then)),
            passes: fleet.passes.count() - self.passes,
        }
    }
}

/// CPU time of this thread: the first number of schedstat, in nanoseconds.
pub fn cpu_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}
