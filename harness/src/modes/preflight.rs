//! What must be so on a cluster before any scenario is played there: the CRDs are ours or as good, and the kubeconfig's user
//! may do what cases need. Found out once, so that a run ends here with one reason instead of failing everywhere.

use anyhow::{bail, ensure};
use http::Method;
use serde_json::Value;

use super::cluster::{OperatorUnderTest, RemoteCluster, serves_namespaces};
use crate::world::Hands;

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

impl RemoteCluster {
    /// Looks at CRDs and rights, and installs the CRDs that are not there unless the operator is somebody else's.
    ///
    /// # Errors
    /// What is missing, and the next step.
    pub async fn prepare(&self) -> anyhow::Result<()> {
        let hands = Hands::new(self.client()?, self.namespace.as_deref().unwrap_or("default"));
        ensure!(
            self.namespace.is_some() || serves_namespaces(&hands).await?,
            "make a namespace on {}: it serves custom resources alone\n\
             next: add --namespace default, and choose scenarios that need no pods",
            self.description
        );
        self.check_rights(&hands).await?;
        // All of them are looked at before one is installed: who is refused leaves nothing behind.
        let mut missing = Vec::new();
        for crd in drey_api::crd::crds() {
            if self.is_missing(&hands, &crd).await? {
                missing.push(crd);
            }
        }
        for crd in missing {
            self.install_crd(&hands, &crd).await?;
        }
        Ok(())
    }

    async fn is_missing(&self, hands: &Hands, own: &Value) -> anyhow::Result<bool> {
        let name = own["metadata"]["name"].as_str().unwrap_or_default();
        let found =
            hands.request(Method::GET, &format!("{CRDS}/{name}"), "application/json", Vec::new()).await?;
        if !found.is_success() {
            // Who may not look may still use what is there.
            return Ok(found.code != 403 && self.operator != OperatorUnderTest::Deployed);
        }
        match difference(own, &found.body) {
            None => Ok(false),
            Some(why) => bail!(
                "use CRD {name} of {}: it is of another version: {why}\n\
                 next: apply deploy/crds/ if nobody else needs the one that is there, or use another cluster",
                self.description
            ),
        }
    }

    async fn install_crd(&self, hands: &Hands, own: &Value) -> anyhow::Result<()> {
        let reply = hands.create(own).await?;
        ensure!(
            reply.is_success() || reply.code == 409,
            "install CRD {} on {}: {}\n\
             next: let an administrator apply deploy/crds/, or use a kubeconfig that may",
            own["metadata"]["name"].as_str().unwrap_or_default(),
            self.description,
            reply.refusal()
        );
        Ok(())
    }
}

/// What of our CRD another one of its name lacks: a version that is served, or a field.
fn difference(own: &Value, found: &Value) -> Option<String> {
    for version in list(&own["spec"]["versions"]) {
        let name = version["name"].as_str().unwrap_or_default();
        let served = list(&found["spec"]["versions"]).iter().filter(|other| other["served"] == true);
        let names: Vec<&str> = served.clone().filter_map(|other| other["name"].as_str()).collect();
        let Some(other) = served.clone().find(|other| other["name"] == name) else {
            return Some(format!("it serves {} and not {name}", names.join(", ")));
        };
        let schema = "openAPIV3Schema";
        if let Some(path) = missing(&version["schema"][schema], &other["schema"][schema], String::new()) {
            return Some(format!("its {name} does not know {path}"));
        }
    }
    None
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The first property, from the outside in, that one schema has and the other has no room for.
fn missing(own: &Value, found: &Value, path: String) -> Option<String> {
    if found["x-kubernetes-preserve-unknown-fields"] == true {
        return None;
    }
    for (name, schema) in own["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let Some(other) = found["properties"].get(name) else { return Some(path) };
        if let Some(deeper) = missing(schema, other, path) {
            return Some(deeper);
        }
    }
    match (own.get("items"), found.get("items")) {
        (Some(own), Some(found)) => missing(own, found, format!("{path}[]")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn another_crd_must_have_what_ours_has() {
        let own = drey_api::crd::crds().into_iter().next().expect("a CRD");
        assert_eq!(difference(&own, &own), None);
        let check = |pointer: &str, value: Option<Value>, part: &str| {
            let mut found = own.clone();
            let (parent, key) = pointer.rsplit_once('/').expect("a path");
            let parent = found.pointer_mut(parent).expect(pointer);
            match (value, parent) {
                (Some(value), parent) => parent[key] = value,
                (None, Value::Object(parent)) => drop(parent.remove(key)),
                (None, _) => panic!("{pointer}"),
            }
            let why = difference(&own, &found).expect("it differs");
            assert!(why.contains(part), "{why}");
        };
        check("/spec/versions/0/served", None, "not v1beta1");
        let properties = "/spec/versions/0/schema/openAPIV3Schema/properties";
        check(&format!("{properties}/status/properties/lifecycleState"), None, "status.lifecycleState");
        check(&format!("{properties}/spec/properties/job"), None, "spec.job");
        let mut wider = own.clone();
        wider["spec"]["versions"][0]["schema"]["openAPIV3Schema"] =
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        assert_eq!(difference(&own, &wider), None, "whatever we say has room there");
    }
}
