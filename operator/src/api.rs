//! Single requests to the Kubernetes API on plain JSON: bounded in time, counted, and fenced when they write.
//! No retries here; what to do about a failure is decided by whoever asked. How long the server wants to be left alone
//! is passed on with its refusal.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::Value;

use crate::clock::{Clock, until};
use crate::fence::Fence;
use crate::flink::Unanswered;
use crate::net::{classify, innermost};
use crate::observer::{PassObserver, Request};

/// A request that takes longer than this (world time) is given up.
pub(crate) const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);

/// A server that wants to be left alone for longer is asked again after this all the same.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// What a request to the API server came to besides its answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The server said no.
    #[error("{call}: {message} (HTTP {code} {reason})")]
    Status { call: String, code: u16, reason: String, message: String, retry_after: Option<Duration> },
    /// No answer: a write may have happened or not.
    #[error("{call}: {why}: {detail}")]
    Unanswered { call: String, why: Unanswered, detail: String },
    /// Not sent, because the lease may be somebody else's by now.
    #[error("{call}: not sent: this operator may no longer be the leader")]
    Fenced { call: String },
    /// The server's answer, or our request, makes no sense.
    #[error("{call}: {detail}")]
    Nonsense { call: String, detail: String },
}

impl ApiError {
    pub fn code(&self) -> Option<u16> {
        match self {
            ApiError::Status { code, .. } => Some(*code),
            ApiError::Unanswered { .. } | ApiError::Fenced { .. } | ApiError::Nonsense { .. } => None,
        }
    }

    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    pub fn is_forbidden(&self) -> bool {
        self.code() == Some(403)
    }

    /// `Retry-After` of a server that has too much to do, within bounds.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            ApiError::Status { retry_after, .. } => *retry_after,
            ApiError::Unanswered { .. } | ApiError::Fenced { .. } | ApiError::Nonsense { .. } => None,
        }
    }

    /// No answer, or that of a server in trouble: the same request may succeed later.
    pub fn is_passing(&self) -> bool {
        match self {
            ApiError::Unanswered { .. } => true,
            ApiError::Status { code, .. } => matches!(code, 429 | 500..=504),
            ApiError::Fenced { .. } | ApiError::Nonsense { .. } => false,
        }
    }

    /// 409 because the object changed or is another one than expected.
    pub fn is_conflict(&self) -> bool {
        matches!(self, ApiError::Status { code: 409, reason, .. } if reason != "AlreadyExists")
    }

    pub fn is_already_exists(&self) -> bool {
        matches!(self, ApiError::Status { code: 409, reason, .. } if reason == "AlreadyExists")
    }
}

/// The place of objects of one kind in one namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    path: String,
}

impl Place {
    pub(crate) fn new(api_version: &str, plural: &str, namespace: &str) -> Place {
        let root = if api_version.contains('/') { "apis" } else { "api" };
        Place { path: format!("/{root}/{api_version}/namespaces/{namespace}/{plural}") }
    }

    /// The place of an object by its `apiVersion` and `kind`.
    pub(crate) fn of(object: &Value, namespace: &str) -> Option<Place> {
        let api_version = object["apiVersion"].as_str()?;
        let kind = object["kind"].as_str()?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let gvk = kube::core::GroupVersionKind::gvk(group, version, kind);
        let plural = kube::core::ApiResource::from_gvk(&gvk).plural;
        Some(Place::new(api_version, &plural, namespace))
    }

    fn object(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }
}

/// Requests made, for `Pass` and for metrics.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    reads: AtomicU32,
    writes: AtomicU32,
}

impl Requests {
    pub(crate) fn reads(&self) -> u32 {
        self.reads.load(Ordering::Relaxed)
    }

    pub(crate) fn writes(&self) -> u32 {
        self.writes.load(Ordering::Relaxed)
    }
}

/// The API server, for the length of one pass.
#[derive(Clone)]
pub(crate) struct Api {
    client: kube::Client,
    clock: Arc<dyn Clock>,
    fence: Fence,
    observer: Arc<dyn PassObserver>,
    pub(crate) requests: Arc<Requests>,
}

/// The server names the writer of fields after it.
const NAME: &str = concat!("drey-operator/", env!("CARGO_PKG_VERSION"));

impl Api {
    pub(crate) fn new(
        client: kube::Client,
        clock: Arc<dyn Clock>,
        fence: Fence,
        observer: Arc<dyn PassObserver>,
    ) -> Api {
        Api { client, clock, fence, observer, requests: Arc::default() }
    }

    /// The same server with counters of its own.
    pub(crate) fn counted_anew(&self) -> Api {
        Api { requests: Arc::default(), ..self.clone() }
    }

    /// How long a write to somebody else (Flink) may take; `None` when nothing may be written any more.
    pub(crate) fn write_allowance(&self, wanted: Duration) -> Option<Duration> {
        self.fence.allowance(wanted)
    }

    pub(crate) async fn get(&self, at: &Place, name: &str) -> Result<Value, ApiError> {
        self.request(Method::GET, at.object(name), None, "").await
    }

    /// A quorum read of the objects a selector names (`query` as `labelSelector=..&fieldSelector=..`, encoded).
    pub(crate) async fn list(&self, at: &Place, query: &str) -> Result<Vec<Value>, ApiError> {
        let mut list = self.request(Method::GET, format!("{}?{query}", at.path), None, "").await?;
        match list["items"].take() {
            Value::Array(items) => Ok(items),
            _ => Ok(Vec::new()),
        }
    }

    pub(crate) async fn create(&self, at: &Place, object: &Value) -> Result<Value, ApiError> {
        self.request(Method::POST, at.path.clone(), Some(object), "application/json").await
    }

    pub(crate) async fn replace(&self, at: &Place, name: &str, object: &Value) -> Result<Value, ApiError> {
        self.request(Method::PUT, at.object(name), Some(object), "application/json").await
    }

    pub(crate) async fn replace_status(&self, at: &Place, name: &str, o: &Value) -> Result<Value, ApiError> {
        self.request(Method::PUT, format!("{}/status", at.object(name)), Some(o), "application/json").await
    }

    pub(crate) async fn merge(&self, at: &Place, name: &str, patch: &Value) -> Result<Value, ApiError> {
        self.request(Method::PATCH, at.object(name), Some(patch), "application/merge-patch+json").await
    }

    /// The answer is the object while something still holds it, else a `Status`.
    pub(crate) async fn delete(&self, at: &Place, name: &str, options: &Value) -> Result<Value, ApiError> {
        self.request(Method::DELETE, at.object(name), Some(options), "application/json").await
    }

    async fn request(
        &self,
        method: Method,
        path: String,
        body: Option<&Value>,
        content_type: &'static str,
    ) -> Result<Value, ApiError> {
        let (verb, path) = (method.clone(), path);
        let call = || format!("{verb} {path}");
        let nonsense = |detail: String| ApiError::Nonsense { call: call(), detail };
        let is_write = method != Method::GET;
        let wanted = self.clock.runtime(REQUEST_TIME_MAX);
        let allowance = if is_write {
            self.fence.allowance(wanted).ok_or_else(|| ApiError::Fenced { call: call() })?
        } else {
            wanted
        };
        let mut request =
            http::Request::builder().method(method.clone()).uri(&path).header(http::header::USER_AGENT, NAME);
        let bytes = match body {
            None => Vec::new(),
            Some(body) => {
                request = request.header(http::header::CONTENT_TYPE, content_type);
                serde_json::to_vec(body).map_err(|e| nonsense(e.to_string()))?
            }
        };
        let request = request.body(bytes).map_err(|e| nonsense(e.to_string()))?;
        let counter = if is_write { &self.requests.writes } else { &self.requests.reads };
        counter.fetch_add(1, Ordering::Relaxed);
        let sent = self.clock.now();
        let answer = tokio::time::timeout(allowance, self.exchange(request)).await;
        let code = answer.as_ref().ok().and_then(|a| a.as_ref().ok()).map(|(status, ..)| status.as_u16());
        self.observer.request(&Request { method, code, took: until(sent, self.clock.now()) });
        match answer {
            Ok(Ok((status, _, body))) if status.is_success() => {
                serde_json::from_slice(&body).map_err(|e| nonsense(e.to_string()))
            }
            Ok(Ok((status, headers, body))) => Err(refused(call(), status, &headers, &body)),
            Ok(Err(error)) => {
                Err(ApiError::Unanswered { call: call(), why: classify(&error), detail: innermost(&error) })
            }
            Err(_) => Err(ApiError::Unanswered {
                call: call(),
                why: Unanswered::Timeout,
                detail: format!("after {allowance:?}"),
            }),
        }
    }

    /// Not the client's own reading of answers, which drops the headers.
    async fn exchange(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> Result<(http::StatusCode, http::HeaderMap, Bytes), kube::Error> {
        let answer = self.client.send(request.map(Body::from)).await?;
        let (head, body) = answer.into_parts();
        Ok((head.status, head.headers, body.collect().await?.to_bytes()))
    }
}

/// The members of a `Status` that are used.
#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Refusal {
    reason: String,
    message: String,
    details: Details,
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Details {
    retry_after_seconds: u64,
}

fn refused(call: String, status: http::StatusCode, headers: &http::HeaderMap, body: &[u8]) -> ApiError {
    let refusal = serde_json::from_slice::<Refusal>(body).unwrap_or_else(|_| Refusal {
        message: String::from_utf8_lossy(body).trim().chars().take(512).collect(),
        ..Refusal::default()
    });
    // Seconds: API servers send no dates.
    let header =
        headers.get(http::header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let seconds = header.unwrap_or(refusal.details.retry_after_seconds);
    let is_busy = matches!(status.as_u16(), 429 | 503);
    ApiError::Status {
        call,
        code: status.as_u16(),
        reason: refusal.reason,
        message: refusal.message,
        retry_after: (is_busy && seconds > 0).then(|| Duration::from_secs(seconds).min(RETRY_AFTER_MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let check = |api_version: &str, kind: &str, expected: &str| {
            let object = serde_json::json!({ "apiVersion": api_version, "kind": kind });
            assert_eq!(Place::of(&object, "ns").unwrap().object("x"), expected);
        };
        check("apps/v1", "Deployment", "/apis/apps/v1/namespaces/ns/deployments/x");
        check("v1", "Service", "/api/v1/namespaces/ns/services/x");
        check("v1", "ConfigMap", "/api/v1/namespaces/ns/configmaps/x");
        check("v1", "Secret", "/api/v1/namespaces/ns/secrets/x");
        check("networking.k8s.io/v1", "Ingress", "/apis/networking.k8s.io/v1/namespaces/ns/ingresses/x");
        assert_eq!(Place::of(&Value::Null, "ns"), None);
    }

    #[test]
    fn refusals_say_how_long_to_wait_within_bounds() {
        let check = |code: u16, header: Option<&str>, body: &str, expected: Option<u64>| {
            let mut headers = http::HeaderMap::new();
            headers.extend(header.map(|value| (http::header::RETRY_AFTER, value.parse().unwrap())));
            let status = http::StatusCode::from_u16(code).unwrap();
            let refused = refused("GET /x".into(), status, &headers, body.as_bytes());
            assert_eq!(refused.retry_after().map(|d| d.as_secs()), expected, "{code} {header:?} {body}");
            assert_eq!(refused.code(), Some(code));
        };
        check(429, Some("7"), "{}", Some(7));
        check(503, Some("7"), "not a status", Some(7));
        check(429, Some("86400"), "{}", Some(60));
        check(429, None, r#"{"details": {"retryAfterSeconds": 3}}"#, Some(3));
        check(429, Some("Fri, 31 Dec 2027 23:59:59 GMT"), "{}", None);
        check(429, Some("0"), "{}", None);
        check(500, Some("7"), "{}", None);
        check(409, Some("7"), r#"{"reason": "Conflict"}"#, None);
    }
}
