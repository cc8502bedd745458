//! Tests across modules: recorded answers of real servers replayed through the pure functions, and properties.

mod properties;
mod replay;
