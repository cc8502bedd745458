//! A client attached to a container that is a process of this machine: its output from now on, and what is typed goes to
//! its input or its terminal. The process goes on when the client goes.

use bytes::Bytes;
use tokio::sync::broadcast::error::RecvError;

use super::channels::{RESIZE, STDIN, STDOUT, Said};
use super::exec::{End, Gone, Line, Session};
use crate::programs::{Attached, Size, Typed};

pub(super) async fn run(session: &Session, process: Attached, line: &mut Line) -> Result<End, Gone> {
    let Attached { mut output, input } = process;
    // Where nothing is read, what is typed is lost.
    let Some(input) = input else {
        loop {
            tokio::select! {
                piece = output.recv() => if !tell(session, line, piece).await? { return Ok(End::Code(0)) },
                said = line.receive() => drop(said?),
            }
        }
    };
    let mut next: Option<Typed> = None;
    loop {
        tokio::select! {
            piece = output.recv() => if !tell(session, line, piece).await? { return Ok(End::Code(0)) },
            // Without room it reads no more.
            room = input.reserve(), if next.is_some() => if let (Ok(room), Some(typed)) = (room, next.take()) {
                room.send(typed);
            },
            said = line.receive(), if next.is_none() => next = typed(session, said?),
        }
    }
}

/// False at the end.
async fn tell(session: &Session, line: &mut Line, piece: Result<Bytes, RecvError>) -> Result<bool, Gone> {
    match piece {
        Ok(piece) => line.tell(session, STDOUT, &piece).await.map(|()| true),
        // The client was slower than the process.
        Err(RecvError::Lagged(_)) => Ok(true),
        Err(RecvError::Closed) => Ok(false),
    }
}

fn typed(session: &Session, said: Said) -> Option<Typed> {
    match said {
        Said::Data(STDIN, bytes) if session.stdin => Some(Typed::Bytes(bytes.into())),
        Said::Data(RESIZE, bytes) => Size::read(&bytes).map(Typed::Size),
        Said::Closed(STDIN) if session.stdin => Some(Typed::End),
        Said::Data(..) | Said::Closed(_) => None,
    }
}
