//! The one integration binary of this crate: stories in virtual time, recorded cases, the listener and kubectl.

mod cases;
mod fidelity;
mod kubectl;
mod loopback;
mod over_http;
mod responder;
mod stories;
mod support;
mod webhook_stories;
