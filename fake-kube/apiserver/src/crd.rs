//! CustomResourceDefinitions: defaults, validation, registration, termination (kube-api.md 2.9).
//!
//! A write of a CRD answers first; what follows from it (names accepted, established, instances deleted) is done right
//! after, before any other request, as [`State::settle_crds`]. The structural checks of schemas live in fake-kube-schema.

use std::sync::{Arc, OnceLock};

use fake_kube_schema::text::go_quote;
use fake_kube_schema::{Cause, Reason, Schema, managed, unrecognized_formats};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::meta;
use crate::names::{self, NameRule};
use crate::request::{DeleteOptions, WriteOptions};
use crate::resource::{CustomVersion, Definition, ScalePaths, Subresource, Traits};
use crate::server::State;
use crate::store::{self, Stored};
use crate::write::Call;

const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";
const ACTOR: &str = "system:apiserver";
/// Who owns what the server itself writes into a status.
const MANAGER: &str = "kube-apiserver";

/// What decoding a CRD fills in; whoever writes it comes to own it.
pub(crate) fn default(crd: &mut Value) {
    let kind = crd["spec"]["names"]["kind"].as_str().unwrap_or("").to_owned();
    if let Some(spec) = crd.get_mut("spec").filter(|s| s.is_object()) {
        if !spec["names"].is_object() {
            spec["names"] = json!({});
        }
        let names = &mut spec["names"];
        if !kind.is_empty() {
            if names["singular"].as_str().unwrap_or("").is_empty() {
                names["singular"] = json!(kind.to_lowercase());
            }
            if names["listKind"].as_str().unwrap_or("").is_empty() {
                names["listKind"] = json!(format!("{kind}List"));
            }
        }
        drop_nulls(names);
        if spec["conversion"].is_null() {
            spec["conversion"] = json!({"strategy": "None"});
        }
    }
}

/// Nobody comes to own the structs that a CRD always has: real managers compare Go values, in which they are never
/// missing.
pub(crate) fn disown_structs(crd: &mut Value) {
    const STRUCTS: [&[&str]; 5] = [
        &["f:spec"],
        &["f:spec", "f:names"],
        &["f:status"],
        &["f:status", "f:acceptedNames"],
        &["f:status", "f:conditions"],
    ];
    let entries = crd.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut);
    for entry in entries.into_iter().flatten().filter(|e| e["operation"] == "Update") {
        for path in STRUCTS {
            let fields = entry.get_mut("fieldsV1");
            let found = path.iter().try_fold(fields, |at, key| at.map(|v| v.get_mut(*key)));
            if let Some(Some(Value::Object(owned))) = found {
                owned.shift_remove(".");
            }
        }
    }
}

/// Defaults of a CRD and the part of its status the strategy owns.
pub(crate) fn prepare(crd: &mut Value, old: Option<&Value>) {
    default(crd);
    match old {
        None => {
            let stored: Vec<Value> = storage_versions(crd).into_iter().take(1).map(Value::from).collect();
            crd["status"] = json!({"conditions": null, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": stored});
        }
        Some(_) => {
            let storage = storage_versions(crd).into_iter().next();
            let list = crd["status"]["storedVersions"].as_array().cloned().unwrap_or_default();
            if let Some(s) = storage
                && !list.iter().any(|v| *v == s.as_str())
            {
                let next: Vec<Value> = list.into_iter().chain([Value::from(s)]).collect();
                crd["status"]["storedVersions"] = Value::Array(next);
            }
        }
    }
}

fn drop_nulls(v: &mut Value) {
    if let Some(map) = v.as_object_mut() {
        map.retain(|_, v| !v.is_null());
    }
}

fn versions(crd: &Value) -> impl Iterator<Item = &Value> {
    crd["spec"]["versions"].as_array().into_iter().flatten()
}

fn storage_versions(crd: &Value) -> Vec<String> {
    versions(crd)
        .filter(|v| v["storage"] == true)
        .filter_map(|v| v["name"].as_str().map(str::to_owned))
        .collect()
}

/// Formats without effect that this write brings in (customresourcedefinition/strategy.go).
pub(crate) fn format_warnings(crd: &Value, old: Option<&Value>) -> Vec<String> {
    let formats = |crd: &Value| -> Vec<String> {
        let versions = crd["spec"]["versions"].as_array().into_iter().flatten();
        versions.flat_map(|v| unrecognized_formats(&v["schema"]["openAPIV3Schema"])).collect()
    };
    let known = old.map(formats).unwrap_or_default();
    let mut warned = Vec::new();
    for format in formats(crd) {
        let warning = format!("unrecognized format {}", go_quote(&format));
        if !known.contains(&format) && !warned.contains(&warning) {
            warned.push(warning);
        }
    }
    warned
}

/// Validation beyond the built-in schema of CRDs (cases crl-*-invalid).
pub(crate) fn validate(crd: &Value) -> Vec<Cause> {
    let mut out = Vec::new();
    let spec = &crd["spec"];
    let text = |v: &Value| v.as_str().unwrap_or("").to_owned();
    let (group, plural, scope) = (text(&spec["group"]), text(&spec["names"]["plural"]), text(&spec["scope"]));
    let name = meta::name(crd);
    if !name.is_empty() && name != format!("{plural}.{group}") {
        out.push(Cause::invalid("metadata.name", &json!(name), "must be spec.names.plural+\".\"+spec.group"));
    }
    if group.is_empty() {
        out.push(Cause::required("spec.group", ""));
    } else if let Some(why) = names::subdomain(&group).first() {
        out.push(Cause::invalid("spec.group", &json!(group), why));
    } else if !group.contains('.') {
        out.push(Cause::invalid("spec.group", &json!(group), "should be a domain with at least one dot"));
    }
    let protected = group.ends_with(".k8s.io") || group.ends_with(".kubernetes.io");
    if protected && crd["metadata"]["annotations"]["api-approved.kubernetes.io"].is_null() {
        out.push(Cause::required(
            "metadata.annotations[api-approved.kubernetes.io]",
            "protected groups must have approval annotation \"api-approved.kubernetes.io\", see \
             https://github.com/kubernetes/enhancements/pull/1111",
        ));
    }
    if scope.is_empty() {
        out.push(Cause::required("spec.scope", ""));
    } else if scope != "Cluster" && scope != "Namespaced" {
        out.push(Cause::not_supported("spec.scope", &json!(scope), &["Cluster", "Namespaced"]));
    }
    check_versions(crd, &mut out);
    for key in ["plural", "singular", "kind", "listKind"] {
        check_name(&spec["names"], key, &mut out);
    }
    let kind = text(&spec["names"]["kind"]);
    if !kind.is_empty() && kind == text(&spec["names"]["listKind"]) {
        out.push(Cause::invalid(
            "spec.names.listKind",
            &json!(kind),
            "kind and listKind may not be the same",
        ));
    }
    crate::crd_paths::check(crd, &mut out);
    let stored = crd["status"]["storedVersions"].as_array().cloned().unwrap_or_default();
    let storage = storage_versions(crd).pop();
    if stored.is_empty() {
        out.push(Cause::invalid(
            "status.storedVersions",
            &Value::Null,
            "must have at least one stored version",
        ));
    } else if let Some(s) = storage.filter(|s| !stored.iter().any(|v| *v == s.as_str())) {
        out.push(Cause::invalid(
            "status.storedVersions",
            &json!(stored),
            &format!("must have the storage version {s}"),
        ));
    }
    for (i, v) in stored.iter().enumerate() {
        if !versions(crd).any(|x| x["name"] == *v) {
            out.push(Cause::invalid(
                format!("status.storedVersions[{i}]"),
                v,
                "missing from spec.versions; v1.CustomResourceDefinition requires all stored versions to remain in spec",
            ));
        }
    }
    out
}

fn check_name(names: &Value, key: &str, out: &mut Vec<Cause>) {
    let value = names[key].as_str().unwrap_or("");
    let field = format!("spec.names.{key}");
    if value.is_empty() {
        out.push(Cause::required(field, ""));
        return;
    }
    let why = NameRule::Label1035.check(&value.to_lowercase());
    let exact = NameRule::Label1035.check(value);
    // Kinds may have capitals, resource names may not.
    let found = if key == "kind" || key == "listKind" { why } else { exact };
    out.extend(found.iter().map(|w| Cause::invalid(field.clone(), &json!(value), w)));
}

fn check_versions(crd: &Value, out: &mut Vec<Cause>) {
    // A schema that all versions share is reported once, at the place the first API version had it.
    let shared = versions(crd).all(|v| v["schema"] == crd["spec"]["versions"][0]["schema"]);
    let mut seen: Vec<&str> = Vec::new();
    let mut unique = true;
    for (i, v) in versions(crd).enumerate() {
        let at = format!("spec.versions[{i}]");
        let name = v["name"].as_str().unwrap_or("");
        unique &= !seen.contains(&name);
        seen.push(name);
        let why = NameRule::Label1035.check(name);
        out.extend(why.iter().map(|w| Cause::invalid(format!("{at}.name"), &json!(name), w)));
        let schema = &v["schema"]["openAPIV3Schema"];
        if schema.is_null() {
            out.push(Cause::required(format!("{at}.schema.openAPIV3Schema"), ""));
        } else if !shared || i == 0 {
            let base = format!("{at}.schema.openAPIV3Schema");
            let found = if shared { Schema::from_crd(schema) } else { Schema::from_crd_at(schema, &base) };
            out.extend(found.err().into_iter().flatten());
        }
    }
    if storage_versions(crd).len() != 1 {
        out.push(versions_invalid(crd, "must have exactly one version marked as storage version"));
    }
    if !unique {
        out.push(versions_invalid(crd, "must contain unique version names"));
    }
    for v in versions(crd).take(1) {
        let name = v["name"].as_str().unwrap_or("");
        let why = NameRule::Label1035.check(name);
        out.extend(why.iter().map(|w| Cause::invalid("spec.version", &json!(name), w)));
    }
}

/// The list as Go prints it keeps the order of the struct's fields, which `Cause::invalid` would sort.
fn versions_invalid(crd: &Value, why: &str) -> Cause {
    let shown =
        crd["spec"]["versions"].as_array().map_or(Value::Null, |l| l.iter().map(internal_version).collect());
    Cause {
        field: "spec.versions".to_owned(),
        reason: Reason::Invalid,
        message: format!("Invalid value: {shown}: {why}"),
    }
}

/// A version as the internal Go type prints it; schemas were moved away by conversion when they are all equal.
fn internal_version(v: &Value) -> Value {
    json!({"Name": v["name"], "Served": v["served"], "Storage": v["storage"], "Deprecated": v["deprecated"] == true,
        "DeprecationWarning": v["deprecationWarning"], "Schema": null, "Subresources": null,
        "AdditionalPrinterColumns": null, "SelectableFields": null})
}

/// DELETE of a CRD: the first condition of its termination.
pub(crate) fn mark_terminating(crd: &mut Value, now: Timestamp) {
    if condition(crd, "Terminating").is_none() {
        set_condition(
            crd,
            "Terminating",
            "True",
            "InstanceDeletionPending",
            "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
            now,
        );
    }
}

fn condition<'a>(crd: &'a Value, kind: &str) -> Option<&'a Value> {
    crd["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == kind)
}

fn set_condition(crd: &mut Value, kind: &str, status: &str, reason: &str, message: &str, now: Timestamp) {
    let before =
        condition(crd, kind).filter(|c| c["status"] == status).map(|c| c["lastTransitionTime"].clone());
    let entry = json!({"type": kind, "status": status, "lastTransitionTime": before.unwrap_or_else(|| json!(meta::time(now))),
        "reason": reason, "message": message});
    let mut list = crd["status"]["conditions"].as_array().cloned().unwrap_or_default();
    match list.iter_mut().find(|c| c["type"] == kind) {
        Some(c) => *c = entry,
        None => list.push(entry),
    }
    crd["status"]["conditions"] = Value::Array(list);
}

/// A name of a CRD, the conflict it can have, and whether it is taken.
type NameCheck<'a> = (&'a str, &'a str, &'a dyn Fn(&Value) -> bool);

impl State {
    /// Carries out what written CRDs entail, until nothing is left to do.
    pub(crate) fn settle_crds(&mut self, now: Timestamp) {
        while let Some(name) = self.pending_crds.pop() {
            self.settle_crd(&name, now);
        }
    }

    fn crd_call(&self, name: &str, now: Timestamp) -> Option<Call> {
        let def = self.registry.get("apiextensions.k8s.io", "v1", "customresourcedefinitions")?.clone();
        Some(Call {
            def,
            namespace: String::new(),
            name: name.to_owned(),
            subresource: "status".to_owned(),
            options: WriteOptions { manager: MANAGER.to_owned(), ..WriteOptions::default() },
            actor: Arc::from(ACTOR),
            user: None,
            now,
            warnings: Vec::new(),
            reviews: Default::default(),
        })
    }

    fn settle_crd(&mut self, name: &str, now: Timestamp) {
        let Some(mut call) = self.crd_call(name, now) else { return };
        let Ok(live) = self.live(&call) else {
            self.unregister(name);
            self.retry_names();
            return;
        };
        let mut next = Value::clone(&live.value());
        if meta::is_deleting(&next) && meta::finalizers(&next).contains(&CLEANUP) {
            self.clean_up(&mut call, &live, now);
            return;
        }
        self.accept_names(&mut next, now);
        let old = live.value();
        if next["status"] != old["status"] {
            let api_version = call.def.api_version();
            managed::track_update(call.def.schema(), Some(&old), &mut next, &call.record(&api_version));
            disown_structs(&mut next);
        }
        let live = if next == *live.value() { live } else { self.store_crd(&call, next) };
        if condition(&live.value(), "Established").is_some_and(|c| c["status"] == "True") {
            self.register(&live.value());
        } else {
            self.unregister(name);
        }
    }

    /// Writes a CRD without asking for another round.
    fn store_crd(&mut self, call: &Call, next: Value) -> Arc<Stored> {
        self.store.write(call.def.table, call.key(), next, false, call.now, call.actor.clone()).object.clone()
    }

    /// The naming controller: each free name is accepted, the last conflict is told.
    fn accept_names(&self, crd: &mut Value, now: Timestamp) {
        let wanted = crd["spec"]["names"].clone();
        let others = self.names_in_use(crd);
        let resource_taken = |n: &Value| {
            others.iter().any(|o| {
                o["plural"] == *n
                    || o["singular"] == *n
                    || o["shortNames"].as_array().is_some_and(|l| l.contains(n))
            })
        };
        let kind_taken = |n: &Value| others.iter().any(|o| o["kind"] == *n || o["listKind"] == *n);
        let before = crd["status"]["acceptedNames"].clone();
        let mut accepted = Map::new();
        let mut conflict: Option<(&str, String)> = None;
        let rules: [NameCheck<'_>; 5] = [
            ("plural", "PluralConflict", &resource_taken),
            ("singular", "SingularConflict", &resource_taken),
            ("shortNames", "ShortNamesConflict", &|l| {
                l.as_array().is_some_and(|l| l.iter().any(&resource_taken))
            }),
            ("kind", "KindConflict", &kind_taken),
            ("listKind", "ListKindConflict", &kind_taken),
        ];
        for (key, reason, taken) in rules {
            let Some(name) = wanted.get(key) else { continue };
            if taken(name) {
                let text = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
                conflict = Some((reason, text));
                if let Some(old) = before.get(key) {
                    accepted.insert(key.to_owned(), old.clone());
                }
            } else {
                accepted.insert(key.to_owned(), name.clone());
            }
        }
        for key in ["plural", "kind"] {
            accepted.entry(key).or_insert_with(|| json!(""));
        }
        if let Some(c) = wanted.get("categories") {
            accepted.insert("categories".to_owned(), c.clone());
        }
        crd["status"]["acceptedNames"] = Value::Object(accepted);
        let established = condition(crd, "Established").is_some_and(|c| c["status"] == "True");
        match conflict {
            Some((reason, name)) => {
                let text = format!("\"{name}\" is already in use");
                set_condition(crd, "NamesAccepted", "False", reason, &text, now);
                if !established {
                    set_condition(
                        crd,
                        "Established",
                        "False",
                        "NotAccepted",
                        "not all names are accepted",
                        now,
                    );
                }
            }
            None => {
                set_condition(crd, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now);
                if !established {
                    let text = "the initial names have been accepted";
                    set_condition(crd, "Established", "True", "InitialNamesAccepted", text, now);
                }
            }
        }
    }

    /// Names that the other CRDs of the group have accepted.
    fn names_in_use(&self, crd: &Value) -> Vec<&Value> {
        let Some(def) = self.registry.get("apiextensions.k8s.io", "v1", "customresourcedefinitions") else {
            return Vec::new();
        };
        let all = self.store.range(def.table, "", "").map(|(_, s)| s.pinned());
        all.filter(|o| o["spec"]["group"] == crd["spec"]["group"] && meta::name(o) != meta::name(crd))
            .map(|o| &o["status"]["acceptedNames"])
            .collect()
    }

    /// CRDs that waited for a name may have it now.
    fn retry_names(&mut self) {
        let Some(def) = self.registry.get("apiextensions.k8s.io", "v1", "customresourcedefinitions") else {
            return;
        };
        let waiting = self.store.range(def.table, "", "").map(|(_, s)| s.pinned());
        let names = waiting
            .filter(|c| condition(c, "NamesAccepted").is_some_and(|n| n["status"] == "False"))
            .map(|c| meta::name(c).to_owned());
        self.pending_crds.extend(names);
    }

    /// Serves the CRD's versions; ends watches when schema or names changed.
    fn register(&mut self, crd: &Value) {
        let name = meta::name(crd).to_owned();
        let text = |v: &Value| v.as_str().unwrap_or("").to_owned();
        let (group, plural) = (text(&crd["spec"]["group"]), text(&crd["status"]["acceptedNames"]["plural"]));
        let table = self.registry.table(&mut self.store, &group, &plural);
        let mut served = Vec::new();
        let mut storage = None;
        for v in versions(crd) {
            let def = definition(crd, v, table, self.store.revision());
            if v["storage"] == true {
                storage = Some(Arc::new(definition(crd, v, table, self.store.revision())));
            }
            if v["served"] == true {
                served.push(def);
            }
        }
        self.registry.replace_custom(&name, served, storage);
        let print = crd["spec"].to_string();
        let terminating = meta::is_deleting(crd);
        if self.crd_specs.get(&name).is_some_and(|old| *old != print) && !terminating {
            self.store.end_watches(table);
        }
        self.crd_specs.insert(name, print);
    }

    fn unregister(&mut self, name: &str) {
        let tables: Vec<_> = self
            .registry
            .all()
            .filter(|d| d.custom.as_ref().is_some_and(|c| c.crd == name))
            .map(|d| d.table)
            .collect();
        if tables.is_empty() {
            return;
        }
        self.registry.remove_custom(name);
        self.crd_specs.remove(name);
        tables.into_iter().for_each(|t| self.store.end_watches(t));
    }

    /// Deletes the instances of a terminating CRD; once none is left the CRD goes.
    fn clean_up(&mut self, call: &mut Call, live: &Arc<Stored>, now: Timestamp) {
        let mut next = Value::clone(&live.value());
        let first = condition(&next, "Terminating").is_none_or(|c| c["reason"] == "InstanceDeletionPending");
        if first {
            let text = "CustomResource deletion is in progress";
            set_condition(&mut next, "Terminating", "True", "InstanceDeletionInProgress", text, now);
            next = self.store_crd(call, next).pinned().clone();
            self.register(&next);
            self.delete_instances(&next, now);
        }
        let text = |v: &Value| v.as_str().unwrap_or("").to_owned();
        let (group, plural) = (text(&next["spec"]["group"]), text(&next["spec"]["names"]["plural"]));
        let table = self.registry.table(&mut self.store, &group, &plural);
        if !self.store.is_empty(table) {
            return;
        }
        set_condition(
            &mut next,
            "Terminating",
            "False",
            "InstanceDeletionCompleted",
            "removed all instances",
            now,
        );
        let left = meta::finalizers(&next).into_iter().filter(|f| *f != CLEANUP).map(str::to_owned).collect();
        meta::set_finalizers(&mut next, left);
        let stored = self.store_crd(call, next);
        if meta::finalizers(&stored.value()).is_empty() {
            self.remove(call, &stored);
        }
    }

    fn delete_instances(&mut self, crd: &Value, now: Timestamp) {
        let name = meta::name(crd);
        let Some(def) =
            self.registry.stored().find(|d| d.custom.as_ref().is_some_and(|c| c.crd == name)).cloned()
        else {
            return;
        };
        let found: Vec<Arc<Stored>> = self.store.range(def.table, "", "").map(|(_, s)| s.clone()).collect();
        for s in found {
            let object = s.value();
            let mut call = Call {
                def: def.clone(),
                namespace: meta::namespace(&object).to_owned(),
                name: meta::name(&object).to_owned(),
                subresource: String::new(),
                options: WriteOptions::default(),
                actor: Arc::from(ACTOR),
                user: None,
                now,
                warnings: Vec::new(),
                reviews: Default::default(),
            };
            // A failed delete leaves the instance, and with it the CRD, where they are.
            let _ = self.delete(&mut call, &DeleteOptions::default());
        }
    }
}

fn definition(crd: &Value, v: &Value, table: store::TableId, revision: u64) -> Definition {
    let text = |v: &Value| v.as_str().unwrap_or("").to_owned();
    let names = &crd["status"]["acceptedNames"];
    let terminating = meta::is_deleting(crd);
    let verbs: &[&str] = if terminating {
        &["delete", "deletecollection", "get", "list", "watch"]
    } else {
        &["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"]
    };
    let sub = &v["subresources"];
    let scale = sub["scale"].is_object().then(|| ScalePaths {
        spec: text(&sub["scale"]["specReplicasPath"]),
        status: text(&sub["scale"]["statusReplicasPath"]),
        selector: sub["scale"]["labelSelectorPath"].as_str().map(str::to_owned),
    });
    let status = sub["status"].is_object();
    let sub_verbs = || ["get", "patch", "update"].iter().map(|s| (*s).to_owned()).collect();
    let mut subresources = Vec::new();
    if status {
        subresources.push(Subresource { name: "status".to_owned(), verbs: sub_verbs() });
    }
    if scale.is_some() {
        subresources.push(Subresource { name: "scale".to_owned(), verbs: sub_verbs() });
    }
    Definition {
        group: text(&crd["spec"]["group"]),
        version: text(&v["name"]),
        plural: text(&names["plural"]),
        kind: text(&names["kind"]),
        list_kind: text(&names["listKind"]),
        namespaced: crd["spec"]["scope"] == "Namespaced",
        verbs: verbs.iter().map(|s| (*s).to_owned()).collect(),
        subresources,
        table,
        heading: OnceLock::new(),
        schema: OnceLock::from(Schema::custom(&v["schema"]["openAPIV3Schema"])),
        traits: Traits {
            name_rule: NameRule::Subdomain,
            generation: true,
            status,
            unconditional_update: false,
            create_on_update: false,
            delete_returns_object: false,
            orphan_by_default: false,
            virtual_kind: false,
        },
        custom: Some(CustomVersion {
            crd: meta::name(crd).to_owned(),
            status,
            scale,
            selectable: v["selectableFields"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|f| f["jsonPath"].as_str().map(str::to_owned))
                .collect(),
            columns: Arc::new(v["additionalPrinterColumns"].clone()),
            warning: deprecation(crd, v),
            defaulted_since: (versions(crd).count() == 1).then_some(revision),
            terminating,
        }),
    }
}

/// The warning of a deprecated version: its own text, or one that names a newer served version.
fn deprecation(crd: &Value, v: &Value) -> Option<String> {
    if v["deprecated"] != true {
        return None;
    }
    if let Some(text) = v["deprecationWarning"].as_str() {
        return Some(text.to_owned());
    }
    let (group, kind) = (crd["spec"]["group"].as_str()?, crd["spec"]["names"]["kind"].as_str()?);
    let own = v["name"].as_str()?;
    let newer = versions(crd)
        .filter(|o| o["served"] == true && o["deprecated"] != true)
        .filter_map(|o| o["name"].as_str())
        .filter(|o| crate::discovery::version_order(o) > crate::discovery::version_order(own))
        .max_by_key(|o| crate::discovery::version_order(o));
    Some(match newer {
        Some(n) => format!("{group}/{own} {kind} is deprecated; use {group}/{n} {kind}"),
        None => format!("{group}/{own} {kind} is deprecated"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::{ApiServer, Options, Resource};

    /// As the real CRD server of 1.35 says it, the name of the manager of the status aside.
    #[test]
    fn who_owns_a_definition() {
        let client =
            ApiServer::new(Options::new(Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH)))).client("me");
        let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "things.a.example.com", "labels": {"x": "y"}},
            "spec": {"group": "a.example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
                "versions": [{"name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object"}}}}}]}});
        let definitions = Resource::new("apiextensions.k8s.io", "v1", "customresourcedefinitions");
        client.create(&definitions, "", crd).expect("created");
        let stored = client.get(&definitions, "", "things.a.example.com").expect("it");
        let entries = stored["metadata"]["managedFields"].as_array().expect("entries");
        let of = |manager: &str| entries.iter().find(|e| e["manager"] == manager).expect("an entry");
        let names = json!({"f:kind": {}, "f:listKind": {}, "f:plural": {}, "f:singular": {}});
        assert_eq!(
            of("me")["fieldsV1"],
            json!({"f:metadata": {"f:labels": {".": {}, "f:x": {}}}, "f:spec": {"f:conversion": {".": {}, "f:strategy": {}},
                "f:group": {}, "f:names": names, "f:scope": {}, "f:versions": {}}})
        );
        let condition = json!({".": {}, "f:lastTransitionTime": {}, "f:message": {}, "f:reason": {}, "f:status": {}, "f:type": {}});
        assert_eq!(
            of("kube-apiserver")["fieldsV1"],
            json!({"f:status": {"f:acceptedNames": names, "f:conditions": {
                "k:{\"type\":\"Established\"}": condition, "k:{\"type\":\"NamesAccepted\"}": condition}}})
        );
        assert_eq!(of("kube-apiserver")["subresource"], "status");
    }
}
