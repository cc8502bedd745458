//! The transport through the service proxy of the Kubernetes API server, for an operator outside the cluster.
//!
//! The proxy answers for itself when it cannot reach a pod: such answers are `Status` documents, while Flink's
//! own errors are `{"errors":[..]}`. They are told apart here, so the client above never sees the difference.

use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use serde::Deserialize;

use super::transport::{BODY_BYTES_MAX, FlinkTransport, Target, TransportError, Unanswered};

/// `/api/v1/namespaces/<ns>/services/<service>:<port>/proxy/...`
#[derive(Clone)]
pub struct ProxyTransport {
    client: kube::Client,
}

impl ProxyTransport {
    /// The client must not retry 503 by itself (`Config::default_retry = false`): a JobManager that is not there
    /// answers so, and the operator wants to know at once.
    pub fn new(client: kube::Client) -> ProxyTransport {
        ProxyTransport { client }
    }
}

impl FlinkTransport for ProxyTransport {
    fn call(
        &self,
        target: &Target,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<http::Response<Bytes>, TransportError>> {
        let client = self.client.clone();
        let target = target.clone();
        Box::pin(async move {
            match tokio::time::timeout(timeout, exchange(client, request, &target)).await {
                Ok(answer) => answer,
                Err(_) => {
                    Err(TransportError::new(Unanswered::Timeout, &target, format!("after {timeout:?}")))
                }
            }
        })
    }
}

fn proxied_path(target: &Target, path: &str) -> String {
    format!("/api/v1/namespaces/{}/services/{}:{}/proxy{path}", target.namespace, target.service, target.port)
}

async fn exchange(
    client: kube::Client,
    request: http::Request<Bytes>,
    target: &Target,
) -> Result<http::Response<Bytes>, TransportError> {
    let failed = |why, detail: String| TransportError::new(why, target, detail);
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |p| p.as_str());
    head.uri =
        proxied_path(target, path).parse().map_err(|e| failed(Unanswered::Protocol, format!("{e}")))?;
    let answer = client
        .send(http::Request::from_parts(head, Body::from(body)))
        .await
        .map_err(|e| failed(Unanswered::Reset, format!("through the Kubernetes API: {e}")))?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX)
        .collect()
        .await
        .map_err(|e| failed(Unanswered::Reset, e.to_string()))?
        .to_bytes();
    match of_the_proxy(head.status.as_u16(), &body) {
        Some((why, message)) => Err(failed(why, message)),
        None => Ok(http::Response::from_parts(head, body)),
    }
}

/// An answer that comes from the API server rather than from Flink.
fn of_the_proxy(code: u16, body: &[u8]) -> Option<(Unanswered, String)> {
    #[derive(Deserialize)]
    struct Status {
        kind: String,
        #[serde(default)]
        message: String,
    }
    if code < 400 {
        return None;
    }
    let message = match serde_json::from_slice::<Status>(body) {
        Ok(s) if s.kind == "Status" => s.message,
        Ok(_) => return None,
        // The proxy's own dial errors are plain text.
        Err(_) => {
            let text = String::from_utf8_lossy(body);
            if !text.contains("error trying to reach service") {
                return None;
            }
            text.trim().to_owned()
        }
    };
    let why = match code {
        404 => Unanswered::Dns,
        504 => Unanswered::Timeout,
        _ if message.contains("timeout") || message.contains("timed out") => Unanswered::Timeout,
        _ if message.contains("reset") || message.contains("EOF") => Unanswered::Reset,
        502 | 503 => Unanswered::Refused,
        _ => Unanswered::Protocol,
    };
    Some((why, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: u16, body: &str, expected: Option<Unanswered>) {
        assert_eq!(of_the_proxy(code, body.as_bytes()).map(|(why, _)| why), expected, "{code} {body}");
    }

    fn status(message: &str) -> String {
        serde_json::json!({ "kind": "Status", "message": message }).to_string()
    }

    #[test]
    fn answers_of_the_proxy_are_not_answers_of_flink() {
        check(503, &status("no endpoints available for service \"a-rest\""), Some(Unanswered::Refused));
        check(404, &status("services \"a-rest\" not found"), Some(Unanswered::Dns));
        check(
            503,
            &status("error trying to reach service: dial tcp: i/o timeout"),
            Some(Unanswered::Timeout),
        );
        check(
            502,
            "error trying to reach service: dial tcp 10.0.0.1:8081: connect: connection refused",
            Some(Unanswered::Refused),
        );
        check(403, &status("services \"a-rest\" is forbidden"), Some(Unanswered::Protocol));
        check(404, r#"{"errors":["org.apache.flink.runtime.rest.NotFoundException: x"]}"#, None);
        check(
            503,
            r#"{"errors":["Service temporarily unavailable due to an ongoing leader election."]}"#,
            None,
        );
        check(200, &status("not an error"), None);
    }

    #[test]
    fn the_path_keeps_its_query() {
        let target = Target::rest("ns", "wordcount", 8081);
        assert_eq!(
            proxied_path(&target, "/v1/jobs/1?mode=cancel"),
            "/api/v1/namespaces/ns/services/wordcount-rest:8081/proxy/v1/jobs/1?mode=cancel"
        );
    }
}
