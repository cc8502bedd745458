//! FlinkDeployment (reconciler.md 8.1).

use drey_api::{DeploymentMode, FlinkDeployment, FlinkDeploymentSpec, JobState, ReconciledSpec, UpgradeMode};

use super::{Verdict, autoscaler, is_blank, is_deployment_name, job, name_message, own, process, require};
use crate::config::{FlinkConf, OperatorConfig, effective, keys};
use crate::ingress::ingress_host_and_path;
use crate::objects::{LOG4J, LOGBACK};
use crate::schedule::Schedule;
use crate::upgrade::HighAvailability;

const FORBIDDEN: [&str; 3] =
    ["kubernetes.namespace", "kubernetes.cluster-id", "high-availability.cluster-id"];

/// Checks a FlinkDeployment. `deployed` is the last reconciled spec; `None` before the first deployment.
pub fn flink_deployment(
    cr: &FlinkDeployment,
    deployed: Option<&ReconciledSpec>,
    operator: &OperatorConfig,
) -> Verdict {
    let spec = &cr.spec;
    let conf = effective::user(operator, cr, spec);
    require(is_deployment_name(cr.name()), "8.1 #1", || name_message(cr.name()))?;
    version(spec, deployed)?;
    configuration(spec, &conf)?;
    ingress(cr)?;
    log_configuration(spec)?;
    if let Some(job) = &spec.job {
        job::state(job, &conf)?;
        job::parallelism(job, spec.task_manager.as_ref().and_then(|tm| tm.replicas))?;
    }
    process::job_manager(spec, &conf)?;
    process::task_manager(spec, &conf)?;
    change(spec, deployed)?;
    require(spec.service_account.is_some(), "8.1 #28", || {
        "spec.serviceAccount must be defined. If you use helm, its value should be the same with the name of jobServiceAccount.".to_owned()
    })?;
    if spec.job.is_some() {
        autoscaler::options(&conf, operator, "8.1 #29")?;
    }
    own::rules(cr, &conf, operator)
}

/// What works and still deserves a line to the user.
pub fn warnings(cr: &FlinkDeployment, operator: &OperatorConfig) -> Vec<String> {
    let spec = &cr.spec;
    let conf = effective::user(operator, cr, spec);
    let mut warnings = Vec::new();
    if let Some(version) =
        spec.flink_version.filter(|version| version.is_supported() && version.is_deprecated())
    {
        warnings.push(format!("Flink version {version} is deprecated and will not be supported much longer"));
    }
    for key in [keys::PERIODIC_SAVEPOINT_INTERVAL, keys::PERIODIC_CHECKPOINT_INTERVAL] {
        if let Err(problem) = Schedule::parse(&conf.value(key)) {
            warnings.push(format!("{} is ignored: {problem}", key.name));
        }
    }
    let both = |resource: bool, resources: bool| resource && resources;
    let twice = [
        (
            "jobManager",
            spec.job_manager.as_ref().is_some_and(|p| both(p.resource.is_some(), p.resources.is_some())),
        ),
        (
            "taskManager",
            spec.task_manager.as_ref().is_some_and(|p| both(p.resource.is_some(), p.resources.is_some())),
        ),
    ];
    let twice = twice.iter().filter(|(_, given)| *given);
    warnings.extend(
        twice.map(|(name, _)| format!("spec.{name}.resource is ignored, since resources is given too")),
    );
    let given = spec.flink_configuration.flatten();
    for key in keys::ALL.iter().filter(|key| key.scope == keys::Scope::Operator) {
        let named = given.keys().find(|name| key.is_named(name));
        warnings.extend(named.map(|name| {
            format!("{name} has no effect in spec.flinkConfiguration, it is read from the operator's own configuration")
        }));
    }
    warnings
}

fn version(spec: &FlinkDeploymentSpec, deployed: Option<&ReconciledSpec>) -> Verdict {
    let Some(version) = spec.flink_version else {
        return require(false, "8.1 #2", || "Flink Version must be defined.".to_owned());
    };
    require(version.is_supported(), "8.1 #3", || {
        format!("Flink version {version} is not supported by this operator version")
    })?;
    let Some(old) = deployed.map(|deployed| &deployed.spec) else { return Ok(()) };
    let suspended_by_last_state = old
        .job
        .as_ref()
        .is_some_and(|job| job.state == JobState::Suspended && job.upgrade_mode == UpgradeMode::LastState);
    let stateful = spec.job.as_ref().is_some_and(|job| job.upgrade_mode.is_stateful());
    let differs = old.flink_version != Some(version);
    require(!(suspended_by_last_state && stateful && differs), "8.1 #4", || {
        "Changing flinkVersion after last-state suspend is not allowed. Restore your cluster with the current flinkVersion and perform the version upgrade afterwards.".to_owned()
    })
}

fn configuration(spec: &FlinkDeploymentSpec, conf: &FlinkConf) -> Verdict {
    let given = spec.flink_configuration.flatten();
    for key in FORBIDDEN {
        require(!given.contains_key(key), "8.1 #5", || format!("Forbidden Flink config key: {key}"))?;
    }
    let high_availability = HighAvailability::of(conf).is_active();
    require(!conf.value(keys::DEPLOYMENT_ROLLBACK_ENABLED) || high_availability, "8.1 #6", || {
        "HA must be enabled for rollback support.".to_owned()
    })?;
    let recovers = conf.value(keys::JM_DEPLOYMENT_RECOVERY_ENABLED);
    require(!conf.value(keys::HEALTH_CHECK_ENABLED) || recovers, "8.1 #7", || {
        format!(
            "Deployment recovery ({}) must be enabled for job health check ({}) support.",
            keys::JM_DEPLOYMENT_RECOVERY_ENABLED.name,
            keys::HEALTH_CHECK_ENABLED.name
        )
    })
}

fn ingress(cr: &FlinkDeployment) -> Verdict {
    let Some(ingress) = &cr.spec.ingress else { return Ok(()) };
    let Some(template) = &ingress.template else {
        return require(false, "8.1 #8", || "Ingress template must be defined".to_owned());
    };
    let problem = ingress_host_and_path(template, cr.name(), cr.namespace()).err();
    require(problem.is_none(), "8.1 #9", || problem.unwrap_or_default())
}

fn log_configuration(spec: &FlinkDeploymentSpec) -> Verdict {
    let files = spec.log_configuration.iter().flatten();
    for (key, _) in files {
        require([LOG4J, LOGBACK].contains(&key.as_str()), "8.1 #10", || {
            format!("Invalid log config key: {key}. Allowed keys are [{LOG4J}, {LOGBACK}]")
        })?;
    }
    Ok(())
}

fn change(spec: &FlinkDeploymentSpec, deployed: Option<&ReconciledSpec>) -> Verdict {
    let old = deployed.map(|deployed| &deployed.spec);
    if let Some(old) = old {
        require(!(old.job.is_none() && spec.job.is_some()), "8.1 #25", || {
            "Cannot switch from session to job cluster".to_owned()
        })?;
        require(!(old.job.is_some() && spec.job.is_none()), "8.1 #25", || {
            "Cannot switch from job to session cluster".to_owned()
        })?;
        let (from, to) = (old.deployment_mode(), spec.deployment_mode());
        require(from == to, "8.1 #26", || {
            format!("Cannot switch from {} to {} cluster", mode_text(from), mode_text(to))
        })?;
    }
    savepoint_redeploy(spec, old)
}

/// The rule applies before the first deployment too, unlike in Apache's operator: there a first deployment with the
/// nonce and without the path starts the job from nothing, although its author asked for a savepoint.
fn savepoint_redeploy(spec: &FlinkDeploymentSpec, old: Option<&FlinkDeploymentSpec>) -> Verdict {
    let Some(job) = &spec.job else { return Ok(()) };
    let before = old.and_then(|old| old.job.as_ref()).and_then(|job| job.savepoint_redeploy_nonce);
    let asked = job.savepoint_redeploy_nonce.is_some() && job.savepoint_redeploy_nonce != before;
    require(!asked || !is_blank(job.initial_savepoint_path.as_deref()), "8.1 #27", || {
        "InitialSavepointPath must not be empty for savepoint redeployment".to_owned()
    })
}

fn mode_text(mode: DeploymentMode) -> &'static str {
    match mode {
        DeploymentMode::Native => "native kubernetes",
        DeploymentMode::Standalone => "standalone kubernetes",
    }
}
