//! The shell around the reconciler: watches, Flink and Kubernetes clients, status writer, leader election.
//!
//! `run` gathers what the watches have shown into an `Observation`, lets `drey-reconciler` decide, and carries
//! the plan out. It decides nothing itself. Time, transports and the API client come in through [`Deps`]; there
//! are no statics, no process exits and no signal handlers here, and nothing outlives the future `run` returns.
//!
//! A converged pass sends no request to the API server: everything is read from the watches, own writes are seen
//! at once (`world::index`), and a status that did not change is not written.

mod act;
mod answer;
mod api;
mod certificate;
mod clock;
mod connect;
mod deps;
mod durations;
mod fence;
pub mod flink;
mod lease;
mod limiter;
mod metrics;
mod net;
mod observer;
mod pass;
mod queue;
mod recorder;
mod run;
mod settings;
mod world;

pub use act::ActError;
pub use api::ApiError;
pub use clock::Clock;
pub use connect::{Connection, connect};
pub use deps::Deps;
pub use flink::{DirectTransport, FlinkTransport, ProxyTransport, Target, TransportError, Unanswered};
pub use lease::LeaseConfig;
pub use metrics::Metrics;
pub use observer::{Counts, Lifecycle, Outcome, Pass, PassObserver};
pub use queue::{Cause, Key};
pub use run::run;
pub use settings::{configured_concurrency, configured_lease};
