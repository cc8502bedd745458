//! Talking to JobManagers: the calls, the types read, and the ways to get there.

mod client;
mod direct;
mod error;
mod proxy;
mod transport;
pub mod wire;

pub use client::{FlinkClient, Progress};
pub use direct::DirectTransport;
pub use error::FlinkError;
pub use proxy::ProxyTransport;
pub use transport::{BODY_BYTES_MAX, FlinkTransport, Target, TransportError, Unanswered};
