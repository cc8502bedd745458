//! What people and machines read of a run. `Terminal` and `JsonLines` follow a run; the others are functions of the
//! finished report. Leaves out: deciding anything; a reporter never changes an outcome.

pub mod html;
mod jsonl;
pub mod junit;
pub mod markdown;
mod terminal;
pub mod transcript;

pub use jsonl::JsonLines;
pub use terminal::Terminal;

use crate::events::Event;
use crate::report::{CaseReport, RunReport};
use std::io;

/// Follows a run as it happens.
pub trait Reporter {
    /// How many cases there will be.
    fn begin(&mut self, cases: usize) -> io::Result<()>;
    fn case_started(&mut self, title: &str) -> io::Result<()>;
    /// An event of the case of that title; cases may interleave.
    fn event(&mut self, title: &str, event: &Event) -> io::Result<()>;
    fn case_finished(&mut self, case: &CaseReport) -> io::Result<()>;
    fn end(&mut self, report: &RunReport) -> io::Result<()>;
}
