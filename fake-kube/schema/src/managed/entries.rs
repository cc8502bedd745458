//! `metadata.managedFields` as data: reading entries, writing them back sorted, keeping at most ten updaters.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::fieldset::Set;
use super::wire;
use crate::members::{Members, put_member, take_member};

/// More Update entries than this are folded into [`ANCIENT`].
const UPDATERS_MAX: usize = 10;
const ANCIENT: &str = "ancient-changes";

/// Who owns an entry. Apply entries of one manager are the same whatever their version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ManagerId {
    pub(crate) manager: String,
    pub(crate) applied: bool,
    /// Empty for Apply entries.
    pub(crate) api_version: String,
    pub(crate) subresource: String,
}

impl ManagerId {
    pub(crate) fn new(manager: &str, applied: bool, api_version: &str, subresource: &str) -> ManagerId {
        let api_version = if applied { String::new() } else { api_version.to_string() };
        ManagerId { manager: manager.into(), applied, api_version, subresource: subresource.into() }
    }

    /// As a real server writes it down and sorts by: the entry without what it owns (`BuildManagerIdentifier`).
    pub(crate) fn identifier(&self) -> String {
        let mut out = Map::new();
        let mut member = |key: &str, value: &str| {
            if !value.is_empty() {
                out.insert(key.to_owned(), Value::from(value));
            }
        };
        member("manager", &self.manager);
        member("operation", if self.applied { "Apply" } else { "Update" });
        member("apiVersion", &self.api_version);
        member("subresource", &self.subresource);
        Value::Object(out).to_string()
    }
}

/// One manager's fields: in their wire form as long as that is enough. Reading a set and writing it out again costs more
/// than everything else about ownership.
#[derive(Clone, Debug)]
pub(crate) enum Fields {
    Wire(Value),
    Read(Set),
}

impl Default for Fields {
    fn default() -> Fields {
        Fields::Read(Set::default())
    }
}

impl Fields {
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Fields::Wire(fields) => wire::is_empty(fields),
            Fields::Read(set) => set.is_empty(),
        }
    }

    /// The set, read if it was not yet. What is not a set is an empty one, as for whoever reads it first.
    pub(crate) fn set(&mut self) -> &mut Set {
        if let Fields::Wire(fields) = self {
            *self = Fields::Read(Set::from_json(fields).unwrap_or_default());
        }
        match self {
            Fields::Read(set) => set,
            Fields::Wire(_) => unreachable!("read above"),
        }
    }

    pub(crate) fn read(&self) -> Cow<'_, Set> {
        match self {
            Fields::Wire(fields) => Cow::Owned(Set::from_json(fields).unwrap_or_default()),
            Fields::Read(set) => Cow::Borrowed(set),
        }
    }

    /// Members of both.
    pub(crate) fn intersection(&self, other: &Set) -> Set {
        match self {
            Fields::Wire(fields) => wire::intersection(fields, other),
            Fields::Read(set) => set.intersection(other),
        }
    }

    /// Whether these are the members of the set; now and then not seen where they come in another order.
    pub(crate) fn is(&self, other: &Set) -> bool {
        match self {
            Fields::Wire(fields) => fields.as_object().is_some_and(|fields| other.is_written_as(fields)),
            Fields::Read(set) => set == other,
        }
    }

    pub(crate) fn subtract(&mut self, other: &Set) {
        match self {
            Fields::Wire(fields) => wire::subtract(fields, other),
            Fields::Read(set) => set.subtract(other),
        }
    }

    pub(crate) fn add(&mut self, other: &Set) {
        match self {
            Fields::Wire(fields) => wire::add(fields, other),
            Fields::Read(set) => *set = std::mem::take(set).union(other),
        }
    }

    /// [`Fields::add`] of a set that is used up.
    pub(crate) fn merge(&mut self, other: Set) {
        match self {
            Fields::Wire(_) => self.add(&other),
            Fields::Read(set) => set.merge(other),
        }
    }

    fn into_json(self) -> Value {
        match self {
            Fields::Wire(fields) => fields,
            Fields::Read(set) => set.to_json(),
        }
    }
}

/// One manager's entry.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    pub(crate) fields: Fields,
    pub(crate) api_version: String,
    /// RFC 3339 in UTC, whole seconds: text order is time order.
    pub(crate) time: Option<String>,
}

/// All entries of an object.
pub(crate) type Managers = BTreeMap<ManagerId, Owned>;

/// Reads entries; the error says what a real server says.
pub(crate) fn decode(entries: Option<Value>) -> Result<Managers, String> {
    read(entries, |i, fields| {
        let set = Set::from_json(&fields);
        let set =
            set.ok_or_else(|| format!("error decoding managed fields: invalid fieldsV1 in entry {i}"))?;
        Ok(Fields::Read(set))
    })
}

/// Reads entries this server wrote: their sets are sets.
pub(crate) fn own(entries: Option<Value>) -> Managers {
    stored(entries).unwrap_or_default()
}

/// The same where what is wrong is told.
pub(crate) fn stored(entries: Option<Value>) -> Result<Managers, String> {
    read(entries, |_, fields| Ok(Fields::Wire(fields)))
}

fn read(
    entries: Option<Value>,
    fields_of: impl Fn(usize, Value) -> Result<Fields, String>,
) -> Result<Managers, String> {
    let mut managers = Managers::new();
    let Some(Value::Array(entries)) = entries else { return Ok(managers) };
    for (i, mut entry) in entries.into_iter().enumerate() {
        let fields = entry.member_mut("fieldsV1").map(Value::take);
        let text = |key: &str| entry.member(key).and_then(Value::as_str).unwrap_or_default();
        let applied = match text("operation") {
            "Apply" => true,
            "Update" => false,
            _ => return Err("operation must be `Apply` or `Update`".into()),
        };
        let api_version = text("apiVersion");
        if api_version.is_empty() {
            return Err("apiVersion must not be empty".into());
        }
        match text("fieldsType") {
            "FieldsV1" => {}
            "" => return Err(format!("missing fieldsType in managed fields entry {i}")),
            other => return Err(format!("invalid fieldsType {other:?} in managed fields entry {i}")),
        }
        let fields = match fields {
            None | Some(Value::Null) => Fields::default(),
            Some(fields) => fields_of(i, fields)?,
        };
        let id = ManagerId::new(text("manager"), applied, api_version, text("subresource"));
        let time = entry.member("time").and_then(Value::as_str).map(str::to_string);
        managers.insert(id, Owned { fields, api_version: api_version.into(), time });
    }
    Ok(managers)
}

/// Writes entries: appliers first, then by time, manager, version, subresource.
fn encode(managers: Managers) -> Vec<Value> {
    let mut sorted: Vec<(ManagerId, Owned)> = managers.into_iter().collect();
    sorted.sort_by(|one, other| place(one).cmp(&place(other)));
    let entry = |(id, owned): (ManagerId, Owned)| {
        let mut out = Map::with_capacity(7);
        if !id.manager.is_empty() {
            out.insert("manager".into(), Value::String(id.manager));
        }
        out.insert("operation".into(), Value::from(if id.applied { "Apply" } else { "Update" }));
        out.insert("apiVersion".into(), Value::String(owned.api_version));
        if let Some(time) = owned.time {
            out.insert("time".into(), Value::String(time));
        }
        out.insert("fieldsType".into(), Value::from("FieldsV1"));
        out.insert("fieldsV1".into(), owned.fields.into_json());
        if !id.subresource.is_empty() {
            out.insert("subresource".into(), Value::String(id.subresource));
        }
        Value::Object(out)
    };
    sorted.into_iter().map(entry).collect()
}

/// What entries are sorted by.
fn place((id, owned): &(ManagerId, Owned)) -> (bool, &str, &str, &str, &str) {
    let time = owned.time.as_deref().unwrap_or_default();
    (!id.applied, time, &id.manager, &owned.api_version, &id.subresource)
}

/// Puts the entries into `metadata.managedFields`, or removes the member when there are none.
pub(crate) fn store(object: &mut Value, managers: Managers) {
    let entries = encode(managers);
    let Some(object) = object.as_object_mut() else { return };
    if entries.is_empty() {
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.shift_remove("managedFields");
        }
        return;
    }
    if object.member("metadata").is_none() {
        object.insert("metadata".into(), json!({}));
    }
    if let Some(metadata) = object.member_mut("metadata").and_then(Value::as_object_mut) {
        put_member(metadata, "managedFields", Value::Array(entries));
    }
}

/// A copy of an object without the entries, of which there can be more than of the rest.
pub(crate) fn without(object: &Value) -> Value {
    let Some(members) = object.as_object() else { return object.clone() };
    let copied = members.iter().map(|(key, member)| {
        let copy = match member {
            Value::Object(metadata) if key == "metadata" => {
                let kept = metadata.iter().filter(|(key, _)| *key != "managedFields");
                Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
            }
            other => other.clone(),
        };
        (key.clone(), copy)
    });
    Value::Object(copied.collect())
}

/// Takes the entries out of an object.
pub(crate) fn take(object: &mut Value) -> Option<Value> {
    take_member(object.member_mut("metadata")?.as_object_mut()?, "managedFields")
}

/// Whether a client asks for the entries to be dropped: `[]` or `[{}]` (case ssa-reset-managed-fields).
pub(crate) fn is_reset(entries: Option<&Value>) -> bool {
    match entries.and_then(Value::as_array).map(Vec::as_slice) {
        Some([]) => true,
        Some([Value::Object(only)]) => only.values().all(Value::is_null),
        _ => false,
    }
}

/// Folds the oldest updaters of a version into one entry until at most [`UPDATERS_MAX`] are left (case
/// ssa-ten-updates).
pub(crate) fn cap_updaters(managers: &mut Managers) {
    let mut updaters: Vec<ManagerId> = managers.keys().filter(|id| !id.applied).cloned().collect();
    let mut count = updaters.len();
    if count <= UPDATERS_MAX {
        return;
    }
    updaters.sort_by_key(|id| (managers[id].time.clone().unwrap_or_default(), id.clone()));
    let mut first_of_version: BTreeMap<String, ManagerId> = BTreeMap::new();
    for id in updaters {
        if count <= UPDATERS_MAX {
            return;
        }
        let version = managers[&id].api_version.clone();
        let Some(first) = first_of_version.get(&version) else {
            first_of_version.insert(version, id);
            continue;
        };
        let bucket = ManagerId::new(ANCIENT, false, &version, "");
        if !managers.contains_key(&bucket)
            && let Some(oldest) = managers.remove(first)
        {
            managers.insert(bucket.clone(), oldest);
        }
        let Some(mut newer) = managers.remove(&id) else { continue };
        count -= 1;
        managers
            .entry(bucket)
            .and_modify(|b| {
                b.fields.add(newer.fields.set());
                b.time.clone_from(&newer.time);
            })
            .or_insert(newer);
    }
}
