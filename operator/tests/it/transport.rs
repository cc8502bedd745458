//! What the transports make of peers that do not answer.

use std::time::Duration;

use bytes::Bytes;
use drey_operator::flink::{DirectTransport, FlinkTransport, Target, Unanswered};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

async fn call(authority: String) -> Result<http::Response<Bytes>, Unanswered> {
    let transport = DirectTransport::with_authority(move |_| authority.clone());
    let request = http::Request::get("/v1/config").body(Bytes::new()).unwrap();
    let target = Target::rest("ns", "wordcount", 8081);
    transport.call(&target, request, Duration::from_millis(300)).await.map_err(|e| e.why)
}

/// A peer that reads the request, writes `answer` and closes.
async fn peer(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

#[tokio::test]
async fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    assert_eq!(call(address).await.unwrap_err(), Unanswered::Refused);
}

#[tokio::test]
async fn the_peer_hangs_up() {
    assert_eq!(call(peer("").await).await.unwrap_err(), Unanswered::Reset);
    let half = peer("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").await;
    assert_eq!(call(half).await.unwrap_err(), Unanswered::Reset);
}

#[tokio::test]
async fn the_peer_says_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    assert_eq!(call(address).await.unwrap_err(), Unanswered::Timeout);
}

#[tokio::test]
async fn the_name_is_not_known() {
    assert_eq!(call("wordcount-rest.ns.invalid:8081".to_owned()).await.unwrap_err(), Unanswered::Dns);
}

#[tokio::test]
async fn the_peer_speaks_something_else() {
    assert_eq!(call(peer("SSH-2.0-OpenSSH_9.6\r\n\r\n").await).await.unwrap_err(), Unanswered::Protocol);
}

#[tokio::test]
async fn an_error_is_an_answer() {
    let answer =
        call(peer("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}").await).await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.body(), "{}");
}
