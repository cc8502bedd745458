//! `lastReconciledSpec` and `lastStableSpec`: a spec stored as text inside the status (reconciler.md 2.10).
//!
//! The text is compared byte for byte, so equal specs must give equal texts: fields come in declaration order and
//! free-form JSON is sorted by key. A text written by Apache's operator (nulls spelt out, other order) reads too.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::constants::API_VERSION;
use crate::deployment::FlinkDeploymentSpec;

/// A spec as recorded, with what must be known about the recording.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReconciledSpec<S = FlinkDeploymentSpec> {
    pub spec: S,
    /// `None` in texts of old operators, which stored the bare spec.
    #[serde(rename = "resource_metadata", skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ResourceMetadata>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceMetadata {
    #[serde(default = "api_version", deserialize_with = "api_version_or")]
    pub api_version: String,
    /// Stays true until the first upgrade attempt; an unfinished first deployment starts over.
    #[serde(default, deserialize_with = "crate::lenient::or_default")]
    pub first_deployment: bool,
}

impl ResourceMetadata {
    pub fn new(first_deployment: bool) -> Self {
        Self { api_version: api_version(), first_deployment }
    }
}

impl<S: Serialize + DeserializeOwned> ReconciledSpec<S> {
    pub fn new(spec: S, first_deployment: bool) -> Self {
        Self { spec, metadata: Some(ResourceMetadata::new(first_deployment)) }
    }

    pub fn is_first_deployment(&self) -> bool {
        self.metadata.as_ref().is_some_and(|metadata| metadata.first_deployment)
    }

    /// Reads today's format and the two older ones: the bare spec with an `apiVersion` key, and today's with a
    /// `metadata` object (unknown here, dropped) inside `resource_metadata`.
    pub fn parse(text: &str) -> Result<Self, SpecFormatError> {
        let mut value: Value = serde_json::from_str(text).map_err(SpecFormatError)?;
        let wrapped = value.get("spec").is_some() || value.get("resource_metadata").is_some();
        let metadata = match value.get_mut("resource_metadata").map(Value::take) {
            None | Some(Value::Null) => None,
            Some(metadata) => Some(serde_json::from_value(metadata).map_err(SpecFormatError)?),
        };
        let spec = match wrapped {
            true => value.get_mut("spec").map(Value::take).unwrap_or_default(),
            false => value,
        };
        Ok(Self { spec: serde_json::from_value(spec).map_err(SpecFormatError)?, metadata })
    }

    /// The text to store; equal for equal values.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("specs have text keys and finite numbers only")
    }
}

/// A stored spec that cannot be read. The resource must not be touched then: what runs is unknown.
#[derive(Debug)]
pub struct SpecFormatError(serde_json::Error);

impl fmt::Display for SpecFormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("read the spec stored in status.reconciliationStatus")
    }
}

impl std::error::Error for SpecFormatError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

fn api_version() -> String {
    API_VERSION.to_owned()
}

fn api_version_or<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_else(api_version))
}
