//! What is done to a server, one phase after the other: start, create, get, status patches, lists.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures::future::try_join_all;
use http::Method;

use super::client::{Connection, Endpoint, Versioned};
use super::figures::{Figures, Work};
use super::object;
use super::process::{Program, Served};
use super::turns::Turns;

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How often a server is started.
    pub starts: usize,
    pub objects: usize,
    pub connections: usize,
    pub gets: usize,
    pub patches: usize,
    pub watchers: usize,
    pub lists: usize,
}

/// The longest a watcher may take to hear of what was done.
const PATIENCE: Duration = Duration::from_secs(120);
/// What a server that was just started gets to come to rest before its memory is looked at.
const REST: Duration = Duration::from_millis(1500);

/// Starts the program as often as the plan says and puts the last one under load.
pub async fn measure(program: &Program, plan: &Plan) -> anyhow::Result<Figures> {
    let mut starts = Vec::new();
    for _ in 1..plan.starts.max(1) {
        let served = Served::start(program)?;
        starts.push(answered(&served).await?);
    }
    let served = Served::start(program)?;
    starts.push(answered(&served).await?);
    let mut figures = load(&served, plan).await?;
    figures.ready = median(starts.iter().map(|(ready, _)| *ready));
    figures.answered = median(starts.iter().map(|(_, answered)| *answered));
    Ok(figures)
}

/// From the start to the `ready` line and to the first answer.
async fn answered(served: &Served) -> anyhow::Result<(Duration, Duration)> {
    // What the client takes to get ready is left out.
    let ready = served.ready.context("it was started here")?;
    let connection = Connection::open(&served.endpoint).await?;
    let began = Instant::now();
    connection.get("/version").await?;
    Ok((ready, ready + began.elapsed()))
}

pub(super) fn median(times: impl Iterator<Item = Duration>) -> Option<Duration> {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    times.get(times.len() / 2).copied()
}

/// All phases on a server that runs. It must not have FlinkDeployments of its own.
pub async fn load(served: &Served, plan: &Plan) -> anyhow::Result<Figures> {
    tokio::time::sleep(REST).await;
    let mut figures = Figures { idle: served.memory(), ..Figures::default() };
    let connections = Connection::open_many(&served.endpoint, plan.connections).await?;
    define(&connections[0]).await?;

    figures.create = Some(
        clocked(
            served,
            plan.objects,
            many(&connections, plan.objects, async |connection, index| {
                connection.post(object::COLLECTION, &object::deployment(index)).await.map(drop)
            }),
        )
        .await?,
    );
    figures.objects = plan.objects;
    figures.loaded = served.memory();

    figures.get = Some(
        clocked(
            served,
            plan.gets,
            many(&connections, plan.gets, async |connection, index| {
                let body = connection.get(&object::path(index % plan.objects)).await?;
                ensure!(body.len() > object::BYTES, "an object of {} bytes came back", body.len());
                Ok(())
            }),
        )
        .await?,
    );
    figures.status = Some(patch(served, &connections, plan, 0).await?);
    figures.watchers = plan.watchers;
    figures.watched = Some(patch(served, &connections, plan, plan.watchers).await?);
    figures.list = Some(list(served, &connections[0], plan).await?);
    Ok(figures)
}

/// Both servers do the same in turn, pair by pair; neither must have FlinkDeployments of its own.
pub async fn in_turn(ours: &Served, real: &Served, plan: &Plan, pairs: usize) -> anyhow::Result<Turns> {
    let open = async |served: &Served| {
        let connections = Connection::open_many(&served.endpoint, plan.connections).await?;
        define(&connections[0]).await?;
        Ok::<_, anyhow::Error>(connections)
    };
    let (own, others) = (open(ours).await?, open(real).await?);
    let mut turns = Turns::default();
    let each = (plan.objects / pairs).max(1);
    for pair in 0..pairs {
        let create = async |served: &Served, connections: &[Connection]| {
            let work = many(connections, each, async |connection, index| {
                let object = object::deployment(pair * each + index);
                connection.post(object::COLLECTION, &object).await.map(drop)
            });
            clocked(served, each, work).await
        };
        turns.take("create", pair, create(ours, &own), create(real, &others)).await?;
    }
    let plan = Plan { objects: each * pairs, ..*plan };
    for pair in 0..pairs {
        let get = async |served: &Served, connections: &[Connection]| {
            let work = many(connections, plan.gets, async |connection, index| {
                connection.get(&object::path(index % plan.objects)).await.map(drop)
            });
            clocked(served, plan.gets, work).await
        };
        turns.take("get", pair, get(ours, &own), get(real, &others)).await?;
        let plan = Plan { lists: 1, ..plan };
        let (a, b) = (patch(ours, &own, &plan, 0), patch(real, &others, &plan, 0));
        turns.take("status merge patch", pair, a, b).await?;
        let (a, b) = (list(ours, &own[0], &plan), list(real, &others[0], &plan));
        turns.take("list", pair, a, b).await?;
    }
    Ok(turns)
}

/// The CRD, and the wait until its resources are served.
async fn define(connection: &Connection) -> anyhow::Result<()> {
    let (code, body) = connection
        .send(Method::POST, object::DEFINITIONS, "application/yaml", object::DEFINITION.into())
        .await?;
    ensure!(matches!(code, 201 | 409), "the CRD was answered {code}: {}", String::from_utf8_lossy(&body));
    let deadline = Instant::now() + PATIENCE;
    while connection.send(Method::GET, object::COLLECTION, "", Vec::new()).await?.0 != 200 {
        ensure!(Instant::now() < deadline, "FlinkDeployments are not served");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// `count` operations, spread over the connections, each of which makes one at a time.
pub(super) async fn many(
    connections: &[Connection],
    count: usize,
    operation: impl AsyncFn(&Connection, usize) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let next = AtomicUsize::new(0);
    let worker = async |connection: &Connection| {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return Ok::<(), anyhow::Error>(());
            }
            operation(connection, index).await?;
        }
    };
    try_join_all(connections.iter().map(worker)).await.map(drop)
}

/// Time and the server's CPU time of some work.
pub(super) async fn clocked(
    served: &Served,
    count: usize,
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Work> {
    let (began, cpu) = (Instant::now(), served.cpu());
    work.await?;
    let real = began.elapsed();
    let cpu = served.cpu().zip(cpu).map(|(now, then)| now.saturating_sub(then));
    Ok(Work { count, real, cpu })
}

/// Status patches, of each object in turn. Every watcher hears of every one, in order, or the measurement fails; the time
/// it takes until the last has heard counts.
async fn patch(
    served: &Served,
    connections: &[Connection],
    plan: &Plan,
    watchers: usize,
) -> anyhow::Result<Work> {
    let list = connections[0].get(&format!("{}?limit=1", object::COLLECTION)).await?;
    let from = Versioned::read(&list)?.text().to_owned();
    let mut listening = Vec::new();
    for _ in 0..watchers {
        listening.push(tokio::spawn(hear(served.endpoint.clone(), from.clone(), plan.patches)));
    }
    if watchers > 0 {
        // What is written before a watch is there would be sent at once, as one chunk.
        tokio::time::sleep(REST).await;
    }
    let written = Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
    let work = clocked(served, plan.patches, async {
        many(connections, plan.patches, async |connection, index| {
            let path = format!("{}/status", object::path(index % plan.objects));
            let answer = connection.merge(&path, &object::status(plan.patches * watchers + index)).await?;
            let version = Versioned::read(&answer)?.version()?;
            written.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(version);
            Ok(())
        })
        .await?;
        for watcher in listening {
            let versions = watcher.await.context("a watcher panicked")??;
            heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(versions);
        }
        Ok(())
    })
    .await?;
    let mut written = std::mem::take(&mut *written.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    written.sort_unstable();
    let heard = std::mem::take(&mut *heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    ensure!(heard.len() == watchers, "{} of {watchers} watchers answered", heard.len());
    for (index, versions) in heard.iter().enumerate() {
        ensure!(*versions == written, "watcher {index} did not hear of every change, in order");
    }
    Ok(work)
}

async fn hear(endpoint: Endpoint, from: String, count: usize) -> anyhow::Result<Vec<u64>> {
    let connection = Connection::open(&endpoint).await?;
    let heard = tokio::time::timeout(PATIENCE, connection.hear(object::COLLECTION, &from, count)).await;
    heard.context("a watcher waited too long")?
}

/// Lists of everything; that each holds all is looked at outside the time.
async fn list(served: &Served, connection: &Connection, plan: &Plan) -> anyhow::Result<Work> {
    let mut bodies = Vec::new();
    let work = clocked(served, plan.lists, async {
        for _ in 0..plan.lists {
            bodies.push(connection.get(object::ALL).await?);
        }
        Ok(())
    })
    .await?;
    for body in bodies {
        let list: Items = serde_json::from_slice(&body).context("read a list")?;
        ensure!(list.items.len() == plan.objects, "a list of {} objects", list.items.len());
    }
    Ok(work)
}

#[derive(serde::Deserialize)]
struct Items {
    items: Vec<serde::de::IgnoredAny>,
}
