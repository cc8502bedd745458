//! What `fake-kube serve` has beside objects: the headers of its answers, its list of paths, its counts, its APIServices.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::served::{Served, told};

const APPS: &str = "/apis/apiregistration.k8s.io/v1/apiservices/v1.apps";
const STONES: &str = "/apis/apiregistration.k8s.io/v1/apiservices/v1.example.com";

/// Asks until the answer is as wished for.
fn until(served: &Served, path: &str, wished: impl Fn(u16, &Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let (code, answer) = served.get(path);
        if wished(code, &answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "{path}: {code} {answer}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn is_available(code: u16, service: &Value) -> bool {
    let condition = &service["status"]["conditions"][0];
    code == 200 && condition["status"] == "True" && condition["reason"] == "Local"
}

#[test]
fn api_services_follow_the_crds() {
    let served = Served::http(&[]);
    let apps = until(&served, APPS, is_available);
    assert_eq!(apps["metadata"]["labels"], json!({"kube-aggregator.kubernetes.io/automanaged": "onstart"}));
    assert_eq!(apps["spec"]["groupPriorityMinimum"], 17_800);
    let registered = served.get("/apis/apiregistration.k8s.io/v1/apiservices").1;
    let names: Vec<&str> = registered["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|s| s["metadata"]["name"].as_str())
        .collect();
    for group in served.get("/apis").1["groups"].as_array().expect("groups") {
        for version in group["versions"].as_array().expect("versions") {
            let name = format!(
                "{}.{}",
                version["version"].as_str().unwrap_or(""),
                group["name"].as_str().unwrap_or("")
            );
            // The aggregator does not register its own group.
            assert!(
                name.ends_with("apiregistration.k8s.io") || names.contains(&name.as_str()),
                "{name} of {names:?}"
            );
        }
    }
    let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "stones.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "stones", "singular": "stone", "kind": "Stone", "listKind": "StoneList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
    let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    assert_eq!(served.post(crds, &crd).0, 201);
    let stones = until(&served, STONES, is_available);
    assert_eq!(stones["spec"]["versionPriority"], 100);
    let deleted =
        told(&served.address, "DELETE", &format!("{crds}/stones.example.com"), "", "").expect("an answer");
    assert!(deleted.starts_with("HTTP/1.1 200"), "{deleted}");
    until(&served, STONES, |code, _| code == 404);
}

#[test]
fn answers_say_who_asked_and_that_they_are_not_to_be_kept() {
    let served = Served::http(&["--controllers=namespace"]);
    let head = |path: &str, headers: &str| {
        let answer = told(&served.address, "GET", path, "", headers).expect("an answer");
        answer.split_once("\r\n\r\n").expect("a head").0.to_lowercase()
    };
    let own = head("/api/v1/namespaces", "Audit-ID: mine\r\n");
    assert!(own.contains("audit-id: mine") && own.contains("cache-control: no-cache, private"), "{own}");
    assert!(!own.contains("nosniff"), "{own}");
    for message in ["/healthz", "/nope"] {
        let head = head(message, "");
        assert!(head.contains("audit-id: ") && head.contains("x-content-type-options: nosniff"), "{head}");
    }
    let aggregated =
        head("/apis", "Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList\r\n");
    assert!(aggregated.contains("cache-control: public"), "{aggregated}");
}

#[test]
fn paths_and_counts() {
    let served = Served::http(&["--controllers=namespace"]);
    let paths = served.get("/").1;
    for path in paths["paths"].as_array().expect("paths").iter().filter_map(Value::as_str) {
        assert_eq!(served.get(path).0, 200, "{path} is listed");
    }
    for _ in 0..3 {
        served.get("/api/v1/namespaces/default/configmaps");
    }
    let (_, counts) = served.get("/metrics");
    let counts = counts.as_str().expect("text");
    let listed = "apiserver_request_total{code=\"200\",component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"configmaps\",scope=\"namespace\",subresource=\"\",verb=\"LIST\",version=\"v1\"} 3";
    assert!(counts.contains(listed), "{counts}");
}
