//! Integration tests of the harness.

mod loopback;
mod play;
mod support;
