//! The transport over sockets, for an operator that runs inside the cluster.
//!
//! Only binaries and loopback worlds use it: resolving names and driving connections happen on tokio's own
//! threads and tasks, which a run in virtual time must not have.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::transport::{BODY_BYTES_MAX, FlinkTransport, Target, TransportError, Unanswered};
use crate::net::{classify, innermost};

/// Idle connections are closed after this; JobManagers come and go behind the same name.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Idle connections kept per JobManager; passes of one resource never overlap.
const IDLE_CONNECTIONS_MAX: usize = 2;
/// A longer connect is a black hole; the caller's time-out still applies below it.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// `http://<name>-rest.<namespace>:<rest.port>` with keep-alive.
#[derive(Clone)]
pub struct DirectTransport {
    client: Client<HttpConnector, Full<Bytes>>,
    authority: Authority,
}

/// Where a target is reached, as `host:port`.
type Authority = Arc<dyn Fn(&Target) -> String + Send + Sync>;

impl DirectTransport {
    /// Addresses services by their name in the cluster.
    pub fn new() -> DirectTransport {
        DirectTransport::with_authority(|target| format!("{}:{}", target.host(), target.port))
    }

    /// Addresses services by a rule of the caller (loopback worlds: a port of this machine).
    pub fn with_authority(authority: impl Fn(&Target) -> String + Send + Sync + 'static) -> DirectTransport {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_MAX));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(connector);
        DirectTransport { client, authority: Arc::new(authority) }
    }
}

impl Default for DirectTransport {
    fn default() -> Self {
        DirectTransport::new()
    }
}

impl FlinkTransport for DirectTransport {
    fn call(
        &self,
        target: &Target,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<http::Response<Bytes>, TransportError>> {
        let client = self.client.clone();
        let authority = (self.authority)(target);
        let target = target.clone();
        Box::pin(async move {
            let request = absolute(request, &authority)
                .map_err(|e| TransportError::new(Unanswered::Protocol, &target, e.to_string()))?;
            match tokio::time::timeout(timeout, exchange(client, request, &target)).await {
                Ok(answer) => answer,
                Err(_) => {
                    Err(TransportError::new(Unanswered::Timeout, &target, format!("after {timeout:?}")))
                }
            }
        })
    }
}

fn absolute(
    request: http::Request<Bytes>,
    authority: &str,
) -> Result<http::Request<Full<Bytes>>, http::Error> {
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |p| p.as_str());
    head.uri =
        http::Uri::builder().scheme("http").authority(authority.as_bytes()).path_and_query(path).build()?;
    Ok(http::Request::from_parts(head, Full::new(body)))
}

async fn exchange(
    client: Client<HttpConnector, Full<Bytes>>,
    request: http::Request<Full<Bytes>>,
    target: &Target,
) -> Result<http::Response<Bytes>, TransportError> {
    let answer = client
        .request(request)
        .await
        .map_err(|e| TransportError::new(classify(&e), target, innermost(&e)))?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX)
        .collect()
        .await
        .map_err(|e| TransportError::new(classify(e.as_ref()), target, innermost(e.as_ref())))?
        .to_bytes();
    Ok(http::Response::from_parts(head, body))
}
