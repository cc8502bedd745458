//! HA ConfigMaps at every recorded point of an application's life, against what real Flink wrote there.
//!
//! Compared are the names of maps, labels, annotations and data keys, the counter, the form of leader values and
//! handles; random parts (uuids, ports, times) only by form.

use super::driver::{Driver, start_time};
use fake_flink::{
    Command, ConfigMap, Event, HaState, JobState, Phase, Signal, SnapshotStore, StartOptions, Version,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const RECORDED: &str = include_str!("../data/ha.jsonl");
pub const JOB: &str = "dddddddddddddddddddddddddddddddd";

/// The recorded application cluster.
pub fn application(version: Version, storage: &SnapshotStore) -> StartOptions {
    let retention = "execution.checkpointing.externalized-checkpoint-retention";
    StartOptions { storage: storage.clone(), seed: 3, ..StartOptions::application(version, start_time()) }
        .config("$internal.pipeline.job-id", JOB)
        .config("kubernetes.cluster-id", "my-app")
        .config("high-availability.type", "kubernetes")
        .config("high-availability.storageDir", "file:///flink/run/ha")
        .config("high-availability.kubernetes.leader-election.lease-duration", "6 s")
        .config("execution.checkpointing.interval", "3s")
        .config("execution.checkpointing.min-pause", "500ms")
        .config("execution.checkpointing.tolerable-failed-checkpoints", "10")
        .config("state.checkpoints.dir", "file:///flink/run/checkpoints")
        .config(retention, "RETAIN_ON_CANCELLATION")
        .config("restart-strategy.type", "fixed-delay")
        .config("restart-strategy.fixed-delay.attempts", "1")
        .config("execution.submit-failed-job-on-application-error", "true")
        .config("execution.shutdown-on-application-finish", "false")
        .config("parallelism.default", "2")
        .config("taskmanager.numberOfTaskSlots", "4")
}

pub fn with_ha(mut options: StartOptions, ha: &BTreeMap<String, ConfigMap>) -> StartOptions {
    options.ha = HaState { maps: ha.clone() };
    options
}

pub fn checkpoints(driver: &mut Driver, at_least: u64) {
    for _ in 0..2000 {
        let latest = driver.facts().jobs.first().and_then(|j| j.latest_checkpoint.clone());
        if latest.is_some_and(|l| l.id >= at_least) {
            return;
        }
        driver.pass(Duration::from_millis(50));
    }
    panic!("checkpoint {at_least} does not come");
}

fn recorded(version: &str, point: &str) -> Value {
    let lines = RECORDED.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
    let mut found =
        lines.filter(|r| r["version"] == version && r["point"].as_str().unwrap().starts_with(point));
    found.next().unwrap_or_else(|| panic!("no recording {point} of {version}"))["maps"].clone()
}

fn seen(ha: &BTreeMap<String, ConfigMap>) -> Value {
    ha.iter()
        .map(|(n, m)| (n.clone(), json!({"labels": m.labels, "annotations": m.annotations, "data": m.data})))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Forms instead of values: what is left must be equal.
fn form(maps: &Value, keep_counter: bool) -> Value {
    let uuid = regex::Regex::new("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").unwrap();
    let time = regex::Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z").unwrap();
    let address = regex::Regex::new(r"(localhost|[\d.]+):\d+").unwrap();
    let checkpoint = regex::Regex::new(r"^checkpointID-\d{19}$").unwrap();
    let transitions = regex::Regex::new(r#""leaderTransitions":\d+"#).unwrap();
    let text = |s: &str| {
        let s = uuid.replace_all(s, "UUID");
        let s = time.replace_all(&s, "TIME");
        address.replace_all(&s, "ADDRESS").into_owned()
    };
    let mut out = maps.clone();
    for map in out.as_object_mut().unwrap().values_mut() {
        for block in ["annotations", "data"] {
            let entries = map[block].as_object().cloned().unwrap_or_default();
            let formed = entries.into_iter().map(|(key, value)| {
                let value = value.as_str().unwrap();
                let value = if value.starts_with("rO0") { value[..60].to_owned() } else { text(value) };
                let value = if key == "counter" && !keep_counter { "N".to_owned() } else { value };
                let key =
                    if checkpoint.is_match(&key) && !keep_counter { "checkpointID".to_owned() } else { key };
                // Writes of a graceful stop leave the lock in different states (recorded); its form is what counts.
                let value = transitions.replace(&value, "\"leaderTransitions\":N").into_owned();
                (key, json!(value))
            });
            map[block] = formed.collect::<serde_json::Map<_, _>>().into();
        }
    }
    super::normal::sorted_text(&out).parse::<String>().map(Value::String).unwrap()
}

fn check(version: &str, point: &str, driver: &Driver, keep_counter: bool) {
    assert_eq!(
        form(&seen(&driver.ha), keep_counter),
        form(&recorded(version, point), keep_counter),
        "{version} at {point}"
    );
}

fn next(driver: &Driver, options: StartOptions) -> (StartOptions, Timestamp) {
    (with_ha(options, &driver.ha), driver.now.checked_add(Duration::from_secs(1)).unwrap())
}

fn life(name: &str, version: Version) {
    let storage = SnapshotStore::new();
    let options = application(version, &storage);
    let mut d = Driver::start(options.clone(), start_time());
    // Just submitted: the JobMaster has not started.
    while d.ha.get("my-app-cluster-config-map").is_none_or(|m| m.data.len() != 4) {
        d.pass(Duration::from_millis(20));
    }
    check(name, "1 ", &d, true);
    checkpoints(&mut d, 3);
    check(name, "2 ", &d, true);
    let progress = d.facts().jobs[0].progress;

    d.event(Event::Signal(Signal::Kill));
    assert_eq!(d.exit, Some(137));
    check(name, "3 ", &d, true);

    let (o, now) = next(&d, options.clone());
    let mut d = Driver::start(o, now);
    d.pass(Duration::from_secs(5));
    assert_eq!(d.facts().phase, Phase::Electing, "the lease of the killed leader is waited for");
    checkpoints(&mut d, 4);
    check(name, "4 ", &d, true);
    assert!(d.logged("Found 1 checkpoints in KubernetesStateHandleStore{configMapName='my-app-dddd"));
    let restored = d.facts().jobs[0].restored_from.clone().unwrap();
    assert_eq!(
        (restored.id, restored.path.as_deref()),
        (3, Some("file:/flink/run/checkpoints/dddddddddddddddddddddddddddddddd/chk-3"))
    );
    assert!(d.facts().jobs[0].progress < progress + 100_000);

    d.event(Event::Signal(Signal::Term));
    assert_eq!(d.exit, Some(143));
    check(name, "5 ", &d, true);

    let (o, now) = next(&d, options.clone());
    let mut d = Driver::start(o, now);
    checkpoints(&mut d, 5);
    d.call("PATCH", &format!("/jobs/{JOB}?mode=cancel"), None);
    d.pass(Duration::from_secs(1));
    assert_eq!(d.facts().jobs[0].state, JobState::Canceled);
    check(name, "6 ", &d, true);
    assert_eq!(storage.files(), Vec::<String>::new(), "both kinds of HA files are gone");
    assert!(
        storage.read("file:/flink/run/checkpoints/dddddddddddddddddddddddddddddddd/chk-5").is_ok(),
        "retained"
    );

    // Nothing remembers the job: it runs again from scratch.
    let (o, now) = next(&d, options.clone());
    let mut d = Driver::start(o, now);
    checkpoints(&mut d, 1);
    check(name, "7 ", &d, true);
    d.call("DELETE", "/cluster", None);
    d.pass(Duration::from_secs(3));
    assert_eq!(d.exit, Some(0));
    check(name, "8 ", &d, true);

    let failing = options.config("execution.shutdown-on-application-finish", "true");
    let (o, now) = next(&d, failing.clone());
    let mut d = Driver::start(o, now);
    checkpoints(&mut d, 3);
    check(name, "9 ", &d, true);
    let cause = fake_flink::Throwable::new("java.lang.RuntimeException", "injected failure");
    d.event(Event::Command(Command::FailJob { job: None, cause, times: None }));
    d.pass(Duration::from_secs(10));
    assert_eq!(d.exit, Some(163));
    check(name, "10 ", &d, true);

    let (o, now) = next(&d, failing);
    let mut d = Driver::start(o, now);
    checkpoints(&mut d, 1);
    let stopped =
        d.operation(&format!("/jobs/{JOB}/stop"), json!({"targetDirectory": "file:///flink/run/sp"}));
    assert!(
        stopped["location"].as_str().unwrap().starts_with("file:/flink/run/sp/savepoint-dddddd-"),
        "{stopped}"
    );
    d.pass(Duration::from_secs(5));
    assert_eq!(d.exit, Some(0));
    check(name, "11 ", &d, true);
}

#[test]
fn life_1_18() {
    life("1.18.1", Version::V1_18);
}

#[test]
fn life_1_20() {
    life("1.20.3", Version::V1_20);
}

#[test]
fn life_2_2() {
    life("2.2.1", Version::V2_2);
}

#[test]
fn main_throws_and_a_failed_job_stands_for_it() {
    for (name, version) in [("1.18.1", Version::V1_18), ("1.20.3", Version::V1_20), ("2.2.1", Version::V2_2)]
    {
        let mut options = application(version, &SnapshotStore::new());
        options.mode = fake_flink::Mode::Application {
            main_class: Some("conformance.MainThrows".into()),
            args: vec!["boom".into()],
            jar: None,
        };
        let mut d = Driver::start(options, start_time());
        d.pass(Duration::from_secs(10));
        check(name, "12 ", &d, true);
        assert_eq!(d.get("/jobs/overview")["jobs"][0]["name"], "(application driver)");
    }
}

#[test]
fn metadata_that_somebody_deletes_is_gone_outside_and_known_inside() {
    use fake_flink::model::api::HaLoss;
    let store = SnapshotStore::new();
    let run = |loss| {
        let mut d = Driver::start(application(Version::V1_20, &store), start_time());
        checkpoints(&mut d, 2);
        d.event(Event::Command(Command::LoseHa(loss)));
        assert_eq!(d.facts().ha_maps, d.ha.keys().cloned().collect::<Vec<_>>(), "{loss:?}");
        d
    };
    let job_map = format!("my-app-{JOB}-config-map");
    let pointers =
        |d: &Driver| d.ha[&job_map].data.keys().filter(|key| key.starts_with("checkpointID-")).count();

    let mut d = run(HaLoss::Checkpoints);
    assert_eq!((pointers(&d), d.ha[&job_map].data.contains_key("counter")), (0, true));
    checkpoints(&mut d, 4);
    assert_eq!((pointers(&d), d.exit), (1, None), "the next checkpoint is pointed to again");

    let mut d = run(HaLoss::JobMaps);
    assert_eq!(d.ha.keys().collect::<Vec<_>>(), ["my-app-cluster-config-map"]);
    let latest = |d: &Driver| d.facts().jobs[0].latest_checkpoint.clone().map(|c| c.id);
    let before = latest(&d);
    d.pass(Duration::from_secs(10));
    assert_eq!((latest(&d), d.exit), (before, None), "without its map no checkpoint can be numbered");

    for loss in [HaLoss::ClusterMap, HaLoss::All] {
        let mut d = run(loss);
        d.pass(Duration::from_secs(1));
        assert!(d.exit.is_some_and(|code| code != 0), "{loss:?}: a leader without its map ends");
    }
}

#[test]
fn a_checkpoint_that_cannot_be_pointed_to_has_failed() {
    use fake_flink::model::api::HaLoss;
    let store = SnapshotStore::new();
    let mut d = Driver::start(application(Version::V1_20, &store), start_time());
    checkpoints(&mut d, 2);
    let job_map = format!("my-app-{JOB}-config-map");
    let counter = |d: &Driver| d.ha[&job_map].data["counter"].clone();
    let before = counter(&d);
    for _ in 0..5_000 {
        d.pass(Duration::from_millis(1));
        if counter(&d) != before {
            break;
        }
    }
    assert_ne!(counter(&d), before, "a checkpoint is under way");
    d.event(Event::Command(Command::LoseHa(HaLoss::JobMaps)));
    d.pass(Duration::from_secs(1));
    d.get(&format!("/jobs/{JOB}/checkpoints"));
    d.pass(Duration::from_secs(4));
    let shown = d.get(&format!("/jobs/{JOB}/checkpoints"));
    assert_eq!(shown["counts"]["in_progress"], 0);
    assert_ne!(shown["latest"]["failed"], Value::Null);
    assert_eq!(shown["latest"]["failed"]["failure_message"], "Failure to finalize checkpoint.");
    let newest = d.facts().jobs[0].latest_checkpoint.clone().unwrap();
    assert_eq!(newest.id, 2);
    let kept: Vec<u64> = store.snapshots().values().map(|snapshot| snapshot.id).collect();
    assert_eq!(kept, [newest.id], "its files are gone, those of the newest completed one are not");
}

#[test]
fn without_metadata_a_job_starts_from_what_is_configured_or_from_nothing() {
    use fake_flink::model::api::HaLoss;
    let store = SnapshotStore::new();
    let restart = |options: &StartOptions, loss| {
        let mut d = Driver::start(options.clone(), start_time());
        checkpoints(&mut d, 3);
        d.event(Event::Command(Command::LoseHa(loss)));
        d.event(Event::Signal(Signal::Kill));
        let (o, now) = next(&d, options.clone());
        let mut d = Driver::start(o, now);
        d.pass(Duration::from_secs(40));
        d
    };
    let options = application(Version::V2_2, &store);
    for loss in [HaLoss::All, HaLoss::JobMaps] {
        let d = restart(&options, loss);
        let job = d.facts().jobs[0].clone();
        assert_eq!(job.restored_from, None, "{loss:?}: the newer chk-3 in the storage is not looked for");
        assert_eq!(job.state, JobState::Running);
    }
    // An older savepoint that the configuration names is where each start without metadata begins.
    let mut d = Driver::start(options.clone(), start_time());
    checkpoints(&mut d, 1);
    let path = format!("/jobs/{JOB}/savepoints");
    let taken = d.operation(&path, json!({"target-directory": "file:///flink/run/sp"}));
    let savepoint = taken["location"].as_str().unwrap().to_owned();
    d.event(Event::Command(Command::LoseHa(HaLoss::All)));
    let d = restart(&options.config("execution.state-recovery.path", &savepoint), HaLoss::All);
    assert_eq!(d.facts().jobs[0].restored_from.clone().unwrap().path, Some(savepoint));
}
