//! Clusters behind real sockets: the only folder with a clock and with I/O.
//!
//! [`serve`] puts one cluster on one listener; [`Hosted`] and [`listen`] are its two halves, for processes that host
//! many. What is set from outside while they run comes through [`control`].

mod clock;
pub mod control;
mod history;
mod hosted;
mod listen;
pub mod registration;
mod spool;
pub mod stubs;

pub use clock::Clock;
pub use history::History;
pub use hosted::{Hosted, Outside, ServeOptions};
pub use listen::{Front, Limits, listen};

use tokio::net::TcpListener;

/// Serves until the process of the model exits or `shutdown` completes; gives the exit code. A shutdown is a SIGTERM to
/// the model: jobs are suspended, leadership is given up.
pub async fn serve(
    listener: TcpListener,
    options: ServeOptions,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<i32> {
    let hosted = Hosted::start(options);
    serve_hosted(listener, hosted, Limits::default(), shutdown).await
}

/// As [`serve`], of a cluster that was started already.
pub async fn serve_hosted(
    listener: TcpListener,
    hosted: Hosted,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<i32> {
    let run = async {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut ends = std::pin::pin!(hosted.run());
        tokio::select! {
            code = &mut ends => return code,
            () = &mut shutdown => hosted.signal(crate::Signal::Term),
        }
        ends.await
    };
    let front = Front::one(hosted.clone());
    Ok(listen(listener, front, limits, run).await)
}
