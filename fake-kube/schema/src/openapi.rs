//! OpenAPI v3 documents: what `kubectl explain` and kubectl's validation read (reference 1.4; cases disc-openapi-v3-*).
//!
//! One generator makes the paths of custom and built-in group versions from their resource lists; schemas come from the
//! CRD or from the recorded data. Leaves out: descriptions of built-in types, and request bodies.

use serde_json::{Map, Value, json};

use crate::builtins::{Builtins, Resource};
use crate::schema::object_meta;

const API_VERSION_TEXT: &str = "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND_TEXT: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const METADATA_TEXT: &str = "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// A custom resource version as the document shows it.
pub struct CustomKind<'a> {
    pub group: &'a str,
    pub version: &'a str,
    pub kind: &'a str,
    pub plural: &'a str,
    pub namespaced: bool,
    pub schema: &'a Value,
    pub status: bool,
    pub scale: bool,
}

/// The document of a group version that consists of custom resources.
pub fn custom(kinds: &[CustomKind<'_>]) -> Value {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for kind in kinds {
        let name = custom_schema_name(kind.group, kind.version, kind.kind);
        let list = format!("{name}List");
        schemas.insert(list.clone(), list_schema(kind, &name));
        schemas.insert(name.clone(), custom_schema(kind));
        let mut subresources = Vec::new();
        if kind.status {
            subresources.push(("status", Target::new(kind.group, kind.version, kind.kind, &name)));
        }
        if kind.scale {
            subresources.push((
                "scale",
                Target::new("autoscaling", "v1", "Scale", "io.k8s.api.autoscaling.v1.Scale"),
            ));
            copy_with_references("io.k8s.api.autoscaling.v1.Scale", &mut schemas);
        }
        let target = Target::new(kind.group, kind.version, kind.kind, &name);
        let route = Route {
            group: kind.group,
            version: kind.version,
            plural: kind.plural,
            namespaced: kind.namespaced,
        };
        add_paths(&mut paths, &route, &target, &list, None, &subresources);
    }
    copy_with_references(OBJECT_META, &mut schemas);
    document("Kubernetes CRD Swagger", "v0.1.0", paths, schemas)
}

/// The document of a built-in group version, named as in the index: `api/v1`, `apis/apps/v1`.
pub fn built_in(name: &str) -> Option<Value> {
    let builtins = Builtins::load();
    let Value::Object(schemas) = builtins.openapi_schemas(name)? else { return None };
    let (group, version) = match name.split('/').collect::<Vec<_>>().as_slice() {
        ["api", version] => ("", *version),
        ["apis", group, version] => (*group, *version),
        _ => return None,
    };
    let schema_of = |group: &str, version: &str, kind: &str| -> String {
        let matches = |schema: &Value| {
            schema.get("x-kubernetes-group-version-kind").and_then(Value::as_array).is_some_and(|list| {
                list.iter().any(|g| g["group"] == group && g["version"] == version && g["kind"] == kind)
            })
        };
        schemas.iter().find(|(_, schema)| matches(schema)).map(|(name, _)| name.clone()).unwrap_or_default()
    };
    let mut paths = Map::new();
    for r in builtins.resources().iter().filter(|r| r.group == group && r.version == version) {
        let name = schema_of(group, version, &r.kind);
        let list = schema_of(group, version, &format!("{}List", r.kind));
        let subresources: Vec<(&str, Target)> = r
            .subresources
            .iter()
            .map(|s| {
                let (group, version) = if s.kind_version.is_empty() {
                    (group, version)
                } else {
                    (&*s.kind_group, &*s.kind_version)
                };
                (s.name.as_str(), Target::new(group, version, &s.kind, &schema_of(group, version, &s.kind)))
            })
            .collect();
        let route = Route { group, version, plural: &r.plural, namespaced: r.namespaced };
        add_paths(
            &mut paths,
            &route,
            &Target::new(group, version, &r.kind, &name),
            &list,
            Some(r),
            &subresources,
        );
    }
    Some(document("Kubernetes", "1.35", paths, schemas))
}

fn document(title: &str, version: &str, paths: Map<String, Value>, schemas: Map<String, Value>) -> Value {
    json!({"openapi": "3.0.0", "info": {"title": title, "version": version}, "paths": paths,
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

/// The author's schema with the three members every object has.
fn custom_schema(kind: &CustomKind<'_>) -> Value {
    let mut schema = kind.schema.as_object().cloned().unwrap_or_default();
    schema.entry("type").or_insert(json!("object"));
    publish(&mut schema);
    let properties = schema.entry("properties").or_insert_with(|| json!({}));
    if let Some(properties) = properties.as_object_mut() {
        properties.insert("apiVersion".into(), json!({"description": API_VERSION_TEXT, "type": "string"}));
        properties.insert("kind".into(), json!({"description": KIND_TEXT, "type": "string"}));
        properties.insert(
            "metadata".into(),
            json!({"description": METADATA_TEXT, "allOf": [reference(OBJECT_META)]}),
        );
    }
    let gvk = json!([{"group": kind.group, "kind": kind.kind, "version": kind.version}]);
    schema.insert("x-kubernetes-group-version-kind".into(), gvk);
    Value::Object(schema)
}

/// What the server changes when it publishes a schema: int-or-string spelled out, embedded resources typed.
fn publish(schema: &mut Map<String, Value>) {
    let flag = |schema: &Map<String, Value>, key: &str| schema.get(key) == Some(&Value::Bool(true));
    if flag(schema, "x-kubernetes-int-or-string") {
        schema.shift_remove("type");
        schema.insert("anyOf".into(), json!([{"type": "integer"}, {"type": "string"}]));
    }
    for key in ["items", "additionalProperties"] {
        if let Some(Value::Object(child)) = schema.get_mut(key) {
            publish(child);
        }
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().filter_map(Value::as_object_mut).for_each(publish);
    }
    if flag(schema, "x-kubernetes-embedded-resource") {
        schema.insert("required".into(), json!(["kind", "apiVersion"]));
        let properties = schema.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            let lower = |text: &str| format!("{}{}", text[..1].to_lowercase(), &text[1..]);
            let api_version = lower(API_VERSION_TEXT).replacen("aPIVersion", "apiVersion", 1);
            properties.insert("apiVersion".into(), json!({"description": api_version, "type": "string"}));
            properties.insert("kind".into(), json!({"description": lower(KIND_TEXT), "type": "string"}));
            properties.insert(
                "metadata".into(),
                json!({"description": METADATA_TEXT, "allOf": [reference(OBJECT_META)]}),
            );
        }
    }
}

fn list_schema(kind: &CustomKind<'_>, item: &str) -> Value {
    json!({
        "description": format!("{}List is a list of {}", kind.kind, kind.kind),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"description": API_VERSION_TEXT, "type": "string"},
            "kind": {"description": KIND_TEXT, "type": "string"},
            "items": {"type": "array", "items": reference(item)},
            "metadata": {"type": "object"}
        },
        "x-kubernetes-group-version-kind":
            [{"group": kind.group, "kind": format!("{}List", kind.kind), "version": kind.version}]
    })
}

/// Copies a built-in schema and everything it refers to.
fn copy_with_references(name: &str, schemas: &mut Map<String, Value>) {
    if schemas.contains_key(name) {
        return;
    }
    let document = Builtins::load().document(name).unwrap_or_else(object_meta);
    let mut names = Vec::new();
    references(&document, &mut names);
    schemas.insert(name.to_string(), document);
    for name in names {
        copy_with_references(&name, schemas);
    }
}

fn references(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(name) = map.get("$ref").and_then(Value::as_str) {
                names.extend(name.rsplit('/').next().map(str::to_string));
            }
            map.values().for_each(|v| references(v, names));
        }
        Value::Array(items) => items.iter().for_each(|v| references(v, names)),
        _ => {}
    }
}

struct Route<'a> {
    group: &'a str,
    version: &'a str,
    plural: &'a str,
    namespaced: bool,
}

/// The kind an operation reads and writes.
struct Target {
    gvk: Value,
    schema: String,
}

impl Target {
    fn new(group: &str, version: &str, kind: &str, schema: &str) -> Target {
        Target { gvk: json!({"group": group, "version": version, "kind": kind}), schema: schema.into() }
    }
}

fn add_paths(
    paths: &mut Map<String, Value>,
    route: &Route<'_>,
    target: &Target,
    list: &str,
    served: Option<&Resource>,
    subresources: &[(&str, Target)],
) {
    let serves = |verb: &str| served.is_none_or(|r| r.verbs.iter().any(|v| v == verb));
    let base = if route.group.is_empty() {
        format!("/api/{}", route.version)
    } else {
        format!("/apis/{}/{}", route.group, route.version)
    };
    let collection = if route.namespaced {
        format!("{base}/namespaces/{{namespace}}/{}", route.plural)
    } else {
        format!("{base}/{}", route.plural)
    };
    let mut many = Map::new();
    let mut one = Map::new();
    for (verb, method, action) in [
        ("list", "get", "list"),
        ("create", "post", "post"),
        ("deletecollection", "delete", "deletecollection"),
    ] {
        if serves(verb) {
            let schema = if verb == "list" { list } else { &target.schema };
            many.insert(method.into(), operation(action, target, schema));
        }
    }
    for (verb, method) in [("get", "get"), ("update", "put"), ("patch", "patch"), ("delete", "delete")] {
        if serves(verb) {
            one.insert(method.into(), operation(method, target, &target.schema));
        }
    }
    if route.namespaced && serves("list") {
        let everywhere = json!({"get": operation("list", target, list)});
        paths.insert(format!("{base}/{}", route.plural), everywhere);
    }
    for (name, target) in subresources {
        let mut methods = Map::new();
        for method in ["get", "put", "patch"] {
            methods.insert(method.into(), operation(method, target, &target.schema));
        }
        paths.insert(format!("{collection}/{{name}}/{name}"), Value::Object(methods));
    }
    if !many.is_empty() {
        paths.insert(collection.clone(), Value::Object(many));
    }
    if !one.is_empty() {
        paths.insert(format!("{collection}/{{name}}"), Value::Object(one));
    }
}

fn operation(action: &str, target: &Target, schema: &str) -> Value {
    let names: &[&str] = match action {
        "patch" => &["dryRun", "fieldManager", "fieldValidation", "force"],
        "put" | "post" => &["dryRun", "fieldManager", "fieldValidation"],
        "delete" | "deletecollection" => {
            &["dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"]
        }
        "list" => &[
            "allowWatchBookmarks",
            "continue",
            "fieldSelector",
            "labelSelector",
            "limit",
            "resourceVersion",
            "timeoutSeconds",
            "watch",
        ],
        _ => &["resourceVersion"],
    };
    let kind = |name: &str| match name {
        "force" | "orphanDependents" | "allowWatchBookmarks" | "watch" => "boolean",
        "gracePeriodSeconds" | "limit" | "timeoutSeconds" => "integer",
        _ => "string",
    };
    let parameters: Vec<Value> = names
        .iter()
        .map(|name| json!({"name": name, "in": "query", "schema": {"type": kind(name), "uniqueItems": true}}))
        .collect();
    let content = if schema.is_empty() {
        json!({})
    } else {
        json!({"application/json": {"schema": reference(schema)}})
    };
    json!({"parameters": parameters, "responses": {"200": {"description": "OK", "content": content},
        "401": {"description": "Unauthorized"}}, "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": target.gvk})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubectl_finds_what_it_looks_for() {
        let schema = json!({"type": "object", "description": "A widget.", "properties": {"port": {"x-kubernetes-int-or-string": true}}});
        let kind = CustomKind {
            group: "t.example.com",
            version: "v1",
            kind: "Widget",
            plural: "widgets",
            namespaced: true,
            schema: &schema,
            status: true,
            scale: true,
        };
        let document = custom(&[kind]);
        let widget = &document["components"]["schemas"]["com.example.t.v1.Widget"];
        assert_eq!(widget["x-kubernetes-group-version-kind"][0]["kind"], "Widget");
        assert_eq!(widget["properties"]["port"]["anyOf"][0]["type"], "integer");
        let patch =
            &document["paths"]["/apis/t.example.com/v1/namespaces/{namespace}/widgets/{name}"]["patch"];
        let names: Vec<&Value> =
            patch["parameters"].as_array().into_iter().flatten().map(|p| &p["name"]).collect();
        assert!(names.contains(&&json!("fieldValidation")) && names.contains(&&json!("dryRun")));
        let mut wanted = Vec::new();
        references(&document, &mut wanted);
        let missing: Vec<String> =
            wanted.into_iter().filter(|name| document["components"]["schemas"].get(name).is_none()).collect();
        assert_eq!(missing, Vec::<String>::new(), "every reference resolves");
    }

    #[test]
    fn built_in_documents_have_schemas_and_paths() {
        let document = built_in("apis/apps/v1").expect("recorded");
        let get = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["get"];
        assert_eq!(get["x-kubernetes-group-version-kind"]["kind"], "Deployment");
        assert_eq!(built_in("apis/nope/v1"), None);
    }
}
