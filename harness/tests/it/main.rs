//! Integration tests of the harness.

mod clients;
mod cluster;
mod command;
mod clusters;
mod loopback;
mod memory;
mod other_operators;
mod play;
mod rights;
mod support;
mod words;
