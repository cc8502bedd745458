//! The synchronous client for code in the same process: controllers, the kubelet, tests.
//!
//! The same path as HTTP below the request line: defaulting, admission, validation, managedFields, versions. It does not
//! pass the fault gate and negotiates nothing.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::admission::Reviews;
use crate::answer::{Answer, Shown};
use crate::codec::Decoded;
use crate::meta;
use crate::negotiate;
pub use crate::patch::PatchKind;
use crate::request::{DeleteOptions, FieldValidation, Params, WriteOptions};
use crate::resource::{Definition, Resource};
use crate::server::{ApiServer, State};
use crate::status::{Result, Status};
use crate::write::Call;

/// A client acting as `actor`, which is also its field manager.
#[derive(Clone)]
pub struct LocalClient {
    server: ApiServer,
    actor: Arc<str>,
}

impl LocalClient {
    pub(crate) fn new(server: ApiServer, actor: &str) -> LocalClient {
        LocalClient { server, actor: Arc::from(actor) }
    }

    pub fn server(&self) -> &ApiServer {
        &self.server
    }

    /// One object. Shared with the store where the version asked is the stored one: cloning it costs nothing.
    pub fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Result<Arc<Value>> {
        self.server.with(|s| {
            let def = definition(s, resource)?;
            match s.get(&def, namespace, name, "", None)? {
                Answer::Object { object, .. } => Ok(shown(&def, &object)),
                _ => Err(Status::internal("get did not answer an object")),
            }
        })
    }

    /// Objects of a namespace ("" for all) that match a label selector ("" for all), in key order.
    pub fn list(&self, resource: &Resource, namespace: &str, labels: &str) -> Result<Vec<Arc<Value>>> {
        let query: String =
            form_urlencoded::Serializer::new(String::new()).append_pair("labelSelector", labels).finish();
        self.server.with(|s| {
            let def = definition(s, resource)?;
            match s.list(&def, namespace, &Params::parse(&query), None)? {
                Answer::List { page, .. } => Ok(page.items.iter().map(|i| shown(&def, i)).collect()),
                _ => Err(Status::internal("list did not answer a list")),
            }
        })
    }

    pub fn create(&self, resource: &Resource, namespace: &str, object: Value) -> Result<Arc<Value>> {
        self.write(resource, namespace, "", "", object, |s, call, object| {
            s.create(call, Decoded { value: object, strict: vec![] })
        })
    }

    /// Replaces an object; its resourceVersion, when set, must be the live one.
    pub fn update(&self, resource: &Resource, namespace: &str, object: Value) -> Result<Arc<Value>> {
        self.put(resource, namespace, "", object)
    }

    pub fn update_status(&self, resource: &Resource, namespace: &str, object: Value) -> Result<Arc<Value>> {
        self.put(resource, namespace, "status", object)
    }

    fn put(
        &self,
        resource: &Resource,
        namespace: &str,
        subresource: &str,
        object: Value,
    ) -> Result<Arc<Value>> {
        let name = meta::name(&object).to_owned();
        self.write(resource, namespace, &name, subresource, object, |s, call, object| {
            s.put(call, Decoded { value: object, strict: vec![] })
        })
    }

    /// Patches an object; `subresource` is "" or "status". Applies force.
    pub fn patch(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        subresource: &str,
        kind: PatchKind,
        body: &Value,
    ) -> Result<Arc<Value>> {
        let body = Value::String(body.to_string());
        self.write(resource, namespace, name, subresource, body, |s, call, body| {
            s.patch(call, kind, body.as_str().unwrap_or_default().as_bytes())
        })
    }

    /// Deletes with `DeleteOptions` as JSON (`json!({})` for the defaults). The answer is the last state of the object.
    pub fn delete(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        options: &Value,
    ) -> Result<Arc<Value>> {
        let sent = options.clone();
        let options = DeleteOptions::parse(Some(options), &Params::default())?;
        self.write(resource, namespace, name, "", sent, |s, call, _| {
            call.options.dry_run = options.dry_run;
            let live = s.live(call)?;
            match s.delete(call, &options)? {
                Answer::Value { .. } => Ok(call.loose(200, Value::clone(&live.value()))),
                other => Ok(other),
            }
        })
    }

    /// PUT of a namespace's `/finalize`.
    pub fn finalize_namespace(&self, object: &Value) -> Result<Arc<Value>> {
        let namespaces = Resource::core("namespaces");
        self.write(&namespaces, "", meta::name(object), "finalize", object.clone(), |s, call, object| {
            s.finalize(call, &object)
        })
    }

    /// Binds a pod to a node, as the scheduler does.
    pub fn bind(&self, namespace: &str, pod: &str, node: &str) -> Result<()> {
        let body = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod, "namespace": namespace},
            "target": {"kind": "Node", "name": node}});
        let pods = Resource::core("pods");
        self.write(&pods, namespace, pod, "binding", body, |s, call, body| {
            s.bind(call, &body)?;
            s.live(call).map(|live| call.loose(201, Value::clone(&live.value())))
        })
        .map(|_| ())
    }

    /// Every resource of which objects can be stored, once, in its storage version.
    pub fn resources(&self) -> Vec<ServedResource> {
        self.server.with(|s| {
            let stored = s.registry.stored().filter(|d| !d.traits.virtual_kind);
            stored
                .map(|d| ServedResource {
                    resource: d.resource(),
                    kind: d.kind.clone(),
                    namespaced: d.namespaced,
                })
                .collect()
        })
    }

    /// The resource that serves a kind, as owner references name it.
    pub fn resource_of_kind(&self, api_version: &str, kind: &str) -> Option<ServedResource> {
        self.server.with(|s| {
            let d = s.registry.all().find(|d| d.kind == kind && d.api_version() == api_version)?;
            Some(ServedResource { resource: d.resource(), kind: d.kind.clone(), namespaced: d.namespaced })
        })
    }

    fn call(
        &self,
        s: &State,
        resource: &Resource,
        namespace: &str,
        name: &str,
        subresource: &str,
    ) -> Result<Call> {
        let def = definition(s, resource)?;
        let namespace = if def.namespaced { namespace.to_owned() } else { String::new() };
        Ok(Call {
            def,
            namespace,
            name: name.to_owned(),
            subresource: subresource.to_owned(),
            options: WriteOptions {
                dry_run: false,
                manager: self.actor.to_string(),
                force: Some(true),
                validation: FieldValidation::Ignore,
                sent: Value::Null,
            },
            actor: self.actor.clone(),
            user: None,
            now: self.server.now(),
            warnings: Vec::new(),
            reviews: Reviews::default(),
        })
    }

    /// Makes a write. A webhook that does not answer at once makes it fail with a conflict; trying the same again goes on
    /// where it stopped ([`ApiServer::poll_webhooks`]).
    fn write(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        subresource: &str,
        body: Value,
        f: impl Fn(&mut State, &mut Call, Value) -> Result<Answer>,
    ) -> Result<Arc<Value>> {
        let run = |s: &mut State, reviews: Reviews, body: Value| {
            let mut call = self.call(s, resource, namespace, name, subresource)?;
            call.reviews = reviews;
            call.now = call.reviews.begin(call.now);
            let answer = f(s, &mut call, body);
            Ok((call, answer))
        };
        let written = |call: &Call, answer: Result<Answer>| match answer? {
            Answer::Object { object, .. } => Ok(shown(&call.def, &object)),
            _ => Err(Status::internal("the write did not answer an object")),
        };
        // Without webhooks, the usual case, the body goes in without a copy and there is nothing to come back to.
        let mut body = body;
        let done = self.server.with(|s| {
            if s.has_hooks() {
                return None;
            }
            let ran = run(s, Reviews::default(), std::mem::take(&mut body));
            Some(ran.and_then(|(call, answer)| written(&call, answer)))
        });
        if let Some(done) = done {
            return done;
        }
        let key = format!("{} {resource:?} {namespace}/{name}/{subresource} {body}", self.actor);
        let asked = || {
            let text = "a webhook is being asked; try again";
            Status::new(409, "Conflict", text)
        };
        let mut reviews = self.server.resume(&key).ok_or_else(asked)?;
        loop {
            let (mut call, answer) = self.server.with(|s| run(s, reviews, body.clone()))?;
            let Some(question) = call.reviews.question.take() else { return written(&call, answer) };
            reviews = self.server.ask_at_once(&key, &question, call.reviews).ok_or_else(asked)?;
        }
    }
}

/// A served resource and its kind.
#[derive(Clone, Debug, PartialEq)]
pub struct ServedResource {
    pub resource: Resource,
    pub kind: String,
    pub namespaced: bool,
}

fn definition(s: &State, r: &Resource) -> Result<Arc<Definition>> {
    s.registry.get(&r.group, &r.version, &r.plural).cloned().ok_or_else(Status::unknown_path)
}

fn shown(def: &Definition, object: &Shown) -> Arc<Value> {
    let value = object.value();
    let is_as_stored = match object {
        Shown::Stored(stored) => def.is_settled(stored.revision),
        Shown::Loose(_) => !def.is_custom(),
    };
    if is_as_stored && def.is_version_of(&value) { value } else { Arc::new(negotiate::value(def, object)) }
}
