//! A compact notation of structural schemas, and its expansion to OpenAPI.
//!
//! ```text
//! TypeName            a type starts at the margin
//!   field type        its fields are indented
//! ```
//! Types: `string`, `integer`, `number`, `boolean`, `object` (no fields), `any` (whatever is sent is kept),
//! `int-or-string`, `[T]` list, `{T}` map with text keys, `a|b` enum, else the name of another type. The CRDs in the
//! field state no formats, defaults, required fields or rules (reconciler.md 1), so the notation has none.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The types of one or more texts in the notation above.
pub struct Types<'a>(BTreeMap<&'a str, Vec<(&'a str, &'a str)>>);

impl<'a> Types<'a> {
    pub fn read(texts: &[&'a str]) -> Self {
        let mut types: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
        let mut current = "";
        for line in texts.iter().flat_map(|text| text.lines()) {
            let content = line.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            match content.split_once(' ') {
                None => {
                    current = content;
                    types.entry(current).or_default();
                }
                Some(field) => types.entry(current).or_default().push(field),
            }
        }
        Self(types)
    }

    /// The schema of `kind`, every type it mentions expanded in place (a CRD has no references).
    pub fn expand(&self, kind: &str) -> Value {
        match kind {
            "string" | "integer" | "number" | "boolean" | "object" => json!({"type": kind}),
            "any" => json!({"x-kubernetes-preserve-unknown-fields": true}),
            "int-or-string" => json!({
                "anyOf": [{"type": "integer"}, {"type": "string"}],
                "x-kubernetes-int-or-string": true,
            }),
            list if list.starts_with('[') => {
                json!({"items": self.expand(inner(list)), "type": "array"})
            }
            map if map.starts_with('{') => {
                json!({"additionalProperties": self.expand(inner(map)), "type": "object"})
            }
            choice if choice.contains('|') => {
                json!({"enum": choice.split('|').collect::<Vec<_>>(), "type": "string"})
            }
            name => self.expand_fields(name),
        }
    }

    fn expand_fields(&self, name: &str) -> Value {
        let fields = self.0.get(name).unwrap_or_else(|| panic!("type {name} is listed in a .schema file"));
        let ordered: BTreeMap<&str, &str> = fields.iter().copied().collect();
        let properties: Map<String, Value> =
            ordered.into_iter().map(|(field, kind)| (field.to_owned(), self.expand(kind))).collect();
        match properties.is_empty() {
            true => json!({"type": "object"}),
            false => json!({"properties": properties, "type": "object"}),
        }
    }
}

fn inner(bracketed: &str) -> &str {
    &bracketed[1..bracketed.len() - 1]
}
