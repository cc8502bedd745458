//! What is asked of any operator, whatever its resources are about, judged by what changes and what it asks of the API
//! server:
//!
//! 1. What it made for resources goes with the last of them.
//! 2. A resource that is deleted is let go of.
//! 3. It neither writes one object over and over nor repeats a write that fails without a pause.
//! 4. `status.observedGeneration` is never ahead of the resource and never goes back.
//!
//! 1 and 2 are judged at the end of a run, and only when there was time to do it: a scenario that ends with its last
//! deletion is not about what is left. 1 knows what the operator made by who asked for it; what it made before there was a
//! resource is its own affair, and what has an owner is the garbage collector's.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fake_kube_apiserver::{Change, ChangeKind, RequestRecord};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::world::gate::OPERATOR_USER;
use crate::world::{ScenarioClock, World};

/// After the last resource has gone, what was made for it may still be on its way.
const LEFT_AFTER: SignedDuration = SignedDuration::from_secs(10);
/// A resource may wait for what it owns; for longer than this nothing of a toy or of Flink takes.
const LEAVING_MAX: SignedDuration = SignedDuration::from_mins(10);
/// Writes are counted over so long.
const WINDOW: SignedDuration = SignedDuration::from_secs(10);
/// Of one object, that did something. An upgrade writes a status some ten times.
const WRITES_MAX: usize = 60;
/// Of one object, that were refused. Back-offs from five milliseconds on (client-go) come to eleven.
const REFUSALS_MAX: usize = 40;
/// Objects whose writes are counted; the one that was written longest ago makes room.
const OBJECTS_MAX: usize = 10_000;
/// What every operator makes for itself.
const ITS_OWN: [&str; 2] = ["events", "leases"];

/// The judge of manners. Cheap to clone.
#[derive(Clone)]
pub struct Manners {
    inner: Arc<Mutex<Inner>>,
    clock: ScenarioClock,
}

/// Group and plural of a kind.
pub type Kind = (String, String);

#[derive(Default)]
struct Inner {
    /// Kinds of the operator under test.
    own: Vec<Kind>,
    violations: Vec<String>,
    /// Resources that are there, by kind, namespace and name: since when they are leaving, and what holds them.
    resources: BTreeMap<String, Leaving>,
    /// The last one that went, and when; None before.
    last_gone: Option<(String, Timestamp)>,
    /// What the operator made while there was a resource: whether it has an owner or is on its way out.
    made: BTreeMap<String, bool>,
    writes: BTreeMap<(String, bool), VecDeque<Timestamp>>,
}

#[derive(Clone, Debug, Default)]
struct Leaving {
    since: Option<Timestamp>,
    finalizers: Vec<String>,
}

impl Manners {
    pub fn new(clock: ScenarioClock, own: Vec<Kind>) -> Manners {
        let inner = Inner { own, ..Inner::default() };
        Manners { inner: Arc::new(Mutex::new(inner)), clock }
    }

    pub fn watch(&self, world: &World) {
        let judge = self.clone();
        world.watcher.on_change(move |change| judge.lock().see(change));
        let judge = self.clone();
        world.watcher.on_request(move |record| judge.lock().hear(record));
    }

    /// Takes what was found since the last call.
    pub fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().violations)
    }

    /// The run is over: what is wrong with what is there now.
    pub fn at_the_end(&self) -> Vec<String> {
        self.lock().at_the_end(self.clock.now())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn see(&mut self, change: &Change) {
        let resource = &change.resource;
        let name = name_of(change);
        if self.own.iter().any(|(group, plural)| *group == resource.group && *plural == resource.plural) {
            return self.see_resource(change, name);
        }
        if ITS_OWN.contains(&resource.plural.as_str()) {
            return;
        }
        let metadata = &change.object["metadata"];
        let is_kept = metadata["deletionTimestamp"].is_null()
            && metadata["ownerReferences"].as_array().is_none_or(Vec::is_empty);
        match change.kind {
            ChangeKind::Deleted => drop(self.made.remove(&name)),
            ChangeKind::Added if self.resources.is_empty() || !change.actor.starts_with(OPERATOR_USER) => {}
            ChangeKind::Added => drop(self.made.insert(name, is_kept)),
            ChangeKind::Modified => {
                if let Some(known) = self.made.get_mut(&name) {
                    *known = is_kept;
                }
            }
        }
    }

    fn see_resource(&mut self, change: &Change, name: String) {
        if change.kind == ChangeKind::Deleted {
            self.resources.remove(&name);
            self.last_gone = Some((name, change.at));
            return;
        }
        let metadata = &change.object["metadata"];
        let known = self.resources.entry(name.clone()).or_default();
        let is_leaving = !metadata["deletionTimestamp"].is_null();
        known.since = is_leaving.then(|| known.since.unwrap_or(change.at));
        let finalizers = metadata["finalizers"].as_array().map(Vec::as_slice).unwrap_or_default();
        known.finalizers = finalizers.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let observed = |object: &Value| object["status"]["observedGeneration"].as_i64();
        let before = change.old.as_deref().filter(|old| old["metadata"]["uid"] == metadata["uid"]);
        let (Some(now), generation) = (observed(&change.object), metadata["generation"].as_i64()) else {
            return;
        };
        if generation.is_some_and(|generation| now > generation) {
            self.report(format!(
                "{name}: status.observedGeneration {now} is ahead of the resource, whose generation is {}",
                generation.unwrap_or_default()
            ));
        }
        if let Some(before) = before.and_then(observed).filter(|before| *before > now) {
            self.report(format!("{name}: status.observedGeneration went back from {before} to {now}"));
        }
    }

    fn hear(&mut self, record: &RequestRecord) {
        let info = &record.info;
        // What is created has no name yet, and what is deleted is gone.
        let is_counted = matches!(info.verb.as_str(), "update" | "patch" | "delete")
            && info.user.starts_with(OPERATOR_USER)
            && !record.dry_run
            && !ITS_OWN.contains(&info.resource.as_str());
        if !is_counted {
            return;
        }
        let is_refused = record.code >= 400;
        let max = if is_refused { REFUSALS_MAX } else { WRITES_MAX };
        self.make_room();
        let times = self.writes.entry((info.path.clone(), is_refused)).or_default();
        times.push_back(record.at);
        while times.front().is_some_and(|first| record.at.duration_since(*first) > WINDOW) {
            times.pop_front();
        }
        if times.len() <= max {
            return;
        }
        times.clear();
        let (method, path, seconds) = (&info.method, &info.path, WINDOW.as_secs());
        self.report(match is_refused {
            true => format!(
                "the operator repeats what is refused without a pause: {method} {path} more than {max} times within {seconds} s \
                 ({} {})",
                record.code, record.reason
            ),
            false => format!(
                "the operator writes one object over and over: {method} {path} more than {max} times within {seconds} s"
            ),
        });
    }

    fn make_room(&mut self) {
        if self.writes.len() < OBJECTS_MAX {
            return;
        }
        let oldest = self.writes.iter().min_by_key(|(_, times)| times.back().copied());
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.writes.remove(&key);
        }
    }

    fn at_the_end(&self, now: Timestamp) -> Vec<String> {
        let mut found = Vec::new();
        for (name, leaving) in &self.resources {
            let Some(since) = leaving.since.filter(|since| now.duration_since(*since) > LEAVING_MAX) else {
                continue;
            };
            let (held, minutes) = (leaving.finalizers.join(", "), now.duration_since(since).as_secs() / 60);
            found.push(format!(
                "{name} was deleted {minutes} minutes ago and is not let go of: its finalizers are {held}"
            ));
        }
        let gone = self.last_gone.as_ref().filter(|(_, at)| now.duration_since(*at) > LEFT_AFTER);
        if let Some((last, _)) = gone.filter(|_| self.resources.is_empty()) {
            let left = self.made.iter().filter(|(_, is_kept)| **is_kept).map(|(name, _)| name);
            found.extend(left.map(|name| {
                format!(
                    "{name}, which the operator made, is left though {last} is gone: give it an owner reference, or delete it \
                     before the finalizer goes"
                )
            }));
        }
        found
    }

    fn report(&mut self, text: String) {
        if !self.violations.contains(&text) {
            self.violations.push(text);
        }
    }
}

/// `Kind namespace/name`.
fn name_of(change: &Change) -> String {
    let text = |pointer| change.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (kind, namespace) = (text("/kind"), text("/metadata/namespace"));
    let kind = if kind.is_empty() { change.resource.plural.as_str() } else { kind };
    match namespace {
        "" => format!("{kind} {}", text("/metadata/name")),
        namespace => format!("{kind} {namespace}/{}", text("/metadata/name")),
    }
}

#[cfg(test)]
mod tests {
    use fake_kube_apiserver::{RequestInfo, Resource};
    use serde_json::json;

    use super::*;

    fn judge() -> Inner {
        let own = vec![("toys.example.com".to_owned(), "shelves".to_owned())];
        Inner { own, ..Inner::default() }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn change(kind: ChangeKind, seconds: i64, object: Value, actor: &str) -> Change {
        let (group, plural) = match object["kind"].as_str() {
            Some("Shelf") => ("toys.example.com", "shelves"),
            Some("Event") => ("", "events"),
            _ => ("", "configmaps"),
        };
        let resource = Resource::new(group, "v1", plural);
        Change {
            revision: 1,
            at: at(seconds),
            kind,
            resource,
            object: Arc::new(object),
            old: None,
            actor: actor.into(),
        }
    }

    fn shelf(metadata: Value, status: Value) -> Value {
        let mut object = json!({"kind": "Shelf", "metadata": {"name": "novels", "namespace": "a", "uid": "1"}, "status": status});
        for (key, value) in metadata.as_object().into_iter().flatten() {
            object["metadata"][key] = value.clone();
        }
        object
    }

    fn ledger(metadata: Value) -> Value {
        let mut object = json!({"kind": "ConfigMap", "metadata": {"name": "ledger", "namespace": "a"}});
        for (key, value) in metadata.as_object().into_iter().flatten() {
            object["metadata"][key] = value.clone();
        }
        object
    }

    use ChangeKind::{Added, Deleted, Modified};

    #[test]
    fn what_was_made_goes_with_the_last_resource() {
        let check = |what: &str, story: &[Change], end: i64, expected: usize| {
            let mut judge = judge();
            story.iter().for_each(|change| judge.see(change));
            let found = judge.at_the_end(at(end));
            assert_eq!(found.len(), expected, "{what}: {found:?}");
        };
        let begins = || change(Added, 0, shelf(json!({}), json!({})), "user");
        let makes = |metadata: Value| change(Added, 1, ledger(metadata), OPERATOR_USER);
        let goes = || change(Deleted, 10, shelf(json!({}), json!({})), "user");
        let removes = || change(Deleted, 12, ledger(json!({})), OPERATOR_USER);
        let owner = || json!({"ownerReferences": [{"kind": "Shelf", "uid": "1"}]});
        check("left", &[begins(), makes(json!({})), goes()], 30, 1);
        check("owned", &[begins(), makes(owner()), goes()], 30, 0);
        check("removed", &[begins(), makes(json!({})), goes(), removes()], 30, 0);
        check("no time for it", &[begins(), makes(json!({})), goes()], 15, 0);
        check("the resource is there", &[begins(), makes(json!({}))], 30, 0);
        check("its own, from before", &[makes(json!({})), begins(), goes()], 30, 0);
        check(
            "made by somebody else",
            &[begins(), change(Added, 1, ledger(json!({})), "user"), goes()],
            30,
            0,
        );
        let event = json!({"kind": "Event", "metadata": {"name": "e", "namespace": "a"}});
        check("an event", &[begins(), change(Added, 1, event, OPERATOR_USER), goes()], 30, 0);
        let adopted = change(Modified, 2, ledger(owner()), OPERATOR_USER);
        check("adopted later", &[begins(), makes(json!({})), adopted, goes()], 30, 0);
        let leaving = change(Modified, 11, ledger(json!({"deletionTimestamp": "x"})), OPERATOR_USER);
        check("on its way", &[begins(), makes(json!({})), goes(), leaving], 30, 0);
        let again = change(Added, 20, shelf(json!({"uid": "2"}), json!({})), "user");
        check("another one came", &[begins(), makes(json!({})), goes(), again], 60, 0);
    }

    #[test]
    fn what_is_deleted_is_let_go_of() {
        let mut judge = judge();
        let leaving = json!({"deletionTimestamp": "x", "finalizers": ["toys.example.com/shelf"]});
        judge.see(&change(Modified, 60, shelf(leaving.clone(), json!({})), "user"));
        judge.see(&change(Modified, 300, shelf(leaving, json!({"books": 1})), OPERATOR_USER));
        assert_eq!(judge.at_the_end(at(600)), Vec::<String>::new());
        let found = judge.at_the_end(at(60 + 11 * 60));
        let expected = "Shelf a/novels was deleted 11 minutes ago and is not let go of: its finalizers are toys.example.com/shelf";
        assert_eq!(found, [expected]);
        judge.see(&change(Deleted, 800, shelf(json!({}), json!({})), OPERATOR_USER));
        assert_eq!(judge.at_the_end(at(900)), Vec::<String>::new());
    }

    #[test]
    fn the_observed_generation_follows_the_resource() {
        let check = |before: Value, metadata: Value, now: Value, expected: &str| {
            let mut judge = judge();
            let mut seen = change(Modified, 1, shelf(metadata, now), OPERATOR_USER);
            seen.old = Some(Arc::new(shelf(json!({}), before)));
            judge.see(&seen);
            let found = judge.violations.join("\n");
            assert_eq!(found.is_empty(), expected.is_empty(), "{found}");
            assert!(found.contains(expected), "{found}");
        };
        let observed = |n: i64| json!({"observedGeneration": n});
        check(observed(1), json!({"generation": 2}), observed(2), "");
        check(observed(2), json!({"generation": 2}), json!({}), "");
        check(observed(2), json!({"generation": 3}), observed(1), "went back from 2 to 1");
        check(
            observed(1),
            json!({"generation": 2}),
            observed(3),
            "is ahead of the resource, whose generation is 2",
        );
        // Another object of that name begins anew.
        check(observed(4), json!({"generation": 1, "uid": "2"}), observed(1), "");
    }

    #[test]
    fn nobody_writes_without_a_pause() {
        let check =
            |what: &str, verb: &str, user: &str, code: u16, times: usize, every_ms: i64, expected: &str| {
                let mut judge = judge();
                for n in 0..times {
                    let ms = i64::try_from(n).expect("few") * every_ms;
                    let info = RequestInfo {
                        user: user.into(),
                        verb: verb.into(),
                        method: "PATCH".into(),
                        path: "/p".into(),
                        resource: "shelves".into(),
                        ..RequestInfo::of(&http::Method::PATCH, &http::Uri::from_static("/p"))
                    };
                    let at = at(0) + SignedDuration::from_millis(ms);
                    let reason = if code == 409 { "Conflict" } else { "" }.to_owned();
                    judge.hear(&RequestRecord {
                        info,
                        at,
                        code,
                        reason,
                        message: String::new(),
                        dry_run: false,
                        revision: 0,
                    });
                }
                let found = judge.violations.join("\n");
                assert_eq!(found.is_empty(), expected.is_empty(), "{what}: {found}");
                assert!(found.contains(expected), "{what}: {found}");
            };
        check("a loop", "patch", OPERATOR_USER, 200, 70, 100, "over and over: PATCH /p more than 60 times");
        check("a second apart", "patch", OPERATOR_USER, 200, 500, 1000, "");
        check(
            "refused",
            "update",
            OPERATOR_USER,
            409,
            50,
            20,
            "without a pause: PATCH /p more than 40 times within 10 s (409 Conflict)",
        );
        check("refused, once a second", "update", OPERATOR_USER, 409, 500, 1000, "");
        check("cut off", "patch", OPERATOR_USER, 0, 30, 20, "");
        check("by somebody else", "patch", "user", 200, 70, 100, "");
        check("created, which has no name", "create", OPERATOR_USER, 201, 70, 100, "");
    }
}
