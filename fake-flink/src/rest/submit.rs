//! `POST /jobs`: a job made by a client, as Flink's command line does it. The serialised graph says what the job is called,
//! configured and restored from; what it does follows from the entry class of the first jar that came along.

use super::error;
use super::error::RestError;
use super::route::Call;
use super::{Answer, accepted};
use crate::java::{JobGraph, read_job_graph};
use crate::model::cluster::Cluster;
use crate::model::job::{ClaimMode, Restore};
use crate::model::submission::Submission;
use crate::program::{self, Behaviour, Job};
use crate::throwable::{Throwable, class};
use http::StatusCode;
use serde_json::json;

const MISSING_FILE: &str = "org.apache.flink.runtime.rest.handler.job.JobSubmitHandler$MissingFileException";

pub(super) fn submit(c: &mut Cluster, call: &Call) -> Answer {
    let what = if c.version.is_2() { "ExecutionPlan" } else { "JobGraph" };
    let named = call.text("jobGraphFileName").or_else(|| call.text("executionPlanFileName"));
    let Some(name) = named else {
        let text = "The jobGraphFileName field must not be omitted or be null.";
        return Err(error::rest(StatusCode::BAD_REQUEST, text));
    };
    let Some(file) = call.uploads.files().iter().find(|f| f.filename == name) else {
        let cause =
            Throwable::new(MISSING_FILE, format!("{what} file {name} could not be found on the server."));
        return Err(RestError::Handler { status: StatusCode::BAD_REQUEST, cause });
    };
    let Some(graph) = read_job_graph(&file.content) else {
        let text = format!("Failed to deserialize {what}.");
        return Err(error::rest_caused(
            StatusCode::BAD_REQUEST,
            text,
            Throwable::bare("java.io.EOFException"),
        ));
    };
    if c.jobs.contains_key(&graph.id) || c.ha_result_of(&graph.id).is_some() {
        let text = "Job has already been submitted.";
        return Err(RestError::Server(Throwable::new(class::DUPLICATE_JOB, text)));
    }
    let id = graph.id.clone();
    let program = job_of(c, call, &graph);
    let conf = c.conf.overlaid(&graph.conf);
    // The client has built the graph and met what `main()` throws.
    let program = program.clone().in_mode(&conf, c.version).unwrap_or(program);
    let parallelism = conf.int("parallelism.default", 1).clamp(1, 1 << 20) as u32;
    c.accept(Submission { id: id.clone(), program, parallelism, conf, restore: restore(&graph) });
    // The client learns from the status of the job that it could not be started.
    if let Err(cause) = c.initialize(&id) {
        c.initialization_failed(&id, &cause);
    }
    accepted(json!({"jobUrl": format!("/jobs/{id}")}))
}

fn job_of(c: &Cluster, call: &Call, graph: &JobGraph) -> Job {
    let jars = call.uploads.files().iter().filter_map(|file| file.jar.as_ref());
    let main_class = jars.filter_map(|jar| jar.main_class.as_deref()).next();
    let args: Vec<String> =
        graph.parameters.iter().flat_map(|(key, value)| [format!("--{key}"), value.clone()]).collect();
    let known = match c.programs.find(main_class).with_args(&args) {
        Behaviour::Job(job) => Some(job),
        Behaviour::Jobs { jobs, .. } => jobs.into_iter().next(),
        // Somebody did make a job of it, so its `main()` is another.
        Behaviour::Throws(_) | Behaviour::NoJob | Behaviour::NotMain => None,
    };
    let job = known.unwrap_or_else(program::known::default);
    Job { name: graph.name.clone(), batch: graph.batch, bounded: graph.batch, ..job }
}

fn restore(graph: &JobGraph) -> Restore {
    Restore {
        path: graph.restore_path.clone(),
        allow_non_restored: graph.allow_non_restored,
        claim: match graph.claim.as_deref() {
            Some("CLAIM") => ClaimMode::Claim,
            Some("LEGACY") => ClaimMode::Legacy,
            _ => ClaimMode::NoClaim,
        },
    }
}
