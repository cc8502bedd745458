//! ConfigMaps and Secrets: keys, sizes, immutability, what types of Secrets hold (cases val-configmap, val-secret*).

use base64::Engine;
use fake_kube_schema::Cause;
use serde_json::{Value, json};

use super::text;
use crate::codec;

const DATA_MAX: usize = 1024 * 1024;

pub(crate) fn config_map(object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut out = immutable(object, old, &["data", "binaryData"]);
    let mut total = 0;
    for map in ["data", "binaryData"] {
        for (k, v) in object[map].as_object().into_iter().flatten() {
            total += size(v, map == "binaryData");
            bad_key(map, k, &mut out);
            if map == "data" && object["binaryData"].get(k).is_some() {
                let why = "duplicate of key present in binaryData";
                out.push(Cause::invalid(format!("data[{k}]"), &json!(k), why));
            }
        }
    }
    too_large(total, &mut out);
    out
}

pub(crate) fn secret(object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut out = Vec::new();
    if old.is_some_and(|o| o["type"] != object["type"]) {
        out.push(Cause::invalid("type", &object["type"], "field is immutable"));
    }
    out.extend(immutable(object, old, &["data"]));
    let mut total = 0;
    for (k, v) in object["data"].as_object().into_iter().flatten() {
        total += size(v, true);
        bad_key("data", k, &mut out);
    }
    too_large(total, &mut out);
    typed_secret(object, &mut out);
    out
}

/// What a type of Secret must hold: all of the keys, or one of them.
const TYPES: &[(&str, &[&str], bool)] = &[
    ("kubernetes.io/dockercfg", &[".dockercfg"], true),
    ("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"], true),
    ("kubernetes.io/basic-auth", &["username", "password"], false),
    ("kubernetes.io/ssh-auth", &["ssh-privatekey"], true),
    ("kubernetes.io/tls", &["tls.crt", "tls.key"], true),
];

fn typed_secret(object: &Value, out: &mut Vec<Cause>) {
    let kind = text(object, "type");
    if kind == "kubernetes.io/service-account-token" {
        let name = "kubernetes.io/service-account.name";
        if object["metadata"]["annotations"][name].as_str().is_none_or(str::is_empty) {
            out.push(Cause::required(format!("metadata.annotations[{name}]"), ""));
        }
    }
    let Some((_, keys, all)) = TYPES.iter().find(|(k, ..)| *k == kind) else { return };
    let missing: Vec<&&str> = keys.iter().filter(|k| object["data"].get(**k).is_none()).collect();
    if *all || missing.len() == keys.len() {
        out.extend(missing.iter().map(|k| Cause::required(format!("data[{k}]"), "")));
    }
    if kind.starts_with("kubernetes.io/docker") {
        let key = keys[0];
        let encoded = object["data"][key].as_str();
        let bytes = encoded.and_then(|t| base64::engine::general_purpose::STANDARD.decode(t).ok());
        if let Some(why) = bytes.and_then(|b| codec::parse(&b).err()) {
            let shown = json!("<secret contents redacted>");
            out.push(Cause::invalid(format!("data[{key}]"), &shown, &why));
        }
    }
}

fn immutable(object: &Value, old: Option<&Value>, maps: &[&str]) -> Vec<Cause> {
    let why = "field is immutable when `immutable` is set";
    let Some(old) = old.filter(|o| o["immutable"] == true) else { return Vec::new() };
    let flag = (object["immutable"] != true).then_some("immutable");
    let changed = maps.iter().copied().filter(|key| object.get(*key) != old.get(*key));
    flag.into_iter().chain(changed).map(|key| Cause::forbidden(key, why)).collect()
}

fn size(value: &Value, encoded: bool) -> usize {
    value.as_str().map_or(0, |s| if encoded { s.len() / 4 * 3 } else { s.len() })
}

fn too_large(total: usize, out: &mut Vec<Cause>) {
    if total > DATA_MAX {
        out.push(Cause::too_long("[]", DATA_MAX as u64));
    }
}

fn bad_key(map: &str, k: &str, out: &mut Vec<Cause>) {
    if let Some(why) = key(k) {
        out.push(Cause::invalid(format!("{map}[{k}]"), &json!(k), &why));
    }
}

/// IsConfigMapKey.
pub(crate) fn key(key: &str) -> Option<String> {
    if key.len() > 253 {
        return Some("must be no more than 253 characters".to_owned());
    }
    let ok =
        !key.is_empty() && key.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'));
    if !ok {
        return Some(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
             'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
                .to_owned(),
        );
    }
    match key {
        "." => Some("must not be '.'".to_owned()),
        ".." => Some("must not be '..'".to_owned()),
        k if k.starts_with("..") => Some("must not start with '..'".to_owned()),
        _ => None,
    }
}
