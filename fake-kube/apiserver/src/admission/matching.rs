//! Which webhooks a request concerns (apiserver, pkg/admission/plugin/webhook/generic and predicates).

use std::sync::Arc;

use serde_json::{Value, json};

use super::chain::{Asked, Operation};
use super::hooks::{Condition, Hook, Matching};
use crate::meta;
use crate::resource::Definition;
use crate::selector::LabelSelector;
use crate::server::State;
use crate::status::{Result, Status};
use crate::write::Call;

/// The resource, subresource aside, a webhook is called for: the one asked, or an equivalent one its rules name.
pub(crate) struct Invocation {
    pub(crate) def: Arc<Definition>,
}

impl State {
    /// None: the webhook has nothing to do with this.
    pub(crate) fn invocation(
        &self,
        call: &Call,
        hook: &Hook,
        asked: &Asked<'_>,
    ) -> Result<Option<Invocation>> {
        let Some(def) = self.matches(call, &hook.matching, asked) else { return Ok(None) };
        self.conditions_hold(call, hook, asked).map(|holds| holds.then_some(Invocation { def }))
    }

    /// The version of the resource something is for; None when it is not for this request.
    pub(crate) fn matches(&self, call: &Call, m: &Matching, asked: &Asked<'_>) -> Option<Arc<Definition>> {
        if !self.namespace_matches(call, &m.namespaces, asked) {
            return None;
        }
        // What has no metadata, as the options of a CONNECT, is chosen by no selector.
        let object_matches =
            |o: Option<&Value>| o.is_some_and(|o| o["metadata"].is_object() && m.objects.matches(o));
        if !m.objects.is_empty() && !object_matches(asked.object) && !object_matches(asked.old) {
            return None;
        }
        self.matching_definition(call, m, asked)
    }

    /// The namespace's labels; a Namespace is looked at itself, other cluster-scoped objects always match.
    fn namespace_matches(&self, call: &Call, selector: &LabelSelector, asked: &Asked<'_>) -> bool {
        if selector.is_empty() {
            return true;
        }
        if call.def.is("", "namespaces") {
            let own = asked.object.or(asked.old);
            return own.is_none_or(|ns| selector.matches(ns));
        }
        if !call.def.namespaced {
            return true;
        }
        let namespaces = self.registry.get("", "v1", "namespaces");
        let found = namespaces.and_then(|d| self.store.get(d.table, &call.namespace));
        found.is_none_or(|ns| selector.matches(ns.pinned()))
    }

    fn matching_definition(&self, call: &Call, m: &Matching, asked: &Asked<'_>) -> Option<Arc<Definition>> {
        let name = name_of(call, asked.object);
        let matches = |rule: &Value, def: &Definition| {
            rule_matches(rule, def, &call.namespace, &call.subresource, asked.operation)
                && name_matches(rule, name)
        };
        if m.excluded.iter().any(|rule| matches(rule, &call.def)) {
            return None;
        }
        let Some(rules) = &m.rules else { return Some(call.def.clone()) };
        if rules.iter().any(|rule| matches(rule, &call.def)) {
            return Some(call.def.clone());
        }
        if !m.equivalent {
            return None;
        }
        // Resources are equivalent that keep their objects in one place: versions of one resource, Events of both groups.
        let others =
            || self.registry.all().filter(|d| d.table == call.def.table && !Arc::ptr_eq(d, &call.def));
        rules.iter().find_map(|rule| others().find(|d| matches(rule, d)).cloned())
    }

    fn conditions_hold(&self, call: &Call, hook: &Hook, asked: &Asked<'_>) -> Result<bool> {
        if hook.conditions.is_empty() {
            return Ok(true);
        }
        let none = Value::Null;
        let request = super::review::request(call, &call.def, asked, "");
        let variables = [
            ("object", asked.object.unwrap_or(&none)),
            ("oldObject", asked.old.unwrap_or(&none)),
            ("request", &request),
        ];
        match all_hold(&hook.conditions, &variables) {
            Ok(holds) => Ok(holds),
            Err(_) if hook.ignore_failures => Ok(false),
            Err(why) => Err(Status::forbidden(&call.def, &call.name, &why)),
        }
    }
}

/// Whether all conditions hold; what went wrong counts only if none of them says no.
pub(crate) fn all_hold(
    conditions: &[Condition],
    variables: &[(&str, &Value)],
) -> std::result::Result<bool, String> {
    let mut errors = Vec::new();
    for condition in conditions {
        let holds = condition.expression.as_ref().map_err(Clone::clone).and_then(|e| e.holds(variables));
        match holds {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(why) => errors.push(why),
        }
    }
    match errors.as_slice() {
        [] => Ok(true),
        [one] => Err(one.clone()),
        many => Err(format!("[{}]", many.join(", "))),
    }
}

fn name_matches(rule: &Value, name: &str) -> bool {
    let names = rule["resourceNames"].as_array().filter(|l| !l.is_empty());
    names.is_none_or(|l| l.iter().any(|n| n == name))
}

fn rule_matches(
    rule: &Value,
    def: &Definition,
    namespace: &str,
    subresource: &str,
    operation: Operation,
) -> bool {
    let lists = |key: &str, wanted: &str| {
        rule[key].as_array().into_iter().flatten().any(|item| item == "*" || item == wanted)
    };
    let is_namespaced = !def.is("", "namespaces") && !namespace.is_empty();
    let scope = match rule["scope"].as_str() {
        Some("Namespaced") => is_namespaced,
        Some("Cluster") => !is_namespaced,
        _ => true,
    };
    let resource = rule["resources"].as_array().into_iter().flatten().filter_map(Value::as_str).any(|r| {
        let (resource, sub) = r.split_once('/').unwrap_or((r, ""));
        (resource == "*" || resource == def.plural) && (sub == "*" || sub == subresource)
    });
    scope
        && lists("operations", operation.name())
        && lists("apiGroups", &def.group)
        && lists("apiVersions", &def.version)
        && resource
}

/// The object as another version of its resource shows it.
pub(crate) fn converted(object: &Value, from: &Definition, to: &Definition) -> Value {
    if from.api_version() == to.api_version() {
        return object.clone();
    }
    let mut out = match (crate::events::is_view(from), crate::events::is_view(to)) {
        (true, false) => crate::events::to_storage(from, object.clone()),
        (false, true) => crate::events::from_storage(to, object),
        _ => object.clone(),
    };
    out["apiVersion"] = json!(to.api_version());
    out
}

/// Webhooks are not called for the configurations themselves.
pub(crate) fn is_exempt(call: &Call) -> bool {
    call.def.group == super::hooks::GROUP
}

/// `metadata.name` of what is asked about; empty while a name is to be generated.
pub(crate) fn name_of<'a>(call: &'a Call, object: Option<&'a Value>) -> &'a str {
    if call.name.is_empty() { object.map_or("", meta::name) } else { &call.name }
}
