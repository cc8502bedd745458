//! Faults of pods and nodes as data: what to do to which pods, for as long as the rule stands or once.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::json::{label, name, namespace};

/// Which pods. Every given part must match; nothing given matches all pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodSelector {
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub labels: BTreeMap<String, String>,
}

impl PodSelector {
    pub fn labels<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> PodSelector {
        let labels = pairs.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        PodSelector { labels, ..PodSelector::default() }
    }

    pub fn named(namespace: &str, name: &str) -> PodSelector {
        PodSelector { namespace: Some(namespace.into()), name: Some(name.into()), labels: BTreeMap::new() }
    }

    pub fn in_namespace(mut self, namespace: &str) -> PodSelector {
        self.namespace = Some(namespace.into());
        self
    }

    pub fn matches(&self, pod: &Value) -> bool {
        self.namespace.as_deref().is_none_or(|ns| ns == namespace(pod))
            && self.name.as_deref().is_none_or(|n| n == name(pod))
            && self.labels.iter().all(|(k, v)| label(pod, k) == v)
    }
}

/// Standing faults, until lifted.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// Pulls fail; the text is the runtime's, empty for a missing image's.
    ImagePull { error: String },
    /// Containers exit with this code this long after their start.
    CrashLoop { code: i32, after: Duration },
    /// The scheduler finds no node; the text follows `0/1 nodes are available: `.
    NeverSchedule { why: String },
    /// Readiness probes fail, and pods without one are not ready.
    NotReady,
    /// Processes run but answer nothing: probes and requests time out.
    Hang,
}

/// Faults that happen once.
#[derive(Clone, Debug, PartialEq)]
pub enum Once {
    /// The main process dies with this exit code.
    Exit { code: i32 },
    /// The kernel kills it: 137, OOMKilled.
    Oom,
    /// The kubelet evicts the pod.
    Evict { message: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FaultId(u64);

#[derive(Clone, Debug, Default)]
pub struct Faults {
    rules: BTreeMap<FaultId, (PodSelector, Standing)>,
    next: u64,
}

impl Faults {
    pub fn add(&mut self, selector: PodSelector, fault: Standing) -> FaultId {
        let id = FaultId(self.next);
        self.next += 1;
        self.rules.insert(id, (selector, fault));
        id
    }

    pub fn lift(&mut self, id: FaultId) -> bool {
        self.rules.remove(&id).is_some()
    }

    pub fn clear(&mut self) {
        self.rules.clear();
    }

    fn of<'a, 'p>(&'a self, pod: &'p Value) -> impl Iterator<Item = &'a Standing> + use<'a, 'p> {
        self.rules.values().filter(move |(s, _)| s.matches(pod)).map(|(_, f)| f)
    }

    pub fn image_pull<'a>(&'a self, pod: &Value) -> Option<&'a str> {
        self.of(pod).find_map(|f| match f {
            Standing::ImagePull { error } => Some(error.as_str()),
            _ => None,
        })
    }

    pub fn crash(&self, pod: &Value) -> Option<(i32, Duration)> {
        self.of(pod).find_map(|f| match f {
            Standing::CrashLoop { code, after } => Some((*code, *after)),
            _ => None,
        })
    }

    pub fn unschedulable<'a>(&'a self, pod: &Value) -> Option<&'a str> {
        self.of(pod).find_map(|f| match f {
            Standing::NeverSchedule { why } => Some(why.as_str()),
            _ => None,
        })
    }

    pub fn not_ready(&self, pod: &Value) -> bool {
        self.of(pod).any(|f| matches!(f, Standing::NotReady))
    }

    pub fn hangs(&self, pod: &Value) -> bool {
        self.of(pod).any(|f| matches!(f, Standing::Hang))
    }
}
