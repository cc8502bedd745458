//! An invalid spec is refused, and what runs goes on with the last good one (reconciler.md 2.2 step 6, 8).

use crate::decision::Component;
use crate::error::{ErrorDocument, ErrorType};
use crate::pass::{Flow, Pass};
use drey_api::{JobState, ReconciliationState};

pub fn validate(p: &mut Pass) -> Flow {
    let Some((rule, problem)) = problem(p) else { return Ok(()) };
    p.note(rule, format!("invalid spec: {problem}"));
    p.fail(ErrorDocument::new(ErrorType::Validation, problem), Component::Operator, "ValidationError");
    let Some(recorded) = p.recorded.clone() else {
        return p.on_change("waiting for a valid spec");
    };
    p.spec = recorded.spec;
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
    let refused =
        drey_blueprint::validate::flink_deployment(&p.o.resource, p.recorded.as_ref(), &p.policy.config);
    refused.err().map(|error| (error.rule, error.message))
}
