//! ResourceQuota admission: a create that goes beyond what a namespace may use is refused (cases wl-quota, val-quota).
//!
//! A quota counts once its controller has filled in the status. Objects are counted as they are stored, amounts of
//! resources taken from the status. Leaves out: scopes, updates, storage classes.

use fake_kube_schema::quantity_nanos;
use serde_json::Value;

use crate::meta;
use crate::server::State;
use crate::status::{Result, Status};
use crate::write::Call;

impl State {
    pub(crate) fn check_quotas(&self, call: &Call, object: &Value) -> Result<()> {
        let Some(quotas) = self.registry.get("", "v1", "resourcequotas") else { return Ok(()) };
        let prefix = format!("{}/", call.namespace);
        for (_, quota) in self.store.range(quotas.table, &prefix, "") {
            if let Some(why) = self.refusal(call, object, quota.pinned()) {
                return Err(Status::forbidden(&call.def, meta::name(object), &why));
            }
        }
        Ok(())
    }

    fn refusal(&self, call: &Call, object: &Value, quota: &Value) -> Option<String> {
        let hard = quota["status"]["hard"].as_object()?;
        let name = meta::name(quota);
        let pod = call.def.is("", "pods");
        let missing: Vec<String> =
            hard.keys().filter(|_| pod).filter_map(|resource| unspecified(object, resource)).collect();
        if !missing.is_empty() {
            return Some(format!("failed quota: {name}: must specify {}", missing.join("; ")));
        }
        let mut over: Vec<(&str, String, String, String)> = Vec::new();
        for (resource, limit) in hard {
            let limit = limit.as_str().unwrap_or("0");
            let most = quantity_nanos(limit)?;
            let (asked, used) = if counts(call, resource) {
                ("1".to_owned(), self.counted(call).to_string())
            } else if pod && resource_of(resource).is_some() {
                let used = quota["status"]["used"][resource].as_str().unwrap_or("0");
                (requested(object, resource), used.to_owned())
            } else {
                continue;
            };
            if quantity_nanos(&asked)? + quantity_nanos(&used)? > most {
                over.push((resource, asked, used, limit.to_owned()));
            }
        }
        let list = |of: fn(&(&str, String, String, String)) -> String| {
            over.iter().map(|row| format!("{}={}", row.0, of(row))).collect::<Vec<_>>().join(",")
        };
        (!over.is_empty()).then(|| {
            let (asked, used, most) = (list(|r| r.1.clone()), list(|r| r.2.clone()), list(|r| r.3.clone()));
            format!("exceeded quota: {name}, requested: {asked}, used: {used}, limited: {most}")
        })
    }

    /// Objects of this kind in the namespace; pods that ended use nothing.
    fn counted(&self, call: &Call) -> usize {
        let ended = |v: &Value| {
            call.def.is("", "pods") && matches!(v["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
        };
        let prefix = format!("{}/", call.namespace);
        self.store.range(call.def.table, &prefix, "").filter(|(_, s)| !ended(&s.value())).count()
    }
}

/// Whether the quota counts objects of this kind: `pods`, `count/pods`, `count/deployments.apps`.
fn counts(call: &Call, resource: &str) -> bool {
    match resource.strip_prefix("count/") {
        Some(counted) => counted == call.def.qualified_resource(),
        None => call.def.group.is_empty() && call.def.plural == resource,
    }
}

/// `requests.cpu` and plain `cpu`: where containers say it.
fn resource_of(resource: &str) -> Option<(&str, &str)> {
    match resource.split_once('.') {
        Some((list @ ("requests" | "limits"), name)) => Some((list, name)),
        None if matches!(resource, "cpu" | "memory" | "ephemeral-storage") => Some(("requests", resource)),
        _ => None,
    }
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    pod["spec"]["containers"].as_array().into_iter().flatten()
}

/// `requests.cpu for: a,b` when containers leave it open.
fn unspecified(pod: &Value, resource: &str) -> Option<String> {
    let (list, name) = resource_of(resource)?;
    let silent: Vec<&str> = containers(pod)
        .filter(|c| c["resources"][list][name].is_null())
        .filter_map(|c| c["name"].as_str())
        .collect();
    (!silent.is_empty()).then(|| format!("{resource} for: {}", silent.join(",")))
}

/// What the containers of a pod ask for together: as written by a single one, else in whole units or thousandths.
fn requested(pod: &Value, resource: &str) -> String {
    let Some((list, name)) = resource_of(resource) else { return "0".to_owned() };
    let amounts: Vec<&str> = containers(pod).filter_map(|c| c["resources"][list][name].as_str()).collect();
    if let [one] = amounts.as_slice() {
        return (*one).to_owned();
    }
    let milli = amounts.iter().filter_map(|a| quantity_nanos(a)).sum::<i128>() / 1_000_000;
    if milli % 1000 == 0 { (milli / 1000).to_string() } else { format!("{milli}m") }
}
