//! The targets of fake-flink: functions of bytes that must come back, as those of fake-kube in `targets.rs`. Every input
//! meets a cluster in the same state, at the same moment, with the same seed.

use std::time::Duration;

use bytes::Bytes;
use fake_flink::program::{self, ProgramTable};
use fake_flink::{Cluster, Event, ResourceManager, StartOptions, Version, jar};
use http::Request;
use jiff::Timestamp;

use super::text;

/// Timers of one input: endless jobs take checkpoints for ever.
const TIMERS_MAX: usize = 10_000;
const JOB: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const VERSIONS: [Version; 3] = [Version::V1_18, Version::V1_20, Version::V2_2];

/// First byte: the version. The rest are requests as text, see `text.rs`; `{jar}`, `{job}` and `{vertex}` stand for what is
/// there.
pub fn flink(data: &[u8]) {
    let [version, rest @ ..] = data else { return };
    let mut world = World::start(VERSIONS[usize::from(*version) % VERSIONS.len()], ProgramTable::default());
    let jar = world.upload("conformance.Stream");
    world.run(&jar);
    let vertex = world.vertex();
    for part in text::parts(rest) {
        // Lossy: requests are mostly text, and what is none is a body that nobody can read.
        let filled = String::from_utf8_lossy(part);
        let filled = filled.replace("{jar}", &jar).replace("{job}", JOB).replace("{vertex}", &vertex);
        if let Some(request) = text::request(filled.as_bytes()) {
            world.ask(request);
        }
        world.pass(Duration::from_millis(700));
    }
    world.is_well();
}

/// First byte: the version; the rest is a job as a client serialises it.
pub fn graph(data: &[u8]) {
    let [version, graph @ ..] = data else { return };
    let mut world = World::start(VERSIONS[usize::from(*version) % VERSIONS.len()], ProgramTable::default());
    let body = [
        "--b\r\nContent-Disposition: form-data; name=\"request\"\r\n\r\n".as_bytes(),
        br#"{"jobGraphFileName":"g","executionPlanFileName":"g"}"#,
        b"\r\n--b\r\nContent-Disposition: form-data; name=\"file_0\"; filename=\"g\"\r\n\r\n",
        graph,
        b"\r\n--b--\r\n",
    ];
    world.ask(form("/jobs", body.concat()));
    world.pass(Duration::from_secs(60));
    world.is_well();
}

/// A program file: read, and when it is one, what runs for classes nobody else answers to is run for an hour and looked at.
pub fn program(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut table = ProgramTable::default();
    if let Err(error) = program::read(&mut table, "job.yaml", text) {
        assert!(error.to_string().starts_with("job.yaml"), "{error}");
        return;
    }
    let mut world = World::start(Version::V1_20, table);
    let jar = world.upload("fuzz.Main");
    world.run(&jar);
    world.pass(Duration::from_secs(3600));
    for path in ["", "/plan", "/checkpoints", "/config", "/exceptions"] {
        world.get(&format!("/jobs/{JOB}{path}"));
    }
    world.is_well();
}

/// A session cluster with one TaskManager.
struct World {
    cluster: Cluster,
    now: Timestamp,
    timers: usize,
}

impl World {
    fn start(version: Version, programs: ProgramTable) -> World {
        let now = Timestamp::from_millisecond(1_795_252_300_000).expect("an instant");
        let options = StartOptions::session(version, now);
        let options = StartOptions { resources: ResourceManager::Standalone, programs, ..options };
        let (cluster, _) = Cluster::start(options);
        let mut world = World { cluster, now, timers: 0 };
        world.pass(Duration::from_secs(5));
        world.cluster.step(Event::TaskManagerUp { id: "tm".to_owned(), slots: 4 }, world.now);
        world
    }

    fn ask(&mut self, request: Request<Bytes>) -> Bytes {
        let (response, _) = self.cluster.handle(&request, self.now);
        assert!((200..=503).contains(&response.status().as_u16()), "{}", response.status());
        response.into_body()
    }

    fn get(&mut self, path: &str) -> Bytes {
        self.ask(Request::get(path).header("host", "fuzz").body(Bytes::new()).expect("a path"))
    }

    fn upload(&mut self, main_class: &str) -> String {
        let head = b"--b\r\nContent-Disposition: form-data; name=\"jarfile\"; filename=\"a.jar\"\r\n\r\n";
        let body = [&head[..], &jar::write(main_class), b"\r\n--b--\r\n"].concat();
        let answer = self.ask(form("/jars/upload", body));
        let answer: serde_json::Value = serde_json::from_slice(&answer).expect("JSON");
        let name = answer["filename"].as_str().expect("a name");
        name.rsplit('/').next().unwrap_or_default().to_owned()
    }

    fn run(&mut self, jar: &str) {
        let body = format!(
            r#"{{"jobId":"{JOB}","flinkConfiguration":{{"execution.checkpointing.interval":"1s"}}}}"#
        );
        let request = Request::post(format!("/jars/{jar}/run")).body(body.into()).expect("a request");
        self.ask(request);
        self.pass(Duration::from_secs(3));
    }

    fn vertex(&mut self) -> String {
        let job: serde_json::Value =
            serde_json::from_slice(&self.get(&format!("/jobs/{JOB}"))).expect("JSON");
        job["vertices"][0]["id"].as_str().unwrap_or_default().to_owned()
    }

    fn pass(&mut self, by: Duration) {
        let until = self.now.checked_add(by).expect("within time");
        while let Some(due) = self.cluster.next_due().filter(|due| *due <= until) {
            self.timers += 1;
            if self.timers > TIMERS_MAX {
                break;
            }
            self.now = self.now.max(due);
            self.cluster.step(Event::Tick, self.now);
        }
        self.now = until;
        self.cluster.step(Event::Tick, self.now);
    }

    /// Whatever was asked, the next one gets an answer.
    fn is_well(&mut self) {
        let facts = self.cluster.facts();
        let answer = self.get("/overview");
        assert!(!answer.is_empty(), "{facts:?}");
    }
}

fn form(path: &str, body: Vec<u8>) -> Request<Bytes> {
    let request = Request::post(path).header("content-type", "multipart/form-data; boundary=b");
    request.body(body.into()).expect("a request")
}
