//! Puts a world together and starts it. Everything runs as tasks of the current runtime and ends with the world.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use drey_blueprint::config::{OperatorConfig, keys};
use drey_operator::{LeaseConfig, PassObserver, ProxyTransport, configured_concurrency};
use fake_kube::Cluster;
use fake_kube_apiserver::{ApiServer, Change, Observer, Options, RequestRecord, Resource, User};
use jiff::Timestamp;
use serde_json::Value;
use tokio::task::JoinSet;

use super::clock::{ApiClock, ScenarioClock};
use super::flink::{ClusterKey, FlinkPrograms, FlinkWorld};
use super::furnished;
use super::gate::Faults;
use super::hands::Hands;
use super::journal::Journal;
use super::kinds;
use super::network::Network;
use super::operator::{ApiAccess, Blueprint, CommandLine, OperatorProcess, Program, Surroundings};
use super::settings::WorldSettings;
use super::watcher::Watcher;
use crate::modes::cluster::{self, OperatorUnderTest};
use crate::modes::{
    FaultProxy, FlinkSockets, GroundTruth, ListenerOptions, Mode, Place, PodFaults, Reach, RemoteCluster,
    Sockets,
};

/// The namespace scenarios work in unless an object says otherwise.
pub const NAMESPACE: &str = "default";

/// The namespace where the operator is at home, with its lease; on a cluster that is the case's.
pub const OPERATORS_HOME: &str = "flink-operator";

/// How long operators may take to finish what they are doing.
const CLOSING_MAX: Duration = Duration::from_secs(2);

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
    /// How requests travel here, and what can be broken.
    pub mode: Mode,
    /// Open while the world is, outside of virtual mode.
    pub sockets: Option<Sockets>,
    /// In cluster mode the cluster; the simulated one beside it stays empty.
    remote: Option<Arc<RemoteCluster>>,
    /// There, what Flink's jobs really did, where that can be asked.
    pub truth: Option<GroundTruth>,
    /// There, how pods are broken, where the cluster is a simulated one.
    pub pod_faults: Option<PodFaults>,
    /// CRDs that the scenario brought along.
    crds: Vec<Value>,
    /// What the operator's requests to that cluster pass.
    proxy: Option<FaultProxy>,
    blueprint: Blueprint,
    operators: Arc<Mutex<Vec<OperatorProcess>>>,
    tasks: JoinSet<()>,
}

impl World {
    /// Boots a world in memory, except the operator, which [`World::start_operators`] starts once listeners are in
    /// place.
    pub async fn boot(
        settings: WorldSettings,
        seed: u64,
        epoch: Timestamp,
        scale: f64,
        observer: Arc<dyn PassObserver>,
    ) -> anyhow::Result<World> {
        World::boot_in(&Place::Virtual, settings, &[], seed, epoch, scale, observer).await
    }

    /// As [`World::boot`], with requests travelling as the place says.
    pub async fn boot_in(
        place: &Place,
        mut settings: WorldSettings,
        crds: &[Value],
        seed: u64,
        epoch: Timestamp,
        scale: f64,
        observer: Arc<dyn PassObserver>,
    ) -> anyhow::Result<World> {
        crds.iter().try_for_each(kinds::declare)?;
        let clock = ScenarioClock::start(epoch, scale);
        let journal = Journal::new(clock);
        let options = Options { seed, ..Options::new(Arc::new(ApiClock(clock))) };
        let api = match place {
            Place::Cluster(_) => ApiServer::new(options),
            Place::Virtual | Place::Loopback(_) | Place::Command(..) => furnished::server(epoch, options)?,
        };
        let watcher = Watcher::new(journal.clone());
        let sockets = match place {
            Place::Loopback(options) => Some(Sockets::open(&api, options).await?),
            // Clients of the Go kind send their token over TLS only.
            Place::Command(..) => {
                Some(Sockets::open(&api, &ListenerOptions { tls: true, ..ListenerOptions::default() }).await?)
            }
            Place::Virtual | Place::Cluster(_) => None,
        };
        let remote = match place {
            Place::Cluster(remote) => Some(remote.clone()),
            Place::Virtual | Place::Loopback(_) | Place::Command(..) => None,
        };
        if sockets.is_some() || remote.is_some() {
            settings.api_latency = clock.lasting(settings.api_latency);
            settings.flink_latency = clock.lasting(settings.flink_latency);
        }
        let client = match &sockets {
            Some(sockets) => sockets.user()?,
            None => kube::Client::new(api.service(User::new("user", &["system:masters"])), NAMESPACE),
        };
        let hands = match &remote {
            Some(remote) => remote.furnish(crds).await?,
            None => Hands::new(client, NAMESPACE),
        };
        if remote.is_none() {
            install(crds, &hands).await?;
        }
        if let Some(remote) = &remote {
            confine(&mut settings, remote, &hands.namespace);
        }
        api.set_observer(Arc::new(watcher.clone()));
        let flink = FlinkWorld::new(journal.clone(), settings.flink.clone(), seed);
        let programs = FlinkPrograms {
            world: flink.clone(),
            api: api.clone(),
            task_manager_startup: settings.task_manager_startup(),
        };
        let cluster = Cluster::new(
            api.clone(),
            Arc::new(ApiClock(clock)),
            settings.kubelet.clone(),
            Arc::new(programs),
        );
        let mut network = Network::new(cluster.clone(), clock, journal.clone(), settings.flink_latency);
        if let Some(sockets) = &sockets {
            sockets.lead_to(&cluster);
            network = network.through(Arc::new(FlinkSockets::open(cluster.clone(), clock)?));
        }
        if let Some(remote) = &remote {
            network = network.through(Arc::new(ProxyTransport::new(remote.client()?)));
        }
        let faults = Faults::new(journal.clone(), clock, seed, settings.api_latency);
        api.set_gate(Arc::new(faults.clone()));
        let dying = faults.clone();
        watcher.on_request(move |record| dying.carried_out(&record.info));
        let config = operator_config(&settings)?;
        let proxy = match &remote {
            Some(remote) if remote.operator != OperatorUnderTest::Deployed => {
                let (gate, judges) = (Arc::new(faults.clone()), Arc::new(watcher.clone()));
                let way = remote.operators_way(&hands).await?;
                Some(FaultProxy::open(way, clock, gate, judges, network.clone()).await?)
            }
            Some(_) | None => None,
        };
        let lease_namespace =
            if remote.is_some() { hands.namespace.clone() } else { OPERATORS_HOME.to_owned() };
        let lease = || LeaseConfig::new(&lease_namespace, LEASE);
        let told = Told { config: command_config(&settings), clock: time_of(place) };
        let program = program(place, &api, sockets.as_ref(), proxy.as_ref(), &hands.namespace, &told)?;
        let blueprint = Blueprint {
            program,
            flink: Arc::new(network.clone()),
            clock,
            journal: journal.clone(),
            concurrency: if place.mode() != Mode::Virtual { configured_concurrency(&config) } else { 1 },
            config,
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
            mode: place.mode(),
            sockets,
            remote,
            truth: None,
            pod_faults: None,
            crds: crds.to_vec(),
            proxy,
            blueprint,
            operators: Arc::default(),
            tasks: JoinSet::new(),
        };
        if let Some(remote) = &world.remote {
            let ear = Arc::new(world.watcher.clone());
            cluster::follow(
                &remote.client()?,
                &world.hands.namespace,
                &world.crds,
                clock,
                ear,
                &mut world.tasks,
            );
            let hands = world.hands.clone();
            let port = remote.flink_control;
            world.truth = port.map(|port| GroundTruth::watch(hands, port, &mut world.tasks));
            let namespace = &world.hands.namespace;
            let control = remote.control.as_deref();
            world.pod_faults = control.map(|control| PodFaults::new(control, namespace, clock));
        } else {
            world.start_cluster();
            world.follow_ha_changes();
        }
        Ok(world)
    }

    /// What can be asked and broken behind what users see.
    pub fn reach(&self) -> Reach {
        Reach {
            control: self.truth.is_some(),
            calls: self.proxy.as_ref().is_some_and(FaultProxy::has_carried_to_flink),
            pods: self.pod_faults.is_some(),
            election: self.settings.operator.has_leader_election,
        }
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
            if is_foreign
                && change.resource.plural == "configmaps"
                && labels["type"] == "flink-native-kubernetes"
            {
                let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
                let key =
                    ClusterKey::new(&text(&change.object["metadata"]["namespace"]), &text(&labels["app"]));
                if !flink.live(&key).is_empty() {
                    flink.ha_changed(&key);
                    // Not here, inside an observer's call, where the cluster itself may be at work.
                    let (cluster, flink) = (cluster.clone(), flink.clone());
                    tokio::spawn(async move { wake(&cluster, &flink, &key) });
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
        let killers: Vec<_> =
            operators.iter().map(|process| (process.identity.clone(), process.killer())).collect();
        let leader = self.proxy.as_ref().map(FaultProxy::leader);
        self.faults.on_crash(move || {
            let all: Vec<&str> = killers.iter().map(|(identity, _)| identity.as_str()).collect();
            let spared =
                |identity: &str| leader.as_ref().is_some_and(|lead| lead.is_another_of(identity, &all));
            killers.iter().filter(|(identity, _)| !spared(identity)).for_each(|(_, kill)| kill());
        });
    }

    /// The operator dies; of several that elect a leader, that one.
    pub fn crash_operators(&self) {
        self.struck(&self.operators()).for_each(OperatorProcess::crash);
    }

    /// Whom a fault of "the operator" strikes: those that work. Before any of them does, all. Of programs of their own the
    /// lease tells who works, where they elect a leader.
    fn struck<'o>(&self, operators: &'o [OperatorProcess]) -> impl Iterator<Item = &'o OperatorProcess> {
        let is_any_leading = operators.iter().any(OperatorProcess::leads);
        let leader = self.proxy.as_ref().map(FaultProxy::leader);
        let all: Vec<&str> = operators.iter().map(|one| one.identity.as_str()).collect();
        operators.iter().filter(move |process| {
            let waits = leader.as_ref().is_some_and(|lead| lead.is_another_of(&process.identity, &all));
            !waits && (process.leads() || !is_any_leading)
        })
    }

    /// Running watches of the operator end, as when a server restarts.
    pub fn end_watches(&self, resource: &Resource) {
        self.api.end_watches(resource);
        if let Some(proxy) = &self.proxy {
            proxy.end_watches(resource);
        }
    }

    /// Names of processes that are dead and have no successor yet.
    pub fn dead_operators(&self) -> Vec<String> {
        let has_died = |process: &&OperatorProcess| process.is_dead() && !process.is_retired();
        self.operators().iter().filter(has_died).map(|process| process.identity.clone()).collect()
    }

    /// The operator stands still for a while, the world and the scenario go on; of several, the leader.
    pub fn pause_operators(&self, span: std::time::Duration) {
        let operators = self.operators();
        let identities: Vec<String> =
            self.struck(&operators).map(|process| process.identity.clone()).collect();
        self.struck(&operators).for_each(OperatorProcess::pause);
        self.later(span, move |operators| {
            let mine = operators.iter().filter(|process| identities.contains(&process.identity));
            mine.for_each(OperatorProcess::resume);
        });
    }

    /// Stops one process cleanly after a while.
    pub fn stop_operator_after(&self, identity: &str, span: std::time::Duration) {
        let identity = identity.to_owned();
        self.later(span, move |operators| {
            let mine = operators.iter_mut().filter(|process| process.identity == identity);
            mine.for_each(OperatorProcess::terminate);
        });
    }

    fn later(
        &self,
        span: std::time::Duration,
        deed: impl FnOnce(&mut Vec<OperatorProcess>) + Send + 'static,
    ) {
        let (clock, operators) = (self.clock, self.operators.clone());
        tokio::spawn(async move {
            clock.sleep(span).await;
            deed(&mut operators.lock().unwrap_or_else(PoisonError::into_inner));
        });
    }

    /// Stops the operators as SIGTERM does, then the listener; what is left ends with the world.
    pub async fn close(mut self) {
        if let Some(remote) = self.remote.clone()
            && let Err(error) = remote.clear(&self.hands, &self.crds).await
        {
            tracing::warn!("could not {error:#}");
        }
        if let Some(faults) = &self.pod_faults {
            faults.lift_all().await;
        }
        self.operators().iter_mut().for_each(OperatorProcess::terminate);
        let deadline = tokio::time::Instant::now() + CLOSING_MAX;
        while !self.operators().iter().all(OperatorProcess::is_dead) && tokio::time::Instant::now() < deadline
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if let Some(sockets) = self.sockets.take() {
            sockets.listening.shutdown().await;
        }
    }

    /// Hands a command to a cluster's JobManagers and lets them act on it.
    pub fn command(&self, key: &ClusterKey, command: &fake_flink::Command) -> bool {
        let reached = self.flink.command(key, command);
        wake(&self.cluster, &self.flink, key);
        reached
    }
}

/// What listens to a world holds handles on it: both would outlive everybody who looks.
impl Drop for World {
    fn drop(&mut self) {
        self.api.set_observer(Arc::new(Deaf));
        self.flink.set_listener(|_| {});
    }
}

struct Deaf;

impl Observer for Deaf {
    fn on_request(&self, _record: &RequestRecord) {}

    fn on_change(&self, _change: &Change) {}
}

/// Lets the JobManagers of a Flink cluster act on what they heard.
fn wake(cluster: &Cluster, flink: &FlinkWorld, key: &ClusterKey) {
    cluster.wake_processes(&key.namespace, &flink.pods(key));
}

const LEASE: &str = "flink-operator-lease";

/// What an operator that is a program of its own is told besides.
struct Told {
    config: BTreeMap<String, String>,
    clock: Option<String>,
}

/// The time of a cluster that others run, where it is not the time of day.
fn time_of(place: &Place) -> Option<String> {
    match place {
        Place::Cluster(cluster) => cluster.time.told(),
        Place::Virtual | Place::Loopback(_) | Place::Command(..) => None,
    }
}

/// The scenario's configuration, in a file.
fn command_config(settings: &WorldSettings) -> BTreeMap<String, String> {
    let mut config = settings.operator.config.clone();
    if settings.operator.has_leader_election {
        config.insert(keys::LEADER_ELECTION_ENABLED.name.to_owned(), "true".to_owned());
        config.insert(keys::LEADER_ELECTION_LEASE_NAME.name.to_owned(), LEASE.to_owned());
    }
    config
}

/// Whose code the operator is, and its way to the API server.
fn program(
    place: &Place,
    api: &ApiServer,
    sockets: Option<&Sockets>,
    proxy: Option<&FaultProxy>,
    namespace: &str,
    told: &Told,
) -> anyhow::Result<Program> {
    let in_process = |config| Program::InProcess(ApiAccess::Sockets(Box::new(config)));
    let command = |line: &Arc<CommandLine>, kubeconfig: &str, namespace| -> anyhow::Result<Program> {
        let surroundings = Surroundings::new(kubeconfig, namespace, &told.config, told.clock.clone())?;
        Ok(Program::Command(line.clone(), Arc::new(surroundings)))
    };
    match (place, sockets, proxy) {
        (Place::Command(line, _), Some(sockets), _) => command(line, &sockets.operator_kubeconfig(), ""),
        (Place::Cluster(remote), _, Some(proxy)) => match &remote.operator {
            OperatorUnderTest::Command(line) => command(line, &proxy.kubeconfig(), namespace),
            OperatorUnderTest::InProcess | OperatorUnderTest::Deployed => Ok(in_process(proxy.config()?)),
        },
        (_, Some(sockets), _) => Ok(in_process(sockets.operator())),
        _ => Ok(Program::InProcess(ApiAccess::InMemory(api.clone()))),
    }
}

/// The CRDs that a scenario brings along.
async fn install(crds: &[Value], hands: &Hands) -> anyhow::Result<()> {
    for crd in crds {
        let reply = hands.apply(crd).await?;
        let name = crd["metadata"]["name"].as_str().unwrap_or_default();
        anyhow::ensure!(reply.is_success(), "install CRD {name}: {}", reply.refusal());
    }
    Ok(())
}

/// The operator looks at the case's namespace only, or does not run here at all.
fn confine(settings: &mut WorldSettings, remote: &RemoteCluster, namespace: &str) {
    let key = keys::WATCHED_NAMESPACES.name.to_owned();
    settings.operator.config.insert(key, namespace.to_owned());
    if remote.operator == OperatorUnderTest::Deployed {
        settings.operator.replicas = 0;
    }
}

fn operator_config(settings: &WorldSettings) -> anyhow::Result<OperatorConfig> {
    let entries = settings.operator.config.iter().map(|(key, value)| (key.clone(), value.clone()));
    OperatorConfig::new(entries.collect()).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("world.operator.config: {}", errors.join("; "))
    })
}
