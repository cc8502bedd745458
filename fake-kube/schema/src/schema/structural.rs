//! What a CRD's schema must satisfy before it is accepted: apiextensions' validation of JSONSchemaProps and the
//! structural schema rules, with their texts (reference 2.9; cases crl-list-type-invalid, crl-create-invalid).

use serde_json::{Map, Value};

use super::Schema;
use super::cost;
use super::path::Path;
use super::{rules, validate};
use crate::DEPTH_MAX;
use crate::cause::Cause;

/// Checks the document alone.
pub(crate) fn check(document: &Value, base: &str) -> Vec<Cause> {
    let Some(root) = document.as_object() else {
        return vec![Cause::required(base, "")];
    };
    let mut check = Check { causes: Vec::new() };
    check.schema(root, base, Place::Root, 0);
    check.causes
}

/// Checks that need the compiled schema: defaults must be valid, rules must compile and may not cost too much.
pub(crate) fn check_compiled(document: &Value, base: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    if let Some(root) = document.as_object() {
        compiled(root, base, true, &mut causes, 0);
        causes.extend(cost::check(root, base));
    }
    causes
}

/// Where a schema stands in its parent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Value,
    /// Inside allOf, anyOf, oneOf, not: value checks only.
    Logic,
}

struct Check {
    causes: Vec<Cause>,
}

fn flag(map: &Map<String, Value>, key: &str) -> bool {
    map.get(key).and_then(Value::as_bool).unwrap_or(false)
}

fn text<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    map.get(key).and_then(Value::as_str)
}

fn objects<'a>(
    map: &'a Map<String, Value>,
    key: &str,
) -> impl Iterator<Item = (usize, &'a Map<String, Value>)> {
    let list = map.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().enumerate().filter_map(|(i, v)| Some((i, v.as_object()?)))
}

impl Check {
    fn push(&mut self, cause: Cause) {
        self.causes.push(cause);
    }

    fn schema(&mut self, map: &Map<String, Value>, at: &str, place: Place, depth: usize) {
        if depth > DEPTH_MAX {
            return self.push(Cause::forbidden(at, "schema is nested too deeply"));
        }
        match place {
            Place::Logic => self.logic(map, at),
            Place::Root | Place::Value => self.structural(map, at, place),
        }
        self.common(map, at, place);
        self.list_and_map_types(map, at);
        for key in ["allOf", "anyOf", "oneOf"] {
            for (i, child) in objects(map, key) {
                self.schema(child, &format!("{at}.{key}[{i}]"), Place::Logic, depth + 1);
            }
        }
        if let Some(child) = map.get("not").and_then(Value::as_object) {
            self.schema(child, &format!("{at}.not"), Place::Logic, depth + 1);
        }
        let below = if place == Place::Logic { Place::Logic } else { Place::Value };
        if let Some(Value::Object(child)) = map.get("items") {
            self.schema(child, &format!("{at}.items"), below, depth + 1);
        }
        if let Some(Value::Object(child)) = map.get("additionalProperties") {
            self.schema(child, &format!("{at}.additionalProperties"), below, depth + 1);
        }
        for (key, child) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if let Some(child) = child.as_object() {
                self.schema(child, &format!("{at}.properties[{key}]"), below, depth + 1);
            }
        }
    }

    /// Types must be said everywhere outside logic, and the root is an object.
    fn structural(&mut self, map: &Map<String, Value>, at: &str, place: Place) {
        let int_or_string = flag(map, "x-kubernetes-int-or-string");
        let preserve = flag(map, "x-kubernetes-preserve-unknown-fields");
        match text(map, "type") {
            None | Some("") if place == Place::Root => {
                self.push(Cause::required(format!("{at}.type"), "must not be empty at the root"));
            }
            None | Some("") if !int_or_string && !preserve => {
                self.push(Cause::required(
                    format!("{at}.type"),
                    "must not be empty for specified object fields",
                ));
            }
            Some(kind) if place == Place::Root && kind != "object" => {
                self.push(Cause::invalid(
                    format!("{at}.type"),
                    &Value::from(kind),
                    "must be object at the root",
                ));
            }
            Some("array") if !map.get("items").is_some_and(Value::is_object) => {
                self.push(Cause::required(format!("{at}.items"), "must be specified"));
            }
            _ => {}
        }
        if flag(map, "x-kubernetes-embedded-resource") {
            let empty = map.get("properties").and_then(Value::as_object).is_none_or(Map::is_empty);
            if !preserve && empty {
                let detail = "must not be empty if x-kubernetes-embedded-resource is true without \
                              x-kubernetes-preserve-unknown-fields";
                self.push(Cause::required(format!("{at}.properties"), detail));
            }
            match text(map, "type") {
                Some("object") => {}
                None | Some("") => self.push(Cause::required(
                    format!("{at}.type"),
                    "must be object if x-kubernetes-embedded-resource is true",
                )),
                Some(kind) => self.push(Cause::invalid(
                    format!("{at}.type"),
                    &Value::from(kind),
                    "must be object if x-kubernetes-embedded-resource is true",
                )),
            }
        }
        if let Some(metadata) =
            map.get("properties").and_then(|p| p.get("metadata")).and_then(Value::as_object)
            && (place == Place::Root || flag(map, "x-kubernetes-embedded-resource"))
        {
            self.metadata(metadata, &format!("{at}.properties[metadata]"));
        }
    }

    /// `metadata` may only say more about name and generateName.
    fn metadata(&mut self, map: &Map<String, Value>, at: &str) {
        if text(map, "type") != Some("object") {
            let kind = Value::from(text(map, "type").unwrap_or_default());
            self.push(Cause::invalid(format!("{at}.type"), &kind, "must be object"));
        }
        let properties = map.get("properties").and_then(Value::as_object);
        let other = properties.into_iter().flat_map(|p| p.keys()).any(|k| k != "name" && k != "generateName");
        if other {
            let detail = "must not specify anything other than name and generateName, but metadata is implicitly \
                          specified";
            self.push(Cause::forbidden(at, detail));
        }
    }

    /// Inside logic only value checks may stand.
    fn logic(&mut self, map: &Map<String, Value>, at: &str) {
        let int_or_string_form =
            |m: &Map<String, Value>| matches!(text(m, "type"), Some("integer" | "string"));
        for key in ["type", "title", "description"] {
            let allowed = key == "type" && at.contains("anyOf[") && int_or_string_form(map);
            if text(map, key).is_some_and(|t| !t.is_empty()) && !allowed {
                self.push(Cause::forbidden(format!("{at}.{key}"), "must be empty to be structural"));
            }
        }
        if map.contains_key("default") {
            self.push(Cause::forbidden(format!("{at}.default"), "must be undefined to be structural"));
        }
        if map.contains_key("additionalProperties") {
            self.push(Cause::forbidden(
                format!("{at}.additionalProperties"),
                "must be undefined to be structural",
            ));
        }
        if flag(map, "nullable") {
            self.push(Cause::forbidden(format!("{at}.nullable"), "must be false to be structural"));
        }
        for key in [
            "x-kubernetes-preserve-unknown-fields",
            "x-kubernetes-embedded-resource",
            "x-kubernetes-int-or-string",
        ] {
            if flag(map, key) {
                self.push(Cause::forbidden(format!("{at}.{key}"), "must be false to be structural"));
            }
        }
        for key in ["x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"] {
            if map.contains_key(key) {
                self.push(Cause::forbidden(format!("{at}.{key}"), "must be undefined to be structural"));
            }
        }
    }

    /// Rules of `ValidateCustomResourceDefinitionOpenAPISchema`.
    fn common(&mut self, map: &Map<String, Value>, at: &str, place: Place) {
        if flag(map, "uniqueItems") {
            let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            self.push(Cause::forbidden(format!("{at}.uniqueItems"), detail));
        }
        for key in ["$ref", "id", "$schema"] {
            if text(map, key).is_some_and(|t| !t.is_empty()) && key == "$ref" {
                self.push(Cause::forbidden(format!("{at}.$ref"), "$ref is not supported"));
            }
        }
        for (key, detail) in [
            ("definitions", "definitions is not supported"),
            ("dependencies", "dependencies is not supported"),
            ("patternProperties", "patternProperties is not supported"),
            ("additionalItems", "additionalItems is not supported"),
        ] {
            if map.get(key).is_some_and(|v| !v.is_null()) {
                self.push(Cause::forbidden(format!("{at}.{key}"), detail));
            }
        }
        if map.get("items").is_some_and(Value::is_array) {
            self.push(Cause::forbidden(
                format!("{at}.items"),
                "items must be a schema object and not an array",
            ));
        }
        let additional = map.get("additionalProperties");
        if additional == Some(&Value::Bool(false)) {
            let detail = "additionalProperties cannot be set to false";
            self.push(Cause::forbidden(format!("{at}.additionalProperties"), detail));
        }
        let has_properties = map.get("properties").and_then(Value::as_object).is_some_and(|p| !p.is_empty());
        if has_properties && additional.is_some_and(|a| a != &Value::Bool(false)) {
            let detail = "additionalProperties and properties are mutual exclusive";
            self.push(Cause::forbidden(format!("{at}.additionalProperties"), detail));
        }
        if let Some(pattern) = text(map, "pattern")
            && let Err(error) = regex::Regex::new(pattern)
        {
            let reason = error
                .to_string()
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .to_string();
            let detail =
                format!("must be a valid regular expression, but isn't: error parsing regexp: {reason}");
            self.push(Cause::invalid(format!("{at}.pattern"), &Value::from(pattern), &detail));
        }
        let known = ["array", "boolean", "integer", "number", "object", "string"];
        match text(map, "type") {
            Some("") | None => {}
            Some("null") => {
                self.push(Cause::forbidden(
                    format!("{at}.type"),
                    "type cannot be set to null, use nullable as an alternative",
                ));
            }
            Some(kind) if !known.contains(&kind) => {
                self.push(Cause::not_supported(format!("{at}.type"), &Value::from(kind), &known));
            }
            Some(_) => {}
        }
        let kind = text(map, "type").unwrap_or_default();
        if flag(map, "x-kubernetes-int-or-string") && place != Place::Logic && kind == "object" {
            let detail = "must be empty if x-kubernetes-int-or-string is true";
            self.push(Cause::invalid(format!("{at}.type"), &Value::from(kind), detail));
        }
        if map.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
            let detail = "must be true or undefined";
            self.push(Cause::invalid(
                format!("{at}.x-kubernetes-preserve-unknown-fields"),
                &Value::Bool(false),
                detail,
            ));
        }
    }

    fn list_and_map_types(&mut self, map: &Map<String, Value>, at: &str) {
        let kind = text(map, "type").unwrap_or_default();
        let list = text(map, "x-kubernetes-list-type");
        let keys = map.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
        if list.is_some() && kind != "array" {
            let field = format!("{at}.type");
            let detail = "must be array if x-kubernetes-list-type is specified";
            self.push(if kind.is_empty() {
                Cause::required(field, detail)
            } else {
                Cause::invalid(field, &Value::from(kind), detail)
            });
        }
        match list {
            None | Some("atomic" | "set" | "map") => {}
            Some(other) => self.push(Cause::not_supported(
                format!("{at}.x-kubernetes-list-type"),
                &Value::from(other),
                &["atomic", "set", "map"],
            )),
        }
        if keys.is_some_and(|k| !k.is_empty()) && list != Some("map") {
            let field = format!("{at}.x-kubernetes-list-type");
            let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
            self.push(match list {
                None => Cause::required(field, detail),
                Some(list) => Cause::invalid(field, &Value::from(list), detail),
            });
        }
        let items = map.get("items").and_then(Value::as_object);
        match (list, items) {
            (Some("map"), Some(items)) => {
                self.list_map(at, items, keys.map(Vec::as_slice).unwrap_or_default())
            }
            (Some("set"), Some(items)) => self.list_set(at, items),
            _ => {}
        }
        match text(map, "x-kubernetes-map-type") {
            None => {}
            Some("atomic" | "granular") if kind == "object" => {}
            Some("atomic" | "granular") => {
                let field = format!("{at}.type");
                let detail = "must be object if x-kubernetes-map-type is specified";
                self.push(if kind.is_empty() {
                    Cause::required(field, detail)
                } else {
                    Cause::invalid(field, &Value::from(kind), detail)
                });
            }
            Some(other) => self.push(Cause::not_supported(
                format!("{at}.x-kubernetes-map-type"),
                &Value::from(other),
                &["atomic", "granular"],
            )),
        }
    }

    fn list_map(&mut self, at: &str, items: &Map<String, Value>, keys: &[Value]) {
        if keys.is_empty() {
            let detail = "must not be empty if x-kubernetes-list-type is map";
            self.push(Cause::required(format!("{at}.x-kubernetes-list-map-keys"), detail));
        }
        let kind = text(items, "type").unwrap_or_default();
        if kind != "object" {
            let detail = "must be object if parent array's x-kubernetes-list-type is map";
            return self.push(Cause::invalid(format!("{at}.items.type"), &Value::from(kind), detail));
        }
        if flag(items, "nullable") {
            let detail = "cannot be nullable when x-kubernetes-list-type is map";
            self.push(Cause::forbidden(format!("{at}.items.nullable"), detail));
        }
        let properties = items.get("properties").and_then(Value::as_object);
        let required = items.get("required").and_then(Value::as_array);
        for (i, key) in keys.iter().enumerate() {
            let Some(name) = key.as_str() else { continue };
            if keys[..i].contains(key) {
                self.push(Cause::duplicate(format!("{at}.x-kubernetes-list-map-keys[{i}]"), key));
                continue;
            }
            let Some(property) = properties.and_then(|p| p.get(name)).and_then(Value::as_object) else {
                let detail = "entries must all be names of item properties";
                self.push(Cause::invalid(format!("{at}.x-kubernetes-list-map-keys[{i}]"), key, detail));
                continue;
            };
            let below = format!("{at}.items.properties[{name}]");
            if matches!(text(property, "type"), Some("array" | "object")) {
                let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                let kind = property.get("type").cloned().unwrap_or_default();
                self.push(Cause::invalid(format!("{below}.type"), &kind, detail));
            }
            let is_required = required.is_some_and(|r| r.contains(key));
            if !is_required && !property.contains_key("default") {
                let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a \
                              required property";
                self.push(Cause::required(format!("{below}.default"), detail));
            }
            if flag(property, "nullable") {
                let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
                self.push(Cause::forbidden(format!("{below}.nullable"), detail));
            }
        }
    }

    fn list_set(&mut self, at: &str, items: &Map<String, Value>) {
        match text(items, "type") {
            Some("object") if text(items, "x-kubernetes-map-type") != Some("atomic") => {
                let value = items.get("x-kubernetes-map-type").cloned().unwrap_or_default();
                let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
                self.push(Cause::invalid(format!("{at}.items.x-kubernetes-map-type"), &value, detail));
            }
            Some("array") if !matches!(text(items, "x-kubernetes-list-type"), None | Some("atomic")) => {
                let value = items.get("x-kubernetes-list-type").cloned().unwrap_or_default();
                let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
                self.push(Cause::invalid(format!("{at}.items.x-kubernetes-list-type"), &value, detail));
            }
            _ => {}
        }
        if flag(items, "nullable") {
            let detail = "cannot be nullable when x-kubernetes-list-type is set";
            self.push(Cause::forbidden(format!("{at}.items.nullable"), detail));
        }
    }
}

/// `defaults`: whether those are looked at; below additionalProperties they are not allowed, which is said elsewhere.
fn compiled(map: &Map<String, Value>, at: &str, defaults: bool, causes: &mut Vec<Cause>, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    if let Some(default) = map.get("default").filter(|_| defaults) {
        check_default(map, default, &format!("{at}.default"), causes);
    }
    for (i, document) in
        map.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten().enumerate()
    {
        check_rule(document, &format!("{at}.x-kubernetes-validations[{i}]"), causes);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(Value::Object(child)) = map.get(key) {
            let defaults = defaults && key == "items";
            compiled(child, &format!("{at}.{key}"), defaults, causes, depth + 1);
        }
    }
    for (key, child) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
        if let Some(child) = child.as_object() {
            compiled(child, &format!("{at}.properties[{key}]"), defaults, causes, depth + 1);
        }
    }
}

/// A default must be what its schema would accept and must survive pruning; rules are evaluated when it is.
fn check_default(map: &Map<String, Value>, default: &Value, at: &str, causes: &mut Vec<Cause>) {
    let wrapped = serde_json::json!({"type": "object", "properties": {"value": map}});
    let schema = Schema::compile(&wrapped);
    let object = serde_json::json!({"value": default});
    let mut pruned = object.clone();
    if !schema.prune(&mut pruned).is_empty() {
        causes.push(Cause::invalid(at, default, "must not have unknown fields"));
    }
    let wrong = validate::validate_member(schema.arena(), "value", &object, None, &Path::Part(at));
    if !wrong.is_empty() {
        return causes.extend(wrong);
    }
    for cause in rules::check(schema.arena(), &object, Some(&object), false).errors {
        let below = cause.field.strip_prefix("value").unwrap_or_default();
        causes.push(Cause { field: format!("{at}{below}"), ..cause });
    }
}

fn check_rule(document: &Value, at: &str, causes: &mut Vec<Cause>) {
    let Some(rule) = rules::Rule::parse(document).filter(|r| !r.rule.trim().is_empty()) else {
        return causes.push(Cause::required(format!("{at}.rule"), "rule is not specified"));
    };
    if let Some(message) = document.get("message").and_then(Value::as_str) {
        if !message.is_empty() && message.trim().is_empty() {
            causes.push(Cause::invalid(
                format!("{at}.message"),
                &Value::from(message),
                "message must be non-empty if specified",
            ));
        } else if message.contains('\n') {
            let detail = "message must not contain line breaks";
            causes.push(Cause::invalid(format!("{at}.message"), &Value::from(message), detail));
        }
    } else if rule.rule.trim().contains('\n') {
        let detail = "message must be specified if rule contains line breaks";
        causes.push(Cause::required(format!("{at}.message"), detail));
    }
    if let Some(reason) = &rule.reason {
        let supported =
            ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
        if !supported.contains(&reason.as_str()) {
            causes.push(Cause::not_supported(
                format!("{at}.reason"),
                &Value::from(reason.as_str()),
                &supported,
            ));
        }
    }
    if let Some(error) = rule.compile_error() {
        let detail = format!("compilation failed: {error}");
        causes.push(Cause::invalid(format!("{at}.rule"), &Value::from(rule.rule.as_str()), &detail));
    }
    if let Some(source) = &rule.message_expression
        && let Err(error) = rules::parse(source)
    {
        let detail = format!("messageExpression compilation failed: {error}");
        causes.push(Cause::invalid(
            format!("{at}.messageExpression"),
            &Value::from(source.as_str()),
            &detail,
        ));
    }
}
