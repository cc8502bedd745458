//! An open world, kept going: its clock, the orders of its page, the judges, and what is told to whom. One loop on the
//! world's own runtime; the page's server is another thread, which real time drives.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use drey_language::events::{Event, Kind, Lane};
use drey_language::failure::Failure;
use drey_language::scenario::Step;
use drey_playground::{
    Beginning, ClockOrder, History, Order, Orders, Recording, Refusal, Reply, Stage, Subject, Version, Wish,
    end_absent, end_state, reference, steps_of,
};
use futures::StreamExt;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::hand::{ControlFaults, record_writes, step_of, verb_of};
use super::logbook::Logbook;
use super::{Playground, shown};
use crate::modes::Pace;
use crate::world::flink::ClusterKey;
use crate::world::{Hands, World};

/// A step to the next event gives up after this much time of the world: nothing happens any more.
const STEP_MAX: Duration = Duration::from_secs(3600);
/// The world is looked at this often, in its time; less often when it is in a hurry.
const BEAT_MIN: Duration = Duration::from_millis(100);
const BEAT_MAX: Duration = Duration::from_secs(1);

/// What the one who keeps the world open is told.
pub enum News {
    Happened(Vec<Event>),
    Failed(Box<Failure>),
}

/// What is behind the page.
pub(super) struct Live {
    pub stage: Stage,
    pub recording: Recording,
    pub pace: Pace,
    pub logbook: Logbook,
    orders: RefCell<Option<Orders>>,
    happened: Arc<Happened>,
    /// The speed it goes on with after it stood.
    speed: Cell<f64>,
    /// A step under way: up to this instant, and to the first event after this number where it is a step to an event.
    target: Cell<Option<(Instant, Option<u64>)>>,
    /// The first steps are being played; they ask the judges themselves.
    pub is_playing: Cell<bool>,
    pub played_until: Cell<Duration>,
    control: RefCell<ControlFaults>,
    stalled: RefCell<shown::Stalled>,
}

/// The latest event that is news, and a bell.
#[derive(Default)]
struct Happened {
    seq: AtomicU64,
    bell: Notify,
}

impl Live {
    /// From here on everything in the world is remembered and told.
    pub fn watch(world: &World, pace: Pace, logbook: Logbook, epoch: &str, start: Timestamp) -> Live {
        let (stage, orders) = Stage::new(epoch);
        let happened: Arc<Happened> = Arc::default();
        let (feed, told) = (stage.feed.clone(), happened.clone());
        world.journal.listen(Arc::new(move |event| {
            if let Some(row) = shown::row(event, start) {
                feed.push(&row.to_string());
                told.seq.store(event.seq, Ordering::Relaxed);
                told.bell.notify_one();
            }
        }));
        shown::fill(&stage.history, world);
        remember_changes(world, stage.history.clone());
        logbook.follow(world.clock);
        let speed = Cell::new(pace.limit().unwrap_or(1.0));
        Live {
            stage,
            recording: Recording::default(),
            pace,
            logbook,
            orders: RefCell::new(Some(orders)),
            happened,
            speed,
            target: Cell::new(None),
            is_playing: Cell::new(false),
            played_until: Cell::new(Duration::ZERO),
            control: RefCell::default(),
            stalled: RefCell::default(),
        }
    }

    fn beat(&self) -> Duration {
        match self.target.get() {
            Some((until, _)) => until.saturating_duration_since(Instant::now()).min(BEAT_MAX),
            None => BEAT_MIN.mul_f64(self.speed.get()).clamp(BEAT_MIN, BEAT_MAX),
        }
    }

    fn steer(&self, order: ClockOrder) {
        self.target.set(None);
        match order {
            ClockOrder::Pause => self.pace.stand(),
            ClockOrder::Run { speed } => {
                self.speed.set(speed);
                self.pace.go(Some(speed));
            }
            ClockOrder::StepBy(by) => self.go_to(by, None),
            ClockOrder::StepToEvent => self.go_to(STEP_MAX, Some(self.happened.seq.load(Ordering::Relaxed))),
        }
    }

    fn go_to(&self, by: Duration, event_after: Option<u64>) {
        let until = Instant::now() + by;
        self.target.set(Some((until, event_after)));
        self.pace.go_to(until);
    }

    /// Ends a step that has reached what it went for.
    fn arrive(&self) {
        let Some((until, after)) = self.target.get() else { return };
        let is_there = after.is_some_and(|seq| self.happened.seq.load(Ordering::Relaxed) > seq);
        if is_there || Instant::now() >= until {
            self.target.set(None);
            self.pace.stand();
        }
    }

    fn clock(&self, world: &World) -> Value {
        let state = match (self.target.get(), self.pace.stands()) {
            (Some(_), _) => "steps",
            (None, true) => "stands",
            (None, false) => "runs",
        };
        let ms = u64::try_from(world.clock.elapsed().as_millis()).unwrap_or(u64::MAX);
        json!({"ms": ms, "state": state, "speed": self.speed.get()})
    }
}

fn remember_changes(world: &World, history: History) {
    let clock = world.clock;
    world.watcher.on_change(move |change| {
        history.add(Version {
            revision: change.revision,
            ms: u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX),
            verb: verb_of(change.kind),
            actor: change.actor.clone(),
            object: change.object.clone(),
        });
    });
}

type UnderWay<'a> = FuturesUnordered<LocalBoxFuture<'a, ()>>;

impl Playground {
    /// Keeps the world going and tells what happens. Never ends by itself; drop it to stop.
    pub async fn live(&self, mut tell: impl FnMut(News)) {
        let live = &self.live;
        let mut orders = live.orders.take();
        let mut under_way: UnderWay<'_> = FuturesUnordered::new();
        record_writes(self.world(), &live.recording, &self.vocabulary);
        self.publish();
        let mut beat = Box::pin(tokio::time::sleep(live.beat()));
        loop {
            tokio::select! {
                biased;
                order = next(&mut orders) => {
                    self.take(order, &mut under_way);
                    beat.as_mut().reset(Instant::now() + live.beat());
                }
                Some(()) = under_way.next(), if !under_way.is_empty() => {}
                () = live.happened.bell.notified() => {}
                () = &mut beat => {
                    if !live.is_playing.get() && let Err(failure) = self.case.tick().await {
                        self.breach(&failure);
                        tell(News::Failed(Box::new(failure)));
                    }
                    beat.as_mut().reset(Instant::now() + live.beat());
                }
            }
            live.arrive();
            let news = self.news();
            if !news.is_empty() {
                tell(News::Happened(news));
            }
        }
    }

    fn take<'a>(&'a self, order: Order, under_way: &mut UnderWay<'a>) {
        match order.wish {
            Wish::Glance => self.publish(),
            Wish::Clock(wish) => {
                self.live.steer(wish);
                self.publish();
                order.reply.send(Ok(self.live.clock(self.world())));
            }
            Wish::Log { of: Subject::Operator, lines } => {
                order.reply.send(Ok(json!({"text": self.live.logbook.tail(lines)})));
            }
            Wish::Log { of: Subject::Pod { namespace, name }, lines } => {
                under_way.push(Box::pin(async move {
                    order.reply.send(pod_log(&self.world().hands, &namespace, &name, lines).await);
                }));
            }
            Wish::Scenario => order.reply.send(Ok(json!({"text": self.scenario()}))),
            Wish::Step(text) => match step_of(&text, &self.vocabulary) {
                Err(why) => order.reply.send(Err(Refusal::new(400, why))),
                Ok(step) => under_way.push(Box::pin(self.carry_out(step, order.reply))),
            },
        }
    }

    async fn carry_out(&self, step: Step, reply: Reply) {
        let clock = self.world().clock;
        let written = steps_of(std::slice::from_ref(&step));
        let numbers: Vec<usize> = written
            .into_iter()
            .map(|step| self.live.recording.add(clock.elapsed(), "page", Ok(step)))
            .collect();
        let result = self.case.by_hand(&step).await;
        match result {
            Ok(()) => {
                numbers.iter().for_each(|number| self.live.recording.ended(*number, clock.elapsed()));
                self.remember_stall(&step);
                reply.send(Ok(json!({"done": step.title()})));
            }
            Err(failure) => {
                numbers.iter().for_each(|number| self.live.recording.forget(*number));
                let text = in_words(&failure);
                let journal = &self.world().journal;
                journal.push(journal.event(Lane::User, Kind::Note, format!("not done: {text}")));
                // Whoever pressed the button may have stopped waiting for the answer.
                self.live.stage.feed.set(
                    "notice",
                    &json!({"text": text, "bad": true, "ms": millis(clock.elapsed())}).to_string(),
                );
                reply.send(Err(Refusal::new(422, text)));
            }
        }
        self.publish();
    }

    fn remember_stall(&self, step: &Step) {
        let Some(on) = step.args.opt_flag("stall").filter(|_| step.name == "checkpoint") else { return };
        let name = step.args.opt_text("name").unwrap_or_default();
        let (namespace, name) = name.split_once('/').unwrap_or((&self.world().hands.namespace, name));
        self.set_stalled(ClusterKey::new(namespace, name), on);
    }

    pub(super) fn set_stalled(&self, key: ClusterKey, on: bool) {
        let pods = if on { self.world().flink.pods(&key) } else { Vec::new() };
        self.live.stalled.borrow_mut().insert(key, pods);
    }

    /// Tells the page what is another than before; the feed leaves out what is the same.
    fn publish(&self) {
        let (live, world) = (&self.live, self.world());
        let feed = &live.stage.feed;
        feed.set("clock", &live.clock(world).to_string());
        if let Some(objects) = live.stage.history.news() {
            feed.set("objects", &objects.to_string());
        }
        let deployments = shown::deployments(world, &live.stage.history, &self.flink, &live.stalled.borrow());
        feed.set("flink", &deployments.to_string());
        let control = self.control_faults();
        live.control.borrow_mut().follow(&control, &live.recording, self.start(), world.clock.elapsed());
        feed.set("faults", &shown::faults(world, &control).to_string());
        feed.set("deeds", &live.recording.to_json().to_string());
    }

    /// A judge has found something: part of the story, and said on the page.
    fn breach(&self, failure: &Failure) {
        let text = in_words(failure);
        let journal = &self.world().journal;
        journal.push(journal.event(Lane::Check, Kind::CheckFailed, text.clone()));
        self.live
            .stage
            .feed
            .set("notice", &json!({"text": format!("{}: {text}", failure.check), "bad": true}).to_string());
    }

    /// What happened since the last call, routine left out.
    fn news(&self) -> Vec<Event> {
        let from = self.told.get();
        let events: Vec<Event> =
            self.world().journal.with(|log| log.events()[from.min(log.events().len())..].to_vec());
        self.told.set(from + events.len());
        let is_news = |event: &Event| event.detail.get("quiet") != Some(&Value::Bool(true));
        events.into_iter().filter(is_news).collect()
    }

    /// The session so far as a scenario file that ends as the world stands now.
    pub fn scenario(&self) -> String {
        self.live.control.borrow_mut().follow(
            &self.control_faults(),
            &self.live.recording,
            self.start(),
            self.world().clock.elapsed(),
        );
        let case = self.case.case();
        let elapsed = self.world().clock.elapsed();
        let mut beginning = Beginning::of(&file_name(&self.name), case, self.case.played(), self.seed);
        beginning.ended = if self.live.is_playing.get() { elapsed } else { self.live.played_until.get() };
        beginning.description = format!("A session of `drey play` ({}), recorded.", self.name);
        // Room to wait for the end state.
        beginning.limit = case.clock.limit.max(elapsed * 2);
        let checks = self.end_states();
        self.live.recording.scenario(&beginning, elapsed, checks)
    }

    fn end_states(&self) -> Vec<Value> {
        let now = self.live.stage.history.of_kind("FlinkDeployment");
        let mut checks: BTreeMap<String, Value> = BTreeMap::new();
        for object in now.iter().filter(|object| object["metadata"]["deletionTimestamp"].is_null()) {
            let check = end_state(object);
            checks.insert(check["of"].to_string(), check);
        }
        for object in self.live.stage.history.gone("FlinkDeployment") {
            let of = reference(&object);
            checks.insert(format!("gone {of}"), end_absent(&of));
        }
        checks.into_values().collect()
    }

    fn start(&self) -> Timestamp {
        self.case.case().clock.start
    }
}

/// The end of a pod's log.
pub(super) async fn pod_log(
    hands: &Hands,
    namespace: &str,
    name: &str,
    lines: usize,
) -> Result<Value, Refusal> {
    let is_plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
    };
    if !is_plain(namespace) || !is_plain(name) {
        return Err(Refusal::new(400, "that is no name of a pod"));
    }
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/log?tailLines={lines}");
    let reply = hands.request(Method::GET, &path, "application/json", Vec::new()).await;
    match reply {
        Ok(reply) if reply.is_success() => {
            let text = match reply.body {
                Value::String(text) => text,
                Value::Null => String::new(),
                other => other.to_string(),
            };
            Ok(json!({"text": text.trim_end()}))
        }
        Ok(reply) => Err(Refusal::new(reply.code, reply.refusal())),
        Err(error) => Err(Refusal::new(502, error.to_string())),
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A name that scenarios may have.
fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    format!("{}-by-hand", name.chars().map(plain).collect::<String>().trim_matches('-'))
}

fn in_words(failure: &Failure) -> String {
    let note = failure.note.lines().map(|line| format!("\n{line}")).collect::<String>();
    format!("{}{note}", failure.expected)
}

/// The next order; where there is no page, none ever comes.
async fn next(orders: &mut Option<Orders>) -> Order {
    let order = match orders {
        Some(orders) => orders.recv().await,
        None => None,
    };
    match order {
        Some(order) => order,
        None => std::future::pending().await,
    }
}
