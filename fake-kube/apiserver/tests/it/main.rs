//! Tests of the API server in process.

mod bounds;
mod conformance;
mod events;
mod faults;
mod following;
mod fuzz_seeds;
mod fuzzed;
