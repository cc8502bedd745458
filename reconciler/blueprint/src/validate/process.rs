//! Sizes and numbers of JobManagers and TaskManagers (reconciler.md 8.1 #18 to #24).

use std::collections::BTreeMap;

use drey_api::{FlinkDeploymentSpec, Resource, ResourceRequirements};
use serde_json::Value;

use super::{Verdict, is_blank, require};
use crate::config::{FlinkConf, amount_text, keys, parse_process_memory, parse_quantity};
use crate::upgrade::HighAvailability;

pub(super) fn job_manager(spec: &FlinkDeploymentSpec, conf: &FlinkConf) -> Verdict {
    let process = spec.job_manager.as_ref();
    let configured = conf.has(keys::JM_PROCESS_MEMORY)
        || conf.has(keys::JM_FLINK_MEMORY)
        || conf.has(keys::JM_HEAP_MEMORY);
    let sizes = Sizes {
        component: "JobManager",
        field: "jobManager",
        resource: process.and_then(|p| p.resource.as_ref()),
        resources: process.and_then(|p| p.resources.as_ref()),
    };
    sizes.check(configured, ["8.1 #18", "8.1 #19", "8.1 #20"])?;
    let Some(process) = process else { return Ok(()) };
    require(process.replicas >= 1, "8.1 #21", || {
        "JobManager replicas should not be configured less than one.".to_owned()
    })?;
    require(process.replicas == 1 || HighAvailability::of(conf).is_active(), "8.1 #22", || {
        "High availability should be enabled when starting standby JobManagers.".to_owned()
    })
}

pub(super) fn task_manager(spec: &FlinkDeploymentSpec, conf: &FlinkConf) -> Verdict {
    let process = spec.task_manager.as_ref();
    let configured = conf.has(keys::TM_PROCESS_MEMORY)
        || conf.has(keys::TM_FLINK_MEMORY)
        || (conf.has(keys::TM_TASK_HEAP_MEMORY) && conf.has(keys::TM_MANAGED_MEMORY));
    let sizes = Sizes {
        component: "TaskManager",
        field: "taskManager",
        resource: process.and_then(|p| p.resource.as_ref()),
        resources: process.and_then(|p| p.resources.as_ref()),
    };
    sizes.check(configured, ["8.1 #23"; 3])?;
    let replicas = process.and_then(|process| process.replicas);
    require(replicas.is_none_or(|replicas| replicas >= 1), "8.1 #24", || {
        "TaskManager replicas should not be configured less than one.".to_owned()
    })
}

struct Sizes<'a> {
    component: &'static str,
    field: &'static str,
    resource: Option<&'a Resource>,
    resources: Option<&'a ResourceRequirements>,
}

impl Sizes<'_> {
    fn check(&self, configured: bool, [defined, parsed, required]: [&'static str; 3]) -> Verdict {
        let Self { component, field, .. } = self;
        require(configured || self.names_memory(), defined, || {
            format!(
                "{component} resource memory must be defined using `spec.{field}.resource.memory` or `spec.{field}.resources.requests.memory`"
            )
        })?;
        if let Some(resource) = self.resource {
            let memory = resource.memory.as_deref().filter(|text| !text.trim().is_empty());
            let problem =
                memory.and_then(|text| parse_process_memory(text).err().map(|p| format!("'{text}': {p}")));
            require(problem.is_none(), parsed, || {
                format!("{component} resource memory parse error: {}", problem.unwrap_or_default())
            })?;
            let problem = resource.ephemeral_storage.as_deref().and_then(|text| parse_quantity(text).err());
            require(problem.is_none(), parsed, || {
                format!("{component} resource ephemeral storage parse error: {}", problem.unwrap_or_default())
            })?;
        }
        let problems =
            self.resources.map(|resources| self.requirement_problems(resources)).unwrap_or_default();
        require(problems.is_empty(), required, || problems.join("; "))
    }

    fn names_memory(&self) -> bool {
        let in_old = self.resource.is_some_and(|resource| !is_blank(resource.memory.as_deref()));
        let in_new = self
            .resources
            .is_some_and(|r| r.requests.contains_key("memory") || r.limits.contains_key("memory"));
        in_old || in_new
    }

    fn requirement_problems(&self, resources: &ResourceRequirements) -> Vec<String> {
        let prefix = format!("{} resource requirements", self.component);
        let mut problems = Vec::new();
        for (kind, amounts) in [("requests", &resources.requests), ("limits", &resources.limits)] {
            for (name, value) in amounts {
                let text = amount_text(value);
                match milli(name, &text) {
                    Err(problem) => problems.push(format!("{prefix} {kind} {name} parse error: {problem}")),
                    Ok(amount) if amount <= 0 && is_sized(name) => {
                        problems.push(format!("{prefix} {kind} {name} must be positive: {text}"));
                    }
                    Ok(amount) if amount < 0 => {
                        problems.push(format!("{prefix} {kind} {name} must not be negative: {text}"));
                    }
                    Ok(_) => {}
                }
            }
        }
        problems.extend(["cpu", "memory"].iter().filter_map(|name| exceeded(&prefix, name, resources)));
        problems
    }
}

fn exceeded(prefix: &str, name: &str, resources: &ResourceRequirements) -> Option<String> {
    let amount = |amounts: &BTreeMap<String, Value>| {
        let text = amount_text(amounts.get(name)?);
        milli(name, &text).ok().map(|milli| (milli, text))
    };
    let (request, limit) = (amount(&resources.requests)?, amount(&resources.limits)?);
    (request.0 > limit.0)
        .then(|| format!("{prefix} {name} request ({}) must not exceed its limit ({})", request.1, limit.1))
}

/// Memory is read as the process will be sized by, see `parse_process_memory`.
fn milli(name: &str, text: &str) -> Result<i128, String> {
    match name {
        "memory" => parse_process_memory(text)
            .map(|bytes| i128::from(bytes) * 1000)
            .or_else(|problem| parse_quantity(text).map(|quantity| quantity.milli).map_err(|_| problem)),
        _ => parse_quantity(text).map(|quantity| quantity.milli),
    }
}

fn is_sized(name: &str) -> bool {
    name == "cpu" || name == "memory"
}
