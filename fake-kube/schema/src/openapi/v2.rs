//! OpenAPI v2 made from the v3 documents: one swagger for everything.
//!
//! The real server builds both from the same types. Going from v3 to v2 loses what v2 cannot say: alternatives of types
//! (`oneOf`, `anyOf`), nullable values, defaults; an int-or-string is a string of that format (reference 1.4).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::pack;

/// The swagger of all built-in groups and of the given v3 documents of custom resources.
pub fn swagger(custom: &[Value]) -> Value {
    let mut definitions: BTreeMap<String, Value> =
        pack::schemas().into_iter().map(|(name, schema)| (name, definition(&schema, false))).collect();
    let mut paths: BTreeMap<String, Value> = BTreeMap::new();
    for name in pack::documents() {
        let Some((_, text)) = pack::parts(name) else { continue };
        let parsed: Map<String, Value> = serde_json::from_str(&text).unwrap_or_default();
        paths.extend(parsed.iter().map(|(path, item)| (path.clone(), path_item(item))));
    }
    for document in custom {
        let schemas = document["components"]["schemas"].as_object();
        for (name, schema) in schemas.into_iter().flatten() {
            definitions.entry(name.clone()).or_insert_with(|| definition(schema, true));
        }
        let items = document["paths"].as_object();
        paths.extend(items.into_iter().flatten().map(|(path, item)| (path.clone(), path_item(item))));
    }
    json!({"swagger": "2.0", "info": {"title": "Kubernetes", "version": "1.35"}, "paths": paths,
        "definitions": definitions,
        "securityDefinitions": {"BearerToken": {"description": "Bearer Token authentication", "type": "apiKey",
            "name": "authorization", "in": "header"}},
        "security": [{"BearerToken": []}]})
}

fn path_item(item: &Value) -> Value {
    let mut out = Map::new();
    for (key, value) in item.as_object().into_iter().flatten() {
        let value = if key == "parameters" { parameters(value) } else { operation(value) };
        out.insert(key.clone(), value);
    }
    Value::Object(out)
}

fn operation(operation: &Value) -> Value {
    let mut out = Map::new();
    let body = operation.get("requestBody");
    for (key, value) in operation.as_object().into_iter().flatten() {
        match key.as_str() {
            "parameters" | "requestBody" | "responses" => {}
            _ => drop(out.insert(key.clone(), value.clone())),
        }
    }
    let content = |v: &Value| v["content"].as_object().cloned().unwrap_or_default();
    let mut all: Vec<Value> = Vec::new();
    let mut consumes = vec![json!("*/*")];
    if let Some(body) = body {
        let content = content(body);
        consumes = content.keys().map(|k| json!(k)).collect();
        let schema = content.values().next().map(|v| definition(&v["schema"], false)).unwrap_or_default();
        let mut parameter = json!({"in": "body", "name": "body"});
        if body["required"] == true {
            parameter["required"] = json!(true);
        }
        parameter["schema"] = schema;
        all.push(parameter);
    }
    all.extend(parameters(&operation["parameters"]).as_array().cloned().unwrap_or_default());
    let produces: Vec<Value> = operation["responses"]["200"]["content"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(k, _)| json!(k))
        .collect();
    let mut responses = Map::new();
    for (code, response) in operation["responses"].as_object().into_iter().flatten() {
        let mut answer = json!({"description": response["description"]});
        if let Some(first) = content(response).values().next() {
            answer["schema"] = definition(&first["schema"], false);
        }
        responses.insert(code.clone(), answer);
    }
    out.insert("consumes".into(), Value::Array(consumes));
    out.insert("produces".into(), Value::Array(produces));
    out.insert("schemes".into(), json!(["https"]));
    if !all.is_empty() {
        out.insert("parameters".into(), Value::Array(all));
    }
    out.insert("responses".into(), Value::Object(responses));
    Value::Object(out)
}

fn parameters(list: &Value) -> Value {
    let flat = |parameter: &Value| {
        let mut out = Map::new();
        for (key, value) in parameter.as_object().into_iter().flatten() {
            match value.as_object().filter(|_| key == "schema") {
                Some(schema) => out.extend(schema.clone()),
                None => drop(out.insert(key.clone(), value.clone())),
            }
        }
        Value::Object(out)
    };
    list.as_array().into_iter().flatten().map(flat).collect()
}

/// A schema as v2 can say it. In schemas of custom resources parts with unknown or nullable content are left open:
/// kubectl would refuse what it does not find (apiextensions-apiserver, pkg/controller/openapi/v2).
fn definition(schema: &Value, custom: bool) -> Value {
    let Some(from) = schema.as_object() else { return schema.clone() };
    let mut out = Map::new();
    let flag = |key: &str| from.get(key) == Some(&Value::Bool(true));
    let open = custom && (flag("nullable") || flag("x-kubernetes-preserve-unknown-fields"));
    for (key, value) in from {
        let converted = match key.as_str() {
            "default" | "nullable" | "oneOf" | "anyOf" | "not" => continue,
            "properties" | "items" if open => continue,
            "type" if open && (flag("nullable") || value == "object" || value == "array") => continue,
            "allOf" => {
                // One reference is how v3 puts a description beside a `$ref`; v2 says both in one place.
                if let [only] = value.as_array().map_or(&[][..], Vec::as_slice)
                    && let Some(target) = only["$ref"].as_str()
                {
                    out.insert("$ref".into(), json!(referred(target)));
                }
                continue;
            }
            "$ref" => json!(referred(value.as_str().unwrap_or_default())),
            "properties" => {
                let each = value.as_object().into_iter().flatten();
                Value::Object(each.map(|(k, v)| (k.clone(), definition(v, custom))).collect())
            }
            "items" | "additionalProperties" => definition(value, custom),
            _ => value.clone(),
        };
        out.insert(key.clone(), converted);
    }
    if let Some(alternatives) = from.get("oneOf").and_then(Value::as_array) {
        // IntOrString and Quantity; whatever else has alternatives has no type in v2.
        let types: Vec<&str> = alternatives.iter().filter_map(|a| a["type"].as_str()).collect();
        if types == ["integer", "string"] || types == ["string", "number"] {
            out.insert("type".into(), json!("string"));
        }
    }
    Value::Object(out)
}

fn referred(target: &str) -> String {
    target.replacen("#/components/schemas/", "#/definitions/", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_resolves_and_nothing_of_v3_is_left() {
        let swagger = swagger(&[]);
        let mut wanted = Vec::new();
        pack::references(&swagger, &mut wanted);
        let missing: Vec<&String> =
            wanted.iter().filter(|name| swagger["definitions"].get(name.as_str()).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert!(!swagger.to_string().contains("#/components/"));
    }

    #[test]
    fn kinds_keep_what_strategic_merge_needs() {
        let swagger = swagger(&[]);
        let spec = &swagger["definitions"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
        assert_eq!(spec["x-kubernetes-patch-merge-key"], "name");
        assert_eq!(spec["items"]["$ref"], "#/definitions/io.k8s.api.core.v1.Container");
        let port = &swagger["definitions"]["io.k8s.apimachinery.pkg.util.intstr.IntOrString"];
        assert_eq!((&port["type"], &port["format"]), (&json!("string"), &json!("int-or-string")));
        let patch = &swagger["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
        assert_eq!(patch["parameters"][0]["in"], "body");
    }
}
