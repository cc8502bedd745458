//! One reason why an object is refused, and how Kubernetes words it (`field.Error` in apimachinery).
//!
//! A [`Cause`] carries what `details.causes[]` of a `Status` shows. The sentence of the `Status` itself is
//! `field: message`, joined by [`summary`]. Leaves out: group, kind and name of the object, which the caller knows.

use std::fmt;

use serde_json::Value;

use crate::text::{go_quote, json_text};

/// The kind of a field error; [`Reason::as_str`] is its name in `details.causes[].reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    Required,
    Invalid,
    TypeInvalid,
    NotSupported,
    Duplicate,
    Forbidden,
    TooLong,
    TooMany,
    NotFound,
    Internal,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Required => "FieldValueRequired",
            Reason::Invalid => "FieldValueInvalid",
            Reason::TypeInvalid => "FieldValueTypeInvalid",
            Reason::NotSupported => "FieldValueNotSupported",
            Reason::Duplicate => "FieldValueDuplicate",
            Reason::Forbidden => "FieldValueForbidden",
            Reason::TooLong => "FieldValueTooLong",
            Reason::TooMany => "FieldValueTooMany",
            Reason::NotFound => "FieldValueNotFound",
            Reason::Internal => "InternalError",
        }
    }
}

/// One field error: `reason`, the sentence without the field, and the field it is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cause {
    pub field: String,
    pub reason: Reason,
    pub message: String,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

fn with_detail(head: String, detail: &str) -> String {
    if detail.is_empty() { head } else { format!("{head}: {detail}") }
}

impl Cause {
    fn new(field: impl Into<String>, reason: Reason, message: String) -> Cause {
        Cause { field: field.into(), reason, message }
    }

    pub fn required(field: impl Into<String>, detail: &str) -> Cause {
        Cause::new(field, Reason::Required, with_detail("Required value".into(), detail))
    }

    pub fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Cause {
        Cause::new(
            field,
            Reason::Invalid,
            with_detail(format!("Invalid value: {}", json_text(value)), detail),
        )
    }

    /// An `Invalid` error that shows no value, as CEL rules over objects do since 1.35 (case crv-cel).
    pub fn invalid_without_value(field: impl Into<String>, detail: &str) -> Cause {
        Cause::new(field, Reason::Invalid, format!("Invalid value: {detail}"))
    }

    pub fn type_invalid(field: impl Into<String>, value: &Value, detail: &str) -> Cause {
        Cause::new(
            field,
            Reason::TypeInvalid,
            with_detail(format!("Invalid value: {}", json_text(value)), detail),
        )
    }

    pub fn not_supported<S: AsRef<str>>(field: impl Into<String>, value: &Value, supported: &[S]) -> Cause {
        let mut message = format!("Unsupported value: {}", json_text(value));
        if !supported.is_empty() {
            let list: Vec<String> = supported.iter().map(|s| go_quote(s.as_ref())).collect();
            message = format!("{message}: supported values: {}", list.join(", "));
        }
        Cause::new(field, Reason::NotSupported, message)
    }

    pub fn duplicate(field: impl Into<String>, value: &Value) -> Cause {
        Cause::new(field, Reason::Duplicate, format!("Duplicate value: {}", json_text(value)))
    }

    pub fn forbidden(field: impl Into<String>, detail: &str) -> Cause {
        Cause::new(field, Reason::Forbidden, with_detail("Forbidden".into(), detail))
    }

    pub fn not_found(field: impl Into<String>, value: &Value) -> Cause {
        Cause::new(field, Reason::NotFound, format!("Not found: {}", json_text(value)))
    }

    pub fn too_long(field: impl Into<String>, max: u64) -> Cause {
        let unit = if max == 1 { "byte" } else { "bytes" };
        Cause::new(field, Reason::TooLong, format!("Too long: may not be more than {max} {unit}"))
    }

    pub fn too_many(field: impl Into<String>, actual: usize, max: u64) -> Cause {
        let unit = if max == 1 { "item" } else { "items" };
        Cause::new(field, Reason::TooMany, format!("Too many: {actual}: must have at most {max} {unit}"))
    }

    pub fn internal(field: impl Into<String>, detail: &str) -> Cause {
        Cause::new(field, Reason::Internal, format!("Internal error: {detail}"))
    }
}

/// The sentence a `Status` says after `.. is invalid: `: one cause bare, several in brackets.
pub fn summary(causes: &[Cause]) -> String {
    match causes {
        [one] => one.to_string(),
        many => format!("[{}]", many.iter().map(Cause::to_string).collect::<Vec<_>>().join(", ")),
    }
}
