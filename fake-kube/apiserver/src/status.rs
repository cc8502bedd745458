//! `Status`: every refusal of the server, with the texts of a real 1.35 (kube-api.md 2.5).

use std::fmt;

use fake_kube_schema::Cause;
use serde_json::{Map, Value, json};

use crate::resource::Definition;

/// A failure answer. `code` is the HTTP status; `reason` is empty where a real server sends none.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    pub code: u16,
    pub reason: String,
    pub message: String,
    pub details: Option<Box<Value>>,
    /// `metadata.continue`: how to read on after an expired list.
    pub continue_token: Option<String>,
    /// Sent as the `Retry-After` header.
    pub retry_after: Option<u64>,
    /// Answered as text/plain instead of a Status object.
    pub plain: bool,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.code, self.reason, self.message)
    }
}

impl std::error::Error for Status {}

pub(crate) type Result<T> = std::result::Result<T, Status>;

impl Status {
    pub fn new(code: u16, reason: &str, message: impl Into<String>) -> Status {
        Status {
            code,
            reason: reason.to_owned(),
            message: message.into(),
            details: None,
            continue_token: None,
            retry_after: None,
            plain: false,
        }
    }

    pub(crate) fn details(mut self, details: Value) -> Status {
        self.details = Some(Box::new(details));
        self
    }

    /// The body as the API shows it.
    pub fn to_value(&self) -> Value {
        let mut out = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message});
        if let Some(token) = &self.continue_token {
            out["metadata"]["continue"] = json!(token);
        }
        if !self.reason.is_empty() {
            out["reason"] = json!(self.reason);
        }
        if let Some(details) = &self.details {
            out["details"] = (**details).clone();
        }
        out["code"] = json!(self.code);
        out
    }

    pub fn is_not_found(&self) -> bool {
        self.reason == "NotFound"
    }

    pub fn is_conflict(&self) -> bool {
        self.reason == "Conflict"
    }

    pub fn is_already_exists(&self) -> bool {
        self.reason == "AlreadyExists"
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Status {
        Status::new(400, "BadRequest", message)
    }

    /// The shape of errors that a real server did not turn into an API error: 500 and no reason.
    pub(crate) fn bare(message: impl Into<String>) -> Status {
        Status::new(500, "", message)
    }

    pub(crate) fn internal(message: impl fmt::Display) -> Status {
        let text = message.to_string();
        Status::new(500, "InternalError", format!("Internal error occurred: {text}"))
            .details(json!({"causes": [{"message": text}]}))
    }

    pub(crate) fn not_found_page() -> Status {
        Status { plain: true, ..Status::new(404, "NotFound", "404 page not found\n") }
    }

    pub(crate) fn unknown_path() -> Status {
        Status::new(404, "NotFound", "the server could not find the requested resource").details(json!({}))
    }

    pub(crate) fn method_not_allowed() -> Status {
        Status::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
        .details(json!({}))
    }

    pub(crate) fn not_found(def: &Definition, name: &str) -> Status {
        Status::new(404, "NotFound", format!("{} \"{name}\" not found", def.qualified_resource()))
            .details(details(name, &def.group, &def.plural, None))
    }

    pub(crate) fn already_exists(def: &Definition, name: &str, deleting: bool) -> Status {
        let lead = if deleting { "object is being deleted: " } else { "" };
        let text = format!("{lead}{} \"{name}\" already exists", def.qualified_resource());
        Status::new(409, "AlreadyExists", text).details(details(name, &def.group, &def.plural, None))
    }

    pub(crate) fn conflict(def: &Definition, name: &str, why: &str) -> Status {
        let text = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", def.qualified_resource());
        Status::new(409, "Conflict", text).details(details(name, &def.group, &def.plural, None))
    }

    pub(crate) fn modified(def: &Definition, name: &str) -> Status {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Status::conflict(def, name, why)
    }

    pub(crate) fn forbidden(def: &Definition, name: &str, why: &str) -> Status {
        let text = if name.is_empty() {
            format!("{} is forbidden: {why}", def.qualified_resource())
        } else {
            format!("{} \"{name}\" is forbidden: {why}", def.qualified_resource())
        };
        Status::new(403, "Forbidden", text).details(details(name, &def.group, &def.plural, None))
    }

    pub(crate) fn invalid(def: &Definition, name: &str, causes: Vec<Cause>) -> Status {
        Status::invalid_as(&def.group, &def.kind, name, causes)
    }

    /// 422 for any kind, options included (`CreateOptions.meta.k8s.io`).
    pub(crate) fn invalid_as(group: &str, kind: &str, name: &str, causes: Vec<Cause>) -> Status {
        // Go's aggregate prints each text once; the causes keep their repetitions (case del-finalizer-update).
        let mut texts: Vec<String> = Vec::new();
        for c in &causes {
            let text = format!("{}: {}", c.field, c.message);
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let listed = if texts.len() == 1 { texts.remove(0) } else { format!("[{}]", texts.join(", ")) };
        let text = format!("{} \"{name}\" is invalid: {listed}", qualify(kind, group));
        Status::new(422, "Invalid", text).details(details(name, group, kind, Some(&causes)))
    }

    pub(crate) fn expired(message: &str) -> Status {
        Status::new(410, "Expired", message)
    }

    pub(crate) fn unsupported_media(accepted: &str) -> Status {
        let text = format!(
            "the body of the request was in an unknown format - accepted media types include: {accepted}"
        );
        Status::new(415, "UnsupportedMediaType", text)
    }

    pub(crate) fn too_large() -> Status {
        Status::new(413, "RequestEntityTooLarge", format!("Request entity too large: limit is {BODY_MAX}"))
    }
}

/// Largest request body, as in a real server.
pub const BODY_MAX: usize = 3 * 1024 * 1024;

pub(crate) fn qualify(name: &str, group: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}

fn details(name: &str, group: &str, kind: &str, causes: Option<&[Cause]>) -> Value {
    let mut out = Map::new();
    for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
        if !value.is_empty() {
            out.insert(key.to_owned(), json!(value));
        }
    }
    if let Some(causes) = causes {
        let list: Vec<Value> = causes.iter().map(cause_value).collect();
        out.insert("causes".to_owned(), Value::Array(list));
    }
    Value::Object(out)
}

fn cause_value(c: &Cause) -> Value {
    json!({"reason": c.reason.as_str(), "message": c.message, "field": c.field})
}
