//! One cluster that runs by itself: the model, its clock, and what becomes of its wishes. TaskManagers come a moment
//! after they are asked for, unless somebody outside brings them ([`Outside`]). No sockets here.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use tokio::sync::{Notify, watch};

use super::clock::Clock;
use super::history::History;
use super::stubs::Stubs;
use crate::model::api::{Effect, Event, Signal};
use crate::{Cluster, Command, Facts, SnapshotStore, StartOptions, Version};

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

/// Who carries out what the model wants done beyond this process (HA ConfigMaps, TaskManager pods).
pub trait Outside: Send + Sync {
    /// Takes the effect, or gives it back when it has no hand for it.
    fn take(&self, effect: Effect) -> Option<Effect>;
}

/// All clones are the same cluster. Somebody must [`Hosted::run`] it.
#[derive(Clone)]
pub struct Hosted(Arc<Shared>);

struct Shared {
    version: Version,
    storage: SnapshotStore,
    stubs: Stubs,
    clock: Clock,
    task_manager_start: Duration,
    log: fn(&str),
    outside: Option<Arc<dyn Outside>>,
    changed: Notify,
    door: watch::Sender<Door>,
    state: Mutex<State>,
}

/// How the REST port meets a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Not open yet.
    Starting,
    Open,
    /// The process hangs: accepted and never answered.
    Silent,
    /// The process is gone.
    Gone,
}

/// When there is something to do again.
enum Next {
    Exited(i32),
    In(Duration),
    WhenTold,
}

struct State {
    cluster: Cluster,
    /// TaskManagers on their way: when, id, slots.
    arriving: VecDeque<(Timestamp, String, u32)>,
    exit: Option<i32>,
    history: History,
    /// Until when [`Hosted::run`] sleeps if nobody wakes it.
    sleeps_until: Option<Timestamp>,
}

/// More than this on their way at once is a mistake in somebody's parallelism.
const ARRIVING_MAX: usize = 100_000;

impl Hosted {
    pub fn start(options: ServeOptions) -> Hosted {
        Hosted::start_with(options, None)
    }

    pub fn start_with(options: ServeOptions, outside: Option<Arc<dyn Outside>>) -> Hosted {
        let clock = Clock::new(options.time_scale);
        Hosted::start_at(clock, options, outside)
    }

    /// By a clock that runs already.
    pub fn start_at(clock: Clock, options: ServeOptions, outside: Option<Arc<dyn Outside>>) -> Hosted {
        let mut start = options.start;
        start.now = clock.now();
        let (version, storage) = (start.version, start.storage.clone());
        let (cluster, effects) = Cluster::start(start);
        let arriving = options.task_managers.into_iter().map(|(id, slots)| (clock.now(), id, slots));
        let history = History::default();
        let state = State { cluster, arriving: arriving.collect(), exit: None, history, sleeps_until: None };
        let hosted = Hosted(Arc::new(Shared {
            version,
            storage,
            stubs: Stubs::default(),
            clock,
            task_manager_start: options.task_manager_start,
            log: options.log,
            outside,
            changed: Notify::new(),
            door: watch::Sender::new(state.door()),
            state: Mutex::new(state),
        }));
        hosted.absorb(&mut hosted.lock(), effects);
        hosted
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets time pass until the process of the model has exited; gives its exit code.
    pub async fn run(&self) -> i32 {
        loop {
            match self.patiently(Hosted::work).await {
                Next::Exited(code) => return code,
                Next::In(wait) => {
                    let _ = tokio::time::timeout(wait, self.0.changed.notified()).await;
                }
                Next::WhenTold => self.0.changed.notified().await,
            }
        }
    }

    /// What may wait for a storage on another machine waits on a thread of its own: other clusters of the process go on.
    async fn patiently<T: Send + 'static>(&self, deed: impl FnOnce(&Hosted) -> T + Send + 'static) -> T {
        if !self.0.storage.is_remote() {
            return deed(self);
        }
        let hosted = self.clone();
        match tokio::task::spawn_blocking(move || deed(&hosted)).await {
            Ok(done) => done,
            Err(why) if why.is_panic() => std::panic::resume_unwind(why.into_panic()),
            // The runtime ends.
            Err(_) => std::future::pending().await,
        }
    }

    /// Everything due now.
    fn work(&self) -> Next {
        let now = self.0.clock.now();
        let mut state = self.lock();
        let mut effects = state.cluster.step(Event::Tick, now);
        while state.cluster.listens() {
            let Some(at) = state.arriving.iter().position(|(due, ..)| *due <= now) else { break };
            let Some((_, id, slots)) = state.arriving.remove(at) else { break };
            effects.extend(state.cluster.step(Event::TaskManagerUp { id, slots }, now));
        }
        self.absorb(&mut state, effects);
        state.sleeps_until = state.due(now);
        match (state.exit, state.sleeps_until) {
            (Some(code), _) => Next::Exited(code),
            (None, Some(due)) => Next::In(self.0.clock.until(due)),
            (None, None) => Next::WhenTold,
        }
    }

    /// Most calls leave nothing to do earlier than what [`Hosted::run`] waits for anyway.
    fn wake(&self, state: &State, now: Timestamp) {
        let is_earlier = |due: Timestamp| state.sleeps_until.is_none_or(|until| due < until);
        let has_arrivals = !state.arriving.is_empty();
        if state.exit.is_some() || has_arrivals || state.due(now).is_some_and(is_earlier) {
            self.0.changed.notify_one();
        }
    }

    /// Under the lock: effects of one step go out before those of the next.
    fn absorb(&self, state: &mut State, effects: Vec<Effect>) {
        for effect in effects {
            let left = match &self.0.outside {
                Some(outside) => outside.take(effect),
                None => Some(effect),
            };
            if let Some(effect) = left {
                self.carry_out(state, effect);
            }
        }
        let door = state.door();
        self.0.door.send_if_modified(|known| std::mem::replace(known, door) != door);
    }

    fn carry_out(&self, state: &mut State, effect: Effect) {
        match effect {
            Effect::Log(line) => (self.0.log)(&line),
            Effect::Exit { code } => state.exit = Some(code),
            Effect::NeedTaskManagers(needed) => {
                let due = self.0.clock.now().checked_add(self.0.task_manager_start).unwrap_or(Timestamp::MAX);
                let room = ARRIVING_MAX.saturating_sub(state.arriving.len());
                let names = needed.names.into_iter().take(room);
                state.arriving.extend(names.map(|name| (due, name, needed.slots_each)));
            }
            Effect::WriteHa { .. }
            | Effect::DeleteHa { .. }
            | Effect::ReleaseTaskManager { .. }
            | Effect::DeleteCluster => {}
            Effect::Fact(fact) => state.history.add(self.0.clock.now(), fact),
        }
    }

    /// Hands the model an event that happens now.
    pub fn tell(&self, event: Event) {
        let now = self.0.clock.now();
        let mut state = self.lock();
        let effects = state.cluster.step(event, now);
        self.absorb(&mut state, effects);
        self.wake(&state, now);
    }

    pub fn command(&self, command: Command) {
        self.tell(Event::Command(command));
    }

    pub fn signal(&self, signal: Signal) {
        self.tell(Event::Signal(signal));
    }

    /// TaskManagers register a moment later, as if they had just been started.
    pub fn bring_task_manager(&self, id: String, slots: u32) {
        let mut state = self.lock();
        if state.arriving.len() < ARRIVING_MAX {
            state.arriving.push_back((self.0.clock.now(), id, slots));
        }
        drop(state);
        self.0.changed.notify_one();
    }

    /// Answers one REST call from the model, stubs not asked.
    pub fn handle(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let mut state = self.lock();
        let now = self.0.clock.now();
        let (response, effects) = state.cluster.handle(request, now);
        self.absorb(&mut state, effects);
        self.wake(&state, now);
        response
    }

    /// As [`Hosted::handle`], where others may want to go on meanwhile.
    pub async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        self.patiently(move |hosted| hosted.handle(&request)).await
    }

    /// How the port meets a client now.
    pub fn door_now(&self) -> Door {
        *self.0.door.borrow()
    }

    pub fn door(&self) -> watch::Receiver<Door> {
        self.0.door.subscribe()
    }

    pub fn exit(&self) -> Option<i32> {
        self.lock().exit
    }

    pub fn facts(&self) -> Facts {
        self.lock().cluster.facts()
    }

    /// What its jobs went through.
    pub fn history(&self) -> History {
        self.lock().history.clone()
    }

    pub fn version(&self) -> Version {
        self.0.version
    }

    pub fn storage(&self) -> &SnapshotStore {
        &self.0.storage
    }

    pub fn stubs(&self) -> &Stubs {
        &self.0.stubs
    }

    pub fn clock(&self) -> Clock {
        self.0.clock
    }
}

impl State {
    /// When something is due that was not at `now`.
    fn due(&self, now: Timestamp) -> Option<Timestamp> {
        // A TaskManager that has come already waits for the port to open, which has a time of its own.
        let arriving = self.arriving.iter().map(|(due, ..)| *due).filter(|due| *due > now);
        self.cluster.next_due().into_iter().chain(arriving).min()
    }

    fn door(&self) -> Door {
        match (self.exit, self.cluster.listens(), self.cluster.hangs()) {
            (Some(_), ..) => Door::Gone,
            (None, true, _) => Door::Open,
            (None, false, true) => Door::Silent,
            (None, false, false) => Door::Starting,
        }
    }
}
