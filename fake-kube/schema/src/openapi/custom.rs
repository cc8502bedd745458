//! The document of a CRD's group version, as the real server's CRD controller builds it (cases disc-openapi-v3-crd*;
//! apiextensions-apiserver, pkg/controller/openapi/builder).
//!
//! Parameters come from the packed data; a parameter that all operations of a path share is told once, at the path.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::pack;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";
const METADATA_TEXT: &str = "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";
const LIST_METADATA_TEXT: &str = "Standard list metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const LIST_TEXT: &str =
    "More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md";
const API_VERSION_TEXT: &str = "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND_TEXT: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const EMBEDDED_API_VERSION_TEXT: &str = "apiVersion defines the versioned schema of this representation of an object. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const EMBEDDED_KIND_TEXT: &str = "kind is a string value representing the type of this object. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";

/// A custom resource version as the document shows it.
pub struct CustomKind<'a> {
    pub group: &'a str,
    pub version: &'a str,
    pub kind: &'a str,
    pub list_kind: &'a str,
    pub plural: &'a str,
    pub namespaced: bool,
    /// `openAPIV3Schema` of the version.
    pub schema: &'a Value,
    pub status: bool,
    pub scale: bool,
    /// `selectableFields` of the version, as in the CRD.
    pub selectable: &'a Value,
}

/// The document of a group version that consists of custom resources.
pub fn custom(kinds: &[CustomKind<'_>]) -> Value {
    let parameters: Value =
        pack::section("crd").and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let mut paths = BTreeMap::new();
    let mut schemas = BTreeMap::new();
    let mut shared = Vec::from(["ObjectMeta", "ListMeta", "Status", "DeleteOptions", "Patch"])
        .iter()
        .map(|name| format!("{META}.{name}"))
        .collect::<Vec<_>>();
    for kind in kinds {
        schemas.insert(custom_schema_name(kind.group, kind.version, kind.kind), custom_schema(kind));
        schemas.insert(custom_schema_name(kind.group, kind.version, kind.list_kind), list_schema(kind));
        Paths { kind, parameters: &parameters, out: &mut paths }.add();
        if kind.scale {
            shared.push(SCALE.to_owned());
        }
    }
    let shared: Vec<&str> = shared.iter().map(String::as_str).collect();
    for (name, schema) in pack::schemas_with_references(&shared) {
        schemas.entry(name).or_insert(schema);
    }
    json!({"openapi": "3.0.0", "info": {"title": "Kubernetes CRD Swagger", "version": "v0.1.0"}, "paths": paths,
        "components": {"schemas": schemas}})
}

/// `com.example.t.v1.Widget`: the group reversed.
pub fn custom_schema_name(group: &str, version: &str, kind: &str) -> String {
    let reversed: Vec<&str> = group.split('.').rev().collect();
    format!("{}.{version}.{kind}", reversed.join("."))
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn described_reference(name: &str, text: &str) -> Value {
    json!({"description": text, "allOf": [reference(&format!("{META}.{name}"))]})
}

/// The author's schema with the three members every object has.
fn custom_schema(kind: &CustomKind<'_>) -> Value {
    let mut schema = kind.schema.as_object().cloned().unwrap_or_default();
    schema.entry("type").or_insert(json!("object"));
    publish(&mut schema, 0);
    if let Some(properties) = schema.entry("properties").or_insert_with(|| json!({})).as_object_mut() {
        properties.insert("apiVersion".into(), json!({"description": API_VERSION_TEXT, "type": "string"}));
        properties.insert("kind".into(), json!({"description": KIND_TEXT, "type": "string"}));
        properties.insert("metadata".into(), described_reference("ObjectMeta", METADATA_TEXT));
    }
    extend(&mut schema, kind, kind.kind);
    Value::Object(schema)
}

fn list_schema(kind: &CustomKind<'_>) -> Value {
    let item = custom_schema_name(kind.group, kind.version, kind.kind);
    let items = json!({"description": format!("List of {}. {LIST_TEXT}", kind.plural), "type": "array",
        "items": reference(&item)});
    let mut schema = Map::new();
    schema.insert("description".into(), json!(format!("{} is a list of {}", kind.list_kind, kind.kind)));
    schema.insert("type".into(), json!("object"));
    schema.insert("required".into(), json!(["items"]));
    schema.insert(
        "properties".into(),
        json!({"apiVersion": {"description": API_VERSION_TEXT, "type": "string"}, "items": items,
            "kind": {"description": KIND_TEXT, "type": "string"},
            "metadata": described_reference("ListMeta", LIST_METADATA_TEXT)}),
    );
    extend(&mut schema, kind, kind.list_kind);
    Value::Object(schema)
}

/// What tells clients which kind a schema is of and by which fields it can be selected.
fn extend(schema: &mut Map<String, Value>, kind: &CustomKind<'_>, name: &str) {
    schema.insert(
        "x-kubernetes-group-version-kind".into(),
        json!([{"group": kind.group, "kind": name, "version": kind.version}]),
    );
    let fields: Vec<Value> = kind
        .selectable
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|f| f["jsonPath"].as_str())
        .map(|path| json!({"fieldPath": path.strip_prefix('.').unwrap_or(path)}))
        .collect();
    if !fields.is_empty() {
        schema.insert("x-kubernetes-selectable-fields".into(), Value::Array(fields));
    }
}

/// What the server changes when it publishes a schema: int-or-string spelled out, embedded resources typed.
fn publish(schema: &mut Map<String, Value>, depth: usize) {
    if depth > crate::DEPTH_MAX {
        return;
    }
    let flag = |schema: &Map<String, Value>, key: &str| schema.get(key) == Some(&Value::Bool(true));
    if flag(schema, "x-kubernetes-int-or-string") {
        schema.shift_remove("type");
        schema.insert("anyOf".into(), json!([{"type": "integer"}, {"type": "string"}]));
    }
    for key in ["items", "additionalProperties"] {
        if let Some(Value::Object(child)) = schema.get_mut(key) {
            publish(child, depth + 1);
        }
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().filter_map(Value::as_object_mut).for_each(|p| publish(p, depth + 1));
    }
    if !flag(schema, "x-kubernetes-embedded-resource") {
        return;
    }
    if let Some(properties) = schema.entry("properties").or_insert_with(|| json!({})).as_object_mut() {
        let text = |text: &str| json!({"description": text, "type": "string"});
        properties.insert("apiVersion".into(), text(EMBEDDED_API_VERSION_TEXT));
        properties.insert("kind".into(), text(EMBEDDED_KIND_TEXT));
        properties.insert("metadata".into(), described_reference("ObjectMeta", METADATA_TEXT));
    }
    if let Some(required) = schema.entry("required").or_insert_with(|| json!([])).as_array_mut() {
        for name in ["kind", "apiVersion"] {
            if !required.iter().any(|r| r == name) {
                required.push(json!(name));
            }
        }
    }
}

/// The paths of one custom resource version.
struct Paths<'a> {
    kind: &'a CustomKind<'a>,
    parameters: &'a Value,
    out: &'a mut BTreeMap<String, Value>,
}

impl Paths<'_> {
    fn add(&mut self) {
        let k = self.kind;
        let base = format!("/apis/{}/{}", k.group, k.version);
        let mut collection = format!("{base}/{}", k.plural);
        if k.namespaced {
            let listing = self.operation("list", "list", "", true);
            self.path(collection, vec![("get", listing)]);
            collection = format!("{base}/namespaces/{{namespace}}/{}", k.plural);
        }
        let many = vec![
            ("get", self.operation("list", "list", "", false)),
            ("post", self.operation("post", "create", "", false)),
            ("delete", self.operation("deletecollection", "deletecollection", "", false)),
        ];
        self.path(collection.clone(), many);
        let one = vec![
            ("get", self.operation("get", "read", "", false)),
            ("put", self.operation("put", "replace", "", false)),
            ("delete", self.operation("delete", "delete", "", false)),
            ("patch", self.operation("patch", "patch", "", false)),
        ];
        self.path(format!("{collection}/{{name}}"), one);
        for (name, present) in [("status", k.status), ("scale", k.scale)] {
            if present {
                let some = vec![
                    ("get", self.operation("get", "read", name, false)),
                    ("put", self.operation("put", "replace", name, false)),
                    ("patch", self.operation("patch", "patch", name, false)),
                ];
                self.path(format!("{collection}/{{name}}/{name}"), some);
            }
        }
    }

    /// `action` as in x-kubernetes-action, `verb` as in the operation's name.
    fn operation(&self, action: &str, verb: &str, subresource: &str, everywhere: bool) -> Value {
        let k = self.kind;
        let own = custom_schema_name(k.group, k.version, k.kind);
        let answer = match (subresource, action) {
            ("scale", _) => SCALE.to_owned(),
            (_, "list") => custom_schema_name(k.group, k.version, k.list_kind),
            (_, "delete" | "deletecollection") => format!("{META}.Status"),
            _ => own,
        };
        let mut responses = json!({"200": {"description": "OK", "content": in_forms(&answer)}});
        if action == "post" {
            responses["201"] = json!({"description": "Created", "content": in_forms(&answer)});
            responses["202"] = json!({"description": "Accepted", "content": in_forms(&answer)});
        } else if action == "put" {
            responses["201"] = json!({"description": "Created", "content": in_forms(&answer)});
        } else if action == "delete" {
            responses["202"] = json!({"description": "Accepted", "content": in_forms(&answer)});
        }
        responses["401"] = json!({"description": "Unauthorized"});
        let mut out = json!({
            "tags": [format!("{}_{}", identifier(trimmed(k.group), false), identifier(k.version, false))],
            "description": self.description(verb, subresource),
            "operationId": self.operation_id(verb, subresource, everywhere),
            "parameters": self.parameters[action],
        });
        let body = match action {
            "put" | "post" => Some(json!({"content": in_forms(&answer), "required": true})),
            "delete" => Some(json!({"content": in_forms(&format!("{META}.DeleteOptions"))})),
            "patch" => {
                let patch = json!({"schema": reference(&format!("{META}.Patch"))});
                Some(json!({"content": {"application/apply-patch+yaml": patch,
                    "application/json-patch+json": patch, "application/merge-patch+json": patch},
                    "required": true}))
            }
            _ => None,
        };
        if let Some(body) = body {
            out["requestBody"] = body;
        }
        out["responses"] = responses;
        out["x-kubernetes-action"] = json!(action);
        out["x-kubernetes-group-version-kind"] =
            json!({"group": k.group, "version": k.version, "kind": k.kind});
        out
    }

    fn description(&self, verb: &str, subresource: &str) -> String {
        let kind = self.kind.kind;
        let of = if subresource.is_empty() { String::new() } else { format!(" {subresource} of") };
        match verb {
            "list" => format!("list{of} objects of kind {kind}"),
            "read" | "replace" => format!("{verb}{of} the specified {kind}"),
            "patch" => format!("partially update{of} the specified {kind}"),
            "deletecollection" => format!("delete collection of{of} {kind}"),
            _ => format!("{verb}{of} {} {kind}", article(kind)),
        }
    }

    /// `readTExampleComV1NamespacedWidgetStatus`: the group version goes between the verb and the rest.
    fn operation_id(&self, verb: &str, subresource: &str, everywhere: bool) -> String {
        let k = self.kind;
        // `deletecollection` is no verb to the function that splits the name: its prefix `delete` is.
        let (prefix, rest) = if verb == "deletecollection" { ("delete", "collection") } else { (verb, "") };
        let group = format!("{prefix}{}{}", identifier(trimmed(k.group), true), identifier(k.version, true));
        let scope = if k.namespaced && !everywhere { "Namespaced" } else { "" };
        let suffix = if everywhere { "ForAllNamespaces" } else { "" };
        let sub = identifier(subresource, true);
        group + &identifier(&format!("{rest}{scope}{}{sub}{suffix}", k.kind), true)
    }

    /// Puts a path in place; parameters that all its operations have move to the path.
    fn path(&mut self, path: String, operations: Vec<(&str, Value)>) {
        let mut operations = operations;
        let lists: Vec<Vec<Value>> =
            operations.iter().map(|(_, o)| o["parameters"].as_array().cloned().unwrap_or_default()).collect();
        let common: Vec<Value> = lists
            .first()
            .into_iter()
            .flatten()
            .filter(|p| lists.iter().all(|list| list.contains(p)))
            .cloned()
            .collect();
        for (_, operation) in &mut operations {
            let Some(own) = operation["parameters"].as_array_mut() else { continue };
            own.retain(|p| !common.contains(p));
            if own.is_empty()
                && let Some(operation) = operation.as_object_mut()
            {
                operation.shift_remove("parameters");
            }
        }
        let of_path = self.parameters["path"].as_array().into_iter().flatten().filter(|p| {
            let name = p["name"].as_str().unwrap_or_default();
            name == "pretty" || path.contains(&format!("{{{name}}}"))
        });
        let mut shared: Vec<Value> = common;
        shared.extend(of_path.cloned().map(|mut p| {
            if p["name"] == "name" {
                p["description"] = json!(format!("name of the {}", self.kind.kind));
            }
            p
        }));
        shared.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
        let mut item: Map<String, Value> =
            operations.into_iter().map(|(method, o)| (method.to_owned(), o)).collect();
        item.insert("parameters".into(), Value::Array(shared));
        self.out.insert(path, Value::Object(item));
    }
}

fn in_forms(schema: &str) -> Value {
    let schema = json!({"schema": reference(schema)});
    json!({"application/json": schema, "application/yaml": schema})
}

fn trimmed(group: &str) -> &str {
    group.strip_suffix(".k8s.io").unwrap_or(group)
}

/// An identifier of letters, digits and `_`: what follows any other character starts in upper case.
fn identifier(text: &str, upper: bool) -> String {
    let mut out = String::new();
    let mut upper = upper;
    for (i, c) in text.char_indices() {
        if c.is_alphabetic() || c == '_' || (i != 0 && c.is_ascii_digit()) {
            out.extend(if upper { c.to_uppercase().next() } else { Some(c) });
            upper = false;
        } else {
            upper = true;
        }
    }
    out
}

fn article(noun: &str) -> &'static str {
    match noun.chars().next() {
        Some('A' | 'E' | 'I' | 'O' | 'U') => "an",
        _ => "a",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Value {
        let schema = json!({"type": "object", "description": "A widget.", "properties": {"port": {"x-kubernetes-int-or-string": true}}});
        let kind = CustomKind {
            group: "t.example.com",
            version: "v1",
            kind: "Widget",
            list_kind: "WidgetList",
            plural: "widgets",
            namespaced: true,
            schema: &schema,
            status: true,
            scale: true,
            selectable: &Value::Null,
        };
        custom(&[kind])
    }

    #[test]
    fn kubectl_finds_what_it_looks_for() {
        let document = document();
        let widget = &document["components"]["schemas"]["com.example.t.v1.Widget"];
        assert_eq!(widget["x-kubernetes-group-version-kind"][0]["kind"], "Widget");
        assert_eq!(widget["properties"]["port"]["anyOf"][0]["type"], "integer");
        let patch =
            &document["paths"]["/apis/t.example.com/v1/namespaces/{namespace}/widgets/{name}"]["patch"];
        let names: Vec<&Value> =
            patch["parameters"].as_array().into_iter().flatten().map(|p| &p["name"]).collect();
        assert!(names.contains(&&json!("fieldValidation")) && names.contains(&&json!("dryRun")));
        let mut wanted = Vec::new();
        pack::references(&document, &mut wanted);
        let missing: Vec<String> =
            wanted.into_iter().filter(|name| document["components"]["schemas"].get(name).is_none()).collect();
        assert_eq!(missing, Vec::<String>::new(), "every reference resolves");
    }

    #[test]
    fn operations_are_named_by_verb_group_and_kind() {
        let document = document();
        let id = |path: &str, method: &str| {
            document["paths"][format!("/apis/t.example.com/v1/{path}")][method]["operationId"].clone()
        };
        assert_eq!(id("widgets", "get"), "listTExampleComV1WidgetForAllNamespaces");
        let many = "namespaces/{namespace}/widgets";
        assert_eq!(id(many, "post"), "createTExampleComV1NamespacedWidget");
        assert_eq!(id(many, "delete"), "deleteTExampleComV1CollectionNamespacedWidget");
        assert_eq!(id(&format!("{many}/{{name}}/scale"), "patch"), "patchTExampleComV1NamespacedWidgetScale");
    }

    #[test]
    fn what_all_operations_of_a_path_take_is_told_once() {
        let document = document();
        let everywhere = &document["paths"]["/apis/t.example.com/v1/widgets"];
        assert_eq!(everywhere["get"].get("parameters"), None);
        let names: Vec<&str> = everywhere["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|p| p["name"].as_str())
            .collect();
        assert!(
            names.contains(&"labelSelector") && names.contains(&"pretty") && !names.contains(&"namespace")
        );
        assert!(names.is_sorted());
    }
}
