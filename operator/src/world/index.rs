//! Objects of one kind, as the watch and our own writes have shown them so far.
//!
//! A watch lags behind; a pass that decided on what it saw before its own last write would write it again. So the
//! answers to our writes are put in here at once (`assume`), an older picture of the same object never replaces a
//! newer one, and an object that was deleted comes back neither from a late event nor from the late answer to a write
//! (a Deployment that we delete can be gone before we are told that its deletion began). Nothing in here is needed
//! after a crash: the first list is a quorum read.
//!
//! Comparing resourceVersions as numbers is what the API server itself promises since Kubernetes 1.35 and has
//! done since etcd 3; a server with other versions gets plain last-event-wins.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kube::runtime::watcher::Event;

use crate::queue::Key;

/// Deletions remembered per kind, the newest ones.
const TOMBSTONES_MAX: usize = 4096;

/// One object, reduced.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry<T> {
    pub uid: String,
    pub resource_version: String,
    /// The Flink cluster it belongs to: the name of the custom resource.
    pub owner: String,
    pub value: T,
}

/// A full key of an object and its reduced form.
pub(crate) type Reduced<T> = (Key, Entry<T>);

#[derive(Debug)]
struct Held<T> {
    entry: Entry<T>,
    /// Known from our own write only; the number of lists that did not show it.
    assumed: Option<u8>,
}

#[derive(Debug)]
pub(crate) struct Index<T> {
    objects: BTreeMap<Key, Held<T>>,
    by_owner: BTreeMap<Key, BTreeSet<String>>,
    /// Uids of objects that were deleted, and the order in which they were.
    tombstones: BTreeSet<String>,
    buried: VecDeque<String>,
    /// Lists under way, by watch scope (a namespace, or "" for all).
    listing: BTreeMap<String, BTreeMap<Key, Entry<T>>>,
    synced: BTreeSet<String>,
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        Index {
            objects: BTreeMap::new(),
            by_owner: BTreeMap::new(),
            tombstones: BTreeSet::new(),
            buried: VecDeque::new(),
            listing: BTreeMap::new(),
            synced: BTreeSet::new(),
        }
    }
}

impl<T> Index<T> {
    pub(crate) fn get(&self, key: &Key) -> Option<&Entry<T>> {
        self.objects.get(key).map(|held| &held.entry)
    }

    /// The objects of one Flink cluster, by name.
    pub(crate) fn of_owner<'a>(&'a self, owner: &'a Key) -> impl Iterator<Item = (&'a str, &'a Entry<T>)> {
        self.by_owner.get(owner).into_iter().flatten().filter_map(|name| {
            let key = Key::new(owner.namespace.as_str(), name.as_str());
            self.objects.get(&key).map(|held| (name.as_str(), &held.entry))
        })
    }

    /// True once a scope that holds this namespace has been listed.
    pub(crate) fn is_synced(&self, namespace: &str) -> bool {
        self.synced.contains("") || self.synced.contains(namespace)
    }

    /// Every object, in order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.objects.keys()
    }

    /// Takes in one watch event. `matters` compares two forms of an object; the owners of those that changed in
    /// a way that matters come back.
    pub(crate) fn observe(
        &mut self,
        scope: &str,
        event: Event<Reduced<T>>,
        matters: impl Fn(&Entry<T>, &Entry<T>) -> bool,
    ) -> BTreeSet<Key> {
        let mut touched = BTreeSet::new();
        match event {
            Event::Init => {
                self.listing.insert(scope.to_owned(), BTreeMap::new());
            }
            Event::InitApply((key, entry)) => {
                self.listing.entry(scope.to_owned()).or_default().insert(key, entry);
            }
            Event::InitDone => {
                let list = self.listing.remove(scope).unwrap_or_default();
                self.replace_scope(scope, list, &matters, &mut touched);
            }
            Event::Apply((key, entry)) => self.upsert(key, entry, false, &matters, &mut touched),
            Event::Delete((key, entry)) => {
                self.mark(&entry.uid);
                let same = self.objects.get(&key).is_some_and(|held| held.entry.uid == entry.uid);
                if same {
                    self.remove(&key, &mut touched);
                } else {
                    // We knew it was gone; others may wait for exactly this event.
                    touched.insert(Key::new(key.namespace, entry.owner));
                }
            }
        }
        touched
    }

    /// The answer to a write of our own.
    pub(crate) fn assume(&mut self, key: Key, entry: Entry<T>) {
        self.upsert(key, entry, true, &|_, _| false, &mut BTreeSet::new());
    }

    /// A delete of our own took the object away for good.
    pub(crate) fn bury(&mut self, key: &Key, uid: &str) {
        if self.objects.get(key).is_some_and(|held| held.entry.uid == uid) {
            self.remove(key, &mut BTreeSet::new());
        }
        self.mark(uid);
    }

    fn mark(&mut self, uid: &str) {
        if !self.tombstones.insert(uid.to_owned()) {
            return;
        }
        self.buried.push_back(uid.to_owned());
        if self.buried.len() > TOMBSTONES_MAX
            && let Some(oldest) = self.buried.pop_front()
        {
            self.tombstones.remove(&oldest);
        }
    }

    fn upsert(
        &mut self,
        key: Key,
        entry: Entry<T>,
        own: bool,
        matters: &impl Fn(&Entry<T>, &Entry<T>) -> bool,
        touched: &mut BTreeSet<Key>,
    ) {
        if self.tombstones.contains(&entry.uid) {
            return;
        }
        let owner = Key::new(key.namespace.as_str(), entry.owner.as_str());
        match self.objects.get_mut(&key) {
            Some(held) if held.entry.uid == entry.uid => {
                if is_older(&entry.resource_version, &held.entry.resource_version) {
                    return;
                }
                if matters(&held.entry, &entry) {
                    touched.insert(owner.clone());
                }
                if held.entry.owner != entry.owner {
                    let old = Key::new(key.namespace.as_str(), held.entry.owner.as_str());
                    touched.insert(old.clone());
                    unlink(&mut self.by_owner, &old, &key.name);
                }
                held.assumed = own.then_some(0);
                held.entry = entry;
            }
            // A late event about the predecessor of an object of our own making.
            Some(held) if is_older(&entry.resource_version, &held.entry.resource_version) => return,
            Some(_) | None => {
                touched.insert(owner.clone());
                self.objects.insert(key.clone(), Held { entry, assumed: own.then_some(0) });
            }
        }
        self.by_owner.entry(owner).or_default().insert(key.name);
    }

    fn remove(&mut self, key: &Key, touched: &mut BTreeSet<Key>) {
        if let Some(held) = self.objects.remove(key) {
            let owner = Key::new(key.namespace.as_str(), held.entry.owner.as_str());
            unlink(&mut self.by_owner, &owner, &key.name);
            touched.insert(owner);
        }
    }

    fn replace_scope(
        &mut self,
        scope: &str,
        list: BTreeMap<Key, Entry<T>>,
        matters: &impl Fn(&Entry<T>, &Entry<T>) -> bool,
        touched: &mut BTreeSet<Key>,
    ) {
        let newest = list.values().filter_map(|e| number(&e.resource_version)).max().unwrap_or(0);
        let in_scope = |key: &Key| scope.is_empty() || key.namespace == scope;
        let missing: Vec<Key> =
            self.objects.keys().filter(|k| in_scope(k) && !list.contains_key(*k)).cloned().collect();
        for key in missing {
            let Some(held) = self.objects.get_mut(&key) else { continue };
            // A list that was taken before our write does not show it yet. Believed once; a second list decides.
            let after_list = number(&held.entry.resource_version).is_some_and(|v| v > newest);
            match &mut held.assumed {
                Some(spared @ 0) if after_list => *spared = 1,
                Some(_) | None => self.remove(&key, touched),
            }
        }
        for (key, entry) in list {
            self.upsert(key, entry, false, matters, touched);
        }
        self.synced.insert(scope.to_owned());
    }
}

fn unlink(by_owner: &mut BTreeMap<Key, BTreeSet<String>>, owner: &Key, name: &str) {
    if let Some(names) = by_owner.get_mut(owner) {
        names.remove(name);
        if names.is_empty() {
            by_owner.remove(owner);
        }
    }
}

fn number(resource_version: &str) -> Option<u64> {
    resource_version.parse().ok()
}

fn is_older(candidate: &str, held: &str) -> bool {
    match (number(candidate), number(held)) {
        (Some(candidate), Some(held)) => candidate < held,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, uid: &str, version: u64, value: i32) -> Reduced<i32> {
        let entry = Entry {
            uid: uid.to_owned(),
            resource_version: version.to_string(),
            owner: "wordcount".to_owned(),
            value,
        };
        (Key::new("ns", name), entry)
    }

    fn differs(a: &Entry<i32>, b: &Entry<i32>) -> bool {
        a.value != b.value
    }

    fn listed(index: &mut Index<i32>, objects: Vec<Reduced<i32>>) -> usize {
        index.observe("ns", Event::Init, differs);
        for o in objects {
            index.observe("ns", Event::InitApply(o), differs);
        }
        index.observe("ns", Event::InitDone, differs).len()
    }

    fn values(index: &Index<i32>) -> Vec<(String, i32)> {
        index.of_owner(&Key::new("ns", "wordcount")).map(|(n, e)| (n.to_owned(), e.value)).collect()
    }

    fn applied(index: &mut Index<i32>, o: Reduced<i32>) -> usize {
        index.observe("ns", Event::Apply(o), differs).len()
    }

    #[test]
    fn synced_after_the_first_list_and_told_what_changed() {
        let mut index = Index::default();
        assert!(!index.is_synced("ns"));
        assert_eq!(listed(&mut index, vec![object("a", "1", 5, 1), object("b", "2", 6, 2)]), 1);
        assert!(index.is_synced("ns") && !index.is_synced("other"));
        assert_eq!(applied(&mut index, object("a", "1", 7, 1)), 0, "nothing that matters");
        assert_eq!(applied(&mut index, object("a", "1", 8, 9)), 1);
        assert_eq!(listed(&mut index, vec![object("b", "2", 9, 2)]), 1, "a is gone");
        assert_eq!(values(&index), [("b".to_owned(), 2)]);
    }

    #[test]
    fn our_own_write_is_seen_at_once_and_not_taken_back_by_older_events() {
        let mut index = Index::default();
        listed(&mut index, vec![object("a", "1", 5, 1)]);
        let (key, entry) = object("a", "1", 9, 3);
        index.assume(key, entry);
        assert_eq!(applied(&mut index, object("a", "1", 7, 2)), 0);
        assert_eq!(values(&index), [("a".to_owned(), 3)]);
        assert_eq!(applied(&mut index, object("a", "1", 9, 3)), 0, "confirmed, nothing new");
    }

    #[test]
    fn an_object_we_created_survives_a_list_taken_before_it_but_not_two() {
        let mut index = Index::default();
        listed(&mut index, vec![object("x", "9", 5, 0)]);
        let (key, entry) = object("a", "1", 8, 1);
        index.assume(key, entry);
        listed(&mut index, vec![object("x", "9", 5, 0)]);
        assert_eq!(values(&index).len(), 2);
        listed(&mut index, vec![object("x", "9", 5, 0)]);
        assert_eq!(values(&index), [("x".to_owned(), 0)]);
    }

    #[test]
    fn an_object_we_deleted_does_not_come_back_from_a_late_event() {
        let mut index = Index::default();
        listed(&mut index, vec![object("a", "1", 5, 1)]);
        index.bury(&Key::new("ns", "a"), "1");
        assert_eq!(applied(&mut index, object("a", "1", 6, 2)), 0);
        assert!(values(&index).is_empty());
        let told = index.observe("ns", Event::Delete(object("a", "1", 7, 2)), differs);
        assert_eq!(told.len(), 1, "whoever waits for the deletion is woken");
        assert_eq!(
            applied(&mut index, object("a", "2", 8, 4)),
            1,
            "a successor of the same name is another object"
        );
    }

    #[test]
    fn an_object_that_is_gone_does_not_come_back_from_the_late_answer_to_our_write() {
        let mut index = Index::default();
        listed(&mut index, vec![object("a", "1", 5, 1)]);
        index.observe("ns", Event::Delete(object("a", "1", 8, 1)), differs);
        // The answer to a DELETE in the foreground: the object as it was when that began.
        let (key, entry) = object("a", "1", 6, 1);
        index.assume(key, entry);
        assert!(values(&index).is_empty());
        let (key, entry) = object("a", "2", 9, 4);
        index.assume(key, entry);
        assert_eq!(values(&index), [("a".to_owned(), 4)]);
    }

    #[test]
    fn so_many_deletions_are_remembered_and_no_more() {
        let mut index = Index::default();
        listed(&mut index, vec![]);
        for n in 0..=TOMBSTONES_MAX {
            index.bury(&Key::new("ns", "a"), &format!("uid-{n}"));
            index.bury(&Key::new("ns", "a"), &format!("uid-{n}"));
        }
        assert_eq!((index.tombstones.len(), index.buried.len()), (TOMBSTONES_MAX, TOMBSTONES_MAX));
        assert_eq!(applied(&mut index, object("a", "uid-0", 6, 1)), 1);
        assert_eq!(applied(&mut index, object("b", "uid-1", 6, 1)), 0);
    }

    #[test]
    fn the_late_deletion_of_a_predecessor_leaves_the_successor() {
        let mut index = Index::default();
        listed(&mut index, vec![object("a", "1", 5, 1)]);
        let (key, entry) = object("a", "2", 9, 4);
        index.assume(key, entry);
        applied(&mut index, object("a", "1", 7, 2));
        index.observe("ns", Event::Delete(object("a", "1", 8, 2)), differs);
        assert_eq!(values(&index), [("a".to_owned(), 4)]);
    }
}
