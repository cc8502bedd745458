//! Tests of the API server in process.

mod conformance;
