//! The proxy of the API server: `/api/v1/namespaces/NS/services/NAME:PORT/proxy/PATH` leads to the process behind the
//! Service, and the same of a pod to that pod. The API server says where; this carries the request there. Leaves out
//! kubelets of nodes, and upgrades.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use fake_kube_apiserver::{ApiServer, ProxyTarget, Status};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;

use super::identity::Body;
use crate::cluster::Cluster;
use crate::dial::DialError;
use crate::host::sockets;

/// Of a process that is a real one.
const ANSWER_MAX: usize = 64 << 20;
/// Bodies larger than this are refused, as by the API server.
const BODY_MAX: usize = 3 << 20;

/// The cluster a listener proxies into. Clusters are made after their API server: set it once there is one; until then
/// the proxy finds no service. Clones are the same proxy.
#[derive(Clone, Default)]
pub struct ServiceProxy {
    cluster: Arc<OnceLock<Cluster>>,
}

impl fmt::Debug for ServiceProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceProxy").field("is_set", &self.cluster.get().is_some()).finish()
    }
}

impl ServiceProxy {
    pub(super) fn cluster(&self) -> Option<&Cluster> {
        self.cluster.get()
    }

    /// The first call counts.
    pub fn set(&self, cluster: Cluster) {
        let _ = self.cluster.set(cluster);
    }

    pub(super) fn target(&self, api: &ApiServer, uri: &http::Uri) -> Option<Result<ProxyTarget, Status>> {
        self.cluster.get()?;
        api.proxy_target(uri)
    }

    pub(super) async fn carry(
        &self,
        target: Result<ProxyTarget, Status>,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let target = match target {
            Ok(target) => target,
            Err(status) => return refusal(&status),
        };
        let (mut head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, BODY_MAX).collect().await else {
            return refusal(&Status::new(
                413,
                "RequestEntityTooLarge",
                "the request body is too large to proxy",
            ));
        };
        let Ok(uri) = target.path.parse() else {
            return refusal(&Status::new(400, "BadRequest", "the proxied path is not a path"));
        };
        head.uri = uri;
        head.headers.remove(http::header::AUTHORIZATION);
        let Some(cluster) = self.cluster.get() else {
            return refusal(&Status::new(503, "ServiceUnavailable", "the cluster is starting"));
        };
        let request = Request::from_parts(head, body.to_bytes());
        if let Some(address) = cluster.socket(&target.host, target.port) {
            return match sockets::exchange(address, request, ANSWER_MAX).await {
                Ok(response) => response.map(|body| Body::Text(Full::new(body))),
                Err(error) => refusal(&unreached(address, &error)),
            };
        }
        match cluster.dial(&target.host, target.port, request) {
            Ok(response) => response.map(|body| Body::Text(Full::new(body))),
            Err(DialError::NoSuchHost | DialError::Refused) => {
                let at = format!("{}:{}", target.host, target.port);
                let text =
                    format!("error trying to reach service: dial tcp {at}: connect: connection refused");
                refusal(&Status::new(503, "ServiceUnavailable", &text))
            }
            // The real proxy waits for the kernel's timeout; the caller's comes first.
            Err(DialError::Unreachable) => match std::future::pending::<Infallible>().await {},
        }
    }
}

/// As Go words it.
fn unreached(address: SocketAddr, error: &io::Error) -> Status {
    let text = match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            format!("error trying to reach service: dial tcp {address}: connect: connection refused")
        }
        _ => "error trying to reach service: EOF".to_owned(),
    };
    Status::new(503, "ServiceUnavailable", text)
}

fn refusal(status: &Status) -> Response<Body> {
    let mut response = Response::new(Body::Text(Full::new(Bytes::from(status.to_value().to_string()))));
    *response.status_mut() =
        http::StatusCode::from_u16(status.code).unwrap_or(http::StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}
