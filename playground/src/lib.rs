//! The live page of a world: one self-contained HTML page, a stream of what happens, questions and deeds. The crate knows
//! scenario files and plain JSON; it knows no Kubernetes client, no fake and no operator. A world fills a [`Stage`] and
//! carries out the [`Order`]s that come from it; the harness does, for `drey play`.
//!
//! Real time passes here, on a thread of its own: a world whose clock stands still goes on answering.

mod feed;
mod guard;
mod history;
mod page;
mod recording;
mod replay;
mod server;
mod stage;
mod summary;
mod touched;

pub use feed::{Feed, Reader};
pub use history::{History, Verb, Version, key_of};
pub use recording::{Deed, Recording, end_absent, end_state};
pub use replay::{Beginning, steps_of};
pub use server::{Server, Settings};
pub use stage::{ClockOrder, Order, Orders, Refusal, Reply, Stage, Subject, Wish};
pub use touched::{Touched, reference};
