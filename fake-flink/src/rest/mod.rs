//! The REST API over the model: routing, parsing and checking as the real server does, answers from the state.

mod body;
pub(crate) mod cache;
mod checkpoints;
mod cluster;
mod error;
mod files;
mod jars;
mod jobs;
mod lasting;
mod metrics;
mod multipart;
mod operations;
mod requirements;
mod route;
mod submit;
mod task_metrics;
mod taskmanagers;
mod text;
mod vertices;

use crate::model::api::RestFault;
use crate::model::cluster::Cluster;
use crate::model::facts::Phase;
use bytes::Bytes;
use error::RestError;
use http::{Request, Response, StatusCode, header};
pub use multipart::{Uploads, is_form};
use route::{Call, Op, Routed};
use serde_json::{Value, json};
use std::time::Duration;
pub(crate) use text::path as percent_decoded;

/// Set as an extension on responses that a fault touches; whoever carries the response obeys it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Deliver after this long.
    Delayed(Duration),
    /// Never deliver: the caller sees its own timeout or a cut connection.
    Lost,
}

/// What a handler answers with when all went well.
pub(crate) enum Reply {
    Json(StatusCode, Value),
    /// A success as text.
    Encoded(Bytes),
    /// A log, as a file without more headers than it needs.
    Text(String),
    /// A file of the dashboard, or word that the client's copy is still good.
    File(Response<Bytes>),
    /// Carried out, and the answer is lost on the way.
    Lost(StatusCode, Value),
}

pub(crate) type Answer = Result<Reply, RestError>;

pub(crate) fn ok(value: Value) -> Answer {
    Ok(Reply::Json(StatusCode::OK, value))
}

pub(crate) fn accepted(value: Value) -> Answer {
    Ok(Reply::Json(StatusCode::ACCEPTED, value))
}

const BODY_MAX: usize = 100 << 20;

pub(crate) fn answer(cluster: &mut Cluster, req: &Request<Bytes>) -> Response<Bytes> {
    cluster.forget_expired_jobs();
    let fault = cluster.faults.rest_fault(req.uri().path());
    if let Some(RestFault::Status(code)) = fault {
        let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return json_response(status, &json!({"errors": ["Injected failure."]}));
    }
    let mut response = match respond(cluster, req) {
        Ok(Reply::Json(status, value)) => json_response(status, &value),
        Ok(Reply::Encoded(text)) => typed(StatusCode::OK, JSON, text),
        Ok(Reply::Text(text)) => {
            let mut response = typed(StatusCode::OK, "text/plain", text.into());
            response.headers_mut().remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            response
        }
        Ok(Reply::File(response)) => response,
        Ok(Reply::Lost(status, value)) => {
            let mut response = json_response(status, &value);
            response.extensions_mut().insert(Pace::Lost);
            response
        }
        Err(error) => error.into_response(),
    };
    match fault {
        Some(RestFault::Slow(by)) => {
            response.extensions_mut().insert(Pace::Delayed(by));
        }
        Some(RestFault::NoAnswer) => {
            response.extensions_mut().insert(Pace::Lost);
        }
        Some(RestFault::Status(_)) | None => {}
    }
    if req.headers().get(header::CONNECTION).is_some_and(|c| c.as_bytes().eq_ignore_ascii_case(b"close")) {
        response.headers_mut().remove(header::CONNECTION);
    }
    if req.method() == http::Method::HEAD {
        *response.body_mut() = Bytes::new();
    }
    response
}

fn respond(cluster: &mut Cluster, req: &Request<Bytes>) -> Answer {
    if req.body().len() > BODY_MAX {
        return Err(RestError::plain(StatusCode::PAYLOAD_TOO_LARGE, "The request body is too large."));
    }
    match route::find(cluster, req)? {
        Routed::File(path) => files::serve(cluster, req, &path),
        Routed::Call(call) => {
            if cluster.phase == Phase::Electing {
                return Err(RestError::plain(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "Service temporarily unavailable due to an ongoing leader election. Please refresh.",
                ));
            }
            let answer = dispatch(cluster, &call);
            if call.is_change {
                cluster.revision += 1;
            }
            answer
        }
    }
}

fn dispatch(c: &mut Cluster, call: &Call) -> Answer {
    match call.op {
        Op::Config => cluster::config(c),
        Op::Overview => cluster::overview(c),
        Op::DeleteCluster => cluster::delete(c),
        Op::DataSets => ok(json!({"dataSets": []})),
        Op::DeleteDataSet => operations::delete_dataset(c, call),
        Op::DataSetStatus => operations::dataset_status(c, call),
        Op::JobManagerConfig => cluster::jobmanager_config(c),
        Op::JobManagerEnvironment => cluster::environment(c),
        Op::JobManagerLogs => cluster::logs(c),
        Op::JobManagerLog => cluster::log_file(c, call),
        Op::JobManagerStdout => Ok(Reply::Text(String::new())),
        Op::JobManagerLogUrl => cluster::log_url(c, None),
        Op::TaskManagerLogUrl => cluster::log_url(c, Some(call.param("taskmanagerid"))),
        Op::JobManagerThreadDump => cluster::thread_dump(),
        Op::JobManagerProfiler => ok(json!({"profilingList": []})),
        Op::JobManagerMetrics => metrics::jobmanager(c, call),
        Op::Jobs => jobs::list(c, call),
        Op::JobsOverview => jobs::overview(c, call),
        Op::SubmitJob => submit::submit(c, call),
        Op::JobsMetrics => metrics::jobs(c, call),
        Op::Job => jobs::details(c, call),
        Op::JobStatus => jobs::status(c, call),
        Op::JobConfig => jobs::config(c, call),
        Op::JobPlan => jobs::plan(c, call),
        Op::JobExceptions => jobs::exceptions(c, call),
        Op::JobAccumulators => jobs::accumulators(c, call),
        Op::JobResult => jobs::execution_result(c, call),
        Op::JobMetrics => metrics::job(c, call),
        Op::CancelJob => jobs::cancel(c, call),
        Op::YarnCancel => jobs::cancel(c, call),
        Op::YarnStop => jobs::cancel(c, call),
        Op::Coordinate => operations::coordinate(c, call),
        Op::Heartbeat => accepted(json!({})),
        Op::Requirements => requirements::get(c, call),
        Op::PutRequirements => requirements::put(c, call),
        Op::Rescaling => Err(error::rest(
            StatusCode::SERVICE_UNAVAILABLE,
            "Rescaling is temporarily disabled. See FLINK-12312.",
        )),
        Op::Checkpoints => checkpoints::statistics(c, call),
        Op::CheckpointConfig => checkpoints::config(c, call),
        Op::CheckpointDetails => checkpoints::details(c, call),
        Op::CheckpointSubtasks => checkpoints::subtasks(c, call),
        Op::TriggerCheckpoint => operations::trigger_checkpoint(c, call),
        Op::CheckpointStatus => operations::checkpoint_status(c, call),
        Op::TriggerSavepoint => operations::trigger_savepoint(c, call),
        Op::SavepointStatus => operations::savepoint_status(c, call),
        Op::Stop => operations::stop(c, call),
        Op::Dispose => operations::dispose(c, call),
        Op::DisposalStatus => operations::disposal_status(c, call),
        Op::Vertex => vertices::details(c, call),
        Op::VertexAccumulators => vertices::accumulators(c, call),
        Op::VertexBackpressure => vertices::backpressure(c, call),
        Op::VertexFlameGraph => vertices::flamegraph(c, call),
        Op::VertexMetrics => metrics::vertex(c, call),
        Op::VertexOperatorMetrics => metrics::vertex_operators(c, call),
        Op::VertexSubtasksMetrics => metrics::subtasks(c, call),
        Op::SubtaskMetrics => metrics::subtask(c, call),
        Op::VertexWatermarks => vertices::watermarks(c, call),
        Op::VertexTaskManagers => vertices::taskmanagers(c, call),
        Op::VertexSubtaskTimes => vertices::subtask_times(c, call),
        Op::SubtasksAccumulators => vertices::subtasks_accumulators(c, call),
        Op::Subtask => vertices::subtask(c, call),
        Op::SubtaskAttempt => vertices::attempt(c, call),
        Op::SubtaskAttemptAccumulators => vertices::attempt_accumulators(c, call),
        Op::TaskManagers => taskmanagers::list(c, call),
        Op::TaskManagersMetrics => metrics::taskmanagers(c, call),
        Op::TaskManager => taskmanagers::details(c, call),
        Op::TaskManagerMetrics => metrics::taskmanager(c, call),
        Op::TaskManagerLogs => taskmanagers::logs(c, call),
        Op::TaskManagerLog => taskmanagers::log(c, call),
        Op::TaskManagerStdout => taskmanagers::stdout(c, call),
        Op::TaskManagerThreadDump => taskmanagers::thread_dump(c, call),
        Op::TaskManagerProfiler => taskmanagers::profiles(c, call),
        Op::TaskManagerProfile => taskmanagers::profile(c, call),
        Op::ProfileJobManager | Op::ProfileTaskManager => cluster::profile(c, call),
        Op::Jars => jars::list(c, call),
        Op::UploadJar => jars::upload(c, call),
        Op::DeleteJar => jars::delete(c, call),
        Op::JarPlan => jars::plan(c, call),
        Op::RunJar => jars::run(c, call),
    }
}

const JSON: &str = "application/json; charset=UTF-8";

fn json_response(status: StatusCode, value: &Value) -> Response<Bytes> {
    typed(status, JSON, value.to_string().into())
}

fn typed(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, header::HeaderValue::from_static("*"));
    headers.insert(header::CONNECTION, header::HeaderValue::from_static("keep-alive"));
    response
}
