//! HTTP/1.1 on a socket, in front of one cluster or of many by host name. Bounded: connections, heads, bodies, uploads,
//! and how long a client may take over each.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::hosted::{Door, Hosted};
use super::spool::{self, TooLarge};
use super::stubs::{Drop as Dropped, Then};
use crate::Pace;

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Further clients wait in the kernel's queue.
    pub connections: usize,
    /// Bytes of one request's head.
    pub head: usize,
    /// `rest.server.max-content-length`.
    pub body: usize,
    /// A form is written to disk as it comes; this is how much.
    pub upload: u64,
    /// How long a connection may be silent: between requests, and within one.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 1024,
            head: 64 << 10,
            body: 4 << 20,
            upload: 512 << 20,
            idle: Duration::from_secs(120),
        }
    }
}

/// Answers under way (of `DELETE /cluster`) may take so long after the end.
const DRAIN_MAX: Duration = Duration::from_millis(200);

/// Who answers at a listener.
#[derive(Clone)]
pub struct Front(Arc<Who>);

enum Who {
    One(Hosted),
    /// By host name, or its first label: `orders` for `orders.localhost:8081`.
    ByName(BTreeMap<String, Hosted>),
}

impl Front {
    pub fn one(hosted: Hosted) -> Front {
        Front(Arc::new(Who::One(hosted)))
    }

    pub fn by_name(clusters: BTreeMap<String, Hosted>) -> Front {
        Front(Arc::new(Who::ByName(clusters)))
    }

    fn pick(&self, head: &http::request::Parts) -> Result<&Hosted, String> {
        match &*self.0 {
            Who::One(hosted) => Ok(hosted),
            Who::ByName(clusters) => {
                let host = host_name(head);
                let label = host.split('.').next().unwrap_or_default();
                let found = clusters.get(host).or_else(|| clusters.get(label));
                found.ok_or_else(|| no_such_host(host, clusters.keys()))
            }
        }
    }

    /// The kernel keeps clients waiting while a lone cluster starts or hangs.
    async fn accepts(&self) {
        if let Who::One(hosted) = &*self.0 {
            // The cluster lives in `self`, and with it the sender.
            let _ = hosted.door().wait_for(|door| matches!(door, Door::Open | Door::Gone)).await;
        }
    }
}

fn host_name(head: &http::request::Parts) -> &str {
    let named = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = head.uri.host().or(named).unwrap_or_default();
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

const NAMES_SHOWN: usize = 20;

fn no_such_host<'a>(host: &str, names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.take(NAMES_SHOWN).map(String::as_str).collect();
    format!(
        "No cluster is called {host:?}. Ask by host name, as http://NAME.localhost:PORT/; there are {}.",
        names.join(", ")
    )
}

fn refuse(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(json!({"errors": [text]}).to_string())));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("application/json; charset=UTF-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Serves until `ends` completes, and gives what it gave.
pub async fn listen<T>(
    listener: TcpListener,
    front: Front,
    limits: Limits,
    ends: impl Future<Output = T>,
) -> T {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    let mut ends = std::pin::pin!(ends);
    let end = loop {
        while connections.try_join_next().is_some() {}
        let (slot, accepted) = tokio::select! {
            biased;
            end = &mut ends => break end,
            accepted = async {
                front.accepts().await;
                (slots.clone().acquire_owned().await, listener.accept().await)
            } => accepted,
        };
        let (Ok(slot), Ok((stream, _))) = (slot, accepted) else {
            // Out of descriptors, mostly: let some go.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        connections.spawn(connection(stream, front.clone(), limits, slot));
    };
    let drained = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(DRAIN_MAX, drained).await;
    end
}

async fn connection(stream: TcpStream, front: Front, limits: Limits, _slot: OwnedSemaphorePermit) {
    // Small answers must not wait for the acknowledgement of earlier ones.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(request, &front, limits));
    // A client that goes away in the middle is its own business.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_buf_size(limits.head)
        // Real ones have none.
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// The answer is lost on purpose: the connection is cut.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cut the connection as asked for by a fault")
    }
}

impl std::error::Error for Cut {}

async fn answer(
    request: Request<Incoming>,
    front: &Front,
    limits: Limits,
) -> Result<Response<Full<Bytes>>, Cut> {
    let (head, body) = request.into_parts();
    let hosted = match front.pick(&head) {
        Ok(hosted) => hosted,
        Err(why) => return Ok(refuse(StatusCode::NOT_FOUND, &why)),
    };
    // Bodies of GET are read too: the real server parses them.
    let request = match spool::read(head, body, &limits).await {
        Ok(request) => request,
        Err(TooLarge { max }) => {
            let text =
                format!("content length exceeded {max} bytes. Try to raise [rest.server.max-content-length]");
            return Ok(refuse(StatusCode::PAYLOAD_TOO_LARGE, &text));
        }
    };
    if hosted.door_now() != Door::Open {
        let mut door = hosted.door();
        match door.wait_for(|door| matches!(door, Door::Open | Door::Gone)).await {
            Ok(door) if *door == Door::Open => {}
            _ => return Err(Cut),
        }
    }
    through_stubs(request, hosted).await
}

async fn through_stubs(request: Request<Bytes>, hosted: &Hosted) -> Result<Response<Full<Bytes>>, Cut> {
    let clock = hosted.clock();
    let Some(struck) = hosted.stubs().judge(&request, clock.now()) else {
        return of_model(request, hosted).await;
    };
    // Even a wait of no time is a turn of the timer.
    if !struck.delay.is_zero() && !matches!(struck.then, Then::Drop(Dropped::After)) {
        tokio::time::sleep(clock.real(struck.delay)).await;
    }
    match struck.then {
        Then::Model => of_model(request, hosted).await,
        Then::Respond(response) => Ok(response.map(Full::new)),
        Then::Drop(Dropped::Never) => std::future::pending().await,
        Then::Drop(Dropped::Before) => Err(Cut),
        Then::Drop(Dropped::After) => {
            hosted.answer(request).await;
            Err(Cut)
        }
    }
}

async fn of_model(request: Request<Bytes>, hosted: &Hosted) -> Result<Response<Full<Bytes>>, Cut> {
    let response = hosted.answer(request).await;
    match response.extensions().get::<Pace>().copied() {
        Some(Pace::Delayed(by)) => tokio::time::sleep(hosted.clock().real(by)).await,
        Some(Pace::Lost) => return Err(Cut),
        None => {}
    }
    Ok(response.map(Full::new))
}
