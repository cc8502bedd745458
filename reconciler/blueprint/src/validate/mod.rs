//! Is a resource acceptable? The first failing rule wins, with the text users know (reconciler.md 8).
//!
//! Rules are numbered as in the tables there. Ours come after all of theirs, so that whatever Apache's operator
//! answers is answered the same; they refuse what could only fail later.

mod autoscaler;
mod deployment;
mod job;
mod own;
mod process;
mod session_job;
mod snapshot;

use std::fmt;

pub use crate::ingress::ingress_host_and_path;
pub use deployment::{flink_deployment, warnings};
pub use session_job::flink_session_job;
pub use snapshot::flink_state_snapshot;

/// Why a resource is not acceptable. Displays as the text of the `ValidationError` event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidationError {
    /// Section and number of the rule, for the trace: `8.1 #12`.
    pub rule: &'static str,
    pub message: String,
}

impl fmt::Display for ValidationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ValidationError {}

type Verdict = Result<(), ValidationError>;

/// Refuses with `message` unless `holds`.
fn require(holds: bool, rule: &'static str, message: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(ValidationError { rule, message: message() }) }
}

/// `[a-z]([-a-z\d]{0,43}[a-z\d])?`
fn is_deployment_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.len() <= 45
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.chars().all(inner)
}

fn name_message(name: &str) -> String {
    format!(
        "The FlinkDeployment name: {name} is invalid, must consist of lower case alphanumeric characters or '-', \
         start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123'), \
         and the length must be no more than 45 characters."
    )
}

fn is_blank(text: Option<&str>) -> bool {
    text.is_none_or(|text| text.trim().is_empty())
}
