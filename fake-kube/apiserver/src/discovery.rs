//! Discovery: `/api`, `/apis` and below, legacy and aggregated; `/version`, health (kube-api.md 1.1, 1.2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha512};

use crate::registry::recorded;
use crate::resource::{Definition, group_version};
use crate::server::State;
use crate::status::{Result, Status};

/// The parameters client-go looks for in the Content-Type.
pub(crate) const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// A document outside resources.
pub(crate) struct Document {
    pub(crate) value: Value,
    pub(crate) content_type: &'static str,
    pub(crate) etag: Option<String>,
}

impl Document {
    fn json(value: Value) -> Document {
        Document { value, content_type: "application/json", etag: None }
    }
}

/// Upper hex SHA-512, the form of ETags and OpenAPI hashes.
pub(crate) fn sha512(text: &str) -> String {
    Sha512::digest(text.as_bytes()).iter().map(|b| format!("{b:02X}")).collect()
}

pub(crate) fn version() -> Value {
    json!({"major": "1", "minor": "35", "emulationMajor": "1", "emulationMinor": "35", "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "34", "gitVersion": "v1.35.3", "gitCommit": "0000000000000000000000000000000000000000",
        "gitTreeState": "clean", "buildDate": "2026-03-18T00:00:00Z", "goVersion": "go1.25.8", "compiler": "gc",
        "platform": "linux/amd64"})
}

/// Health endpoints: plain `ok`, a sub-check, or the verbose list.
pub(crate) fn health(path: &str, verbose: bool) -> Option<String> {
    let mut parts = path.trim_start_matches('/').split('/');
    let (name, check) = (parts.next()?, parts.next());
    if !matches!(name, "healthz" | "livez" | "readyz") {
        return None;
    }
    match check {
        Some("") | None if verbose => {
            Some(format!("[+]ping ok\n[+]log ok\n[+]etcd ok\n{name} check passed\n"))
        }
        Some("" | "ping" | "log" | "etcd") | None => Some("ok".to_owned()),
        Some(_) => None,
    }
}

/// Paths beside groups and their versions; `/metrics` is the listener's.
const PATHS: [&str; 21] = [
    "/api",
    "/api/v1",
    "/apis",
    "/apis/",
    "/healthz",
    "/healthz/etcd",
    "/healthz/log",
    "/healthz/ping",
    "/livez",
    "/livez/etcd",
    "/livez/log",
    "/livez/ping",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/openapi/v3/",
    "/readyz",
    "/readyz/etcd",
    "/readyz/log",
    "/readyz/ping",
    "/version",
];

/// Sorts versions as kube does: GA before beta before alpha, newer first wins.
pub(crate) fn version_order(v: &str) -> (u8, u64, u64) {
    let number = |s: &str| s.parse::<u64>().ok();
    let Some(rest) = v.strip_prefix('v') else { return (0, 0, 0) };
    for (tag, rank) in [("alpha", 1), ("beta", 2)] {
        if let Some((major, minor)) = rest.split_once(tag)
            && let (Some(a), Some(b)) = (number(major), number(minor))
        {
            return (rank, a, b);
        }
    }
    number(rest).map_or((0, 0, 0), |n| (3, n, 0))
}

impl State {
    /// A discovery document for `path`, None when it is none.
    pub(crate) fn discovery(&self, path: &str, accept: &str, address: &str) -> Option<Result<Document>> {
        let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
        match parts.as_slice() {
            ["api"] => Some(self.root(accept, true, address)),
            ["apis"] => Some(self.root(accept, false, address)),
            ["api", version] => Some(self.group_version_document("", version)),
            ["apis", group] => Some(self.group(group).map(|mut g| {
                g["kind"] = json!("APIGroup");
                g["apiVersion"] = json!("v1");
                Document::json(g)
            })),
            ["apis", group, version] => Some(self.group_version_document(group, version)),
            _ => None,
        }
    }

    /// What `/` lists: every path that answers, sorted (kube-api.md 1.1).
    pub(crate) fn index(&self) -> String {
        let groups = self.group_names().into_iter().flat_map(|group| {
            let versions = self.versions_of(&group);
            let below = versions.into_iter().map(|v| format!("/apis/{group}/{v}")).collect::<Vec<_>>();
            std::iter::once(format!("/apis/{group}")).chain(below)
        });
        let mut paths: Vec<String> = PATHS.map(str::to_owned).into_iter().chain(groups).collect();
        paths.sort();
        serde_json::to_string_pretty(&json!({"paths": paths})).unwrap_or_default()
    }

    fn root(&self, accept: &str, core: bool, address: &str) -> Result<Document> {
        if wants_aggregated(accept)? {
            let value = self.aggregated(core);
            let etag = format!("\"{}\"", sha512(&value.to_string()));
            return Ok(Document { content_type: AGGREGATED, etag: Some(etag), value });
        }
        if core {
            return Ok(Document::json(json!({"kind": "APIVersions", "versions": ["v1"],
                "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]})));
        }
        let groups: Vec<Value> = self.group_names().iter().filter_map(|g| self.group(g).ok()).collect();
        Ok(Document::json(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})))
    }

    /// Built-in groups in their order, then those of CRDs by name.
    fn group_names(&self) -> Vec<String> {
        let items = recorded().apis["items"].as_array().into_iter().flatten();
        let mut out: Vec<String> =
            items.filter_map(|g| g["metadata"]["name"].as_str().map(str::to_owned)).collect();
        for d in self.registry.all().filter(|d| d.is_custom()) {
            if !out.contains(&d.group) {
                out.push(d.group.clone());
            }
        }
        out
    }

    fn versions_of(&self, group: &str) -> Vec<String> {
        let items = recorded().apis["items"].as_array().into_iter().flatten();
        let built_in = items.filter(|g| g["metadata"]["name"] == group);
        let mut out: Vec<String> = built_in
            .flat_map(|g| g["versions"].as_array().into_iter().flatten())
            .filter_map(|v| v["version"].as_str().map(str::to_owned))
            .collect();
        let mut custom: Vec<String> = self
            .registry
            .all()
            .filter(|d| d.is_custom() && d.group == group)
            .map(|d| d.version.clone())
            .collect();
        custom.sort_by_key(|v| std::cmp::Reverse(version_order(v)));
        custom.dedup();
        out.extend(custom);
        out
    }

    fn group(&self, group: &str) -> Result<Value> {
        let versions: Vec<Value> = self
            .versions_of(group)
            .iter()
            .map(|v| json!({"groupVersion": group_version(group, v), "version": v}))
            .collect();
        let Some(first) = versions.first().cloned() else { return Err(Status::not_found_page()) };
        Ok(json!({"name": group, "versions": versions, "preferredVersion": first}))
    }

    fn group_version_document(&self, group: &str, version: &str) -> Result<Document> {
        let mut rows: Vec<Value> = Vec::new();
        if self.registry.is_builtin_version(group, version) {
            let data = if group.is_empty() { &recorded().api } else { &recorded().apis };
            let found = data["items"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|g| group.is_empty() || g["metadata"]["name"] == group);
            let versions = found.flat_map(|g| g["versions"].as_array().into_iter().flatten());
            for v in versions.filter(|v| v["version"] == version) {
                for r in v["resources"].as_array().into_iter().flatten() {
                    builtin_rows(group, version, r, &mut rows);
                }
            }
        } else if self.registry.is_builtin_group(group) {
            return Err(Status::unknown_path());
        } else {
            for d in self.registry.all().filter(|d| d.group == group && d.version == version) {
                self.custom_rows(d, &mut rows);
            }
            if rows.is_empty() {
                return Err(if group.is_empty() { Status::unknown_path() } else { Status::not_found_page() });
            }
        }
        let mut out = json!({"kind": "APIResourceList"});
        if !group.is_empty() {
            out["apiVersion"] = json!("v1");
        }
        out["groupVersion"] = json!(group_version(group, version));
        out["resources"] = Value::Array(rows);
        Ok(Document::json(out))
    }

    fn accepted_names(&self, def: &Definition) -> Value {
        let Some(c) = &def.custom else { return Value::Null };
        let crds = self.registry.get("apiextensions.k8s.io", "v1", "customresourcedefinitions");
        let found = crds.and_then(|d| self.store.get(d.table, &c.crd));
        found.map_or(Value::Null, |s| s.pinned()["status"]["acceptedNames"].clone())
    }

    fn custom_rows(&self, def: &Definition, rows: &mut Vec<Value>) {
        let names = self.accepted_names(def);
        let mut row = json!({"name": def.plural, "singularName": names["singular"].as_str().unwrap_or(""),
            "namespaced": def.namespaced, "kind": def.kind, "verbs": def.verbs});
        for (key, value) in [("shortNames", &names["shortNames"]), ("categories", &names["categories"])] {
            if !value.is_null() {
                row[key] = value.clone();
            }
        }
        row["storageVersionHash"] = json!(self.storage_hash(def));
        rows.push(row);
        for s in &def.subresources {
            let mut row = json!({"name": format!("{}/{}", def.plural, s.name), "singularName": "",
                "namespaced": def.namespaced, "kind": def.kind, "verbs": s.verbs});
            if s.name == "scale" {
                (row["group"], row["version"], row["kind"]) =
                    (json!("autoscaling"), json!("v1"), json!("Scale"));
            }
            rows.push(row);
        }
    }

    fn storage_hash(&self, def: &Definition) -> String {
        let version = self.registry.storage(def.table).map_or(&def.version, |s| &s.version);
        storage_hash(&def.group, version, &def.kind)
    }

    fn aggregated(&self, core: bool) -> Value {
        let mut out = if core { recorded().api.clone() } else { recorded().apis.clone() };
        if core {
            return out;
        }
        let mut custom: Vec<Value> = Vec::new();
        for group in self.group_names() {
            if self.registry.is_builtin_group(&group) {
                continue;
            }
            let versions: Vec<Value> = self
                .versions_of(&group)
                .iter()
                .map(|v| {
                    let defs = self.registry.all().filter(|d| d.group == group && d.version == *v);
                    let resources: Vec<Value> = defs.map(|d| self.aggregated_row(d)).collect();
                    json!({"version": v, "resources": resources, "freshness": "Current"})
                })
                .collect();
            custom.push(json!({"metadata": {"name": group}, "versions": versions}));
        }
        if let Some(items) = out["items"].as_array_mut() {
            items.extend(custom);
        }
        out
    }

    fn aggregated_row(&self, def: &Definition) -> Value {
        let names = self.accepted_names(def);
        let kind = json!({"group": "", "version": "", "kind": def.kind});
        let scale = json!({"group": "autoscaling", "version": "v1", "kind": "Scale"});
        let mut row = json!({"resource": def.plural, "responseKind": kind,
            "scope": if def.namespaced { "Namespaced" } else { "Cluster" },
            "singularResource": names["singular"].as_str().unwrap_or(""), "verbs": def.verbs});
        for (key, value) in [("shortNames", &names["shortNames"]), ("categories", &names["categories"])] {
            if !value.is_null() {
                row[key] = value.clone();
            }
        }
        let subs: Vec<Value> = def
            .subresources
            .iter()
            .map(|s| {
                let kind = if s.name == "scale" { &scale } else { &kind };
                json!({"subresource": s.name, "responseKind": kind, "verbs": s.verbs})
            })
            .collect();
        if !subs.is_empty() {
            row["subresources"] = Value::Array(subs);
        }
        row
    }
}

fn builtin_rows(group: &str, version: &str, r: &Value, rows: &mut Vec<Value>) {
    let (plural, kind) =
        (r["resource"].as_str().unwrap_or(""), r["responseKind"]["kind"].as_str().unwrap_or(""));
    let namespaced = r["scope"] == "Namespaced";
    let mut row = json!({"name": plural, "singularName": r["singularResource"], "namespaced": namespaced, "kind": kind,
        "verbs": r["verbs"]});
    for key in ["shortNames", "categories"] {
        if !r[key].is_null() {
            row[key] = r[key].clone();
        }
    }
    let stored = r["verbs"].as_array().is_some_and(|v| v.iter().any(|x| x == "watch"));
    if stored {
        let (g, v) = storage_of(group, version, plural);
        row["storageVersionHash"] = json!(storage_hash(g, v, kind));
    }
    rows.push(row);
    for s in r["subresources"].as_array().into_iter().flatten() {
        let mut row = json!({"name": format!("{plural}/{}", s["subresource"].as_str().unwrap_or("")), "singularName": "",
            "namespaced": namespaced});
        if s["responseKind"]["group"] != "" || s["responseKind"]["version"] != "" {
            row["group"] = s["responseKind"]["group"].clone();
            row["version"] = s["responseKind"]["version"].clone();
        }
        row["kind"] = s["responseKind"]["kind"].clone();
        row["verbs"] = s["verbs"].clone();
        rows.push(row);
    }
}

/// Where a built-in resource is stored when that differs from where it is served.
fn storage_of<'a>(group: &'a str, version: &'a str, plural: &str) -> (&'a str, &'a str) {
    match (group, plural) {
        ("events.k8s.io", "events") => ("", "v1"),
        ("autoscaling", _) => ("autoscaling", "v2"),
        // The hash of CRDs was never moved on from their first version.
        ("apiextensions.k8s.io", _) => ("apiextensions.k8s.io", "v1beta1"),
        _ => (group, version),
    }
}

/// `storageVersionHash`: the first 8 bytes of SHA-256 of group/version/kind (verified against the recordings).
fn storage_hash(group: &str, version: &str, kind: &str) -> String {
    STANDARD.encode(&Sha256::digest(format!("{group}/{version}/{kind}"))[..8])
}

/// Whether the client takes aggregated discovery; asking for an unknown version of it alone is 406.
fn wants_aggregated(accept: &str) -> Result<bool> {
    let mut unknown = false;
    for clause in accept.split(',').map(str::trim).filter(|c| !c.is_empty()) {
        let has = |p: &str| clause.split(';').any(|x| x.trim() == p);
        if has("as=APIGroupDiscoveryList") {
            if has("v=v2") && has("g=apidiscovery.k8s.io") {
                return Ok(true);
            }
            unknown = true;
            continue;
        }
        return Ok(false);
    }
    if unknown {
        let text = "only the following media types are accepted: application/json, application/yaml, \
                    application/vnd.kubernetes.protobuf";
        return Err(Status::new(406, "NotAcceptable", text));
    }
    Ok(false)
}
