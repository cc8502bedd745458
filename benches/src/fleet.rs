//! A world with any number of Flink deployments, driven in virtual time with every invariant on.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use drey_harness::determinism;
use drey_harness::run::invariants::Invariants;
use drey_harness::run::passes::Passes;
use drey_harness::world::hands::PatchStyle;
use drey_harness::world::kinds::{self, KindInfo};
use drey_harness::world::{World, WorldSettings};
use drey_operator::{Lifecycle, Pass, PassObserver};
use fake_flink::ModelKnobs;
use fake_kube::Knobs;
use fake_kube_apiserver::Resource;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::tally::{Requests, Tally};

/// Runs `work` as scenarios run: on a seeded thread of its own, in virtual time.
pub fn simulate<T: Send + 'static>(
    seed: u64,
    work: impl AsyncFnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let outcome = determinism::on_seeded_thread(seed, "fleet", move || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        runtime.block_on(work())
    });
    outcome.unwrap_or_else(|_| Err(anyhow::anyhow!("the simulation panicked: its message is above")))
}

/// The world of the speed figures: delays of a small real cluster, a node with room for every pod.
pub fn usual(seed: u64) -> WorldSettings {
    let mut settings = WorldSettings::usual(seed);
    for node in &mut settings.kubelet.nodes {
        (node.cpu, node.memory, node.pods) = ("100k".to_owned(), "1Pi".to_owned(), 100_000);
    }
    settings
}

/// The world of the cost counts: a JobManager and a kubelet that need no time, so that what is left is ours.
pub fn instant(seed: u64) -> WorldSettings {
    let mut settings = usual(seed);
    settings.flink = ModelKnobs::instant();
    settings.task_manager_startup = Duration::ZERO;
    settings.kubelet = Knobs { seed, nodes: settings.kubelet.nodes, ..Knobs::instant() };
    settings
}

/// Judges look this often, as in a scenario's `advance`.
const STRIDE: Duration = Duration::from_secs(1);

pub struct Fleet {
    pub world: World,
    pub passes: Passes,
    invariants: Invariants,
    tally: Tally,
    calls_taken: usize,
    changes: watch::Receiver<u64>,
}

/// What a deployment is to be in before a wait ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// STABLE and RUNNING with the newest spec.
    Stable,
    /// Suspended as the newest spec says.
    Suspended,
    /// A savepoint of the current nonce is recorded, and the job goes on.
    Savepoint,
    Gone,
}

impl Fleet {
    /// Boots a world with an operator that watches and no deployment.
    pub async fn boot(settings: WorldSettings, seed: u64) -> anyhow::Result<Fleet> {
        Fleet::boot_watched(settings, seed, ()).await
    }

    /// As [`Fleet::boot`], with one more listener to the operator's passes.
    pub async fn boot_watched(
        settings: WorldSettings,
        seed: u64,
        more: impl PassObserver,
    ) -> anyhow::Result<Fleet> {
        let passes = Passes::default();
        let epoch: Timestamp = "2026-01-01T00:00:00Z".parse().context("the epoch")?;
        let observer = Arc::new(Both(passes.clone(), more));
        let world = World::boot(settings, seed, epoch, 1.0, observer).await?;
        passes.write_to(world.journal.clone());
        let invariants = Invariants::default();
        invariants.watch(&world);
        let (sender, changes) = watch::channel(0);
        world.watcher.on_change(move |_| sender.send_modify(|count| *count += 1));
        world.start_operators();
        world.clock.sleep(STRIDE).await;
        let tally = Tally::of(&world);
        Ok(Fleet { world, passes, invariants, tally, calls_taken: 0, changes })
    }

    pub async fn apply(&self, object: &Value) -> anyhow::Result<()> {
        let reply = self.world.hands.apply(object).await?;
        ensure!(reply.is_success(), "the server refused the manifest: {}", reply.refusal());
        Ok(())
    }

    pub async fn patch(&self, name: &str, body: &Value) -> anyhow::Result<()> {
        let (info, namespace) = (kind()?, &self.world.hands.namespace);
        let reply = self.world.hands.patch(info, namespace, name, None, PatchStyle::Merge, body).await?;
        ensure!(reply.is_success(), "the server refused the patch: {}", reply.refusal());
        Ok(())
    }

    pub async fn delete(&self, name: &str) -> anyhow::Result<()> {
        let (info, namespace) = (kind()?, &self.world.hands.namespace);
        let reply = self.world.hands.delete(info, namespace, name, &json!({})).await?;
        ensure!(reply.is_success(), "the server refused to delete: {}", reply.refusal());
        Ok(())
    }

    /// Lets scenario time pass; the judges look each second.
    pub async fn run(&self, span: Duration) -> anyhow::Result<()> {
        let end = self.world.clock.elapsed() + span;
        loop {
            let left = end.saturating_sub(self.world.clock.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            self.world.clock.sleep(left.min(STRIDE)).await;
            self.judge()?;
        }
    }

    /// Waits until every deployment of the list is where it should be; scenario time that took, to the instant.
    pub async fn wait(
        &mut self,
        names: &[String],
        until: Until,
        within: Duration,
    ) -> anyhow::Result<Duration> {
        let started = self.world.clock.elapsed();
        let mut judged = started;
        // The one that was behind last is looked at first: looking at all at every change would be most of the work.
        let mut first = 0;
        loop {
            self.changes.borrow_and_update();
            let order = (first..names.len()).chain(0..first);
            let Some(behind) = order.into_iter().find(|at| !self.is(&names[*at], until)) else {
                self.judge()?;
                return Ok(self.world.clock.elapsed() - started);
            };
            first = behind;
            let (now, behind) = (self.world.clock.elapsed(), &names[behind]);
            let waited = now - started;
            ensure!(waited < within, "{behind} is not {until:?} after {waited:?}: {}", self.describe(behind));
            let _ = tokio::time::timeout(STRIDE, self.changes.changed()).await;
            if self.world.clock.elapsed() >= judged + STRIDE {
                judged = self.world.clock.elapsed();
                self.judge()?;
            }
        }
    }

    fn is(&self, name: &str, until: Until) -> bool {
        let Some(object) = self.object(name) else { return until == Until::Gone };
        let status = &object["status"];
        let is_current = status["observedGeneration"] == object["metadata"]["generation"];
        let is_running = status["lifecycleState"] == "STABLE" && status["jobStatus"]["state"] == "RUNNING";
        match until {
            Until::Stable => is_current && is_running,
            Until::Suspended => is_current && status["lifecycleState"] == "SUSPENDED",
            Until::Savepoint => {
                let wanted = &object["spec"]["job"]["savepointTriggerNonce"];
                is_current
                    && is_running
                    && status["jobStatus"]["savepointInfo"]["lastSavepoint"]["triggerNonce"] == *wanted
            }
            Until::Gone => false,
        }
    }

    fn object(&self, name: &str) -> Option<Arc<Value>> {
        let resource = Resource::new("flink.apache.org", "v1beta1", "flinkdeployments");
        self.world.api.client("bench").get(&resource, &self.world.hands.namespace, name).ok()
    }

    fn describe(&self, name: &str) -> String {
        let last = self.passes.last().map(|pass| format!("{}; then {}", pass.trace.join("; "), pass.next));
        let status = self.object(name).map_or("gone".to_owned(), |object| object["status"].to_string());
        format!("status {status}; last pass: {}", last.unwrap_or_default())
    }

    /// Everything a scenario is judged by after each step.
    fn judge(&self) -> anyhow::Result<()> {
        self.invariants.inspect(&self.world.flink);
        let mut found = self.invariants.take_violations();
        found.extend(self.passes.take_violations());
        ensure!(found.is_empty(), "an invariant broke: {}", found.join("; "));
        let complaints = self.world.cluster.complaints();
        ensure!(complaints.is_empty(), "a controller was refused: {}", complaints.join("; "));
        Ok(())
    }

    /// Requests of the operator since the last call.
    pub fn take_requests(&mut self) -> Requests {
        let calls = self.world.network.calls();
        let requests = self.tally.take(&calls[self.calls_taken..]);
        self.calls_taken = calls.len();
        requests
    }

    /// FNV-1a over the whole story: two runs that did the same work have the same one.
    pub fn checksum(&self) -> u64 {
        let mut text = String::new();
        self.world.journal.with(|log| {
            for event in log.events() {
                text.push_str(&format!("{} {} {}\n", event.t, event.lane, event.text));
            }
        });
        determinism::fnv1a(text.as_bytes())
    }
}

fn kind() -> anyhow::Result<&'static KindInfo> {
    kinds::find("FlinkDeployment").context("the harness knows FlinkDeployment")
}

struct Both<T>(Passes, T);

impl<T: PassObserver> PassObserver for Both<T> {
    fn pass(&self, pass: &Pass<'_>) {
        self.0.pass(pass);
        self.1.pass(pass);
    }

    fn lifecycle(&self, event: &Lifecycle) {
        self.0.lifecycle(event);
        self.1.lifecycle(event);
    }
}

/// Upgrade modes, as a spec names them.
pub const UPGRADE_MODES: [&str; 3] = ["stateless", "last-state", "savepoint"];

/// An application cluster as users write them: HA on, checkpoints each 30 s.
pub fn manifest(name: &str, upgrade_mode: &str) -> Value {
    json!({
        "apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment", "metadata": {"name": name},
        "spec": {
            "image": "flink:1.20", "flinkVersion": "v1_20", "serviceAccount": "flink",
            "flinkConfiguration": {
                "high-availability.type": "kubernetes",
                "high-availability.storageDir": format!("s3://flink/{name}/ha"),
                "execution.checkpointing.interval": "30 s",
                "state.checkpoints.dir": format!("s3://flink/{name}/checkpoints"),
                "state.savepoints.dir": format!("s3://flink/{name}/savepoints"),
                "taskmanager.numberOfTaskSlots": "2",
            },
            "jobManager": {"resource": {"memory": "2048m", "cpu": 1}},
            "taskManager": {"resource": {"memory": "2048m", "cpu": 1}},
            "job": {
                "jarURI": "local:///opt/flink/examples/streaming/StateMachineExample.jar",
                "parallelism": 2, "upgradeMode": upgrade_mode, "state": "running",
            },
        },
    })
}

/// `app-000`, `app-001`, ..
pub fn names(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("app-{index:03}")).collect()
}
