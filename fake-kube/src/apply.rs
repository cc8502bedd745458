//! Carries out the writes of a step through the API server's in-process client.

use std::collections::BTreeMap;
use std::sync::Arc;

use fake_kube_apiserver::{ApiServer, LocalClient, PatchKind, Resource, Status};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::events::{Record, Recorder};
use crate::view::{Key, View, resource as r};
use crate::write::{EventSpec, Op, Write};

pub struct Applier {
    api: ApiServer,
    clients: BTreeMap<&'static str, LocalClient>,
    recorder: Recorder,
}

pub enum Applied {
    Done(Option<Arc<Value>>),
    /// The object changed, went, or is there already: the next sync sees it.
    Stale,
    Refused(String),
}

impl Applier {
    pub fn new(api: ApiServer, seed: u64) -> Applier {
        Applier { api, clients: BTreeMap::new(), recorder: Recorder::new(seed) }
    }

    /// The writers of a real cluster are few, so is this map.
    fn client(&mut self, actor: &'static str) -> &LocalClient {
        let api = &self.api;
        self.clients.entry(actor).or_insert_with(|| api.client(actor))
    }

    /// Makes a write. The object of a create or an update is used up.
    pub fn apply(&mut self, view: &View, write: &mut Write, now: Timestamp) -> Applied {
        if let Op::Event(spec) = &write.op {
            self.record(spec, now);
            return Applied::Done(None);
        }
        let resource = resource_of(view, &write.target);
        let Key { namespace, name, .. } = &write.target;
        let client = self.client(write.actor);
        let result = match &mut write.op {
            Op::Create(object) => client.create(&resource, namespace, object.take()).map(Some),
            Op::Update(object) => client.update(&resource, namespace, object.take()).map(Some),
            Op::UpdateStatus(object) => client.update_status(&resource, namespace, object.take()).map(Some),
            Op::MergePatch(body) => {
                client.patch(&resource, namespace, name, "", PatchKind::Merge, body).map(Some)
            }
            Op::Delete { policy, grace, uid } => {
                let mut options = json!({"kind": "DeleteOptions", "apiVersion": "v1"});
                if let Some(policy) = policy {
                    options["propagationPolicy"] = (*policy).into();
                }
                if let Some(grace) = grace {
                    options["gracePeriodSeconds"] = (*grace).into();
                }
                if let Some(uid) = uid {
                    options["preconditions"] = json!({"uid": uid});
                }
                client.delete(&resource, namespace, name, &options).map(Some)
            }
            Op::Bind { node } => client.bind(namespace, name, node).map(|()| None),
            Op::Finalize(object) => client.finalize_namespace(object).map(Some),
            Op::Event(_) => Ok(None),
        };
        match result {
            Ok(object) => Applied::Done(object),
            Err(status) => outcome(&write.op, status),
        }
    }

    fn record(&mut self, spec: &EventSpec, now: Timestamp) {
        let events = Resource::core(r::EVENTS);
        let namespace = spec.namespace();
        // A namespace that is going takes no events, and a lost event is nobody's error.
        match self.recorder.record(spec, now) {
            Record::New(object) => {
                if self.client(spec.component).create(&events, namespace, object).is_err() {
                    self.recorder.forget(spec);
                }
            }
            Record::Again { name, patch } => {
                let client = self.client(spec.component);
                if client.patch(&events, namespace, &name, "", PatchKind::Merge, &patch).is_err() {
                    // The stored one expired or went with its namespace.
                    self.recorder.forget(spec);
                    if let Record::New(object) = self.recorder.record(spec, now) {
                        let _ = self.client(spec.component).create(&events, namespace, object);
                    }
                }
            }
        }
    }
}

fn resource_of(view: &View, key: &Key) -> Resource {
    Resource::new(key.group(), view.version(&key.resource), key.plural())
}

fn outcome(op: &Op, status: Status) -> Applied {
    let known = match op {
        // The controller looks for the name first; only a race finds it taken.
        // A conflict: a webhook has not answered yet.
        Op::Create(_) => status.is_already_exists() || status.is_conflict(),
        _ => status.is_not_found() || status.is_conflict(),
    };
    if known { Applied::Stale } else { Applied::Refused(status.message) }
}
