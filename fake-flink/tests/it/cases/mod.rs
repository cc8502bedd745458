//! Black-box cases: requests with the answers that real session clusters of 1.20.3, 2.2.1 and 1.18.1 gave.
//!
//! `tests/data/cases.jsonl` and `probes.jsonl` hold one case per line; `cases-1.18.1.jsonl` holds what 1.18.1 answered
//! otherwise than 1.20.3. They run in process under virtual time, over
//! HTTP against `serve`, and, with `make test-real-flink`, against real clusters, which says whether the recordings
//! still hold and can record new ones.

mod case;
mod pointer;
mod real;
mod server;

use crate::driver::{Driver, start_time};
use fake_flink::serve::{ServeOptions, serve};
use fake_flink::{Event, ModelKnobs, ResourceManager, StartOptions, Version};
use serde_json::{Value, json};
use server::{Http, Server};
use std::time::Duration;

/// Cases that do not pass, with the reason: `(version, case, why)`. One that passes fails the test, so the list stays
/// true.
pub const KNOWN_FAILURES: &[(&str, &str, &str)] = include!("known.in");

pub const CASES: &str = include_str!("../../data/cases.jsonl");
const PROBES: &str = include_str!("../../data/probes.jsonl");
/// A line per case that 1.18.1 answers otherwise than 1.20.3, by the places of its steps, or that it was not asked.
const OLD_ANSWERS: &str = include_str!("../../data/cases-1.18.1.jsonl");
pub const OLD: &str = "1.18.1";
/// A line per configuration in which cases are asked: a name, then what is set.
const CLUSTERS: &str = include_str!("../../data/clusters.txt");
const USUAL: &str = "usual";
const TASK_MANAGER: &str = "localhost:40001-5e55ed";
/// Cases over HTTP run this much faster than they were recorded.
const SPEED: f64 = 20.0;

#[test]
fn cases_of_1_18_1() {
    run_all(OLD, &mut session(Version::V1_18));
    run_others(OLD, Version::V1_18);
}

#[test]
fn cases_of_1_18_1_over_http() {
    served(Version::V1_18, |server| run_all(OLD, server));
}

#[test]
fn cases_of_1_20_3() {
    run_all("1.20.3", &mut session(Version::V1_20));
    run_others("1.20.3", Version::V1_20);
}

#[test]
fn cases_of_2_2_1() {
    run_all("2.2.1", &mut session(Version::V2_2));
    run_others("2.2.1", Version::V2_2);
}

#[test]
fn cases_of_1_20_3_over_http() {
    served(Version::V1_20, |server| run_all("1.20.3", server));
}

#[test]
fn cases_of_2_2_1_over_http() {
    served(Version::V2_2, |server| run_all("2.2.1", server));
}

fn read(text: &str) -> Vec<Value> {
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// All cases: those that need a fresh server first, those that end it last.
/// The cases of every cluster.
pub fn all() -> Vec<Value> {
    let recorded = read(CASES);
    assert_eq!(recorded.len(), 152, "the copied cases are complete");
    let mut cases = [recorded, read(PROBES)].concat();
    for line in read(OLD_ANSWERS) {
        let case = cases.iter_mut().find(|case| case["id"] == line["id"]).expect("a case of this id");
        if let Some(why) = line.get("skip") {
            case["skip"][OLD] = why.clone();
        }
        for (at, seen) in line["steps"].as_object().into_iter().flatten() {
            let at: usize = at.parse().expect("the place of a step");
            case["steps"][at]["variants"][OLD] = seen.clone();
        }
    }
    cases.sort_by_key(|c| (c["fresh"] != json!(true), c["last"] == json!(true)));
    cases
}

/// A configuration in which cases ask: its name and what is set beyond the usual.
fn clusters() -> Vec<(String, Vec<(String, String)>)> {
    let setting = |text: &str| text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    let read = |line: &str| {
        let mut words = line.split(' ');
        let name = words.next().expect("a name").to_owned();
        (name, words.map(|word| setting(word).expect("KEY=VALUE")).collect())
    };
    CLUSTERS.lines().filter(|line| !line.starts_with('#')).map(read).collect()
}

fn is_of(case: &Value, cluster: &str) -> bool {
    case["cluster"].as_str().unwrap_or(USUAL) == cluster
}

/// Of the cases of one cluster those that a release is asked.
fn of_cluster(cluster: &str, version: &str) -> Vec<Value> {
    let is_asked = |case: &Value| is_of(case, cluster) && !case["skip"][version].is_string();
    all().into_iter().filter(is_asked).collect()
}

fn run_all(name: &str, server: &mut dyn Server) {
    run_cluster(USUAL, name, server);
}

/// Each cluster beyond the usual one, in process.
fn run_others(name: &str, version: Version) {
    for (cluster, settings) in clusters().into_iter().filter(|(cluster, _)| cluster != USUAL) {
        let start = settings.iter().fold(options(version), |start, (key, value)| start.config(key, value));
        run_cluster(&cluster, name, &mut started(start));
    }
}

fn run_cluster(cluster: &str, name: &str, server: &mut dyn Server) {
    let cases = of_cluster(cluster, name);
    let (mut passed, mut wrong) = (0, Vec::new());
    for case in &cases {
        let id = case["id"].as_str().unwrap();
        let known = KNOWN_FAILURES.iter().find(|(v, c, _)| *v == name && *c == id);
        match (case::check(case, server, name), known) {
            (Ok(()), None) => passed += 1,
            (Ok(()), Some(_)) => wrong.push(format!("{id}: passes, take it off the list of known failures")),
            (Err(why), None) => wrong.push(format!("{id}: {why}")),
            (Err(_), Some((_, _, why))) => println!("{id}: known failure: {why}"),
        }
    }
    let known = cases.len() - passed - wrong.len();
    println!("cases of {name}, {cluster} cluster: {passed} of {} pass, {known} known failures", cases.len());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// The cluster that the cases expect.
fn options(version: Version) -> StartOptions {
    let start = StartOptions {
        resources: ResourceManager::Standalone,
        seed: 7,
        ..StartOptions::session(version, start_time())
    };
    start
        .config("taskmanager.numberOfTaskSlots", "4")
        .config("parallelism.default", "2")
        .config("web.refresh-interval", "100 ms")
        .config("metrics.fetcher.update-interval", "100 ms")
}

fn session(version: Version) -> Driver {
    started(options(version))
}

fn started(options: StartOptions) -> Driver {
    let mut driver = Driver::start(options, start_time());
    Driver::pass(&mut driver, Duration::from_secs(5));
    driver.event(Event::TaskManagerUp { id: TASK_MANAGER.to_owned(), slots: 4 });
    driver
}

/// Runs something against the cluster behind a socket of its own.
fn served(version: Version, client: impl FnOnce(&mut Http) + Send + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut start = options(version).config("rest.port", &address.port().to_string());
        start.pod_ip = address.ip().to_string();
        start.model = ModelKnobs {
            rest_up: fake_flink::Delay::ZERO,
            leader_ready: fake_flink::Delay::ZERO,
            ..ModelKnobs::default()
        };
        let options = ServeOptions {
            start,
            time_scale: SPEED,
            task_manager_start: Duration::ZERO,
            task_managers: vec![(TASK_MANAGER.to_owned(), 4)],
            log: |_| {},
        };
        let (done, finished) = tokio::sync::oneshot::channel::<()>();
        let calls = std::thread::spawn(move || {
            client(&mut Http::new(&address.to_string(), SPEED));
            drop(done);
        });
        let over = async {
            let _dropped = finished.await;
        };
        serve(listener, options, over).await.unwrap();
        if let Err(panic) = calls.join() {
            std::panic::resume_unwind(panic);
        }
    });
}
