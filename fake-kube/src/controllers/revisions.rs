//! ControllerRevisions: the templates a StatefulSet or DaemonSet has had, numbered, the newest last
//! (kubernetes 1.35 pkg/controller/history). Going back to an earlier template gives its revision the next number.

use std::sync::Arc;

use serde_json::{Value, json};

use super::deployment::ACTOR;
use crate::json::*;
use crate::view::{Key, View, resource as r};
use crate::write::{Step, Write};

pub const REVISION: &str = "controller-revision-hash";

/// The name of the revision of the template there is now.
pub fn name_of(owner: &Value) -> String {
    let hash = fnv32a(at(owner, "/spec/template").to_string().as_bytes());
    format!("{}-{}", name(owner), safe_encode(hash))
}

/// Of a revision's name the part that is the owner's own.
pub fn hash_of<'a>(owner: &Value, revision: &'a str) -> &'a str {
    revision.strip_prefix(name(owner)).map_or(revision, |rest| rest.trim_start_matches('-'))
}

/// Sees to it that the template's revision is there and is the newest, and that not too many are.
pub fn current(view: &View, owner: &Arc<Value>, kind: &str, step: &mut Step) -> String {
    let revision = name_of(owner);
    let mut known = view.controlled(r::CONTROLLER_REVISIONS, uid(owner));
    known.sort_by_key(|c| int(c, "/revision"));
    let next = known.last().map_or(0, |c| int(c, "/revision")) + 1;
    match known.iter().find(|c| name(c) == revision) {
        None => {
            step.push(Write::create(ACTOR, r::CONTROLLER_REVISIONS, object(owner, kind, &revision, next)))
        }
        Some(found) if int(found, "/revision") + 1 < next => {
            let patch = json!({"metadata": {"uid": uid(found)}, "revision": next});
            step.push(Write::merge(ACTOR, &Key::of(r::CONTROLLER_REVISIONS, found), patch));
        }
        Some(_) => {}
    }
    let in_use: Vec<&str> =
        view.controlled(r::PODS, uid(owner)).into_iter().map(|p| label(p, REVISION)).collect();
    let status = [text(owner, "/status/currentRevision"), text(owner, "/status/updateRevision")];
    let spare: Vec<&&Arc<Value>> = known
        .iter()
        .filter(|c| {
            let own = name(c);
            own != revision
                && !status.contains(&own)
                && !in_use.iter().any(|hash| *hash == own || *hash == hash_of(owner, own))
        })
        .collect();
    let limit = usize::try_from(int_or(owner, "/spec/revisionHistoryLimit", 10)).unwrap_or(0);
    for old in spare.iter().take(spare.len().saturating_sub(limit)) {
        step.push(Write::delete(ACTOR, &Key::of(r::CONTROLLER_REVISIONS, old), None, uid(old)));
    }
    revision
}

/// The template of a revision, if it is still there.
pub fn template<'a>(view: &'a View, owner: &Value, revision: &str) -> Option<&'a Value> {
    let found = view.get(r::CONTROLLER_REVISIONS, namespace(owner), revision)?;
    Some(at(found, "/data/spec/template")).filter(|t| t.is_object())
}

fn object(owner: &Value, kind: &str, revision: &str, number: i64) -> Value {
    let mut labels = at(owner, "/spec/template/metadata/labels").as_object().cloned().unwrap_or_default();
    let hash = hash_of(owner, revision);
    labels.insert("controller.kubernetes.io/hash".into(), hash.into());
    if kind == "DaemonSet" {
        labels.insert(REVISION.into(), hash.into());
    }
    json!({"apiVersion": "apps/v1", "kind": "ControllerRevision",
        "metadata": {"name": revision, "namespace": namespace(owner), "labels": labels,
                     "ownerReferences": [controller_ref(owner, "apps/v1", kind)]},
        "data": {"spec": {"template": with_patch(at(owner, "/spec/template"))}}, "revision": number})
}

/// The template as `kubectl rollout undo` puts it back: in place of what is there.
fn with_patch(template: &Value) -> Value {
    let mut out = template.clone();
    out["$patch"] = json!("replace");
    out
}

#[cfg(test)]
mod tests {
    use super::super::testing::view;
    use super::*;
    use crate::write::Op;

    fn set(image: &str) -> Value {
        json!({"metadata": {"name": "s", "namespace": "n", "uid": "u"}, "spec": {"revisionHistoryLimit": 1,
            "template": {"spec": {"containers": [{"image": image}]}}}})
    }

    fn revision(image: &str, number: i64) -> (&'static str, Value) {
        let owner = set(image);
        let mut object = object(&owner, "StatefulSet", &name_of(&owner), number);
        object["metadata"]["uid"] = json!(format!("u-{image}"));
        (r::CONTROLLER_REVISIONS, object)
    }

    fn check(image: &str, known: Vec<(&str, Value)>, expected: &[&str]) {
        let mut step = Step::nothing();
        current(&view(known), &Arc::new(set(image)), "StatefulSet", &mut step);
        let said = step.writes.iter().map(|w| match &w.op {
            Op::Create(o) => format!("create {}", int(o, "/revision")),
            Op::MergePatch(p) => format!("number {}", int(p, "/revision")),
            Op::Delete { uid, .. } => format!("delete {}", uid.as_deref().unwrap_or("")),
            other => format!("{other:?}"),
        });
        assert_eq!(said.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn revisions_come_go_and_come_back() {
        check("a", vec![], &["create 1"]);
        check("a", vec![revision("a", 1)], &[]);
        check("b", vec![revision("a", 1)], &["create 2"]);
        check("a", vec![revision("a", 1), revision("b", 2)], &["number 3"]);
        check("c", vec![revision("a", 1), revision("b", 2), revision("c", 3)], &["delete u-a"]);
    }
}
