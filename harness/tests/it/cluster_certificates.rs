//! Certificates and other credentials that a server refuses, or that cannot be used: which of them, and until when it was valid,
//! is told before anything is played.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::cluster_bad_input::{SCENARIO, kubeconfig, refused};

struct Authority {
    certificate: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key, both as PEM.
struct Pair {
    certificate: String,
    der: CertificateDer<'static>,
    key: KeyPair,
}

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let own = params.self_signed(&key).expect("a certificate");
    Authority { certificate: own.der().clone(), pem: own.pem(), issuer: Issuer::new(params, key) }
}

impl Authority {
    /// For a server or a client, valid from 2020 until the first of January of this year.
    fn pair(&self, until: i32) -> Pair {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.subject_alt_names.push(SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()));
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(until, 1, 1));
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &self.issuer).expect("a certificate");
        Pair { certificate: signed.pem(), der: signed.der().clone(), key }
    }
}

/// Answers every request with 401, as a kube-apiserver does whose own check of a client's certificate fails. With `clients`
/// the handshake asks for a certificate of theirs.
fn serve(own: &Pair, clients: Option<&Authority>) -> SocketAddr {
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = builder.expect("TLS");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.certificate.clone()).expect("trusted");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
    };
    let key = PrivateKeyDer::Pkcs8(own.key.serialize_der().into());
    let server = builder.with_single_cert(vec![own.der.clone()], key).expect("a server");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    listener.set_nonblocking(true).expect("a socket");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            let acceptor = TlsAcceptor::from(Arc::new(server));
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut request = [0; 4096];
                let body = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}"#;
                let answer = format!(
                    "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                // A client that is gone already has heard enough.
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
    });
    address
}

fn user_with(pair: &Pair) -> String {
    let (certificate, key) = (STANDARD.encode(&pair.certificate), STANDARD.encode(pair.key.serialize_pem()));
    format!("client-certificate-data: {certificate}, client-key-data: {key}")
}

/// A year that no test will see.
const LATER: i32 = 2400;

#[test]
fn certificates_that_are_refused_are_named_with_their_dates() {
    let (ours, made_anew, theirs) = (authority("a"), authority("a"), authority("b"));
    let folder = tempfile::tempdir().expect("a folder");
    let check = |server: SocketAddr, trusted: &Authority, user: &str, said: &[&str]| {
        let config = kubeconfig(folder.path(), &format!("https://{server}"), &trusted.pem, user);
        refused(folder.path(), SCENARIO, &config, &[], said);
    };
    let server = ours.pair(LATER);
    let (run_out, fine) = (ours.pair(2021), ours.pair(LATER));

    let old = serve(&ours.pair(2021), None);
    check(old, &ours, "token: t", &["could not reach", "a certificate has run out"]);
    let plain = serve(&server, None);
    check(plain, &theirs, "token: t", &["could not reach", "not of the kubeconfig's authority"]);

    let strict = serve(&server, Some(&ours));
    let until = "its client certificate is valid until 2021-01-01T00:00:00Z";
    check(strict, &ours, &user_with(&run_out), &["could not reach", "a certificate has run out", until]);
    let said = ["could not reach", "does not know who signed the kubeconfig's client certificate"];
    check(strict, &ours, &user_with(&theirs.pair(LATER)), &said);
    check(strict, &ours, &user_with(&made_anew.pair(LATER)), &said);
    check(strict, &ours, &user_with(&fine), &["does not accept the credentials", "until 2400-01-01"]);
    // A real API server takes part in the handshake and says 401 afterwards.
    check(plain, &ours, &user_with(&run_out), &["does not accept the credentials", until]);
    check(plain, &ours, "token: t", &["does not accept the credentials", "if the token has expired"]);
}

#[test]
fn credentials_that_cannot_be_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let ours = authority("a");
    let server = serve(&ours.pair(LATER), None);
    let check = |user: &str, said: &[&str]| {
        let config = kubeconfig(folder.path(), &format!("https://{server}"), &ours.pem, user);
        refused(folder.path(), SCENARIO, &config, &[], said);
    };
    let missing = Path::new("/nowhere/token");
    check(&format!("tokenFile: {}", missing.display()), &["could not use", "/nowhere/token"]);
    let plugin = "exec: {apiVersion: client.authentication.k8s.io/v1, command: no-such-plugin, interactiveMode: Never}";
    check(plugin, &["could not use", "no-such-plugin"]);
    check("client-certificate-data: bm90aGluZw==, client-key-data: bm90aGluZw==", &["could not use"]);
}
