//! One pass over one resource: gather, ask, decide, act. Everything it knows comes in, everything it leaves
//! behind goes out; between the two it holds nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use drey_api::FlinkDeployment;
use drey_blueprint::config::keys;
use drey_reconciler::{ActionFailure, ActionKind, Attempt, Decision, Memo, Next, Observation, Policy};
use jiff::Timestamp;

use crate::act::{ActError, Actor};
use crate::answer::answer;
use crate::api::Api;
use crate::clock::{Clock, after};
use crate::flink::{FlinkClient, FlinkTransport, Target};
use crate::observer::{Counts, Outcome, Pass, PassObserver};
use crate::queue::{Cause, Key};
use crate::recorder::{Happening, Recorder};
use crate::settings::Settings;
use crate::world::World;

/// Rounds of asking before a decision; each answer can raise at most a few more questions.
const ROUNDS_MAX: u32 = 12;

/// All events of a pass together may take this long where a plan waits for them,
const EVENTS_TIME_MAX: Duration = Duration::from_secs(2);

/// and this long where nothing does.
const EVENTS_TIME_ALONE_MAX: Duration = Duration::from_secs(30);

/// Events that could not be published are tried again after this.
const EVENTS_AGAIN: Duration = Duration::from_secs(15);

/// So many of them are kept per resource; of more, the oldest are left out.
const UNSENT_MAX: usize = 32;

/// What every pass needs.
pub(crate) struct Context {
    pub api: Api,
    pub recorder: Recorder,
    pub flink: Arc<dyn FlinkTransport>,
    pub clock: Arc<dyn Clock>,
    pub policy: Policy,
    pub settings: Settings,
    pub observer: Arc<dyn PassObserver>,
    pub world: Arc<World>,
}

/// What a pass is told by the one before it. Losing it costs a request or a repeated event, nothing else.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    pub memo: Memo,
    pub failure: Option<ActionFailure>,
    pub unsent: Unsent,
    /// The API server asked to be left alone until then.
    pub not_before: Option<Timestamp>,
    /// The pass asked nobody and changed nothing: it read what the watches had brought.
    pub was_free: bool,
}

/// Events that could not be published yet, oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unsent {
    events: Vec<Happening>,
    /// Not tried again before: a pass waits for the attempt.
    not_before: Option<Timestamp>,
}

impl Unsent {
    /// How many are tried now.
    fn due(&self, now: Timestamp) -> u32 {
        let is_put_off = self.not_before.is_some_and(|until| until > now);
        if is_put_off { 0 } else { u32::try_from(self.events.len()).unwrap_or(u32::MAX) }
    }
}

/// What a pass came to.
#[derive(Debug)]
pub(crate) enum End {
    /// The resource does not exist any more.
    Gone,
    Done(Next),
    /// The picture was too old; it is newer now.
    Outdated,
    Failed(ActError),
}

/// Makes one pass.
pub(crate) async fn pass(context: &Context, key: &Key, cause: Cause, memory: Memory) -> (End, Memory) {
    let Some((mut observation, version)) = context.world.observe(key) else {
        return (End::Gone, Memory::default());
    };
    let started = context.clock.now();
    observation.memo = memory.memo;
    observation.failure = memory.failure;
    // The pass that only tells the decision of a refusal sends nothing, and does not end the wait either.
    let held = memory.not_before.filter(|until| observation.failure.is_some() && *until > started);
    let api = context.api.counted_anew();
    let flink = flink_client(context, &observation.resource);
    let (decision, rounds) = decide(context, &mut observation, &flink, &api, started).await;
    let mut unsent = memory.unsent;
    // One look at the clock says both which events are tried again and what is told of it.
    let decided = context.clock.now();
    let late_events = unsent.due(decided);
    let outcome = match forbidden(key, &observation, &decision) {
        Some(error) => Outcome::Failed { at: 0, error },
        None => {
            unsent = publish(context, key, &observation.resource, (&decision, decided), unsent, &api).await;
            carry_out(context, key, &observation, version, &decision, &flink, &api).await
        }
    };
    let counts = Counts {
        api_reads: api.requests.reads(),
        api_writes: api.requests.writes(),
        flink_requests: flink.requests(),
        late_events,
        rounds,
    };
    let ended = context.clock.now();
    trace(key, &cause, &decision, &outcome, counts);
    context.observer.pass(&Pass {
        key,
        cause: &cause,
        observation: &observation,
        decision: &decision,
        outcome: &outcome,
        counts,
        started,
        ended,
    });
    let was_free = counts == Counts { rounds, ..Counts::default() };
    let not_before = match &outcome {
        Outcome::Failed { error: ActError::Api(error), .. } => {
            error.retry_after().map(|wait| after(ended, wait))
        }
        Outcome::Failed { .. } | Outcome::Done => None,
    };
    let left = Memory { unsent, not_before: not_before.or(held), was_free, ..Memory::default() };
    settle(decision, outcome, left)
}

fn settle(decision: Decision, outcome: Outcome, left: Memory) -> (End, Memory) {
    let memo = decision.memo;
    match outcome {
        Outcome::Done => {
            let next = if left.unsent.events.is_empty() { decision.next } else { soon(decision.next) };
            (End::Done(next), Memory { memo, ..left })
        }
        Outcome::Failed { error: ActError::Outdated(_), .. } => (End::Outdated, Memory { memo, ..left }),
        Outcome::Failed { at, error } => {
            let action =
                decision.plan.get(at).map_or(ActionKind::PersistStatus, drey_reconciler::Action::kind);
            let failure = error.for_decision().map(|error| ActionFailure { action, error });
            (End::Failed(error), Memory { memo, failure, ..left })
        }
    }
}

/// Events that are left are not to wait for the next change.
fn soon(next: Next) -> Next {
    match next {
        Next::After(wait, reason) if wait <= EVENTS_AGAIN => Next::After(wait, reason),
        Next::After(..) | Next::OnChange(_) => {
            Next::After(EVENTS_AGAIN, "events are to be published".to_owned())
        }
        Next::Again(reason) => Next::Again(reason),
    }
}

/// Fetches until the decision has everything; every question once.
async fn decide(
    context: &Context,
    observation: &mut Observation,
    flink: &FlinkClient,
    api: &Api,
    now: Timestamp,
) -> (Decision, u32) {
    for round in 0..ROUNDS_MAX {
        match drey_reconciler::attempt(observation, &context.policy, now) {
            Attempt::Decided(decision) => return (decision, round),
            Attempt::Ask(asks) => {
                for one in &asks {
                    answer(one, observation, flink, api).await;
                }
            }
        }
    }
    tracing::error!(
        resource = observation.resource.name(),
        "questions without end: deciding on what is known"
    );
    (drey_reconciler::decide(observation, &context.policy, now), ROUNDS_MAX)
}

/// The linter's veto. Plans are made by many rules and can lose data; what no plan may contain is few lines.
fn forbidden(key: &Key, observation: &Observation, decision: &Decision) -> Option<ActError> {
    for violation in drey_reconciler::check::observation(observation) {
        tracing::warn!(%key, rule = violation.rule, text = violation.text, "facts contradict each other");
    }
    let violation = drey_reconciler::check::decision(observation, decision).into_iter().next()?;
    tracing::error!(%key, rule = violation.rule, text = violation.text, "a plan breaks a rule and is not carried out");
    Some(ActError::Forbidden(format!("{}: {}", violation.rule, violation.text)))
}

/// The plan in order up to the first error, then the status.
async fn carry_out(
    context: &Context,
    key: &Key,
    observation: &Observation,
    version: String,
    decision: &Decision,
    flink: &FlinkClient,
    api: &Api,
) -> Outcome {
    let resource = &observation.resource;
    let cancel_timeout = context.clock.runtime(context.settings.flink_cancel_timeout);
    let mut actor = Actor {
        key,
        resource,
        api,
        flink,
        flink_cancel: &flink.with_timeout(cancel_timeout),
        world: &context.world,
        version,
        stored: resource.status.clone(),
        had_deployment: observation.job_manager.known().is_some(),
        saw_no_pods: false,
        saw_metadata: false,
        is_gone: false,
    };
    for (at, action) in decision.plan.iter().enumerate() {
        if let Err(error) = actor.act(action).await {
            return Outcome::Failed { at, error };
        }
    }
    if actor.is_gone {
        return Outcome::Done;
    }
    match actor.persist(&decision.status).await {
        Ok(()) => Outcome::Done,
        Err(error) => Outcome::Failed { at: decision.plan.len(), error },
    }
}

/// Before the plan, and not for long: a job may stand still until the plan is carried out. What is left comes back, to be
/// published with the next pass: an outage of the API server is when users need the story most.
async fn publish(
    context: &Context,
    key: &Key,
    resource: &FlinkDeployment,
    (decision, now): (&Decision, Timestamp),
    unsent: Unsent,
    api: &Api,
) -> Unsent {
    if unsent.events.is_empty() && decision.events.is_empty() {
        return Unsent::default();
    }
    let mut queue = VecDeque::from(unsent.events);
    for event in &decision.events {
        // A plan that fails is made again, with its events: what nobody has heard yet is said once.
        if !queue.iter().any(|kept| kept.is_same(event)) {
            queue.push_back(Happening { at: now, event: event.clone(), tried: false });
        }
    }
    let put_off = unsent.not_before.filter(|until| *until > now);
    if put_off.is_none() {
        let allowance = if decision.plan.is_empty() { EVENTS_TIME_ALONE_MAX } else { EVENTS_TIME_MAX };
        send(context, key, resource, &mut queue, allowance, api).await;
    }
    let excess = queue.len().saturating_sub(UNSENT_MAX);
    for Happening { at, event, .. } in queue.drain(..excess) {
        tracing::warn!(%key, %at, reason = event.reason, message = event.message, "left out an event");
    }
    let not_before = put_off.or_else(|| Some(after(context.clock.now(), EVENTS_AGAIN)));
    Unsent { not_before: not_before.filter(|_| !queue.is_empty()), events: queue.into() }
}

/// Takes what is dealt with off the queue, up to the first that may succeed later.
async fn send(
    context: &Context,
    key: &Key,
    resource: &FlinkDeployment,
    queue: &mut VecDeque<Happening>,
    allowance: Duration,
    api: &Api,
) {
    let all = async {
        while let Some(first) = queue.front_mut() {
            let result = context.recorder.publish(api, resource, first).await;
            first.tried = true;
            match result {
                Err(error) if error.is_passing() => {
                    tracing::warn!(%key, reason = first.event.reason, %error, "could not publish an event yet");
                    return;
                }
                Err(error) => tracing::warn!(%key, reason = first.event.reason, %error, "left out an event"),
                Ok(()) => {}
            }
            queue.pop_front();
        }
    };
    if tokio::time::timeout(context.clock.runtime(allowance), all).await.is_err() {
        if let Some(first) = queue.front_mut() {
            first.tried = true;
        }
        tracing::warn!(%key, "put events off: the API server takes too long");
    }
}

fn flink_client(context: &Context, resource: &FlinkDeployment) -> FlinkClient {
    let target = Target::rest(resource.namespace(), resource.name(), rest_port(context, resource));
    let timeout = context.clock.runtime(context.settings.flink_timeout);
    FlinkClient::new(Arc::clone(&context.flink), target, timeout)
}

/// `rest.port` of what runs, which is the recorded spec while the user's may be a new one already.
fn rest_port(context: &Context, resource: &FlinkDeployment) -> u16 {
    let text = resource.status.as_ref().and_then(|s| s.reconciliation_status.last_reconciled_spec.as_deref());
    let recorded = text.and_then(|text| context.policy.stored_spec(text).ok());
    let spec = recorded.as_ref().map_or(&resource.spec, |r| &r.spec);
    let config = &context.policy.config;
    let mut conf = config.defaults_for(resource.namespace(), spec.flink_version);
    conf.extend(spec.flink_configuration.flatten());
    let port = conf.get(keys::REST_PORT).and_then(|port| u16::try_from(port).ok());
    port.filter(|port| *port != 0).unwrap_or(8081)
}

fn trace(key: &Key, cause: &Cause, decision: &Decision, outcome: &Outcome, counts: Counts) {
    let (reads, writes, flink) = (counts.api_reads, counts.api_writes, counts.flink_requests);
    match outcome {
        Outcome::Done => {
            let next = &decision.next;
            tracing::debug!(%key, %cause, actions = decision.plan.len(), reads, writes, flink, ?next, "pass");
        }
        Outcome::Failed { at, error } => {
            let action =
                decision.plan.get(*at).map_or(ActionKind::PersistStatus, drey_reconciler::Action::kind);
            tracing::warn!(%key, %cause, ?action, %error, "pass stopped");
        }
    }
    for step in &decision.trace {
        tracing::trace!(%key, "{step}");
    }
}
