//! Faults of the API server as the operator sees it: a list of rules, first match decides, each with a budget.
//! Only requests of the operator pass here; controllers, kubelet and the scenario's user are left alone unless a rule
//! names them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use drey_language::events::{Kind, Lane};
use fake_kube_apiserver::{Gate, RequestInfo, Status, Verdict};
use jiff::Timestamp;
use rand_chacha::ChaCha8Rng;
use rand_core::RngCore;
use serde_json::json;

use super::budget::{Active, Budget, Rules};
use super::clock::ScenarioClock;
use super::journal::Journal;
use crate::determinism;

/// Which requests. Every given part must match.
#[derive(Clone, Debug, Default)]
pub struct RequestMatch {
    pub verbs: Vec<String>,
    /// Plural, lower case; empty matches all.
    pub resource: Option<String>,
    /// `Some("")` is the object itself.
    pub subresource: Option<String>,
    /// `*` may stand at the ends.
    pub name: Option<String>,
    pub namespace: Option<String>,
    /// Prefix of the user's name.
    pub user: String,
}

impl RequestMatch {
    pub fn matches(&self, request: &RequestInfo) -> bool {
        (self.verbs.is_empty() || self.verbs.contains(&request.verb))
            && self.resource.as_ref().is_none_or(|resource| *resource == request.resource)
            && self.subresource.as_ref().is_none_or(|sub| *sub == request.subresource)
            && self.name.as_ref().is_none_or(|name| drey_language::matching::glob(name, &request.name))
            && self.namespace.as_ref().is_none_or(|namespace| *namespace == request.namespace)
            && request.user.starts_with(&self.user)
    }
}

/// What a matching request gets.
#[derive(Clone, Debug)]
pub enum Response {
    Verdict(Verdict),
    /// The operator dies at this request; what the server does with it is the verdict.
    Crash(Verdict),
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    pub request: RequestMatch,
    pub response: Response,
    /// Lets this many matching requests pass first.
    pub skip: u32,
    pub probability: Option<f64>,
}

/// Called when a crash rule strikes.
type CrashHook = Arc<dyn Fn() + Send + Sync>;

#[derive(Clone)]
pub struct Faults {
    inner: Arc<Mutex<Inner>>,
    journal: Journal,
    clock: ScenarioClock,
    /// Every request takes this long, so that two requests never fall into one instant unless they run at once.
    latency: Duration,
}

struct Inner {
    rules: Rules<Rule>,
    chance: ChaCha8Rng,
    crash: Option<CrashHook>,
    /// Writes of the operator so far, watched by the crash-at-every-write expansion.
    writes: u32,
    crash_at_write: Option<(u32, Verdict)>,
    /// Method and path of the request after which the operator dies: the server carries it out first.
    dies_after: Option<(String, String)>,
}

/// Who the operator is to the API server.
pub const OPERATOR_USER: &str = "system:serviceaccount:flink-operator:flink-operator";

const WRITE_VERBS: &[&str] = &["create", "update", "patch", "delete", "deletecollection"];

pub fn is_write(request: &RequestInfo) -> bool {
    WRITE_VERBS.contains(&request.verb.as_str())
}

/// A write that carries progress: events and the lease are repeated freely.
pub fn is_deciding_write(request: &RequestInfo) -> bool {
    is_write(request) && !matches!(request.resource.as_str(), "events" | "leases")
}

impl Faults {
    pub fn new(journal: Journal, clock: ScenarioClock, seed: u64, latency: Duration) -> Faults {
        let inner = Inner {
            rules: Rules::default(),
            chance: determinism::stream(seed, "faults"),
            crash: None,
            writes: 0,
            crash_at_write: None,
            dies_after: None,
        };
        Faults { inner: Arc::new(Mutex::new(inner)), journal, clock, latency }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn add(&self, budget: Budget, rule: Rule) {
        self.lock().rules.add(budget, rule);
    }

    /// Ends the rules of that name; all without a name.
    pub fn clear(&self, name: Option<&str>) {
        self.lock().rules.clear(name);
    }

    pub fn active(&self) -> Vec<Active> {
        let now = self.clock.now();
        self.lock().rules.active(now)
    }

    pub fn on_crash(&self, hook: impl Fn() + Send + Sync + 'static) {
        self.lock().crash = Some(Arc::new(hook));
    }

    /// The operator dies at its nth deciding write (from 1) of the run.
    pub fn crash_at_write(&self, nth: u32, verdict: Verdict) {
        self.lock().crash_at_write = Some((nth, verdict));
    }

    /// Deciding writes of the operator so far.
    pub fn writes(&self) -> u32 {
        self.lock().writes
    }

    fn decide(&self, request: &RequestInfo) -> Verdict {
        let now = self.clock.now();
        let mut inner = self.lock();
        if request.user.starts_with(OPERATOR_USER) && is_deciding_write(request) {
            inner.writes += 1;
            if inner.crash_at_write.as_ref().is_some_and(|(nth, _)| *nth == inner.writes) {
                let (nth, verdict) = inner.crash_at_write.take().expect("just looked at it");
                drop(inner);
                let text = format!("operator dies at write {nth}: {} {}", request.method, request.path);
                self.journal.push(self.journal.event(Lane::Fault, Kind::FaultHit, text));
                self.crash(request, &verdict);
                return verdict;
            }
        }
        let Some((response, seq, name)) = inner.strike(request, now) else { return Verdict::Pass };
        drop(inner);
        let text = format!("{name}: {} {}", request.method, request.path);
        let event = self.journal.event(Lane::Fault, Kind::FaultHit, text).because(Some(seq));
        self.journal.push(event.detail(json!({"fault": seq})));
        match response {
            Response::Verdict(verdict) => verdict,
            Response::Crash(verdict) => {
                self.crash(request, &verdict);
                verdict
            }
        }
    }

    /// A request that must still be carried out kills its sender only afterwards: a connection that closes earlier
    /// would take the request along.
    fn crash(&self, request: &RequestInfo, verdict: &Verdict) {
        let mut inner = self.lock();
        if matches!(verdict, Verdict::Pass | Verdict::DropAfterCommit) {
            inner.dies_after = Some((request.method.clone(), request.path.clone()));
            return;
        }
        let crash = inner.crash.clone();
        drop(inner);
        if let Some(crash) = crash {
            crash();
        }
    }

    /// To be told of every request that was carried out, before its answer leaves.
    pub fn carried_out(&self, request: &RequestInfo) {
        let mut inner = self.lock();
        let is_last =
            |(method, path): &mut (String, String)| *method == request.method && *path == request.path;
        if !request.user.starts_with(OPERATOR_USER) || inner.dies_after.take_if(is_last).is_none() {
            return;
        }
        let crash = inner.crash.clone();
        drop(inner);
        if let Some(crash) = crash {
            crash();
        }
    }
}

impl Inner {
    fn strike(&mut self, request: &RequestInfo, now: Timestamp) -> Option<(Response, u64, String)> {
        let chance = &mut self.chance;
        let struck = self.rules.strike(now, |rule| {
            if !rule.request.matches(request) {
                return false;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                return false;
            }
            // 53 bits make a fair fraction of one.
            let chance = (chance.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
            !rule.probability.is_some_and(|probability| chance >= probability)
        });
        struck.map(|(budget, rule)| (rule.response.clone(), budget.seq, budget.name.clone()))
    }
}

impl Gate for Faults {
    fn judge(&self, request: &RequestInfo) -> Verdict {
        match self.decide(request) {
            Verdict::Pass if !self.latency.is_zero() => Verdict::Delay(self.latency),
            verdict => verdict,
        }
    }
}

/// A refusal with the reason a real server gives for the code.
pub fn refusal(code: u16, reason: Option<&str>, message: Option<&str>) -> Status {
    let usual = match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "Unknown",
    };
    Status::new(code, reason.unwrap_or(usual), message.unwrap_or("injected by the scenario"))
}
