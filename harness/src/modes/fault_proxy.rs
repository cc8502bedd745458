//! Between an operator and the API server of a cluster that others run: every request of the operator meets the
//! scenario's fault rules here, and the judges hear of it with its answer, as they do at the simulated server. Calls to Flink
//! by way of the API server pass the scenario's faults of Flink instead, and are counted as such.
//!
//! Plain HTTP on 127.0.0.1; rights and TLS are those of the kubeconfig behind it. Leaves out: connections that change
//! their protocol (exec, port-forward, watches as WebSocket) and stale or disturbed reads, which need the server's memory.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use drey_operator::FlinkTransport;
use drey_operator::flink::{Target, Unanswered};
use fake_kube_apiserver::{Gate, Observer, RequestInfo, RequestRecord, Resource, Status, Verdict};
use futures::StreamExt;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, broadcast};
use tokio::task::JoinSet;

use super::{Cut, straight};
use crate::world::ScenarioClock;
use crate::world::gate::OPERATOR_USER;
use crate::world::network::Network;

/// Of one operator; a client keeps one connection per watch and a few besides.
const CONNECTIONS_MAX: usize = 512;
/// As a real API server takes.
const BODY_MAX: usize = 3 << 20;
/// Of a call to Flink, in real time; its caller's own patience ends first.
const FLINK_PATIENCE: Duration = Duration::from_secs(15 * 60);
/// Of an answer that is kept back until it is known whether it may leave.
const ANSWER_MAX: usize = 64 << 20;

/// An open proxy. Dropping it closes every connection through it.
pub struct FaultProxy {
    address: SocketAddr,
    way: Way,
    _tasks: JoinSet<()>,
}

/// Who holds the lease, as the newest one that was written says: the one who works, of several operators that elect a leader.
#[derive(Clone, Default)]
pub struct Leader(Arc<Mutex<String>>);

impl Leader {
    fn holder(&self) -> MutexGuard<'_, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, lease: &Value) {
        if let Some(holder) = lease["spec"]["holderIdentity"].as_str() {
            holder.clone_into(&mut self.holder());
        }
    }

    /// Whether that is known to be another one. Who names itself otherwise than it was told to is not known.
    pub fn is_another_of(&self, identity: &str, all: &[&str]) -> bool {
        let holder = self.holder();
        *holder != identity && all.contains(&holder.as_str())
    }
}

/// What a request passes.
#[derive(Clone)]
struct Way {
    upstream: kube::Client,
    gate: Arc<dyn Gate>,
    judges: Arc<dyn Observer>,
    clock: ScenarioClock,
    /// Carries what is meant for Flink, past the scenario's faults of Flink.
    network: Network,
    has_carried_to_flink: Arc<AtomicBool>,
    leader: Leader,
    /// Plurals whose watches end.
    ends: broadcast::Sender<Resource>,
}

type Answer = Response<UnsyncBoxBody<Bytes, Cut>>;

impl FaultProxy {
    pub async fn open(
        upstream: kube::Client,
        clock: ScenarioClock,
        gate: Arc<dyn Gate>,
        judges: Arc<dyn Observer>,
        network: Network,
    ) -> anyhow::Result<FaultProxy> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.context("open a port for the fault proxy")?;
        let address = listener.local_addr().context("read the fault proxy's address")?;
        let (ends, has_carried_to_flink) = (broadcast::channel(64).0, Arc::default());
        let leader = Leader::default();
        let way = Way { upstream, gate, judges, clock, network, has_carried_to_flink, leader, ends };
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, way.clone()));
        Ok(FaultProxy { address, way, _tasks: tasks })
    }

    /// Whether the operator reaches Flink by way of the API server, and is heard.
    pub fn has_carried_to_flink(&self) -> bool {
        self.way.has_carried_to_flink.load(Ordering::SeqCst)
    }

    pub fn leader(&self) -> Leader {
        self.way.leader.clone()
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What an operator in this process makes its clients from.
    pub fn config(&self) -> anyhow::Result<kube::Config> {
        let url = self.url().parse().context("read the fault proxy's address")?;
        Ok(straight(kube::Config::new(url)))
    }

    /// The same for an operator that is a program of its own; JSON is YAML too.
    pub fn kubeconfig(&self) -> String {
        json!({"apiVersion": "v1", "kind": "Config", "current-context": "drey",
            "clusters": [{"name": "drey", "cluster": {"server": self.url()}}],
            "users": [{"name": "drey", "user": {}}],
            "contexts": [{"name": "drey", "context": {"cluster": "drey", "user": "drey"}}]})
        .to_string()
    }

    /// Running watches of a resource end, as when a server restarts.
    pub fn end_watches(&self, resource: &Resource) {
        // Nobody watches: nothing ends.
        let _ = self.way.ends.send(resource.clone());
    }
}

async fn accept(listener: TcpListener, way: Way) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((socket, _)) = listener.accept().await else { continue };
        // A watch event is small, and somebody waits for it.
        let _ = socket.set_nodelay(true);
        while connections.try_join_next().is_some() {}
        let way = way.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let way = way.clone();
                async move { way.carry(request).await }
            });
            // How a connection ends is between the operator and the fault it met.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(socket), service)
                .await;
            drop(place);
        });
    }
}

impl Way {
    async fn carry(&self, request: Request<Incoming>) -> Result<Answer, Cut> {
        if let Some((target, path)) = flink_behind(request.uri()) {
            self.has_carried_to_flink.store(true, Ordering::SeqCst);
            return self.call_flink(target, &path, request).await;
        }
        let info = info(&request);
        match self.gate.judge(&info) {
            Verdict::Pass => self.pass(info, request).await,
            Verdict::Delay(span) => {
                self.clock.sleep(span).await;
                self.pass(info, request).await
            }
            Verdict::Fail(status) => {
                self.record(&info, is_dry_run(&request), status.code, Some(&status.to_value()));
                Ok(refused(&status))
            }
            Verdict::DropBefore => {
                self.record(&info, is_dry_run(&request), 0, None);
                Err(Cut)
            }
            Verdict::DropAfterCommit => self.carry_out_and_cut(info, request).await,
            Verdict::CutWatch => {
                self.record(&info, is_dry_run(&request), 200, None);
                let cut = futures::stream::iter([Err::<Frame<Bytes>, Cut>(Cut)]);
                Ok(Response::new(BodyExt::boxed_unsync(StreamBody::new(cut))))
            }
            Verdict::Expire => {
                self.record(&info, is_dry_run(&request), 200, None);
                Ok(expired())
            }
            verdict @ (Verdict::Stale { .. } | Verdict::Disturb(_)) => {
                let text =
                    format!("the fault proxy cannot do this to a server that is not ours: {verdict:?}");
                Ok(refused(&Status::new(500, "InternalError", text)))
            }
        }
    }

    async fn pass(&self, info: RequestInfo, request: Request<Incoming>) -> Result<Answer, Cut> {
        let is_dry = is_dry_run(&request);
        let watched = (info.verb == "watch")
            .then(|| (Resource::new(&info.group, &info.version, &info.resource), self.ends.subscribe()));
        let answer = match self.forward(request).await {
            Ok(answer) => answer,
            Err(status) => return Ok(refused(&status)),
        };
        let (head, body) = answer.into_parts();
        if let Some((resource, ends)) = watched.filter(|_| head.status.is_success()) {
            self.record(&info, is_dry, head.status.as_u16(), None);
            let frames = body.into_data_stream().take_until(told_to_end(resource, ends));
            let frames = frames.map(|bytes| bytes.map(Frame::data).map_err(|_| Cut));
            return Ok(Response::from_parts(head, BodyExt::boxed_unsync(StreamBody::new(frames))));
        }
        let bytes = Limited::new(body, ANSWER_MAX).collect().await.map_err(|_| Cut)?.to_bytes();
        let is_read = matches!(info.verb.as_str(), "get" | "list") && head.status.is_success();
        let told = (!is_read).then(|| serde_json::from_slice::<Value>(&bytes).ok()).flatten();
        if let Some(lease) = told.as_ref().filter(|_| info.resource == "leases" && head.status.is_success()) {
            self.leader.hear(lease);
        }
        self.record(&info, is_dry, head.status.as_u16(), told.as_ref());
        Ok(Response::from_parts(head, whole(bytes)))
    }

    /// As the API server's own proxy would answer.
    async fn call_flink(
        &self,
        target: Target,
        path: &str,
        request: Request<Incoming>,
    ) -> Result<Answer, Cut> {
        let (mut head, body) = request.into_parts();
        let body = Limited::new(body, BODY_MAX).collect().await.map_err(|_| Cut)?.to_bytes();
        head.uri = path.parse().map_err(|_| Cut)?;
        strip(&mut head.headers);
        let mut unheard = Unheard {
            network: &self.network,
            target: &target,
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            is_over: false,
        };
        let answered = self.network.call(&target, Request::from_parts(head, body), FLINK_PATIENCE).await;
        unheard.is_over = true;
        match answered {
            Ok(answer) => {
                let (mut head, body) = answer.into_parts();
                strip(&mut head.headers);
                Ok(Response::from_parts(head, whole(body)))
            }
            Err(error) => match error.why {
                Unanswered::Dns => {
                    let text = format!("services {:?} not found", target.service);
                    Ok(refused(&Status::new(404, "NotFound", text)))
                }
                Unanswered::Refused => Ok(refused(&unreached("connect: connection refused"))),
                Unanswered::Timeout => Ok(refused(&unreached("i/o timeout"))),
                Unanswered::Reset | Unanswered::Protocol => Err(Cut),
            },
        }
    }

    async fn carry_out_and_cut(&self, info: RequestInfo, request: Request<Incoming>) -> Result<Answer, Cut> {
        let is_dry = is_dry_run(&request);
        if let Ok(answer) = self.forward(request).await {
            // The server is done when its answer is whole.
            let _ = Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
        }
        self.record(&info, is_dry, 0, None);
        Err(Cut)
    }

    async fn forward(&self, request: Request<Incoming>) -> Result<Response<Body>, Status> {
        let (mut head, body) = request.into_parts();
        let body = Limited::new(body, BODY_MAX).collect().await;
        let body = body.map_err(|error| Status::new(413, "RequestEntityTooLarge", error.to_string()))?;
        strip(&mut head.headers);
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        head.uri = path.parse().map_err(|_| Status::new(400, "BadRequest", "not a path"))?;
        let request = Request::from_parts(head, Body::from(body.to_bytes()));
        let mut answer = self.upstream.send(request).await.map_err(|error| {
            Status::new(502, "BadGateway", format!("the fault proxy cannot reach the API server: {error}"))
        })?;
        strip(answer.headers_mut());
        Ok(answer)
    }

    /// What is told of an answer is in it: the revision of a write, the reason of a refusal.
    fn record(&self, info: &RequestInfo, dry_run: bool, code: u16, answer: Option<&Value>) {
        let text = |pointer: &str| {
            answer.and_then(|answer| answer.pointer(pointer)).and_then(Value::as_str).unwrap_or_default()
        };
        let is_refusal = code >= 400;
        self.judges.on_request(&RequestRecord {
            info: info.clone(),
            at: self.clock.now(),
            code,
            reason: if is_refusal { text("/reason").to_owned() } else { String::new() },
            message: if is_refusal { text("/message").to_owned() } else { String::new() },
            dry_run,
            revision: text("/metadata/resourceVersion").parse().unwrap_or_default(),
        });
    }
}

fn unreached(why: &str) -> Status {
    let text = format!("error trying to reach service: dial tcp: {why}");
    Status::new(503, "ServiceUnavailable", text)
}

/// A call to Flink that its caller has given up.
struct Unheard<'a> {
    network: &'a Network,
    target: &'a Target,
    method: String,
    path: String,
    is_over: bool,
}

impl Drop for Unheard<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.network.record(self.target, &self.method, &self.path, 0);
        }
    }
}

/// `/api/v1/namespaces/NS/services/NAME-rest:PORT/proxy/PATH`: whom it leads to, and the path there.
fn flink_behind(uri: &http::Uri) -> Option<(Target, String)> {
    let rest = uri.path().strip_prefix("/api/v1/namespaces/")?;
    let (namespace, rest) = rest.split_once("/services/")?;
    let (service, path) = rest.split_once("/proxy/")?;
    let (name, port) = service.rsplit_once(':')?;
    let name = name.strip_prefix("http:").unwrap_or(name);
    let is_rest = name.ends_with("-rest") && !namespace.contains('/');
    let target =
        Target { namespace: namespace.to_owned(), service: name.to_owned(), port: port.parse().ok()? };
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    is_rest.then(|| (target, format!("/{path}{query}")))
}

fn info(request: &Request<Incoming>) -> RequestInfo {
    let text = |name| {
        request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    RequestInfo {
        user: OPERATOR_USER.to_owned(),
        user_agent: text(header::USER_AGENT),
        content_type: text(header::CONTENT_TYPE),
        ..RequestInfo::of(request.method(), request.uri())
    }
}

fn is_dry_run(request: &Request<Incoming>) -> bool {
    request.uri().query().is_some_and(|query| query.split('&').any(|part| part == "dryRun=All"))
}

/// What belongs to one connection, or to the credentials behind the proxy. An answer travels unpacked: the judges read it.
fn strip(headers: &mut HeaderMap) {
    for name in [
        header::HOST,
        header::AUTHORIZATION,
        header::CONNECTION,
        header::UPGRADE,
        header::TRANSFER_ENCODING,
        header::CONTENT_LENGTH,
        header::ACCEPT_ENCODING,
    ] {
        headers.remove(name);
    }
}

async fn told_to_end(resource: Resource, mut ends: broadcast::Receiver<Resource>) {
    loop {
        match ends.recv().await {
            Ok(ended) if ended.group == resource.group && ended.plural == resource.plural => return,
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return std::future::pending().await,
        }
    }
}

fn whole(bytes: Bytes) -> UnsyncBoxBody<Bytes, Cut> {
    Full::new(bytes).map_err(|never: Infallible| match never {}).boxed_unsync()
}

fn refused(status: &Status) -> Answer {
    let mut answer = Response::new(whole(status.to_value().to_string().into()));
    *answer.status_mut() = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    if let Some(seconds) = status.retry_after {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    answer
}

/// As a watch from a revision that is compacted is told.
fn expired() -> Answer {
    let status = Status::new(410, "Expired", "too old resource version (injected by the scenario)");
    let line = format!("{}\n", json!({"type": "ERROR", "object": status.to_value()}));
    let mut answer = Response::new(whole(line.into()));
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_is_who_the_lease_names() {
        let leader = Leader::default();
        let is_another = |identity| leader.is_another_of(identity, &["operator-1", "operator-2"]);
        assert!(!is_another("operator-1") && !is_another("operator-2"), "nobody is known yet");
        leader.hear(&json!({"spec": {"holderIdentity": "operator-2"}}));
        assert!(is_another("operator-1") && !is_another("operator-2"));
        leader.hear(&json!({"spec": {"holderIdentity": "host_5f1c"}}));
        assert!(!is_another("operator-1"), "it has names of its own");
    }

    #[test]
    fn calls_to_flink_are_told_from_others() {
        let check = |uri: &str, expected: Option<(&str, &str)>| {
            let found = flink_behind(&uri.parse().expect("a uri"));
            let found = found.map(|(target, path)| (target.to_string(), path));
            let found = found.as_ref().map(|(target, path)| (target.as_str(), path.as_str()));
            assert_eq!(found, expected, "{uri}");
        };
        let at = "/api/v1/namespaces/ns/services";
        check(&format!("{at}/app-rest:8081/proxy/v1/jobs?a=b"), Some(("app-rest.ns:8081", "/v1/jobs?a=b")));
        check(&format!("{at}/http:app-rest:8081/proxy/"), Some(("app-rest.ns:8081", "/")));
        check(&format!("{at}/other:80/proxy/x"), None);
        check(&format!("{at}/app-rest"), None);
        check("/api/v1/namespaces/ns/pods/app-rest:8081/proxy/x", None);
    }
}
