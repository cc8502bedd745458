//! Each target is a function of bytes that must come back: no panic, no hang, no memory without bound. Every input meets
//! a server in the same state, at the same moment, with the same seed.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use fake_kube_apiserver::conformance::{self, local::Local};
use fake_kube_apiserver::{
    ApiBody, ApiServer, Clock, FieldSelector, Image, LabelSelector, ManualClock, Options, Resource, User,
};
use fake_kube_schema::proto::{self, Message};
use fake_kube_schema::{Expression, Schema};
use http::Request;
use http_body::Body;
use http_body_util::Full;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tower::Service;

use super::text::{self, BREAK};

/// Reads of an answer: a watch goes on for ever.
const READS_MAX: usize = 64;
/// Times the clock may be moved for one answer.
const WAITS_MAX: usize = 64;

/// Requests as text, see `text.rs`.
pub fn http(data: &[u8]) {
    let mut server = Server::start();
    for part in text::parts(data) {
        if let Some(request) = text::request(part) {
            server.ask(request.map(Full::new));
        }
    }
}

const PATCHES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// First byte: which patch; second: of what; the rest is its body.
pub fn patch(data: &[u8]) {
    let [kind, object, body @ ..] = data else { return };
    let kind = PATCHES[usize::from(*kind) % PATCHES.len()];
    let targets = [CONFIG_MAP, DEPLOYMENT, WIDGET, POD, CRD];
    let target = targets[usize::from(*object) % targets.len()];
    let tail = ["", "?fieldManager=m&force=true", "/status", "/scale", "?fieldValidation=Strict&dryRun=All"];
    let target = format!("{target}{}", tail[usize::from(*object / 16) % tail.len()]);
    let mut server = Server::start();
    let builder = Request::builder().method("PATCH").uri(target).header("content-type", kind);
    if let Ok(request) = builder.body(Full::new(Bytes::copy_from_slice(body))) {
        server.ask(request);
    }
}

/// First byte: label or field selector; the rest is its text. Parsed, applied, and sent in a list and a watch.
pub fn selector(data: &[u8]) {
    let [kind, text @ ..] = data else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let object = json!({"metadata": {"name": "a", "labels": {"app": "a", "n": "5"}}, "spec": {}});
    if let Ok(parsed) = LabelSelector::parse(text) {
        parsed.matches(&object);
    }
    // Whether it is one; fields are looked up by the server.
    let _ = FieldSelector::parse(text);
    let key = if kind % 2 == 0 { "labelSelector" } else { "fieldSelector" };
    let query = form_urlencoded::Serializer::new(String::new()).append_pair(key, text).finish();
    let mut server = Server::start();
    for list in ["/api/v1/pods?", "/apis/t.example.com/v1/widgets?", "/api/v1/events?watch=true&"] {
        if let Ok(request) = Request::builder().uri(format!("{list}{query}")).body(Full::default()) {
            server.ask(request);
        }
    }
}

/// A schema and an object, both JSON: the schema is checked, and when it is one, the object is held to it.
pub fn crd(data: &[u8]) {
    let mut parts = data.splitn(3, |b| *b == BREAK);
    let mut part = || serde_json::from_slice::<Value>(parts.next().unwrap_or_default()).ok();
    let Some(schema) = part() else { return };
    let (object, old) = (part(), part());
    // Stored CRDs are compiled without the checks.
    let loose = Schema::custom(&schema);
    let checked = Schema::from_crd(&schema);
    for schema in [checked.ok(), Some(loose)].into_iter().flatten() {
        let Some(mut object) = object.clone() else { continue };
        schema.prune(&mut object);
        schema.default(&mut object);
        schema.drop_nulls(&mut object);
        schema.validate(&object, old.as_ref());
    }
}

/// A rule and an object: as a rule of a schema with several kinds of fields, and by itself.
pub fn cel(data: &[u8]) {
    let mut parts = data.splitn(2, |b| *b == BREAK);
    let Ok(rule) = std::str::from_utf8(parts.next().unwrap_or_default()) else { return };
    let object = parts.next().and_then(|text| serde_json::from_slice::<Value>(text).ok());
    let object = object.unwrap_or_else(|| {
        json!({"i": 3, "s": "text", "l": ["a", "b"], "m": {"k": "v"}, "o": {"n": 1.5}, "t": "2026-01-01T00:00:00Z", "x": "5", "d": "1h"})
    });
    let schema = json!({"type": "object", "x-kubernetes-validations": [{"rule": rule}], "properties": {
        "i": {"type": "integer"}, "s": {"type": "string", "maxLength": 64},
        "l": {"type": "array", "maxItems": 16, "items": {"type": "string", "maxLength": 16}},
        "m": {"type": "object", "maxProperties": 16, "additionalProperties": {"type": "string", "maxLength": 16}},
        "o": {"type": "object", "properties": {"n": {"type": "number"}}},
        "t": {"type": "string", "format": "date-time"}, "d": {"type": "string", "format": "duration"},
        "x": {"x-kubernetes-int-or-string": true}}});
    if let Ok(schema) = Schema::from_crd(&schema) {
        schema.validate(&object, None);
        schema.validate(&object, Some(&json!({"i": 2, "s": "old"})));
    }
    if let Ok(expression) = Expression::parse(rule) {
        // What comes of it is nobody's concern here.
        let _ = expression.value(&[("self", &object), ("object", &object)]);
    }
}

/// First byte: which kind; the rest is a protobuf body, bare and in its envelope.
pub fn protobuf(data: &[u8]) {
    let [kind, raw @ ..] = data else { return };
    let kinds = [
        ("v1", "Pod", "/api/v1/namespaces/default/pods"),
        ("v1", "ConfigMap", "/api/v1/namespaces/default/configmaps"),
        ("apps/v1", "Deployment", "/apis/apps/v1/namespaces/default/deployments"),
        ("v1", "Service", "/api/v1/namespaces/default/services"),
        ("batch/v1", "Job", "/apis/batch/v1/namespaces/default/jobs"),
        ("coordination.k8s.io/v1", "Lease", "/apis/coordination.k8s.io/v1/namespaces/default/leases"),
    ];
    let (version, name, path) = kinds[usize::from(*kind) % kinds.len()];
    if let Some(message) = Message::of(version, name)
        && let Ok(object) = message.decode(raw)
    {
        // What is shown is read again. Structs that Go always writes are there from the first time on.
        let read = |object: &Value| message.decode(&message.encode(object)).expect("our own is read");
        let whole = read(&object);
        assert_eq!(read(&whole), whole, "{version} {name}");
    }
    let _ = proto::open(raw);
    let sealed = proto::seal(version, name, raw);
    let mut server = Server::start();
    for body in [raw.to_vec(), sealed] {
        let builder = Request::builder().method("POST").uri(path);
        let builder = builder.header("content-type", "application/vnd.kubernetes.protobuf");
        let builder = builder.header("accept", "application/vnd.kubernetes.protobuf");
        if let Ok(request) = builder.body(Full::new(Bytes::from(body))) {
            server.ask(request);
        }
    }
}

/// First byte: what it is sent as; the rest is YAML.
pub fn yaml(data: &[u8]) {
    let [kind, text @ ..] = data else { return };
    let (method, target, media) = [
        ("POST", "/api/v1/namespaces/default/configmaps?fieldValidation=Strict", "application/yaml"),
        ("POST", "/apis/apps/v1/namespaces/default/deployments", "application/yaml"),
        (
            "POST",
            "/apis/t.example.com/v1/namespaces/default/widgets?fieldValidation=Strict",
            "application/yaml",
        ),
        (
            "PATCH",
            "/apis/t.example.com/v1/namespaces/default/widgets/a?fieldManager=m&force=true",
            PATCHES[3],
        ),
        ("DELETE", POD, "application/yaml"),
    ][usize::from(*kind) % 5];
    let mut server = Server::start();
    let builder = Request::builder().method(method).uri(target).header("content-type", media);
    if let Ok(request) = builder.body(Full::new(Bytes::copy_from_slice(text))) {
        server.ask(request);
    }
}

const CONFIG_MAP: &str = "/api/v1/namespaces/default/configmaps/a";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/default/deployments/a";
const WIDGET: &str = "/apis/t.example.com/v1/namespaces/default/widgets/a";
const POD: &str = "/api/v1/namespaces/default/pods/a";
const CRD: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.t.example.com";

/// The server an input meets.
struct Server {
    api: ApiServer,
    clock: ManualClock,
}

impl Server {
    fn start() -> Server {
        let clock = ManualClock::new(start());
        let options = Options { seed: 1, ..Options::new(Arc::new(clock.clone())) };
        Server { api: ApiServer::from_image(image(), options), clock }
    }

    /// Asks, and reads what there is of the answer.
    fn ask(&mut self, request: Request<Full<Bytes>>) {
        let mut service = self.api.service(User::admin());
        let Some(Ok(response)) = self.wait(service.call(request)) else { return };
        let mut body: ApiBody = response.into_body();
        for _ in 0..READS_MAX {
            let next = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
            if !matches!(self.wait(next), Some(Some(Ok(_)))) {
                return;
            }
        }
    }

    /// Polls to the end, moving the clock whenever it waits; not for ever.
    fn wait<F: Future>(&self, f: F) -> Option<F::Output> {
        let mut f = pin!(f);
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..WAITS_MAX {
            if let Poll::Ready(out) = f.as_mut().poll(&mut cx) {
                return Some(out);
            }
            let next =
                self.clock.next_due().unwrap_or_else(|| self.clock.now() + SignedDuration::from_secs(1));
            self.clock.advance_to(next);
        }
        None
    }
}

fn start() -> Timestamp {
    Timestamp::from_second(1_795_262_400).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The custom resources of the recorded cases, and an object of each kind that is patched.
fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/../fake-kube/cases");
        let cases = [cases, concat!(env!("CARGO_MANIFEST_DIR"), "/../cases")];
        let found = cases.iter().find_map(|folder| conformance::load(folder.as_ref()).ok());
        let (_, fixtures) = found.expect("the recorded cases lie in the repository");
        let mut local = Local::new(1);
        conformance::install(&mut local, &fixtures).expect("fixtures are taken");
        let client = local.server.client("kubectl");
        let meta = json!({"name": "a", "labels": {"app": "a"}, "finalizers": ["example.com/kept"]});
        let containers = json!([{"name": "c", "image": "i", "ports": [{"containerPort": 80}], "env": [{"name": "E", "value": "1"}]}]);
        let objects = [
            (Resource::core("configmaps"), json!({"metadata": meta, "data": {"k": "v"}})),
            (Resource::core("pods"), json!({"metadata": meta, "spec": {"containers": containers}})),
            (
                Resource::new("apps", "v1", "deployments"),
                json!({"metadata": meta, "spec": {"selector": {"matchLabels": {"app": "a"}},
                    "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": containers}}}}),
            ),
            (
                Resource::new("t.example.com", "v1", "widgets"),
                json!({"metadata": meta, "spec": {"size": 1, "items": [{"name": "x", "value": "1"}], "tags": ["t"]}}),
            ),
        ];
        for (resource, mut object) in objects {
            let kinds = client.resources();
            let kind = kinds.iter().find(|r| r.resource == resource).expect("it is served");
            object["kind"] = json!(kind.kind);
            let group = &resource.group;
            let version = &resource.version;
            object["apiVersion"] =
                json!(if group.is_empty() { version.clone() } else { format!("{group}/{version}") });
            client.create(&resource, "default", object).expect("it is taken");
        }
        local.server.image()
    })
}
