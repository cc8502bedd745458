//! The garbage collector: background, foreground and orphan deletion (kube-api.md 2.7; cases `gc`).
//! A key is one object; an owner that goes wakes its dependents. Leaves out the virtual nodes and live look-ups
//! of the real one: the view is complete, so an owner that is not in it does not exist.

use std::collections::BTreeSet;
use std::sync::Arc;

use fake_kube_apiserver::equal;
use serde_json::{Value, json};

use super::Happened;
use super::deployment::ACTOR;
use crate::json::*;
use crate::view::{Key, View, resource as r};
use crate::write::{EventKind, EventSpec, Step, Write};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";
const OWNERS: &str = "/metadata/ownerReferences";

pub fn wakes(h: &Happened, view: &View) -> BTreeSet<Key> {
    let mut keys = BTreeSet::new();
    if &*h.key.resource == r::EVENTS {
        return keys;
    }
    let owned = !items(h.object, "/metadata/ownerReferences").is_empty();
    let propagates = has_finalizer(h.object, FOREGROUND) || has_finalizer(h.object, ORPHAN);
    if !h.deleted && (owned || (is_deleting(h.object) && propagates)) {
        keys.insert(h.key.clone());
    }
    if h.deleted || is_deleting(h.object) {
        keys.extend(view.dependents(uid(h.object)).map(|(k, _)| k.clone()));
        // An owner in foreground deletion counts its blocking dependents again.
        keys.extend(owners(view, h.object).map(|(k, _)| k.clone()));
    } else if let Some(old) = h.old.filter(|old| !equal(at(old, OWNERS), at(h.object, OWNERS))) {
        keys.extend(owners(view, old).map(|(k, _)| k.clone()));
    }
    keys
}

fn owners<'a>(view: &'a View, object: &'a Value) -> impl Iterator<Item = (&'a Key, Arc<Value>)> {
    items(object, "/metadata/ownerReferences")
        .iter()
        .filter_map(|r| r["uid"].as_str())
        .filter_map(|uid| view.by_uid(uid))
        .filter(|(_, o)| has_finalizer(o, FOREGROUND))
}

#[derive(Debug, PartialEq, Eq)]
enum Owner {
    /// Exists and stays.
    Solid,
    /// Exists and waits in foreground deletion for its dependents.
    Waiting,
    /// Does not exist (or not with this uid).
    Dangling,
    /// Of a kind the server does not know, or in the wrong scope: nothing may be concluded from it.
    Unknown,
}

pub fn sync(view: &View, key: &Key) -> Step {
    let mut step = Step::nothing();
    let Some(object) = &view.seen(key) else { return step };
    if is_deleting(object) {
        if has_finalizer(object, ORPHAN) {
            orphan_dependents(view, key, object, &mut step);
        } else if has_finalizer(object, FOREGROUND) {
            release_when_alone(view, key, object, &mut step);
        }
        return step;
    }
    let references = items(object, "/metadata/ownerReferences");
    if references.is_empty() {
        return step;
    }
    let mut kept = Vec::new();
    let (mut waiting, mut unknown) = (false, false);
    for reference in references {
        match classify(view, key, object, reference, &mut step) {
            Owner::Solid => kept.push(reference.clone()),
            Owner::Waiting => waiting = true,
            Owner::Dangling => {}
            Owner::Unknown => unknown = true,
        }
    }
    if unknown || kept.len() == references.len() {
        return step;
    }
    if !kept.is_empty() {
        step.push(Write::merge(ACTOR, key, owner_patch(object, kept)));
        return step;
    }
    // Deleted in the foreground below a waiting owner, so that the owner really goes last.
    let has_dependents = view.dependents(uid(object)).next().is_some();
    let policy = if waiting && has_dependents {
        "Foreground"
    } else if has_finalizer(object, ORPHAN) {
        "Orphan"
    } else if has_finalizer(object, FOREGROUND) {
        "Foreground"
    } else {
        "Background"
    };
    step.push(Write::delete(ACTOR, key, Some(policy), uid(object)));
    step
}

fn owner_patch(object: &Value, references: Vec<Value>) -> Value {
    let references = if references.is_empty() { Value::Null } else { references.into() };
    // The uid makes the patch fail on a namesake.
    json!({"metadata": {"uid": uid(object), "ownerReferences": references}})
}

fn classify(view: &View, key: &Key, object: &Value, reference: &Value, step: &mut Step) -> Owner {
    let api_version = reference["apiVersion"].as_str().unwrap_or("");
    let group = api_version.split_once('/').map_or("", |(g, _)| g);
    let kind = reference["kind"].as_str().unwrap_or("");
    let owner_uid = reference["uid"].as_str().unwrap_or("");
    let found = view.by_uid(owner_uid).filter(|(k, o)| {
        k.group() == group && text(o, "/kind") == kind && name(o) == reference["name"].as_str().unwrap_or("")
    });
    let namespaced = found.as_ref().map(|(k, _)| !k.namespace.is_empty());
    let Some(namespaced) = namespaced.or_else(|| view.kind(group, kind).map(|i| i.namespaced)) else {
        return Owner::Unknown;
    };
    if key.namespace.is_empty() && namespaced {
        step.push(Write::event(misplaced(object, reference)));
        return Owner::Unknown;
    }
    match found {
        Some((k, _)) if !k.namespace.is_empty() && k.namespace != key.namespace => {
            step.push(Write::event(misplaced(object, reference)));
            Owner::Dangling
        }
        Some((_, o)) if is_deleting(&o) && has_finalizer(&o, FOREGROUND) => Owner::Waiting,
        Some(_) => Owner::Solid,
        None => Owner::Dangling,
    }
}

/// The text as recorded (kube-api.md 2.7).
fn misplaced(object: &Value, reference: &Value) -> EventSpec {
    let part = |k: &str| reference[k].as_str().unwrap_or("");
    let message = format!(
        "ownerRef [{}/{}, namespace: {}, name: {}, uid: {}] does not exist in namespace {:?}",
        part("apiVersion"),
        part("kind"),
        namespace(object),
        part("name"),
        part("uid"),
        namespace(object)
    );
    EventSpec {
        kind: EventKind::Warning,
        ..EventSpec::normal(object, "garbage-collector-controller", "OwnerRefInvalidNamespace", message)
    }
}

fn orphan_dependents(view: &View, key: &Key, object: &Value, step: &mut Step) {
    for (dependent, o) in view.dependents(uid(object)) {
        let kept: Vec<Value> = items(&o, "/metadata/ownerReferences")
            .iter()
            .filter(|r| r["uid"] != uid(object))
            .cloned()
            .collect();
        step.push(Write::merge(ACTOR, dependent, owner_patch(&o, kept)));
    }
    step.push(Write::merge(ACTOR, key, without_finalizer(object, ORPHAN)));
}

fn release_when_alone(view: &View, key: &Key, object: &Value, step: &mut Step) {
    let blocked = view.dependents(uid(object)).any(|(_, o)| {
        items(&o, "/metadata/ownerReferences")
            .iter()
            .any(|r| r["uid"] == uid(object) && r["blockOwnerDeletion"] == true)
    });
    if !blocked {
        step.push(Write::merge(ACTOR, key, without_finalizer(object, FOREGROUND)));
    }
}

fn without_finalizer(object: &Value, finalizer: &str) -> Value {
    let kept: Vec<Value> =
        items(object, "/metadata/finalizers").iter().filter(|f| *f != finalizer).cloned().collect();
    let kept = if kept.is_empty() { Value::Null } else { kept.into() };
    json!({"metadata": {"uid": uid(object), "finalizers": kept}})
}

#[cfg(test)]
mod tests {
    use super::super::testing::view;
    use super::*;
    use crate::view::KindInfo;
    use crate::write::Op;

    const WIDGETS: &str = "widgets.t.example.com";

    fn widget(name: &str, finalizers: Value, deleting: bool) -> (&'static str, Value) {
        let mut w = json!({"apiVersion": "t.example.com/v1", "kind": "Widget",
            "metadata": {"name": name, "namespace": "n", "uid": format!("u-{name}"), "finalizers": finalizers}});
        if deleting {
            w["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        (WIDGETS, w)
    }

    fn dependent(owners: &[(&str, &str)]) -> (&'static str, Value) {
        let references: Vec<Value> = owners
            .iter()
            .map(|(name, uid)| {
                json!({"apiVersion": "t.example.com/v1", "kind": "Widget", "name": name, "uid": uid, "blockOwnerDeletion": true})
            })
            .collect();
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "d", "namespace": "n", "uid": "u-d", "ownerReferences": references}});
        (r::CONFIG_MAPS, object)
    }

    fn check(objects: Vec<(&str, Value)>, key: (&str, &str), expected: &[&str]) {
        let mut v = view(objects);
        v.learn_kind("t.example.com", "Widget", KindInfo { resource: WIDGETS.into(), namespaced: true });
        let step = sync(&v, &Key::new(key.0, "n", key.1));
        let said: Vec<String> = step
            .writes
            .iter()
            .map(|w| match &w.op {
                Op::Delete { policy, .. } => format!("delete {} {}", w.target.name, policy.unwrap_or("-")),
                Op::MergePatch(p) => format!("patch {} {}", w.target.name, p["metadata"]),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(said, expected);
    }

    const D: (&str, &str) = (r::CONFIG_MAPS, "d");

    #[test]
    fn owners_alive_and_dead() {
        let none = || json!([]);
        check(vec![widget("o", none(), false), dependent(&[("o", "u-o")])], D, &[]);
        check(vec![dependent(&[("o", "u-o")])], D, &["delete d Background"]);
        check(vec![widget("o", none(), false), dependent(&[("o", "other")])], D, &["delete d Background"]);
        check(
            vec![widget("o", none(), false), dependent(&[("o", "u-o"), ("p", "u-p")])],
            D,
            &[
                r#"patch d {"uid":"u-d","ownerReferences":[{"apiVersion":"t.example.com/v1","kind":"Widget","name":"o","uid":"u-o","blockOwnerDeletion":true}]}"#,
            ],
        );
    }

    #[test]
    fn a_kind_nobody_knows_proves_nothing() {
        let v = view(vec![dependent(&[("o", "u-o")])]);
        assert_eq!(sync(&v, &Key::new(r::CONFIG_MAPS, "n", "d")), Step::nothing());
    }

    #[test]
    fn foreground_waits_for_blocking_dependents() {
        let o = || widget("o", json!([FOREGROUND]), true);
        check(vec![o(), dependent(&[("o", "u-o")])], (WIDGETS, "o"), &[]);
        check(vec![o(), dependent(&[("o", "u-o")])], D, &["delete d Background"]);
        check(vec![o()], (WIDGETS, "o"), &[r#"patch o {"uid":"u-o","finalizers":null}"#]);
    }

    #[test]
    fn orphans_lose_their_reference() {
        check(
            vec![widget("o", json!([ORPHAN, "x/y"]), true), dependent(&[("o", "u-o")])],
            (WIDGETS, "o"),
            &[
                r#"patch d {"uid":"u-d","ownerReferences":null}"#,
                r#"patch o {"uid":"u-o","finalizers":["x/y"]}"#,
            ],
        );
    }
}
