//! What Flink's jobs really did on a cluster that others run, where Flink in the pods is the simulated one: asked from the
//! control endpoint of each JobManager's pod through the pod proxy of the API server. Faults of Flink go the same way.
//!
//! What a JobManager did that lived for less than [`LOOK_EVERY`] is told by the next one of its cluster, where they keep
//! their state in a folder (`FAKE_FLINK_STORAGE`). Leaves out the invariants over snapshots, which need the storage itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::run::invariants::Start;
use crate::world::Hands;

/// Real time between two looks at every JobManager.
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// Of one question: a JobManager that just ends does not hold up the others.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Clones are the same.
#[derive(Clone)]
pub struct GroundTruth {
    hands: Hands,
    port: u16,
    seen: Arc<Mutex<BTreeMap<String, JobManager>>>,
}

/// A pod, by its uid.
#[derive(Clone, Debug, Default)]
struct JobManager {
    cluster: String,
    pod: String,
    /// Uid of what owns it: another one for each Deployment.
    owner: String,
    is_alive: bool,
    states: Vec<String>,
    /// By time and number.
    facts: BTreeMap<(String, u64), Value>,
}

/// A snapshot that a job completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completed {
    pub path: String,
    pub progress: u64,
}

impl GroundTruth {
    /// Looks until the tasks end.
    pub fn watch(hands: Hands, port: u16, tasks: &mut JoinSet<()>) -> GroundTruth {
        let truth = GroundTruth { hands, port, seen: Arc::default() };
        let looking = truth.clone();
        tasks.spawn(async move {
            loop {
                looking.look().await;
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        truth
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<String, JobManager>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks every JobManager now.
    pub async fn look(&self) {
        let namespace = &self.hands.namespace;
        let path = format!("/api/v1/namespaces/{namespace}/pods?labelSelector=component%3Djobmanager");
        // An API server that is busy is asked again.
        let Ok(reply) = self.hands.request(Method::GET, &path, "application/json", Vec::new()).await else {
            return;
        };
        if !reply.is_success() {
            return;
        }
        let pods = reply.body["items"].as_array().cloned().unwrap_or_default();
        let text = |pod: &Value, pointer: &str| {
            pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let is_there = |uid: &str| pods.iter().any(|pod| text(pod, "/metadata/uid") == uid);
        self.seen().iter_mut().filter(|(uid, _)| !is_there(uid)).for_each(|(_, seen)| seen.is_alive = false);
        for pod in &pods {
            let (uid, name) = (text(pod, "/metadata/uid"), text(pod, "/metadata/name"));
            let cluster = text(pod, "/metadata/labels/app");
            let answer = match text(pod, "/status/phase").as_str() {
                "Running" => self.ask(&name, &cluster).await,
                _ => None,
            };
            let mut all = self.seen();
            let seen = all.entry(uid).or_default();
            seen.owner = text(pod, "/metadata/ownerReferences/0/uid");
            (seen.cluster, seen.pod) = (cluster, name);
            seen.is_alive = answer.is_some();
            if let Some(answer) = answer {
                seen.take(&answer);
                let cluster = seen.cluster.clone();
                take_earlier(&mut all, &cluster, &answer);
            }
        }
    }

    fn path(&self, pod: &str, cluster: &str, what: &str) -> String {
        let (namespace, port) = (&self.hands.namespace, self.port);
        format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/v1/clusters/{cluster}/{what}")
    }

    async fn ask(&self, pod: &str, cluster: &str) -> Option<Value> {
        let path = self.path(pod, cluster, "history");
        let asked = self.hands.request(Method::GET, &path, "application/json", Vec::new());
        let reply = tokio::time::timeout(ANSWER_MAX, asked).await.ok()?.ok()?;
        reply.is_success().then_some(reply.body)
    }

    /// Starts of a cluster's job that the operator decided: the first one of each Deployment, oldest first.
    pub fn starts(&self, cluster: &str) -> Vec<Start> {
        let mut first: BTreeMap<String, (String, Value)> = BTreeMap::new();
        for (owner, fact) in self.facts(cluster).into_iter().filter(|(_, fact)| fact["what"] == "started") {
            let at = fact["at"].as_str().unwrap_or_default().to_owned();
            match first.get(&owner) {
                Some((known, _)) if *known <= at => {}
                _ => drop(first.insert(owner, (at, fact))),
            }
        }
        let mut starts: Vec<(String, Value)> = first.into_values().collect();
        starts.sort_by(|a, b| a.0.cmp(&b.0));
        starts.into_iter().map(|(at, fact)| self.start(cluster, &at, &fact)).collect()
    }

    fn start(&self, cluster: &str, at: &str, fact: &Value) -> Start {
        let newest = self.newest(cluster, at);
        Start {
            restored_from: fact["from"].as_str().map(str::to_owned),
            progress: fact["progress"].as_u64().unwrap_or_default(),
            newest: newest.map(|completed| (completed.path, completed.progress)),
        }
    }

    /// The newest state before a time. A start from older state, which Flink makes by itself when a container that lost its
    /// HA metadata starts again, gives up what lies beyond: the job goes on from there.
    fn newest(&self, cluster: &str, at: &str) -> Option<Completed> {
        let text = |fact: &Value, key: &str| fact[key].as_str().unwrap_or_default().to_owned();
        let mut before: Vec<Value> = self.facts(cluster).into_iter().map(|(_, fact)| fact).collect();
        before.retain(|fact| text(fact, "at").as_str() < at);
        before.sort_by_key(|fact| (text(fact, "at"), fact["number"].as_u64()));
        let mut completed: Vec<Completed> = Vec::new();
        for fact in &before {
            match fact["what"].as_str() {
                Some("started") => {
                    let progress = fact["progress"].as_u64().unwrap_or_default();
                    completed.retain(|one| one.progress <= progress);
                }
                Some("checkpoint" | "savepoint") => completed.extend(Completed::read(fact)),
                _ => {}
            }
        }
        completed.into_iter().max_by_key(|one| one.progress)
    }

    /// Snapshots in the storage that can be read now. None: no JobManager is alive to look.
    pub async fn snapshots(&self, cluster: &str) -> Option<Vec<Completed>> {
        self.look().await;
        let found = self.alive(Some(cluster))?;
        let path = self.path(&found.pod, &found.cluster, "snapshots");
        let asked = self.hands.request(Method::GET, &path, "application/json", Vec::new());
        let reply = tokio::time::timeout(ANSWER_MAX, asked).await.ok()?.ok()?;
        let all = reply.body["snapshots"].as_array().filter(|_| reply.is_success())?;
        Some(all.iter().filter_map(Completed::read).collect())
    }

    fn alive(&self, cluster: Option<&str>) -> Option<JobManager> {
        let seen = self.seen();
        let fits = |seen: &&JobManager| seen.is_alive && cluster.is_none_or(|name| seen.cluster == name);
        seen.values().find(fits).cloned()
    }

    fn facts(&self, cluster: &str) -> Vec<(String, Value)> {
        let seen = self.seen();
        let own = seen.values().filter(|seen| seen.cluster == cluster);
        own.flat_map(|seen| seen.facts.values().map(|fact| (seen.owner.clone(), fact.clone()))).collect()
    }

    /// States of the jobs of JobManagers that are alive.
    pub fn states(&self, cluster: &str) -> Vec<String> {
        let seen = self.seen();
        let own = seen.values().filter(|seen| seen.cluster == cluster && seen.is_alive);
        own.flat_map(|seen| seen.states.clone()).collect()
    }

    /// Sends a fault in the words of the scenario; of any cluster of the namespace when none is named.
    ///
    /// # Errors
    /// Nobody is there to take it, or it was refused.
    pub async fn strike(&self, cluster: Option<&str>, fault: &Value) -> Result<(), String> {
        self.look().await;
        let Some(found) = self.alive(cluster) else {
            return Err("no JobManager is alive to take this".to_owned());
        };
        let path = self.path(&found.pod, &found.cluster, "faults");
        let asked =
            self.hands.request(Method::POST, &path, "application/json", fault.to_string().into_bytes());
        let reply = tokio::time::timeout(ANSWER_MAX, asked).await;
        let reply = reply.map_err(|_| "the JobManager's control endpoint does not answer".to_owned())?;
        let reply = reply.map_err(|error| error.to_string())?;
        match reply.is_success() {
            true => Ok(()),
            false => Err(reply.body["error"]["message"].as_str().unwrap_or("refused").to_owned()),
        }
    }
}

impl Completed {
    fn read(told: &Value) -> Option<Completed> {
        Some(Completed { path: told["path"].as_str()?.to_owned(), progress: told["progress"].as_u64()? })
    }
}

/// What JobManagers that are gone left for the next one. Nobody may have seen their pods, whose owners tell Deployments
/// apart: each is then one of its own.
fn take_earlier(all: &mut BTreeMap<String, JobManager>, cluster: &str, answer: &Value) {
    for fact in answer["earlier"].as_array().into_iter().flatten() {
        let Some(pod) = fact["pod"].as_str() else { continue };
        let known = all.iter().find(|(_, seen)| seen.cluster == cluster && seen.pod == pod);
        let key = known.map_or_else(|| pod.to_owned(), |(key, _)| key.clone());
        let seen = all.entry(key).or_insert_with(|| JobManager {
            cluster: cluster.to_owned(),
            pod: pod.to_owned(),
            owner: pod.to_owned(),
            ..JobManager::default()
        });
        seen.note(fact);
    }
}

impl JobManager {
    fn take(&mut self, answer: &Value) {
        let jobs = answer["cluster"]["jobs"].as_array().into_iter().flatten();
        self.states = jobs.filter_map(|job| job["state"].as_str().map(str::to_owned)).collect();
        answer["history"].as_array().into_iter().flatten().for_each(|fact| self.note(fact));
    }

    fn note(&mut self, fact: &Value) {
        // A container that started again counts anew, at a later time.
        let at = fact["at"].as_str().unwrap_or_default().to_owned();
        let number = fact["number"].as_u64().unwrap_or_default();
        self.facts.entry((at, number)).or_insert_with(|| fact.clone());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn truth() -> GroundTruth {
        let config = kube::Config::new("http://127.0.0.1:1".parse().expect("an address"));
        let client = kube::Client::try_from(config).expect("a client");
        GroundTruth { hands: Hands::new(client, "ns"), port: 1, seen: Arc::default() }
    }

    /// Of a pod of the cluster `app`; only `c` is alive.
    fn told(truth: &GroundTruth, uid: &str, owner: &str, facts: Value) {
        let mut seen = truth.seen();
        let seen = seen.entry(uid.to_owned()).or_default();
        (seen.cluster, seen.owner, seen.is_alive) = ("app".to_owned(), owner.to_owned(), uid == "c");
        seen.take(&json!({"cluster": {"jobs": [{"state": "RUNNING"}]}, "history": facts}));
    }

    fn started(at: &str, from: Value, progress: u64) -> Value {
        json!({"number": 0, "at": at, "what": "started", "from": from, "progress": progress})
    }

    fn checkpoint(at: &str, progress: u64) -> Value {
        json!({"number": 1, "at": at, "what": "checkpoint", "path": "s3://c/chk-1", "progress": progress})
    }

    #[tokio::test]
    async fn a_container_that_lost_its_metadata_gives_up_what_it_had() {
        let truth = truth();
        told(&truth, "a", "d1", json!([started("t1", Value::Null, 0), checkpoint("t2", 7)]));
        told(&truth, "a", "d1", json!([started("t3", Value::Null, 0), checkpoint("t4", 3)]));
        told(&truth, "c", "d2", json!([started("t5", json!("s3://c/chk-1"), 3)]));
        assert_eq!(truth.starts("app")[1].newest, Some(("s3://c/chk-1".to_owned(), 3)));
    }

    #[tokio::test]
    async fn a_deployment_starts_a_job_once_however_often_its_pods_do() {
        let truth = truth();
        told(&truth, "a", "d1", json!([started("t1", Value::Null, 0), checkpoint("t2", 7)]));
        // The same container again, and a pod that replaced it.
        told(&truth, "a", "d1", json!([started("t3", json!("s3://c/chk-1"), 7)]));
        told(&truth, "b", "d1", json!([started("t4", json!("s3://c/chk-1"), 7)]));
        told(&truth, "c", "d2", json!([started("t5", json!("s3://c/chk-1"), 7)]));
        let starts = truth.starts("app");
        assert_eq!(starts.len(), 2, "{starts:?}");
        assert_eq!((&starts[0].restored_from, &starts[0].newest), (&None, &None));
        assert_eq!(starts[1].newest, Some(("s3://c/chk-1".to_owned(), 7)));
        assert_eq!(truth.states("app"), ["RUNNING"], "of those that are alive");
        assert!(truth.starts("other").is_empty());
        // Two that nobody asked while they lived: the pod of one was seen, the other's was not.
        truth.seen().insert(
            "e".to_owned(),
            JobManager {
                cluster: "app".into(),
                pod: "pod-e".into(),
                owner: "d1".into(),
                ..JobManager::default()
            },
        );
        let left = |pod: &str, at: &str| {
            let mut fact = started(at, Value::Null, 0);
            fact["pod"] = json!(pod);
            fact
        };
        let answer = json!({"earlier": [left("pod-e", "t6"), left("pod-f", "t7"), left("pod-f", "t8")]});
        take_earlier(&mut truth.seen(), "app", &answer);
        take_earlier(&mut truth.seen(), "app", &answer);
        assert_eq!(truth.starts("app").len(), 3, "{:?}", truth.starts("app"));
    }
}
