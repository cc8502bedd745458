//! What the page offers to press: buttons with their steps, and every word of the language as data for a form. Buttons are
//! steps like any other, so a test holds them against the vocabulary.

use drey_language::vocabulary::{Shape, StepKind, Type, Vocabulary};
use serde_json::{Value, json};

use crate::run::vocabulary::DEPLOYMENT;

/// Buttons of each deployment; `$name` is its name in steps, `$app` the label of its pods, `$object` its reference.
pub fn deeds() -> Value {
    json!([
        {"label": "fail job", "hint": "a task fails once; Flink restarts the job as its restart strategy says",
            "step": {"job": {"name": "$name", "set": "RESTARTING", "cause": "pressed on the page"}}},
        {"label": "kill JM pod", "hint": "the JobManager's pod is deleted, as by kubectl delete pod",
            "step": {"pod": {"select": {"labels": {"app": "$app", "component": "jobmanager"}}, "do": "delete"}}},
        {"label": "lose TMs", "hint": "all TaskManagers die", "step": {"taskmanagers": {"name": "$name", "do": "lose"}}},
        {"label": "stall checkpoints", "hint": "checkpoints are triggered and never complete",
            "step": {"checkpoint": {"name": "$name", "stall": true}},
            "off": {"label": "checkpoints go on", "when": "stalled", "step": {"checkpoint": {"name": "$name", "stall": false}}}},
        {"label": "lose HA", "hint": "the ConfigMaps with HA metadata are deleted", "step": {"ha": {"name": "$name", "delete": "all"}}},
        {"label": "restart", "hint": "a new spec.restartNonce: an upgrade in the deployment's own mode",
            "step": {"patch": {"of": "$object", "merge": {"spec": {"restartNonce": "$nonce"}}}}},
        {"label": "suspend", "hint": "spec.job.state: suspended",
            "step": {"patch": {"of": "$object", "merge": {"spec": {"job": {"state": "suspended"}}}}},
            "off": {"label": "resume", "when": "suspended",
                "step": {"patch": {"of": "$object", "merge": {"spec": {"job": {"state": "running"}}}}}}}
    ])
}

/// Those of [`deeds`] that anybody with rights can do to a real cluster.
pub fn deeds_of_a_cluster() -> Value {
    const TAKEN: [&str; 3] = ["kill JM pod", "restart", "suspend"];
    let is_taken = |deed: &&Value| deed["label"].as_str().is_some_and(|label| TAKEN.contains(&label));
    deeds().as_array().into_iter().flatten().filter(is_taken).cloned().collect()
}

/// Buttons for what several deployments share.
pub fn presets() -> Value {
    let status = json!({"verb": "patch", "kind": "FlinkDeployment", "subresource": "status"});
    json!([
        {"title": "the operator", "deeds": [
            {"label": "crash", "hint": "dies now, comes back 5 s later with empty memory", "step": {"crashOperator": {}}},
            {"label": "crash at its next write", "hint": "the write is carried out, its answer is lost",
                "step": {"crashOperator": {"on": {"write": {"kind": "FlinkDeployment"}}, "at": "acceptedReplyLost"}}},
            {"label": "pause 30 s", "hint": "stands still, as in a long garbage collection", "step": {"pauseOperator": {"for": "30s"}}},
            {"label": "a second one, 30 s", "hint": "starts beside the first and ignores the lease",
                "step": {"secondOperator": {"for": "30s", "lease": "ignored"}}}
        ]},
        {"title": "the API server, for the operator", "deeds": [
            {"label": "409 ×3", "hint": "the next three writes of a FlinkDeployment's status conflict",
                "step": {"api": {"match": status, "respond": {"code": 409}, "times": 3}}},
            {"label": "410 on watch", "hint": "its watch of FlinkDeployments is told that it is too old",
                "step": {"watch": {"kind": "FlinkDeployment", "do": "drop410"}}},
            {"label": "watch cut", "hint": "its watch of FlinkDeployments is cut", "step": {"watch": {"kind": "FlinkDeployment", "do": "disconnect"}}},
            {"label": "timeouts 30 s", "hint": "what it asks is not answered", "step": {"api": {"match": {}, "respond": "timeout", "for": "30s"}}},
            {"label": "429 ×5", "hint": "told to come back in 2 s", "step": {"api": {"match": {}, "respond": {"code": 429, "retryAfter": "2s"}, "times": 5}}},
            {"label": "30% fail, 1 min", "hint": "500 for three of ten requests",
                "step": {"api": {"match": {}, "respond": {"code": 500}, "probability": 0.3, "for": "1m"}}},
            {"label": "lost replies 30 s", "hint": "writes are carried out, their answers never arrive",
                "step": {"api": {"match": {"verb": ["create", "update", "patch", "delete"]}, "respond": "dropAfterCommit", "for": "30s"}}}
        ]},
        {"title": "storage and pods", "deeds": [
            {"label": "S3 away 1 min", "hint": "nothing below s3:// can be read or written", "step": {"store": {"unreachable": "s3://", "for": "1m"}}},
            {"label": "JobManagers out of memory", "hint": "all JobManager pods are OOM-killed",
                "step": {"pod": {"select": {"labels": {"component": "jobmanager"}}, "do": "oom"}}},
            {"label": "evict TaskManagers", "hint": "their pods are evicted", "step": {"pod": {"select": {"labels": {"component": "taskmanager"}}, "do": "evict"}}},
            {"label": "end all faults", "hint": "rules of the API server, the network and pods", "step": {"control": {"what": "clear"}}}
        ]}
    ])
}

/// Words for the form: faults, actions and time; checks and structure belong into files.
pub fn words(vocabulary: &Vocabulary) -> Value {
    let kind = |kind: StepKind| match kind {
        StepKind::Fault => Some("fault"),
        StepKind::Action => Some("action"),
        StepKind::Time => Some("time"),
        StepKind::Check | StepKind::Monitor | StepKind::Structure => None,
    };
    let word = |step: &drey_language::vocabulary::StepSchema| {
        let kind = kind(step.kind).filter(|_| !step.virtual_only)?;
        Some(json!({"name": step.name, "kind": kind, "doc": step.doc, "example": step.example,
            "args": form(&step.args, vocabulary)}))
    };
    vocabulary.steps().filter_map(word).collect()
}

/// A type as the page's form takes it.
fn form(ty: &Type, vocabulary: &Vocabulary) -> Value {
    match ty {
        Type::Enum(words) => json!({"t": "enum", "words": words}),
        Type::Kind => json!({"t": "enum", "words": vocabulary.kinds()}),
        Type::Bool => json!({"t": "bool"}),
        Type::Int { .. } | Type::Number { .. } => json!({"t": "number"}),
        Type::Duration | Type::SignedDuration => json!({"t": "duration"}),
        Type::Shape(shape) => json!({"t": "shape", "keys": keys(shape, vocabulary)}),
        Type::OneOf(types) => match types.as_slice() {
            [one] => form(one, vocabulary),
            some => {
                json!({"t": "oneof", "of": some.iter().map(|ty| form(ty, vocabulary)).collect::<Vec<_>>()})
            }
        },
        Type::Any | Type::Tree | Type::Object | Type::Map(_) | Type::List(_) | Type::Steps | Type::Count => {
            json!({"t": "any"})
        }
        _ => json!({"t": "text"}),
    }
}

fn keys(shape: &Shape, vocabulary: &Vocabulary) -> Value {
    let key = |key: &drey_language::vocabulary::Key| {
        let ty = if key.doc == DEPLOYMENT { json!({"t": "deployment"}) } else { form(&key.ty, vocabulary) };
        json!({"name": key.name, "required": key.required, "doc": key.doc, "type": ty})
    };
    shape.keys.iter().map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::super::hand::step_of;
    use super::*;
    use crate::run::vocabulary;

    fn check(deed: &Value) {
        let text = deed["step"].to_string().replace("$name", "app").replace("$app", "app");
        let text = text.replace("$object", "FlinkDeployment/app").replace("\"$nonce\"", "7");
        assert!(!text.contains('$'), "{text}");
        let step = step_of(&text, &vocabulary()).unwrap_or_else(|why| panic!("{text}: {why}"));
        assert!(!step.virtual_only && step.kind != StepKind::Structure, "{text}");
        for key in ["label", "hint"] {
            assert!(
                deed[key].as_str().is_some_and(|text| !text.is_empty()) || deed["when"].is_string(),
                "{deed}"
            );
        }
    }

    #[test]
    fn what_can_be_pressed_is_a_step_of_the_language() {
        for deed in deeds().as_array().expect("a list") {
            check(deed);
            if deed["off"].is_object() {
                check(&deed["off"]);
            }
        }
        assert_eq!(deeds_of_a_cluster().as_array().map(Vec::len), Some(3));
        for group in presets().as_array().expect("a list") {
            group["deeds"].as_array().expect("a list").iter().for_each(check);
        }
    }

    #[test]
    fn every_fault_that_can_be_done_by_hand_has_a_form() {
        let vocabulary = vocabulary();
        let words = words(&vocabulary);
        let names: Vec<&str> =
            words.as_array().expect("a list").iter().filter_map(|w| w["name"].as_str()).collect();
        for step in vocabulary.steps().filter(|step| step.kind == StepKind::Fault) {
            assert!(names.contains(&step.name.as_str()), "{}", step.name);
        }
        assert!(!names.contains(&"group") && !names.contains(&"jumpClock"), "{names:?}");
    }
}
