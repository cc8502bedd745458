//! Real clusters for scenarios: k3d, kind, Colima, or any kubeconfig, each through its own command line tool.
//!
//! What is to be done is decided by pure functions (`choose`, `plan`) over what was seen; [`Clusters`] looks and carries
//! out, through a [`Runner`]. Thin on purpose: no engine's API, no Kubernetes client, no async. Leaves out the operator
//! and what runs in the cluster; those are deployed by the chart.

pub mod call;
pub mod choose;
mod clusters;
pub mod colima;
#[cfg(feature = "testcontainers")]
pub mod containers;
pub mod engine;
pub mod explain;
pub mod file;
pub mod host;
pub mod interrupt;
pub mod kubectl;
pub mod maker;
pub mod name;
pub mod plan;
mod problem;
mod processes;
mod provider;
pub mod record;

pub use call::{Call, Outcome, RunError, Runner};
pub use clusters::{Clusters, Health, Permission, Pruned, Ready, Status, Which};
pub use file::ClusterFile;
pub use host::Host;
pub use problem::{Problem, Trouble};
pub use processes::Processes;
pub use provider::Provider;
