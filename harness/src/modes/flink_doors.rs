//! Flink of a playground, from outside: one address for the REST API and the dashboard of every deployment, told apart by
//! host name, and their control. Stubs set there stand in front of this address only; what the operator calls travels
//! inside the world.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use fake_flink::serve::control::{Clusters, ControlSocket, Controlled};
use fake_flink::serve::stubs::{Drop as Dropped, Stubs, Then};
use fake_flink::{Command, Facts, Signal, SnapshotStore};
use fake_kube::{Cluster, DialError};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};

use super::Cut;
use super::flink_sockets::handed_over;
use crate::world::flink::{ClusterKey, FlinkWorld};
use crate::world::{ScenarioClock, World};

const CONNECTIONS_MAX: usize = 256;
const BODY_MAX: usize = 64 << 20;
const IDLE_MAX: Duration = Duration::from_secs(120);
const REST_PORT: u16 = 8081;

/// Told of every command that the control endpoint has given to a cluster.
pub type Told = Arc<dyn Fn(&ClusterKey, &Command) + Send + Sync>;

/// Closed when dropped.
pub struct FlinkDoors {
    address: SocketAddr,
    control: Option<String>,
    tasks: Vec<AbortHandle>,
}

impl Drop for FlinkDoors {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl FlinkDoors {
    /// Call it inside the runtime that drives the world. The control endpoint is there when somebody is told of it.
    pub async fn open(world: &World, told: Option<Told>) -> anyhow::Result<FlinkDoors> {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(any_port).await.context("open a socket on 127.0.0.1")?;
        let address = listener.local_addr().context("read the bound address")?;
        let house = House {
            cluster: world.cluster.clone(),
            clock: world.clock,
            flink: world.flink.clone(),
            port: address.port(),
            stubs: Arc::default(),
            told: told.clone(),
        };
        let mut doors = FlinkDoors { address, control: None, tasks: Vec::new() };
        if told.is_some() {
            let socket = ControlSocket::bind(any_port).await?;
            doors.control = Some(socket.url().to_owned());
            let controlled = house.clone();
            let clusters: Clusters = Arc::new(move || controlled.clusters());
            doors.tasks.push(tokio::spawn(socket.serve(clusters)).abort_handle());
        }
        doors.tasks.push(tokio::spawn(house.serve(listener)).abort_handle());
        Ok(doors)
    }

    /// Where `drey flink` goes.
    pub fn control(&self) -> Option<&str> {
        self.control.as_deref()
    }

    /// `http://NAME.NAMESPACE.localhost:PORT`, of any deployment.
    pub fn url(&self, namespace: &str, name: &str) -> String {
        format!("http://{name}.{namespace}.localhost:{}", self.address.port())
    }
}

#[derive(Clone)]
struct House {
    cluster: Cluster,
    clock: ScenarioClock,
    flink: FlinkWorld,
    port: u16,
    stubs: Arc<Mutex<BTreeMap<ClusterKey, Stubs>>>,
    told: Option<Told>,
}

impl House {
    fn stubs(&self, key: &ClusterKey) -> Stubs {
        self.stubs.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default().clone()
    }

    fn clusters(&self) -> Vec<Arc<dyn Controlled>> {
        let of =
            |key: ClusterKey| -> Arc<dyn Controlled> { Arc::new(Deployment { key, house: self.clone() }) };
        self.flink.clusters().into_iter().map(of).collect()
    }

    async fn serve(self, listener: TcpListener) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors, mostly: let some go.
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let house = self.clone();
            connections.spawn(async move {
                let service = service_fn(|request| house.answer(request));
                // An error here is a caller that went away, or a cut that was meant.
                let _ = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(IDLE_MAX)
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
                drop(slot);
            });
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Cut> {
        let (head, body) = request.into_parts();
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let Some(key) = key_of(host) else { return Ok(self.index()) };
        let body = Limited::new(body, BODY_MAX).collect().await.map_err(|_| Cut)?.to_bytes();
        let request = Request::from_parts(head, body);
        if let Some(struck) = self.stubs(&key).judge(&request, self.clock.now()) {
            self.clock.sleep(struck.delay).await;
            match struck.then {
                Then::Model => {}
                Then::Respond(response) => return Ok(response.map(Full::new)),
                Then::Drop(Dropped::Never) => match std::future::pending::<Infallible>().await {},
                Then::Drop(Dropped::Before) => return Err(Cut),
                Then::Drop(Dropped::After) => {
                    let _ = self.dial(&key, request).await;
                    return Err(Cut);
                }
            }
        }
        self.dial(&key, request).await
    }

    async fn dial(&self, key: &ClusterKey, request: Request<Bytes>) -> Result<Response<Full<Bytes>>, Cut> {
        let host = format!("{}-rest.{}", key.name, key.namespace);
        let response = match self.cluster.dial(&host, REST_PORT, request) {
            Ok(response) => response,
            Err(DialError::NoSuchHost | DialError::Refused) => {
                let text = format!("No JobManager of {key} answers now; it may be starting.\n");
                return Ok(plain(StatusCode::BAD_GATEWAY, text));
            }
            Err(DialError::Unreachable) => match std::future::pending::<Infallible>().await {},
        };
        handed_over(response, self.clock).await
    }

    fn index(&self) -> Response<Full<Bytes>> {
        let mut text = "One host name per deployment:\n".to_owned();
        for cluster in self.clusters() {
            text.push_str(&format!("  {}\n", cluster.url()));
        }
        plain(StatusCode::NOT_FOUND, text)
    }
}

/// `app.default.localhost:1234` is `default/app`.
fn key_of(host: &str) -> Option<ClusterKey> {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let mut labels = name.strip_suffix(".localhost")?.split('.');
    match (labels.next(), labels.next(), labels.next()) {
        (Some(name), Some(namespace), None) => Some(ClusterKey::new(namespace, name)),
        _ => None,
    }
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}

/// A deployment of the world, as the control endpoint sees it.
struct Deployment {
    key: ClusterKey,
    house: House,
}

impl Controlled for Deployment {
    fn name(&self) -> String {
        self.key.to_string()
    }

    fn url(&self) -> String {
        format!("http://{}.{}.localhost:{}", self.key.name, self.key.namespace, self.house.port)
    }

    fn version(&self) -> String {
        let versions = self.house.flink.versions(&self.key);
        versions.last().map(ToString::to_string).unwrap_or_default()
    }

    fn facts(&self) -> Option<Facts> {
        self.house.flink.facts(&self.key).pop().map(|(_, facts)| facts)
    }

    fn command(&self, command: Command) -> bool {
        let is_taken = self.house.flink.command(&self.key, &command);
        if let Some(told) = self.house.told.as_ref().filter(|_| is_taken) {
            told(&self.key, &command);
        }
        is_taken
    }

    /// They are pods.
    fn bring_task_manager(&self, _id: String, _slots: u32) -> bool {
        false
    }

    /// Its pod is what ends.
    fn end(&self, _signal: Signal) -> bool {
        false
    }

    fn storage(&self) -> SnapshotStore {
        self.house.flink.storage.clone()
    }

    fn stubs(&self) -> Stubs {
        self.house.stubs(&self.key)
    }

    fn now(&self) -> Timestamp {
        self.house.clock.now()
    }

    fn later(&self, after: Duration, lift: Box<dyn FnOnce() + Send>) {
        let clock = self.house.clock;
        tokio::spawn(async move {
            clock.sleep(after).await;
            lift();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deployments_by_host_name() {
        let name = |host: &str| key_of(host).map(|key| key.to_string());
        assert_eq!(name("app.default.localhost:99").as_deref(), Some("default/app"));
        assert_eq!(name("app.default.localhost").as_deref(), Some("default/app"));
        for other in ["localhost:99", "127.0.0.1:99", "app.localhost", "a.b.c.localhost", "app.default.svc"] {
            assert_eq!(name(other), None, "{other}");
        }
    }
}
