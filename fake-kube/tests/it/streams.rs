//! Streams into pods as clients other than kubectl open them: fabric8 and the JavaScript client speak the older
//! dialects of WebSocket channels, and forward ports over channels.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use fake_kube_apiserver::{Answered, ApiServer, Question, Resource, Webhooks};
use futures_util::future::BoxFuture;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::loopback::{exchange, on_loopback, plain};

type Socket = WebSocketStream<TcpStream>;

async fn open(addr: std::net::SocketAddr, path: &str, protocol: &str) -> Result<Socket, String> {
    let mut request = format!("ws://{addr}/api/v1/namespaces/default/pods/{path}")
        .into_client_request()
        .expect("a request");
    request.headers_mut().insert("sec-websocket-protocol", protocol.parse().expect("a header"));
    let stream = TcpStream::connect(addr).await.expect("connected");
    match tokio_tungstenite::client_async(request, stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(tokio_tungstenite::tungstenite::Error::Http(r)) => {
            Err(String::from_utf8_lossy(r.body().as_deref().unwrap_or_default()).into_owned())
        }
        Err(e) => panic!("{path}: {e}"),
    }
}

/// Everything until the end, by channel.
async fn read_all(mut socket: Socket, base64: bool) -> Vec<(u8, String)> {
    use base64::Engine;
    let mut out = Vec::new();
    while let Some(Ok(m)) = socket.next().await {
        let (channel, data) = match &m {
            Message::Binary(b) if !base64 => (b[0], b[1..].to_vec()),
            Message::Text(t) if base64 => {
                let data =
                    base64::engine::general_purpose::STANDARD.decode(&t.as_bytes()[1..]).expect("base64");
                (t.as_bytes()[0] - b'0', data)
            }
            _ => continue,
        };
        if !data.is_empty() {
            out.push((channel, String::from_utf8_lossy(&data).into_owned()));
        }
    }
    out
}

async fn running_pod(api: &ApiServer) {
    pod_with(api, "nginx").await;
}

async fn pod_with(api: &ApiServer, script: &str) {
    let client = api.client("t");
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [
        {"name": "c", "image": "i", "command": ["sh", "-c", script], "ports": [{"containerPort": 80}]}]}});
    client.create(&Resource::core("pods"), "default", pod).expect("created");
    for _ in 0..500 {
        let pod = client.get(&Resource::core("pods"), "default", "p").expect("it is there");
        if pod["status"]["containerStatuses"][0]["ready"] == true {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the pod does not become ready");
}

#[test]
fn commands_in_every_dialect() {
    on_loopback(plain(), |addr, api, listening| async move {
        running_pod(&api).await;
        let path = "p/exec?command=sh&command=-c&command=echo%20hi;exit%202&stdout=true&stderr=true";
        for (protocol, base64) in [
            ("v5.channel.k8s.io", false),
            ("v4.channel.k8s.io", false),
            ("v4.base64.channel.k8s.io", true),
            ("base64.channel.k8s.io", true),
        ] {
            let socket = open(addr, path, protocol).await.expect("upgraded");
            let said = read_all(socket, base64).await;
            assert_eq!(said[0], (1, "hi\n".to_owned()), "{protocol}");
            let (channel, status) = said.last().expect("a status");
            assert_eq!(*channel, 3);
            if protocol.starts_with('v') {
                let status: Value = serde_json::from_str(status).expect("a Status");
                assert_eq!(status["reason"], "NonZeroExitCode");
                assert_eq!(status["details"]["causes"][0], json!({"reason": "ExitCode", "message": "2"}));
            } else {
                assert!(status.contains("exit code 2"), "{status}");
            }
        }
        let refused = |path: &'static str| async move { open(addr, path, "v4.channel.k8s.io").await.err() };
        let text = refused("nope/exec?command=true&stdout=1").await.expect("refused");
        assert!(text.contains("pods \\\"nope\\\" not found"), "{text}");
        let text = refused("p/exec?stdout=1").await.expect("refused");
        assert!(text.contains("you must specify at least 1 command"), "{text}");
        let text = refused("p/exec?command=true&stdout=1&container=x").await.expect("refused");
        assert!(text.contains("container x is not valid for pod p"), "{text}");
        assert!(open(addr, "p/exec?command=true&stdout=1", "soap").await.is_err());
        listening.shutdown().await;
    });
}

#[test]
fn input_goes_in_until_it_is_closed() {
    on_loopback(plain(), |addr, api, listening| async move {
        running_pod(&api).await;
        let mut socket =
            open(addr, "p/exec?command=sh&stdin=1&stdout=1", "v5.channel.k8s.io").await.expect("upgraded");
        for piece in ["\0echo o", "\0ne\necho two\n"] {
            socket.send(Message::binary(piece.as_bytes().to_vec())).await.expect("sent");
        }
        socket.send(Message::binary(vec![255, 0])).await.expect("sent");
        let said = read_all(socket, false).await;
        let output: String = said.iter().filter(|(c, _)| *c == 1).map(|(_, t)| t.as_str()).collect();
        assert_eq!(output, "one\ntwo\n");
        assert!(said.last().is_some_and(|(c, t)| *c == 3 && t.contains("Success")), "{said:?}");
        listening.shutdown().await;
    });
}

#[test]
fn ports_over_channels() {
    on_loopback(plain(), |addr, api, listening| async move {
        running_pod(&api).await;
        let mut socket =
            open(addr, "p/portforward?ports=80&ports=9", "v4.channel.k8s.io").await.expect("upgraded");
        let request = b"\0GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec();
        socket.send(Message::binary(request)).await.expect("sent");
        let (mut ports, mut answer, mut error) = (Vec::new(), String::new(), String::new());
        while !(answer.ends_with("ok\n") && error.contains("refused")) {
            let Some(Ok(Message::Binary(m))) = socket.next().await else { panic!("{answer} {error}") };
            match (m[0], &m[1..]) {
                (channel, [low, high]) if ports.len() < 4 => {
                    ports.push((channel, u16::from_le_bytes([*low, *high])));
                }
                (0, data) => answer.push_str(&String::from_utf8_lossy(data)),
                (3, data) => error.push_str(&String::from_utf8_lossy(data)),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(ports, [(0, 80), (1, 80), (2, 9), (3, 9)]);
        assert!(error.starts_with("error forwarding port 9 to pod p, uid "), "{error}");
        listening.shutdown().await;
    });
}

#[test]
fn an_attached_client_sees_what_is_said_from_now_on() {
    on_loopback(plain(), |addr, api, listening| async move {
        pod_with(&api, "echo before; sleep 1; echo later; sleep 1; exit 0").await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let socket = open(addr, "p/attach?stdout=1", "v4.channel.k8s.io").await.expect("upgraded");
        let said = read_all(socket, false).await;
        assert_eq!(said[0], (1, "later\n".to_owned()), "{said:?}");
        assert!(said.last().is_some_and(|(c, t)| *c == 3 && t.contains("Success")), "{said:?}");
        listening.shutdown().await;
    });
}

/// Refuses what removes something, and remembers what it was asked.
#[derive(Default)]
struct Guard(Mutex<Vec<Value>>);

impl Webhooks for Guard {
    fn call(&self, question: &Question) -> BoxFuture<'static, Answered> {
        let asked = question.review["request"].clone();
        let is_harmful = asked["object"]["command"].as_array().is_some_and(|c| c.iter().any(|w| w == "rm"));
        let status = json!({"message": "not here", "code": 403});
        let response = json!({"uid": asked["uid"], "allowed": !is_harmful, "status": status});
        self.0.lock().expect("nobody panicked").push(asked);
        let review =
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
        Box::pin(std::future::ready(Ok((200, Bytes::from(review.to_string())))))
    }
}

#[test]
fn admission_is_asked_before_a_stream_opens() {
    on_loopback(plain(), |addr, api, listening| async move {
        running_pod(&api).await;
        let guard = Arc::new(Guard::default());
        api.set_webhooks(guard.clone());
        let hook = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "guard"}, "webhooks": [{"name": "guard.example.com", "admissionReviewVersions": ["v1"],
                "sideEffects": "None", "clientConfig": {"url": "https://guard.example.com/"},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CONNECT"],
                    "resources": ["pods/exec", "pods/portforward", "services/proxy"]}]}]});
        let hooks = Resource::new("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations");
        api.client("t").create(&hooks, "", hook).expect("created");
        let exec = |command: &str| format!("p/exec?command={command}&command=x&stdout=true&container=c");
        let socket = open(addr, &exec("echo"), "v4.channel.k8s.io").await.expect("allowed");
        assert_eq!(read_all(socket, false).await[0], (1, "x\n".to_owned()));
        let refused = open(addr, &exec("rm"), "v4.channel.k8s.io").await.expect_err("refused");
        assert!(
            refused.contains("admission webhook \\\"guard.example.com\\\" denied the request: not here"),
            "{refused}"
        );
        drop(open(addr, "p/portforward?ports=80", "v4.channel.k8s.io").await.expect("allowed"));
        let asked = guard.0.lock().expect("nobody panicked").clone();
        let object = json!({"kind": "PodExecOptions", "apiVersion": "v1", "stdout": true, "container": "c", "command": ["echo", "x"]});
        let first = &asked[0];
        assert_eq!((&first["object"], &first["operation"]), (&object, &json!("CONNECT")));
        assert_eq!(
            (&first["kind"]["kind"], &first["subResource"]),
            (&json!("PodExecOptions"), &json!("exec"))
        );
        assert_eq!(
            (&first["name"], &first["namespace"], &first["options"]),
            (&json!("p"), &json!("default"), &Value::Null)
        );
        assert_eq!(
            asked[2]["object"],
            json!({"kind": "PodPortForwardOptions", "apiVersion": "v1", "ports": [80]})
        );
        listening.shutdown().await;
    });
}

/// Lets nobody have more than two.
struct Modest;

impl Webhooks for Modest {
    fn call(&self, question: &Question) -> BoxFuture<'static, Answered> {
        let asked = &question.review["request"];
        assert_eq!((&asked["kind"]["kind"], &asked["subResource"]), (&json!("Scale"), &json!("scale")));
        // [{"op":"replace","path":"/spec/replicas","value":2}]
        let patch = "W3sib3AiOiJyZXBsYWNlIiwicGF0aCI6Ii9zcGVjL3JlcGxpY2FzIiwidmFsdWUiOjJ9XQ==";
        let response =
            json!({"uid": asked["uid"], "allowed": true, "patchType": "JSONPatch", "patch": patch});
        let review =
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
        Box::pin(std::future::ready(Ok((200, Bytes::from(review.to_string())))))
    }
}

#[test]
fn a_scale_is_mutated_like_any_object() {
    on_loopback(plain(), |addr, api, listening| async move {
        let deployments = Resource::new("apps", "v1", "deployments");
        let client = api.client("t");
        client.create(&deployments, "default", crate::support::deployment("d", 1)).expect("created");
        api.set_webhooks(Arc::new(Modest));
        let hook = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "modest"}, "webhooks": [{"name": "modest.example.com", "admissionReviewVersions": ["v1"],
                "sideEffects": "None", "clientConfig": {"url": "https://modest.example.com/"},
                "rules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"],
                    "resources": ["deployments/scale"]}]}]});
        let hooks = Resource::new("admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations");
        client.create(&hooks, "", hook).expect("created");
        let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale",
            "metadata": {"name": "d", "namespace": "default"}, "spec": {"replicas": 7}});
        let path = "/apis/apps/v1/namespaces/default/deployments/d/scale";
        let (code, body) = exchange(addr, &format!("PUT {path} HTTP/1.1"), &scale.to_string()).await;
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((code, &answer["spec"]["replicas"]), (200, &json!(2)), "{body}");
        assert_eq!(client.get(&deployments, "default", "d").expect("it")["spec"]["replicas"], 2);
        listening.shutdown().await;
    });
}
