//! Rules of faults in their order, each with how often it has struck: what the faults of the API server and those of the way
//! to Flink have in common.

use jiff::Timestamp;

/// What every rule has beside what it does.
#[derive(Clone, Debug)]
pub struct Budget {
    pub name: String,
    /// Strikes at most this often.
    pub times: Option<u32>,
    pub until: Option<Timestamp>,
    /// The event that announced the fault.
    pub seq: u64,
}

impl Budget {
    fn is_left(&self, hits: u32, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until) && self.times.is_none_or(|times| hits < times)
    }
}

/// A rule that may still strike: its name, the event that announced it, how often it struck, and of how many times.
pub type Active = (String, u64, u32, Option<u32>);

pub struct Rules<R>(Vec<(Budget, R, u32)>);

impl<R> Default for Rules<R> {
    fn default() -> Rules<R> {
        Rules(Vec::new())
    }
}

impl<R> Rules<R> {
    pub fn add(&mut self, budget: Budget, rule: R) {
        self.0.push((budget, rule, 0));
    }

    /// Ends the rules of that name; all without a name.
    pub fn clear(&mut self, name: Option<&str>) {
        self.0.retain(|(budget, ..)| name.is_some_and(|name| budget.name != name));
    }

    pub fn active(&self, now: Timestamp) -> Vec<Active> {
        let active = self.0.iter().filter(|(budget, _, hits)| budget.is_left(*hits, now));
        active.map(|(budget, _, hits)| (budget.name.clone(), budget.seq, *hits, budget.times)).collect()
    }

    /// The first rule that strikes; those that are over are dropped first.
    pub fn strike(
        &mut self,
        now: Timestamp,
        mut strikes: impl FnMut(&mut R) -> bool,
    ) -> Option<(&Budget, &R)> {
        self.0.retain(|(budget, _, hits)| budget.is_left(*hits, now));
        let (budget, rule, hits) = self
            .0
            .iter_mut()
            .find_map(|(budget, rule, hits)| strikes(rule).then_some((budget, rule, hits)))?;
        *hits += 1;
        Some((budget, rule))
    }
}
