//! Integration tests of the harness.

mod clients;
mod cluster;
mod clusters;
mod loopback;
mod memory;
mod play;
mod rights;
mod support;
mod words;
