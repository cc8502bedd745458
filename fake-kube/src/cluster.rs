//! The cluster as its users hold it: `run` drives it, `pods` breaks it, `dial` talks to what runs in it.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use fake_kube_apiserver::{ApiServer, Clock};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Notify;

use crate::Controller;
use crate::dial::{self, DialError};
use crate::engine::Engine;
use crate::faults::{FaultId, Once, PodSelector, Standing};
use crate::json::*;
use crate::knobs::Knobs;
use crate::kubelet::commands::Output;
use crate::pod_logs::{Following, LogBackend};
use crate::programs::{Attached, Programs};
use crate::view::{Key, resource as r};
use crate::webhooks::{Carrier, Outside};

/// API server + controllers + scheduler + kubelets. Cheap to clone; all clones are the same cluster.
///
/// One lock guards it while it works. What the API server calls meanwhile (observers) and what it calls itself
/// (processes) must not call back into it.
#[derive(Clone)]
pub struct Cluster {
    engine: Arc<Mutex<Engine>>,
    clock: Arc<dyn Clock>,
    api: ApiServer,
    woken: Arc<Notify>,
}

impl Cluster {
    /// Takes over what the server holds already and adds the nodes; nothing else happens before [`Cluster::run`].
    /// `clock` is the one the server was made with.
    pub fn new(api: ApiServer, clock: Arc<dyn Clock>, knobs: Knobs, programs: Arc<dyn Programs>) -> Cluster {
        let engine = Arc::new(Mutex::new(Engine::new(api.clone(), knobs, programs)));
        api.set_pod_backend(Arc::new(LogBackend { engine: Arc::downgrade(&engine) }));
        api.set_webhooks(Arc::new(Carrier {
            engine: Arc::downgrade(&engine),
            outside: Outside::Unreachable,
        }));
        Cluster { engine, clock, api, woken: Arc::new(Notify::new()) }
    }

    pub fn api(&self) -> &ApiServer {
        &self.api
    }

    /// Whether admission webhooks outside of the cluster can be called. Not at first: that takes sockets and real time.
    pub fn set_outside(&self, outside: Outside) {
        let engine = Arc::downgrade(&self.engine);
        self.api.set_webhooks(Arc::new(Carrier { engine, outside }));
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the cluster until `shutdown`. One caller at a time.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        loop {
            let due = self.settle();
            let mut timer = due.map(|t| self.clock.sleep_until(t));
            let mut woken = pin!(self.woken.notified());
            let stop = poll_fn(|cx| {
                if shutdown.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(true);
                }
                let due = timer.as_mut().is_some_and(|t| t.as_mut().poll(cx).is_ready());
                let called = woken.as_mut().poll(cx).is_ready();
                // Controllers do not wait for webhooks: they come back when one has answered.
                let answered = self.api.poll_webhooks(cx);
                if due || called || answered || self.lock().poll_changes(cx) {
                    return Poll::Ready(false);
                }
                Poll::Pending
            })
            .await;
            if stop {
                return;
            }
            // A turn without end must not starve the other tasks of this thread.
            tokio::task::yield_now().await;
        }
    }

    /// Does everything that is due now and tells when the next thing is. For drivers with a clock of their own;
    /// [`Cluster::run`] is this in a loop.
    pub fn settle(&self) -> Option<Timestamp> {
        let due = self.lock().turn();
        let mut cx = Context::from_waker(Waker::noop());
        if self.api.poll_webhooks(&mut cx) { self.lock().turn() } else { due }
    }

    /// One request from inside the cluster. `host`: `svc.ns`, a cluster IP or a pod IP.
    pub fn dial(
        &self,
        host: &str,
        port: u16,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, DialError> {
        let mut guard = self.lock();
        let engine = &mut *guard;
        engine.dials = engine.dials.wrapping_add(1);
        let (key, port) = dial::resolve(&engine.view, host, port, engine.dials)?;
        let now = engine.now();
        let answer = engine.kubelet.http(&engine.view, &key, &engine.faults, port, &request, now);
        // The process may have something to do or to say now.
        engine.wake(Controller::Kubelet, key);
        drop(guard);
        self.woken.notify_one();
        answer
    }

    /// What a connection to this host would meet, without a request: the pod's address and port when it is accepted.
    /// For carriers that put real sockets in between.
    pub fn connect(&self, host: &str, port: u16) -> Result<(String, u16), DialError> {
        let mut guard = self.lock();
        let engine = &mut *guard;
        engine.dials = engine.dials.wrapping_add(1);
        let (key, port) = dial::resolve(&engine.view, host, port, engine.dials)?;
        let now = engine.now();
        let met = engine.kubelet.connect(&engine.view, &key, &engine.faults, port, now);
        engine.wake(Controller::Kubelet, key);
        drop(guard);
        self.woken.notify_one();
        met.map(|met| (met.ip, port))
    }

    /// The address of this machine that a connection to this host ends at, where a process of this machine takes it.
    /// None: a process inside does, or nobody, see [`Cluster::dial`].
    pub(crate) fn socket(&self, host: &str, port: u16) -> Option<SocketAddr> {
        let mut guard = self.lock();
        let engine = &mut *guard;
        engine.knobs.pod_loopback?;
        engine.dials = engine.dials.wrapping_add(1);
        let (key, port) = dial::resolve(&engine.view, host, port, engine.dials).ok()?;
        let now = engine.now();
        let met = engine.kubelet.connect(&engine.view, &key, &engine.faults, port, now).ok()?;
        let ip = met.is_socket.then(|| met.ip.parse().ok()).flatten()?;
        Some(SocketAddr::new(ip, port))
    }

    /// For what runs beside the cluster and has news of its processes.
    pub fn waker(&self) -> ProcessWaker {
        ProcessWaker { engine: Arc::downgrade(&self.engine), woken: self.woken.clone() }
    }

    /// Runs a command in a container; None when it has no such program, the reason when nothing can be run in it.
    pub(crate) fn exec(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        argv: &[String],
    ) -> Result<Option<Output>, String> {
        let mut guard = self.lock();
        let engine = &mut *guard;
        let key = Key::new(r::PODS, namespace, pod);
        let now = engine.now();
        let done = engine.kubelet.command(&engine.view, &key, &engine.faults, container, argv, now);
        engine.wake(Controller::Kubelet, key);
        drop(guard);
        self.woken.notify_one();
        done
    }

    /// How a command is started in a container that is a process of this machine.
    pub(crate) fn beside(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        argv: &[String],
        in_terminal: bool,
    ) -> Option<std::process::Command> {
        let mut guard = self.lock();
        let engine = &mut *guard;
        let key = Key::new(r::PODS, namespace, pod);
        engine.kubelet.beside(&engine.view, &key, &engine.faults, container, argv, in_terminal)
    }

    /// Output and input of a container that is a process of this machine.
    pub(crate) fn attach(&self, namespace: &str, pod: &str, container: &str) -> Option<Attached> {
        let mut guard = self.lock();
        let engine = &mut *guard;
        let key = Key::new(r::PODS, namespace, pod);
        engine.kubelet.attach(&engine.view, &key, &engine.faults, container)
    }

    /// What a container says from now on; None when it does not run.
    pub(crate) fn follow(&self, namespace: &str, pod: &str, container: &str) -> Option<Following> {
        let found = {
            let engine = self.lock();
            let key = Key::new(r::PODS, namespace, pod);
            let found = engine.view.find(&key)?.clone();
            engine.kubelet.is_running(&key, uid(&found), container).then_some(found)?
        };
        Some(Following::new(Arc::downgrade(&self.engine), &found, container))
    }

    /// Lets cluster time pass.
    pub(crate) async fn pass(&self, time: Duration) {
        let wait = jiff::SignedDuration::try_from(time).unwrap_or(jiff::SignedDuration::MAX);
        let until = self.api.now().checked_add(wait).unwrap_or(Timestamp::MAX);
        self.clock.sleep_until(until).await;
    }

    pub fn pods(&self) -> PodControl {
        PodControl { cluster: self.clone() }
    }

    /// Something the processes of these pods wait for happened outside of the cluster: they are stepped in the next
    /// turn.
    pub fn wake_processes(&self, namespace: &str, pods: &[String]) {
        let mut engine = self.lock();
        for pod in pods {
            engine.wake(Controller::Kubelet, Key::new(r::PODS, namespace, pod));
        }
        drop(engine);
        self.woken.notify_one();
    }

    /// What controllers could not write and nobody is told of: empty in a healthy run.
    pub fn complaints(&self) -> Vec<String> {
        self.lock().complaints.clone()
    }
}

/// Has processes stepped, as [`Cluster::wake_processes`], and keeps no cluster alive.
#[derive(Clone)]
pub struct ProcessWaker {
    engine: Weak<Mutex<Engine>>,
    woken: Arc<Notify>,
}

impl ProcessWaker {
    pub fn wake(&self, namespace: &str, pod: &str) {
        let Some(engine) = self.engine.upgrade() else { return };
        let key = Key::new(r::PODS, namespace, pod);
        engine.lock().unwrap_or_else(PoisonError::into_inner).wake(Controller::Kubelet, key);
        self.woken.notify_one();
    }
}

/// Faults of pods and nodes, chosen by label selector.
#[derive(Clone)]
pub struct PodControl {
    cluster: Cluster,
}

impl PodControl {
    fn once(&self, selector: &PodSelector, fault: Once) -> usize {
        let mut engine = self.cluster.lock();
        let hit = engine.view.list(r::PODS).filter(|(_, p)| selector.matches(p) && is_running(p)).count();
        engine.strikes.push_back((selector.clone(), fault));
        drop(engine);
        self.cluster.woken.notify_one();
        hit
    }

    fn standing(&self, selector: &PodSelector, fault: Standing) -> FaultId {
        let mut engine = self.cluster.lock();
        let id = engine.faults.add(selector.clone(), fault);
        engine.wake_pods();
        drop(engine);
        self.cluster.woken.notify_one();
        id
    }

    /// The main processes die with this code. Answers how many running pods match.
    pub fn kill(&self, selector: &PodSelector, code: i32) -> usize {
        self.once(selector, Once::Exit { code })
    }

    pub fn oom(&self, selector: &PodSelector) -> usize {
        self.once(selector, Once::Oom)
    }

    /// `message` empty: the node was low on memory.
    pub fn evict(&self, selector: &PodSelector, message: &str) -> usize {
        self.once(selector, Once::Evict { message: message.into() })
    }

    /// Pulls fail from now on, also for images the node has already. `error` empty: the image is not found.
    pub fn image_pull_backoff(&self, selector: &PodSelector, error: &str) -> FaultId {
        self.standing(selector, Standing::ImagePull { error: error.into() })
    }

    pub fn crash_loop(&self, selector: &PodSelector, code: i32, after: Duration) -> FaultId {
        self.standing(selector, Standing::CrashLoop { code, after })
    }

    /// `why` as in `0/1 nodes are available: 1 <why>.`
    pub fn never_schedule(&self, selector: &PodSelector, why: &str) -> FaultId {
        self.standing(selector, Standing::NeverSchedule { why: why.into() })
    }

    pub fn not_ready(&self, selector: &PodSelector) -> FaultId {
        self.standing(selector, Standing::NotReady)
    }

    pub fn hang(&self, selector: &PodSelector) -> FaultId {
        self.standing(selector, Standing::Hang)
    }

    /// Ends a standing fault; false if it was ended already.
    pub fn lift(&self, id: FaultId) -> bool {
        let mut engine = self.cluster.lock();
        let lifted = engine.faults.lift(id);
        engine.wake_pods();
        drop(engine);
        self.cluster.woken.notify_one();
        lifted
    }

    pub fn lift_all(&self) {
        let mut engine = self.cluster.lock();
        engine.faults.clear();
        engine.wake_pods();
        drop(engine);
        self.cluster.woken.notify_one();
    }

    /// The node stops answering: its pods stand still, and after 40 s it counts as NotReady.
    pub fn node_lost(&self, node: &str) {
        let mut engine = self.cluster.lock();
        let now = engine.now();
        engine.lost.entry(node.to_owned()).or_insert(now);
        engine.kubelet.lost.insert(node.to_owned());
        engine.wake(Controller::NodeLifecycle, Key::new(r::NODES, "", node));
        drop(engine);
        self.cluster.woken.notify_one();
    }

    pub fn node_back(&self, node: &str) {
        let mut engine = self.cluster.lock();
        engine.lost.remove(node);
        engine.kubelet.lost.remove(node);
        engine.wake(Controller::NodeLifecycle, Key::new(r::NODES, "", node));
        engine.wake_pods();
        drop(engine);
        self.cluster.woken.notify_one();
    }
}

fn is_running(pod: &Value) -> bool {
    text(pod, "/status/phase") == "Running"
}
