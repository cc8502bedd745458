//! ResourceQuota admission: what goes beyond what a namespace may use is refused, on creation and, where an update can use
//! more, on updates (kubernetes 1.35 plugin resourcequota, `CheckRequest`; cases wl-quota, val-quota). What an object uses
//! and which quotas are about it is `quota_usage`.
//!
//! A quota counts once its controller has filled in the status. What is used is counted as it is stored, so that it is
//! never behind. Leaves out resources that are limited without a quota (`limitedResources`).

use std::collections::BTreeSet;

use serde_json::Value;

use crate::meta;
use crate::quota_usage::{Amount, Usage, add, beyond, covers, in_scope, is_terminating, unspecified, usage};
use crate::server::State;
use crate::status::{Result, Status};
use crate::write::Call;

impl State {
    /// `old` is what the object was before an update.
    pub(crate) fn check_quotas(&self, call: &Call, object: &Value, old: Option<&Value>) -> Result<()> {
        let Some(quotas) = self.registry.get("", "v1", "resourcequotas") else { return Ok(()) };
        let prefix = [&call.namespace, "/"].concat();
        let mut quotas = self.store.range(quotas.table, &prefix, "").peekable();
        if quotas.peek().is_none() {
            return Ok(());
        }
        let resource = call.def.qualified_resource();
        if !is_handled(call, &resource, object, old) {
            return Ok(());
        }
        for (_, quota) in quotas {
            if let Some(why) = self.refusal(call, &resource, object, old, quota.pinned()) {
                return Err(Status::forbidden(&call.def, meta::name(object), &why));
            }
        }
        Ok(())
    }

    fn refusal(
        &self,
        call: &Call,
        resource: &str,
        object: &Value,
        old: Option<&Value>,
        quota: &Value,
    ) -> Option<String> {
        let hard = quota["status"]["hard"].as_object()?;
        let name = meta::name(quota);
        let names: Vec<&str> = hard.keys().map(String::as_str).filter(|k| covers(resource, k)).collect();
        if names.is_empty() || !in_scope(quota, resource, object) {
            return None;
        }
        if let Some(why) = unspecified(object, &names).filter(|_| resource == "pods") {
            return Some(format!("failed quota: {name}: {why}"));
        }
        let used = &quota["status"]["used"];
        if names.iter().any(|n| used[*n].is_null()) {
            let sorted: BTreeSet<&str> = names.into_iter().collect();
            let listed: Vec<&str> = sorted.into_iter().collect();
            return Some(format!("status unknown for quota: {name}, resources: {}", listed.join(",")));
        }
        let new = usage(resource, object, call.now);
        let asked = match old {
            Some(old) if in_scope(quota, resource, old) => beyond(&new, &usage(resource, old, call.now)),
            _ => new,
        };
        let asked: Vec<(&str, Amount)> = names
            .iter()
            .filter_map(|n| Some((*n, *asked.get(*n)?)))
            .filter(|(_, amount)| !amount.is_zero())
            .collect();
        if asked.is_empty() {
            return None;
        }
        let used = self.used(call, resource, quota);
        let mut over: Vec<(&str, Amount, Amount, String)> = Vec::new();
        for (n, amount) in asked {
            let (before, limit) = (used.get(n).copied().unwrap_or_default(), hard[n].as_str().unwrap_or("0"));
            if Amount::parse(limit).is_some_and(|most| (before + amount).exceeds(&most)) {
                over.push((n, amount, before, limit.to_owned()));
            }
        }
        over.sort_by_key(|row| row.0);
        let list = |of: fn(&(&str, Amount, Amount, String)) -> String| {
            over.iter().map(|row| format!("{}={}", row.0, of(row))).collect::<Vec<_>>().join(",")
        };
        (!over.is_empty()).then(|| {
            let (asked, used, most) =
                (list(|r| r.1.to_string()), list(|r| r.2.to_string()), list(|r| r.3.clone()));
            format!("exceeded quota: {name}, requested: {asked}, used: {used}, limited: {most}")
        })
    }

    /// What the stored objects of this kind use of a quota.
    fn used(&self, call: &Call, resource: &str, quota: &Value) -> Usage {
        let prefix = format!("{}/", call.namespace);
        let mut total = Usage::new();
        for (_, stored) in self.store.range(call.def.table, &prefix, "") {
            let object = stored.value();
            if in_scope(quota, resource, &object) {
                add(&mut total, usage(resource, &object, call.now));
            }
        }
        total
    }
}

/// Whether a write of this kind can use more than before (`Handles` of the evaluators).
fn is_handled(call: &Call, resource: &str, object: &Value, old: Option<&Value>) -> bool {
    match (call.subresource.as_str(), resource, old) {
        ("", _, None) => true,
        ("", "services" | "persistentvolumeclaims", Some(_)) => true,
        ("", "pods", Some(old)) => is_terminating(old) != is_terminating(object),
        ("resize", "pods", Some(_)) => true,
        _ => false,
    }
}
