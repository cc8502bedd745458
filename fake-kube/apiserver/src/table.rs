//! Rows and columns of a Table: what `kubectl get` prints.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::meta;
use crate::resource::Definition;

/// The printer of a resource.
pub(crate) struct Printer;

impl Printer {
    pub(crate) fn of(_def: &Arc<Definition>) -> Printer {
        Printer
    }

    pub(crate) fn columns(&self) -> Value {
        json!([{"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0},
            {"name": "Created At", "type": "date", "format": "", "description": "", "priority": 0}])
    }

    pub(crate) fn row(&self, object: &Value, _now: Timestamp) -> Value {
        json!({"cells": [meta::name(object), meta::text(object, "creationTimestamp")]})
    }
}
