//! The namespace controller: empties a namespace that is being deleted, then lets it go
//! (kube-api.md 3.5; cases gc-namespace and the conditions of check 124).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::deployment::ACTOR;
use super::{Happened, only};
use crate::json::*;
use crate::view::{Key, View, resource as r};
use crate::write::{Step, Write};

pub fn wakes(h: &Happened, view: &View) -> BTreeSet<Key> {
    let mut keys = only(h, r::NAMESPACES);
    // Something went: a namespace that is being deleted may be empty now. The others have no interest in it, and a
    // busy namespace must not look like a controller that spins.
    let is_news = !h.key.namespace.is_empty() && (h.deleted || is_deleting(h.object));
    if is_news && view.get(r::NAMESPACES, "", &h.key.namespace).is_some_and(|ns| is_deleting(ns)) {
        keys.insert(Key::new(r::NAMESPACES, "", &h.key.namespace));
    }
    keys
}

pub fn sync(view: &View, key: &Key, now: Timestamp) -> Step {
    let mut step = Step::nothing();
    let Some(ns) = view.find(key).filter(|ns| is_deleting(ns)) else { return step };
    let mut rest: BTreeMap<String, usize> = BTreeMap::new();
    let mut finalizers: BTreeMap<String, usize> = BTreeMap::new();
    for (k, object) in view.contents(&key.name) {
        if !is_deleting(&object) {
            step.push(Write::delete(ACTOR, k, Some("Background"), uid(&object)));
        }
        // What can go at once is gone before the conditions are read again.
        let held = items(&object, "/metadata/finalizers");
        if is_deleting(&object) || !held.is_empty() {
            *rest.entry(k.resource.to_string()).or_default() += 1;
        }
        for f in held.iter().filter_map(Value::as_str) {
            *finalizers.entry(f.to_owned()).or_default() += 1;
        }
    }
    if !step.writes.is_empty() || !rest.is_empty() {
        tell(ns, &rest, &finalizers, now, &mut step);
        return step;
    }
    let mut object = Value::clone(ns);
    set(&mut object, "/spec/finalizers", json!([]));
    step.push(Write::new(ACTOR, key.clone(), crate::write::Op::Finalize(object)));
    step
}

fn tell(
    ns: &Value,
    rest: &BTreeMap<String, usize>,
    finalizers: &BTreeMap<String, usize>,
    now: Timestamp,
    step: &mut Step,
) {
    let remaining = rest.iter().map(|(r, n)| {
        // The real text is "<resource>.<group>"; core resources end in a dot.
        let r = if r.contains('.') { r.clone() } else { format!("{r}.") };
        format!("{r} has {n} resource instances")
    });
    let held = finalizers.iter().map(|(f, n)| format!("{f} in {n} resource instances"));
    let (remaining, held): (Vec<_>, Vec<_>) = (remaining.collect(), held.collect());
    let rows = [
        (
            "NamespaceDeletionDiscoveryFailure",
            None,
            "ResourcesDiscovered",
            "All resources successfully discovered".to_owned(),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            None,
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed".to_owned(),
        ),
        (
            "NamespaceDeletionContentFailure",
            None,
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization".to_owned(),
        ),
        match remaining.is_empty() {
            true => (
                "NamespaceContentRemaining",
                None,
                "ContentRemoved",
                "All content successfully removed".to_owned(),
            ),
            false => (
                "NamespaceContentRemaining",
                Some(()),
                "SomeResourcesRemain",
                format!("Some resources are remaining: {}", remaining.join(", ")),
            ),
        },
        match held.is_empty() {
            true => (
                "NamespaceFinalizersRemaining",
                None,
                "ContentHasNoFinalizers",
                "All content-preserving finalizers finished".to_owned(),
            ),
            false => (
                "NamespaceFinalizersRemaining",
                Some(()),
                "SomeFinalizersRemain",
                format!("Some content in the namespace has finalizers remaining: {}", held.join(", ")),
            ),
        },
    ];
    let conditions: Vec<Value> = rows
        .into_iter()
        .map(|(kind, bad, reason, message)| {
            let status = if bad.is_some() { "True" } else { "False" };
            let since = condition(ns, kind)
                .filter(|c| c["status"] == status)
                .map_or(stamp(now), |c| c["lastTransitionTime"].clone());
            json!({"type": kind, "status": status, "lastTransitionTime": since, "reason": reason, "message": message})
        })
        .collect();
    if *items(ns, "/status/conditions") != conditions {
        let mut object = Value::clone(ns);
        set(&mut object, "/status/conditions", conditions.into());
        step.push(Write::update_status(ACTOR, r::NAMESPACES, object));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{now, view};
    use super::*;
    use crate::write::Op;

    fn ns() -> (&'static str, Value) {
        let o = json!({"metadata": {"name": "n", "uid": "u-n", "deletionTimestamp": "2026-01-01T00:00:00Z"},
                       "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Terminating"}});
        (r::NAMESPACES, o)
    }

    #[test]
    fn empties_then_finalizes() {
        let key = Key::new(r::NAMESPACES, "", "n");
        let map = json!({"metadata": {"name": "a", "namespace": "n", "uid": "u-a"}});
        let step = sync(&view(vec![ns(), (r::CONFIG_MAPS, map)]), &key, now());
        assert!(matches!(step.writes[0].op, Op::Delete { .. }));
        let step = sync(&view(vec![ns()]), &key, now());
        let Op::Finalize(o) = &step.writes[0].op else { panic!("finalize") };
        assert_eq!(o["spec"]["finalizers"], json!([]));
    }

    #[test]
    fn tells_what_holds_it() {
        let held = json!({"metadata": {"name": "a", "namespace": "n", "uid": "u-a", "finalizers": ["x.io/y"],
                          "deletionTimestamp": "2026-01-01T00:00:00Z"}});
        let step = sync(&view(vec![ns(), (r::PODS, held)]), &Key::new(r::NAMESPACES, "", "n"), now());
        let Op::UpdateStatus(o) = &step.writes[0].op else { panic!("status") };
        assert_eq!(
            condition(o, "NamespaceFinalizersRemaining").expect("set")["message"],
            "Some content in the namespace has finalizers remaining: x.io/y in 1 resource instances"
        );
        assert_eq!(
            condition(o, "NamespaceContentRemaining").expect("set")["message"],
            "Some resources are remaining: pods. has 1 resource instances"
        );
    }
}
