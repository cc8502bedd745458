//! Validation of metadata, the same for every kind (apimachinery/pkg/api/validation/objectmeta.go).

use fake_kube_schema::Cause;
use fake_kube_schema::text::{go_quote, go_type, go_value};
use serde_json::{Value, json};

use crate::meta;
use crate::names;
use crate::resource::Definition;

const ANNOTATIONS_MAX: usize = 256 * 1024;

/// Metadata of an object to be created.
pub(crate) fn create(def: &Definition, object: &Value) -> Vec<Cause> {
    let mut out = Vec::new();
    let name = meta::name(object);
    let prefix = meta::text(object, "generateName");
    if !prefix.is_empty() {
        // A trailing dash is as good as a letter here: more follows.
        let masked = prefix.strip_suffix('-').map_or_else(|| prefix.to_owned(), |p| format!("{p}a"));
        let why = def.traits.name_rule.check(&masked);
        out.extend(why.iter().map(|w| Cause::invalid("metadata.generateName", &json!(prefix), w)));
    }
    if name.is_empty() {
        out.push(Cause::required("metadata.name", "name or generateName is required"));
    } else {
        let why = def.traits.name_rule.check(name);
        out.extend(why.iter().map(|w| Cause::invalid("metadata.name", &json!(name), w)));
    }
    if let Some(generation) = meta::generation(object).filter(|g| *g < 0) {
        out.push(Cause::invalid(
            "metadata.generation",
            &json!(generation),
            "must be greater than or equal to 0",
        ));
    }
    common(def, object, &mut out);
    out
}

/// Metadata of an update. The generic validator of a real server looks at it as that of a new object and then as a
/// change, the kind's own validator looks at the change again: what is wrong is said two or three times (`BeforeUpdate`;
/// cases del-finalizer-update, upd-put-system-fields). Built-in kinds differ in what theirs repeats.
pub(crate) fn update(def: &Definition, object: &Value, old: &Value) -> Vec<Cause> {
    let mut out = Vec::new();
    common(def, object, &mut out);
    let mut change = changes(object, old);
    if def.is_custom() {
        labels(object, "metadata.labels", &mut change);
        annotations(object, "metadata.annotations", &mut change);
        owners(object, &mut change);
    }
    out.extend_from_slice(&change);
    out.extend(change);
    out
}

fn changes(object: &Value, old: &Value) -> Vec<Cause> {
    let mut out = Vec::new();
    if meta::is_deleting(old) {
        out.extend(new_finalizers(object, old));
    }
    for key in
        ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"]
    {
        let (new, was) = (meta::get(object, key), meta::get(old, key));
        if new != was {
            let shown = new.cloned().unwrap_or(Value::Null);
            out.push(Cause::invalid(format!("metadata.{key}"), &shown, "field is immutable"));
        }
    }
    out
}

/// Finalizers the object did not have, sorted.
fn added_finalizers<'a>(object: &'a Value, old: Option<&Value>) -> Vec<&'a str> {
    let had = old.map(meta::finalizers).unwrap_or_default();
    let mut added: Vec<&str> = meta::finalizers(object).into_iter().filter(|f| !had.contains(f)).collect();
    added.sort_unstable();
    added
}

fn new_finalizers(object: &Value, old: &Value) -> Option<Cause> {
    let added = added_finalizers(object, Some(old));
    let list: Vec<String> = added.iter().map(|f| go_quote(f)).collect();
    let why = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        list.join(", ")
    );
    (!added.is_empty()).then(|| Cause::forbidden("metadata.finalizers", &why))
}

/// What a scale reads of a custom resource must be readable and within bounds: the replicas of the spec, unless only
/// the status is written, those of the status, and the selector (customresource/validator.go; cases crv-minimum,
/// crv-scale).
pub(crate) fn scale(def: &Definition, object: &Value, is_status: bool) -> Vec<Cause> {
    let Some(paths) = def.custom.as_ref().and_then(|c| c.scale.as_ref()) else { return Vec::new() };
    let mut out = Vec::new();
    if !is_status {
        out.extend(scale_replicas(object, &paths.spec));
    }
    out.extend(scale_replicas(object, &paths.status));
    if let Some(path) = &paths.selector
        && let Err(why) = nested(object, path, "string", Value::is_string)
    {
        out.push(Cause::invalid(path.clone(), &json!(""), &why));
    }
    out
}

fn scale_replicas(object: &Value, path: &str) -> Option<Cause> {
    let found = match nested(object, path, "int64", |v| v.as_i64().is_some()) {
        Ok(found) => found?,
        Err(why) => return Some(Cause::invalid(path, &json!(0), &why)),
    };
    let max = i64::from(i32::MAX);
    match found.as_i64() {
        Some(n) if n < 0 => Some(Cause::invalid(path, found, "should be a non-negative integer")),
        Some(n) if n > max => {
            Some(Cause::invalid(path, found, &format!("should be less than or equal to {max}")))
        }
        _ => None,
    }
}

/// What is at a dotted path, if anything; an error in Go's words where the way there or the value has another type.
pub(crate) fn nested<'a>(
    object: &'a Value,
    path: &str,
    wanted: &str,
    fits: impl Fn(&Value) -> bool,
) -> Result<Option<&'a Value>, String> {
    let refused = |path: String, v: &Value, wanted: &str| {
        Err(format!(
            "{path} accessor error: {} is of the type {}, expected {wanted}",
            go_value(v),
            go_type(v)
        ))
    };
    let (mut at, mut walked) = (object, String::new());
    for key in path.split('.').filter(|s| !s.is_empty()) {
        walked = format!("{walked}.{key}");
        if at.is_null() {
            return Ok(None);
        }
        if !at.is_object() {
            return refused(walked, at, "map[string]interface{}");
        }
        match at.get(key) {
            Some(v) => at = v,
            None => return Ok(None),
        }
    }
    if fits(at) { Ok(Some(at)) } else { refused(walked, at, wanted) }
}

fn common(def: &Definition, object: &Value, out: &mut Vec<Cause>) {
    labels(object, "metadata.labels", out);
    annotations(object, "metadata.annotations", out);
    owners(object, out);
    finalizers(def, object, out);
}

/// Keys sorted, as Go's validation walks a map in random order and one error is the common case.
fn labels(object: &Value, field: &str, out: &mut Vec<Cause>) {
    for (k, v) in meta::get(object, "labels").and_then(Value::as_object).into_iter().flatten() {
        out.extend(names::qualified(k).map(|why| Cause::invalid(field, &json!(k), &why)));
        let value = v.as_str().unwrap_or("");
        out.extend(names::label_value(value).map(|why| Cause::invalid(field, &json!(value), &why)));
    }
}

fn annotations(object: &Value, field: &str, out: &mut Vec<Cause>) {
    let mut total = 0;
    for (k, v) in meta::get(object, "annotations").and_then(Value::as_object).into_iter().flatten() {
        // Annotation keys may be in any case.
        out.extend(names::qualified(&k.to_lowercase()).map(|why| Cause::invalid(field, &json!(k), &why)));
        total += k.len() + v.as_str().map_or(0, str::len);
    }
    if total > ANNOTATIONS_MAX {
        out.push(Cause::too_long(field, ANNOTATIONS_MAX as u64));
    }
}

fn owners(object: &Value, out: &mut Vec<Cause>) {
    let mut controller: Option<String> = None;
    let list = meta::get(object, "ownerReferences").and_then(Value::as_array);
    for (i, owner) in list.into_iter().flatten().enumerate() {
        let at = |key: &str| format!("metadata.ownerReferences[{i}].{key}");
        let text = |key: &str| owner.get(key).and_then(Value::as_str).unwrap_or("");
        if text("apiVersion").is_empty() {
            out.push(Cause::invalid(
                at("apiVersion"),
                &json!(text("apiVersion")),
                "version must not be empty",
            ));
        }
        for key in ["kind", "name", "uid"] {
            if text(key).is_empty() {
                out.push(Cause::invalid(at(key), &json!(""), &format!("{key} must not be empty")));
            }
        }
        if text("apiVersion") == "v1" && text("kind") == "Event" {
            out.push(Cause::invalid(
                format!("metadata.ownerReferences[{i}]"),
                owner,
                "/v1, Kind=Event is disallowed from being an owner",
            ));
        }
        if owner.get("controller") == Some(&Value::Bool(true)) {
            if let Some(first) = &controller {
                out.push(Cause::invalid(
                    "metadata.ownerReferences",
                    &Value::Array(list.cloned().unwrap_or_default()),
                    &format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {}",
                        text("name")
                    ),
                ));
            } else {
                controller = Some(text("name").to_owned());
            }
        }
    }
}

fn finalizers(def: &Definition, object: &Value, out: &mut Vec<Cause>) {
    let list = meta::finalizers(object);
    for (i, f) in list.iter().enumerate() {
        if let Some(why) = names::qualified(f) {
            out.push(Cause::invalid("metadata.finalizers", &json!(f), &why));
        } else if !def.is_custom() && is_unqualified(f) {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            out.push(Cause::invalid(format!("metadata.finalizers[{i}]"), &json!(f), why));
        }
    }
    if list.contains(&"orphan") && list.contains(&"foregroundDeletion") {
        let why = "finalizer orphan and foregroundDeletion cannot be both set";
        out.push(Cause::invalid("metadata.finalizers", &json!(list), why));
    }
}

fn is_unqualified(finalizer: &str) -> bool {
    !finalizer.contains('/') && !matches!(finalizer, "orphan" | "foregroundDeletion" | "kubernetes")
}

/// Custom resources may carry any finalizer; an unqualified new one is warned about (customresource/validator.go).
pub(crate) fn finalizer_warnings(def: &Definition, object: &Value, old: Option<&Value>) -> Vec<String> {
    if !def.is_custom() {
        return vec![];
    }
    let mut added = added_finalizers(object, old);
    added.dedup();
    let warn = |f: &str| {
        let path = if f.contains('.') { " including a path (/)" } else { "" };
        format!(
            "metadata.finalizers: {}: prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with other finalizer writers",
            go_quote(f)
        )
    };
    added.into_iter().filter(|f| is_unqualified(f)).map(warn).collect()
}

pub(crate) fn lease(object: &Value) -> Vec<Cause> {
    let mut out = Vec::new();
    let spec = &object["spec"];
    if let Some(n) = spec["leaseDurationSeconds"].as_i64().filter(|n| *n <= 0) {
        out.push(Cause::invalid("spec.leaseDurationSeconds", &json!(n), "must be greater than 0"));
    }
    if let Some(n) = spec["leaseTransitions"].as_i64().filter(|n| *n < 0) {
        out.push(Cause::invalid("spec.leaseTransitions", &json!(n), "must be greater than or equal to 0"));
    }
    out
}

/// The phase of a namespace follows its deletion.
pub(crate) fn namespace(object: &Value) -> Vec<Cause> {
    let phase = object["status"]["phase"].as_str().unwrap_or("");
    let deleting = meta::is_deleting(object);
    let wanted = if deleting { "Terminating" } else { "Active" };
    if phase == wanted || phase.is_empty() {
        return Vec::new();
    }
    let when = if deleting { "is not empty" } else { "is empty" };
    let why = format!("may only be '{wanted}' if `deletionTimestamp` {when}");
    vec![Cause::invalid("status.Phase", &json!(phase), &why)]
}
