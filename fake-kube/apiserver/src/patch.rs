//! PATCH: the four patch types over the current object (kube-api.md 2.8).

use std::sync::Arc;

use fake_kube_schema::text::{go_quote, go_value};
use fake_kube_schema::{Cause, managed, patch};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::codec::{self, Decoded};
use crate::decode;
use crate::meta;
use crate::request::FieldValidation;
use crate::resource::Definition;
use crate::server::State;
use crate::status::{Result, Status};
use crate::store::Stored;
use crate::write::{Call, Origin, check_version};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    Json,
    Merge,
    Strategic,
    Apply,
}

impl PatchKind {
    /// By content type; which ones a kind takes differs (kube-api.md 2.5, line 415).
    pub(crate) fn of(def: &Definition, content_type: &str) -> Result<PatchKind> {
        let base = content_type.split(';').next().unwrap_or("").trim();
        match base {
            "application/json-patch+json" => Ok(PatchKind::Json),
            "application/merge-patch+json" => Ok(PatchKind::Merge),
            "application/apply-patch+yaml" => Ok(PatchKind::Apply),
            "application/strategic-merge-patch+json" if !def.is_custom() => Ok(PatchKind::Strategic),
            _ if def.is_custom() => Err(Status::unsupported_media(
                "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
            )),
            _ => {
                Err(Status::new(415, "UnsupportedMediaType", "415: Unsupported Media Type")
                    .details(json!({})))
            }
        }
    }
}

impl State {
    pub(crate) fn patch(&mut self, call: &mut Call, kind: PatchKind, body: &[u8]) -> Result<Answer> {
        if kind == PatchKind::Apply {
            return self.apply(call, body);
        }
        let live = self.live(call)?;
        let current = self.stored_view(&call.def, &live);
        let patched = self.patched(call, kind, &current, body)?;
        let strategic = if kind == PatchKind::Strategic { codec::parse(body).ok() } else { None };
        // Strategic merge works on Go maps and quotes the patch as one (case smp-unknown-field).
        let quoted = strategic.map(|d| Value::String(go_value(&d.value)));
        let new = self.accept_patched(call, patched, quoted.as_ref())?;
        let version = meta::text(&new, "resourceVersion");
        if !version.is_empty() && version != "0" && version != meta::text(&current, "resourceVersion") {
            check_version(call, version, &live)?;
        }
        self.update(call, &live, &current, new, Origin::Patch)
    }

    /// The object after the patch, before any check of it.
    pub(crate) fn patched(
        &self,
        call: &Call,
        kind: PatchKind,
        current: &Value,
        body: &[u8],
    ) -> Result<Value> {
        let patch = codec::parse(body)
            .map_err(|e| match kind {
                PatchKind::Strategic => Status::bad_request(e),
                _ => Status::bad_request(format!("error decoding patch: {e}")),
            })?
            .value;
        match kind {
            PatchKind::Json => patch::json(current, &patch).map_err(patch_failed),
            PatchKind::Merge if patch.is_null() => Err(Status::bad_request("Invalid JSON Patch")),
            PatchKind::Merge if !patch.is_object() => Err(Status::bad_request(format!(
                "error decoding patch: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
                type_name(&patch)
            ))),
            PatchKind::Merge => patch::merge(current, &patch).map_err(patch_failed),
            PatchKind::Strategic => {
                patch::strategic(call.def.schema(), current, &patch).map_err(|e| match e {
                    // Strategic merge works on Go maps and quotes the patch as one.
                    patch::PatchError::Undecodable(why) => {
                        invalid_patch(&Value::String(go_value(&patch)), &why)
                    }
                    other => patch_failed(other),
                })
            }
            PatchKind::Apply => unreachable!("apply does not come here"),
        }
    }

    /// What decoding the patched object would say: kind, names, unknown fields.
    fn accept_patched(&mut self, call: &mut Call, mut new: Value, quoted: Option<&Value>) -> Result<Value> {
        if !new.is_object() || !matches!(new.get("metadata"), Some(Value::Object(_))) {
            let what = new.get("metadata").cloned().unwrap_or(Value::Null);
            if !what.is_null() || !new.is_object() {
                return Err(invalid_patch(
                    &new,
                    &format!("json: cannot unmarshal {} into Go struct field", type_name(&what)),
                ));
            }
            meta::of(&mut new);
        }
        let def = call.def.clone();
        if !def.is_custom()
            && let Some(why) = self.other_kind(&def, &new)
        {
            return Err(invalid_patch(&new, &why));
        }
        for (key, want) in [("apiVersion", def.api_version()), ("kind", def.kind.clone())] {
            if let Some(other) = new.get(key).and_then(Value::as_str).filter(|v| *v != want) {
                return Err(wrong_type(&def, key, other));
            }
            new[key] = json!(want);
        }
        if !def.is_custom()
            && let Some(why) = decode::mismatch(&def.group, &def.version, &def.kind, &new)
        {
            return Err(invalid_patch(&new, &why));
        }
        let unknown: Vec<String> =
            def.schema().prune(&mut new).iter().map(|p| format!("unknown field {}", go_quote(p))).collect();
        if !unknown.is_empty() && call.options.validation == FieldValidation::Strict {
            let why = format!("strict decoding error: {}", unknown.join(", "));
            return Err(invalid_patch(quoted.unwrap_or(&new), &why));
        }
        call.report_strict(unknown)?;
        call.check_name(&new)?;
        crate::strategy::convert(&def, &mut new);
        meta::tidy(&mut new);
        call.warnings.extend(meta::dedup_owners(&mut new));
        call.check_namespace(&mut new)?;
        let owned = meta::get(&new, "managedFields").cloned();
        def.schema().drop_nulls(&mut new);
        def.schema().default(&mut new);
        if let Some(owned) = owned {
            meta::set(&mut new, "managedFields", owned);
        }
        Ok(new)
    }

    /// A patch that turns the object into another kind is decoded as that kind first (case upd-json-fail).
    fn other_kind(&self, def: &Definition, new: &Value) -> Option<String> {
        let (api_version, kind) = (new["apiVersion"].as_str()?, new["kind"].as_str()?);
        if kind == def.kind && api_version == def.api_version() {
            return None;
        }
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let known = self.registry.all().any(|d| !d.is_custom() && d.group == group && d.kind == kind);
        if known { decode::mismatch(group, version, kind, new) } else { None }
    }

    /// Server-side apply.
    fn apply(&mut self, call: &mut Call, body: &[u8]) -> Result<Answer> {
        let Decoded { value: mut applied, strict } =
            codec::yaml(body).map_err(|e| Status::bad_request(format!("error decoding YAML: {e}")))?;
        self.check_applied(call, &mut applied)?;
        let def = call.def.clone();
        let api_version = def.api_version();
        let live = self.store.get(def.table, &call.key()).cloned();
        if live.is_none() && !call.subresource.is_empty() {
            return Err(Status::not_found(&def, &call.name));
        }
        // A version means nothing to an object that is not there.
        let version = meta::text(&applied, "resourceVersion").to_owned();
        meta::remove(&mut applied, "resourceVersion");
        let uid = meta::uid(&applied).to_owned();
        let current = live.as_ref().map(|l| self.stored_view(&def, l));
        let force = call.options.force.unwrap_or(false);
        let record = match &live {
            Some(live) => call.record_over(&api_version, live),
            None => call.record(&api_version),
        };
        let mut merged = managed::apply_owned(def.schema(), current.as_deref(), applied, &record, force)
            .map_err(apply_failed)?;
        if call.options.validation == FieldValidation::Strict && !strict.is_empty() {
            return Err(Status::bad_request(format!(
                "error strict decoding YAML: error converting YAML to JSON: {}",
                strict.join(", ")
            )));
        }
        // Names are those of the merged object: what is there has one (patch.go, applyPatch).
        call.check_namespace(&mut merged)?;
        call.check_name(&merged)?;
        if let Some(live) = &live
            && !version.is_empty()
        {
            check_version(call, &version, live)?;
        }
        // After ownership is settled: it names the fields as they were sent (case ssa-secret).
        crate::strategy::convert(&def, &mut merged);
        match (live, current) {
            (Some(live), Some(current)) => self.apply_update(call, &live, &current, merged),
            _ => self.apply_create(call, merged, &uid),
        }
    }

    fn apply_update(
        &mut self,
        call: &mut Call,
        live: &Arc<Stored>,
        current: &Value,
        mut merged: Value,
    ) -> Result<Answer> {
        call.def.schema().default(&mut merged);
        self.update(call, live, current, merged, Origin::Apply)
    }

    fn apply_create(&mut self, call: &mut Call, merged: Value, uid: &str) -> Result<Answer> {
        if !uid.is_empty() {
            let cause = Cause::invalid("metadata.uid", &json!(uid), "field is immutable");
            return Err(Status::invalid(&call.def, &call.name, vec![cause]));
        }
        self.create_applied(call, merged)
    }

    fn check_applied(&self, call: &Call, applied: &mut Value) -> Result<()> {
        if applied.is_null() {
            *applied = json!({});
        }
        if !applied.is_object() {
            return Err(Status::bad_request(format!(
                "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
                type_name(applied)
            )));
        }
        let text = |k: &str| applied.get(k).and_then(Value::as_str).unwrap_or("");
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        if api_version != call.def.api_version() || kind != call.def.kind {
            let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
            return Err(Status::bad_request(format!("invalid object type: {group}/{version}, Kind={kind}")));
        }
        if meta::get(applied, "managedFields").is_some() {
            return Err(Status::bad_request("metadata.managedFields must be nil"));
        }
        Ok(())
    }
}

fn wrong_type(def: &Definition, key: &str, other: &str) -> Status {
    if def.is_custom() {
        return match key {
            "kind" => {
                let cause = Cause::invalid("kind", &json!(other), &format!("must be {}", def.kind));
                Status::invalid_as(&def.group, other, "", vec![cause])
            }
            _ => Status::bad_request(format!(
                "the API version in the data ({other}) does not match the expected API version ({})",
                def.api_version()
            )),
        };
    }
    Status::bad_request(format!(
        "{} in version {} cannot be handled as a {}",
        def.kind,
        go_quote(&def.version),
        def.kind
    ))
}

/// 422 that quotes the whole patched object (kube-api.md 2.5).
fn invalid_patch(patched: &Value, why: &str) -> Status {
    let quoted = match patched {
        Value::String(s) => Value::String(s.clone()),
        other => Value::String(other.to_string()),
    };
    Status::invalid_as("", "", "", vec![Cause::invalid("patch", &quoted, why)])
}

fn type_name(v: &Value) -> &'static str {
    match v {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The refusals of server-side apply (kube-api.md 2.8).
fn apply_failed(e: managed::ApplyError) -> Status {
    match &e {
        managed::ApplyError::BadRequest(text) => Status::bad_request(text.as_str()),
        managed::ApplyError::Internal(text) => Status::bare(text.as_str()),
        managed::ApplyError::Conflicts(conflicts) => {
            let causes: Vec<Value> = conflicts
                .iter()
                .map(|c| json!({"reason": "FieldManagerConflict", "message": c.message(), "field": c.field}))
                .collect();
            Status::new(409, "Conflict", e.to_string()).details(json!({"causes": causes}))
        }
    }
}

fn patch_failed(e: patch::PatchError) -> Status {
    match e {
        patch::PatchError::BadRequest(text) => Status::bad_request(text),
        patch::PatchError::Rejected(_) => {
            Status::new(422, "Invalid", "the server rejected our request due to an error in our request")
                .details(json!({}))
        }
        patch::PatchError::Undecodable(text) => {
            Status::invalid_as("", "", "", vec![Cause::invalid("patch", &Value::Null, &text)])
        }
        patch::PatchError::TooLarge(text) => Status::new(413, "RequestEntityTooLarge", text),
        patch::PatchError::Internal(text) => Status::bare(text),
    }
}
