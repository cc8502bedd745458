//! The JobManager as a state machine: what it is told, what it wants done, and everything in between.

mod adaptive;
pub mod api;
pub(crate) mod application;
mod boot;
mod checkpointing;
pub mod checkpoints;
pub(crate) mod checks;
pub mod cluster;
mod commands;
pub mod facts;
pub mod flow;
pub mod ha;
mod halog;
pub mod job;
mod lifecycle;
pub mod ops;
mod regions;
pub mod restart;
pub(crate) mod stages;
pub mod state;
pub(crate) mod submission;
mod tasklog;
mod taskmanagers;
pub(crate) mod taskmanagers_view;
