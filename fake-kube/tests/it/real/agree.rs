//! Comparing: a server with the recordings, and two servers with each other.

use fake_kube_apiserver::conformance::{self, Case, Transport, differences};
use serde_json::Value;

use super::peer::Peer;

/// Recorded cases that the CRD server alone answers in another way than a whole kube-apiserver, with the reason.
pub const KNOWN: &[(&str, &str)] =
    &[("crl-delete-finalizer", "without namespaces the finalizer of a CRD breaks the connection")];

/// Lines of differences shown per step.
const SHOWN: usize = 6;

/// What the real server answered otherwise than it did when the case was recorded, from whichever of the two
/// releases: the whole kube-apiserver that the fake emulates, or the CRD server alone.
pub fn recorded(case: &Case, peer: &mut Peer) -> Vec<String> {
    let seed = peer.next_name();
    let seen = conformance::observe(case, peer, &seed);
    let whole = against(case, &seen.steps);
    let alone = against(&case.as_answered_by("ext33"), &seen.steps);
    let mut problems = seen.problems;
    for (whole, alone) in whole.into_iter().zip(alone) {
        if !whole.is_empty() && !alone.is_empty() {
            problems.extend(whole);
        }
    }
    problems
}

/// Differences per step.
fn against(case: &Case, seen: &[Option<Value>]) -> Vec<Vec<String>> {
    let expected = case.raw["steps"].as_array().map_or(&[][..], Vec::as_slice);
    let steps = seen.iter().zip(expected).enumerate();
    steps
        .map(|(n, (got, step))| got.as_ref().map_or(vec![], |got| shown(n, step, &step["expect"], got)))
        .collect()
}

/// The first step that two servers answered differently: what comes after it follows from it.
pub fn with_each_other(case: &Case, real: &mut Peer, ours: &mut dyn Transport) -> Vec<String> {
    let name = real.next_name();
    let theirs = conformance::observe(case, real, &name);
    let ours = conformance::observe(case, ours, &name);
    let steps = case.raw["steps"].as_array().map_or(&[][..], Vec::as_slice);
    let mut problems = [theirs.problems, ours.problems].concat();
    for (n, (theirs, ours)) in theirs.steps.into_iter().zip(ours.steps).enumerate() {
        let (Some(mut theirs), Some(mut ours)) = (theirs, ours) else { continue };
        for side in [&mut theirs, &mut ours] {
            in_one_order(side);
            without_chance(side);
        }
        if std::env::var_os("DREY_REAL_SHOW").is_some() {
            println!("{}: {}\n  real {theirs}\n  ours {ours}", n + 1, steps[n]);
        }
        problems.extend(shown(n, &steps[n], &theirs, &ours));
        if !problems.is_empty() {
            break;
        }
    }
    problems
}

/// managedFields are sorted by time: entries written within one second here may be a second apart there.
fn in_one_order(v: &mut Value) {
    match v {
        Value::Object(m) => {
            for (key, v) in m {
                in_one_order(v);
                if let ("managedFields", Value::Array(entries)) = (key.as_str(), v) {
                    entries.sort_by_key(|e| {
                        let text = |k: &str| e[k].as_str().unwrap_or_default().to_owned();
                        (text("operation"), text("manager"), text("subresource"), text("apiVersion"))
                    });
                }
            }
        }
        Value::Array(l) => l.iter_mut().for_each(in_one_order),
        _ => {}
    }
}

/// Go walks a map in random order. Typing an object stops at the first undeclared field of one: what else is wrong
/// beside it is said or not. And the errors of a schema come as its properties are walked.
fn without_chance(answer: &mut Value) {
    let Some(body) = answer.get_mut("body").filter(|b| b["message"].is_string()) else { return };
    let message = body["message"].as_str().unwrap_or_default().to_owned();
    if let Some(end) = message.find("): ").filter(|_| message.contains("field not declared in schema")) {
        body["message"] = Value::from(&message[..end]);
    } else if message.contains("): errors:\n") {
        let mut lines: Vec<&str> = message.lines().collect();
        lines.sort_unstable();
        body["message"] = Value::from(lines);
    }
    if let Some(Value::Array(causes)) = body.pointer_mut("/details/causes") {
        causes.sort_by_key(Value::to_string);
        let (head, listed) = message.split_once(" is invalid: ").unwrap_or((&message, ""));
        let mut said: Vec<&str> = listed.split(", ").map(|part| part.trim_matches(['[', ']'])).collect();
        said.push(head);
        said.sort_unstable();
        body["message"] = Value::from(said);
    }
}

fn shown(n: usize, step: &Value, want: &Value, got: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    differences("", want, got, &mut lines, SHOWN);
    if lines.is_empty() {
        return lines;
    }
    let request = &step["request"];
    let body = request.get("body").or(request.get("raw")).map(Value::to_string).unwrap_or_default();
    let body: String = body.chars().take(1500).collect();
    let head = format!(
        "step {}: {} {} {} {} {body}",
        n + 1,
        request["method"].as_str().unwrap_or_default(),
        request["path"].as_str().unwrap_or_default(),
        request["query"],
        request["headers"],
    );
    [head].into_iter().chain(lines).collect()
}
