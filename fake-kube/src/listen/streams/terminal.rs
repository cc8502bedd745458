//! A command beside a process of this machine in a terminal of its own (`kubectl exec -it`): what is typed goes in as it is,
//! the kernel's terminal does the rest, and its size follows the client's.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::Command;

use super::channels::{RESIZE, STDIN, STDOUT, Said};
use super::exec::{End, Gone, Line, Session};
use crate::host::group::Group;
use crate::host::terminal::{Size, Terminal};

const PIECE: usize = 16 << 10;
/// What was typed and nobody has read; whoever types more waits.
const TYPED_MAX: usize = 64 << 10;

/// Our end of a terminal, asynchronously.
struct Screen(AsyncFd<Terminal>);

impl Screen {
    fn open() -> io::Result<(Screen, OwnedFd)> {
        let (terminal, theirs) = Terminal::open()?;
        rustix::io::ioctl_fionbio(&terminal, true)?;
        #[expect(
            deprecated,
            reason = "a Terminal keeps its descriptor as long as it lives; its successor is unsafe code"
        )]
        let screen = AsyncFd::with_interest(terminal, Interest::READABLE | Interest::WRITABLE)?;
        Ok((Screen(screen), theirs))
    }

    /// Zero at the end: nobody holds the other one any more.
    async fn read(&self, piece: &mut [u8]) -> usize {
        let read = self.0.async_io(Interest::READABLE, |terminal| {
            rustix::io::read(terminal, &mut *piece).map_err(io::Error::from)
        });
        // The other end being closed is an error of its own here.
        read.await.unwrap_or(0)
    }

    async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let write = |terminal: &Terminal| rustix::io::write(terminal, bytes).map_err(io::Error::from);
        self.0.async_io(Interest::WRITABLE, write).await
    }

    /// What is left to read, without waiting for more.
    fn rest(&self) -> Vec<u8> {
        let (mut rest, mut piece) = (Vec::new(), vec![0; PIECE]);
        while let Ok(n @ 1..) = rustix::io::read(self.0.get_ref(), &mut piece) {
            rest.extend_from_slice(&piece[..n]);
        }
        rest
    }
}

pub(super) async fn run(
    session: &Session,
    command: std::process::Command,
    line: &mut Line,
) -> Result<End, Gone> {
    let mut command = Command::from(command);
    let mut start = || -> io::Result<_> {
        let (screen, theirs) = Screen::open()?;
        let end = || theirs.try_clone().map(Stdio::from);
        command.stdin(end()?).stdout(end()?).stderr(end()?).kill_on_drop(true);
        Ok((screen, command.spawn()?))
    };
    let (screen, mut child) = match start() {
        Ok(started) => started,
        Err(why) => return Ok(End::Failed(format!("start the command in a terminal: {why}"))),
    };
    // It holds the other end as well: while it does, the output has no end.
    drop(command);
    let _group = Group::of(child.id());
    let mut typed: VecDeque<u8> = VecDeque::new();
    let mut piece = vec![0; PIECE];
    let status = loop {
        tokio::select! {
            n = screen.read(&mut piece) => match n {
                0 => break child.wait().await,
                n => line.tell(session, STDOUT, &piece[..n]).await?,
            },
            written = screen.write(typed.as_slices().0), if !typed.is_empty() => match written {
                Ok(n) => drop(typed.drain(..n)),
                Err(_) => typed.clear(),
            },
            input = line.receive(), if typed.len() < TYPED_MAX => match input? {
                Said::Data(STDIN, bytes) if session.stdin => typed.extend(bytes),
                Said::Data(RESIZE, bytes) => {
                    if let Some(size) = Size::read(&bytes) {
                        screen.0.get_ref().resize(size);
                    }
                }
                Said::Data(..) | Said::Closed(_) => {}
            },
            status = child.wait() => {
                line.tell(session, STDOUT, &screen.rest()).await?;
                break status;
            }
        }
    };
    Ok(End::of(status))
}
