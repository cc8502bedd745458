//! Who calls admission webhooks: pods behind a Service of this cluster, or HTTPS servers outside.
//!
//! A Service whose pods are programs of this cluster is asked through the cluster's own network, without TLS, for there
//! is no wire. Everything else is a real HTTPS request, if the cluster may make any ([`Outside`]); errors read as Go's
//! HTTP client words them. Leaves out: kubeconfigs for webhooks, HTTP/2, connections kept open.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, TryLockError, Weak};
use std::task::Poll;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use fake_kube_apiserver::{Answered, Question, Webhooks};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{WebPkiServerVerifier, verify_server_name};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, crypto,
};

use crate::dial::{self, DialError};
use crate::engine::Engine;
use crate::json::{items, text};
use crate::view::resource as r;

type Call = Pin<Box<dyn Future<Output = Answered> + Send + 'static>>;

/// An answer larger than this is none.
const ANSWER_MAX: usize = 8 << 20;

/// Whether questions may leave the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// Virtual time and no sockets: only programs of the cluster are asked.
    Unreachable,
    Https,
}

/// See the module.
pub(crate) struct Carrier {
    pub(crate) engine: Weak<Mutex<Engine>>,
    pub(crate) outside: Outside,
}

/// Calls webhooks over HTTPS, for an API server without a cluster: Services lead nowhere.
pub fn over_https() -> Arc<dyn Webhooks> {
    Arc::new(Carrier { engine: Weak::new(), outside: Outside::Https })
}

impl Webhooks for Carrier {
    fn call(&self, question: &Question) -> Call {
        let (engine, outside) = (self.engine.clone(), self.outside);
        let question = question.clone();
        Box::pin(async move {
            let (host, port) = host_and_port(&question);
            let mut address = None;
            if question.client["service"].is_object() {
                match inside(&engine, &question, &host, port).await {
                    Inside::Answered(answered) => return answered,
                    Inside::Elsewhere(found) => address = found,
                }
            }
            match outside {
                Outside::Https => https(&question, &host, port, address).await,
                Outside::Unreachable => Err(format!("dial tcp: lookup {host}: no such host")),
            }
        })
    }
}

/// What the cluster's network says to a question for one of its Services.
enum Inside {
    Answered(Answered),
    /// No pod answers; the Service's endpoints may name an address outside of the cluster.
    Elsewhere(Option<SocketAddr>),
}

/// Waits for the cluster: a controller that writes holds it while it asks.
async fn inside(engine: &Weak<Mutex<Engine>>, question: &Question, host: &str, port: u16) -> Inside {
    poll_fn(|cx| {
        let Some(engine) = engine.upgrade() else { return Poll::Ready(Inside::Elsewhere(None)) };
        let mut guard = match engine.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        };
        Poll::Ready(asked_inside(&mut guard, question, host, port))
    })
    .await
}

fn asked_inside(engine: &mut Engine, question: &Question, host: &str, port: u16) -> Inside {
    let service = &question.client["service"];
    let (name, namespace) = (text(service, "/name"), text(service, "/namespace"));
    let Some(found) = engine.view.get(r::SERVICES, namespace, name).cloned() else {
        return Inside::Answered(Err(format!("service \"{name}\" not found")));
    };
    engine.dials = engine.dials.wrapping_add(1);
    let refused = || {
        let ip = text(&found, "/spec/clusterIP");
        Inside::Answered(Err(format!("dial tcp {ip}:{port}: connect: connection refused")))
    };
    let (key, target) = match dial::resolve(&engine.view, host, port, engine.dials) {
        Ok(found) => found,
        Err(_) => {
            let outside = engine
                .view
                .get(r::ENDPOINTS, namespace, name)
                .and_then(|endpoints| outside_address(endpoints, &found, port));
            return outside.map_or_else(refused, |address| Inside::Elsewhere(Some(address)));
        }
    };
    let body = Bytes::from(question.review.to_string());
    let request = http::Request::post(question.path.as_str())
        .header("host", host)
        .header("content-type", "application/json")
        .body(body);
    let Ok(request) = request else {
        return Inside::Answered(Err("the path of the webhook is no path".to_owned()));
    };
    let now = engine.now();
    let answer = engine.kubelet.http(&engine.view, &key, &engine.faults, target, &request, now);
    engine.wake(crate::Controller::Kubelet, key);
    match answer {
        Ok(response) => {
            let code = response.status().as_u16();
            Inside::Answered(Ok((code, response.into_body())))
        }
        Err(DialError::Refused) => refused(),
        Err(_) => Inside::Answered(Err(format!("dial tcp {host}:{port}: i/o timeout"))),
    }
}

/// Endpoints that somebody wrote by hand lead out of the cluster.
fn outside_address(endpoints: &Value, service: &Value, port: u16) -> Option<SocketAddr> {
    let named = items(service, "/spec/ports").iter().find(|p| p["port"].as_u64() == Some(port.into()));
    let wanted = named.map_or("", |p| text(p, "/name"));
    let subset = items(endpoints, "/subsets").first()?;
    let ip = text(items(subset, "/addresses").first()?, "/ip").parse().ok()?;
    let ports = items(subset, "/ports");
    let chosen = ports.iter().find(|p| text(p, "/name") == wanted).or_else(|| ports.first())?;
    Some(SocketAddr::new(ip, u16::try_from(chosen["port"].as_u64()?).ok()?))
}

fn host_and_port(question: &Question) -> (String, u16) {
    let authority = question.url.split('/').nth(2).unwrap_or("");
    match authority.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?))) {
        Some((host, port)) => (host.trim_matches(['[', ']']).to_owned(), port),
        None => (authority.trim_matches(['[', ']']).to_owned(), 443),
    }
}

async fn https(question: &Question, host: &str, port: u16, address: Option<SocketAddr>) -> Answered {
    let stream = match address {
        Some(address) => TcpStream::connect(address).await,
        None => TcpStream::connect((host, port)).await,
    };
    let shown = address.map_or_else(|| format!("{host}:{port}"), |a| a.to_string());
    let stream = stream.map_err(|e| match e.kind() {
        std::io::ErrorKind::ConnectionRefused => format!("dial tcp {shown}: connect: connection refused"),
        std::io::ErrorKind::TimedOut => format!("dial tcp {shown}: i/o timeout"),
        _ if host.parse::<std::net::IpAddr>().is_err() => format!("dial tcp: lookup {host}: no such host"),
        _ => format!("dial tcp {shown}: {e}"),
    })?;
    let config = trusting(text(&question.client, "/caBundle"))?;
    let name = ServerName::try_from(host.to_owned()).map_err(|e| e.to_string())?;
    let stream =
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|e| tls_error(&e, host))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    let request = http::Request::post(question.path.as_str())
        .header("host", format!("{host}:{port}"))
        .header("user-agent", "kube-apiserver-admission")
        .header("accept", "application/json, */*")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(question.review.to_string())))
        .map_err(|e| e.to_string())?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
        let code = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
        body.map(|b| (code, b.to_bytes())).map_err(|e| e.to_string())
    };
    // The connection does the work the exchange waits for; it ends with it.
    let mut connection = std::pin::pin!(connection);
    let mut exchange = std::pin::pin!(exchange);
    let mut open = true;
    poll_fn(|cx| {
        if open && connection.as_mut().poll(cx).is_ready() {
            open = false;
        }
        let answered = exchange.as_mut().poll(cx);
        if answered.is_pending() && open && connection.as_mut().poll(cx).is_ready() {
            open = false;
            return exchange.as_mut().poll(cx);
        }
        answered
    })
    .await
}

fn trusting(bundle: &str) -> Result<ClientConfig, String> {
    let pem = STANDARD.decode(bundle).map_err(|e| format!("caBundle: {e}"))?;
    let mut roots = RootCertStore::empty();
    let mut trusted = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| format!("caBundle: {e}"))?;
        // One that cannot be an anchor may still be the server's own.
        let _ = roots.add(certificate.clone());
        trusted.push(certificate);
    }
    if roots.is_empty() {
        return Err(UNKNOWN_AUTHORITY.to_owned());
    }
    let provider = Arc::new(crypto::ring::default_provider());
    let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|e| e.to_string())?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Bundle { chain, trusted }))
        .with_no_client_auth();
    Ok(config)
}

/// Trusts what the bundle vouches for, and a certificate that is in the bundle itself: self-signed ones, which Go takes
/// and webpki does not, are what most webhooks start with.
#[derive(Debug)]
struct Bundle {
    chain: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Bundle {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.trusted.iter().any(|t| t == own) {
            verify_server_name(&ParsedCertificate::try_from(own)?, name)?;
            return Ok(ServerCertVerified::assertion());
        }
        self.chain.verify_server_cert(own, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

const UNKNOWN_AUTHORITY: &str =
    "tls: failed to verify certificate: x509: certificate signed by unknown authority";

fn tls_error(e: &std::io::Error, host: &str) -> String {
    let inner = e.get_ref().and_then(|e| e.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => UNKNOWN_AUTHORITY.to_owned(),
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => format!(
            "tls: failed to verify certificate: x509: certificate is not valid for any names, but wanted to match {host}"
        ),
        Some(Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => {
            "tls: failed to verify certificate: x509: certificate has expired or is not yet valid".to_owned()
        }
        Some(other) => format!("tls: {other}"),
        None if e.kind() == std::io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
        None => e.to_string(),
    }
}
