//! Which program a container runs: Flink's entry points start fake Flink, anything else the shell of `fake_kube`.

use drey_language::events::{Kind, Lane};
use fake_flink::image::configuration::{self, Configuration};
use fake_flink::image::entry::{Entry, Role};
use fake_flink::image::{has_ha, version};
use fake_flink::{ProgramTable, ResourceManager, StartOptions};
use fake_kube::{Process, ProcessStart, Programs, Shell};
use fake_kube_apiserver::{ApiServer, LocalClient, Resource};
use jiff::SignedDuration;

use super::ha;
use super::job_manager::{JobManagerProcess, Launch};
use super::registry::{ClusterKey, FlinkWorld};
use super::task_manager::TaskManagerProcess;
use crate::determinism::fnv1a;

/// The registry the kubelet asks.
pub struct FlinkPrograms {
    pub world: FlinkWorld,
    pub api: ApiServer,
    /// TaskManager container running until it registers.
    pub task_manager_startup: SignedDuration,
}

impl Programs for FlinkPrograms {
    fn start(&self, start: &ProcessStart) -> Box<dyn Process> {
        // Standalone clusters bring TaskManagers of their own, which this world does not play.
        match Entry::parse(&start.args).ok().filter(|entry| entry.native) {
            Some(entry) if entry.role == Role::TaskManager => Box::new(self.task_manager(start, &entry)),
            Some(entry) => Box::new(self.job_manager(start, &entry)),
            None => Shell.start(start),
        }
    }
}

/// The configuration a container finds in its conf folder.
pub fn configuration_of(start: &ProcessStart) -> Configuration {
    configuration::read(|name| start.files.get(&format!("{}/{name}", configuration::FOLDER)).cloned())
}

impl FlinkPrograms {
    fn job_manager(&self, start: &ProcessStart, entry: &Entry) -> JobManagerProcess {
        let conf = configuration_of(start);
        let key = self.key(start);
        let api = self.api.client(&format!("jobmanager:{}", key.name));
        let has_ha = has_ha(&conf.entries);
        let attempt = self.world.count_start(&key);
        let options = StartOptions {
            version: version(&start.image, &conf),
            mode: entry.mode(&conf.entries),
            resources: ResourceManager::Native,
            programs: ProgramTable::default(),
            model: self.world.knobs(),
            seed: self.world.seed ^ fnv1a(format!("{key}#{attempt}").as_bytes()),
            now: start.now,
            ha: if has_ha { ha::read(&api, &key.namespace, &key.name) } else { Default::default() },
            storage: self.world.storage.clone(),
            pod_ip: start.ip.clone(),
            attempt,
            config: conf.entries,
            dashboard: None,
        };
        let text = format!("JobManager process {attempt} starts in pod {}", start.pod_name);
        self.world.journal.note(Lane::Flink, Kind::Process, &format!("FlinkDeployment/{}", key.name), text);
        JobManagerProcess::start(
            Launch { deployment: deployment_of(&api, start), key, has_ha, options },
            start,
            api,
            self.world.clone(),
        )
    }

    fn task_manager(&self, start: &ProcessStart, entry: &Entry) -> TaskManagerProcess {
        let slots = entry.conf.get("taskmanager.numberOfTaskSlots");
        let slots = slots.and_then(|text| text.parse().ok()).unwrap_or(1);
        TaskManagerProcess::start(
            self.world.clone(),
            self.key(start),
            slots,
            self.task_manager_startup,
            start,
        )
    }

    fn key(&self, start: &ProcessStart) -> ClusterKey {
        let app = start.pod["metadata"]["labels"]["app"].as_str().unwrap_or(&start.pod_name);
        ClusterKey::new(&start.namespace, app)
    }
}

/// Uid of the Deployment behind a pod: the owner of the ReplicaSet that owns it.
fn deployment_of(api: &LocalClient, start: &ProcessStart) -> String {
    let owner = |object: &serde_json::Value| object["metadata"]["ownerReferences"][0].clone();
    let set = owner(&start.pod);
    let name = set["name"].as_str().unwrap_or_default();
    let found = api.get(&Resource::new("apps", "v1", "replicasets"), &start.namespace, name);
    let deployment = found.map(|set| owner(&set)).unwrap_or_default();
    deployment["uid"].as_str().unwrap_or_default().to_owned()
}
