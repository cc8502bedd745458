//! The Deployment controller: which ReplicaSets exist and how large they are.
//! Rollout arithmetic is in `rollout`, status and conditions in `deployment_status`. A port of the rules of
//! `pkg/controller/deployment` (sync.go, rolling.go, recreate.go) as kube-api.md 3.1 summarises them.
//! One sync does one action and the status; the change it causes brings the next one.

use std::collections::BTreeSet;
use std::sync::Arc;

use fake_kube_apiserver::equal;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::rollout::{self, Limits};
use super::{Happened, deployment_status as status, only};
use crate::json::*;
use crate::view::{Key, View, resource as r};
use crate::write::{EventSpec, Step, Write};

pub const ACTOR: &str = "kube-controller-manager";
pub const COMPONENT: &str = "deployment-controller";
pub const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAX: &str = "deployment.kubernetes.io/max-replicas";
pub const HASH: &str = "pod-template-hash";
/// Annotations of a Deployment that its ReplicaSets do not take over.
const NOT_COPIED: [&str; 5] =
    ["kubectl.kubernetes.io/last-applied-configuration", REVISION, HISTORY, DESIRED, MAX];

pub fn wakes(h: &Happened, view: &View) -> BTreeSet<Key> {
    let mut keys = only(h, r::DEPLOYMENTS);
    keys.extend(super::owner_or_self(h, r::DEPLOYMENTS, r::REPLICA_SETS, "Deployment"));
    // Recreate waits for pods, and a pod knows only its ReplicaSet.
    if &*h.key.resource == r::PODS
        && h.deleted
        && let Some(rs) = controller_of(h.object).and_then(|c| view.by_uid(c["uid"].as_str().unwrap_or("")))
        && let Some(owner) = controller_of(&rs.1)
        && owner["kind"] == "Deployment"
    {
        keys.insert(Key::new(r::DEPLOYMENTS, &h.key.namespace, owner["name"].as_str().unwrap_or("")));
    }
    keys
}

/// A ReplicaSet as this sync leaves it: the stored object and the size it is given.
#[derive(Clone)]
pub struct Sized {
    pub object: Arc<Value>,
    pub replicas: i64,
}

impl Sized {
    fn of(object: &Arc<Value>) -> Sized {
        Sized { object: object.clone(), replicas: int_or(object, "/spec/replicas", 1) }
    }

    pub fn name(&self) -> &str {
        name(&self.object)
    }

    pub fn available(&self) -> i64 {
        int(&self.object, "/status/availableReplicas")
    }

    fn revision(&self) -> i64 {
        annotation(&self.object, REVISION).and_then(|s| s.parse().ok()).unwrap_or(0)
    }
}

/// Everything one sync works with.
struct Rollout<'a> {
    view: &'a View,
    now: Timestamp,
    /// The Deployment as it will be written, [`lean`]: annotations and status change here.
    deployment: Value,
    stored: &'a Arc<Value>,
    new: Option<Sized>,
    /// Oldest first.
    old: Vec<Sized>,
    limits: Limits,
    step: Step,
}

pub fn sync(view: &View, key: &Key, now: Timestamp) -> Step {
    let Some(stored) = view.find(key) else { return Step::nothing() };
    let (new, old) = replica_sets(view, stored);
    let limits = Limits::of(stored);
    let deployment = lean(stored);
    let mut rollout = Rollout { view, now, deployment, stored, new, old, limits, step: Step::nothing() };
    if is_deleting(stored) {
        rollout.finish(false);
        return rollout.step;
    }
    status::note_pause(&mut rollout.deployment, now);
    if flag(stored, "/spec/paused") || rollout.is_scaling() {
        rollout.adopt_new(false);
        rollout.scale_in_proportion();
        if flag(stored, "/spec/paused") {
            rollout.clean_up();
        }
        rollout.finish(false);
        return rollout.step;
    }
    match text(stored, "/spec/strategy/type") {
        "Recreate" => rollout.recreate(),
        _ => rollout.rolling(),
    }
    rollout.finish(true);
    rollout.step
}

/// The ReplicaSet of the present template, if any, and the others, oldest first.
fn replica_sets(view: &View, deployment: &Arc<Value>) -> (Option<Sized>, Vec<Sized>) {
    let mut all: Vec<Sized> =
        view.controlled(r::REPLICA_SETS, uid(deployment)).into_iter().map(Sized::of).collect();
    all.sort_by(|a, b| {
        (text(&a.object, "/metadata/creationTimestamp"), a.revision(), a.name()).cmp(&(
            text(&b.object, "/metadata/creationTimestamp"),
            b.revision(),
            b.name(),
        ))
    });
    let template = at(deployment, "/spec/template");
    let position = all.iter().position(|rs| same_template(template, at(&rs.object, "/spec/template")));
    let new = position.map(|i| all.remove(i));
    (new, all)
}

fn same_template(a: &Value, b: &Value) -> bool {
    let labels = |a: &Value, b: &Value| equal_but(a, b, HASH, |_, a, b| equal(a, b));
    let metadata = |key: &str, a: &Value, b: &Value| if key == "labels" { labels(a, b) } else { equal(a, b) };
    equal_but(a, b, "", |key, a, b| match key {
        "metadata" => equal_but(a, b, "creationTimestamp", metadata),
        _ => equal(a, b),
    })
}

/// Whether two objects have the same members, that of one key aside, and `are_equal` says so of each pair.
fn equal_but(a: &Value, b: &Value, but: &str, are_equal: impl Fn(&str, &Value, &Value) -> bool) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else { return equal(a, b) };
    let count = |map: &Map<String, Value>| map.len() - usize::from(map.contains_key(but));
    count(a) == count(b)
        && a.iter()
            .filter(|(key, _)| *key != but)
            .all(|(key, value)| b.get(key).is_some_and(|other| are_equal(key, value, other)))
}

/// An object without what a sync neither reads nor changes and what is most of it: the template of its pods, and who owns
/// what.
fn lean(object: &Value) -> Value {
    let without = |value: &Value, but: &str| -> Value {
        let members = value.as_object().into_iter().flatten().filter(|(key, _)| *key != but);
        Value::Object(members.map(|(key, value)| (key.clone(), value.clone())).collect())
    };
    let member = |(key, value): (&String, &Value)| match key.as_str() {
        "metadata" => (key.clone(), without(value, "managedFields")),
        "spec" => (key.clone(), without(value, "template")),
        _ => (key.clone(), value.clone()),
    };
    Value::Object(object.as_object().into_iter().flatten().map(member).collect())
}

fn template_hash(template: &Value, collisions: Option<i64>) -> String {
    let mut bytes = canonical(template).to_string();
    if let Some(n) = collisions {
        bytes.push_str(&n.to_string());
    }
    safe_encode(fnv32a(bytes.as_bytes()))
}

/// Member order must not change the hash: two templates that compare equal get one ReplicaSet.
fn canonical(v: &Value) -> Value {
    match v {
        Value::Object(m) => {
            let mut keys: Vec<&String> = m.keys().collect();
            keys.sort();
            Value::Object(keys.into_iter().map(|k| (k.clone(), canonical(&m[k]))).collect())
        }
        Value::Array(a) => Value::Array(a.iter().map(canonical).collect()),
        other => other.clone(),
    }
}

impl Rollout<'_> {
    fn replicas(&self) -> i64 {
        int_or(self.stored, "/spec/replicas", 1)
    }

    fn all(&self) -> Vec<Sized> {
        self.old.iter().chain(&self.new).cloned().collect()
    }

    /// Was the Deployment resized since its ReplicaSets were last told?
    fn is_scaling(&self) -> bool {
        self.all().iter().filter(|rs| rs.replicas > 0).any(|rs| {
            annotation(&rs.object, DESIRED)
                .and_then(|s| s.parse::<i64>().ok())
                .is_some_and(|d| d != self.replicas())
        })
    }

    fn rolling(&mut self) {
        if !self.adopt_new(true) {
            return;
        }
        let new = self.new.clone().expect("adopt_new leaves a ReplicaSet when asked to create one");
        let grown = rollout::new_size(&new, &self.all(), self.replicas(), &self.limits);
        if grown != new.replicas {
            self.scale_new(grown);
            return;
        }
        let sizes = rollout::old_sizes(&new, &self.old, self.replicas(), &self.limits);
        if self.scale_old(&sizes) {
            return;
        }
        self.clean_up_when_complete();
    }

    fn recreate(&mut self) {
        self.adopt_new(false);
        let zeros = vec![0; self.old.len()];
        if self.scale_old(&zeros) || self.old_pods_running() {
            return;
        }
        if !self.adopt_new(true) {
            return;
        }
        let new_replicas = self.new.as_ref().map_or(0, |n| n.replicas);
        if new_replicas != self.replicas() {
            self.scale_new(self.replicas());
            return;
        }
        self.clean_up_when_complete();
    }

    fn old_pods_running(&self) -> bool {
        self.old.iter().any(|rs| {
            self.view
                .controlled(r::PODS, uid(&rs.object))
                .iter()
                .any(|p| !matches!(text(p, "/status/phase"), "Failed" | "Succeeded"))
        })
    }

    /// Brings the new ReplicaSet up to date, or creates it. False: its creation is under way.
    fn adopt_new(&mut self, create: bool) -> bool {
        let revision = self.old.iter().map(Sized::revision).max().unwrap_or(0) + 1;
        let Some(new) = self.new.clone() else {
            if create {
                self.create_new(revision);
            }
            return false;
        };
        let update = |object: &mut Value| {
            annotate(object, self.stored, revision, true);
            copy_min_ready(object, self.stored);
        };
        let before = lean(&new.object);
        let mut after = before.clone();
        update(&mut after);
        if !equal(&before, &after) {
            let mut object = Value::clone(&new.object);
            update(&mut object);
            self.step.push(Write::update(ACTOR, r::REPLICA_SETS, object.clone()));
            self.new = Some(Sized { object: Arc::new(object), replicas: new.replicas });
        }
        let revision = self.new.as_ref().map_or(revision, Sized::revision);
        self.note_revision(revision);
        if status::tracks_progress(self.stored) && condition(&self.deployment, "Progressing").is_none() {
            let message = format!("Found new replica set \"{}\"", new.name());
            status::set(
                &mut self.deployment,
                "Progressing",
                "True",
                "FoundNewReplicaSet",
                &message,
                self.now,
            );
        }
        true
    }

    fn note_revision(&mut self, revision: i64) {
        let pointer = format!("/metadata/annotations/{}", REVISION.replace('/', "~1"));
        set(&mut self.deployment, &pointer, revision.to_string().into());
    }

    fn create_new(&mut self, revision: i64) {
        let collisions = at(self.stored, "/status/collisionCount").as_i64();
        let hash = template_hash(at(self.stored, "/spec/template"), collisions);
        let rs_name = format!("{}-{hash}", name(self.stored));
        let taken = self.view.get(r::REPLICA_SETS, namespace(self.stored), &rs_name);
        if let Some(other) = taken {
            // Somebody else's ReplicaSet has our name: count the collision and hash again next time. Our own one
            // still being deleted is waited for.
            if !is_controlled_by(other, uid(self.stored)) {
                set(&mut self.deployment, "/status/collisionCount", (collisions.unwrap_or(0) + 1).into());
            }
            return;
        }
        let size = match text(self.stored, "/spec/strategy/type") {
            "Recreate" => self.replicas(),
            _ => rollout::first_size(&self.all(), self.replicas(), &self.limits),
        };
        let object = new_replica_set(self.stored, &hash, size, revision);
        let mut write = Write::create(ACTOR, r::REPLICA_SETS, object);
        if size > 0 {
            write = write.then(self.scaled_event(&rs_name, 0, size));
        }
        self.step.push(write);
        self.note_revision(revision);
        if status::tracks_progress(self.stored) {
            let message = format!("Created new replica set \"{rs_name}\"");
            status::set(
                &mut self.deployment,
                "Progressing",
                "True",
                "NewReplicaSetCreated",
                &message,
                self.now,
            );
        }
    }

    fn scaled_event(&self, rs: &str, from: i64, to: i64) -> EventSpec {
        let verb = if to > from { "up" } else { "down" };
        let message = format!("Scaled {verb} replica set {rs} from {from} to {to}");
        EventSpec::normal(self.stored, COMPONENT, "ScalingReplicaSet", message)
    }

    fn scale_new(&mut self, size: i64) {
        if let Some(new) = self.new.take() {
            self.new = Some(self.scale(new, size));
        }
    }

    /// True if any size changed.
    fn scale_old(&mut self, sizes: &[i64]) -> bool {
        let before = self.step.writes.len();
        self.old = std::mem::take(&mut self.old)
            .into_iter()
            .zip(sizes.to_vec())
            .map(|(rs, size)| if rs.replicas == size { rs } else { self.scale(rs, size) })
            .collect();
        self.step.writes.len() > before
    }

    fn scale(&mut self, rs: Sized, size: i64) -> Sized {
        let mut object = Value::clone(&rs.object);
        set(&mut object, "/spec/replicas", size.into());
        set_size_annotations(&mut object, self.replicas(), self.limits.surge);
        if equal(&object, &rs.object) {
            return rs;
        }
        // The new ReplicaSet may already have a write of this sync; one PUT carries both.
        let key = Key::of(r::REPLICA_SETS, &object);
        self.step.writes.retain(|w| w.target != key);
        let mut write = Write::update(ACTOR, r::REPLICA_SETS, object.clone());
        if size != rs.replicas {
            write = write.then(self.scaled_event(rs.name(), rs.replicas, size));
        }
        self.step.push(write);
        Sized { object: Arc::new(object), replicas: size }
    }

    /// A resize in the middle of a rollout is spread over the ReplicaSets by their share.
    fn scale_in_proportion(&mut self) {
        let all = self.all();
        let sizes = rollout::proportional(&all, self.new.as_ref(), self.replicas(), &self.limits);
        for (rs, size) in all.into_iter().zip(sizes) {
            let Some(size) = size else { continue };
            let scaled = self.scale(rs, size);
            match &mut self.new {
                Some(new) if new.name() == scaled.name() => *new = scaled,
                _ => {
                    if let Some(place) = self.old.iter_mut().find(|o| o.name() == scaled.name()) {
                        *place = scaled;
                    }
                }
            }
        }
    }

    fn clean_up_when_complete(&mut self) {
        let computed =
            status::compute(&self.deployment, &self.all(), self.new.as_ref(), self.terminating(), self.now);
        if status::is_complete(self.stored, &computed) {
            self.clean_up();
        }
    }

    /// Deletes the oldest empty ReplicaSets beyond `revisionHistoryLimit`.
    fn clean_up(&mut self) {
        let keep = usize::try_from(int_or(self.stored, "/spec/revisionHistoryLimit", 10)).unwrap_or(0);
        let mut alive: Vec<&Sized> = self.old.iter().filter(|rs| !is_deleting(&rs.object)).collect();
        alive.sort_by_key(|rs| rs.revision());
        let surplus = alive.len().saturating_sub(keep);
        for rs in &alive[..surplus] {
            let idle = rs.replicas == 0
                && int(&rs.object, "/status/replicas") == 0
                && int(&rs.object, "/metadata/generation") <= int(&rs.object, "/status/observedGeneration");
            if idle {
                let key = Key::of(r::REPLICA_SETS, &rs.object);
                self.step.writes.push(Write::delete(ACTOR, &key, None, uid(&rs.object)));
            }
        }
    }

    fn terminating(&self) -> i64 {
        let count = self
            .all()
            .iter()
            .map(|rs| {
                self.view.controlled(r::PODS, uid(&rs.object)).iter().filter(|p| is_deleting(p)).count()
            })
            .sum::<usize>();
        i64::try_from(count).unwrap_or(i64::MAX)
    }

    /// Writes the status if it changed and asks to come back at the progress deadline.
    fn finish(&mut self, progress: bool) {
        let all = self.all();
        let mut computed =
            status::compute(&self.deployment, &all, self.new.as_ref(), self.terminating(), self.now);
        set(&mut self.deployment, "/status", computed.clone());
        if progress {
            computed = status::progress(&self.deployment, self.stored, &all, self.new.as_ref(), self.now);
            set(&mut self.deployment, "/status", computed);
        }
        let changed = ["/metadata/annotations", "/status"];
        let changed = changed.map(|part| (part, at(&self.deployment, part)));
        let is_same = |(part, value): &(&str, &Value)| equal(value, at(self.stored, part));
        if !changed.iter().all(is_same) {
            let mut object = Value::clone(self.stored);
            for (part, value) in changed.iter().filter(|part| !is_same(part)) {
                set(&mut object, part, Value::clone(value));
            }
            self.step.push(Write::update_status(ACTOR, r::DEPLOYMENTS, object));
        }
        if let Some(due) = status::deadline(&self.deployment) {
            self.step.look_again(due);
        }
    }
}

fn new_replica_set(deployment: &Value, hash: &str, size: i64, revision: i64) -> Value {
    let mut template = at(deployment, "/spec/template").clone();
    set(&mut template, &format!("/metadata/labels/{HASH}"), hash.into());
    let mut selector = at(deployment, "/spec/selector").clone();
    set(&mut selector, &format!("/matchLabels/{HASH}"), hash.into());
    let labels = at(&template, "/metadata/labels").clone();
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": format!("{}-{hash}", name(deployment)), "namespace": namespace(deployment), "labels": labels,
            "ownerReferences": [controller_ref(deployment, "apps/v1", "Deployment")]
        },
        "spec": {"replicas": size, "selector": selector, "template": template}
    });
    copy_min_ready(&mut object, deployment);
    annotate(&mut object, deployment, revision, false);
    set_size_annotations(&mut object, int_or(deployment, "/spec/replicas", 1), Limits::of(deployment).surge);
    object
}

fn copy_min_ready(object: &mut Value, deployment: &Value) {
    let wanted = int(deployment, "/spec/minReadySeconds");
    if int(object, "/spec/minReadySeconds") != wanted {
        set(object, "/spec/minReadySeconds", wanted.into());
    }
}

fn annotate(object: &mut Value, deployment: &Value, revision: i64, exists: bool) {
    let pointer = |key: &str| format!("/metadata/annotations/{}", key.replace('~', "~0").replace('/', "~1"));
    for (k, v) in at(deployment, "/metadata/annotations").as_object().into_iter().flatten() {
        if !NOT_COPIED.contains(&k.as_str()) {
            set(object, &pointer(k), v.clone());
        }
    }
    let old = annotation(object, REVISION).map(str::to_owned);
    if old.as_deref().and_then(|s| s.parse::<i64>().ok()).unwrap_or(0) < revision {
        set(object, &pointer(REVISION), revision.to_string().into());
        if exists && let Some(old) = old {
            let history = annotation(object, HISTORY).map_or(old.clone(), |h| format!("{h},{old}"));
            set(object, &pointer(HISTORY), history.into());
        }
    }
}

fn set_size_annotations(object: &mut Value, desired: i64, surge: i64) {
    set(object, &format!("/metadata/annotations/{}", DESIRED.replace('/', "~1")), desired.to_string().into());
    set(
        object,
        &format!("/metadata/annotations/{}", MAX.replace('/', "~1")),
        (desired + surge).to_string().into(),
    );
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::write::Op;

    fn key() -> Key {
        Key::new(r::DEPLOYMENTS, "n", "d")
    }

    fn created(step: &Step) -> Value {
        let found = step.writes.iter().find_map(|w| match &w.op {
            Op::Create(v) => Some(v.clone()),
            _ => None,
        });
        found.expect("a create")
    }

    #[test]
    fn a_new_deployment_gets_a_replica_set_of_full_size() {
        let step = sync(&view(vec![(r::DEPLOYMENTS, deployment(2))]), &key(), now());
        let rs = created(&step);
        let hash = label(&rs, HASH).to_owned();
        assert_eq!(name(&rs), format!("d-{hash}"));
        assert_eq!(at(&rs, "/spec/selector"), &json!({"matchLabels": {"app": "d", HASH: hash}}));
        assert_eq!(
            at(&rs, "/metadata/annotations"),
            &json!({REVISION: "1", DESIRED: "2", MAX: "3"}),
            "the annotations recorded in wl-rollout"
        );
        let event = step.writes[0].on_ok.as_ref().expect("an event");
        assert_eq!(event.message, format!("Scaled up replica set d-{hash} from 0 to 2"));
        let Op::UpdateStatus(d) = &step.writes[1].op else { panic!("status second") };
        assert_eq!(condition(d, "Progressing").expect("set")["reason"], "NewReplicaSetCreated");
        assert_eq!(condition(d, "Available").expect("set")["reason"], "MinimumReplicasUnavailable");
        assert_eq!(annotation(d, REVISION), Some("1"));
    }

    #[test]
    fn member_order_does_not_change_the_hash() {
        let a = json!({"metadata": {"labels": {"a": "1", "b": "2"}}});
        let b = json!({"metadata": {"labels": {"b": "2", "a": "1"}}});
        assert_eq!(template_hash(&a, None), template_hash(&b, None));
        assert_ne!(template_hash(&a, None), template_hash(&a, Some(1)));
    }

    #[test]
    fn recreate_waits_for_old_pods() {
        let mut d = deployment(1);
        d["spec"]["strategy"] = json!({"type": "Recreate"});
        let mut old = new_replica_set(&d, "oldhash", 0, 1);
        old["metadata"]["uid"] = "u-old".into();
        old["spec"]["template"]["spec"]["containers"][0]["image"] = "busybox:0".into();
        let old_pod = pod("p", ("ReplicaSet", "d-oldhash", "u-old"), true);
        let mut v = view(vec![(r::DEPLOYMENTS, d), (r::REPLICA_SETS, old), (r::PODS, old_pod)]);
        let creates = |v: &View| sync(v, &key(), now()).writes.iter().any(|w| matches!(w.op, Op::Create(_)));
        assert!(!creates(&v), "the old pod is still there");
        v.remove(&Key::new(r::PODS, "n", "p"));
        assert!(creates(&v));
    }

    #[test]
    fn a_name_taken_by_somebody_else_counts_a_collision() {
        let d = deployment(1);
        let hash = template_hash(at(&d, "/spec/template"), None);
        let foreign = json!({"metadata": {"name": format!("d-{hash}"), "namespace": "n", "uid": "x"}});
        let step = sync(&view(vec![(r::DEPLOYMENTS, d), (r::REPLICA_SETS, foreign)]), &key(), now());
        let Op::UpdateStatus(d) = &step.writes[0].op else { panic!("only a status") };
        assert_eq!(int(d, "/status/collisionCount"), 1);
    }
}
