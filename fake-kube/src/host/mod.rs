//! Containers that are processes of this machine: `fake-kube serve --run IMAGE=COMMAND`. The kubelet decides as it always
//! does; here is what it decides about: a command with the container's arguments, variables and files, an address of its
//! own (127.N.x.y, where it listens on real sockets), its output as log, its exit code as the container's.
//!
//! Leaves out what takes rights of an administrator or a container engine: namespaces, other users, limits of memory and
//! CPU, images' own files. A process sees this machine, finds its files below `$CONTAINER_ROOT`, and is trusted as much as
//! whoever started the cluster. `kubectl exec` starts a command beside it (`listen/streams/beside`), probes and hooks do as
//! well (`errand`).

mod errand;
pub mod group;
mod process;
mod root;
mod rules;
pub mod sockets;
mod talk;
pub mod terminal;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use anyhow::Context;
use fake_kube_apiserver::ApiServer;
use tokio::runtime::Handle;

use self::process::{HostProcess, Running};
pub use self::rules::Rule;
use crate::cluster::ProcessWaker;
use crate::programs::{Process, ProcessStart, Programs, Shell};

/// What processes are started with.
pub struct HostOptions {
    pub rules: Vec<Rule>,
    /// Program and arguments that start what stands behind them so that it ends with this process.
    pub starter: Vec<OsString>,
    /// The same, and its input becomes its controlling terminal.
    pub starter_in_terminal: Vec<OsString>,
    /// At the same time; a container beyond that fails to start.
    pub processes_max: usize,
    pub api: ApiServer,
    /// Where processes reach the API server, and the authority behind its certificate.
    pub address: SocketAddr,
    pub ca: String,
    /// How the cluster's time runs, where it is not the time of day: `CLUSTER_CLOCK`.
    pub clock: Box<dyn Fn() -> Option<String> + Send + Sync>,
}

/// Runs the containers whose image a rule names as processes, all others as [`Shell`] does. Clones are the same.
#[derive(Clone)]
pub struct HostPrograms(Arc<Shared>);

pub(crate) struct Shared {
    options: HostOptions,
    /// One folder per container below it; removed with the last clone.
    folder: tempfile::TempDir,
    runtime: Handle,
    waker: OnceLock<ProcessWaker>,
    running: AtomicUsize,
    alive: Mutex<Vec<Weak<Running>>>,
}

impl HostPrograms {
    /// Call it inside the runtime that the cluster runs in.
    ///
    /// # Errors
    /// There is no place for the containers' files, or no runtime.
    pub fn new(options: HostOptions) -> anyhow::Result<HostPrograms> {
        let folder = tempfile::Builder::new().prefix("fake-kube-containers-").tempdir();
        Ok(HostPrograms(Arc::new(Shared {
            options,
            folder: folder.context("make a folder for containers")?,
            runtime: Handle::try_current().context("find the runtime for containers")?,
            waker: OnceLock::new(),
            running: AtomicUsize::new(0),
            alive: Mutex::default(),
        })))
    }

    /// Whom to tell when a process has something to say. Clusters are made after their programs: set it before it runs.
    pub fn set_waker(&self, waker: ProcessWaker) {
        // The first call counts.
        let _ = self.0.waker.set(waker);
    }

    /// Every process ends now, and the files of all go. Those of a cluster that is dropped do so by themselves, unless the
    /// process that it is in ends first.
    pub fn end(&self) {
        let alive = std::mem::take(&mut *self.0.alive.lock().unwrap_or_else(PoisonError::into_inner));
        alive.iter().filter_map(Weak::upgrade).for_each(|running| running.kill());
        // What could not be removed lies in the folder for temporary files, and nobody is left to tell.
        let _ = std::fs::remove_dir_all(self.0.folder.path());
    }
}

impl Programs for HostPrograms {
    fn start(&self, start: &ProcessStart) -> Box<dyn Process> {
        match self.0.options.rules.iter().find(|rule| rule.fits(&start.image)) {
            Some(rule) => Box::new(HostProcess::start(self.0.clone(), rule, start)),
            None => Shell.start(start),
        }
    }
}

impl Shared {
    fn wake(&self, namespace: &str, pod: &str) {
        if let Some(waker) = self.waker.get() {
            waker.wake(namespace, pod);
        }
    }

    /// A place for one more process.
    fn enter(self: &Arc<Shared>) -> Option<Place> {
        let place = Place(self.clone());
        (self.running.fetch_add(1, Ordering::SeqCst) < self.options.processes_max).then_some(place)
    }

    fn remember(&self, running: &Arc<Running>) {
        let mut alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        alive.retain(|known| known.strong_count() > 0);
        alive.push(Arc::downgrade(running));
    }
}

/// Given back when it is dropped.
struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}
