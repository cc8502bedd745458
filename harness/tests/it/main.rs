//! Integration tests of the harness.

mod cluster;
mod clusters;
mod loopback;
mod memory;
mod play;
mod support;
mod words;
