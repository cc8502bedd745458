//! The Flink client against the answers of real JobManagers, over a real socket: every recording of a call the
//! client makes is played to it, and what it understood is compared with a reviewed table per Flink version.

use std::sync::Arc;
use std::time::Duration;

use drey_operator::flink::wire::{CheckpointRequest, SavepointRequest, StopRequest};
use drey_operator::flink::{DirectTransport, FlinkClient, FlinkError, Progress, Target};
use expect_test::{ExpectFile, expect_file};
use serde::Deserialize;
use serde_json::Value;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

#[derive(Deserialize)]
struct Recording {
    name: String,
    method: String,
    path: String,
    status: u16,
    body: Value,
}

async fn check(recordings: &str, expected: ExpectFile) {
    let recordings: Vec<Recording> = serde_json::from_str(recordings).unwrap();
    assert!(recordings.len() > 100, "the recordings are all there");
    let server = MockServer::start().await;
    let address = server.address().to_string();
    let transport = DirectTransport::with_authority(move |_| address.clone());
    let target = Target::rest("ns", "wordcount", 8081);
    let client = FlinkClient::new(Arc::new(transport), target, Duration::from_secs(5));
    let mut table = String::new();
    for recording in &recordings {
        server.reset().await;
        let answer = ResponseTemplate::new(recording.status).set_body_json(&recording.body);
        Mock::given(any()).respond_with(answer).mount(&server).await;
        let understood = play(&client, recording).await;
        let sent = server.received_requests().await.unwrap();
        assert_eq!(sent.len(), 1, "{}: one call is one request", recording.name);
        let path = sent[0].url.path().strip_prefix("/v1").expect("versioned paths");
        let query = sent[0].url.query().map(|q| format!("?{q}")).unwrap_or_default();
        assert_eq!(
            (sent[0].method.as_str(), format!("{path}{query}")),
            (recording.method.as_str(), recording.path.clone()),
            "{}",
            recording.name
        );
        table.push_str(&format!("{}\n    {} {}\n", recording.name, recording.status, understood));
    }
    expected.assert_eq(&table);
}

/// Makes the call of a recording and says in one line what came of it.
async fn play(client: &FlinkClient, recording: &Recording) -> String {
    let (path, query) = recording.path.split_once('?').unwrap_or((&recording.path, ""));
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (recording.method.as_str(), parts.as_slice()) {
        ("GET", ["jobs", "overview"]) => line(client.jobs_overview().await, |o| {
            o.jobs
                .iter()
                .map(|j| format!("{} {} {}", &j.jid[..4], j.state, j.start_time))
                .collect::<Vec<_>>()
                .join(", ")
        }),
        ("GET", ["config"]) => line(client.config().await, |c| format!("{c:?}")),
        ("GET", ["taskmanagers"]) => line(client.task_managers().await, |t| format!("{:?}", t.taskmanagers)),
        ("GET", ["jobs", job, "checkpoints"]) => line(client.checkpoints(job).await, |c| {
            let latest = &c.latest;
            let id_path = |id: i64, path: &Option<String>| format!("{id} {}", path.as_deref().unwrap_or("-"));
            format!(
                "completed {:?} savepoint {:?} restored {:?} newest {:?}",
                latest.completed.as_ref().map(|c| id_path(c.id, &c.external_path)),
                latest.savepoint.as_ref().map(|c| id_path(c.id, &c.external_path)),
                latest.restored.as_ref().map(|c| id_path(c.id, &c.external_path)),
                c.history.first().map(|c| format!("{} {}", c.id, c.status)),
            )
        }),
        ("GET", ["jobs", job, "checkpoints", "details", id]) => {
            line(client.checkpoint_path(job, id.parse().unwrap()).await, |p| format!("{p:?}"))
        }
        ("GET", ["jobs", job, "exceptions"]) if query.is_empty() => line(client.exceptions(job).await, |e| {
            let entries = e.exception_history.entries.iter();
            entries
                .map(|e| {
                    format!(
                        "{} {} on {:?}",
                        e.timestamp,
                        e.exception_name,
                        e.endpoint.as_ref().or(e.location.as_ref())
                    )
                })
                .collect::<Vec<_>>()
                .join("; ")
        }),
        ("GET", ["jobs", job, "execution-result"]) => line(client.execution_result(job).await, |r| {
            let result = r.job_execution_result.as_ref();
            format!(
                "{} {:?} {:?}",
                r.status.id,
                result.map(|r| r.application_status.as_str()),
                result.and_then(|r| r.failure_cause.as_ref()).map(|c| c.innermost())
            )
        }),
        ("GET", ["jobs", job, "metrics"]) => {
            let names: Vec<&str> = query.strip_prefix("get=").unwrap().split(',').collect();
            line(client.metrics(job, &names).await, |m| format!("{m:?}"))
        }
        ("POST", ["jobs", job, "savepoints"]) => {
            line(client.trigger_savepoint(job, &SavepointRequest::default()).await, String::clone)
        }
        ("POST", ["jobs", job, "stop"]) => {
            line(client.stop_with_savepoint(job, &StopRequest::default()).await, String::clone)
        }
        ("POST", ["jobs", job, "checkpoints"]) => {
            line(client.trigger_checkpoint(job, &CheckpointRequest::default()).await, String::clone)
        }
        ("GET", ["jobs", job, "savepoints", trigger]) => line(client.savepoint(job, trigger).await, progress),
        ("GET", ["jobs", job, "checkpoints", trigger]) => {
            line(client.checkpoint(job, trigger).await, progress)
        }
        ("PATCH", ["jobs", job]) if query == "mode=cancel" => {
            line(client.cancel(job).await, |()| "accepted".into())
        }
        ("POST", ["savepoint-disposal"]) => line(client.dispose_savepoint("file:/x").await, String::clone),
        ("GET", ["jobs", job, "resource-requirements"]) => {
            line(client.resource_requirements(job).await, |r| {
                serde_json::to_string(r).expect("plain numbers")
            })
        }
        ("PUT", ["jobs", job, "resource-requirements"]) => {
            line(client.set_resource_requirements(job, &Default::default()).await, |()| "accepted".into())
        }
        other => panic!("no call for {other:?}: leave it out of the recordings"),
    }
}

fn line<T>(result: Result<T, FlinkError>, text: impl FnOnce(&T) -> String) -> String {
    match result {
        Ok(value) => text(&value),
        Err(error) => {
            let marks = [
                (error.is_job_missing(), " [job missing]"),
                (error.is_already_terminal(), " [already terminal]"),
                (error.is_absent(), " [absent]"),
                (error.is_checkpointing_disabled(), " [checkpointing disabled]"),
            ];
            let marks: String = marks.iter().filter(|(is, _)| *is).map(|(_, text)| *text).collect();
            format!("error{marks}: {}", error.message())
        }
    }
}

fn progress<T: std::fmt::Debug>(progress: &Progress<T>) -> String {
    match progress {
        Progress::Failed(cause) => format!("failed: {}", cause.innermost()),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn answers_of_flink_1_18() {
    check(include_str!("../recordings/flink-1.18.1.json"), expect_file!["understood-1.18.1.txt"]).await;
}

#[tokio::test]
async fn answers_of_flink_1_20() {
    check(include_str!("../recordings/flink-1.20.3.json"), expect_file!["understood-1.20.3.txt"]).await;
}

#[tokio::test]
async fn answers_of_flink_2_2() {
    check(include_str!("../recordings/flink-2.2.1.json"), expect_file!["understood-2.2.1.txt"]).await;
}
