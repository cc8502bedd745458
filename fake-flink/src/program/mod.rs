//! What a jar's entry class does: the jobs the model can run, by class name.
//!
//! A program is data. `table.rs` finds one by entry class, `known.rs` holds those of Flink's examples, `file.rs` reads
//! others from YAML or JSON, `job.rs` builds them in code; `workload.rs` says what flows into a job and what it costs.

mod file;
mod identity;
mod job;
pub(crate) mod known;
pub(crate) mod mode;
mod table;
pub mod workload;

pub use file::{FileError, read};
pub use job::{Exchange, Input, InvalidJob, Job, MAX_PARALLELISM, Ship, VertexSpec};
pub(crate) use known::state_machine;
pub use table::{Behaviour, Execution, Program, ProgramTable};
