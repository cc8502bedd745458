//! `/config`, `/overview`, `DELETE /cluster` and what concerns the JobManager process itself.

use super::error::RestError;
use super::route::Call;
use super::{Answer, Reply, ok};
use crate::model::api::Mode;
use crate::model::cluster::Cluster;
use crate::model::state::JobState;
use crate::throwable::{Throwable, class};
use http::StatusCode;
use serde_json::{Value, json};

pub(super) fn config(c: &Cluster) -> Answer {
    let session = c.mode == Mode::Session;
    ok(json!({
        "refresh-interval": c.caches.refresh_interval(),
        "timezone-name": "Coordinated Universal Time",
        "timezone-offset": 0,
        "flink-version": c.version.to_string(),
        "flink-revision": c.version.revision(),
        "features": {
            "web-submit": session && c.conf.bool("web.submit.enable", true),
            "web-cancel": c.conf.bool("web.cancel.enable", true),
            "web-rescale": false,
            "web-history": false
        }
    }))
}

pub(super) fn overview(c: &Cluster) -> Answer {
    let count = |pick: fn(JobState) -> bool| c.jobs.values().filter(|j| pick(j.state)).count();
    let slots: usize = c.tms.values().map(|tm| tm.slots as usize).sum();
    let free: usize = c.tms.values().map(|tm| tm.free()).sum();
    ok(json!({
        "taskmanagers": c.tms.len(),
        "slots-total": slots,
        "slots-available": free,
        "jobs-running": count(|s| !s.is_globally_terminal()),
        "jobs-finished": count(|s| s == JobState::Finished),
        "jobs-cancelled": count(|s| s == JobState::Canceled),
        "jobs-failed": count(|s| s == JobState::Failed),
        "flink-version": c.version.to_string(),
        "flink-commit": c.version.commit()
    }))
}

pub(super) fn delete(c: &mut Cluster) -> Answer {
    c.shut_down("SUCCEEDED", 0);
    ok(json!({}))
}

pub(super) fn jobmanager_config(c: &Cluster) -> Answer {
    let entry = |key: &str, value: &str| json!({"key": key, "value": value});
    let mut list: Vec<Value> = c.conf.entries().map(|(k, v)| entry(k, &redacted(k, v))).collect();
    // Set by the process at start, so always there.
    let port = c.rest_port().to_string();
    for (key, value) in [
        ("rest.address", c.pod_ip.as_str()),
        ("jobmanager.rpc.address", &c.pod_ip),
        ("rest.port", &port),
        ("web.tmpdir", "/tmp/flink-web"),
    ] {
        if c.conf.get(key).is_none() {
            list.push(entry(key, value));
        }
    }
    ok(Value::Array(list))
}

/// `GlobalConfiguration.hideSensitiveValues`.
fn redacted(key: &str, value: &str) -> String {
    let key = key.to_ascii_lowercase();
    let sensitive = [
        "password",
        "secret",
        "fs.azure.account.key",
        "apikey",
        "api-key",
        "auth-params",
        "service-key",
        "token",
        "basic-auth",
        "jaas.config",
        "http-headers",
    ];
    if sensitive.iter().any(|s| key.contains(s)) { "******".to_owned() } else { value.to_owned() }
}

pub(super) fn environment(_c: &Cluster) -> Answer {
    ok(json!({
        "jvm": {
            "version": "OpenJDK 64-Bit Server VM - Eclipse Adoptium - 17/17.0.15+6",
            "arch": "amd64",
            "options": ["-Xmx1073741824", "-Xms1073741824", "-XX:MaxMetaspaceSize=268435456"]
        },
        "classpath": ["/opt/flink/lib/flink-dist.jar", ""]
    }))
}

const LOG: &str = "jobmanager.log";

pub(super) fn logs(c: &Cluster) -> Answer {
    let size = c.logged.iter().map(|line| line.len() + 1).sum::<usize>();
    let log = json!({"name": LOG, "size": size, "mtime": c.now});
    ok(json!({"logs": [log, {"name": "jobmanager.out", "size": 0, "mtime": c.started}]}))
}

/// The log itself, or one of the files listed.
pub(super) fn log_file(c: &Cluster, call: &Call) -> Answer {
    match call.param("filename") {
        "" | LOG => Ok(Reply::Text(c.logged.iter().flat_map(|line| [line.as_str(), "\n"]).collect())),
        "jobmanager.out" => Ok(Reply::Text(String::new())),
        _ => {
            let text = "This file does not exist in JobManager log dir.";
            Err(RestError::bare(StatusCode::NOT_FOUND, text))
        }
    }
}

pub(super) fn log_url(c: &Cluster, tm: Option<&str>) -> Answer {
    let base = format!("http://{}:{}", c.pod_ip, c.rest_port());
    let page = tm.map_or_else(|| "job-manager/logs".to_owned(), |id| format!("task-manager/{id}/logs"));
    ok(json!({"url": format!("{base}/#/{page}")}))
}

pub(super) fn thread_dump() -> Answer {
    ok(json!({"threadInfos": [{"threadName": "main", "stringifiedThreadInfo": "\"main\" Id=1 WAITING\n\n"}]}))
}

/// `rest.profiling.duration-max`.
const PROFILING_MAX_S: i64 = 300;

/// A profiler that is asked for. The model has no threads it could look at, and says so as an instance that failed.
pub(super) fn profile(c: &Cluster, call: &Call) -> Answer {
    let duration = call.body.get("duration").and_then(Value::as_i64).unwrap_or_default();
    if !(1..=PROFILING_MAX_S).contains(&duration) {
        let text = format!("`duration` must be set between (0s, {PROFILING_MAX_S}s].");
        return Err(RestError::Server(Throwable::new(class::ILLEGAL_ARGUMENT, text)));
    }
    ok(json!({
        "status": "FAILED", "mode": call.text("mode"), "triggerTime": c.now, "finishedTime": c.now, "duration": duration,
        "message": "The simulated process has no threads to be profiled.", "outputFile": null
    }))
}
