//! The harness: worlds, scenario runner, invariants and the `drey` command.

pub mod determinism;
pub mod world;
