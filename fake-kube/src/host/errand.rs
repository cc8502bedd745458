//! A command of the kubelet's beside a process: of a probe or of a lifecycle hook. It runs on its own and is asked about
//! until it is over; it ends with its patience, and with whoever has sent it.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::unix::pipe;
use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::group::{Group, code};
use crate::programs::Ran;

/// What is kept of its output (kubelet, exec prober: `maxReadLength`).
const OUTPUT_MAX: usize = 10 << 10;

pub struct Errand {
    answer: Arc<Mutex<Option<Ran>>>,
    /// Dropped with this value, which ends the command.
    _recall: oneshot::Sender<()>,
}

impl Errand {
    /// `tell` is called when it is over. The command leads a process group.
    pub fn start(
        command: Command,
        patience: Option<Duration>,
        runtime: &Handle,
        tell: impl FnOnce() + Send + 'static,
    ) -> io::Result<Errand> {
        let entered = runtime.enter();
        let (reader, writer) = io::pipe()?;
        let mut command = tokio::process::Command::from(command);
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).kill_on_drop(true);
        let child = command.spawn()?;
        // The command holds the other end: while it does, the output has no end.
        drop(command);
        let reader = pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
        drop(entered);
        let answer = Arc::new(Mutex::new(None));
        let (recall, recalled) = oneshot::channel();
        let slot = answer.clone();
        runtime.spawn(async move {
            if let Some(ran) = attend(child, reader, patience, recalled).await {
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(ran);
                tell();
            }
        });
        Ok(Errand { answer, _recall: recall })
    }

    /// None: it is under way.
    pub fn answer(&self) -> Option<Ran> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// None: nobody waits for it any more.
async fn attend(
    mut child: Child,
    output: pipe::Receiver,
    patience: Option<Duration>,
    recalled: oneshot::Receiver<()>,
) -> Option<Ran> {
    let mut group = Group::of(child.id());
    // The group ends with this future at the latest.
    let over = async move {
        let status = async {
            let status = child.wait().await;
            // What it has left behind would hold its output open.
            group.end();
            status
        };
        tokio::join!(status, read(output))
    };
    tokio::select! {
        (status, output) = over => Some(done(status, output)),
        () = wait(patience) => Some(Ran::TimedOut),
        _ = recalled => None,
    }
}

fn done(status: io::Result<ExitStatus>, output: String) -> Ran {
    Ran::Done { code: status.map_or(255, code), output }
}

async fn wait(patience: Option<Duration>) {
    match patience {
        Some(patience) => tokio::time::sleep(patience).await,
        None => std::future::pending().await,
    }
}

/// As much as is kept; the rest is read and forgotten, or the command would wait for a reader.
async fn read(mut output: impl AsyncRead + Unpin) -> String {
    let (mut kept, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(n @ 1..) = output.read(&mut piece).await {
        let room = OUTPUT_MAX - kept.len();
        kept.extend_from_slice(&piece[..n.min(room)]);
    }
    String::from_utf8_lossy(&kept).into_owned()
}
