//! JobManagers under load: `fake-flink serve` and, where there is one, a real session cluster of the same release, asked
//! the same questions in one run.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use http::Method;
use serde_json::{Value, json};

use super::client::Connection;
use super::figures::Work;
use super::phases::{clocked, many, median};
use super::process::{Program, Served};
use super::turns::Turns;
use crate::plot::grouped;

/// Small jobs that run.
pub const JOBS: usize = 3;
/// Clusters of one process, for the memory of each.
pub const HOSTED: usize = 500;
const STARTS: usize = 11;
/// What a process that was just started gets to come to rest before its memory is looked at.
const REST: Duration = Duration::from_millis(1500);
/// The longest the jobs may take until they run.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub connections: usize,
    pub requests: usize,
    /// Requests before those that count.
    pub warm_up: usize,
}

#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub ready: Option<Duration>,
    pub answered: Option<Duration>,
    /// Bytes, with the jobs running.
    pub memory: Option<u64>,
    /// Bytes of each of [`HOSTED`] idle clusters in one process.
    pub hosted: Option<u64>,
    /// Question by question, in the order of [`QUESTIONS`]: what it cost, and the bytes of an answer.
    pub asked: Vec<(Work, usize)>,
}

/// What is asked; `{job}` is one of the small jobs, `{large}` the large one.
pub const QUESTIONS: [&str; 6] = [
    "/jobs/overview",
    "/jobs/{job}",
    "/jobs/{large}",
    "/jobs/{job}/checkpoints",
    "/jobs/{large}/checkpoints",
    "/taskmanagers",
];
/// What has a goal.
const GOALS: usize = 3;
/// Slots that all jobs take together.
pub const SLOTS: usize = JOBS + LARGE_PARALLELISM;
const LARGE_PARALLELISM: usize = 4;

/// The programs that run, as jars, and what fake-flink is told of the large one.
pub struct Programs {
    /// The conformance job: two vertices, run with one subtask each.
    pub small: Vec<u8>,
    /// `ci/real-flink/load/Orders.java`: nine vertices, run with four subtasks each.
    pub large: Vec<u8>,
    pub described: PathBuf,
}

/// What runs, by id.
struct Jobs {
    small: Vec<String>,
    large: String,
}

/// Starts ours as often as it takes for a median, and asks the last one.
pub async fn ours(binary: PathBuf, programs: &Programs, plan: &Plan) -> anyhow::Result<Figures> {
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let served = start(binary.clone(), programs)?;
        let ready = served.ready.context("it was started here")?;
        // What the client takes to get ready is left out.
        let connection = Connection::open(&served.endpoint).await?;
        let began = Instant::now();
        connection.get("/overview").await?;
        starts.push((ready, ready + began.elapsed()));
    }
    let served = start(binary.clone(), programs)?;
    let mut figures = load(&served, programs, plan).await?;
    figures.ready = median(starts.iter().map(|(ready, _)| *ready));
    figures.answered = median(starts.iter().map(|(_, answered)| *answered));
    figures.hosted = hosted(binary)?;
    Ok(figures)
}

/// Memory of one of many clusters in a process.
fn hosted(binary: PathBuf) -> anyhow::Result<Option<u64>> {
    let folder = tempfile::tempdir().context("make a folder")?;
    let file = folder.path().join("clusters.yaml");
    let text = format!("clusters:\n- {{name: c, count: {HOSTED}, flink: '1.20'}}\n");
    std::fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    let clusters = file.to_str().context("a path of text")?.to_owned();
    let arguments = vec!["--clusters".to_owned(), clusters];
    let served = Served::start(&Program::Flink { binary, arguments })?;
    std::thread::sleep(REST);
    Ok(served.memory().map(|bytes| bytes / HOSTED as u64))
}

/// A cluster that runs: the jobs are started, then it is asked.
pub async fn load(served: &Served, programs: &Programs, plan: &Plan) -> anyhow::Result<Figures> {
    let connections = Connection::open_many(&served.endpoint, plan.connections).await?;
    let jobs = run_jobs(&connections[0], programs).await?;
    let mut asked = Vec::new();
    for question in QUESTIONS {
        ask(&connections, question, &jobs, plan.warm_up).await?;
        let work = clocked(served, plan.requests, ask(&connections, question, &jobs, plan.requests)).await?;
        asked.push((work, connections[0].get(&path(question, &jobs, 0)).await?.len()));
    }
    Ok(Figures { memory: served.memory(), asked, ..Figures::default() })
}

/// Both are asked the same questions in turn, pair by pair.
pub async fn in_turn(
    ours: &Served,
    real: &Served,
    programs: &Programs,
    plan: &Plan,
    pairs: usize,
) -> anyhow::Result<Turns> {
    let open = async |served: &Served| {
        let connections = Connection::open_many(&served.endpoint, plan.connections).await?;
        let jobs = run_jobs(&connections[0], programs).await?;
        for question in QUESTIONS {
            ask(&connections, question, &jobs, plan.warm_up).await?;
        }
        Ok::<_, anyhow::Error>((connections, jobs))
    };
    let (own, others) = (open(ours).await?, open(real).await?);
    let mut turns = Turns::default();
    for pair in 0..pairs {
        for question in QUESTIONS {
            let sample = async |served: &Served, (connections, jobs): &(Vec<Connection>, Jobs)| {
                clocked(served, plan.requests, ask(connections, question, jobs, plan.requests)).await
            };
            let name = format!("GET {question}");
            turns.take(&name, pair, sample(ours, &own), sample(real, &others)).await?;
        }
    }
    Ok(turns)
}

/// A session cluster of ours.
pub fn start(binary: PathBuf, programs: &Programs) -> anyhow::Result<Served> {
    let slots = format!("taskmanager.numberOfTaskSlots={SLOTS}");
    let described = programs.described.to_str().context("a path of text")?;
    let arguments = ["--flink", "1.20", "--session", "--listen", "127.0.0.1:0", "--config", &slots];
    let arguments = arguments.into_iter().chain(["--job", described]).map(str::to_owned).collect();
    Served::start(&Program::Flink { binary, arguments })
}

async fn ask(connections: &[Connection], question: &str, jobs: &Jobs, count: usize) -> anyhow::Result<()> {
    many(connections, count, async |connection, index| {
        let body = connection.get(&path(question, jobs, index)).await?;
        ensure!(body.len() > 100, "{question} was answered with {} bytes", body.len());
        Ok(())
    })
    .await
}

fn path(question: &str, jobs: &Jobs, index: usize) -> String {
    question.replace("{job}", &jobs.small[index % jobs.small.len()]).replace("{large}", &jobs.large)
}

/// Starts all jobs and waits until they run.
async fn run_jobs(connection: &Connection, programs: &Programs) -> anyhow::Result<Jobs> {
    let (small, large) =
        (upload(connection, &programs.small).await?, upload(connection, &programs.large).await?);
    let mut jobs = Jobs { small: Vec::new(), large: run(connection, &large, LARGE_PARALLELISM).await? };
    for _ in 0..JOBS {
        jobs.small.push(run(connection, &small, 1).await?);
    }
    let deadline = Instant::now() + PATIENCE;
    for job in jobs.small.iter().chain([&jobs.large]) {
        while !is_running(connection, job).await? {
            ensure!(Instant::now() < deadline, "job {job} does not run");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(jobs)
}

/// The id of the jar.
async fn upload(connection: &Connection, jar: &[u8]) -> anyhow::Result<String> {
    let head = "--b\r\nContent-Disposition: form-data; name=\"jarfile\"; filename=\"Job.jar\"\r\n\
                Content-Type: application/x-java-archive\r\n\r\n";
    let form = [head.as_bytes(), jar, b"\r\n--b--\r\n"].concat();
    let (code, body) =
        connection.send(Method::POST, "/jars/upload", "multipart/form-data; boundary=b", form).await?;
    ensure!(code == 200, "the upload was answered {code}: {}", String::from_utf8_lossy(&body));
    let answer: Value = serde_json::from_slice(&body).context("read the answer to the upload")?;
    let file = answer["filename"].as_str().context("the upload names a file")?;
    Ok(file.rsplit('/').next().unwrap_or(file).to_owned())
}

/// The id of the job.
async fn run(connection: &Connection, jar: &str, parallelism: usize) -> anyhow::Result<String> {
    let run = json!({
        "parallelism": parallelism, "flinkConfiguration": {"execution.checkpointing.interval": "1 h"}
    });
    let answer = connection.post(&format!("/jars/{jar}/run"), &run).await?;
    let answer: Value = serde_json::from_slice(&answer).context("read the answer to the run")?;
    Ok(answer["jobid"].as_str().context("a run has a job")?.to_owned())
}

async fn is_running(connection: &Connection, job: &str) -> anyhow::Result<bool> {
    let body = connection.get(&format!("/jobs/{job}")).await?;
    let details: Value = serde_json::from_slice(&body).context("read a job")?;
    let vertices = details["vertices"].as_array().context("a job has vertices")?;
    Ok(details["state"] == "RUNNING" && vertices.iter().all(|vertex| vertex["status"] == "RUNNING"))
}

/// A table of ours, the real one where it was measured, and the goals.
pub fn side_by_side(ours: &Figures, real: Option<&Figures>) -> String {
    let none = Figures::default();
    let other = real.unwrap_or(&none);
    let mut text =
        "| | fake-flink | real JobManager | ratio | goal |\n|---|---:|---:|---:|---:|\n".to_owned();
    let mut row = |what: &str, ours: Option<f64>, other: Option<f64>, unit: &str, goal: &str| {
        let shown = |value: Option<f64>| value.map_or("-".to_owned(), |v| figure(v, unit));
        let ratio = match (ours, other) {
            (Some(ours), Some(other)) if ours > 0.0 => format!("{:.1} x", other / ours),
            _ => "-".to_owned(),
        };
        text += &format!("| {what} | {} | {} | {ratio} | {goal} |\n", shown(ours), shown(other));
    };
    let ms = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1e3);
    let mb = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64 / 1e6);
    row("start to `ready`", ms(ours.ready), ms(other.ready), "ms", "");
    row("start to the first answer", ms(ours.answered), ms(other.answered), "ms", "5 ms");
    row(&format!("memory with {} jobs", JOBS + 1), mb(ours.memory), mb(other.memory), "MB", "");
    row(&format!("memory of one of {HOSTED} clusters"), mb(ours.hosted), None, "MB", "1 MB");
    let micros = |figures: &Figures, at: usize| figures.asked.get(at)?.0.cpu_micros();
    for (at, question) in QUESTIONS.iter().enumerate() {
        let goal = if at < GOALS { "30 x" } else { "" };
        row(&format!("`GET {question}`"), micros(ours, at), micros(other, at), "us CPU", goal);
    }
    let kilobytes =
        |figures: &Figures, at: usize| figures.asked.get(at).map(|(_, bytes)| *bytes as f64 / 1e3);
    for at in [1, 2] {
        let what = format!("answer to `GET {}`", QUESTIONS[at]);
        row(&what, kilobytes(ours, at), kilobytes(other, at), "kB", "");
    }
    text
}

fn figure(value: f64, unit: &str) -> String {
    let digits = if value < 100.0 { format!("{value:.1}") } else { grouped(value.round()) };
    format!("{digits} {unit}")
}
