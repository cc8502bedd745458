//! The state of a running cluster and one turn of it: changes in, steps, writes out, until nothing is due.
//! Synchronous and deterministic; `cluster` waits between the turns.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};

use fake_kube_apiserver::{ApiServer, Change, ChangeKind, Changes};
use jiff::Timestamp;
use serde_json::Value;

use crate::Controller;
use crate::apply::{Applied, Applier};
use crate::controllers::{Happened, Settings};
use crate::faults::{Faults, Once, PodSelector};
use crate::json::*;
use crate::kinds;
use crate::knobs::Knobs;
use crate::kubelet::Kubelet;
use crate::nodes::{self, Lost};
use crate::programs::Programs;
use crate::view::{Key, KindInfo, Refusal, View, resource as r};
use crate::write::{Op, Step, Write};

/// Syncs of one key within a second before it has to wait: a controller that fights somebody must not spin.
const SYNCS_PER_SECOND_MAX: u32 = 200;
/// Syncs of one turn before other tasks get their share.
const SYNCS_PER_TURN_MAX: u32 = 20_000;
/// Writes nobody should see refused; the first ones are kept for `Cluster::complaints`.
const COMPLAINTS_MAX: usize = 100;

pub struct Engine {
    pub view: View,
    pub kubelet: Kubelet,
    pub faults: Faults,
    pub knobs: Knobs,
    pub lost: Lost,
    pub complaints: Vec<String>,
    pub strikes: VecDeque<(PodSelector, Once)>,
    /// Rotates over the endpoints of Services.
    pub dials: usize,
    pub changes: Changes,
    api: ApiServer,
    applier: Applier,
    settings: Settings,
    queue: Queue,
    second: i64,
    syncs: BTreeMap<(Controller, Key), u32>,
}

/// What is due when; one entry per controller and key.
#[derive(Default)]
struct Queue {
    by_time: BTreeSet<(Timestamp, Controller, Key)>,
    due: BTreeMap<(Controller, Key), Timestamp>,
}

impl Queue {
    fn add(&mut self, controller: Controller, key: Key, at: Timestamp) {
        let slot = (controller, key);
        match self.due.get(&slot) {
            Some(earlier) if *earlier <= at => return,
            Some(later) => {
                self.by_time.remove(&(*later, slot.0, slot.1.clone()));
            }
            None => {}
        }
        self.by_time.insert((at, slot.0, slot.1.clone()));
        self.due.insert(slot, at);
    }

    fn pop(&mut self, now: Timestamp) -> Option<(Controller, Key)> {
        if self.next().is_none_or(|t| t > now) {
            return None;
        }
        let (_, controller, key) = self.by_time.pop_first()?;
        self.due.remove(&(controller, key.clone()));
        Some((controller, key))
    }

    fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(t, _, _)| *t)
    }
}

impl Engine {
    pub fn new(api: ApiServer, knobs: Knobs, programs: Arc<dyn Programs>) -> Engine {
        let settings = Settings { root_ca: knobs.root_ca.clone() };
        let changes = api.changes();
        let mut engine = Engine {
            view: View::default(),
            kubelet: Kubelet::new(knobs.clone(), programs),
            faults: Faults::default(),
            lost: Lost::new(),
            complaints: Vec::new(),
            strikes: VecDeque::new(),
            dials: 0,
            changes,
            applier: Applier::new(api.clone(), knobs.seed),
            api,
            settings,
            queue: Queue::default(),
            second: i64::MIN,
            syncs: BTreeMap::new(),
            knobs,
        };
        engine.relist();
        engine.add_nodes();
        engine.furnish();
        engine
    }

    fn is_on(&self, controller: Controller) -> bool {
        self.knobs.controllers_on.contains(&controller)
    }

    /// Fills the view from lists: at the start, and when history was lost to compaction.
    fn relist(&mut self) {
        let now = self.api.now();
        let mut view = View::default();
        view.refusals = std::mem::take(&mut self.view.refusals);
        self.view = view;
        let client = self.api.client("kube-controller-manager");
        for served in client.resources() {
            let resource = kinds::qualified(&served.resource.group, &served.resource.plural);
            self.view.learn_version(&resource.as_str().into(), &served.resource.version);
            let info = KindInfo { resource: resource.clone(), namespaced: served.namespaced };
            self.view.learn_kind(&served.resource.group, &served.kind, info);
            // A resource that went since is empty.
            for object in client.list(&served.resource, "", "").unwrap_or_default() {
                let key = Key::of(&resource, &object);
                self.happened(key, object, None, false, now);
            }
        }
    }

    fn add_nodes(&mut self) {
        if !self.is_on(Controller::Kubelet) {
            return;
        }
        let now = self.api.now();
        for (i, spec) in self.knobs.nodes.clone().iter().enumerate() {
            if let Err(what) = nodes::check(spec) {
                self.complain(what);
            }
            if self.view.get(r::NODES, "", &spec.name).is_none() {
                let node = nodes::object(spec, i, now);
                let status = node["status"].clone();
                let mut write = Write::create("kubelet", r::NODES, node);
                if let Applied::Done(Some(stored)) = self.applier.apply(&self.view, &mut write, now) {
                    let mut stored = Value::clone(&stored);
                    stored["status"] = status;
                    self.carry_out(&mut Write::update_status("kubelet", r::NODES, stored), now);
                }
            }
        }
    }

    fn furnish(&mut self) {
        if !self.knobs.furnished {
            return;
        }
        let now = self.api.now();
        for (resource, object) in crate::furniture::all() {
            if self.view.seen(&Key::new(resource, "", name(&object))).is_none() {
                self.carry_out(&mut Write::create("system:apiserver", resource, object), now);
            }
        }
    }

    /// Waits for a change without taking one: true when there is one.
    pub fn poll_changes(&mut self, cx: &mut Context<'_>) -> bool {
        match self.changes.poll_next(cx) {
            Poll::Ready(change) => {
                let now = self.api.now();
                self.note(change, now);
                true
            }
            Poll::Pending => false,
        }
    }

    /// Works until nothing is due; tells when the next thing is.
    pub fn turn(&mut self) -> Option<Timestamp> {
        let now = self.api.now();
        self.drain(now);
        self.strike(now);
        for _ in 0..SYNCS_PER_TURN_MAX {
            let Some((controller, key)) = self.queue.pop(now) else { break };
            if self.is_hot(controller, &key, now) {
                self.queue.add(controller, key, after_secs(now, 1));
                continue;
            }
            self.sync(controller, &key, now);
        }
        self.queue.next()
    }

    fn is_hot(&mut self, controller: Controller, key: &Key, now: Timestamp) -> bool {
        if now.as_second() != self.second {
            self.second = now.as_second();
            self.syncs.clear();
        }
        let count = self.syncs.entry((controller, key.clone())).or_default();
        *count += 1;
        if *count == SYNCS_PER_SECOND_MAX {
            let what = format!("{} looked {count} times within a second at {key:?}", controller.name());
            self.complain(what);
        }
        self.syncs[&(controller, key.clone())] >= SYNCS_PER_SECOND_MAX
    }

    fn complain(&mut self, what: String) {
        if self.complaints.len() < COMPLAINTS_MAX {
            self.complaints.push(what);
        }
    }

    fn drain(&mut self, now: Timestamp) {
        if self.changes.lost() {
            self.relist();
        }
        while let Some(change) = self.changes.try_next() {
            self.note(change, now);
        }
        if self.changes.lost() {
            self.relist();
        }
    }

    fn note(&mut self, change: Change, now: Timestamp) {
        let resource: Arc<str> = kinds::qualified(&change.resource.group, &change.resource.plural).into();
        self.view.learn_version(&resource, &change.resource.version);
        let key = Key {
            resource,
            namespace: namespace(&change.object).to_owned(),
            name: name(&change.object).to_owned(),
        };
        self.happened(key, change.object, change.old, matches!(change.kind, ChangeKind::Deleted), now);
    }

    fn happened(
        &mut self,
        key: Key,
        object: Arc<Value>,
        old: Option<Arc<Value>>,
        deleted: bool,
        now: Timestamp,
    ) {
        if &*key.resource == r::CRDS
            && let Some((group, version, kind, info)) = kinds::defined(&object)
        {
            self.view.learn_version(&info.resource.as_str().into(), &version);
            self.view.learn_kind(&group, &kind, info);
        }
        // Events concern no controller but the namespace's, and they are the most frequent objects.
        let old = old.or_else(|| self.view.seen(&key));
        if deleted {
            self.view.remove(&key);
        } else {
            // A server that keeps texts does so because trees are large: they are not kept here either.
            if self.api.keeps_all_trees() || r::is_read(&key.resource) {
                self.view.put(key.clone(), object.clone());
            } else {
                self.view.put_outline(key.clone(), &object);
            }
        }
        let h = Happened { key: &key, object: &object, old: old.as_ref(), deleted };
        for controller in self.knobs.controllers_on.clone() {
            if &*key.resource == r::EVENTS && controller != Controller::Namespace {
                continue;
            }
            for woken in controller.wakes(&h, &self.view) {
                let at = self.look_at(controller, &woken, now);
                self.queue.add(controller, woken, at);
            }
        }
    }

    /// When a controller looks at a change: its delay, drawn per object.
    fn look_at(&self, controller: Controller, key: &Key, now: Timestamp) -> Timestamp {
        let delay = match controller {
            Controller::Scheduler => &self.knobs.pod_schedule,
            Controller::Garbage => &self.knobs.gc,
            Controller::Kubelet => return now,
            _ => &self.knobs.controllers,
        };
        let what = format!("{}/{}/{}/{}", controller.name(), key.resource, key.namespace, key.name);
        delay.after(now, self.knobs.seed, &what)
    }

    fn strike(&mut self, now: Timestamp) {
        while let Some((selector, fault)) = self.strikes.pop_front() {
            let keys: Vec<Key> = self
                .view
                .list(r::PODS)
                .filter(|(_, p)| selector.matches(p))
                .map(|(k, _)| k.clone())
                .collect();
            for key in keys {
                let step = self.kubelet.strike(&self.view, &key, &self.faults, &fault, now);
                self.finish(Controller::Kubelet, &key, step, now);
            }
        }
    }

    fn sync(&mut self, controller: Controller, key: &Key, now: Timestamp) {
        let step = match controller {
            Controller::Scheduler => crate::scheduler::sync(&self.view, key, &self.faults, now),
            Controller::Kubelet => self.kubelet.sync(&self.view, key, &self.faults, now),
            Controller::NodeLifecycle => nodes::sync(&self.view, key, &self.lost, now),
            pure => pure.sync(&self.view, key, now, &self.settings).unwrap_or_default(),
        };
        self.finish(controller, key, step, now);
    }

    fn finish(&mut self, controller: Controller, key: &Key, step: Step, now: Timestamp) {
        let mut refused: Option<String> = None;
        for mut write in step.writes {
            let owner = write.on_refusal.as_ref().map(|o| o.owner_uid.clone());
            if owner.is_some() && owner == refused {
                continue;
            }
            match self.carry_out(&mut write, now) {
                Applied::Done(_) => {
                    if let Some(owner) = owner {
                        self.view.refusals.remove(&owner);
                    }
                }
                // Somebody was faster. The change is in the history: look again.
                Applied::Stale => {
                    self.queue.add(controller, key.clone(), after(now, jiff::SignedDuration::from_millis(1)))
                }
                Applied::Refused(message) => {
                    self.note_refusal(&write, message, now);
                    refused = owner;
                    self.queue.add(controller, key.clone(), now);
                }
            }
        }
        if let Some(due) = step.due {
            self.queue.add(controller, key.clone(), due);
        }
        self.drain(now);
    }

    fn carry_out(&mut self, write: &mut Write, now: Timestamp) -> Applied {
        let applied = self.applier.apply(&self.view, write, now);
        if let (Applied::Done(object), Some(event)) = (&applied, &write.on_ok) {
            let mut event = event.clone();
            if let Some(object) = object {
                event.message = event.message.replace("{name}", name(object));
            }
            self.applier.apply(&self.view, &mut Write::event(event), now);
        }
        applied
    }

    fn note_refusal(&mut self, write: &Write, message: String, now: Timestamp) {
        let Some(on_refusal) = &write.on_refusal else {
            let what = format!("{} {}: {message}", op_name(&write.op), write.target.name);
            self.complain(what);
            return;
        };
        let mut event = on_refusal.event.clone();
        event.message = event.message.replace("{error}", &message);
        self.applier.apply(&self.view, &mut Write::event(event), now);
        let count = self.view.refusals.get(&on_refusal.owner_uid).map_or(1, |r| r.count + 1);
        let refusal = Refusal { reason: on_refusal.reason, message, since: now, count };
        self.view.refusals.insert(on_refusal.owner_uid.clone(), refusal);
    }

    /// Everything that depends on faults is looked at again.
    pub fn wake_pods(&mut self) {
        let now = self.api.now();
        let keys: Vec<Key> = self.view.list(r::PODS).map(|(k, _)| k.clone()).collect();
        for key in keys {
            for controller in [Controller::Kubelet, Controller::Scheduler] {
                if self.is_on(controller) {
                    self.queue.add(controller, key.clone(), now);
                }
            }
        }
    }

    pub fn wake(&mut self, controller: Controller, key: Key) {
        if self.is_on(controller) {
            let now = self.api.now();
            self.queue.add(controller, key, now);
        }
    }

    pub fn now(&self) -> Timestamp {
        self.api.now()
    }
}

fn op_name(op: &Op) -> &'static str {
    match op {
        Op::Create(_) => "create",
        Op::Update(_) => "update",
        Op::UpdateStatus(_) => "update status of",
        Op::MergePatch(_) => "patch",
        Op::Delete { .. } => "delete",
        Op::Bind { .. } => "bind",
        Op::Finalize(_) => "finalize",
        Op::Event(_) => "record event on",
    }
}
