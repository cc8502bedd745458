//! The smallest API server the operator can run against: objects by path, one revision, watches, optimistic
//! locking, and a hook that may spoil a request. It knows nothing of schemas, controllers or garbage collection;
//! the real end-to-end runs are the harness's.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::StreamExt;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::mpsc;

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// What to do with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoil {
    Not,
    /// Refused with this code.
    Refuse(u16),
    /// 429, and asked to wait for so many seconds.
    Busy(u32),
    /// Carried out, but the answer never comes.
    LoseReply,
    /// Never arrives.
    LoseRequest,
}

type Hook = Box<dyn FnMut(&Method, &str) -> Spoil + Send>;

struct Watcher {
    collection: Collection,
    sender: mpsc::UnboundedSender<Value>,
}

#[derive(Clone, PartialEq)]
struct Collection {
    plural: String,
    /// `None`: all namespaces.
    namespace: Option<String>,
    selector: String,
}

#[derive(Default)]
struct State {
    revision: u64,
    /// By plural, namespace, name.
    objects: BTreeMap<(String, String, String), Value>,
    watchers: Vec<Watcher>,
    hook: Option<Hook>,
    /// Plurals whose watches show nothing.
    blind: Vec<String>,
    /// `PUT deployments/x` and the like, watches and lists of watches left out.
    log: Vec<String>,
}

#[derive(Clone, Default)]
pub struct FakeApi {
    state: Arc<Mutex<State>>,
}

impl FakeApi {
    pub fn client(&self) -> kube::Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.serve(request).await) }
        });
        kube::Client::new(service, "default")
    }

    pub fn spoil(&self, hook: impl FnMut(&Method, &str) -> Spoil + Send + 'static) {
        self.state.lock().unwrap().hook = Some(Box::new(hook));
    }

    /// Watches of this kind (not lists by name of a cluster) lag behind without end.
    pub fn blind(&self, plural: &str) {
        self.state.lock().unwrap().blind.push(plural.to_owned());
    }

    /// Writes of the operator since the last call, in order.
    pub fn writes(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().log)
    }

    pub fn names(&self, plural: &str) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state.objects.keys().filter(|key| key.0 == plural).map(|key| key.2.clone()).collect()
    }

    pub fn get(&self, plural: &str, name: &str) -> Option<Value> {
        let key = (plural.to_owned(), "ns".to_owned(), name.to_owned());
        self.state.lock().unwrap().objects.get(&key).cloned()
    }

    /// Somebody else's write.
    pub fn change(&self, plural: &str, name: &str, edit: impl FnOnce(&mut Value)) {
        let mut state = self.state.lock().unwrap();
        let key = (plural.to_owned(), "ns".to_owned(), name.to_owned());
        let mut object = state.objects.get(&key).cloned().unwrap_or_else(|| json!({ "metadata": {} }));
        edit(&mut object);
        state.store(key, object);
    }

    pub fn remove(&self, plural: &str, name: &str) {
        let key = (plural.to_owned(), "ns".to_owned(), name.to_owned());
        self.state.lock().unwrap().delete(&key);
    }

    async fn serve(&self, request: Request<Body>) -> Answer {
        let (head, body) = request.into_parts();
        let body: Value =
            serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap_or_default();
        let query: BTreeMap<String, String> = parse_query(head.uri.query().unwrap_or_default());
        let answer = {
            let mut state = self.state.lock().unwrap();
            let path = head.uri.path().to_owned();
            let spoil = state.hook.as_mut().map_or(Spoil::Not, |hook| hook(&head.method, &path));
            match spoil {
                Spoil::Refuse(code) => Some(status(code, "Spoilt")),
                Spoil::Busy(seconds) => {
                    let mut answer = status(429, "TooManyRequests");
                    answer.headers_mut().insert("retry-after", seconds.into());
                    Some(answer)
                }
                Spoil::Not => Some(state.answer(&head.method, &path, &query, body)),
                Spoil::LoseReply => {
                    state.answer(&head.method, &path, &query, body);
                    None
                }
                Spoil::LoseRequest => None,
            }
        };
        match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

fn parse_query(query: &str) -> BTreeMap<String, String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(k, v)| (k.to_owned(), v.replace("%3D", "=").replace("%2C", ",").replace("%21", "!")))
        .collect()
}

impl State {
    fn answer(
        &mut self,
        method: &Method,
        path: &str,
        query: &BTreeMap<String, String>,
        body: Value,
    ) -> Answer {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        // /api/v1/... and /apis/group/version/...
        let rest = if parts[0] == "api" { &parts[2..] } else { &parts[3..] };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] => (Some((*namespace).to_owned()), rest),
            rest => (None, rest),
        };
        let plural = rest[0].to_owned();
        if *method != Method::GET {
            self.log.push(format!("{method} {}", rest.join("/")));
        }
        let Some(name) = rest.get(1) else {
            let selector = query.get("labelSelector").cloned().unwrap_or_default();
            let collection = Collection { plural, namespace, selector };
            return match *method {
                Method::POST => self.create(&collection, body),
                _ if query.contains_key("watch") => self.watch(collection),
                _ => self.list(&collection),
            };
        };
        let key = (plural, namespace.unwrap_or_default(), (*name).to_owned());
        let Some(stored) = self.objects.get(&key).cloned() else { return status(404, "NotFound") };
        let is_status = rest.get(2) == Some(&"status");
        match *method {
            Method::GET => ok(&stored),
            Method::DELETE => {
                let foreground = body["propagationPolicy"] == "Foreground";
                let wrong_uid =
                    body["preconditions"]["uid"].as_str().is_some_and(|u| u != stored["metadata"]["uid"]);
                if wrong_uid {
                    return status(409, "Conflict");
                }
                if foreground {
                    let mut marked = stored;
                    marked["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
                    return ok(&self.store(key, marked));
                }
                self.delete(&key);
                ok(&json!({ "kind": "Status", "apiVersion": "v1", "status": "Success", "metadata": {} }))
            }
            _ => {
                let version = &body["metadata"]["resourceVersion"];
                if !version.is_null() && *version != stored["metadata"]["resourceVersion"] {
                    return status(409, "Conflict");
                }
                let mut new = stored.clone();
                if is_status {
                    new["status"] = body["status"].clone();
                } else if *method == Method::PATCH {
                    merge(&mut new, &body);
                } else {
                    new = body;
                }
                if new == stored {
                    return ok(&stored);
                }
                let is_last = new["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty);
                if !new["metadata"]["deletionTimestamp"].is_null() && is_last {
                    self.delete(&key);
                    return ok(&new);
                }
                ok(&self.store(key, new))
            }
        }
    }

    fn create(&mut self, collection: &Collection, body: Value) -> Answer {
        let name = body["metadata"]["name"].as_str().unwrap().to_owned();
        let key = (collection.plural.clone(), collection.namespace.clone().unwrap_or_default(), name);
        if self.objects.contains_key(&key) {
            return status(409, "AlreadyExists");
        }
        ok(&self.store(key, body))
    }

    fn store(&mut self, key: (String, String, String), mut object: Value) -> Value {
        self.revision += 1;
        let existed = self.objects.contains_key(&key);
        object["metadata"]["namespace"] = json!(key.1);
        object["metadata"]["name"] = json!(key.2);
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(format!("uid-{}", self.revision));
        }
        if object["metadata"]["creationTimestamp"].is_null() {
            object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        self.objects.insert(key.clone(), object.clone());
        self.tell(&key, if existed { "MODIFIED" } else { "ADDED" }, &object);
        object
    }

    fn delete(&mut self, key: &(String, String, String)) {
        if let Some(mut object) = self.objects.remove(key) {
            self.revision += 1;
            object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
            self.tell(key, "DELETED", &object);
        }
    }

    fn tell(&mut self, key: &(String, String, String), kind: &str, object: &Value) {
        let event = json!({ "type": kind, "object": object });
        self.watchers.retain(|w| !w.collection.holds(key, object) || w.sender.send(event.clone()).is_ok());
    }

    fn list(&self, collection: &Collection) -> Answer {
        let blind = self.blind.contains(&collection.plural) && !collection.selector.contains("app=");
        let objects = self.objects.iter().filter(|(key, o)| !blind && collection.holds(key, o));
        let items: Vec<&Value> = objects.map(|(_, o)| o).collect();
        ok(&json!({
            "kind": "List", "apiVersion": "v1", "items": items,
            "metadata": { "resourceVersion": self.revision.to_string() },
        }))
    }

    fn watch(&mut self, collection: Collection) -> Answer {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.watchers.push(Watcher { collection, sender });
        let events = futures::stream::unfold(receiver, |mut receiver| async {
            let event = receiver.recv().await?;
            Some((event, receiver))
        });
        let frames = events
            .map(|event| Ok::<_, Infallible>(http_body::Frame::data(Bytes::from(format!("{event}\n")))));
        Response::new(BodyExt::boxed_unsync(StreamBody::new(frames)))
    }
}

impl Collection {
    fn holds(&self, key: &(String, String, String), object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        let matches = |term: &str| match term.split_once("!=") {
            Some((label, value)) => labels[label] != value,
            None => term.split_once('=').is_none_or(|(label, value)| labels[label] == value),
        };
        key.0 == self.plural
            && self.namespace.as_ref().is_none_or(|n| *n == key.1)
            && self.selector.split(',').all(matches)
    }
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else { return *target = patch.clone() };
    for (name, value) in members {
        if value.is_null() {
            if let Some(object) = target.as_object_mut() {
                object.shift_remove(name);
            }
        } else {
            merge(&mut target[name.as_str()], value);
        }
    }
}

fn ok(object: &Value) -> Answer {
    respond(StatusCode::OK, object)
}

fn status(code: u16, reason: &str) -> Answer {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason,
        "message": reason, "code": code,
    });
    respond(StatusCode::from_u16(code).unwrap(), &body)
}

fn respond(code: StatusCode, body: &Value) -> Answer {
    let body = Full::new(Bytes::from(body.to_string())).boxed_unsync();
    Response::builder().status(code).header("content-type", "application/json").body(body).unwrap()
}
