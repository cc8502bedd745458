//! The control endpoint on a socket. It listens on loopback addresses only, unless a pod is told otherwise, and takes no requests that a web page could
//! make: a browser names its page in `Origin`, or the name it was led here by in `Host`. Bounded: connections, bodies,
//! the time of an exchange.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Clusters, act, refuse};

const BODY_MAX: usize = 256 << 10;
const CONNECTIONS_MAX: usize = 16;
/// Of one connection, from its first byte to its last.
const EXCHANGE_MAX: Duration = Duration::from_secs(10);

/// A bound socket that does not answer yet.
pub struct ControlSocket {
    listener: TcpListener,
    url: String,
}

impl ControlSocket {
    /// # Errors
    /// The address is not on this machine only, or taken.
    pub async fn bind(address: SocketAddr) -> anyhow::Result<ControlSocket> {
        if !address.ip().is_loopback() {
            bail!(
                "bind --control {address}: not a loopback address; who reaches it can break the clusters. Use 127.0.0.1:0"
            );
        }
        ControlSocket::bind_open(address).await
    }

    /// At any address: a pod's own is in a network that its cluster guards.
    ///
    /// # Errors
    /// The address is taken.
    pub async fn bind_open(address: SocketAddr) -> anyhow::Result<ControlSocket> {
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("bind --control {address}"))?;
        let url = format!("http://{}", listener.local_addr().context("read the bound address")?);
        Ok(ControlSocket { listener, url })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Until dropped.
    pub async fn serve(self, clusters: Clusters) {
        let own = self.listener.local_addr().map(|address| address.ip()).ok();
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            let Ok((stream, _)) = self.listener.accept().await else {
                // Out of descriptors, mostly: let some go.
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let clusters = clusters.clone();
            connections.spawn(async move {
                let service = service_fn(|request| answer(request, &clusters, own));
                let connection = hyper::server::conn::http1::Builder::new()
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
}

async fn answer(
    request: Request<Incoming>,
    clusters: &Clusters,
    own: Option<IpAddr>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let (code, value) = match foreign(&head, own) {
        Some(why) => refuse(StatusCode::FORBIDDEN, &why),
        None => match Limited::new(body, BODY_MAX).collect().await {
            Ok(body) => act(clusters, &head.method, head.uri.path(), &body.to_bytes()),
            Err(_) => {
                let why = format!("expected a whole body of at most {BODY_MAX} bytes");
                refuse(StatusCode::PAYLOAD_TOO_LARGE, &why)
            }
        },
    };
    let mut response = Response::new(Full::new(Bytes::from(format!("{value:#}\n"))));
    *response.status_mut() = code;
    let kind = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

/// Why a request may come from a web page, if so.
fn foreign(head: &http::request::Parts, own: Option<IpAddr>) -> Option<String> {
    let text = |name| head.headers.get(name).and_then(|v: &header::HeaderValue| v.to_str().ok());
    if let Some(origin) = text(header::ORIGIN) {
        return Some(format!("requests of web pages are not taken (Origin: {origin})"));
    }
    let host = text(header::HOST).unwrap_or_default();
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit());
    let name = host.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(host, |(name, _)| name);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let is_here = |ip: IpAddr| ip.is_loopback() || own == Some(ip);
    let is_here = name == "localhost" || name.parse().is_ok_and(is_here);
    (!is_here).then(|| format!("ask by address, such as 127.0.0.1, or as localhost, not as {host:?}"))
}
