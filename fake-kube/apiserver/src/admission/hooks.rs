//! The webhook configurations that are stored, taken apart once and kept until one changes.

use std::sync::Arc;

use fake_kube_schema::Expression;
use serde_json::Value;

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
    pub(crate) rules: Vec<Value>,
    pub(crate) equivalent: bool,
    pub(crate) namespaces: LabelSelector,
    pub(crate) objects: LabelSelector,
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

#[derive(Debug)]
pub(crate) struct Condition {
    pub(crate) expression: Result<Expression, String>,
}

#[derive(Debug, Default)]
pub(crate) struct Hooks {
    pub(crate) mutating: Vec<Hook>,
    pub(crate) validating: Vec<Hook>,
}

impl Hooks {
    pub(crate) fn is_empty(&self) -> bool {
        self.mutating.is_empty() && self.validating.is_empty()
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
                    let webhooks = stored.value["webhooks"].as_array().map_or(&[][..], Vec::as_slice);
                    let owner = format!("{plural}/{}/{}", meta::name(&stored.value), stored.revision);
                    webhooks.iter().enumerate().map(move |(i, h)| hook(h, format!("{owner}/{i}")))
                })
                .collect()
        };
        let hooks = Arc::new(Hooks {
            mutating: all("mutatingwebhookconfigurations"),
            validating: all("validatingwebhookconfigurations"),
        });
        self.hooks = Some(hooks.clone());
        hooks
    }
}

fn hook(h: &Value, id: String) -> Hook {
    let list = |key: &str| h[key].as_array().cloned().unwrap_or_default();
    let condition =
        |c: &Value| Condition { expression: Expression::parse(c["expression"].as_str().unwrap_or("")) };
    Hook {
        id,
        name: h["name"].as_str().unwrap_or("").to_owned(),
        rules: list("rules"),
        equivalent: h["matchPolicy"] != "Exact",
        namespaces: LabelSelector::from_object(&h["namespaceSelector"]),
        objects: LabelSelector::from_object(&h["objectSelector"]),
        conditions: list("matchConditions").iter().map(condition).collect(),
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
