//! The one integration binary of this crate: stories in virtual time, recorded cases, the listener and kubectl.

mod cases;
mod kubectl;
mod loopback;
mod stories;
mod support;
