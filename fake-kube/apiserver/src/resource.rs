//! What the server knows about one resource of one group version.

use std::sync::{Arc, OnceLock};

use fake_kube_schema::{Builtins, Members, Schema};
use serde_json::{Value, json};

use crate::names::NameRule;
use crate::status::qualify;
use crate::store::TableId;

/// Names a resource: `Resource::new("apps", "v1", "deployments")`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    pub group: String,
    pub version: String,
    pub plural: String,
}

impl Resource {
    pub fn new(group: &str, version: &str, plural: &str) -> Resource {
        Resource { group: group.to_owned(), version: version.to_owned(), plural: plural.to_owned() }
    }

    pub fn core(plural: &str) -> Resource {
        Resource::new("", "v1", plural)
    }

    pub fn group_version(&self) -> String {
        group_version(&self.group, &self.version)
    }
}

pub(crate) fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// A subresource as discovery lists it.
#[derive(Clone, Debug)]
pub(crate) struct Subresource {
    pub(crate) name: String,
    pub(crate) verbs: Vec<String>,
}

/// One resource in one version: names, rules, schema. Built-in kinds and custom resources alike.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) namespaced: bool,
    pub(crate) verbs: Vec<String>,
    pub(crate) subresources: Vec<Subresource>,
    pub(crate) table: TableId,
    /// Compiled at first use: most built-in kinds are never touched.
    pub(crate) schema: OnceLock<Schema>,
    pub(crate) traits: Traits,
    pub(crate) custom: Option<CustomVersion>,
    /// [`Definition::heading`].
    pub(crate) heading: OnceLock<String>,
}

/// The part of a Definition only custom resources have.
#[derive(Debug)]
pub(crate) struct CustomVersion {
    pub(crate) crd: String,
    pub(crate) status: bool,
    pub(crate) scale: Option<ScalePaths>,
    /// `.spec.color` of `selectableFields`.
    pub(crate) selectable: Vec<String>,
    pub(crate) columns: Arc<Value>,
    pub(crate) warning: Option<String>,
    /// Objects stored after this revision hold every default of the schema already; None when several versions, with
    /// defaults of their own, share the objects.
    pub(crate) defaulted_since: Option<u64>,
    /// The CRD is being deleted.
    pub(crate) terminating: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct ScalePaths {
    pub(crate) spec: String,
    pub(crate) status: String,
    pub(crate) selector: Option<String>,
}

/// How a kind differs from the common behaviour (registry/*/strategy.go of a real server).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traits {
    pub(crate) name_rule: NameRule,
    /// Has `metadata.generation`, bumped by spec changes.
    pub(crate) generation: bool,
    /// The main endpoint leaves `status` alone, `/status` writes it.
    pub(crate) status: bool,
    /// PUT without resourceVersion is allowed.
    pub(crate) unconditional_update: bool,
    pub(crate) create_on_update: bool,
    /// DELETE answers the object instead of a Status.
    pub(crate) delete_returns_object: bool,
    /// Deleted without a policy: dependents are orphaned.
    pub(crate) orphan_by_default: bool,
    /// Accepted and answered, never stored (access reviews).
    pub(crate) virtual_kind: bool,
}

impl Definition {
    pub(crate) fn api_version(&self) -> String {
        group_version(&self.group, &self.version)
    }

    /// Whether the object says it is of this group and version.
    pub(crate) fn is_version_of(&self, object: &Value) -> bool {
        let api_version = object.member("apiVersion").and_then(Value::as_str);
        api_version.is_some_and(|api_version| match api_version.split_once('/') {
            Some((group, version)) => group == self.group && version == self.version,
            None => self.group.is_empty() && api_version == self.version,
        })
    }

    /// Makes the object say of what kind and version it is.
    pub(crate) fn name_type(&self, object: &mut Value) {
        if !self.is_version_of(object) {
            object["apiVersion"] = Value::from(self.api_version());
        }
        if object.member("kind").and_then(Value::as_str) != Some(&self.kind) {
            object["kind"] = Value::from(self.kind.as_str());
        }
    }

    pub(crate) fn qualified_resource(&self) -> String {
        qualify(&self.plural, &self.group)
    }

    /// How the JSON of an object of this version begins.
    pub(crate) fn heading(&self) -> &str {
        self.heading.get_or_init(|| {
            format!("{{\"kind\":{},\"apiVersion\":{}", json!(self.kind), json!(self.api_version()))
        })
    }

    pub(crate) fn schema(&self) -> &Schema {
        self.schema.get_or_init(|| {
            Builtins::load().schema(&self.group, &self.version, &self.kind).unwrap_or_else(Schema::schemaless)
        })
    }

    pub(crate) fn is_custom(&self) -> bool {
        self.custom.is_some()
    }

    pub(crate) fn has_status(&self) -> bool {
        self.custom.as_ref().map_or(self.traits.status, |c| c.status)
    }

    /// Whether an object stored at `revision` is as this version stores and shows it, so that looking at it through the
    /// schema again changes nothing.
    pub(crate) fn is_settled(&self, revision: u64) -> bool {
        match &self.custom {
            None => !crate::events::is_view(self),
            Some(custom) => custom.defaulted_since.is_some_and(|since| revision > since),
        }
    }

    pub(crate) fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }

    pub(crate) fn is(&self, group: &str, plural: &str) -> bool {
        self.group == group && self.plural == plural
    }

    pub(crate) fn resource(&self) -> Resource {
        Resource::new(&self.group, &self.version, &self.plural)
    }
}
