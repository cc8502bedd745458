//! One cluster behind a real socket: the only file with a clock and with I/O.
//!
//! HTTP/1.1 with keep-alive, bodies bounded, connections bounded. TaskManagers come by themselves a moment after they
//! are asked for, so a served cluster runs its jobs without anybody's help.

use crate::model::api::{Effect, Event};
use crate::{Cluster, Pace, StartOptions};
use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};

const CONNECTIONS_MAX: usize = 256;
const BODY_MAX: usize = 100 << 20;
const IDLE: Duration = Duration::from_secs(120);

pub struct ServeOptions {
    pub start: StartOptions,
    /// Model seconds per real second.
    pub time_scale: f64,
    /// How long a TaskManager takes to come, in model time.
    pub task_manager_start: Duration,
    /// TaskManagers that register without being asked (standalone session): id and slots.
    pub task_managers: Vec<(String, u32)>,
    /// Where log lines go.
    pub log: fn(&str),
}

/// Serves until the process of the model exits or `shutdown` completes; gives the exit code.
pub async fn serve(
    listener: TcpListener,
    options: ServeOptions,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<i32> {
    let clock = Clock::new(options.time_scale);
    let mut start = options.start;
    start.now = clock.now();
    let (cluster, effects) = Cluster::start(start);
    let shared = Arc::new(Shared {
        state: Mutex::new(State { cluster, arriving: Vec::new(), exit: None }),
        changed: Notify::new(),
        clock,
        task_manager_start: options.task_manager_start,
        log: options.log,
    });
    shared.absorb(effects);
    for (id, slots) in options.task_managers {
        shared.lock().arriving.push((shared.clock.now(), id, slots));
    }
    tokio::pin!(shutdown);
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = tokio::task::JoinSet::new();
    let code = loop {
        if let Some(code) = shared.lock().exit {
            break code;
        }
        let wait = shared.work();
        tokio::select! {
            () = &mut shutdown => break 0,
            () = tokio::time::sleep(wait) => {}
            () = shared.changed.notified() => {}
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if shared.listens() => {
                let (stream, _) = accepted.context("accept a connection")?;
                if let Ok(permit) = permits.clone().try_acquire_owned() {
                    connections.spawn(connection(stream, shared.clone(), permit));
                }
            }
        }
    };
    // Answers under way (DELETE /cluster) still go out.
    let _unfinished = tokio::time::timeout(Duration::from_millis(200), async {
        while connections.join_next().await.is_some() {}
    })
    .await;
    Ok(code)
}

struct Shared {
    state: Mutex<State>,
    changed: Notify,
    clock: Clock,
    task_manager_start: Duration,
    log: fn(&str),
}

struct State {
    cluster: Cluster,
    /// TaskManagers on their way: when, id, slots.
    arriving: Vec<(Timestamp, String, u32)>,
    exit: Option<i32>,
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listens(&self) -> bool {
        self.lock().cluster.listens()
    }

    /// Everything due now, and how long until something is due again.
    fn work(&self) -> Duration {
        let now = self.clock.now();
        let mut effects = self.lock().cluster.step(Event::Tick, now);
        loop {
            let mut state = self.lock();
            if !state.cluster.listens() {
                break;
            }
            let Some(at) = state.arriving.iter().position(|(due, ..)| *due <= now) else { break };
            let (_, id, slots) = state.arriving.remove(at);
            effects.extend(state.cluster.step(Event::TaskManagerUp { id, slots }, now));
        }
        self.absorb(effects);
        let state = self.lock();
        let due =
            state.cluster.next_due().into_iter().chain(state.arriving.iter().map(|(due, ..)| *due)).min();
        due.map_or(Duration::from_secs(1), |due| self.clock.until(due)).min(Duration::from_secs(1))
    }

    fn absorb(&self, effects: Vec<Effect>) {
        let mut state = self.lock();
        for effect in effects {
            match effect {
                Effect::Log(line) => (self.log)(&line),
                Effect::Exit { code } => state.exit = Some(code),
                Effect::NeedTaskManagers(needed) => {
                    let due = self.clock.now().checked_add(self.task_manager_start).unwrap_or(Timestamp::MAX);
                    let slots = needed.slots_each;
                    state.arriving.extend(needed.names.into_iter().map(|name| (due, name, slots)));
                }
                Effect::WriteHa { .. }
                | Effect::DeleteHa { .. }
                | Effect::ReleaseTaskManager { .. }
                | Effect::DeleteCluster
                | Effect::Fact(_) => {}
            }
        }
    }
}

async fn connection(
    stream: tokio::net::TcpStream,
    shared: Arc<Shared>,
    _permit: tokio::sync::OwnedSemaphorePermit,
) {
    let service = service_fn(|req| answer(req, shared.clone()));
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    // A client that goes away in the middle is its own business.
    drop(served);
}

/// The answer is lost on purpose: the connection is cut.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut the connection as asked for by a fault")
    }
}

impl std::error::Error for Cut {}

async fn answer(req: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Full<Bytes>>, Cut> {
    let (parts, body) = req.into_parts();
    // Bodies of GET are read too: the real server parses them.
    let Ok(body) = Limited::new(body, BODY_MAX).collect().await else {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return Ok(response);
    };
    let req = Request::from_parts(parts, body.to_bytes());
    let (response, effects) = {
        let mut state = shared.lock();
        let now = shared.clock.now();
        state.cluster.handle(&req, now)
    };
    shared.absorb(effects);
    shared.changed.notify_one();
    match response.extensions().get::<Pace>().copied() {
        Some(Pace::Delayed(by)) => tokio::time::sleep(shared.clock.real(by)).await,
        Some(Pace::Lost) => return Err(Cut),
        None => {}
    }
    Ok(response.map(Full::new))
}

/// Real time, scaled.
struct Clock {
    origin: Timestamp,
    started: tokio::time::Instant,
    scale: f64,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the binary's clock: everything else is told the time")]
    fn new(scale: f64) -> Clock {
        let scale = if scale.is_finite() && scale > 0.0 { scale } else { 1.0 };
        Clock { origin: Timestamp::now(), started: tokio::time::Instant::now(), scale }
    }

    fn now(&self) -> Timestamp {
        let passed = self.started.elapsed().as_secs_f64() * self.scale;
        let passed = Duration::try_from_secs_f64(passed).unwrap_or_default();
        self.origin.checked_add(passed).unwrap_or(Timestamp::MAX)
    }

    fn until(&self, due: Timestamp) -> Duration {
        let left = due.duration_since(self.now());
        let left = Duration::try_from(left).unwrap_or_default();
        // The model counts whole milliseconds: a moment later it is surely due.
        self.real(left) + Duration::from_millis(1)
    }

    fn real(&self, model: Duration) -> Duration {
        model.div_f64(self.scale)
    }
}
