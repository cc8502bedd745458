//! Checks over the repository itself: who may depend on whom. The rules are data (`rules`), the graph comes from
//! `cargo metadata` (`graph`), and `tests/it` holds one against the other. Left out: style and lints (rustfmt, clippy).

pub mod graph;
pub mod rules;
