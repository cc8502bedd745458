//! The page's server: a handful of paths over HTTP on this machine. It runs on a thread and a runtime of its own, in real
//! time, so that a world that stands still can be looked at and told to go on.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use futures::stream;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, oneshot};

use crate::feed::BEAT;
use crate::guard::Guard;
use crate::page;
use crate::stage::{ClockOrder, Refusal, Shared, Stage, Subject, Wish};

const CONNECTIONS_MAX: usize = 64;
const BODY_MAX: usize = 256 << 10;
const IDLE_MAX: Duration = Duration::from_secs(120);
/// A stream whose reader has taken nothing for this long is cut; beats come in between.
const STALL_MAX: Duration = Duration::from_secs(35);
/// How long a button waits for what it does; then it goes on beside.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often the world is asked what is new, while somebody looks and while nobody does.
const GLANCE: Duration = Duration::from_millis(200);
const LOG_LINES_MAX: usize = 2_000;

const _: () = assert!(BEAT.as_secs() * 3 < STALL_MAX.as_secs(), "a reader may be late with some beats");

/// Where and with what secrets it listens.
#[derive(Clone, Debug)]
pub struct Settings {
    pub address: SocketAddr,
    /// Known to the page alone; from the system's randomness.
    pub token: String,
}

/// Runs until dropped.
pub struct Server {
    address: SocketAddr,
    stage: Stage,
    ends: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    pub fn start(settings: &Settings, stage: Stage) -> anyhow::Result<Server> {
        let wanted = settings.address;
        if !wanted.ip().is_loopback() {
            bail!(
                "show the page on {wanted}: not a loopback address; who reaches it can break the world\nnext: use --page=127.0.0.1:0"
            );
        }
        let listener = TcpListener::bind(wanted).with_context(|| format!("show the page on {wanted}"))?;
        listener.set_nonblocking(true).context("make the page's socket wait for nobody")?;
        let address = listener.local_addr().context("read the bound address")?;
        let (ends, ended) = oneshot::channel();
        let guard = Guard { port: address.port(), token: settings.token.clone() };
        let house = Arc::new(House { stage: Arc::new(stage.clone()), guard });
        // Whoever calls may be on a runtime, which knows no other beside it: this one is made where it runs.
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().name("page".to_owned()).spawn(move || {
            let prepared = prepare(listener);
            let failure = prepared.as_ref().err().map(ToString::to_string);
            if tell.send(failure).is_err() {
                return;
            }
            let Ok((runtime, listener)) = prepared else { return };
            runtime.block_on(async {
                tokio::select! {
                    () = house.clone().serve(listener) => {}
                    () = house.glance() => {}
                    _ = ended => {}
                }
            });
            // What is under way ends with it.
            runtime.shutdown_background();
        })?;
        if let Some(failure) = told.recv().context("start the page's thread")? {
            bail!("start the page's server: {failure}");
        }
        Ok(Server { address, stage, ends: Some(ends), thread: Some(thread) })
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stage.feed.close();
        drop(self.ends.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was told by the panic itself.
            let _ = thread.join();
        }
    }
}

fn prepare(listener: TcpListener) -> std::io::Result<(tokio::runtime::Runtime, tokio::net::TcpListener)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = {
        let _on_it = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    Ok((runtime, listener))
}

type Body = BoxBody<Bytes, Infallible>;

struct House {
    stage: Shared,
    guard: Guard,
}

impl House {
    async fn glance(&self) {
        loop {
            tokio::time::sleep(GLANCE).await;
            self.stage.glance();
        }
    }

    async fn serve(self: Arc<Self>, listener: tokio::net::TcpListener) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors, mostly: let some go.
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let house = self.clone();
            tokio::spawn(async move {
                let pulse = Pulse::default();
                let service = service_fn(|request| {
                    let (house, pulse) = (house.clone(), pulse.clone());
                    async move { Ok::<_, Infallible>(house.answer(request, &pulse).await) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(IDLE_MAX)
                    .max_buf_size(64 << 10)
                    .serve_connection(TokioIo::new(stream), service);
                // Errors are browsers that went away.
                tokio::select! {
                    _ = connection => {}
                    () = pulse.stops() => {}
                }
                drop(slot);
            });
        }
    }

    async fn answer(&self, request: Request<Incoming>, pulse: &Pulse) -> Response<Body> {
        let (head, body) = request.into_parts();
        let answer = match self.guard.check(&head) {
            Err(refusal) => Err(refusal),
            Ok(()) => match Limited::new(body, BODY_MAX).collect().await {
                Err(_) => {
                    Err(Refusal::new(413, format!("expected a whole body of at most {BODY_MAX} bytes")))
                }
                Ok(body) => self.act(&head, &body.to_bytes(), pulse).await,
            },
        };
        let mut response = answer.unwrap_or_else(|refusal| {
            let code = StatusCode::from_u16(refusal.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            whole(code, "application/json", refusal.to_json().to_string())
        });
        let headers = response.headers_mut();
        let fixed = [
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        ];
        for (name, value) in fixed {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }

    async fn act(&self, head: &Parts, body: &[u8], pulse: &Pulse) -> Result<Response<Body>, Refusal> {
        let query = Query::of(head);
        match (head.method.as_str(), head.uri.path()) {
            ("GET" | "HEAD", "/") => self.page(),
            ("GET", "/v1/stream") => Ok(self.stream(head, pulse)),
            ("GET", "/v1/change") => Ok(json_body(&self.stage.history.change(query.number("revision")?)?)),
            ("GET", "/v1/object") => {
                let revision = query.get("revision").map(|_| query.number("revision")).transpose()?;
                Ok(json_body(&self.stage.history.object(&query.need("key")?, revision)?))
            }
            ("GET", "/v1/log") => {
                let of = match query.get("pod") {
                    None => Subject::Operator,
                    Some(pod) => match pod.split_once('/') {
                        Some((namespace, name)) => {
                            Subject::Pod { namespace: namespace.to_owned(), name: name.to_owned() }
                        }
                        None => return Err(Refusal::new(400, "pod: expected namespace/name")),
                    },
                };
                let lines = query.get("lines").and_then(|n| n.parse().ok()).unwrap_or(200).min(LOG_LINES_MAX);
                Ok(json_body(&self.order(Wish::Log { of, lines }).await?))
            }
            ("GET", "/v1/scenario") => {
                let answer = self.order(Wish::Scenario).await?;
                let mut response = whole(
                    StatusCode::OK,
                    "application/yaml",
                    answer["text"].as_str().unwrap_or_default().to_owned(),
                );
                let name = HeaderValue::from_static("attachment; filename=\"session.yaml\"");
                response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
                Ok(response)
            }
            ("POST", "/v1/steps") => {
                let text =
                    std::str::from_utf8(body).map_err(|_| Refusal::new(400, "the step is not UTF-8"))?;
                Ok(json_body(&self.order(Wish::Step(text.to_owned())).await?))
            }
            ("POST", "/v1/clock") => {
                let value = serde_json::from_slice(body)
                    .map_err(|why| Refusal::new(400, format!("no JSON: {why}")))?;
                Ok(json_body(&self.order(Wish::Clock(ClockOrder::read(&value)?)).await?))
            }
            (
                _,
                "/" | "/v1/stream" | "/v1/change" | "/v1/object" | "/v1/log" | "/v1/scenario" | "/v1/steps"
                | "/v1/clock",
            ) => Err(Refusal::new(405, format!("{} is not possible here", head.method))),
            (_, path) => Err(Refusal::new(404, format!("there is nothing at {path}"))),
        }
    }

    fn page(&self) -> Result<Response<Body>, Refusal> {
        // As good as the token, which stands in the same page.
        let nonce: String = self.guard.token.chars().rev().collect();
        let mut response =
            whole(StatusCode::OK, "text/html; charset=utf-8", page::html(&self.guard.token, &nonce));
        let policy = HeaderValue::from_str(&page::policy(&nonce))
            .map_err(|_| Refusal::new(500, "the token is no text for a header"))?;
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        Ok(response)
    }

    fn stream(&self, head: &Parts, pulse: &Pulse) -> Response<Body> {
        let last_id = head.headers.get("last-event-id").and_then(|id| id.to_str().ok());
        let reader = self.stage.feed.read(last_id);
        // The world may have something to tell that nobody asked for so far.
        self.stage.glance();
        pulse.begins();
        let messages = stream::unfold((reader, pulse.clone()), |(mut reader, pulse)| async move {
            pulse.beats();
            let text = reader.next().await?;
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from(text))), (reader, pulse)))
        });
        let mut response = Response::new(BodyExt::boxed(StreamBody::new(messages)));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        response
    }

    async fn order(&self, wish: Wish) -> Result<Value, Refusal> {
        let under_way = json!({"underway": "it takes longer; what comes of it is told when it ends"});
        self.stage.order(wish, PATIENCE).await.unwrap_or(Ok(under_way))
    }
}

/// Whether somebody takes what a stream sends: the body is asked for more as soon as the socket takes the last of it.
#[derive(Clone)]
struct Pulse {
    start: Instant,
    /// Milliseconds since the start, plus 1; 0 before a stream begins.
    last: Arc<AtomicU64>,
}

impl Default for Pulse {
    fn default() -> Pulse {
        Pulse { start: Instant::now(), last: Arc::default() }
    }
}

impl Pulse {
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    fn begins(&self) {
        self.beats();
    }

    fn beats(&self) {
        self.last.store(self.now(), Ordering::Relaxed);
    }

    /// Returns when a stream has stalled.
    async fn stops(&self) {
        let stall_max = u64::try_from(STALL_MAX.as_millis()).unwrap_or(u64::MAX);
        loop {
            tokio::time::sleep(BEAT).await;
            let last = self.last.load(Ordering::Relaxed);
            if last > 0 && self.now() - last > stall_max {
                return;
            }
        }
    }
}

fn whole(code: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(text)).boxed());
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn json_body(value: &Value) -> Response<Body> {
    whole(StatusCode::OK, "application/json", value.to_string())
}

/// The query of an address, decoded.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(head: &Parts) -> Query {
        let pairs = head.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decoded(name)?, decoded(value)?))
        };
        Query(pairs.filter_map(pair).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn need(&self, name: &str) -> Result<String, Refusal> {
        self.get(name).map(str::to_owned).ok_or_else(|| Refusal::new(400, format!("say which {name}")))
    }

    fn number(&self, name: &str) -> Result<u64, Refusal> {
        self.need(name)?.parse().map_err(|_| Refusal::new(400, format!("{name}: expected a number")))
    }
}

/// None for what is no UTF-8.
fn decoded(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    String::from_utf8(out).ok()
}
