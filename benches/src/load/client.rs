//! Requests over connections that are kept: each [`Connection`] is a kube client of its own and sends one after the
//! other. A watch has a connection to itself.

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use futures::StreamExt;
use http::{Method, Request};
use http_body_util::BodyExt;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde::Deserialize;
use serde_json::Value;

#[derive(Clone, Debug)]
pub enum Endpoint {
    Url(String),
    Kubeconfig(PathBuf),
}

impl Endpoint {
    async fn config(&self) -> anyhow::Result<Config> {
        match self {
            Endpoint::Url(url) => {
                Ok(Config::new(url.parse().with_context(|| format!("read address {url:?}"))?))
            }
            Endpoint::Kubeconfig(path) => {
                let read = Kubeconfig::read_from(path).with_context(|| format!("read {}", path.display()))?;
                let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
                config.with_context(|| format!("use {}", path.display()))
            }
        }
    }
}

pub struct Connection(Client);

impl Connection {
    pub async fn open(endpoint: &Endpoint) -> anyhow::Result<Connection> {
        Ok(Connection(Client::try_from(endpoint.config().await?).context("set up a client")?))
    }

    pub async fn open_many(endpoint: &Endpoint, count: usize) -> anyhow::Result<Vec<Connection>> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(Connection::open(endpoint).await?);
        }
        Ok(all)
    }

    /// One request; answers code and body.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        media: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<(u16, bytes::Bytes)> {
        let request = request(method, path, media, body)?;
        let response = self.0.send(request).await.with_context(|| format!("send {path}"))?;
        let code = response.status().as_u16();
        let body =
            response.into_body().collect().await.with_context(|| format!("read the answer of {path}"))?;
        Ok((code, body.to_bytes()))
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<bytes::Bytes> {
        done(path, self.send(Method::GET, path, "", Vec::new()).await?)
    }

    pub async fn post(&self, path: &str, object: &Value) -> anyhow::Result<bytes::Bytes> {
        done(path, self.send(Method::POST, path, "application/json", object.to_string().into()).await?)
    }

    pub async fn merge(&self, path: &str, patch: &Value) -> anyhow::Result<bytes::Bytes> {
        let media = "application/merge-patch+json";
        done(path, self.send(Method::PATCH, path, media, patch.to_string().into()).await?)
    }

    /// Follows a collection from a version on until it has heard of `count` changes; the versions of all of them.
    pub async fn hear(&self, collection: &str, from: &str, count: usize) -> anyhow::Result<Vec<u64>> {
        let path = format!("{collection}?watch=true&resourceVersion={from}&allowWatchBookmarks=true");
        let response = self.0.send(request(Method::GET, &path, "", Vec::new())?).await.context("watch")?;
        ensure!(response.status() == 200, "the watch was answered {}", response.status());
        let mut frames = response.into_body().into_data_stream();
        let (mut rest, mut heard) = (Vec::new(), Vec::new());
        while heard.len() < count {
            let frame = frames.next().await.context("the watch ended early")?.context("read the watch")?;
            rest.extend_from_slice(&frame);
            let mut begin = 0;
            while let Some(length) = rest[begin..].iter().position(|byte| *byte == b'\n') {
                heard.extend(change(&rest[begin..begin + length])?);
                begin += length + 1;
            }
            rest.drain(..begin);
        }
        Ok(heard)
    }
}

/// The version of a changed object; None for a bookmark.
fn change(line: &[u8]) -> anyhow::Result<Option<u64>> {
    let event: Event = serde_json::from_slice(line).context("read an event")?;
    match event.kind.as_str() {
        "BOOKMARK" => Ok(None),
        "ADDED" | "MODIFIED" | "DELETED" => Ok(Some(event.object.version()?)),
        _ => bail!("the watch broke off: {}", String::from_utf8_lossy(line)),
    }
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    object: Versioned,
}

/// The version of any object.
#[derive(Deserialize)]
pub struct Versioned {
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    resource_version: String,
}

impl Versioned {
    pub fn read(body: &[u8]) -> anyhow::Result<Versioned> {
        serde_json::from_slice(body).context("read an answered object")
    }

    pub fn text(&self) -> &str {
        &self.metadata.resource_version
    }

    pub fn version(&self) -> anyhow::Result<u64> {
        self.text().parse().with_context(|| format!("read resourceVersion {:?}", self.text()))
    }
}

fn request(method: Method, path: &str, media: &str, body: Vec<u8>) -> anyhow::Result<Request<Body>> {
    let mut builder = Request::builder().method(method).uri(path);
    if !media.is_empty() {
        builder = builder.header("content-type", media);
    }
    builder.body(Body::from(body)).with_context(|| format!("make a request to {path}"))
}

fn done(path: &str, (code, body): (u16, bytes::Bytes)) -> anyhow::Result<bytes::Bytes> {
    ensure!((200..300).contains(&code), "{path} was answered {code}: {}", String::from_utf8_lossy(&body));
    Ok(body)
}
