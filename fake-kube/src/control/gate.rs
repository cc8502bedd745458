//! The faults of a running server: a list of rules before whatever gate it had. The first rule that strikes decides.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fake_kube_apiserver::{ApiServer, Clock, Disturbance, Gate, RequestInfo, Verdict};
use jiff::Timestamp;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use serde_json::{Value, json};

use super::reading::Complaint;
use super::rule::{Fate, Named, Rule};
use crate::json::fnv64a;

/// Rules at a time, spent ones included: they show their hits until somebody removes them.
const RULES_MAX: usize = 256;

/// Told of each request that a fault strikes.
pub type Told = Arc<dyn Fn(&Struck) + Send + Sync>;

/// A request that met a fault.
#[derive(Clone, Debug)]
pub struct Struck {
    /// `f3`, and its name where it has one.
    pub fault: String,
    pub request: RequestInfo,
}

/// The rules of one server. Clones are the same list.
#[derive(Clone)]
pub struct RequestFaults {
    rules: Arc<Rules>,
    api: ApiServer,
}

struct Rules {
    list: Mutex<List>,
    next: Option<Arc<dyn Gate>>,
    /// The server's.
    clock: Arc<dyn Clock>,
    told: Option<Told>,
}

#[derive(Default)]
struct List {
    entries: Vec<Entry>,
    made: u64,
}

struct Entry {
    id: String,
    rule: Rule,
    begun: Timestamp,
    until: Option<Timestamp>,
    /// The revision that stale reads show.
    frozen: u64,
    chance: ChaCha8Rng,
    seen: u64,
    hits: u64,
    last: Option<(Timestamp, RequestInfo)>,
}

impl RequestFaults {
    /// Stands before the gate the server has from now on. Nothing happens until a rule is added.
    pub fn install(api: &ApiServer, clock: Arc<dyn Clock>, told: Option<Told>) -> RequestFaults {
        // The server holds its gate, which must not hold the server.
        let rules = Arc::new(Rules { list: Mutex::default(), next: api.gate(), clock, told });
        api.set_gate(rules.clone());
        RequestFaults { rules, api: api.clone() }
    }

    pub fn add(&self, value: &Value) -> Result<Value, Complaint> {
        let rule = Rule::read(value, &self.served())?;
        let (now, frozen) = (self.api.now(), self.api.revision());
        let mut list = self.rules.lock();
        if list.entries.len() >= RULES_MAX {
            let text = format!("there are {RULES_MAX} faults already; remove some");
            return Err(Complaint::new("", text));
        }
        if !rule.name.is_empty() && list.entries.iter().any(|e| e.rule.name == rule.name) {
            let text =
                format!("there is a fault called {:?} already; remove it, or take another name", rule.name);
            return Err(Complaint::new("name", text));
        }
        list.made += 1;
        let id = format!("f{}", list.made);
        let entry = Entry {
            chance: ChaCha8Rng::seed_from_u64(rule.seed ^ fnv64a(id.as_bytes())),
            id,
            begun: now,
            until: rule.lasts.map(|d| now.saturating_add(d).unwrap_or(Timestamp::MAX)),
            frozen,
            seen: 0,
            hits: 0,
            last: None,
            rule,
        };
        let (shown, is_of_watches) = (entry.show(now), entry.rule.verdict.is_of_watches());
        list.entries.push(entry);
        drop(list);
        if is_of_watches {
            // Running watches begin anew, and meet the rule.
            self.api.end_all_watches();
        }
        Ok(shown)
    }

    pub fn list(&self) -> Vec<Value> {
        let now = self.api.now();
        self.rules.lock().entries.iter().map(|e| e.show(now)).collect()
    }

    /// By id or name.
    pub fn get(&self, which: &str) -> Result<Value, Complaint> {
        let now = self.api.now();
        let list = self.rules.lock();
        let found = list.entries.iter().find(|e| e.is(which));
        found.map(|e| e.show(now)).ok_or_else(|| list.unknown(which))
    }

    pub fn remove(&self, which: &str) -> Result<Value, Complaint> {
        let now = self.api.now();
        let mut list = self.rules.lock();
        let Some(at) = list.entries.iter().position(|e| e.is(which)) else {
            return Err(list.unknown(which));
        };
        let gone = list.entries.remove(at);
        drop(list);
        self.free_watches(std::slice::from_ref(&gone));
        Ok(gone.show(now))
    }

    /// All of them; how many there were.
    pub fn clear(&self) -> usize {
        let gone = std::mem::take(&mut self.rules.lock().entries);
        self.free_watches(&gone);
        gone.len()
    }

    fn free_watches(&self, gone: &[Entry]) {
        if gone.iter().any(|e| e.rule.verdict.is_of_watches()) {
            self.api.end_all_watches();
        }
    }

    fn served(&self) -> Vec<Named> {
        let served = self.api.client("fake-kube").resources();
        let named = |r: fake_kube_apiserver::ServedResource| Named {
            group: r.resource.group,
            plural: r.resource.plural,
            kind: r.kind,
        };
        served.into_iter().map(named).collect()
    }
}

impl Rules {
    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate for Rules {
    fn judge(&self, request: &RequestInfo) -> Verdict {
        let now = self.clock.now();
        let struck = {
            let mut list = self.lock();
            list.entries.iter_mut().find_map(|e| e.strike(request, now))
        };
        let Some((fault, verdict)) = struck else {
            return self.next.as_ref().map_or(Verdict::Pass, |gate| gate.judge(request));
        };
        if let Some(told) = &self.told {
            told(&Struck { fault, request: request.clone() });
        }
        verdict
    }
}

impl List {
    fn unknown(&self, which: &str) -> Complaint {
        let names = self.entries.iter().flat_map(|e| [e.id.as_str(), e.rule.name.as_str()]);
        Complaint::word("id", "fault", which, names.filter(|n| !n.is_empty()))
    }
}

impl Entry {
    fn is(&self, which: &str) -> bool {
        self.id == which || (!self.rule.name.is_empty() && self.rule.name == which)
    }

    fn state(&self, now: Timestamp) -> &'static str {
        if self.rule.times.is_some_and(|times| self.hits >= times) {
            "spent"
        } else if self.until.is_some_and(|until| now >= until) {
            "over"
        } else {
            "active"
        }
    }

    fn strike(&mut self, request: &RequestInfo, now: Timestamp) -> Option<(String, Verdict)> {
        if self.state(now) != "active" || !self.rule.request.fits(request) {
            return None;
        }
        self.seen += 1;
        if self.seen <= self.rule.skip {
            return None;
        }
        // 53 bits make a fair fraction of one.
        let drawn = (self.chance.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        if drawn * 100.0 >= self.rule.percent {
            return None;
        }
        self.hits += 1;
        self.last = Some((now, request.clone()));
        let verdict = match &self.rule.verdict {
            Fate::Delay(delay) => Verdict::Delay(delay.unsigned_abs()),
            Fate::Status(status) => Verdict::Fail(status.clone()),
            Fate::DropBefore => Verdict::DropBefore,
            Fate::DropAfter => Verdict::DropAfterCommit,
            Fate::Stale { revision } => Verdict::Stale { revision: revision.unwrap_or(self.frozen) },
            Fate::WatchCut => Verdict::CutWatch,
            Fate::WatchExpired => Verdict::Expire,
            Fate::Watch { how, window } => {
                Verdict::Disturb(Disturbance { how: *how, window: *window, until: self.until })
            }
        };
        let named = if self.rule.name.is_empty() { String::new() } else { format!(" {}", self.rule.name) };
        Some((format!("{}{named}", self.id), verdict))
    }

    fn show(&self, now: Timestamp) -> Value {
        let mut out = json!({"id": self.id, "state": self.state(now), "hits": self.hits, "seen": self.seen,
            "since": self.begun.to_string()});
        if let Some(until) = self.until {
            out["until"] = json!(until.to_string());
        }
        if let Fate::Stale { revision: None } = self.rule.verdict {
            out["frozenAt"] = json!(self.frozen);
        }
        if let Some((at, request)) = &self.last {
            out["lastHit"] = json!({"at": at.to_string(), "method": request.method, "path": request.path,
                "user": request.user, "userAgent": request.user_agent});
        }
        if let (Some(out), Value::Object(rule)) = (out.as_object_mut(), self.rule.show()) {
            out.extend(rule);
        }
        out
    }
}
