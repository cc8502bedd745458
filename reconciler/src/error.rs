//! `status.error`: the JSON document users and dashboards read (reconciler.md 2.9).
//!
//! Class names are those of Apache's operator: they are part of the format. Stack traces are not written; there is
//! no Java stack here, and the trace of a pass says more.

use crate::observation::Cause;
use serde_json::{Map, Value, json};

/// What kind of error it is, by the class name readers match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    Reconciliation,
    UpgradeFailure,
    DeploymentFailed,
    MissingJobManager,
    Validation,
}

impl ErrorType {
    pub fn class(self) -> &'static str {
        match self {
            ErrorType::Reconciliation => {
                "org.apache.flink.kubernetes.operator.exception.ReconciliationException"
            }
            ErrorType::UpgradeFailure => {
                "org.apache.flink.kubernetes.operator.exception.UpgradeFailureException"
            }
            ErrorType::DeploymentFailed => {
                "org.apache.flink.kubernetes.operator.exception.DeploymentFailedException"
            }
            ErrorType::MissingJobManager => {
                "org.apache.flink.kubernetes.operator.exception.MissingJobManagerException"
            }
            ErrorType::Validation => "org.apache.flink.kubernetes.operator.exception.ValidationException",
        }
    }
}

/// Bounds of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `kubernetes.operator.exception.field.max.length`
    pub field_length: usize,
    /// `kubernetes.operator.exception.throwable.list.max.count`
    pub causes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { field_length: 2048, causes: 2 }
    }
}

/// An error about to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorDocument {
    pub class: String,
    pub message: String,
    pub reason: Option<String>,
    pub http_code: Option<u16>,
    pub causes: Vec<Cause>,
}

impl ErrorDocument {
    pub fn new(kind: ErrorType, message: impl Into<String>) -> Self {
        Self::of_class(kind.class(), message)
    }

    pub fn of_class(class: impl Into<String>, message: impl Into<String>) -> Self {
        ErrorDocument {
            class: class.into(),
            message: message.into(),
            reason: None,
            http_code: None,
            causes: Vec::new(),
        }
    }

    pub fn to_text(&self, limits: Limits) -> String {
        let mut metadata = Map::new();
        if let Some(code) = self.http_code {
            metadata.insert("httpResponseCode".into(), code.into());
        }
        if let Some(reason) = &self.reason {
            metadata.insert("reason".into(), cut(reason, limits.field_length).into());
        }
        let throwables = self.causes.iter().take(limits.causes).map(|cause| {
            let mut entry = Map::new();
            entry.insert("type".into(), cut(&cause.class, limits.field_length).into());
            if let Some(message) = &cause.message {
                entry.insert("message".into(), cut(message, limits.field_length).into());
            }
            entry.insert("additionalMetadata".into(), json!({}));
            Value::Object(entry)
        });
        json!({
            "type": cut(&self.class, limits.field_length),
            "message": cut(&self.message, limits.field_length),
            "additionalMetadata": metadata,
            "throwableList": throwables.collect::<Vec<_>>(),
        })
        .to_string()
    }
}

/// The event text of a chain: up to three levels joined by ` -> `, a missing message replaced by the class name.
pub fn chain_message(causes: &[Cause]) -> String {
    let text = |cause: &Cause| match &cause.message {
        Some(message) => message.clone(),
        None => cause.class.rsplit('.').next().unwrap_or(&cause.class).to_owned(),
    };
    causes.iter().take(3).map(text).collect::<Vec<_>>().join(" -> ")
}

/// At most `length` characters, never inside one.
fn cut(text: &str, length: usize) -> &str {
    text.char_indices().nth(length).map_or(text, |(at, _)| &text[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(class: &str, message: Option<&str>) -> Cause {
        Cause { class: class.into(), message: message.map(str::to_owned) }
    }

    #[test]
    fn document_has_the_fields_readers_expect_and_respects_its_bounds() {
        let mut document = ErrorDocument::new(ErrorType::DeploymentFailed, "x".repeat(3000));
        document.reason = Some("CrashLoopBackOff".into());
        document.causes = vec![cause("a.B", Some("one")), cause("a.C", None), cause("a.D", Some("three"))];
        let value: Value = serde_json::from_str(&document.to_text(Limits::default())).unwrap();
        assert_eq!(value["message"].as_str().unwrap().len(), 2048);
        assert_eq!(value["additionalMetadata"], json!({"reason": "CrashLoopBackOff"}));
        assert_eq!(
            value["throwableList"],
            json!([
                {"type": "a.B", "message": "one", "additionalMetadata": {}},
                {"type": "a.C", "additionalMetadata": {}},
            ])
        );
    }

    #[test]
    fn chains_are_joined_up_to_three_levels() {
        let chain =
            [cause("a.B", Some("job err")), cause("a.Root", None), cause("c", Some("d")), cause("e", None)];
        assert_eq!(chain_message(&chain), "job err -> Root -> d");
    }

    #[test]
    fn cutting_respects_characters() {
        assert_eq!(cut("aéb", 2), "aé");
        assert_eq!(cut("ab", 5), "ab");
    }
}
