//! The live page over a cluster that somebody else runs: what its watches show, in one namespace. It looks, and does the few
//! things that anybody with the kubeconfig's rights does to a deployment; it starts nothing there and clears nothing away.
//! Leaves out what only the simulated world has: its clock, faults, the JobManagers' own knowledge, recordings.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use drey_language::events::Event;
use drey_language::scenario::{Arg, ArgValue, Step};
use drey_language::vocabulary::{StepKind, Vocabulary};
use drey_playground::{Orders, Refusal, Server, Settings, Stage, Subject, Version, Wish};
use fake_kube_apiserver::{Change, Observer, RequestRecord};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::hand::{step_of, verb_of};
use super::{in_words, secret, shown, words};
use crate::modes::cluster::{OperatorUnderTest, RemoteCluster, RemoteOptions, follow};
use crate::world::hands::{PatchStyle, Reply};
use crate::world::watcher::Watcher;
use crate::world::{Hands, Journal, ScenarioClock, TimeOfDay, kinds};

const NO_CLOCK: &str = "over a real cluster there is no clock to hold: its time runs as it does";
const NO_FAULT: &str = "a real cluster cannot be made to do this from here; delete pods and patch deployments, use kubectl, or \
                        run scenarios with --mode cluster";
const NO_RECORDING: &str = "over a real cluster nothing is recorded";
const NO_LOG: &str = "the operator of this cluster is not in this process; its pod has its log: kubectl logs";

/// Whose page, and where.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
    pub namespace: String,
    pub page: SocketAddr,
    pub time: TimeOfDay,
}

/// An open page. Dropping it leaves the cluster as it is.
pub struct ClusterPage {
    stage: Stage,
    orders: RefCell<Option<Orders>>,
    hands: Hands,
    clock: ScenarioClock,
    vocabulary: Vocabulary,
    server: Server,
    pub description: String,
    _watches: JoinSet<()>,
}

/// Remembers what the watches tell, and tells it on.
struct Ear {
    watcher: Watcher,
    stage: Stage,
    clock: ScenarioClock,
}

impl Observer for Ear {
    fn on_request(&self, _record: &RequestRecord) {}

    fn on_change(&self, change: &Change) {
        self.stage.history.add(Version {
            revision: change.revision,
            ms: millis(self.clock.elapsed()),
            verb: verb_of(change.kind),
            actor: change.actor.clone(),
            object: change.object.clone(),
        });
        Observer::on_change(&self.watcher, change);
    }
}

impl ClusterPage {
    /// Call it on a runtime in real time. Fails when the cluster cannot be reached or knows no FlinkDeployments.
    pub async fn open(options: &ClusterOptions, vocabulary: &Vocabulary) -> anyhow::Result<ClusterPage> {
        let remote = RemoteCluster::reach(&RemoteOptions {
            kubeconfig: options.kubeconfig.clone(),
            context: options.context.clone(),
            namespace: Some(options.namespace.clone()),
            operator: OperatorUnderTest::Deployed,
            time: options.time,
            flink_control: None,
            rights: None,
            control: None,
        })
        .await?;
        let hands = Hands::new(remote.client()?, &options.namespace);
        let kind = kinds::find("FlinkDeployment").context("know the kind FlinkDeployment")?;
        hands.list(kind, &options.namespace).await.map_err(|error| {
            anyhow::anyhow!(
                "list the FlinkDeployments of namespace {} on {}: {error}\nnext: install the CRDs (deploy/crds), or choose \
                 another --namespace",
                options.namespace,
                remote.description
            )
        })?;
        let start = options.time.now();
        let clock = ScenarioClock::start(start, 1.0);
        let journal = Journal::new(clock);
        let (stage, orders) = Stage::new(&secret());
        let feed = stage.feed.clone();
        journal.listen(Arc::new(move |event: &Event| {
            if let Some(row) = shown::row(event, start) {
                feed.push(&row.to_string());
            }
        }));
        let ear = Ear { watcher: Watcher::new(journal), stage: stage.clone(), clock };
        let mut watches = JoinSet::new();
        follow(&remote.client()?, &options.namespace, &[], clock, Arc::new(ear), &mut watches);
        let settings = Settings { address: options.page, token: secret() };
        let server =
            Server::start(&settings, stage.clone()).map_err(|error| in_words(error, options.page))?;
        let name = format!("namespace {} of a cluster", options.namespace);
        let facts = [remote.description.clone(), format!("namespace   {}", options.namespace)];
        let world = json!({"name": name, "start": start.to_string(), "facts": facts,
            "can": {"clock": NO_CLOCK, "faults": true, "save": NO_RECORDING},
            "deeds": words::deeds_of_a_cluster(), "presets": [], "words": []});
        stage.feed.set("world", &world.to_string());
        Ok(ClusterPage {
            stage,
            orders: RefCell::new(Some(orders)),
            hands,
            clock,
            vocabulary: vocabulary.clone(),
            server,
            description: remote.description,
            _watches: watches,
        })
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Takes the page's orders, as long as it is polled.
    pub async fn live(&self) {
        let Some(mut orders) = self.orders.take() else { return };
        while let Some(order) = orders.recv().await {
            let answer = match order.wish {
                Wish::Glance => {
                    self.publish();
                    continue;
                }
                Wish::Clock(_) => Err(Refusal::new(409, NO_CLOCK)),
                Wish::Scenario => Err(Refusal::new(409, NO_RECORDING)),
                Wish::Log { of: Subject::Operator, .. } => Err(Refusal::new(409, NO_LOG)),
                Wish::Log { of: Subject::Pod { namespace, name }, lines } => {
                    super::live::pod_log(&self.hands, &namespace, &name, lines).await
                }
                Wish::Step(text) => match step_of(&text, &self.vocabulary) {
                    Err(why) => Err(Refusal::new(400, why)),
                    Ok(step) => self.carry_out(&step).await,
                },
            };
            order.reply.send(answer);
        }
    }

    fn publish(&self) {
        let feed = &self.stage.feed;
        feed.set(
            "clock",
            &json!({"ms": millis(self.clock.elapsed()), "state": "runs", "speed": 1}).to_string(),
        );
        if let Some(objects) = self.stage.history.news() {
            feed.set("objects", &objects.to_string());
        }
        let deployments: Value = self
            .stage
            .history
            .of_kind("FlinkDeployment")
            .iter()
            .map(|object| shown::by_status(object))
            .collect();
        feed.set("flink", &deployments.to_string());
    }

    /// Patches, and pods that are deleted.
    async fn carry_out(&self, step: &Step) -> Result<Value, Refusal> {
        let refused = || Refusal::new(409, format!("{}: {NO_FAULT}", step.name));
        let done = || Ok(json!({"done": step.title()}));
        match (step.kind, step.name.as_str()) {
            (StepKind::Action, "patch") => {
                let (Some(of), Some(merge)) = (step.args.opt_object_ref("of"), step.args.get("merge")) else {
                    return Err(refused());
                };
                let info = kinds::find(&of.kind).ok_or_else(refused)?;
                let namespace = of.namespace.as_deref().unwrap_or(&self.hands.namespace);
                let patch = merge.to_json();
                let sent = self.hands.patch(info, namespace, &of.name, None, PatchStyle::Merge, &patch).await;
                answered(sent)?;
                done()
            }
            (StepKind::Fault, "pod") if step.args.opt_text("do") == Some("delete") => {
                let labels = step.args.at("select.labels").and_then(Arg::entries).ok_or_else(refused)?;
                let info = kinds::find("Pod").ok_or_else(refused)?;
                let pods = self.hands.list(info, &self.hands.namespace).await.map_err(lost)?;
                let is_wanted = |pod: &&Value| {
                    labels.iter().all(|(key, label)| match &label.value {
                        ArgValue::Text(text) => pod["metadata"]["labels"][key] == **text,
                        _ => false,
                    })
                };
                let wanted: Vec<&Value> = pods.iter().filter(is_wanted).collect();
                if wanted.is_empty() {
                    return Err(Refusal::new(422, "no pod fits the selector"));
                }
                for pod in wanted {
                    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                    answered(self.hands.delete(info, &self.hands.namespace, name, &json!({})).await)?;
                }
                done()
            }
            _ => Err(refused()),
        }
    }
}

fn answered(reply: Result<Reply, crate::world::hands::NoAnswer>) -> Result<(), Refusal> {
    match reply {
        Ok(reply) if reply.is_success() => Ok(()),
        Ok(reply) => Err(Refusal::new(422, reply.refusal())),
        Err(error) => Err(lost(error)),
    }
}

fn lost(error: crate::world::hands::NoAnswer) -> Refusal {
    Refusal::new(502, error.to_string())
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
