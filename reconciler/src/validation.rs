//! An invalid spec is refused, and what runs goes on with the last good one (reconciler.md 2.2 step 6, 8).

use crate::decision::Component;
use crate::error::{ErrorDocument, ErrorType};
use crate::known::Inputs;
use crate::notices;
use crate::pass::{Flow, Pass};
use drey_api::{JobState, ReconciliationState, UpgradeMode};

pub fn validate(p: &mut Pass) -> Flow {
    let Some((rule, problem)) = problem(p) else {
        if p.status.error.as_deref().is_some_and(|error| error.contains(ErrorType::Validation.class())) {
            p.note("8", "the spec is valid again");
            p.status.error = None;
        }
        notices::of_valid_spec(p);
        return Ok(());
    };
    p.note(rule, format!("invalid spec: {problem}"));
    p.fail(ErrorDocument::new(ErrorType::Validation, problem), Component::Operator, "ValidationError");
    let Some(recorded) = p.recorded.clone() else {
        return p.on_change("waiting for a valid spec");
    };
    // The recorded mode is how the job was last restored (stateless for a first deployment), not what the user wants
    // of the next restore: state is given up only if both say so.
    let mode = match (p.upgrade_mode(), p.recorded_mode()) {
        (UpgradeMode::Stateless, recorded) => recorded,
        (wanted @ (UpgradeMode::Savepoint | UpgradeMode::LastState), _) => wanted,
    };
    p.spec = recorded.spec.clone();
    p.set_target_mode(mode);
    if matches!(p.recon(), ReconciliationState::Upgrading | ReconciliationState::RollingBack)
        && let Some(job) = &mut p.spec.job
    {
        job.state = JobState::Running;
    }
    p.generation = p.status.observed_generation.unwrap_or(p.generation);
    p.load_configs();
    Ok(())
}

/// The first failing check; what is already deployed is compared with what is recorded.
fn problem(p: &Pass) -> Option<(&'static str, String)> {
    let (resource, recorded) = (&p.o.resource, p.recorded.as_deref());
    let inputs = Inputs {
        current: &resource.spec,
        target: &resource.spec,
        deployed: recorded.map(|recorded| &recorded.spec),
    };
    let work_out = || drey_blueprint::validate::flink_deployment(resource, recorded, &p.policy.config).err();
    let refused = p.policy.known.verdict(resource.namespace(), resource.name(), inputs, work_out);
    refused.map(|error| (error.rule, error.message))
}
