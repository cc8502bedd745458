//! An operator with the rights it would have in production, on a cluster that enforces them: a ServiceAccount of the case's
//! namespace with the rules of a manifest, such as the rendered chart, bound there.

use std::path::Path;

use anyhow::{Context, ensure};
use drey_language::{Source, yaml};
use http::Method;
use serde_json::{Value, json};

use crate::run::rights::Right;
use crate::world::Hands;

/// The rules of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorRights {
    pub(super) rules: Vec<Value>,
}

/// The chart, rendered with its defaults.
const CHART: &str = include_str!("../../../deploy/golden/default.yaml");

/// The account that the chart names, and its namesakes for the role and the binding.
const NAME: &str = "flink-operator";

impl OperatorRights {
    /// From every Role and ClusterRole of a file whose name begins with `flink-operator`.
    ///
    /// # Errors
    /// The file cannot be read, or has none.
    pub fn read(path: &Path) -> anyhow::Result<OperatorRights> {
        let what = || format!("read the operator's rights from {}", path.display());
        let text = std::fs::read_to_string(path).with_context(what)?;
        let rules = rules_of(&path.display().to_string(), &text).with_context(what)?;
        ensure!(!rules.is_empty(), "{}: no Role or ClusterRole {NAME} has rules there", what());
        Ok(OperatorRights { rules })
    }

    /// What our operator asks for, leases left out.
    pub(super) fn of_the_chart() -> OperatorRights {
        let rules = rules_of("deploy/golden/default.yaml", CHART).expect("a test reads it");
        OperatorRights { rules }
    }

    /// One by one; rules for single names are left out.
    pub(super) fn rights(&self) -> Vec<Right> {
        let words = |rule: &Value, key: &str| -> Vec<String> {
            let list = rule[key].as_array().map(Vec::as_slice).unwrap_or_default();
            list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let mut rights = Vec::new();
        for rule in self.rules.iter().filter(|rule| words(rule, "resourceNames").is_empty()) {
            for group in words(rule, "apiGroups") {
                for resource in words(rule, "resources") {
                    for verb in words(rule, "verbs") {
                        rights.push(Right { group: group.clone(), resource: resource.clone(), verb });
                    }
                }
            }
        }
        rights
    }

    /// Makes account, role and binding in the case's namespace; answers how to come as that account.
    pub async fn grant(&self, as_whom: &kube::Config, hands: &Hands) -> anyhow::Result<kube::Config> {
        let namespace = &hands.namespace;
        let group = "rbac.authorization.k8s.io";
        let api = format!("{group}/v1");
        for object in [
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME}}),
            json!({"apiVersion": api, "kind": "Role", "metadata": {"name": NAME}, "rules": self.rules}),
            json!({"apiVersion": api, "kind": "RoleBinding", "metadata": {"name": NAME},
                "roleRef": {"apiGroup": group, "kind": "Role", "name": NAME},
                "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": namespace}]}),
        ] {
            let reply = hands.apply(&object).await?;
            let kind = object["kind"].as_str().unwrap_or_default();
            ensure!(reply.is_success(), "make {kind} {NAME} for the operator: {}", reply.refusal());
        }
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{NAME}/token");
        let asked = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": TOKEN_SECONDS}});
        let body = asked.to_string().into_bytes();
        let reply = hands.request(Method::POST, &path, "application/json", body).await?;
        ensure!(reply.is_success(), "get a token for {NAME}: {}", reply.refusal());
        let credentials = json!({"token": reply.body["status"]["token"]});
        let mut config = as_whom.clone();
        config.auth_info = serde_json::from_value(credentials).context("use the token of the operator")?;
        Ok(config)
    }
}

/// Of every Role and ClusterRole of a manifest whose name begins with the operator's.
fn rules_of(name: &str, text: &str) -> anyhow::Result<Vec<Value>> {
    let documents = yaml::parse_documents(&Source::new(name, text));
    let documents = documents.map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    let mut rules: Vec<Value> = Vec::new();
    for role in documents.iter().map(yaml::Node::to_json) {
        let name = role["metadata"]["name"].as_str().unwrap_or_default();
        if matches!(role["kind"].as_str(), Some("Role" | "ClusterRole")) && name.starts_with(NAME) {
            for rule in role["rules"].as_array().into_iter().flatten() {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
    }
    Ok(rules)
}

/// Longer than any case, also where time runs faster.
const TOKEN_SECONDS: u32 = 86_400 * 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chart_says_what_the_operator_may() {
        let file = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/golden").join(name);
        let resources = |name: &str| {
            let rights = OperatorRights::read(&file(name)).expect("rules");
            let lists = rights.rules.iter().filter_map(|rule| rule["resources"].as_array());
            let mut names: Vec<String> =
                lists.flatten().map(|name| name.as_str().unwrap_or("").to_owned()).collect();
            names.sort();
            names
        };
        let least = resources("default.yaml");
        assert!(least.contains(&"flinkdeployments/status".to_owned()), "{least:?}");
        assert!(!least.contains(&"leases".to_owned()), "{least:?}");
        assert!(resources("full.yaml").contains(&"leases".to_owned()));
        let why = OperatorRights::read(&file("full-values.yaml")).expect_err("no manifest");
        assert!(format!("{why:#}").contains("no Role or ClusterRole"), "{why:#}");
    }
}
