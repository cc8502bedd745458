//! Checks that hold over a stretch of the run: `always`, `never`, `leadsTo`, `budget`. Evaluated at each change of an
//! object and each request, from the step that declares them to the end or their `for`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use drey_language::cel::{Bindings, EvalError, Evaluator, Expression};
use drey_language::matching::Tree;
use drey_language::scenario::{Arg, ObjectRef, Step};
use drey_language::vocabulary::Vocabulary;
use fake_kube_apiserver::{Change, ChangeKind, RequestInfo, RequestRecord};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::failure::Failure;
use crate::world::gate::{OPERATOR_USER, is_write};
use crate::world::kinds;
use crate::world::network::{CallRecord, path_fits};
use crate::world::{ScenarioClock, World};

/// All monitors of a run. Cheap to clone.
#[derive(Clone)]
pub struct Monitors {
    inner: Arc<Mutex<Inner>>,
    clock: ScenarioClock,
}

struct Inner {
    monitors: Vec<Monitor>,
    evaluator: Evaluator,
    params: Value,
    failure: Option<Failure>,
    requests: Vec<Timestamp>,
    writes: Vec<Timestamp>,
}

struct Monitor {
    step: Step,
    since: Timestamp,
    until: Option<Timestamp>,
    /// Deadlines of `leadsTo` that are open: the condition became true and the answer has not come.
    owed: Option<Timestamp>,
}

// The evaluator holds functions of the language, which are plain values behind `Arc`s.
impl Monitors {
    pub fn new(clock: ScenarioClock, vocabulary: &Vocabulary, params: Value) -> Monitors {
        let inner = Inner {
            monitors: Vec::new(),
            evaluator: Evaluator::new(vocabulary.environment()),
            params,
            failure: None,
            requests: Vec::new(),
            writes: Vec::new(),
        };
        Monitors { inner: Arc::new(Mutex::new(inner)), clock }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn watch(&self, world: &World) {
        let monitors = self.clone();
        world.watcher.on_change(move |change| monitors.see(change));
        let monitors = self.clone();
        world.watcher.on_request(move |record| monitors.hear(record));
    }

    /// Declares one, from now on.
    pub fn add(&self, step: &Step) {
        let now = self.clock.now();
        let until = step
            .args
            .opt_duration("for")
            .map(|span| now + SignedDuration::try_from(span).unwrap_or_default());
        self.lock().monitors.push(Monitor { step: step.clone(), since: now, until, owed: None });
    }

    pub fn take_failure(&self) -> Option<Failure> {
        self.lock().failure.take()
    }

    /// What only time can break, and what is due at the end: deadlines of `leadsTo`, budgets.
    pub fn tick(&self, calls: &[CallRecord], passes: u64) {
        let now = self.clock.now();
        let mut inner = self.lock();
        let Inner { monitors, failure, requests, writes, .. } = &mut *inner;
        for monitor in monitors.iter_mut() {
            let found = match monitor.step.name.as_str() {
                "leadsTo" => monitor
                    .owed
                    .filter(|due| now > *due)
                    .map(|_| "the answer did not come in time".to_owned()),
                "budget" => over_budget(&monitor.step.args, requests, writes, passes, now),
                "never" => forbidden_call(monitor, calls),
                _ => None,
            };
            if let (Some(text), None) = (found, &failure) {
                *failure = Some(broken(&monitor.step, text));
            }
        }
        monitors.retain(|monitor| monitor.until.is_none_or(|until| now < until));
    }

    fn hear(&self, record: &RequestRecord) {
        if !record.info.user.starts_with(OPERATOR_USER) {
            return;
        }
        let mut inner = self.lock();
        if record.info.verb != "watch" {
            inner.requests.push(record.at);
        }
        if is_write(&record.info) && (200..300).contains(&record.code) {
            inner.writes.push(record.at);
        }
        let Inner { monitors, failure, .. } = &mut *inner;
        let now = self.clock.now();
        let open = monitors.iter().filter(|monitor| monitor.until.is_none_or(|until| now < until));
        let found = open
            .filter(|monitor| monitor.step.name == "never")
            .find_map(|monitor| forbidden_request(monitor, record).map(|text| broken(&monitor.step, text)));
        if failure.is_none() {
            *failure = found;
        }
    }

    fn see(&self, change: &Change) {
        let now = self.clock.now();
        let mut inner = self.lock();
        let Inner { monitors, evaluator, params, failure, .. } = &mut *inner;
        let scene = Scene { change, evaluator, params, now };
        for monitor in monitors.iter_mut() {
            if monitor.until.is_some_and(|until| now >= until) {
                continue;
            }
            let found = match monitor.step.name.as_str() {
                "always" => scene.always(&monitor.step.args),
                "never" => scene.never(&monitor.step.args),
                "leadsTo" => scene.leads_to(&monitor.step.args, &mut monitor.owed),
                _ => None,
            };
            if let (Some(text), None) = (found, &failure) {
                *failure = Some(broken(&monitor.step, text));
            }
        }
    }
}

fn broken(step: &Step, text: String) -> Failure {
    Failure::new(format!("{}: {text}", step.title())).in_step(step)
}

/// One change, ready to be judged.
struct Scene<'a> {
    change: &'a Change,
    evaluator: &'a Evaluator,
    params: &'a Value,
    now: Timestamp,
}

impl Scene<'_> {
    fn is_about(&self, of: &ObjectRef) -> bool {
        let object = &self.change.object;
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        text("/kind") == of.kind
            && of.name_fits(text("/metadata/name"))
            && of.namespace.as_deref().is_none_or(|namespace| namespace == text("/metadata/namespace"))
    }

    fn holds(&self, expression: &Expression) -> Result<bool, String> {
        let old = self.change.old.as_deref().cloned().unwrap_or_default();
        let bindings = Bindings::new(self.now)
            .with("obj", &self.change.object)
            .with("old", &old)
            .with("params", self.params);
        match expression.holds(self.evaluator, &bindings) {
            Ok(truth) => Ok(truth),
            Err(EvalError::Missing(_)) => Ok(false),
            Err(error) => Err(error.to_string()),
        }
    }

    fn name(&self) -> String {
        crate::world::watcher::object_of(self.change)
    }

    fn always(&self, args: &Arg) -> Option<String> {
        if self.change.kind == ChangeKind::Deleted
            || args.opt_object_ref("of").is_some_and(|of| !self.is_about(of))
        {
            return None;
        }
        if let Some(tree) = args.opt_tree("match") {
            let mismatches = tree.mismatches(Some(&self.change.object));
            return mismatches.first().map(|mismatch| format!("{}: {mismatch}", self.name()));
        }
        match self.holds(args.opt_cel("cel")?) {
            Ok(true) => None,
            Ok(false) => Some(format!("{} made it false", self.name())),
            Err(error) => Some(error),
        }
    }

    fn never(&self, args: &Arg) -> Option<String> {
        if let Some(tree) = args.opt_tree("event") {
            return self.forbidden_event(tree);
        }
        if args.opt_object_ref("of").is_some_and(|of| !self.is_about(of)) {
            return None;
        }
        match self.holds(args.opt_cel("cel")?) {
            Ok(true) => Some(format!("{} made it true", self.name())),
            Ok(false) => None,
            Err(error) => Some(error),
        }
    }

    fn forbidden_event(&self, tree: &Tree) -> Option<String> {
        let is_event = self.change.resource.plural == "events" && self.change.kind != ChangeKind::Deleted;
        (is_event && tree.matches(Some(&self.change.object)))
            .then(|| format!("event {} was written", self.change.object["reason"]))
    }

    fn leads_to(&self, args: &Arg, owed: &mut Option<Timestamp>) -> Option<String> {
        if args.opt_object_ref("of").is_some_and(|of| !self.is_about(of)) {
            return None;
        }
        if self.holds(args.opt_cel("then")?).unwrap_or(false) {
            *owed = None;
        } else if owed.is_none() && self.holds(args.opt_cel("if")?).unwrap_or(false) {
            let within = SignedDuration::try_from(args.opt_duration("within")?).unwrap_or_default();
            *owed = Some(self.now + within);
        }
        None
    }
}

/// A call to Flink that was made after the monitor was declared.
fn forbidden_call(monitor: &Monitor, calls: &[CallRecord]) -> Option<String> {
    let call = monitor.step.args.get("call").filter(|call| call.opt_text("to") == Some("flink"))?;
    let mut later = calls.iter().rev().take_while(|record| record.at >= monitor.since);
    let found = later.find(|record| flink_call_fits(call, record))?;
    Some(format!("{} {} was called", found.method, found.path))
}

fn forbidden_request(monitor: &Monitor, record: &RequestRecord) -> Option<String> {
    let call = monitor.step.args.get("call").filter(|call| call.opt_text("to") != Some("flink"))?;
    let info = &record.info;
    api_call_fits(call, info, record.code).then(|| format!("{} {} was called", info.method, info.path))
}

/// Whether a call to Flink is one a `match` speaks of.
pub fn flink_call_fits(wanted: &Arg, call: &CallRecord) -> bool {
    let path = call.path.strip_prefix("/v1").filter(|rest| rest.starts_with('/')).unwrap_or(&call.path);
    // Verbs and kinds are the API server's.
    let is_of_api = wanted.has("verb") || wanted.has("kind");
    !is_of_api && answer_fits(wanted, &call.method, path, call.code)
}

/// Whether a request to the API server is one a `match` speaks of.
pub fn api_call_fits(wanted: &Arg, info: &RequestInfo, code: u16) -> bool {
    let is_of = |kind: &str| {
        kinds::find(kind).is_some_and(|kind| kind.plural == info.resource && kind.group == info.group)
    };
    wanted.opt_text("verb").is_none_or(|verb| verb == info.verb)
        && wanted.opt_text("kind").is_none_or(is_of)
        && answer_fits(wanted, &info.method, &info.path, code)
}

fn answer_fits(wanted: &Arg, method: &str, path: &str, code: u16) -> bool {
    let same_length = |pattern: &str| {
        let count = |text: &str| text.split('/').filter(|part| !part.is_empty()).count();
        pattern.ends_with('*') || count(pattern) == count(path)
    };
    wanted.opt_text("method").is_none_or(|wanted| wanted == method)
        && wanted.opt_text("path").is_none_or(|pattern| path_fits(pattern, path) && same_length(pattern))
        && wanted.opt_int("code").is_none_or(|wanted| wanted == i64::from(code))
}

fn over_budget(
    args: &Arg,
    requests: &[Timestamp],
    writes: &[Timestamp],
    passes: u64,
    now: Timestamp,
) -> Option<String> {
    let count = |times: &[Timestamp], span: Duration| {
        let since = now - SignedDuration::try_from(span).unwrap_or_default();
        times.iter().rev().take_while(|at| **at >= since).count() as u64
    };
    let check = |name: &str, total: u64, times: &[Timestamp]| -> Option<String> {
        let limits = args.get(name)?;
        let limit = |key: &str| limits.opt_int(key).map(|limit| limit.max(0) as u64);
        let over = |have: u64, limit: Option<u64>| limit.filter(|limit| have > *limit);
        if let Some(max) = over(total, limit("max")) {
            return Some(format!("{total} {name}, at most {max} allowed"));
        }
        let hour = count(times, Duration::from_secs(3600));
        if let Some(max) = over(hour, limit("perHour")) {
            return Some(format!("{hour} {name} in an hour, at most {max} allowed"));
        }
        let minute = count(times, Duration::from_secs(60));
        over(minute, limit("perMinute"))
            .map(|max| format!("{minute} {name} in a minute, at most {max} allowed"))
    };
    check("apiCalls", requests.len() as u64, requests)
        .or_else(|| check("writes", writes.len() as u64, writes))
        .or_else(|| check("reconciles", passes, &[]))
}
