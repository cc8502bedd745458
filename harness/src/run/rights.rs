//! What the operator asked of the Kubernetes API, in the words of RBAC: the rights it needs.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use fake_kube_apiserver::RequestInfo;

use crate::world::World;
use crate::world::gate::OPERATOR_USER;

/// One verb on one resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// Empty: the core group.
    pub group: String,
    /// With its subresource: `flinkdeployments/status`.
    pub resource: String,
    pub verb: String,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dot = if self.group.is_empty() { "" } else { "." };
        write!(f, "{} {}{dot}{}", self.verb, self.resource, self.group)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Rights(Arc<Mutex<BTreeSet<Right>>>);

impl Rights {
    pub fn watch(&self, world: &World) {
        let rights = self.clone();
        world.watcher.on_request(move |record| rights.note(&record.info));
    }

    fn note(&self, info: &RequestInfo) {
        if info.user.starts_with(OPERATOR_USER) && !info.resource.is_empty() {
            let resource = match info.subresource.as_str() {
                "" => info.resource.clone(),
                subresource => format!("{}/{subresource}", info.resource),
            };
            let right = Right { group: info.group.clone(), resource, verb: info.verb.clone() };
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(right);
        }
    }

    pub fn all(&self) -> BTreeSet<Right> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
