//! Watches over WebSocket: the handshake as golang.org/x/net/websocket holds it, and how a stream of events becomes
//! messages (cases watch-websocket*; fabric8 opens its watches so). Whoever owns the connection switches protocols: an
//! answer with code 101 carries [`Messages`] among its extensions, and its body is the stream.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Response, header};

use crate::answer::ApiBody;

/// One message per event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Messages {
    /// Lines of JSON, sent as text.
    Text,
    /// Protobuf frames led by their length, sent as binary messages without it.
    Binary,
}

impl Messages {
    /// Takes the next message off what came of the body.
    pub fn cut(self, buffer: &mut BytesMut) -> Option<Bytes> {
        match self {
            Messages::Text => {
                let end = buffer.iter().position(|b| *b == b'\n')?;
                Some(buffer.split_to(end + 1).freeze())
            }
            Messages::Binary => {
                let length = u32::from_be_bytes(buffer.get(..4)?.try_into().ok()?) as usize;
                if buffer.len() < 4 + length {
                    return None;
                }
                buffer.advance(4);
                Some(buffer.split_to(length).freeze())
            }
        }
    }
}

/// What a client asks of an upgrade to WebSocket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handshake {
    pub key: String,
    version: String,
    origin: String,
    /// As offered, in order.
    pub protocols: Vec<String>,
}

impl Handshake {
    /// None when the request asks for no WebSocket.
    pub fn of(method: &Method, headers: &HeaderMap) -> Option<Handshake> {
        // Nearly every request: no upgrade of any kind.
        headers.get(header::UPGRADE)?;
        let text = |name: &str| {
            let all: Vec<&str> = headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).collect();
            all.join(",")
        };
        let upgrade = text("connection").split(',').any(|t| t.trim().eq_ignore_ascii_case("upgrade"));
        if *method != Method::GET || !upgrade || !text("upgrade").eq_ignore_ascii_case("websocket") {
            return None;
        }
        let protocols = text("sec-websocket-protocol");
        Some(Handshake {
            key: text("sec-websocket-key"),
            version: text("sec-websocket-version"),
            origin: text("origin"),
            protocols: protocols.split(',').map(|p| p.trim().to_owned()).filter(|p| !p.is_empty()).collect(),
        })
    }

    /// Why the protocol cannot be switched at all.
    pub fn refusal(&self) -> Option<u16> {
        (self.version != "13" || self.key.is_empty()).then_some(400)
    }

    /// As `websocket.Handler` answers: whoever names no origin is refused, and of several protocols none is chosen.
    fn watch_refusal(&self) -> Option<u16> {
        let origin = self
            .origin
            .parse::<http::Uri>()
            .is_ok_and(|u| u.scheme().is_some() || self.origin.starts_with('/'));
        self.refusal().or((!origin).then_some(403)).or((self.protocols.len() > 1).then_some(400))
    }

    /// The answer to a watch request that was found good.
    pub(crate) fn answer(&self, messages: Messages, body: impl FnOnce() -> ApiBody) -> Response<ApiBody> {
        if let Some(code) = self.watch_refusal() {
            let mut refused = Response::new(ApiBody::full(Bytes::new()));
            *refused.status_mut() = http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::BAD_REQUEST);
            return refused;
        }
        let mut response = Response::new(body());
        *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        if let Some(p) = self.protocols.first().and_then(|p| HeaderValue::from_str(p).ok()) {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, p);
        }
        response.extensions_mut().insert(messages);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&'static str, &'static str)]) -> Option<Handshake> {
        let good = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-key", "eA=="),
            ("sec-websocket-version", "13"),
            ("origin", "http://127.0.0.1"),
        ];
        let mut headers = HeaderMap::new();
        for (k, v) in good.iter().chain(pairs) {
            headers.insert(*k, HeaderValue::from_static(v));
        }
        Handshake::of(&Method::GET, &headers)
    }

    #[test]
    fn handshakes() {
        let code = |pairs: &[_]| asked(pairs).map(|h| h.watch_refusal());
        assert_eq!(code(&[]), Some(None));
        assert_eq!(code(&[("upgrade", "h2c")]), None);
        assert_eq!(code(&[("connection", "close")]), None);
        assert_eq!(code(&[("origin", "")]), Some(Some(403)));
        assert_eq!(code(&[("origin", "null")]), Some(Some(403)));
        assert_eq!(code(&[("sec-websocket-version", "8")]), Some(Some(400)));
        assert_eq!(code(&[("sec-websocket-protocol", "base64.binary.k8s.io")]), Some(None));
        assert_eq!(code(&[("sec-websocket-protocol", "a, b")]), Some(Some(400)));
    }

    #[test]
    fn messages() {
        let mut lines = BytesMut::from("{}\n{\"a\":1}\n{");
        assert_eq!(Messages::Text.cut(&mut lines).as_deref(), Some(b"{}\n".as_slice()));
        assert_eq!(Messages::Text.cut(&mut lines).as_deref(), Some(b"{\"a\":1}\n".as_slice()));
        assert_eq!(Messages::Text.cut(&mut lines), None);
        let mut frames = BytesMut::from([0, 0, 0, 2, 7, 8, 0, 0, 0, 9, 1].as_slice());
        assert_eq!(Messages::Binary.cut(&mut frames).as_deref(), Some([7, 8].as_slice()));
        assert_eq!(Messages::Binary.cut(&mut frames), None);
    }
}
