//! Programs that others wrote, against `fake-kube serve --rbac` as its users start it. What they did is read back from the
//! server; what they asked for, from its audit log. Those in Go, Python and Java are built and installed by `make test-clients`,
//! which says where they are in DREY_CLIENTS; without it their tests say that they are skipped.

mod controller_runtime;
mod helm;
mod helm4;
mod josdk;
mod kopf;
mod kube_rs;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;
use tempfile::TempDir;

use crate::kubectl::{Served, serve};

/// How long a client may take for what it does in seconds, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(90);

/// A served cluster, and an administrator's way to look into it.
pub struct World {
    pub folder: TempDir,
    pub client: kube::Client,
    _served: Served,
}

/// Runs one story against a server of its own.
pub fn story<F: Future<Output = ()>>(args: &[&str], tell: impl FnOnce(World) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tell(World::start(args).await).await });
}

/// A file beside the clients' sources.
pub fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(path);
    path.to_str().expect("a plain path").to_owned()
}

/// Where a client is that has to be built; says so if it was not.
pub fn built(name: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("DREY_CLIENTS") else {
        println!("skipped: {name} is not built; make test-clients does");
        return None;
    };
    let path = PathBuf::from(folder).join(name);
    if !path.exists() {
        // The script has said why, and knows which ones must be there.
        println!("skipped: {name} is not there");
        return None;
    }
    Some(path)
}

/// A program that runs beside the story, ended with it.
pub struct Running(Child);

impl Running {
    /// What it says goes into `log`.
    pub fn start(mut command: Command, log: &str) -> Running {
        let log = std::fs::File::create(log).expect("a log");
        command.stdout(log.try_clone().expect("a log")).stderr(log);
        Running(command.spawn().expect("it starts"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone is fine: the test is over either way.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl World {
    async fn start(args: &[&str]) -> World {
        let folder = tempfile::tempdir().expect("a folder");
        let audit = folder.path().join("audit.log");
        let mut all = vec!["--rbac", "--audit-log", audit.to_str().expect("a plain path")];
        all.extend(args);
        let served = serve(folder.path(), &all);
        let kubeconfig = Kubeconfig::read_from(folder.path().join("config")).expect("a kubeconfig");
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        let mut config = config.expect("a usable kubeconfig");
        // A proxy of the environment knows nothing of this machine's ports.
        config.proxy_url = None;
        let client = kube::Client::try_from(config).expect("a client");
        World { folder, client, _served: served }
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("a plain path").to_owned()
    }

    async fn send(&self, request: http::Request<Vec<u8>>) -> Result<Value, kube::Error> {
        self.client.request(request).await
    }

    /// None: there is no such object.
    pub async fn get(&self, path: &str) -> Option<Value> {
        match self.send(http::Request::get(path).body(Vec::new()).expect("a request")).await {
            Ok(v) => Some(v),
            Err(kube::Error::Api(status)) if status.code == 404 => None,
            Err(e) => panic!("get {path}: {e}"),
        }
    }

    pub async fn items(&self, path: &str) -> Vec<Value> {
        let list = self.get(path).await.expect("a list");
        list["items"].as_array().cloned().expect("items")
    }

    pub async fn create(&self, path: &str, object: &Value) -> Value {
        let request = http::Request::post(path).header("content-type", "application/json");
        let request = request.body(object.to_string().into_bytes()).expect("a request");
        self.send(request).await.unwrap_or_else(|e| panic!("create in {path}: {e}"))
    }

    pub async fn merge(&self, path: &str, patch: &Value) -> Value {
        let request = http::Request::patch(path).header("content-type", "application/merge-patch+json");
        let request = request.body(patch.to_string().into_bytes()).expect("a request");
        self.send(request).await.unwrap_or_else(|e| panic!("patch {path}: {e}"))
    }

    /// Applies with force, as a field manager of that name.
    pub async fn apply(&self, path: &str, manager: &str, object: &Value) -> Value {
        let request = http::Request::patch(format!("{path}?fieldManager={manager}&force=true"));
        let request = request.header("content-type", "application/apply-patch+yaml");
        let request = request.body(object.to_string().into_bytes()).expect("a request");
        self.send(request).await.unwrap_or_else(|e| panic!("apply {path}: {e}"))
    }

    pub async fn delete(&self, path: &str) {
        let request = http::Request::delete(path).body(Vec::new()).expect("a request");
        self.send(request).await.unwrap_or_else(|e| panic!("delete {path}: {e}"));
    }

    /// Looks until the object is as wanted.
    pub async fn until(&self, path: &str, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let mut last = None;
        let found = eventually(async || {
            last = self.get(path).await;
            last.clone().filter(&is_it)
        });
        match found.await {
            Some(v) => v,
            None => panic!("{path} is never {what}: {last:#?}"),
        }
    }

    pub async fn until_gone(&self, path: &str) {
        let gone = eventually(async || if self.get(path).await.is_none() { Some(()) } else { None });
        assert!(gone.await.is_some(), "{path} stays");
    }

    /// A kubeconfig beside the administrator's, for a ServiceAccount.
    pub async fn kubeconfig_of(&self, namespace: &str, account: &str) -> String {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let asked = serde_json::json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": 36_000}});
        let granted = self.create(&path, &asked).await;
        let token = granted.pointer("/status/token").and_then(Value::as_str).expect("a token");
        let text = std::fs::read_to_string(self.path("config")).expect("a kubeconfig");
        let lines = text.lines().map(|l| match l.find("token: ") {
            Some(at) => format!("{}token: {token}\n", &l[..at]),
            None => format!("{l}\n"),
        });
        let out = self.path(account);
        std::fs::write(&out, lines.collect::<String>()).expect("written");
        out
    }

    /// What a client asked for, by the beginning of its user agent: verb, request URI, code.
    pub fn asked_by(&self, agent: &str) -> Vec<Asked> {
        let text = std::fs::read_to_string(self.path("audit.log")).expect("an audit log");
        let lines = text.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
        let by = lines.filter(|l| l["userAgent"].as_str().is_some_and(|a| a.starts_with(agent)));
        by.map(|l| Asked {
            verb: l["verb"].as_str().unwrap_or_default().to_owned(),
            uri: l["requestURI"].as_str().unwrap_or_default().to_owned(),
            code: l.pointer("/responseStatus/code").and_then(Value::as_u64).unwrap_or(0),
        })
        .collect()
    }
}

#[derive(Clone, Debug)]
pub struct Asked {
    pub verb: String,
    pub uri: String,
    pub code: u64,
}

/// Asks again until there is an answer; none after all patience.
pub async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(t) = ask().await {
            return Some(t);
        }
        if tokio::time::Instant::now() > end {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
}

pub fn condition<'a>(object: &'a Value, kind: &str) -> &'a str {
    let list = object.pointer("/status/conditions").and_then(Value::as_array);
    let found = list.into_iter().flatten().find(|c| c["type"] == kind);
    found.and_then(|c| c["status"].as_str()).unwrap_or("")
}
