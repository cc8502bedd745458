//! A library of scenarios: finds the files, expands them into runs, plays them on several threads, reports.

mod find;
mod golden;
mod play;

pub use find::{Found, find};
pub use golden::{Verdict, check as check_golden, path_of as golden_path};
pub use play::{Options, Progress, play};
