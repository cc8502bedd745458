//! A cluster that somebody else runs, by its kubeconfig: what a case finds there when it begins, what its judges see of
//! it, and what is cleared away.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use fake_kube_apiserver::{Change, ChangeKind, Observer, Resource};
use futures::{Stream, StreamExt};
use http::Method;
use kube::Api;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::OperatorRights;
use crate::world::gate::OPERATOR_USER;
use crate::world::hands::PatchStyle;
use crate::world::kinds::{self, KindInfo};
use crate::world::{CommandLine, Hands, ScenarioClock, TimeOfDay};

/// Whose operator is under test.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OperatorUnderTest {
    /// Ours, in this process, with the kubeconfig's rights.
    #[default]
    InProcess,
    /// A program that is started here, with the kubeconfig's rights.
    Command(Arc<CommandLine>),
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
    pub time: TimeOfDay,
    /// Flink in the pods is the simulated one and has its control endpoint at this port.
    pub flink_control: Option<u16>,
    /// What the operator may do; without it what the kubeconfig's user may.
    pub rights: Option<OperatorRights>,
    /// Of a simulated cluster, its control endpoint.
    pub control: Option<String>,
}

/// What the command line says about it.
#[derive(Clone, Debug)]
pub struct RemoteOptions {
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
    pub namespace: Option<String>,
    pub operator: OperatorUnderTest,
    pub time: TimeOfDay,
    pub flink_control: Option<u16>,
    pub rights: Option<OperatorRights>,
    pub control: Option<String>,
}

impl RemoteCluster {
    /// Reaches it and sees to it that cases can be played; errors name the next step.
    pub async fn connect(options: &RemoteOptions) -> anyhow::Result<RemoteCluster> {
        let cluster = RemoteCluster::reach(options).await?;
        cluster.prepare().await?;
        Ok(cluster)
    }

    /// Reads the kubeconfig and waits for a first answer; errors name file, context, address and the next step.
    pub async fn reach(options: &RemoteOptions) -> anyhow::Result<RemoteCluster> {
        let file: Option<&Path> = options.kubeconfig.as_deref();
        let connection = drey_operator::connect(file, options.context.as_deref()).await?;
        Ok(RemoteCluster {
            config: connection.config,
            description: connection.description,
            operator: options.operator.clone(),
            namespace: options.namespace.clone(),
            time: options.time,
            flink_control: options.flink_control,
            rights: options.rights.clone(),
            control: options.control.clone(),
        })
    }

    pub fn client(&self) -> anyhow::Result<kube::Client> {
        kube::Client::try_from(self.config.clone()).with_context(|| format!("use {}", self.description))
    }

    /// How the operator under test comes to this cluster.
    pub async fn operators_way(&self, hands: &Hands) -> anyhow::Result<kube::Client> {
        let Some(rights) = &self.rights else { return self.client() };
        let config = rights.grant(&self.config, hands).await?;
        kube::Client::try_from(config).with_context(|| format!("use {}", self.description))
    }

    /// The CRDs that a scenario brings along, a namespace, the account that Flink's manifests name with the rights it needs.
    ///
    /// A scenario that brings CRDs of its own is not about Flink and gets nothing of it.
    pub async fn furnish(&self, brought: &[Value]) -> anyhow::Result<Hands> {
        let own = format!("drey-{:08x}", fastrand::u32(..));
        let namespace = self.namespace.as_deref().unwrap_or(&own);
        let hands = Hands::new(self.client()?, namespace).confined();
        let resources = resources(brought);
        match &self.operator {
            OperatorUnderTest::InProcess | OperatorUnderTest::Command(_) => {
                self.install(&hands, brought).await?
            }
            OperatorUnderTest::Deployed => {
                for info in &resources {
                    anyhow::ensure!(
                        hands.list(info, namespace).await.is_ok(),
                        "find {} on {}: no operator is deployed there\nnext: deploy it, or leave --operator out",
                        info.plural,
                        self.description
                    );
                }
            }
        }
        for info in resources {
            served(&hands, info).await?;
        }
        if let Err(error) = self.fill(&hands, brought).await {
            // The namespace may be there already; why it is of no use matters more than whether it goes.
            let _ = self.clear(&hands, brought).await;
            return Err(error);
        }
        Ok(hands)
    }

    async fn install(&self, hands: &Hands, brought: &[Value]) -> anyhow::Result<()> {
        for crd in brought {
            let reply = hands.apply(crd).await?;
            let next = "next: let an administrator apply deploy/crds/, or use a kubeconfig that may";
            anyhow::ensure!(
                reply.is_success(),
                "install the CRDs on {}: {}\n{next}",
                self.description,
                reply.refusal()
            );
        }
        Ok(())
    }

    async fn fill(&self, hands: &Hands, brought: &[Value]) -> anyhow::Result<()> {
        let namespace = &hands.namespace;
        let accounts = if brought.is_empty() && serves_namespaces(hands).await? {
            accounts(namespace)
        } else {
            Vec::new()
        };
        for object in self.own_namespace(namespace).into_iter().chain(accounts) {
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

    /// Unless one was given.
    fn own_namespace(&self, name: &str) -> Option<Value> {
        let labels = json!({"app.kubernetes.io/managed-by": "drey"});
        self.namespace.is_none().then(
            || json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}),
        )
    }

    fn letting_go(&self) -> Duration {
        LETTING_GO_MAX.div_f64(self.time.scale().max(1.0)).max(LETTING_GO_MIN)
    }

    /// Removes what the case has left, while the operator still runs; the namespace with it if it was made here.
    pub async fn clear(&self, hands: &Hands, brought: &[Value]) -> anyhow::Result<()> {
        let namespace = hands.namespace.clone();
        for info in resources(brought) {
            see_off(hands, info, self.letting_go()).await?;
        }
        if self.namespace.is_none() {
            let info = kinds::find("Namespace").context("know the kind Namespace")?;
            let reply = hands.delete(info, "", &namespace, &json!({})).await?;
            anyhow::ensure!(reply.is_success(), "remove namespace {namespace}: {}", reply.refusal());
        }
        Ok(())
    }
}

/// A CRD server alone has no accounts and pods either.
pub(super) async fn serves_namespaces(hands: &Hands) -> anyhow::Result<bool> {
    let path = "/api/v1/namespaces?limit=1";
    let reply = hands.request(Method::GET, path, "application/json", Vec::new()).await?;
    Ok(reply.code != 404)
}

/// What the operator under test owns: the scenario's own kinds, or else Flink's.
fn resources(brought: &[Value]) -> Vec<&'static KindInfo> {
    let names: Vec<&str> = brought.iter().filter_map(|crd| crd["spec"]["names"]["kind"].as_str()).collect();
    let names = if names.is_empty() { vec!["FlinkDeployment"] } else { names };
    names.into_iter().filter_map(kinds::find).filter(|info| info.is_namespaced).collect()
}

/// What Flink in pods asks of the API server.
pub(super) fn rules_of_flink() -> Vec<Value> {
    vec![
        json!({"apiGroups": [""], "resources": ["pods", "configmaps"], "verbs": ["*"]}),
        json!({"apiGroups": ["apps"], "resources": ["deployments", "deployments/finalizers"], "verbs": ["*"]}),
    ]
}

/// The account that Flink's manifests name, with the rights it needs.
fn accounts(namespace: &str) -> Vec<Value> {
    vec![
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "flink"}}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "flink"},
            "rules": rules_of_flink()}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "flink"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "flink"},
            "subjects": [{"kind": "ServiceAccount", "name": "flink", "namespace": namespace}]}),
    ]
}

/// Deletes the objects of a kind, and waits until the operator has let them go. One that it does not let go loses its
/// finalizers: the namespace it is in was made for this case, and what holds it back is part of the report.
async fn see_off(hands: &Hands, info: &KindInfo, letting_go: Duration) -> anyhow::Result<()> {
    let namespace = &hands.namespace;
    let began = Instant::now();
    loop {
        let left = hands.list(info, namespace).await?;
        if left.is_empty() {
            return Ok(());
        }
        anyhow::ensure!(
            began.elapsed() < CLEARING_MAX,
            "see the {} of namespace {namespace} go; remove it by hand",
            info.plural
        );
        for object in &left {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            if object["metadata"]["deletionTimestamp"].is_null() {
                hands.delete(info, namespace, name, &json!({})).await?;
            } else if began.elapsed() > letting_go {
                let free = json!({"metadata": {"finalizers": null}});
                hands.patch(info, namespace, name, None, PatchStyle::Merge, &free).await?;
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// How long the operator may take to let an object go, by the cluster's clock.
const LETTING_GO_MAX: Duration = Duration::from_secs(60);
/// However fast that runs: the operator is a process of this machine.
const LETTING_GO_MIN: Duration = Duration::from_secs(5);
/// How long the objects of a case may take to go.
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

/// Kinds whose changes the journal, monitors and sequences see, besides those of the operator under test.
pub(super) const WATCHED: [&str; 5] = ["Deployment", "Pod", "ConfigMap", "Service", "Event"];

/// Tells the judges what changes in the namespace, as the simulated server tells its own.
pub fn follow(
    client: &kube::Client,
    namespace: &str,
    brought: &[Value],
    clock: ScenarioClock,
    ear: Arc<dyn Observer>,
    tasks: &mut JoinSet<()>,
) {
    for info in WATCHED.iter().filter_map(|kind| kinds::find(kind)).chain(resources(brought)) {
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
            actor: actor(&object, kind),
            object,
            old,
        });
    }
}

/// Who wrote last, as far as the object tells: the field manager of its newest entry. Of a new object, which others may have
/// touched by the time it is seen, the oldest.
fn actor(object: &Value, kind: ChangeKind) -> Arc<str> {
    let entries = object["metadata"]["managedFields"].as_array().map(Vec::as_slice).unwrap_or_default();
    let time = |entry: &&Value| entry["time"].as_str().unwrap_or_default().to_owned();
    let entry = match kind {
        ChangeKind::Added => entries.iter().filter(|entry| entry["subresource"].is_null()).min_by_key(time),
        ChangeKind::Modified | ChangeKind::Deleted => entries.iter().max_by_key(time),
    };
    let manager = entry.and_then(|entry| entry["manager"].as_str()).unwrap_or("unknown");
    match manager {
        "scenario" => "user".into(),
        manager if manager.contains("operator") => OPERATOR_USER.into(),
        manager => manager.into(),
    }
}
