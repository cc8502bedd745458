//! Faults and time of a running server, set from outside: `fake-kube serve --control`, `drey play --control`, and the
//! command `drey fault` that speaks to them. Off unless asked for, on this machine only.
//!
//! Requests of the built-in controllers do not pass the gate: what is disturbed is what comes over the listener.

mod gate;
mod http;
mod pods;
mod reading;
mod rule;

use jiff::{SignedDuration, Timestamp};

pub use gate::{RequestFaults, Struck, Told};
pub use http::{Control, ControlSocket, Controlling};
pub use pods::{DEEDS as POD_DEEDS, PodFaults};
pub use reading::{Complaint, nearest};

/// A clock that can be moved while the server runs.
pub trait TimeControl: Send + Sync + 'static {
    fn now(&self) -> Timestamp;
    /// Seconds of the cluster in a second.
    fn scale(&self) -> f64;
    fn set_scale(&self, scale: f64);
    /// Forwards, or back as the clock of a machine can go.
    fn jump(&self, by: SignedDuration);
}
