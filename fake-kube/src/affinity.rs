//! Where a pod may run because of other pods: required pod affinity and anti-affinity, its own and those of pods that
//! run already, and topology spread constraints that are `DoNotSchedule` (kubernetes 1.35
//! pkg/scheduler/framework/plugins/interpodaffinity and podtopologyspread, `Filter`). What would be if some pods were not
//! there, or were, is asked with a [`Trial`]. Leaves out preferences.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::json::*;
use crate::scheduler::{is_over, matches_node};
use crate::view::{View, resource as r};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

/// Why a node does not do, and whether fewer pods there would help.
pub struct Unfit {
    pub reason: &'static str,
    pub is_resolvable: bool,
}

/// Running pods as they would be.
#[derive(Clone, Debug, Default)]
pub struct Trial<'a> {
    /// By uid.
    pub without: BTreeSet<&'a str>,
    /// Pods on this node that are not there yet.
    pub with: Vec<(&'a Arc<Value>, &'a str)>,
}

/// A pod and the node it runs on, or would.
type Placed<'a> = (&'a Value, &'a str);

/// What is asked of other pods' places, worked out once for a pod.
#[derive(Default)]
pub struct Company {
    spread: Vec<Spread>,
    affinity: Vec<Term>,
    /// By term: pods that match all terms of the affinity, by topology value.
    together: Vec<BTreeMap<String, usize>>,
    /// Nobody matches, and the pod would be company for itself.
    is_first: bool,
    /// Topology key and value where a pod runs that this one must not be with.
    avoid: Vec<(String, String)>,
    /// Where a pod runs that will not have this one.
    avoided_by: Vec<(String, String)>,
}

struct Spread {
    key: String,
    max_skew: i64,
    least: i64,
    itself: i64,
    counts: BTreeMap<String, i64>,
}

struct Term {
    key: String,
}

/// Whether a pod has anything to say about others.
pub fn has_terms(pod: &Value) -> bool {
    !terms(pod, "podAffinity").is_empty()
        || !terms(pod, "podAntiAffinity").is_empty()
        || hard_constraints(pod).next().is_some()
}

/// Whether a pod keeps others away.
pub fn keeps_away(pod: &Value) -> bool {
    !terms(pod, "podAntiAffinity").is_empty()
}

fn terms<'a>(pod: &'a Value, kind: &str) -> &'a [Value] {
    items(pod, &format!("/spec/affinity/{kind}/{REQUIRED}"))
}

fn hard_constraints(pod: &Value) -> impl Iterator<Item = &Value> {
    let all = items(pod, "/spec/topologySpreadConstraints").iter();
    all.filter(|c| c["whenUnsatisfiable"].as_str().unwrap_or("DoNotSchedule") == "DoNotSchedule")
}

/// Whether a term of `owner` is about `pod`.
fn concerns(view: &View, owner: &Value, term: &Value, pod: &Value) -> bool {
    let listed = items(term, "/namespaces");
    let selector = &term["namespaceSelector"];
    let is_there = match (listed.is_empty(), selector.is_null()) {
        (true, true) => namespace(owner) == namespace(pod),
        _ => {
            listed.iter().any(|n| n == namespace(pod))
                || (!selector.is_null()
                    && view
                        .get(r::NAMESPACES, "", namespace(pod))
                        .is_some_and(|n| selector_matches(selector, at(n, "/metadata/labels"))))
        }
    };
    is_there && matches_pod(owner, term, pod)
}

/// The label selector of a term or constraint, with what `matchLabelKeys` take from the pod that asks.
fn matches_pod(owner: &Value, term: &Value, pod: &Value) -> bool {
    let (ours, theirs) = (at(owner, "/metadata/labels"), at(pod, "/metadata/labels"));
    let key_of = |k: &Value| k.as_str().unwrap_or("").to_owned();
    let same = items(term, "/matchLabelKeys")
        .iter()
        .map(key_of)
        .all(|k| ours[&k].is_null() || ours[&k] == theirs[&k]);
    let differs = items(term, "/mismatchLabelKeys")
        .iter()
        .map(key_of)
        .all(|k| ours[&k].is_null() || ours[&k] != theirs[&k]);
    // Without a selector a term is about nobody.
    !term["labelSelector"].is_null() && same && differs && selector_matches(&term["labelSelector"], theirs)
}

impl Company {
    pub fn of(view: &View, pod: &Value, nodes: &[&Arc<Value>], trial: &Trial) -> Company {
        let mut out = Company::default();
        let labels: BTreeMap<&str, &Value> =
            nodes.iter().map(|n| (name(n), at(n, "/metadata/labels"))).collect();
        let place =
            |p: Placed, key: &str| -> Option<String> { labels.get(p.1)?[key].as_str().map(str::to_owned) };
        let key_of = |t: &Value| t["topologyKey"].as_str().unwrap_or("").to_owned();
        let is_there = |p: &Placed| !trial.without.contains(uid(p.0));
        let placed = |p: &'_ Arc<Value>| -> bool { !text(p, "/spec/nodeName").is_empty() && !is_over(p) };
        let added = || trial.with.iter().map(|(p, node)| (&***p, *node));
        let guards = view.keeping_away().map(|p| (&**p, text(p, "/spec/nodeName")));
        for other in guards.filter(is_there).chain(added()) {
            for term in terms(other.0, "podAntiAffinity") {
                if concerns(view, other.0, term, pod)
                    && let Some(value) = place(other, &key_of(term))
                {
                    out.avoided_by.push((key_of(term), value));
                }
            }
        }
        if !has_terms(pod) {
            return out;
        }
        let bound = view.list(r::PODS).map(|(_, p)| p).filter(|p| placed(p));
        let bound = bound.map(|p| (&**p, text(p, "/spec/nodeName")));
        let running: Vec<Placed> = bound.filter(is_there).chain(added()).collect();
        for term in terms(pod, "podAntiAffinity") {
            let there = running.iter().filter(|p| concerns(view, pod, term, p.0));
            out.avoid.extend(there.filter_map(|p| Some((key_of(term), place(*p, &key_of(term))?))));
        }
        let affinity = terms(pod, "podAffinity");
        let is_company = |p: &Value| affinity.iter().all(|t| concerns(view, pod, t, p));
        let company: Vec<&Placed> =
            running.iter().filter(|p| !affinity.is_empty() && is_company(p.0)).collect();
        for term in affinity {
            let mut places: BTreeMap<String, usize> = BTreeMap::new();
            for value in company.iter().filter_map(|p| place(**p, &key_of(term))) {
                *places.entry(value).or_default() += 1;
            }
            out.affinity.push(Term { key: key_of(term) });
            out.together.push(places);
        }
        out.is_first = out.together.iter().all(BTreeMap::is_empty) && is_company(pod);
        let constraints: Vec<&Value> = hard_constraints(pod).collect();
        let keys: Vec<String> = constraints.iter().map(|c| key_of(c)).collect();
        for constraint in &constraints {
            out.spread.push(Spread::of(pod, constraint, &keys, &running, nodes));
        }
        out
    }

    /// In the order of the real filters: spread, then affinity.
    pub fn unfit(&self, node: &Value) -> Option<Unfit> {
        let labels = at(node, "/metadata/labels");
        for spread in &self.spread {
            let Some(value) = labels[&spread.key].as_str() else {
                let reason = "node(s) didn't match pod topology spread constraints (missing required label)";
                return Some(Unfit { reason, is_resolvable: false });
            };
            let here = spread.counts.get(value).copied().unwrap_or(0);
            if here + spread.itself - spread.least > spread.max_skew {
                let reason = "node(s) didn't match pod topology spread constraints";
                return Some(Unfit { reason, is_resolvable: true });
            }
        }
        let has_company = self.affinity.iter().zip(&self.together).all(|(term, places)| {
            labels[&term.key].as_str().is_some_and(|value| self.is_first || places.contains_key(value))
        });
        if !has_company {
            return Some(Unfit { reason: "node(s) didn't match pod affinity rules", is_resolvable: false });
        }
        let is_at = |(key, value): &(String, String)| labels[key] == *value.as_str();
        if self.avoid.iter().any(is_at) {
            let reason = "node(s) didn't match pod anti-affinity rules";
            return Some(Unfit { reason, is_resolvable: true });
        }
        if self.avoided_by.iter().any(is_at) {
            let reason = "node(s) didn't satisfy existing pods anti-affinity rules";
            return Some(Unfit { reason, is_resolvable: true });
        }
        None
    }
}

impl Spread {
    fn of(
        pod: &Value,
        constraint: &Value,
        keys: &[String],
        running: &[Placed],
        nodes: &[&Arc<Value>],
    ) -> Spread {
        let key = constraint["topologyKey"].as_str().unwrap_or("").to_owned();
        let honors_affinity = constraint["nodeAffinityPolicy"].as_str().unwrap_or("Honor") == "Honor";
        let honors_taints = constraint["nodeTaintsPolicy"] == "Honor";
        let eligible = nodes.iter().filter(|node| {
            keys.iter().all(|k| !at(node, "/metadata/labels")[k].is_null())
                && (!honors_affinity || matches_node(pod, node))
                && (!honors_taints || crate::scheduler::untolerated(pod, node).is_none())
        });
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        let mut domain_of: BTreeMap<&str, String> = BTreeMap::new();
        for node in eligible {
            let value = at(node, "/metadata/labels")[&key].as_str().unwrap_or("").to_owned();
            counts.entry(value.clone()).or_default();
            domain_of.insert(name(node), value);
        }
        for (other, node) in running {
            let counted = namespace(other) == namespace(pod)
                && !is_deleting(other)
                && matches_pod(pod, constraint, other);
            if let Some(value) = domain_of.get(node).filter(|_| counted) {
                *counts.entry(value.clone()).or_default() += 1;
            }
        }
        let domains = i64::try_from(counts.len()).unwrap_or(i64::MAX);
        let least = match constraint["minDomains"].as_i64() {
            Some(min) if domains < min => 0,
            _ => counts.values().copied().min().unwrap_or(0),
        };
        let itself = i64::from(matches_pod(pod, constraint, pod));
        Spread { key, max_skew: constraint["maxSkew"].as_i64().unwrap_or(1), least, itself, counts }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::controllers::testing::view;

    fn pod(name: &str, app: &str, node: &str, spec: Value) -> Value {
        let mut pod = json!({"metadata": {"name": name, "namespace": "n", "uid": name, "labels": {"app": app}}, "spec": spec});
        if !node.is_empty() {
            pod["spec"]["nodeName"] = json!(node);
        }
        pod
    }

    /// For nodes a and b of zone x, c of zone y, d without a zone: why each does not do.
    fn check(pod: &Value, others: Vec<Value>, expected: [&str; 4]) {
        let node = |name: &str, zone: &str| {
            let labels =
                if zone.is_empty() { json!({"host": name}) } else { json!({"host": name, "zone": zone}) };
            json!({"metadata": {"name": name, "labels": labels}})
        };
        let nodes = [node("a", "x"), node("b", "x"), node("c", "y"), node("d", "")];
        let mut objects: Vec<(&str, Value)> = nodes.iter().map(|n| (r::NODES, n.clone())).collect();
        objects.extend(others.into_iter().map(|p| (r::PODS, p)));
        let view = view(objects);
        let nodes: Vec<&Arc<Value>> = view.list(r::NODES).map(|(_, n)| n).collect();
        let company = Company::of(&view, pod, &nodes, &Trial::default());
        let short = |u: Option<Unfit>| u.map_or("", |u| u.reason.trim_start_matches("node(s) didn't "));
        let said: Vec<&str> = nodes.iter().map(|n| short(company.unfit(n))).collect();
        assert_eq!(said, expected);
    }

    fn term(app: &str, key: &str) -> Value {
        json!({REQUIRED: [{"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key}]})
    }

    #[test]
    fn together_and_apart() {
        let lonely = "match pod affinity rules";
        let with = |app: &str| pod("p", "p", "", json!({"affinity": {"podAffinity": term(app, "zone")}}));
        let db = || pod("db", "db", "c", json!({}));
        check(&with("db"), vec![db()], [lonely, lonely, "", lonely]);
        check(&with("db"), vec![], [lonely; 4]);
        // The first of its kind may go anywhere that has a zone.
        check(&with("p"), vec![], ["", "", "", lonely]);
        let apart = "match pod anti-affinity rules";
        let without = pod("p", "p", "", json!({"affinity": {"podAntiAffinity": term("db", "zone")}}));
        check(&without, vec![db()], ["", "", apart, ""]);
        let guard = pod("g", "g", "a", json!({"affinity": {"podAntiAffinity": term("p", "zone")}}));
        let existing = "satisfy existing pods anti-affinity rules";
        check(&pod("p", "p", "", json!({})), vec![guard], [existing, existing, "", ""]);
    }

    #[test]
    fn evenly_spread() {
        let constraint = |key: &str| json!({"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "p"}}});
        let spread = |key: &str| pod("p", "p", "", json!({"topologySpreadConstraints": [constraint(key)]}));
        let (full, none) = (
            "match pod topology spread constraints",
            "match pod topology spread constraints (missing required label)",
        );
        check(&spread("zone"), vec![], ["", "", "", none]);
        let at = |n: &str, node: &str| pod(n, "p", node, json!({}));
        check(&spread("zone"), vec![at("1", "a")], [full, full, "", none]);
        check(&spread("zone"), vec![at("1", "a"), at("2", "c")], ["", "", "", none]);
        check(&spread("host"), vec![at("1", "a"), at("2", "b")], [full, full, "", ""]);
    }
}
