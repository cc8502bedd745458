//! What carries the channels of a session: messages of a WebSocket, or streams of SPDY/3.1, which client-go's
//! `NewSPDYExecutor` and kubectl before 1.31 open, one per channel (kubelet, remotecommand/httpstream.go).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::channels::{ERROR, Protocol, RESIZE, STDERR, STDIN, STDOUT, Said};
use super::spdy::{self, Frame};
use crate::listen::upgrade::{WebSocket, close};

/// `DefaultStreamCreationTimeout` of the kubelet.
const CREATION_MAX: Duration = Duration::from_secs(30);
/// How long a client may take to go after the last word.
const FAREWELL_MAX: Duration = Duration::from_secs(1);
/// What a client may have sent and nobody has read: whoever goes on is cut off.
const QUEUED_MAX: usize = 8 << 20;
const PIECE: usize = 16 << 10;

pub(super) enum Carrier {
    Socket(Box<WebSocket>, Protocol),
    Streams(Box<Streams>),
}

impl Carrier {
    /// False when nobody is there any more.
    pub(super) async fn send(&mut self, channel: u8, data: &[u8]) -> bool {
        match self {
            Carrier::Socket(socket, protocol) => socket.send(protocol.message(channel, data)).await.is_ok(),
            Carrier::Streams(streams) => streams.send(channel, data, false).await,
        }
    }

    /// What the client says next; None at the end of the connection.
    pub(super) async fn receive(&mut self) -> Option<Said> {
        match self {
            Carrier::Streams(streams) => streams.receive().await,
            Carrier::Socket(socket, protocol) => loop {
                let message = socket.next().await?.ok()?;
                if message.is_close() {
                    return None;
                }
                // Pings are no data.
                if let Some(said) = protocol.read(&message) {
                    return Some(said);
                }
            },
        }
    }

    /// Says good-bye, and waits a moment so that the client sees everything before the connection goes.
    pub(super) async fn finish(self) {
        match self {
            Carrier::Socket(mut socket, _) => {
                close(&mut socket).await;
                let rest = async { while let Some(Ok(_)) = socket.next().await {} };
                let _ = tokio::time::timeout(FAREWELL_MAX, rest).await;
            }
            Carrier::Streams(mut streams) => {
                for channel in [STDOUT, STDERR, ERROR] {
                    streams.send(channel, b"", true).await;
                }
                let rest = async { while streams.receive().await.is_some() {} };
                let _ = tokio::time::timeout(FAREWELL_MAX, rest).await;
            }
        }
    }
}

/// The streams of one SPDY connection, each with its channel.
pub(super) struct Streams {
    io: TokioIo<Upgraded>,
    reader: spdy::Reader,
    writer: spdy::Writer,
    channels: BTreeMap<u32, u8>,
    said: VecDeque<Said>,
    queued: usize,
}

impl Streams {
    /// Waits until the client has opened a stream for each of the channels.
    pub(super) async fn open(io: TokioIo<Upgraded>, wanted: &[u8]) -> Option<Streams> {
        let (reader, writer) = (spdy::Reader::new(), spdy::Writer::default());
        let mut streams =
            Streams { io, reader, writer, channels: BTreeMap::new(), said: VecDeque::new(), queued: 0 };
        let opened = async {
            while !wanted.iter().all(|c| streams.channels.values().any(|known| known == c)) {
                streams.advance().await?;
            }
            Some(())
        };
        tokio::time::timeout(CREATION_MAX, opened).await.ok()??;
        Some(streams)
    }

    async fn send(&mut self, channel: u8, data: &[u8], end: bool) -> bool {
        let Some(id) = self.channels.iter().find(|(_, c)| **c == channel).map(|(id, _)| *id) else {
            return true;
        };
        self.write(&spdy::data(id, data, end)).await
    }

    async fn write(&mut self, bytes: &[u8]) -> bool {
        self.io.write_all(bytes).await.is_ok() && self.io.flush().await.is_ok()
    }

    async fn receive(&mut self) -> Option<Said> {
        loop {
            if let Some(said) = self.said.pop_front() {
                if let Said::Data(_, bytes) = &said {
                    self.queued -= bytes.len();
                }
                return Some(said);
            }
            self.advance().await?;
        }
    }

    /// Reads what has come; None at the end.
    async fn advance(&mut self) -> Option<()> {
        let mut piece = [0; PIECE];
        let n = self.io.read(&mut piece).await.ok().filter(|n| *n > 0)?;
        self.reader.feed(&piece[..n]);
        while let Some(frame) = self.reader.next().ok()? {
            self.take(frame).await?;
        }
        (self.queued <= QUEUED_MAX).then_some(())
    }

    async fn take(&mut self, frame: Frame) -> Option<()> {
        match frame {
            Frame::Open { id, headers } => {
                let kind = headers.iter().find(|(k, _)| k == "streamtype").map(|(_, v)| v.as_str());
                if let Some(channel) = kind.and_then(channel_of) {
                    self.channels.insert(id, channel);
                }
                let reply = self.writer.reply(id);
                self.write(&reply).await.then_some(())
            }
            Frame::Data { id, bytes, end } => {
                self.note(id, &bytes, end);
                Some(())
            }
            Frame::Reset { id } => {
                self.note(id, &Bytes::new(), true);
                Some(())
            }
            Frame::Ping(whole) => self.write(&whole).await.then_some(()),
            Frame::Away => None,
        }
    }

    fn note(&mut self, id: u32, bytes: &[u8], end: bool) {
        let Some(channel) = self.channels.get(&id).copied() else { return };
        if !bytes.is_empty() {
            self.queued += bytes.len();
            self.said.push_back(Said::Data(channel, bytes.to_vec()));
        }
        if end {
            self.said.push_back(Said::Closed(channel));
        }
    }
}

fn channel_of(kind: &str) -> Option<u8> {
    match kind {
        "stdin" => Some(STDIN),
        "stdout" => Some(STDOUT),
        "stderr" => Some(STDERR),
        "error" => Some(ERROR),
        "resize" => Some(RESIZE),
        _ => None,
    }
}
