//! A throw-away certificate authority: ECDSA P-256, for JVM clients do not take Ed25519 everywhere (kube-api.md 2.14).

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};

const NAMES: [&str; 4] = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];

/// A CA, and a server configuration with a certificate of it. Lives as long as the listener.
pub struct Authority {
    pub ca_pem: String,
    pub(super) server: Arc<ServerConfig>,
    issuer: Issuer<'static, KeyPair>,
}

/// PEM of a client's certificate and key.
pub(super) struct ClientPair {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Authority {
    pub(super) fn new(bound: IpAddr) -> anyhow::Result<Authority> {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject_of("fake-kube-ca", None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().context("make a key for the CA")?;
        let ca = params.self_signed(&key).context("sign the CA certificate")?;
        let issuer = Issuer::new(params, key);
        let (certificate, key) = server_pair(&issuer, bound)?;
        let mut roots = RootCertStore::empty();
        roots.add(ca.der().clone()).context("trust the CA")?;
        let provider = Arc::new(crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .allow_unauthenticated()
            .build()
            .context("set up client certificates")?;
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("set up TLS")?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate], key)
            .context("use the server certificate")?;
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Authority { ca_pem: ca.pem(), server: Arc::new(server), issuer })
    }

    pub(super) fn client(&self, user: &str, group: &str) -> anyhow::Result<ClientPair> {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject_of(user, Some(group));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().context("make a client key")?;
        let certificate = params.signed_by(&key, &self.issuer).context("sign the client certificate")?;
        Ok(ClientPair { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

fn subject_of(common_name: &str, organization: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(o) = organization {
        name.push(DnType::OrganizationName, o);
    }
    name.push(DnType::CommonName, common_name);
    name
}

fn server_pair(
    issuer: &Issuer<'static, KeyPair>,
    bound: IpAddr,
) -> anyhow::Result<(CertificateDer<'static>, PrivateKeyDer<'static>)> {
    let names: Vec<String> = NAMES.iter().map(|n| (*n).to_owned()).collect();
    let mut params = CertificateParams::new(names).context("name the server")?;
    params.distinguished_name = subject_of("fake-kube", None);
    for ip in [
        IpAddr::from([127, 0, 0, 1]),
        IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1_u16]),
        IpAddr::from([10, 96, 0, 1]),
        bound,
    ] {
        params.subject_alt_names.push(SanType::IpAddress(ip));
    }
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().context("make a server key")?;
    let certificate = params.signed_by(&key, issuer).context("sign the server certificate")?;
    let key = PrivateKeyDer::try_from(key.serialize_der())
        .map_err(|e| anyhow::anyhow!("use the server key: {e}"))?;
    Ok((certificate.der().clone(), key))
}

/// CN and Os of a certificate's subject. Reads only what it needs of the DER; anything odd is no identity.
pub(super) fn subject(der: &[u8]) -> Option<(String, Vec<String>)> {
    let certificate = element(der, 0x30)?.0;
    let mut rest = element(certificate, 0x30)?.0;
    if rest.first() == Some(&0xa0) {
        rest = element(rest, 0xa0)?.1;
    }
    // serialNumber, signature, issuer, validity come before the subject.
    for tag in [0x02, 0x30, 0x30, 0x30] {
        rest = element(rest, tag)?.1;
    }
    let mut names = element(rest, 0x30)?.0;
    let (mut common_name, mut organizations) = (None, Vec::new());
    while !names.is_empty() {
        let (set, after) = element(names, 0x31)?;
        names = after;
        let (oid, value) = element(element(set, 0x30)?.0, 0x06)?;
        let text = String::from_utf8(element(value, *value.first()?)?.0.to_vec()).ok()?;
        match oid {
            [0x55, 0x04, 0x03] => common_name = Some(text),
            [0x55, 0x04, 0x0a] => organizations.push(text),
            _ => {}
        }
    }
    Some((common_name?, organizations))
}

/// The content of the first DER element if it has this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    if *first != tag {
        return None;
    }
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        0x81..=0x84 => {
            let bytes = rest.get(..usize::from(length & 0x7f))?;
            let value = bytes.iter().fold(0_usize, |n, b| n << 8 | usize::from(*b));
            (value, &rest[bytes.len()..])
        }
        _ => return None,
    };
    Some((rest.get(..length)?, rest.get(length..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_read_back() {
        let authority = Authority::new(IpAddr::from([127, 0, 0, 1])).expect("an authority");
        let pair = authority.client("alice", "dev").expect("a client");
        let pem = pair.certificate;
        let body: String = pem.lines().filter(|l| !l.starts_with("-----")).collect();
        let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, body).expect("base64");
        assert_eq!(subject(&der), Some(("alice".into(), vec!["dev".into()])));
        for cut in 0..der.len() {
            // Whatever a client sends: no panic.
            let _ = subject(&der[..cut]);
        }
    }
}
