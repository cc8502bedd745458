//! What pods take of the nodes they are bound to, kept as pods come and go: scheduling one pod must not count all others.

use std::collections::BTreeMap;

use fake_kube_apiserver::equal;
use serde_json::Value;

use crate::json::*;
use crate::scheduler::{is_over, requests};

/// One node's share that is taken, in thousandths; pods themselves under [`PODS`].
pub type Taken = BTreeMap<String, i128>;

pub const PODS: &str = "pods";

#[derive(Clone, Default)]
pub struct Load(BTreeMap<String, Taken>);

impl Load {
    pub fn of(&self, node: &str) -> Option<&Taken> {
        self.0.get(node)
    }

    /// A pod changed from `old` to `new`; either may be missing.
    pub fn change(&mut self, old: Option<&Value>, new: Option<&Value>) {
        let is_bound = |pod: &&Value| !text(pod, "/spec/nodeName").is_empty() && !is_over(pod);
        let (old, new) = (old.filter(is_bound), new.filter(is_bound));
        if let (Some(old), Some(new)) = (old, new)
            && equal(at(old, "/spec"), at(new, "/spec"))
        {
            return;
        }
        if let Some(pod) = old {
            self.add(pod, -1);
        }
        if let Some(pod) = new {
            self.add(pod, 1);
        }
    }

    fn add(&mut self, pod: &Value, sign: i128) {
        let node = text(pod, "/spec/nodeName");
        let taken = self.0.entry(node.to_owned()).or_default();
        for (resource, n) in share(pod) {
            *taken.entry(resource).or_default() += n * sign;
        }
        if taken.get(PODS) == Some(&0) {
            self.0.remove(node);
        }
    }
}

/// What one pod takes of its node.
pub fn share(pod: &Value) -> Taken {
    let mut taken = requests(pod);
    taken.insert(PODS.to_owned(), 1000);
    taken
}
