//! Rules of faults in their order, each with how often it has struck: what the faults of the API server and those of the way
//! to Flink have in common.

use jiff::Timestamp;

/// What bounds a rule.
pub trait Bounded {
    fn name(&self) -> &str;
    /// The event that announced the fault.
    fn seq(&self) -> u64;
    /// Strikes at most this often.
    fn times(&self) -> Option<u32>;
    fn until(&self) -> Option<Timestamp>;
}

/// A rule that may still strike: its name, the event that announced it, how often it struck, and of how many times.
pub type Active = (String, u64, u32, Option<u32>);

pub struct Rules<R>(Vec<(R, u32)>);

impl<R> Default for Rules<R> {
    fn default() -> Rules<R> {
        Rules(Vec::new())
    }
}

impl<R: Bounded> Rules<R> {
    pub fn add(&mut self, rule: R) {
        self.0.push((rule, 0));
    }

    /// Ends the rules of that name; all without a name.
    pub fn clear(&mut self, name: Option<&str>) {
        self.0.retain(|(rule, _)| name.is_some_and(|name| rule.name() != name));
    }

    pub fn active(&self, now: Timestamp) -> Vec<Active> {
        let active = self.0.iter().filter(|(rule, hits)| may_strike(rule, *hits, now));
        active.map(|(rule, hits)| (rule.name().to_owned(), rule.seq(), *hits, rule.times())).collect()
    }

    /// The first rule that strikes; those that are over are dropped first.
    pub fn strike(&mut self, now: Timestamp, mut strikes: impl FnMut(&mut R) -> bool) -> Option<&R> {
        self.0.retain(|(rule, hits)| may_strike(rule, *hits, now));
        let (rule, hits) =
            self.0.iter_mut().find_map(|(rule, hits)| strikes(rule).then_some((rule, hits)))?;
        *hits += 1;
        Some(rule)
    }
}

fn may_strike(rule: &impl Bounded, hits: u32, now: Timestamp) -> bool {
    rule.until().is_none_or(|until| now < until) && rule.times().is_none_or(|times| hits < times)
}
