//! The one integration binary of this crate: stories in virtual time, recorded cases, the listener and kubectl.

mod stories;
mod support;
