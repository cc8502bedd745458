//! Rows and columns of a Table: what `kubectl get` prints. The columns themselves are fake-kube-schema's.

use std::sync::Arc;

use fake_kube_schema::table::Table;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::resource::Definition;

/// The printer of a resource.
pub(crate) struct Printer(Table);

impl Printer {
    pub(crate) fn of(def: &Arc<Definition>) -> Printer {
        Printer(match &def.custom {
            Some(c) => Table::custom(c.columns.as_array().map_or(&[], Vec::as_slice)),
            None => Table::built_in(&def.group, &def.plural),
        })
    }

    pub(crate) fn columns(&self) -> Value {
        Value::Array(self.0.definitions().to_vec())
    }

    pub(crate) fn row(&self, object: &Value, now: Timestamp) -> Value {
        let mut row = json!({"cells": self.0.cells(object, now)});
        if let Some(conditions) = self.0.conditions(object) {
            row["conditions"] = conditions;
        }
        row
    }
}
