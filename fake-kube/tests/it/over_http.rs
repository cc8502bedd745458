//! The recorded cases over real HTTP: fake-kube's listener on one side, hyper's client on the other, one thread.
//!
//! Time is still virtual. Whoever waits first lets everything that is ready run, and only when nothing moved for a
//! few turns does the clock jump to what is due next.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fake_kube::{ListenOptions, Listening, listen, over_https};
use fake_kube_apiserver::conformance::local::ADMIN_TOKEN;
use fake_kube_apiserver::conformance::{Events, Reply, Responder, Sent, Start, Transport, message};
use fake_kube_apiserver::{Answered, ApiServer, Clock, ManualClock, Options, Question, User, Webhooks};
use futures_util::StreamExt;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::http1::{self, Lines, headers};

/// A turn of the runtime without an answer; several in a row mean that only time can help.
const TURN: Duration = Duration::from_millis(3);
const IDLE_TURNS: u32 = 4;
/// Jumps of the clock one answer may take.
const JUMPS_MAX: u32 = 10_000;
/// The address the server names in discovery: configured, as that of a real server, and not the port of the listener.
const SHOWN: &str = "127.0.0.1:6443";

/// A fresh server behind a listener.
pub struct OverHttp {
    pub server: ApiServer,
    clock: ManualClock,
    start: Timestamp,
    listening: Listening,
    runtime: Rc<Runtime>,
    rbac: bool,
    responder: Responder,
    busy: Busy,
}

/// Questions to webhooks under way: time must not jump to their end.
type Busy = Arc<AtomicUsize>;

pub fn runtime() -> Rc<Runtime> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Rc::new(built.expect("a runtime"))
}

impl OverHttp {
    pub fn new(runtime: &Rc<Runtime>, rbac: bool) -> OverHttp {
        let start = Timestamp::from_second(1_795_262_400).expect("a literal time");
        let clock = ManualClock::new(start);
        let options = Options::new(Arc::new(clock.clone()));
        let server = ApiServer::new(Options { seed: 7, rbac, address: SHOWN.to_owned(), ..options });
        let mut options = ListenOptions { tls: false, ..ListenOptions::default() };
        if rbac {
            options.identities.add(ADMIN_TOKEN, User::admin());
        }
        let listening = runtime.block_on(listen(server.clone(), options)).expect("a listener");
        let busy = Busy::default();
        server.set_webhooks(Arc::new(Counted { inner: over_https(), busy: busy.clone() }));
        let responder = Responder::default();
        OverHttp { server, clock, start, listening, runtime: runtime.clone(), rbac, responder, busy }
    }

    fn send(&self, sent: &Sent) -> Result<http::Response<Incoming>, String> {
        let address = self.listening.addr.to_string();
        let exchange = http1::exchange(&address, sent);
        wait(&self.runtime, &self.clock, &self.busy, None, exchange).ok_or("no answer")?
    }
}

/// Runs a future to its end, or until the clock has passed `deadline` and nothing moves.
fn wait<F: Future>(
    runtime: &Runtime,
    clock: &ManualClock,
    busy: &Busy,
    deadline: Option<Timestamp>,
    f: F,
) -> Option<F::Output> {
    runtime.block_on(async {
        let mut f = pin!(f);
        for _ in 0..JUMPS_MAX {
            for _ in 0..IDLE_TURNS {
                if let Ok(out) = tokio::time::timeout(TURN, &mut f).await {
                    return Some(out);
                }
            }
            if busy.load(Ordering::Relaxed) > 0 {
                continue;
            }
            let next = clock.next_due().unwrap_or_else(|| clock.now() + SignedDuration::from_secs(1));
            match deadline {
                Some(end) if clock.now() >= end => return None,
                Some(end) => clock.advance_to(next.min(end)),
                None => clock.advance_to(next),
            }
        }
        None
    })
}

impl OverHttp {
    fn finish(&self, response: http::Response<Incoming>) -> Result<Reply, String> {
        let (status, headers) = (response.status().as_u16(), headers(&response));
        let body = wait(&self.runtime, &self.clock, &self.busy, None, response.into_body().collect());
        let body = body.ok_or("the answer does not end")?.map_err(|e| e.to_string())?;
        Ok(Reply { status, headers, body: body.to_bytes().to_vec() })
    }
}

impl Transport for OverHttp {
    fn credentials(&self) -> Option<String> {
        self.rbac.then(|| format!("Bearer {ADMIN_TOKEN}"))
    }

    fn address(&self) -> String {
        SHOWN.to_owned()
    }

    fn request(&mut self, sent: &Sent) -> Result<Reply, String> {
        let response = self.send(sent)?;
        self.finish(response)
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
            clock: self.clock.clone(),
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
        let opened = async move {
            let io = hyper::upgrade::on(response).await.map_err(|e| e.to_string())?;
            Ok(WebSocketStream::from_raw_socket(TokioIo::new(io), Role::Client, None).await)
        };
        let socket: Result<_, String> =
            wait(&self.runtime, &self.clock, &self.busy, None, opened).ok_or("no upgrade")?;
        let events = Talking {
            socket: socket?,
            runtime: self.runtime.clone(),
            clock: self.clock.clone(),
            busy: self.busy.clone(),
            closed: false,
        };
        Ok(Start::Stream { status, headers, events: Box::new(events) })
    }

    fn sleep(&mut self, seconds: f64) {
        let end = self.clock.now() + SignedDuration::from_secs_f64(seconds);
        self.clock.advance_to(end);
        self.runtime.block_on(async { tokio::time::sleep(TURN).await });
    }

    fn elapsed(&self) -> f64 {
        self.clock.now().duration_since(self.start).as_secs_f64()
    }

    fn server_time(&self) -> i64 {
        self.clock.now().as_second()
    }

    fn webhooks(&mut self, answers: &Value) -> Option<(String, String)> {
        self.responder.prescribe(answers);
        Some(self.runtime.block_on(crate::responder::serve(self.responder.clone())))
    }

    fn received(&mut self, name: &str) -> Vec<Value> {
        self.responder.received(name)
    }
}

/// Counts the questions under way.
struct Counted {
    inner: Arc<dyn Webhooks>,
    busy: Busy,
}

impl Webhooks for Counted {
    fn call(
        &self,
        question: &Question,
    ) -> std::pin::Pin<Box<dyn Future<Output = Answered> + Send + 'static>> {
        let (call, busy) = (self.inner.call(question), self.busy.clone());
        busy.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let answered = call.await;
            busy.fetch_sub(1, Ordering::Relaxed);
            answered
        })
    }
}

struct Watching {
    body: Incoming,
    runtime: Rc<Runtime>,
    clock: ManualClock,
    lines: Lines,
    closed: bool,
}

impl Events for Watching {
    fn read(&mut self, count: Option<usize>, seconds: f64) -> Result<Vec<Value>, String> {
        let deadline = self.clock.now() + SignedDuration::from_secs_f64(seconds);
        let mut out = Vec::new();
        loop {
            self.lines.hand_out(&mut out, count);
            if self.closed || count.is_some_and(|n| out.len() >= n) {
                return Ok(out);
            }
            let idle = Busy::default();
            match wait(&self.runtime, &self.clock, &idle, Some(deadline), self.body.frame()) {
                None => return Ok(out),
                Some(Some(Ok(frame))) => {
                    self.lines.take_in(&frame.into_data().unwrap_or_default());
                }
                Some(_) => self.closed = true,
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
    clock: ManualClock,
    busy: Busy,
    closed: bool,
}

impl Events for Talking {
    fn read(&mut self, count: Option<usize>, seconds: f64) -> Result<Vec<Value>, String> {
        let deadline = self.clock.now() + SignedDuration::from_secs_f64(seconds);
        let mut out = Vec::new();
        while !self.closed && count.is_none_or(|n| out.len() < n) {
            match wait(&self.runtime, &self.clock, &self.busy, Some(deadline), self.socket.next()) {
                None => break,
                Some(Some(Ok(Message::Text(text)))) => out.push(message(false, text.as_bytes())),
                Some(Some(Ok(Message::Binary(data)))) => out.push(message(true, &data)),
                Some(Some(Ok(m))) if !m.is_close() => {}
                Some(_) => self.closed = true,
            }
        }
        Ok(out)
    }

    fn closed(&self) -> bool {
        self.closed
    }
}
