//! A JobManager in a cluster: what the real one does through the Kubernetes API with its pod's service account. HA
//! ConfigMaps are written on the condition that nobody else has, TaskManager pods created, looked after and deleted, the
//! cluster's own Deployment at the end.
//!
//! Requests wait, on a thread of their own ([`Hands`]). What others do to the ConfigMaps and pods is looked for every two
//! seconds; the real one watches.

mod api;
mod hands;
mod maps;

pub use api::Api;
pub use hands::{Hands, Native, Place};
pub use maps::leader_address;
