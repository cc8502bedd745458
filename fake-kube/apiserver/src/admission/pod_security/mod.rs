//! Pod security: what the labels of a namespace ask of its pods (case val-pod-security; pod-security-admission v0.35,
//! admission and api).
//!
//! `enforce` refuses pods, `warn` warns about pods and about workloads with a template of pods, and a namespace whose
//! level rises is told of the pods it holds. Leaves out: `audit`, for there is no audit log, and exemptions.

mod checks;

use std::collections::BTreeMap;

use fake_kube_schema::Cause;
use serde_json::{Value, json};

use crate::meta;
use crate::server::State;
use crate::status::{Result, Status};
use crate::write::Call;
use checks::Finding;

const PREFIX: &str = "pod-security.kubernetes.io/";
/// Pods of a namespace that are looked at when its level changes.
const PODS_MAX: usize = 3000;
/// Writes to these subresources of a pod change nothing that is judged.
const IGNORED: [&str; 8] = ["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Privileged,
    Baseline,
    Restricted,
}

/// `baseline:v1.30`. The version is the minor one; None means latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Policy {
    level: Level,
    version: Option<u32>,
}

impl Policy {
    const PRIVILEGED: Policy = Policy { level: Level::Privileged, version: None };

    fn text(self) -> String {
        let level = match self.level {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        };
        self.version.map_or_else(|| format!("{level}:latest"), |minor| format!("{level}:v1.{minor}"))
    }

    fn findings(self, metadata: &Value, spec: &Value) -> Vec<Finding> {
        checks::run(self.level, self.version.unwrap_or(u32::MAX), metadata, spec)
    }
}

/// What a namespace asks for, and what is wrong with how it says so. What cannot be read is taken as the strictest level
/// when it enforces and as the laxest when it warns.
struct Policies {
    enforce: Policy,
    warn: Policy,
    errors: Vec<Cause>,
}

impl Policies {
    fn of(namespace: &Value) -> Policies {
        let mut out = Policies { enforce: Policy::PRIVILEGED, warn: Policy::PRIVILEGED, errors: Vec::new() };
        let labels = &namespace["metadata"]["labels"];
        let label = |name: &str| labels[format!("{PREFIX}{name}").as_str()].as_str();
        let mut is_enforced = false;
        if let Some(text) = label("enforce") {
            let level = out.level("enforce", text);
            is_enforced = level.is_some();
            out.enforce.level = level.unwrap_or(Level::Restricted);
        }
        if let Some(text) = label("enforce-version") {
            out.enforce.version = out.version("enforce-version", text);
        }
        if let Some(text) = label("audit") {
            out.level("audit", text);
        }
        if let Some(text) = label("audit-version") {
            out.version("audit-version", text);
        }
        if let Some(text) = label("warn") {
            out.warn.level = out.level("warn", text).unwrap_or(Level::Privileged);
        }
        if let Some(text) = label("warn-version") {
            out.warn.version = out.version("warn-version", text);
        }
        if label("warn").is_none() && is_enforced && out.enforce.level > out.warn.level {
            out.warn.level = out.enforce.level;
            if label("warn-version").is_none() {
                out.warn.version = out.enforce.version;
            }
        }
        out
    }

    fn level(&mut self, label: &str, text: &str) -> Option<Level> {
        let level = match text {
            "privileged" => Some(Level::Privileged),
            "baseline" => Some(Level::Baseline),
            "restricted" => Some(Level::Restricted),
            _ => None,
        };
        if level.is_none() {
            self.wrong(label, text, "must be one of privileged, baseline, restricted");
        }
        level
    }

    fn version(&mut self, label: &str, text: &str) -> Option<u32> {
        let minor = text.strip_prefix("v1.").filter(|m| *m == "0" || !m.starts_with(['0', '+']));
        let version = minor.and_then(|m| m.parse().ok());
        if version.is_none() && text != "latest" {
            self.wrong(label, text, "must be \"latest\" or \"v1.x\"");
        }
        version
    }

    fn wrong(&mut self, label: &str, text: &str, why: &str) {
        self.errors.push(Cause::invalid(format!("metadata.labels[{PREFIX}{label}]"), &json!(text), why));
    }
}

impl State {
    /// Refuses a pod or a namespace, or adds warnings. `old` is there for an update.
    pub(crate) fn pod_security(&self, call: &mut Call, object: &Value, old: Option<&Value>) -> Result<()> {
        let def = call.def.clone();
        match (def.group.as_str(), def.plural.as_str()) {
            ("", "namespaces") if call.subresource.is_empty() => self.judge_namespace(call, object, old),
            ("", "pods") if !IGNORED.contains(&call.subresource.as_str()) => {
                if old.is_some_and(|old| !is_significant(object, old)) {
                    return Ok(());
                }
                self.judge(call, &object["metadata"], &object["spec"], meta::name(object), true)
            }
            (group, plural) if call.subresource.is_empty() => {
                let Some(template) = template(group, plural, object) else { return Ok(()) };
                self.judge(call, &template["metadata"], &template["spec"], meta::name(object), false)
            }
            _ => Ok(()),
        }
    }

    fn judge(
        &self,
        call: &mut Call,
        metadata: &Value,
        spec: &Value,
        name: &str,
        enforces: bool,
    ) -> Result<()> {
        let namespaces = self.registry.get("", "v1", "namespaces");
        let Some(namespace) = namespaces.and_then(|d| self.store.get(d.table, &call.namespace)) else {
            return Ok(());
        };
        let policies = Policies::of(namespace.pinned());
        if enforces {
            let found = policies.enforce.findings(metadata, spec);
            if !found.is_empty() {
                let why = format!("violates PodSecurity {:?}: {}", policies.enforce.text(), details(&found));
                return Err(Status::forbidden(&call.def, name, &why));
            }
        }
        let found = policies.warn.findings(metadata, spec);
        if !found.is_empty() {
            let text = format!("would violate PodSecurity {:?}: {}", policies.warn.text(), details(&found));
            call.warnings.push(text);
        }
        Ok(())
    }

    fn judge_namespace(&self, call: &mut Call, namespace: &Value, old: Option<&Value>) -> Result<()> {
        let labels = |o: &Value| o["metadata"]["labels"].clone();
        if old.is_some_and(|old| labels(old) == labels(namespace)) {
            return Ok(());
        }
        let new = Policies::of(namespace);
        let before = old.map(Policies::of);
        let known = before.as_ref().is_some_and(|b| b.errors == new.errors);
        if !new.errors.is_empty() && !known {
            return Err(Status::invalid(&call.def, meta::name(namespace), new.errors));
        }
        let Some(before) = before.map(|b| b.enforce) else { return Ok(()) };
        let is_stricter = new.enforce.version != before.version || new.enforce.level > before.level;
        if new.enforce != before && new.enforce.level != Level::Privileged && is_stricter {
            call.warnings.extend(self.pods_that_violate(meta::name(namespace), new.enforce));
        }
        Ok(())
    }

    fn pods_that_violate(&self, namespace: &str, policy: Policy) -> Vec<String> {
        let Some(def) = self.registry.get("", "v1", "pods") else { return Vec::new() };
        let prefix = format!("{namespace}/");
        // Reasons -> the first pod by name, and how many there are.
        let mut groups: BTreeMap<String, (String, usize)> = BTreeMap::new();
        let total = self.store.range(def.table, &prefix, "").count();
        for (_, pod) in self.store.range(def.table, &prefix, "").take(PODS_MAX) {
            let found = policy.findings(&pod.pinned()["metadata"], &pod.pinned()["spec"]);
            if found.is_empty() {
                continue;
            }
            let reasons: Vec<&str> = found.iter().map(|f| f.reason.as_str()).collect();
            let name = meta::name(pod.pinned()).to_owned();
            groups.entry(reasons.join(", ")).or_insert((name, 0)).1 += 1;
        }
        let mut out = Vec::new();
        if total > PODS_MAX {
            out.push(format!(
                "new PodSecurity enforce level only checked against the first {PODS_MAX} of {total} existing pods"
            ));
        }
        if !groups.is_empty() {
            out.push(format!(
                "existing pods in namespace {namespace:?} violate the new PodSecurity enforce level {:?}",
                policy.text()
            ));
        }
        let mut rows: Vec<String> = groups
            .into_iter()
            .map(|(reasons, (pod, count))| match count {
                1 => format!("{pod}: {reasons}"),
                2 => format!("{pod} (and 1 other pod): {reasons}"),
                n => format!("{pod} (and {} other pods): {reasons}", n - 1),
            })
            .collect();
        rows.sort();
        out.extend(rows);
        out
    }
}

fn details(found: &[Finding]) -> String {
    let texts: Vec<String> = found.iter().map(|f| format!("{} ({})", f.reason, f.detail)).collect();
    texts.join(", ")
}

/// Of what can change in a pod only images are judged anew, and containers that were added.
fn is_significant(pod: &Value, old: &Value) -> bool {
    let images = |pod: &Value| -> Vec<Value> {
        ["containers", "initContainers", "ephemeralContainers"]
            .iter()
            .flat_map(|list| pod["spec"][*list].as_array().cloned().unwrap_or_default())
            .map(|c| json!([c["name"], c["image"]]))
            .collect()
    };
    images(pod) != images(old)
}

/// The template of pods in a workload.
fn template<'a>(group: &str, plural: &str, object: &'a Value) -> Option<&'a Value> {
    let template = match (group, plural) {
        ("", "podtemplates") => &object["template"],
        ("batch", "cronjobs") => &object["spec"]["jobTemplate"]["spec"]["template"],
        ("", "replicationcontrollers")
        | ("apps", "deployments" | "replicasets" | "statefulsets" | "daemonsets")
        | ("batch", "jobs") => &object["spec"]["template"],
        _ => return None,
    };
    template["spec"].is_object().then_some(template)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_leniently_and_told_strictly() {
        let check = |labels: Value, expected: &str| {
            let p = Policies::of(&json!({"metadata": {"labels": labels}}));
            let errors: Vec<String> = p.errors.iter().map(ToString::to_string).collect();
            let got = format!("{} {} {}", p.enforce.text(), p.warn.text(), errors.join("; "));
            assert_eq!(got.trim(), expected);
        };
        check(json!({}), "privileged:latest privileged:latest");
        check(json!({"pod-security.kubernetes.io/enforce": "baseline"}), "baseline:latest baseline:latest");
        check(
            json!({"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "v1.24"}),
            "restricted:v1.24 restricted:v1.24",
        );
        check(
            json!({"pod-security.kubernetes.io/enforce": "lax"}),
            "restricted:latest privileged:latest metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"lax\": must be one of privileged, baseline, restricted",
        );
        check(
            json!({"pod-security.kubernetes.io/warn-version": "1.24"}),
            "privileged:latest privileged:latest metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: \"1.24\": must be \"latest\" or \"v1.x\"",
        );
    }
}
