//! Puts a world together and starts it. Everything runs as tasks of the current runtime and ends with the world.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drey_blueprint::config::OperatorConfig;
use drey_operator::{LeaseConfig, PassObserver};
use fake_kube::Cluster;
use fake_kube_apiserver::{ApiServer, Options, User};
use jiff::Timestamp;
use serde_json::json;
use tokio::task::JoinSet;

use super::clock::{ApiClock, ScenarioClock};
use super::flink::{ClusterKey, FlinkPrograms, FlinkWorld};
use super::gate::Faults;
use super::hands::Hands;
use super::journal::Journal;
use super::network::Network;
use super::operator::{Blueprint, OperatorProcess};
use super::settings::WorldSettings;
use super::watcher::Watcher;

/// The namespace scenarios work in unless an object says otherwise.
pub const NAMESPACE: &str = "default";

/// A running world. Dropping it stops everything in it.
pub struct World {
    pub clock: ScenarioClock,
    pub journal: Journal,
    pub api: ApiServer,
    pub cluster: Cluster,
    pub flink: FlinkWorld,
    pub network: Network,
    pub faults: Faults,
    pub watcher: Watcher,
    pub hands: Hands,
    pub settings: WorldSettings,
    blueprint: Blueprint,
    operators: Arc<Mutex<Vec<OperatorProcess>>>,
    tasks: JoinSet<()>,
}

impl World {
    /// Boots everything except the operator, which [`World::start_operators`] starts once listeners are in place.
    pub async fn boot(
        settings: WorldSettings,
        seed: u64,
        epoch: Timestamp,
        scale: f64,
        observer: Arc<dyn PassObserver>,
    ) -> anyhow::Result<World> {
        let clock = ScenarioClock::start(epoch, scale);
        let journal = Journal::new(clock);
        let api = ApiServer::new(Options { seed, ..Options::new(Arc::new(ApiClock(clock))) });
        let watcher = Watcher::new(journal.clone());
        let hands = Hands::new(kube::Client::new(api.service(User::new("user", &["system:masters"])), NAMESPACE), NAMESPACE);
        prepare(&hands).await?;
        api.set_observer(Arc::new(watcher.clone()));
        let flink = FlinkWorld::new(journal.clone(), settings.flink.clone(), seed);
        let programs = FlinkPrograms {
            world: flink.clone(),
            api: api.clone(),
            task_manager_startup: settings.task_manager_startup(),
        };
        let cluster = Cluster::new(api.clone(), Arc::new(ApiClock(clock)), settings.kubelet.clone(), Arc::new(programs));
        let network = Network::new(cluster.clone(), clock, journal.clone(), settings.flink_latency);
        let faults = Faults::new(journal.clone(), clock, seed, settings.api_latency);
        api.set_gate(Arc::new(faults.clone()));
        let blueprint = Blueprint {
            api: api.clone(),
            flink: Arc::new(network.clone()),
            clock,
            journal: journal.clone(),
            config: operator_config(&settings)?,
            observer,
            leader_election: settings.operator.has_leader_election.then(lease),
        };
        let mut world = World {
            clock,
            journal,
            api,
            cluster,
            flink,
            network,
            faults,
            watcher,
            hands,
            settings,
            blueprint,
            operators: Arc::default(),
            tasks: JoinSet::new(),
        };
        world.start_cluster();
        world.follow_ha_changes();
        Ok(world)
    }

    fn start_cluster(&mut self) {
        let cluster = self.cluster.clone();
        self.tasks.spawn(async move { cluster.run(std::future::pending()).await });
    }

    /// The real JobManager watches its ConfigMaps; here the watch ends at the process.
    fn follow_ha_changes(&mut self) {
        let (flink, cluster) = (self.flink.clone(), self.cluster.clone());
        self.watcher.on_change(move |change| {
            let is_foreign = !change.actor.starts_with("jobmanager");
            let labels = &change.object["metadata"]["labels"];
            if is_foreign && change.resource.plural == "configmaps" && labels["type"] == "flink-native-kubernetes" {
                let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
                let key = ClusterKey::new(&text(&change.object["metadata"]["namespace"]), &text(&labels["app"]));
                if !flink.live(&key).is_empty() {
                    flink.ha_changed(&key);
                    Wake(cluster.clone()).soon();
                }
            }
        });
    }

    fn operators(&self) -> MutexGuard<'_, Vec<OperatorProcess>> {
        self.operators.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn start_operators(&self) {
        for index in 1..=self.settings.operator.replicas {
            self.start_operator(&format!("operator-{index}"));
        }
    }

    /// Starts one more process, or the successor of a dead one of that name.
    pub fn start_operator(&self, identity: &str) {
        self.start_from(&self.blueprint, identity);
    }

    /// A process that takes no lease: the mistake of running two operators over one namespace.
    pub fn start_operator_without_lease(&self, identity: &str) {
        self.start_from(&Blueprint { leader_election: None, ..self.blueprint.clone() }, identity);
    }

    fn start_from(&self, blueprint: &Blueprint, identity: &str) {
        let process = OperatorProcess::start(blueprint, identity);
        let mut operators = self.operators();
        operators.retain(|other| other.identity != identity);
        operators.push(process);
        let killers: Vec<_> = operators.iter().map(OperatorProcess::killer).collect();
        // A fault rule cannot tell which of two operators sent a request; scenarios that crash one run one.
        self.faults.on_crash(move || killers.iter().for_each(|kill| kill()));
    }

    /// Every operator process dies; answers their names.
    pub fn crash_operators(&self) -> Vec<String> {
        let operators = self.operators();
        operators.iter().for_each(OperatorProcess::crash);
        operators.iter().map(|process| process.identity.clone()).collect()
    }

    /// Names of processes that are dead and have no successor yet.
    pub fn dead_operators(&self) -> Vec<String> {
        self.operators().iter().filter(|process| process.is_dead()).map(|process| process.identity.clone()).collect()
    }

    pub fn pause_operators(&self) {
        self.operators().iter().for_each(OperatorProcess::pause);
    }

    pub fn resume_operators(&self) {
        self.operators().iter().for_each(OperatorProcess::resume);
    }

    /// Stops one process cleanly.
    pub fn stop_operator(&self, identity: &str) {
        self.operators().iter_mut().filter(|process| process.identity == identity).for_each(OperatorProcess::terminate);
    }

    /// Hands a command to a cluster's JobManagers and lets them act on it.
    pub fn command(&self, key: &ClusterKey, command: &fake_flink::Command) -> bool {
        let reached = self.flink.command(key, command);
        self.cluster.wake_processes();
        reached
    }
}

/// Wakes the processes from inside an observer's call, where the cluster itself may be at work.
struct Wake(Cluster);

impl Wake {
    fn soon(self) {
        tokio::spawn(async move { self.0.wake_processes() });
    }
}

fn lease() -> LeaseConfig {
    LeaseConfig::new("flink-operator", "flink-operator-lease")
}

fn operator_config(settings: &WorldSettings) -> anyhow::Result<OperatorConfig> {
    let entries = settings.operator.config.iter().map(|(key, value)| (key.clone(), value.clone()));
    OperatorConfig::new(entries.collect()).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("world.operator.config: {}", errors.join("; "))
    })
}

/// What stands in a cluster before anybody deploys: the CRDs, the operator's namespace, the accounts, and the things
/// the manifests of users refer to.
async fn prepare(hands: &Hands) -> anyhow::Result<()> {
    for crd in drey_api::crd::crds() {
        must(hands, &crd).await?;
    }
    let named = |api_version: &str, kind: &str, name: &str| {
        json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}})
    };
    must(hands, &named("v1", "Namespace", "flink-operator")).await?;
    must(hands, &named("v1", "ServiceAccount", "flink")).await?;
    Ok(())
}

async fn must(hands: &Hands, object: &serde_json::Value) -> anyhow::Result<()> {
    let reply = hands.create(object).await?;
    anyhow::ensure!(reply.is_success(), "prepare the cluster: {}", reply.refusal());
    Ok(())
}
