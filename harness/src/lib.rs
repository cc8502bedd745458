//! The harness: worlds, scenario runner, invariants and the `drey` command.
//!
//! For other crates there is [`testing`], which is stable, and [`scenarios!`]. The rest is public for the programs of this
//! repository, hidden from the documentation, and changes as they need it.

#[doc(hidden)]
pub mod determinism;
#[doc(hidden)]
pub mod library;
#[doc(hidden)]
pub mod modes;
#[doc(hidden)]
pub mod run;
pub mod testing;
#[doc(hidden)]
pub mod world;
