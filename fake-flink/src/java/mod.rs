//! Java's ways that show in answers and requests: objects in the Object Serialization Stream Protocol, as much of it as
//! the REST API carries (failures and accumulators are written, submitted jobs are read), and the order of sets.
//!
//! Class names, fields and `serialVersionUID`s were asked of the classes themselves (Flink 1.18.1, 1.20.3, 2.2.1 on JDK
//! 17: the three agree), and the tests hold whole streams that the real classes wrote.

mod accumulator;
mod classes;
mod failure;
mod hash;
mod job_graph;
mod read;
mod stream;

pub use accumulator::int_accumulator;
pub use failure::serialized_throwable;
pub use hash::hash_order;
pub use job_graph::{JobGraph, read_job_graph};
