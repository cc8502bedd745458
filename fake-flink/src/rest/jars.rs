//! `/jars`: upload, list, plan, run, delete. Session clusters only.

use super::error::{self, RestError};
use super::route::Call;
use super::{Answer, ok};
use crate::conf::Conf;
use crate::jar::Jar;
use crate::model::application::{ONE_EXECUTE, main_error};
use crate::model::cluster::{Cluster, Upload};
use crate::model::job::{ClaimMode, Restore};
use crate::model::submission::Submission;
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
    let parts = &call.uploads.0;
    if let Some(field) = parts.iter().find(|p| p.filename.is_none()) {
        return Err(RestError::plain(
            StatusCode::BAD_REQUEST,
            format!("Received unknown attribute {}.", field.name),
        ));
    }
    if parts.len() != 1 {
        return Err(bad(&format!("Exactly 1 file must be sent, received {}.", parts.len())));
    }
    let part = &parts[0];
    let name = part.filename.clone().unwrap_or_default();
    if !name.ends_with(".jar") {
        return Err(bad("Only Jar files are allowed."));
    }
    let id = format!("{}_{name}", c.ids.uuid());
    if c.uploads.len() >= JARS_MAX {
        c.uploads.shift_remove_index(0);
    }
    c.uploads.insert(id.clone(), Upload { name, at: c.now, jar: part.jar.clone() });
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
    let filled = |s: &str| Some(s.to_owned()).filter(|s| !s.is_empty());
    let entry_class =
        call.text("entryClass").and_then(filled).or_else(|| call.query("entry-class").and_then(filled));
    let list: Option<Vec<String>> = call
        .body
        .get("programArgsList")
        .and_then(Value::as_array)
        .map(|l| l.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect());
    // The text form went with 2.0: there it is ignored like any unknown member.
    let text = if c.version.is_2() { None } else { call.text("programArgs") };
    if text.is_some() && list.is_some() {
        let text = "Confusing request: programArgs and programArgsList are specified, please, use only programArgsList";
        return Err(error::rest(StatusCode::BAD_REQUEST, text));
    }
    let from_query = || call.query_list("programArg").map(|l| l.into_iter().map(str::to_owned).collect());
    let text_query = || (!c.version.is_2()).then(|| call.query("program-args").map(tokenize)).flatten();
    let args =
        list.or_else(|| text.map(tokenize)).or_else(from_query).or_else(text_query).unwrap_or_default();
    let in_query = call.query("parallelism").and_then(|p| p.parse().ok());
    let parallelism = call.body.get("parallelism").and_then(Value::as_i64).or(in_query).filter(|p| *p != -1);
    let own: BTreeMap<String, String> = call
        .body
        .get("flinkConfiguration")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned())))
        .collect();
    Ok(Request { entry_class, args, parallelism, conf: c.conf.overlaid(&own), own })
}

/// `JarHandlerUtils.tokenizeArguments`: blanks separate, quotes group.
fn tokenize(text: &str) -> Vec<String> {
    let (mut out, mut word, mut quote, mut started) = (Vec::new(), String::new(), None, false);
    for ch in text.chars() {
        match (quote, ch) {
            (Some(q), c) if c == q => quote = None,
            (None, '"' | '\'') => {
                quote = Some(ch);
                started = true;
            }
            (None, c) if c.is_whitespace() => {
                if started || !word.is_empty() {
                    out.push(std::mem::take(&mut word));
                }
                started = false;
            }
            (_, c) => word.push(c),
        }
    }
    if started || !word.is_empty() {
        out.push(word);
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
    if !contains(jar, &class_name) {
        let text = format!("The program's entry point class '{class_name}' was not found in the jar file.");
        let cause = Throwable::new("java.lang.ClassNotFoundException", class_name);
        return server(Throwable::new(class::PROGRAM_INVOCATION, text).caused_by(cause));
    }
    match c.programs.find(Some(&class_name)).with_args(&r.args) {
        Behaviour::NotMain => {
            let text = "The given program class does not have a main(String[]) method.";
            server(Throwable::new(class::PROGRAM_INVOCATION, text))
        }
        other => Ok(other),
    }
}

fn contains(jar: &Jar, class_name: &str) -> bool {
    jar.classes.contains(class_name)
}

const NO_JOBS: &str = "No jobs included in application.";
const BAD_PARALLELISM: &str =
    "Parallelism must be at least one, or ExecutionConfig.PARALLELISM_DEFAULT (use system default).";

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
            let text = format!(
                "The program plan could not be fetched - the program aborted pre-maturely. The root cause may be that the main method doesn't call `env.execute()` or `env.executeAsync()`.\n\nClasspath: [{file}]\n\nSystem.out: (none)\n\nSystem.err: (none)"
            );
            return Err(RestError::Server(Throwable::new(class::PROGRAM_INVOCATION, text)));
        }
    };
    let parallelism = r.parallelism.unwrap_or(1);
    if parallelism < 1 {
        return Err(RestError::Server(Throwable::new(class::ILLEGAL_ARGUMENT, BAD_PARALLELISM)));
    }
    let kind = if job.batch { "BATCH" } else { "STREAMING" };
    let given = parallelism.min(32_768) as u32;
    let vertices: Vec<(&program::VertexSpec, u32)> =
        job.vertices.iter().map(|v| (v, v.parallelism.unwrap_or(given))).collect();
    let id = c.ids.hex32();
    ok(json!({"plan": super::jobs::plan_of(&id, &job.name, kind, &vertices)}))
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
    if parallelism < 1 {
        return refused(Throwable::new(class::ILLEGAL_ARGUMENT, BAD_PARALLELISM));
    }
    if let Err(cause) = c.check_in_main(&r.conf) {
        return refused(cause);
    }
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
    let restore = restore(call, &r.conf);
    let parallelism = parallelism.min(1 << 20) as u32;
    c.accept(Submission { id: id.clone(), program, parallelism, conf: r.conf, restore });
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

fn restore(call: &Call, conf: &Conf) -> Restore {
    let filled = |s: &str| Some(s.to_owned()).filter(|s| !s.is_empty());
    let path = call.text("savepointPath").or_else(|| call.query("savepointPath")).and_then(filled);
    let configured = || conf.get("execution.state-recovery.path").map(str::to_owned);
    let in_query = || call.query("allowNonRestoredState").map(|v| v.eq_ignore_ascii_case("true"));
    let allow = call.flag("allowNonRestoredState").or_else(in_query);
    let mode = call
        .text("claimMode")
        .or_else(|| call.text("restoreMode"))
        .or_else(|| conf.get("execution.state-recovery.claim-mode"));
    Restore {
        path: path.or_else(configured),
        allow_non_restored: allow
            .unwrap_or_else(|| conf.bool("execution.state-recovery.ignore-unclaimed-state", false)),
        claim: match mode {
            Some("CLAIM") => ClaimMode::Claim,
            Some("LEGACY") => ClaimMode::Legacy,
            _ => ClaimMode::NoClaim,
        },
    }
}

/// `Could not execute application.`, three layers deep as recorded.
fn not_executed(cause: Throwable) -> RestError {
    let text = "Could not execute application.";
    let runtime = Throwable::new(class::FLINK_RUNTIME, text).caused_by(cause);
    error::rest_caused(StatusCode::BAD_REQUEST, text, Throwable::wrap(class::COMPLETION, runtime))
}
