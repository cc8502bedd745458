//! Recorded cases whose answer is a matter of schemas, patches and ownership alone, replayed without a server.
//!
//! A tiny store stands in for the server: one object per path, versions and uids taken from nowhere. Only members the
//! store can know are compared. The API server crate runs all cases end to end; this finds out sooner.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fake_kube_schema::managed::{self, ApplyError, Write};
use fake_kube_schema::{Builtins, Cause, Schema, patch, summary};
use serde_json::{Value, json};

/// The shared reference data, or `None` after saying so.
fn shared(file: &str) -> Option<Value> {
    let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let root = std::env::var_os("DREY_SHARED").map_or(default, PathBuf::from);
    match std::fs::read_to_string(root.join("reference/kube-api").join(file)) {
        Ok(text) => Some(serde_json::from_str(&text).expect("recordings are JSON")),
        Err(_) if std::env::var_os("DREY_REQUIRE_SHARED").is_some_and(|v| v == "1") => {
            panic!("no shared data at {}", root.display())
        }
        Err(_) => {
            println!("skipped: no shared data");
            None
        }
    }
}

struct Kind {
    schema: Schema,
    custom: bool,
    /// Fields the main route and the status route do not write.
    reset: [&'static [&'static str]; 2],
}

struct Replay {
    kinds: BTreeMap<&'static str, Kind>,
    objects: BTreeMap<String, Value>,
}

enum Answer {
    Object(Value),
    Failure(u64, String),
}

impl Replay {
    fn new(fixtures: &Value) -> Replay {
        let crd = |plural: &str| {
            let mut crds = fixtures["objects"].as_array().into_iter().flatten().map(|o| &o["object"]);
            let crd = crds.find(|c| c["spec"]["names"]["plural"] == plural).expect("fixture");
            let version = &crd["spec"]["versions"][0];
            let schema = Schema::from_crd(&version["schema"]["openAPIV3Schema"]).expect("structural");
            let status = version.pointer("/subresources/status").is_some();
            let reset: [&[&str]; 2] = if status { [&["status"], &["metadata", "spec"]] } else { [&[], &[]] };
            Kind { schema, custom: true, reset }
        };
        let core = |group: &str, kind: &str| Kind {
            schema: Builtins::load().schema(group, "v1", kind).expect("built-in"),
            custom: false,
            reset: [&["status"], &["spec"]],
        };
        let kinds = BTreeMap::from([
            ("widgets", crd("widgets")),
            ("gadgets", crd("gadgets")),
            ("gizmos", crd("gizmos")),
            ("configmaps", core("", "ConfigMap")),
            ("deployments", core("apps", "Deployment")),
            ("replicasets", core("apps", "ReplicaSet")),
            ("statefulsets", core("apps", "StatefulSet")),
            ("ingresses", core("networking.k8s.io", "Ingress")),
            ("networkpolicies", core("networking.k8s.io", "NetworkPolicy")),
            ("leases", core("coordination.k8s.io", "Lease")),
            ("limitranges", core("", "LimitRange")),
            ("jobs", core("batch", "Job")),
            ("cronjobs", core("batch", "CronJob")),
            ("poddisruptionbudgets", core("policy", "PodDisruptionBudget")),
        ]);
        Replay { kinds, objects: BTreeMap::new() }
    }

    /// The answer to a request, or `None` where the store does not follow.
    fn request(&mut self, request: &Value) -> Option<Answer> {
        let path = request["path"].as_str()?;
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let at = parts.iter().position(|p| self.kinds.contains_key(p))?;
        let kind = &self.kinds[parts[at]];
        let subresource = parts.get(at + 2).copied().unwrap_or_default();
        if !matches!(subresource, "" | "status") {
            return None;
        }
        let api_version =
            if parts[0] == "api" { parts[1].to_string() } else { format!("{}/{}", parts[1], parts[2]) };
        let query = |key: &str| request["query"].get(key).and_then(Value::as_str);
        let content = request["headers"].get("Content-Type").and_then(Value::as_str).unwrap_or_default();
        let now = "2024-01-01T00:00:00Z".parse().expect("time");
        let write = Write {
            manager: query("fieldManager").unwrap_or("kube-conformance"),
            api_version: &api_version,
            subresource,
            now,
            same_schema: false,
            reset_fields: kind.reset[usize::from(subresource == "status")],
        };
        let mut body = request.get("body")?.clone();
        let name = match parts.get(at + 1) {
            Some(name) => name.to_string(),
            None => body.pointer("/metadata/name")?.as_str()?.to_string(),
        };
        let key = format!("{}/{name}", parts[at]);
        let live = self.objects.get(&key).cloned();
        let mut new = match (request["method"].as_str()?, content) {
            ("PATCH", "application/apply-patch+yaml") => {
                let force = query("force") == Some("true");
                match managed::apply(&kind.schema, live.as_ref(), &body, &write, force) {
                    Ok(object) => object,
                    Err(error) => {
                        let code = match error {
                            ApplyError::Conflicts(_) => 409,
                            ApplyError::BadRequest(_) => 400,
                            ApplyError::Internal(_) => 500,
                        };
                        return Some(Answer::Failure(code, error.to_string()));
                    }
                }
            }
            ("PATCH", "application/merge-patch+json") => patch::merge(live.as_ref()?, &body).ok()?,
            ("PATCH", "application/json-patch+json") => patch::json(live.as_ref()?, &body).ok()?,
            ("PATCH", "application/strategic-merge-patch+json") => {
                match patch::strategic(&kind.schema, live.as_ref()?, &body) {
                    Ok(object) => object,
                    Err(patch::PatchError::Internal(text)) => return Some(Answer::Failure(500, text)),
                    Err(_) => return None,
                }
            }
            ("POST" | "PUT", _) => body.take(),
            _ => return None,
        };
        let applied = content == "application/apply-patch+yaml";
        kind.schema.prune(&mut new);
        kind.schema.default(&mut new);
        if kind.custom && !applied {
            kind.schema.drop_nulls(&mut new);
        }
        if !applied {
            managed::track_update(&kind.schema, live.as_ref(), &mut new, &write);
        }
        // What the strategies do: a route writes its own part.
        if subresource == "status" {
            let status = new.get("status").cloned();
            let entries = new.pointer("/metadata/managedFields").cloned();
            new = live.clone()?;
            new["status"] = status.unwrap_or_default();
            new["metadata"]["managedFields"] = entries.unwrap_or_default();
        } else if !kind.reset[0].is_empty() {
            let status = live.as_ref().and_then(|l| l.get("status")).cloned();
            let object = new.as_object_mut()?;
            object.shift_remove("status");
            if let Some(status) = status {
                object.insert("status".into(), status);
            }
        }
        if kind.custom {
            let errors: Vec<Cause> = kind.schema.validate(&new, live.as_ref());
            if !errors.is_empty() {
                let (group, kind) = (api_version.split('/').next()?, new["kind"].as_str()?);
                let text = format!("{kind}.{group} \"{name}\" is invalid: {}", summary(&errors));
                return Some(Answer::Failure(422, text));
            }
        }
        if let Some(live) = &live {
            managed::keep_times_if_unchanged(live, &mut new);
        }
        self.objects.insert(key, new.clone());
        Some(Answer::Object(new))
    }
}

/// Times as the recordings mark them.
fn comparable(entries: Option<&Value>) -> Value {
    let mut entries = entries.cloned().unwrap_or_default();
    for entry in entries.as_array_mut().into_iter().flatten() {
        if entry.get("time").is_some() {
            entry["time"] = json!("{{time}}");
        }
    }
    entries
}

fn sorted_causes(text: &str) -> Vec<String> {
    let mut parts: Vec<String> =
        text.trim_end_matches(']').split(['[', ',', '\n']).map(|s| s.trim().to_string()).collect();
    parts.sort();
    parts
}

/// What differs between an answer and the recording.
fn differences(answer: &Answer, expect: &Value) -> Vec<String> {
    let body = &expect["body"];
    let status = expect["status"].as_u64().unwrap_or_default();
    match answer {
        Answer::Failure(code, message) => {
            let recorded =
                body.get("message").or(body.get("/message")).and_then(Value::as_str).unwrap_or_default();
            if *code == status && sorted_causes(message) == sorted_causes(recorded) {
                vec![]
            } else {
                vec![format!("got {code} {message}\nrecorded {status} {recorded}")]
            }
        }
        Answer::Object(object) if status < 300 => {
            let mut out = Vec::new();
            if body.get("kind").is_some() {
                let entries =
                    (object.pointer("/metadata/managedFields"), body.pointer("/metadata/managedFields"));
                let entries = (comparable(entries.0), comparable(entries.1));
                if entries.1.is_array() && entries.0 != entries.1 {
                    out.push(format!("managedFields\ngot      {}\nrecorded {}", entries.0, entries.1));
                }
                for key in ["spec", "data", "status"] {
                    if object.get(key).is_some_and(|o| !o.is_null()) && object.get(key) != body.get(key) {
                        out.push(format!("{key}\ngot      {}\nrecorded {}", object[key], body[key]));
                    }
                }
            } else {
                for (pointer, recorded) in body.as_object().into_iter().flatten() {
                    let got = object.pointer(pointer);
                    let known = pointer.starts_with("/spec")
                        || pointer.starts_with("/data")
                        || pointer.starts_with("/metadata/managedFields");
                    let got = if pointer.contains("managedFields") {
                        comparable(got)
                    } else {
                        got.cloned().unwrap_or_default()
                    };
                    let absent = recorded == "{{absent}}" && got.is_null();
                    if known && !absent && &got != recorded {
                        out.push(format!("{pointer}\ngot      {got}\nrecorded {recorded}"));
                    }
                }
            }
            out
        }
        Answer::Object(_) => vec![format!("accepted, recorded {status} {}", body["message"])],
    }
}

/// Replays one file; `leave` names cases that need more than this crate.
fn replay(file: &str, leave: &[&str]) {
    let (Some(cases), Some(fixtures)) = (shared(file), shared("fixtures.json")) else { return };
    let mut compared = 0;
    let mut failures = Vec::new();
    for case in cases["cases"].as_array().into_iter().flatten() {
        let id = case["id"].as_str().unwrap_or_default();
        if leave.contains(&id) {
            continue;
        }
        let mut store = Replay::new(&fixtures);
        for (i, step) in case["steps"].as_array().into_iter().flatten().enumerate() {
            let Some(request) = step.get("request").filter(|r| r.is_object()) else { continue };
            let Some(answer) = store.request(request) else { continue };
            if step.get("ignore_body").is_some() {
                continue;
            }
            compared += 1;
            failures.extend(
                differences(&answer, &step["expect"]).into_iter().map(|d| format!("{id} step {i}: {d}")),
            );
        }
    }
    assert!(compared > 5, "{file}: only {compared} answers compared");
    assert!(failures.is_empty(), "{} of {compared} differ:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn server_side_apply() {
    let server = [
        "ssa-no-manager",
        "ssa-body-bad",
        "ssa-body-bad-w",
        "ssa-force-other",
        "ssa-user-agent",
        "ssa-rv-stale",
        "ssa-status-missing",
        "ssa-generate-name",
        "ssa-missing-namespace",
        "ssa-body-yaml",
        // The scale subresource.
        "ssa-deployment-scale",
    ];
    replay("cases/server-side-apply.json", &server);
}

#[test]
fn custom_resource_validation() {
    // Scale paths are validated by the server crate.
    replay("cases/crd-validation.json", &["crv-minimum", "crv-scale", "crv-prune-metadata", "crv-embedded"]);
}

#[test]
fn defaults_of_built_in_kinds() {
    replay("cases/builtin-defaults.json", &[]);
}

#[test]
fn strategic_merge() {
    let server = ["smp-strategy", "smp-volumes", "smp-unknown-field"];
    replay("cases/strategic-merge.json", &server);
}

/// Every recorded refusal of a CRD that is about its schema alone.
#[test]
fn schemas_that_are_not_structural() {
    let Some(cases) = shared("cases/crd-lifecycle.json") else { return };
    let mut compared = 0;
    let mut failures = Vec::new();
    for case in cases["cases"].as_array().into_iter().flatten().filter(|c| c["id"] != "crl-cel-cost") {
        for step in case["steps"].as_array().into_iter().flatten() {
            let document = step.pointer("/request/body/spec/versions/0/schema/openAPIV3Schema");
            let body = &step["expect"]["body"];
            let recorded = body.get("/details/causes").or(body.pointer("/details/causes"));
            let (Some(document), Some(Value::Array(recorded))) = (document, recorded) else { continue };
            let below = |c: &&Value| {
                c["field"].as_str().is_some_and(|f| f.starts_with("spec.validation.openAPIV3Schema"))
            };
            let recorded: Vec<String> = recorded
                .iter()
                .filter(below)
                .map(|c| format!("{} {} {}", c["reason"], c["field"], c["message"]))
                .collect();
            if recorded.is_empty() {
                continue;
            }
            compared += 1;
            let causes = Schema::from_crd(document).err().unwrap_or_default();
            let got: Vec<String> = causes
                .iter()
                .map(|c| format!("{} {} {}", json!(c.reason.as_str()), json!(c.field), json!(c.message)))
                .collect();
            if got != recorded {
                failures.push(format!("{}\ngot      {got:#?}\nrecorded {recorded:#?}", case["id"]));
            }
        }
    }
    assert!(compared > 5, "only {compared} answers compared");
    assert!(failures.is_empty(), "{} of {compared} differ:\n{}", failures.len(), failures.join("\n"));
}
