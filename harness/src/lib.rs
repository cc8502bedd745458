//! The harness: worlds, scenario runner, invariants and the `drey` command.

pub mod determinism;
pub mod library;
pub mod modes;
pub mod run;
pub mod testing;
pub mod world;
