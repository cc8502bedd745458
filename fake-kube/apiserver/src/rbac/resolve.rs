//! From a user to the rules that apply: cluster role bindings, then the role bindings of a namespace.
//!
//! Aggregated cluster roles count with the rules of all roles their selectors match, so that nothing depends on a
//! controller having filled them in.

use std::ops::ControlFlow;

use serde_json::{Value, json};

use super::rule::{self, Rule};
use super::{Attributes, Decision};
use crate::meta;
use crate::selector::LabelSelector;
use crate::server::{State, User};
use crate::status::{Result, Status};

const GROUP: &str = "rbac.authorization.k8s.io";

/// A rule on its way to a user.
struct Applies<'a> {
    rule: &'a Value,
    binding: &'a Value,
    subject: &'a Value,
}

impl State {
    pub(super) fn decide(&self, user: &User, asked: &Attributes) -> Decision {
        let mut reason = String::new();
        let errors = self.visit(user, &asked.namespace, &mut |found| {
            if !rule::allows(found.rule, asked) {
                return ControlFlow::Continue(());
            }
            reason = format!("RBAC: allowed by {}", found.described());
            ControlFlow::Break(())
        });
        match (reason.is_empty(), errors.is_empty()) {
            (false, _) => Decision { allowed: true, reason },
            (true, true) => Decision::default(),
            (true, false) => {
                let text =
                    if errors.len() == 1 { errors.join("") } else { format!("[{}]", errors.join(", ")) };
                Decision { allowed: false, reason: format!("RBAC: {text}") }
            }
        }
    }

    /// Every rule that applies to the user in a namespace ("" for cluster-wide ones only).
    pub(super) fn rules_for(&self, user: &User, namespace: &str) -> Vec<Rule> {
        let mut out = Vec::new();
        self.visit(user, namespace, &mut |found| {
            out.push(Rule::of(found.rule));
            ControlFlow::Continue(())
        });
        out
    }

    /// The rules of a role as a binding in `namespace` names it.
    pub(super) fn rules_of_role(&self, role: &Value, namespace: &str) -> Result<Vec<&Value>> {
        let name = role["name"].as_str().unwrap_or("");
        let (plural, shown, key) = match role["kind"].as_str() {
            Some("Role") => ("roles", "role", crate::store::key(namespace, name)),
            _ => ("clusterroles", "clusterrole", crate::store::key("", name)),
        };
        let found = self.table_of(plural).and_then(|t| self.store.get(t, &key));
        let Some(found) = found else {
            let text = format!("{shown}.{GROUP} {} not found", json!(name));
            let details = json!({"name": name, "group": GROUP, "kind": shown});
            return Err(Status::new(404, "NotFound", text).details(details));
        };
        let mut roles = vec![found.pinned()];
        let mut rules = Vec::new();
        let mut next = 0;
        // Roles that aggregate others stand for those alone, however they are nested.
        while let Some(role) = roles.get(next).copied() {
            next += 1;
            let selectors = role.pointer("/aggregationRule/clusterRoleSelectors").and_then(Value::as_array);
            let Some(selectors) = selectors else {
                rules.extend(role["rules"].as_array().into_iter().flatten());
                continue;
            };
            for other in self.selected(selectors) {
                if !roles.iter().any(|seen| meta::name(seen) == meta::name(other)) {
                    roles.push(other);
                }
            }
        }
        Ok(rules)
    }

    /// Cluster roles that match one of the selectors.
    fn selected<'a>(&'a self, selectors: &[Value]) -> Vec<&'a Value> {
        let parsed: Vec<LabelSelector> = selectors.iter().map(LabelSelector::from_object).collect();
        let Some(table) = self.table_of("clusterroles") else { return Vec::new() };
        let all = self.store.range(table, "", "").map(|(_, s)| s.pinned());
        all.filter(|role| parsed.iter().any(|p| p.matches(role))).collect()
    }

    fn visit<'a>(
        &'a self,
        user: &User,
        namespace: &str,
        each: &mut dyn FnMut(Applies<'a>) -> ControlFlow<()>,
    ) -> Vec<String> {
        let mut errors = Vec::new();
        let prefix = format!("{namespace}/");
        let scopes = [("clusterrolebindings", ""), ("rolebindings", prefix.as_str())];
        let wanted = if namespace.is_empty() { 1 } else { 2 };
        for (plural, prefix) in scopes.into_iter().take(wanted) {
            let Some(table) = self.table_of(plural) else { continue };
            let all = self.store.range(table, "", prefix);
            for (_, stored) in all.take_while(|(key, _)| key.starts_with(prefix)) {
                let binding = stored.pinned();
                let Some(subject) = subject_of(binding, user) else { continue };
                match self.rules_of_role(&binding["roleRef"], meta::namespace(binding)) {
                    Err(e) => errors.push(e.message),
                    Ok(rules) => {
                        for rule in rules {
                            if each(Applies { rule, binding, subject }).is_break() {
                                return errors;
                            }
                        }
                    }
                }
            }
        }
        errors
    }

    fn table_of(&self, plural: &str) -> Option<crate::store::TableId> {
        self.registry.get(GROUP, "v1", plural).map(|d| d.table)
    }
}

/// The first subject of a binding that is this user.
fn subject_of<'a>(binding: &'a Value, user: &User) -> Option<&'a Value> {
    binding["subjects"].as_array()?.iter().find(|s| {
        let name = s["name"].as_str().unwrap_or("");
        match s["kind"].as_str().unwrap_or("") {
            "User" => user.name == name,
            "Group" => user.groups.iter().any(|g| g == name),
            "ServiceAccount" => {
                let namespace = s["namespace"].as_str().unwrap_or_else(|| meta::namespace(binding));
                let rest = user.name.strip_prefix("system:serviceaccount:");
                !namespace.is_empty() && rest.and_then(|r| r.split_once(':')) == Some((namespace, name))
            }
            _ => false,
        }
    })
}

impl Applies<'_> {
    /// How a review's reason names the way a right came.
    fn described(&self) -> String {
        let text = |v: &Value| v.as_str().unwrap_or("").to_owned();
        let (name, namespace) = (meta::name(self.binding), meta::namespace(self.binding));
        let (kind, shown) = match namespace {
            "" => ("ClusterRoleBinding", name.to_owned()),
            ns => ("RoleBinding", format!("{name}/{ns}")),
        };
        let role = &self.binding["roleRef"];
        let mut subject = text(&self.subject["name"]);
        if self.subject["kind"] == "ServiceAccount" {
            let own = self.subject["namespace"].as_str().unwrap_or(namespace);
            subject = format!("{subject}/{own}");
        }
        format!(
            "{kind} {} of {} {} to {} {}",
            json!(shown),
            text(&role["kind"]),
            json!(text(&role["name"])),
            text(&self.subject["kind"]),
            json!(subject)
        )
    }
}

/// The members a rules review lists, without empty ones.
pub(super) fn listed(rules: &[Rule]) -> Value {
    let mut out = json!({"resourceRules": [], "nonResourceRules": [], "incomplete": false});
    for rule in rules {
        let put = |list: &str, members: &[(&str, &Vec<String>)], out: &mut Value| {
            let kept = members.iter().filter(|(_, l)| !l.is_empty());
            let entry = Value::Object(kept.map(|(k, l)| ((*k).to_owned(), json!(l))).collect());
            if let Some(l) = out[list].as_array_mut() {
                l.push(entry);
            }
        };
        if !rule.resources.is_empty() {
            let members = [
                ("verbs", &rule.verbs),
                ("apiGroups", &rule.groups),
                ("resources", &rule.resources),
                ("resourceNames", &rule.names),
            ];
            put("resourceRules", &members, &mut out);
        }
        if !rule.paths.is_empty() {
            put("nonResourceRules", &[("verbs", &rule.verbs), ("nonResourceURLs", &rule.paths)], &mut out);
        }
    }
    out
}

/// Whether two lists of rules hold the same strings.
pub(super) fn same_rules(a: &Value, b: &Value) -> bool {
    let rules = |v: &Value| -> Vec<Rule> { v.as_array().into_iter().flatten().map(Rule::of).collect() };
    rules(a) == rules(b)
}
