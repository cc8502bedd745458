//! JSON schema documents -> nodes. Lenient: what does not parse is left out; [`super::structural`] has complained
//! before. References (`$ref`) are resolved through a resolver, which built-in kinds use and CRDs cannot.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value};

use super::node::{Additional, Arena, Checks, ListType, Node, NodeId, PatchStrategy, Type};
use super::rules::Rule;

/// Finds the schema document behind a `$ref` name.
pub(crate) type Resolve<'a> = &'a dyn Fn(&str) -> Option<Value>;

/// Compiles `document`; `resolve` answers `$ref`s.
pub(crate) fn compile(document: &Value, resolve: Resolve<'_>) -> Arena {
    let mut c = Compiler::new(resolve);
    let root = c.node(document);
    c.finish(root)
}

/// Compiles a CRD version's schema: the root and every embedded resource get the types of `apiVersion`, `kind` and
/// `metadata`, as the server's own OpenAPI has them.
pub(crate) fn compile_crd(document: &Value, object_meta: &Value, resolve: Resolve<'_>) -> Arena {
    let mut c = Compiler::new(resolve);
    let root = c.node(document);
    let embedded: Vec<usize> = c
        .nodes
        .iter()
        .enumerate()
        .filter(|(_, n)| n.embedded)
        .map(|(i, _)| i)
        .chain([root as usize])
        .collect();
    let meta = c.node(object_meta);
    for i in embedded {
        for key in ["apiVersion", "kind"] {
            if !c.nodes[i].properties.contains_key(key) {
                let id = c.push(Node::new(Type::String));
                c.nodes[i].properties.insert(key.into(), id);
            }
        }
        // The author's schema of metadata may only restrict name and generateName; those checks run on their own.
        let authored = c.nodes[i].properties.insert("metadata".into(), meta);
        if let Some(authored) = authored {
            let merged = c.merged_metadata(meta, authored);
            c.nodes[i].properties.insert("metadata".into(), merged);
        }
        if c.nodes[i].kind == Type::Any {
            c.nodes[i].kind = Type::Object;
        }
    }
    c.finish(root)
}

struct Compiler<'a> {
    nodes: Vec<Node>,
    named: BTreeMap<String, NodeId>,
    /// Annotated references: filled from their target once every node is built, since types may recurse.
    copies: Vec<Copy>,
    resolve: Resolve<'a>,
}

/// A place that refers to `target` and adds annotations of its own.
struct Copy {
    at: NodeId,
    target: NodeId,
    default: Option<Value>,
    patch: Option<PatchStrategy>,
    map_atomic: bool,
}

impl<'a> Compiler<'a> {
    fn new(resolve: Resolve<'a>) -> Compiler<'a> {
        Compiler { nodes: Vec::new(), named: BTreeMap::new(), copies: Vec::new(), resolve }
    }

    fn finish(mut self, root: NodeId) -> Arena {
        for copy in std::mem::take(&mut self.copies) {
            let mut node = self.nodes[copy.target as usize].shallow_copy();
            node.map_atomic |= copy.map_atomic;
            node.default = copy.default;
            node.patch = copy.patch.map(Box::new);
            self.nodes[copy.at as usize] = node;
        }
        Arena::new(self.nodes, root)
    }

    fn push(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        (self.nodes.len() - 1) as NodeId
    }

    /// ObjectMeta with the author's checks on `metadata.name` and `metadata.generateName` put over it.
    fn merged_metadata(&mut self, meta: NodeId, authored: NodeId) -> NodeId {
        let mut node = Node::new(Type::Object);
        node.properties = self.nodes[meta as usize].properties.clone();
        for (key, id) in self.nodes[authored as usize].properties.iter() {
            if key == "name" || key == "generateName" {
                node.properties.insert(key.clone(), *id);
            }
        }
        self.push(node)
    }

    fn node(&mut self, document: &Value) -> NodeId {
        let Some(map) = document.as_object() else { return self.push(Node::new(Type::Any)) };
        if let Some(name) = reference(map) {
            let target = self.named(name);
            return self.with_siblings(target, map);
        }
        let id = self.push(Node::new(Type::Any));
        let node = self.build(map);
        self.nodes[id as usize] = node;
        id
    }

    fn named(&mut self, reference: &str) -> NodeId {
        let name = reference.rsplit('/').next().unwrap_or(reference);
        if let Some(id) = self.named.get(name) {
            return *id;
        }
        let id = self.push(Node::new(Type::Any));
        self.named.insert(name.into(), id);
        if let Some(Value::Object(map)) = (self.resolve)(name) {
            let mut node = self.build(&map);
            node.name = Some(name.into());
            self.nodes[id as usize] = node;
        }
        id
    }

    /// `{allOf: [{$ref}], default, x-kubernetes-*}`: the referenced node with this place's own annotations.
    fn with_siblings(&mut self, target: NodeId, map: &Map<String, Value>) -> NodeId {
        let default = map.get("default").cloned();
        let patch = patch_strategy(map);
        let map_atomic = map.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic");
        if default.is_none() && patch.is_none() && !map_atomic {
            return target;
        }
        let at = self.push(Node::new(Type::Any));
        self.copies.push(Copy { at, target, default, patch, map_atomic });
        at
    }

    fn build(&mut self, map: &Map<String, Value>) -> Node {
        let flag = |key: &str| map.get(key).and_then(Value::as_bool).unwrap_or(false);
        let mut node = Node::new(type_of(map));
        node.nullable = flag("nullable");
        node.preserve = flag("x-kubernetes-preserve-unknown-fields");
        node.embedded = flag("x-kubernetes-embedded-resource");
        node.map_atomic = map.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic");
        node.default = map.get("default").cloned();
        node.list = list_type(map);
        node.patch = patch_strategy(map).map(Box::new);
        if let Some(properties) = map.get("properties").and_then(Value::as_object) {
            for (key, document) in properties {
                let id = self.node(document);
                node.properties.insert(key.clone(), id);
            }
        }
        node.additional = match map.get("additionalProperties") {
            Some(Value::Bool(true)) => Additional::Allowed,
            Some(Value::Bool(false)) => Additional::Denied,
            Some(document @ Value::Object(_)) => Additional::Schema(self.node(document)),
            _ => Additional::Unsaid,
        };
        node.items = map.get("items").filter(|i| i.is_object()).map(|document| self.node(document));
        node.checks = self.checks(map).map(Box::new);
        if let Some(rules) = map.get("x-kubernetes-validations").and_then(Value::as_array) {
            node.rules = rules.iter().filter_map(Rule::parse).collect();
        }
        node
    }

    fn checks(&mut self, map: &Map<String, Value>) -> Option<Checks> {
        const KEYS: [&str; 18] = [
            "enum",
            "format",
            "pattern",
            "minLength",
            "maxLength",
            "minimum",
            "maximum",
            "multipleOf",
            "minItems",
            "maxItems",
            "uniqueItems",
            "minProperties",
            "maxProperties",
            "required",
            "allOf",
            "anyOf",
            "oneOf",
            "not",
        ];
        if !KEYS.iter().any(|key| map.contains_key(*key)) {
            return None;
        }
        let count = |key: &str| map.get(key).and_then(Value::as_u64);
        let number = |key: &str| map.get(key).and_then(Value::as_f64);
        let flag = |key: &str| map.get(key).and_then(Value::as_bool).unwrap_or(false);
        let list = |key: &str| map.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        Some(Checks {
            enumeration: list("enum"),
            format: map.get("format").and_then(Value::as_str).map(str::to_string),
            pattern: map.get("pattern").and_then(Value::as_str).map(|p| (p.to_string(), Regex::new(p).ok())),
            length_min: count("minLength"),
            length_max: count("maxLength"),
            minimum: number("minimum"),
            minimum_exclusive: flag("exclusiveMinimum"),
            maximum: number("maximum"),
            maximum_exclusive: flag("exclusiveMaximum"),
            multiple_of: number("multipleOf"),
            items_min: count("minItems"),
            items_max: count("maxItems"),
            unique_items: flag("uniqueItems"),
            properties_min: count("minProperties"),
            properties_max: count("maxProperties"),
            required: list("required").iter().filter_map(Value::as_str).map(str::to_string).collect(),
            all_of: list("allOf").iter().map(|d| self.node(d)).collect(),
            any_of: list("anyOf").iter().map(|d| self.node(d)).collect(),
            one_of: list("oneOf").iter().map(|d| self.node(d)).collect(),
            not: map.get("not").map(|d| self.node(d)),
        })
    }
}

/// The target of `$ref`, also in the form `{"allOf": [{"$ref": ..}]}` that Kubernetes' v3 documents use.
fn reference(map: &Map<String, Value>) -> Option<&str> {
    if let Some(name) = map.get("$ref") {
        return name.as_str();
    }
    match map.get("allOf").and_then(Value::as_array).map(Vec::as_slice) {
        Some([only]) if !map.contains_key("type") => only.get("$ref").and_then(Value::as_str),
        _ => None,
    }
}

fn type_of(map: &Map<String, Value>) -> Type {
    let int_or_string = map.get("x-kubernetes-int-or-string").and_then(Value::as_bool) == Some(true)
        || map.get("format").and_then(Value::as_str) == Some("int-or-string");
    if int_or_string {
        return Type::IntOrString;
    }
    match map.get("type").and_then(Value::as_str) {
        Some("object") => Type::Object,
        Some("array") => Type::Array,
        Some("string") => Type::String,
        Some("integer") => Type::Integer,
        Some("number") => Type::Number,
        Some("boolean") => Type::Boolean,
        _ => Type::Any,
    }
}

fn list_type(map: &Map<String, Value>) -> ListType {
    match map.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => ListType::Set,
        Some("map") => {
            let keys = map.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
            let keys = keys.into_iter().flatten().filter_map(Value::as_str).map(str::to_string).collect();
            ListType::Map { keys }
        }
        _ => ListType::Atomic,
    }
}

fn patch_strategy(map: &Map<String, Value>) -> Option<PatchStrategy> {
    let strategy = map.get("x-kubernetes-patch-strategy").and_then(Value::as_str)?;
    let merge_key = map.get("x-kubernetes-patch-merge-key").and_then(Value::as_str).map(str::to_string);
    let has = |name: &str| strategy.split(',').any(|s| s == name);
    Some(PatchStrategy { merge: has("merge"), retain_keys: has("retainKeys"), merge_key })
}
