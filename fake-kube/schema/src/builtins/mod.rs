//! The built-in kinds as data: schemas, resources, verbs, discovery documents.
//!
//! Packed by `tools/pack_builtins.py` from the OpenAPI and discovery documents of a 1.35.3 server. Loading indexes
//! lines only; a schema is parsed and compiled when a kind is first used, and kept.

pub(crate) mod decode;
pub(crate) mod defaults;
mod normalize;
mod quantity;

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock};

use serde_json::{Value, json};

pub use decode::time as parse_time;
pub use quantity::{quantity_nanos, quantity_text};

use crate::schema::Schema;

const SCHEMAS: &str = include_str!("../../data/schemas.tsv");
const DISCOVERY: &str = include_str!("../../data/discovery.json");

/// A served resource of a built-in group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    /// `pods`.
    pub plural: String,
    pub singular: String,
    pub kind: String,
    pub namespaced: bool,
    pub verbs: Vec<String>,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub subresources: Vec<Subresource>,
}

/// `pods/log` and its kin. An empty group and version of the kind mean those of the resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subresource {
    pub name: String,
    pub kind: String,
    pub kind_group: String,
    pub kind_version: String,
    pub verbs: Vec<String>,
}

/// All built-in kinds; see [`Builtins::load`].
pub struct Builtins {
    schemas: BTreeMap<&'static str, &'static str>,
    discovery: Vec<Value>,
    resources: Vec<Resource>,
    /// `group/version/Kind` -> name of its schema.
    names: BTreeMap<(String, String, String), &'static str>,
    compiled: Mutex<BTreeMap<(String, String, String), Schema>>,
}

impl Builtins {
    /// The one copy of the data, indexed on first use.
    pub fn load() -> &'static Builtins {
        static LOADED: OnceLock<Builtins> = OnceLock::new();
        LOADED.get_or_init(Builtins::index)
    }

    fn index() -> Builtins {
        let schemas: BTreeMap<&str, &str> =
            SCHEMAS.lines().filter_map(|line| line.split_once('\t')).collect();
        let discovery: Vec<Value> = serde_json::from_str(DISCOVERY).unwrap_or_default();
        let resources = resources(&discovery);
        let mut names = BTreeMap::new();
        for (name, text) in &schemas {
            // Only kinds name their group; everything else is found by reference.
            let Some(at) = text.find("\"x-kubernetes-group-version-kind\":") else { continue };
            let rest = &text[at + "\"x-kubernetes-group-version-kind\":".len()..];
            let list: Option<Result<Value, _>> = serde_json::Deserializer::from_str(rest).into_iter().next();
            for gvk in list.and_then(Result::ok).as_ref().and_then(Value::as_array).into_iter().flatten() {
                let text = |key: &str| gvk.get(key).and_then(Value::as_str).unwrap_or_default().to_string();
                names.entry((text("group"), text("version"), text("kind"))).or_insert(*name);
            }
        }
        Builtins { schemas, discovery, resources, names, compiled: Mutex::default() }
    }

    /// The schema of a kind.
    pub fn schema(&self, group: &str, version: &str, kind: &str) -> Option<Schema> {
        let key = (group.to_string(), version.to_string(), kind.to_string());
        let name = *self.names.get(&key)?;
        let mut compiled = self.compiled.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(schema) = compiled.get(&key) {
            return Some(schema.clone());
        }
        let schema = Schema::built_in(name, &|reference| self.document(reference));
        compiled.insert(key, schema.clone());
        Some(schema)
    }

    /// The OpenAPI schema of that name, such as `io.k8s.api.core.v1.PodSpec`.
    pub fn document(&self, name: &str) -> Option<Value> {
        serde_json::from_str(self.schemas.get(name)?).ok()
    }

    /// All resources, groups in the server's order.
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// The resource of that name.
    pub fn resource(&self, group: &str, version: &str, plural: &str) -> Option<&Resource> {
        self.resources.iter().find(|r| r.plural == plural && r.group == group && r.version == version)
    }

    /// The `items` of the aggregated discovery documents: the core group first, then the others.
    pub fn discovery(&self) -> &[Value] {
        &self.discovery
    }

    /// `APIResourceList.resources` of a group version, without storageVersionHash.
    pub fn resource_list(&self, group: &str, version: &str) -> Vec<Value> {
        let mut rows = Vec::new();
        for r in self.resources.iter().filter(|r| r.group == group && r.version == version) {
            // Resources that only exist through a subresource (`pods/binding` aside) have a row of their own too.
            let mut row = json!({"name": r.plural, "singularName": r.singular, "namespaced": r.namespaced,
                "kind": r.kind, "verbs": r.verbs});
            for (key, list) in [("shortNames", &r.short_names), ("categories", &r.categories)] {
                if !list.is_empty() {
                    row[key] = json!(list);
                }
            }
            rows.push(row);
            for s in &r.subresources {
                let mut row = json!({"name": format!("{}/{}", r.plural, s.name), "singularName": "",
                    "namespaced": r.namespaced, "kind": s.kind, "verbs": s.verbs});
                if !s.kind_version.is_empty() {
                    row["group"] = json!(s.kind_group);
                    row["version"] = json!(s.kind_version);
                }
                rows.push(row);
            }
        }
        rows
    }
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_string).collect()
}

fn resources(discovery: &[Value]) -> Vec<Resource> {
    let text =
        |v: &Value, pointer: &str| v.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_string();
    let list = |v: &Value, key: &str| v.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut out = Vec::new();
    for group in discovery {
        for version in list(group, "versions") {
            for r in list(&version, "resources") {
                let subresource = |s: &Value| Subresource {
                    name: text(s, "/subresource"),
                    kind: text(s, "/responseKind/kind"),
                    kind_group: text(s, "/responseKind/group"),
                    kind_version: text(s, "/responseKind/version"),
                    verbs: strings(s.get("verbs")),
                };
                out.push(Resource {
                    group: text(group, "/metadata/name"),
                    version: text(&version, "/version"),
                    plural: text(&r, "/resource"),
                    singular: text(&r, "/singularResource"),
                    kind: text(&r, "/responseKind/kind"),
                    namespaced: text(&r, "/scope") == "Namespaced",
                    verbs: strings(r.get("verbs")),
                    short_names: strings(r.get("shortNames")),
                    categories: strings(r.get("categories")),
                    subresources: list(&r, "subresources").iter().map(subresource).collect(),
                });
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_served_kind_has_a_schema() {
        let builtins = Builtins::load();
        assert!(builtins.resources().len() > 50);
        let missing: Vec<&str> = builtins
            .resources()
            .iter()
            // No OpenAPI document of these two groups was recorded.
            .filter(|r| {
                r.verbs.iter().any(|v| v == "list")
                    && !["apiregistration.k8s.io", "resource.k8s.io"].contains(&r.group.as_str())
            })
            .filter(|r| builtins.schema(&r.group, &r.version, &r.kind).is_none())
            .map(|r| r.plural.as_str())
            .collect();
        assert_eq!(missing, Vec::<&str>::new());
    }

    #[test]
    fn rows_of_pods_are_those_of_the_recording() {
        let rows = Builtins::load().resource_list("", "v1");
        let row = |name: &str| rows.iter().find(|r| r["name"] == name).cloned().unwrap_or_default();
        assert_eq!(row("pods")["shortNames"], json!(["po"]));
        let expected = json!({"name": "pods/eviction", "singularName": "", "namespaced": true, "kind": "Eviction",
            "verbs": ["create"], "group": "policy", "version": "v1"});
        assert_eq!(row("pods/eviction"), expected);
    }
}
