//! Tests across modules: recorded answers of real servers replayed through the pure functions, and properties.

mod properties;
mod real_crds;
mod replay;
