//! Integration tests of the reconciler: rows over single passes, and whole stories in a toy world.

mod fixture;
mod random;
mod stories;
mod world;
