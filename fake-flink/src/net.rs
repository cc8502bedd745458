//! Requests of the binary to other servers, S3 and the Kubernetes API: one at a time, each with an end.

use std::io::{self, Read as _};
use std::sync::Arc;
use std::time::Duration;

use http::Response;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

/// Trusts these authorities, or those that browsers trust. `longest` is for a request and its answer.
pub(crate) fn agent(authorities: Option<Vec<Certificate<'static>>>, longest: Duration) -> Agent {
    let roots = authorities.map_or(RootCerts::WebPki, |known| RootCerts::Specific(Arc::new(known)));
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .max_redirects(0)
        .timeout_global(Some(longest))
        .tls_config(TlsConfig::builder().root_certs(roots).build());
    config.build().new_agent()
}

/// The body of a success; anything else is an error of the kind that a caller can tell apart.
pub(crate) fn bytes(answer: Result<Response<Body>, ureq::Error>, max: u64) -> io::Result<Vec<u8>> {
    let mut answer = answer.map_err(|why| why.into_io())?;
    let mut bytes = Vec::new();
    answer.body_mut().as_reader().take(max).read_to_end(&mut bytes)?;
    let code = answer.status().as_u16();
    let kind = match code {
        200..=299 => return Ok(bytes),
        404 => io::ErrorKind::NotFound,
        401 | 403 => io::ErrorKind::PermissionDenied,
        409 => io::ErrorKind::AlreadyExists,
        _ => io::ErrorKind::Other,
    };
    let text: String = String::from_utf8_lossy(&bytes).chars().take(300).collect();
    Err(io::Error::new(kind, format!("answered {code}: {text}")))
}

pub(crate) fn text(answer: Result<Response<Body>, ureq::Error>, max: u64) -> io::Result<String> {
    let bytes = bytes(answer, max)?;
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8"))
}
