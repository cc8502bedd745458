//! The one integration binary of this crate: stories in virtual time, recorded cases, the listener and kubectl.

mod cases;
mod clients;
mod control;
mod fidelity;
mod furnished;
mod host;
mod host_commands;
mod http1;
mod kubectl;
mod kubectl_commands;
mod lifecycle_stories;
mod loopback;
mod over_http;
mod real;
mod responder;
mod scheduling_stories;
mod serve_flags;
mod served;
mod state;
mod stories;
mod streams;
mod support;
mod webhook_stories;
mod workload_stories;
