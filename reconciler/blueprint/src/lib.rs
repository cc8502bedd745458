//! What a custom resource means, without doing anything: effective configuration, validation, spec difference and
//! the Kubernetes objects of a Flink cluster.
//!
//! Pure: no I/O, no clock, no randomness. Names, ids and times come in as values.
//!
//! ```
//! use drey_blueprint::config::{OperatorConfig, effective, keys};
//! let operator = OperatorConfig::default();
//! let cr: drey_api::FlinkDeployment = serde_json::from_value(serde_json::json!({
//!     "metadata": {"name": "wordcount", "namespace": "jobs"},
//!     "spec": {"job": {"jarURI": "local:///job.jar", "parallelism": 2, "upgradeMode": "last-state"}},
//! }))?;
//! let conf = effective::deploy(&operator, &cr, &cr.spec);
//! assert_eq!(conf.get(keys::CHECKPOINTING_INTERVAL).unwrap().as_secs(), 300);
//! # Ok::<(), serde_json::Error>(())
//! ```

pub mod config;
pub mod cron;
pub mod diff;
pub mod ingress;
pub mod objects;
pub mod schedule;
pub mod upgrade;
pub mod validate;
