//! The API server on a socket: plain HTTP or TLS, HTTP/1.1, HTTP/2 and WebSocket, with a kubeconfig for clients.
//! Bounded: connections, and how long each may take over a TLS handshake, the next request and a body; the size of bodies
//! is bounded by the API server itself.
//! Leaves out authorization (the API server's matter) and client certificates signed by others.

mod audit;
mod dress;
mod identity;
mod kubeconfig;
mod metrics;
mod patience;
mod proxy;
mod streams;
mod tls;
mod upgrade;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use fake_kube_apiserver::{ApiServer, ConnectionCut, Handshake, RequestInfo, Status, User};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt;

pub use audit::AuditLog;
pub use identity::Identities;
pub use kubeconfig::CONTROL_EXTENSION;
pub use patience::Patience;
pub use proxy::ServiceProxy;
pub use tls::Authority;

use crate::state::Journal;
use metrics::Metrics;
use patience::{Activity, Answering, Timely};

const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Bytes of one request's head.
const HEADERS_MAX: u32 = 128 << 10;
/// How long open requests may take after the shutdown began.
const DRAIN_MAX: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub struct ListenOptions {
    pub bind: SocketAddr,
    /// Anybody who reaches the port is an administrator unless tokens say otherwise: other addresses than the
    /// loopback must be wanted.
    pub insecure_bind: bool,
    pub tls: bool,
    /// Where to write a kubeconfig.
    pub kubeconfig: Option<PathBuf>,
    /// Where `drey fault` finds this server's control endpoint: told in the kubeconfig.
    pub control: Option<String>,
    pub identities: Identities,
    pub connections_max: usize,
    /// None: for ever, where time jumps.
    pub patience: Option<Patience>,
    /// Leads to the processes behind Services, once it has a cluster.
    pub proxy: ServiceProxy,
    /// Writes are answered once they are in this file.
    pub journal: Option<Journal>,
    /// Every request leaves a line here.
    pub audit: Option<AuditLog>,
}

impl Default for ListenOptions {
    fn default() -> ListenOptions {
        ListenOptions {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            insecure_bind: false,
            tls: true,
            kubeconfig: None,
            control: None,
            identities: Identities::default(),
            connections_max: 1024,
            patience: Some(Patience::default()),
            proxy: ServiceProxy::default(),
            journal: None,
            audit: None,
        }
    }
}

/// A listener that runs; dropping it closes everything at once.
pub struct Listening {
    pub addr: SocketAddr,
    pub url: String,
    /// The kubeconfig as text, also when no file was asked for.
    pub kubeconfig: String,
    /// PEM of the CA that signed the server's certificate; empty for plain HTTP.
    pub ca: String,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Listening {
    /// Stops accepting, lets open requests end, closes watches.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        // The task bounds itself by DRAIN_MAX; a panic inside it has been printed already.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub async fn listen(api: ApiServer, options: ListenOptions) -> anyhow::Result<Listening> {
    // With tokens or roles over TLS nobody is an administrator for having reached the port.
    let guarded = options.tls && (options.identities.first_token().is_some() || api.enforces_rbac());
    if !options.bind.ip().is_loopback() && !options.insecure_bind && !guarded {
        bail!(
            "bind {}: not a loopback address; allow it with insecure_bind (--insecure-bind), or ask for tokens (--token-auth)",
            options.bind
        );
    }
    let listener = TcpListener::bind(options.bind).await.with_context(|| format!("bind {}", options.bind))?;
    let addr = listener.local_addr().context("read the bound address")?;
    let authority = options.tls.then(|| Authority::new(addr.ip())).transpose()?;
    let scheme = if options.tls { "https" } else { "http" };
    let url = format!("{scheme}://{addr}");
    let ca = authority.as_ref().map(|a| a.ca_pem.clone()).unwrap_or_default();
    let client = authority.as_ref().map(|a| a.client("drey-admin", "system:masters")).transpose()?;
    let token = options.identities.first_token();
    let config = kubeconfig::render(&url, &ca, token, client.as_ref(), options.control.as_deref());
    if let Some(path) = &options.kubeconfig {
        kubeconfig::write(path, &config)?;
    }
    let acceptor = authority.map(|a| tokio_rustls::TlsAcceptor::from(a.server));
    let (stop, stopped) = watch::channel(false);
    let ListenOptions { identities, proxy, journal, audit, patience, connections_max, .. } = options;
    let shared = Arc::new(Shared {
        api,
        identities,
        proxy,
        journal,
        audit,
        metrics: Metrics::default(),
        patience,
        acceptor,
    });
    let task = tokio::spawn(accept(listener, shared, connections_max, stopped));
    Ok(Listening { addr, url, kubeconfig: config, ca, stop, task })
}

struct Shared {
    api: ApiServer,
    identities: Identities,
    proxy: ServiceProxy,
    journal: Option<Journal>,
    audit: Option<AuditLog>,
    metrics: Metrics,
    patience: Option<Patience>,
    acceptor: Option<tokio_rustls::TlsAcceptor>,
}

impl Shared {
    async fn answer(
        &self,
        request: http::Request<Incoming>,
        certified: Option<User>,
        hold: upgrade::Hold,
    ) -> Result<http::Response<identity::Body>, ConnectionCut> {
        let user = self.identities.user(request.headers(), certified, &self.api);
        let id = dress::audit_id(request.headers());
        let info = RequestInfo::of(request.method(), request.uri());
        let log = |log: &AuditLog| log.begin(&id, &info, &request, user.as_ref().ok(), self.api.now());
        let entry = self.audit.as_ref().map(log);
        let measured = self.metrics.begin(info, &request);
        let mut answered = match user {
            Ok(user) => self.answer_to(user, request, hold).await,
            Err(status) => Ok(identity::refused(&status)),
        };
        if let Ok(response) = &mut answered {
            dress::dress(response, &id);
        }
        let status = answered.as_ref().ok().map(http::Response::status);
        self.metrics.end(measured, status);
        if let Some(entry) = entry {
            entry.end(status, self.api.now());
        }
        answered
    }

    async fn answer_to(
        &self,
        user: User,
        mut request: http::Request<Incoming>,
        hold: upgrade::Hold,
    ) -> Result<http::Response<identity::Body>, ConnectionCut> {
        if let Some(target) = self.proxy.target(&self.api, request.uri()) {
            return match self.admit(&user, &request).await {
                Err(status) => Ok(identity::refused(&status)),
                Ok(()) => Ok(self.proxy.carry(target, request).await),
            };
        }
        if let (Some(route), Some(cluster)) = (streams::route(&request), self.proxy.cluster()) {
            if let Err(status) = self.admit(&user, &request).await {
                return Ok(identity::refused(&status));
            }
            return Ok(streams::answer(&route, request, &self.api, cluster, hold));
        }
        let asked = Handshake::of(request.method(), request.headers());
        let switch = asked.map(|asked| (asked, hyper::upgrade::on(&mut request)));
        let reads = request.method().is_safe();
        let is_metrics = reads && request.uri().path() == "/metrics";
        let request = request.map(|body| Timely::new(body, self.patience.map(|p| p.body)));
        let response = self.api.service(user).oneshot(request).await?;
        // Whoever may read it has been asked: the API server itself knows no such path.
        if is_metrics && response.status() == http::StatusCode::NOT_FOUND {
            return Ok(identity::text(metrics::CONTENT_TYPE, self.metrics.render()));
        }
        if let Some(journal) = self.journal.as_ref().filter(|_| !reads)
            && let Err(why) = journal.durable(self.api.revision()).await
        {
            let text = format!("Internal error occurred: the change is not on the disk: {why}");
            return Ok(identity::refused(&Status::new(500, "InternalError", text)));
        }
        Ok(match switch {
            Some((asked, on)) if response.status() == http::StatusCode::SWITCHING_PROTOCOLS => {
                upgrade::watch(response, &asked, on, hold)
            }
            _ => response.map(identity::Body::Api),
        })
    }
}

impl Shared {
    /// Whether a request that leads beyond the API server may do so.
    async fn admit(&self, user: &User, request: &http::Request<Incoming>) -> Result<(), Status> {
        let user = self.api.acting(user, request.headers())?;
        if let Some(status) = self.api.refusal(&user, request.method(), request.uri()) {
            return Err(status);
        }
        self.api.review_connect(&user, request.uri()).await
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, max: usize, mut stopped: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(max));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            biased;
            _ = stopped.wait_for(|s| *s) => break,
            // No slot, no accept: further clients wait in the kernel's queue.
            accepted = async {
                let slot = slots.clone().acquire_owned().await;
                (slot, listener.accept().await)
            } => accepted,
        };
        let (Ok(slot), Ok((stream, _))) = accepted else {
            // Out of descriptors, mostly: let some go.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let (shared, stopped) = (shared.clone(), stopped.clone());
        // A connection that switched protocols lives on elsewhere and keeps its slot.
        let slot = Arc::new(slot);
        connections.spawn(connection(stream, shared, stopped, slot));
    }
    let drained = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(DRAIN_MAX, drained).await;
}

async fn connection(
    stream: TcpStream,
    shared: Arc<Shared>,
    stopped: watch::Receiver<bool>,
    slot: Arc<OwnedSemaphorePermit>,
) {
    // Small answers must not wait for the acknowledgement of earlier ones.
    let _ = stream.set_nodelay(true);
    match &shared.acceptor {
        None => serve(stream, shared.clone(), None, stopped, slot).await,
        Some(acceptor) => {
            let handshake = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await;
            let Ok(Ok(stream)) = handshake else { return };
            let certificate = stream.get_ref().1.peer_certificates().and_then(|c| c.first());
            let user = certificate.and_then(|c| identity::of_certificate(c));
            serve(stream, shared.clone(), user, stopped, slot).await;
        }
    }
}

async fn serve<S>(
    stream: S,
    shared: Arc<Shared>,
    certified: Option<User>,
    mut stopped: watch::Receiver<bool>,
    slot: Arc<OwnedSemaphorePermit>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let hold = upgrade::Hold { stopped: stopped.clone(), slot };
    let activity = Activity::new();
    let idle_max = shared.patience.map(|p| p.idle);
    let service = service_fn({
        let activity = activity.clone();
        move |request: http::Request<Incoming>| {
            let (shared, certified, hold) = (shared.clone(), certified.clone(), hold.clone());
            let under_way = activity.begin();
            async move {
                let response = shared.answer(request, certified, hold).await?;
                Ok::<_, ConnectionCut>(response.map(|body| Answering { body, _request: under_way }))
            }
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // client-go keeps every watch of a process on one HTTP/2 connection.
    builder.http2().max_concurrent_streams(1000).max_header_list_size(HEADERS_MAX);
    builder.http1().max_buf_size(HEADERS_MAX as usize);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        biased;
        // Errors here are clients that went away, or a cut the gate asked for.
        _ = connection.as_mut() => return,
        () = activity.idle(idle_max) => connection.as_mut().graceful_shutdown(),
        _ = stopped.wait_for(|s| *s) => connection.as_mut().graceful_shutdown(),
    }
    let _ = tokio::time::timeout(DRAIN_MAX / 2, connection).await;
}
