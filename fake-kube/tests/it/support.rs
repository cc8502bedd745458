//! A cluster in virtual time for the stories: paused tokio clock, one thread, short words for requests.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use fake_kube::{Cluster, Knobs, Programs, Shell};
use fake_kube_apiserver::{ApiServer, Clock, LocalClient, Options, PatchKind, Resource};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// 2026-01-01 plus the tokio time that has passed.
pub struct VirtualClock {
    epoch: Timestamp,
    origin: tokio::time::Instant,
}

impl VirtualClock {
    pub fn new() -> VirtualClock {
        let epoch = "2026-01-01T00:00:00Z".parse().expect("a literal time");
        VirtualClock { epoch, origin: tokio::time::Instant::now() }
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        self.epoch + SignedDuration::try_from(self.origin.elapsed()).expect("a short run")
    }

    fn sleep_until(&self, t: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let wait = Duration::try_from(t.duration_since(self.epoch)).unwrap_or(Duration::ZERO);
        // Tokio's timers have milliseconds: never early.
        Box::pin(tokio::time::sleep_until(self.origin + wait + Duration::from_micros(999)))
    }
}

#[derive(Clone)]
pub struct World {
    pub cluster: Cluster,
    pub client: LocalClient,
}

pub fn resource(plural: &str) -> Resource {
    match plural {
        "deployments" | "replicasets" | "statefulsets" | "daemonsets" | "controllerrevisions" => {
            Resource::new("apps", "v1", plural)
        }
        "jobs" | "cronjobs" => Resource::new("batch", "v1", plural),
        "endpointslices" => Resource::new("discovery.k8s.io", "v1", plural),
        core => Resource::core(core),
    }
}

impl World {
    pub fn get(&self, plural: &str, name: &str) -> Option<Value> {
        self.client.get(&resource(plural), "default", name).ok().map(|v| Value::clone(&v))
    }

    pub fn list(&self, plural: &str) -> Vec<Value> {
        let list = self.client.list(&resource(plural), "default", "").expect("a list");
        list.iter().map(|v| Value::clone(v)).collect()
    }

    pub fn create(&self, plural: &str, object: Value) -> Value {
        Value::clone(&self.client.create(&resource(plural), "default", object).expect("created"))
    }

    pub fn patch(&self, plural: &str, name: &str, patch: Value) {
        let kind = PatchKind::Merge;
        self.client.patch(&resource(plural), "default", name, "", kind, &patch).expect("patched");
    }

    pub fn delete(&self, plural: &str, name: &str, options: Value) {
        self.client.delete(&resource(plural), "default", name, &options).expect("deleted");
    }

    /// `reason: message` of all events about objects of this kind, in order of creation; counts above 1 shown.
    pub fn events(&self, kind: &str) -> Vec<String> {
        let mut events: Vec<Value> =
            self.list("events").into_iter().filter(|e| e["involvedObject"]["kind"] == kind).collect();
        let version = |e: &Value| e["metadata"]["creationTimestamp"].as_str().unwrap_or("").to_owned();
        events.sort_by_key(version);
        let count = |e: &Value| match e["count"].as_i64() {
            Some(n) if n > 1 => format!(" (x{n})"),
            _ => String::new(),
        };
        let text = |e: &Value| {
            format!(
                "{}: {}{}",
                e["reason"].as_str().unwrap_or(""),
                e["message"].as_str().unwrap_or(""),
                count(e)
            )
        };
        events.iter().map(text).collect()
    }

    /// Lets virtual time pass until the condition holds; fails after ten minutes of it.
    pub async fn until<T>(&self, what: &str, mut found: impl FnMut(&World) -> Option<T>) -> T {
        for _ in 0..60_000 {
            if let Some(t) = found(self) {
                return t;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {what}; pods: {:#?}", self.list("pods"));
    }

    pub async fn ready_pod(&self) -> Value {
        self.until("a ready pod", |w| w.list("pods").into_iter().find(|p| is_true(p, "Ready"))).await
    }

    pub async fn pass(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
}

pub fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    static NONE: Value = Value::Null;
    let list = object.pointer("/status/conditions").and_then(Value::as_array);
    list.into_iter().flatten().find(|c| c["type"] == kind).unwrap_or(&NONE)
}

pub fn is_true(object: &Value, kind: &str) -> bool {
    condition(object, kind)["status"] == "True"
}

/// Runs one story on a cluster of its own.
pub fn story<F, T>(knobs: Knobs, programs: Arc<dyn Programs>, tell: impl FnOnce(World) -> F) -> T
where
    F: Future<Output = T>,
{
    story_with(None, knobs, programs, tell)
}

/// [`story`] on a server that keeps no more trees than this beside its texts, as `fake-kube serve` does.
pub fn story_with<F, T>(
    trees_max: Option<usize>,
    knobs: Knobs,
    programs: Arc<dyn Programs>,
    tell: impl FnOnce(World) -> F,
) -> T
where
    F: Future<Output = T>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new());
        let mut options = Options::new(clock.clone());
        options.seed = knobs.seed;
        options.trees_max = trees_max;
        let api = ApiServer::new(options);
        let cluster = Cluster::new(api.clone(), clock, knobs, programs);
        let running = tokio::spawn({
            let cluster = cluster.clone();
            async move { cluster.run(std::future::pending()).await }
        });
        let told = tell(World { cluster: cluster.clone(), client: api.client("tester") }).await;
        running.abort();
        assert_eq!(cluster.complaints(), Vec::<String>::new(), "writes of controllers were refused");
        told
    })
}

pub fn plain<F: Future<Output = T>, T>(tell: impl FnOnce(World) -> F) -> T {
    story(Knobs::default(), Arc::new(Shell), tell)
}

/// Says what a server would default, so that the stories test the controllers alone.
pub fn deployment(name: &str, replicas: i64) -> Value {
    let toleration = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {"metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "c", "image": "busybox:1"}],
                    "tolerations": [toleration("node.kubernetes.io/not-ready"), toleration("node.kubernetes.io/unreachable")]}}}})
}

pub fn pod(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec})
}
