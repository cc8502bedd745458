//! An operator of the Java Operator SDK, which is fabric8's client underneath (`tests/clients/josdk`): informers by
//! WebSocket, an election, server-side apply for the finalizer, the status and a page, events of the newer API.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{Running, World, built, eventually, file, story};

const SHOPS: &str = "/apis/toys.example.com/v1/namespaces/default/shops";
const SHOP: &str = "/apis/toys.example.com/v1/namespaces/default/shops/one";
const PAGE: &str = "/api/v1/namespaces/default/configmaps/one";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/default/deployments/one";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases/shop-operator";
const AGENT: &str = "fabric8-kubernetes-client/";

fn start(world: &World, folder: &Path) -> Running {
    let classes = format!("{0}/classes:{0}/lib/*", folder.display());
    let mut java = Command::new("java");
    java.env("KUBECONFIG", world.path("config"));
    java.args(["-Xmx256m", "-Djava.net.useSystemProxies=false", "-cp", &classes, "toys.Main"]);
    Running::start(java, &world.path("josdk.log"))
}

fn is_at(shop: &Value, text: &str, ready: u64) -> bool {
    let status = &shop["status"];
    status["text"] == text
        && status["ready"] == ready
        && status["observedGeneration"] == shop["metadata"]["generation"]
}

#[test]
fn an_operator_in_java() {
    let Some(folder) = built("josdk") else { return };
    story(&["--crds", &file("josdk/crd.yaml")], async |world| {
        let _operator = start(&world, &folder);
        let shop = json!({"apiVersion": "toys.example.com/v1", "kind": "Shop", "metadata": {"name": "one"},
            "spec": {"text": "hello", "replicas": 2}});
        world.create(SHOPS, &shop).await;
        let one = world.until(SHOP, "open", |s| is_at(s, "hello", 2)).await;
        assert_eq!(one["metadata"]["finalizers"], json!(["shops.toys.example.com/finalizer"]));
        let page = world.get(PAGE).await.expect("a page");
        assert_eq!(page.pointer("/metadata/ownerReferences/0/uid"), one.pointer("/metadata/uid"));
        let fields = &page["metadata"]["managedFields"][0];
        assert_eq!((&fields["operation"], &fields["manager"]), (&json!("Apply"), &json!("shops")));
        assert!(world.get(LEASE).await.is_some_and(|l| l["spec"]["holderIdentity"].is_string()), "a leader");

        world.merge(SHOP, &json!({"spec": {"text": "bye", "replicas": 1}})).await;
        world.until(SHOP, "as it is wanted now", |s| is_at(s, "bye", 1)).await;
        assert_eq!(world.get(PAGE).await.expect("a page")["data"], json!({"text": "bye"}));

        // Drift is seen by an informer, and undone.
        let before = world.get(DEPLOYMENT).await.expect("a deployment");
        world.delete(DEPLOYMENT).await;
        world.until(DEPLOYMENT, "made anew", |d| d["metadata"]["uid"] != before["metadata"]["uid"]).await;

        world.delete(SHOP).await;
        for path in [SHOP, PAGE, DEPLOYMENT] {
            world.until_gone(path).await;
        }
        for reason in ["Opened", "Closed"] {
            let told = eventually(async || {
                let events = world.items("/api/v1/namespaces/default/events").await;
                events.into_iter().find(|e| e["reason"] == reason)
            });
            assert!(told.await.is_some(), "no event {reason}");
        }
        asked_as_fabric8_does(&world);
    });
}

/// Informers list from the watch cache and go on by WebSocket; nothing is refused but what a race explains.
fn asked_as_fabric8_does(world: &World) {
    let asked = world.asked_by(AGENT);
    for collection in
        ["/apis/toys.example.com/v1/shops?", "/apis/apps/v1/deployments?", "/api/v1/configmaps?"]
    {
        let of: Vec<_> = asked.iter().filter(|a| a.uri.starts_with(collection)).collect();
        let lists = of.iter().filter(|a| a.verb == "list" && a.uri.contains("resourceVersion=0")).count();
        let watches = of.iter().filter(|a| a.verb == "watch" && a.code == 101).count();
        assert!(lists > 0 && watches > 0, "{collection}: {of:#?}");
    }
    let is_race = |a: &super::Asked| matches!(a.code, 404 | 409);
    let refused: Vec<_> = asked.iter().filter(|a| a.code >= 400 && !is_race(a)).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    println!("josdk: {} requests", asked.len());
}
