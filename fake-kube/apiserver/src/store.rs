//! The MVCC store: one revision counter, current objects per resource, and the history of changes.
//!
//! A write costs a map insertion and two queue pushes whatever the number of objects; watchers are woken by namespace.
//! Watchers hold a cursor into the history instead of a queue of their own: what bounds the history bounds them all,
//! and one that falls behind it is told 410. Snapshots of an old revision are rebuilt by undoing the history backwards.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::labels::Labels;

/// Index of a resource's table; versions of one resource share it.
pub(crate) type TableId = usize;

/// Key of an object: `namespace/name`, or `name` when cluster-scoped. Sorted bytewise, as etcd does.
pub(crate) type Key = Arc<str>;

pub(crate) fn key(namespace: &str, name: &str) -> Key {
    if namespace.is_empty() { Arc::from(name) } else { Arc::from(format!("{namespace}/{name}")) }
}

/// How much history is kept; both bounds hold.
#[derive(Clone, Copy, Debug)]
pub struct HistoryLimits {
    pub events: usize,
    pub age: SignedDuration,
}

impl Default for HistoryLimits {
    /// etcd compacts after five minutes; the count bounds a burst within that time.
    fn default() -> HistoryLimits {
        HistoryLimits { events: 50_000, age: SignedDuration::from_mins(5) }
    }
}

/// One stored version of an object.
#[derive(Debug)]
pub struct Stored {
    pub revision: u64,
    pub value: Arc<Value>,
    /// JSON of the object without its apiVersion and kind, made at first use and shared by all readers.
    body: OnceLock<Bytes>,
}

impl Stored {
    fn new(revision: u64, value: Value) -> Stored {
        Stored { revision, value: Arc::new(value), body: OnceLock::new() }
    }

    /// The members after apiVersion and kind, serialised: `"metadata":{..},..` without the outer braces.
    pub(crate) fn members(&self) -> &Bytes {
        self.body.get_or_init(|| Bytes::from(members(&self.value)))
    }
}

/// Serialises an object's members other than apiVersion and kind, without the braces.
pub(crate) fn members(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    for (k, v) in value.as_object().into_iter().flatten().filter(|(k, _)| *k != "apiVersion" && *k != "kind")
    {
        if !out.is_empty() {
            out.push(b',');
        }
        // Writing JSON values into memory cannot fail.
        let _ = serde_json::to_writer(&mut out, k);
        out.push(b':');
        let _ = serde_json::to_writer(&mut out, v);
    }
    out
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Added,
    Modified,
    Deleted,
}

/// One entry of the history.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) revision: u64,
    pub(crate) at: Timestamp,
    pub(crate) table: TableId,
    pub(crate) kind: ChangeKind,
    pub(crate) key: Key,
    /// The new state; for a deletion the last state under the revision of the deletion.
    pub(crate) object: Arc<Stored>,
    pub(crate) old: Option<Arc<Stored>>,
    pub(crate) actor: Arc<str>,
}

#[derive(Default)]
struct Table {
    objects: BTreeMap<Key, Arc<Stored>>,
    labels: Labels,
    log: VecDeque<Arc<Event>>,
    /// Waiting watchers: by namespace, under "" those of all namespaces.
    waiting: BTreeMap<String, BTreeMap<u64, Waker>>,
    /// Revision of the last event the history of this table lost.
    dropped: u64,
    /// Raised when every watch of the resource must end (schema change, removal).
    epoch: u64,
}

pub(crate) struct Store {
    revision: u64,
    compacted: u64,
    /// Where the last explicit compaction put it.
    floor: u64,
    limits: HistoryLimits,
    tables: Vec<Table>,
    log: VecDeque<Arc<Event>>,
    /// Waiting readers of the whole history.
    followers: BTreeMap<u64, Waker>,
    waiters: u64,
    /// Collected under the lock, woken after it.
    pub(crate) to_wake: Vec<Waker>,
}

impl Store {
    pub(crate) fn new(limits: HistoryLimits) -> Store {
        // Revision 1 is taken, so that a list of an empty store has a usable version.
        Store {
            revision: 1,
            compacted: 0,
            floor: 0,
            limits,
            tables: Vec::new(),
            log: VecDeque::new(),
            followers: BTreeMap::new(),
            waiters: 0,
            to_wake: Vec::new(),
        }
    }

    /// The same objects, history and revision, shared; nobody waits for changes of the copy.
    pub(crate) fn copy(&self, limits: HistoryLimits) -> Store {
        let table = |t: &Table| Table {
            objects: t.objects.clone(),
            labels: t.labels.clone(),
            log: t.log.clone(),
            waiting: BTreeMap::new(),
            dropped: t.dropped,
            epoch: t.epoch,
        };
        Store {
            revision: self.revision,
            compacted: self.compacted,
            floor: self.floor,
            limits,
            tables: self.tables.iter().map(table).collect(),
            log: self.log.clone(),
            ..Store::new(limits)
        }
    }

    pub(crate) fn add_table(&mut self) -> TableId {
        self.tables.push(Table::default());
        self.tables.len() - 1
    }

    pub(crate) fn limits(&self) -> HistoryLimits {
        self.limits
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// The newest revision whose history is gone.
    pub(crate) fn compacted(&self) -> u64 {
        self.compacted
    }

    pub(crate) fn get(&self, table: TableId, key: &str) -> Option<&Arc<Stored>> {
        self.tables[table].objects.get(key)
    }

    pub(crate) fn is_empty(&self, table: TableId) -> bool {
        self.tables[table].objects.is_empty()
    }

    /// Objects in key order whose key starts with `prefix`, from `start` on.
    pub(crate) fn range<'a>(
        &'a self,
        table: TableId,
        prefix: &'a str,
        start: &str,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Stored>)> {
        let from: Key = Arc::from(if start > prefix { start } else { prefix });
        self.tables[table].objects.range(from..).take_while(move |(k, _)| k.starts_with(prefix))
    }

    /// As [`Store::range`], without objects of the namespace that lack one of these labels. Nothing without labels.
    pub(crate) fn labelled<'a>(
        &'a self,
        table: TableId,
        namespace: &str,
        start: &str,
        labels: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Option<impl Iterator<Item = &'a Arc<Stored>>> {
        let table = &self.tables[table];
        let keys = table.labels.with(namespace, labels)?;
        let from: Key = Arc::from(start);
        let keys = keys.into_iter().flat_map(move |keys| keys.range(from.clone()..));
        Some(keys.filter_map(|key| table.objects.get(key)))
    }

    /// What differed at `revision` from now: the state then, or None where the object did not exist.
    fn undo(&self, table: TableId, revision: u64) -> BTreeMap<Key, Option<Arc<Stored>>> {
        let mut out = BTreeMap::new();
        for e in self.tables[table].log.iter().rev().take_while(|e| e.revision > revision) {
            out.insert(e.key.clone(), e.old.clone());
        }
        out
    }

    pub(crate) fn get_at(&self, table: TableId, key: &str, revision: u64) -> Option<Arc<Stored>> {
        match self.undo(table, revision).remove(key) {
            Some(then) => then,
            None => self.get(table, key).cloned(),
        }
    }

    /// The snapshot at `revision`, as [`Store::range`].
    pub(crate) fn range_at(
        &self,
        table: TableId,
        prefix: &str,
        start: &str,
        revision: u64,
    ) -> Vec<Arc<Stored>> {
        let undo = self.undo(table, revision);
        let mut all: BTreeMap<Key, Arc<Stored>> =
            self.range(table, prefix, start).map(|(k, s)| (k.clone(), s.clone())).collect();
        for (k, then) in undo {
            if !k.starts_with(prefix) || &*k < start {
                continue;
            }
            match then {
                Some(s) => all.insert(k, s),
                None => all.remove(&k),
            };
        }
        all.into_values().collect()
    }

    /// Stores a new state (`None`: removes) under the next revision and records it.
    pub(crate) fn write(
        &mut self,
        table: TableId,
        key: Key,
        mut value: Value,
        removed: bool,
        at: Timestamp,
        actor: Arc<str>,
    ) -> Arc<Event> {
        self.revision += 1;
        let revision = self.revision;
        crate::meta::set(&mut value, "resourceVersion", Value::String(revision.to_string()));
        let object = Arc::new(Stored::new(revision, value));
        let t = &mut self.tables[table];
        let old =
            if removed { t.objects.remove(&key) } else { t.objects.insert(key.clone(), object.clone()) };
        t.labels.change(&key, old.as_ref().map(|o| &*o.value), (!removed).then_some(&*object.value));
        let kind = match (&old, removed) {
            (_, true) => ChangeKind::Deleted,
            (Some(_), false) => ChangeKind::Modified,
            (None, false) => ChangeKind::Added,
        };
        let event = Arc::new(Event { revision, at, table, kind, key, object, old, actor });
        t.log.push_back(event.clone());
        self.log.push_back(event.clone());
        let namespace = event.key.split_once('/').map_or("", |(ns, _)| ns);
        self.to_wake.extend(std::mem::take(&mut self.followers).into_values());
        for scope in ["", namespace] {
            if let Some(wakers) = t.waiting.remove(scope) {
                self.to_wake.extend(wakers.into_values());
            }
        }
        self.compact(at);
        event
    }

    /// Puts an object back as it was stored under `revision`, without history.
    pub(crate) fn restore(&mut self, table: TableId, key: Key, revision: u64, value: Value) {
        let object = Arc::new(Stored::new(revision, value));
        let t = &mut self.tables[table];
        let old = t.objects.insert(key.clone(), object.clone());
        t.labels.change(&key, old.as_ref().map(|o| &*o.value), Some(&*object.value));
    }

    /// Goes on after this revision; what was before is compacted.
    pub(crate) fn continue_from(&mut self, revision: u64) {
        self.revision = self.revision.max(revision);
        (self.compacted, self.floor) = (self.revision, self.revision);
    }

    /// Drops history beyond the limits.
    pub(crate) fn compact(&mut self, now: Timestamp) {
        while let Some(first) = self.log.front() {
            let old = now.duration_since(first.at) > self.limits.age;
            if !old && self.log.len() <= self.limits.events {
                break;
            }
            self.drop_first();
        }
    }

    /// Drops all history up to and including `revision`.
    pub(crate) fn compact_to(&mut self, revision: u64) {
        while self.log.front().is_some_and(|e| e.revision <= revision) {
            self.drop_first();
        }
        self.compacted = self.compacted.max(revision.min(self.revision));
        self.floor = self.compacted;
    }

    /// A running watch of the table that has not seen this revision has lost events.
    pub(crate) fn dropped(&self, table: TableId) -> u64 {
        self.tables[table].dropped
    }

    /// A new watch of the table can start at this revision or later. A resource nobody changed keeps old versions
    /// watchable, as a watch cache does, until the store is compacted explicitly.
    pub(crate) fn oldest_watch(&self, table: TableId) -> u64 {
        self.tables[table].dropped.max(self.floor)
    }

    fn drop_first(&mut self) {
        if let Some(e) = self.log.pop_front() {
            self.compacted = e.revision;
            self.tables[e.table].log.pop_front();
            self.tables[e.table].dropped = e.revision;
        }
    }

    /// The first event of a table after `revision`.
    pub(crate) fn after(&self, table: TableId, revision: u64) -> impl Iterator<Item = &Arc<Event>> {
        let log = &self.tables[table].log;
        let from = log.partition_point(|e| e.revision <= revision);
        log.range(from..)
    }

    /// Events of all tables after `revision`.
    pub(crate) fn all_after(&self, revision: u64) -> impl Iterator<Item = &Arc<Event>> {
        let from = self.log.partition_point(|e| e.revision <= revision);
        self.log.range(from..)
    }

    /// Wakes `waker` at the next change in the namespace ("" for any). `id` is the waiter's own.
    pub(crate) fn wait(&mut self, table: TableId, namespace: &str, id: u64, waker: &Waker) {
        self.tables[table].waiting.entry(namespace.to_owned()).or_default().insert(id, waker.clone());
    }

    pub(crate) fn forget(&mut self, table: TableId, namespace: &str, id: u64) {
        let waiting = &mut self.tables[table].waiting;
        if let Some(list) = waiting.get_mut(namespace) {
            list.remove(&id);
            if list.is_empty() {
                waiting.remove(namespace);
            }
        }
    }

    pub(crate) fn follow(&mut self, id: u64, waker: &Waker) {
        self.followers.insert(id, waker.clone());
    }

    pub(crate) fn unfollow(&mut self, id: u64) {
        self.followers.remove(&id);
    }

    /// A number no other waiter has.
    pub(crate) fn waiter_id(&mut self) -> u64 {
        self.waiters += 1;
        self.waiters
    }

    pub(crate) fn epoch(&self, table: TableId) -> u64 {
        self.tables[table].epoch
    }

    /// Ends every watch of a table.
    pub(crate) fn end_watches(&mut self, table: TableId) {
        let t = &mut self.tables[table];
        t.epoch += 1;
        for wakers in std::mem::take(&mut t.waiting).into_values() {
            self.to_wake.extend(wakers.into_values());
        }
    }

    pub(crate) fn end_all_watches(&mut self) {
        (0..self.tables.len()).for_each(|table| self.end_watches(table));
    }
}
