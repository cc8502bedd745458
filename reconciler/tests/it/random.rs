//! Random histories in the toy world, and random observations.
//!
//! The world's own books are the invariants (one JobManager, no state lost, ids stored first), the linter runs on
//! every pass, and when the faults stop a deployment must come to rest: stable, suspended, or refused out loud.

use super::fixture::{app, policy, start};
use super::world::World;
use drey_api::{FlinkJobState, JobState, LifecycleState, UpgradeMode};
use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::json;

#[derive(Clone, Debug)]
enum Op {
    Bump,
    State(bool),
    Mode(u8),
    SavepointNonce,
    Invalid(bool),
    Checkpoint,
    Kill,
    Job(u8),
    Unreachable(bool),
    CrashAt(usize),
    LoseReply,
    CreateHalf,
    SavepointFails,
    LoseMetadata,
    BadImage(bool),
    Advance(u16),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => Just(Op::Bump),
        2 => any::<bool>().prop_map(Op::State),
        2 => (0u8..3).prop_map(Op::Mode),
        1 => Just(Op::SavepointNonce),
        1 => any::<bool>().prop_map(Op::Invalid),
        3 => Just(Op::Checkpoint),
        2 => Just(Op::Kill),
        1 => (0u8..4).prop_map(Op::Job),
        1 => any::<bool>().prop_map(Op::Unreachable),
        3 => (0usize..4).prop_map(Op::CrashAt),
        1 => Just(Op::LoseReply),
        1 => Just(Op::CreateHalf),
        1 => Just(Op::SavepointFails),
        1 => Just(Op::LoseMetadata),
        2 => any::<bool>().prop_map(Op::BadImage),
        8 => (0u16..20_000).prop_map(Op::Advance),
    ]
}

fn apply(world: &mut World, op: &Op) {
    match op {
        Op::Bump => world.edit(|spec| spec.restart_nonce = Some(spec.restart_nonce.unwrap_or_default() + 1)),
        Op::State(running) => world.edit(|spec| {
            spec.job.as_mut().unwrap().state = if *running { JobState::Running } else { JobState::Suspended };
        }),
        Op::Mode(mode) => world.edit(|spec| {
            spec.job.as_mut().unwrap().upgrade_mode =
                [UpgradeMode::Savepoint, UpgradeMode::LastState, UpgradeMode::Stateless][usize::from(*mode)];
        }),
        Op::SavepointNonce => world.edit(|spec| {
            let job = spec.job.as_mut().unwrap();
            job.savepoint_trigger_nonce = Some(job.savepoint_trigger_nonce.unwrap_or_default() + 1);
        }),
        Op::Invalid(invalid) => {
            world.edit(|spec| spec.job.as_mut().unwrap().parallelism = if *invalid { 0 } else { 2 })
        }
        Op::Checkpoint => world.checkpoint(),
        Op::Kill => world.kill_deployment(),
        Op::Job(state) => {
            if world.job().is_some_and(|job| !job.state.is_terminal()) {
                use FlinkJobState::*;
                world.set_job_state([Failed, Finished, Restarting, Running][usize::from(*state)]);
            }
        }
        Op::Unreachable(down) => world.unreachable = *down,
        Op::CrashAt(n) => world.crash_at = Some(*n),
        Op::LoseReply => world.lose_reply = true,
        Op::CreateHalf => world.create_half = true,
        Op::SavepointFails => world.next_savepoint_fails = true,
        Op::LoseMetadata => {
            // Nobody sees that of metadata nobody sees: its loss shows when a JobManager fails at its start.
            if world.jm.is_none() {
                world.ha = None;
                world.changed = true;
            }
        }
        Op::BadImage(bad) => {
            world.edit(|spec| spec.image = Some(if *bad { "bad" } else { "flink:1.20" }.into()))
        }
        Op::Advance(ms) => world.for_a_while(SignedDuration::from_millis(i64::from(*ms))),
    }
}

fn heal(world: &mut World) {
    world.unreachable = false;
    world.crash_at = None;
    world.lose_reply = false;
    world.create_half = false;
    world.next_savepoint_fails = false;
    if world.job().is_some_and(|job| job.state == FlinkJobState::Restarting) {
        world.set_job_state(FlinkJobState::Running);
    }
    world.edit(|spec| {
        spec.job.as_mut().unwrap().parallelism = 2;
        spec.image = Some("flink:1.20".into());
    });
    world.for_a_while(SignedDuration::from_mins(30));
}

fn is_at_rest(world: &World) -> bool {
    let status = world.status();
    let error = status.error.clone().unwrap_or_default();
    let refused = [
        "Manual restore",
        "HA metadata is not available",
        "Missing JobManager",
        "job err",
        "CrashLoop - no such savepoint",
        "its HA metadata cannot be looked at",
    ]
    .iter()
    .any(|text| error.contains(text));
    // Whether metadata out of sight is there, only a JobManager that starts can tell; and what the user has forbidden is
    // not done, though a JobManager that never starts is waited for then.
    let fallback = "kubernetes.operator.job.upgrade.last-state-fallback.enabled";
    let forbidden = world.resource.spec.flink_configuration.get(fallback).as_deref() == Some("false");
    let refused = refused || ((world.ha_hidden || forbidden) && error.contains("The upgrade waits: "));
    match status.lifecycle_state {
        Some(LifecycleState::Stable | LifecycleState::Suspended | LifecycleState::RolledBack) => true,
        Some(LifecycleState::Failed) if status.job_status.state == Some(FlinkJobState::Failed) => true,
        Some(LifecycleState::Created) => {
            world.resource.spec.job.as_ref().is_some_and(|job| job.state == JobState::Suspended)
        }
        _ => refused,
    }
}

fn delays(world: &mut World, slow: bool) {
    if slow {
        world.delays.start = SignedDuration::from_secs(3);
        world.delays.terminate = SignedDuration::from_secs(2);
        world.delays.savepoint = SignedDuration::from_secs(1);
        world.delays.cancel = SignedDuration::from_secs(1);
    }
}

fn history(ops: Vec<Op>, slow: bool, kind: &str, options: u8) -> Result<(), TestCaseError> {
    let deleted = options & 1 != 0;
    let ha = kind != "NONE";
    let mut world = World::new(app(json!({"flinkConfiguration": {
        "high-availability.type": kind,
        "kubernetes.operator.deployment.rollback.enabled": ha && options & 2 != 0,
        "kubernetes.operator.deployment.readiness.timeout": "10 s",
        "kubernetes.operator.job.restart.failed": options & 4 != 0,
        "kubernetes.operator.job.savepoint-on-deletion": options & 8 != 0,
        "kubernetes.operator.job.upgrade.last-state-fallback.enabled": options & 16 == 0,
        "kubernetes.operator.job.upgrade.last-state.job-cancel.enabled": options & 32 != 0,
    }})));
    delays(&mut world, slow);
    for op in &ops {
        apply(&mut world, op);
    }
    heal(&mut world);
    let trace = || {
        let (first, last) = (world.trace.iter().take(25), world.trace.iter().skip(25).rev().take(5));
        first.chain(last).cloned().collect::<Vec<_>>().join("\n")
    };
    prop_assert!(is_at_rest(&world), "not at rest: {}\n{}", super::world::brief(&world), trace());
    if world.lifecycle() == Some(LifecycleState::Stable) {
        let (passes, writes) = (world.passes, world.status_writes);
        world.for_a_while(SignedDuration::from_mins(10));
        prop_assert!(world.status_writes == writes, "a converged deployment is written to");
        prop_assert!(world.passes - passes <= 11, "a converged deployment spins");
    }
    if deleted {
        world.delete();
        world.for_a_while(SignedDuration::from_mins(30));
        if world.exists && options & 8 != 0 {
            prop_assert!(world.reasons().contains(&"CleanupFailed"), "waits without saying why");
            let key = "kubernetes.operator.job.savepoint-on-deletion";
            world.edit(|spec| spec.flink_configuration.set(key, false));
            world.for_a_while(SignedDuration::from_mins(30));
        }
        prop_assert!(!world.exists, "deletion does not end\n{}", world.trace.last().unwrap());
        prop_assert!(world.deployment.is_none());
    }
    Ok(())
}

/// `PROPTEST_CASES=5000` for a long look.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 600, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn histories_lose_no_state_and_come_to_rest(
        ops in prop::collection::vec(op(), 0..40),
        slow in any::<bool>(),
        ha in prop::sample::select(vec!["kubernetes", "kubernetes", "kubernetes", "zookeeper", "NONE"]),
        options in any::<u8>(),
    ) {
        history(ops, slow, ha, options)?;
    }
}

/// What chance found: the JobManager that takes the place of a killed one cannot start, while the spec is invalid. Once it is
/// valid again, why nothing runs has to be told still.
#[test]
fn an_invalid_spec_does_not_hide_for_good_that_the_job_manager_cannot_start() {
    let ops = vec![Op::Advance(1), Op::Kill, Op::LoseMetadata, Op::Invalid(true), Op::Advance(1)];
    history(ops, false, "zookeeper", 0).unwrap();
}

/// As above: the job fails while it is stopped with a savepoint, and has completed a checkpoint after the stop began.
#[test]
fn a_job_that_fails_while_it_is_stopped_goes_on_from_its_newest_checkpoint() {
    let ops = vec![Op::Advance(3_000), Op::Bump, Op::Advance(1), Op::Checkpoint, Op::Job(0)];
    history(ops, true, "kubernetes", 0).unwrap();
}

/// As above: the answer to the first create is lost, its JobManager completes a checkpoint and is deleted before anybody has
/// seen it, and the spec has changed.
#[test]
fn what_an_attempt_left_that_nobody_saw_is_gone_on_from() {
    let ops = vec![
        Op::BadImage(true),
        Op::SavepointFails,
        Op::LoseReply,
        Op::BadImage(false),
        Op::Advance(1),
        Op::Checkpoint,
        Op::Kill,
    ];
    history(ops, false, "kubernetes", 0).unwrap();
}

#[test]
fn the_policy_of_the_tests_is_the_default_one() {
    assert_eq!(policy().reconcile_interval().as_secs(), 60);
    assert_eq!(start().as_millisecond(), super::fixture::START_MS);
}
