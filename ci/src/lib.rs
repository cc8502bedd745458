//! Checks over the repository itself: who may depend on whom, and what other crates may rely on. The rules are data
//! (`rules`), the graph comes from `cargo metadata` (`graph`), the stable surface from the source (`surface`), and
//! `tests/it` holds one against the other. Left out: style and lints (rustfmt, clippy).

pub mod graph;
pub mod rules;
pub mod surface;
