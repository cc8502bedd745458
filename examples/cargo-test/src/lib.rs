//! Stands for a crate of yours: manifests and scenarios are what it ships, `cargo test` is how they are checked.
//!
//! - `tests/scenarios.rs`: every scenario below `scenarios/` is a test of its own.
//! - `tests/by_hand.rs`: one scenario from a test you write yourself.
//! - `tests/in_rust.rs`: scenarios written in Rust, with closures between the steps and transcripts that are kept.
//! - `tests/surface.rs`: everything that stays as it is between versions, used once.
//!
//! docs/cargo-test.md explains them.
