//! The API server as a pod reaches it: address from the environment, authority, token and namespace from the mounted files.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Method;
use serde_json::Value;
use ureq::tls::{Certificate, PemItem, parse_pem};

use crate::image::surroundings::{file, variable};
use crate::net;

#[derive(Clone, Debug)]
pub struct Api {
    base: String,
    folder: PathBuf,
    agent: ureq::Agent,
}

const FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const REQUEST_MAX: Duration = Duration::from_secs(10);
const ANSWER_MAX: u64 = 64 << 20;

impl Api {
    /// None: this is no pod.
    ///
    /// # Errors
    /// It is one, and what every pod has cannot be read.
    pub fn in_cluster() -> io::Result<Option<Api>> {
        let (Some(host), Some(port)) =
            (variable("KUBERNETES_SERVICE_HOST"), variable("KUBERNETES_SERVICE_PORT"))
        else {
            return Ok(None);
        };
        // Elsewhere for processes that are no containers.
        let folder = variable("FAKE_FLINK_SERVICE_ACCOUNT").map_or_else(|| file(FOLDER), PathBuf::from);
        Api::new(&host, &port, &folder).map(Some)
    }

    /// With the authority, token and namespace of a folder.
    ///
    /// # Errors
    /// The authority cannot be read.
    pub fn new(host: &str, port: &str, folder: &Path) -> io::Result<Api> {
        let file = folder.join("ca.crt");
        let pem = std::fs::read(&file)
            .map_err(|why| io::Error::new(why.kind(), format!("{}: {why}", file.display())))?;
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let agent = net::agent(Some(authorities(&pem)?), REQUEST_MAX);
        Ok(Api { base: format!("https://{host}:{port}"), folder: folder.to_owned(), agent })
    }

    /// The pod's own.
    pub fn namespace(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.folder.join("namespace")).ok()?;
        Some(text.trim().to_owned()).filter(|namespace| !namespace.is_empty())
    }

    pub fn get(&self, path: &str) -> io::Result<Value> {
        self.call(&Method::GET, path, None)
    }

    pub fn call(&self, method: &Method, path: &str, body: Option<&Value>) -> io::Result<Value> {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("accept", "application/json")
            .header("user-agent", "fake-flink");
        // Tokens are renewed in place while the pod runs.
        let request = match std::fs::read_to_string(self.folder.join("token")) {
            Ok(token) => request.header("authorization", format!("Bearer {}", token.trim())),
            Err(_) => request,
        };
        let answer = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json").body(body.to_string());
                self.agent.run(request.map_err(io::Error::other)?)
            }
            None => self.agent.run(request.body(()).map_err(io::Error::other)?),
        };
        let bytes = net::bytes(answer, ANSWER_MAX)?;
        Ok(serde_json::from_slice(&bytes)?)
    }
}

fn authorities(pem: &[u8]) -> io::Result<Vec<Certificate<'static>>> {
    let items = parse_pem(pem).collect::<Result<Vec<_>, _>>().map_err(ureq::Error::into_io)?;
    let known = items.into_iter().filter_map(|item| match item {
        PemItem::Certificate(certificate) => Some(certificate),
        _ => None,
    });
    Ok(known.collect())
}
