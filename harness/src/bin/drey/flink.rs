//! `drey flink`: shows fake Flink clusters that run, breaks them in the words of scenario files, and puts stubs in front of
//! their REST API. The other end is the control endpoint of `fake-flink serve --control` or `drey play --control`
//! (docs/fake-flink.md), which checks what is said.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use http::Method;
use serde_json::{Value, json};

use crate::endpoint::{call, form, from_file, show, text};

/// Look at, break and stub the Flink clusters of a running `drey play --control` or `fake-flink serve --control`.
///
/// A fault is written as in a scenario file below `fault:`, as YAML or JSON; the cluster's name comes before it.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    /// The control endpoint of Flink. Default: $DREY_FLINK.
    #[arg(long, value_name = "URL", global = true)]
    server: Option<String>,
    /// Print the answers as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    word: Word,
}

const EXAMPLES: &str = "\
Examples:
  drey flink list                                             clusters, their addresses and jobs
  drey flink fault default/app 'job: {set: FAILED, cause: out of tape}'
  drey flink fault default/app 'checkpoint: {stall: true}'
  drey flink fault default/app 'savepoint: {next: hang}'
  drey flink fault default/app 'jobmanager: {rest: {path: /jobs, slow: 20s, times: 3}}'
  drey flink fault default/app 'taskmanagers: {do: lose}'
  drey flink fault default/app 'store: {corrupt: savepoint-}'
  drey flink stub default/app 'match: {path: /config}' 'answer: {status: 503}' 'times: 2'
  drey flink stubs default/app
  drey flink unstub default/app s1                            or --all

Exit codes: 0 done; 2 not done: the command line, no endpoint, or the server refused.";

#[derive(clap::Subcommand)]
enum Word {
    /// Show the clusters: where they are, what their jobs do.
    List,
    /// Show one cluster in full, as JSON.
    Show { cluster: String },
    /// Carry out a fault: `job`, `jobmanager`, `savepoint`, `checkpoint`, `taskmanagers` or `store`.
    Fault {
        cluster: String,
        /// YAML or JSON, as in scenario files.
        fault: String,
    },
    /// Answer one kind of request instead of the model.
    Stub {
        cluster: String,
        /// Members in YAML or JSON: `match: {..}`, `answer: {..}`, `times: N`, `skip: N`, `for: TIME`, `name: TEXT`.
        #[arg(required_unless_present = "file")]
        members: Vec<String>,
        /// Read it from a file, `-` for standard input.
        #[arg(long, short, value_name = "FILE", conflicts_with = "members")]
        file: Option<PathBuf>,
    },
    /// Show the stubs of a cluster and how often each struck.
    Stubs { cluster: String },
    /// Remove a stub, by id or name.
    Unstub {
        cluster: String,
        #[arg(required_unless_present = "all")]
        stub: Option<String>,
        #[arg(long, conflicts_with = "stub")]
        all: bool,
    },
}

const VARIABLE: &str = "DREY_FLINK";

pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let server = server(arguments.server.as_deref())?;
    let ask = |method: Method, path: &str, body: Option<Value>| call(&server, method, path, body);
    let of = |cluster: &str| format!("/v1/clusters/{}", form(cluster));
    let (value, text) = match &arguments.word {
        Word::List => {
            let answer = ask(Method::GET, "/v1/clusters", None)?;
            let lines: Vec<String> =
                answer["clusters"].as_array().into_iter().flatten().map(line_of_cluster).collect();
            let text = if lines.is_empty() { "no clusters".to_owned() } else { lines.join("\n") };
            (answer, text)
        }
        Word::Show { cluster } => {
            let answer = ask(Method::GET, &of(cluster), None)?;
            let text = format!("{answer:#}");
            (answer, text)
        }
        Word::Fault { cluster, fault } => {
            let fault = tree(fault)?;
            let answer = ask(Method::POST, &format!("{}/faults", of(cluster)), Some(fault))?;
            let text = text(&answer["done"]).to_owned();
            (answer, text)
        }
        Word::Stub { cluster, members, file } => {
            let stub = match file {
                Some(file) => from_file(file)?,
                None => tree(&members.join("\n"))?,
            };
            let answer = ask(Method::POST, &format!("{}/stubs", of(cluster)), Some(stub))?;
            let text = format!("added {}", line_of_stub(&answer));
            (answer, text)
        }
        Word::Stubs { cluster } => {
            let answer = ask(Method::GET, &format!("{}/stubs", of(cluster)), None)?;
            let lines: Vec<String> =
                answer["stubs"].as_array().into_iter().flatten().map(line_of_stub).collect();
            let text = if lines.is_empty() { "no stubs".to_owned() } else { lines.join("\n") };
            (answer, text)
        }
        Word::Unstub { cluster, stub, .. } => {
            let path = match stub {
                Some(stub) => format!("{}/stubs/{}", of(cluster), form(stub)),
                None => format!("{}/stubs", of(cluster)),
            };
            let answer = ask(Method::DELETE, &path, None)?;
            let text = match answer["removed"].as_u64() {
                Some(count) => format!("removed {count} stubs"),
                None => format!("removed {}", line_of_stub(&answer)),
            };
            (answer, text)
        }
    };
    show(arguments.json, &value, &text)?;
    Ok(0)
}

fn server(given: Option<&str>) -> anyhow::Result<String> {
    let from_environment = || std::env::var(VARIABLE).ok().filter(|url| !url.is_empty());
    let url = given.map(str::to_owned).or_else(from_environment).with_context(|| {
        format!(
            "find the control endpoint of Flink: no --server and no {VARIABLE}\nnext: start `drey play --control` or \
             `fake-flink serve --control 127.0.0.1:0`, which tell it, and set {VARIABLE}=URL"
        )
    })?;
    let url = if url.contains("://") { url } else { format!("http://{url}") };
    Ok(url.trim_end_matches('/').to_owned())
}

/// YAML, and with it JSON.
fn tree(text: &str) -> anyhow::Result<Value> {
    let tree: Value = serde_saphyr::from_str(text).with_context(|| format!("read {text:?} as YAML"))?;
    ensure!(tree.is_object(), "read {text:?}: expected `word: {{..}}`, as in a scenario file");
    Ok(tree)
}

/// `orders http://127.0.0.1:8081 1.20.3 Leading: WordCount RUNNING, 2 TaskManagers`.
fn line_of_cluster(cluster: &Value) -> String {
    let job = |job: &Value| format!("{} {}", text(&job["name"]), text(&job["state"]));
    let jobs: Vec<String> = cluster["jobs"].as_array().into_iter().flatten().map(job).collect();
    let jobs = if jobs.is_empty() { "no jobs".to_owned() } else { jobs.join(", ") };
    let task_managers = cluster["taskManagers"].as_object().map_or(0, serde_json::Map::len);
    format!(
        "{} {} {} {}: {jobs}, {task_managers} TaskManagers",
        text(&cluster["name"]),
        text(&cluster["url"]),
        text(&cluster["flink"]),
        text(&cluster["phase"])
    )
}

/// `s1 busy [struck 2 of 5] {..} -> {..}`.
fn line_of_stub(stub: &Value) -> String {
    let name = stub["name"].as_str().map(|name| format!(" {name}")).unwrap_or_default();
    let empty = json!({});
    let matches = if stub["match"].is_object() { &stub["match"] } else { &empty };
    format!(
        "{}{name} [struck {} of {}] {matches} -> {}",
        text(&stub["id"]),
        stub["hits"],
        stub["seen"],
        stub["answer"]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_written_as_in_scenarios() {
        assert_eq!(tree("checkpoint: {stall: true}").unwrap(), json!({"checkpoint": {"stall": true}}));
        assert_eq!(tree("{\"job\": {\"set\": \"FAILED\"}}").unwrap(), json!({"job": {"set": "FAILED"}}));
        assert_eq!(
            tree("match: {path: /a}\ntimes: 2").unwrap(),
            json!({"match": {"path": "/a"}, "times": 2})
        );
        assert!(tree("hang").is_err() && tree("a: [").is_err());
    }

    #[test]
    fn clusters_and_stubs_in_a_line() {
        let cluster = json!({"name": "a", "url": "http://x", "flink": "1.20.3", "phase": "Leading",
            "jobs": [{"name": "j", "state": "RUNNING"}], "taskManagers": {"t": 1}});
        assert_eq!(line_of_cluster(&cluster), "a http://x 1.20.3 Leading: j RUNNING, 1 TaskManagers");
        let stub = json!({"id": "s1", "answer": {"status": 503}, "hits": 1, "seen": 2});
        assert_eq!(line_of_stub(&stub), "s1 [struck 1 of 2] {} -> {\"status\":503}");
    }
}
