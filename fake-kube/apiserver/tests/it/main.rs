//! Tests of the API server in process.

mod bounds;
mod conformance;
mod faults;
mod following;
mod fuzz_seeds;
mod fuzzed;
