//! The control endpoint of `fake-kube serve --control`, as a client of it and clients of the cluster see it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::served::{Served, exchange, exchange_with, refused};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

struct Pair {
    served: Served,
    control: String,
}

fn start() -> Pair {
    let mut served = Served::http(&["--controllers=namespace", "--control", "127.0.0.1:0"]);
    let said = served.said();
    let control = said.strip_prefix("control http://").unwrap_or_else(|| panic!("{said}")).to_owned();
    Pair { served, control }
}

impl Pair {
    fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        exchange(&self.control, method, path, &body).expect("an answer")
    }

    fn add(&self, fault: Value) -> Value {
        let (code, answer) = self.ask("POST", "/v1/faults", fault);
        assert_eq!(code, 201, "{answer}");
        answer
    }

    fn create(&self, name: &str) -> Option<(u16, Value)> {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        exchange(&self.served.address, "POST", MAPS, &map.to_string())
    }
}

#[test]
fn a_fault_strikes_as_often_as_it_says_and_counts() {
    let pair = start();
    let added = pair.add(
        json!({"name": "busy", "match": {"verbs": "create", "resource": "ConfigMap", "namespace": "default"},
        "verdict": {"status": {"code": 429, "retryAfter": "3s"}}, "times": 2, "skip": 1}),
    );
    assert_eq!((&added["id"], &added["match"]["resource"]), (&json!("f1"), &json!("configmaps")));
    let codes: Vec<u16> = ["a", "b", "c", "d"].iter().map(|n| pair.create(n).expect("an answer").0).collect();
    assert_eq!(codes, [201, 429, 429, 201]);
    let (_, list) = pair.ask("GET", "/v1/faults", Value::Null);
    let fault = &list["faults"][0];
    assert_eq!((&fault["hits"], &fault["seen"], &fault["state"]), (&json!(2), &json!(3), &json!("spent")));
    assert_eq!(fault["lastHit"]["path"], MAPS);
    assert_eq!(pair.ask("GET", "/v1/faults/busy", Value::Null).0, 200);
    let again = json!({"name": "busy", "verdict": {"delay": "1s"}});
    let (code, answer) = pair.ask("POST", "/v1/faults", again);
    assert_eq!((code, &answer["error"]["field"]), (400, &json!("name")));
    assert_eq!(pair.ask("DELETE", "/v1/faults/busy", Value::Null).0, 200);
    let (code, answer) = pair.ask("DELETE", "/v1/faults/busy", Value::Null);
    assert_eq!((code, &answer["error"]["field"]), (404, &json!("id")));
}

#[test]
fn cuts_delays_and_stale_reads() {
    let pair = start();
    pair.add(json!({"match": {"name": "", "verbs": "create"}, "verdict": {"drop": "before"}, "times": 1}));
    pair.add(json!({"match": {"verbs": "create"}, "verdict": {"drop": "after"}, "times": 1}));
    assert_eq!(pair.create("a"), None);
    assert_eq!(pair.served.get(&format!("{MAPS}/a")).0, 404);
    assert_eq!(pair.create("b"), None);
    assert_eq!(pair.served.get(&format!("{MAPS}/b")).0, 200);

    pair.add(json!({"match": {"resource": "configmaps"}, "verdict": {"stale": true}}));
    assert_eq!(pair.create("c").expect("an answer").0, 201);
    assert_eq!(pair.served.get(&format!("{MAPS}/c")).0, 404);
    let (_, cleared) = pair.ask("DELETE", "/v1/faults", Value::Null);
    assert_eq!(cleared["removed"], 3);
    assert_eq!(pair.served.get(&format!("{MAPS}/c")).0, 200);

    pair.add(json!({"match": {"path": "/version"}, "verdict": {"delay": "300ms"}}));
    let began = Instant::now();
    assert_eq!(pair.served.get("/version").0, 200);
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[test]
fn running_watches_meet_a_fault_of_watches() {
    let pair = start();
    let watch = |pair: &Pair| {
        let mut stream = TcpStream::connect(&pair.served.address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        write!(stream, "GET {MAPS}?watch=true&fieldSelector=metadata.name%3Dw HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("sent");
        BufReader::new(stream).lines().map_while(Result::ok)
    };
    let types = |lines: Vec<String>| -> Vec<String> {
        let events = lines.iter().filter_map(|l| serde_json::from_str::<Value>(l).ok());
        events.filter_map(|e| Some(e["type"].as_str()?.to_owned())).collect()
    };
    let running = watch(&pair);
    std::thread::sleep(Duration::from_millis(100));
    pair.add(json!({"name": "gone", "verdict": {"watch": "expire"}}));
    assert_eq!(types(running.collect()), Vec::<String>::new(), "the running one ends");
    assert_eq!(types(watch(&pair).collect()), ["ERROR"]);
    pair.ask("DELETE", "/v1/faults/gone", Value::Null);
    pair.add(json!({"verdict": {"watch": "duplicate"}}));
    let doubled = watch(&pair);
    assert_eq!(pair.create("w").expect("an answer").0, 201);
    let events = doubled.filter(|l| l.starts_with('{')).take(2).collect();
    assert_eq!(types(events), ["ADDED", "ADDED"]);
}

#[test]
fn the_clock_jumps_and_changes_its_pace() {
    let pair = start();
    let born = |name: &str| {
        let (_, map) = pair.create(name).expect("an answer");
        let text = map["metadata"]["creationTimestamp"].as_str().expect("a time").to_owned();
        text.parse::<jiff::Timestamp>().expect("RFC 3339")
    };
    let first = born("a");
    let (code, clock) = pair.ask("POST", "/v1/clock", json!({"jump": "2h", "scale": 60}));
    assert_eq!((code, &clock["scale"]), (200, &json!(60.0)));
    let second = born("b");
    assert!(second.duration_since(first).as_mins() >= 120, "{first} {second}");
    pair.ask("POST", "/v1/clock", json!({"jump": "-3h"}));
    assert!(born("c") < first);
    for (body, field) in [
        (json!({"jump": "soon"}), "jump"),
        (json!({"jump": "900000h"}), "jump"),
        (json!({"scale": 0}), "scale"),
        (json!({"jmp": "1s"}), "jmp"),
    ] {
        let (code, answer) = pair.ask("POST", "/v1/clock", body);
        assert_eq!((code, &answer["error"]["field"]), (400, &json!(field)), "{answer}");
    }
}

#[test]
fn it_is_for_this_machine_and_not_for_web_pages() {
    let said = refused(&["--http", "--control", "0.0.0.0:0"]);
    assert!(said.contains("not a loopback address"), "{said}");
    let pair = start();
    for headers in ["Origin: http://evil.example\r\n", "Host: evil.example\r\n", "Host: evil.example:80\r\n"]
    {
        let (code, _) = exchange_with(&pair.control, "DELETE", "/v1/faults", "", headers).expect("an answer");
        assert_eq!(code, 403, "{headers}");
    }
    for headers in ["Host: localhost:80\r\n", "Host: [::1]:80\r\n", "Host: 127.0.0.1\r\n"] {
        assert_eq!(exchange_with(&pair.control, "GET", "/", "", headers).expect("an answer").0, 200);
    }
    let long = json!({"name": "x".repeat(70_000)}).to_string();
    assert_eq!(exchange(&pair.control, "POST", "/v1/faults", &long).expect("an answer").0, 413);
    assert_eq!(pair.ask("PUT", "/v1/faults", Value::Null).0, 405);
    let (code, answer) = pair.ask("GET", "/v1/fault", Value::Null);
    assert_eq!((code, &answer["error"]["nearest"]), (404, &json!("/v1/faults")));
    for _ in 0..256 {
        pair.add(json!({"verdict": {"delay": "1s"}, "match": {"path": "/nowhere"}}));
    }
    let (code, answer) = pair.ask("POST", "/v1/faults", json!({"verdict": {"delay": "1s"}}));
    assert_eq!(code, 400, "{answer}");
}

#[test]
fn the_kubeconfig_tells_where_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kubeconfig");
    let mut served =
        Served::start(&["--kubeconfig", path.to_str().expect("a name"), "--control", "127.0.0.1:0"]);
    let said = served.said();
    let url = said.strip_prefix("control ").expect("its address");
    let text = std::fs::read_to_string(&path).expect("a file");
    assert!(text.contains(&format!("url: {url}\n")), "{text}");
}

#[test]
fn pods_can_be_made_never_to_run() {
    let pair = {
        let mut served = Served::http(&["--control", "127.0.0.1:0"]);
        let said = served.said();
        let control = said.strip_prefix("control http://").unwrap_or_else(|| panic!("{said}")).to_owned();
        Pair { served, control }
    };
    let select = json!({"namespace": "default", "labels": {"app": "a"}});
    let (code, added) = pair.ask("POST", "/v1/pods", json!({"select": select, "do": "neverScheduled"}));
    assert_eq!((code, &added["id"], &added["select"]), (201, &json!("p1"), &select), "{added}");
    for app in ["a", "b"] {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": app, "labels": {"app": app}},
            "spec": {"containers": [{"name": "main", "image": "busybox"}]}});
        let path = "/api/v1/namespaces/default/pods";
        let (code, answer) =
            exchange(&pair.served.address, "POST", path, &pod.to_string()).expect("an answer");
        assert_eq!(code, 201, "{answer}");
    }
    let phase = |name: &str| {
        pair.served.get(&format!("/api/v1/namespaces/default/pods/{name}")).1["status"]["phase"].clone()
    };
    let runs = |name: &str| {
        let began = Instant::now();
        while phase(name) != "Running" && began.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(50));
        }
        phase(name) == "Running"
    };
    assert!(runs("b"), "the other one");
    assert_eq!(phase("a"), "Pending");
    assert_eq!(pair.ask("GET", "/v1/pods", Value::Null).1["faults"][0]["do"], "neverScheduled");
    assert_eq!(pair.ask("DELETE", "/v1/pods/p1", Value::Null).0, 200);
    assert!(runs("a"), "once it is lifted");
    assert_eq!(pair.ask("DELETE", "/v1/pods/p1", Value::Null).0, 404);
    for (fault, field, nearest) in [
        (json!({"select": {}, "do": "notReady"}), "select", Value::Null),
        (json!({"do": "notReady"}), "select", Value::Null),
        (json!({"select": {"name": "a"}, "do": "crashloop"}), "do", json!("crashLoop")),
        (json!({"select": {"name": "a"}}), "do", Value::Null),
        (json!({"select": {"label": {}}, "do": "notReady"}), "select.label", json!("labels")),
    ] {
        let (code, answer) = pair.ask("POST", "/v1/pods", fault.clone());
        assert_eq!((code, &answer["error"]["field"]), (400, &json!(field)), "{fault}: {answer}");
        assert_eq!(answer["error"]["nearest"], nearest, "{fault}");
    }
}
