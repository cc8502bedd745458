//! One policy rule: what it allows, whether it covers another, and how it is shown in messages.
//!
//! The matching is that of rbac/v1 evaluation helpers: `*` for verbs, groups, resources (also `*/scale`) and paths, a
//! trailing `*` in paths, resource names only when the rule lists some.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Attributes, strings};

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rule {
    pub(crate) groups: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) paths: Vec<String>,
    pub(crate) names: Vec<String>,
    pub(crate) verbs: Vec<String>,
}

/// Whether a stored rule allows a request; nothing is copied.
pub(super) fn allows(rule: &Value, asked: &Attributes) -> bool {
    let has = |key: &str, wanted: &str| strings(&rule[key]).any(|x| x == "*" || x == wanted);
    if !has("verbs", &asked.verb) {
        return false;
    }
    if let Some(path) = &asked.path {
        return strings(&rule["nonResourceURLs"]).any(|url| path_matches(url, path));
    }
    has("apiGroups", &asked.group)
        && strings(&rule["resources"]).any(|r| resource_matches(r, &asked.resource, &asked.subresource))
        && (strings(&rule["resourceNames"]).next().is_none()
            || strings(&rule["resourceNames"]).any(|n| n == asked.name))
}

fn path_matches(url: &str, path: &str) -> bool {
    url == "*" || url == path || (url.ends_with('*') && path.starts_with(url.trim_end_matches('*')))
}

fn resource_matches(rule: &str, resource: &str, subresource: &str) -> bool {
    if rule == "*" {
        return true;
    }
    match (rule.split_once('/'), subresource) {
        (None, "") => rule == resource,
        (Some((r, s)), sub) if !sub.is_empty() => (r == "*" || r == resource) && s == sub,
        _ => false,
    }
}

impl Rule {
    pub(super) fn of(v: &Value) -> Rule {
        let list = |key: &str| strings(&v[key]).map(str::to_owned).collect();
        Rule {
            groups: list("apiGroups"),
            resources: list("resources"),
            paths: list("nonResourceURLs"),
            names: list("resourceNames"),
            verbs: list("verbs"),
        }
    }

    /// Single rights: one group, resource, verb and name each, or one path and verb.
    pub(super) fn broken_down(&self) -> Vec<Rule> {
        let one = |s: &String| vec![s.clone()];
        let mut out = Vec::new();
        for group in &self.groups {
            for resource in &self.resources {
                for verb in &self.verbs {
                    let single = Rule {
                        groups: one(group),
                        resources: one(resource),
                        verbs: one(verb),
                        ..Rule::default()
                    };
                    match self.names.as_slice() {
                        [] => out.push(single),
                        names => out.extend(names.iter().map(|n| Rule { names: one(n), ..single.clone() })),
                    }
                }
            }
        }
        for path in &self.paths {
            let each =
                self.verbs.iter().map(|verb| Rule { paths: one(path), verbs: one(verb), ..Rule::default() });
            out.extend(each);
        }
        out
    }

    /// Whether every right of a single rule (see [`Rule::broken_down`]) is held through this one.
    pub(super) fn covers(&self, single: &Rule) -> bool {
        let all = |own: &[String], wanted: &[String]| {
            own.iter().any(|x| x == "*") || wanted.iter().all(|w| own.contains(w))
        };
        let resources = |wanted: &String| {
            let (r, s) = wanted.split_once('/').unwrap_or((wanted, ""));
            self.resources.iter().any(|own| own == wanted || resource_matches(own, r, s))
        };
        all(&self.verbs, &single.verbs)
            && all(&self.groups, &single.groups)
            && single.resources.iter().all(resources)
            && single.paths.iter().all(|w| self.paths.iter().any(|own| path_matches(own, w)))
            && (self.names.is_empty()
                || (!single.names.is_empty() && single.names.iter().all(|n| self.names.contains(n))))
    }

    /// `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`.
    fn shown(&self) -> String {
        let parts = [
            ("APIGroups", &self.groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.paths),
            ("ResourceNames", &self.names),
            ("Verbs", &self.verbs),
        ];
        let listed: Vec<String> =
            parts.iter().filter(|(_, l)| !l.is_empty()).map(|(k, l)| format!("{k}:{}", go_list(l))).collect();
        format!("{{{}}}", listed.join(", "))
    }
}

/// Go's `%q` of a list of strings.
pub(super) fn go_list(list: &[String]) -> String {
    let quoted: Vec<String> = list.iter().map(|s| json!(s).to_string()).collect();
    format!("[{}]", quoted.join(" "))
}

/// Single rights put together by group, resource and name, one line each, sorted.
pub(super) fn described(singles: &[Rule]) -> String {
    let mut together: BTreeMap<Rule, Vec<String>> = BTreeMap::new();
    let mut lines = Vec::new();
    for rule in singles {
        if !rule.paths.is_empty() {
            lines.push(rule.shown());
            continue;
        }
        together.entry(Rule { verbs: Vec::new(), ..rule.clone() }).or_default().extend(rule.verbs.clone());
    }
    lines.extend(together.into_iter().map(|(rule, verbs)| Rule { verbs, ..rule }.shown()));
    lines.sort_unstable();
    lines.dedup();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(v: Value) -> Rule {
        Rule::of(&v)
    }

    #[test]
    fn resources_and_their_subresources_are_granted_apart() {
        let check = |rule: &str, resource: &str, sub: &str| resource_matches(rule, resource, sub);
        assert!(check("pods", "pods", ""));
        assert!(!check("pods", "pods", "log"));
        assert!(check("pods/log", "pods", "log"));
        assert!(!check("pods/log", "pods", ""));
        assert!(check("*/scale", "deployments", "scale"));
        assert!(!check("*/scale", "deployments", ""));
        assert!(check("*", "deployments", "scale"));
    }

    #[test]
    fn paths_end_in_a_star() {
        assert!(path_matches("/apis/*", "/apis/apps"));
        assert!(!path_matches("/apis/*", "/apis"));
        assert!(path_matches("*", "/anything"));
    }

    #[test]
    fn what_is_missing_is_shown_by_resource() {
        let own =
            rule(json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"], "resourceNames": ["a"]}));
        let wanted =
            rule(json!({"apiGroups": [""], "resources": ["pods", "secrets"], "verbs": ["get", "list"]}));
        let missing: Vec<Rule> = wanted.broken_down().into_iter().filter(|s| !own.covers(s)).collect();
        let text = "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"get\" \"list\"]}\n\
                    {APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"list\"]}";
        assert_eq!(described(&missing), text, "a right on one name is not the right on all");
        let named =
            rule(json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"], "resourceNames": ["a"]}));
        assert!(named.broken_down().iter().all(|s| own.covers(s)));
    }
}
