//! What controllers look at: every object of the cluster by resource, namespace and name, with indexes by uid
//! and by owner. A plain value; it is filled from the API server's changes, or by hand in a test.
//! Leaves out history and watches: a controller is level-triggered and sees only the present.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fake_kube_apiserver::equal;
use jiff::Timestamp;
use serde_json::Value;

use crate::affinity::keeps_away;
use crate::json::{at, controller_of, items, map_matches, name, namespace, uid};
use crate::known::{Known, Words};
use crate::labels::Labels;
use crate::load::{Load, Taken};
use crate::scheduler::{is_over, is_pending, nominated_node, priority};

/// Resources by `plural.group`, as error messages and discovery name them.
pub mod resource {
    macro_rules! looked_into {
        ($($name:ident = $plural:literal;)*) => {
            $(pub const $name: &str = $plural;)*
            const READ: &[&str] = &[$($name),*];
        };
    }

    // Controllers look beyond the metadata of these; whatever one looks into is named here.
    looked_into! {
        PODS = "pods";
        SERVICES = "services";
        ENDPOINTS = "endpoints";
        CONFIG_MAPS = "configmaps";
        SECRETS = "secrets";
        NODES = "nodes";
        NAMESPACES = "namespaces";
        SERVICE_ACCOUNTS = "serviceaccounts";
        QUOTAS = "resourcequotas";
        CLAIMS = "persistentvolumeclaims";
        VOLUMES = "persistentvolumes";
        DEPLOYMENTS = "deployments.apps";
        REPLICA_SETS = "replicasets.apps";
        STATEFUL_SETS = "statefulsets.apps";
        DAEMON_SETS = "daemonsets.apps";
        CONTROLLER_REVISIONS = "controllerrevisions.apps";
        JOBS = "jobs.batch";
        CRON_JOBS = "cronjobs.batch";
        SLICES = "endpointslices.discovery.k8s.io";
        BUDGETS = "poddisruptionbudgets.policy";
        STORAGE_CLASSES = "storageclasses.storage.k8s.io";
        PRIORITY_CLASSES = "priorityclasses.scheduling.k8s.io";
        CRDS = "customresourcedefinitions.apiextensions.k8s.io";
        API_SERVICES = "apiservices.apiregistration.k8s.io";
    }

    /// Written by controllers and never looked into.
    pub const EVENTS: &str = "events";

    pub fn is_read(resource: &str) -> bool {
        READ.contains(&resource)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// `plural.group`, or the plural alone for the core group.
    pub resource: Arc<str>,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    pub name: String,
}

impl Key {
    pub fn new(resource: &str, namespace: &str, name: &str) -> Key {
        Key { resource: resource.into(), namespace: namespace.into(), name: name.into() }
    }

    pub fn of(resource: &str, object: &Value) -> Key {
        Key::new(resource, namespace(object), name(object))
    }

    pub fn group(&self) -> &str {
        self.resource.split_once('.').map_or("", |(_, g)| g)
    }

    pub fn plural(&self) -> &str {
        self.resource.split_once('.').map_or(&self.resource, |(p, _)| p)
    }
}

/// The last refusal of a controller's write, kept per owner uid: the next sync reports it and backs off.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub reason: &'static str,
    pub message: String,
    pub since: Timestamp,
    pub count: u32,
}

impl Refusal {
    /// The work queue's rate limit: 5 ms doubling to 1000 s (client-go `DefaultTypedControllerRateLimiter`).
    pub fn retry_at(&self) -> Timestamp {
        let millis = 5_i64.saturating_mul(1 << self.count.saturating_sub(1).min(20)).min(1_000_000);
        crate::json::after(self.since, jiff::SignedDuration::from_millis(millis))
    }
}

/// What a kind is called and where it lives; from discovery and the CRDs.
#[derive(Clone, Debug, PartialEq)]
pub struct KindInfo {
    pub resource: String,
    pub namespaced: bool,
}

#[derive(Clone, Default)]
pub struct View {
    objects: BTreeMap<Arc<Key>, Known>,
    words: Words,
    uids: BTreeMap<Arc<str>, Arc<Key>>,
    dependents: BTreeMap<String, BTreeSet<Arc<Key>>>,
    versions: BTreeMap<Arc<str>, String>,
    kinds: BTreeMap<(String, String), KindInfo>,
    labels: Labels,
    load: Load,
    /// Pods that wait for the scheduler.
    pending: BTreeSet<Key>,
    /// How many of them have which priority.
    priorities: BTreeMap<i64, usize>,
    /// Those of them that a node is kept for.
    nominated: BTreeSet<Key>,
    /// Bound pods with required anti-affinity.
    guards: BTreeSet<Key>,
    pub refusals: BTreeMap<String, Refusal>,
}

impl View {
    pub fn put(&mut self, key: Key, object: Arc<Value>) {
        let key = Arc::new(key);
        let old = self.objects.insert(key.clone(), Known::Whole(object.clone()));
        let old = old.map(|old| old.object(&key));
        self.index(&key, None, old.as_deref(), Some(&object));
    }

    /// Keeps what every object is looked at for, whatever its kind, and not the object.
    pub fn put_outline(&mut self, key: Key, object: &Value) {
        let known = self.objects.get(&key);
        if known.is_some_and(|known| known.is_outline_of(object)) {
            return;
        }
        let old = known.map(|old| old.object(&key));
        let known = Known::outline(object, &mut self.words);
        let shared = match &known {
            Known::Plain(plain) => Some(plain.uid.clone()),
            Known::Whole(_) | Known::Outline(_) => None,
        };
        let key = Arc::new(key);
        self.objects.insert(key.clone(), known);
        self.index(&key, shared, old.as_deref(), Some(object));
    }

    pub fn remove(&mut self, key: &Key) -> Option<Arc<Value>> {
        let (key, gone) = self.objects.remove_entry(key)?;
        let gone = gone.object(&key);
        self.index(&key, None, Some(&gone), None);
        self.refusals.remove(uid(&gone));
        Some(gone)
    }

    /// Brings the indexes from one state of an object to the next; most changes touch none of them. `shared`: its uid,
    /// where there is a text of it already.
    fn index(&mut self, key: &Arc<Key>, shared: Option<Arc<str>>, old: Option<&Value>, new: Option<&Value>) {
        self.labels.change(key, old, new);
        if &*key.resource == resource::PODS {
            self.load.change(old, new);
            self.index_pending(key, old, new);
            let is_guard = |p: &Value| {
                !crate::json::text(p, "/spec/nodeName").is_empty() && !is_over(p) && keeps_away(p)
            };
            if new.is_some_and(is_guard) {
                self.guards.insert(Key::clone(key));
            } else if !self.guards.is_empty() {
                self.guards.remove(&**key);
            }
        }
        let is_same =
            |old: &Value, new: &Value| uid(old) == uid(new) && equal(at(old, OWNERS), at(new, OWNERS));
        if old.zip(new).is_some_and(|(old, new)| is_same(old, new)) {
            return;
        }
        if let Some(old) = old {
            if self.uids.get(uid(old)) == Some(key) {
                self.uids.remove(uid(old));
            }
            for owner in owner_uids(old) {
                if let Some(set) = self.dependents.get_mut(owner) {
                    set.remove(key);
                    if set.is_empty() {
                        self.dependents.remove(owner);
                    }
                }
            }
        }
        let Some(new) = new else { return };
        if !uid(new).is_empty() {
            self.uids.insert(shared.unwrap_or_else(|| uid(new).into()), key.clone());
        }
        for owner in owner_uids(new) {
            self.dependents.entry(owner.into()).or_default().insert(key.clone());
        }
    }

    fn index_pending(&mut self, key: &Key, old: Option<&Value>, new: Option<&Value>) {
        let (was, is) = (old.filter(|p| is_pending(p)), new.filter(|p| is_pending(p)));
        if let Some(pod) = was {
            let n = self.priorities.entry(priority(pod)).or_default();
            *n = n.saturating_sub(1);
            self.priorities.retain(|_, n| *n > 0);
        }
        if let Some(pod) = is {
            *self.priorities.entry(priority(pod)).or_default() += 1;
            self.pending.insert(key.clone());
        } else {
            self.pending.remove(key);
        }
        if is.is_some_and(|p| !nominated_node(p).is_empty()) {
            self.nominated.insert(key.clone());
        } else if !self.nominated.is_empty() {
            self.nominated.remove(key);
        }
    }

    pub fn learn_version(&mut self, resource: &Arc<str>, version: &str) {
        if self.versions.get(resource).map(String::as_str) != Some(version) {
            self.versions.insert(resource.clone(), version.into());
        }
    }

    /// The version writes go to. Built-in kinds written by controllers are all `v1`.
    pub fn version(&self, resource: &str) -> &str {
        self.versions.get(resource).map_or("v1", String::as_str)
    }

    pub fn learn_kind(&mut self, group: &str, kind: &str, info: KindInfo) {
        self.kinds.insert((group.into(), kind.into()), info);
    }

    pub fn kind(&self, group: &str, kind: &str) -> Option<&KindInfo> {
        self.kinds.get(&(group.to_owned(), kind.to_owned()))
    }

    /// An object of a kind that is looked into.
    pub fn find(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)?.whole()
    }

    /// What is known of an object of any kind.
    pub fn seen(&self, key: &Key) -> Option<Arc<Value>> {
        self.objects.get(key).map(|known| known.object(key))
    }

    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<&Arc<Value>> {
        self.find(&Key::new(resource, namespace, name))
    }

    /// What is known of the object of this uid, whatever its kind.
    pub fn by_uid(&self, uid: &str) -> Option<(&Key, Arc<Value>)> {
        let key = self.uids.get(uid)?;
        Some((key, self.seen(key)?))
    }

    pub fn list(&self, resource: &str) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        let from = Key::new(resource, "", "");
        let wanted = from.resource.clone();
        self.objects.range(from..).take_while(move |(k, _)| k.resource == wanted).filter_map(whole)
    }

    pub fn list_in(&self, resource: &str, namespace: &str) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.known_in(resource, namespace).filter_map(whole)
    }

    fn known_in(&self, resource: &str, namespace: &str) -> impl Iterator<Item = (&Arc<Key>, &Known)> {
        let from = Key::new(resource, namespace, "");
        let wanted = from.clone();
        self.objects
            .range(from..)
            .take_while(move |(k, _)| k.resource == wanted.resource && k.namespace == wanted.namespace)
    }

    /// What is known of the objects of any resource.
    pub fn seen_in(&self, resource: &str, namespace: &str) -> impl Iterator<Item = Arc<Value>> {
        self.known_in(resource, namespace).map(|(key, known)| known.object(key))
    }

    /// Objects of a resource (pods, EndpointSlices) that have all labels of a map.
    pub fn labelled<'a>(
        &'a self,
        resource: &'static str,
        namespace: &str,
        map: &Value,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> {
        let found = self.labels.candidates(resource, namespace, map).into_iter().flatten();
        found
            .filter_map(|key| self.objects.get_key_value(key))
            .filter_map(whole)
            .filter(move |(_, object)| map_matches(map, at(object, "/metadata/labels")))
    }

    /// Services whose selector matches these labels.
    pub fn services_of(&self, namespace: &str, labels: &Value) -> impl Iterator<Item = &Key> {
        self.labels.selecting(namespace, labels).filter(move |key| {
            self.find(key).is_some_and(|service| map_matches(at(service, "/spec/selector"), labels))
        })
    }

    /// What the pods bound to a node take of it.
    pub fn taken(&self, node: &str) -> Option<&Taken> {
        self.load.of(node)
    }

    /// Pods that wait for the scheduler.
    pub fn pending(&self) -> impl Iterator<Item = &Key> {
        self.pending.iter()
    }

    /// Whether a pod of a higher priority waits.
    pub fn has_pending_above(&self, priority: i64) -> bool {
        self.priorities.last_key_value().is_some_and(|(highest, _)| *highest > priority)
    }

    /// Waiting pods that a node is kept for.
    pub fn nominated(&self) -> impl Iterator<Item = &Arc<Value>> {
        self.nominated.iter().filter_map(|key| self.find(key))
    }

    /// Bound pods that will not have certain others beside them.
    pub fn keeping_away(&self) -> impl Iterator<Item = &Arc<Value>> {
        self.guards.iter().filter_map(|key| self.find(key))
    }

    /// What is known of everything in one namespace, whatever its kind.
    pub fn contents(&self, namespace: &str) -> impl Iterator<Item = (&Key, Arc<Value>)> {
        let here = self.objects.iter().filter(move |(k, _)| k.namespace == namespace);
        here.map(|(key, known)| (&**key, known.object(key)))
    }

    fn depending(&self, owner_uid: &str) -> impl Iterator<Item = (&Arc<Key>, &Known)> {
        let keys = self.dependents.get(owner_uid).into_iter().flatten();
        keys.filter_map(|key| Some((key, self.objects.get(key)?)))
    }

    /// What is known of every object that names this uid as an owner.
    pub fn dependents(&self, owner_uid: &str) -> impl Iterator<Item = (&Key, Arc<Value>)> {
        self.depending(owner_uid).map(|(key, known)| (&**key, known.object(key)))
    }

    /// The dependents of one resource, which is looked into, that this owner controls.
    pub fn controlled(&self, resource: &str, owner_uid: &str) -> Vec<&Arc<Value>> {
        self.depending(owner_uid)
            .filter_map(whole)
            .filter(|(k, o)| {
                &*k.resource == resource && controller_of(o).is_some_and(|r| r["uid"] == owner_uid)
            })
            .map(|(_, o)| o)
            .collect()
    }
}

fn whole<'a>((key, known): (&'a Arc<Key>, &'a Known)) -> Option<(&'a Key, &'a Arc<Value>)> {
    Some((&**key, known.whole()?))
}

const OWNERS: &str = "/metadata/ownerReferences";

fn owner_uids(object: &Value) -> impl Iterator<Item = &str> {
    items(object, OWNERS).iter().filter_map(|r| r["uid"].as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn indexes_follow_the_objects() {
        let mut view = View::default();
        let owned = |owner: &str| {
            Arc::new(json!({"metadata": {"name": "p", "namespace": "n", "uid": "u-p",
                "ownerReferences": [{"uid": owner, "controller": true}]}}))
        };
        let key = Key::new(resource::PODS, "n", "p");
        view.put(key.clone(), owned("a"));
        view.put(key.clone(), owned("b"));
        assert_eq!(view.dependents("a").count(), 0);
        assert_eq!(view.controlled(resource::PODS, "b").len(), 1);
        assert_eq!(view.list_in(resource::PODS, "n").count(), 1);
        assert_eq!(view.list_in(resource::PODS, "m").count(), 0);
        view.remove(&key);
        assert!(view.by_uid("u-p").is_none());
        assert_eq!(view.dependents("b").count(), 0);
    }

    #[test]
    fn outlines_are_found_where_any_kind_is() {
        let mut view = View::default();
        let object = |uid: &str| json!({"apiVersion": "e.com/v1", "kind": "K", "metadata": {"name": "a", "namespace": "n", "uid": uid}});
        let key = Key::new("ks.e.com", "n", "a");
        view.put_outline(key.clone(), &object("u"));
        view.put_outline(key.clone(), &object("v"));
        assert!(view.by_uid("u").is_none());
        assert_eq!(
            view.by_uid("v").map(|(found, o)| (found == &key, uid(&o).to_owned())),
            Some((true, "v".into()))
        );
        assert_eq!((view.contents("n").count(), view.seen_in("ks.e.com", "n").count()), (1, 1));
        assert_eq!((view.find(&key), view.list_in("ks.e.com", "n").count()), (None, 0));
        assert!(view.remove(&key).is_some());
        assert!(view.by_uid("v").is_none() && view.seen(&key).is_none());
    }

    #[test]
    fn refusals_back_off() {
        let since = Timestamp::UNIX_EPOCH;
        let wait = |count| {
            let r = Refusal { reason: "FailedCreate", message: String::new(), since, count };
            r.retry_at().as_millisecond()
        };
        assert_eq!([wait(1), wait(2), wait(3), wait(60)], [5, 10, 20, 1_000_000]);
    }
}
