//! Which webhooks a request concerns (apiserver, pkg/admission/plugin/webhook/generic and predicates).

use std::sync::Arc;

use serde_json::{Value, json};

use super::chain::{Asked, Operation};
use super::hooks::Hook;
use crate::meta;
use crate::resource::Definition;
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
        if !self.namespace_matches(call, hook, asked) {
            return Ok(None);
        }
        let object_matches = |o: Option<&Value>| o.is_some_and(|o| hook.objects.matches(o));
        if !hook.objects.is_empty() && !object_matches(asked.object) && !object_matches(asked.old) {
            return Ok(None);
        }
        let Some(def) = self.matching_definition(call, hook, asked.operation) else { return Ok(None) };
        self.conditions_hold(call, hook, asked).map(|holds| holds.then_some(Invocation { def }))
    }

    /// The namespace's labels; a Namespace is looked at itself, other cluster-scoped objects always match.
    fn namespace_matches(&self, call: &Call, hook: &Hook, asked: &Asked<'_>) -> bool {
        if hook.namespaces.is_empty() {
            return true;
        }
        if call.def.is("", "namespaces") {
            let own = asked.object.or(asked.old);
            return own.is_none_or(|ns| hook.namespaces.matches(ns));
        }
        if !call.def.namespaced {
            return true;
        }
        let namespaces = self.registry.get("", "v1", "namespaces");
        let found = namespaces.and_then(|d| self.store.get(d.table, &call.namespace));
        found.is_none_or(|ns| hook.namespaces.matches(&ns.value))
    }

    fn matching_definition(&self, call: &Call, hook: &Hook, operation: Operation) -> Option<Arc<Definition>> {
        let matches = |rule: &Value, def: &Definition| {
            rule_matches(rule, def, &call.namespace, &call.subresource, operation)
        };
        if hook.rules.iter().any(|rule| matches(rule, &call.def)) {
            return Some(call.def.clone());
        }
        if !hook.equivalent {
            return None;
        }
        // Resources are equivalent that keep their objects in one place: versions of one resource, Events of both groups.
        let others =
            || self.registry.all().filter(|d| d.table == call.def.table && !Arc::ptr_eq(d, &call.def));
        hook.rules.iter().find_map(|rule| others().find(|d| matches(rule, d)).cloned())
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
        let mut errors = Vec::new();
        for condition in &hook.conditions {
            let holds = condition.expression.as_ref().map_err(Clone::clone).and_then(|e| e.holds(&variables));
            match holds {
                Ok(true) => {}
                // One that does not hold decides, whatever went wrong with the others.
                Ok(false) => return Ok(false),
                Err(why) => errors.push(why),
            }
        }
        match errors.as_slice() {
            [] => Ok(true),
            _ if hook.ignore_failures => Ok(false),
            [one] => Err(Status::forbidden(&call.def, &call.name, one)),
            many => Err(Status::forbidden(&call.def, &call.name, &format!("[{}]", many.join(", ")))),
        }
    }
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
