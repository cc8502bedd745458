//! What flows into a job and what it costs: arrival rates over time, partitions, cost per record, selectivity, state.
//!
//! Descriptions only; `model/flow.rs` lets them happen. Rates are piecewise constant: a sine is cut into cells whose
//! mean is exact, so what arrived up to an instant has a closed form and never depends on who looked when.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Records per second over time, counted from the origin of the source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Arrivals {
    Constant(f64),
    /// Rate from each instant on; before the first instant nothing arrives. With a period it starts over.
    Steps {
        steps: Vec<(Duration, f64)>,
        every: Option<Duration>,
    },
    /// `mean + amplitude * sin(2 pi (t + shift) / period)`, never below zero.
    Sine {
        mean: f64,
        amplitude: f64,
        period: Duration,
        shift: Duration,
    },
}

/// Where the records of a source vertex come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Topic {
    pub arrivals: Arrivals,
    /// Without them any number of subtasks shares the load evenly and no partition metrics are shown.
    pub partitions: Option<u32>,
    /// Records that wait at the origin already.
    pub backlog: f64,
    /// Shown in the partition metrics of a Kafka source.
    pub name: String,
    /// Epoch milliseconds at which `arrivals` begins; the start of the cluster when not given.
    pub since_ms: Option<i64>,
    /// Watermarks follow the oldest unread record by this much; without it there are none.
    pub out_of_orderness: Option<Duration>,
}

impl Topic {
    /// Unpartitioned, empty at first, without event time.
    pub fn new(arrivals: Arrivals) -> Topic {
        Topic {
            arrivals,
            partitions: None,
            backlog: 0.0,
            name: "topic".to_owned(),
            since_ms: None,
            out_of_orderness: None,
        }
    }
}

/// What one vertex does with a record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Busy time of a subtask per record it reads. Without it the vertex is never the bottleneck.
    pub cost: Option<Duration>,
    /// Records out per record in; 1 where nothing is said.
    pub selectivity: Option<f64>,
    pub state: Option<StateSize>,
}

/// Bytes of state of a whole vertex: `base`, and `per_record` for each record read, up to `max`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateSize {
    pub base: u64,
    pub per_record: u64,
    pub max: Option<u64>,
}

impl StateSize {
    pub fn after(&self, records: u64) -> u64 {
        let grown = self.base.saturating_add(self.per_record.saturating_mul(records));
        self.max.map_or(grown, |max| grown.min(max))
    }
}

/// A sine is cut into so many cells per period, of at least a second each.
const CELLS: i64 = 720;
const CELL_MS_MIN: i64 = 1_000;

impl Arrivals {
    /// The rate at `t` milliseconds after the origin, and until when it holds (`i64::MAX`: for good).
    pub fn at(&self, t: i64) -> (f64, i64) {
        if t < 0 {
            return (0.0, 0);
        }
        match self {
            Arrivals::Constant(rate) => (*rate, i64::MAX),
            Arrivals::Steps { steps, every } => step_at(steps, every.map(millis), t),
            Arrivals::Sine { period, .. } => {
                let cell = cell_ms(*period);
                let start = t - t % cell;
                let mean = (self.wave(start + cell) - self.wave(start)) * 1000.0 / cell as f64;
                (mean.max(0.0), start + cell)
            }
        }
    }

    /// Records that arrived in the first `t` milliseconds.
    pub fn total(&self, t: i64) -> f64 {
        if t <= 0 {
            return 0.0;
        }
        match self {
            Arrivals::Constant(rate) => rate * t as f64 / 1000.0,
            Arrivals::Steps { steps, every } => steps_total(steps, every.map(millis), t),
            Arrivals::Sine { period, .. } => {
                let cell = cell_ms(*period);
                let start = t - t % cell;
                self.wave(start) + self.at(t).0 * (t - start) as f64 / 1000.0
            }
        }
    }

    /// When the `n`-th record arrived: the inverse of [`Arrivals::total`], to the millisecond, not after `until`.
    pub fn arrival_of(&self, n: f64, until: i64) -> i64 {
        let (mut low, mut high) = (0, until.max(0));
        while low < high {
            let middle = low + (high - low) / 2;
            if self.total(middle) < n { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// The integral of a sine up to `t` milliseconds, where the wave does not dip below zero; where it would, the
    /// amplitude is what the mean allows.
    fn wave(&self, t: i64) -> f64 {
        let Arrivals::Sine { mean, amplitude, period, shift } = self else { return 0.0 };
        let omega = std::f64::consts::TAU / millis(*period) as f64;
        let amplitude = amplitude.clamp(-*mean, *mean);
        let phase = millis(*shift) as f64 * omega;
        let swing = (phase.cos() - (t as f64 * omega + phase).cos()) / omega;
        (mean * t as f64 + amplitude * swing) / 1000.0
    }
}

fn millis(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX).max(1)
}

fn cell_ms(period: Duration) -> i64 {
    (millis(period) / CELLS).max(CELL_MS_MIN)
}

fn step_at(steps: &[(Duration, f64)], every: Option<i64>, t: i64) -> (f64, i64) {
    let round = every.map_or(0, |every| t - t % every);
    let within = t - round;
    let next = steps.iter().find(|(at, _)| offset(*at) > within).map(|(at, _)| offset(*at));
    let rate = steps.iter().rev().find(|(at, _)| offset(*at) <= within).map_or(0.0, |(_, rate)| *rate);
    let end = [next, every].into_iter().flatten().min().map_or(i64::MAX, |end| round + end);
    (rate, end)
}

fn steps_total(steps: &[(Duration, f64)], every: Option<i64>, t: i64) -> f64 {
    let within = |t: i64| -> f64 {
        steps
            .iter()
            .enumerate()
            .map(|(i, (at, rate))| {
                let end = steps.get(i + 1).map_or(t, |(next, _)| offset(*next).min(t));
                rate * (end - offset(*at)).max(0) as f64 / 1000.0
            })
            .sum()
    };
    match every {
        Some(every) => within(every) * (t / every) as f64 + within(t % every),
        None => within(t),
    }
}

/// Unlike a period an instant may be zero.
fn offset(at: Duration) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes() -> [Arrivals; 4] {
        let s = Duration::from_secs;
        [
            Arrivals::Constant(12.5),
            Arrivals::Steps { steps: vec![(s(0), 10.0), (s(60), 100.0), (s(90), 0.0)], every: None },
            Arrivals::Steps { steps: vec![(s(5), 7.0), (s(20), 1.0)], every: Some(s(30)) },
            Arrivals::Sine { mean: 100.0, amplitude: 150.0, period: s(3600), shift: s(600) },
        ]
    }

    #[test]
    fn the_total_is_the_integral_of_the_rate() {
        for shape in shapes() {
            let (mut t, mut sum) = (0, 0.0);
            while t < 7_200_000 {
                let (rate, until) = shape.at(t);
                let end = until.min(7_200_000);
                assert!(rate >= 0.0 && end > t, "{shape:?} at {t}: {rate} until {until}");
                sum += rate * (end - t) as f64 / 1000.0;
                assert!((shape.total(end) - sum).abs() < 1e-6 * sum.max(1.0), "{shape:?} at {end}");
                t = end;
            }
        }
    }

    #[test]
    fn a_sine_is_what_its_formula_says() {
        let shape = &shapes()[3];
        // Over whole periods only the mean remains; the crest of the clamped wave is twice the mean.
        assert!((shape.total(3_600_000) - 360_000.0).abs() < 1e-3);
        let crest = (0..720).map(|cell| shape.at(cell * 5_000).0).fold(0.0, f64::max);
        assert!((crest - 200.0).abs() < 0.1, "{crest}");
    }

    #[test]
    fn the_inverse_finds_the_arrival() {
        let shape = &shapes()[1];
        // 600 records in the first minute, 100 a second after it.
        assert_eq!(shape.arrival_of(600.0, i64::MAX / 2), 60_000);
        assert_eq!(shape.arrival_of(700.0, 7_200_000), 61_000);
        assert_eq!(shape.arrival_of(1e9, 80_000), 80_000);
    }
}
