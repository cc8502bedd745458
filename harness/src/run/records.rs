//! What counting checks look at: requests to the API server, writes by whoever, and the states objects went through.
//! Ground truth from the server, kept for the length of a run. Leaves out: Flink's calls, which the network keeps.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drey_language::scenario::ObjectRef;
use fake_kube_apiserver::{Change, ChangeKind, RequestInfo, RequestRecord, Resource};
use serde_json::Value;

use super::rights::{Right, rights};
use crate::world::World;
use crate::world::gate::is_write;
use crate::world::kinds;

/// A request to the API server as it ended.
#[derive(Clone, Debug)]
pub struct ApiCall {
    pub info: RequestInfo,
    /// HTTP status; 0 when there was no answer.
    pub code: u16,
}

/// A write that was carried out. One of a controller inside the server has no request: its verb is what it did.
#[derive(Clone, Debug)]
pub struct Write {
    pub actor: String,
    pub verb: String,
    pub group: String,
    /// Plural.
    pub resource: String,
    pub namespace: String,
    pub name: String,
    pub subresource: String,
    pub uid: String,
    revision: u64,
    has_request: bool,
}

/// A state of an object; shared with the server's own history.
#[derive(Clone, Debug)]
pub struct State {
    pub resource: Resource,
    pub object: Arc<Value>,
}

/// How much there was of everything at some moment: checks that look `since` then begin here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    pub api: usize,
    pub writes: usize,
    pub states: usize,
    pub flink: usize,
}

/// Cheap to clone.
#[derive(Clone, Default)]
pub struct Records(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    calls: Vec<ApiCall>,
    writes: Vec<Write>,
    states: Vec<State>,
}

impl Records {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn watch(&self, world: &World) {
        let records = self.clone();
        world.watcher.on_change(move |change| records.see(change));
        let records = self.clone();
        world.watcher.on_request(move |record| records.hear(record));
    }

    /// Now; `flink` is how many calls the network has kept.
    pub fn mark(&self, flink: usize) -> Mark {
        let inner = self.lock();
        Mark { api: inner.calls.len(), writes: inner.writes.len(), states: inner.states.len(), flink }
    }

    pub fn count_calls(&self, since: Mark, fits: impl Fn(&ApiCall) -> bool) -> u64 {
        self.lock().calls[since.api..].iter().filter(|call| fits(call)).count() as u64
    }

    /// What the operator's requests so far needed.
    pub fn rights(&self) -> BTreeSet<Right> {
        rights(self.lock().calls.iter().map(|call| &call.info))
    }

    pub fn writes(&self, since: Mark, fits: impl Fn(&Write) -> bool) -> Vec<Write> {
        self.lock().writes[since.writes..].iter().filter(|write| fits(write)).cloned().collect()
    }

    /// States an object was given, oldest first.
    pub fn states(&self, since: Mark, of: &ObjectRef, namespace: &str) -> Vec<Arc<Value>> {
        let Some(info) = kinds::find(&of.kind) else { return Vec::new() };
        let is_it = |state: &&State| {
            let metadata = &state.object["metadata"];
            state.resource.plural == info.plural
                && state.resource.group == info.group
                && metadata["name"].as_str().is_some_and(|name| of.name_fits(name))
                && (!info.is_namespaced || metadata["namespace"] == *namespace)
        };
        self.lock().states[since.states..].iter().filter(is_it).map(|state| state.object.clone()).collect()
    }

    /// States of one object since the beginning, oldest first.
    pub fn all_states(&self, info: &kinds::KindInfo, namespace: &str, name: &str) -> Vec<Arc<Value>> {
        let is_it = |state: &&State| {
            let metadata = &state.object["metadata"];
            state.resource.plural == info.plural
                && state.resource.group == info.group
                && metadata["name"] == *name
                && (!info.is_namespaced || metadata["namespace"] == *namespace)
        };
        self.lock().states.iter().filter(is_it).map(|state| state.object.clone()).collect()
    }

    fn see(&self, change: &Change) {
        let text = |key: &str| change.object["metadata"][key].as_str().unwrap_or_default().to_owned();
        let verb = match change.kind {
            ChangeKind::Added => "create",
            ChangeKind::Modified => "update",
            ChangeKind::Deleted => "delete",
        };
        let mut inner = self.lock();
        if change.kind != ChangeKind::Deleted {
            inner.states.push(State { resource: change.resource.clone(), object: change.object.clone() });
        }
        if let Some(write) = inner.told_before(change) {
            (write.name, write.uid) = (text("name"), text("uid"));
            return;
        }
        inner.writes.push(Write {
            actor: change.actor.to_string(),
            verb: verb.to_owned(),
            group: change.resource.group.clone(),
            resource: change.resource.plural.clone(),
            namespace: text("namespace"),
            name: text("name"),
            subresource: String::new(),
            uid: text("uid"),
            revision: change.revision,
            has_request: false,
        });
    }

    fn hear(&self, record: &RequestRecord) {
        let info = &record.info;
        let mut inner = self.lock();
        inner.calls.push(ApiCall { info: info.clone(), code: record.code });
        let is_carried_out = record.code == 0 || (200..300).contains(&record.code);
        if !is_write(info) || record.dry_run || !is_carried_out {
            return;
        }
        let mut has_changed = false;
        for write in inner.writes.iter_mut().rev().take(REACH) {
            let is_its = !write.has_request
                && write.revision <= record.revision
                && write.actor == info.user
                && write.group == info.group
                && write.resource == info.resource
                && (info.name.is_empty() || write.name == info.name);
            if is_its {
                write.verb.clone_from(&info.verb);
                write.subresource.clone_from(&info.subresource);
                write.has_request = true;
                has_changed = true;
            }
        }
        // A write that left the object as it was is one all the same. Without an answer nobody knows of it.
        if !has_changed && record.code != 0 {
            let write = inner.unchanged(record);
            inner.writes.push(write);
        }
    }
}

/// How far back the changes of a request may lie: what controllers did meanwhile.
const REACH: usize = 256;

impl Inner {
    /// On a cluster that others run the answer to a write can arrive before the change it made.
    fn told_before(&mut self, change: &Change) -> Option<&mut Write> {
        let is_its = |write: &&mut Write| {
            write.has_request
                && write.revision == change.revision
                && (&write.group, &write.resource) == (&change.resource.group, &change.resource.plural)
        };
        self.writes.iter_mut().rev().take(REACH).find(is_its)
    }

    fn unchanged(&self, record: &RequestRecord) -> Write {
        let info = &record.info;
        let is_same = |write: &&Write| {
            (&write.group, &write.resource, &write.namespace, &write.name)
                == (&info.group, &info.resource, &info.namespace, &info.name)
        };
        Write {
            actor: info.user.clone(),
            verb: info.verb.clone(),
            group: info.group.clone(),
            resource: info.resource.clone(),
            namespace: info.namespace.clone(),
            name: info.name.clone(),
            subresource: info.subresource.clone(),
            uid: self.writes.iter().rev().find(is_same).map(|write| write.uid.clone()).unwrap_or_default(),
            revision: record.revision,
            has_request: true,
        }
    }
}
