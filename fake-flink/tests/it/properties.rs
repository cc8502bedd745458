//! Random events: nothing panics, terminal states stay, checkpoint ids grow, progress restored was once stored.

use super::driver::{Driver, start_time};
use super::ha::{JOB, application};
use fake_flink::model::api::SavepointFault;
use fake_flink::{Command, Event, HaState, JobFact, JobState, Signal, SnapshotStore, Throwable, Version};
use proptest::prelude::*;
use serde_json::json;
use std::time::Duration;

#[derive(Clone, Debug)]
enum Deed {
    Pass(u32),
    Fail(Option<u32>),
    LoseTaskManagers,
    Savepoint(u8),
    Stop,
    Cancel,
    Finish,
    SavepointFault(u8),
    FailCheckpoints(u32),
    Stall(bool),
    LoseSnapshots,
    LoseMaps,
    Leadership,
    Get(usize),
    Term,
}

const PATHS: [&str; 8] =
    ["", "/checkpoints", "/exceptions", "/config", "/metrics", "/execution-result", "/plan", "/status"];

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        8 => (0u32..20_000).prop_map(Deed::Pass),
        3 => proptest::option::of(1u32..4).prop_map(Deed::Fail),
        1 => Just(Deed::LoseTaskManagers),
        3 => (0u8..4).prop_map(Deed::Savepoint),
        1 => Just(Deed::Stop),
        1 => Just(Deed::Cancel),
        1 => Just(Deed::Finish),
        2 => (0u8..4).prop_map(Deed::SavepointFault),
        1 => (0u32..5).prop_map(Deed::FailCheckpoints),
        1 => any::<bool>().prop_map(Deed::Stall),
        1 => Just(Deed::LoseSnapshots),
        1 => Just(Deed::LoseMaps),
        1 => Just(Deed::Leadership),
        4 => (0..PATHS.len()).prop_map(Deed::Get),
        1 => Just(Deed::Term),
    ]
}

fn perform(d: &mut Driver, deed: &Deed, storage: &SnapshotStore) {
    match deed {
        Deed::Pass(ms) => d.pass(Duration::from_millis(u64::from(*ms))),
        Deed::Fail(times) => {
            let cause = Throwable::new("java.lang.RuntimeException", "random");
            d.event(Event::Command(Command::FailJob { job: None, cause, times: *times }));
        }
        Deed::LoseTaskManagers => d.event(Event::Command(Command::LoseTaskManagers)),
        Deed::Savepoint(n) => {
            let target = ["file:///sp", "file:///proc/x", "nope://x", ""][usize::from(*n) % 4];
            d.post(
                &format!("/jobs/{JOB}/savepoints"),
                json!({"target-directory": target, "cancel-job": *n == 3}),
            );
        }
        Deed::Stop => {
            d.post(&format!("/jobs/{JOB}/stop"), json!({"targetDirectory": "file:///sp"}));
        }
        Deed::Cancel => {
            d.call("PATCH", &format!("/jobs/{JOB}"), None);
        }
        Deed::Finish => d.event(Event::Command(Command::FinishJob { job: None })),
        Deed::SavepointFault(n) => {
            let slow = SavepointFault::Slow(Duration::from_secs(30));
            let fault = [SavepointFault::FailsTask, SavepointFault::Hangs, slow, SavepointFault::ReplyLost]
                [usize::from(*n) % 4]
                .clone();
            d.event(Event::Command(Command::NextSavepoint(fault)));
        }
        Deed::FailCheckpoints(times) => d.event(Event::Command(Command::FailCheckpoints { times: *times })),
        Deed::Stall(on) => d.event(Event::Command(Command::StallCheckpoints { on: *on })),
        Deed::LoseSnapshots => storage.snapshots().keys().for_each(|path| {
            storage.lose(path);
        }),
        Deed::LoseMaps => {
            let mut maps = d.ha.clone();
            maps.retain(|name, _| name.ends_with("-cluster-config-map"));
            d.ha.clone_from(&maps);
            d.event(Event::HaChanged(HaState { maps }));
        }
        Deed::Leadership => d.event(Event::LeadershipLost),
        Deed::Get(n) => {
            d.get(&format!("/jobs/{JOB}{}", PATHS[*n]));
        }
        Deed::Term => d.event(Event::Signal(Signal::Term)),
    }
}

fn check(d: &Driver) -> Result<(), TestCaseError> {
    let (mut over, mut newest) = (false, 0);
    for fact in d.job_facts() {
        match fact {
            // A new leader starts the job anew.
            JobFact::State { state: JobState::Initializing, .. } => (over, newest) = (false, 0),
            JobFact::State { state, .. } => {
                prop_assert!(!over, "{state:?} after the end");
                over = state.is_terminal();
            }
            JobFact::Checkpoint { id, .. } | JobFact::Savepoint { id, .. } => {
                prop_assert!(!over && *id > 0);
                // A slow savepoint may complete after younger checkpoints; checkpoints themselves grow.
                if matches!(fact, JobFact::Checkpoint { .. }) {
                    prop_assert!(*id > newest, "checkpoint {id} after {newest}");
                    newest = *id;
                }
            }
            JobFact::Started { .. } | JobFact::Restored { .. } | JobFact::Stopped { .. } => {}
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_lives(deeds in proptest::collection::vec(deed(), 1..60), seed in any::<u64>(), which in 0usize..3, adaptive in any::<bool>()) {
        let version = [Version::V1_18, Version::V1_20, Version::V2_2][which];
        let storage = SnapshotStore::new();
        let mut options = application(version, &storage);
        options.seed = seed;
        if adaptive {
            options = options.config("jobmanager.scheduler", "adaptive");
        }
        let mut d = Driver::start(options, start_time());
        for deed in &deeds {
            perform(&mut d, deed, &storage);
        }
        check(&d)?;
    }

    #[test]
    fn any_request_is_answered(method in "[A-Z]{3,7}", path in "(/[a-z0-9:%-]{0,33}){0,8}", query in "[a-z=&%,0-9]{0,20}", body in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut d = Driver::start(application(Version::V1_20, &SnapshotStore::new()).instant(), start_time());
        let uri = format!("/{}?{query}", path.trim_start_matches('/'));
        if let Ok(request) = http::Request::builder().method(method.as_str()).uri(uri).body(body.into()) {
            let answer = d.send(request);
            prop_assert!(answer.status < 600);
        }
    }
}
