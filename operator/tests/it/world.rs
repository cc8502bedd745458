//! One operator with everything around it, in virtual time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use drey_blueprint::config::OperatorConfig;
use drey_operator::{
    Clock, Counts, Deps, FlinkTransport, LeaseConfig, Lifecycle, Outcome, Pass, PassObserver, Target,
    TransportError, Unanswered, run,
};
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::api::FakeApi;

struct VirtualClock {
    start: Instant,
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        let elapsed = jiff::SignedDuration::try_from(self.start.elapsed()).unwrap();
        Timestamp::from_second(1_780_000_000).unwrap() + elapsed
    }
}

/// What the observer was told of one pass.
#[derive(Debug, Clone)]
pub struct Seen {
    pub at: Duration,
    pub counts: Counts,
    pub outcome: Outcome,
    pub cause: String,
}

#[derive(Default)]
struct Ears {
    passes: Vec<Seen>,
    lifecycle: Vec<Lifecycle>,
}

struct Observer {
    start: Instant,
    ears: Mutex<Ears>,
}

impl PassObserver for Observer {
    fn pass(&self, pass: &Pass<'_>) {
        let seen = Seen {
            at: self.start.elapsed(),
            counts: pass.counts,
            outcome: pass.outcome.clone(),
            cause: pass.cause.to_string(),
        };
        self.ears.lock().unwrap().passes.push(seen);
    }

    fn lifecycle(&self, event: &Lifecycle) {
        self.ears.lock().unwrap().lifecycle.push(event.clone());
    }
}

/// Answers by method and path; refuses connections while `up` is false.
#[derive(Default)]
pub struct FakeFlink {
    pub up: bool,
    pub answers: BTreeMap<String, (u16, Value)>,
    pub asked: Vec<String>,
}

#[derive(Clone, Default)]
pub struct FlinkHandle(pub Arc<Mutex<FakeFlink>>);

impl FlinkTransport for FlinkHandle {
    fn call(
        &self,
        target: &Target,
        request: http::Request<Bytes>,
        _timeout: Duration,
    ) -> BoxFuture<'static, Result<http::Response<Bytes>, TransportError>> {
        let mut flink = self.0.lock().unwrap();
        let call = format!("{} {}", request.method(), request.uri());
        flink.asked.push(call.clone());
        let answer = if flink.up {
            let (code, body) =
                flink.answers.get(&call).cloned().unwrap_or((404, json!({ "errors": ["Not found"] })));
            Ok(http::Response::builder().status(code).body(Bytes::from(body.to_string())).unwrap())
        } else {
            Err(TransportError::new(Unanswered::Refused, target, "nothing listens"))
        };
        Box::pin(std::future::ready(answer))
    }
}

pub struct Operator {
    pub api: FakeApi,
    pub flink: FlinkHandle,
    observer: Arc<Observer>,
    clock: Arc<VirtualClock>,
}

impl Operator {
    pub fn new() -> Operator {
        let start = Instant::now();
        Operator {
            api: FakeApi::default(),
            flink: FlinkHandle::default(),
            observer: Arc::new(Observer { start, ears: Mutex::default() }),
            clock: Arc::new(VirtualClock { start }),
        }
    }

    pub fn deps(&self, lease: Option<LeaseConfig>) -> Deps {
        let namespaces = ("kubernetes.operator.watched.namespaces".to_owned(), "ns".to_owned());
        Deps {
            client: self.api.client(),
            flink: Arc::new(self.flink.clone()),
            clock: Arc::<VirtualClock>::clone(&self.clock),
            config: OperatorConfig::default().with([namespaces]).unwrap(),
            identity: "operator-0".to_owned(),
            observer: Arc::<Observer>::clone(&self.observer),
            leader_election: lease,
            concurrency: 1,
        }
    }

    /// Runs one operator life for so long, then crashes it.
    pub async fn live(&self, time: Duration) {
        let operator = run(self.deps(None), std::future::pending());
        assert!(tokio::time::timeout(time, operator).await.is_err(), "an operator ends only when asked to");
    }

    pub fn passes(&self) -> Vec<Seen> {
        std::mem::take(&mut self.observer.ears.lock().unwrap().passes)
    }

    pub fn lifecycle(&self) -> Vec<Lifecycle> {
        std::mem::take(&mut self.observer.ears.lock().unwrap().lifecycle)
    }

    pub fn status(&self) -> Value {
        self.api.get("flinkdeployments", "wordcount").map(|o| o["status"].clone()).unwrap_or_default()
    }

    pub fn apply_wordcount(&self) {
        self.apply("wordcount");
    }

    pub fn apply(&self, name: &str) {
        self.api.change("flinkdeployments", name, |o| {
            *o = json!({
                "apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment",
                "metadata": { "generation": 1 },
                "spec": {
                    "image": "flink:1.20", "flinkVersion": "v1_20", "serviceAccount": "flink",
                    "jobManager": { "resource": { "memory": "1024m", "cpu": 1 } },
                    "taskManager": { "resource": { "memory": "1024m", "cpu": 1 } },
                    "job": { "jarURI": "local:///job.jar", "parallelism": 1, "upgradeMode": "stateless" },
                },
            });
        });
    }

    /// The Deployment controller and a JobManager in one stroke: available, and the job runs.
    pub fn bring_up(&self) {
        self.api.change("deployments", "wordcount", |d| {
            d["status"] = json!({ "replicas": 1, "availableReplicas": 1 });
        });
        let status = self.status();
        let job = status["jobStatus"]["jobId"]
            .as_str()
            .unwrap_or_else(|| panic!("no job id: {status:#}"))
            .to_owned();
        let mut flink = self.flink.0.lock().unwrap();
        flink.up = true;
        let mut answer = |call: &str, body: Value| flink.answers.insert(call.to_owned(), (200, body));
        answer(
            "GET /v1/jobs/overview",
            json!({ "jobs": [{ "jid": job, "name": "wordcount", "state": "RUNNING",
                "start-time": 1_780_000_000_000_i64, "end-time": -1, "last-modification": 1_780_000_000_000_i64 }] }),
        );
        answer("GET /v1/config", json!({ "flink-version": "1.20.3", "flink-revision": "x" }));
        answer(&format!("GET /v1/jobs/{job}/exceptions"), json!({ "exceptionHistory": { "entries": [] } }));
        answer(&format!("PATCH /v1/jobs/{job}?mode=cancel"), json!({}));
        answer(&format!("GET /v1/jobs/{job}/checkpoints"), json!({ "latest": {}, "history": [] }));
    }

    /// The job is in another state from now on.
    pub fn job_is(&self, state: &str) {
        let mut flink = self.flink.0.lock().unwrap();
        let (_, overview) = flink.answers.get_mut("GET /v1/jobs/overview").expect("brought up");
        overview["jobs"][0]["state"] = json!(state);
    }
}
