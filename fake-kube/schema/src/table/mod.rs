//! Tables: the columns and rows `kubectl get` prints (reference 1.5).
//!
//! Custom resources print their additionalPrinterColumns; built-in kinds have recorded column definitions
//! (`data/columns.json`, packed by `tools/pack_columns.py`) and a row function each. Leaves out: the Table object around
//! them, which carries list metadata the caller knows.

mod cells;
mod jsonpath;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use jiff::Timestamp;
use serde_json::{Value, json};

pub use jsonpath::JsonPath;

use crate::text::compact_json;

const COLUMNS: &str = include_str!("../../data/columns.json");

/// How one kind prints.
#[derive(Clone, Debug)]
pub struct Table {
    definitions: Vec<Value>,
    rows: Rows,
}

#[derive(Clone, Debug)]
enum Rows {
    /// (type, path) per column after the name.
    Custom(Vec<(String, Option<JsonPath>)>),
    BuiltIn(cells::RowOf),
    /// Name and creation time, for kinds without a printer.
    Plain,
}

fn recorded() -> &'static BTreeMap<String, Vec<Value>> {
    static PARSED: OnceLock<BTreeMap<String, Vec<Value>>> = OnceLock::new();
    PARSED.get_or_init(|| serde_json::from_str(COLUMNS).unwrap_or_default())
}

/// A definition that tables share, by name.
fn shared(name: &str) -> Value {
    let columns = recorded().get("/configmaps").map(Vec::as_slice).unwrap_or_default();
    columns.iter().find(|c| c["name"] == name).cloned().unwrap_or_else(|| {
        json!({"name": name, "type": "string", "format": if name == "Name" { "name" } else { "" }, "description": "",
            "priority": 0})
    })
}

/// Columns of kinds whose definitions were not recorded (reference 1.5): names and types, no descriptions.
fn undescribed(group: &str, plural: &str) -> Option<Vec<Value>> {
    let columns: &[(&str, &str, u8)] = match (group, plural) {
        ("", "serviceaccounts") => &[],
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations") => &[("Webhooks", "integer", 0)],
        ("rbac.authorization.k8s.io", "clusterroles") => &[("Created At", "date", 0)],
        ("rbac.authorization.k8s.io", "clusterrolebindings") => {
            return recorded().get("rbac.authorization.k8s.io/rolebindings").cloned();
        }
        ("discovery.k8s.io", "endpointslices") => &[
            ("AddressType", "string", 0),
            ("Ports", "string", 0),
            ("Endpoints", "string", 0),
            ("Age", "string", 0),
        ],
        ("batch", "jobs") => &[
            ("Status", "string", 0),
            ("Completions", "string", 0),
            ("Duration", "string", 0),
            ("Age", "string", 0),
            ("Containers", "string", 1),
            ("Images", "string", 1),
            ("Selector", "string", 1),
        ],
        ("", "persistentvolumeclaims") => &[
            ("Status", "string", 0),
            ("Volume", "string", 0),
            ("Capacity", "string", 0),
            ("Access Modes", "string", 0),
            ("StorageClass", "string", 0),
            ("VolumeAttributesClass", "string", 0),
            ("Age", "string", 0),
            ("VolumeMode", "string", 1),
        ],
        _ => return None,
    };
    let mut out = vec![shared("Name")];
    for (name, kind, priority) in columns {
        if *name == "Age" {
            out.push(shared("Age"));
        } else {
            out.push(
                json!({"name": name, "type": kind, "format": "", "description": "", "priority": priority}),
            );
        }
    }
    if matches!(plural, "serviceaccounts" | "mutatingwebhookconfigurations") {
        out.push(shared("Age"));
    }
    Some(out)
}

impl Table {
    /// The table of a custom resource version, from its `additionalPrinterColumns`.
    pub fn custom(additional_printer_columns: &[Value]) -> Table {
        let mut definitions = vec![shared("Name")];
        let mut cells = Vec::new();
        for column in additional_printer_columns {
            let text = |key: &str| column.get(key).and_then(Value::as_str).unwrap_or_default();
            let path = text("jsonPath");
            let described = match text("description") {
                "" => format!("Custom resource definition column (in JSONPath format): {path}"),
                description => description.to_string(),
            };
            definitions.push(json!({"name": text("name"), "type": text("type"), "format": text("format"),
                "description": described, "priority": column.get("priority").and_then(Value::as_i64).unwrap_or(0)}));
            cells.push((text("type").to_string(), JsonPath::parse(path).ok()));
        }
        if additional_printer_columns.is_empty() {
            let mut age = shared("Age");
            age["type"] = json!("date");
            definitions.push(age);
            cells.push(("date".into(), JsonPath::parse(".metadata.creationTimestamp").ok()));
        }
        Table { definitions, rows: Rows::Custom(cells) }
    }

    /// The table of a built-in resource.
    pub fn built_in(group: &str, plural: &str) -> Table {
        let definitions =
            recorded().get(&format!("{group}/{plural}")).cloned().or_else(|| undescribed(group, plural));
        if let (Some(definitions), Some(row)) = (definitions, cells::row_of(group, plural)) {
            return Table { definitions, rows: Rows::BuiltIn(row) };
        }
        let mut created = shared("Age");
        created["name"] = json!("Created At");
        created["type"] = json!("date");
        Table { definitions: vec![shared("Name"), created], rows: Rows::Plain }
    }

    /// `columnDefinitions`.
    pub fn definitions(&self) -> &[Value] {
        &self.definitions
    }

    /// The cells of one object's row.
    pub fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let name = object.pointer("/metadata/name").cloned().unwrap_or_default();
        match &self.rows {
            Rows::Custom(columns) => {
                let cell = |(kind, path): &(String, Option<JsonPath>)| match path {
                    Some(path) => custom_cell(kind, &path.find(object), now),
                    None => Value::Null,
                };
                std::iter::once(name).chain(columns.iter().map(cell)).collect()
            }
            Rows::BuiltIn(row) => row(object, now),
            Rows::Plain => {
                vec![name, object.pointer("/metadata/creationTimestamp").cloned().unwrap_or_default()]
            }
        }
    }

    /// `rows[].conditions`, which only finished pods have.
    pub fn conditions(&self, object: &Value) -> Option<Value> {
        if object.get("kind").and_then(Value::as_str) != Some("Pod") {
            return None;
        }
        let (reason, message) = match object.pointer("/status/phase").and_then(Value::as_str)? {
            "Succeeded" => ("Succeeded", "The pod has completed successfully."),
            "Failed" => ("Failed", "The pod failed."),
            _ => return None,
        };
        Some(json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]))
    }
}

/// The first value a path finds, as the column's type; anything else is null.
fn custom_cell(kind: &str, found: &[&Value], now: Timestamp) -> Value {
    let Some(value) = found.first().filter(|v| !v.is_null()) else { return Value::Null };
    match (kind, value) {
        ("string", Value::String(_)) => (*value).clone(),
        ("string", other) => Value::from(compact_json(other)),
        ("integer", Value::Number(n)) => {
            n.as_i64().or_else(|| n.as_f64().map(|f| f as i64)).map_or(Value::Null, Value::from)
        }
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => (*value).clone(),
        ("date", Value::String(text)) => Value::from(cells::age_of(text, now)),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Case crl-columns.
    #[test]
    fn custom_cells_follow_type_and_path() {
        let column = |kind: &str, path: &str| json!({"name": "X", "type": kind, "jsonPath": path});
        let object = json!({"metadata": {"name": "a", "annotations": {"a.b/c": "v"}}, "spec": {"s": {"a": 1}, "i": 1.9,
            "n": 2, "b": "true", "d": "nope", "e": "", "l": [{"x": "a", "y": "1"}, {"x": "b", "y": "2"}]}});
        let rows = [
            ("string", ".spec.s", json!("{\"a\":1}")),
            ("string", ".spec.e", json!("")),
            ("string", ".spec.none", Value::Null),
            ("integer", ".spec.i", json!(1)),
            ("number", ".spec.n", json!(2)),
            ("boolean", ".spec.b", Value::Null),
            ("date", ".spec.d", json!("<invalid>")),
            ("string", ".spec.l[*].x", json!("a")),
            ("string", ".spec.l[?(@.x==\"b\")].y", json!("2")),
            ("string", ".metadata.annotations.a\\.b/c", json!("v")),
        ];
        let now = "2024-01-01T00:00:00Z".parse().expect("time");
        for (kind, path, expected) in rows {
            let table = Table::custom(&[column(kind, path)]);
            assert_eq!(table.cells(&object, now), [json!("a"), expected], "{kind} {path}");
        }
    }

    #[test]
    fn built_in_rows_have_a_cell_per_column() {
        let now = "2024-01-01T00:00:00Z".parse().expect("time");
        for (key, definitions) in recorded() {
            let (group, plural) = key.split_once('/').expect("key");
            let table = Table::built_in(group, plural);
            assert_eq!(table.definitions(), definitions, "{key} has a row function");
            assert_eq!(table.cells(&json!({}), now).len(), definitions.len(), "{key}");
        }
        for key in
            ["/serviceaccounts", "/persistentvolumeclaims", "batch/jobs", "discovery.k8s.io/endpointslices"]
        {
            let (group, plural) = key.split_once('/').expect("key");
            let table = Table::built_in(group, plural);
            assert_eq!(table.cells(&json!({}), now).len(), table.definitions().len(), "{key}");
        }
    }
}
