//! Tests of the API server in process.

mod conformance;
mod faults;
mod following;
