//! Deleting: preconditions, grace, finalizers, propagation (kube-api.md 2.6).

use std::sync::Arc;

use serde_json::{Value, json};

use crate::admission::{Asked, Operation};
use crate::answer::{Answer, Shown};
use crate::fields::Filter;
use crate::meta;
use crate::request::{DeleteOptions, Policy};
use crate::server::State;
use crate::status::{Result, Status, qualify};
use crate::store::Stored;
use crate::write::Call;

const JOB_WARNING: &str = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background \
to remove them or set propagationPolicy=Orphan to suppress this warning";

impl State {
    /// DELETE of one object.
    pub(crate) fn delete(&mut self, call: &mut Call, options: &DeleteOptions) -> Result<Answer> {
        let live = self.live(call)?;
        preconditions(call, options, &live)?;
        if call.def.is("", "namespaces")
            && matches!(call.name.as_str(), "default" | "kube-system" | "kube-public")
        {
            return Err(Status::forbidden(&call.def, &call.name, "this namespace may not be deleted"));
        }
        self.review_delete(call, options, &live)?;
        if call.def.traits.orphan_by_default && options.policy.is_none() && !call.options.dry_run {
            call.warnings.push(JOB_WARNING.to_owned());
        }
        let (last, gone) = self.delete_live(call, options, &live);
        if !gone || call.def.traits.delete_returns_object {
            return Ok(Answer::Object { code: 200, def: call.def.clone(), object: last });
        }
        Ok(Answer::Value { code: 200, value: success(call, &live.value()) })
    }

    /// Webhooks see the object that is to go, and no new one (case hook-delete).
    fn review_delete(&mut self, call: &mut Call, options: &DeleteOptions, live: &Stored) -> Result<()> {
        if !self.has_hooks() || call.subresource == "eviction" {
            return Ok(());
        }
        call.options.sent = options.sent.clone();
        let old = self.stored_view(&call.def, live);
        let asked = Asked { operation: Operation::Delete, object: None, old: Some(&old) };
        self.review_only(call, &asked, true)
    }

    /// DELETE of a collection: each match goes the way of a single delete; the answer lists them as found.
    pub(crate) fn delete_collection(
        &mut self,
        call: &mut Call,
        options: &DeleteOptions,
        filter: &Filter,
        limit: usize,
    ) -> Result<Answer> {
        let prefix = crate::list::prefix(&call.def, &call.namespace);
        let found: Vec<Arc<Stored>> = self
            .candidates(&call.def, &call.namespace, &prefix, "", filter)
            .filter(|s| filter.passes(s))
            .take(if limit == 0 { usize::MAX } else { limit })
            .cloned()
            .collect();
        let revision = self.store.revision();
        // All are admitted before the first goes: a write that waits for a webhook has changed nothing.
        for is_admitted in [false, true] {
            for live in &found {
                let object = live.value();
                meta::name(&object).clone_into(&mut call.name);
                meta::namespace(&object).clone_into(&mut call.namespace);
                if is_admitted {
                    self.delete_live(call, options, live);
                } else {
                    preconditions(call, options, live)?;
                    self.review_delete(call, options, live)?;
                }
            }
        }
        let items = found.into_iter().map(Shown::Stored).collect();
        let page = crate::answer::Page { items, revision, next: None, remaining: None };
        Ok(Answer::List { def: call.def.clone(), page })
    }

    /// The last state of the object and whether it is gone.
    fn delete_live(&mut self, call: &Call, options: &DeleteOptions, live: &Arc<Stored>) -> (Shown, bool) {
        let mut next = Value::clone(&live.value());
        let grace = grace(call, options, &next);
        let first = !meta::is_deleting(&next);
        propagate(call, options, &mut next);
        // A namespace shows its termination at least once, finalizers or not (case sub-namespace-finalize).
        let namespace = first && call.def.is("", "namespaces");
        let held = namespace || !meta::finalizers(&next).is_empty() || self.held_by_spec(&call.def, &next);
        let was_graceful = meta::get(&next, "deletionGracePeriodSeconds").and_then(Value::as_i64);
        let pod = call.def.is("", "pods");
        if !held && grace == 0 && !(pod && was_graceful != Some(0)) {
            return (self.drop_object(call, live), true);
        }
        mark(call, &mut next, grace, first, was_graceful);
        if call.def.is("", "namespaces") {
            next["status"]["phase"] = json!("Terminating");
        }
        if call.def.is("apiextensions.k8s.io", "customresourcedefinitions") {
            crate::crd::mark_terminating(&mut next, call.now);
        }
        if call.options.dry_run {
            return (Shown::Loose(Arc::new(self.view(&call.def, &next))), !held && grace == 0);
        }
        let marked = if next == *live.value() { live.clone() } else { self.commit(call, next) };
        if !held && grace == 0 {
            // A pod leaves in two steps: MODIFIED with grace 0, then DELETED; the answer is the first.
            self.remove(call, &marked);
            return (Shown::Stored(marked), true);
        }
        (Shown::Stored(marked), false)
    }

    fn drop_object(&mut self, call: &Call, live: &Arc<Stored>) -> Shown {
        if call.options.dry_run {
            Shown::Stored(live.clone())
        } else {
            Shown::Stored(self.remove(call, live))
        }
    }
}

/// Sets the marks of a deletion; grace can only get shorter.
fn mark(call: &Call, object: &mut Value, grace: i64, first: bool, was: Option<i64>) {
    let crd = call.def.is("apiextensions.k8s.io", "customresourcedefinitions");
    if first {
        if let Some(g) = meta::generation(object).filter(|g| *g > 0 && !crd) {
            meta::set(object, "generation", json!(g + 1));
        }
    } else if was.is_some_and(|w| grace >= w) {
        return;
    }
    let base = if first { call.now } else { started(object, was).unwrap_or(call.now) };
    let at = base.checked_add(jiff::SignedDuration::from_secs(grace)).unwrap_or(base);
    meta::set(object, "deletionTimestamp", json!(meta::time(at.max(if first { call.now } else { base }))));
    // Namespaces have a finalize step instead of a grace period.
    if !call.def.is("", "namespaces") {
        meta::set(object, "deletionGracePeriodSeconds", json!(grace));
    }
}

/// When the first delete came.
fn started(object: &Value, was: Option<i64>) -> Option<jiff::Timestamp> {
    let at = meta::parse_time(meta::get(object, "deletionTimestamp"))?;
    at.checked_sub(jiff::SignedDuration::from_secs(was.unwrap_or(0))).ok()
}

/// Only pods are graceful, and only once they run somewhere.
fn grace(call: &Call, options: &DeleteOptions, object: &Value) -> i64 {
    if !call.def.is("", "pods") {
        return 0;
    }
    let spec = &object["spec"];
    let unscheduled = spec["nodeName"].as_str().unwrap_or("").is_empty();
    let finished = matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if unscheduled || finished {
        return 0;
    }
    options.grace.or_else(|| spec["terminationGracePeriodSeconds"].as_i64()).unwrap_or(30).max(0)
}

/// The garbage collector's finalizers follow the policy.
fn propagate(call: &Call, options: &DeleteOptions, object: &mut Value) {
    let default = if call.def.traits.orphan_by_default { Some(Policy::Orphan) } else { None };
    let had = meta::finalizers(object);
    let policy = match options.policy.or(default) {
        Some(p) => p,
        // Without a policy an earlier choice, kept as a finalizer, stands.
        None if had.contains(&"orphan") => Policy::Orphan,
        None if had.contains(&"foregroundDeletion") => Policy::Foreground,
        None => Policy::Background,
    };
    let wanted = match policy {
        Policy::Background => None,
        Policy::Foreground => Some("foregroundDeletion"),
        Policy::Orphan => Some("orphan"),
    };
    let mut list: Vec<String> = had
        .iter()
        .filter(|f| !matches!(**f, "orphan" | "foregroundDeletion") || Some(**f) == wanted)
        .map(|f| (*f).to_owned())
        .collect();
    if let Some(w) = wanted
        && !list.iter().any(|f| f == w)
    {
        list.push(w.to_owned());
    }
    if call.def.is("apiextensions.k8s.io", "customresourcedefinitions") && !meta::is_deleting(object) {
        let cleanup = "customresourcecleanup.apiextensions.k8s.io";
        if !list.iter().any(|f| f == cleanup) {
            list.push(cleanup.to_owned());
        }
    }
    meta::set_finalizers(object, list);
}

fn preconditions(call: &Call, options: &DeleteOptions, live: &Stored) -> Result<()> {
    let kind = qualify(&call.def.kind, &call.def.group);
    let refuse = |why: String| {
        let mut s = Status::conflict(&call.def, &call.name, "");
        s.message = format!("Operation cannot be fulfilled on {kind} \"{}\": {why}", call.name);
        if let Some(d) = &mut s.details {
            d["kind"] = json!(call.def.kind);
        }
        Err(s)
    };
    let value = live.value();
    let uid = meta::uid(&value);
    if let Some(want) = options.uid.as_deref().filter(|u| *u != uid) {
        return refuse(format!(
            "the UID in the precondition ({want}) does not match the UID in record ({uid}). The object might have been \
             deleted and then recreated"
        ));
    }
    let revision = live.revision.to_string();
    if let Some(want) = options.resource_version.as_deref().filter(|r| *r != revision) {
        return refuse(format!(
            "the ResourceVersion in the precondition ({want}) does not match the ResourceVersion in record ({revision}). \
             The object might have been modified"
        ));
    }
    Ok(())
}

fn success(call: &Call, object: &Value) -> Value {
    let mut details = json!({"name": call.name});
    if !call.def.group.is_empty() {
        details["group"] = json!(call.def.group);
    }
    details["kind"] = json!(call.def.plural);
    details["uid"] = json!(meta::uid(object));
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
