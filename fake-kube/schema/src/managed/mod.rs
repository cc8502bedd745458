//! Field ownership: server-side apply, and tracking of every other write in `metadata.managedFields`.
//!
//! A port of apimachinery's field manager stack over structured-merge-diff's updater (reference 2.8, cases ssa-*):
//! `fieldset` holds paths (`wire` in their wire form), `typed` and `walks` read values under a schema, `entries` is the wire form, this file the
//! manager, `shortcut` its answer to writes that change values only. All versions of a kind are taken to share one
//! schema, which conversion `None` guarantees for custom resources. Leaves out: re-reading ownership after a list type
//! changed, and conversion webhooks.

mod entries;
mod fieldset;
mod shortcut;
#[cfg(test)]
mod tests;
mod typed;
mod walks;
mod wire;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::OnceLock;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::equal::{equal, equal_members};
use crate::members::Members;
use crate::schema::Schema;
use crate::text::{compact_json, go_quote, time_text};
use entries::{Fields, ManagerId, Managers, Owned};
use fieldset::Set;
use typed::Types;

/// The version of the Scale that every kind with replicas has.
const SCALE_VERSION: &str = "autoscaling/v1";
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const LAST_APPLIED_BYTES_MAX: usize = 262_144;

/// Who writes, through what, when.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    pub manager: &'a str,
    /// `g/v` of the request.
    pub api_version: &'a str,
    /// `status`, `scale`, .. or empty.
    pub subresource: &'a str,
    pub now: Timestamp,
    /// The live object was stored under the schema as it is now.
    pub same_schema: bool,
    /// Dotted fields this route does not write, so that nobody comes to own them through it: `["status"]` on the main
    /// route of a kind with a status subresource, `["spec", "metadata"]` on `/status` of a custom resource.
    pub reset_fields: &'a [&'a str],
}

/// Why an apply is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplyError {
    /// 409 Conflict, `details.causes` only; those with one manager follow each other.
    Conflicts(Vec<Conflict>),
    /// 400 BadRequest.
    BadRequest(String),
    /// 500 without a reason: the applied object does not fit the schema.
    Internal(String),
}

/// One field another manager owns with a different value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// As printed: `"m" with subresource "status" using v1`.
    pub manager: String,
    /// As printed: `.spec.items[name="x"].value`.
    pub field: String,
}

impl Conflict {
    /// `message` of the cause; its reason is `FieldManagerConflict`.
    pub fn message(&self) -> String {
        format!("conflict with {}", self.manager)
    }
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApplyError::BadRequest(text) | ApplyError::Internal(text) => f.write_str(text),
            ApplyError::Conflicts(conflicts) => match conflicts.as_slice() {
                [one] => write!(f, "Apply failed with 1 conflict: {}: {}", one.message(), one.field),
                many => {
                    let mut lines = Vec::new();
                    for of_one in many.chunk_by(|one, next| one.manager == next.manager) {
                        lines.push(format!("conflicts with {}:", of_one[0].manager));
                        lines.extend(of_one.iter().map(|conflict| format!("- {}", conflict.field)));
                    }
                    write!(f, "Apply failed with {} conflicts: {}", many.len(), lines.join("\n"))
                }
            },
        }
    }
}

impl std::error::Error for ApplyError {}

/// Server-side apply: `applied` laid over `live` (none: created), fields `w.manager` gave up removed.
///
/// The result carries the new managedFields. When nothing changed it equals `live`, so that the caller's comparison
/// keeps the resourceVersion.
pub fn apply(
    schema: &Schema,
    live: Option<&Value>,
    applied: &Value,
    w: &Write<'_>,
    force: bool,
) -> Result<Value, ApplyError> {
    apply_owned(schema, live, applied.clone(), w, force)
}

/// [`apply`] for callers that have no further use for what is applied.
pub fn apply_owned(
    schema: &Schema,
    live: Option<&Value>,
    mut applied: Value,
    w: &Write<'_>,
    force: bool,
) -> Result<Value, ApplyError> {
    if applied.pointer("/metadata/managedFields").is_some_and(|m| !m.is_null()) {
        return Err(ApplyError::BadRequest("metadata.managedFields must be nil".into()));
    }
    let types = Types { arena: schema.arena() };
    entries::take(&mut applied);
    types.validate(&applied, false).map_err(|error| {
        ApplyError::Internal(format!("failed to create typed patch object ({}): {error}", describe(&applied)))
    })?;
    let created = json!({"apiVersion": applied.get("apiVersion"), "kind": applied.get("kind")});
    let live = live.unwrap_or(&created);
    let managed = live.pointer("/metadata/managedFields");
    let mut managers = entries::stored(managed.cloned())
        .map_err(|e| ApplyError::Internal(format!("failed to decode managed fields: {e}")))?;
    // Somebody owns fields of it: it was found to fit then, and the schema is the one of then.
    if !w.same_schema || managers.is_empty() {
        types.validate(live, true).map_err(|error| {
            ApplyError::Internal(format!("failed to create typed live object ({}): {error}", describe(live)))
        })?;
    }
    if managers.is_empty() {
        own_existing(types, live, &mut managers, w);
    }
    let kubectl = w.manager == "kubectl";
    let before = kubectl.then(|| (managers.clone(), applied.clone()));
    let outcome = match (run(types, live, applied, managers, w, force), &before) {
        // kubectl may take over what it applied client-side before.
        (Err(conflicts), Some((managers, applied))) => match conflicts_beyond(types, live, conflicts) {
            remaining if remaining.is_empty() => run(types, live, applied.clone(), managers.clone(), w, true),
            remaining => Err(remaining),
        },
        (outcome, _) => outcome,
    };
    let (mut object, managers) = outcome.map_err(|found| ApplyError::Conflicts(printed(&found)))?;
    if let Some((_, applied)) = &before {
        update_last_applied(&mut object, applied);
    }
    entries::store(&mut object, managers);
    Ok(object)
}

/// Records a create, update or patch: what changed between `live` and `new` belongs to the writer from now on.
///
/// Reads the managedFields a client sent in `new` (a client may clear them; a subresource may not touch them) and
/// replaces them by the result.
pub fn track_update(schema: &Schema, live: Option<&Value>, new: &mut Value, w: &Write<'_>) {
    let sent = entries::take(new);
    if let Some(entries) = live.and_then(|live| shortcut::renewed(live, new, sent.as_ref(), w)) {
        if let Some(metadata) = new.member_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("managedFields".into(), entries);
        }
        return;
    }
    tracked_by_updater(schema, live, new, sent, w);
}

fn tracked_by_updater(
    schema: &Schema,
    live: Option<&Value>,
    new: &mut Value,
    sent: Option<Value>,
    w: &Write<'_>,
) {
    let types = Types { arena: schema.arena() };
    let live_entries = live.and_then(|l| l.pointer("/metadata/managedFields"));
    // What a client sends back as it got it is taken over, not copied.
    let is_untouched = live_entries.is_some() && equal_members(sent.as_ref(), live_entries);
    let mut managers = if is_untouched {
        entries::own(sent)
    } else if !w.subresource.is_empty() {
        entries::own(live_entries.cloned())
    } else if entries::is_reset(sent.as_ref()) {
        Managers::new()
    } else {
        match entries::decode(sent) {
            Ok(managers) if !managers.is_empty() => managers,
            _ => entries::own(live_entries.cloned()),
        }
    };
    // An object whose tracking was cleared stays untracked until something is applied to it.
    if live.is_none() || !managers.is_empty() {
        let empty;
        let old = match live {
            Some(live) => live,
            None => {
                empty = created_from(schema, new);
                &empty
            }
        };
        let is_known = w.same_schema && live_entries.is_some();
        if does_fit(schema, types, old, new, is_known) {
            update(types, old, new, &mut managers, w);
        } else {
            managers.clear();
        }
        entries::cap_updaters(&mut managers);
    }
    entries::store(new, managers);
}

/// What a created object is compared with: an empty one of its type (`scope.Creater.New` in handlers/create.go). Whoever
/// creates a Deployment does not own its `spec` as such, which every Deployment has.
fn created_from(schema: &Schema, new: &Value) -> Value {
    let mut empty = schema.empty().clone();
    for key in ["apiVersion", "kind"] {
        empty[key] = new.get(key).cloned().unwrap_or_default();
    }
    empty
}

/// A value that does not fit its schema cannot be tracked, and whoever owned the object loses it (`UpdateNoErrors` of
/// the field manager); the write itself is judged elsewhere. What is equal in both
/// fitted when it was stored, unless the schema is one that can have changed since. `is_known`: that has not happened, and
/// somebody owns fields of the object, which a misfit would have cost them.
fn does_fit(schema: &Schema, types: Types<'_>, old: &Value, new: &Value, is_known: bool) -> bool {
    if schema.is_built_in() || is_known {
        return types.fits_where_different(old, new);
    }
    types.validate(new, true).is_ok() && types.validate(old, true).is_ok()
}

/// Ownership after a write of `/scale`, which has owners of the replicas alone (`scalehandler.go`): `change` is what they
/// became, if anything, and who writes them takes them from the others.
///
/// Two things a real server does are kept. A Scale does not show replicas of 0, so nobody owns these. And whoever owned
/// them by an update comes back as another manager, as the version of a Scale is part of its name: the replicas leave its
/// entry for one of their own without a time, which the next write that reads both drops.
pub fn track_scale(live: &Value, new: &mut Value, replicas: &str, change: Option<i64>, w: &Write<'_>) {
    entries::take(new);
    let mut managers = entries::own(live.pointer("/metadata/managedFields").cloned());
    let mut field = Set::default();
    field.insert_fields(replicas.trim_start_matches('.'));
    let owns = |owned: &Owned| !owned.fields.read().intersection(&field).is_empty();
    let in_scale = |id: &ManagerId| ManagerId::new(&id.manager, id.applied, SCALE_VERSION, &id.subresource);
    let mut owners: BTreeSet<ManagerId> =
        managers.iter().filter(|(_, owned)| owns(owned)).map(|(id, _)| in_scale(id)).collect();
    // Replicas without an owner stay without one, as any object that nobody tracks.
    if let Some(now) = change.filter(|_| !owners.is_empty()) {
        let writer = ManagerId::new(w.manager, false, SCALE_VERSION, w.subresource);
        owners.retain(|id| *id == writer && now != 0);
        if now != 0 {
            owners.insert(writer);
        }
    }
    for (id, owned) in &mut managers {
        if owns(owned) && !owners.remove(id) {
            owned.fields.subtract(&field);
        }
    }
    for id in owners {
        let fields = Fields::Read(field.clone());
        managers.insert(id, Owned { fields, api_version: w.api_version.into(), time: None });
    }
    managers.retain(|_, owned| !owned.fields.is_empty());
    entries::store(new, managers);
}

/// Keeps the stored timestamps when a write changed nothing but them, so that it stays a no-op.
pub fn keep_times_if_unchanged(old: &Value, new: &mut Value) {
    let entries_of = |v: &Value| v.pointer("/metadata/managedFields").cloned();
    let timeless = |v: Option<Value>| -> Vec<Value> {
        let Some(Value::Array(mut list)) = v else { return vec![] };
        for entry in list.iter_mut().filter_map(Value::as_object_mut) {
            entry.shift_remove("time");
        }
        list
    };
    let (before, after) = (entries_of(old), entries_of(new));
    let (plain_before, plain_after) = (timeless(before.clone()), timeless(after));
    let same_entries = plain_before.len() == plain_after.len()
        && plain_before.iter().all(|entry| plain_after.contains(entry));
    if !same_entries {
        return;
    }
    let strip = |v: &Value| {
        let mut v = v.clone();
        if let Some(metadata) = v.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.shift_remove("managedFields");
            metadata.shift_remove("resourceVersion");
        }
        v
    };
    if equal(&strip(old), &strip(new))
        && let (Some(before), Some(metadata)) =
            (before, new.get_mut("metadata").and_then(Value::as_object_mut))
    {
        metadata.insert("managedFields".into(), before);
    }
}

/// `namespace/name; g/v, Kind=K`, as errors name an object.
fn describe(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let api_version = text("/apiVersion");
    let group_version =
        if api_version.contains('/') { api_version.to_string() } else { format!("/{api_version}") };
    format!(
        "{}/{}; {group_version}, Kind={}",
        text("/metadata/namespace"),
        text("/metadata/name"),
        text("/kind")
    )
}

fn reset_set(w: &Write<'_>) -> Set {
    let mut set = Set::default();
    for field in w.reset_fields {
        set.insert_fields(field);
    }
    set
}

/// Fields nobody owns (`stripmeta`).
fn unowned() -> &'static Set {
    static UNOWNED: OnceLock<Set> = OnceLock::new();
    UNOWNED.get_or_init(|| {
        let mut stripped = Set::default();
        for field in [
            "apiVersion",
            "kind",
            "metadata",
            "metadata.name",
            "metadata.namespace",
            "metadata.creationTimestamp",
            "metadata.selfLink",
            "metadata.uid",
            "metadata.clusterName",
            "metadata.generation",
            "metadata.managedFields",
            "metadata.resourceVersion",
        ] {
            stripped.insert_fields(field);
        }
        stripped
    })
}

/// The first apply to an object nobody tracked: all it has belongs to `before-first-apply`.
fn own_existing(types: Types<'_>, live: &Value, managers: &mut Managers, w: &Write<'_>) {
    let empty = json!({"apiVersion": live.get("apiVersion"), "kind": live.get("kind")});
    let as_before = Write { manager: BEFORE_FIRST_APPLY, ..*w };
    update(types, &empty, live, managers, &as_before);
}

/// The updater's Update: the writer takes what it changed from everybody.
fn update(types: Types<'_>, old: &Value, new: &Value, managers: &mut Managers, w: &Write<'_>) {
    let compare = types.compare(old, new).without(&reset_set(w));
    let mut changed = compare.modified;
    changed.merge(compare.added);
    let id = ManagerId::new(w.manager, false, w.api_version, w.subresource);
    for (other, owned) in managers.iter_mut() {
        // The writer keeps what it changed.
        if *other != id {
            owned.fields.subtract(&changed);
        }
        owned.fields.subtract(&compare.removed);
    }
    changed.subtract(unowned());
    if !changed.is_empty() {
        let time = Some(time_text(w.now));
        let entry = managers.entry(id).or_insert_with(|| Owned {
            fields: Fields::default(),
            api_version: w.api_version.into(),
            time: None,
        });
        entry.fields.merge(changed);
        entry.time = time;
    }
    managers.retain(|_, owned| !owned.fields.is_empty());
}

/// Conflicts before printing: manager and the fields it would lose.
type Found = Vec<(ManagerId, Set)>;

/// The updater's Apply: merge, remove what was given up, take ownership or find conflicts.
fn run(
    types: Types<'_>,
    live: &Value,
    applied: Value,
    mut managers: Managers,
    w: &Write<'_>,
    force: bool,
) -> Result<(Value, Managers), Found> {
    let ignored = reset_set(w);
    let id = ManagerId::new(w.manager, true, w.api_version, w.subresource);
    let mut set = types.to_set(&applied);
    set.subtract_recursive(&ignored);
    let merged = types.merge(entries::without(live), applied);
    let last = managers.remove(&id);
    let stays_unowned = set.intersection(unowned());
    set.subtract(unowned());
    let pruned = match last {
        // Nearly every apply is of the fields of the one before.
        Some(last) if last.fields.is(&set) => {
            managers.insert(id.clone(), Owned { api_version: w.api_version.into(), ..last });
            merged
        }
        last => {
            let was = last.as_ref().map(|last| last.fields.read()).unwrap_or_default();
            set.merge(stays_unowned);
            // Whoever applies at least what it applied before gives nothing up.
            let gives_up = !was.is_within(&set);
            let time = last.as_ref().and_then(|last| last.time.clone());
            let own = Owned { fields: Fields::Read(set), api_version: w.api_version.into(), time };
            managers.insert(id.clone(), own);
            let pruned = if gives_up { prune(types, merged, &managers, &was) } else { merged };
            if let Some(own) = managers.get_mut(&id) {
                own.fields.subtract(unowned());
            }
            pruned
        }
    };

    let compare = types.compare(live, &pruned);
    let unchanged = compare.is_empty() && is_same_but_entries(live, &pruned);
    let compare = compare.without(&ignored);
    let mut changed = compare.modified;
    changed.merge(compare.added);
    let mut conflicts = Found::new();
    for (other, owned) in managers.iter_mut().filter(|(other, _)| **other != id) {
        let conflict = owned.fields.intersection(&changed);
        if !conflict.is_empty() {
            if force {
                owned.fields.subtract(&conflict);
            } else {
                conflicts.push((other.clone(), conflict));
            }
        }
        if !compare.removed.is_empty() {
            owned.fields.subtract(&compare.removed);
        }
    }
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    if let Some(own) = managers.get_mut(&id) {
        // A write that only adds ownership leaves no time (case ssa-before-first-apply).
        if !unchanged {
            own.time = Some(time_text(w.now));
        }
    }
    managers.retain(|_, owned| !owned.fields.is_empty());
    Ok((pruned, managers))
}

/// Whether two objects are equal, managedFields aside; `new` has none.
fn is_same_but_entries(live: &Value, new: &Value) -> bool {
    let (Some(live), Some(new)) = (live.as_object(), new.as_object()) else { return equal(live, new) };
    live.len() == new.len()
        && live.iter().all(|(key, member)| match (key.as_str(), member, new.member(key)) {
            ("metadata", Value::Object(live), Some(Value::Object(new))) => {
                let own = live.iter().filter(|(key, _)| *key != "managedFields");
                own.clone().count() == new.len()
                    && own.into_iter().all(|(key, one)| equal_members(new.member(key), Some(one)))
            }
            (_, member, other) => equal_members(other, Some(member)),
        })
}

/// Removes from `merged` what the manager owned before and nobody owns now.
fn prune(types: Types<'_>, merged: Value, managers: &Managers, last: &Set) -> Value {
    let last = types.with_named_fields(last);
    let pruned = types.remove(&merged, &last);
    // What others own, or the new configuration, comes back ..
    let merged_set = types.with_named_fields(&types.to_set(&merged));
    let pruned_set = types.with_named_fields(&types.to_set(&pruned));
    let owned = managers.values().fold(Set::default(), |all, m| all.union(&m.fields.read()));
    let owned = types.with_named_fields(&owned);
    let pruned = types.remove(&merged, &merged_set.difference(&pruned_set.union(&owned)));
    // .. and so does what nobody owns but vanished with its parent.
    let pruned_set = types.with_named_fields(&types.to_set(&pruned));
    let dangling = merged_set.difference(&pruned_set).intersection(&last);
    types.remove(&merged, &dangling)
}

fn printed(found: &Found) -> Vec<Conflict> {
    let mut out = Vec::new();
    let mut found: Vec<&(ManagerId, Set)> = found.iter().collect();
    found.sort_by_cached_key(|(id, _)| id.identifier());
    for (id, set) in found {
        let mut manager = go_quote(&id.manager);
        if !id.subresource.is_empty() {
            manager = format!("{manager} with subresource {}", go_quote(&id.subresource));
        }
        if !id.applied {
            manager = format!("{manager} using {}", id.api_version);
        }
        out.extend(set.paths().into_iter().map(|field| Conflict { manager: manager.clone(), field }));
    }
    out
}

/// Conflicts with fields that the last-applied annotation does not show as kubectl's own.
fn conflicts_beyond(types: Types<'_>, live: &Value, found: Found) -> Found {
    let annotation =
        live.pointer("/metadata/annotations").and_then(|a| a.get(LAST_APPLIED)).and_then(Value::as_str);
    let last: Option<Value> = annotation.and_then(|text| serde_json::from_str(text).ok());
    let Some(last) = last.filter(|l| types.validate(l, true).is_ok()) else { return found };
    let differs = types.compare(live, &last);
    let own = types
        .to_set(&last)
        .difference(&differs.modified)
        .difference(&differs.added)
        .difference(&differs.removed);
    found.into_iter().map(|(id, set)| (id, set.difference(&own))).filter(|(_, set)| !set.is_empty()).collect()
}

/// An object kubectl used to apply client-side keeps its annotation in step.
fn update_last_applied(object: &mut Value, applied: &Value) {
    let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) else {
        return;
    };
    if !annotations.contains_key(LAST_APPLIED) {
        return;
    }
    let mut configuration = applied.clone();
    if let Some(metadata) = configuration.get_mut("metadata").and_then(Value::as_object_mut) {
        let own = metadata.get_mut("annotations").and_then(Value::as_object_mut);
        if own.is_some_and(|own| {
            own.shift_remove(LAST_APPLIED);
            Map::is_empty(own)
        }) {
            metadata.shift_remove("annotations");
        }
    }
    let text = format!("{}\n", compact_json(&configuration));
    if text.len() > LAST_APPLIED_BYTES_MAX {
        annotations.shift_remove(LAST_APPLIED);
    } else {
        annotations.insert(LAST_APPLIED.into(), Value::from(text));
    }
}
