//! Scaling in place: other parallelism without a restart of the cluster (reconciler.md 2.8).
//!
//! The bounds are compared with what the JobManager holds, so that a repeat after a crash finds them there already and
//! changes nothing. What cannot be done in place is an upgrade.

use crate::ask::Ask;
use crate::blueprint;
use crate::decision::{Action, Component, EventKind};
use crate::observation::{Parallelism, Requirements, Seen};
use crate::observe::Sight;
use crate::pass::{Flow, Pass};
use drey_api::{FlinkJobState, FlinkVersion, ReconciledSpec};
use drey_blueprint::config::{FlinkConf, keys};
use drey_blueprint::upgrade::uses_adaptive_scheduler;
use std::collections::BTreeMap;

type Overrides = BTreeMap<String, i64>;

/// True when it is done or under way, and recorded. False: it takes an upgrade.
pub fn in_place(p: &mut Pass, recorded: &ReconciledSpec, sight: &Sight) -> Flow<bool> {
    let conf = blueprint::conf_of(p, &p.spec);
    let Some(targets) = targets(p, recorded, &conf) else { return Ok(false) };
    let Some(job) = &sight.job else { return Ok(false) };
    if job.state.is_terminal() || job.state == FlinkJobState::Reconciling {
        return Ok(false);
    }
    let o = p.o;
    let Seen::Known(current) = p.need(&o.flink.requirements, Ask::Requirements { job: job.id.clone() })?
    else {
        p.note("2.8", "the JobManager does not say what the job requires: upgrade instead");
        return Ok(false);
    };
    let wanted = wanted(current, &targets);
    let is_there = wanted == *current;
    if !is_there && p.memo.scale_failed == Some(p.generation) {
        p.note("2.8", "scaling in place failed: upgrade instead");
        return Ok(false);
    }
    if is_there {
        p.note("2.8", "the job has these bounds already");
        // Who crashed between the request and the record finds them so, and nobody else would tell.
        p.event(EventKind::Normal, Component::Job, "Scaling", "The job has the wanted bounds");
    } else {
        p.note("2.8", "scaled in place: the JobManager is told the new bounds");
        let action = Action::Rescale { job: job.id.clone(), requirements: wanted };
        p.act(action);
        p.memo.scaled = Some(p.generation);
    }
    // How the job was last restored stays on record.
    p.set_target_mode(p.recorded_mode());
    p.record_deployed();
    Ok(true)
}

/// Said by the pass that finds the bounds recorded: events go out before the plan is carried out, and a refused request
/// would leave users with "triggered" beside the upgrade that was made instead.
pub fn announce(p: &mut Pass) {
    if p.memo.scaled.take() == Some(p.generation) {
        p.event(EventKind::Normal, Component::Job, "Scaling", "In-place scaling triggered");
    }
}

/// The overrides to reach; `None` where they cannot be reached in place.
fn targets(p: &Pass, recorded: &ReconciledSpec, conf: &FlinkConf) -> Option<Overrides> {
    let is_able = conf.value(keys::INPLACE_SCALING_ENABLED)
        && uses_adaptive_scheduler(conf)
        && p.spec.flink_version.is_some_and(|version| version >= FlinkVersion::V1_18);
    if !is_able {
        return None;
    }
    let before = overrides(&blueprint::conf_of(p, &recorded.spec))?;
    let after = overrides(conf)?;
    let is_none_lost = before.keys().all(|vertex| after.contains_key(vertex));
    (!after.is_empty() && is_none_lost).then_some(after)
}

/// `None`: one of them is no parallelism.
fn overrides(conf: &FlinkConf) -> Option<Overrides> {
    let parse = |(vertex, text): (String, String)| {
        let parallelism = text.trim().parse::<i64>().ok().filter(|parallelism| *parallelism > 0)?;
        Some((vertex, parallelism))
    };
    conf.value(keys::PARALLELISM_OVERRIDES).into_iter().map(parse).collect()
}

/// Upper bound: the override. Lower bound: as it is, unless that is above. Vertices without an override stay as they are.
fn wanted(current: &Requirements, targets: &Overrides) -> Requirements {
    let bounds = |(vertex, now): (&String, &Parallelism)| {
        let target = targets.get(vertex).map(|&upper| Parallelism { lower: now.lower.min(upper), upper });
        (vertex.clone(), target.unwrap_or(*now))
    };
    current.iter().map(bounds).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(overrides: &str) -> FlinkConf {
        [(keys::PARALLELISM_OVERRIDES.name, overrides)].into_iter().collect()
    }

    #[test]
    fn bounds_follow_the_overrides_and_leave_the_rest() {
        let check = |now: (i64, i64), target: Option<i64>, expected: (i64, i64)| {
            let current = Requirements::from([("a".into(), Parallelism { lower: now.0, upper: now.1 })]);
            let targets = target.into_iter().map(|p| ("a".to_owned(), p)).collect();
            let got = wanted(&current, &targets)["a"];
            assert_eq!((got.lower, got.upper), expected, "{now:?} {target:?}");
        };
        check((1, 2), Some(4), (1, 4));
        check((3, 4), Some(2), (2, 2));
        check((1, 2), Some(2), (1, 2));
        check((1, 2), None, (1, 2));
    }

    #[test]
    fn what_is_no_parallelism_is_for_flink_to_refuse() {
        assert_eq!(overrides(&conf("a:2,b:3")).map(|all| all.len()), Some(2));
        assert_eq!(overrides(&conf("")), Some(Overrides::new()));
        assert_eq!(overrides(&conf("a:two")), None);
        assert_eq!(overrides(&conf("a:0")), None);
    }
}
