//! The real server as a process, and the transport to it: plain HTTP/1.1 and real time.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fake_kube_apiserver::conformance::{Events, Reply, Sent, Start, Transport, message};
use futures_util::StreamExt;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::rc::Rc;
use tokio::runtime::Runtime;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::http1::{self, Lines, headers};
use crate::over_http::runtime;

/// The longest a request may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a request is made again that came before the server was ready for it.
const READY_TRIES: usize = 50;
const KINDS: [&str; 3] = ["widgets", "gadgets", "gizmos"];
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

pub struct Peer {
    process: Child,
    address: String,
    runtime: Rc<Runtime>,
    begun: Instant,
    names: u32,
    /// Holds the store; removed with the peer.
    _folder: tempfile::TempDir,
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Already gone is fine: the test is over either way.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Peer {
    /// Starts the server and waits for its `ready url=...` line.
    pub fn start(binary: &Path) -> Peer {
        let folder = tempfile::tempdir().expect("a folder");
        let mut process = Command::new(binary)
            .args(["-listen", "127.0.0.1:0"])
            .env("TMPDIR", folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("DREY_REAL_CRD_SERVER={}: {e}", binary.display()));
        let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
        let mut heard = Vec::new();
        let address = loop {
            let line = lines.next().and_then(Result::ok).unwrap_or_else(|| panic!("it ended: {heard:#?}"));
            if let Some(at) = line.find("url=http://") {
                let rest = &line[at + "url=http://".len()..];
                break rest.split(' ').next().unwrap_or_default().to_owned();
            }
            heard.push(line);
        };
        // Its log is read on, or the pipe fills.
        std::thread::spawn(move || lines.for_each(drop));
        Peer { process, address, runtime: runtime(), begun: Instant::now(), names: 0, _folder: folder }
    }

    /// A name that no case had before: eight letters, as the recorder's.
    pub fn next_name(&mut self) -> String {
        self.names += 1;
        let digit = |place: u32| b"bcdfghjklmnpqrstvwxz"[(self.names / 20u32.pow(place) % 20) as usize];
        format!("walk{}", (0..4).rev().map(|p| char::from(digit(p))).collect::<String>())
    }

    /// Removes what a case left behind, finalizers or not.
    pub fn sweep(&mut self) {
        for kind in KINDS {
            for item in self.items(&format!("/apis/t.example.com/v1/{kind}")) {
                let (meta, name) = (&item["metadata"], item["metadata"]["name"].as_str().unwrap_or_default());
                let path = match meta["namespace"].as_str() {
                    Some(ns) => format!("/apis/t.example.com/v1/namespaces/{ns}/{kind}/{name}"),
                    None => format!("/apis/t.example.com/v1/{kind}/{name}"),
                };
                self.remove(&path, meta.get("finalizers").is_some());
            }
        }
        for item in self.items(DEFINITIONS) {
            let name = item["metadata"]["name"].as_str().unwrap_or_default();
            if !KINDS.iter().any(|k| name == format!("{k}.t.example.com")) {
                self.remove(&format!("{DEFINITIONS}/{name}"), false);
            }
        }
    }

    fn items(&mut self, path: &str) -> Vec<Value> {
        let reply = self.plain("GET", path, None);
        let list: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        list["items"].as_array().cloned().unwrap_or_default()
    }

    fn remove(&mut self, path: &str, finalizers: bool) {
        if finalizers {
            self.plain("PATCH", path, Some(json!({"metadata": {"finalizers": null}})));
        }
        self.plain("DELETE", path, None);
    }

    fn plain(&mut self, method: &str, path: &str, body: Option<Value>) -> Reply {
        let headers = vec![("Content-Type".to_owned(), "application/merge-patch+json".to_owned())];
        let body = body.map(|b| b.to_string().into_bytes());
        let sent = Sent { method: method.to_owned(), target: path.to_owned(), headers, body };
        self.request(&sent).unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    fn send(&self, sent: &Sent) -> Result<http::Response<Incoming>, String> {
        self.wait(http1::exchange(&self.address, sent))?
    }

    fn wait<F: Future>(&self, f: F) -> Result<F::Output, String> {
        self.runtime
            .block_on(async { tokio::time::timeout(PATIENCE, f).await })
            .map_err(|_| "no answer".to_owned())
    }

    fn finish(&self, response: http::Response<Incoming>) -> Result<Reply, String> {
        let (status, headers) = (response.status().as_u16(), headers(&response));
        let body = self.wait(response.into_body().collect())?.map_err(|e| e.to_string())?;
        Ok(Reply { status, headers, body: body.to_bytes().to_vec() })
    }
}

impl Transport for Peer {
    fn address(&self) -> String {
        self.address.clone()
    }

    fn request(&mut self, sent: &Sent) -> Result<Reply, String> {
        for _ in 0..READY_TRIES {
            let reply = self.send(sent).and_then(|response| self.finish(response))?;
            if reply.status != 429 {
                return Ok(reply);
            }
            // The cache of a fresh kind is still being filled.
            self.sleep(0.1);
        }
        Err("429 does not end".to_owned())
    }

    fn watch(&mut self, sent: &Sent) -> Result<Start, String> {
        let response = self.send(sent)?;
        if response.status() != 200 {
            return Ok(Start::Refused(self.finish(response)?));
        }
        let (status, headers) = (response.status().as_u16(), headers(&response));
        let events = Watching {
            body: response.into_body(),
            runtime: self.runtime.clone(),
            lines: Lines::default(),
            closed: false,
        };
        Ok(Start::Stream { status, headers, events: Box::new(events) })
    }

    fn websocket(&mut self, sent: &Sent) -> Result<Start, String> {
        let response = self.send(sent)?;
        if response.status() != 101 {
            return Ok(Start::Refused(self.finish(response)?));
        }
        let (status, headers) = (response.status().as_u16(), headers(&response));
        let io = self.wait(hyper::upgrade::on(response))?.map_err(|e| e.to_string())?;
        let socket = self.wait(WebSocketStream::from_raw_socket(TokioIo::new(io), Role::Client, None))?;
        let events = Talking { socket, runtime: self.runtime.clone(), closed: false };
        Ok(Start::Stream { status, headers, events: Box::new(events) })
    }

    fn sleep(&mut self, seconds: f64) {
        self.runtime.block_on(async { tokio::time::sleep(Duration::from_secs_f64(seconds)).await });
    }

    fn elapsed(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    #[expect(clippy::disallowed_methods, reason = "the peer is a real server and lives by the wall clock")]
    fn server_time(&self) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64)
    }
}

struct Watching {
    body: Incoming,
    runtime: Rc<Runtime>,
    lines: Lines,
    closed: bool,
}

impl Events for Watching {
    fn read(&mut self, count: Option<usize>, seconds: f64) -> Result<Vec<Value>, String> {
        let deadline = Instant::now() + Duration::from_secs_f64(seconds);
        let mut out = Vec::new();
        loop {
            self.lines.hand_out(&mut out, count);
            let left = deadline.saturating_duration_since(Instant::now());
            if self.closed || count.is_some_and(|n| out.len() >= n) || left.is_zero() {
                return Ok(out);
            }
            let frame = self.runtime.block_on(async { tokio::time::timeout(left, self.body.frame()).await });
            match frame {
                Err(_) => return Ok(out),
                Ok(Some(Ok(frame))) => {
                    self.lines.take_in(&frame.into_data().unwrap_or_default());
                }
                Ok(_) => self.closed = true,
            }
        }
    }

    fn closed(&self) -> bool {
        self.closed
    }
}

struct Talking {
    socket: WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>,
    runtime: Rc<Runtime>,
    closed: bool,
}

impl Events for Talking {
    fn read(&mut self, count: Option<usize>, seconds: f64) -> Result<Vec<Value>, String> {
        let deadline = Instant::now() + Duration::from_secs_f64(seconds);
        let mut out = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.closed || count.is_some_and(|n| out.len() >= n) || left.is_zero() {
                return Ok(out);
            }
            let next = self.runtime.block_on(async { tokio::time::timeout(left, self.socket.next()).await });
            match next {
                Err(_) => return Ok(out),
                Ok(Some(Ok(Message::Text(text)))) => out.push(message(false, text.as_bytes())),
                Ok(Some(Ok(Message::Binary(data)))) => out.push(message(true, &data)),
                Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) => self.closed = true,
                Ok(Some(Ok(_))) => {}
            }
        }
    }

    fn closed(&self) -> bool {
        self.closed
    }
}
