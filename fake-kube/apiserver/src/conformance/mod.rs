//! Recorded conformance cases as a test: a reader of the case format, a runner over any transport, a comparison.
//!
//! The format and its placeholders are those the recordings were made with; a case is a list of steps (requests, watches)
//! each with the answer a real server gave. [`run`] drives a [`Transport`]; [`local::Local`] is the in-process one.

mod case;
mod hooks;
mod known;
pub mod local;
mod normalise;
mod run;
mod transport;
mod value;

pub use case::{Case, Fixture, Topic, load};
pub use hooks::{InProcess, Responder};
pub use known::{known_failures, needs_rbac, runs_alone};
pub use run::{Observations, Outcome, install, observe, run};
pub use transport::{Events, Reply, Sent, Start, Transport, message};
pub use value::differences;
