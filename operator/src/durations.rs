//! How long resources stay in a lifecycle state, and how long the transitions users wait for take (reconciler.md 7.6).
//!
//! Flink's Prometheus reporter shows a histogram as quantiles of its last samples, so that is what is kept: the names and
//! labels on a dashboard stay what they were. Left out: minimum, mean and deviation, which that reporter leaves out too.

use std::collections::{BTreeMap, VecDeque};

use drey_api::LifecycleState::{
    self, Deleted, Deployed, Failed, RolledBack, RollingBack, Stable, Suspended, Upgrading,
};
use jiff::Timestamp;

use crate::clock::until;
use crate::queue::Key;

/// `kubernetes.operator.metrics.histogram.sample.size`
const SAMPLES_MAX: usize = 1000;
pub(crate) const QUANTILES: [(f64, &str); 6] =
    [(0.5, "0.5"), (0.75, "0.75"), (0.95, "0.95"), (0.98, "0.98"), (0.99, "0.99"), (0.999, "0.999")];

/// From where a transition is measured.
#[derive(Clone, Copy)]
enum Since {
    FirstEntry,
    LastSeen,
}

const TRANSITIONS: [(LifecycleState, LifecycleState, Since, &str); 12] = [
    (Suspended, Stable, Since::LastSeen, "Resume"),
    (Stable, Stable, Since::LastSeen, "Upgrade"),
    (Deployed, Upgrading, Since::LastSeen, "Suspend"),
    (Deployed, Suspended, Since::LastSeen, "Suspend"),
    (Stable, Upgrading, Since::LastSeen, "Suspend"),
    (Stable, Suspended, Since::LastSeen, "Suspend"),
    (RolledBack, Upgrading, Since::LastSeen, "Suspend"),
    (RolledBack, Suspended, Since::LastSeen, "Suspend"),
    (Deployed, Stable, Since::FirstEntry, "Stabilization"),
    (Deployed, RolledBack, Since::FirstEntry, "Rollback"),
    (Upgrading, Deployed, Since::LastSeen, "Submission"),
    (RollingBack, RolledBack, Since::LastSeen, "Submission"),
];

/// A story ends in these: what came before is not measured from any more.
fn is_end(state: LifecycleState) -> bool {
    matches!(state, Suspended | Stable | RolledBack | Failed | Deleted)
}

/// The newest samples of one histogram, and how many there ever were.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    seconds: VecDeque<f64>,
    pub count: u64,
}

impl Samples {
    fn push(&mut self, seconds: f64) {
        self.count += 1;
        self.seconds.push_back(seconds);
        if self.seconds.len() > SAMPLES_MAX {
            self.seconds.pop_front();
        }
    }

    /// One value per entry of [`QUANTILES`].
    pub(crate) fn quantiles(&self) -> impl Iterator<Item = (&'static str, f64)> + use<> {
        let mut sorted: Vec<f64> = self.seconds.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        QUANTILES.into_iter().map(move |(q, name)| {
            let at = (q * sorted.len() as f64).ceil() as usize;
            (name, sorted.get(at.saturating_sub(1)).copied().unwrap_or_default())
        })
    }
}

#[derive(Debug)]
struct Track {
    state: LifecycleState,
    entered: Timestamp,
    /// First entry and last look at each state of the story so far.
    story: Vec<(LifecycleState, Timestamp, Timestamp)>,
}

/// Of all resources. Bounded by them and by the number of states.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    tracks: BTreeMap<Key, Track>,
    /// By namespace (`None`: all) and what is measured, such as `State_STABLE` or `Transition_Upgrade`.
    samples: BTreeMap<(Option<String>, String), Samples>,
}

impl Durations {
    /// A pass that began at `started` left the resource in this state at `now`.
    pub(crate) fn observe(&mut self, key: &Key, state: LifecycleState, started: Timestamp, now: Timestamp) {
        let Some(track) = self.tracks.get_mut(key) else {
            let story = vec![(state, now, now)];
            self.tracks.insert(key.clone(), Track { state, entered: now, story });
            return;
        };
        let before = track.state;
        if let Some((_, _, last)) = track.story.iter_mut().find(|(known, ..)| *known == before) {
            // Until this pass began it was still as before.
            *last = if before == state { now } else { started.max(*last) };
        }
        if before == state {
            return;
        }
        let mut measured = vec![(format!("State_{}", before.as_str()), track.entered)];
        for (from, to, since, name) in TRANSITIONS {
            let known = track.story.iter().find(|(known, ..)| *known == from && to == state);
            measured.extend(known.map(|(_, first, last)| {
                let begin = match since {
                    Since::FirstEntry => *first,
                    Since::LastSeen => *last,
                };
                (format!("Transition_{name}"), begin)
            }));
        }
        if is_end(state) {
            track.story.clear();
        }
        track.story.retain(|(known, ..)| *known != state);
        track.story.push((state, now, now));
        (track.state, track.entered) = (state, now);
        for (what, begin) in measured {
            let seconds = until(begin, now).as_secs_f64();
            for scope in [Some(key.namespace.clone()), None] {
                self.samples.entry((scope, what.clone())).or_default().push(seconds);
            }
        }
    }

    pub(crate) fn forget(&mut self, key: &Key) {
        self.tracks.remove(key);
    }

    /// Namespace (`None`: all), what is measured, and the samples.
    pub(crate) fn samples(&self) -> impl Iterator<Item = (Option<&str>, &str, &Samples)> {
        self.samples.iter().map(|((scope, what), samples)| (scope.as_deref(), what.as_str(), samples))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(s: i64) -> Timestamp {
        Timestamp::from_second(s).unwrap()
    }

    /// Passes end in these states at these seconds, each having begun a second earlier.
    fn check(passes: &[(i64, LifecycleState)], expected: &[(&str, &[f64])]) {
        let mut durations = Durations::default();
        let key = Key::new("ns", "a");
        for (at, state) in passes {
            durations.observe(&key, *state, second(at - 1), second(*at));
        }
        let all = durations.samples().filter(|(scope, ..)| scope.is_none());
        let found: Vec<(&str, Vec<f64>)> =
            all.map(|(_, what, samples)| (what, samples.seconds.iter().copied().collect())).collect();
        let expected: Vec<(&str, Vec<f64>)> =
            expected.iter().map(|(what, seconds)| (*what, seconds.to_vec())).collect();
        assert_eq!(found, expected, "{passes:?}");
    }

    #[test]
    fn an_upgrade_is_measured_from_the_last_moment_of_stability() {
        check(
            &[(0, Stable), (60, Stable), (101, Upgrading), (105, Upgrading), (110, Deployed), (130, Stable)],
            &[
                ("State_DEPLOYED", &[20.0]),
                ("State_STABLE", &[101.0]),
                ("State_UPGRADING", &[9.0]),
                ("Transition_Stabilization", &[20.0]),
                ("Transition_Submission", &[1.0]),
                ("Transition_Suspend", &[1.0]),
                ("Transition_Upgrade", &[30.0]),
            ],
        );
    }

    #[test]
    fn a_story_ends_and_the_next_is_measured_anew() {
        check(
            &[(0, Stable), (11, Upgrading), (20, Suspended), (51, Upgrading), (60, Deployed), (70, Stable)],
            &[
                ("State_DEPLOYED", &[10.0]),
                ("State_STABLE", &[11.0]),
                ("State_SUSPENDED", &[31.0]),
                ("State_UPGRADING", &[9.0, 9.0]),
                ("Transition_Resume", &[20.0]),
                ("Transition_Stabilization", &[10.0]),
                ("Transition_Submission", &[1.0]),
                ("Transition_Suspend", &[1.0, 10.0]),
            ],
        );
    }

    #[test]
    fn quantiles_are_of_the_newest_samples() {
        let mut samples = Samples::default();
        for n in 1..=2000 {
            samples.push(f64::from(n));
        }
        assert_eq!((samples.count, samples.seconds.len()), (2000, SAMPLES_MAX));
        let quantiles: Vec<(&str, f64)> = samples.quantiles().collect();
        assert_eq!(quantiles[0], ("0.5", 1500.0));
        assert_eq!(quantiles[5], ("0.999", 1999.0));
        assert_eq!(Samples::default().quantiles().next(), Some(("0.5", 0.0)));
    }
}
