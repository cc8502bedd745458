//! Which fields a selector may name, per kind, and the filter of list, watch and deletecollection.

use std::sync::Arc;

use serde_json::Value;

use crate::events;
use crate::meta;
use crate::request::Params;
use crate::resource::Definition;
use crate::selector::{FieldSelector, LabelSelector};
use crate::status::{Result, Status};
use crate::stored::Stored;

/// Label and field selector of one request, checked against the kind.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    pub(crate) labels: LabelSelector,
    pub(crate) fields: FieldSelector,
    def: Arc<Definition>,
}

impl Filter {
    pub(crate) fn parse(def: &Arc<Definition>, params: &Params) -> Result<Filter> {
        Filter::new(def, params.text("labelSelector"), params.text("fieldSelector"))
    }

    pub(crate) fn new(def: &Arc<Definition>, labels: &str, fields: &str) -> Result<Filter> {
        let labels = LabelSelector::parse(labels)?;
        let fields = FieldSelector::parse(fields)?;
        for clause in &fields.0 {
            if path(def, &clause.path).is_none() {
                return Err(unsupported(def, &clause.path));
            }
        }
        Ok(Filter { labels, fields, def: def.clone() })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// [`Filter::matches`] of a stored object, which is not looked at where there is nothing to look for.
    pub(crate) fn passes(&self, stored: &Stored) -> bool {
        self.is_empty() || self.matches(&stored.value())
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.labels.matches(object)
            && self.fields.matches(|p| path(&self.def, p).map_or(String::new(), |at| read(object, &at)))
    }
}

const POD: [&str; 9] = [
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.podIPs",
    "status.nominatedNodeName",
];
const EVENT: [&str; 11] = [
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];

/// Fields of a built-in kind beyond name and namespace; None for kinds without any.
fn special(def: &Definition) -> Option<&'static [&'static str]> {
    match (def.group.as_str(), def.plural.as_str()) {
        ("", "pods") => Some(&POD),
        ("" | "events.k8s.io", "events") => Some(&EVENT),
        ("", "secrets") => Some(&["type"]),
        ("", "namespaces") => Some(&["status.phase"]),
        ("", "nodes") => Some(&["spec.unschedulable"]),
        ("", "replicationcontrollers") => Some(&["status.replicas"]),
        ("", "services") => Some(&["spec.clusterIP", "spec.type"]),
        ("batch", "jobs") => Some(&["status.successful"]),
        ("certificates.k8s.io", _) => Some(&["spec.signerName"]),
        _ => None,
    }
}

/// Where in the stored object a selector's field is; None when the kind does not support it.
fn path(def: &Definition, field: &str) -> Option<String> {
    if field == "metadata.name" || field == "metadata.namespace" && (def.namespaced || !def.is_custom()) {
        return Some(field.to_owned());
    }
    if let Some(custom) = &def.custom {
        return custom
            .selectable
            .iter()
            .find(|p| p.trim_start_matches('.') == field)
            .map(|_| field.to_owned());
    }
    let field = if events::is_view(def) {
        match field.strip_prefix("regarding.") {
            Some(rest) => format!("involvedObject.{rest}"),
            None if field == "reportingController" => "reportingComponent".to_owned(),
            None if field.starts_with("involvedObject.") || field == "reportingComponent" => return None,
            None => field.to_owned(),
        }
    } else {
        field.to_owned()
    };
    special(def)?.contains(&field.as_str()).then_some(field)
}

fn unsupported(def: &Definition, field: &str) -> Status {
    if def.is_custom() || special(def).is_some() {
        Status::bad_request(format!("field label not supported: {field}"))
    } else {
        Status::bad_request(format!(
            "\"{field}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        ))
    }
}

fn read(object: &Value, path: &str) -> String {
    let value = match path {
        // The event's source is its component; a status list of IPs is matched by its first.
        "source" => meta::dotted(object, "source.component"),
        "status.podIPs" => meta::dotted(object, "status.podIP"),
        "status.successful" => meta::dotted(object, "status.succeeded"),
        _ => meta::dotted(object, path),
    };
    match value {
        Some(Value::String(s)) => s.clone(),
        Some(Value::Null) | None => match path {
            "spec.unschedulable" | "spec.hostNetwork" => "false".to_owned(),
            "status.successful" | "status.replicas" => "0".to_owned(),
            _ => String::new(),
        },
        Some(other) => other.to_string(),
    }
}
