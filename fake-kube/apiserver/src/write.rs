//! Creating and updating objects: the path every write takes, whoever makes it.

use std::sync::Arc;

use fake_kube_schema::text::go_quote;
use fake_kube_schema::{Cause, Members, Request, equal_members, managed, put_member, take_member};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::admission::{Asked, Operation, Reviews};
use crate::answer::{Answer, Shown};
use crate::aside::Aside;
use crate::codec::{self, Decoded};
use crate::events;
use crate::meta;
use crate::request::{FieldValidation, WriteOptions};
use crate::resource::Definition;
use crate::server::{State, User};
use crate::status::{Result, Status};
use crate::store::{self, Key, Stored};
use crate::{decode, rules, strategy, validate};

/// One request to a resource, name and namespace resolved.
pub(crate) struct Call {
    pub(crate) def: Arc<Definition>,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) subresource: String,
    pub(crate) options: WriteOptions,
    pub(crate) actor: Arc<str>,
    /// Who asked over HTTP; None for code in this process.
    pub(crate) user: Option<Arc<User>>,
    pub(crate) now: Timestamp,
    /// Become `Warning` headers.
    pub(crate) warnings: Vec<String>,
    /// What webhooks said so far.
    pub(crate) reviews: Reviews,
}

/// Which request an update came from; they differ in a few refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Put,
    Patch,
    Apply,
}

impl Call {
    pub(crate) fn key(&self) -> Key {
        store::key(&self.namespace, &self.name)
    }

    /// The managedFields record of this write.
    pub(crate) fn record<'a>(&'a self, api_version: &'a str) -> managed::Write<'a> {
        managed::Write {
            manager: &self.options.manager,
            api_version,
            subresource: &self.subresource,
            now: self.now,
            same_schema: false,
            reset_fields: self.reset_fields(),
        }
    }

    /// The same for a write over a live object.
    pub(crate) fn record_over<'a>(&'a self, api_version: &'a str, live: &Stored) -> managed::Write<'a> {
        managed::Write { same_schema: self.def.is_settled(live.revision), ..self.record(api_version) }
    }

    /// Fields this endpoint does not write (resetFields of the strategies).
    fn reset_fields(&self) -> &'static [&'static str] {
        match (self.subresource.as_str(), self.def.is_custom()) {
            ("status", _) => &["spec"],
            ("", _) if self.def.has_status() => &["status"],
            _ => &[],
        }
    }

    fn object(&self, code: u16, stored: Arc<Stored>) -> Answer {
        Answer::Object { code, def: self.def.clone(), object: Shown::Stored(stored) }
    }

    pub(crate) fn loose(&self, code: u16, value: Value) -> Answer {
        Answer::Object { code, def: self.def.clone(), object: Shown::Loose(Arc::new(value)) }
    }
}

impl State {
    pub(crate) fn live(&self, call: &Call) -> Result<Arc<Stored>> {
        let found = self.store.get(call.def.table, &call.key()).cloned();
        found.ok_or_else(|| Status::not_found(&call.def, &call.name))
    }

    /// The stored object as the version of `def` shows it.
    pub(crate) fn view(&self, def: &Definition, stored: &Value) -> Value {
        let mut out = if events::is_view(def) { events::from_storage(def, stored) } else { stored.clone() };
        out["apiVersion"] = json!(def.api_version());
        if def.is_custom() {
            def.schema().default(&mut out);
        }
        out
    }

    /// [`State::view`] of an object as it is stored; nothing is copied where the two are the same.
    pub(crate) fn stored_view(&self, def: &Definition, live: &Stored) -> Arc<Value> {
        let value = live.value();
        let is_same = def.is_settled(live.revision) && def.is_version_of(&value);
        if is_same { value } else { Arc::new(self.view(def, &value)) }
    }

    /// POST of a decoded object.
    pub(crate) fn create(&mut self, call: &mut Call, decoded: Decoded) -> Result<Answer> {
        let def = call.def.clone();
        let object = self.prepare_body(call, decoded, None)?;
        let object = self.admit_create(call, object)?;
        self.check_escalation(call, &object, None)?;
        if def.traits.virtual_kind {
            return self.review(call, object);
        }
        let value = self.finish_create(call, object)?;
        let value = events::to_storage(&def, value);
        if call.options.dry_run {
            return Ok(call.loose(201, self.view(&def, &value)));
        }
        let stored = self.commit(call, value);
        Ok(call.object(201, stored))
    }

    /// The creating half of a server-side apply: fields are owned already.
    pub(crate) fn create_applied(&mut self, call: &mut Call, mut object: Value) -> Result<Answer> {
        self.authorize_create(call)?;
        call.def.schema().default(&mut object);
        let object = self.admit_create(call, object)?;
        self.check_escalation(call, &object, None)?;
        let owned = meta::get(&object, "managedFields").cloned();
        let mut value = self.finish_create(call, object)?;
        match owned {
            Some(m) => meta::set(&mut value, "managedFields", m),
            None => meta::remove(&mut value, "managedFields"),
        }
        let value = events::to_storage(&call.def, value);
        if call.options.dry_run {
            return Ok(call.loose(201, self.view(&call.def, &value)));
        }
        let stored = self.commit(call, value);
        Ok(call.object(201, stored))
    }

    /// Unknown fields, namespace and version of a body that was decoded. `live` is the object it is to replace.
    pub(crate) fn prepare_body(
        &mut self,
        call: &mut Call,
        decoded: Decoded,
        live: Option<&Stored>,
    ) -> Result<Value> {
        let mut value = decoded.value;
        let mut strict = decoded.strict;
        let aside = Aside::take(&call.def, &mut value, live);
        if !call.def.is_custom()
            && let Some(why) = decode::mismatch(&call.def.group, &call.def.version, &call.def.kind, &value)
        {
            return Err(codec::cannot_handle(&call.def, &why));
        }
        strict.extend(
            call.def
                .schema()
                .prune(&mut value)
                .into_iter()
                .map(|p| format!("unknown field {}", go_quote(&p))),
        );
        if let Some(why) = call.def.schema().embedded_error(&value) {
            return Err(codec::cannot_handle(&call.def, &why));
        }
        call.report_strict(strict)?;
        call.def.name_type(&mut value);
        meta::tidy(&mut value);
        call.warnings.extend(meta::dedup_owners(&mut value));
        call.check_namespace(&mut value)?;
        // An empty list is a request to forget ownership; defaulting would drop it.
        let owned = take_member(meta::of(&mut value), "managedFields");
        call.def.schema().drop_nulls(&mut value);
        strategy::convert(&call.def, &mut value);
        call.def.schema().default(&mut value);
        if let Some(owned) = owned.filter(|owned| !owned.is_null()) {
            meta::set(&mut value, "managedFields", owned);
        }
        aside.put_back(&mut value);
        Ok(value)
    }

    /// What admission plugins decide before an object is created.
    fn admit_create(&mut self, call: &mut Call, object: Value) -> Result<Value> {
        let def = call.def.clone();
        if def.namespaced && !def.traits.virtual_kind {
            self.namespace_lifecycle(call, &object)?;
        }
        if let Some(c) = &def.custom
            && c.terminating
        {
            let why = "create not allowed while custom resource definition is terminating";
            return Err(Status::forbidden(&def, meta::name(&object), why));
        }
        Ok(object)
    }

    fn namespace_lifecycle(&self, call: &Call, object: &Value) -> Result<()> {
        let Some(namespaces) = self.registry.get("", "v1", "namespaces") else { return Ok(()) };
        let Some(found) = self.store.get(namespaces.table, &call.namespace) else {
            return Err(Status::not_found(namespaces, &call.namespace));
        };
        if found.pinned()["status"]["phase"] != "Terminating" {
            return Ok(());
        }
        let n = &call.namespace;
        let why = format!("unable to create new content in namespace {n} because it is being terminated");
        let mut status = Status::forbidden(&call.def, meta::name(object), &why);
        if let Some(details) = &mut status.details {
            details["causes"] = json!([{"reason": "NamespaceTerminating",
                "message": format!("namespace {n} is being terminated"), "field": "metadata.namespace"}]);
        }
        Err(status)
    }

    /// Server-set metadata, strategy and validation of a create; ends with the refusal of an existing name.
    pub(crate) fn finish_create(&mut self, call: &mut Call, mut object: Value) -> Result<Value> {
        let def = call.def.clone();
        let sent_version = meta::text(&object, "resourceVersion").to_owned();
        let owned = if self.has_hooks() { self.mutate_created(call, &mut object)? } else { None };
        let uid = self.new_uid(call);
        {
            let m = meta::of(&mut object);
            for key in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"] {
                take_member(m, key);
            }
            if m.values().any(Value::is_null) {
                m.retain(|_, v| !v.is_null());
            }
            put_member(m, "uid", Value::from(uid.as_str()));
            put_member(m, "creationTimestamp", Value::from(meta::time(call.now)));
        }
        self.generate_name(call, &mut object)?;
        if def.namespaced {
            self.limit(call, &mut object)?;
        }
        // Tracked before the strategy fills in what no client owns.
        let api_version = def.api_version();
        if def.has_status() && !def.is_custom() {
            strategy::keep(&mut object, &Value::Null, "status");
        }
        let is_crd = def.is("apiextensions.k8s.io", "customresourcedefinitions");
        if is_crd {
            crate::crd::default(&mut object);
        }
        match owned {
            Some(owned) => meta::set(&mut object, "managedFields", owned),
            None => managed::track_update(def.schema(), None, &mut object, &call.record(&api_version)),
        }
        if is_crd {
            crate::crd::disown_structs(&mut object);
        }
        strategy::prepare_create(&def, &mut object, &uid);
        if def.is_custom() || def.traits.generation {
            meta::set(&mut object, "generation", json!(1));
        }
        self.prepare_special(call, &mut object, None)?;
        let mut causes = validate::create(&def, &object);
        call.check_schema(&object, None, &mut causes);
        let converted = events::is_converted(&def).then(|| events::to_storage(&def, object.clone()));
        let judged = converted.as_ref().unwrap_or(&object);
        causes.extend(rules::of_kind(&def, &call.subresource, judged, None));
        self.refuse_invalid(call, &object, causes)?;
        call.warn_of(&object, None);
        self.pod_security(call, &object, None)?;
        let asked = Asked { operation: Operation::Create, object: Some(&object), old: None };
        self.review_only(call, &asked, false)?;
        if def.namespaced {
            self.check_quotas(call, &object, None)?;
        }
        if !sent_version.is_empty() && sent_version != "0" {
            return Err(Status::bare("resourceVersion should not be set on objects to be created"));
        }
        meta::name(&object).clone_into(&mut call.name);
        if let Some(live) = self.store.get(def.table, &call.key()) {
            return Err(Status::already_exists(&def, &call.name, meta::is_deleting(&live.value())));
        }
        if def.is("", "services") {
            self.services.allocate(call, &mut object, None)?;
        }
        Ok(object)
    }

    /// Mutating webhooks see the object as it was decoded, before the server fills in what only it can know; what they
    /// add belongs to nobody. Answers who owns what, where a webhook may have changed the object.
    fn mutate_created(&mut self, call: &mut Call, object: &mut Value) -> Result<Option<Value>> {
        if self.hooks().mutating.is_empty() {
            return Ok(None);
        }
        let def = call.def.clone();
        if def.is("", "pods") {
            self.pod_admission(call, object)?;
        }
        if meta::get(object, "managedFields").is_none() {
            let api_version = def.api_version();
            managed::track_update(def.schema(), None, object, &call.record(&api_version));
        }
        let owned = meta::get(object, "managedFields").cloned();
        *object = self.mutate(call, Operation::Create, std::mem::take(object), None, |o| settle(&def, o))?;
        if def.is_custom() && def.has_status() {
            strategy::keep(object, &Value::Null, "status");
        }
        meta::remove(object, "managedFields");
        Ok(owned)
    }

    /// The same for an update, whose object is complete.
    fn mutate_updated(&mut self, call: &mut Call, new: Value, old: &Value) -> Result<Value> {
        if self.hooks().mutating.is_empty() || call.subresource == "scale" {
            return Ok(new);
        }
        let def = call.def.clone();
        let owned = meta::get(&new, "managedFields").cloned();
        let mut new = self.mutate(call, Operation::Update, new, Some(old), |o| settle(&def, o))?;
        new = confined(&def, &call.subresource, new, old);
        for key in ["name", "namespace", "uid", "resourceVersion"] {
            meta::copy(old, &mut new, key);
        }
        if let Some(owned) = owned {
            meta::set(&mut new, "managedFields", owned);
        }
        Ok(new)
    }

    fn generate_name(&mut self, call: &mut Call, object: &mut Value) -> Result<()> {
        if !meta::name(object).is_empty() || meta::text(object, "generateName").is_empty() {
            return Ok(());
        }
        let prefix = meta::text(object, "generateName").to_owned();
        let mut end = prefix.len().min(58);
        while !prefix.is_char_boundary(end) {
            end -= 1;
        }
        let base = &prefix[..end];
        for _ in 0..8 {
            let name = format!("{base}{}", self.new_suffix(call));
            if self.store.get(call.def.table, &store::key(&call.namespace, &name)).is_none() {
                meta::set(object, "name", json!(name));
                return Ok(());
            }
        }
        let name = format!("{base}{}", self.new_suffix(call));
        let mut status = Status::already_exists(&call.def, &name, false);
        status.message.push_str(", the server was not able to generate a unique name for the object");
        Err(status)
    }

    /// Defaults and allocations of single kinds that need more than the object itself.
    fn prepare_special(&mut self, call: &mut Call, object: &mut Value, old: Option<&Value>) -> Result<()> {
        if call.def.is("", "pods") && old.is_none() {
            self.pod_admission(call, object)?;
        }
        if call.def.is("", "pods") && call.subresource.is_empty() && object["spec"].is_object() {
            strategy::default_tolerations(object);
        }
        if call.def.is("", "persistentvolumeclaims") && old.is_none() {
            self.default_class(object);
        }
        if call.def.is("", "services") {
            return self.services.prepare(call, object, old);
        }
        if call.def.is("apiextensions.k8s.io", "customresourcedefinitions") {
            crate::crd::prepare(object, old);
        }
        if old.is_none() {
            protect(&call.def, object);
        }
        Ok(())
    }

    /// DefaultStorageClass: a claim that names no class gets the default one, of several the newest.
    fn default_class(&self, claim: &mut Value) {
        const BETA: &str = "volume.beta.kubernetes.io/storage-class";
        const DEFAULT: [&str; 2] = [
            "storageclass.kubernetes.io/is-default-class",
            "storageclass.beta.kubernetes.io/is-default-class",
        ];
        let annotated = claim.pointer("/metadata/annotations").is_some_and(|a| a[BETA].is_string());
        if !claim["spec"].is_object() || !claim["spec"]["storageClassName"].is_null() || annotated {
            return;
        }
        let Some(def) = self.registry.get("storage.k8s.io", "v1", "storageclasses") else { return };
        let classes = self.store.range(def.table, "", "").map(|(_, s)| s.value());
        let is_default = |c: &Arc<Value>| {
            c.pointer("/metadata/annotations").is_some_and(|a| DEFAULT.iter().any(|key| a[*key] == "true"))
        };
        // In the order of names; of equally old ones the first is kept.
        let created = |c: &Value| meta::text(c, "creationTimestamp").to_owned();
        let newest = classes.filter(is_default).reduce(|a, b| if created(&b) > created(&a) { b } else { a });
        if let Some(class) = newest {
            claim["spec"]["storageClassName"] = json!(meta::name(&class));
        }
    }

    /// DefaultTolerationSeconds and Priority: what admission adds to every pod.
    fn pod_admission(&self, call: &Call, pod: &mut Value) -> Result<()> {
        if !pod["spec"].is_object() {
            return Ok(());
        }
        let class = pod["spec"]["priorityClassName"].as_str().unwrap_or("").to_owned();
        let classes = self.registry.get("scheduling.k8s.io", "v1", "priorityclasses");
        let all =
            classes.map(|d| self.store.range(d.table, "", "").map(|(_, s)| s.value()).collect::<Vec<_>>());
        let found = all
            .unwrap_or_default()
            .into_iter()
            .find(|c| if class.is_empty() { c["globalDefault"] == true } else { meta::name(c) == class });
        let builtin = class.starts_with("system-");
        if found.is_none() && !class.is_empty() && !builtin {
            let why = format!("no PriorityClass with name {class} was found");
            return Err(Status::forbidden(&call.def, meta::name(pod), &why));
        }
        let (value, policy) = match &found {
            Some(c) => (
                c["value"].clone(),
                c["preemptionPolicy"].as_str().unwrap_or("PreemptLowerPriority").to_owned(),
            ),
            None if class == "system-node-critical" => {
                (json!(2_000_001_000), "PreemptLowerPriority".to_owned())
            }
            None if builtin => (json!(2_000_000_000), "PreemptLowerPriority".to_owned()),
            None => (json!(0), "PreemptLowerPriority".to_owned()),
        };
        if let Some(given) = pod["spec"]["priority"].as_i64().filter(|g| Some(*g) != value.as_i64()) {
            let why = format!(
                "the integer value of priority ({given}) must not be provided in pod spec; priority admission \
                 controller computed {value} from the given PriorityClass name"
            );
            return Err(Status::forbidden(&call.def, meta::name(pod), &why));
        }
        strategy::default_tolerations(pod);
        let spec = &mut pod["spec"];
        if spec["priority"].is_null() {
            spec["priority"] = value;
        }
        if spec["preemptionPolicy"].is_null() {
            spec["preemptionPolicy"] = json!(policy);
        }
        if let Some(c) = found.filter(|_| class.is_empty()) {
            spec["priorityClassName"] = json!(meta::name(&c));
        }
        Ok(())
    }

    fn refuse_invalid(&self, call: &Call, object: &Value, mut causes: Vec<Cause>) -> Result<()> {
        if call.def.is("apiextensions.k8s.io", "customresourcedefinitions") && call.subresource.is_empty() {
            causes.extend(crate::crd::validate(object));
        }
        if causes.is_empty() {
            return Ok(());
        }
        let group = if events::is_view(&call.def) { "" } else { &call.def.group };
        Err(Status::invalid_as(group, &call.def.kind, meta::name(object), causes))
    }

    /// Stores a new state and lets CRDs take effect.
    pub(crate) fn commit(&mut self, call: &Call, value: Value) -> Arc<Stored> {
        let event = self.store.write(call.def.table, call.key(), value, false, call.now, call.actor.clone());
        if call.def.is("apiextensions.k8s.io", "customresourcedefinitions") {
            self.pending_crds.push(call.name.clone());
        }
        self.forget_hooks(&call.def);
        event.object.clone()
    }

    fn forget_hooks(&mut self, changed: &Definition) {
        if changed.group == crate::admission::hooks::GROUP {
            self.hooks = None;
        }
    }

    /// PUT of a decoded object.
    pub(crate) fn put(&mut self, call: &mut Call, decoded: Decoded) -> Result<Answer> {
        call.check_name(&decoded.value)?;
        let known = self.store.get(call.def.table, &call.key()).cloned();
        let new = self.prepare_body(call, decoded, known.as_deref())?;
        let live = match self.live(call) {
            Ok(live) => live,
            Err(e) => {
                if !call.def.traits.create_on_update || !call.subresource.is_empty() {
                    return Err(e);
                }
                self.authorize_create(call)?;
                let new = self.admit_create(call, new)?;
                self.check_escalation(call, &new, None)?;
                let value = self.finish_create(call, new)?;
                let value = events::to_storage(&call.def, value);
                if call.options.dry_run {
                    return Ok(call.loose(201, self.view(&call.def, &value)));
                }
                let stored = self.commit(call, value);
                return Ok(call.object(201, stored));
            }
        };
        let version = meta::text(&new, "resourceVersion");
        if version.is_empty() || version == "0" {
            if call.def.is_custom() || !call.def.traits.unconditional_update {
                let cause =
                    Cause::invalid("metadata.resourceVersion", &json!(0), "must be specified for an update");
                return Err(Status::invalid_as(&call.def.group, &call.def.plural, &call.name, vec![cause]));
            }
        } else {
            check_version(call, version, &live)?;
        }
        let old = self.stored_view(&call.def, &live);
        self.update(call, &live, &old, new, Origin::Put)
    }

    /// Makes `new` the state of an object that exists, or refuses. `old` is the live object as this version shows it.
    pub(crate) fn update(
        &mut self,
        call: &mut Call,
        live: &Arc<Stored>,
        old: &Value,
        mut new: Value,
        origin: Origin,
    ) -> Result<Answer> {
        let def = call.def.clone();
        self.check_escalation(call, &new, Some(old))?;
        self.restore_metadata(call, &mut new, old, live, origin)?;
        let api_version = def.api_version();
        // Who writes a custom resource comes to own what it sent, also where this endpoint puts back what was there, and
        // ownership is lost where the body cannot be typed: the strategy comes after the field manager (patch.go).
        let tracked = origin != Origin::Apply && call.subresource != "scale";
        if tracked && def.is_custom() {
            managed::track_update(def.schema(), Some(old), &mut new, &call.record_over(&api_version, live));
        }
        new = confined(&def, &call.subresource, new, old);
        if tracked && !def.is_custom() {
            managed::track_update(def.schema(), Some(old), &mut new, &call.record_over(&api_version, live));
        }
        if self.has_hooks() {
            new = self.mutate_updated(call, new, old)?;
        }
        if call.subresource == "status" {
            if def.is_custom() {
                meta::copy(old, &mut new, "generation");
            }
        } else {
            strategy::prepare_update(&def, &mut new, old);
        }
        self.prepare_special(call, &mut new, Some(old))?;
        let mut causes = validate::update(&def, &new, old);
        call.check_schema(&new, Some(old), &mut causes);
        let converted = events::is_converted(&def).then(|| events::to_storage(&def, new.clone()));
        let judged = converted.as_ref().unwrap_or(&new);
        let stored = live.value();
        causes.extend(rules::of_kind(&def, &call.subresource, judged, Some(&stored)));
        self.refuse_invalid(call, &new, causes)?;
        if call.subresource.is_empty() {
            call.warn_of(&new, Some(old));
        }
        self.pod_security(call, &new, Some(old))?;
        if call.subresource != "scale" {
            let asked = Asked { operation: Operation::Update, object: Some(&new), old: Some(old) };
            self.limit_updated(call, &new, old)?;
            self.check_growth(call, &new, old)?;
            self.review_only(call, &asked, false)?;
        }
        if def.namespaced {
            self.check_quotas(call, &new, Some(old))?;
        }
        let new = storage_version(self, &def, converted.unwrap_or(new));
        if same(&new, &stored) {
            return Ok(call.object(200, live.clone()));
        }
        let done = meta::is_deleting(&new)
            && meta::finalizers(&new).is_empty()
            && meta::get(&new, "deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0) == 0
            && !self.held_by_spec(&def, &new);
        if done {
            // The answer shows the object the client wrote; watchers see the last stored state go (kube-api.md 2.6).
            if !call.options.dry_run {
                self.remove(call, live);
            }
            let mut shown = new;
            meta::set(&mut shown, "resourceVersion", json!(live.revision.to_string()));
            return Ok(call.loose(200, self.view(&def, &shown)));
        }
        if call.options.dry_run {
            return Ok(call.loose(200, self.view(&def, &new)));
        }
        let stored = self.commit(call, new);
        Ok(call.object(200, stored))
    }

    /// Namespaces stay until their spec finalizers are gone too.
    pub(crate) fn held_by_spec(&self, def: &Definition, object: &Value) -> bool {
        def.is("", "namespaces") && object["spec"]["finalizers"].as_array().is_some_and(|l| !l.is_empty())
    }

    /// Deletes an object for good.
    pub(crate) fn remove(&mut self, call: &Call, live: &Arc<Stored>) -> Arc<Stored> {
        let value = Value::clone(&live.value());
        let event = self.store.write(call.def.table, call.key(), value, true, call.now, call.actor.clone());
        if call.def.is("", "services") {
            self.services.release(&event.object.value());
        }
        if call.def.is("apiextensions.k8s.io", "customresourcedefinitions") {
            self.pending_crds.push(call.name.clone());
        } else if let Some(c) = &call.def.custom
            && c.terminating
        {
            self.pending_crds.push(c.crd.clone());
        }
        self.forget_hooks(&call.def);
        event.object.clone()
    }

    /// Metadata a client cannot change goes back to what it was; a changed uid is refused.
    fn restore_metadata(
        &self,
        call: &Call,
        new: &mut Value,
        old: &Value,
        live: &Stored,
        origin: Origin,
    ) -> Result<()> {
        let uid = meta::uid(new).to_owned();
        if origin == Origin::Put && !uid.is_empty() && uid != meta::uid(old) {
            let key = format!("/registry/{}/{}", call.def.plural, call.key());
            return Err(Status::conflict(
                &call.def,
                &call.name,
                &format!(
                    "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: \
                     Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                    meta::uid(old)
                ),
            ));
        }
        if meta::of(new).values().any(Value::is_null) {
            meta::of(new).retain(|_, v| !v.is_null());
        }
        if uid.is_empty() {
            meta::copy(old, new, "uid");
        }
        for key in ["creationTimestamp", "generation", "selfLink"] {
            meta::copy(old, new, key);
        }
        // Clearing the deletion of a deleted object is ignored, setting one on a live object refused later.
        for key in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
            if meta::get(new, key).is_none() {
                meta::copy(old, new, key);
            }
        }
        // managedFields that are not sent are filled in where writes are tracked.
        meta::set(new, "resourceVersion", json!(live.revision.to_string()));
        Ok(())
    }
}

/// 409 unless `version` is the live one; garbage is a 500 as in a real server.
pub(crate) fn check_version(call: &Call, version: &str, live: &Stored) -> Result<()> {
    let n: u64 = version.parse().map_err(|_| {
        Status::bare(format!("strconv.ParseUint: parsing {}: invalid syntax", go_quote(version)))
    })?;
    if n == live.revision { Ok(()) } else { Err(Status::modified(&call.def, &call.name)) }
}

/// Claims and volumes stay while they are used (admission plugin StorageObjectInUseProtection, case wl-pvc-protection).
fn protect(def: &Definition, object: &mut Value) {
    let finalizer = match (def.group.as_str(), def.plural.as_str()) {
        ("", "persistentvolumeclaims") => "kubernetes.io/pvc-protection",
        ("", "persistentvolumes") => "kubernetes.io/pv-protection",
        _ => return,
    };
    let mut all: Vec<String> = meta::finalizers(object).into_iter().map(str::to_owned).collect();
    if !all.iter().any(|f| f == finalizer) {
        all.push(finalizer.to_owned());
        meta::set_finalizers(object, all);
    }
}

/// A mutated object made whole again: pruned and defaulted, as after decoding.
fn settle(def: &Definition, object: &mut Value) {
    let owned = meta::get(object, "managedFields").cloned();
    def.schema().prune(object);
    def.schema().drop_nulls(object);
    def.schema().default(object);
    if let Some(owned) = owned {
        meta::set(object, "managedFields", owned);
    }
}

/// What a write to this endpoint may change.
fn confined(def: &Definition, subresource: &str, mut new: Value, old: &Value) -> Value {
    if subresource == "status" {
        new = status_only(def, new, old);
        strategy::fill_status(def, &mut new);
    } else if def.has_status() {
        strategy::keep(&mut new, old, "status");
    }
    new
}

/// What a status write takes (kube-api.md 2.3): of a CR the status alone, of a built-in kind most metadata too.
fn status_only(def: &Definition, mut new: Value, old: &Value) -> Value {
    let is_metadata_kept = |key: &str| {
        let taken: &[&str] = match (def.group.as_str(), def.plural.as_str()) {
            _ if def.is_custom() => &["managedFields"],
            ("apps", "deployments") => &["annotations", "finalizers", "managedFields", "uid"],
            ("", "pods") => &["labels", "annotations", "finalizers", "managedFields", "uid"],
            _ => &["labels", "annotations", "finalizers", "ownerReferences", "managedFields", "uid"],
        };
        !taken.contains(&key)
    };
    restore(&mut new, old, |key| key != "status" && key != "metadata");
    if let Some(metadata) = new.get_mut("metadata") {
        restore(metadata, &old["metadata"], is_metadata_kept);
    }
    new
}

/// Members whose key is `wanted` become what they were; equal ones are left alone.
fn restore(new: &mut Value, old: &Value, wanted: impl Fn(&str) -> bool) {
    let (Some(new), Some(old)) = (new.as_object_mut(), old.as_object()) else { return };
    if new.keys().any(|key| wanted(key) && !old.contains_key(key)) {
        new.retain(|key, _| !wanted(key) || old.contains_key(key));
    }
    for (key, value) in old.iter().filter(|(key, _)| wanted(key)) {
        if !equal_members(new.member(key), Some(value)) {
            new.insert(key.clone(), value.clone());
        }
    }
}

/// The object under its storage version.
fn storage_version(state: &State, def: &Definition, mut object: Value) -> Value {
    if let Some(stored) = state.registry.storage(def.table)
        && !stored.is_version_of(&object)
    {
        object["apiVersion"] = json!(stored.api_version());
    }
    object
}

/// Equal but for the times in managedFields and the resourceVersion: such a write changes nothing (kube-api.md 2.1).
fn same(new: &Value, live: &Value) -> bool {
    same_members(new, live, &["metadata"])
        && same_members(&new["metadata"], &live["metadata"], &["resourceVersion", "managedFields"])
        && match (meta::get(new, "managedFields"), meta::get(live, "managedFields")) {
            (Some(Value::Array(a)), Some(Value::Array(b))) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_members(a, b, &["time"]))
            }
            (a, b) => a == b,
        }
}

/// Equal members, those of `but` aside.
fn same_members(a: &Value, b: &Value, but: &[&str]) -> bool {
    let within = |a: &Value, b: &Value| {
        let members = a.as_object().into_iter().flatten();
        members.into_iter().all(|(k, v)| but.contains(&k.as_str()) || equal_members(b.member(k), Some(v)))
    };
    if a.is_object() && b.is_object() { within(a, b) && within(b, a) } else { a == b }
}

impl Call {
    /// Unknown and duplicate fields: an error, warnings or nothing, as fieldValidation says.
    pub(crate) fn report_strict(&mut self, found: Vec<String>) -> Result<()> {
        if found.is_empty() {
            return Ok(());
        }
        match self.options.validation {
            FieldValidation::Strict => {
                Err(codec::cannot_handle(&self.def, &format!("strict decoding error: {}", found.join(", "))))
            }
            FieldValidation::Warn => {
                self.warnings.extend(found);
                Ok(())
            }
            FieldValidation::Ignore => Ok(()),
        }
    }

    /// Schema and rules of a custom resource. Built-in kinds are held to Go types and hand-written rules instead; their
    /// OpenAPI documents are looser in places (nulls) and stricter in others (required members Go fills in).
    fn check_schema(&mut self, object: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
        if !self.def.is_custom() {
            return;
        }
        let is_status = self.subresource == "status";
        let request = Request {
            part: is_status.then_some("status"),
            after_schema: &validate::scale(&self.def, object, is_status),
        };
        self.warnings.extend(self.def.schema().check(object, old, &request, causes));
    }

    /// What is allowed, yet hardly meant.
    fn warn_of(&mut self, new: &Value, old: Option<&Value>) {
        let def = &self.def;
        self.warnings.extend(validate::finalizer_warnings(def, new, old));
        self.warnings.extend(rules::of_pods(def, new, old));
        if def.is("apiextensions.k8s.io", "customresourcedefinitions") {
            self.warnings.extend(crate::crd::format_warnings(new, old));
        }
    }

    /// The name of the body is that of the URL.
    pub(crate) fn check_name(&self, object: &Value) -> Result<()> {
        let (given, wanted) = (meta::name(object), &self.name);
        if given.is_empty() {
            return Err(Status::bad_request(format!(
                "the name of the object ({wanted} based on URL) was undeterminable: name must be provided"
            )));
        }
        if given != wanted {
            return Err(Status::bad_request(format!(
                "the name of the object ({given}) does not match the name on the URL ({wanted})"
            )));
        }
        Ok(())
    }

    /// The namespace of the body follows the URL.
    pub(crate) fn check_namespace(&self, object: &mut Value) -> Result<()> {
        let given = meta::namespace(object);
        if !self.def.namespaced {
            meta::remove(object, "namespace");
            return Ok(());
        }
        if !given.is_empty() && given != self.namespace {
            return Err(Status::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        if given != self.namespace {
            meta::set(object, "namespace", json!(self.namespace));
        }
        Ok(())
    }
}
