//! Asking a control endpoint (`fake-kube serve --control`): one request, one answer in JSON, and what it objects to in words
//! that name the next step.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;

/// The server answers at once; a machine may be busy.
const PATIENCE: Duration = Duration::from_secs(10);
const ANSWER_MAX: usize = 4 << 20;

/// The answer to a request, or what the server objects to.
pub async fn ask(endpoint: &str, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
    let answered = match tokio::time::timeout(PATIENCE, exchange(endpoint, method, path, body)).await {
        Ok(answer) => answer,
        Err(_) => Err(anyhow::anyhow!("no answer within {PATIENCE:?}")),
    };
    let (code, answer) = answered.with_context(|| {
        format!(
            "ask the control endpoint {endpoint}; is the server that was started with --control still there?"
        )
    })?;
    if code.is_success() {
        return Ok(answer);
    }
    bail!("do that: {}", complaint(&answer["error"], code))
}

async fn exchange(
    endpoint: &str,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> anyhow::Result<(StatusCode, Value)> {
    let uri: Uri = endpoint.parse().context("it is no address such as http://127.0.0.1:4711")?;
    if uri.scheme_str() != Some("http") {
        bail!("it speaks plain HTTP: http://127.0.0.1:PORT");
    }
    let authority = uri.authority().context("it names no port")?.as_str();
    let stream = tokio::net::TcpStream::connect(authority).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, authority)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body.map(|b| b.to_string()).unwrap_or_default())))?;
    let response = sender.send_request(request).await?;
    let code = response.status();
    let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
    let body = body.map_err(|why| anyhow::anyhow!("read the answer: {why}"))?.to_bytes();
    connection.abort();
    Ok((code, serde_json::from_slice(&body).context("it answers, but not as a control endpoint does")?))
}

/// What the server objects to, in one line and one for the next step.
fn complaint(error: &Value, code: StatusCode) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let field =
        error["field"].as_str().filter(|f| !f.is_empty()).map(|f| format!("{f}: ")).unwrap_or_default();
    let mut out = format!("{field}{}", error["message"].as_str().unwrap_or(code.as_str()));
    let allowed: Vec<String> = error["allowed"].as_array().into_iter().flatten().map(text).collect();
    if let Some(nearest) = error["nearest"].as_str() {
        out.push_str(&format!("\nnext: did you mean `{nearest}`?"));
    }
    if !allowed.is_empty() {
        out.push_str(&format!("\nthere are: {}", allowed.join(", ")));
    }
    out
}
