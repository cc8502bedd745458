//! What clients may send is bounded, and what they leave behind, too: sizes, depth, operations, slow watchers.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use fake_kube_apiserver::conformance::local::Local;
use fake_kube_apiserver::conformance::{Reply, Sent, Start, Transport};
use fake_kube_apiserver::{ApiServer, BODY_MAX, HistoryLimits, Options, Resource, User};
use http_body_util::{BodyExt, Full};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tower::ServiceExt;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn send(local: &mut Local, method: &str, target: &str, media: &str, body: Vec<u8>) -> (u16, String) {
    let headers = vec![("content-type".to_owned(), media.to_owned())];
    let sent = Sent { method: method.into(), target: target.into(), headers, body: Some(body) };
    let Reply { status, body, .. } = local.request(&sent).expect("an answer");
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[test]
fn bodies_end_at_three_mebibytes() {
    let mut local = Local::new(1);
    let map = |size: usize| {
        let text =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": ""}});
        let text = text.to_string();
        let filling = size - text.len();
        text.replace("\"k\":\"\"", &format!("\"k\":\"{}\"", "x".repeat(filling))).into_bytes()
    };
    let (status, text) = send(&mut local, "POST", MAPS, "application/json", map(BODY_MAX + 1));
    assert_eq!(status, 413, "{text}");
    assert!(text.contains("RequestEntityTooLarge"), "{text}");
    // Within the bound it is read, and refused for its own sake.
    let (status, text) = send(&mut local, "POST", MAPS, "application/json", map(BODY_MAX));
    assert_eq!(status, 422, "{}", &text[..200]);
}

#[test]
fn depth_is_bounded_in_every_format() {
    let mut local = Local::new(1);
    for depth in [130, 5_000, 500_000] {
        let open = "[".repeat(depth) + &"]".repeat(depth);
        for (media, body) in [
            ("application/json", format!("{{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"x\":{open}}}")),
            ("application/yaml", format!("apiVersion: v1\nkind: ConfigMap\nx: {open}\n")),
            (
                "application/yaml",
                format!(
                    "a:\n{}",
                    (0..depth.min(1_500)).map(|i| format!("{}- \n", " ".repeat(i))).collect::<String>()
                ),
            ),
        ] {
            let (status, text) = send(&mut local, "POST", MAPS, media, body.into_bytes());
            assert!(matches!(status, 400 | 422), "{media} {depth}: {}", &text[..text.len().min(300)]);
        }
        let patch = format!("[{{\"op\":\"add\",\"path\":\"/data\",\"value\":{open}}}]");
        let target = format!("{MAPS}/a");
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
        send(&mut local, "POST", MAPS, "application/json", map.to_string().into_bytes());
        for (media, body) in [
            ("application/json-patch+json", patch),
            ("application/merge-patch+json", format!("{{\"data\":{open}}}")),
            ("application/strategic-merge-patch+json", format!("{{\"data\":{open}}}")),
            ("application/apply-patch+yaml", format!("apiVersion: v1\nkind: ConfigMap\ndata: {open}\n")),
        ] {
            let query = if media.contains("apply") { "?fieldManager=m" } else { "" };
            let (status, text) =
                send(&mut local, "PATCH", &format!("{target}{query}"), media, body.into_bytes());
            assert!(
                (400..=500).contains(&status),
                "{media} {depth}: {status} {}",
                &text[..text.len().min(300)]
            );
        }
    }
}

#[test]
fn a_patch_has_ten_thousand_operations_at_most() {
    let mut local = Local::new(1);
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}});
    send(&mut local, "POST", MAPS, "application/json", map.to_string().into_bytes());
    let mut patch = |n: usize, operation: Value| {
        let body = Value::from(vec![operation; n]).to_string().into_bytes();
        send(&mut local, "PATCH", &format!("{MAPS}/a"), "application/json-patch+json", body)
    };
    let test = json!({"op": "test", "path": "/data/k", "value": "v"});
    assert_eq!(patch(10_000, test.clone()).0, 200);
    let (status, text) = patch(10_001, test);
    assert_eq!(status, 413, "{text}");
    assert!(text.contains("The allowed maximum operations in a JSON patch is 10000, got 10001"), "{text}");
    // Every copy doubles what there is.
    let (status, text) = patch(200, json!({"op": "copy", "from": "/metadata", "path": "/metadata/labels"}));
    assert_eq!(status, 422, "{text}");
}

/// Aliases in YAML that grow to a billion values.
#[test]
fn aliases_do_not_multiply_for_ever() {
    let mut local = Local::new(1);
    let mut text = String::from("a: &a [x,x,x,x,x,x,x,x,x,x]\n");
    for (name, of) in
        ["b", "c", "d", "e", "f", "g", "h", "i"].iter().zip(["a", "b", "c", "d", "e", "f", "g", "h"])
    {
        let list = vec![format!("*{of}"); 10].join(",");
        text.push_str(&format!("{name}: &{name} [{list}]\n"));
    }
    let (status, text) = send(&mut local, "POST", MAPS, "application/yaml", text.into_bytes());
    assert_eq!(status, 400, "{}", &text[..text.len().min(300)]);
}

/// What needs no waiting.
fn at_once<F: Future>(f: F) -> F::Output {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(f).as_mut().poll(&mut cx) {
        Poll::Ready(out) => out,
        Poll::Pending => panic!("it waits"),
    }
}

/// A watcher that does not read holds nothing; when it reads again after the history went on, it is told 410.
#[test]
fn a_slow_watcher_is_cut_off() {
    let mut local = Local::new(1);
    let history = HistoryLimits { events: 100, age: SignedDuration::from_hours(1) };
    let options = Options { history, ..Options::new(Arc::new(local.clock.clone())) };
    local.server = ApiServer::new(options);
    let request = http::Request::builder()
        .uri(format!("{MAPS}?watch=true&resourceVersion={}", local.server.revision()))
        .body(Full::<bytes::Bytes>::default())
        .expect("a request");
    let service = local.server.service(User::admin());
    let response = at_once(service.oneshot(request)).expect("it starts");
    let (client, maps) = (local.server.client("test"), Resource::core("configmaps"));
    for i in 0..300 {
        let map = json!({"metadata": {"name": format!("m{i}")}, "data": {"k": "v"}});
        client.create(&maps, "default", map).expect("created");
    }
    let mut body = response.into_body();
    let frame = at_once(body.frame()).expect("an event").expect("no cut");
    let text = String::from_utf8_lossy(frame.data_ref().expect("data")).into_owned();
    let event: Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert!(at_once(body.frame()).is_none(), "and the stream ends");
}

#[test]
fn selectors_of_any_size_come_back() {
    let mut local = Local::new(1);
    let clauses: Vec<String> = (0..20_000).map(|i| format!("k{i}!=v")).collect();
    for (key, text) in [
        ("labelSelector", clauses.join(",")),
        ("labelSelector", "(".repeat(60_000)),
        ("labelSelector", format!("k in ({})", "a,".repeat(60_000))),
        ("fieldSelector", "metadata.name=a,".repeat(10_000)),
    ] {
        let query = text.replace(' ', "%20").replace('(', "%28").replace(')', "%29");
        let target = format!("{MAPS}?{key}={query}");
        let sent = Sent { method: "GET".into(), target: target.clone(), headers: vec![], body: None };
        if target.len() < 65_000 {
            let reply = local.request(&sent).expect("an answer");
            assert!(matches!(reply.status, 200 | 400), "{}", reply.status);
        } else {
            // Longer than a request line can be: nothing arrives.
            assert!(local.request(&sent).is_err());
        }
    }
    let sent = Sent {
        method: "GET".into(),
        target: format!("{MAPS}?watch=true&labelSelector=a%20in%20%28"),
        headers: vec![],
        body: None,
    };
    assert!(matches!(local.watch(&sent), Ok(Start::Refused(Reply { status: 400, .. }))));
}
