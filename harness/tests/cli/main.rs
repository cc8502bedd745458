//! The `drey` command from outside: as a process, as users and CI see it.

mod bad_input;
mod command;
mod determinism;
mod drey;
mod fault;
mod templates;
