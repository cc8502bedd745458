//! What a call to Flink can come to besides its answer, sorted by what the caller should do about it.

use super::transport::TransportError;
use super::wire::{ErrorBody, causes};

/// A call to Flink without the wanted answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlinkError {
    /// Nobody answered. Nothing is known about the cluster, and perhaps nothing about the effect of the call.
    #[error(transparent)]
    Unanswered(#[from] TransportError),
    /// Flink refused or failed. `errors` is empty when the body is not one of Flink's: something else answered.
    #[error("{call}: HTTP {code}: {}", self.message())]
    Refused { call: String, code: u16, errors: Vec<String>, body: String },
    /// A 2xx answer that cannot be read: another program, or a Flink newer than this operator.
    #[error("{call}: read the answer: {detail}")]
    Unreadable { call: String, detail: String },
}

impl FlinkError {
    pub(super) fn refused(call: &str, code: u16, body: &[u8]) -> FlinkError {
        let errors = serde_json::from_slice::<ErrorBody>(body).map(|b| b.errors).unwrap_or_default();
        let excerpt = if errors.is_empty() { body } else { &[] };
        let body = String::from_utf8_lossy(excerpt).trim().chars().take(512).collect();
        FlinkError::Refused { call: call.to_owned(), code, errors, body }
    }

    /// The HTTP status, when there was one.
    pub fn code(&self) -> Option<u16> {
        match self {
            FlinkError::Refused { code, .. } => Some(*code),
            FlinkError::Unanswered(_) | FlinkError::Unreadable { .. } => None,
        }
    }

    /// The first line of the most telling part of a refusal.
    ///
    /// 4xx bodies hold one throwable; 500 bodies hold the fixed text `Internal server error.` and then the
    /// throwable between `<Exception on server side:` and `End of exception on server side>`.
    pub fn message(&self) -> String {
        match self {
            FlinkError::Unanswered(e) => e.to_string(),
            FlinkError::Unreadable { detail, .. } => detail.clone(),
            FlinkError::Refused { body, errors, .. } if errors.is_empty() => body.clone(),
            FlinkError::Refused { code, errors, .. } => {
                let telling = errors
                    .iter()
                    .map(|e| e.strip_prefix("<Exception on server side:\n").unwrap_or(e))
                    .find(|e| *e != "Internal server error.")
                    .unwrap_or_default();
                let innermost = if *code >= 500 { causes(telling).pop() } else { None };
                let text = innermost.unwrap_or_else(|| telling.to_owned());
                let line = text.lines().next().unwrap_or_default();
                // The exceptions of the REST layer itself say nothing; others name the problem.
                let wrapper = |line| str::strip_prefix(line, "org.apache.flink.runtime.rest.");
                wrapper(line).and_then(|l| l.split_once(": ")).map_or(line, |(_, text)| text).to_owned()
            }
        }
    }

    fn mentions(&self, text: &str) -> bool {
        match self {
            FlinkError::Refused { errors, .. } => {
                errors.iter().any(|e| e.to_ascii_lowercase().contains(&text.to_ascii_lowercase()))
            }
            FlinkError::Unanswered(_) | FlinkError::Unreadable { .. } => false,
        }
    }

    /// The cluster answers and does not know the job: 404 on most paths, 500 with the exception on some.
    pub fn is_job_missing(&self) -> bool {
        self.mentions("FlinkJobNotFoundException")
            || (self.code() == Some(404) && self.mentions("could not be found"))
            || (self.code() == Some(404) && self.mentions("job") && self.mentions("not found"))
    }

    /// Flink answered that the thing asked for does not exist. A 404 of anything else on the way says nothing.
    pub fn is_absent(&self) -> bool {
        let is_404_of_flink =
            matches!(self, FlinkError::Refused { code: 404, errors, .. } if !errors.is_empty());
        is_404_of_flink || self.is_job_missing()
    }

    /// The job had already ended in another way (409 of a cancel).
    pub fn is_already_terminal(&self) -> bool {
        self.mentions("already reached another terminal state")
            || self.mentions("terminated without cancellation")
            || matches!(self, FlinkError::Refused { code: 409, errors, .. } if !errors.is_empty())
    }

    /// The job has no checkpoint coordinator (batch jobs).
    pub fn is_checkpointing_disabled(&self) -> bool {
        self.mentions("Checkpointing has not been enabled")
    }

    /// Flink looked at the request and refused it. Not so for a REST server that is up before its dispatcher
    /// (503 during a leader election), and for whatever else answers on the way.
    pub fn is_about_the_request(&self) -> bool {
        matches!(self, FlinkError::Refused { code, errors, .. } if *code != 503 && !errors.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_the_telling_line() {
        let e = FlinkError::refused(
            "cancel",
            409,
            br#"{"errors":["org.apache.flink.runtime.rest.handler.RestHandlerException: Job cancellation failed because the job has already reached another terminal state (FINISHED).\n\tat x"]}"#,
        );
        assert_eq!(
            e.message(),
            "Job cancellation failed because the job has already reached another terminal state (FINISHED)."
        );
        assert!(e.is_already_terminal());
        let e = FlinkError::refused(
            "status",
            500,
            br#"{"errors":["Internal server error.","<Exception on server side:\na.CompletionException: b\n\tat x\nCaused by: FlinkJobNotFoundException: Could not find Flink job (11)\n\tat y\nEnd of exception on server side>"]}"#,
        );
        assert_eq!(e.message(), "FlinkJobNotFoundException: Could not find Flink job (11)");
        assert!(e.is_job_missing());
        let e = FlinkError::refused("x", 502, b"<html>bad gateway</html>");
        assert_eq!(e.message(), "<html>bad gateway</html>");
        let e = FlinkError::refused("x", 404, b"<html>no such host</html>");
        assert!(!e.is_absent() && !e.is_job_missing() && !e.is_about_the_request(), "not Flink's 404");
        let election =
            br#"{"errors":["Service temporarily unavailable due to an ongoing leader election."]}"#;
        assert!(!FlinkError::refused("x", 503, election).is_about_the_request());
        let e = FlinkError::refused("x", 404, br#"{"errors":["Not found: /v1/x"]}"#);
        assert!(e.is_absent() && !e.is_job_missing() && e.is_about_the_request());
    }
}
