//! Connections that switched to WebSocket: the handshake's end, and watches as messages.
//!
//! A message goes out when the client takes it, and only then the watch is asked for more: a client that is too slow is
//! overtaken by the history and gets its 410, as over HTTP.

use std::sync::Arc;

use bytes::BytesMut;
use fake_kube_apiserver::{ApiBody, Handshake, Messages};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use super::identity::Body;

/// Messages of clients: watchers send none, and streams are cut into pieces well below this.
const MESSAGE_MAX: usize = 1 << 20;

/// What a connection keeps while it lives, whatever it speaks.
#[derive(Clone)]
pub(super) struct Hold {
    pub(super) stopped: watch::Receiver<bool>,
    pub(super) slot: Arc<OwnedSemaphorePermit>,
}

impl Hold {
    /// Ends when the listener does.
    pub(super) async fn stopped(&mut self) {
        // A listener that is gone has stopped, too.
        let _ = self.stopped.wait_for(|s| *s).await;
    }
}

pub(super) type WebSocket = WebSocketStream<TokioIo<Upgraded>>;

/// Adds what the client checks.
pub(super) fn accept(headers: &mut http::HeaderMap, asked: &Handshake) {
    if let Ok(key) = HeaderValue::from_str(&derive_accept_key(asked.key.as_bytes())) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, key);
    }
}

/// The connection after the answer went out; None when the client is gone.
pub(super) async fn open(on: OnUpgrade) -> Option<WebSocket> {
    let io = TokioIo::new(on.await.ok()?);
    let config =
        WebSocketConfig::default().max_message_size(Some(MESSAGE_MAX)).max_frame_size(Some(MESSAGE_MAX));
    Some(WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await)
}

/// Says good-bye as Go's servers do, with the code for "all went well": clients take others for a fault.
pub(super) async fn close(socket: &mut WebSocket) {
    let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    // The client may be gone already.
    let _ = WebSocketStream::close(socket, Some(frame)).await;
}

/// The answer to a watch that was accepted; its events follow as messages.
pub(super) fn watch(
    mut response: Response<ApiBody>,
    asked: &Handshake,
    on: OnUpgrade,
    hold: Hold,
) -> Response<Body> {
    accept(response.headers_mut(), asked);
    let messages = response.extensions_mut().remove::<Messages>().unwrap_or(Messages::Text);
    let (head, events) = response.into_parts();
    tokio::spawn(async move {
        if let Some(socket) = open(on).await {
            send_events(socket, events, messages, hold).await;
        }
    });
    Response::from_parts(head, Body::Text(Full::default()))
}

async fn send_events(mut socket: WebSocket, mut events: ApiBody, messages: Messages, mut hold: Hold) {
    let mut waiting = BytesMut::new();
    loop {
        let frame = tokio::select! {
            frame = events.frame() => frame,
            said = socket.next() => match said {
                // Pings are answered below; nothing else is expected.
                Some(Ok(m)) if !m.is_close() => continue,
                _ => break,
            },
            () = hold.stopped() => break,
        };
        let Some(Ok(frame)) = frame else { break };
        waiting.extend_from_slice(&frame.into_data().unwrap_or_default());
        while let Some(message) = messages.cut(&mut waiting) {
            let message = match messages {
                Messages::Text => Message::text(String::from_utf8_lossy(&message).into_owned()),
                Messages::Binary => Message::binary(message),
            };
            if socket.send(message).await.is_err() {
                return;
            }
        }
    }
    close(&mut socket).await;
    drop(hold.slot);
}
