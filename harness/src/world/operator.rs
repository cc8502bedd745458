//! The operator under test, in this process: started, crashed at an exact request, paused, joined by a second one.
//!
//! A crash drops the operator's future between two instructions and never delivers another answer to it. What it
//! knew is gone; the next start begins from what the API server holds.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use drey_language::events::{Kind, Lane};
use drey_operator::{Deps, FlinkTransport, LeaseConfig, Lifecycle, Pass, PassObserver};
use fake_kube_apiserver::{ApiServer, User};
use futures::future::BoxFuture;
use kube::client::ClientBuilder;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tower::{Layer, Service};

use super::clock::{OperatorClock, ScenarioClock};
use super::gate::OPERATOR_USER;
use super::journal::Journal;

/// How to make an operator; the same for every start.
#[derive(Clone)]
pub struct Blueprint {
    pub api: ApiAccess,
    pub flink: Arc<dyn FlinkTransport>,
    pub clock: ScenarioClock,
    pub journal: Journal,
    pub config: drey_blueprint::config::OperatorConfig,
    pub observer: Arc<dyn PassObserver>,
    pub leader_election: Option<LeaseConfig>,
    /// Resources looked at at the same time; 1 in virtual time.
    pub concurrency: u16,
}

/// The operator's way to the API server.
#[derive(Clone)]
pub enum ApiAccess {
    /// Straight into the simulated server, as the operator's service account.
    InMemory(ApiServer),
    /// Over sockets, as the configuration says. A client was made from it before: it is known to be usable.
    Sockets(Box<kube::Config>),
}

impl ApiAccess {
    fn client(&self, life: &Arc<Life>) -> kube::Client {
        let connection = ConnectionLayer { life: life.clone() };
        match self {
            ApiAccess::InMemory(api) => {
                let user = User::new(OPERATOR_USER, &["system:serviceaccounts"]);
                kube::Client::new(connection.layer(api.service(user)), "default")
            }
            ApiAccess::Sockets(config) => {
                let builder = ClientBuilder::try_from(config.as_ref().clone());
                builder.expect("this configuration has made a client before").with_layer(&connection).build()
            }
        }
    }
}

/// One operator process. Dropping it is a crash.
pub struct OperatorProcess {
    pub identity: String,
    life: Arc<Life>,
    task: AbortHandle,
    stop: Option<oneshot::Sender<()>>,
}

/// What decides whether a process still lives, shared with its connections.
#[derive(Default)]
pub struct Life {
    is_dead: AtomicBool,
    /// It watches and writes, rather than wait for the lease. A paused leader goes on believing so.
    leads: AtomicBool,
    pause: Mutex<Pause>,
}

#[derive(Default)]
struct Pause {
    is_paused: bool,
    waker: Option<Waker>,
}

impl Life {
    fn pause(&self) -> MutexGuard<'_, Pause> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OperatorProcess {
    pub fn start(blueprint: &Blueprint, identity: &str) -> OperatorProcess {
        let life = Arc::new(Life::default());
        let deps = Deps {
            client: blueprint.api.client(&life),
            flink: blueprint.flink.clone(),
            clock: Arc::new(OperatorClock(blueprint.clock)),
            config: blueprint.config.clone(),
            identity: identity.to_owned(),
            observer: Arc::new(Ear { life: life.clone(), inner: blueprint.observer.clone() }),
            leader_election: blueprint.leader_election.clone(),
            concurrency: blueprint.concurrency,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let running = drey_operator::run(deps, async move {
            let _ = stopped.await;
        });
        let (journal, name) = (blueprint.journal.clone(), identity.to_owned());
        let task = tokio::spawn(Pausable {
            life: life.clone(),
            inner: Box::pin(async move {
                if let Err(error) = running.await {
                    journal.push(journal.event(
                        Lane::Operator,
                        Kind::Note,
                        format!("{name} ended: {error:#}"),
                    ));
                }
            }),
        });
        let text = format!("{identity} starts");
        blueprint.journal.push(blueprint.journal.event(Lane::Operator, Kind::Process, text));
        OperatorProcess { identity: identity.to_owned(), life, task: task.abort_handle(), stop: Some(stop) }
    }

    /// Dies at once: no answer that is under way arrives any more.
    pub fn crash(&self) {
        self.life.is_dead.store(true, Ordering::SeqCst);
        self.task.abort();
    }

    pub fn is_dead(&self) -> bool {
        self.life.is_dead.load(Ordering::SeqCst) || self.task.is_finished()
    }

    /// It was asked to stop and has no successor to come.
    pub fn is_retired(&self) -> bool {
        self.stop.is_none()
    }

    /// Whether it works or waits for the lease.
    pub fn leads(&self) -> bool {
        self.life.leads.load(Ordering::SeqCst)
    }

    /// A handle that kills this process if it leads, for fault rules: who waits for the lease sends no other write.
    pub fn killer(&self) -> impl Fn() + Send + Sync + 'static {
        let (life, task) = (self.life.clone(), self.task.clone());
        move || {
            if !life.leads.load(Ordering::SeqCst) {
                return;
            }
            life.is_dead.store(true, Ordering::SeqCst);
            task.abort();
        }
    }

    /// Stands still from now on, its timers and answers waiting.
    pub fn pause(&self) {
        self.life.pause().is_paused = true;
    }

    pub fn resume(&self) {
        let waker = {
            let mut pause = self.life.pause();
            pause.is_paused = false;
            pause.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Asks it to stop as SIGTERM does: it finishes its pass and gives the lease back.
    pub fn terminate(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

impl Drop for OperatorProcess {
    fn drop(&mut self) {
        self.crash();
    }
}

/// Hears from the operator itself whether it leads, and passes on what it hears.
struct Ear {
    life: Arc<Life>,
    inner: Arc<dyn PassObserver>,
}

impl PassObserver for Ear {
    fn pass(&self, pass: &Pass<'_>) {
        self.inner.pass(pass);
    }

    fn lifecycle(&self, event: &Lifecycle) {
        match event {
            Lifecycle::Started => self.life.leads.store(true, Ordering::SeqCst),
            Lifecycle::LostLease { .. } | Lifecycle::Stopped => {
                self.life.leads.store(false, Ordering::SeqCst)
            }
            Lifecycle::WatchSynced { .. } | Lifecycle::WatchFailed { .. } | Lifecycle::Forgotten { .. } => {}
        }
        self.inner.lifecycle(event);
    }
}

/// A future that can be stopped from outside, as a process by SIGSTOP.
struct Pausable {
    life: Arc<Life>,
    inner: BoxFuture<'static, ()>,
}

impl Future for Pausable {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        {
            let mut pause = self.life.pause();
            if pause.is_paused {
                pause.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        self.inner.as_mut().poll(cx)
    }
}

/// The operator's connection to the API server: a dead process hears nothing any more.
#[derive(Clone)]
struct Connection<S> {
    inner: S,
    life: Arc<Life>,
}

struct ConnectionLayer {
    life: Arc<Life>,
}

impl<S> Layer<S> for ConnectionLayer {
    type Service = Connection<S>;

    fn layer(&self, inner: S) -> Connection<S> {
        Connection { inner, life: self.life.clone() }
    }
}

type Request = http::Request<kube::client::Body>;

impl<S> Service<Request> for Connection<S>
where
    S: Service<Request>,
    S::Future: Send + 'static,
    S::Response: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if self.life.is_dead.load(Ordering::SeqCst) {
            return Box::pin(std::future::pending());
        }
        let (answer, life) = (self.inner.call(request), self.life.clone());
        Box::pin(async move {
            let answer = answer.await;
            if life.is_dead.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            answer
        })
    }
}
