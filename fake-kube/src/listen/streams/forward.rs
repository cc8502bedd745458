//! Port forwarding: bytes of a client's connection to a port of a pod. Whatever carries them (a pair of channels in a
//! WebSocket, a pair of SPDY streams), the pod's side is an HTTP/1.1 server in front of the process, which knows requests
//! and answers only.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::Response;
use http_body_util::{BodyExt, Full, Limited};
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::channels::{Protocol, Said};
use super::spdy::{self, Frame};
use super::{FORWARD, Place};
use crate::dial::DialError;
use crate::listen::identity::Body;
use crate::listen::upgrade::{Hold, WebSocket, close, open};

/// Connections of one forwarding at a time.
const PAIRS_MAX: usize = 256;
/// Bytes a process has not taken yet: a client that goes on is cut off.
const QUEUED_MAX: usize = 8 << 20;
/// Largest request body; jars are uploaded through here.
const BODY_MAX: usize = 64 << 20;
const PIECE: usize = 16 << 10;

/// What the pods' side has to say on a stream.
struct Reply {
    id: u32,
    bytes: Bytes,
    end: bool,
}

/// The client's side of a connection: where its bytes go.
struct Input {
    to: mpsc::UnboundedSender<Bytes>,
    queued: Arc<AtomicUsize>,
}

impl Input {
    /// False when there is no room, or nobody who reads.
    fn push(&self, bytes: Bytes) -> bool {
        let queued = self.queued.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len();
        queued <= QUEUED_MAX && self.to.send(bytes).is_ok()
    }
}

/// Begins one connection to a port; `data` and `error` are the streams that belong to it.
fn connect(place: &Place, port: u16, data: u32, error: u32, out: mpsc::Sender<Reply>) -> Input {
    let (to, from) = mpsc::unbounded_channel();
    let queued = Arc::new(AtomicUsize::new(0));
    let (place, count) = (place.clone(), queued.clone());
    tokio::spawn(async move {
        let why = match place.cluster.connect(&place.ip, port) {
            Ok(_) => {
                pump(&place, port, data, from, &count, &out).await;
                String::new()
            }
            Err(e) => format!(
                "error forwarding port {port} to pod {}, uid {}: failed to connect to localhost:{port} inside namespace \
                 {:?}: dial tcp4 127.0.0.1:{port}: connect: {e}",
                place.pod, place.uid, place.namespace
            ),
        };
        for (id, bytes) in [(error, Bytes::from(why)), (data, Bytes::new())] {
            let _ = out.send(Reply { id, bytes, end: true }).await;
        }
    });
    Input { to, queued }
}

async fn pump(
    place: &Place,
    port: u16,
    data: u32,
    mut from: mpsc::UnboundedReceiver<Bytes>,
    queued: &AtomicUsize,
    out: &mpsc::Sender<Reply>,
) {
    let (near, far) = tokio::io::duplex(64 << 10);
    let (mut read, mut write) = tokio::io::split(near);
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let place = place.clone();
        async move {
            let (head, body) = request.into_parts();
            let body =
                Limited::new(body, BODY_MAX).collect().await.map_err(|_| DialError::Refused)?.to_bytes();
            match place.cluster.dial(&place.ip, port, http::Request::from_parts(head, body)) {
                // A process that stands still never answers.
                Err(DialError::Unreachable) => std::future::pending().await,
                answer => answer.map(|r| r.map(Full::new)),
            }
        }
    });
    let serve = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service);
    let inward = async {
        while let Some(bytes) = from.recv().await {
            queued.fetch_sub(bytes.len(), Ordering::Relaxed);
            if write.write_all(&bytes).await.is_err() {
                break;
            }
        }
        let _ = write.shutdown().await;
    };
    let outward = async {
        let mut piece = vec![0; PIECE];
        while let Ok(n @ 1..) = read.read(&mut piece).await {
            let said = Reply { id: data, bytes: Bytes::copy_from_slice(&piece[..n]), end: false };
            if out.send(said).await.is_err() {
                break;
            }
        }
    };
    // The server's end of it is the end: it closes after the last answer, or when the client's half is closed.
    tokio::join!(async { drop(serve.await) }, async {
        tokio::select! {
            () = outward => {}
            () = async { inward.await; std::future::pending().await } => {}
        }
    });
}

/// `v4.channel.k8s.io`: channels 2i and 2i+1 are data and errors of the i-th port, each led by the port's number.
pub(super) async fn channels(
    place: Place,
    ports: Vec<u16>,
    protocol: Protocol,
    on: OnUpgrade,
    mut hold: Hold,
) {
    let Some(mut socket) = open(on).await else { return };
    let (out, mut said) = mpsc::channel::<Reply>(64);
    let mut inputs = Vec::new();
    for (i, port) in ports.iter().take(PAIRS_MAX / 2).enumerate() {
        // At most 128 ports: their channels fit a byte.
        let data = u8::try_from(2 * i).unwrap_or(u8::MAX - 1);
        for channel in [data, data + 1] {
            if socket.send(protocol.message(channel, &port.to_le_bytes())).await.is_err() {
                return;
            }
        }
        inputs.push(connect(&place, *port, u32::from(data), u32::from(data) + 1, out.clone()));
    }
    drop(out);
    loop {
        tokio::select! {
            m = socket.next() => match m {
                Some(Ok(m)) if !m.is_close() => {
                    if let Some(Said::Data(channel, bytes)) = protocol.read(&m)
                        && let Some(input) = inputs.get(usize::from(channel / 2)).filter(|_| channel % 2 == 0)
                        && !input.push(bytes.into())
                    {
                        break;
                    }
                }
                _ => break,
            },
            s = said.recv() => {
                let Some(s) = s else { break };
                let channel = u8::try_from(s.id).unwrap_or(u8::MAX);
                if !s.bytes.is_empty() && socket.send(protocol.message(channel, &s.bytes)).await.is_err() {
                    break;
                }
            },
            () = hold.stopped() => break,
        }
    }
    close(&mut socket).await;
}

/// What carries SPDY.
enum Wire {
    Socket(Box<WebSocket>),
    Plain(TokioIo<Upgraded>),
}

impl Wire {
    /// None at the end.
    async fn receive(&mut self) -> Option<Bytes> {
        match self {
            Wire::Socket(socket) => loop {
                match socket.next().await? {
                    Ok(Message::Binary(b)) => return Some(b),
                    Ok(Message::Close(_)) | Err(_) => return None,
                    Ok(_) => {}
                }
            },
            Wire::Plain(io) => {
                let mut piece = vec![0; PIECE];
                match io.read(&mut piece).await {
                    Ok(n @ 1..) => Some(Bytes::copy_from_slice(&piece[..n])),
                    _ => None,
                }
            }
        }
    }

    async fn send(&mut self, bytes: Vec<u8>) -> bool {
        match self {
            Wire::Socket(socket) => socket.send(Message::binary(bytes)).await.is_ok(),
            Wire::Plain(io) => io.write_all(&bytes).await.is_ok() && io.flush().await.is_ok(),
        }
    }
}

pub(super) async fn tunnel(place: Place, on: OnUpgrade, hold: Hold) {
    if let Some(socket) = open(on).await {
        carry(place, Wire::Socket(Box::new(socket)), hold).await;
    }
}

pub(super) fn spdy(place: Place, on: OnUpgrade, hold: Hold) -> Response<Body> {
    tokio::spawn(async move {
        if let Ok(io) = on.await {
            carry(place, Wire::Plain(TokioIo::new(io)), hold).await;
        }
    });
    super::to_spdy(FORWARD)
}

/// Streams come in pairs with one request id: one for data, one for errors.
#[derive(Default)]
struct Pairs {
    half: BTreeMap<String, (Option<u32>, Option<u32>)>,
    inputs: BTreeMap<u32, Input>,
}

impl Pairs {
    fn opened(&mut self, id: u32, headers: &[(String, String)], place: &Place, out: &mpsc::Sender<Reply>) {
        let text = |key: &str| headers.iter().find(|(k, _)| k == key).map_or("", |(_, v)| v.as_str());
        if self.half.len() + self.inputs.len() >= PAIRS_MAX {
            return;
        }
        let pair = self.half.entry(text("requestid").to_owned()).or_default();
        match text("streamtype") {
            "data" => pair.0 = Some(id),
            _ => pair.1 = Some(id),
        }
        if let ((Some(data), Some(error)), Ok(port)) = (*pair, text("port").parse()) {
            self.half.remove(text("requestid"));
            self.inputs.insert(data, connect(place, port, data, error, out.clone()));
        }
    }
}

async fn carry(place: Place, mut wire: Wire, mut hold: Hold) {
    let (out, mut said) = mpsc::channel::<Reply>(64);
    let (mut reader, mut writer, mut pairs) =
        (spdy::Reader::new(), spdy::Writer::default(), Pairs::default());
    'connection: loop {
        let bytes = tokio::select! {
            bytes = wire.receive() => bytes,
            Some(s) = said.recv() => {
                if s.end {
                    pairs.inputs.remove(&s.id);
                }
                if wire.send(spdy::data(s.id, &s.bytes, s.end)).await { continue } else { break }
            }
            () = hold.stopped() => break,
        };
        let Some(bytes) = bytes else { break };
        reader.feed(&bytes);
        loop {
            let good = match reader.next() {
                Ok(Some(Frame::Open { id, headers })) => {
                    pairs.opened(id, &headers, &place, &out);
                    wire.send(writer.reply(id)).await
                }
                Ok(Some(Frame::Data { id, bytes, end })) => {
                    if pairs.inputs.get(&id).is_some_and(|i| !i.push(bytes)) || end {
                        pairs.inputs.remove(&id);
                    }
                    true
                }
                Ok(Some(Frame::Reset { id })) => {
                    pairs.inputs.remove(&id);
                    true
                }
                Ok(Some(Frame::Ping(whole))) => wire.send(whole.to_vec()).await,
                Ok(None) => break,
                Ok(Some(Frame::Away)) | Err(spdy::Malformed) => false,
            };
            if !good {
                break 'connection;
            }
        }
    }
    if let Wire::Socket(mut socket) = wire {
        close(&mut socket).await;
    }
}
