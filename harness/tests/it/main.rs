//! Integration tests of the harness.

mod clients;
mod cluster;
mod cluster_bad_input;
mod cluster_certificates;
mod cluster_real;
mod cluster_rights;
mod clusters;
mod command;
mod end_states;
mod loopback;
mod memory;
mod other_operators;
mod play;
mod rights;
mod support;
mod words;
mod worlds;
