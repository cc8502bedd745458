//! Integration tests of the harness.

mod clients;
mod cluster;
mod clusters;
mod command;
mod loopback;
mod memory;
mod other_operators;
mod play;
mod rights;
mod support;
mod words;
