//! A pod-shaped template, kept as JSON.
//!
//! Not Kubernetes' `PodTemplateSpec` type: a template is merged key by key, and a field added by a newer Kubernetes
//! must reach the pod even though this crate has never heard of it.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::configuration::sorted;

/// `spec.podTemplate` and the templates of JobManager and TaskManager. Keys are sorted at every level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PodTemplate(Value);

impl PodTemplate {
    /// `None` when `value` is not an object.
    pub fn from_value(value: Value) -> Option<Self> {
        value.is_object().then(|| Self(sorted(value)))
    }

    pub fn as_value(&self) -> &Value {
        &self.0
    }

    pub fn into_value(self) -> Value {
        self.0
    }

    /// Only what a pod template has: `apiVersion`, `kind`, `status` and the like, kept from the time when the
    /// field was typed as a whole Pod, say nothing about the pods (reconciler.md 1.2).
    pub fn essential(&self) -> Value {
        let mut essential = Map::new();
        for key in ["metadata", "spec"] {
            match self.0.get(key) {
                None | Some(Value::Null) => {}
                Some(value) => {
                    essential.insert(key.to_owned(), value.clone());
                }
            }
        }
        Value::Object(essential)
    }
}

impl Default for PodTemplate {
    fn default() -> Self {
        Self(Value::Object(Map::new()))
    }
}

impl<'de> Deserialize<'de> for PodTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(sorted(Value::Object(Map::deserialize(deserializer)?))))
    }
}
