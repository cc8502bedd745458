//! `/jobs/:id/resource-requirements`: in-place scaling, which only the adaptive scheduler can do.

use super::body;
use super::error::{self, RestError};
use super::jobs::in_graph;
use super::route::Call;
use super::{Answer, ok};
use crate::model::cluster::Cluster;
use crate::model::job::Job;
use crate::model::stages::scheduler_name;
use crate::throwable::{Throwable, class, job_not_found};
use http::StatusCode;
use serde_json::{Map, Value, json};

const UNSUPPORTED: &str = "does not support changing the parallelism without a job restart. This feature is currently only expected to work with the AdaptiveScheduler.";

fn running<'a>(c: &'a Cluster, call: &Call) -> Result<&'a Job, RestError> {
    let id = call.param("jobid");
    c.jobs.get(id).filter(|j| !j.state.is_terminal()).ok_or_else(|| RestError::Server(job_not_found(id)))
}

fn check_scheduler(job: &Job) -> Result<(), RestError> {
    if job.adaptive {
        return Ok(());
    }
    let text = format!("The {} {UNSUPPORTED}", scheduler_name(job));
    Err(RestError::Server(Throwable::new(class::UNSUPPORTED, text)))
}

pub(super) fn get(c: &Cluster, call: &Call) -> Answer {
    let job = running(c, call)?;
    check_scheduler(job)?;
    let bounds = job.vertices.iter().zip(&job.requirements).map(|(v, (lower, upper))| {
        (v.id.clone(), json!({"parallelism": {"lowerBound": lower, "upperBound": upper}}))
    });
    ok(Value::Object(bounds.collect::<Map<_, _>>()))
}

/// The body is checked first, even under the default scheduler and for jobs nobody knows.
pub(super) fn put(c: &mut Cluster, call: &Call) -> Answer {
    if call.body.is_empty() {
        return Err(error::rest(
            StatusCode::BAD_REQUEST,
            "Request body does not specify resource requirements.",
        ));
    }
    let job = running(c, call)?;
    let is_known = |id: &String| in_graph(job).any(|vertex| vertex.id == *id);
    if let Some((id, _)) = call.body.iter().find(|(id, bounds)| bounds.is_null() && is_known(id)) {
        let text = format!("No requirement set for vertex {id}");
        return Err(RestError::Server(Throwable::new(class::ILLEGAL_STATE, text)));
    }
    let bounds = |vertex: &Value| {
        let at = |key: &str| vertex.pointer(&format!("/parallelism/{key}")).and_then(body::whole);
        (at("lowerBound").unwrap_or(1), at("upperBound").unwrap_or(-1))
    };
    let complaints = complaints(job, &call.body, &bounds);
    if !complaints.is_empty() {
        return Err(error::rest(StatusCode::BAD_REQUEST, complaints.join("\n")));
    }
    check_scheduler(job)?;
    let wanted = job.vertices.iter().map(|v| {
        let (lower, upper) = bounds(&call.body[&v.id]);
        (lower, upper.clamp(1, i64::from(u32::MAX)) as u32)
    });
    let wanted: Vec<(i64, u32)> = wanted.collect();
    let id = job.id.clone();
    c.require(&id, wanted);
    ok(json!({}))
}

fn complaints(job: &Job, body: &Map<String, Value>, bounds: &dyn Fn(&Value) -> (i64, i64)) -> Vec<String> {
    let mut out = Vec::new();
    for (id, value) in body {
        let (lower, upper) = bounds(value);
        let Some(vertex) = in_graph(job).find(|v| v.id == *id) else {
            out.push(format!("Job vertex [{id}] was not found in the JobGraph."));
            continue;
        };
        // Zero is what it says; below zero means "as it was" to Flink, which lets a lower bound of -1 pass (recorded).
        if lower == 0 || upper == 0 {
            out.push(format!("Both, the requested lower bound [{lower}] and upper bound [{upper}] for job vertex [{id}] must be greater than zero."));
        } else if lower > upper {
            out.push(format!("The requested lower bound [{lower}] for job vertex [{id}] is higher than the upper bound [{upper}]."));
        } else if upper > i64::from(vertex.max_parallelism) {
            out.push(format!("The newly requested parallelism {upper} for the job vertex {id} exceeds its maximum parallelism {}.", vertex.max_parallelism));
        }
    }
    for vertex in in_graph(job).filter(|v| !body.contains_key(&v.id)) {
        out.push(format!(
            "The request is incomplete, missing job vertex [{}] resource requirements.",
            vertex.id
        ));
    }
    out
}
