//! The packed documents of the built-in groups: what `tools/pack_openapi.py` writes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::OnceLock;

use serde_json::Value;

static PACKED: &[u8] = include_bytes!("../../data/openapi.pack");

/// No section is larger: a bound on what a damaged file could unpack to.
const SECTION_MAX: usize = 4 << 20;

#[derive(Default)]
struct Index {
    /// Name -> place in `PACKED`.
    sections: BTreeMap<String, (usize, usize)>,
    hashes: BTreeMap<String, String>,
}

fn index() -> &'static Index {
    static INDEX: OnceLock<Index> = OnceLock::new();
    INDEX.get_or_init(|| {
        let end = PACKED.iter().position(|b| *b == b'\n').unwrap_or_default();
        let head: Value = serde_json::from_slice(&PACKED[..end]).unwrap_or_default();
        let entries = |key: &str| head[key].as_object().cloned().unwrap_or_default();
        let number = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or_default();
        Index {
            sections: entries("sections")
                .into_iter()
                .map(|(name, place)| (name, (end + 1 + number(&place[0]), number(&place[1]))))
                .collect(),
            hashes: entries("hashes")
                .into_iter()
                .filter_map(|(name, hash)| Some((name, hash.as_str()?.to_owned())))
                .collect(),
        }
    })
}

pub(super) fn section(name: &str) -> Option<String> {
    let (from, length) = *index().sections.get(name)?;
    let packed = PACKED.get(from..from + length)?;
    let bytes = miniz_oxide::inflate::decompress_to_vec_with_limit(packed, SECTION_MAX).ok()?;
    String::from_utf8(bytes).ok()
}

/// The built-in documents by name (`api/v1`, `apis/apps/v1`, `version`), as the index of the real server lists them.
pub fn documents() -> impl Iterator<Item = &'static str> {
    index().hashes.keys().map(String::as_str)
}

/// The hash of a built-in document in the real server's index.
pub fn hash(document: &str) -> Option<&'static str> {
    index().hashes.get(document).map(String::as_str)
}

/// The names of a document's schemas, and its paths as JSON.
pub(super) fn parts(document: &str) -> Option<(Vec<String>, String)> {
    let text = section(document).filter(|_| index().hashes.contains_key(document))?;
    let (names, paths) = text.split_once('\n')?;
    Some((serde_json::from_str(names).ok()?, paths.to_owned()))
}

/// The text of a built-in document.
pub fn built_in(document: &str) -> Option<String> {
    let (names, paths) = parts(document)?;
    let mut out = String::with_capacity(paths.len() * 3 / 2);
    out.push_str(r#"{"openapi":"3.0.0","info":{"title":"Kubernetes","version":"1.35"},"paths":"#);
    out.push_str(&paths);
    if !names.is_empty() {
        let schemas = section("schemas")?;
        let wanted: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        out.push_str(r#","components":{"schemas":{"#);
        let lines = schemas.lines().filter_map(|line| line.split_once('\t'));
        for (n, (name, schema)) in lines.filter(|(name, _)| wanted.contains(name)).enumerate() {
            let comma = if n == 0 { "" } else { "," };
            let _ = write!(out, "{comma}\"{name}\":{schema}");
        }
        out.push_str("}}");
    }
    out.push('}');
    Some(out)
}

/// The schemas of all built-in documents, descriptions included.
pub(super) fn schemas() -> BTreeMap<String, Value> {
    let text = section("schemas").unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once('\t'));
    lines.filter_map(|(name, schema)| Some((name.to_owned(), serde_json::from_str(schema).ok()?))).collect()
}

/// The schemas named and those they refer to.
pub(super) fn schemas_with_references(names: &[&str]) -> BTreeMap<String, Value> {
    let text = section("schemas").unwrap_or_default();
    let lines: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('\t')).collect();
    let mut out = BTreeMap::new();
    let mut wanted: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    while let Some(name) = wanted.pop() {
        if out.contains_key(&name) {
            continue;
        }
        let parsed = lines.get(name.as_str()).and_then(|text| serde_json::from_str::<Value>(text).ok());
        let Some(schema) = parsed else { continue };
        references(&schema, &mut wanted);
        out.insert(name, schema);
    }
    out
}

pub(super) fn references(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(name) = map.get("$ref").and_then(Value::as_str) {
                names.extend(name.rsplit('/').next().map(str::to_owned));
            }
            map.values().for_each(|v| references(v, names));
        }
        Value::Array(items) => items.iter().for_each(|v| references(v, names)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_is_whole() {
        for name in documents() {
            let Some(text) = built_in(name) else { panic!("{name} is listed and not there") };
            let document: Value = serde_json::from_str(&text).unwrap_or_default();
            assert!(document["paths"].is_object(), "{name}");
            let mut wanted = Vec::new();
            references(&document, &mut wanted);
            let schemas = &document["components"]["schemas"];
            let missing: Vec<&String> = wanted.iter().filter(|n| schemas.get(n.as_str()).is_none()).collect();
            assert!(missing.is_empty(), "{name} lacks {missing:?}");
        }
    }

    #[test]
    fn kinds_are_described() {
        let document: Value =
            serde_json::from_str(&built_in("apis/apps/v1").unwrap_or_default()).unwrap_or_default();
        let spec = &document["components"]["schemas"]["io.k8s.api.apps.v1.DeploymentSpec"]["properties"];
        assert_eq!(
            spec["replicas"]["description"],
            "Number of desired pods. This is a pointer to distinguish between explicit zero and not specified. \
             Defaults to 1."
        );
        assert_eq!(built_in("apis/nope/v1"), None);
        assert_eq!(built_in("schemas"), None, "a section that is no document");
    }
}
