//! Our operator in this process.
//!
//! A crash drops the operator's future between two instructions and never delivers another answer to it. What it
//! knew is gone; the next start begins from what the API server holds.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use drey_language::events::{Kind, Lane};
use drey_operator::{Deps, Lifecycle, Pass, PassObserver};
use fake_kube_apiserver::{ApiServer, User};
use futures::future::BoxFuture;
use kube::client::ClientBuilder;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tower::{Layer, Service};

use super::{Blueprint, Process};
use crate::world::clock::OperatorClock;
use crate::world::gate::OPERATOR_USER;

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

/// Dropping it is a crash.
pub struct InProcess {
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

impl InProcess {
    pub fn start(blueprint: &Blueprint, api: &ApiAccess, identity: &str) -> InProcess {
        let life = Arc::new(Life::default());
        let deps = Deps {
            client: api.client(&life),
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
        InProcess { life, task: task.abort_handle(), stop: Some(stop) }
    }
}

impl Process for InProcess {
    /// No answer that is under way arrives any more.
    fn crash(&self) {
        self.life.is_dead.store(true, Ordering::SeqCst);
        self.task.abort();
    }

    fn is_dead(&self) -> bool {
        self.life.is_dead.load(Ordering::SeqCst) || self.task.is_finished()
    }

    fn leads(&self) -> bool {
        self.life.leads.load(Ordering::SeqCst)
    }

    /// Who waits for the lease sends no write that a rule would strike.
    fn killer(&self) -> Box<dyn Fn() + Send + Sync> {
        let (life, task) = (self.life.clone(), self.task.clone());
        Box::new(move || {
            if !life.leads.load(Ordering::SeqCst) {
                return;
            }
            life.is_dead.store(true, Ordering::SeqCst);
            task.abort();
        })
    }

    /// Its timers and answers wait.
    fn pause(&self) {
        self.life.pause().is_paused = true;
    }

    fn resume(&self) {
        let waker = {
            let mut pause = self.life.pause();
            pause.is_paused = false;
            pause.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// It finishes its pass and gives the lease back.
    fn terminate(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

impl Drop for InProcess {
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
