//! The file server of the web dashboard: one origin for the page and for REST, whatever is no operation is a file.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use jiff::Timestamp;

use super::error::RestError;
use super::{Answer, Reply, typed};
use crate::model::cluster::Cluster;

/// Shown where the dashboard's own files are not at hand.
const STAND_IN: &str = include_str!("stand_in.html");
/// How long a browser may keep a file (recorded).
const FRESH_MS: i64 = 300_000;

pub(super) fn serve(cluster: &Cluster, req: &Request<Bytes>, path: &str) -> Answer {
    let path = if path.ends_with('/') { format!("{path}index.html") } else { path.to_owned() };
    let name = path.strip_prefix('/').unwrap_or(&path);
    let file = match &cluster.dashboard {
        Some(dashboard) => dashboard.file(name),
        None => (name == "index.html").then(|| ("text/html", Bytes::from_static(STAND_IN.as_bytes()))),
    };
    let Some((kind, content)) = file else {
        let text = format!("Unable to load requested file {path}.");
        return Err(RestError::bare(StatusCode::NOT_FOUND, text));
    };
    // Files are unpacked when the JobManager starts.
    let unpacked = http_date(cluster.started);
    if req.headers().get(header::IF_MODIFIED_SINCE).is_some_and(|since| *since == unpacked) {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().insert(header::DATE, http_date(cluster.now));
        return Ok(Reply::File(response));
    }
    let mut response = typed(StatusCode::OK, kind, content);
    let headers = response.headers_mut();
    headers.remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
    headers.insert(header::DATE, http_date(cluster.now));
    headers.insert(header::EXPIRES, http_date(cluster.now + FRESH_MS));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=300"));
    headers.insert(header::LAST_MODIFIED, unpacked);
    Ok(Reply::File(response))
}

fn http_date(at_ms: i64) -> HeaderValue {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::MAX);
    let text = at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))
}
