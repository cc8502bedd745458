//! How a case reaches a server: in process, or over a socket.

use serde_json::Value;

/// A request of a step.
#[derive(Clone, Debug)]
pub struct Sent {
    pub method: String,
    /// Path and query, percent-encoded.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
}

/// An answer read to its end. Header names are lower case.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What a watch request began with.
pub enum Start {
    Stream { status: u16, headers: Vec<(String, String)>, events: Box<dyn Events> },
    Refused(Reply),
}

/// A running watch.
pub trait Events {
    /// Waits until `count` events came, the stream ended, or `seconds` passed.
    fn read(&mut self, count: Option<usize>, seconds: f64) -> Result<Vec<Value>, String>;
    fn closed(&self) -> bool;
}

/// A message as cases record it: JSON where it is some.
pub fn message(binary: bool, data: &[u8]) -> Value {
    let data = serde_json::from_slice(data).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(data)));
    serde_json::json!({"type": if binary { "binary" } else { "text" }, "data": data})
}

pub trait Transport {
    /// The `Authorization` header of requests that name none: an administrator's, where the server asks for one.
    fn credentials(&self) -> Option<String> {
        None
    }
    /// `host:port` as the server shows it.
    fn address(&self) -> String;
    fn request(&mut self, sent: &Sent) -> Result<Reply, String>;
    fn watch(&mut self, sent: &Sent) -> Result<Start, String>;
    /// A watch over WebSocket; its events are the messages as `{"type": "text", "data": ..}`.
    fn websocket(&mut self, sent: &Sent) -> Result<Start, String>;
    fn sleep(&mut self, seconds: f64);
    /// Seconds since some fixed moment.
    fn elapsed(&self) -> f64;
    /// Seconds since the epoch as the server tells time.
    fn server_time(&self) -> i64;
    /// Starts webhooks that answer what the case says; answers their address and the CA to trust, base64. None: this
    /// transport has none.
    fn webhooks(&mut self, _answers: &Value) -> Option<(String, String)> {
        None
    }
    /// What the webhook of that name was asked, in order: `{path, review}`.
    fn received(&mut self, _name: &str) -> Vec<Value> {
        Vec::new()
    }
}
