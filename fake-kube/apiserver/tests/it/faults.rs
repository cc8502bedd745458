//! The gate: what each verdict does to a request, and that local clients do not pass it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fake_kube_apiserver::conformance::local::Local;
use fake_kube_apiserver::conformance::{Reply, Sent, Start, Transport};
use fake_kube_apiserver::{Gate, RequestInfo, Resource, Status, Verdict};
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
