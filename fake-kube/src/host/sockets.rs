//! One request to a process that listens on this machine: for probes, and for the proxy of the API server.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

pub async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // A request is small, and somebody waits for its answer.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The whole answer; headers that belong to the connection are left out, both ways.
///
/// # Errors
/// Nothing listens there, the connection ends early, or the answer is longer than `max`.
pub async fn exchange(
    address: SocketAddr,
    request: Request<Bytes>,
    max: usize,
) -> io::Result<Response<Bytes>> {
    let stream = connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let connection = AbortOnDrop(tokio::spawn(connection));
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    head.uri = path.parse().map_err(io::Error::other)?;
    strip(&mut head.headers);
    let host = header::HeaderValue::from_str(&address.to_string()).map_err(io::Error::other)?;
    head.headers.insert(header::HOST, host);
    let answer = sender.send_request(Request::from_parts(head, Full::new(body)));
    let (mut head, body) = answer.await.map_err(io::Error::other)?.into_parts();
    let body = Limited::new(body, max).collect().await.map_err(io::Error::other)?.to_bytes();
    drop(connection);
    strip(&mut head.headers);
    // What the process speaks is between the two of us.
    head.version = http::Version::HTTP_11;
    Ok(Response::from_parts(head, body))
}

fn strip(headers: &mut http::HeaderMap) {
    for name in [
        header::CONNECTION,
        header::UPGRADE,
        header::TRANSFER_ENCODING,
        header::CONTENT_LENGTH,
        header::TE,
        header::TRAILER,
    ] {
        headers.remove(name);
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<Result<(), hyper::Error>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
