//! The scenario's own hands on the API server: what a user does with kubectl, over whatever transport the mode has.

use std::borrow::Cow;

use http::{Method, Request};
use serde_json::{Value, json};

use super::kinds::{self, KindInfo};

/// A client that speaks plain JSON and takes refusals as values.
#[derive(Clone)]
pub struct Hands {
    client: kube::Client,
    pub namespace: String,
    is_confined: bool,
}

/// What the server answered.
#[derive(Clone, Debug)]
pub struct Reply {
    pub code: u16,
    pub body: Value,
}

/// A request that got no answer at all.
#[derive(Debug, thiserror::Error)]
#[error("reach the API server: {0}")]
pub struct NoAnswer(String);

/// How a patch is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchStyle {
    Merge,
    Json,
    Strategic,
    Apply,
}

impl PatchStyle {
    fn content_type(self) -> &'static str {
        match self {
            PatchStyle::Merge => "application/merge-patch+json",
            PatchStyle::Json => "application/json-patch+json",
            PatchStyle::Strategic => "application/strategic-merge-patch+json",
            PatchStyle::Apply => "application/apply-patch+yaml",
        }
    }
}

impl Reply {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// `422 Invalid: ...`, or the code alone.
    pub fn refusal(&self) -> String {
        let text = |key: &str| self.body[key].as_str().unwrap_or_default();
        format!("{} {}: {}", self.code, text("reason"), text("message"))
    }
}

impl Hands {
    pub fn new(client: kube::Client, namespace: &str) -> Hands {
        Hands { client, namespace: namespace.to_owned(), is_confined: false }
    }

    /// Objects go into the own namespace whatever they say themselves: on a cluster that others use too.
    pub fn confined(self) -> Hands {
        Hands { is_confined: true, ..self }
    }

    fn own<'o>(&self, object: &'o Value) -> Cow<'o, Value> {
        if !self.is_confined || object["metadata"]["namespace"].is_null() {
            return Cow::Borrowed(object);
        }
        let mut object = object.clone();
        object["metadata"]["namespace"] = Value::String(self.namespace.clone());
        Cow::Owned(object)
    }

    pub async fn request(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<Reply, NoAnswer> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("accept", "application/json")
            .header("content-type", content_type)
            .header("user-agent", "drey-scenario")
            .body(kube::client::Body::from(body))
            .map_err(|error| NoAnswer(error.to_string()))?;
        let response = self.client.send(request).await.map_err(|error| NoAnswer(error.to_string()))?;
        let code = response.status().as_u16();
        let bytes =
            response.into_body().collect_bytes().await.map_err(|error| NoAnswer(error.to_string()))?;
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Ok(Reply { code, body })
    }

    async fn json(&self, method: Method, path: &str, body: &Value) -> Result<Reply, NoAnswer> {
        self.request(method, path, "application/json", body.to_string().into_bytes()).await
    }

    pub async fn get(&self, info: &KindInfo, namespace: &str, name: &str) -> Result<Option<Value>, NoAnswer> {
        let path = format!("{}/{name}", info.path(namespace));
        let reply = self.request(Method::GET, &path, "application/json", Vec::new()).await?;
        match reply.code {
            404 => Ok(None),
            _ if reply.is_success() => Ok(Some(reply.body)),
            _ => Err(NoAnswer(reply.refusal())),
        }
    }

    pub async fn list(&self, info: &KindInfo, namespace: &str) -> Result<Vec<Value>, NoAnswer> {
        let reply = self.request(Method::GET, &info.path(namespace), "application/json", Vec::new()).await?;
        if !reply.is_success() {
            return Err(NoAnswer(reply.refusal()));
        }
        let mut items = reply.body["items"].as_array().cloned().unwrap_or_default();
        for item in &mut items {
            // Items of a list carry no kind of their own.
            item["kind"] = Value::String(info.kind.to_owned());
            item["apiVersion"] = Value::String(info.api_version());
        }
        Ok(items)
    }

    /// Strict, as kubectl is: an unknown or repeated field is refused.
    pub async fn create(&self, object: &Value) -> Result<Reply, NoAnswer> {
        let object = &*self.own(object);
        let (path, _) = self.place(object)?;
        self.json(Method::POST, &format!("{path}?fieldManager=scenario&fieldValidation=Strict"), object).await
    }

    /// Server-side apply.
    pub async fn apply(&self, object: &Value) -> Result<Reply, NoAnswer> {
        let object = &*self.own(object);
        let (path, name) = self.place(object)?;
        let path = format!("{path}/{name}?fieldManager=scenario&fieldValidation=Strict&force=true");
        self.request(Method::PATCH, &path, PatchStyle::Apply.content_type(), object.to_string().into_bytes())
            .await
    }

    pub async fn replace(&self, object: &Value) -> Result<Reply, NoAnswer> {
        let object = &*self.own(object);
        let (path, name) = self.place(object)?;
        self.json(Method::PUT, &format!("{path}/{name}?fieldManager=scenario&fieldValidation=Strict"), object)
            .await
    }

    pub async fn patch(
        &self,
        info: &KindInfo,
        namespace: &str,
        name: &str,
        subresource: Option<&str>,
        style: PatchStyle,
        body: &Value,
    ) -> Result<Reply, NoAnswer> {
        let tail = subresource.map(|sub| format!("/{sub}")).unwrap_or_default();
        let path = format!("{}/{name}{tail}?fieldManager=scenario", info.path(namespace));
        self.request(Method::PATCH, &path, style.content_type(), body.to_string().into_bytes()).await
    }

    pub async fn delete(
        &self,
        info: &KindInfo,
        namespace: &str,
        name: &str,
        options: &Value,
    ) -> Result<Reply, NoAnswer> {
        self.json(Method::DELETE, &format!("{}/{name}", info.path(namespace)), options).await
    }

    pub async fn evict(&self, namespace: &str, name: &str) -> Result<Reply, NoAnswer> {
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace}});
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction");
        self.json(Method::POST, &path, &eviction).await
    }

    /// Where an object belongs. Custom kinds nobody declared are taken from `apiVersion` and `kind` as kubectl would
    /// find them by discovery: the server's 404 is the answer to a misspelt one.
    fn place(&self, object: &Value) -> Result<(String, String), NoAnswer> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let namespace = if text("/metadata/namespace").is_empty() {
            &self.namespace
        } else {
            text("/metadata/namespace")
        };
        let (group, version) = text("/apiVersion").rsplit_once('/').unwrap_or(("", text("/apiVersion")));
        let known = kinds::find(text("/kind")).filter(|info| info.group == group);
        let path = match known {
            Some(info) => {
                info.path(namespace).replacen(&format!("/{}/", info.version), &format!("/{version}/"), 1)
            }
            None => {
                format!("/apis/{group}/{version}/namespaces/{namespace}/{}s", text("/kind").to_lowercase())
            }
        };
        match text("/metadata/name") {
            "" => Err(NoAnswer("the object has no metadata.name".to_owned())),
            name => Ok((path, name.to_owned())),
        }
    }
}
