//! Which cases a server runs, and the list of those it is known to fail, shared by all transports.

use std::collections::BTreeMap;

use super::Case;

/// What an API server has without controllers.
const PROVIDES: [&str; 9] =
    ["namespaces", "core", "pods", "apps", "crd", "compaction", "rbac", "auth", "webhooks"];

/// Whether an API server alone can answer the case.
pub fn runs_alone(case: &Case) -> bool {
    case.needs_only(&PROVIDES)
}

/// Whether the case is about rights: it runs against a server that enforces roles.
pub fn needs_rbac(case: &Case) -> bool {
    case.needs.iter().any(|n| n == "rbac")
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
