//! Integration tests of the harness.

mod cluster;
mod loopback;
mod play;
mod support;
