//! The recorded calls of real clusters, each repeated against a model brought into the situation it was made in.
//!
//! `tests/data/recorded-*.jsonl` holds the recordings (traces cut to class and message lines). The situation follows
//! from the recording's name, and where a cluster was asked a moment earlier or later than the others from its version
//! (`Moment`); nothing of the recorded answer goes in. Compared are the status, the members of every
//! object (32-hex keys as wildcards), JSON types, upper-case enum values, and the first line of errors. Recordings that
//! do not pass are listed with the reason; a listed one that passes fails the test.

use super::driver::{Driver, start_time};
use super::ha::{application, checkpoints, with_ha};
use fake_flink::model::api::SavepointFault;
use fake_flink::{
    Behaviour, Command, Effect, Event, Program, ProgramJob, ResourceManager, Ship, Signal, Snapshot,
    SnapshotStore, StartOptions, Throwable, Version, VertexSpec, jar,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

pub const RECORDED: [(&str, Version, &str); 3] = [
    ("1.18.1", Version::V1_18, include_str!("../data/recorded-1.18.1.jsonl")),
    ("1.20.3", Version::V1_20, include_str!("../data/recorded-1.20.3.jsonl")),
    ("2.2.1", Version::V2_2, include_str!("../data/recorded-2.2.1.jsonl")),
];

/// `(version, recording, why)`.
pub const NOT_PASSING: &[(&str, &str, &str)] = include!("not_passing.in");

const SP: &str = "file:///flink/run/sp";
const TM: &str = "localhost:41493-ade4c5";

#[test]
fn recorded_calls() {
    let mut wrong = Vec::new();
    let mut listed: BTreeSet<String> = NOT_PASSING.iter().map(|(v, n, _)| format!("{v} {n}")).collect();
    for (name, version, text) in RECORDED {
        let (mut passed, mut total) = (0, 0);
        for line in text.lines() {
            let r: Value = serde_json::from_str(line).unwrap();
            let id = format!("{}-{}", r["cluster"].as_str().unwrap(), r["name"].as_str().unwrap());
            let known = listed.remove(&format!("{name} {id}"));
            total += 1;
            match replay(&r, version) {
                Ok(()) if known => wrong.push(format!("{name} {id}: passes, take it off the list")),
                Ok(()) => passed += 1,
                Err(why) if !known => wrong.push(format!("{name} {id}: {why}")),
                Err(_) => {}
            }
        }
        println!("recorded calls of {name}: {passed} of {total} pass");
    }
    assert!(listed.is_empty(), "listed and not recorded: {listed:?}");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn probe(args: &[&str], opening: Option<Duration>) -> Program {
    if args.contains(&"--main-error") {
        let cause = Throwable::new("java.lang.IllegalStateException", "boom in main");
        return Program { behaviour: Behaviour::Throws(cause) };
    }
    if args.contains(&"--noop") {
        return Program { behaviour: Behaviour::NoJob };
    }
    let source = VertexSpec::new("Source: seq-source -> throttle", "seq-source");
    let mut stateful = VertexSpec::new("stateful -> drop -> Sink: out", "stateful").fed_by(0, Ship::Hash);
    stateful.opening = opening;
    let job = ProgramJob {
        name: "probe".into(),
        vertices: vec![source, stateful],
        counts_records: false,
        failure: Throwable::new("java.lang.RuntimeException", "injected failure"),
        ..fake_flink_stream()
    };
    Program::job(job)
}

/// The shape of a streaming job to fill in.
fn fake_flink_stream() -> ProgramJob {
    match fake_flink::ProgramTable::default().find(Some("conformance.Stream")).with_args(&[]) {
        Behaviour::Job(job) => job,
        other => panic!("not a job: {other:?}"),
    }
}

fn ids() -> [(&'static str, String); 2] {
    let of = |uid| VertexSpec::new("", uid).id().to_owned();
    [
        ("5e695f00738be66c275f8a96a14aa10e", of("seq-source")),
        ("2bf2326fd66dcbd2442fd50df173e152", of("stateful")),
    ]
}

/// A moment that differs between the recorded clusters, told by the times inside the recordings: all of them were asked
/// by one script with real pauses, and got there sooner or later.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    Usual,
    /// Before the metric fetcher had answered once.
    Fresh,
    /// While tasks that take long to open are still at it.
    Opening,
    /// The first checkpoint after the start is complete.
    FirstCheckpoint,
    /// The first checkpoint after the start is under way.
    CheckpointUnderWay,
    /// After a restart and before the next checkpoint.
    BeforeNextCheckpoint,
    /// The job failed again, and what is told of it is a moment old.
    StaleAfterSecondFailure,
    /// The second failure was less than the restart delay ago.
    SecondRestartDelay,
    /// The TaskManager was lost less than the restart delay ago.
    LossRestartDelay,
}

const MOMENTS: &[(&str, &str, Moment)] = &[
    ("1.18.1", "s-taskmanager-metrics-get", Moment::Fresh),
    ("1.18.1", "s-job-initializing-tasks", Moment::Opening),
    ("1.20.3", "s-job-initializing-tasks", Moment::Opening),
    ("2.2.1", "s-job-initializing-tasks", Moment::Opening),
    ("1.18.1", "s-checkpoints-restored-from-savepoint", Moment::FirstCheckpoint),
    ("1.18.1", "app-checkpoints-after-jm-failover", Moment::CheckpointUnderWay),
    ("1.18.1", "s-checkpoints-canceled", Moment::BeforeNextCheckpoint),
    ("1.18.1", "s-job-restarting", Moment::StaleAfterSecondFailure),
    ("1.18.1", "s-job-after-failed-stop", Moment::SecondRestartDelay),
    ("1.18.1", "s-exceptions-after-failed-stop", Moment::SecondRestartDelay),
    ("1.20.3", "s-job-after-failed-stop", Moment::SecondRestartDelay),
    ("1.20.3", "ad-job-tm-lost", Moment::LossRestartDelay),
];

fn moment(version: Version, r: &Value) -> Moment {
    let id = format!("{}-{}", r["cluster"].as_str().unwrap(), r["name"].as_str().unwrap());
    let version = RECORDED.iter().find(|(_, v, _)| *v == version).map_or("", |(name, ..)| *name);
    let found = MOMENTS.iter().find(|(v, name, _)| *v == version && *name == id);
    found.map_or(Moment::Usual, |(.., moment)| *moment)
}

fn has(name: &str, parts: &[&str]) -> bool {
    parts.iter().any(|p| name.contains(p))
}

fn session(r: &Value, version: Version) -> (Driver, String) {
    let cluster = r["cluster"].as_str().unwrap();
    let name = r["name"].as_str().unwrap();
    let mut o = StartOptions {
        resources: ResourceManager::Standalone,
        ..StartOptions::session(version, start_time())
    };
    for (key, value) in [
        ("rest.flamegraph.enabled", "true"),
        ("restart-strategy.type", "fixed-delay"),
        ("restart-strategy.fixed-delay.attempts", "2"),
        ("restart-strategy.fixed-delay.delay", "3s"),
        ("taskmanager.cpu.cores", "2.0"),
        ("state.checkpoints.dir", "file:///flink/run/checkpoints"),
        ("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION"),
        ("execution.checkpointing.interval", "3s"),
        ("execution.checkpointing.tolerable-failed-checkpoints", "10"),
        ("taskmanager.numberOfTaskSlots", "4"),
        ("metrics.fetcher.update-interval", "1000"),
        ("web.upload.dir", "/flink/run/upload"),
        ("rest.async.store-duration", "20s"),
    ] {
        o = o.config(key, value);
    }
    if cluster == "x" {
        o.config.remove("execution.checkpointing.interval");
    }
    if cluster == "ad" {
        o = o
            .config("jobmanager.scheduler", "adaptive")
            .config("state.savepoints.dir", SP)
            .config("rest.async.store-duration", "5s");
    }
    let args: Vec<&str> = r["request"]["body"]["programArgsList"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let opening = (moment(version, r) == Moment::Opening).then_some(Duration::from_secs(10));
    o.programs.insert("ProbeJob", probe(&args, opening));
    let savepoint = |path: &str| {
        let operators = ids().map(|(_, id)| id).to_vec();
        let snapshot = Snapshot {
            job: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".into(),
            id: 6,
            savepoint: true,
            format: Some("CANONICAL".into()),
            progress: 100,
            operators,
            max_parallelism: Vec::new(),
            bytes: 914,
            triggered_ms: 0,
        };
        o.storage.write(path, snapshot).unwrap();
    };
    let path =
        r["request"]["body"]["savepointPath"].as_str().or(r["request"]["body"]["savepoint-path"].as_str());
    path.filter(|p| p.contains("/run/sp/")).into_iter().for_each(savepoint);
    savepoint("file:/flink/run/sp/savepoint-given");
    let mut d = Driver::start(o, start_time());
    d.pass(Duration::from_secs(5));
    let has_task_manager = moment(version, r) == Moment::LossRestartDelay
        || !has(name, &["empty-", "waiting", "tasks-not-running", "no-tm", "before-run", "tm-lost"]);
    if has_task_manager {
        d.event(Event::TaskManagerUp { id: TM.into(), slots: 4 });
    }
    let jar = if has(name, &["corrupt"]) {
        upload(&mut d, "bad.jar", b"corrupt")
    } else {
        upload(&mut d, "probe.jar", &jar::write("ProbeJob"))
    };
    if has(name, &["empty-jars", "empty-v1_jars", "jars-final"]) {
        d.call("DELETE", &format!("/jars/{jar}"), None);
    }
    (d, jar)
}

fn upload(d: &mut Driver, name: &str, content: &[u8]) -> String {
    let head =
        format!("--b\r\nContent-Disposition: form-data; name=\"jarfile\"; filename=\"{name}\"\r\n\r\n");
    let body = [head.as_bytes(), content, b"\r\n--b--\r\n"].concat();
    let request = http::Request::post("/jars/upload")
        .header("content-type", "multipart/form-data; boundary=b")
        .body(body.into())
        .unwrap();
    let answer = d.send(request);
    answer.body["filename"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
}

/// The first 32-hex id after `/jobs/`, unless it is one of the made-up unknown ones.
fn job_of(path: &str) -> Option<String> {
    let id = path.split("/jobs/").nth(1)?.get(..32)?;
    (id.bytes().all(|b| b.is_ascii_hexdigit()) && !id.starts_with("0000")).then(|| id.to_owned())
}

fn trigger_of(path: &str, what: &str) -> Option<String> {
    let id = path.split(&format!("/{what}/")).nth(1)?.get(..32)?;
    (id.bytes().all(|b| b.is_ascii_hexdigit()) && !id.starts_with("0000")).then(|| id.to_owned())
}

/// Brings a session cluster into the situation the recording's name speaks of.
fn situation(d: &mut Driver, r: &Value, jar: &str, moment: Moment) {
    let (name, path, method) = (
        r["name"].as_str().unwrap(),
        r["request"]["path"].as_str().unwrap(),
        r["request"]["method"].as_str().unwrap(),
    );
    let lists = has(
        name,
        &[
            "running-",
            "overview-mixed",
            "overview-failed",
            "overview-after",
            "overview-rest",
            "overview-init",
            "overview-wait",
            "jobs-mixed",
            "completed-expiry",
            "one-tm-",
            "overview-tm-lost",
            "overview-canceled",
            "taskmanager-detail",
            "duplicate-jobid",
            "of-terminal-job",
        ],
    );
    let Some(job) = job_of(path).or_else(|| lists.then(|| "a".repeat(32))) else { return };
    let mut own = json!({});
    if has(name, &["ckpt-timeouts", "failed-expired", "details-failed", "tolerable-exceeded"]) {
        own = json!({"execution.checkpointing.interval": "1s", "execution.checkpointing.timeout": "1500", "execution.checkpointing.tolerable-failed-checkpoints": if name.contains("exceeded") { "0" } else { "10" }});
    } else if r["cluster"] == "x" && !has(name, &["disabled"]) {
        own = json!({"execution.checkpointing.interval": "2s", "execution.checkpointing.timeout": "60s"});
    }
    let failed = has(
        name,
        &[
            "job-failed",
            "overview-failed",
            "exceptions-failed",
            "checkpoints-failed-job",
            "result-failed",
            "metrics-failed",
            "cancel-failed",
            "stop-failed",
            "savepoint-failed-job",
        ],
    ) && !name.contains("poll");
    let after_stop = has(name, &["after-stop", "job-finished-after", "stop-poll"])
        || name == "stop"
        || name == "execution-result-finished";
    let finished = has(name, &["finished"]) && !after_stop;
    let parallelism =
        if failed || finished || has(name, &["expired", "details-failed", "exceeded"]) { 1 } else { 2 };
    let mut run = json!({"jobId": job, "parallelism": parallelism, "flinkConfiguration": own});
    if finished {
        run["programArgsList"] = json!(["--records", "100"]);
    }
    if has(name, &["from-savepoint", "job-restored"]) || after_stop {
        run["savepointPath"] = json!("file:/flink/run/sp/savepoint-given");
    }
    let ran = d.post(&format!("/jars/{jar}/run"), run);
    assert_eq!(ran.status, 200, "{}", ran.body);
    let step = |d: &mut Driver, ms| d.pass(Duration::from_millis(ms));
    if moment == Moment::Opening {
        step(d, 2000);
    } else if moment == Moment::FirstCheckpoint {
        checkpoints(d, 1);
    } else if has(name, &["initializing", "during-init"]) {
        step(d, 600);
    } else if finished {
        step(d, 8000);
    } else if has(name, &["checkpoints-none-yet", "from-savepoint", "empty"]) {
        step(d, 950);
    } else if has(name, &["expired", "details-failed"]) && r["cluster"] == "x" {
        checkpoints(d, 3);
    } else {
        step(d, 9300);
    }
    let savepoint_before =
        ["checkpoints-canceled", "checkpoints-restored", "checkpoints-with-failed"].contains(&name);
    if savepoint_before && r["cluster"] == "s" {
        let format = if name.contains("with-failed") { "CANONICAL" } else { "NATIVE" };
        d.operation(
            &format!("/jobs/{job}/savepoints"),
            json!({"target-directory": SP, "formatType": format}),
        );
        if !name.contains("with-failed") {
            d.event(Event::Command(Command::NextSavepoint(SavepointFault::Fails)));
            d.operation(&format!("/jobs/{job}/savepoints"), json!({"target-directory": SP}));
        }
    }
    let cause = Throwable::new("java.lang.RuntimeException", "injected failure");
    let fail = |times| Event::Command(Command::FailJob { job: None, cause: cause.clone(), times });
    let status = |d: &mut Driver| d.get(&format!("/jobs/{job}"));
    if failed {
        d.event(fail(None));
        step(d, 20_000);
    } else if has(name, &["after-restart"]) || name == "checkpoints-restored" {
        d.event(fail(Some(1)));
        step(d, 8000);
    } else if moment == Moment::StaleAfterSecondFailure {
        d.event(fail(Some(1)));
        step(d, 4000);
        status(d);
        d.event(fail(Some(1)));
        step(d, 100);
    } else if moment == Moment::LossRestartDelay {
        d.event(Event::TaskManagerLost { id: TM.into() });
        step(d, 500);
    } else if has(name, &["restarting", "exceptions-adaptive"]) {
        d.event(fail(Some(1)));
        step(d, 500);
    } else if has(name, &["exceeded", "expired", "details-failed"]) && r["cluster"] == "x" {
        // The fourth is the one that expired.
        d.event(Event::Command(Command::StallCheckpoints { on: true }));
        step(d, 3000);
    } else if has(name, &["exceptions-tm-lost", "overview-tm-lost"]) {
        d.event(Event::TaskManagerUp { id: TM.into(), slots: 4 });
        step(d, 5000);
        d.event(Event::TaskManagerLost { id: TM.into() });
        step(d, 100);
    }
    if r["cluster"] == "s" && has(name, &["-canceled"]) && !has(name, &["-before-run"]) {
        // The recorded job had failed and recovered before it was cancelled.
        d.event(fail(Some(1)));
        step(d, if moment == Moment::BeforeNextCheckpoint { 4000 } else { 8000 });
    }
    if r["cluster"] == "ad" && name.contains("rescaled") {
        let bounds: serde_json::Map<String, Value> = ids()
            .into_iter()
            .map(|(_, v)| (v, json!({"parallelism": {"lowerBound": 1, "upperBound": 1}})))
            .collect();
        assert_eq!(
            d.call("PUT", &format!("/jobs/{job}/resource-requirements"), Some(&bounds.into())).status,
            200
        );
        step(d, 15_000);
    }
    if name == "checkpoints-after-stop" {
        d.get(path);
    }
    if has(name, &["job-canceled", "job-finished-after-stop", "job-after-savepoint-cancel"]) {
        // These were asked while the graph cache still held the job as it ran.
        status(d);
    }
    if has(name, &["canceled", "of-terminal-job", "completed-expiry", "after-savepoint-cancel"]) {
        d.call("PATCH", &format!("/jobs/{job}"), None);
        step(d, 200);
    }
    if has(name, &["checkpoints-after-savepoint", "details-savepoint"]) {
        d.operation(&format!("/jobs/{job}/savepoints"), json!({"target-directory": SP}));
    }
    if after_stop && method == "GET" && !path.contains("/savepoints/") {
        d.operation(&format!("/jobs/{job}/stop"), json!({"targetDirectory": SP}));
    }
    if has(name, &["failed-stop"]) {
        d.event(Event::Command(Command::NextSavepoint(SavepointFault::Fails)));
        d.post(&format!("/jobs/{job}/stop"), json!({"targetDirectory": SP}));
        step(d, 6000);
        if moment == Moment::SecondRestartDelay {
            d.event(Event::Command(Command::NextSavepoint(SavepointFault::FailsTask)));
            d.post(&format!("/jobs/{job}/stop"), json!({"targetDirectory": SP}));
            step(d, 2000);
        }
    }
    if method == "GET" {
        triggers(d, r, &job);
    }
}

/// Polls ask for an operation somebody triggered: the same trigger id, in the way the name says.
fn triggers(d: &mut Driver, r: &Value, job: &str) {
    let (name, path) = (r["name"].as_str().unwrap(), r["request"]["path"].as_str().unwrap());
    let open = has(name, &["in-progress", "concurrent-poll", "poll-first"])
        && !has(name, &["checkpoint-poll-first"]);
    let wait = |d: &mut Driver| d.pass(Duration::from_millis(if open { 5 } else { 1000 }));
    if has(name, &["unknown"]) {
        return;
    }
    if let Some(trigger) = trigger_of(path, "savepoints") {
        let target = if name.contains("unwritable") {
            "file:///proc/nope"
        } else if name.contains("bad-scheme") {
            "nofs://bucket/x"
        } else {
            SP
        };
        if has(name, &["snapshot", "stop-failed"]) {
            d.event(Event::Command(Command::NextSavepoint(SavepointFault::FailsTask)));
        }
        if name.starts_with("stop") {
            d.post(&format!("/jobs/{job}/stop"), json!({"targetDirectory": SP, "triggerId": trigger}));
        } else {
            d.post(
                &format!("/jobs/{job}/savepoints"),
                json!({"target-directory": target, "triggerId": trigger}),
            );
        }
        if name.contains("then-job-fails") {
            let cause = Throwable::new("java.lang.RuntimeException", "injected failure");
            d.event(Event::Command(Command::FailJob { job: None, cause, times: Some(1) }));
        } else if name.contains("then-cancel") {
            d.call("PATCH", &format!("/jobs/{job}"), None);
        }
        wait(d);
        if has(name, &["result-expired", "concurrent-done-1"]) {
            d.pass(Duration::from_secs(30));
        }
    } else if let Some(trigger) = trigger_of(path, "checkpoints") {
        // In the session cluster the job was restarting at that time (README of the recordings).
        if r["cluster"] == "s" && !name.contains("canceled") {
            let cause = Throwable::new("java.lang.RuntimeException", "injected failure");
            d.event(Event::Command(Command::FailJob { job: None, cause, times: Some(1) }));
        }
        d.post(&format!("/jobs/{job}/checkpoints"), json!({"triggerId": trigger}));
        wait(d);
    }
}

fn disposal(d: &mut Driver, r: &Value, path: &str) -> Option<String> {
    let name = r["name"].as_str().unwrap();
    if !path.contains("/savepoint-disposal/") && !path.contains("/datasets/delete/")
        || has(name, &["unknown", "bad"])
    {
        return None;
    }
    if path.contains("/datasets/") {
        let id = d.call("DELETE", &format!("/datasets/{}", "0".repeat(32)), None).body["request-id"]
            .as_str()?
            .to_owned();
        return Some(format!("/datasets/delete/{id}"));
    }
    let what = if name.contains("missing") {
        "file:///does/not/exist"
    } else {
        "file:/flink/run/sp/savepoint-given"
    };
    let id = d.post("/savepoint-disposal", json!({"savepoint-path": what})).body["request-id"]
        .as_str()?
        .to_owned();
    if !name.contains("first") {
        d.pass(Duration::from_secs(1));
    }
    Some(format!("/savepoint-disposal/{id}"))
}

fn app(r: &Value, version: Version) -> Driver {
    let name = r["name"].as_str().unwrap();
    let storage = SnapshotStore::new();
    let mut options = application(version, &storage).config("metrics.fetcher.update-interval", "1000");
    options.programs.set_default(probe(&[], None));
    if name.contains("main-error") {
        let cause = Throwable::new("java.lang.IllegalStateException", "boom");
        options.programs.set_default(Program { behaviour: Behaviour::Throws(cause) });
    }
    let mut d = Driver::start(options.clone(), start_time());
    d.pass(Duration::from_secs(4));
    if name.contains("main-error") {
        return d;
    }
    checkpoints(&mut d, 2);
    if name.contains("failover") {
        d.event(Event::Signal(Signal::Kill));
        d = Driver::start(with_ha(options, &d.ha), d.now);
        d.pass(Duration::from_millis(9090));
        if moment(version, r) == Moment::CheckpointUnderWay {
            let begun = |d: &Driver| {
                let is_begun =
                    |e: &Effect| matches!(e, Effect::Log(line) if line.contains("Triggering checkpoint"));
                d.effects.iter().filter(|e| is_begun(e)).count()
            };
            let before = begun(&d);
            // Its interval is three seconds.
            for _ in 0..1000 {
                if begun(&d) > before {
                    break;
                }
                d.pass(Duration::from_millis(10));
            }
        }
    } else if name.contains("after-cancel") {
        d.call("PATCH", &format!("/jobs/{}", super::ha::JOB), None);
        d.pass(Duration::from_secs(1));
    }
    d
}

fn replay(r: &Value, version: Version) -> Result<(), String> {
    let request = &r["request"];
    let mut path = request["path"].as_str().unwrap().to_owned();
    let mut d = if r["cluster"] == "app" {
        app(r, version)
    } else {
        let (mut d, jar) = session(r, version);
        situation(&mut d, r, &jar, moment(version, r));
        if let Some((before, rest)) = path.split_once("/jars/").map(|(b, p)| (b.to_owned(), p.to_owned()))
            && !rest.starts_with("upload")
            && !rest.starts_with("nope")
        {
            let tail = rest.find('/').map_or("", |i| &rest[i..]);
            let tail = if tail.is_empty() { rest.find('?').map_or("", |i| &rest[i..]) } else { tail };
            path = format!("{before}/jars/{jar}{tail}");
        }
        d
    };
    if let Some(ours) = disposal(&mut d, r, &path) {
        path = ours;
    }
    let mut body = if request["body"].is_null() { String::new() } else { request["body"].to_string() };
    if let Some(raw) = request["body"].as_str() {
        body = raw.to_owned();
    }
    for (theirs, ours) in ids() {
        path = path.replace(theirs, &ours);
        body = body.replace(theirs, &ours);
    }
    let tm = regex::Regex::new(r"localhost:\d+-[0-9a-f]{6}").unwrap();
    path = tm.replace_all(&path, TM).into_owned();
    if path.contains("metrics") {
        // The fetcher answers with what an earlier call made it fetch.
        d.get(&path);
        d.pass(Duration::from_millis(1500));
        if r["body"] != json!([]) {
            d.get(&path);
            d.pass(Duration::from_millis(20));
        }
    } else if has(&path, &["backpressure", "watermarks", "/vertices/"]) {
        d.get("/jobmanager/metrics");
        d.pass(Duration::from_millis(20));
    }
    let asked_first = moment(version, r) == Moment::Fresh
        || r["body"] == json!([]) && has(r["name"].as_str().unwrap(), &["empty", "taskmanager-metrics-list"]);
    if asked_first && path.contains("metrics") {
        let (mut fresh, _) = session(r, version);
        return verdict(r, fresh.call("GET", &path, None));
    }
    let method = request["method"].as_str().unwrap();
    let mut builder =
        http::Request::builder().method(method).uri(path.as_str()).header("host", "127.0.0.1:8081");
    if let Some(form) = body.strip_prefix("<multipart") {
        builder = builder.header("content-type", "multipart/form-data; boundary=b");
        let file = form
            .split('=')
            .nth(1)
            .map_or("probe.jar", |f| f.trim_end_matches('>').split(',').next().unwrap());
        body = format!(
            "--b\r\nContent-Disposition: form-data; name=\"jarfile\"; filename=\"{file}\"\r\n\r\nx\r\n--b--\r\n"
        );
    }
    let answer = d.send(builder.body(body.into()).unwrap());
    verdict(r, answer)
}

fn verdict(r: &Value, answer: super::driver::Answer) -> Result<(), String> {
    if json!(answer.status) != r["status"] {
        return Err(format!(
            "status {} instead of {}: {}",
            answer.status,
            r["status"],
            answer.body.to_string().chars().take(300).collect::<String>()
        ));
    }
    if answer.kind.starts_with("text/html") || r["body"] == json!("") {
        return Ok(());
    }
    match (r["body"].get("errors"), answer.body.get("errors")) {
        (Some(theirs), Some(ours)) => same_errors(theirs, ours),
        _ => same("", &r["body"], &answer.body),
    }
}

fn same_errors(theirs: &Value, ours: &Value) -> Result<(), String> {
    let loose = regex::Regex::new(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}|@[0-9a-f]+").unwrap();
    let head = |v: &Value| -> Vec<String> {
        let lines = v.as_array().into_iter().flatten().filter_map(Value::as_str);
        lines
            .map(|l| l.trim_start_matches("<Exception on server side:\n").lines().next().unwrap_or(""))
            .map(|l| loose.replace_all(l, "ID").into_owned())
            .collect()
    };
    if head(theirs) == head(ours) {
        Ok(())
    } else {
        Err(format!("errors {:?} instead of {:?}", head(ours), head(theirs)))
    }
}

fn is_id(key: &str) -> bool {
    key.len() == 32 && key.bytes().all(|b| b.is_ascii_hexdigit())
}

fn same(at: &str, theirs: &Value, ours: &Value) -> Result<(), String> {
    match (theirs, ours) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = |m: &serde_json::Map<String, Value>| {
                m.keys().map(|k| if is_id(k) { "ID".to_owned() } else { k.clone() }).collect::<BTreeSet<_>>()
            };
            if at.ends_with("user-config") {
                return Ok(());
            }
            if keys(a) != keys(b) {
                return Err(format!(
                    "{at}: members {:?}",
                    keys(a).symmetric_difference(&keys(b)).collect::<Vec<_>>()
                ));
            }
            for (k, v) in a {
                let other = b.get(k).or_else(|| b.iter().find(|(o, _)| is_id(o)).map(|(_, v)| v));
                same(&format!("{at}/{k}"), v, other.unwrap_or(&Value::Null))?;
            }
            Ok(())
        }
        (Value::Array(a), Value::Array(b)) => match (a.first(), b.first()) {
            (Some(x), Some(y)) => same(&format!("{at}/0"), x, y),
            (None, None) => Ok(()),
            _ => Err(format!("{at}: {} elements instead of {}", b.len(), a.len())),
        },
        (Value::String(a), Value::String(b)) => {
            // The first job of a list depends on what the recorded cluster had run before; values are not enums.
            let shouted = |s: &str| s.len() > 2 && s.bytes().all(|c| c.is_ascii_uppercase() || c == b'_');
            let varies = at.starts_with("/jobs/0/") || at.ends_with("/value");
            if (shouted(a) || shouted(b)) && a != b && !varies {
                Err(format!("{at}: {b} instead of {a}"))
            } else {
                Ok(())
            }
        }
        (Value::Number(a), Value::Number(b)) if a.is_f64() == b.is_f64() => Ok(()),
        (Value::Bool(_), Value::Bool(_)) | (Value::Null, Value::Null) => Ok(()),
        _ => Err(format!("{at}: {ours} instead of {theirs}")),
    }
}
