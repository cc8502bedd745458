//! Integration tests of the reconciler: rows over single passes, and whole stories in a toy world.

mod coverage;
mod fixture;
mod random;
mod rows;
mod stories;
mod total;
mod world;
