//! A kubeconfig for the listener: one cluster, one user, one context.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::tls::ClientPair;

/// The name of the cluster's extension whose `url` is that of the control endpoint.
pub const CONTROL_EXTENSION: &str = "drey.dev/control";

pub(super) fn render(
    url: &str,
    ca: &str,
    token: Option<&str>,
    client: Option<&ClientPair>,
    control: Option<&str>,
) -> String {
    let mut cluster = format!("    server: {url}\n");
    if !ca.is_empty() {
        cluster.push_str(&format!("    certificate-authority-data: {}\n", STANDARD.encode(ca)));
    }
    if let Some(control) = control {
        cluster.push_str(&format!(
            "    extensions:\n    - name: {CONTROL_EXTENSION}\n      extension:\n        url: {control}\n"
        ));
    }
    let user = match (token, client) {
        (Some(token), _) => format!("    token: {token:?}\n"),
        (None, Some(pair)) => format!(
            "    client-certificate-data: {}\n    client-key-data: {}\n",
            STANDARD.encode(&pair.certificate),
            STANDARD.encode(&pair.key)
        ),
        (None, None) => "    username: admin\n    password: admin\n".to_owned(),
    };
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: fake-kube\n  cluster:\n{cluster}users:\n- name: fake-kube\n  user:\n{user}contexts:\n- name: fake-kube\n  context:\n    cluster: fake-kube\n    user: fake-kube\n    namespace: default\ncurrent-context: fake-kube\n"
    )
}

/// Written beside its place and renamed into it: a reader sees the whole file or none. Only the owner may read it.
pub(super) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let context = || format!("write kubeconfig {}", path.display());
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(context)?;
    file.write_all(text.as_bytes()).with_context(context)?;
    file.persist(path).with_context(context)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_server_and_user() {
        let text = render("https://127.0.0.1:1", "PEM", Some("t"), None, Some("http://127.0.0.1:2"));
        assert!(
            text.contains(
                "    - name: drey.dev/control\n      extension:\n        url: http://127.0.0.1:2\n"
            )
        );
        assert!(text.contains("    server: https://127.0.0.1:1\n"));
        assert!(text.contains("    token: \"t\"\n"));
        assert!(text.contains("certificate-authority-data: UEVN\n"));
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config");
        write(&path, &text).expect("written");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), text);
    }
}
