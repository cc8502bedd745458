//! A Kubernetes cluster in one process: the API server of `fake-kube-apiserver` with workload controllers, a
//! scheduler, kubelets that run programs, and a listener.

mod affinity;
mod apply;
mod cluster;
pub mod control;
pub mod controllers;
mod dial;
mod engine;
mod events;
mod faults;
mod furniture;
pub mod host;
mod json;
mod kinds;
mod knobs;
mod known;
mod kubelet;
mod labels;
pub mod listen;
mod load;
mod logs;
mod nodes;
mod pattern;
mod pod_logs;
mod preemption;
mod programs;
mod quantity;
mod scheduler;
mod shell;
pub mod state;
pub mod view;
mod webhooks;
pub mod write;

pub use cluster::{Cluster, PodControl, ProcessWaker};
pub use controllers::Controller;
pub use dial::DialError;
pub use faults::{FaultId, PodSelector};
pub use knobs::{Delay, Knobs, NodeSpec};
pub use listen::{AuditLog, Identities, ListenOptions, Listening, ServiceProxy, listen};
pub use programs::{Probed, Process, ProcessEvent, ProcessStart, Programs, Reception, Shell, Signal};
pub use webhooks::{Outside, over_https};
