//! The listener over real sockets: plain HTTP and TLS, identities, bounds, shutdown; some recorded cases through it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fake_kube::{Cluster, Identities, Knobs, ListenOptions, Shell, listen};
use fake_kube_apiserver::{ApiServer, Clock, HistoryLimits, Options, Resource, User};
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use crate::support::VirtualClock;

/// Real sockets with a clock that runs: epoch + elapsed, not paused.
pub fn on_loopback<F: Future<Output = ()>>(
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
        options.proxy.set(cluster.clone());
        let listening = listen(api.clone(), options).await.expect("a listener");
        tell(listening.addr, api, listening).await;
        running.abort();
    });
}

pub fn plain() -> ListenOptions {
    ListenOptions { tls: false, ..ListenOptions::default() }
}

/// One HTTP/1.1 exchange on a connection of its own; `head` is the request line and any headers.
pub async fn exchange(addr: SocketAddr, head: &str, body: &str) -> (u16, String) {
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
fn a_certificate_and_http_2_over_tls() {
    on_loopback(ListenOptions::default(), |_, _, listening| async move {
        // What the kubeconfig carries is enough for a client: CA, certificate, key.
        let part = |key: &str| {
            use base64::Engine;
            let line = listening.kubeconfig.lines().find_map(|l| l.trim().strip_prefix(key));
            let text = line.expect(key).trim_start_matches(':').trim();
            base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
        };
        let certs =
            |pem: &[u8]| CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().expect("PEM");
        let mut roots = RootCertStore::empty();
        roots.add(certs(&part("certificate-authority-data")).remove(0)).expect("a CA");
        let key = PrivateKeyDer::from_pem_slice(&part("client-key-data")).expect("a key");
        let mut config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_client_auth_cert(certs(&part("client-certificate-data")), key)
            .expect("a client certificate");
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = tokio::net::TcpStream::connect(listening.addr).await.expect("connected");
        let name = ServerName::try_from("localhost").expect("a name");
        let stream =
            tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("TLS");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        let (mut send, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .expect("HTTP/2");
        tokio::spawn(connection);
        let review = r#"{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}"#;
        let request = http::Request::post(format!(
            "{}/apis/authentication.k8s.io/v1/selfsubjectreviews",
            listening.url
        ))
        .header("content-type", "application/json")
        .body(Full::new(bytes::Bytes::from(review)))
        .expect("a request");
        let response = send.send_request(request).await.expect("an answer");
        assert_eq!(
            (response.status(), response.version()),
            (http::StatusCode::CREATED, http::Version::HTTP_2)
        );
        listening.shutdown().await;
    });
}

#[test]
fn large_requests_are_refused() {
    on_loopback(plain(), |addr, _, listening| async move {
        let (code, body) =
            exchange(addr, "POST /api/v1/namespaces HTTP/1.1", &"x".repeat((3 << 20) + 1)).await;
        assert_eq!((code, body.contains("limit is 3145728")), (413, true), "{body}");
        let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(exchange(addr, "POST /api/v1/namespaces HTTP/1.1", &deep).await.0, 400);
        let long = format!("GET /readyz HTTP/1.1\r\nX-Long: {}", "x".repeat(200 << 10));
        assert_eq!(exchange(addr, &long, "").await.0, 431);
        listening.shutdown().await;
    });
}

/// Nothing is queued for a watcher that does not read: the history goes on without it, and it is told.
#[test]
fn a_slow_watcher_is_cut_off_with_410() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new());
        let history = HistoryLimits { events: 50, ..HistoryLimits::default() };
        let api = ApiServer::new(Options { history, ..Options::new(clock) });
        let listening = listen(api.clone(), plain()).await.expect("a listener");
        let mut stream = tokio::net::TcpStream::connect(listening.addr).await.expect("connected");
        let request = "GET /api/v1/configmaps?watch=true HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut first = [0_u8; 12];
        stream.read_exact(&mut first).await.expect("a head");
        let client = api.client("t");
        let data = "x".repeat(50_000);
        for i in 0..1000 {
            let object = json!({"metadata": {"name": format!("c{i}")}, "data": {"k": data}});
            client.create(&Resource::core("configmaps"), "default", object).expect("created");
            tokio::task::yield_now().await;
        }
        let mut rest = Vec::new();
        tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest))
            .await
            .expect("the watch ends")
            .expect("read");
        let text = String::from_utf8_lossy(&rest);
        assert!(text.contains("\"type\":\"ERROR\"") && text.contains("\"code\":410"), "{} bytes", rest.len());
        assert!(text.matches("\"type\":\"ADDED\"").count() < 1000);
        listening.shutdown().await;
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
        // Or guarded: nobody is an administrator for having reached the port.
        let mut identities = Identities::default();
        identities.add("s3cret", User::new("alice", &["dev"]));
        let api = ApiServer::new(Options::new(Arc::new(VirtualClock::new())));
        let bind = SocketAddr::from(([0, 0, 0, 0], 0));
        let options = ListenOptions { bind, identities, ..ListenOptions::default() };
        assert!(listen(api, options).await.is_ok());
    });
}

/// Reads until the server closes, or says nothing for a long time.
async fn closed(stream: &mut tokio::net::TcpStream) -> bool {
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await.is_ok()
}

#[test]
fn who_asks_nothing_is_not_waited_for() {
    let patience =
        fake_kube::listen::Patience { idle: Duration::from_millis(300), body: Duration::from_millis(300) };
    let options = ListenOptions { patience: Some(patience), connections_max: 4, ..plain() };
    on_loopback(options, |addr, api, listening| async move {
        let connect = || async { tokio::net::TcpStream::connect(addr).await.expect("connected") };
        // Nothing at all; half a head, byte by byte; half a body.
        let mut silent = connect().await;
        let mut slow = connect().await;
        let mut unfinished = connect().await;
        let head = "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{";
        unfinished.write_all(head.as_bytes()).await.expect("sent");
        let trickle = tokio::spawn(async move {
            for byte in "GET /api HTTP/1.1\r\nX-Long: ".bytes().chain(std::iter::repeat_n(b'x', 500)) {
                if slow.write_all(&[byte]).await.is_err() {
                    return true;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            false
        });
        // A watch is a request under way, however quiet.
        let mut watch = connect().await;
        let head = "GET /api/v1/namespaces/default/configmaps?watch=true HTTP/1.1\r\nHost: x\r\n\r\n";
        watch.write_all(head.as_bytes()).await.expect("sent");
        assert!(closed(&mut silent).await);
        assert!(trickle.await.expect("no panic"), "cut off in the middle of its head");
        let mut answer = [0_u8; 12];
        unfinished.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 400");
        drop(unfinished);
        tokio::time::sleep(Duration::from_millis(900)).await;
        let map = json!({"metadata": {"name": "late"}});
        api.client("test").create(&Resource::core("configmaps"), "default", map).expect("created");
        let mut text = String::new();
        let mut buffer = [0_u8; 4096];
        while !text.contains("\"late\"") {
            let n = watch.read(&mut buffer).await.expect("still open");
            assert_ne!(n, 0, "the watch ended: {text}");
            text.push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
        listening.shutdown().await;
    });
}
