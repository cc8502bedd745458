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

/// Jobs that run; a session cluster of the comparison has four slots.
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
    /// Question by question, in the order of [`QUESTIONS`].
    pub asked: Vec<Work>,
}

/// What is asked; `{job}` is one of the jobs.
pub const QUESTIONS: [&str; 4] =
    ["/jobs/overview", "/jobs/{job}", "/jobs/{job}/checkpoints", "/taskmanagers"];

/// Starts ours as often as it takes for a median, and asks the last one.
pub async fn ours(binary: PathBuf, jar: &[u8], plan: &Plan) -> anyhow::Result<Figures> {
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let served = start(binary.clone())?;
        let ready = served.ready.context("it was started here")?;
        // What the client takes to get ready is left out.
        let connection = Connection::open(&served.endpoint).await?;
        let began = Instant::now();
        connection.get("/overview").await?;
        starts.push((ready, ready + began.elapsed()));
    }
    let served = start(binary.clone())?;
    let mut figures = load(&served, jar, plan).await?;
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
pub async fn load(served: &Served, jar: &[u8], plan: &Plan) -> anyhow::Result<Figures> {
    let connections = Connection::open_many(&served.endpoint, plan.connections).await?;
    let jobs = run_jobs(&connections[0], jar).await?;
    let mut asked = Vec::new();
    for question in QUESTIONS {
        ask(&connections, question, &jobs, plan.warm_up).await?;
        let work = clocked(served, plan.requests, ask(&connections, question, &jobs, plan.requests)).await?;
        asked.push(work);
    }
    Ok(Figures { memory: served.memory(), asked, ..Figures::default() })
}

/// Both are asked the same questions in turn, pair by pair.
pub async fn in_turn(
    ours: &Served,
    real: &Served,
    jar: &[u8],
    plan: &Plan,
    pairs: usize,
) -> anyhow::Result<Turns> {
    let open = async |served: &Served| {
        let connections = Connection::open_many(&served.endpoint, plan.connections).await?;
        let jobs = run_jobs(&connections[0], jar).await?;
        for question in QUESTIONS {
            ask(&connections, question, &jobs, plan.warm_up).await?;
        }
        Ok::<_, anyhow::Error>((connections, jobs))
    };
    let (own, others) = (open(ours).await?, open(real).await?);
    let mut turns = Turns::default();
    for pair in 0..pairs {
        for question in QUESTIONS {
            let sample = async |served: &Served, (connections, jobs): &(Vec<Connection>, Vec<String>)| {
                clocked(served, plan.requests, ask(connections, question, jobs, plan.requests)).await
            };
            let name = format!("GET {question}");
            turns.take(&name, pair, sample(ours, &own), sample(real, &others)).await?;
        }
    }
    Ok(turns)
}

/// A session cluster of ours.
pub fn start(binary: PathBuf) -> anyhow::Result<Served> {
    let arguments = ["--flink", "1.20", "--session", "--listen", "127.0.0.1:0"].map(str::to_owned);
    Served::start(&Program::Flink { binary, arguments: arguments.to_vec() })
}

async fn ask(
    connections: &[Connection],
    question: &str,
    jobs: &[String],
    count: usize,
) -> anyhow::Result<()> {
    many(connections, count, async |connection, index| {
        let job = &jobs[index % jobs.len()];
        let body = connection.get(&question.replace("{job}", job)).await?;
        ensure!(body.len() > 100, "{question} was answered with {} bytes", body.len());
        Ok(())
    })
    .await
}

/// Uploads the jar and waits until its jobs run.
async fn run_jobs(connection: &Connection, jar: &[u8]) -> anyhow::Result<Vec<String>> {
    let head = "--b\r\nContent-Disposition: form-data; name=\"jarfile\"; filename=\"Job.jar\"\r\n\
                Content-Type: application/x-java-archive\r\n\r\n";
    let form = [head.as_bytes(), jar, b"\r\n--b--\r\n"].concat();
    let (code, body) =
        connection.send(Method::POST, "/jars/upload", "multipart/form-data; boundary=b", form).await?;
    ensure!(code == 200, "the upload was answered {code}: {}", String::from_utf8_lossy(&body));
    let answer: Value = serde_json::from_slice(&body).context("read the answer to the upload")?;
    let file = answer["filename"].as_str().context("the upload names a file")?;
    let jar = file.rsplit('/').next().unwrap_or(file);
    let mut jobs = Vec::new();
    for _ in 0..JOBS {
        let run =
            json!({"parallelism": 1, "flinkConfiguration": {"execution.checkpointing.interval": "1 h"}});
        let answer = connection.post(&format!("/jars/{jar}/run"), &run).await?;
        let answer: Value = serde_json::from_slice(&answer).context("read the answer to the run")?;
        jobs.push(answer["jobid"].as_str().context("a run has a job")?.to_owned());
    }
    let deadline = Instant::now() + PATIENCE;
    for job in &jobs {
        while !is_running(connection, job).await? {
            ensure!(Instant::now() < deadline, "job {job} does not run");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(jobs)
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
    row(&format!("memory with {JOBS} jobs"), mb(ours.memory), mb(other.memory), "MB", "");
    row(&format!("memory of one of {HOSTED} clusters"), mb(ours.hosted), None, "MB", "1 MB");
    let micros = |figures: &Figures, at: usize| figures.asked.get(at)?.cpu_micros();
    for (at, question) in QUESTIONS.iter().enumerate() {
        let goal = if at < 2 { "30 x" } else { "" };
        row(&format!("`GET {question}`"), micros(ours, at), micros(other, at), "us CPU", goal);
    }
    text
}

fn figure(value: f64, unit: &str) -> String {
    let digits = if value < 100.0 { format!("{value:.1}") } else { grouped(value.round()) };
    format!("{digits} {unit}")
}
