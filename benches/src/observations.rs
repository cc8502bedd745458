//! Real inputs of `decide`, taken out of a run: what a benchmark of the pure part is fed with.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use drey_harness::determinism::fnv1a;
use drey_harness::world::flink::ClusterKey;
use drey_operator::{Pass, PassObserver};
use drey_reconciler::{ActionKind, Observation, Policy, decide};
use fake_flink::{Command, Throwable};
use jiff::Timestamp;
use serde_json::json;

use crate::fleet::{Fleet, Until, instant, manifest, names, simulate};

/// One input of `decide`, complete: nothing is left to be asked.
#[derive(Clone, Debug)]
pub struct Sample {
    pub name: &'static str,
    pub observation: Observation,
    pub now: Timestamp,
    pub plan: Vec<ActionKind>,
}

impl Sample {
    /// The decision as a number, which differs when anything of it does.
    pub fn decide(&self, policy: &Policy) -> u64 {
        fnv1a(format!("{:?}", decide(&self.observation, policy, self.now)).as_bytes())
    }

    /// Allocations of one decision, on this thread alone.
    #[cfg(feature = "count-allocations")]
    pub fn allocations(&self, policy: &Policy) -> u64 {
        // Tables that are made once and kept would count for whoever comes first.
        let _ = decide(&self.observation, policy, self.now);
        allocation_counter::measure(|| drop(decide(&self.observation, policy, self.now))).count_total
    }
}

/// What a pass saw, when, and what it planned.
type Seen = (Observation, Timestamp, Vec<ActionKind>);

#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<Seen>>>);

impl Recorder {
    fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl PassObserver for Recorder {
    fn pass(&self, pass: &Pass<'_>) {
        let plan = pass.decision.plan.iter().map(drey_reconciler::Action::kind).collect();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push((pass.observation.clone(), pass.started, plan));
    }
}

const WITHIN: Duration = Duration::from_secs(120);
const CALM: Duration = Duration::from_secs(120);

/// Converged, stopping and starting in an upgrade, and failing.
pub fn samples(seed: u64) -> anyhow::Result<Vec<Sample>> {
    simulate(seed, async move || {
        let recorder = Recorder::default();
        let mut fleet = Fleet::boot_watched(instant(seed), seed, recorder.clone()).await?;
        let names = names(1);
        let app = names[0].clone();
        let mut object = manifest(&app, "savepoint");
        object["spec"]["flinkConfiguration"]["restart-strategy.type"] = json!("none");
        fleet.apply(&object).await?;
        fleet.wait(&names, Until::Stable, WITHIN).await?;
        fleet.run(CALM).await?;
        let mut samples = vec![pick("converged", recorder.take().into_iter().rev(), |plan| plan.is_empty())?];

        fleet.patch(&app, &json!({"spec": {"job": {"parallelism": 4}}})).await?;
        fleet.wait(&names, Until::Stable, WITHIN).await?;
        fleet.run(CALM).await?;
        let passes = recorder.take();
        let has = |kind: ActionKind| move |plan: &[ActionKind]| plan.contains(&kind);
        samples.push(pick("upgrading, stop", passes.iter().cloned(), has(ActionKind::StopWithSavepoint))?);
        samples.push(pick("upgrading, start", passes.into_iter(), has(ActionKind::CreateCluster))?);

        let key = ClusterKey::new(&fleet.world.hands.namespace, &app);
        let cause = Throwable::new("java.lang.RuntimeException", "injected by the benchmark");
        let was_told = fleet.world.command(&key, &Command::FailJob { job: None, cause, times: None });
        anyhow::ensure!(was_told, "no JobManager to fail the job of");
        fleet.run(CALM).await?;
        let is_failed = |(observation, ..): &(Observation, Timestamp, Vec<ActionKind>)| {
            let jobs = observation.flink.jobs.known();
            jobs.is_some_and(|jobs| jobs.iter().any(|job| job.state.as_str() == "FAILED"))
        };
        samples.push(pick("failing", recorder.take().into_iter().filter(is_failed), |_| true)?);
        Ok(samples)
    })
}

fn pick(
    name: &'static str,
    mut passes: impl Iterator<Item = (Observation, Timestamp, Vec<ActionKind>)>,
    is_wanted: impl Fn(&[ActionKind]) -> bool,
) -> anyhow::Result<Sample> {
    let (observation, now, plan) =
        passes.find(|(_, _, plan)| is_wanted(plan)).with_context(|| format!("no pass was {name}"))?;
    Ok(Sample { name, observation, now, plan })
}
