//! The gate: what each verdict does to a request, and that local clients do not pass it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fake_kube_apiserver::conformance::local::Local;
use fake_kube_apiserver::conformance::{Reply, Sent, Start, Transport};
use fake_kube_apiserver::{Disturbance, Gate, How, RequestInfo, Resource, Status, Verdict};
use jiff::SignedDuration;
use serde_json::{Value, json};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

struct OnVerb(&'static str, Verdict, Mutex<Vec<RequestInfo>>);

impl Gate for OnVerb {
    fn judge(&self, request: &RequestInfo) -> Verdict {
        self.2.lock().expect("no test panics in here").push(request.clone());
        if request.verb == self.0 { self.1.clone() } else { Verdict::Pass }
    }
}

fn server(verb: &'static str, verdict: Verdict) -> (Local, Arc<OnVerb>) {
    let local = Local::new(1);
    let gate = Arc::new(OnVerb(verb, verdict, Mutex::default()));
    local.server.set_gate(gate.clone());
    (local, gate)
}

fn ask(local: &mut Local, method: &str, target: &str, body: Option<Value>) -> Result<Reply, String> {
    let body = body.map(|b| b.to_string().into_bytes());
    local.request(&Sent { method: method.into(), target: target.into(), headers: vec![], body })
}

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

fn exists(local: &Local, name: &str) -> bool {
    local.server.client("test").get(&Resource::core("configmaps"), "default", name).is_ok()
}

#[test]
fn fail_answers_the_status_and_does_nothing() {
    let status = Status { retry_after: Some(3), ..Status::new(429, "TooManyRequests", "slow down") };
    let (mut local, gate) = server("create", Verdict::Fail(status));
    let reply = ask(&mut local, "POST", MAPS, Some(map("a"))).expect("an answer");
    assert_eq!(reply.status, 429);
    assert!(reply.headers.contains(&("retry-after".to_owned(), "3".to_owned())));
    assert!(!exists(&local, "a"));
    let seen = gate.2.lock().expect("no test panics in here").clone();
    assert_eq!((seen[0].resource.as_str(), seen[0].namespace.as_str()), ("configmaps", "default"));
}

#[test]
fn drops_differ_in_what_was_done() {
    let (mut local, _) = server("create", Verdict::DropBefore);
    assert!(ask(&mut local, "POST", MAPS, Some(map("a"))).is_err());
    assert!(!exists(&local, "a"));
    let (mut local, _) = server("create", Verdict::DropAfterCommit);
    assert!(ask(&mut local, "POST", MAPS, Some(map("a"))).is_err());
    assert!(exists(&local, "a"));
}

#[test]
fn delay_waits_on_the_clock() {
    let (mut local, _) = server("create", Verdict::Delay(Duration::from_secs(7)));
    let before = local.elapsed();
    assert_eq!(ask(&mut local, "POST", MAPS, Some(map("a"))).expect("an answer").status, 201);
    assert_eq!(local.elapsed() - before, 7.0);
}

#[test]
fn stale_reads_show_the_past() {
    let mut local = Local::new(1);
    let then = local.server.revision();
    ask(&mut local, "POST", MAPS, Some(map("a"))).expect("an answer");
    local.server.set_gate(Arc::new(OnVerb("get", Verdict::Stale { revision: then }, Mutex::default())));
    assert_eq!(ask(&mut local, "GET", &format!("{MAPS}/a"), None).expect("an answer").status, 404);
    assert!(exists(&local, "a"), "local clients do not pass the gate");
}

#[test]
fn expire_tells_410_in_the_stream() {
    let (mut local, _) = server("watch", Verdict::Expire);
    let target = format!("{MAPS}?watch=true&resourceVersion={}", local.server.revision());
    let sent = Sent { method: "GET".into(), target, headers: vec![], body: None };
    let Ok(Start::Stream { status, mut events, .. }) = local.watch(&sent) else { panic!("the watch starts") };
    let got = events.read(None, 1.0).expect("events");
    assert_eq!((status, got.len(), &got[0]["object"]["code"]), (200, 1, &json!(410)));
    assert!(events.closed());
}

/// `name:data` of what a disturbed watch shows within some seconds of changes: a 1, a 2, b 1, c 1, c deleted, a 3.
fn disturbed(how: How, seconds: f64) -> Vec<String> {
    let window = SignedDuration::from_secs(5);
    let (mut local, _) = server("watch", Verdict::Disturb(Disturbance { how, window, until: None }));
    let target = format!("{MAPS}?watch=true&resourceVersion={}", local.server.revision());
    let sent = Sent { method: "GET".into(), target, headers: vec![], body: None };
    let Ok(Start::Stream { mut events, .. }) = local.watch(&sent) else { panic!("the watch starts") };
    let client = local.server.client("test");
    let maps = Resource::core("configmaps");
    let with = |name: &str, n: &str| {
        let mut object = map(name);
        object["data"] = json!({"n": n});
        object
    };
    client.create(&maps, "default", with("a", "1")).expect("created");
    client.update(&maps, "default", with("a", "2")).expect("updated");
    client.create(&maps, "default", with("b", "1")).expect("created");
    client.create(&maps, "default", with("c", "1")).expect("created");
    client.delete(&maps, "default", "c", &json!({})).expect("deleted");
    client.update(&maps, "default", with("a", "3")).expect("updated");
    let got = events.read(None, seconds).expect("events");
    let text = |v: &Value| v.as_str().unwrap_or("").to_owned();
    let shown = |e: &Value| {
        let object = &e["object"];
        format!("{} {}{}", text(&e["type"]), text(&object["metadata"]["name"]), text(&object["data"]["n"]))
    };
    got.iter().map(shown).collect()
}

#[test]
fn late_events_come_late_and_whole() {
    assert_eq!(disturbed(How::Late, 4.0), Vec::<String>::new());
    let all = ["ADDED a1", "MODIFIED a2", "ADDED b1", "ADDED c1", "DELETED c1", "MODIFIED a3"];
    assert_eq!(disturbed(How::Late, 6.0), all);
}

#[test]
fn coalesced_events_show_what_changes_come_to() {
    assert_eq!(disturbed(How::Coalesced, 4.0), Vec::<String>::new());
    assert_eq!(disturbed(How::Coalesced, 6.0), ["ADDED b1", "ADDED a3"]);
}

#[test]
fn doubled_events_come_twice() {
    assert_eq!(disturbed(How::Twice, 1.0)[..4], ["ADDED a1", "ADDED a1", "MODIFIED a2", "MODIFIED a2"]);
}

#[test]
fn shuffled_events_keep_the_order_of_each_object() {
    let orders: Vec<Vec<String>> = (0..8).map(|seed| disturbed(How::Shuffled { seed }, 6.0)).collect();
    for order in &orders {
        let of = |name: char| -> Vec<&str> {
            order.iter().filter(|e| e.contains(&format!(" {name}"))).map(String::as_str).collect()
        };
        assert_eq!(of('a'), ["ADDED a1", "MODIFIED a2", "MODIFIED a3"]);
        assert_eq!(of('c'), ["ADDED c1", "DELETED c1"]);
    }
    assert!(orders.iter().any(|o| o != &orders[0]), "{orders:?}");
    assert_eq!(disturbed(How::Shuffled { seed: 3 }, 6.0), orders[3], "the seed decides");
}
