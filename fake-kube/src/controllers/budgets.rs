//! The status of PodDisruptionBudgets (case wl-pdb). Evictions are refused by the API server from this status.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::deployment::ACTOR;
use super::rollout::count;
use super::{Happened, only};
use crate::json::*;
use crate::view::{Key, View, resource as r};
use crate::write::{Step, Write};

pub fn wakes(h: &Happened, view: &View) -> BTreeSet<Key> {
    let mut keys = only(h, r::BUDGETS);
    if &*h.key.resource == r::PODS {
        keys.extend(view.list_in(r::BUDGETS, &h.key.namespace).map(|(k, _)| k.clone()));
    }
    keys
}

pub fn sync(view: &View, key: &Key, now: Timestamp) -> Step {
    let mut step = Step::nothing();
    let Some(budget) = view.find(key) else { return step };
    let selector = at(budget, "/spec/selector");
    let pods: Vec<&Arc<Value>> = view
        .list_in(r::PODS, &key.namespace)
        .map(|(_, p)| p)
        .filter(|p| selector.is_object() && selector_matches(selector, at(p, "/metadata/labels")))
        .filter(|p| !matches!(text(p, "/status/phase"), "Succeeded" | "Failed"))
        .collect();
    let healthy = pods.iter().filter(|p| !is_deleting(p) && condition_is_true(p, "Ready")).count();
    let healthy = i64::try_from(healthy).unwrap_or(i64::MAX);
    let (expected, desired) = expectations(view, budget, &pods);
    let allowed = (healthy - desired).clamp(0, expected.max(0));
    let mut status = json!({"observedGeneration": at(budget, "/metadata/generation"), "disruptionsAllowed": allowed,
        "currentHealthy": healthy, "desiredHealthy": desired, "expectedPods": expected});
    let (on, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let since = condition(budget, "DisruptionAllowed")
        .filter(|c| c["status"] == on)
        .map_or(stamp(now), |c| c["lastTransitionTime"].clone());
    status["conditions"] = json!([{"type": "DisruptionAllowed", "status": on,
        "observedGeneration": at(budget, "/metadata/generation"), "lastTransitionTime": since, "reason": reason, "message": ""}]);
    if status != *at(budget, "/status") {
        let mut object = Value::clone(budget);
        object["status"] = status;
        step.push(Write::update_status(ACTOR, r::BUDGETS, object));
    }
    step
}

/// How many pods there should be, and how many must stay healthy.
fn expectations(view: &View, budget: &Value, pods: &[&Arc<Value>]) -> (i64, i64) {
    let seen = i64::try_from(pods.len()).unwrap_or(i64::MAX);
    let min = at(budget, "/spec/minAvailable");
    if let Some(min) = min.as_i64() {
        return (seen, min);
    }
    // Shares are of what the controllers want, not of what is there.
    let owners: BTreeSet<&str> = pods.iter().filter_map(|p| controller_of(p)?["uid"].as_str()).collect();
    let wanted: i64 = owners
        .iter()
        .filter_map(|u| view.by_uid(u))
        .map(|(_, owner)| int_or(&owner, "/spec/replicas", 0))
        .sum();
    let expected = if owners.is_empty() { seen } else { wanted };
    if !min.is_null() {
        return (expected, count(min, expected, true));
    }
    (expected, (expected - count(at(budget, "/spec/maxUnavailable"), expected, true)).max(0))
}
