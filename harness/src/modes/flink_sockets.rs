//! The operator's way to Flink over real sockets. What the simulated cluster's DNS and kube-proxy would decide is asked
//! of the cluster before each connection: an accepting JobManager has a listener of its own, a port where nothing
//! listens is one that refuses, and a process that stands still is one that accepts and never answers.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use drey_operator::flink::{
    BODY_BYTES_MAX, DirectTransport, FlinkTransport, Target, TransportError, Unanswered,
};
use fake_flink::Pace;
use fake_kube::{Cluster, DialError};
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::{AbortHandle, JoinSet};

use super::Cut;
use crate::world::ScenarioClock;

/// Cheap to clone; the sockets close with the last clone.
#[derive(Clone)]
pub struct FlinkSockets {
    direct: DirectTransport,
    shared: Arc<Shared>,
}

struct Shared {
    cluster: Cluster,
    clock: ScenarioClock,
    /// One listener per pod and port, kept for the life of the world: pods are few and addresses come back.
    doors: Mutex<BTreeMap<(String, u16), Door>>,
    /// Bound and never listening: the kernel refuses, and nobody else can take the port.
    refusing: (TcpSocket, SocketAddr),
    /// Listening and never accepting.
    silent: (std::net::TcpListener, SocketAddr),
}

struct Door {
    address: SocketAddr,
    task: AbortHandle,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const ANY_PORT: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

impl FlinkSockets {
    /// Call it inside the runtime that drives the world.
    pub fn open(cluster: Cluster, clock: ScenarioClock) -> anyhow::Result<FlinkSockets> {
        let open = || -> std::io::Result<_> {
            let refusing = TcpSocket::new_v4()?;
            refusing.bind(SocketAddr::from(ANY_PORT))?;
            let refusing = (refusing.local_addr()?, refusing);
            let silent = std::net::TcpListener::bind(ANY_PORT)?;
            Ok(((refusing.1, refusing.0), (silent.local_addr()?, silent)))
        };
        let (refusing, silent) = open().context("open sockets on 127.0.0.1")?;
        let shared =
            Shared { cluster, clock, doors: Mutex::default(), refusing, silent: (silent.1, silent.0) };
        // Targets arrive here as addresses already.
        let direct = DirectTransport::with_authority(|target| format!("{}:{}", target.service, target.port));
        Ok(FlinkSockets { direct, shared: Arc::new(shared) })
    }
}

impl FlinkTransport for FlinkSockets {
    fn call(
        &self,
        target: &Target,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<Response<Bytes>, TransportError>> {
        let target = target.clone();
        let address = match Shared::address(&self.shared, &target) {
            Ok(address) => address,
            Err(error) => return Box::pin(async move { Err(error) }),
        };
        let there =
            Target { namespace: String::new(), service: address.ip().to_string(), port: address.port() };
        let call = self.direct.call(&there, request, timeout);
        Box::pin(async move { call.await.map_err(|error| TransportError { target, ..error }) })
    }
}

impl Shared {
    /// The socket that behaves as the cluster's network would at this moment.
    fn address(this: &Arc<Shared>, target: &Target) -> Result<SocketAddr, TransportError> {
        match this.cluster.connect(&target.host(), target.port) {
            Ok((ip, port)) => Shared::door(this, ip, port).map_err(|error| {
                TransportError::new(Unanswered::Protocol, target, format!("open a socket: {error}"))
            }),
            Err(DialError::NoSuchHost) => {
                Err(TransportError::new(Unanswered::Dns, target, "no such service"))
            }
            Err(DialError::Refused) => Ok(this.refusing.1),
            Err(DialError::Unreachable) => Ok(this.silent.1),
        }
    }

    fn door(this: &Arc<Shared>, ip: String, port: u16) -> std::io::Result<SocketAddr> {
        let mut doors = this.doors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(door) = doors.get(&(ip.clone(), port)) {
            return Ok(door.address);
        }
        let listener = std::net::TcpListener::bind(ANY_PORT)?;
        listener.set_nonblocking(true)?;
        let (address, listener) = (listener.local_addr()?, TcpListener::from_std(listener)?);
        let house = House { cluster: this.cluster.clone(), clock: this.clock, ip: ip.clone(), port };
        let task = tokio::spawn(house.serve(listener)).abort_handle();
        doors.insert((ip, port), Door { address, task });
        Ok(address)
    }
}

/// What stands behind one listener.
#[derive(Clone)]
struct House {
    cluster: Cluster,
    clock: ScenarioClock,
    ip: String,
    port: u16,
}

impl House {
    async fn serve(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors, mostly: let some go.
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            // Small answers must not wait for the acknowledgement of earlier ones.
            let _ = stream.set_nodelay(true);
            let house = self.clone();
            connections.spawn(async move {
                let service = service_fn(move |request| house.clone().answer(request));
                // An error here is a caller that went away, or a cut that was meant.
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Cut> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|_| Cut)?.to_bytes();
        let answer = self.cluster.dial(&self.ip, self.port, Request::from_parts(head, body));
        let response = match answer {
            Ok(response) => response,
            // Since the connection was made the process has died.
            Err(DialError::NoSuchHost | DialError::Refused) => return Err(Cut),
            Err(DialError::Unreachable) => match std::future::pending::<Infallible>().await {},
        };
        handed_over(response, self.clock).await
    }
}

/// An answer of the model at the pace it asks for; some are lost on the way.
pub(super) async fn handed_over(
    response: Response<Bytes>,
    clock: ScenarioClock,
) -> Result<Response<Full<Bytes>>, Cut> {
    match response.extensions().get::<Pace>().copied() {
        Some(Pace::Lost) => return Err(Cut),
        Some(Pace::Delayed(by)) => clock.sleep(by).await,
        None => {}
    }
    let (mut head, body) = response.into_parts();
    // The length is the body's; hyper writes it.
    head.headers.remove(http::header::CONTENT_LENGTH);
    Ok(Response::from_parts(head, Full::new(body)))
}
