//! The MVCC store: one revision counter, current objects per resource, and the history of changes.
//!
//! A write costs a map insertion and two queue pushes whatever the number of objects; watchers are woken by namespace.
//! Watchers hold a cursor into the history instead of a queue of their own: what bounds the history bounds them all,
//! and one that falls behind it is told 410. Snapshots of an old revision are rebuilt by undoing the history backwards.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::labels::Labels;
pub(crate) use crate::stored::{Stored, members};
use crate::waiting::{Interest, Waiting};

/// Index of a resource's table; versions of one resource share it.
pub(crate) type TableId = usize;

/// Key of an object: `namespace/name`, or `name` when cluster-scoped. Sorted bytewise, as etcd does.
pub(crate) type Key = Arc<str>;

pub(crate) fn key(namespace: &str, name: &str) -> Key {
    if namespace.is_empty() { Arc::from(name) } else { Arc::from([namespace, "/", name].concat()) }
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
    waiting: Waiting,
    /// Watchers that were woken and have not looked since: all up to this revision does not concern them.
    resumes: BTreeMap<u64, u64>,
    /// Revision of the last event the history of this table lost.
    dropped: u64,
    /// Its objects may be kept as text alone.
    is_packed: bool,
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
    /// The newest versions of packed tables, which have their trees still.
    recent: VecDeque<Arc<Stored>>,
    /// Most of these; None: all trees are kept.
    trees_max: Option<usize>,
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
            recent: VecDeque::new(),
            trees_max: None,
            to_wake: Vec::new(),
        }
    }

    /// The same objects, history and revision, shared; nobody waits for changes of the copy.
    pub(crate) fn copy(&self, limits: HistoryLimits) -> Store {
        let table = |t: &Table| Table {
            objects: t.objects.clone(),
            labels: t.labels.clone(),
            log: t.log.clone(),
            waiting: Waiting::default(),
            resumes: BTreeMap::new(),
            dropped: t.dropped,
            is_packed: t.is_packed,
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

    /// `is_packed`: nothing but clients reads its objects, so that they may be kept as text.
    pub(crate) fn add_table(&mut self, is_packed: bool) -> TableId {
        self.tables.push(Table { is_packed, ..Table::default() });
        self.tables.len() - 1
    }

    /// From now on no more than this many objects of packed tables are kept as trees.
    pub(crate) fn limit_trees(&mut self, max: Option<usize>) {
        self.trees_max = max;
    }

    fn stored(&mut self, table: TableId, revision: u64, value: Value) -> Arc<Stored> {
        if self.trees_max.is_none() || !self.tables[table].is_packed {
            return Arc::new(Stored::new(revision, value));
        }
        let stored = Arc::new(Stored::loose(revision, value));
        self.keep_recent(stored.clone());
        stored
    }

    fn keep_recent(&mut self, stored: Arc<Stored>) {
        self.recent.push_back(stored);
        while self.recent.len() > self.trees_max.unwrap_or(usize::MAX) {
            // One that nobody else has is gone with this.
            if let Some(oldest) = self.recent.pop_front().filter(|oldest| Arc::strong_count(oldest) > 1) {
                oldest.pack();
            }
        }
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
        start: &'a str,
        labels: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Option<impl Iterator<Item = &'a Arc<Stored>>> {
        let table = &self.tables[table];
        let keys = table.labels.with(namespace, labels)?;
        let keys = keys.into_iter().flat_map(move |keys| keys.from(start));
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
        let object = self.stored(table, revision, value);
        let t = &mut self.tables[table];
        let old =
            if removed { t.objects.remove(&key) } else { t.objects.insert(key.clone(), object.clone()) };
        let now = (!removed).then(|| object.value());
        let before = old.as_ref().map(|o| o.value());
        t.labels.change(&key, before.as_deref(), now.as_deref());
        let kind = match (&old, removed) {
            (_, true) => ChangeKind::Deleted,
            (Some(_), false) => ChangeKind::Modified,
            (None, false) => ChangeKind::Added,
        };
        if self.trees_max.is_some()
            && let Some(old) = &old
        {
            // Watchers and followers will look at what it was.
            old.unpack();
            self.recent.extend(t.is_packed.then(|| old.clone()));
        }
        let event = Arc::new(Event { revision, at, table, kind, key, object, old, actor });
        t.log.push_back(event.clone());
        self.log.push_back(event.clone());
        self.to_wake.extend(std::mem::take(&mut self.followers).into_values());
        for (id, waker) in t.waiting.concerned(&event.key, [before.as_deref(), now.as_deref()]) {
            t.resumes.insert(id, revision - 1);
            self.to_wake.push(waker);
        }
        self.compact(at);
        event
    }

    /// Puts an object back as it was stored under `revision`, without history.
    pub(crate) fn restore(&mut self, table: TableId, key: Key, revision: u64, value: Value) {
        let object = self.stored(table, revision, value);
        let t = &mut self.tables[table];
        let old = t.objects.insert(key.clone(), object.clone());
        t.labels.change(&key, old.as_ref().map(|o| o.value()).as_deref(), Some(&object.value()));
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
        after(&self.tables[table].log, revision)
    }

    /// Events of all tables after `revision`.
    pub(crate) fn all_after(&self, revision: u64) -> impl Iterator<Item = &Arc<Event>> {
        after(&self.log, revision)
    }

    /// Wakes `waker` at the next change of the namespace ("" for any) that is of interest. `id` is the waiter's own.
    pub(crate) fn wait(
        &mut self,
        table: TableId,
        namespace: &str,
        interest: &Interest,
        id: u64,
        waker: &Waker,
    ) {
        self.tables[table].waiting.add(namespace, interest, id, waker);
    }

    /// Ends the waiting. Answers up to where nothing concerns the waiter, whether it was woken or comes by itself: it
    /// does not go through what others did, and the history may have lost it.
    pub(crate) fn resume(
        &mut self,
        table: TableId,
        namespace: &str,
        interest: &Interest,
        id: u64,
    ) -> Option<u64> {
        let t = &mut self.tables[table];
        if t.waiting.remove(namespace, interest, id) {
            return Some(t.log.back().map_or(t.dropped, |e| e.revision));
        }
        t.resumes.remove(&id)
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
        let last = t.log.back().map_or(t.dropped, |e| e.revision);
        for (id, waker) in t.waiting.take_all() {
            t.resumes.insert(id, last);
            self.to_wake.push(waker);
        }
    }

    pub(crate) fn end_all_watches(&mut self) {
        (0..self.tables.len()).for_each(|table| self.end_watches(table));
    }
}

/// Most readers are a few events behind; only the others are worth a search.
fn after(log: &VecDeque<Arc<Event>>, revision: u64) -> impl Iterator<Item = &Arc<Event>> {
    const NEAR: usize = 8;
    let new = log.iter().rev().take(NEAR).take_while(|e| e.revision > revision).count();
    let from = if new < NEAR { log.len() - new } else { log.partition_point(|e| e.revision <= revision) };
    log.range(from..)
}
