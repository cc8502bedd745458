//! The calls an operator makes to a JobManager (reconciler.md 12.1), each one request, typed, bounded in time.
//! No retries here: a pass that could not ask says so, and the next pass asks again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::FlinkError;
use super::transport::{FlinkTransport, Target};
use super::wire::{
    CheckpointRequest, CheckpointStatistics, ClusterConfig, ExecutionResult, FailureCause, JobExceptions,
    JobsOverview, Metric, Operation, Poll, ResourceRequirements, SavepointRequest, StopRequest, TaskManagers,
    Triggered,
};

/// What a poll of a triggered operation says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress<T> {
    InProgress,
    Completed(T),
    Failed(FailureCause),
    /// Flink does not know the id: never triggered, expired, or the JobManager restarted since.
    UnknownTrigger,
}

/// A client of one JobManager.
#[derive(Clone)]
pub struct FlinkClient {
    transport: Arc<dyn FlinkTransport>,
    target: Target,
    timeout: Duration,
    requests: Arc<AtomicU32>,
}

impl FlinkClient {
    /// `timeout` is runtime time and holds for every call that does not say otherwise.
    pub fn new(transport: Arc<dyn FlinkTransport>, target: Target, timeout: Duration) -> FlinkClient {
        FlinkClient { transport, target, timeout, requests: Arc::default() }
    }

    /// The same client with another time allowance (cancel has its own).
    pub fn with_timeout(&self, timeout: Duration) -> FlinkClient {
        FlinkClient { timeout, ..self.clone() }
    }

    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Requests sent by this client and its clones.
    pub fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    pub async fn jobs_overview(&self) -> Result<JobsOverview, FlinkError> {
        self.get("/jobs/overview").await
    }

    pub async fn config(&self) -> Result<ClusterConfig, FlinkError> {
        self.get("/config").await
    }

    pub async fn task_managers(&self) -> Result<TaskManagers, FlinkError> {
        self.get("/taskmanagers").await
    }

    pub async fn checkpoints(&self, job: &str) -> Result<CheckpointStatistics, FlinkError> {
        self.get(&format!("/jobs/{job}/checkpoints")).await
    }

    /// Where a checkpoint lies; `None` while it has no external path.
    pub async fn checkpoint_path(&self, job: &str, checkpoint: i64) -> Result<Option<String>, FlinkError> {
        #[derive(serde::Deserialize)]
        struct Details {
            #[serde(default)]
            external_path: Option<String>,
        }
        let details: Details = self.get(&format!("/jobs/{job}/checkpoints/details/{checkpoint}")).await?;
        Ok(details.external_path)
    }

    pub async fn exceptions(&self, job: &str) -> Result<JobExceptions, FlinkError> {
        self.get(&format!("/jobs/{job}/exceptions")).await
    }

    pub async fn execution_result(&self, job: &str) -> Result<ExecutionResult, FlinkError> {
        self.get(&format!("/jobs/{job}/execution-result")).await
    }

    /// The metrics that exist of those asked for; Flink leaves unknown names out.
    pub async fn metrics(&self, job: &str, names: &[&str]) -> Result<BTreeMap<String, String>, FlinkError> {
        let list: Vec<Metric> = self.get(&format!("/jobs/{job}/metrics?get={}", names.join(","))).await?;
        Ok(list.into_iter().filter_map(|m| m.value.map(|v| (m.id, v))).collect())
    }

    /// Asks for a savepoint; the answer is the trigger id.
    pub async fn trigger_savepoint(&self, job: &str, r: &SavepointRequest) -> Result<String, FlinkError> {
        let t: Triggered = self.send(Method::POST, &format!("/jobs/{job}/savepoints"), Some(r)).await?;
        Ok(t.request_id)
    }

    /// Asks to stop with a savepoint; the answer is the trigger id, polled like a savepoint.
    pub async fn stop_with_savepoint(&self, job: &str, r: &StopRequest) -> Result<String, FlinkError> {
        let t: Triggered = self.send(Method::POST, &format!("/jobs/{job}/stop"), Some(r)).await?;
        Ok(t.request_id)
    }

    /// How far a savepoint or a stop is; completed means its location.
    pub async fn savepoint(&self, job: &str, trigger: &str) -> Result<Progress<String>, FlinkError> {
        let path = format!("/jobs/{job}/savepoints/{trigger}");
        self.poll(&path, |operation| operation.location).await
    }

    pub async fn trigger_checkpoint(&self, job: &str, r: &CheckpointRequest) -> Result<String, FlinkError> {
        let t: Triggered = self.send(Method::POST, &format!("/jobs/{job}/checkpoints"), Some(r)).await?;
        Ok(t.request_id)
    }

    /// How far a triggered checkpoint is; completed means its number.
    pub async fn checkpoint(&self, job: &str, trigger: &str) -> Result<Progress<i64>, FlinkError> {
        let path = format!("/jobs/{job}/checkpoints/{trigger}");
        self.poll(&path, |operation| operation.checkpoint_id).await
    }

    /// Accepted; the job ends later.
    pub async fn cancel(&self, job: &str) -> Result<(), FlinkError> {
        self.exchange(Method::PATCH, &format!("/jobs/{job}?mode=cancel"), None::<&()>).await.map(|_| ())
    }

    /// Accepted; the files are removed later.
    pub async fn dispose_savepoint(&self, location: &str) -> Result<String, FlinkError> {
        let body = serde_json::json!({ "savepoint-path": location });
        let t: Triggered = self.send(Method::POST, "/savepoint-disposal", Some(&body)).await?;
        Ok(t.request_id)
    }

    /// The adaptive scheduler's bounds per vertex.
    pub async fn resource_requirements(&self, job: &str) -> Result<ResourceRequirements, FlinkError> {
        self.get(&format!("/jobs/{job}/resource-requirements")).await
    }

    pub async fn set_resource_requirements(
        &self,
        job: &str,
        bounds: &ResourceRequirements,
    ) -> Result<(), FlinkError> {
        let path = format!("/jobs/{job}/resource-requirements");
        self.exchange(Method::PUT, &path, Some(bounds)).await.map(|_| ())
    }

    async fn poll<T>(
        &self,
        path: &str,
        result: impl FnOnce(Operation) -> Option<T>,
    ) -> Result<Progress<T>, FlinkError> {
        let poll: Poll = match self.get(path).await {
            Ok(poll) => poll,
            Err(e) if e.is_absent() => return Ok(Progress::UnknownTrigger),
            Err(e) => return Err(e),
        };
        let unreadable =
            |detail: &str| FlinkError::Unreadable { call: format!("GET {path}"), detail: detail.to_owned() };
        match poll.status.id.as_str() {
            "IN_PROGRESS" => Ok(Progress::InProgress),
            "COMPLETED" => {
                let operation = poll.operation.unwrap_or_default();
                match operation.failure_cause.clone() {
                    Some(cause) => Ok(Progress::Failed(cause)),
                    None => result(operation)
                        .map(Progress::Completed)
                        .ok_or_else(|| unreadable("completed, but neither a result nor a failure cause")),
                }
            }
            other => Err(unreadable(&format!("operation status `{other}`"))),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, FlinkError> {
        self.send(Method::GET, path, None::<&()>).await
    }

    async fn send<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<T, FlinkError> {
        let call = format!("{method} {path}");
        let answer = self.exchange(method, path, body).await?;
        serde_json::from_slice(&answer)
            .map_err(|e| FlinkError::Unreadable { call, detail: format!("{e} in {}", excerpt(&answer)) })
    }

    /// One request under `/v1`, the versioned form of every path; 2xx bodies come back, the rest is an error.
    async fn exchange<B: Serialize + Sync>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<Bytes, FlinkError> {
        let call = format!("{method} {path}");
        let unsendable = |detail: String| FlinkError::Unreadable { call: call.clone(), detail };
        let mut request = http::Request::builder().method(method).uri(format!("/v1{path}"));
        let bytes = match body {
            None => Bytes::new(),
            Some(body) => {
                request = request.header(http::header::CONTENT_TYPE, "application/json");
                serde_json::to_vec(body).map_err(|e| unsendable(e.to_string()))?.into()
            }
        };
        let request = request.body(bytes).map_err(|e| unsendable(e.to_string()))?;
        self.requests.fetch_add(1, Ordering::Relaxed);
        let answer = self.transport.call(&self.target, request, self.timeout).await?;
        if answer.status().is_success() {
            Ok(answer.into_body())
        } else {
            Err(FlinkError::refused(&call, answer.status().as_u16(), answer.body()))
        }
    }
}

fn excerpt(body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body).chars().take(120).collect();
    format!("`{text}`")
}
