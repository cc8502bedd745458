//! What was done by hand in a world, as steps of the scenario language: faults and actions of the page as they were given,
//! writes through kubectl by what they changed. Whatever cannot be said in a scenario is kept as words and told in the file.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use drey_language::duration;
use serde_json::{Map, Value, json};

use crate::history::Verb;
use crate::replay::Beginning;

/// Deeds of one session; a hand that does more is a program, and what it did is not kept.
const DEEDS_MAX: usize = 10_000;
/// Deeds that the page lists.
const SHOWN: usize = 300;
/// How long the replay waits for the state the session ended in.
const END_WITHIN: Duration = Duration::from_secs(120);

/// One thing that was done.
#[derive(Clone, Debug, PartialEq)]
pub struct Deed {
    /// World time since the start.
    pub at: Duration,
    /// When it was done, for what takes time.
    pub until: Duration,
    /// `page`, `kubectl`, `drey fault`, `drey flink`.
    pub by: &'static str,
    /// One step as a scenario has it; or words, for what no scenario can say.
    pub step: Result<Value, String>,
}

/// The session. Clones are the same one.
#[derive(Clone, Default)]
pub struct Recording(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    deeds: Vec<Option<Deed>>,
    left_out: usize,
}

impl Recording {
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its number, for [`Recording::ended`] and the like.
    pub fn add(&self, at: Duration, by: &'static str, step: Result<Value, String>) -> usize {
        let mut book = self.lock();
        if book.deeds.len() >= DEEDS_MAX {
            book.left_out += 1;
            return usize::MAX;
        }
        book.deeds.push(Some(Deed { at, until: at, by, step }));
        book.deeds.len() - 1
    }

    pub fn ended(&self, number: usize, until: Duration) {
        if let Some(Some(deed)) = self.lock().deeds.get_mut(number) {
            deed.until = until;
        }
    }

    /// It turned out another deed than it was recorded as: a fault that was lifted has an end.
    pub fn amend(&self, number: usize, amend: impl FnOnce(&mut Deed)) {
        if let Some(Some(deed)) = self.lock().deeds.get_mut(number) {
            amend(deed);
        }
    }

    /// It was refused, so nothing came of it.
    pub fn forget(&self, number: usize) {
        if let Some(deed) = self.lock().deeds.get_mut(number) {
            *deed = None;
        }
    }

    pub fn deeds(&self) -> Vec<Deed> {
        self.lock().deeds.iter().flatten().cloned().collect()
    }

    pub fn is_empty(&self) -> bool {
        self.lock().deeds.iter().flatten().next().is_none()
    }

    /// For the page: how many, and the latest of them, newest last, each in one line.
    pub fn to_json(&self) -> Value {
        let line = |deed: &Deed| {
            let (text, is_kept) = match &deed.step {
                Ok(step) => (brief(step), true),
                Err(why) => (why.clone(), false),
            };
            json!({"ms": millis(deed.at), "by": deed.by, "text": text, "kept": is_kept})
        };
        let deeds = self.deeds();
        let rows: Vec<Value> = deeds.iter().skip(deeds.len().saturating_sub(SHOWN)).map(line).collect();
        json!({"count": deeds.len(), "rows": rows})
    }

    /// The whole as a scenario file: how it began, what was done, and that it ends as it did. `checks` are steps.
    pub fn scenario(&self, beginning: &Beginning, now: Duration, checks: Vec<Value>) -> String {
        let deeds = self.deeds();
        let mut steps: Vec<Value> = Vec::new();
        // While the first steps were under way somebody may have done something already.
        for deed in deeds.iter().filter(|deed| deed.at < beginning.ended) {
            if let Ok(step) = &deed.step {
                let time = duration::format_clock(Duration::from_secs(deed.at.as_secs()));
                steps.push(json!({"at": {"time": time, "steps": [step]}}));
            }
        }
        steps.extend(beginning.steps.iter().cloned());
        let mut passed = beginning.ended;
        for deed in deeds.iter().filter(|deed| deed.at >= beginning.ended) {
            advance(&mut steps, &mut passed, deed.at);
            if let Ok(step) = &deed.step {
                steps.push(step.clone());
                passed = passed.max(deed.until);
            }
        }
        advance(&mut steps, &mut passed, now);
        let waits = |check: Value| match check.get("absent") {
            Some(_) => check,
            None => json!({"eventually": check}),
        };
        steps.extend(checks.into_iter().map(waits));
        let mut file = beginning.header();
        file.insert("steps".to_owned(), Value::Array(steps));
        let lost = deeds.iter().filter_map(|deed| Some((deed, deed.step.as_ref().err()?)));
        let lost: Vec<String> = lost
            .map(|(deed, why)| {
                format!("# Not in here: {} by {}: {why}\n", duration::format_clock(deed.at), deed.by)
            })
            .collect();
        let more = match self.lock().left_out {
            0 => String::new(),
            more => format!("# Not in here: {more} deeds beyond the first {DEEDS_MAX}\n"),
        };
        let file = Value::Object(file);
        let text = serde_saphyr::to_string(&file).unwrap_or_else(|_| format!("{file:#}"));
        format!(
            "# Recorded in `drey play`. The same again, in virtual time: drey run THIS-FILE --seed {} --no-golden\n{}{more}{text}",
            beginning.seed,
            lost.concat().lines().map(|line| format!("{}\n", one_line(line))).collect::<String>()
        )
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A check that an object is gone in the end, as it was.
pub fn end_absent(reference: &str) -> Value {
    json!({"absent": {"of": reference, "within": duration::format(END_WITHIN)}})
}

/// A check that a replay ends in the state of an object: partial matches over what its reader cares for.
pub fn end_state(object: &Value) -> Value {
    let status = &object["status"];
    let mut wanted = Map::new();
    if let Some(state) = status["lifecycleState"].as_str() {
        wanted.insert("lifecycleState".to_owned(), json!(state));
    }
    if let Some(state) = status["jobStatus"]["state"].as_str() {
        wanted.insert("jobStatus".to_owned(), json!({"state": state}));
    }
    json!({"within": duration::format(END_WITHIN), "of": reference(object), "match": {"status": wanted}})
}

fn advance(steps: &mut Vec<Value>, passed: &mut Duration, to: Duration) {
    // Less than a millisecond cannot be written, and is nothing anybody did on purpose.
    let gap = Duration::from_millis(millis(to.saturating_sub(*passed)));
    if !gap.is_zero() {
        steps.push(json!({"advance": duration::format(gap)}));
        *passed += gap;
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// `job {name: orders, set: FAILED}`.
fn brief(step: &Value) -> String {
    let Some((word, args)) = step.as_object().and_then(|step| step.iter().next()) else {
        return step.to_string();
    };
    match args {
        Value::String(text) => format!("{word} {text}"),
        Value::Object(map) if map.contains_key("object") => {
            let object = &map["object"];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            format!("{word} {}/{}", text(&object["kind"]), text(&object["metadata"]["name"]))
        }
        other => format!("{word} {other}"),
    }
}

/// An object that somebody changed over the API.
#[derive(Clone, Copy, Debug)]
pub struct Touched<'a> {
    pub verb: Verb,
    pub old: Option<&'a Value>,
    pub new: &'a Value,
    /// Of the request; empty for the object itself.
    pub subresource: &'a str,
    /// Kinds that a scenario may name.
    pub kinds: &'a [String],
}

impl Touched<'_> {
    /// The step that does the same; words when there is none, and nothing where nothing of it matters.
    pub fn step(&self) -> Option<Result<Value, String>> {
        let kind = self.new["kind"].as_str().unwrap_or_default();
        if kind == "Event" {
            return None;
        }
        if !self.kinds.iter().any(|known| known == kind) {
            return Some(Err(format!("{} is of a kind that scenarios cannot name", reference(self.new))));
        }
        let is_leaving = |object: &Value| !object["metadata"]["deletionTimestamp"].is_null();
        match self.verb {
            Verb::Created => Some(Ok(json!({"create": {"object": self.created()}}))),
            Verb::Deleted => Some(Ok(self.deleted())),
            Verb::Changed if is_leaving(self.new) && !self.old.is_some_and(is_leaving) => {
                Some(Ok(self.deleted()))
            }
            Verb::Changed => self.patched().map(Ok),
        }
    }

    /// As the user wrote it, where kubectl kept that; otherwise what the server made of it, without its own fields.
    fn created(&self) -> Value {
        let annotations = &self.new["metadata"]["annotations"];
        let applied =
            annotations[LAST_APPLIED].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
        let mut object = applied.filter(Value::is_object).unwrap_or_else(|| self.new.clone());
        object["metadata"] = written_metadata(&object, true);
        if let Some(map) = object.as_object_mut() {
            map.shift_remove("status");
        }
        if object["kind"] == "Service"
            && let Some(spec) = object["spec"].as_object_mut()
        {
            // Given by the server; another run may give them to somebody else first.
            spec.shift_remove("clusterIP");
            spec.shift_remove("clusterIPs");
        }
        object
    }

    fn deleted(&self) -> Value {
        let labels = &self.new["metadata"]["labels"];
        // Pods of a Deployment are called otherwise in every run.
        if self.new["kind"] == "Pod" && labels["component"] == "jobmanager" && labels["app"].is_string() {
            let labels = json!({"app": labels["app"], "component": "jobmanager"});
            return json!({"pod": {"select": {"labels": labels}, "do": "delete"}});
        }
        json!({"delete": {"of": reference(self.new)}})
    }

    fn patched(&self) -> Option<Value> {
        let (old, new) = (written(self.old?), written(self.new));
        let of = reference(self.new);
        let mut patch = merge_patch(&old, &new)?;
        if self.subresource == "status" {
            let status = json!({"status": patch.get("status")?});
            return Some(json!({"patch": {"of": of, "merge": status, "subresource": "status"}}));
        }
        patch.as_object_mut()?.shift_remove("status");
        let is_empty = patch.as_object().is_none_or(Map::is_empty);
        (!is_empty).then(|| json!({"patch": {"of": of, "merge": patch}}))
    }
}

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// `Kind/name`, with its namespace where that is not the scenario's own.
pub fn reference(object: &Value) -> String {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let name = format!("{}/{}", text("/kind"), text("/metadata/name"));
    match text("/metadata/namespace") {
        "" | "default" => name,
        namespace => format!("{namespace}:{name}"),
    }
}

fn written(object: &Value) -> Value {
    let mut object = object.clone();
    object["metadata"] = written_metadata(&object, false);
    object
}

/// What people write there; names and namespaces for what is made anew.
fn written_metadata(object: &Value, is_new: bool) -> Value {
    let mut out = Map::new();
    let keys: &[&str] = match is_new {
        true => &["name", "namespace", "labels", "annotations", "finalizers"],
        false => &["labels", "annotations", "finalizers", "ownerReferences"],
    };
    for key in keys {
        let mut value = object["metadata"][key].clone();
        if let Some(annotations) = value.as_object_mut() {
            annotations.shift_remove(LAST_APPLIED);
        }
        let is_empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
        if !is_empty {
            out.insert((*key).to_owned(), value);
        }
    }
    Value::Object(out)
}

/// RFC 7386: what makes one of the other; nothing when they are the same.
fn merge_patch(old: &Value, new: &Value) -> Option<Value> {
    match (old, new) {
        (a, b) if a == b => None,
        (Value::Object(a), Value::Object(b)) => {
            let mut out = Map::new();
            for (key, value) in b {
                match a.get(key) {
                    Some(before) => {
                        if let Some(patch) = merge_patch(before, value) {
                            out.insert(key.clone(), patch);
                        }
                    }
                    None => {
                        out.insert(key.clone(), value.clone());
                    }
                }
            }
            for key in a.keys().filter(|key| !b.contains_key(*key)) {
                out.insert(key.clone(), Value::Null);
            }
            Some(Value::Object(out))
        }
        (_, b) => Some(b.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(verb: Verb, subresource: &str, old: Option<Value>, new: Value, expected: Option<Value>) {
        let kinds = ["FlinkDeployment", "Pod", "Service"].map(str::to_owned);
        let touched = Touched { verb, old: old.as_ref(), new: &new, subresource, kinds: &kinds };
        assert_eq!(touched.step(), expected.map(Ok), "{verb:?} {new}");
    }

    fn app(metadata: Value, spec: Value) -> Value {
        let mut object = json!({"apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment",
            "metadata": {"name": "app", "namespace": "default", "uid": "u", "resourceVersion": "7", "managedFields": []},
            "spec": spec, "status": {"lifecycleState": "STABLE"}});
        for (key, value) in metadata.as_object().expect("a map") {
            object["metadata"][key] = value.clone();
        }
        object
    }

    #[test]
    fn what_kubectl_wrote_is_said_in_words_of_the_language() {
        let applied = json!({"apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment",
            "metadata": {"name": "app", "namespace": "default", "annotations": {}}, "spec": {"image": "flink"}});
        let annotations = json!({"annotations": {LAST_APPLIED: applied.to_string()}});
        let mut object = applied.clone();
        object["metadata"] = json!({"name": "app", "namespace": "default"});
        check(
            Verb::Created,
            "",
            None,
            app(annotations, json!({"image": "flink", "defaulted": true})),
            Some(json!({"create": {"object": object}})),
        );
        check(
            Verb::Changed,
            "",
            Some(app(json!({}), json!({"job": {"parallelism": 2, "state": "running"}, "image": "a"}))),
            app(json!({"generation": 2}), json!({"job": {"parallelism": 4, "state": "running"}})),
            Some(
                json!({"patch": {"of": "FlinkDeployment/app", "merge": {"spec": {"job": {"parallelism": 4}, "image": null}}}}),
            ),
        );
        check(
            Verb::Changed,
            "",
            Some(app(json!({}), json!({}))),
            app(json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}), json!({})),
            Some(json!({"delete": {"of": "FlinkDeployment/app"}})),
        );
        check(
            Verb::Changed,
            "",
            Some(app(json!({"namespace": "other"}), json!({}))),
            app(json!({"namespace": "other", "labels": {"a": "b"}}), json!({})),
            Some(
                json!({"patch": {"of": "other:FlinkDeployment/app", "merge": {"metadata": {"labels": {"a": "b"}}}}}),
            ),
        );
        // A write that changes nothing a person writes.
        check(
            Verb::Changed,
            "",
            Some(app(json!({}), json!({}))),
            app(json!({"generation": 9}), json!({})),
            None,
        );
    }

    #[test]
    fn a_pod_with_a_name_of_its_own_run_is_said_by_its_labels() {
        let pod = |labels: Value| json!({"kind": "Pod", "metadata": {"name": "app-x7k2", "namespace": "default", "labels": labels}});
        let labels = json!({"app": "app", "component": "jobmanager"});
        check(
            Verb::Deleted,
            "",
            None,
            pod(json!({"app": "app", "component": "jobmanager", "pod-template-hash": "1"})),
            Some(json!({"pod": {"select": {"labels": labels}, "do": "delete"}})),
        );
        check(
            Verb::Deleted,
            "",
            None,
            pod(json!({"component": "taskmanager"})),
            Some(json!({"delete": {"of": "Pod/app-x7k2"}})),
        );
    }

    #[test]
    fn the_status_is_patched_where_it_is() {
        let mut new = app(json!({}), json!({}));
        new["status"]["lifecycleState"] = json!("FAILED");
        check(
            Verb::Changed,
            "status",
            Some(app(json!({}), json!({}))),
            new,
            Some(
                json!({"patch": {"of": "FlinkDeployment/app", "merge": {"status": {"lifecycleState": "FAILED"}}, "subresource": "status"}}),
            ),
        );
    }

    #[test]
    fn strange_kinds_are_told_and_not_dropped() {
        let gadget = json!({"kind": "Gadget", "metadata": {"name": "g"}});
        let touched = Touched { verb: Verb::Created, old: None, new: &gadget, subresource: "", kinds: &[] };
        assert!(touched.step().is_some_and(|step| step.is_err_and(|why| why.contains("Gadget/g"))));
    }
}
