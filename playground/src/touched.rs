//! A write over the API as the step that does the same: a creation, a patch of what people write, a deletion. Leaves out what
//! the server itself fills in.

use serde_json::{Map, Value, json};

use crate::history::Verb;

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
