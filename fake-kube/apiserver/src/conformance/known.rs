//! Which cases a server runs, and the list of those it is known to fail, shared by all transports.

use std::collections::BTreeMap;

use super::Case;

/// What an API server has without controllers, webhooks and RBAC.
const PROVIDES: [&str; 6] = ["namespaces", "core", "pods", "apps", "crd", "compaction"];

/// Whether an API server alone can answer the case. `auth` cases outside their topic need no authorisation.
pub fn runs_alone(topic: &str, case: &Case) -> bool {
    case.needs.iter().all(|n| PROVIDES.contains(&n.as_str()) || (n == "auth" && topic != "auth"))
}

/// Reads a list of `id reason` lines; `#` begins a comment. A line without a reason is an error.
pub fn known_failures(text: &str) -> Result<BTreeMap<String, String>, String> {
    let lines = text.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty());
    lines
        .map(|l| match l.split_once(char::is_whitespace) {
            Some((id, why)) if !why.trim().is_empty() => Ok((id.to_owned(), why.trim().to_owned())),
            _ => Err(format!("known failures: {l} needs a reason")),
        })
        .collect()
}
