//! Runs scenarios: a case at a time, each in a world of its own.

#![allow(clippy::result_large_err, reason = "a failure is made once per run and never on a hot path")]

mod case;
mod context;
pub mod end_state;
mod failure;
pub(crate) mod hooks;
pub mod interrupt;
pub mod invariants;
mod manners;
mod monitors;
mod open;
pub mod passes;
mod records;
pub mod rights;
mod sight;
mod steps;
pub mod vocabulary;

pub(crate) use case::run_case_with;
pub use case::{CaseRun, Crash, Played, run_case};
pub(crate) use context::Context;
pub use failure::Failure;
pub use interrupt::Interrupt;
pub use open::OpenCase;
pub(crate) use steps::{run_sequence as play_steps, settle};
pub use vocabulary::vocabulary;
