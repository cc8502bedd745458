//! Which resources are served: the built-in ones from recorded discovery data, custom ones as their CRDs say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use crate::resource::{Definition, Subresource};
use crate::store::{Store, TableId};
use crate::strategy;

/// The two aggregated discovery documents of a real 1.35.3 (kube-api/openapi-1.35.3).
pub(crate) struct Recorded {
    pub(crate) api: Value,
    pub(crate) apis: Value,
}

pub(crate) fn recorded() -> &'static Recorded {
    static DATA: OnceLock<Recorded> = OnceLock::new();
    DATA.get_or_init(|| {
        let mut all: Value = serde_json::from_str(include_str!("../data/discovery.json"))
            .expect("embedded discovery data is JSON");
        Recorded { api: all["api"].take(), apis: all["apis"].take() }
    })
}

/// Built-in kinds that the server does not read for purposes of its own; custom resources are all like that.
const PACKED: [&str; 3] = ["configmaps", "events", "secrets"];

/// Versions of a group, resources of a version: looked up at every request, with no key put together for it.
type Versions = BTreeMap<String, BTreeMap<String, Arc<Definition>>>;

#[derive(Clone)]
pub(crate) struct Registry {
    definitions: BTreeMap<String, Versions>,
    /// Storage version of each table, as changes show it.
    storage: BTreeMap<TableId, Arc<Definition>>,
    tables: BTreeMap<(String, String), TableId>,
    builtin_groups: BTreeSet<(String, String)>,
    /// Raised by every change of a CRD; part of discovery ETags.
    pub(crate) generation: u64,
}

impl Registry {
    pub(crate) fn new(store: &mut Store) -> Registry {
        let mut r = Registry {
            definitions: BTreeMap::new(),
            storage: BTreeMap::new(),
            tables: BTreeMap::new(),
            builtin_groups: BTreeSet::new(),
            generation: 0,
        };
        let data = recorded();
        let groups =
            [&data.api, &data.apis].into_iter().flat_map(|d| d["items"].as_array().into_iter().flatten());
        for group in groups {
            let name = group["metadata"]["name"].as_str().unwrap_or("");
            // The first version listed is the preferred one, hence the one stored.
            for version in group["versions"].as_array().into_iter().flatten() {
                r.add_builtin_version(store, name, version);
            }
        }
        r
    }

    fn add_builtin_version(&mut self, store: &mut Store, group: &str, data: &Value) {
        let version = data["version"].as_str().unwrap_or("");
        self.builtin_groups.insert((group.to_owned(), version.to_owned()));
        for row in data["resources"].as_array().into_iter().flatten() {
            let text = |v: &Value, k: &str| v[k].as_str().unwrap_or("").to_owned();
            let (plural, kind) = (text(row, "resource"), text(&row["responseKind"], "kind"));
            let strings = |v: &Value| -> Vec<String> {
                v.as_array().into_iter().flatten().filter_map(|s| s.as_str().map(str::to_owned)).collect()
            };
            let subresources: Vec<Subresource> = row["subresources"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|s| Subresource { name: text(s, "subresource"), verbs: strings(&s["verbs"]) })
                .collect();
            let table = self.table(store, group, &plural);
            let mut traits = strategy::traits(group, &plural);
            traits.status &= subresources.iter().any(|s| s.name == "status");
            let def = Arc::new(Definition {
                group: group.to_owned(),
                version: version.to_owned(),
                list_kind: format!("{kind}List"),
                namespaced: row["scope"] == "Namespaced",
                verbs: strings(&row["verbs"]),
                subresources,
                table,
                schema: OnceLock::new(),
                traits,
                custom: None,
                heading: OnceLock::new(),
                plural: plural.clone(),
                kind,
            });
            self.storage.entry(table).or_insert_with(|| def.clone());
            self.define(def);
        }
    }

    /// The table of a resource, made at first use. Events of both groups are one resource (kube-api.md 2.13).
    pub(crate) fn table(&mut self, store: &mut Store, group: &str, plural: &str) -> TableId {
        let group = if plural == "events" && group == "events.k8s.io" { "" } else { group };
        let is_builtin = self.builtin_groups.iter().any(|(known, _)| known == group);
        let is_packed = !is_builtin || group.is_empty() && PACKED.contains(&plural);
        *self
            .tables
            .entry((group.to_owned(), plural.to_owned()))
            .or_insert_with(|| store.add_table(is_packed))
    }

    fn define(&mut self, def: Arc<Definition>) {
        let versions = self.definitions.entry(def.group.clone()).or_default();
        versions.entry(def.version.clone()).or_default().insert(def.plural.clone(), def);
    }

    pub(crate) fn get(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Definition>> {
        self.definitions.get(group)?.get(version)?.get(plural)
    }

    pub(crate) fn storage(&self, table: TableId) -> Option<&Arc<Definition>> {
        self.storage.get(&table)
    }

    pub(crate) fn is_builtin_group(&self, group: &str) -> bool {
        self.builtin_groups.iter().any(|(g, _)| g == group)
    }

    pub(crate) fn is_builtin_version(&self, group: &str, version: &str) -> bool {
        self.builtin_groups.contains(&(group.to_owned(), version.to_owned()))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.definitions.values().flat_map(BTreeMap::values).flat_map(BTreeMap::values)
    }

    /// Every resource once, in its storage version.
    pub(crate) fn stored(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.storage.values()
    }

    /// Replaces what a CRD serves. `definitions` holds its served versions, `storage` the stored one.
    pub(crate) fn replace_custom(
        &mut self,
        crd: &str,
        definitions: Vec<Definition>,
        storage: Option<Arc<Definition>>,
    ) {
        self.remove_custom(crd);
        for d in definitions {
            self.define(Arc::new(d));
        }
        if let Some(s) = storage {
            self.storage.insert(s.table, s);
        }
        self.generation += 1;
    }

    pub(crate) fn remove_custom(&mut self, crd: &str) {
        let keep = |d: &Definition| d.custom.as_ref().is_none_or(|c| c.crd != crd);
        for versions in self.definitions.values_mut() {
            versions.values_mut().for_each(|resources| resources.retain(|_, d| keep(d)));
        }
        self.storage.retain(|_, d| keep(d));
        self.generation += 1;
    }
}
