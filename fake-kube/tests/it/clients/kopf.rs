//! An operator of kopf with the official Python client (`tests/clients/kopf`). kopf walks discovery group by group, keeps
//! its progress in annotations, and tells other operators of itself in the status of a peering object.

use std::process::Command;

use serde_json::{Value, json};

use super::{Running, World, built, eventually, file, story};

const NOTE: &str = "/apis/toys.example.com/v1/namespaces/default/notes/one";
const PAGE: &str = "/api/v1/namespaces/default/configmaps/one";
const PEERING: &str = "/apis/kopf.dev/v1/clusterkopfpeerings/notes";

fn start(world: &World, python: &std::path::Path) -> Running {
    let mut kopf = Command::new(python);
    kopf.env("KUBECONFIG", world.path("config"));
    kopf.args(["-m", "kopf", "run", "-A", &file("kopf/notes.py")]);
    Running::start(kopf, &world.path("kopf.log"))
}

#[test]
fn an_operator_in_python() {
    let Some(python) = built("python/bin/python") else { return };
    let (crds, peering) = (file("kopf/crds.yaml"), file("kopf/peering.yaml"));
    story(&["--crds", &crds, "--manifests", &peering], async |world| {
        let _operator = start(&world, &python);
        world.until(PEERING, "told of the operator", |p| p["status"].is_object()).await;
        let note = json!({"apiVersion": "toys.example.com/v1", "kind": "Note", "metadata": {"name": "one"},
            "spec": {"text": "hello"}});
        world.create("/apis/toys.example.com/v1/namespaces/default/notes", &note).await;
        let one = world.until(NOTE, "done", |n| n["status"]["create"]["page"] == "one").await;
        assert_eq!(one["metadata"]["finalizers"], json!(["toys.example.com/kopf"]));
        let page = world.get(PAGE).await.expect("a page");
        assert_eq!(page.pointer("/metadata/ownerReferences/0/uid"), one.pointer("/metadata/uid"));

        let kept = |n: &Value, text: &str| {
            let annotation = n.pointer("/metadata/annotations/kopf.zalando.org~1last-handled-configuration");
            annotation.and_then(Value::as_str).is_some_and(|a| a.contains(text))
        };
        world.until(NOTE, "remembered", |n| kept(n, "hello")).await;
        world.merge(NOTE, &json!({"spec": {"text": "bye"}})).await;
        world.until(PAGE, "changed", |p| p["data"]["text"] == "bye").await;
        world.until(NOTE, "remembered as it is now", |n| kept(n, "bye")).await;
        world.delete(NOTE).await;
        world.until_gone(NOTE).await;
        world.until_gone(PAGE).await;

        let told = eventually(async || {
            let events = world.items("/api/v1/namespaces/default/events").await;
            events.into_iter().find(|e| e["message"] == "one goes")
        });
        assert_eq!(told.await.expect("an event")["reason"], "Logging");
        let asked = [world.asked_by("kopf/"), world.asked_by("OpenAPI-Generator/")].concat();
        let is_race = |a: &super::Asked| matches!(a.code, 404 | 409);
        let refused: Vec<_> = asked.iter().filter(|a| a.code >= 400 && !is_race(a)).collect();
        assert!(refused.is_empty(), "{refused:#?}");
        println!("kopf: {} requests", asked.len());
    });
}
