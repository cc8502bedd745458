//! The objects of a world and how each came to be what it is: a bounded history with differences between revisions.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drey_language::changes::changes;
use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};

use crate::stage::Refusal;
use crate::summary;

/// Revisions kept of one object, and objects kept that are gone.
const VERSIONS_MAX: usize = 100;
const GONE_MAX: usize = 100;
/// Objects at all; a world with more is not looked at by eye.
const OBJECTS_MAX: usize = 5_000;
/// Lines around a change.
const CONTEXT: usize = 3;
/// Longest value of a field in a list of changes, in characters.
const FIELD_MAX: usize = 400;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Created,
    Changed,
    Deleted,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Verb::Created => "created",
            Verb::Changed => "changed",
            Verb::Deleted => "deleted",
        }
    }
}

/// One state of an object.
#[derive(Clone, Debug)]
pub struct Version {
    /// The server's, unique over all objects.
    pub revision: u64,
    /// World time since the start.
    pub ms: u64,
    pub verb: Verb,
    pub actor: Arc<str>,
    pub object: Arc<Value>,
}

/// `namespace:Kind/name`, the namespace empty for what has none.
pub fn key_of(object: &Value) -> String {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    format!("{}:{}/{}", text("/metadata/namespace"), text("/kind"), text("/metadata/name"))
}

/// A cheap handle.
#[derive(Clone, Default)]
pub struct History(Arc<Mutex<Objects>>);

#[derive(Default)]
struct Objects {
    of: BTreeMap<String, VecDeque<Version>>,
    /// Whose a revision is.
    by_revision: BTreeMap<u64, String>,
    gone: VecDeque<String>,
    is_changed: bool,
}

impl History {
    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn add(&self, version: Version) {
        self.lock().add(version);
    }

    /// The list of objects, if it is another than at the last call.
    pub fn news(&self) -> Option<Value> {
        let mut objects = self.lock();
        std::mem::take(&mut objects.is_changed).then(|| objects.list())
    }

    /// The newest states of all objects of a kind that are there.
    pub fn of_kind(&self, kind: &str) -> Vec<Arc<Value>> {
        self.newest(kind, true)
    }

    /// The last states of objects of a kind that are gone.
    pub fn gone(&self, kind: &str) -> Vec<Arc<Value>> {
        self.newest(kind, false)
    }

    fn newest(&self, kind: &str, is_there: bool) -> Vec<Arc<Value>> {
        let objects = self.lock();
        let newest = objects.of.values().filter_map(VecDeque::back);
        let is_wanted = |version: &&Version| {
            (version.verb != Verb::Deleted) == is_there && version.object["kind"] == *kind
        };
        newest.filter(is_wanted).map(|version| version.object.clone()).collect()
    }

    /// An object's revisions and the difference that one of them made; the newest unless said.
    pub fn object(&self, key: &str, revision: Option<u64>) -> Result<Value, Refusal> {
        let objects = self.lock();
        let Some(versions) = objects.of.get(key) else {
            return Err(Refusal::new(404, format!("no object {key} is remembered")));
        };
        let at = match revision {
            None => versions.len().checked_sub(1),
            Some(revision) => versions.iter().position(|version| version.revision == revision),
        };
        let Some(at) = at else {
            let text = format!("that revision of {key} is not remembered; the last {VERSIONS_MAX} are");
            return Err(Refusal::new(404, text));
        };
        let before = at.checked_sub(1).map(|before| &versions[before]);
        let line = |version: &Version| json!({"revision": version.revision, "ms": version.ms, "verb": version.verb.name(), "actor": &*version.actor});
        let lines: Vec<Value> = versions.iter().rev().map(line).collect();
        let mut out = difference(before, &versions[at]);
        out["key"] = json!(key);
        out["versions"] = json!(lines);
        Ok(out)
    }

    /// As [`History::object`], by a revision alone.
    pub fn change(&self, revision: u64) -> Result<Value, Refusal> {
        let key = self.lock().by_revision.get(&revision).cloned();
        match key {
            Some(key) => self.object(&key, Some(revision)),
            None => Err(Refusal::new(404, format!("revision {revision} is not remembered any more"))),
        }
    }
}

impl Objects {
    fn add(&mut self, version: Version) {
        let key = key_of(&version.object);
        if !self.of.contains_key(&key) && self.of.len() >= OBJECTS_MAX {
            return;
        }
        self.is_changed = true;
        self.by_revision.insert(version.revision, key.clone());
        self.gone.retain(|gone| *gone != key);
        if version.verb == Verb::Deleted {
            self.gone.push_back(key.clone());
        }
        let versions = self.of.entry(key).or_default();
        versions.push_back(version);
        let dropped = (versions.len() > VERSIONS_MAX).then(|| versions.pop_front()).flatten();
        if let Some(dropped) = dropped {
            self.by_revision.remove(&dropped.revision);
        }
        while self.gone.len() > GONE_MAX {
            let Some(key) = self.gone.pop_front() else { break };
            for version in self.of.remove(&key).into_iter().flatten() {
                self.by_revision.remove(&version.revision);
            }
        }
    }

    fn list(&self) -> Value {
        let row = |(key, versions): (&String, &VecDeque<Version>)| {
            let newest = versions.back()?;
            let text = |pointer| newest.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let (summary, tone) = summary::of(&newest.object);
            Some(json!({
                "key": key,
                "kind": text("/kind"),
                "namespace": text("/metadata/namespace"),
                "name": text("/metadata/name"),
                "revision": newest.revision,
                "versions": versions.len(),
                "ms": newest.ms,
                "actor": &*newest.actor,
                "summary": summary,
                "tone": tone,
                "gone": newest.verb == Verb::Deleted,
            }))
        };
        self.of.iter().filter_map(row).collect()
    }
}

/// `{revision, ms, verb, actor, previous, changes: [[path, old, new]..], lines: [[sign, text]..]}`; lines are those of YAML.
fn difference(before: Option<&Version>, after: &Version) -> Value {
    let empty = json!({});
    let old = before.map_or(empty.clone(), |version| shown(&version.object));
    // What was deleted is shown as it went.
    let new = if after.verb == Verb::Deleted { empty } else { shown(&after.object) };
    let fields: Vec<Value> = match (before, after.verb) {
        (Some(_), Verb::Created | Verb::Changed) => changes(&old, &new)
            .into_iter()
            .map(|change| json!([change.path, field(change.old), field(change.new)]))
            .collect(),
        _ => Vec::new(),
    };
    json!({
        "revision": after.revision,
        "ms": after.ms,
        "verb": after.verb.name(),
        "actor": &*after.actor,
        "previous": before.map(|version| version.revision),
        "changes": fields,
        "lines": unified(&yaml(&old), &yaml(&new)),
    })
}

/// Without what changes with every write and tells nothing.
fn shown(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("managedFields");
        metadata.shift_remove("resourceVersion");
    }
    object
}

fn yaml(object: &Value) -> String {
    match object.as_object().is_some_and(serde_json::Map::is_empty) {
        true => String::new(),
        false => serde_saphyr::to_string(object).unwrap_or_else(|_| format!("{object:#}")),
    }
}

fn field(value: Option<Value>) -> Value {
    match value {
        None => Value::Null,
        Some(Value::String(text)) => Value::from(cut(&text)),
        Some(other) => Value::from(cut(&other.to_string())),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(FIELD_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Lines with ` `, `+`, `-`, and `@` where some are left out.
fn unified(old: &str, new: &str) -> Vec<Value> {
    let diff = TextDiff::from_lines(old, new);
    let mut out = Vec::new();
    for (n, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if n > 0 {
            out.push(json!(["@", ""]));
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Equal => " ",
                ChangeTag::Insert => "+",
                ChangeTag::Delete => "-",
            };
            out.push(json!([sign, cut(change.value().trim_end_matches('\n'))]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(revision: u64, name: &str, replicas: u64, verb: Verb) -> Version {
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"namespace": "default", "name": name, "resourceVersion": revision.to_string()},
            "spec": {"replicas": replicas}});
        Version { revision, ms: revision * 10, verb, actor: Arc::from("user"), object: Arc::new(object) }
    }

    #[test]
    fn a_change_is_told_by_field_and_by_line() {
        let history = History::default();
        history.add(version(1, "a", 1, Verb::Created));
        history.add(version(2, "a", 3, Verb::Changed));
        let change = history.change(2).expect("remembered");
        assert_eq!(change["changes"], json!([["spec.replicas", "1", "3"]]));
        assert_eq!((&change["previous"], &change["key"]), (&json!(1), &json!("default:Deployment/a")));
        let lines = change["lines"].as_array().expect("lines");
        assert!(
            lines.contains(&json!(["-", "  replicas: 1"])) && lines.contains(&json!(["+", "  replicas: 3"]))
        );
        assert_eq!(change["versions"].as_array().map(Vec::len), Some(2));
        let made = history.change(1).expect("remembered");
        assert_eq!((&made["verb"], &made["changes"]), (&json!("created"), &json!([])));
        assert!(made["lines"].as_array().is_some_and(|lines| lines.iter().all(|line| line[0] == "+")));
    }

    #[test]
    fn what_is_gone_is_shown_as_it_went_and_forgotten_in_the_end() {
        let history = History::default();
        history.add(version(1, "a", 1, Verb::Created));
        history.add(version(2, "a", 1, Verb::Deleted));
        assert_eq!(history.news().expect("news")[0]["gone"], true);
        assert!(history.news().is_none());
        assert!(history.of_kind("Deployment").is_empty());
        let lines = history.change(2).expect("remembered")["lines"].clone();
        assert!(lines.as_array().is_some_and(|lines| lines.iter().all(|line| line[0] == "-")));
        for n in 0..GONE_MAX as u64 {
            history.add(version(10 + n, &format!("b{n}"), 1, Verb::Deleted));
        }
        assert_eq!(history.change(2).expect_err("forgotten").code, 404);
    }

    #[test]
    fn the_history_of_an_object_is_bounded() {
        let history = History::default();
        for n in 1..=VERSIONS_MAX as u64 + 5 {
            history.add(version(n, "a", n, Verb::Changed));
        }
        assert!(history.change(5).is_err() && history.change(6).is_ok());
        assert_eq!(history.object("default:Deployment/none", None).expect_err("unknown").code, 404);
    }
}
