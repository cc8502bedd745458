//! What Drey costs: exact counts, which are gated, and times, which are only reported.
//!
//! `fleet` drives a world with many deployments in virtual time, `operations` measures what one user action costs,
//! `observations` takes real inputs of `decide` out of a run, `gates` compares counts with the stored baseline, and
//! `speed` and `plot` make the figures of docs/benchmarks.md. `load` puts API servers under load, over HTTP and in process. Leaves out profiling: `perf record` on a bench does that.

pub mod fleet;
pub mod gates;
pub mod load;
pub mod observations;
pub mod operations;
pub mod page;
pub mod plot;
pub mod speed;
pub mod tally;
