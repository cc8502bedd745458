//! An operator of controller-runtime (`tests/clients/controller-runtime`), two replicas of it under a ServiceAccount that
//! may do just what it needs.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::{World, built, condition, eventually, file, story};

const SITES: &str = "/apis/toys.example.com/v1/namespaces/default/sites";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/directory/leases/site-operator";

struct Replica {
    child: Child,
    is_leading: Arc<AtomicBool>,
}

impl Replica {
    fn start(world: &World, program: &std::path::Path, kubeconfig: &str, log: &str) -> Replica {
        let log = std::fs::File::create(world.path(log)).expect("a log");
        let mut child = Command::new(program)
            .env("KUBECONFIG", kubeconfig)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the operator starts");
        let is_leading = Arc::new(AtomicBool::new(false));
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let told = is_leading.clone();
        // Ends with the process.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                told.fetch_or(line == "leading", Ordering::SeqCst);
            }
        });
        Replica { child, is_leading }
    }

    fn is_leading(&self) -> bool {
        self.is_leading.load(Ordering::SeqCst)
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        // SIGKILL: a crash, not a farewell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn site(name: &str, replicas: i64) -> Value {
    json!({"apiVersion": "toys.example.com/v1", "kind": "Site", "metadata": {"name": name},
        "spec": {"text": "hello", "replicas": replicas}})
}

fn is_serving(site: &Value) -> bool {
    condition(site, "Ready") == "True"
        && site["status"]["observedGeneration"] == site["metadata"]["generation"]
}

#[test]
fn an_operator_survives_its_leader() {
    let Some(program) = built("site-operator") else { return };
    let crd = file("controller-runtime/crd.yaml");
    let roles = file("controller-runtime/roles.yaml");
    story(&["--crds", &crd, "--manifests", &roles], async |world| {
        let kubeconfig = world.kubeconfig_of("directory", "site-operator").await;
        let mut replicas: Vec<Replica> =
            ["a.log", "b.log"].iter().map(|l| Replica::start(&world, &program, &kubeconfig, l)).collect();
        let leader = eventually(async || replicas.iter().position(Replica::is_leading)).await;
        let leader = replicas.remove(leader.expect("one replica is elected"));
        let first = world.get(LEASE).await.expect("a lease");
        assert_eq!(replicas.iter().filter(|r| r.is_leading()).count(), 0, "one leads at a time");

        world.create(SITES, &site("one", 2)).await;
        takes_care(&world).await;

        drop(leader);
        world.create(SITES, &site("two", 1)).await;
        let taken = world
            .until(LEASE, "taken over", |l| l["spec"]["holderIdentity"] != first["spec"]["holderIdentity"]);
        assert_eq!(taken.await["spec"]["leaseTransitions"], 1);
        world.until(&format!("{SITES}/two"), "served by the second replica", is_serving).await;
        assert!(replicas[0].is_leading());

        goes_on(&world).await;
        asked_as_client_go_does(&world);
    });
}

async fn takes_care(world: &World) {
    let one = world.until(&format!("{SITES}/one"), "served", is_serving).await;
    assert_eq!(one["status"]["readyReplicas"], 2);
    assert_eq!(one["metadata"]["finalizers"], json!(["toys.example.com/directory"]));
    let entry = "/api/v1/namespaces/directory/configmaps/default-one";
    assert!(world.get(entry).await.is_some(), "{entry}");

    let page = world.get("/api/v1/namespaces/default/configmaps/one").await.expect("a page");
    assert_eq!(page["data"], json!({"index.html": "hello"}));
    assert_eq!(page.pointer("/metadata/ownerReferences/0/uid"), one.pointer("/metadata/uid"));
    let fields = &page["metadata"]["managedFields"][0];
    assert_eq!((&fields["operation"], &fields["manager"]), (&json!("Apply"), &json!("site-operator")));
    let deployment = world.get(&format!("{DEPLOYMENTS}/one")).await.expect("a deployment");
    assert_eq!(deployment.pointer("/metadata/ownerReferences/0/controller"), Some(&json!(true)));

    // One event by events.k8s.io, one of the election by the older API; each is there for readers of the other.
    for (path, object, reason) in [
        ("/api/v1/namespaces/default/events", "involvedObject", "Serving"),
        ("/apis/events.k8s.io/v1/namespaces/directory/events", "regarding", "LeaderElection"),
    ] {
        let told = eventually(async || {
            let events = world.items(path).await;
            events.into_iter().find(|e| e["reason"] == reason)
        });
        let event = told.await.unwrap_or_else(|| panic!("no event {reason} in {path}"));
        assert!(event[object]["name"].is_string(), "{event}");
    }
}

/// The survivor sees changes, drift and deletion.
async fn goes_on(world: &World) {
    let one = format!("{SITES}/one");
    world.merge(&one, &json!({"spec": {"text": "bye", "replicas": 1}})).await;
    let changed =
        world.until(&one, "as it is wanted now", |s| is_serving(s) && s["metadata"]["generation"] == 2);
    assert_eq!(changed.await["status"]["readyReplicas"], 1);
    let page = world.get("/api/v1/namespaces/default/configmaps/one").await.expect("a page");
    assert_eq!(page["data"]["index.html"], "bye");

    let lost = format!("{DEPLOYMENTS}/two");
    let before = world.get(&lost).await.expect("a deployment");
    world.delete(&lost).await;
    let made_anew = |d: &Value| d["metadata"]["uid"] != before["metadata"]["uid"];
    world.until(&lost, "made anew", made_anew).await;

    world.delete(&one).await;
    for path in [
        one.clone(),
        "/api/v1/namespaces/directory/configmaps/default-one".to_owned(),
        "/api/v1/namespaces/default/configmaps/one".to_owned(),
        format!("{DEPLOYMENTS}/one"),
    ] {
        world.until_gone(&path).await;
    }
    let cleared = eventually(async || {
        let events = world.items("/api/v1/namespaces/default/events").await;
        events.into_iter().find(|e| e["reason"] == "Cleared")
    });
    assert!(cleared.await.is_some(), "no event Cleared");
}

/// Whole collections arrive by WatchList, over the cluster, and nothing is refused but what a race explains.
fn asked_as_client_go_does(world: &World) {
    let asked = world.asked_by("site-operator/");
    for collection in [
        "/apis/toys.example.com/v1/sites?",
        "/apis/apps/v1/deployments?",
        "/api/v1/configmaps?",
        "/api/v1/secrets?",
    ] {
        let of: Vec<_> = asked.iter().filter(|a| a.uri.starts_with(collection)).collect();
        let streamed = |a: &&&super::Asked| a.verb == "watch" && a.uri.contains("sendInitialEvents=true");
        assert!(of.iter().any(|a| streamed(&a) && a.code == 200), "{collection}: {of:#?}");
        assert!(of.iter().all(|a| a.verb == "watch"), "fell back to a list: {of:#?}");
    }
    let refused: Vec<_> = asked.iter().filter(|a| a.code >= 400 && !matches!(a.code, 404 | 409)).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    println!("controller-runtime: {} requests, two leaders", asked.len());
}
