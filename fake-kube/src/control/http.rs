//! The control endpoint: a small HTTP API in JSON.
//!
//! It listens on loopback addresses only, and takes no requests that a web page could make: a browser names its page in
//! `Origin`, or the name it was led here by in `Host`. Bounded: connections, bodies, the time a request may take.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::reading::{Complaint, Fields, duration};
use super::{PodFaults, RequestFaults, TimeControl};

const BODY_MAX: usize = 64 << 10;
const CONNECTIONS_MAX: usize = 16;
/// Of one connection, from its first byte to its last.
const EXCHANGE_MAX: Duration = Duration::from_secs(10);
/// A century either way is enough to outlast every certificate.
const JUMP_MAX: SignedDuration = SignedDuration::from_hours(24 * 365 * 100);

/// What can be set.
#[derive(Clone)]
pub struct Control {
    pub faults: RequestFaults,
    /// None where time is somebody else's.
    pub time: Option<Arc<dyn TimeControl>>,
    /// None where pods are somebody else's.
    pub pods: Option<PodFaults>,
}

/// A bound socket that does not answer yet: its address can be told before what it controls is there.
pub struct ControlSocket {
    listener: TcpListener,
    url: String,
}

/// Runs until dropped.
pub struct Controlling(tokio::task::JoinHandle<()>);

impl Drop for Controlling {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl ControlSocket {
    pub async fn bind(address: SocketAddr) -> anyhow::Result<ControlSocket> {
        if !address.ip().is_loopback() {
            bail!(
                "--control {address}: not a loopback address; who reaches it can break the cluster. Use 127.0.0.1:0"
            );
        }
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("bind --control {address}"))?;
        let url = format!("http://{}", listener.local_addr().context("read the bound address")?);
        Ok(ControlSocket { listener, url })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn serve(self, control: Control) -> Controlling {
        Controlling(tokio::spawn(accept(self.listener, control)))
    }
}

async fn accept(listener: TcpListener, control: Control) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, mostly: let some go.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let control = control.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let control = control.clone();
                async move { Ok::<_, Infallible>(control.answer(request).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .max_buf_size(16 << 10)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            // Whoever is slower than that is cut off; errors are clients that went away.
            let _ = tokio::time::timeout(EXCHANGE_MAX, connection).await;
            drop(slot);
        });
    }
}

type Answer = (StatusCode, Value);

const PATHS: [&str; 5] = ["/v1/faults", "/v1/faults/{id or name}", "/v1/clock", "/v1/pods", "/v1/pods/{id}"];

impl Control {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let (code, value) = match foreign(&head) {
            Some(why) => refuse(StatusCode::FORBIDDEN, &Complaint::new("", why)),
            None => match Limited::new(body, BODY_MAX).collect().await {
                Err(_) => {
                    let text = format!("expected a whole body of at most {BODY_MAX} bytes");
                    refuse(StatusCode::PAYLOAD_TOO_LARGE, &Complaint::new("", text))
                }
                Ok(body) => self.act(&head.method, head.uri.path(), &body.to_bytes()),
            },
        };
        let mut text = serde_json::to_vec_pretty(&value).unwrap_or_default();
        text.push(b'\n');
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = code;
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        response
    }

    /// What a request does; without a socket, for tests and other carriers.
    pub fn act(&self, method: &Method, path: &str, body: &[u8]) -> Answer {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (method.as_str(), parts.as_slice()) {
            ("GET", [""]) => (StatusCode::OK, json!({"paths": PATHS})),
            ("GET", ["v1", "faults"]) => (StatusCode::OK, json!({"faults": self.faults.list()})),
            ("POST", ["v1", "faults"]) => {
                let added = json_of(body).and_then(|value| self.faults.add(&value));
                done(StatusCode::CREATED, added, StatusCode::BAD_REQUEST)
            }
            ("DELETE", ["v1", "faults"]) => (StatusCode::OK, json!({"removed": self.faults.clear()})),
            ("GET", ["v1", "faults", which]) => {
                done(StatusCode::OK, self.faults.get(which), StatusCode::NOT_FOUND)
            }
            ("DELETE", ["v1", "faults", which]) => {
                done(StatusCode::OK, self.faults.remove(which), StatusCode::NOT_FOUND)
            }
            ("GET", ["v1", "clock"]) => {
                done(StatusCode::OK, self.clock().map(show_clock), StatusCode::NOT_IMPLEMENTED)
            }
            ("POST", ["v1", "clock"]) => match self.clock() {
                Err(why) => refuse(StatusCode::NOT_IMPLEMENTED, &why),
                Ok(time) => {
                    let moved = json_of(body).and_then(|value| set_clock(time, &value));
                    done(StatusCode::OK, moved, StatusCode::BAD_REQUEST)
                }
            },
            ("GET", ["v1", "pods"]) => {
                let listed = self.pods().map(|pods| json!({"faults": pods.list()}));
                done(StatusCode::OK, listed, StatusCode::NOT_IMPLEMENTED)
            }
            ("POST", ["v1", "pods"]) => match (self.pods(), json_of(body)) {
                (Err(why), _) => refuse(StatusCode::NOT_IMPLEMENTED, &why),
                (Ok(pods), value) => {
                    let added = value.and_then(|value| pods.add(&value));
                    done(StatusCode::CREATED, added, StatusCode::BAD_REQUEST)
                }
            },
            ("DELETE", ["v1", "pods", which]) => {
                let removed = self.pods().and_then(|pods| pods.remove(which));
                done(StatusCode::OK, removed, StatusCode::NOT_FOUND)
            }
            (_, [""] | ["v1", "faults" | "clock" | "pods"] | ["v1", "faults" | "pods", _]) => {
                let text = format!(
                    "{method} is not possible here; read with GET, add with POST, remove with DELETE"
                );
                refuse(StatusCode::METHOD_NOT_ALLOWED, &Complaint::new("", text))
            }
            _ => refuse(StatusCode::NOT_FOUND, &Complaint::word("", "path", path, PATHS)),
        }
    }

    fn pods(&self) -> Result<&PodFaults, Complaint> {
        let why = "pods of this world are broken by the steps of its scenario and its page";
        self.pods.as_ref().ok_or_else(|| Complaint::new("", why))
    }

    fn clock(&self) -> Result<&dyn TimeControl, Complaint> {
        let why = "the clock of this world cannot be moved; --time-scale sets its pace at the start";
        self.time.as_deref().ok_or_else(|| Complaint::new("", why))
    }
}

fn done(code: StatusCode, result: Result<Value, Complaint>, otherwise: StatusCode) -> Answer {
    match result {
        Ok(value) => (code, value),
        Err(why) => refuse(otherwise, &why),
    }
}

fn refuse(code: StatusCode, why: &Complaint) -> Answer {
    (code, json!({"error": why.to_json()}))
}

fn json_of(body: &[u8]) -> Result<Value, Complaint> {
    serde_json::from_slice(body).map_err(|e| Complaint::new("", format!("the body is no JSON: {e}")))
}

fn show_clock(time: &dyn TimeControl) -> Value {
    json!({"now": time.now().to_string(), "scale": time.scale()})
}

fn set_clock(time: &dyn TimeControl, value: &Value) -> Result<Value, Complaint> {
    let fields = Fields::of(value, "", &["jump", "scale"])?;
    if let Some(scale) = fields.number("scale", 0.001, 10_000.0)? {
        time.set_scale(scale);
    }
    if let Some(text) = fields.text("jump")? {
        let by = duration(text).filter(|d| d.abs() <= JUMP_MAX).ok_or_else(|| {
            Complaint::new(
                "jump",
                format!("{text:?} is no duration such as 10m or -30s, of a century at most"),
            )
        })?;
        // Leaves room for what is reckoned from now on.
        let bounds = ["1971-01-01T00:00:00Z", "2500-01-01T00:00:00Z"].map(|t| t.parse::<Timestamp>());
        let target = time.now().saturating_add(by).unwrap_or(Timestamp::MAX);
        if let [Ok(first), Ok(last)] = bounds
            && !(first..last).contains(&target)
        {
            return Err(Complaint::new(
                "jump",
                format!("{target} is too far; clocks go from {first} to {last}"),
            ));
        }
        time.jump(by);
    }
    Ok(show_clock(time))
}

/// Why a request may come from a web page, if so.
fn foreign(head: &http::request::Parts) -> Option<String> {
    let text = |name| head.headers.get(name).and_then(|v: &header::HeaderValue| v.to_str().ok());
    if let Some(origin) = text(header::ORIGIN) {
        return Some(format!("requests of web pages are not taken (Origin: {origin})"));
    }
    let host = text(header::HOST).unwrap_or("");
    let name = host
        .rsplit_once(':')
        .map_or(host, |(name, port)| if port.bytes().all(|b| b.is_ascii_digit()) { name } else { host });
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let is_here = name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    (!is_here).then(|| format!("ask by address, such as 127.0.0.1, or as localhost, not as {host:?}"))
}
