//! The webhook configurations that are stored, taken apart once and kept until one changes.

use std::sync::Arc;

use fake_kube_schema::Expression;
use serde_json::Value;

use super::policy::Policy;
use crate::meta;
use crate::selector::LabelSelector;
use crate::server::State;

pub(crate) const GROUP: &str = "admissionregistration.k8s.io";

/// One webhook of one configuration.
#[derive(Debug)]
pub(crate) struct Hook {
    /// Which one it is: configuration, place, and the revision of the configuration.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) matching: Matching,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) ignore_failures: bool,
    pub(crate) reinvoke: bool,
    /// May be called in a dry run.
    pub(crate) dry_run: bool,
    pub(crate) timeout_seconds: u64,
    pub(crate) client: Value,
    /// The first version of AdmissionReview both sides know; None when there is none.
    pub(crate) version: Option<&'static str>,
}

/// Which requests a webhook, a policy or a binding is for.
#[derive(Debug)]
pub(crate) struct Matching {
    /// None: everything.
    pub(crate) rules: Option<Vec<Value>>,
    pub(crate) excluded: Vec<Value>,
    pub(crate) equivalent: bool,
    pub(crate) namespaces: LabelSelector,
    pub(crate) objects: LabelSelector,
}

impl Matching {
    fn of(v: &Value, rules: Option<Vec<Value>>) -> Matching {
        Matching {
            rules,
            excluded: v["excludeResourceRules"].as_array().cloned().unwrap_or_default(),
            equivalent: v["matchPolicy"] != "Exact",
            namespaces: LabelSelector::from_object(&v["namespaceSelector"]),
            objects: LabelSelector::from_object(&v["objectSelector"]),
        }
    }

    /// MatchResources: without rules it chooses everything.
    pub(crate) fn of_resources(v: &Value) -> Matching {
        Matching::of(v, v["resourceRules"].as_array().filter(|l| !l.is_empty()).cloned())
    }
}

#[derive(Debug)]
pub(crate) struct Condition {
    pub(crate) expression: Result<Expression, String>,
}

impl Condition {
    pub(crate) fn of(v: &Value) -> Condition {
        Condition { expression: Expression::parse(v["expression"].as_str().unwrap_or("")) }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Hooks {
    pub(crate) mutating: Vec<Hook>,
    pub(crate) validating: Vec<Hook>,
    pub(crate) policies: Vec<Policy>,
}

impl Hooks {
    pub(crate) fn is_empty(&self) -> bool {
        self.mutating.is_empty() && self.validating.is_empty() && self.policies.is_empty()
    }
}

impl State {
    /// All webhooks, in the order they are called: by name of their configuration, then as it lists them.
    pub(crate) fn hooks(&mut self) -> Arc<Hooks> {
        if let Some(hooks) = &self.hooks {
            return hooks.clone();
        }
        let all = |plural: &str| -> Vec<Hook> {
            let Some(def) = self.registry.get(GROUP, "v1", plural) else { return Vec::new() };
            let configurations = self.store.range(def.table, "", "");
            configurations
                .flat_map(|(_, stored)| {
                    let webhooks = stored.pinned()["webhooks"].as_array().map_or(&[][..], Vec::as_slice);
                    let owner = format!("{plural}/{}/{}", meta::name(stored.pinned()), stored.revision);
                    webhooks.iter().enumerate().map(move |(i, h)| hook(h, format!("{owner}/{i}")))
                })
                .collect()
        };
        let objects = |plural: &str| -> Vec<Arc<Value>> {
            let def = self.registry.get(GROUP, "v1", plural);
            let all = def.map(|d| self.store.range(d.table, "", "").map(|(_, s)| s.value()).collect());
            all.unwrap_or_default()
        };
        let policies = Policy::all(
            &objects("validatingadmissionpolicies"),
            &objects("validatingadmissionpolicybindings"),
        );
        let hooks = Arc::new(Hooks {
            policies,
            mutating: all("mutatingwebhookconfigurations"),
            validating: all("validatingwebhookconfigurations"),
        });
        self.hooks = Some(hooks.clone());
        hooks
    }
}

fn hook(h: &Value, id: String) -> Hook {
    let list = |key: &str| h[key].as_array().cloned().unwrap_or_default();
    Hook {
        id,
        name: h["name"].as_str().unwrap_or("").to_owned(),
        matching: Matching::of(h, Some(list("rules"))),
        conditions: list("matchConditions").iter().map(Condition::of).collect(),
        ignore_failures: h["failurePolicy"] == "Ignore",
        reinvoke: h["reinvocationPolicy"] == "IfNeeded",
        dry_run: matches!(h["sideEffects"].as_str(), Some("None" | "NoneOnDryRun")),
        timeout_seconds: h["timeoutSeconds"].as_u64().unwrap_or(10).clamp(1, 30),
        client: h["clientConfig"].clone(),
        version: list("admissionReviewVersions").iter().find_map(|v| match v.as_str() {
            Some("v1") => Some("v1"),
            Some("v1beta1") => Some("v1beta1"),
            _ => None,
        }),
    }
}
