//! Requests of any kind: whatever is asked, in whatever words, gets an answer in HTTP, and the cluster goes on.

use super::driver::{Driver, start_time};
use fake_flink::{Event, ResourceManager, StartOptions, Version, jar};
use proptest::prelude::*;
use serde_json::json;
use std::time::Duration;

const SEGMENTS: &[&str] = &[
    "jobs",
    "overview",
    "v1",
    "{job}",
    "{vertex}",
    "vertices",
    "subtasks",
    "0",
    "1",
    "-1",
    "attempts",
    "metrics",
    "checkpoints",
    "details",
    "config",
    "savepoints",
    "stop",
    "plan",
    "exceptions",
    "accumulators",
    "jars",
    "{jar}",
    "run",
    "upload",
    "taskmanagers",
    "tm",
    "log",
    "logs",
    "thread-dump",
    "jobmanager",
    "cluster-x",
    "datasets",
    "savepoint-disposal",
    "resource-requirements",
    "coordinators",
    "clientHeartbeat",
    "execution-result",
    "%zz",
    "%",
    "..",
    "+",
    "",
    "backpressure",
    "watermarks",
    "flamegraph",
    "subtasktimes",
    "status",
    "rescaling",
    "profiler",
];
const QUERIES: &[&str] = &[
    "",
    "?get=a,b&agg=min,max",
    "?agg=x",
    "?mode=stop",
    "?parallelism=0",
    "?parallelism=2,3",
    "?maxExceptions=-1",
    "?subtasks=1-0,7",
    "?%zz",
    "?get=%2C%2C&=;",
    "?failureLabelFilter=:",
    "?includeSerializedValue=true",
    "?jobs={job}",
];
const BODIES: &[&str] = &[
    "",
    "{}",
    "null",
    "[]",
    "{",
    "\u{feff}{}",
    "{\"triggerId\":\"{job}\"}",
    "{\"parallelism\":-2}",
    "{\"parallelism\":99999999999999999999}",
    "{\"programArgs\":\"' \\\" é\"}",
    "{\"programArgsList\":[null,1]}",
    "{\"flinkConfiguration\":{\"execution.checkpointing.interval\":\"1 é\"}}",
    "{\"savepointPath\":\"é://\"}",
    "{\"target-directory\":\"\"}",
    "{\"formatType\":7}",
    "{\"{vertex}\":{\"parallelism\":{\"lowerBound\":-9,\"upperBound\":3}}}",
    "--b\r\n",
    "--b\r\nContent-Disposition: form-data; name=request\r\n\r\n{}\r\n--b--",
    "--b\r\nContent-Disposition: form-data; name=j; filename=\"é;\r\n\r\nPK\r\n--b--",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn are_all_answered(
        two in any::<bool>(),
        requests in prop::collection::vec(
            (0..6usize, prop::collection::vec(0..SEGMENTS.len(), 0..8), 0..QUERIES.len(), 0..BODIES.len(), any::<bool>()),
            1..40,
        )
    ) {
        let version = if two { Version::V2_2 } else { Version::V1_20 };
        let start = StartOptions::session(version, start_time());
        let mut d = Driver::start(StartOptions { resources: ResourceManager::Standalone, ..start }, start_time());
        d.pass(Duration::from_secs(5));
        d.event(Event::TaskManagerUp { id: "tm".to_owned(), slots: 4 });
        let part = "--b\r\nContent-Disposition: form-data; name=\"jarfile\"; filename=\"a.jar\"\r\n\r\n";
        let body = [part.as_bytes(), &jar::write("conformance.Stream"), b"\r\n--b--\r\n"].concat();
        let form = "multipart/form-data; boundary=b";
        let upload = http::Request::post("/jars/upload").header("content-type", form).body(body.into()).unwrap();
        let jar = d.send(upload).body["filename"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        let job = d.post(&format!("/jars/{jar}/run"), json!({})).body["jobid"].as_str().unwrap().to_owned();
        d.pass(Duration::from_secs(3));
        let vertex = d.get(&format!("/jobs/{job}"))["vertices"][0]["id"].as_str().unwrap().to_owned();
        let fill = |text: &str| text.replace("{job}", &job).replace("{vertex}", &vertex).replace("{jar}", &jar);
        for (method, segments, query, body, as_form) in requests {
            let method = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"][method];
            let path: String = segments.iter().map(|at| format!("/{}", fill(SEGMENTS[*at]))).collect();
            let target = format!("/{}{}", path.trim_start_matches('/'), fill(QUERIES[query]));
            let request = http::Request::builder().method(method).uri(target);
            let request = if as_form { request.header("content-type", form) } else { request };
            let answer = d.send(request.body(fill(BODIES[body]).into()).unwrap());
            prop_assert!((200..=503).contains(&answer.status), "{}", answer.status);
            d.pass(Duration::from_millis(300));
        }
        prop_assert_eq!(d.call("GET", "/overview", None).status, 200);
    }
}
