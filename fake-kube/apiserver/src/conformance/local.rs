//! The in-process transport: the service of one server, on a clock that jumps to whatever is waited for.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tower::Service;

use super::hooks::{InProcess, Responder};
use super::transport::{Events, Reply, Sent, Start, Transport, message};
use crate::{ApiBody, ApiServer, ApiService, Clock, ManualClock, Messages, Options, User};

pub struct Local {
    pub server: ApiServer,
    pub clock: ManualClock,
    service: ApiService,
    start: Timestamp,
    /// Requests must say who makes them, and are held to roles.
    restricted: bool,
    responder: Responder,
}

/// The administrator's token of a restricted server.
pub const ADMIN_TOKEN: &str = "admin-token";

const ADDRESS: &str = "127.0.0.1:6443";
/// Where the webhooks of cases are, as far as the server can tell.
const WEBHOOKS: &str = "https://127.0.0.1:8443";

impl Local {
    /// A fresh server at a fixed moment, everything drawn from `seed`.
    pub fn new(seed: u64) -> Local {
        Local::with(seed, false)
    }

    /// As [`Local::new`], with RBAC.
    pub fn restricted(seed: u64) -> Local {
        Local::with(seed, true)
    }

    fn with(seed: u64, rbac: bool) -> Local {
        let start = Timestamp::from_second(1_795_262_400).unwrap_or(Timestamp::UNIX_EPOCH);
        let clock = ManualClock::new(start);
        let server = ApiServer::new(Options { seed, rbac, ..Options::new(Arc::new(clock.clone())) });
        let service = server.service(User::admin());
        let responder = Responder::default();
        let webhooks = InProcess { responder: responder.clone(), url: WEBHOOKS.to_owned() };
        server.set_webhooks(Arc::new(webhooks));
        Local { server, clock, service, start, restricted: rbac, responder }
    }

    /// As the listener tells who asks; the service itself is handed users, not tokens.
    fn user(&self, sent: &Sent) -> Result<User, Reply> {
        let given = sent.headers.iter().find(|(k, _)| k.eq_ignore_ascii_case("authorization"));
        match given.map(|(_, v)| v.strip_prefix("Bearer ").unwrap_or(v)) {
            None => Ok(User::anonymous()),
            Some(ADMIN_TOKEN) => Ok(User::admin()),
            Some(token) => self.server.authenticate(token).map_err(|refused| Reply {
                status: refused.code,
                headers: vec![("content-type".to_owned(), "application/json".to_owned())],
                body: refused.to_value().to_string().into_bytes(),
            }),
        }
    }

    fn sign_in(&mut self, sent: &Sent) -> Result<(), Reply> {
        if self.restricted {
            self.service = self.server.service(self.user(sent)?);
        }
        Ok(())
    }

    fn send(&mut self, sent: &Sent) -> Result<http::Response<ApiBody>, String> {
        let mut builder = http::Request::builder().method(sent.method.as_str()).uri(sent.target.as_str());
        for (k, v) in &sent.headers {
            builder = builder.header(k, v);
        }
        let body = Full::new(Bytes::from(sent.body.clone().unwrap_or_default()));
        let request = builder.body(body).map_err(|e| format!("{}: {e}", sent.target))?;
        let clock = self.clock.clone();
        wait(&clock, self.service.call(request)).map_err(|e| e.to_string())
    }
}

/// Polls a future to its end, moving the clock whenever it waits.
fn wait<F: Future>(clock: &ManualClock, f: F) -> F::Output {
    let mut f = pin!(f);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(out) = f.as_mut().poll(&mut cx) {
            return out;
        }
        let next = clock.next_due().unwrap_or_else(|| clock.now() + SignedDuration::from_secs(1));
        clock.advance_to(next);
    }
}

fn headers(r: &http::Response<ApiBody>) -> Vec<(String, String)> {
    let all = r.headers().iter();
    all.map(|(k, v)| (k.as_str().to_owned(), String::from_utf8_lossy(v.as_bytes()).into_owned())).collect()
}

impl Transport for Local {
    fn address(&self) -> String {
        ADDRESS.to_owned()
    }

    fn credentials(&self) -> Option<String> {
        self.restricted.then(|| format!("Bearer {ADMIN_TOKEN}"))
    }

    fn request(&mut self, sent: &Sent) -> Result<Reply, String> {
        if let Err(refused) = self.sign_in(sent) {
            return Ok(refused);
        }
        let response = self.send(sent)?;
        let (status, headers) = (response.status().as_u16(), headers(&response));
        let clock = self.clock.clone();
        let body = wait(&clock, response.into_body().collect()).map_err(|e| e.to_string())?;
        let body = if sent.method == "HEAD" { vec![] } else { body.to_bytes().to_vec() };
        Ok(Reply { status, headers, body })
    }

    fn watch(&mut self, sent: &Sent) -> Result<Start, String> {
        if let Err(refused) = self.sign_in(sent) {
            return Ok(Start::Refused(refused));
        }
        let response = self.send(sent)?;
        let (status, mut headers) = (response.status().as_u16(), headers(&response));
        if status != 200 {
            let clock = self.clock.clone();
            let body = wait(&clock, response.into_body().collect()).map_err(|e| e.to_string())?;
            return Ok(Start::Refused(Reply { status, headers, body: body.to_bytes().to_vec() }));
        }
        // What HTTP/1.1 makes of a body without a length.
        headers.push(("transfer-encoding".to_owned(), "chunked".to_owned()));
        let events = Watching::new(response.into_body(), self.clock.clone());
        Ok(Start::Stream { status, headers, events: Box::new(events) })
    }

    fn websocket(&mut self, sent: &Sent) -> Result<Start, String> {
        if let Err(refused) = self.sign_in(sent) {
            return Ok(Start::Refused(refused));
        }
        let mut response = self.send(sent)?;
        let (status, headers) = (response.status().as_u16(), headers(&response));
        let Some(messages) = response.extensions_mut().remove::<Messages>() else {
            let clock = self.clock.clone();
            let body = wait(&clock, response.into_body().collect()).map_err(|e| e.to_string())?;
            return Ok(Start::Refused(Reply { status, headers, body: body.to_bytes().to_vec() }));
        };
        let mut events = Watching::new(response.into_body(), self.clock.clone());
        events.messages = Some(messages);
        Ok(Start::Stream { status, headers, events: Box::new(events) })
    }

    fn sleep(&mut self, seconds: f64) {
        self.clock.advance_to(self.clock.now() + SignedDuration::from_secs_f64(seconds));
    }

    fn elapsed(&self) -> f64 {
        self.clock.now().duration_since(self.start).as_secs_f64()
    }

    fn server_time(&self) -> i64 {
        self.clock.now().as_second()
    }

    fn webhooks(&mut self, answers: &Value) -> Option<(String, String)> {
        self.responder.prescribe(answers);
        // Nobody looks at the CA: there is no connection.
        Some((WEBHOOKS.to_owned(), "Q0E=".to_owned()))
    }

    fn received(&mut self, name: &str) -> Vec<Value> {
        self.responder.received(name)
    }
}

struct Watching {
    body: ApiBody,
    clock: ManualClock,
    text: BytesMut,
    ready: VecDeque<Value>,
    closed: bool,
    /// The stream of a WebSocket: its events are shown as messages.
    messages: Option<Messages>,
}

impl Watching {
    fn new(body: ApiBody, clock: ManualClock) -> Watching {
        let (text, ready) = (BytesMut::new(), VecDeque::new());
        Watching { body, clock, text, ready, closed: false, messages: None }
    }

    /// Takes in what is there; true when something came or the stream ended.
    fn pull(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        match std::pin::Pin::new(&mut self.body).poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.text.extend_from_slice(&frame.into_data().unwrap_or_default());
                let cut = self.messages.unwrap_or(Messages::Text);
                while let Some(line) = cut.cut(&mut self.text) {
                    match self.messages {
                        Some(m) => self.ready.push_back(message(m == Messages::Binary, &line)),
                        None => self.ready.extend(serde_json::from_slice::<Value>(&line).ok()),
                    }
                }
                true
            }
            Poll::Ready(_) => {
                self.closed = true;
                true
            }
            Poll::Pending => false,
        }
    }
}

impl Events for Watching {
    fn read(&mut self, count: Option<usize>, seconds: f64) -> Result<Vec<Value>, String> {
        let deadline = self.clock.now() + SignedDuration::from_secs_f64(seconds);
        let mut out = Vec::new();
        loop {
            while count.is_none_or(|n| out.len() < n) {
                match self.ready.pop_front() {
                    Some(e) => out.push(e),
                    None => break,
                }
            }
            if count.is_some_and(|n| out.len() >= n) || self.closed {
                return Ok(out);
            }
            if self.pull() {
                continue;
            }
            if self.clock.now() >= deadline {
                return Ok(out);
            }
            self.clock.advance_to(self.clock.next_due().map_or(deadline, |t| t.min(deadline)));
        }
    }

    fn closed(&self) -> bool {
        self.closed
    }
}
