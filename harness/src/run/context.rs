//! What steps and monitors work with: the world, the judges, expressions, and the wait for something to change.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use drey_language::cel::{Bindings, EvalError, Evaluator, Expression};
use drey_language::events::{Event, Kind, Lane};
use drey_language::matching::{Mismatch, Tree};
use drey_language::report::SkippedStep;
use drey_language::scenario::{Arg, ObjectRef, Step};
use serde_json::Value;
use tokio::sync::Notify;

use super::failure::Failure;
use super::hooks::Hooks;
use super::invariants::{Invariants, Start};
use super::manners::Manners;
use super::monitors::Monitors;
use super::passes::Passes;
use super::records::{Mark, Records};
use super::sight::{Changes, Sight};
use crate::modes::{Mode, Place};
use crate::world::flink::ClusterKey;
use crate::world::kinds::{self, KindInfo};
use crate::world::{OPERATORS_HOME, World};

pub struct Context {
    pub world: World,
    pub passes: Passes,
    pub records: Records,
    pub invariants: Invariants,
    pub manners: Manners,
    pub monitors: Monitors,
    pub evaluator: Evaluator,
    pub params: Value,
    pub place: Place,
    /// Steps that this mode cannot carry out.
    pub skipped: RefCell<Vec<SkippedStep>>,
    /// Monitors that have heard nothing yet of what they are about, and why.
    pub unheard: RefCell<Vec<(Step, &'static str)>>,
    /// Steps that were carried out.
    pub done: Cell<usize>,
    /// Told at every change of an object.
    pub changed: Arc<Notify>,
    pub changes: Changes,
    /// Longest scenario time of the whole case.
    pub limit: Duration,
    /// Scenario time by which deadlines are put off: where clocks are real, machines have hiccups no scenario speaks of.
    pub hiccups: Duration,
    /// A crashed operator is started again after this time, when the scenario says so.
    pub restart_after: Cell<Option<Duration>>,
    /// Steps below `at` that wait to be started beside the sequence, and the bell that says so.
    pub beside: RefCell<Vec<Step>>,
    pub beside_added: Notify,
    /// When each dead operator was first seen dead.
    pub deaths: RefCell<BTreeMap<String, Duration>>,
    /// Closures of the test that made the scenario, if one did.
    pub(crate) hooks: Hooks,
}

/// When a dead operator comes back, unless the scenario says otherwise: a kubelet's first back-off is about as long.
pub const RESTART: Duration = Duration::from_secs(5);

/// Ground truth of Flink changes without a change in the API: looked at this often while waiting.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Real time between two looks at a cluster that others run, unless it tells of a change.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Lines of an operator's output that a failure shows.
const WORDS_SHOWN: usize = 6;

/// A condition over an object: a partial-match tree or an expression.
pub enum Condition<'a> {
    Match(&'a Tree),
    Cel(&'a Expression),
}

impl<'a> Condition<'a> {
    pub fn of(args: &'a Arg) -> Result<Condition<'a>, Failure> {
        match args.opt_tree("match") {
            Some(tree) => Ok(Condition::Match(tree)),
            None => Ok(Condition::Cel(args.cel("cel")?)),
        }
    }

    /// How failures and reports show it.
    pub fn text(&self) -> String {
        match self {
            Condition::Match(tree) => tree.to_json().to_string(),
            Condition::Cel(expression) => expression.source().to_owned(),
        }
    }

    /// The fields it speaks about.
    pub fn fields(&self) -> Vec<String> {
        match self {
            Condition::Match(tree) => tree.fields(),
            Condition::Cel(expression) => expression.fields_of("obj"),
        }
    }
}

impl Context {
    pub fn namespace_of<'a>(&'a self, of: &'a ObjectRef) -> &'a str {
        let own = self.world.hands.namespace.as_str();
        match of.namespace.as_deref() {
            // On a cluster the operator of a case is at home in the case's namespace, with its lease.
            Some(OPERATORS_HOME) if self.place.mode() == Mode::Cluster => own,
            Some(namespace) => namespace,
            None => own,
        }
    }

    pub fn cluster(&self, name: &str) -> ClusterKey {
        let (namespace, name) = name.split_once('/').unwrap_or((&self.world.hands.namespace, name));
        ClusterKey::new(namespace, name)
    }

    pub fn kind(&self, kind: &str) -> Result<&'static KindInfo, Failure> {
        kinds::find(kind).ok_or_else(|| Failure::new(format!("kind {kind} is not known to the harness")))
    }

    pub async fn get(&self, of: &ObjectRef) -> Result<Option<Value>, Failure> {
        let info = self.kind(&of.kind)?;
        Ok(self.world.hands.get(info, self.namespace_of(of), &of.name).await?)
    }

    /// For a step that looks again and again.
    pub fn sight<'a>(&'a self, of: &'a ObjectRef) -> Result<Sight<'a>, Failure> {
        Ok(Sight::of_one(self.kind(&of.kind)?, self.namespace_of(of), &of.name))
    }

    pub fn bindings(&self, object: Option<&Value>) -> Bindings {
        let bindings = Bindings::new(self.world.clock.now()).with("params", &self.params);
        match object {
            Some(object) => bindings.with("obj", object),
            None => bindings,
        }
    }

    /// Starts of a cluster's job that the operator decided, oldest first.
    pub async fn starts(&self, key: &ClusterKey) -> Vec<Start> {
        let Some(truth) = &self.world.truth else { return self.invariants.starts(key) };
        truth.look().await;
        truth.starts(&key.name)
    }

    /// States of the jobs of JobManagers that are alive.
    pub async fn job_states(&self, key: &ClusterKey) -> Vec<String> {
        if let Some(truth) = &self.world.truth {
            truth.look().await;
            return truth.states(&key.name);
        }
        let facts = self.world.flink.facts(key);
        let jobs = facts.iter().flat_map(|(_, facts)| &facts.jobs);
        jobs.map(|job| job.state.name().to_owned()).collect()
    }

    /// What does not fit; empty when the condition holds.
    pub fn test(&self, condition: &Condition<'_>, object: Option<&Value>) -> Result<Vec<Mismatch>, Failure> {
        let untrue = |expected: String| vec![Mismatch { path: String::new(), expected, actual: None }];
        match condition {
            Condition::Match(tree) => Ok(tree.mismatches(object)),
            Condition::Cel(expression) => {
                match expression.holds(&self.evaluator, &self.bindings(object)) {
                    Ok(true) => Ok(Vec::new()),
                    Ok(false) => Ok(untrue(format!("{} to be true", expression.source()))),
                    Err(EvalError::Missing(what)) => Ok(untrue(format!("`{what}` to be there"))),
                    Err(error) => Err(Failure::new(format!("evaluate {}: {error}", expression.source()))
                        .at(expression.span())),
                }
            }
        }
    }

    /// Where checks that look `since` now will begin.
    pub fn mark(&self) -> Mark {
        self.records.mark(self.world.network.call_count())
    }

    /// When a step that waits gives up.
    pub fn deadline(&self, within: Duration) -> Duration {
        self.world.clock.elapsed() + within + self.hiccups
    }

    /// Waits until something changed, or a moment has passed.
    pub async fn wait_for_change(&self, at_most: Duration) {
        let pause = self.world.clock.runtime(at_most.min(LOOK_AGAIN));
        // There every look is a request, however fast time runs.
        let least = if self.place.mode() == Mode::Cluster { ASK_AGAIN } else { Duration::ZERO };
        let pause = pause.max(least);
        let _ = tokio::time::timeout(pause, self.changed.notified()).await;
    }

    /// Starts successors of operators that a fault has killed, each after its pause.
    pub fn revive_operators(&self) {
        let Some(after) = self.restart_after.get() else { return };
        let now = self.world.clock.elapsed();
        let mut deaths = self.deaths.borrow_mut();
        let dead = self.world.dead_operators();
        deaths.retain(|identity, _| dead.contains(identity));
        for identity in dead {
            let died = *deaths.entry(identity.clone()).or_insert(now);
            if now >= died + after {
                deaths.remove(&identity);
                self.world.start_operator(&identity);
            }
        }
    }

    /// What an operator that is a program of its own printed last.
    pub fn last_words(&self) -> Vec<String> {
        let said = |event: &&Event| event.lane == Lane::Operator && event.kind == Kind::Note;
        let mut words: Vec<String> = self.world.journal.with(|log| {
            log.events().iter().rev().filter(said).take(WORDS_SHOWN).map(|event| event.text.clone()).collect()
        });
        words.reverse();
        words
    }

    /// Breaches of what must always hold, from all judges.
    pub fn breach(&self) -> Option<Failure> {
        self.invariants.inspect(&self.world.flink);
        let mut found = self.invariants.take_violations();
        found.extend(self.passes.take_violations());
        found.extend(self.manners.take_violations());
        let mut failures = found.into_iter().map(Failure::invariant);
        failures.next().or_else(|| self.monitors.take_failure()).or_else(|| self.over_limit())
    }

    fn over_limit(&self) -> Option<Failure> {
        (self.world.clock.elapsed() > self.limit).then(|| {
            Failure::invariant("the scenario ends within its limit")
                .line("raise `clock.limit`, or find out what it waits for")
        })
    }

    pub fn journal(&self, lane: Lane, kind: Kind, object: Option<&str>, text: impl Into<String>) -> u64 {
        let event = self.world.journal.event(lane, kind, text);
        self.world.journal.push(match object {
            Some(object) => event.about(object),
            None => event,
        })
    }
}
