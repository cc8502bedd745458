//! Fake Flink inside the simulated cluster: pods whose command is Flink's entry point run a `fake_flink` process.
//! This is the only place that knows both fakes. What the real JobManager does through the Kubernetes API (HA
//! ConfigMaps, TaskManager pods, deleting its own Deployment) is done here with the pod's identity.

mod ha;
mod job_manager;
mod programs;
mod registry;
mod task_manager;

pub use programs::FlinkPrograms;
pub use registry::{ClusterKey, FlinkWorld, Started};
