//! The API server in this process, without sockets: small objects created and watched, FlinkDeployments applied, and
//! what a write costs beside how many objects and watchers.
//!
//! CPU time is that of this thread, which does the client's part too: bodies are made before the clock starts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use fake_kube_apiserver::{ApiBody, ApiServer, ManualClock, Options, PatchKind, Resource, User};
use futures::FutureExt;
use http::Request;
use http_body::Body;
use http_body_util::Full;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::figures::{Row, Work};
use super::object;

/// How much of it; [`Sizes::tiny`] is for tests.
#[derive(Clone, Debug)]
pub struct Sizes {
    pub creates: usize,
    pub applies: usize,
    pub writes: usize,
    pub objects: Vec<usize>,
    pub watchers: usize,
    pub strangers: usize,
}

impl Sizes {
    pub fn usual() -> Sizes {
        Sizes {
            creates: 100_000,
            applies: 20_000,
            writes: 10_000,
            objects: vec![100, 10_000, 100_000],
            watchers: 8,
            strangers: 1_000,
        }
    }

    pub fn tiny() -> Sizes {
        Sizes { creates: 50, applies: 20, writes: 20, objects: vec![10, 30], watchers: 2, strangers: 8 }
    }
}

/// Watchers of a row of the table.
pub const NOBODY: &str = "none";
pub const INTERESTED: &str = "8 of the namespace";
pub const STRANGERS: &str = "1,000 of other things";

pub fn server() -> anyhow::Result<ApiServer> {
    let start = "2026-01-01T00:00:00Z".parse().context("the start of time")?;
    Ok(ApiServer::new(Options::new(Arc::new(ManualClock::new(start)))))
}

/// All rows, and a checksum of the work: the sum of what was read.
pub fn measure(sizes: &Sizes) -> anyhow::Result<(Vec<Row>, u64)> {
    let mut rows = Vec::new();
    let mut checksum = 0;
    for count in [sizes.creates.min(1_000), sizes.creates] {
        // The first round is for the caches.
        let (row, sum) = create_and_watch(count)?;
        rows = vec![row];
        checksum = sum;
    }
    let (row, sum) = apply(sizes.applies)?;
    rows.push(row);
    checksum += sum;
    for objects in &sizes.objects {
        for (watchers, interested, strangers) in
            [(NOBODY, 0, 0), (INTERESTED, sizes.watchers, 0), (STRANGERS, 0, sizes.strangers)]
        {
            let (row, sum) = update(sizes, *objects, watchers, interested, strangers)?;
            rows.push(row);
            checksum += sum;
        }
    }
    Ok((rows, checksum))
}

/// A request through the HTTP face; everything in it is there at once, and so is the answer.
pub fn send(api: &ApiServer, method: &str, path: &str, media: &str, body: Bytes) -> anyhow::Result<ApiBody> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", media)
        .body(Full::new(body))
        .context("make a request")?;
    let answer = api.service(User::admin()).oneshot(request).now_or_never().context("an answer at once")?;
    let answer = answer.context("the connection was cut")?;
    ensure!(answer.status().is_success(), "{method} {path} was answered {}", answer.status());
    Ok(answer.into_body())
}

/// A watch that is read when somebody wakes it.
pub struct Watcher {
    body: ApiBody,
    woken: Arc<Woken>,
    waker: Waker,
    pub events: usize,
    pub bytes: usize,
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Watcher {
    pub fn open(api: &ApiServer, collection: &str, selector: &str) -> anyhow::Result<Watcher> {
        let path = format!("{collection}?watch=true&resourceVersion={}{selector}", api.revision());
        let body = send(api, "GET", &path, "", Bytes::new())?;
        let woken = Arc::new(Woken::default());
        let mut watcher = Watcher { body, waker: woken.clone().into(), woken, events: 0, bytes: 0 };
        watcher.read()?;
        Ok(watcher)
    }

    /// Reads what there is if it was woken, as an executor does. Answers whether it was.
    pub fn run(&mut self) -> anyhow::Result<bool> {
        let was_woken = self.woken.0.swap(0, Ordering::Relaxed) > 0;
        if was_woken {
            self.read()?;
        }
        Ok(was_woken)
    }

    fn read(&mut self) -> anyhow::Result<()> {
        let mut cx = Context::from_waker(&self.waker);
        while let Poll::Ready(frame) = std::pin::Pin::new(&mut self.body).poll_frame(&mut cx) {
            let frame = frame.context("the watch ended")?.context("the watch was cut")?;
            let data = frame.into_data().unwrap_or_default();
            self.events += data.iter().filter(|byte| **byte == b'\n').count();
            self.bytes += data.len();
        }
        Ok(())
    }
}

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

pub fn config_map(index: usize) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("map-{index:06}")},
        "data": {"key": "value"}})
}

/// Runs `work` and takes the time of it.
fn clocked(count: usize, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Work> {
    let (began, cpu) = (Instant::now(), crate::speed::cpu_time());
    work()?;
    let cpu = crate::speed::cpu_time().zip(cpu).map(|(now, then)| now.saturating_sub(then));
    Ok(Work { count, real: began.elapsed(), cpu })
}

/// Small objects through the synchronous client; one watcher reads each before the next is made.
fn create_and_watch(count: usize) -> anyhow::Result<(Row, u64)> {
    let api = server()?;
    let (client, resource) = (api.client("bench"), Resource::core("configmaps"));
    let mut watcher = Watcher::open(&api, CONFIG_MAPS, "")?;
    let objects: Vec<Value> = (0..count).map(config_map).collect();
    let mut woken = 0;
    let work = clocked(count, || {
        for object in objects {
            client.create(&resource, "default", object).map_err(refused)?;
            woken += usize::from(watcher.run()?);
        }
        Ok(())
    })?;
    ensure!(watcher.events == count, "the watcher heard of {} of {count}", watcher.events);
    let what = "create of a ConfigMap, watched".to_owned();
    Ok((Row { what, objects: count, watchers: "1 of the namespace", work, woken }, watcher.bytes as u64))
}

/// Server-side applies of one FlinkDeployment through the HTTP face, which change its parallelism each time.
fn apply(count: usize) -> anyhow::Result<(Row, u64)> {
    let api = server()?;
    define(&api)?;
    let path = format!("{}?fieldManager=bench", object::path(0));
    let bodies: Vec<Bytes> = (0..2)
        .map(|round| {
            let mut object = object::deployment(0);
            object["spec"]["job"]["parallelism"] = json!(round + 1);
            Bytes::from(object.to_string())
        })
        .collect();
    let once = |round: usize| {
        let body = bodies[round % 2].clone();
        send(&api, "PATCH", &path, "application/apply-patch+yaml", body).map(|body| read(body).len())
    };
    once(1)?;
    let mut bytes = 0;
    let work = clocked(count, || {
        for round in 0..count {
            bytes += once(round)?;
        }
        Ok(())
    })?;
    ensure!(api.revision() > count as u64, "each apply was to change something");
    let what = "server-side apply of a FlinkDeployment of 2.7 kB".to_owned();
    Ok((Row { what, objects: 1, watchers: NOBODY, work, woken: 0 }, bytes as u64))
}

pub fn define(api: &ApiServer) -> anyhow::Result<()> {
    send(
        api,
        "POST",
        object::DEFINITIONS,
        "application/yaml",
        Bytes::from_static(object::DEFINITION.as_bytes()),
    )
    .map(drop)
}

/// All of a body that is there already.
pub fn read(mut body: ApiBody) -> Bytes {
    let mut cx = Context::from_waker(Waker::noop());
    match std::pin::Pin::new(&mut body).poll_frame(&mut cx) {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        _ => Bytes::new(),
    }
}

/// Merge patches of one after the other of many objects, with watchers of their namespace, and with others.
fn update(
    sizes: &Sizes,
    objects: usize,
    watchers: &'static str,
    interested: usize,
    strangers: usize,
) -> anyhow::Result<(Row, u64)> {
    let api = server()?;
    let (client, resource) = (api.client("bench"), Resource::core("configmaps"));
    for index in 0..objects {
        client.create(&resource, "default", config_map(index)).map_err(refused)?;
    }
    let mut listening = Vec::new();
    for _ in 0..interested {
        listening.push(Watcher::open(&api, CONFIG_MAPS, "")?);
    }
    for index in 0..strangers {
        let other = format!("&labelSelector=app%3Dother-{index}");
        let (collection, selector) = match index % 4 {
            0 => ("/api/v1/namespaces/kube-system/configmaps", ""),
            1 => ("/api/v1/namespaces/default/secrets", ""),
            2 => (CONFIG_MAPS, "&fieldSelector=metadata.name%3Dnobody"),
            _ => (CONFIG_MAPS, other.as_str()),
        };
        listening.push(Watcher::open(&api, collection, selector)?);
    }
    let names: Vec<String> = (0..sizes.writes).map(|i| format!("map-{:06}", i * 7919 % objects)).collect();
    let bodies: Vec<Value> = (0..sizes.writes).map(|i| json!({"data": {"key": i.to_string()}})).collect();
    let mut woken = 0;
    let work = clocked(sizes.writes, || {
        for (name, body) in names.iter().zip(&bodies) {
            client.patch(&resource, "default", name, "", PatchKind::Merge, body).map_err(refused)?;
            for watcher in &mut listening {
                woken += usize::from(watcher.run()?);
            }
        }
        Ok(())
    })?;
    let heard: usize = listening.iter().map(|watcher| watcher.events).sum();
    ensure!(heard == interested * sizes.writes, "{heard} events were heard");
    let bytes: usize = listening.iter().map(|watcher| watcher.bytes).sum();
    Ok((Row { what: "merge patch of a ConfigMap".to_owned(), objects, watchers, work, woken }, bytes as u64))
}

fn refused(status: fake_kube_apiserver::Status) -> anyhow::Error {
    anyhow::anyhow!("a write was refused: {}", status.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_runs_small() {
        let (rows, checksum) = measure(&Sizes::tiny()).expect("everything is measured");
        assert_eq!(rows.len(), 2 + 2 * 3);
        assert_eq!(measure(&Sizes::tiny()).expect("again").1, checksum);
    }

    #[test]
    fn those_who_watch_other_things_are_not_woken() {
        let sizes = Sizes::tiny();
        let (row, _) = update(&sizes, 10, STRANGERS, 0, 8).expect("written");
        assert_eq!(row.woken, 0);
        let (row, _) = update(&sizes, 10, INTERESTED, 2, 0).expect("written");
        assert_eq!(row.woken, 2 * sizes.writes);
    }
}
