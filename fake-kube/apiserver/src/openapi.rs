//! `/openapi/v3`, the documents below it, and `/openapi/v2` (kube-api.md 1.1, 1.4; cases disc-openapi-*).
//!
//! What is asked for is found under the lock, and the text is made outside it: some documents are megabytes. Clients ask
//! with the ETag they know, so most requests make no text at all.

use std::sync::Arc;

use bytes::Bytes;
use fake_kube_schema::openapi;
use http::{HeaderValue, Response, header};
use serde_json::{Value, json};

use crate::answer::ApiBody;
use crate::discovery::sha512;
use crate::resource::Definition;
use crate::server::State;

/// Both spellings a client may ask in.
const PROTOBUF: [&str; 2] = [
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
];

/// A version of a custom resource, and the CRD that says so.
type Custom = (Arc<Definition>, Arc<Value>);

pub(crate) enum Document {
    Index(Value),
    BuiltIn { name: String, hash: String },
    Custom { kinds: Vec<Custom>, hash: String },
    Swagger { groups: Vec<Vec<Custom>>, protobuf: bool, hash: String },
    Moved { to: String },
}

impl Document {
    pub(crate) fn answer(self, asked_by_hash: bool, known: &str) -> Response<ApiBody> {
        let hash = match &self {
            Document::Index(paths) => {
                let bytes = Bytes::from(json!({"paths": paths}).to_string());
                return typed(ApiBody::full(bytes), "text/plain; charset=utf-8");
            }
            Document::Moved { to } => {
                let mut r = typed(ApiBody::full(Bytes::new()), "application/json");
                *r.status_mut() = http::StatusCode::MOVED_PERMANENTLY;
                if let Ok(v) = HeaderValue::from_str(to) {
                    r.headers_mut().insert(header::LOCATION, v);
                }
                return r;
            }
            Document::BuiltIn { hash, .. }
            | Document::Custom { hash, .. }
            | Document::Swagger { hash, .. } => hash,
        };
        let etag = format!("\"{hash}\"");
        let cache = if asked_by_hash { "public, immutable" } else { "no-cache, private" };
        let kind = match &self {
            Document::Swagger { protobuf: true, .. } => PROTOBUF[1],
            _ => "application/json",
        };
        let mut r = if known == etag {
            let mut r = Response::new(ApiBody::full(Bytes::new()));
            *r.status_mut() = http::StatusCode::NOT_MODIFIED;
            r
        } else {
            typed(ApiBody::full(self.bytes()), kind)
        };
        r.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
        r.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
        if let Ok(v) = HeaderValue::from_str(&etag) {
            r.headers_mut().insert(header::ETAG, v);
        }
        r
    }

    fn bytes(self) -> Bytes {
        match self {
            Document::BuiltIn { name, .. } => openapi::built_in(&name).unwrap_or_default().into(),
            Document::Custom { kinds, .. } => group_document(&kinds).to_string().into(),
            Document::Swagger { groups, protobuf, .. } => {
                let custom: Vec<Value> = groups.iter().map(|kinds| group_document(kinds)).collect();
                let swagger = openapi::swagger(&custom);
                if protobuf { openapi::protobuf(&swagger).into() } else { swagger.to_string().into() }
            }
            Document::Index(_) | Document::Moved { .. } => Bytes::new(),
        }
    }
}

fn typed(body: ApiBody, content_type: &'static str) -> Response<ApiBody> {
    let mut r = Response::new(body);
    r.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    r
}

fn group_document(kinds: &[Custom]) -> Value {
    let none = Value::Null;
    let kinds: Vec<openapi::CustomKind<'_>> = kinds
        .iter()
        .map(|(d, crd)| {
            let versions = crd["spec"]["versions"].as_array();
            let version = versions.into_iter().flatten().find(|v| v["name"] == d.version.as_str());
            let version = version.unwrap_or(&none);
            openapi::CustomKind {
                group: &d.group,
                version: &d.version,
                kind: &d.kind,
                list_kind: &d.list_kind,
                plural: &d.plural,
                namespaced: d.namespaced,
                schema: &version["schema"]["openAPIV3Schema"],
                status: d.has_status(),
                scale: d.custom.as_ref().is_some_and(|c| c.scale.is_some()),
                selectable: &version["selectableFields"],
            }
        })
        .collect();
    openapi::custom(&kinds)
}

impl State {
    /// The document at a path below `/openapi`; None when there is none.
    pub(crate) fn openapi(&self, path: &str, hash: Option<&str>, accept: &str) -> Option<Document> {
        match path.trim_end_matches('/') {
            "/openapi/v2" => Some(self.swagger(accept)),
            "/openapi/v3" => Some(Document::Index(self.openapi_index())),
            path => self.openapi_document(path.strip_prefix("/openapi/v3/")?, hash),
        }
    }

    fn openapi_document(&self, name: &str, asked: Option<&str>) -> Option<Document> {
        let built_in = openapi::hash(name);
        let kinds = if built_in.is_some() { Vec::new() } else { self.custom_kinds(name) };
        let hash = match built_in {
            Some(hash) => hash.to_owned(),
            None if kinds.is_empty() => return None,
            None => self.custom_hash(&kinds),
        };
        if asked.is_some_and(|asked| asked != hash) {
            return Some(Document::Moved { to: format!("/openapi/v3/{name}?hash={hash}") });
        }
        Some(match built_in {
            Some(_) => Document::BuiltIn { name: name.to_owned(), hash },
            None => Document::Custom { kinds, hash },
        })
    }

    fn openapi_index(&self) -> Value {
        let link = |name: &str, hash: &str| {
            (name.to_owned(), json!({"serverRelativeURL": format!("/openapi/v3/{name}?hash={hash}")}))
        };
        let mut paths: serde_json::Map<String, Value> =
            openapi::documents().map(|name| link(name, openapi::hash(name).unwrap_or_default())).collect();
        for name in self.custom_documents() {
            let (name, entry) = link(&name, &self.custom_hash(&self.custom_kinds(&name)));
            paths.insert(name, entry);
        }
        Value::Object(paths)
    }

    /// `apis/t.example.com/v1` of each group version that CRDs serve.
    fn custom_documents(&self) -> Vec<String> {
        let custom = self.registry.all().filter(|d| d.is_custom());
        let mut names: Vec<String> = custom.map(|d| format!("apis/{}/{}", d.group, d.version)).collect();
        names.dedup();
        names
    }

    fn custom_kinds(&self, document: &str) -> Vec<Custom> {
        let crds = self.registry.get("apiextensions.k8s.io", "v1", "customresourcedefinitions");
        let crd = |d: &Definition| {
            let (custom, crds) = d.custom.as_ref().zip(crds)?;
            Some(self.store.get(crds.table, &custom.crd)?.value())
        };
        self.registry
            .all()
            .filter(|d| d.is_custom() && document == format!("apis/{}/{}", d.group, d.version))
            .filter_map(|d| Some((d.clone(), crd(d)?)))
            .collect()
    }

    /// Changes whenever the document may.
    fn custom_hash(&self, kinds: &[Custom]) -> String {
        let mut text = String::new();
        for (d, _) in kinds {
            let spec = d.custom.as_ref().and_then(|c| self.crd_specs.get(&c.crd));
            text.push_str(&d.version);
            text.push_str(spec.map_or("", String::as_str));
        }
        sha512(&text)
    }

    fn swagger(&self, accept: &str) -> Document {
        let groups: Vec<Vec<Custom>> =
            self.custom_documents().iter().map(|name| self.custom_kinds(name)).collect();
        let protobuf = PROTOBUF.iter().any(|p| accept.contains(p));
        let hashes: Vec<String> = groups.iter().map(|kinds| self.custom_hash(kinds)).collect();
        let hash = sha512(&format!("v2 {protobuf} {}", hashes.join(" ")));
        Document::Swagger { groups, protobuf, hash }
    }
}
