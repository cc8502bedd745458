//! Admission webhooks (kube-api.md 2.10; cases hook-*).
//!
//! A write is a function of the state, the request and what webhooks answered. It runs until it lacks an answer, stops
//! there with the [`Question`] and without having changed anything; whoever carries the request (the service, the local
//! client) asks, and runs it again with one answer more. So the state is not locked while somebody is asked, what was
//! admitted is what is committed, and a write that was overtaken meanwhile asks anew about the object as it is then.
//!
//! Policies in CEL (`policy`) and pod security (`pod_security`) need nobody outside and are judged on the way.
//!
//! What turns into a stream or goes on to others is reviewed too (`connect`). Leaves out: patches of Bindings, of
//! TokenRequests and of the options of a CONNECT.
//!
//! `hooks` holds the configurations, `matching` chooses, `review` speaks the wire format, `chain` is the walk through
//! the plugins, `asking` the side that waits.

pub(crate) mod asking;
mod chain;
mod connect;
pub(crate) mod hooks;
mod matching;
mod pod_security;
mod policy;
mod review;

pub use asking::{Answered, Question, Webhooks};
pub(crate) use chain::{Asked, Operation, Reviews};
