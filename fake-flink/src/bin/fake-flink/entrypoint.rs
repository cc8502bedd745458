//! The container: what `docker-entrypoint.sh` of the `flink` image starts, in this process. Configuration is read from
//! where the image has it, log lines go to standard output in its layout, the exit code is the real one's.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use fake_flink::image::configuration::{self, Configuration};
use fake_flink::image::entry::{self, Entry, Role};
use fake_flink::image::surroundings::{self, variable};
use fake_flink::image::{self, task_manager_pod};
use fake_flink::kubernetes::{Api, Hands, Native, Place, leader_address};
use fake_flink::serve::control::{Clusters, ControlSocket, Controlled, Earlier, Named};
use fake_flink::serve::registration::{self, TaskManager};
use fake_flink::serve::{Clock, Hosted, Limits, Outside, ServeOptions, serve_hosted};
use fake_flink::{Delay, ModelKnobs, ResourceManager, StartOptions};
use tokio::net::TcpListener;

use crate::chronicle::Chronicle;
use crate::signals::Signals;
use crate::storage;

/// The names under which the image's scripts are called.
const NAMES: [&str; 1] = ["docker-entrypoint.sh"];

/// The words of the container, when this process was started as one. `serve` is the command line in a container, too;
/// `container` says it where the name of the program is not the image's.
pub fn words(arguments: &[String]) -> Option<Vec<String>> {
    let (program, rest) = arguments.split_first()?;
    if let Some((first, words)) = rest.split_first()
        && first == "container"
    {
        let is_entry = |word: &&String| word.rsplit('/').next().is_some_and(|name| NAMES.contains(&name));
        return Some(words.iter().skip_while(is_entry).cloned().collect());
    }
    let name = program.rsplit('/').next()?;
    let is_command = rest.first().is_some_and(|word| word == "serve");
    (NAMES.contains(&name) && !is_command).then(|| rest.to_vec())
}

pub fn run(words: &[String]) -> anyhow::Result<i32> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    let container = Container::read(words)?;
    runtime.block_on(async {
        match container.entry.role {
            Role::TaskManager => container.task_manager().await,
            Role::Application | Role::Session => container.job_manager().await,
        }
    })
}

struct Container {
    entry: Entry,
    conf: BTreeMap<String, String>,
    version: fake_flink::Version,
    api: Option<Api>,
}

impl Container {
    fn read(words: &[String]) -> anyhow::Result<Container> {
        let entry = Entry::parse(words)?;
        let folder = variable("FLINK_CONF_DIR").unwrap_or_else(|| configuration::FOLDER.to_owned());
        let folder = surroundings::file(&folder);
        let file = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
        let Configuration { mut entries, is_nested_file } = configuration::read(file);
        if !entry.native {
            entries.extend(entry::of_environment(variable));
        }
        entries.extend(entry.conf.clone());
        let conf = Configuration { entries, is_nested_file };
        // What the operator was told, then what the image was built for.
        let image =
            (!conf.entries.contains_key("$internal.flink.version")).then(|| variable("FLINK_VERSION"));
        let tag = image.flatten().map(|version| format!("flink:{version}"));
        let tag = variable("CONTAINER_IMAGE").or(tag).unwrap_or_default();
        let version = image::version(&tag, &conf);
        let api = Api::in_cluster().context("reach the API server of this pod")?;
        Ok(Container { entry, conf: conf.entries, version, api })
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.conf.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn port(&self, key: &str, usual: u16) -> anyhow::Result<u16> {
        let text = self.get(key).map_or(Ok(usual), |text| text.split('-').next().unwrap_or(text).parse());
        text.with_context(|| format!("read {key}: a port"))
    }

    /// Of this pod, as others reach it.
    fn ip(&self) -> String {
        variable("_POD_IP_ADDRESS").or_else(|| variable("POD_IP")).unwrap_or_else(|| "127.0.0.1".to_owned())
    }

    fn cluster(&self) -> String {
        self.get("kubernetes.cluster-id").unwrap_or("flink").to_owned()
    }

    fn namespace(&self) -> String {
        let configured = self.get("kubernetes.namespace").map(str::to_owned);
        configured.or_else(|| self.api.as_ref()?.namespace()).unwrap_or_else(|| "default".to_owned())
    }

    fn address(&self, port: u16, key: &str) -> anyhow::Result<SocketAddr> {
        let host: IpAddr = match self.get(key) {
            None => surroundings::own_address().unwrap_or(IpAddr::from([0, 0, 0, 0])),
            Some("localhost") => IpAddr::from([127, 0, 0, 1]),
            Some(text) => text.parse().with_context(|| format!("read {key}: an address"))?,
        };
        Ok(SocketAddr::from((host, port)))
    }

    async fn job_manager(&self) -> anyhow::Result<i32> {
        let rest_port = self.port("rest.bind-port", self.port("rest.port", 8081)?)?;
        let rpc_port = self.port("jobmanager.rpc.port", 6123)?;
        // Heard before anything takes time: a pod may be stopped at once.
        let mut signals = Signals::hear()?;
        let rest = bind(self.address(rest_port, "rest.bind-address")?).await?;
        let rpc = bind(self.address(rpc_port, "jobmanager.bind-host")?).await?;
        let has_ha = image::has_ha(&self.conf);
        let native = self.entry.native.then(|| self.native(rpc_port));
        if native.is_some() && self.api.is_none() {
            bail!("start a native JobManager: this is no pod, KUBERNETES_SERVICE_HOST is not set");
        }
        let place = Place { namespace: self.namespace(), cluster: self.cluster(), has_ha, native };
        let hands = match self.api.clone() {
            Some(api) if has_ha || place.native.is_some() => {
                Some(Hands::new(api, place).context("look around in the cluster")?)
            }
            _ => None,
        };
        let mut start = self.start_options(rest_port)?;
        let (outside, worker) = match hands {
            Some((hands, worker)) => {
                start.ha = worker.ha();
                if self.entry.native {
                    start.attempt = worker.next_attempt().context("count TaskManager pods")?;
                }
                (Some(Arc::new(hands) as Arc<dyn Outside>), Some(worker))
            }
            None => (None, None),
        };
        let options = ServeOptions {
            start,
            time_scale: 1.0,
            task_manager_start: Duration::from_secs(2),
            task_managers: Vec::new(),
            log: |line| println!("{line}"),
        };
        let hosted = Hosted::start_at(clock()?, options, outside);
        let chronicle =
            variable("FAKE_FLINK_STORAGE").and_then(|place| Chronicle::beside(&place, &self.cluster()));
        let _control = self.control(&hosted, chronicle.clone()).await?;
        let working =
            worker.map(|worker| worker.start(hosted.clone())).transpose().context("start a thread")?;
        let task_managers = tokio::spawn(registration::accept(rpc, hosted.clone()));
        let stopped = async {
            signals.next().await;
        };
        let code = serve_hosted(rest, hosted.clone(), Limits::default(), stopped).await;
        if let Some(chronicle) = chronicle {
            chronicle.leave(&hosted);
        }
        task_managers.abort();
        if let Some(working) = working {
            // What the model wanted last (ConfigMaps, its own Deployment) still happens.
            tokio::task::spawn_blocking(move || working.finish()).await.context("finish in the cluster")?;
        }
        code
    }

    /// For faults and ground truth, where somebody wants it: at the pod's own address.
    async fn control(
        &self,
        hosted: &Hosted,
        chronicle: Option<Chronicle>,
    ) -> anyhow::Result<Option<AbortOnDrop>> {
        let Some(port) = variable("FAKE_FLINK_CONTROL") else { return Ok(None) };
        let port: u16 = port.parse().context("read FAKE_FLINK_CONTROL: a port")?;
        let address = SocketAddr::new(self.ip().parse().context("read the pod's address")?, port);
        let socket = ControlSocket::bind_open(address).await?;
        let (name, url) = (self.cluster(), format!("http://{}", self.ip()));
        let earlier = chronicle.map(|chronicle| Box::new(move || chronicle.told()) as Earlier);
        let named: Arc<dyn Controlled> = Arc::new(Named { name, url, hosted: hosted.clone(), earlier });
        let clusters: Clusters = Arc::new(move || vec![named.clone()]);
        Ok(Some(AbortOnDrop(tokio::spawn(socket.serve(clusters)))))
    }

    fn start_options(&self, rest_port: u16) -> anyhow::Result<StartOptions> {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let mut start = StartOptions::session(self.version, now);
        start.mode = self.entry.mode(&self.conf);
        start.resources = match self.entry.native {
            true => ResourceManager::Native,
            false => ResourceManager::Standalone,
        };
        start.config = self.conf.clone();
        start.config.entry("rest.port".to_owned()).or_insert_with(|| rest_port.to_string());
        start.pod_ip = self.ip();
        start.storage = match variable("FAKE_FLINK_STORAGE") {
            Some(place) => storage::open(Some(&place))?,
            None => storage::of_configuration(&self.conf)?,
        };
        // Pods of one name differ in their addresses and start times; the model mixes the time in.
        start.seed = start.pod_ip.bytes().fold(u64::from(std::process::id()), |seed, byte| {
            seed.wrapping_mul(31).wrapping_add(u64::from(byte))
        });
        start.model = ModelKnobs { renew_lease: true, rest_up: Delay::ZERO, ..ModelKnobs::default() };
        Ok(start)
    }

    fn native(&self, rpc_port: u16) -> Native {
        let image = self.get("kubernetes.container.image.ref").or(self.get("kubernetes.container.image"));
        let mut dynamic = vec![
            ("jobmanager.rpc.address".to_owned(), self.ip()),
            ("jobmanager.rpc.port".to_owned(), rpc_port.to_string()),
            ("kubernetes.cluster-id".to_owned(), self.cluster()),
            ("kubernetes.namespace".to_owned(), self.namespace()),
        ];
        if image::has_ha(&self.conf) {
            dynamic.push(("high-availability.type".to_owned(), "kubernetes".to_owned()));
        }
        Native {
            image: image.unwrap_or("flink").to_owned(),
            conf: self.conf.clone(),
            template: std::fs::read_to_string(surroundings::file(task_manager_pod::TEMPLATE)).ok(),
            dynamic,
        }
    }

    /// Registers with the JobManager that leads, again and again until one is there.
    async fn task_manager(&self) -> anyhow::Result<i32> {
        let mut signals = Signals::hear()?;
        let slots = self.get("taskmanager.numberOfTaskSlots").map_or(Ok(1), str::parse);
        let slots = slots.context("read taskmanager.numberOfTaskSlots: a whole number")?;
        let host = variable("HOSTNAME").unwrap_or_else(|| "localhost".to_owned());
        let id = self.get("taskmanager.resource-id").map_or_else(|| format!("{host}:6122"), str::to_owned);
        let task_manager = TaskManager { id, slots };
        let clock = clock()?;
        tokio::select! {
            code = signals.next() => Ok(code),
            () = self.stay_registered(&task_manager, clock) => {
                println!("TaskManager {}: no JobManager took it within {} s", task_manager.id, REGISTRATION_MAX.as_secs());
                Ok(1)
            }
        }
    }

    /// Returns when nobody has taken it for too long, as `taskmanager.registration.timeout` has it.
    async fn stay_registered(&self, task_manager: &TaskManager, clock: Clock) {
        let mut since = tokio::time::Instant::now();
        let (max, retry) = (clock.real(REGISTRATION_MAX), clock.real(RETRY).max(RETRY_MIN));
        while since.elapsed() < max {
            if let Ok(address) = self.leader().await
                && registration::register(&address, task_manager).await.is_ok()
            {
                since = tokio::time::Instant::now();
            }
            tokio::time::sleep(retry).await;
        }
    }

    async fn leader(&self) -> anyhow::Result<String> {
        if let (Some(api), true) = (self.api.clone(), image::has_ha(&self.conf)) {
            let (namespace, cluster) = (self.namespace(), self.cluster());
            let asked =
                tokio::task::spawn_blocking(move || leader_address(&api, &namespace, &cluster)).await?;
            return asked.context("look up the leader");
        }
        let host = self.get("jobmanager.rpc.address").unwrap_or("localhost");
        Ok(format!("{host}:{}", self.port("jobmanager.rpc.port", 6123)?))
    }
}

/// The time of day, or the time of the cluster that started this process.
fn clock() -> anyhow::Result<Clock> {
    match variable("CLUSTER_CLOCK") {
        Some(told) => Clock::of_cluster(&told).map_err(anyhow::Error::msg).context("read CLUSTER_CLOCK"),
        None => Ok(Clock::new(1.0)),
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// In real time, however fast the cluster's runs.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY: Duration = Duration::from_millis(500);
const REGISTRATION_MAX: Duration = Duration::from_secs(300);

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn a_container_is_told_by_its_name_or_its_first_word() {
        let check = |line: &str, expected: Option<&str>| {
            let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(words(&arguments).map(|words| words.join(" ")).as_deref(), expected, "{line}");
        };
        check("/docker-entrypoint.sh taskmanager", Some("taskmanager"));
        check("/bin/fake-flink container /docker-entrypoint.sh bash -c x", Some("bash -c x"));
        check("/bin/fake-flink container taskmanager", Some("taskmanager"));
        check("/docker-entrypoint.sh serve --session", None);
        check("/bin/fake-flink serve", None);
    }
}
