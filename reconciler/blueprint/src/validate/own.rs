//! Rules of ours, after all of reconciler.md 8.1: what could only fail later, and with worse words.

use drey_api::{DeploymentMode, FlinkDeployment, FlinkVersion};

use super::{Verdict, require};
use crate::config::{FlinkConf, OperatorConfig, effective, keys};
use crate::objects::{ObjectsError, overlapping_keys};

pub(super) fn rules(cr: &FlinkDeployment, conf: &FlinkConf, operator: &OperatorConfig) -> Verdict {
    let configuration = &cr.spec.flink_configuration;
    require(configuration.is_object(), "own: configuration is an object", || {
        format!(
            "spec.flinkConfiguration must be a map of keys and values, got {}; write for example 'taskmanager.numberOfTaskSlots: \"2\"'",
            configuration.as_value()
        )
    })?;
    // Apache's operator throws here in the middle of a pass, again and again.
    let unreadable = keys::problems(conf).next();
    require(unreadable.is_none(), "own: values can be read", || {
        unreadable.map(|problem| problem.to_string()).unwrap_or_default()
    })?;
    // Deployed, it would run and never be seen running.
    require(!conf.value(keys::REST_SSL_ENABLED), "own: plain REST", || {
        "security.ssl.rest.enabled is not supported yet: the operator speaks plain HTTP with the JobManager; set it to \
         false (security.ssl.internal.enabled may stay as it is)"
            .to_owned()
    })?;
    if cr.spec.flink_version.is_some_and(|version| version >= FlinkVersion::V2_0) {
        let shipped = effective::shipped(&effective::deploy(operator, cr, &cr.spec));
        let overlap = overlapping_keys(&shipped);
        require(overlap.is_none(), "own: keys nest", || {
            let (shorter, longer) = overlap.unwrap_or_default();
            ObjectsError::OverlappingKeys { shorter, longer }.to_string()
        })?;
    }
    require(cr.spec.deployment_mode() == DeploymentMode::Native, "own: native mode", || {
        ObjectsError::Standalone.to_string()
    })
}
