//! Which program a container runs: Flink's entry points start fake Flink, anything else the shell of `fake_kube`.

use std::collections::BTreeMap;

use drey_language::events::{Kind, Lane};
use fake_flink::{Mode, ProgramTable, ResourceManager, StartOptions, Version};
use fake_kube::{Process, ProcessStart, Programs, Shell};
use fake_kube_apiserver::{ApiServer, LocalClient, Resource};
use jiff::SignedDuration;

use super::job_manager::{JobManagerProcess, Launch};
use super::registry::{ClusterKey, FlinkWorld};
use super::task_manager::TaskManagerProcess;
use super::{configuration, ha};
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
        let line = start.args.join(" ");
        if line.contains("kubernetes-jobmanager.sh") {
            Box::new(self.job_manager(start, &line))
        } else if line.contains("kubernetes-taskmanager.sh") {
            Box::new(self.task_manager(start, &line))
        } else {
            Shell.start(start)
        }
    }
}

impl FlinkPrograms {
    fn job_manager(&self, start: &ProcessStart, line: &str) -> JobManagerProcess {
        let conf = configuration::read(&start.files);
        let key = self.key(start);
        let api = self.api.client(&format!("jobmanager:{}", key.name));
        let has_ha = has_ha(&conf.entries);
        let attempt = self.world.count_start(&key);
        let options = StartOptions {
            version: version(&start.image, &conf),
            mode: mode(line, &conf.entries),
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

    fn task_manager(&self, start: &ProcessStart, line: &str) -> TaskManagerProcess {
        let slots =
            argument(line, "taskmanager.numberOfTaskSlots").and_then(|text| text.parse().ok()).unwrap_or(1);
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

fn has_ha(conf: &BTreeMap<String, String>) -> bool {
    let kind = conf.get("high-availability.type").or(conf.get("high-availability"));
    kind.is_some_and(|kind| {
        kind.eq_ignore_ascii_case("kubernetes") || kind.ends_with("KubernetesHaServicesFactory")
    })
}

/// The image decides which Flink runs; where its tag says nothing, what the operator was told does.
fn version(image: &str, conf: &configuration::Configuration) -> Version {
    // `1.20.3-java17`: what follows the number is about the image, not about Flink.
    let tag = image.rsplit_once(':').and_then(|(_, tag)| tag.split('-').next());
    let told = conf.entries.get("$internal.flink.version").map(String::as_str);
    let fallback = if conf.is_nested_file { Version::V2_2 } else { Version::V1_20 };
    [tag, told].into_iter().flatten().find_map(|text| text.parse().ok()).unwrap_or(fallback)
}

fn mode(line: &str, conf: &BTreeMap<String, String>) -> Mode {
    if line.contains("kubernetes-session") {
        return Mode::Session;
    }
    let args = conf.get("$internal.application.program-args").map(String::as_str).unwrap_or_default();
    Mode::Application {
        main_class: conf.get("$internal.application.main").cloned(),
        args: args.split(';').filter(|arg| !arg.is_empty()).map(str::to_owned).collect(),
        jar: conf.get("pipeline.jars").cloned(),
    }
}

/// The value of `-D key=value` or `-Dkey=value` on a command line.
fn argument<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!("{key}="))?;
    rest.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_names_the_version_and_the_spec_helps_out() {
        let check = |image: &str, told: Option<&str>, expected: &str| {
            let entries = told.map(|text| ("$internal.flink.version".to_owned(), text.to_owned()));
            let conf = configuration::Configuration {
                entries: entries.into_iter().collect(),
                is_nested_file: false,
            };
            assert_eq!(version(image, &conf).to_string(), expected, "{image} told {told:?}");
        };
        check("flink:1.18", Some("v1_20"), "1.18.1");
        check("flink:2.0-java17", None, "2.0.0");
        check("registry.example.com:5000/demo:latest", Some("v1_18"), "1.18.1");
        check("registry.example.com:5000/demo:latest", None, "1.20.3");
    }

    #[test]
    fn dynamic_properties_are_found_in_both_spellings() {
        let line = "kubernetes-taskmanager.sh -Da=b -D taskmanager.numberOfTaskSlots=4 ";
        assert_eq!(argument(line, "taskmanager.numberOfTaskSlots"), Some("4"));
        assert_eq!(argument(line, "a"), Some("b"));
        assert_eq!(argument(line, "missing"), None);
    }
}
