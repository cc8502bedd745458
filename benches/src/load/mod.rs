//! An API server under load, over real HTTP: what `load` measures of `fake-kube serve` and, beside it in the same run,
//! of the real CRD server.
//!
//! Only the server's CPU time counts, so that neither the client's nor a neighbour's work shows in a figure; requests
//! per second of real time are shown beside it and depend on the machine's load. Leaves out latencies: on a shared
//! machine they are mostly the scheduler's.

mod client;
mod figures;
pub mod flink;
pub mod in_process;
pub mod object;
pub mod phases;
mod process;
mod turns;

pub use client::{Connection, Endpoint};
pub use figures::{Figures, Row, Work, chart, in_process_table, side_by_side};
pub use process::{Program, Served, beside};
pub use turns::{Turns, check_pairs};
