//! FlinkSessionJob (reconciler.md 8.2).
//!
//! Left to the shell: whether the host of a `jarURI` resolves to a restricted address, which needs a name service.
//! Literal addresses are judged here.

use std::net::{IpAddr, Ipv4Addr};

use drey_api::{FlinkDeployment, FlinkSessionJob, FlinkSessionJobSpec, ReconciledSpec};

use super::{Verdict, autoscaler, is_deployment_name, job, name_message, require};
use crate::config::{FlinkConf, OperatorConfig, effective, keys};

/// Checks a FlinkSessionJob by itself and, where the session cluster is known, together with it.
pub fn flink_session_job(
    session_job: &FlinkSessionJob,
    deployed: Option<&ReconciledSpec<FlinkSessionJobSpec>>,
    session: Option<&FlinkDeployment>,
    operator: &OperatorConfig,
) -> Verdict {
    let spec = &session_job.spec;
    let name = spec.deployment_name.as_deref().unwrap_or_default();
    require(is_deployment_name(name), "8.2 deploymentName", || name_message(name))?;
    let Some(job) = &spec.job else {
        return require(false, "8.2 job", || "The job spec should not be empty".to_owned());
    };
    let before = deployed.map(|deployed| deployed.spec.deployment_name.as_deref().unwrap_or_default());
    require(before.is_none_or(|before| before == name), "8.2 deploymentName", || {
        "The deploymentName can't be changed".to_owned()
    })?;
    if let Some(uri) = &job.jar_uri {
        jar_uri(uri, operator)?;
    }
    let Some(session) = session else { return Ok(()) };
    require(session.spec.job.is_none(), "8.2 cluster", || {
        "Can not submit session job to application cluster".to_owned()
    })?;
    require(session.name() == name, "8.2 cluster", || {
        "The session job's cluster id is not match with the session cluster".to_owned()
    })?;
    let conf = configuration(session_job, session, operator);
    job::state(job, &conf)?;
    job::parallelism(job, session.spec.task_manager.as_ref().and_then(|tm| tm.replicas))?;
    autoscaler::options(&conf, operator, "8.2 autoscaler")
}

fn configuration(job: &FlinkSessionJob, session: &FlinkDeployment, operator: &OperatorConfig) -> FlinkConf {
    let mut conf = effective::user(operator, session, &session.spec);
    effective::overlay(&mut conf, job.spec.flink_configuration.flatten());
    conf
}

fn jar_uri(uri: &str, operator: &OperatorConfig) -> Verdict {
    const RULE: &str = "8.2 jarURI";
    let illegal = uri.find(|c: char| c.is_whitespace() || "<>\"{}|\\^`".contains(c));
    require(illegal.is_none(), RULE, || {
        format!(
            "jarURI is not a valid URI: Illegal character at index {}: {uri}",
            illegal.unwrap_or_default()
        )
    })?;
    let scheme = uri.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| is_scheme(scheme));
    let Some(scheme) = scheme else {
        return require(false, RULE, || "jarURI must include a scheme".to_owned());
    };
    let allowed = operator.value(keys::ARTIFACTS_ALLOWED_SCHEMES);
    require(allowed.iter().any(|known| known.eq_ignore_ascii_case(scheme)), RULE, || {
        format!(
            "jarURI scheme '{scheme}' is not in the allowlist [{}]. Configure '{}' to extend the allowlist.",
            allowed.join(", "),
            keys::ARTIFACTS_ALLOWED_SCHEMES.name
        )
    })?;
    let web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    if !web || !operator.value(keys::ARTIFACTS_DISALLOW_RESTRICTED_HOSTS) {
        return Ok(());
    }
    let Some(host) = host_of(uri) else {
        return require(false, RULE, || "jarURI must include a host for http/https schemes".to_owned());
    };
    require(!is_restricted(&host), RULE, || format!("jarURI host '{host}' resolves to a restricted address"))
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

fn host_of(uri: &str) -> Option<String> {
    let rest = uri.split_once("://")?.1;
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match authority.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
        Some((v6, _)) => v6,
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    Some(host.to_owned()).filter(|host| !host.is_empty())
}

/// Loopback, link-local, site-local, wildcard or multicast, as far as that shows without a name service.
fn is_restricted(host: &str) -> bool {
    if host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => is_restricted_v4(v4),
        Ok(IpAddr::V6(v6)) => {
            let site_local = v6.segments()[0] & 0xffc0 == 0xfec0;
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unicast_link_local()
                || site_local
                || v6.to_ipv4_mapped().is_some_and(is_restricted_v4)
        }
        Err(_) => false,
    }
}

fn is_restricted_v4(v4: Ipv4Addr) -> bool {
    v4.is_loopback() || v4.is_link_local() || v4.is_private() || v4.is_unspecified() || v4.is_multicast()
}
