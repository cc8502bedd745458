//! What is wrong with a cluster is told before anything is played there, with the next step and exit code 2.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::support::{binary, drey, text};

const SCENARIO: &str = "apiVersion: drey/v1
kind: Scenario
metadata: {name: waits}
modes: [cluster]
steps: [{advance: 1s}]
";

fn write(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).expect("written");
    path
}

/// Must end with 2 and say these; nothing may have run.
fn refused(folder: &Path, scenario: &str, kubeconfig: &Path, more: &[&str], said: &[&str]) {
    let scenario = write(folder, "waits.yaml", scenario);
    let mut command = drey();
    command.arg("run").arg(scenario).args(["--mode", "cluster", "--kubeconfig"]).arg(kubeconfig).args(more);
    let out = command.output().expect("drey runs");
    let all = format!("{}{}", text(&out.stdout), text(&out.stderr));
    assert_eq!(out.status.code(), Some(2), "{all}");
    for part in said {
        assert!(all.contains(part), "{part:?} in: {all}");
    }
    assert!(!all.contains("passed waits"), "{all}");
}

fn kubeconfig(folder: &Path, server: &str, ca: &str) -> PathBuf {
    let ca = STANDARD.encode(ca);
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- name: c\n  context: {{cluster: k, user: u}}\n\
         clusters:\n- name: k\n  cluster: {{server: \"{server}\", certificate-authority-data: {ca}}}\n\
         users:\n- name: u\n  user: {{token: t}}\n"
    );
    write(folder, "kubeconfig", &text)
}

/// `fake-kube serve`, ended with the test.
struct Served {
    child: Child,
    kubeconfig: PathBuf,
}

impl Drop for Served {
    fn drop(&mut self) {
        // Already gone is fine: the test is over either way.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    fn start(folder: &Path, args: &[&str]) -> Served {
        let kubeconfig = folder.join("kubeconfig");
        let mut command = Command::new(binary("fake-kube"));
        command.args(["serve", "--rbac"]).arg("--kubeconfig").arg(&kubeconfig).args(args);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("fake-kube starts");
        let mut lines = std::io::BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        std::io::BufRead::read_line(&mut lines, &mut line).expect("a line");
        assert!(line.starts_with("ready"), "{line}");
        Served { child, kubeconfig }
    }

    /// The kubeconfig of somebody else.
    fn of(&self, token: &str) -> PathBuf {
        let own = std::fs::read_to_string(&self.kubeconfig).expect("a kubeconfig");
        let lines = own.lines().map(|line| match line.trim_start().starts_with("token:") {
            true => format!("    token: {token}"),
            false => line.to_owned(),
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        write(self.kubeconfig.parent().expect("a folder"), "other-kubeconfig", &text)
    }
}

#[test]
fn nobody_listens() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = KeyPair::generate().expect("a key");
    let ca = CertificateParams::default().self_signed(&key).expect("a certificate").pem();
    let config = kubeconfig(folder.path(), "https://127.0.0.1:1", &ca);
    refused(
        folder.path(),
        SCENARIO,
        &config,
        &[],
        &["could not reach", "https://127.0.0.1:1", "next: start that"],
    );
}

#[test]
fn a_certificate_that_has_run_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    params.subject_alt_names.push(rcgen::SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()));
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .expect("a server");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    listener.set_nonblocking(true).expect("a socket");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
            while let Ok((stream, _)) = listener.accept().await {
                // The client ends it.
                let _ = acceptor.accept(stream).await;
            }
        });
    });
    let config = kubeconfig(folder.path(), &format!("https://{address}"), &certificate.pem());
    refused(folder.path(), SCENARIO, &config, &[], &["could not reach", "a certificate has run out"]);
}

#[test]
fn rights_that_do_not_reach() {
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = write(folder.path(), "tokens", "secret,root,1,\"system:masters\"\nweak,alice,2,\"dev\"\n");
    let served = Served::start(folder.path(), &["--token-auth", tokens.to_str().expect("a plain path")]);
    let alice = served.of("weak");
    refused(
        folder.path(),
        SCENARIO,
        &alice,
        &[],
        &["may not create namespaces", "next: work in a namespace that is there"],
    );
    let in_default = ["--namespace", "default"];
    let said = ["may not create flinkdeployments in namespace default", "next: let an administrator"];
    refused(folder.path(), SCENARIO, &alice, &in_default, &said);
    refused(folder.path(), SCENARIO, &served.of("wrong"), &[], &["does not accept the credentials"]);
}

#[test]
fn a_crd_of_another_version() {
    let folder = tempfile::tempdir().expect("a folder");
    let crds = folder.path().join("crds");
    std::fs::create_dir(&crds).expect("a folder");
    let crd = crate::support::repository("deploy/crds/flinkdeployments.flink.apache.org-v1.yml");
    let own = std::fs::read_to_string(crd).expect("the CRD");
    write(&crds, "old.yaml", &own.replace("name: v1beta1", "name: v1alpha1"));
    let served = Served::start(folder.path(), &["--crds", crds.to_str().expect("a plain path")]);
    let said = ["it is of another version", "serves v1alpha1 and not v1beta1", "next: apply deploy/crds/"];
    refused(folder.path(), SCENARIO, &served.kubeconfig, &[], &said);
}

#[test]
fn a_scenario_of_other_worlds() {
    let folder = tempfile::tempdir().expect("a folder");
    let served = Served::start(folder.path(), &[]);
    let scenario = SCENARIO.replace("[cluster]", "[virtual]");
    let said = ["runs in virtual only", "nothing ran: no scenario can be run in mode cluster"];
    refused(folder.path(), &scenario, &served.kubeconfig, &["--verbose"], &said);
}
