//! A cluster that somebody else runs, by its kubeconfig: what a case finds there when it begins, what its judges see of
//! it, and what is cleared away. What such a cluster cannot be made to do is told by [`skip_reason`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use drey_language::scenario::Step;
use drey_language::vocabulary::StepKind;
use fake_kube_apiserver::{Change, ChangeKind, Observer, Resource};
use futures::{Stream, StreamExt};
use jiff::{SignedDuration, Timestamp};
use kube::Api;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::world::gate::OPERATOR_USER;
use crate::world::kinds::{self, KindInfo};
use crate::world::{Hands, ScenarioClock};

/// Whose operator is under test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OperatorUnderTest {
    /// Ours, in this process, with the kubeconfig's rights.
    #[default]
    InProcess,
    /// The one that runs in the cluster already.
    Deployed,
}

/// A reachable cluster.
#[derive(Clone, Debug)]
pub struct RemoteCluster {
    pub config: kube::Config,
    /// File, context and address, for messages.
    pub description: String,
    pub operator: OperatorUnderTest,
    /// Cases work in this namespace; otherwise each makes one of its own and removes it.
    pub namespace: Option<String>,
    /// The time of day, and the moment it was read.
    epoch: (Timestamp, Instant),
}

/// What the command line says about it.
#[derive(Clone, Debug)]
pub struct RemoteOptions {
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
    pub namespace: Option<String>,
    pub operator: OperatorUnderTest,
    /// The time of day.
    pub now: Timestamp,
}

impl RemoteCluster {
    /// Reads the kubeconfig and waits for a first answer; errors name file, context, address and the next step.
    pub async fn connect(options: &RemoteOptions) -> anyhow::Result<RemoteCluster> {
        let file: Option<&Path> = options.kubeconfig.as_deref();
        let connection = drey_operator::connect(file, options.context.as_deref()).await?;
        Ok(RemoteCluster {
            config: connection.config,
            description: connection.description,
            operator: options.operator,
            namespace: options.namespace.clone(),
            epoch: (options.now, Instant::now()),
        })
    }

    pub fn now(&self) -> Timestamp {
        let (read, at) = self.epoch;
        SignedDuration::try_from(at.elapsed())
            .ok()
            .and_then(|passed| read.checked_add(passed).ok())
            .unwrap_or(read)
    }

    pub fn client(&self) -> anyhow::Result<kube::Client> {
        kube::Client::try_from(self.config.clone()).with_context(|| format!("use {}", self.description))
    }

    /// The CRDs, a namespace, the account that Flink's manifests name with the rights it needs.
    pub async fn furnish(&self) -> anyhow::Result<Hands> {
        let own = format!("drey-{:08x}", fastrand::u32(..));
        let namespace = self.namespace.as_deref().unwrap_or(&own);
        let hands = Hands::new(self.client()?, namespace).confined();
        let deployments = kinds::find("FlinkDeployment").context("know the kind FlinkDeployment")?;
        match self.operator {
            OperatorUnderTest::InProcess => {
                for crd in drey_api::crd::crds() {
                    let reply = hands.apply(&crd).await?;
                    let next = "next: let an administrator apply deploy/crds/, or use a kubeconfig that may";
                    anyhow::ensure!(
                        reply.is_success(),
                        "install the CRDs on {}: {}\n{next}",
                        self.description,
                        reply.refusal()
                    );
                }
            }
            OperatorUnderTest::Deployed if hands.list(deployments, namespace).await.is_err() => {
                bail!(
                    "find FlinkDeployments on {}: no operator is deployed there\nnext: deploy it, or leave --operator out",
                    self.description
                )
            }
            OperatorUnderTest::Deployed => {}
        }
        served(&hands, deployments).await?;
        if let Err(error) = self.fill(&hands).await {
            // The namespace may be there already; why it is of no use matters more than whether it goes.
            let _ = self.clear(&hands).await;
            return Err(error);
        }
        Ok(hands)
    }

    async fn fill(&self, hands: &Hands) -> anyhow::Result<()> {
        let namespace = &hands.namespace;
        for object in self.furniture(namespace) {
            let reply = hands.create(&object).await?;
            let name = format!("{} {}", object["kind"], object["metadata"]["name"]).replace('"', "");
            // A namespace that was given is furnished already from the second case on.
            let is_there = reply.code == 409 && self.namespace.is_some();
            anyhow::ensure!(
                reply.is_success() || is_there,
                "create {name} on {}: {}",
                self.description,
                reply.refusal()
            );
        }
        Ok(())
    }

    fn furniture(&self, namespace: &str) -> Vec<Value> {
        let mut objects = Vec::new();
        if self.namespace.is_none() {
            objects.push(json!({"apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": namespace, "labels": {"app.kubernetes.io/managed-by": "drey"}}}));
        }
        objects.push(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "flink"}}));
        objects.push(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "flink"},
            "rules": [{"apiGroups": [""], "resources": ["pods", "configmaps"], "verbs": ["*"]},
                {"apiGroups": ["apps"], "resources": ["deployments", "deployments/finalizers"], "verbs": ["*"]}]}));
        objects.push(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "flink"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "flink"},
            "subjects": [{"kind": "ServiceAccount", "name": "flink", "namespace": namespace}]}));
        objects
    }

    /// Removes what the case has left, while the operator still runs; the namespace with it if it was made here.
    pub async fn clear(&self, hands: &Hands) -> anyhow::Result<()> {
        let namespace = hands.namespace.clone();
        let deployments = kinds::find("FlinkDeployment").context("know the kind FlinkDeployment")?;
        let deadline = Instant::now() + CLEARING_MAX;
        loop {
            let left = hands.list(deployments, &namespace).await?;
            if left.is_empty() {
                break;
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "see the FlinkDeployments of namespace {namespace} go; remove it by hand"
            );
            for object in left.iter().filter(|object| object["metadata"]["deletionTimestamp"].is_null()) {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                hands.delete(deployments, &namespace, name, &json!({})).await?;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        if self.namespace.is_none() {
            let info = kinds::find("Namespace").context("know the kind Namespace")?;
            let reply = hands.delete(info, "", &namespace, &json!({})).await?;
            anyhow::ensure!(reply.is_success(), "remove namespace {namespace}: {}", reply.refusal());
        }
        Ok(())
    }
}

/// How long the FlinkDeployments of a case may take to go.
const CLEARING_MAX: Duration = Duration::from_secs(120);
/// How long a server may take from a CRD to its resource.
const SERVED_MAX: Duration = Duration::from_secs(20);

async fn served(hands: &Hands, info: &KindInfo) -> anyhow::Result<()> {
    let deadline = Instant::now() + SERVED_MAX;
    while let Err(error) = hands.list(info, &hands.namespace).await {
        anyhow::ensure!(Instant::now() < deadline, "see {} served: {error}", info.plural);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// Kinds whose changes the journal, monitors and sequences see.
const WATCHED: [&str; 6] = ["FlinkDeployment", "Deployment", "Pod", "ConfigMap", "Service", "Event"];

/// Tells the judges what changes in the namespace, as the simulated server tells its own.
pub fn follow(
    client: &kube::Client,
    namespace: &str,
    clock: ScenarioClock,
    ear: Arc<dyn Observer>,
    tasks: &mut JoinSet<()>,
) {
    for info in WATCHED.iter().filter_map(|kind| kinds::find(kind)) {
        let resource = ApiResource {
            group: info.group.to_owned(),
            version: info.version.to_owned(),
            api_version: info.api_version(),
            kind: info.kind.to_owned(),
            plural: info.plural.to_owned(),
        };
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        let stream = watch(api, watcher::Config::default()).default_backoff();
        let ear = ear.clone();
        tasks.spawn(async move { retell(stream, info, clock, ear).await });
    }
}

async fn retell(
    stream: impl Stream<Item = watcher::Result<Event<DynamicObject>>>,
    info: &'static KindInfo,
    clock: ScenarioClock,
    ear: Arc<dyn Observer>,
) {
    let mut known: BTreeMap<String, Arc<Value>> = BTreeMap::new();
    let mut stream = std::pin::pin!(stream);
    while let Some(event) = stream.next().await {
        let (object, is_gone) = match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => (object, false),
            Ok(Event::Delete(object)) => (object, true),
            Ok(Event::Init | Event::InitDone) => continue,
            // The stream starts again by itself; what was missed comes with the next list.
            Err(_) => continue,
        };
        let name = object.metadata.name.clone().unwrap_or_default();
        let Ok(mut object) = serde_json::to_value(object) else { continue };
        object["kind"] = json!(info.kind);
        object["apiVersion"] = json!(info.api_version());
        let object = Arc::new(object);
        let old = if is_gone { known.remove(&name) } else { known.insert(name, object.clone()) };
        let kind = match (&old, is_gone) {
            (_, true) => ChangeKind::Deleted,
            (None, false) => ChangeKind::Added,
            (Some(old), false) if **old == *object => continue,
            (Some(_), false) => ChangeKind::Modified,
        };
        ear.on_change(&Change {
            revision: object["metadata"]["resourceVersion"]
                .as_str()
                .and_then(|v| v.parse().ok())
                .unwrap_or_default(),
            at: clock.now(),
            kind,
            resource: Resource::new(info.group, info.version, info.plural),
            actor: actor(&object),
            object,
            old,
        });
    }
}

/// Who wrote last, as far as the object tells: the field manager of its newest entry.
fn actor(object: &Value) -> Arc<str> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let newest = entries.max_by_key(|entry| entry["time"].as_str().unwrap_or_default().to_owned());
    let manager = newest.and_then(|entry| entry["manager"].as_str()).unwrap_or("unknown");
    match manager {
        "scenario" => "user".into(),
        manager if manager.contains("operator") => OPERATOR_USER.into(),
        manager => manager.into(),
    }
}

/// Why a step cannot be carried out on a cluster that is not ours.
pub fn skip_reason(step: &Step, operator: OperatorUnderTest) -> Option<&'static str> {
    const BREAKS: &str = "a cluster that others run cannot be made to do this";
    const TRUTH: &str = "needs the simulated Flink's own knowledge; a real one tells only what REST tells";
    const PROCESS: &str = "the operator runs in the cluster, out of reach";
    const REQUESTS: &str = "hears requests at the simulated API server only";
    let is_deployed = operator == OperatorUnderTest::Deployed;
    match step.name.as_str() {
        "api" | "watch" | "pod" | "job" | "savepoint" | "checkpoint" | "store" | "taskmanagers" => {
            Some(BREAKS)
        }
        "jobmanager" if !step.args.has("rest") => Some(BREAKS),
        "crashOperator" if step.args.has("on") || step.args.has("everyWrite") => Some(BREAKS),
        "restoredFrom" | "job-is" | "starts" => Some(TRUTH),
        "converge" | "writes" => Some(REQUESTS),
        "budget" if step.args.has("apiCalls") || step.args.has("writes") => Some(REQUESTS),
        "calls" | "never" if server(step) == Some("api") => Some(REQUESTS),
        "calls" | "never" if server(step).is_some() && is_deployed => Some(PROCESS),
        "crashOperator" | "pauseOperator" | "secondOperator" | "jobmanager" | "budget" if is_deployed => {
            Some(PROCESS)
        }
        "control" => Some("ends faults of kinds that are not there"),
        _ if step.kind == StepKind::Time && step.name == "jumpClock" => Some(BREAKS),
        _ => None,
    }
}

/// Whose calls a step speaks of, if it speaks of calls.
fn server(step: &Step) -> Option<&str> {
    let call = if step.name == "never" { step.args.get("call")? } else { &step.args };
    Some(call.opt_text("to").unwrap_or("api"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use drey_language::files::Memory;
    use drey_language::scenario::parse_with;

    use super::*;
    use crate::run::vocabulary;

    /// A check that cannot hear anything passes: whatever is deaf on a cluster must be skipped, and said so.
    #[test]
    fn what_a_cluster_cannot_be_asked_is_skipped() {
        let check = |word: &str, in_process: bool, deployed: bool| {
            let text =
                format!("apiVersion: drey/v1\nkind: Scenario\nmetadata: {{name: s}}\nsteps: [{{{word}}}]\n");
            let files = Memory::default().with("s.yaml", text);
            let scenario = parse_with(Path::new("s.yaml"), &vocabulary(), &files).expect("a scenario");
            let step = &scenario.cases[0].steps[0];
            for (operator, is_skipped) in
                [(OperatorUnderTest::InProcess, in_process), (OperatorUnderTest::Deployed, deployed)]
            {
                assert_eq!(skip_reason(step, operator).is_some(), is_skipped, "{word} {operator:?}");
            }
        };
        check("never: {call: {method: DELETE}}", true, true);
        check("never: {call: {to: api, method: DELETE}}", true, true);
        check("never: {call: {to: flink, method: PATCH}}", false, true);
        check("never: {event: {reason: Rollback}}", false, false);
        check("never: {of: FlinkDeployment/app, cel: \"obj.spec.paused\"}", false, false);
        check("calls: {to: api, match: {method: GET}, count: 0}", true, true);
        check("calls: {to: flink, match: {method: GET}, count: 0}", false, true);
        check("budget: {apiCalls: {perHour: 1}}", true, true);
        check("budget: {writes: {max: 1}, reconciles: {max: 1}}", true, true);
        check("budget: {reconciles: {max: 1}}", false, true);
        check("writes: {count: 0}", true, true);
        check("advance: 1s", false, false);
    }
}
