//! The router: which operation a request means, with its parameters checked in the order of the real server.

use super::body::{self, Spec};
use super::error::{self, RestError, bad_parameter};
use super::multipart::{self, Uploads};
use super::text;
use crate::ids::parse_hex32;
use crate::model::api::Mode;
use crate::model::cluster::Cluster;
use crate::version::Version;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use serde_json::{Map, Value};
use std::sync::LazyLock;

macro_rules! routes {
    ($($op:ident $method:ident $path:literal $($gate:ident)?;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

/// A route and its path in segments.
struct Pattern {
    route: &'static Route,
    parts: Vec<&'static str>,
}

static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    let pattern = |route: &'static Route| Pattern { route, parts: route.path.split('/').skip(1).collect() };
    ROUTES.iter().chain(ALIASES).map(pattern).collect()
});

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
    Route { op: Op::JobManagerLog, method: Method::GET, path: "/jobmanager/log", gate: Gate::Always },
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
    JobManagerStdout GET "/jobmanager/stdout";
    JobManagerMetrics GET "/jobmanager/metrics";
    JobManagerThreadDump GET "/jobmanager/thread-dump";
    JobManagerProfiler GET "/jobmanager/profiler" Since120;
    ProfileJobManager POST "/jobmanager/profiler" Since120;
    JobManagerLogUrl GET "/jobs/:anyjob/jobmanager/log-url";
    TaskManagerLogUrl GET "/jobs/:anyjob/taskmanagers/:taskmanagerid/log-url";
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
    Coordinate POST "/jobs/:jobid/coordinators/:operatorid";
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
    TaskManagerStdout GET "/taskmanagers/:taskmanagerid/stdout";
    TaskManagerThreadDump GET "/taskmanagers/:taskmanagerid/thread-dump";
    TaskManagerProfiler GET "/taskmanagers/:taskmanagerid/profiler" Since120;
    ProfileTaskManager POST "/taskmanagers/:taskmanagerid/profiler" Since120;
    TaskManagerProfile GET "/taskmanagers/:taskmanagerid/profiler/:filename" Since120;
    Jars GET "/jars" Session;
    UploadJar POST "/jars/upload" Session;
    DeleteJar DELETE "/jars/:jarid" Session;
    JarPlan GET "/jars/:jarid/plan" Session;
    RunJar POST "/jars/:jarid/run" Session;
}

/// A request that found its operation, with everything parsed.
pub(crate) struct Call {
    pub op: Op,
    /// It may change the model; everything else only looks.
    pub is_change: bool,
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
        self.query_values(name)?.into_iter().next()
    }

    /// The value of a query parameter that may have one only.
    pub fn query_one(&self, name: &str) -> Result<Option<&str>, RestError> {
        match self.query_values(name).unwrap_or_default()[..] {
            [] => Ok(None),
            [value] => Ok(Some(value)),
            ref several => {
                let text = format!("Expected only one value [{}].", several.join(", "));
                Err(error::rest(StatusCode::BAD_REQUEST, text))
            }
        }
    }

    /// All comma-separated values of a query parameter that are not empty.
    pub fn query_list(&self, name: &str) -> Option<Vec<&str>> {
        Some(self.query_values(name)?.into_iter().filter(|v| !v.is_empty()).collect())
    }

    fn query_values(&self, name: &str) -> Option<Vec<&str>> {
        let values = self.query.iter().filter(|(n, _)| n == name);
        let values: Vec<&str> = values.flat_map(|(_, v)| text::split(v)).collect();
        // Nothing but commas is nothing (recorded).
        (!values.is_empty()).then_some(values)
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
    let target = req.uri().path_and_query().map_or("/", |target| target.as_str());
    let path = text::path(target).map_err(malformed)?;
    let query = text::query(target).map_err(malformed)?;
    let segments = segments(&path).map_err(malformed)?;
    let pattern = PATTERNS
        .iter()
        .filter(|p| fits(&p.parts, &segments))
        .filter(|p| p.route.method == req.method() && is_open(cluster, p.route.gate))
        .min_by_key(|p| captures(&p.parts, &segments).count());
    let form = multipart::is_form(req.method(), header_text(req, header::CONTENT_TYPE));
    let Some(Pattern { route, parts }) = pattern else {
        // Forms are looked at before anything is routed (recorded).
        let refused = form && cluster.version.since_1_20();
        return if refused { Err(upload_error("POST request not allowed")) } else { miss(req, target, path) };
    };
    let uploads = if form { uploads(req) } else { Uploads::default() };
    if !uploads.files().is_empty() && !matches!(route.op, Op::UploadJar | Op::SubmitJob) {
        return Err(match cluster.version.since_1_20() {
            true => upload_error("File upload not allowed"),
            false => error::rest(StatusCode::BAD_REQUEST, "File uploads not allowed."),
        });
    }
    let raw = if form { uploads.request()? } else { req.body() };
    let body = match body::read(raw, body_spec(route.op), cluster.version) {
        // A null is found out by the handler, after the parameters.
        Err(RestError::Server(null)) => Err(RestError::Server(null)),
        read => Ok(read?),
    };
    let params =
        captures(parts, &segments).map(|(name, value)| path_parameter(name, value.clone(), cluster.version));
    let params = params.collect::<Result<_, _>>()?;
    check_query(route.op, &query, cluster.version)?;
    let body = body?;
    let host = Some(header_text(req, header::HOST).to_owned()).filter(|h| !h.is_empty());
    let is_change = route.method != Method::GET || matches!(route.op, Op::YarnCancel | Op::YarnStop);
    Ok(Routed::Call(Box::new(Call { op: route.op, is_change, params, query, body, uploads, host })))
}

fn malformed(why: text::BadEscape) -> RestError {
    RestError::plain(StatusCode::INTERNAL_SERVER_ERROR, format!("Internal server error: {}", why.0))
}

fn upload_error(text: &str) -> RestError {
    RestError::bare(StatusCode::BAD_REQUEST, text)
}

/// Slashes at both ends do not count, empty segments between do.
fn segments(path: &str) -> Result<Vec<String>, text::BadEscape> {
    let mut segments: Vec<String> =
        path.trim_matches('/').split('/').map(text::segment).collect::<Result<_, _>>()?;
    if segments.first().is_some_and(|s| s == "v1") {
        segments.remove(0);
    }
    Ok(segments)
}

fn is_open(cluster: &Cluster, gate: Gate) -> bool {
    match gate {
        Gate::Always => true,
        Gate::Session => cluster.mode == Mode::Session,
        Gate::Since120 => cluster.version.since_1_20(),
    }
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
fn miss(req: &Request<Bytes>, target: &str, path: String) -> Result<Routed, RestError> {
    match *req.method() {
        Method::GET => Ok(Routed::File(path)),
        _ => Err(RestError::plain(StatusCode::NOT_FOUND, format!("Not found: {target}"))),
    }
}

fn fits(parts: &[&str], segments: &[String]) -> bool {
    let fits = |(part, segment): (&&str, &String)| part.starts_with(':') || part == segment;
    parts.len() == segments.len() && parts.iter().zip(segments).all(fits)
}

/// Names and values of the parameters of a path that fits.
fn captures<'a>(
    parts: &'a [&'static str],
    segments: &'a [String],
) -> impl Iterator<Item = (&'static str, &'a String)> {
    let parts = parts.iter().zip(segments);
    parts.filter_map(|(part, segment)| Some((part.strip_prefix(':')?, segment)))
}

fn path_parameter(
    name: &'static str,
    value: String,
    version: Version,
) -> Result<(&'static str, String), RestError> {
    let bad = || bad_parameter("path", name, &value);
    let read = match name {
        "jobid" | "triggerid" | "vertexid" | "datasetid" => parse_hex32(&value).ok_or_else(bad)?,
        // 2.x takes any uid.
        "operatorid" if !version.is_2() => parse_hex32(&value).ok_or_else(bad)?,
        "checkpointid" => value.parse::<i64>().map_err(|_| bad())?.to_string(),
        "attempt" => value.parse::<i32>().map_err(|_| bad())?.to_string(),
        "subtaskindex" => value.parse::<i32>().ok().filter(|n| *n >= 0).ok_or_else(bad)?.to_string(),
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
        Op::Coordinate => &body::COORDINATION,
        Op::PutRequirements => &body::REQUIREMENTS,
        Op::SubmitJob => &body::SUBMIT,
        Op::JarPlan => &body::JAR_PLAN,
        Op::RunJar => &body::JAR_RUN,
        Op::ProfileJobManager | Op::ProfileTaskManager => &body::PROFILING,
        _ => &body::EMPTY,
    }
}

/// Query parameters an operation declares are parsed, others ignored. A name that comes again adds to its values.
fn check_query(op: Op, query: &[(String, String)], version: Version) -> Result<(), RestError> {
    let mut names: Vec<&String> = query.iter().map(|(name, _)| name).collect();
    names.dedup();
    for name in names {
        let given: Vec<&str> = query.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect();
        let given = given.join(",");
        if !text::split(&given).into_iter().all(|value| is_value(op, name, value, version)) {
            return Err(bad_parameter("query", name, &given));
        }
    }
    Ok(())
}

fn is_value(op: Op, name: &str, value: &str, version: Version) -> bool {
    let one_of = |names: &[&str]| names.iter().any(|n| n.eq_ignore_ascii_case(value));
    match (op, name) {
        (Op::CancelJob, "mode") => one_of(&["cancel", "stop"]),
        (Op::JobExceptions, "maxExceptions") | (Op::Rescaling | Op::RunJar | Op::JarPlan, "parallelism") => {
            value.parse::<i32>().is_ok()
        }
        (Op::VertexFlameGraph, "subtaskindex") => value.parse::<i32>().is_ok_and(|index| index >= 0),
        (Op::JobExceptions, "failureLabelFilter") => {
            // Key and value; Java does not count what is empty at the end.
            value.trim_end_matches(':').matches(':').count() == 1
        }
        (Op::JobsMetrics | Op::TaskManagersMetrics | Op::VertexSubtasksMetrics, "agg") => {
            one_of(&["min", "max", "sum", "avg"]) || (one_of(&["skew"]) && version.since_1_20())
        }
        (Op::JobsMetrics, "jobs") => parse_hex32(value).is_some(),
        (Op::VertexFlameGraph, "type") => one_of(&["full", "on_cpu", "off_cpu"]),
        _ => true,
    }
}
