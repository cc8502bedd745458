//! What the operator asked of the Kubernetes API, in the words of RBAC: the rights it needs.

use std::collections::BTreeSet;
use std::fmt;

use fake_kube_apiserver::RequestInfo;

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

/// The rights behind these requests, as far as they are the operator's.
pub fn rights<'r>(requests: impl Iterator<Item = &'r RequestInfo>) -> BTreeSet<Right> {
    let is_its = |info: &&RequestInfo| info.user.starts_with(OPERATOR_USER) && !info.resource.is_empty();
    requests.filter(is_its).map(right).collect()
}

fn right(info: &RequestInfo) -> Right {
    let resource = match info.subresource.as_str() {
        "" => info.resource.clone(),
        subresource => format!("{}/{subresource}", info.resource),
    };
    Right { group: info.group.clone(), resource, verb: info.verb.clone() }
}
