//! The listener over real sockets: plain HTTP and TLS, identities, bounds, shutdown; some recorded cases through it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fake_kube::{Cluster, Identities, Knobs, ListenOptions, Shell, listen};
use fake_kube_apiserver::{ApiServer, Clock, Options, User};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::VirtualClock;

/// Real sockets with a clock that runs: epoch + elapsed, not paused.
fn on_loopback<F: Future<Output = ()>>(
    options: ListenOptions,
    tell: impl FnOnce(SocketAddr, ApiServer, fake_kube::Listening) -> F,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new());
        let api = ApiServer::new(Options::new(clock.clone()));
        let cluster = Cluster::new(api.clone(), clock, Knobs::instant(), Arc::new(Shell));
        let running = tokio::spawn({
            let cluster = cluster.clone();
            async move { cluster.run(std::future::pending()).await }
        });
        let listening = listen(api.clone(), options).await.expect("a listener");
        tell(listening.addr, api, listening).await;
        running.abort();
    });
}

fn plain() -> ListenOptions {
    ListenOptions { tls: false, ..ListenOptions::default() }
}

/// One HTTP/1.1 exchange on a connection of its own; `head` is the request line and any headers.
async fn exchange(addr: SocketAddr, head: &str, body: &str) -> (u16, String) {
    let mut stream = tokio::net::TcpStream::connect(addr).await.expect("connected");
    let text = format!(
        "{head}\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status line");
    (status, answer.split_once("\r\n\r\n").map(|(_, b)| b.to_owned()).unwrap_or_default())
}

#[test]
fn objects_travel_over_a_socket_and_controllers_see_them() {
    on_loopback(plain(), |addr, api, listening| async move {
        assert_eq!(exchange(addr, "GET /readyz HTTP/1.1", "").await, (200, "ok".into()));
        let deployment = crate::support::deployment("d", 1).to_string();
        let (code, _) =
            exchange(addr, "POST /apis/apps/v1/namespaces/default/deployments HTTP/1.1", &deployment).await;
        assert_eq!(code, 201);
        let mut ready = false;
        for _ in 0..200 {
            let (_, body) =
                exchange(addr, "GET /apis/apps/v1/namespaces/default/deployments/d HTTP/1.1", "").await;
            let d: Value = serde_json::from_str(&body).expect("JSON");
            ready = d["status"]["readyReplicas"] == 1;
            if ready {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        assert!(ready, "{:?}", api.client("t").list(&fake_kube_apiserver::Resource::core("pods"), "", ""));
        listening.shutdown().await;
        assert!(tokio::net::TcpStream::connect(addr).await.is_err(), "closed after shutdown");
    });
}

#[test]
fn tokens_decide_who_asks() {
    let mut identities = Identities::default();
    identities.add("s3cret", User::new("alice", &["dev"]));
    let options = ListenOptions { identities, ..plain() };
    on_loopback(options, |addr, _, listening| async move {
        let get = |token: &'static str| async move {
            let headers = format!("GET /api/v1/namespaces/default HTTP/1.1\r\nAuthorization: Bearer {token}");
            exchange(addr, &headers, "").await
        };
        let (code, body) = get("wrong").await;
        assert_eq!(code, 401);
        assert_eq!(serde_json::from_str::<Value>(&body).expect("a Status")["message"], "Unauthorized");
        assert_eq!(get("s3cret").await.0, 200);
        listening.shutdown().await;
    });
}

#[test]
fn a_watch_ends_with_the_listener() {
    on_loopback(plain(), |addr, _, listening| async move {
        let mut stream = tokio::net::TcpStream::connect(addr).await.expect("connected");
        let request = "GET /api/v1/namespaces/default/configmaps?watch=true HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut first = [0_u8; 12];
        stream.read_exact(&mut first).await.expect("a head");
        assert_eq!(&first, b"HTTP/1.1 200");
        tokio::time::timeout(Duration::from_secs(5), listening.shutdown()).await.expect("bounded");
        let mut rest = Vec::new();
        tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest))
            .await
            .expect("closed")
            .ok();
    });
}

#[test]
fn other_addresses_must_be_wanted() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let api = ApiServer::new(Options::new(Arc::new(VirtualClock::new())));
        let options = ListenOptions { bind: SocketAddr::from(([0, 0, 0, 0], 0)), ..ListenOptions::default() };
        let error = listen(api, options).await.err().expect("refused");
        assert!(error.to_string().contains("--insecure-bind"), "{error}");
    });
}
