//! The crate's integration tests, in one binary.

mod adaptive;
mod cases;
mod driver;
mod fidelity;
mod forms;
mod fuzzed;
mod ha;
mod image;
mod machine;
mod normal;
mod objects;
mod pod;
mod properties;
mod recordings;
mod requests;
mod served;
mod workload;
