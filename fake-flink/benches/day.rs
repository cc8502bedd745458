//! Checkpoints of 1,000 jobs for a simulated day: `cargo bench -p fake-flink --bench day [-- JOBS HOURS MINUTES]`.
//!
//! One session cluster in virtual time, checkpoints every five minutes unless told otherwise. Prints how many checkpoints were taken, what they
//! sum up to (the same in every run), and the wall time.

use bytes::Bytes;
use fake_flink::{Cluster, Effect, Event, JobFact, JobState, ResourceManager, StartOptions, Version, jar};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let (jobs, hours) = (*numbers.first().unwrap_or(&1_000), *numbers.get(1).unwrap_or(&24));
    let minutes = *numbers.get(2).unwrap_or(&5);
    let mut day = Day::start(jobs, minutes);
    let from = std::time::Instant::now();
    day.pass(SignedDuration::from_hours(hours as i64));
    let took = from.elapsed();
    let running = day.cluster.facts().jobs.iter().filter(|j| j.state == JobState::Running).count();
    assert_eq!(running as u64, jobs, "every job runs to the end");
    println!(
        "{jobs} jobs, {hours} h, every {minutes} min: {} checkpoints, checksum {:016x}, {:.2} s, {:.2} us each",
        day.checkpoints,
        day.checksum,
        took.as_secs_f64(),
        took.as_secs_f64() * 1e6 / day.checkpoints.max(1) as f64
    );
}

struct Day {
    cluster: Cluster,
    now: Timestamp,
    checkpoints: u64,
    checksum: u64,
}

impl Day {
    fn start(jobs: u64, minutes: u64) -> Day {
        let now = Timestamp::UNIX_EPOCH;
        let options = StartOptions {
            resources: ResourceManager::Standalone,
            ..StartOptions::session(Version::V2_2, now).instant()
        }
        .config("execution.checkpointing.interval", &format!("{minutes} min"))
        .config("execution.checkpointing.dir", "s3://bucket/checkpoints");
        let (cluster, _effects) = Cluster::start(options);
        let mut day = Day { cluster, now, checkpoints: 0, checksum: 0 };
        let slots = u32::try_from(2 * jobs).unwrap_or(u32::MAX);
        day.step(Event::TaskManagerUp { id: "tm-1".into(), slots });
        day.run(jobs);
        day
    }

    fn run(&mut self, jobs: u64) {
        let form = [
            b"--b\r\nContent-Disposition: form-data; name=\"jarfile\"; filename=\"a.jar\"\r\n\r\n",
            &jar::write("conformance.Stream")[..],
            b"\r\n--b--\r\n",
        ]
        .concat();
        let upload =
            http::Request::post("/jars/upload").header("content-type", "multipart/form-data; boundary=b");
        let answer = self.send(upload.body(form.into()).expect("a valid request"));
        let file = answer["filename"]
            .as_str()
            .and_then(|f| f.rsplit('/').next())
            .expect("an uploaded jar")
            .to_owned();
        for _ in 0..jobs {
            let run = http::Request::post(format!("/jars/{file}/run"));
            let answer =
                self.send(run.body(json!({"parallelism": 2}).to_string().into()).expect("a valid request"));
            assert!(answer["jobid"].is_string(), "{answer}");
        }
    }

    fn send(&mut self, request: http::Request<Bytes>) -> serde_json::Value {
        let (response, effects) = self.cluster.handle(&request, self.now);
        self.count(effects);
        serde_json::from_slice(response.body()).expect("JSON")
    }

    fn step(&mut self, event: Event) {
        let effects = self.cluster.step(event, self.now);
        self.count(effects);
    }

    fn pass(&mut self, by: SignedDuration) {
        let end = self.now + by;
        while let Some(due) = self.cluster.next_due().filter(|due| *due <= end) {
            self.now = due;
            self.step(Event::Tick);
        }
        self.now = end;
    }

    fn count(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if let Effect::Fact(JobFact::Checkpoint { id, progress, .. }) = effect {
                self.checkpoints += 1;
                self.checksum =
                    self.checksum.rotate_left(7) ^ id ^ progress.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            }
        }
    }
}
