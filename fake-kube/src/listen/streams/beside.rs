//! A command beside a process of this machine (`kubectl exec` into a container of `--run`): a process of its own with the
//! container's variables and folder. Its output goes out as it comes, what the client types goes in, and it ends when the
//! client does. Those in terminals are `terminal`'s.

use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::channels::{STDERR, STDIN, STDOUT, Said};
use super::exec::{End, Gone, Line, Session};
use crate::host::group::Group;

const PIECE: usize = 16 << 10;
/// Pieces of output that wait for the client; a command that says more waits.
const PIECES_MAX: usize = 16;

pub(super) async fn run(
    session: &Session,
    command: std::process::Command,
    line: &mut Line,
) -> Result<End, Gone> {
    let mut command = Command::from(command);
    let typed = if session.stdin { Stdio::piped() } else { Stdio::null() };
    command.stdin(typed).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(why) => return Ok(End::Failed(format!("start the command: {why}"))),
    };
    let _group = Group::of(child.id());
    let mut typing = child.stdin.take();
    let (say, mut said) = mpsc::channel(PIECES_MAX);
    for (channel, pipe) in pipes(&mut child) {
        tokio::spawn(retell(channel, pipe, say.clone()));
    }
    drop(say);
    loop {
        tokio::select! {
            piece = said.recv() => match piece {
                Some((channel, bytes)) => line.tell(session, channel, &bytes).await?,
                // Both ends of its output are closed: it is over, or soon will be.
                None => break,
            },
            input = line.receive() => match input? {
                Said::Data(STDIN, bytes) => {
                    if let Some(pipe) = &mut typing
                        && (pipe.write_all(&bytes).await.is_err() || pipe.flush().await.is_err())
                    {
                        // It reads no more.
                        typing = None;
                    }
                }
                Said::Closed(STDIN) => typing = None,
                Said::Data(..) | Said::Closed(_) => {}
            },
        }
    }
    drop(typing);
    tokio::select! {
        status = child.wait() => Ok(End::of(status)),
        () = line.gone() => Err(Gone),
    }
}

type Pipe = Box<dyn AsyncRead + Send + Unpin>;

fn pipes(child: &mut Child) -> impl Iterator<Item = (u8, Pipe)> {
    let out = child.stdout.take().map(|pipe| (STDOUT, Box::new(pipe) as Pipe));
    let err = child.stderr.take().map(|pipe| (STDERR, Box::new(pipe) as Pipe));
    out.into_iter().chain(err)
}

async fn retell(channel: u8, mut pipe: Pipe, say: mpsc::Sender<(u8, Vec<u8>)>) {
    let mut piece = vec![0; PIECE];
    while let Ok(n @ 1..) = pipe.read(&mut piece).await {
        if say.send((channel, piece[..n].to_vec())).await.is_err() {
            return;
        }
    }
}
