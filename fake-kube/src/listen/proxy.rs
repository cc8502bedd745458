//! The service proxy of the API server: `/api/v1/namespaces/NS/services/NAME:PORT/proxy/PATH` leads to the process behind
//! the Service, and answers for itself when none is reached (kube-api.md, proxy subresource). Leaves out pods and nodes
//! as targets, port names, and upgrades.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use fake_kube_apiserver::Status;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;

use super::identity::Body;
use crate::cluster::Cluster;
use crate::dial::DialError;

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

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Route {
    namespace: String,
    service: String,
    port: u16,
    /// Path and query for the process.
    path: String,
}

impl ServiceProxy {
    /// The first call counts.
    pub fn set(&self, cluster: Cluster) {
        let _ = self.cluster.set(cluster);
    }

    pub(super) fn route(&self, uri: &http::Uri) -> Option<Route> {
        self.cluster.get()?;
        route(uri)
    }

    pub(super) async fn carry(&self, route: Route, request: Request<Incoming>) -> Response<Body> {
        let (mut head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, BODY_MAX).collect().await else {
            return refusal(&Status::new(
                413,
                "RequestEntityTooLarge",
                "the request body is too large to proxy",
            ));
        };
        let Ok(uri) = route.path.parse() else {
            return refusal(&Status::new(400, "BadRequest", "the proxied path is not a path"));
        };
        head.uri = uri;
        head.headers.remove(http::header::AUTHORIZATION);
        let Some(cluster) = self.cluster.get() else {
            return refusal(&Status::new(503, "ServiceUnavailable", "the cluster is starting"));
        };
        let host = format!("{}.{}", route.service, route.namespace);
        match cluster.dial(&host, route.port, Request::from_parts(head, body.to_bytes())) {
            Ok(response) => response.map(|body| Body::Text(Full::new(body))),
            Err(DialError::NoSuchHost) => {
                let text = format!("services \"{}\" not found", route.service);
                refusal(&Status::new(404, "NotFound", &text))
            }
            Err(DialError::Refused) => {
                let text = format!(
                    "error trying to reach service: dial tcp {host}:{}: connect: connection refused",
                    route.port
                );
                refusal(&Status::new(503, "ServiceUnavailable", &text))
            }
            // The real proxy waits for the kernel's timeout; the caller's comes first.
            Err(DialError::Unreachable) => match std::future::pending::<Infallible>().await {},
        }
    }
}

fn refusal(status: &Status) -> Response<Body> {
    let mut response = Response::new(Body::Text(Full::new(Bytes::from(status.to_value().to_string()))));
    *response.status_mut() =
        http::StatusCode::from_u16(status.code).unwrap_or(http::StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}

fn route(uri: &http::Uri) -> Option<Route> {
    let rest = uri.path().strip_prefix("/api/v1/namespaces/")?;
    let (namespace, rest) = rest.split_once("/services/")?;
    let (target, path) = rest.split_once("/proxy")?;
    if namespace.contains('/') || target.contains('/') || !(path.is_empty() || path.starts_with('/')) {
        return None;
    }
    // `https:name:port` asks for TLS to the process, which nothing here speaks.
    let target = target.strip_prefix("http:").unwrap_or(target);
    let (service, port) = target.split_once(':').unwrap_or((target, "80"));
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = if path.is_empty() { "/" } else { path };
    Some(Route {
        namespace: namespace.to_owned(),
        service: service.to_owned(),
        port: port.parse().ok()?,
        path: format!("{path}{query}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes() {
        let check = |uri: &str, expected: Option<(&str, &str, u16, &str)>| {
            let uri = uri.parse().expect("a uri");
            let found = route(&uri);
            let found =
                found.as_ref().map(|r| (r.namespace.as_str(), r.service.as_str(), r.port, r.path.as_str()));
            assert_eq!(found, expected, "{uri}");
        };
        let base = "/api/v1/namespaces/ns/services";
        check(&format!("{base}/a-rest:8081/proxy/v1/jobs?x=1"), Some(("ns", "a-rest", 8081, "/v1/jobs?x=1")));
        check(&format!("{base}/http:a-rest:8081/proxy"), Some(("ns", "a-rest", 8081, "/")));
        check(&format!("{base}/a-rest/proxy/"), Some(("ns", "a-rest", 80, "/")));
        check(&format!("{base}/a-rest"), None);
        check(&format!("{base}/a-rest:x/proxy/"), None);
        check(&format!("{base}/a-rest:8081/proxyx"), None);
        check("/apis/apps/v1/namespaces/ns/deployments", None);
    }
}
