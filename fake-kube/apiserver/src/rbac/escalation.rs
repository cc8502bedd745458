//! Nobody grants more than they hold: creating or changing roles and bindings (case auth-escalation).
//!
//! Who holds `escalate` on a role may write any rules into it, who holds `bind` on a role may bind it.

use serde_json::{Value, json};

use super::resolve::same_rules;
use super::rule::{Rule, described, go_list};
use super::{Attributes, strings};
use crate::meta;
use crate::resource::Definition;
use crate::server::{State, User};
use crate::status::{Result, Status};
use crate::write::Call;

const GROUP: &str = "rbac.authorization.k8s.io";

impl State {
    /// Checks a write of a role or binding; other kinds pass. `old` is what an update replaces.
    pub(crate) fn check_escalation(&self, call: &Call, new: &Value, old: Option<&Value>) -> Result<()> {
        if call.def.group != GROUP {
            return Ok(());
        }
        let Some(user) = self.restricted(call) else { return Ok(()) };
        match call.def.plural.as_str() {
            "roles" | "clusterroles" => self.check_role(call, user, new, old),
            _ => self.check_binding(call, user, new, old),
        }
    }

    fn check_role(&self, call: &Call, user: &User, new: &Value, old: Option<&Value>) -> Result<()> {
        let is_known = |old: &Value| {
            same_rules(&new["rules"], &old["rules"]) && new["aggregationRule"] == old["aggregationRule"]
        };
        if old.is_some_and(is_known) || self.holds(user, &call.def, "escalate", call, meta::name(new)) {
            return Ok(());
        }
        if !new["aggregationRule"].is_null() {
            let everything = [
                json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}),
                json!({"verbs": ["*"], "nonResourceURLs": ["*"]}),
            ];
            if self.missing(user, &call.namespace, everything.iter()).is_some() {
                let why = "must have cluster-admin privileges to use aggregationRules";
                return Err(Status::forbidden(&call.def, meta::name(new), why));
            }
        }
        let rules = new["rules"].as_array().into_iter().flatten();
        self.confirm(call, user, new, rules)
    }

    fn check_binding(&self, call: &Call, user: &User, new: &Value, old: Option<&Value>) -> Result<()> {
        let role = &new["roleRef"];
        if old.is_some_and(|old| old["roleRef"] == *role && old["subjects"] == new["subjects"]) {
            return Ok(());
        }
        let plural = if role["kind"] == "Role" { "roles" } else { "clusterroles" };
        if let Some(def) = self.registry.get(GROUP, "v1", plural)
            && self.holds(user, def, "bind", call, role["name"].as_str().unwrap_or(""))
        {
            return Ok(());
        }
        let rules = self.rules_of_role(role, &call.namespace)?;
        self.confirm(call, user, new, rules.into_iter())
    }

    fn holds(&self, user: &User, def: &Definition, verb: &str, call: &Call, name: &str) -> bool {
        let asked = Attributes {
            verb: verb.to_owned(),
            group: def.group.clone(),
            resource: def.plural.clone(),
            namespace: call.namespace.clone(),
            name: name.to_owned(),
            ..Attributes::default()
        };
        self.access(user, &asked).allowed
    }

    fn confirm<'a>(
        &self,
        call: &Call,
        user: &User,
        object: &Value,
        rules: impl Iterator<Item = &'a Value>,
    ) -> Result<()> {
        let Some(missing) = self.missing(user, &call.namespace, rules) else { return Ok(()) };
        let why = format!(
            "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{missing}",
            json!(user.name),
            go_list(&user.groups)
        );
        Err(Status::forbidden(&call.def, meta::name(object), &why))
    }

    /// The rights among `rules` that the user does not hold, as text.
    fn missing<'a>(
        &self,
        user: &User,
        namespace: &str,
        rules: impl Iterator<Item = &'a Value>,
    ) -> Option<String> {
        let own = self.rules_for(user, namespace);
        let singles =
            rules.filter(|r| strings(&r["verbs"]).next().is_some()).flat_map(|r| Rule::of(r).broken_down());
        let missing: Vec<Rule> = singles.filter(|s| !own.iter().any(|o| o.covers(s))).collect();
        (!missing.is_empty()).then(|| described(&missing))
    }
}
