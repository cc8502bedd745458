//! The crate's integration tests, in one binary.

mod adaptive;
mod cases;
mod driver;
mod forms;
mod ha;
mod machine;
mod normal;
mod objects;
mod properties;
mod recordings;
mod served;
mod workload;
