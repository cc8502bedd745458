//! Bodies of requests: small ones in memory, forms with files on disk as they come. What the model wants of an uploaded
//! jar is read from there; the file is gone with the request.

use std::io::Write as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{Request, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tempfile::SpooledTempFile;

use super::listen::Limits;
use crate::rest::{Uploads, is_form};

/// The body is longer than allowed, or never came whole.
pub struct TooLarge {
    pub max: u64,
}

/// A form of less than this stays in memory.
const MEMORY_MAX: usize = 1 << 20;

pub async fn read(head: Parts, body: Incoming, limits: &Limits) -> Result<Request<Bytes>, TooLarge> {
    if body.is_end_stream() {
        return Ok(Request::from_parts(head, Bytes::new()));
    }
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(str::to_owned);
    match kind.filter(|kind| is_form(&head.method, kind)) {
        Some(kind) => upload(head, body, &kind, limits).await,
        None => {
            let bytes = in_memory(body, limits).await?;
            Ok(Request::from_parts(head, bytes))
        }
    }
}

async fn in_memory(mut body: Incoming, limits: &Limits) -> Result<Bytes, TooLarge> {
    let too_large = || TooLarge { max: limits.body as u64 };
    let mut whole = BytesMut::new();
    while let Some(data) = next(&mut body, limits.idle).await.map_err(|Unfinished| too_large())? {
        if whole.len() + data.len() > limits.body {
            return Err(too_large());
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

async fn upload(
    mut head: Parts,
    mut body: Incoming,
    kind: &str,
    limits: &Limits,
) -> Result<Request<Bytes>, TooLarge> {
    let too_large = || TooLarge { max: limits.upload };
    let mut file = SpooledTempFile::new(MEMORY_MAX);
    let mut length = 0;
    while let Some(data) = next(&mut body, limits.idle).await.map_err(|Unfinished| too_large())? {
        length += data.len() as u64;
        // A disk that is full cannot take it either.
        if length > limits.upload || file.write_all(&data).is_err() {
            return Err(too_large());
        }
    }
    let kind = kind.to_owned();
    let read = tokio::task::spawn_blocking(move || Uploads::read(&kind, &mut file)).await;
    head.extensions.insert(read.unwrap_or_default());
    Ok(Request::from_parts(head, Bytes::new()))
}

struct Unfinished;

/// The next piece; whoever is silent for too long has given up.
async fn next(body: &mut Incoming, idle: Duration) -> Result<Option<Bytes>, Unfinished> {
    loop {
        match tokio::time::timeout(idle, body.frame()).await {
            Ok(None) => return Ok(None),
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => return Ok(Some(data)),
                Err(_trailers) => {}
            },
            Ok(Some(Err(_))) | Err(_) => return Err(Unfinished),
        }
    }
}
