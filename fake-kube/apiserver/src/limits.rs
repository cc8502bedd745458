//! LimitRange admission: pods are given the resources they leave open, pods and claims outside the bounds of their
//! namespace are refused (case def-limit-range).
//!
//! The ranges hold their own defaults already (default from max, request from default, request from min). Updates of
//! claims are held to the bounds too; those of pods cannot change what they take (SupportsAttributes of the plugin).
//! Leaves out: in-place resizes of running pods.

use std::sync::Arc;

use fake_kube_schema::quantity_nanos;
use serde_json::{Value, json};

use crate::meta;
use crate::server::State;
use crate::status::{Result, Status};
use crate::store::Stored;
use crate::write::Call;

const ANNOTATION: &str = "kubernetes.io/limit-ranger";
const LISTS: [(&str, &str); 2] = [("containers", "container"), ("initContainers", "init container")];

impl State {
    /// Fills in and checks an object that is created.
    pub(crate) fn limit(&self, call: &Call, object: &mut Value) -> Result<()> {
        let is_pod = call.def.is("", "pods");
        if is_pod {
            for range in self.limit_ranges(call) {
                fill(object, limits_of(range.pinned()));
            }
        }
        if is_pod || call.def.is("", "persistentvolumeclaims") {
            return self.check_limits(call, object, is_pod);
        }
        Ok(())
    }

    /// Checks a claim that is changed, unless it is going anyway.
    pub(crate) fn limit_updated(&self, call: &Call, new: &Value, old: &Value) -> Result<()> {
        let is_claim = call.def.is("", "persistentvolumeclaims") && call.subresource.is_empty();
        if is_claim && !meta::is_deleting(old) { self.check_limits(call, new, false) } else { Ok(()) }
    }

    fn limit_ranges(&self, call: &Call) -> Vec<Arc<Stored>> {
        let prefix = format!("{}/", call.namespace);
        let Some(def) = self.registry.get("", "v1", "limitranges") else { return Vec::new() };
        self.store.range(def.table, &prefix, "").map(|(_, range)| range.clone()).collect()
    }

    fn check_limits(&self, call: &Call, object: &Value, is_pod: bool) -> Result<()> {
        for range in self.limit_ranges(call) {
            let limits = limits_of(range.pinned()).iter();
            let found: Vec<String> = limits.flat_map(|l| violations(object, l, is_pod)).collect();
            let text = match found.as_slice() {
                [] => continue,
                [one] => one.clone(),
                many => format!("[{}]", many.join(", ")),
            };
            return Err(Status::forbidden(&call.def, meta::name(object), &text));
        }
        Ok(())
    }
}

fn limits_of(range: &Value) -> &[Value] {
    range["spec"]["limits"].as_array().map_or(&[], Vec::as_slice)
}

/// Gives containers the default limits and requests of a range, and says so in an annotation.
fn fill(pod: &mut Value, limits: &[Value]) {
    let mut told: Vec<String> = Vec::new();
    for (list, shown) in LISTS {
        for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
            let name = container["name"].as_str().unwrap_or("").to_owned();
            let mut set = |member: &str, key: &str, what: &str| {
                let mut filled: Vec<String> = Vec::new();
                for limit in limits.iter().filter(|l| l["type"] == "Container") {
                    for (resource, amount) in limit[key].as_object().into_iter().flatten() {
                        let there =
                            container["resources"].get(member).is_some_and(|m| m.get(resource).is_some());
                        if !there {
                            container["resources"][member][resource] = amount.clone();
                            filled.push(resource.clone());
                        }
                    }
                }
                filled.sort_unstable();
                if !filled.is_empty() {
                    told.push(format!("{} {what} for {shown} {name}", filled.join(", ")));
                }
            };
            set("requests", "defaultRequest", "request");
            set("limits", "default", "limit");
        }
    }
    if !told.is_empty() {
        let text = format!("LimitRanger plugin set: {}", told.join("; "));
        meta::of(pod).entry("annotations").or_insert_with(|| json!({}))[ANNOTATION] = json!(text);
    }
}

fn violations(object: &Value, limit: &Value, is_pod: bool) -> Vec<String> {
    let each = |list: &str| object["spec"][list].as_array().cloned().unwrap_or_default();
    match limit["type"].as_str() {
        Some("Container") if is_pod => {
            let all = LISTS.iter().flat_map(|(list, _)| each(list));
            all.flat_map(|c| bounds(limit, &c["resources"], "Container")).collect()
        }
        Some("Pod") if is_pod => {
            let sums = json!({"requests": sum(object, "requests"), "limits": sum(object, "limits")});
            bounds(limit, &sums, "Pod")
        }
        Some("PersistentVolumeClaim") if !is_pod => requests_alone(limit, &object["spec"]["resources"]),
        _ => Vec::new(),
    }
}

fn amounts<'a>(limit: &'a Value, key: &str) -> impl Iterator<Item = (&'a String, &'a str)> {
    limit[key].as_object().into_iter().flatten().filter_map(|(k, v)| v.as_str().map(|v| (k, v)))
}

fn amount<'a>(resources: &'a Value, member: &str, resource: &str) -> Option<(&'a str, i128)> {
    let text = resources[member][resource].as_str()?;
    Some((text, quantity_nanos(text)?))
}

fn bounds(limit: &Value, resources: &Value, kind: &str) -> Vec<String> {
    let mut out = Vec::new();
    for (resource, least) in amounts(limit, "min") {
        let lead = format!("minimum {resource} usage per {kind} is {least}");
        let enforced = quantity_nanos(least).unwrap_or(0);
        match (amount(resources, "requests", resource), amount(resources, "limits", resource)) {
            (None, _) => out.push(format!("{lead}.  No request is specified")),
            (Some((shown, n)), _) if n < enforced => out.push(format!("{lead}, but request is {shown}")),
            (_, Some((shown, n))) if n < enforced => out.push(format!("{lead}, but limit is {shown}")),
            _ => {}
        }
    }
    for (resource, most) in amounts(limit, "max") {
        let lead = format!("maximum {resource} usage per {kind} is {most}");
        let enforced = quantity_nanos(most).unwrap_or(0);
        match (amount(resources, "limits", resource), amount(resources, "requests", resource)) {
            (None, _) => out.push(format!("{lead}.  No limit is specified")),
            (Some((shown, n)), _) if n > enforced => out.push(format!("{lead}, but limit is {shown}")),
            (_, Some((shown, n))) if n > enforced => out.push(format!("{lead}, but request is {shown}")),
            _ => {}
        }
    }
    for (resource, ratio) in amounts(limit, "maxLimitRequestRatio") {
        let lead = format!("{resource} max limit to request ratio per {kind} is {ratio}");
        let given = |member: &str| amount(resources, member, resource).map(|(_, n)| n).filter(|n| *n > 0);
        match (given("requests"), given("limits")) {
            (None, _) => out.push(format!("{lead}, but no request is specified or request is 0")),
            (_, None) => out.push(format!("{lead}, but no limit is specified or limit is 0")),
            (Some(request), Some(most)) => {
                let observed = most as f64 / request as f64;
                let enforced = quantity_nanos(ratio).unwrap_or(0) as f64 / 1e9;
                if observed > enforced {
                    out.push(format!("{lead}, but provided ratio is {observed:.6}"));
                }
            }
        }
    }
    out
}

/// Claims have no limits: their request is held to both bounds.
fn requests_alone(limit: &Value, resources: &Value) -> Vec<String> {
    let mut out = Vec::new();
    for (key, word) in [("min", "minimum"), ("max", "maximum")] {
        for (resource, bound) in amounts(limit, key) {
            let lead = format!("{word} {resource} usage per PersistentVolumeClaim is {bound}");
            let enforced = quantity_nanos(bound).unwrap_or(0);
            match amount(resources, "requests", resource) {
                None => out.push(format!("{lead}.  No request is specified")),
                Some((shown, n)) if (key == "min" && n < enforced) || (key == "max" && n > enforced) => {
                    out.push(format!("{lead}, but request is {shown}"));
                }
                Some(_) => {}
            }
        }
    }
    out
}

/// What the containers of a pod take together; the largest init container counts when it takes more.
fn sum(pod: &Value, member: &str) -> Value {
    let mut totals: std::collections::BTreeMap<String, i128> = Default::default();
    let each = |list: &str| {
        let all = pod["spec"][list].as_array().into_iter().flatten();
        all.flat_map(|c| c["resources"][member].as_object().into_iter().flatten())
            .filter_map(|(k, v)| Some((k.clone(), quantity_nanos(v.as_str()?)?)))
            .collect::<Vec<_>>()
    };
    for (resource, n) in each("containers") {
        *totals.entry(resource).or_default() += n;
    }
    for (resource, n) in each("initContainers") {
        let total = totals.entry(resource).or_default();
        *total = (*total).max(n);
    }
    totals.into_iter().map(|(k, n)| (k, json!(shown(n)))).collect()
}

/// Whole units, in powers of 1024 where that comes out even, else thousandths.
fn shown(nanos: i128) -> String {
    let units = nanos / 1_000_000_000;
    if nanos % 1_000_000_000 != 0 {
        return format!("{}m", nanos / 1_000_000);
    }
    let mut rest = (units, "");
    for suffix in ["Ki", "Mi", "Gi", "Ti"] {
        if rest.0 == 0 || rest.0 % 1024 != 0 {
            break;
        }
        rest = (rest.0 / 1024, suffix);
    }
    format!("{}{}", rest.0, rest.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_pods_are_of_sums() {
        let limit = json!({"type": "Pod", "max": {"memory": "1Gi"}, "maxLimitRequestRatio": {"memory": "2"}});
        let of = |amount: &str| json!({"resources": {"requests": {"memory": "200Mi"}, "limits": {"memory": amount}}});
        let pod = |amount: &str| json!({"spec": {"containers": [of(amount), of(amount)]}});
        assert_eq!(violations(&pod("400Mi"), &limit, true), Vec::<String>::new());
        let over = violations(&pod("600Mi"), &limit, true);
        assert_eq!(
            over,
            [
                "maximum memory usage per Pod is 1Gi, but limit is 1200Mi",
                "memory max limit to request ratio per Pod is 2, but provided ratio is 3.000000"
            ]
        );
    }

    #[test]
    fn claims_are_held_by_their_request() {
        let limit =
            json!({"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}});
        let claim = |amount: &str| json!({"spec": {"resources": {"requests": {"storage": amount}}}});
        assert!(violations(&claim("2Gi"), &limit, false).is_empty());
        let over = violations(&claim("3Gi"), &limit, false);
        assert_eq!(over, ["maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"]);
    }
}
