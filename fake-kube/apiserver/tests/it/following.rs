//! Following changes and watching under compaction; the order and completeness controllers rely on.

use fake_kube_apiserver::conformance::local::Local;
use fake_kube_apiserver::conformance::{Sent, Start, Transport};
use fake_kube_apiserver::{ChangeKind, PatchKind, Resource};
use serde_json::json;

fn maps() -> Resource {
    Resource::core("configmaps")
}

#[test]
fn changes_come_in_order_with_the_old_state() {
    let local = Local::new(1);
    let mut changes = local.server.changes();
    let client = local.server.client("tester");
    client
        .create(&maps(), "default", json!({"metadata": {"name": "a"}, "data": {"k": "1"}}))
        .expect("created");
    client
        .patch(&maps(), "default", "a", "", PatchKind::Merge, &json!({"data": {"k": "2"}}))
        .expect("patched");
    client
        .patch(&maps(), "default", "a", "", PatchKind::Merge, &json!({"data": {"k": "2"}}))
        .expect("a no-op");
    client.delete(&maps(), "default", "a", &json!({})).expect("deleted");
    let seen: Vec<_> = std::iter::from_fn(|| changes.try_next()).collect();
    let kinds: Vec<ChangeKind> = seen.iter().map(|c| c.kind).collect();
    assert_eq!(kinds, [ChangeKind::Added, ChangeKind::Modified, ChangeKind::Deleted]);
    assert!(seen.windows(2).all(|w| w[0].revision < w[1].revision));
    assert_eq!(seen[1].old.as_ref().expect("a modification has an old state")["data"]["k"], "1");
    assert_eq!(&*seen[2].actor, "tester");
}

#[test]
fn twenty_watchers_see_the_same_thousand_updates() {
    let mut local = Local::new(1);
    let client = local.server.client("tester");
    client.create(&maps(), "default", json!({"metadata": {"name": "a"}})).expect("created");
    let target =
        format!("/api/v1/namespaces/default/configmaps?watch=1&resourceVersion={}", local.server.revision());
    let sent = Sent { method: "GET".into(), target, headers: vec![], body: None };
    let mut watchers: Vec<_> = (0..20)
        .map(|_| match local.watch(&sent) {
            Ok(Start::Stream { events, .. }) => events,
            _ => panic!("the watch starts"),
        })
        .collect();
    for i in 0..1000 {
        let patch = json!({"data": {"k": i.to_string()}});
        client.patch(&maps(), "default", "a", "", PatchKind::Merge, &patch).expect("patched");
    }
    let sequences: Vec<Vec<String>> = watchers
        .iter_mut()
        .map(|w| {
            let events = w.read(Some(1000), 1.0).expect("events");
            events.iter().map(|e| e["object"]["data"]["k"].as_str().unwrap_or("").to_owned()).collect()
        })
        .collect();
    assert_eq!(sequences[0], (0..1000).map(|i| i.to_string()).collect::<Vec<_>>());
    assert!(sequences.iter().all(|s| *s == sequences[0]));
}

#[test]
fn a_follower_that_was_overtaken_is_told() {
    let local = Local::new(1);
    let mut changes = local.server.changes();
    let client = local.server.client("tester");
    client.create(&maps(), "default", json!({"metadata": {"name": "a"}})).expect("created");
    local.server.compact(local.server.revision());
    assert!(changes.try_next().is_none());
    assert!(changes.lost());
    client.create(&maps(), "default", json!({"metadata": {"name": "b"}})).expect("created");
    assert_eq!(changes.try_next().map(|c| c.kind), Some(ChangeKind::Added));
    assert!(!changes.lost());
}

#[test]
fn one_seed_one_history() {
    let uid = |seed| {
        let client = Local::new(seed).server.client("tester");
        let made =
            client.create(&maps(), "default", json!({"metadata": {"generateName": "g-"}})).expect("created");
        (made["metadata"]["uid"].clone(), made["metadata"]["name"].clone())
    };
    assert_eq!(uid(3), uid(3));
    assert_ne!(uid(3), uid(4));
}

#[test]
fn a_watch_in_protobuf_has_a_frame_per_event() {
    let mut local = Local::new(1);
    let client = local.server.client("tester");
    client
        .create(&maps(), "default", json!({"metadata": {"name": "a"}, "data": {"k": "1"}}))
        .expect("created");
    let sent = |target: &str, accept: &str| Sent {
        method: "GET".into(),
        target: target.into(),
        headers: vec![("Accept".into(), accept.into())],
        body: None,
    };
    let kind = |headers: &[(String, String)]| {
        headers.iter().find(|(k, _)| k == "content-type").map(|(_, v)| v.clone()).unwrap_or_default()
    };
    let protobuf = "application/vnd.kubernetes.protobuf";
    // What client-go sends; it is asked for one second.
    let path = "/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=1";
    let watched = local.request(&sent(path, &format!("{protobuf}, */*"))).expect("an answer");
    assert_eq!(kind(&watched.headers), format!("{protobuf};stream=watch"));
    let length = u32::from_be_bytes(watched.body[..4].try_into().expect("four bytes")) as usize;
    assert_eq!(length + 4, watched.body.len(), "one event");
    // type = 1, object = 2 around raw = 1 around an envelope of its own.
    let frame = &watched.body[4..];
    assert_eq!(&frame[..7], b"\x0a\x05ADDED");
    let at = frame.windows(4).position(|w| w == b"k8s\0").expect("an envelope");
    let envelope = fake_kube_schema::proto::open(&frame[at..]).expect("an envelope");
    assert_eq!((envelope.api_version.as_str(), envelope.kind.as_str()), ("v1", "ConfigMap"));
    let message = fake_kube_schema::proto::Message::of("v1", "ConfigMap").expect("a message");
    assert_eq!(message.decode(&envelope.raw).expect("decodes")["data"], json!({"k": "1"}));
    // Tables are not spoken in it: the next alternative counts.
    let table =
        format!("{protobuf};as=Table;g=meta.k8s.io;v=v1,application/json;as=Table;g=meta.k8s.io;v=v1");
    let listed = local.request(&sent("/api/v1/namespaces/default/configmaps", &table)).expect("an answer");
    assert_eq!(kind(&listed.headers), "application/json");
    // Quality goes before order.
    let json = local.request(&sent(
        "/api/v1/namespaces/default/configmaps/a",
        &format!("{protobuf};q=0.5, application/json"),
    ));
    assert_eq!(kind(&json.expect("an answer").headers), "application/json");
}
