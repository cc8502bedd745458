//! The synchronous client for code in the same process: controllers, the kubelet, tests.
//!
//! The same path as HTTP below the request line: defaulting, admission, validation, managedFields, versions. It does not
//! pass the fault gate and negotiates nothing.

use std::sync::Arc;

use serde_json::{Value, json};

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
        self.write(resource, namespace, "", "", |s, call| {
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
        self.write(resource, namespace, &name, subresource, |s, call| {
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
        self.write(resource, namespace, name, subresource, |s, call| {
            s.patch(call, kind, body.to_string().as_bytes())
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
        let options = DeleteOptions::parse(Some(options), &Params::default())?;
        self.write(resource, namespace, name, "", |s, call| {
            call.options.dry_run = options.dry_run;
            let live = s.live(call)?;
            match s.delete(call, &options)? {
                Answer::Value { .. } => Ok(call.loose(200, (*live.value).clone())),
                other => Ok(other),
            }
        })
    }

    /// PUT of a namespace's `/finalize`.
    pub fn finalize_namespace(&self, object: &Value) -> Result<Arc<Value>> {
        self.write(&Resource::core("namespaces"), "", meta::name(object), "finalize", |s, call| {
            s.finalize(call, object)
        })
    }

    /// Binds a pod to a node, as the scheduler does.
    pub fn bind(&self, namespace: &str, pod: &str, node: &str) -> Result<()> {
        let body = json!({"metadata": {"name": pod}, "target": {"kind": "Node", "name": node}});
        self.server.with(|s| {
            let mut call = self.call(s, &Resource::core("pods"), namespace, pod, "binding")?;
            s.bind(&mut call, &body).map(|_| ())
        })
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
            },
            actor: self.actor.clone(),
            user: None,
            now: self.server.now(),
            warnings: Vec::new(),
        })
    }

    fn write(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        subresource: &str,
        f: impl FnOnce(&mut State, &mut Call) -> Result<Answer>,
    ) -> Result<Arc<Value>> {
        self.server.with(|s| {
            let mut call = self.call(s, resource, namespace, name, subresource)?;
            match f(s, &mut call)? {
                Answer::Object { object, .. } => Ok(shown(&call.def, &object)),
                _ => Err(Status::internal("the write did not answer an object")),
            }
        })
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
    if is_as_stored && def.is_version_of(value) {
        value.clone()
    } else {
        Arc::new(negotiate::value(def, object))
    }
}
