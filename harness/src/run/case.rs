//! One case of a scenario, from an empty world to a verdict.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drey_language::cel::Evaluator;
use drey_language::events::{Event, Kind, Lane};
use drey_language::report::SkippedStep;
use drey_language::scenario::Case;
use drey_language::vocabulary::Vocabulary;
use fake_kube_apiserver::Verdict;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::context::{Context, RESTART};
use super::end_state::{self, EndState};
use super::failure::Failure;
use super::hooks::{self, Hooks};
use super::interrupt::Interrupt;
use super::invariants::Invariants;
use super::manners::Manners;
use super::monitors::Monitors;
use super::passes::{PassRecord, Passes};
use super::records::Records;
use super::rights::Right;
use super::sight::Changes;
use super::steps;
use crate::determinism;
use crate::modes::{Mode, Place, block_on_at_pace};
use crate::world::{Listener, World, WorldSettings, kinds};

/// Which run of the case this is.
#[derive(Clone)]
pub struct CaseRun {
    pub seed: u64,
    /// At most so many scenario seconds per real second, where sockets are real and the machine is ours.
    pub speed_max: Option<f64>,
    pub crash: Option<Crash>,
    pub place: Place,
    /// Told of every event as it happens.
    pub listener: Option<Listener>,
    pub interrupt: Interrupt,
}

/// Of a scenario with `crashOperator: {everyWrite: true}`: the write at which this run's operator dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    pub at_write: u32,
    /// The write is carried out and its answer lost, or never sent.
    pub is_committed: bool,
}

/// What became of it.
pub struct Played {
    pub failure: Option<drey_language::failure::Failure>,
    /// The harness itself could not do its work.
    pub broken: Option<String>,
    pub events: Vec<Event>,
    pub events_dropped: u64,
    pub passes: Vec<PassRecord>,
    /// Scenario time and real time it took.
    pub scenario_time: Duration,
    pub real_time: Duration,
    /// Steps this mode could not carry out, and how many it did.
    pub skipped: Vec<SkippedStep>,
    pub done: usize,
    /// Scenario time at which it began, where it is not the scenario's own.
    pub start: Option<Timestamp>,
    /// Deciding writes of the operator, the points where it can be crashed.
    pub writes: u32,
    /// What the operator asked of the API.
    pub rights: BTreeSet<Right>,
    /// What was there at the end, of a simulated cluster.
    pub end: EndState,
}

/// Runs a case on a thread of its own. In virtual time the same seed gives the same report.
pub fn run_case(case: &Case, vocabulary: &Vocabulary, run: &CaseRun) -> Played {
    run_case_with(case, vocabulary, run, &Hooks::default())
}

/// As [`run_case`], with the closures of the test that made the case.
pub(crate) fn run_case_with(case: &Case, vocabulary: &Vocabulary, run: &CaseRun, hooks: &Hooks) -> Played {
    let (case, vocabulary, run, hooks) = (case.clone(), vocabulary.clone(), run.clone(), hooks.clone());
    let seed = run.seed;
    let is_virtual = matches!(run.place, Place::Virtual);
    let work = move || {
        let work = play(&case, &vocabulary, &run, hooks);
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let played = match run.place {
            Place::Virtual => {
                builder.enable_time().start_paused(true).build().map(|runtime| runtime.block_on(work))
            }
            Place::Loopback(_) => block_on_at_pace(run.speed_max, work),
            Place::Command(..) | Place::Cluster(_) => {
                builder.enable_all().build().map(|runtime| runtime.block_on(work))
            }
        };
        played.unwrap_or_else(|error| Played::broken(format!("the system gives no runtime: {error}")))
    };
    let outcome = match is_virtual {
        true => determinism::on_seeded_thread(seed, "scenario", work),
        false => determinism::on_thread("scenario", work),
    };
    outcome.unwrap_or_else(|panic| Played::broken(format!("panic: {}", hooks::text_of(panic.as_ref()))))
}

impl Played {
    /// A run that gave no verdict.
    pub fn broken(text: String) -> Played {
        Played {
            failure: None,
            broken: Some(text),
            events: Vec::new(),
            events_dropped: 0,
            passes: Vec::new(),
            scenario_time: Duration::ZERO,
            real_time: Duration::ZERO,
            skipped: Vec::new(),
            done: 0,
            start: None,
            writes: 0,
            rights: BTreeSet::new(),
            end: EndState::new(),
        }
    }
}

async fn play(case: &Case, vocabulary: &Vocabulary, run: &CaseRun, hooks: Hooks) -> Played {
    let started = Instant::now();
    let context = match prepare(case, vocabulary, run, pace(&run.place)).await {
        Ok(context) => Context { hooks, ..context },
        Err(error) => return Played::broken(format!("the world did not start: {error:#}")),
    };
    if let Some(listener) = &run.listener {
        context.world.journal.listen(listener.clone());
    }
    let failure = tokio::select! {
        result = perform(&context, case) => result.err(),
        () = run.interrupt.happens() => Some(Failure::new("interrupted")),
    };
    steps::skip_the_deaf(&context);
    if let Some(failure) = &failure {
        let detail = json!({"at": failure.span.as_ref().map(ToString::to_string)});
        let event = context.world.journal.event(Lane::Check, Kind::CheckFailed, failure.expected.clone());
        context.world.journal.push(event.detail(detail));
    }
    let elapsed = context.world.clock.elapsed();
    let began = SignedDuration::try_from(elapsed)
        .ok()
        .and_then(|passed| context.world.clock.now().checked_sub(passed).ok());
    let played = Played {
        failure: failure.map(|failure| failure.report(context.world.clock.now())),
        broken: None,
        events: context.world.journal.events(),
        events_dropped: context.world.journal.with(|log| log.dropped()),
        passes: context.passes.all(),
        scenario_time: elapsed,
        real_time: started.elapsed(),
        skipped: context.skipped.take(),
        done: context.done.get(),
        start: began.filter(|_| context.place.has_time_of_day()),
        writes: context.world.faults.writes(),
        rights: context.records.rights(),
        end: end_state::of(&context.world),
    };
    if context.world.mode == Mode::Cluster {
        context.world.close().await;
    }
    played
}

/// Scenario seconds that pass in a second of the runtime's clock.
fn pace(place: &Place) -> f64 {
    match place {
        Place::Cluster(cluster) => cluster.time.scale(),
        Place::Virtual | Place::Loopback(_) | Place::Command(..) => 1.0,
    }
}

/// Where clocks are real, machines have hiccups that no scenario speaks of: a program starts when it gets its turn, a
/// cluster that others run pulls images and starts JVMs.
fn hiccups(place: &Place) -> Duration {
    match place {
        Place::Virtual | Place::Loopback(_) => Duration::ZERO,
        Place::Command(..) => Duration::from_secs(10),
        Place::Cluster(cluster) => Duration::from_secs(120).mul_f64(cluster.time.scale().max(1.0)),
    }
}

/// `scale` scenario seconds pass per second of the runtime's clock.
pub(super) async fn prepare(
    case: &Case,
    vocabulary: &Vocabulary,
    run: &CaseRun,
    scale: f64,
) -> anyhow::Result<Context> {
    let passes = Passes::default();
    let settings = WorldSettings::from_scenario(&case.world, run.seed);
    let observer = Arc::new(passes.clone());
    // A real cluster has a time of its own, and its objects carry it.
    let epoch = match &run.place {
        Place::Cluster(cluster) => cluster.time.now(),
        Place::Command(_, time) => time.now(),
        Place::Virtual | Place::Loopback(_) => case.clock.start,
    };
    let world = World::boot_in(&run.place, settings, &case.crds, run.seed, epoch, scale, observer).await?;
    passes.write_to(world.journal.clone());
    let invariants = Invariants::default();
    invariants.watch(&world);
    let manners = Manners::new(world.clock, own_kinds(case));
    manners.watch(&world);
    let monitors = Monitors::new(world.clock, vocabulary, case.params_json());
    monitors.watch(&world);
    let records = Records::default();
    records.watch(&world);
    let changes = Changes::default();
    changes.watch(&world);
    let changed = Arc::new(Notify::new());
    let notify = changed.clone();
    world.watcher.on_change(move |_| notify.notify_waiters());
    if let Some(crash) = run.crash {
        // The dying process takes its wish for an answer with it, so "carried out" must not hang on its waiting.
        let verdict = if crash.is_committed { Verdict::DropAfterCommit } else { Verdict::DropBefore };
        world.faults.crash_at_write(crash.at_write, verdict);
    }
    world.start_operators();
    Ok(Context {
        world,
        passes,
        invariants,
        manners,
        monitors,
        evaluator: Evaluator::new(vocabulary.environment()),
        params: case.params_json(),
        place: run.place.clone(),
        records,
        skipped: RefCell::default(),
        unheard: RefCell::default(),
        done: Cell::new(0),
        beside: RefCell::default(),
        beside_added: Notify::new(),
        changed,
        changes,
        limit: case.clock.limit,
        hiccups: hiccups(&run.place),
        restart_after: Cell::new((run.crash.is_some() || run.place.is_command()).then_some(RESTART)),
        deaths: Default::default(),
        hooks: Hooks::default(),
    })
}

async fn perform(context: &Context, case: &Case) -> Result<(), Failure> {
    steps::declare(context, &case.monitors);
    let result = steps::run_sequence(context, &case.steps).await;
    if result.is_err() {
        let _ = steps::run_sequence(context, &case.catch).await;
        return result;
    }
    // What is found at the very end is told at the last step: a place to look at beats none.
    let last = case.steps.last();
    let ended = steps::settle(context).await.and_then(|()| {
        let found = context.manners.at_the_end().into_iter().next();
        found.map_or(Ok(()), |text| Err(Failure::invariant(text)))
    });
    ended.map_err(|failure| match last {
        Some(step) => failure.at(&step.span),
        None => failure,
    })
}

/// The kinds of the operator under test: those that the scenario brings along, or else Flink's.
fn own_kinds(case: &Case) -> Vec<(String, String)> {
    let text = |crd: &Value, pointer: &str| crd.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let of = |crd: &Value| Some((text(crd, "/spec/group")?, text(crd, "/spec/names/plural")?));
    if case.crds.is_empty() {
        let flink = kinds::flink_kinds().filter_map(kinds::find);
        return flink.map(|info| (info.group.to_owned(), info.plural.to_owned())).collect();
    }
    case.crds.iter().filter_map(of).collect()
}
