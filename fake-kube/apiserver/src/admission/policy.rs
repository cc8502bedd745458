//! ValidatingAdmissionPolicies: rules in CEL that refuse, or warn about, what their bindings choose (kube-api.md 2.10;
//! apiserver, pkg/admission/plugin/policy/validating).
//!
//! They need nobody outside, so they are judged where webhooks are, before them. Leaves out: audit annotations, the
//! authorizer, type checking, and the cost budget.

use std::sync::Arc;

use fake_kube_schema::Expression;
use serde_json::{Map, Value, json};

use super::chain::Asked;
use super::hooks::{Condition, Matching};
use super::matching::{converted, name_of};
use crate::meta;
use crate::resource::Definition;
use crate::selector::LabelSelector;
use crate::server::State;
use crate::status::{Result, Status};
use crate::store;
use crate::write::Call;

/// A message longer than this counts as none.
const MESSAGE_MAX: usize = 5 * 1024;

#[derive(Debug)]
pub(crate) struct Policy {
    name: String,
    matching: Matching,
    conditions: Vec<Condition>,
    variables: Vec<(String, Parsed)>,
    validations: Vec<Validation>,
    ignore_failures: bool,
    param_kind: Option<(String, String)>,
    bindings: Vec<Binding>,
}

type Parsed = std::result::Result<Expression, String>;

#[derive(Debug)]
struct Validation {
    source: String,
    expression: Parsed,
    message: String,
    message_expression: Option<Expression>,
    reason: String,
}

#[derive(Debug)]
struct Binding {
    name: String,
    matching: Matching,
    param: Value,
    denies: bool,
    warns: bool,
}

/// What a validation says against a request.
struct Objection {
    reason: String,
    message: String,
}

impl Policy {
    /// The policies that are bound, by name.
    pub(crate) fn all(policies: &[Arc<Value>], bindings: &[Arc<Value>]) -> Vec<Policy> {
        let bound = |policy: &Value| -> Vec<Binding> {
            let own = bindings.iter().filter(|b| b["spec"]["policyName"] == meta::name(policy));
            own.map(|b| Binding::of(b)).collect()
        };
        let all = policies.iter().map(|p| Policy::of(p, bound(p)));
        all.filter(|p| !p.bindings.is_empty()).collect()
    }

    fn of(policy: &Value, bindings: Vec<Binding>) -> Policy {
        let spec = &policy["spec"];
        let list = |key: &str| spec[key].as_array().cloned().unwrap_or_default();
        let text = |v: &Value, key: &str| v[key].as_str().unwrap_or("").to_owned();
        let expression = |v: &Value, key: &str| Expression::parse(v[key].as_str().unwrap_or(""));
        Policy {
            name: meta::name(policy).to_owned(),
            matching: Matching::of_resources(&spec["matchConstraints"]),
            conditions: list("matchConditions").iter().map(Condition::of).collect(),
            variables: list("variables")
                .iter()
                .map(|v| (text(v, "name"), expression(v, "expression")))
                .collect(),
            validations: list("validations")
                .iter()
                .map(|v| Validation {
                    source: text(v, "expression").trim().to_owned(),
                    expression: expression(v, "expression"),
                    message: text(v, "message").trim().to_owned(),
                    message_expression: v["messageExpression"]
                        .as_str()
                        .and_then(|m| Expression::parse(m).ok()),
                    reason: text(v, "reason"),
                })
                .collect(),
            ignore_failures: spec["failurePolicy"] == "Ignore",
            param_kind: spec["paramKind"]["kind"]
                .as_str()
                .map(|kind| (text(&spec["paramKind"], "apiVersion"), kind.to_owned())),
            bindings,
        }
    }
}

impl Binding {
    fn of(binding: &Value) -> Binding {
        let spec = &binding["spec"];
        let does = |action: &str| {
            spec["validationActions"].as_array().is_some_and(|l| l.iter().any(|a| a == action))
        };
        Binding {
            name: meta::name(binding).to_owned(),
            matching: Matching::of_resources(&spec["matchResources"]),
            param: spec["paramRef"].clone(),
            denies: does("Deny"),
            warns: does("Warn"),
        }
    }
}

impl State {
    /// Refuses with the first objection of a policy that denies; the others warn.
    pub(super) fn check_policies(
        &self,
        call: &mut Call,
        policies: &[Policy],
        asked: &Asked<'_>,
    ) -> Result<()> {
        for policy in policies {
            let Some(def) = self.matches(call, &policy.matching, asked) else { continue };
            for binding in &policy.bindings {
                if self.matches(call, &binding.matching, asked).is_none() {
                    continue;
                }
                let named =
                    format!("ValidatingAdmissionPolicy '{}' with binding '{}'", policy.name, binding.name);
                for objection in self.objections(call, policy, binding, &def, asked) {
                    if binding.warns {
                        call.warnings.push(format!("Validation failed for {named}: {}", objection.message));
                    }
                    if binding.denies {
                        let text = format!("{named} denied request: {}", objection.message);
                        return Err(refusal(call, asked, &objection.reason, &text));
                    }
                }
            }
        }
        Ok(())
    }

    fn objections(
        &self,
        call: &Call,
        policy: &Policy,
        binding: &Binding,
        def: &Arc<Definition>,
        asked: &Asked<'_>,
    ) -> Vec<Objection> {
        let failed = |message: String| Objection { reason: String::new(), message };
        let params = match self.params(call, policy, binding) {
            Ok(params) => params,
            Err(_) if policy.ignore_failures => return Vec::new(),
            Err(why) => return vec![failed(format!("failed to configure binding: {why}"))],
        };
        let shown = |o: Option<&Value>| o.map_or(Value::Null, |o| converted(o, &call.def, def));
        let (object, old) = (shown(asked.object), shown(asked.old));
        let request = super::review::request(call, def, asked, "");
        let namespaces = self.registry.get("", "v1", "namespaces");
        let namespace = namespaces.and_then(|d| self.store.get(d.table, &call.namespace));
        let namespace = namespace.map_or(Value::Null, |s| s.pinned().clone());
        let mut out = Vec::new();
        for param in &params {
            let mut values = vec![
                ("object", &object),
                ("oldObject", &old),
                ("request", &request),
                ("namespaceObject", &namespace),
                ("params", param),
            ];
            match super::matching::all_hold(&policy.conditions, &values) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(_) if policy.ignore_failures => continue,
                Err(why) => {
                    out.push(failed(why));
                    continue;
                }
            }
            let variables = computed(&policy.variables, &values);
            values.push(("variables", &variables));
            out.extend(
                policy.validations.iter().filter_map(|v| v.objection(&values, policy.ignore_failures)),
            );
        }
        out
    }

    /// The objects a binding hands its policy; one null where the policy takes none.
    fn params(
        &self,
        call: &Call,
        policy: &Policy,
        binding: &Binding,
    ) -> std::result::Result<Vec<Value>, String> {
        let Some((api_version, kind)) = &policy.param_kind else { return Ok(vec![Value::Null]) };
        if binding.param.is_null() {
            return Ok(vec![Value::Null]);
        }
        let def = self.registry.all().find(|d| d.kind == *kind && d.api_version() == *api_version);
        let def = def.ok_or_else(|| {
            format!("failed to find resource referenced by paramKind: '{api_version}, Kind={kind}'")
        })?;
        let given = binding.param["namespace"].as_str().filter(|n| !n.is_empty());
        let namespace = if def.namespaced { given.unwrap_or(&call.namespace) } else { "" };
        let found: Vec<Value> = match binding.param["name"].as_str().filter(|n| !n.is_empty()) {
            Some(name) => {
                let one = self.store.get(def.table, &store::key(namespace, name));
                one.map(|s| self.view(def, &s.value())).into_iter().collect()
            }
            None => {
                let selector = LabelSelector::from_object(&binding.param["selector"]);
                let prefix = crate::list::prefix(def, namespace);
                let all = self.store.range(def.table, &prefix, "").map(|(_, s)| s.value());
                all.filter(|o| selector.matches(o)).map(|o| self.view(def, &o)).collect()
            }
        };
        if found.is_empty() && binding.param["parameterNotFoundAction"] != "Allow" {
            return Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned());
        }
        Ok(found)
    }
}

/// `variables.x`, each made of those before it. One that fails is missing: who reads it fails, too.
fn computed(variables: &[(String, Parsed)], values: &[(&str, &Value)]) -> Value {
    let mut out = Map::new();
    for (name, expression) in variables {
        let so_far = Value::Object(out.clone());
        let mut known = values.to_vec();
        known.push(("variables", &so_far));
        if let Ok(Ok(value)) = expression.as_ref().map(|e| e.value(&known)) {
            out.insert(name.clone(), value);
        }
    }
    Value::Object(out)
}

impl Validation {
    fn objection(&self, values: &[(&str, &Value)], ignore_failures: bool) -> Option<Objection> {
        let holds = self.expression.as_ref().map_err(Clone::clone).and_then(|e| e.holds(values));
        match holds {
            Ok(true) => None,
            Ok(false) => Some(Objection { reason: self.reason.clone(), message: self.message(values) }),
            Err(_) if ignore_failures => None,
            Err(why) => {
                let message = format!("expression '{}' resulted in error: {why}", self.source);
                Some(Objection { reason: String::new(), message })
            }
        }
    }

    fn message(&self, values: &[(&str, &Value)]) -> String {
        let told = self.message_expression.as_ref().and_then(|m| m.text(values).ok());
        let told = told.map(|m| m.trim().to_owned());
        let told = told.filter(|m| !m.is_empty() && m.len() <= MESSAGE_MAX && !m.contains('\n'));
        match told {
            Some(message) => message,
            None if !self.message.is_empty() => self.message.clone(),
            None => format!("failed expression: {}", self.source),
        }
    }
}

/// Worded as forbidden, whatever the reason makes of it.
fn refusal(call: &Call, asked: &Asked<'_>, reason: &str, text: &str) -> Status {
    let mut status = Status::forbidden(&call.def, name_of(call, asked.object), text);
    (status.code, status.reason) = match reason {
        "Forbidden" => (403, reason.to_owned()),
        "Unauthorized" => (401, reason.to_owned()),
        "RequestEntityTooLarge" => (413, reason.to_owned()),
        _ => (422, "Invalid".to_owned()),
    };
    if let Some(details) = &mut status.details {
        details["causes"] = json!([{"message": text}]);
    }
    status
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::clock::ManualClock;
    use crate::{ApiServer, Options, Resource};

    fn policy(spec: Value) -> Value {
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": "p"}, "spec": spec})
    }

    fn check(validation: Value, data: Value, expected: std::result::Result<(), (u16, &str)>) {
        let server = ApiServer::new(Options::new(Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH))));
        let client = server.client("tester");
        let resource = |plural: &str| Resource::new("admissionregistration.k8s.io", "v1", plural);
        let spec = json!({"matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"],
                "operations": ["CREATE"], "resources": ["configmaps"]}]},
            "variables": [{"name": "size", "expression": "object.data.size()"}],
            "matchConditions": [{"name": "named", "expression": "object.metadata.name != 'free'"}],
            "validations": [validation]});
        let made = client.create(&resource("validatingadmissionpolicies"), "", policy(spec));
        assert!(made.is_ok(), "{made:?}");
        let binding = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Deny"]}});
        let made = client.create(&resource("validatingadmissionpolicybindings"), "", binding);
        assert!(made.is_ok(), "{made:?}");
        let create = |name: &str| {
            let object =
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data});
            client
                .create(&Resource::core("configmaps"), "default", object)
                .map(|_| ())
                .map_err(|s| (s.code, s.message))
        };
        assert_eq!(create("free"), Ok(()), "the condition does not hold");
        assert_eq!(create("a"), expected.map_err(|(code, text)| (code, text.to_owned())));
    }

    #[test]
    fn validations_refuse_in_their_words() {
        let denied =
            "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request:";
        let small = json!({"expression": "variables.size < 2"});
        check(small.clone(), json!({"x": "1"}), Ok(()));
        let text = format!("{denied} failed expression: variables.size < 2");
        check(small, json!({"x": "1", "y": "2"}), Err((422, &text)));
        let worded = json!({"expression": "variables.size < 2", "reason": "Forbidden",
            "messageExpression": "'too many: ' + string(variables.size)"});
        let text = format!("{denied} too many: 2");
        check(worded, json!({"x": "1", "y": "2"}), Err((403, &text)));
    }
}
