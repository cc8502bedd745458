//! Each option of `fake-kube serve` does what `--help` says. (`--state` has tests of its own, `--control` too.)

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::served::{Served, exchange, exchange_with, refused};

const NONE: &str = "--controllers=namespace";

fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("written");
    path.to_str().expect("a name").to_owned()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn listen_takes_the_port_it_is_told() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("bound").to_string();
    drop(free);
    let served = Served::http(&[NONE, "--listen", &address]);
    assert_eq!(served.url, format!("http://{address}"));
    assert_eq!(served.get("/readyz").0, 200);
    let said = refused(&["--http", "--listen", &address]);
    assert!(said.contains(&format!("bind {address}")), "{said}");
}

#[test]
fn addresses_of_others_need_leave_or_a_guard() {
    let said = refused(&["--listen", "0.0.0.0:0"]);
    assert!(said.contains("not a loopback address") && said.contains("--insecure-bind"), "{said}");
    let folder = folder();
    let tokens = file(&folder, "tokens", "secret,alice,1,\"system:masters\"\n");
    // Tokens over plain HTTP can be read on the way.
    let said = refused(&["--http", "--listen", "0.0.0.0:0", "--token-auth", &tokens]);
    assert!(said.contains("not a loopback address"), "{said}");
    for guard in [vec!["--insecure-bind"], vec!["--token-auth", &tokens], vec!["--rbac"]] {
        Served::start(&[&[NONE, "--listen", "0.0.0.0:0"][..], &guard].concat());
    }
}

#[test]
fn crds_and_manifests_are_there_when_it_is_ready() {
    let folder = folder();
    let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "stones.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "stones", "singular": "stone", "kind": "Stone", "listKind": "StoneList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object",
                "properties": {"spec": {"type": "object", "properties": {"weight": {"type": "integer", "default": 3}}}}}}}]}});
    let crds = folder.path().join("crds");
    std::fs::create_dir(&crds).expect("a folder");
    std::fs::write(crds.join("stones.yaml"), crd.to_string()).expect("written");
    std::fs::write(crds.join("notes.txt"), "no manifest").expect("written");
    let objects = file(
        &folder,
        "objects.yaml",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: quarry}\n---\napiVersion: example.com/v1\nkind: Stone\nmetadata: {name: one, namespace: quarry}\nspec: {}\n",
    );
    let crds = crds.to_str().expect("a name").to_owned();
    let served = Served::http(&[NONE, "--crds", &crds, "--manifests", &objects]);
    let (code, stone) = served.get("/apis/example.com/v1/namespaces/quarry/stones/one");
    assert_eq!((code, &stone["spec"]["weight"]), (200, &json!(3)));

    let said = refused(&["--http", "--manifests", &objects]);
    assert!(said.contains("no resource serves example.com/v1 Stone") && said.contains("--crds"), "{said}");
    let broken = file(&folder, "broken.yaml", "apiVersion: v1\nkind: [\n");
    let said = refused(&["--http", "--manifests", &broken]);
    assert!(said.contains("parse") && said.contains("broken.yaml"), "{said}");
    let said = refused(&["--http", "--crds", "/nowhere/at/all"]);
    assert!(said.contains("/nowhere/at/all"), "{said}");
}

#[test]
fn the_kubeconfig_is_whole_and_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let path = folder.path().join("config");
    let served = Served::start(&[NONE, "--kubeconfig", path.to_str().expect("a name")]);
    let text = std::fs::read_to_string(&path).expect("a file");
    let config: Value = serde_saphyr::from_str(&text).expect("YAML");
    assert_eq!(config["clusters"][0]["cluster"]["server"], served.url);
    assert!(config["clusters"][0]["cluster"]["certificate-authority-data"].is_string());
    let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let said = refused(&["--http", "--kubeconfig", "/nowhere/config"]);
    assert!(said.contains("write kubeconfig /nowhere/config"), "{said}");
}

#[test]
fn tokens_say_who_asks() {
    let folder = folder();
    let tokens = file(&folder, "tokens", "# a comment\nsecret,alice,7,\"a,b\"\n");
    let served = Served::http(&[NONE, "--token-auth", &tokens]);
    assert_eq!(served.get("/api/v1/pods").0, 401);
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}).to_string();
    let header = "Authorization: Bearer secret\r\n";
    let (code, answer) = exchange_with(&served.address, "POST", path, &review, header).expect("an answer");
    let user = &answer["status"]["userInfo"];
    assert_eq!((code, &user["username"], &user["uid"]), (201, &json!("alice"), &json!("7")));
    assert!(user["groups"].as_array().is_some_and(|g| g.contains(&json!("b"))), "{user}");
    let broken = file(&folder, "broken", "only-a-token\n");
    let said = refused(&["--http", "--token-auth", &broken]);
    assert!(said.contains(":1: expected token,user,uid"), "{said}");
}

#[test]
fn rbac_holds_everybody_to_roles() {
    let folder = folder();
    let tokens = file(&folder, "tokens", "secret,alice,7\nroot,root,8,system:masters\n");
    let pods = "/api/v1/namespaces/default/pods";
    let anonymous = |served: &Served| served.get(pods).0;
    let ask = |served: &Served, token: &str| {
        let header = format!("Authorization: Bearer {token}\r\n");
        exchange_with(&served.address, "GET", pods, "", &header).expect("an answer").0
    };
    let served = Served::http(&[NONE, "--token-auth", &tokens]);
    assert_eq!((ask(&served, "secret"), anonymous(&served)), (200, 401));
    let served = Served::http(&[NONE, "--rbac", "--token-auth", &tokens]);
    assert_eq!((ask(&served, "secret"), ask(&served, "root"), anonymous(&served)), (403, 200, 403));
    // Also where the listener answers by itself, and also whoever acts as another.
    for path in ["/metrics", "/api/v1/namespaces/default/pods/p/exec?command=ls"] {
        let headers = "Authorization: Bearer root\r\nImpersonate-User: alice\r\n";
        let (code, answer) = exchange_with(&served.address, "GET", path, "", headers).expect("an answer");
        assert_eq!(code, 403, "{path}: {answer}");
    }
}

/// Whether a condition comes within some seconds.
fn comes(what: impl Fn() -> bool) -> bool {
    let until = Instant::now() + Duration::from_secs(15);
    while Instant::now() < until {
        if what() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

#[test]
fn controllers_are_chosen_one_by_one() {
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let count = |served: &Served, path: &str| served.get(path).1["items"].as_array().map_or(0, Vec::len);
    let (sets, pods) = ("/apis/apps/v1/namespaces/default/replicasets", "/api/v1/namespaces/default/pods");
    let started = |choice: &str| {
        let served = Served::http(&[&format!("--controllers={choice}")]);
        let (code, _) = served.post("/apis/apps/v1/namespaces/default/deployments", &deployment);
        assert_eq!(code, 201);
        served
    };
    let served = started("deployment");
    assert!(comes(|| count(&served, sets) == 1));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(count(&served, pods), 0, "no ReplicaSet controller");
    let served = started("*,-replicaset");
    assert!(comes(|| count(&served, sets) == 1));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(count(&served, pods), 0);
    let served = started("*");
    assert!(comes(|| count(&served, pods) == 1));
    let said = refused(&["--http", "--controllers=deploymnt"]);
    assert!(said.contains("did you mean \"deployment\"?"), "{said}");
}

#[test]
fn time_runs_as_fast_as_asked() {
    let served = Served::http(&[NONE, "--time-scale", "1000"]);
    let now = |name: &str| -> Timestamp {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        let (_, map) = served.post("/api/v1/namespaces/default/configmaps", &map);
        map["metadata"]["creationTimestamp"].as_str().expect("a time").parse().expect("RFC 3339")
    };
    let first = now("a");
    std::thread::sleep(Duration::from_millis(100));
    assert!(now("b").duration_since(first).as_secs() >= 99);
    for scale in ["0", "-1", "nan", "inf"] {
        let said = refused(&["--http", &format!("--time-scale={scale}")]);
        assert!(said.contains("give a positive number"), "{said}");
    }
}

#[test]
fn the_seed_decides_names() {
    let name = |seed: &str| {
        let served = Served::http(&[NONE, "--seed", seed]);
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "x-"}});
        let (_, map) = served.post("/api/v1/namespaces/default/configmaps", &map);
        map["metadata"]["name"].as_str().expect("a name").to_owned()
    };
    assert_eq!(name("7"), name("7"));
    assert_ne!(name("7"), name("8"));
}

#[test]
fn without_tls_nobody_is_asked_who_they_are() {
    let served = Served::http(&[NONE]);
    assert!(served.url.starts_with("http://127.0.0.1:"));
    assert_eq!(exchange(&served.address, "GET", "/api/v1/namespaces", "").expect("an answer").0, 200);
    let served = Served::start(&[NONE]);
    assert!(served.url.starts_with("https://127.0.0.1:"));
}
