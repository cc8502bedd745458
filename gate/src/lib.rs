//! One answer for a CI gate: is this change worse than what is stored? Reads the report of a scenario run, exact counts
//! and benchmark ratios of one run, holds them against a baseline, and tells people and CI servers.
//!
//! Pure but for `command`, which reads and writes files. Leaves out: running scenarios and measuring anything, and any
//! network; what CI servers show is written as text they read.

pub mod annotations;
pub mod baseline;
pub mod command;
pub mod counts;
pub mod judge;
pub mod labels;
pub mod markdown;
pub mod noise;
pub mod ratios;
pub mod report;
pub mod scenarios;
pub mod terminal;
pub mod verdict;

pub use baseline::Baseline;
pub use command::{Request, run};
pub use judge::{Limits, Measured, judge};
pub use report::Report;
pub use verdict::{Outcome, Verdict};
// What its callers hand in, or decide once.
pub use drey_yaml::{API_VERSION, Paint, Source};
