//! The router: which operation a request means, with its parameters checked in the order of the real server.

use super::body::{self, Spec};
use super::error::{RestError, bad_parameter};
use super::multipart::Uploads;
use super::text;
use crate::ids::parse_hex32;
use crate::model::api::Mode;
use crate::model::cluster::Cluster;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use serde_json::{Map, Value};

macro_rules! routes {
    ($($op:ident $method:ident $path:literal $($gate:ident)?;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Op { $($op),* }
        static ROUTES: &[Route] = &[$(Route { op: Op::$op, method: Method::$method, path: $path, gate: routes!(@gate $($gate)?) }),*];
    };
    (@gate) => { Gate::Always };
    (@gate $gate:ident) => { Gate::$gate };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Always,
    /// Jar endpoints exist in session clusters only.
    Session,
    Since120,
}

struct Route {
    op: Op,
    method: Method,
    path: &'static str,
    gate: Gate,
}

/// Second spellings of operations above.
static ALIASES: &[Route] = &[
    Route {
        op: Op::JobManagerConfig,
        method: Method::GET,
        path: "/jobs/:jobid/jobmanager/config",
        gate: Gate::Always,
    },
    Route {
        op: Op::JobManagerEnvironment,
        method: Method::GET,
        path: "/jobs/:jobid/jobmanager/environment",
        gate: Gate::Always,
    },
    Route { op: Op::JarPlan, method: Method::POST, path: "/jars/:jarid/plan", gate: Gate::Session },
    Route {
        op: Op::Rescaling,
        method: Method::GET,
        path: "/jobs/:jobid/rescaling/:triggerid",
        gate: Gate::Always,
    },
    Route {
        op: Op::TaskManagerLog,
        method: Method::GET,
        path: "/taskmanagers/:taskmanagerid/stdout",
        gate: Gate::Always,
    },
    Route {
        op: Op::TaskManagerLog,
        method: Method::GET,
        path: "/taskmanagers/:taskmanagerid/logs/:filename",
        gate: Gate::Always,
    },
];

routes! {
    Config GET "/config";
    Overview GET "/overview";
    DeleteCluster DELETE "/cluster";
    DataSets GET "/datasets";
    DeleteDataSet DELETE "/datasets/:datasetid";
    DataSetStatus GET "/datasets/delete/:triggerid";
    JobManagerConfig GET "/jobmanager/config";
    JobManagerEnvironment GET "/jobmanager/environment";
    JobManagerLogs GET "/jobmanager/logs";
    JobManagerLog GET "/jobmanager/logs/:filename";
    JobManagerMetrics GET "/jobmanager/metrics";
    JobManagerThreadDump GET "/jobmanager/thread-dump";
    JobManagerProfiler GET "/jobmanager/profiler" Since120;
    JobManagerLogUrl GET "/jobs/:jobid/jobmanager/log-url";
    TaskManagerLogUrl GET "/jobs/:jobid/taskmanagers/:taskmanagerid/log-url";
    Jobs GET "/jobs";
    SubmitJob POST "/jobs";
    JobsOverview GET "/jobs/overview";
    JobsMetrics GET "/jobs/metrics";
    Job GET "/jobs/:jobid";
    CancelJob PATCH "/jobs/:jobid";
    YarnCancel GET "/jobs/:jobid/yarn-cancel";
    YarnStop GET "/jobs/:jobid/yarn-stop";
    JobStatus GET "/jobs/:jobid/status";
    JobConfig GET "/jobs/:jobid/config";
    JobPlan GET "/jobs/:jobid/plan";
    JobExceptions GET "/jobs/:jobid/exceptions";
    JobAccumulators GET "/jobs/:jobid/accumulators";
    JobResult GET "/jobs/:jobid/execution-result";
    JobMetrics GET "/jobs/:jobid/metrics";
    Heartbeat PATCH "/jobs/:jobid/clientHeartbeat";
    Requirements GET "/jobs/:jobid/resource-requirements";
    PutRequirements PUT "/jobs/:jobid/resource-requirements";
    Rescaling PATCH "/jobs/:jobid/rescaling";
    Checkpoints GET "/jobs/:jobid/checkpoints";
    TriggerCheckpoint POST "/jobs/:jobid/checkpoints";
    CheckpointConfig GET "/jobs/:jobid/checkpoints/config";
    CheckpointDetails GET "/jobs/:jobid/checkpoints/details/:checkpointid";
    CheckpointSubtasks GET "/jobs/:jobid/checkpoints/details/:checkpointid/subtasks/:vertexid";
    CheckpointStatus GET "/jobs/:jobid/checkpoints/:triggerid";
    TriggerSavepoint POST "/jobs/:jobid/savepoints";
    SavepointStatus GET "/jobs/:jobid/savepoints/:triggerid";
    Stop POST "/jobs/:jobid/stop";
    Dispose POST "/savepoint-disposal";
    DisposalStatus GET "/savepoint-disposal/:triggerid";
    Vertex GET "/jobs/:jobid/vertices/:vertexid";
    VertexAccumulators GET "/jobs/:jobid/vertices/:vertexid/accumulators";
    VertexBackpressure GET "/jobs/:jobid/vertices/:vertexid/backpressure";
    VertexFlameGraph GET "/jobs/:jobid/vertices/:vertexid/flamegraph";
    VertexMetrics GET "/jobs/:jobid/vertices/:vertexid/metrics";
    VertexOperatorMetrics GET "/jobs/:jobid/vertices/:vertexid/jm-operator-metrics" Since120;
    VertexWatermarks GET "/jobs/:jobid/vertices/:vertexid/watermarks";
    VertexTaskManagers GET "/jobs/:jobid/vertices/:vertexid/taskmanagers";
    VertexSubtaskTimes GET "/jobs/:jobid/vertices/:vertexid/subtasktimes";
    SubtasksAccumulators GET "/jobs/:jobid/vertices/:vertexid/subtasks/accumulators";
    VertexSubtasksMetrics GET "/jobs/:jobid/vertices/:vertexid/subtasks/metrics";
    Subtask GET "/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex";
    SubtaskMetrics GET "/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex/metrics";
    SubtaskAttempt GET "/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex/attempts/:attempt";
    SubtaskAttemptAccumulators GET "/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex/attempts/:attempt/accumulators";
    TaskManagers GET "/taskmanagers";
    TaskManagersMetrics GET "/taskmanagers/metrics";
    TaskManager GET "/taskmanagers/:taskmanagerid";
    TaskManagerMetrics GET "/taskmanagers/:taskmanagerid/metrics";
    TaskManagerLogs GET "/taskmanagers/:taskmanagerid/logs";
    TaskManagerLog GET "/taskmanagers/:taskmanagerid/log";
    TaskManagerThreadDump GET "/taskmanagers/:taskmanagerid/thread-dump";
    TaskManagerProfiler GET "/taskmanagers/:taskmanagerid/profiler" Since120;
    Jars GET "/jars" Session;
    UploadJar POST "/jars/upload" Session;
    DeleteJar DELETE "/jars/:jarid" Session;
    JarPlan GET "/jars/:jarid/plan" Session;
    RunJar POST "/jars/:jarid/run" Session;
}

/// A request that found its operation, with everything parsed.
pub(crate) struct Call {
    pub op: Op,
    params: Vec<(&'static str, String)>,
    query: Vec<(String, String)>,
    pub body: Map<String, Value>,
    /// The files of a form.
    pub uploads: Uploads,
    pub host: Option<String>,
}

impl Call {
    /// A path parameter of the route; ids are in lower case and cut to 32 digits.
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(n, _)| *n == name).map_or("", |(_, v)| v.as_str())
    }

    pub fn number(&self, name: &str) -> i64 {
        self.param(name).parse().unwrap_or(-1)
    }

    /// The first value of a query parameter; an empty one counts.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// All comma-separated values of a query parameter.
    pub fn query_list(&self, name: &str) -> Option<Vec<&str>> {
        let mut values = self.query.iter().filter(|(n, _)| n == name).peekable();
        values.peek()?;
        Some(values.flat_map(|(_, v)| v.split(',')).filter(|v| !v.is_empty()).collect())
    }

    pub fn text(&self, member: &str) -> Option<&str> {
        self.body.get(member).and_then(Value::as_str)
    }

    pub fn flag(&self, member: &str) -> Option<bool> {
        self.body.get(member).and_then(Value::as_bool)
    }
}

pub(crate) enum Routed {
    Call(Box<Call>),
    /// No operation: what the file server of the dashboard is asked for.
    File(String),
}

pub(crate) fn find(cluster: &Cluster, req: &Request<Bytes>) -> Result<Routed, RestError> {
    let raw_path = req.uri().path();
    let mut segments: Vec<String> =
        raw_path.split('/').filter(|s| !s.is_empty()).map(|s| text::decode(s, false)).collect();
    if segments.first().is_some_and(|s| s == "v1") {
        segments.remove(0);
    }
    let multipart = header_text(req, header::CONTENT_TYPE).starts_with("multipart/form-data");
    let session = cluster.mode == Mode::Session;
    if multipart && req.method() == Method::POST && !session && cluster.version.since_1_20() {
        // No handler of an application cluster takes files (recorded).
        return Err(RestError::plain(StatusCode::BAD_REQUEST, "POST request not allowed"));
    }
    let open = |gate: Gate| match gate {
        Gate::Always => true,
        Gate::Session => session,
        Gate::Since120 => cluster.version.since_1_20(),
    };
    let matching = ROUTES.iter().chain(ALIASES).filter(|r| r.method == req.method() && open(r.gate));
    let found =
        matching.filter(|r| fits(r.path, &segments)).min_by_key(|r| captures(r.path, &segments).count());
    let Some(route) = found else { return miss(req.method(), raw_path, &segments) };
    if multipart && !matches!(route.op, Op::UploadJar | Op::SubmitJob) {
        return Err(RestError::plain(StatusCode::BAD_REQUEST, "File upload not allowed"));
    }
    let body =
        if multipart { Map::new() } else { body::read(req.body(), body_spec(route.op), cluster.version)? };
    let params = captures(route.path, &segments).map(|(name, value)| path_parameter(name, value.clone()));
    let params = params.collect::<Result<_, _>>()?;
    let query = text::query(req.uri().query().unwrap_or(""));
    check_query(route.op, &query)?;
    let host = Some(header_text(req, header::HOST).to_owned()).filter(|h| !h.is_empty());
    let uploads = if multipart { uploads(req) } else { Uploads::default() };
    Ok(Routed::Call(Box::new(Call { op: route.op, params, query, body, uploads, host })))
}

/// Read already where the form was too large to be kept, or in the body.
fn uploads(req: &Request<Bytes>) -> Uploads {
    let read = req.extensions().get::<Uploads>().cloned();
    read.unwrap_or_else(|| Uploads::in_memory(header_text(req, header::CONTENT_TYPE), req.body()))
}

fn header_text<B>(req: &Request<B>, name: header::HeaderName) -> &str {
    req.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
}

/// GET falls through to the file server of the dashboard, everything else is not found; never 405.
fn miss(method: &Method, path: &str, segments: &[String]) -> Result<Routed, RestError> {
    match (method, segments) {
        (&Method::GET, segments) => Ok(Routed::File(segments.join("/"))),
        _ => Err(RestError::plain(StatusCode::NOT_FOUND, format!("Not found: {path}"))),
    }
}

fn fits(pattern: &str, segments: &[String]) -> bool {
    let mut given = segments.iter();
    let fits = |part: &str| given.next().is_some_and(|segment| part.starts_with(':') || part == segment);
    pattern.split('/').skip(1).all(fits) && given.next().is_none()
}

/// Names and values of the parameters of a path that fits.
fn captures<'a>(
    pattern: &'static str,
    segments: &'a [String],
) -> impl Iterator<Item = (&'static str, &'a String)> {
    let parts = pattern.split('/').skip(1).zip(segments);
    parts.filter_map(|(part, segment)| Some((part.strip_prefix(':')?, segment)))
}

fn path_parameter(name: &'static str, value: String) -> Result<(&'static str, String), RestError> {
    let bad = || bad_parameter("path", name, &value);
    let read = match name {
        "jobid" | "triggerid" | "vertexid" | "datasetid" => parse_hex32(&value).ok_or_else(bad)?,
        "checkpointid" => value.parse::<i64>().map_err(|_| bad())?.to_string(),
        "subtaskindex" | "attempt" => {
            let number = value.parse::<i32>().map_err(|_| bad())?;
            if number < 0 {
                return Err(bad());
            }
            number.to_string()
        }
        _ => value,
    };
    Ok((name, read))
}

fn body_spec(op: Op) -> &'static Spec {
    match op {
        Op::TriggerSavepoint => &body::SAVEPOINT,
        Op::Stop => &body::STOP,
        Op::TriggerCheckpoint => &body::CHECKPOINT,
        Op::Dispose => &body::DISPOSAL,
        Op::Heartbeat => &body::HEARTBEAT,
        Op::PutRequirements => &body::REQUIREMENTS,
        Op::SubmitJob => &body::SUBMIT,
        Op::JarPlan => &body::JAR_PLAN,
        Op::RunJar => &body::JAR_RUN,
        Op::JobManagerProfiler | Op::TaskManagerProfiler => &body::PROFILING,
        _ => &body::EMPTY,
    }
}

/// Query parameters an operation declares are parsed, others ignored.
fn check_query(op: Op, query: &[(String, String)]) -> Result<(), RestError> {
    for (name, value) in query {
        let fine = match (op, name.as_str()) {
            (Op::CancelJob, "mode") => ["cancel", "stop"].iter().any(|m| m.eq_ignore_ascii_case(value)),
            (Op::JobExceptions, "maxExceptions") => value.parse::<i32>().is_ok(),
            (Op::Rescaling | Op::RunJar | Op::JarPlan, "parallelism") => value.parse::<i32>().is_ok(),
            (Op::JobsMetrics | Op::TaskManagersMetrics | Op::VertexSubtasksMetrics, "agg") => value
                .split(',')
                .all(|a| ["min", "max", "sum", "avg", "skew"].iter().any(|k| k.eq_ignore_ascii_case(a))),
            (Op::JobsMetrics, "jobs") => value.split(',').all(|j| parse_hex32(j).is_some()),
            (Op::VertexFlameGraph, "type") => {
                ["full", "on_cpu", "off_cpu"].iter().any(|k| k.eq_ignore_ascii_case(value))
            }
            _ => true,
        };
        if !fine {
            return Err(bad_parameter("query", name, value));
        }
    }
    Ok(())
}
