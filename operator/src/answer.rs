//! Fetches what a decision still needs to know, and puts it where the decision looks for it.
//! Nothing here fails: a question nobody answered has `Unreachable` as its answer, and that is a fact too.

use std::collections::BTreeMap;
use std::future::Future;

use drey_api::FlinkJobState;
use drey_reconciler::{
    Ask, Cause, CheckpointFacts, ClusterFact, CompletedCheckpoint, ExceptionFact, HistoryEntry, JobFact,
    MetricFacts, Observation, Parallelism, Requirements, ResultFact, Seen, TaskCounts, TriggerFact, Why,
};
use serde_json::Value;

use crate::api::{Api, ApiError, Place};
use crate::flink::wire::{self, CheckpointStatistics, FailureCause};
use crate::flink::{FlinkClient, FlinkError, Progress, Unanswered};

const METRICS: [&str; 3] = ["fullRestarts", "numRestarts", "numberOfCompletedCheckpoints"];

/// Events that say a pod waits for a volume; more than a few hundred of them say nothing more.
const MOUNT_FAILURES: &str = "fieldSelector=reason%3DFailedMount%2CinvolvedObject.kind%3DPod&limit=500";

/// Answers one question into the observation.
pub(crate) async fn answer(ask: &Ask, observation: &mut Observation, flink: &FlinkClient, api: &Api) {
    let facts = &mut observation.flink;
    match ask {
        Ask::Jobs => {
            facts.jobs = of_cluster(flink.jobs_overview(), |o| o.jobs.iter().filter_map(job).collect()).await;
        }
        Ask::Savepoint { job, trigger } => {
            facts.savepoint = trigger_fact(flink.savepoint(job, trigger).await, |location| location);
        }
        Ask::Checkpoint { job, trigger } => {
            facts.checkpoint = trigger_fact(flink.checkpoint(job, trigger).await, |id| id.to_string());
        }
        Ask::Checkpoints { job } => {
            facts.checkpoints = match flink.checkpoints(job).await {
                Err(e) if e.is_checkpointing_disabled() => Seen::Absent,
                result => settled(result.map(|s| checkpoints(&s))),
            }
        }
        Ask::ExecutionResult { job } => facts.result = seen(flink.execution_result(job), result).await,
        Ask::Exceptions { job } => facts.exceptions = seen(flink.exceptions(job), exceptions).await,
        Ask::Metrics { job } => facts.metrics = seen(flink.metrics(job, &METRICS), metrics).await,
        Ask::Cluster => facts.cluster = of_cluster(flink.config(), cluster).await,
        Ask::Requirements { job } => {
            facts.requirements = seen(flink.resource_requirements(job), requirements).await;
        }
        Ask::PodEvents { pods } => {
            let namespace = observation.resource.namespace().to_owned();
            observation.mount_failures = mount_failures(api, &namespace, pods).await;
        }
    }
}

async fn seen<W, T>(
    call: impl Future<Output = Result<W, FlinkError>>,
    convert: impl FnOnce(W) -> T,
) -> Seen<T> {
    settled(call.await.map(convert))
}

/// For what every cluster has: a 404 there is not Flink's "no such job", so nothing is absent.
async fn of_cluster<W, T>(
    call: impl Future<Output = Result<W, FlinkError>>,
    convert: impl FnOnce(W) -> T,
) -> Seen<T> {
    match call.await {
        Ok(value) => Seen::Known(convert(value)),
        Err(e) => Seen::Unreachable { why: why_flink(&e) },
    }
}

fn settled<T>(result: Result<T, FlinkError>) -> Seen<T> {
    match result {
        Ok(value) => Seen::Known(value),
        Err(e) if e.is_absent() => Seen::Absent,
        Err(e) => Seen::Unreachable { why: why_flink(&e) },
    }
}

/// Why Flink gave no usable answer, in the words of the reconciler.
pub(crate) fn why_flink(error: &FlinkError) -> Why {
    match error {
        FlinkError::Unanswered(e) => why(e.why, &e.detail),
        FlinkError::Refused { code, .. } => Why::Http { code: *code, message: error.message() },
        FlinkError::Unreadable { detail, .. } => Why::Http { code: 200, message: detail.clone() },
    }
}

/// Why the API server gave no answer, in the words of the reconciler.
pub(crate) fn why_api(error: &ApiError) -> Why {
    match error {
        ApiError::Unanswered { why: unanswered, detail, .. } => why(*unanswered, detail),
        ApiError::Status { code, message, .. } => Why::Http { code: *code, message: message.clone() },
        ApiError::Fenced { .. } | ApiError::Nonsense { .. } => {
            Why::Http { code: 0, message: error.to_string() }
        }
    }
}

fn why(unanswered: Unanswered, detail: &str) -> Why {
    match unanswered {
        Unanswered::Refused => Why::Refused,
        Unanswered::Reset => Why::Reset,
        Unanswered::Dns => Why::Dns,
        Unanswered::Timeout => Why::Timeout,
        Unanswered::Protocol => Why::Http { code: 0, message: detail.to_owned() },
    }
}

fn job(overview: &wire::JobOverview) -> Option<JobFact> {
    let state = FlinkJobState::from_name(&overview.state);
    if state.is_none() {
        tracing::warn!(
            job = overview.jid,
            state = overview.state,
            "leave out a job in a state unknown to us"
        );
    }
    Some(JobFact {
        id: overview.jid.clone(),
        name: overview.name.clone(),
        state: state?,
        start_time: overview.start_time,
        last_modification: overview.last_modification,
        tasks: overview.tasks.map(|t| TaskCounts {
            running: t.running,
            finished: t.finished,
            total: t.total,
        }),
    })
}

fn trigger_fact<T>(
    progress: Result<Progress<T>, FlinkError>,
    location: impl FnOnce(T) -> String,
) -> Seen<TriggerFact> {
    match progress {
        Ok(Progress::InProgress) => Seen::Known(TriggerFact::InProgress),
        Ok(Progress::Completed(value)) => Seen::Known(TriggerFact::Completed { location: location(value) }),
        Ok(Progress::Failed(cause)) => Seen::Known(TriggerFact::Failed {
            savepoint_path: savepoint_of_a_failed_stop(&cause),
            causes: causes(&cause),
        }),
        Ok(Progress::UnknownTrigger) => Seen::Absent,
        Err(e) => Seen::Unreachable { why: why_flink(&e) },
    }
}

/// `class: message` texts taken apart.
pub(crate) fn causes(cause: &FailureCause) -> Vec<Cause> {
    let chain = cause.chain();
    if chain.is_empty() {
        return vec![Cause { class: cause.class.clone(), message: None }];
    }
    chain.into_iter().map(|text| one_cause(&text)).collect()
}

fn one_cause(text: &str) -> Cause {
    match text.split_once(": ") {
        Some((class, message)) if !class.contains(' ') => {
            Cause { class: class.to_owned(), message: Some(message.to_owned()) }
        }
        Some(_) | None => Cause { class: text.to_owned(), message: None },
    }
}

/// Flink's `StopWithSavepointStoppingException` says: the savepoint is complete, the job failed while stopping.
/// Its text: `A savepoint has been created at: <path>, but the corresponding job <id> failed during stopping.`
fn savepoint_of_a_failed_stop(cause: &FailureCause) -> Option<String> {
    let text = cause.chain().into_iter().find(|c| c.contains("StopWithSavepointStoppingException"))?;
    let (_, rest) = text.split_once("has been created at: ")?;
    let end = rest.find(", but the corresponding job")?;
    Some(rest[..end].to_owned())
}

fn checkpoints(statistics: &CheckpointStatistics) -> CheckpointFacts {
    let latest = &statistics.latest;
    let taken = [&latest.completed, &latest.savepoint].into_iter().flatten().map(|c| CompletedCheckpoint {
        id: c.id,
        path: c.external_path.clone(),
        timestamp: c.trigger_timestamp,
    });
    let restored = latest.restored.iter().map(|c| CompletedCheckpoint {
        id: c.id,
        path: c.external_path.clone(),
        timestamp: c.restore_timestamp,
    });
    let newest = statistics.history.first().map(|c| HistoryEntry {
        id: c.id,
        in_progress: c.status == "IN_PROGRESS",
        trigger_timestamp: c.trigger_timestamp,
    });
    CheckpointFacts { latest: taken.chain(restored).collect(), newest }
}

fn result(result: wire::ExecutionResult) -> ResultFact {
    match result.job_execution_result {
        Some(done) => {
            ResultFact::Completed { causes: done.failure_cause.as_ref().map(causes).unwrap_or_default() }
        }
        None => ResultFact::InProgress,
    }
}

fn exceptions(list: wire::JobExceptions) -> Vec<ExceptionFact> {
    let entries = list.exception_history.entries.into_iter();
    entries
        .map(|e| ExceptionFact {
            timestamp: e.timestamp,
            name: (!e.exception_name.is_empty()).then_some(e.exception_name),
            stacktrace: e.stacktrace,
            task_name: e.task_name,
            endpoint: e.endpoint.or(e.location),
            task_manager_id: e.task_manager_id,
            labels: e.failure_labels,
        })
        .collect()
}

fn metrics(values: BTreeMap<String, String>) -> MetricFacts {
    let number = |name: &str| values.get(name).and_then(|v| v.parse().ok());
    MetricFacts {
        full_restarts: number(METRICS[0]),
        num_restarts: number(METRICS[1]),
        completed_checkpoints: number(METRICS[2]),
    }
}

fn requirements(vertices: wire::ResourceRequirements) -> Requirements {
    let bounds = |(vertex, r): (String, wire::VertexRequirements)| {
        let wire::Bounds { lower_bound: lower, upper_bound: upper } = r.parallelism;
        (vertex, Parallelism { lower, upper })
    };
    vertices.into_iter().map(bounds).collect()
}

fn cluster(config: wire::ClusterConfig) -> ClusterFact {
    ClusterFact {
        flink_version: config.flink_version.unwrap_or_default(),
        flink_revision: config.flink_revision.unwrap_or_default(),
    }
}

/// Pods that wait for a volume say so in events only.
async fn mount_failures(api: &Api, namespace: &str, pods: &[String]) -> Seen<BTreeMap<String, String>> {
    let place = Place::new("v1", "events", namespace);
    match api.list(&place, MOUNT_FAILURES).await {
        Ok(events) => {
            let of_pods = events.iter().filter_map(|e| failed_mount(e, pods)).collect();
            Seen::Known(of_pods)
        }
        Err(e) => Seen::Unreachable { why: why_api(&e) },
    }
}

fn failed_mount(event: &Value, pods: &[String]) -> Option<(String, String)> {
    let pod = event["involvedObject"]["name"].as_str()?;
    let about_us = event["reason"] == "FailedMount" && pods.iter().any(|p| p == pod);
    about_us.then(|| (pod.to_owned(), event["message"].as_str().unwrap_or_default().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(stack_trace: &str) -> FailureCause {
        FailureCause { class: "a.B".into(), stack_trace: stack_trace.into() }
    }

    #[test]
    fn a_failed_stop_may_still_have_its_savepoint() {
        let failed = "java.util.concurrent.CompletionException: org.apache.flink.runtime.scheduler.stopwithsavepoint.StopWithSavepointStoppingException: A savepoint has been created at: file:/sp/savepoint-aaaaaa-1, but the corresponding job aaaa failed during stopping. The savepoint is consistent, but might have uncommitted transactions. If you want to commit the transaction please restart a job from this savepoint.\n\tat x\n";
        assert_eq!(
            savepoint_of_a_failed_stop(&cause(failed)).as_deref(),
            Some("file:/sp/savepoint-aaaaaa-1")
        );
        assert_eq!(savepoint_of_a_failed_stop(&cause("a.CheckpointException: expired\n\tat x")), None);
    }

    #[test]
    fn causes_are_class_and_message() {
        let chain =
            causes(&cause("a.Outer: b.Inner: text\n\tat x\nCaused by: b.Inner: text\nCaused by: c.NoText\n"));
        let expected = [("a.Outer", Some("b.Inner: text")), ("b.Inner", Some("text")), ("c.NoText", None)];
        assert_eq!(
            chain.iter().map(|c| (c.class.as_str(), c.message.as_deref())).collect::<Vec<_>>(),
            expected
        );
        assert_eq!(causes(&cause("")), [Cause { class: "a.B".into(), message: None }]);
    }

    #[test]
    fn mount_failures_of_the_pods_asked_for() {
        let event = |pod: &str, reason: &str| serde_json::json!({ "involvedObject": { "name": pod }, "reason": reason, "message": "no volume" });
        let pods = ["a".to_owned()];
        assert_eq!(failed_mount(&event("a", "FailedMount"), &pods), Some(("a".into(), "no volume".into())));
        assert_eq!(failed_mount(&event("b", "FailedMount"), &pods), None);
        assert_eq!(failed_mount(&event("a", "Pulled"), &pods), None);
    }
}
