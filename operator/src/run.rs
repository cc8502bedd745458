//! The operator's main loop: one place owns the queue and everything that can happen to it.
//!
//! Nothing is spawned. Watches, passes and the lease are futures inside the one that `run` returns, so dropping
//! it is a crash at exactly that instant, and a lost lease drops everything that could still write.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use drey_api::{FlinkDeployment, FlinkDeploymentStatus, ReconciliationState};
use drey_reconciler::{Next, Policy};
use futures::future::FusedFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::time::Instant;

use crate::api::Api;
use crate::deps::Deps;
use crate::fence::Fence;
use crate::lease::Keeper;
use crate::limiter::Limiter;
use crate::observer::Lifecycle;
use crate::pass::{Context, End, Memory, pass};
use crate::queue::{Cause, Key, Queue};
use crate::recorder::Recorder;
use crate::settings::{RESYNC, Settings};
use crate::world::{WatchNews, World, watches};

/// Passes under way get this long (world time) to end when the operator is asked to stop.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Outdated passes in a row that are repeated at once; after that each waits a little longer.
const CONFLICTS_AT_ONCE: u32 = 3;
const CONFLICT_PAUSE: Duration = Duration::from_secs(1);

/// Runs an operator until `shutdown` is ready. Dropping the future is a crash.
///
/// Fails only for settings that cannot work; everything that happens later is retried.
pub async fn run(deps: Deps, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let mut shutdown = pin!(shutdown.fuse());
    let Some(config) = deps.leader_election.clone() else {
        reign(&deps, Fence::open(), shutdown.as_mut()).await;
        deps.observer.lifecycle(&Lifecycle::Stopped);
        return Ok(());
    };
    config.check().map_err(anyhow::Error::msg)?;
    anyhow::ensure!(!deps.identity.trim().is_empty(), "leader election needs an identity that is not empty");
    while !shutdown.is_terminated() {
        let (client, clock) = (deps.client.clone(), Arc::clone(&deps.clock));
        let mut keeper =
            Keeper::new(client, clock, config.clone(), deps.identity.clone(), Arc::clone(&deps.observer));
        tokio::select! {
            biased;
            () = shutdown.as_mut() => break,
            () = keeper.acquire() => {}
        }
        tracing::info!(lease = config.name, identity = deps.identity, "leads");
        let fence = keeper.fence();
        let lost = tokio::select! {
            biased;
            why = keeper.keep() => Some(why),
            () = reign(&deps, fence, shutdown.as_mut()) => None,
        };
        match lost {
            None => keeper.release().await,
            Some(why) => {
                tracing::error!(
                    lease = config.name,
                    why,
                    "lost the lease: stopped working, trying to get it back"
                );
                deps.observer.lifecycle(&Lifecycle::LostLease { why });
            }
        }
    }
    deps.observer.lifecycle(&Lifecycle::Stopped);
    Ok(())
}

/// What is remembered of a resource between passes.
#[derive(Debug, Default)]
struct Record {
    /// Of the object these memories are about; one deleted and created again is another.
    uid: String,
    memory: Memory,
    limiter: Limiter,
    /// Failed plans in a row.
    failures: u32,
    conflicts: u32,
    /// The last pass asked for this one.
    urgent: bool,
    /// Of the object the last pass was about: a newer one is the user's word, and they wait for the answer.
    generation: i64,
}

/// Watches and reconciles until `shutdown`.
async fn reign<S: FusedFuture<Output = ()>>(deps: &Deps, fence: Fence, mut shutdown: Pin<&mut S>) {
    let settings = Settings::of(&deps.config);
    let world = Arc::new(World::default());
    let mut news =
        watches(&deps.client, &settings.namespaces, settings.label_selector.as_deref(), &world, &deps.clock);
    let context = Context {
        api: Api::new(deps.client.clone(), Arc::clone(&deps.clock), fence, Arc::clone(&deps.observer)),
        recorder: Recorder::default(),
        flink: Arc::clone(&deps.flink),
        clock: Arc::clone(&deps.clock),
        policy: Policy::new(deps.config.clone()),
        settings,
        observer: Arc::clone(&deps.observer),
        world,
    };
    deps.observer.lifecycle(&Lifecycle::Started);
    let mut desk = Desk { context: &context, queue: Queue::default(), records: BTreeMap::new() };
    let mut passes = FuturesUnordered::new();
    let concurrency = usize::from(deps.concurrency.max(1));
    loop {
        while passes.len() < concurrency
            && let Some((key, cause, memory)) = desk.start()
        {
            let context = &context;
            passes.push(async move {
                let (end, memory) = pass(context, &key, cause, memory).await;
                (key, end, memory)
            });
        }
        let due = if passes.len() < concurrency { desk.queue.next_due() } else { None };
        // The order is deliberate: what watches know is taken in before anything is decided on it.
        tokio::select! {
            biased;
            () = shutdown.as_mut() => break,
            Some(one) = news.next() => desk.hear(&one),
            Some((key, end, memory)) = passes.next() => desk.settle(&key, end, memory),
            () = sleep_until(due) => {}
        }
    }
    let drain = async { while passes.next().await.is_some() {} };
    if tokio::time::timeout(deps.clock.runtime(DRAIN_MAX), drain).await.is_err() {
        tracing::warn!("stopped with passes under way: they go on where they were after the next start");
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The one owner of what is due and what is remembered.
struct Desk<'a> {
    context: &'a Context,
    queue: Queue,
    records: BTreeMap<Key, Record>,
}

impl Desk<'_> {
    /// Takes in what a watch brought.
    fn hear(&mut self, news: &WatchNews) {
        let observer = &self.context.observer;
        let (kind, scope) = (news.kind, &news.scope);
        if let Some(error) = &news.error {
            tracing::warn!(kind, scope, error, "a watch failed, trying again");
            observer.lifecycle(&Lifecycle::WatchFailed { kind, scope: scope.clone(), error: error.clone() });
        }
        let now = Instant::now();
        let world = &self.context.world;
        for key in &news.touched {
            if world.has_resource(key) || self.records.contains_key(key) {
                self.queue.trigger(key, Cause::Changed(kind), now);
            }
        }
        if news.synced {
            observer.lifecycle(&Lifecycle::WatchSynced { kind, scope: scope.clone() });
            // Passes wait for the last of the lists; whichever it is starts them.
            for key in world.keys(scope) {
                self.queue.trigger(&key, Cause::Changed(kind), now);
            }
        }
    }

    /// The next pass to make, if one is due and may be made.
    fn start(&mut self) -> Option<(Key, Cause, Memory)> {
        loop {
            let now = Instant::now();
            let (key, cause) = self.queue.take(now)?;
            if !self.context.world.is_synced(&key.namespace) {
                self.queue.finish(&key, None, now);
                continue;
            }
            let seen = self.context.world.look(&key, |entry| {
                let generation = entry.value.metadata.generation.unwrap_or_default();
                (entry.uid.clone(), generation, is_half_done(&entry.value))
            });
            let Some((uid, generation, is_half_done)) = seen else {
                self.forget(&key, now);
                continue;
            };
            let record = self.records.entry(key.clone()).or_default();
            if uid != record.uid {
                *record = Record { uid, ..Record::default() };
            }
            // Telling the decision of a refusal sends nothing.
            let now_there = self.context.clock.now();
            if let Some(until) = record.memory.not_before.filter(|until| *until > now_there)
                && record.memory.failure.is_none()
            {
                let wait = self.context.clock.runtime(crate::clock::until(now_there, until));
                tracing::debug!(%key, ?wait, "the API server asked to be left alone");
                self.queue.postpone(&key, now + wait, cause);
                continue;
            }
            // What a decision paced itself, what stands half done and what the user wants is not for the limiter to delay.
            let urgent = record.urgent
                || !matches!(cause, Cause::Changed(_))
                || is_half_done
                || generation != record.generation;
            let (limit, clock) = (self.context.settings.rate_limit, &self.context.clock);
            match record.limiter.admit(limit, clock.now(), urgent) {
                Ok(()) => {
                    record.generation = generation;
                    return Some((key, cause, record.memory.clone()));
                }
                Err(wait) => {
                    tracing::debug!(%key, ?wait, "over the rate limit");
                    self.queue.postpone(&key, now + clock.runtime(wait), cause);
                }
            }
        }
    }

    /// The resource is gone for good.
    fn forget(&mut self, key: &Key, now: Instant) {
        self.records.remove(key);
        self.queue.forget(key, now);
        self.context.observer.lifecycle(&Lifecycle::Forgotten { key: key.clone() });
    }

    /// Decides when a resource is due again.
    fn settle(&mut self, key: &Key, end: End, memory: Memory) {
        let now = Instant::now();
        let clock = &self.context.clock;
        let record = self.records.entry(key.clone()).or_default();
        let reported = record.memory.failure.is_some();
        record.memory = memory;
        record.urgent = false;
        if record.memory.was_free {
            record.limiter.refund();
        }
        let conflicts = std::mem::take(&mut record.conflicts);
        let next = match end {
            End::Gone => return self.forget(key, now),
            End::Done(next) => {
                // The pass that only reported a failure does not prove that it is over.
                if !reported {
                    record.failures = 0;
                }
                match next {
                    Next::After(delay, reason) => (now + clock.runtime(delay), Cause::Due(reason)),
                    Next::OnChange(reason) => (now + clock.runtime(RESYNC), Cause::Due(reason)),
                    Next::Again(reason) => {
                        record.urgent = true;
                        (now, Cause::Due(reason))
                    }
                }
            }
            End::Outdated => {
                record.conflicts = conflicts + 1;
                let pause = CONFLICT_PAUSE * conflicts.saturating_sub(CONFLICTS_AT_ONCE).min(30);
                (now + clock.runtime(pause), Cause::Conflict)
            }
            End::Failed(error) => {
                record.failures += 1;
                let attempt = record.failures;
                // The first pass after a failure tells it to the decision, at once; it may have an answer.
                if record.memory.failure.is_some() && !reported {
                    record.urgent = true;
                    self.queue.finish(key, Some((now, Cause::Retry { attempt })), now);
                    return;
                }
                let delay = self.context.settings.backoff.delay(attempt).unwrap_or_else(|| {
                    tracing::error!(%key, %error, attempt, "keeps failing: looked at rarely until something changes");
                    RESYNC
                });
                (now + clock.runtime(delay.min(RESYNC)), Cause::Retry { attempt })
            }
        };
        self.queue.finish(key, Some(next), now);
    }
}

/// Something was begun whose next step waits for a pass: an upgrade, a start, a savepoint, a deletion. What the
/// watches bring then is looked at when it comes (reconciler.md 2.4: never limit the second half of an upgrade).
fn is_half_done(resource: &FlinkDeployment) -> bool {
    let is_moving = |status: &FlinkDeploymentStatus| {
        let recorded = &status.reconciliation_status;
        let is_between =
            matches!(recorded.state, ReconciliationState::Upgrading | ReconciliationState::RollingBack);
        let is_starting = recorded.last_reconciled_spec != recorded.last_stable_spec;
        let is_saving = status.job_status.savepoint_info.trigger_id.is_some();
        is_between || is_starting || is_saving
    };
    resource.metadata.deletion_timestamp.is_some() || resource.status.as_ref().is_some_and(is_moving)
}
