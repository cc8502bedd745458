//! `/jars`: upload, list, plan, run, delete. Session clusters only.

use super::error::{self, RestError};
use super::route::Call;
use super::{Answer, ok};
use crate::conf::Conf;
use crate::model::application::{ONE_EXECUTE, main_error};
use crate::model::checks;
use crate::model::cluster::{Cluster, Upload};
use crate::model::job::{ClaimMode, Restore};
use crate::model::submission::Submission;
use crate::program::mode::Sizing;
use crate::program::{self, Behaviour};
use crate::throwable::{Throwable, class};
use http::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// More jars than this and the oldest is forgotten; a real directory is bounded by its disk.
const JARS_MAX: usize = 1_000;

fn directory(c: &Cluster) -> String {
    let base = c.conf.get("web.upload.dir").unwrap_or("/tmp/flink-web");
    format!("{}/flink-web-upload", base.trim_end_matches('/'))
}

pub(super) fn list(c: &Cluster, call: &Call) -> Answer {
    let files: Vec<Value> = c
        .uploads
        .iter()
        .rev()
        .map(|(id, upload)| {
            let main = upload.jar.as_ref().and_then(|j| j.main_class.as_deref());
            let entry: Vec<Value> =
                main.map(|name| json!({"name": name, "description": null})).into_iter().collect();
            json!({"id": id, "name": upload.name, "uploaded": upload.at, "entry": entry})
        })
        .collect();
    let address = call.host.clone().unwrap_or_else(|| format!("{}:{}", c.pod_ip, c.rest_port()));
    ok(json!({"address": format!("http://{address}"), "files": files}))
}

pub(super) fn upload(c: &mut Cluster, call: &Call) -> Answer {
    let bad = |text: &str| error::rest(StatusCode::BAD_REQUEST, text);
    let files = call.uploads.files();
    if files.len() != 1 {
        return Err(bad(&format!("Exactly 1 file must be sent, received {}.", files.len())));
    }
    let file = &files[0];
    let name = file.filename.clone();
    if !name.ends_with(".jar") {
        return Err(bad("Only Jar files are allowed."));
    }
    let id = format!("{}_{name}", c.ids.uuid());
    if c.uploads.len() >= JARS_MAX {
        c.uploads.shift_remove_index(0);
    }
    c.uploads.insert(id.clone(), Upload { name, at: c.now, jar: file.jar.clone() });
    ok(json!({"filename": format!("{}/{id}", directory(c)), "status": "success"}))
}

pub(super) fn delete(c: &mut Cluster, call: &Call) -> Answer {
    let id = call.param("jarid");
    if c.uploads.shift_remove(id).is_none() {
        let text = format!("File {id} does not exist in {}.", directory(c));
        return Err(error::rest(StatusCode::BAD_REQUEST, text));
    }
    ok(json!({}))
}

/// What a plan or run request asks for, body before query.
struct Request {
    entry_class: Option<String>,
    args: Vec<String>,
    parallelism: Option<i64>,
    conf: Conf,
    own: BTreeMap<String, String>,
}

fn request(c: &Cluster, call: &Call) -> Result<Request, RestError> {
    let entry_class = match call.text("entryClass").and_then(filled) {
        Some(class) => Some(class),
        None => call.query_one("entry-class")?.and_then(filled),
    };
    let args = arguments(c, call)?;
    let parallelism = match call.body.get("parallelism").and_then(Value::as_i64) {
        Some(given) => Some(given),
        None => call.query_one("parallelism")?.and_then(|p| p.parse().ok()),
    };
    // 1.18 takes it for none (recorded).
    let parallelism = parallelism.filter(|p| c.version.since_1_20() || *p != UNKNOWN);
    let own = own_configuration(call)?;
    Ok(Request { entry_class, args, parallelism, conf: c.conf.overlaid(&own), own })
}

fn filled(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|s| !s.is_empty())
}

fn arguments(c: &Cluster, call: &Call) -> Result<Vec<String>, RestError> {
    let list: Option<Vec<String>> = call
        .body
        .get("programArgsList")
        .and_then(Value::as_array)
        .map(|l| l.iter().filter_map(as_text).collect());
    // The text form went with 2.0: there it is ignored like any unknown member.
    let text = if c.version.is_2() { None } else { call.text("programArgs") };
    if text.is_some() && list.is_some() {
        let text = "Confusing request: programArgs and programArgsList are specified, please, use only programArgsList";
        return Err(error::rest(StatusCode::BAD_REQUEST, text));
    }
    if let Some(args) = list.or_else(|| text.map(tokenize)) {
        return Ok(args);
    }
    let in_query = call.query_list("programArg").map(|l| l.into_iter().map(str::to_owned).collect());
    let text = if c.version.is_2() { None } else { call.query_one("program-args")? };
    Ok(in_query.or_else(|| text.map(tokenize)).unwrap_or_default())
}

/// Numbers and flags are taken as they are written (recorded).
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Nulls and a parallelism that is no number are found when the configuration is made, before `main()`.
fn own_configuration(call: &Call) -> Result<BTreeMap<String, String>, RestError> {
    let mut own = BTreeMap::new();
    for (key, value) in call.body.get("flinkConfiguration").and_then(Value::as_object).into_iter().flatten() {
        let Some(value) = value.as_str() else {
            let null = Throwable::new(class::NULL_POINTER, "Value must not be null.");
            return Err(RestError::Server(null));
        };
        own.insert(key.clone(), value.to_owned());
    }
    match own.get("parallelism.default") {
        Some(text) => {
            checks::whole_number("parallelism.default", text).map(|_| own).map_err(RestError::Server)
        }
        None => Ok(own),
    }
}

/// `JarHandlerUtils.tokenizeArguments`: what `([^"']\S*|".+?"|'.+?')\s*` finds, without blanks around and quotes.
fn tokenize(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let token = match first {
            '"' | '\'' => {
                // At least one character between the quotes.
                let inner = rest[1..].chars().next().map_or(0, char::len_utf8);
                rest[1 + inner..].find(first).filter(|_| inner > 0).map(|at| 1 + inner + at + 1)
            }
            first => {
                let start = first.len_utf8();
                Some(rest[start..].find(char::is_whitespace).map_or(rest.len(), |at| start + at))
            }
        };
        let Some(end) = token else {
            rest = &rest[1..];
            continue;
        };
        out.push(rest[..end].trim().replace(['"', '\''], ""));
        rest = rest[end..].trim_start();
    }
    out
}

/// The behaviour of the entry class, or why the jar cannot be opened.
fn behaviour(c: &Cluster, call: &Call, r: &Request) -> Result<Behaviour, RestError> {
    let id = call.param("jarid");
    let file = format!("{}/{id}", directory(c));
    let server = |cause: Throwable| Err(RestError::Server(Throwable::wrap(class::COMPLETION, cause)));
    let Some(upload) = c.uploads.get(id) else {
        return server(Throwable::new(class::REST_HANDLER, format!("Jar file {file} does not exist")));
    };
    let Some(jar) = &upload.jar else {
        let text = format!("Error while opening jar file '{file}'");
        let zip = Throwable::new("java.util.zip.ZipException", "zip END header not found");
        let io = Throwable::new(class::IO, text.clone()).caused_by(zip);
        return server(Throwable::new(class::PROGRAM_INVOCATION, text).caused_by(io));
    };
    let Some(class_name) = r.entry_class.clone().or_else(|| jar.main_class.clone()) else {
        let text = "Neither a 'Main-Class', nor a 'program-class' entry was found in the jar file.";
        return server(Throwable::new(class::PROGRAM_INVOCATION, text));
    };
    if !jar.classes.contains(&class_name) {
        let text = format!("The program's entry point class '{class_name}' was not found in the jar file.");
        let cause = Throwable::new("java.lang.ClassNotFoundException", class_name);
        return server(Throwable::new(class::PROGRAM_INVOCATION, text).caused_by(cause));
    }
    match c.programs.find(Some(&class_name)).with_args(&r.args) {
        Behaviour::NotMain => {
            let text = "The given program class does not have a main(String[]) method.";
            server(Throwable::new(class::PROGRAM_INVOCATION, text))
        }
        known => Ok(known),
    }
}

const NO_JOBS: &str = "No jobs included in application.";
/// `ExecutionConfig.PARALLELISM_DEFAULT`: shown as it was given, and one task each once the job is scheduled (recorded).
const SYSTEM_DEFAULT: i64 = -1;
const NO_PARALLELISM: &str =
    "Parallelism must be at least one, or ExecutionConfig.PARALLELISM_DEFAULT (use system default).";
/// `ExecutionConfig.PARALLELISM_UNKNOWN`.
const UNKNOWN: i64 = -2;
/// What operators say to -2, which the environment lets through as "unknown".
const UNKNOWN_PARALLELISM: &str = "The parallelism of an operator must be at least 1, or ExecutionConfig.PARALLELISM_DEFAULT (use system default).";

pub(super) fn plan(c: &mut Cluster, call: &Call) -> Answer {
    let r = request(c, call)?;
    let behaviour = behaviour(c, call, &r)?;
    let job = match behaviour {
        Behaviour::Job(job) => job,
        // The plan is that of the first `execute()`.
        Behaviour::Jobs { jobs, .. } => {
            jobs.into_iter().next().ok_or_else(|| error::rest(StatusCode::BAD_REQUEST, NO_JOBS))?
        }
        Behaviour::Throws(cause) => return Err(RestError::Server(main_error(cause))),
        Behaviour::NoJob | Behaviour::NotMain => {
            let file = format!("{}/{}", directory(c), call.param("jarid"));
            let reason = match c.version.since_1_20() {
                true => {
                    " The root cause may be that the main method doesn't call `env.execute()` or `env.executeAsync()`."
                }
                false => "",
            };
            let text = format!(
                "The program plan could not be fetched - the program aborted pre-maturely.{reason}\n\nClasspath: [{file}]\n\nSystem.out: (none)\n\nSystem.err: (none)"
            );
            return Err(RestError::Server(Throwable::new(class::PROGRAM_INVOCATION, text)));
        }
    };
    let parallelism = r.parallelism.unwrap_or(1);
    if parallelism == UNKNOWN {
        let cause = Throwable::new(class::ILLEGAL_ARGUMENT, UNKNOWN_PARALLELISM);
        return Err(RestError::Server(main_error(cause)));
    }
    if parallelism < 1 && parallelism != SYSTEM_DEFAULT {
        return Err(RestError::Server(Throwable::new(class::ILLEGAL_ARGUMENT, NO_PARALLELISM)));
    }
    let job = job.in_mode(&r.conf, c.version).map_err(|cause| RestError::Server(main_error(cause)))?;
    let sizing = if job.batch { Sizing::of(&r.conf, c.version) } else { Sizing::Nobody };
    let kind = if job.batch { "BATCH" } else { "STREAMING" };
    let given = parallelism.min(32_768);
    let vertices: Vec<(&program::VertexSpec, i64)> =
        job.vertices.iter().map(|v| (v, planned(v, sizing, given))).collect();
    let id = call.text("jobId").map_or_else(|| c.ids.hex32(), str::to_owned);
    ok(json!({"plan": super::jobs::plan_of(&id, &job.name, kind, &vertices)}))
}

/// The parallelism of a vertex in a plan: -1 where the scheduler is to decide it.
fn planned(vertex: &program::VertexSpec, sizing: Sizing, given: i64) -> i64 {
    if sizing.leaves_open(vertex) { -1 } else { vertex.parallelism.map_or(given, i64::from) }
}

pub(super) fn run(c: &mut Cluster, call: &Call) -> Answer {
    let r = request(c, call)?;
    let behaviour = behaviour(c, call, &r)?;
    let (program, executes_again) = match behaviour {
        Behaviour::Job(job) => (job, false),
        Behaviour::Jobs { mut jobs, .. } if !jobs.is_empty() => (jobs.remove(0), !jobs.is_empty()),
        Behaviour::Throws(cause) => return Err(not_executed(main_error(cause))),
        Behaviour::Jobs { .. } | Behaviour::NoJob | Behaviour::NotMain => {
            return Err(error::rest(StatusCode::BAD_REQUEST, NO_JOBS));
        }
    };
    let refused = |cause: Throwable| Err(not_executed(main_error(cause)));
    // The cluster's own parallelism.default does not count here, one in flinkConfiguration does (recorded).
    let own_default = r.own.get("parallelism.default").and_then(|p| p.trim().parse().ok());
    let parallelism = r.parallelism.or(own_default).unwrap_or(1);
    if parallelism < 1 && parallelism != SYSTEM_DEFAULT {
        let text = if parallelism == UNKNOWN { UNKNOWN_PARALLELISM } else { NO_PARALLELISM };
        return refused(Throwable::new(class::ILLEGAL_ARGUMENT, text));
    }
    if let Err(cause) = checks::in_main(&r.conf, c.version) {
        return refused(cause);
    }
    let program = match program.in_mode(&r.conf, c.version) {
        Ok(program) => program,
        Err(cause) => return refused(cause),
    };
    let name = program.name.clone();
    let id = call.text("jobId").map_or_else(|| c.ids.hex32(), str::to_owned);
    let failed = |cause: Throwable| {
        let execute =
            Throwable::new(class::FLINK, format!("Failed to execute job '{name}'.")).caused_by(cause);
        Err(not_executed(main_error(execute)))
    };
    if c.jobs.contains_key(&id) || c.ha_result_of(&id).is_some() {
        let cause = Throwable::new(class::DUPLICATE_JOB, "Job has already been submitted.");
        return failed(cause);
    }
    let restore = restore(call, &r.conf)?;
    let given = parallelism;
    let parallelism = parallelism.clamp(1, 1 << 20) as u32;
    c.accept(Submission { id: id.clone(), program, parallelism, conf: r.conf, restore });
    if let Some(job) = c.jobs.get_mut(&id) {
        job.is_parallelism_unset = given == SYSTEM_DEFAULT;
    }
    match c.initialize(&id) {
        // The first job runs, the second `execute()` throws, and the caller learns only of that.
        Ok(()) if executes_again => {
            let again = Throwable::new(class::FLINK_RUNTIME, ONE_EXECUTE);
            Err(not_executed(main_error(again)))
        }
        Ok(()) => ok(json!({"jobid": id})),
        Err(cause) => {
            c.initialization_failed(&id, &cause);
            failed(Throwable::wrap(class::RUNTIME, cause))
        }
    }
}

fn restore(call: &Call, conf: &Conf) -> Result<Restore, RestError> {
    let path = match call.text("savepointPath").and_then(filled) {
        Some(path) => Some(path),
        None => call.query_one("savepointPath")?.and_then(filled),
    };
    let configured = || conf.get("execution.state-recovery.path").map(str::to_owned);
    let in_query = || call.query("allowNonRestoredState").map(|v| v.eq_ignore_ascii_case("true"));
    let allow = call.flag("allowNonRestoredState").or_else(in_query);
    let mode = call
        .text("claimMode")
        .or_else(|| call.text("restoreMode"))
        .or_else(|| conf.get("execution.state-recovery.claim-mode"));
    Ok(Restore {
        path: path.or_else(configured),
        allow_non_restored: allow
            .unwrap_or_else(|| conf.bool("execution.state-recovery.ignore-unclaimed-state", false)),
        claim: match mode {
            Some("CLAIM") => ClaimMode::Claim,
            Some("LEGACY") => ClaimMode::Legacy,
            _ => ClaimMode::NoClaim,
        },
    })
}

/// `Could not execute application.`, three layers deep as recorded.
fn not_executed(cause: Throwable) -> RestError {
    let text = "Could not execute application.";
    let runtime = Throwable::new(class::FLINK_RUNTIME, text).caused_by(cause);
    error::rest_caused(StatusCode::BAD_REQUEST, text, Throwable::wrap(class::COMPLETION, runtime))
}
