//! What the transports over a socket share: one request over a connection of its own, and events line by line.

use std::collections::VecDeque;

use bytes::Bytes;
use fake_kube_apiserver::conformance::Sent;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;

/// Sends a request to `host:port` and answers the head of the response.
pub async fn exchange(address: &str, sent: &Sent) -> Result<http::Response<Incoming>, String> {
    let mut builder = http::Request::builder().method(sent.method.as_str()).uri(sent.target.as_str());
    for (k, v) in &sent.headers {
        builder = builder.header(k, v);
    }
    if !sent.headers.iter().any(|(k, _)| k.eq_ignore_ascii_case("host")) {
        builder = builder.header("host", address);
    }
    let body = Full::new(Bytes::from(sent.body.clone().unwrap_or_default()));
    let request = builder.body(body).map_err(|e| format!("{}: {e}", sent.target))?;
    let stream = tokio::net::TcpStream::connect(address).await.map_err(|e| e.to_string())?;
    let shake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = shake.await.map_err(|e| e.to_string())?;
    // Ends with the last answer on it.
    tokio::spawn(connection.with_upgrades());
    sender.send_request(request).await.map_err(|e| e.to_string())
}

pub fn headers<B>(r: &http::Response<B>) -> Vec<(String, String)> {
    let all = r.headers().iter();
    all.map(|(k, v)| (k.as_str().to_owned(), String::from_utf8_lossy(v.as_bytes()).into_owned())).collect()
}

/// Events as they come out of the bytes of a watch.
#[derive(Default)]
pub struct Lines {
    text: Vec<u8>,
    ready: VecDeque<Value>,
}

impl Lines {
    pub fn take_in(&mut self, data: &[u8]) {
        self.text.extend_from_slice(data);
        while let Some(end) = self.text.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.text.drain(..=end).collect();
            self.ready.extend(serde_json::from_slice::<Value>(&line).ok());
        }
    }

    /// Moves what is there to `out`, which is to hold at most `count`.
    pub fn hand_out(&mut self, out: &mut Vec<Value>, count: Option<usize>) {
        let room = count.map_or(usize::MAX, |n| n - out.len());
        let take = room.min(self.ready.len());
        out.extend(self.ready.drain(..take));
    }
}
