//! kube-rs: its Controller with the finalizer helper and event recorder, both ways of filling a watcher, its wait
//! conditions, and an election by a Lease as users of the crate write it.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::finalizer::{Event as Finalizing, finalizer};
use kube::runtime::wait::{await_condition, conditions, delete};
use kube::runtime::watcher::{self, Event as Seen};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{World, condition, eventually, file, story};

const SITE: &str = "/apis/toys.example.com/v1/namespaces/default/sites/one";
const FINALIZER: &str = "toys.example.com/kube-rs";

fn parsed<T: DeserializeOwned>(v: Value) -> T {
    serde_json::from_value(v).expect("a valid object")
}

fn sites() -> ApiResource {
    ApiResource {
        group: "toys.example.com".into(),
        version: "v1".into(),
        api_version: "toys.example.com/v1".into(),
        kind: "Site".into(),
        plural: "sites".into(),
    }
}

/// Creates the CRD as an operator does that brings its own, and waits for it.
async fn install(client: &Client) {
    let text = std::fs::read_to_string(file("controller-runtime/crd.yaml")).expect("a CRD");
    let crd: CustomResourceDefinition = serde_saphyr::from_str(&text).expect("valid YAML");
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let apply = PatchParams::apply("kube-rs").force();
    let name = crd.name_any();
    crds.patch(&name, &apply, &Patch::Apply(&crd)).await.expect("applied");
    let wait = await_condition(crds, &name, conditions::is_crd_established());
    within(wait).await.expect("established");
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(super::PATIENCE, future).await.expect("in time")
}

#[derive(Debug)]
struct Failed(String);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

fn failed(e: impl Debug) -> Failed {
    Failed(format!("{e:?}"))
}

async fn reconcile(site: Arc<DynamicObject>, client: Arc<Client>) -> Result<Action, Failed> {
    let namespace = site.namespace().unwrap_or_default();
    let api: Api<DynamicObject> = Api::namespaced_with(Client::clone(&client), &namespace, &sites());
    let work = async |event: Finalizing<DynamicObject>| match event {
        Finalizing::Apply(site) => write(&site, &client, &api).await,
        Finalizing::Cleanup(site) => farewell(&site, &client).await,
    };
    finalizer(&api, FINALIZER, site, work).await.map_err(failed)
}

async fn write(site: &DynamicObject, client: &Client, api: &Api<DynamicObject>) -> Result<Action, Failed> {
    let pages: Api<ConfigMap> = Api::namespaced(client.clone(), &site.namespace().unwrap_or_default());
    let page = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": site.name_any(), "ownerReferences": [site.controller_owner_ref(&sites())]},
        "data": {"index.html": site.data["spec"]["text"]}});
    let apply = PatchParams::apply("kube-rs").force();
    pages.patch(&site.name_any(), &apply, &Patch::Apply(page)).await.map_err(failed)?;
    let status = json!({"apiVersion": "toys.example.com/v1", "kind": "Site",
        "status": {"observedGeneration": site.metadata.generation, "readyReplicas": 0,
            "conditions": [{"type": "Ready", "status": "True", "reason": "Written", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    api.patch_status(&site.name_any(), &apply, &Patch::Apply(status)).await.map_err(failed)?;
    Ok(Action::await_change())
}

async fn farewell(site: &DynamicObject, client: &Client) -> Result<Action, Failed> {
    let recorder = Recorder::new(client.clone(), Reporter::from("kube-rs"));
    let event = Event {
        type_: EventType::Normal,
        reason: "Farewell".into(),
        note: Some(format!("{} goes", site.name_any())),
        action: "Delete".into(),
        secondary: None,
    };
    // Twice: the second is a patch of the first, with a series.
    for _ in 0..2 {
        recorder.publish(&event, &site.object_ref(&sites())).await.map_err(failed)?;
    }
    Ok(Action::await_change())
}

#[test]
fn a_controller_with_a_finalizer() {
    story(&[], async |world| {
        let client = world.client.clone();
        install(&client).await;
        let streaming = watcher::Config::default().streaming_lists();
        let all: Api<DynamicObject> = Api::all_with(client.clone(), &sites());
        let controller = Controller::new_with(all, streaming.clone(), sites())
            .owns(Api::<ConfigMap>::all(client.clone()), streaming)
            .run(reconcile, |_, _, _| Action::requeue(Duration::from_millis(50)), Arc::new(client.clone()));
        let running = tokio::spawn(controller.for_each(|_| async {}));

        let object = json!({"apiVersion": "toys.example.com/v1", "kind": "Site", "metadata": {"name": "one"},
            "spec": {"text": "hello"}});
        world.create("/apis/toys.example.com/v1/namespaces/default/sites", &object).await;
        let done = |s: &Value| {
            condition(s, "Ready") == "True"
                && s["status"]["observedGeneration"] == s["metadata"]["generation"]
        };
        let one = world.until(SITE, "done", done).await;
        assert_eq!(one["metadata"]["finalizers"], json!([FINALIZER]));
        assert_eq!(one["spec"]["replicas"], 1, "the CRD's default");

        let page = "/api/v1/namespaces/default/configmaps/one";
        world.merge(page, &json!({"data": {"index.html": "vandalised"}})).await;
        world.until(page, "mended", |p| p["data"]["index.html"] == "hello").await;
        world.merge(SITE, &json!({"spec": {"text": "bye"}})).await;
        world.until(page, "changed", |p| p["data"]["index.html"] == "bye").await;

        let api: Api<DynamicObject> = Api::default_namespaced_with(client.clone(), &sites());
        within(delete::delete_and_finalize(api, "one", &DeleteParams::default())).await.expect("deleted");
        world.until_gone(page).await;
        let events = world.items("/apis/events.k8s.io/v1/namespaces/default/events").await;
        let told = events.iter().find(|e| e["reason"] == "Farewell").expect("an event");
        assert_eq!((&told["note"], &told["series"]["count"]), (&json!("one goes"), &json!(2)));
        running.abort();
    });
}

/// Names of the initial state, then one live change; the same whichever way the state comes.
async fn follow(world: &World, config: watcher::Config) -> Vec<String> {
    let api: Api<ConfigMap> = Api::namespaced(world.client.clone(), "default");
    let mut seen = Vec::new();
    let mut initial = BTreeSet::new();
    let mut events = std::pin::pin!(watcher::watcher(api.clone(), config.labels("wanted=yes")));
    while let Some(event) = within(events.try_next()).await.expect("no error") {
        match event {
            Seen::Init => seen.push("init".to_owned()),
            Seen::InitApply(o) => {
                initial.insert(o.name_any());
            }
            Seen::InitDone => {
                seen.extend(std::mem::take(&mut initial));
                seen.push("done".to_owned());
                let unlabelled = json!({"metadata": {"labels": {"wanted": "no"}}});
                api.patch("m1", &PatchParams::default(), &Patch::Merge(unlabelled)).await.expect("patched");
                let labelled = json!({"metadata": {"labels": {"wanted": "yes"}}});
                api.patch("m1", &PatchParams::default(), &Patch::Merge(labelled)).await.expect("patched");
            }
            Seen::Delete(o) => seen.push(format!("-{}", o.name_any())),
            Seen::Apply(o) => {
                seen.push(format!("+{}", o.name_any()));
                break;
            }
        }
    }
    seen
}

#[test]
fn watchers_of_both_kinds_see_the_same() {
    story(&[], async |world| {
        for n in 0..7 {
            let wanted = if n == 3 { "no" } else { "yes" };
            let object = json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": format!("m{n}"), "labels": {"wanted": wanted}}});
            world.create("/api/v1/namespaces/default/configmaps", &object).await;
        }
        let expected = ["init", "m0", "m1", "m2", "m4", "m5", "m6", "done", "-m1", "+m1"];
        let config = watcher::Config::default;
        for config in [config(), config().page_size(2), config().any_semantic(), config().streaming_lists()] {
            assert_eq!(follow(&world, config.clone()).await, expected, "{config:?}");
        }
        let metadata: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(world.client.clone(), "default");
        let mut events = std::pin::pin!(watcher::watcher(metadata, config().streaming_lists()));
        let mut count = 0;
        while let Some(event) = within(events.try_next()).await.expect("no error") {
            match event {
                Seen::InitApply(o) => {
                    count += usize::from(o.types.is_some_and(|t| t.kind == "PartialObjectMetadata"))
                }
                Seen::InitDone => break,
                _ => {}
            }
        }
        assert_eq!(count, 8, "seven of ours and the CA of the cluster");
    });
}

#[test]
fn conditions_come_true() {
    story(&[], async |world| {
        let client = &world.client;
        let post = PostParams::default();
        let pod = json!({"containers": [{"name": "c", "image": "busybox:1", "command": ["sh", "-c", "sleep 3600"]}]});
        let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
        let deployment = json!({"metadata": {"name": "web"}, "spec": {"replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod}}});
        deployments.create(&post, &parsed(deployment)).await.expect("created");
        let completed = await_condition(deployments.clone(), "web", conditions::is_deployment_completed());
        let web = within(completed).await.expect("complete").expect("it is there");
        assert_eq!(web.status.and_then(|s| s.available_replicas), Some(2));

        let pods: Api<Pod> = Api::default_namespaced(client.clone());
        pods.create(&post, &parsed(json!({"metadata": {"name": "alone"}, "spec": pod})))
            .await
            .expect("created");
        within(await_condition(pods.clone(), "alone", conditions::is_pod_running())).await.expect("running");
        let jobs: Api<Job> = Api::default_namespaced(client.clone());
        let job = json!({"metadata": {"name": "once"}, "spec": {"template": {"spec": {"restartPolicy": "Never",
            "containers": [{"name": "c", "image": "busybox:1", "command": ["sh", "-c", "echo done"]}]}}}});
        jobs.create(&post, &parsed(job)).await.expect("created");
        within(await_condition(jobs, "once", conditions::is_job_completed())).await.expect("completed");

        let foreground = DeleteParams::foreground();
        within(delete::delete_and_finalize(deployments, "web", &foreground)).await.expect("deleted");
        within(delete::delete_and_finalize(pods, "alone", &DeleteParams::default())).await.expect("deleted");
    });
}

/// Leads while it holds the Lease; takes it once it has not been renewed for as long as it promised.
async fn candidate(leases: Api<Lease>, me: &'static str) {
    const PROMISE: Duration = Duration::from_secs(1);
    let mut seen = (String::new(), tokio::time::Instant::now());
    loop {
        match leases.get_opt("election").await.expect("an answer") {
            None => {
                let lease = json!({"metadata": {"name": "election"},
                    "spec": {"holderIdentity": me, "leaseDurationSeconds": 1, "leaseTransitions": 0}});
                // Whoever comes second is refused and looks again.
                let _ = leases.create(&PostParams::default(), &parsed(lease)).await;
            }
            Some(mut lease) => {
                let version = lease.resource_version().unwrap_or_default();
                let spec = lease.spec.get_or_insert_default();
                let is_mine = spec.holder_identity.as_deref() == Some(me);
                if seen.0 != version {
                    seen = (version, tokio::time::Instant::now());
                }
                if is_mine || seen.1.elapsed() > PROMISE {
                    spec.holder_identity = Some(me.to_owned());
                    spec.lease_transitions = spec.lease_transitions.map(|n| n + i32::from(!is_mine));
                    let stamp = json!({"time": seen.0});
                    lease.annotations_mut().insert("renewed".into(), stamp.to_string());
                    // With its resourceVersion: of two that try, one is told 409.
                    let _ = leases.replace("election", &PostParams::default(), &lease).await;
                }
            }
        }
        tokio::time::sleep(PROMISE / 10).await;
    }
}

#[test]
fn an_election_by_lease() {
    story(&[], async |world| {
        let leases: Api<Lease> = Api::default_namespaced(world.client.clone());
        let held_by = async |wanted: &[&str]| {
            let found = eventually(async || {
                let lease = leases.get_opt("election").await.expect("an answer")?;
                let spec = lease.spec?;
                let holder = spec.holder_identity?;
                wanted.contains(&holder.as_str()).then_some((holder, spec.lease_transitions))
            });
            found.await.expect("a holder")
        };
        let first = tokio::spawn(candidate(leases.clone(), "a"));
        assert_eq!(held_by(&["a"]).await, ("a".to_owned(), Some(0)));
        let others = ["b", "c"].map(|me| tokio::spawn(candidate(leases.clone(), me)));
        first.abort();
        let (holder, transitions) = held_by(&["b", "c"]).await;
        assert_eq!(transitions, Some(1), "{holder} took over, once");
        others.iter().for_each(tokio::task::JoinHandle::abort);
        // Given up, as client-go does: the holder is nobody, not unsaid.
        let given_up = Patch::Merge(json!({"spec": {"holderIdentity": ""}}));
        let lease = leases.patch("election", &PatchParams::default(), &given_up).await.expect("patched");
        assert_eq!(lease.spec.and_then(|s| s.holder_identity).as_deref(), Some(""));

        // A second applier is told who holds the field.
        let claim = |me: &str| {
            json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "applied"},
            "spec": {"holderIdentity": me}})
        };
        let apply =
            async |me: &str| leases.patch("applied", &PatchParams::apply(me), &Patch::Apply(claim(me))).await;
        apply("a").await.expect("applied");
        let Err(kube::Error::Api(refused)) = apply("b").await else { panic!("both hold it") };
        assert_eq!((refused.code, refused.reason.as_str()), (409, "Conflict"));
        assert!(refused.message.contains("conflict with \"a\": .spec.holderIdentity"), "{}", refused.message);
    });
}
