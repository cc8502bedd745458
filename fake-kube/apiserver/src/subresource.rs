//! Subresources other than status: scale, eviction, binding, token, finalize, log (kube-api.md 2.11).

use fake_kube_schema::text::go_quote;
use fake_kube_schema::{Cause, managed};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::admission::{Asked, Operation};
use crate::answer::Answer;
use crate::codec;
use crate::meta;
use crate::patch::PatchKind;
use crate::pods::LogOptions;
use crate::rbac::tokens::ISSUER;
use crate::request::{DeleteOptions, Params};
use crate::selector::LabelSelector;
use crate::server::State;
use crate::status::{Result, Status};
use crate::validate;
use crate::write::{Call, Origin, check_version};

/// Where a kind keeps its replicas.
struct Paths {
    spec: String,
    status: String,
    selector: Option<String>,
}

/// A write of `/scale`, as it was sent.
pub(crate) enum ScaleWrite<'a> {
    Put(Value),
    Patch(PatchKind, &'a [u8]),
}

impl State {
    fn scale_paths(&self, call: &Call) -> Result<Paths> {
        match &call.def.custom {
            Some(c) => {
                let s = c.scale.as_ref().ok_or_else(|| Status::not_found(&call.def, &call.name))?;
                Ok(Paths { spec: s.spec.clone(), status: s.status.clone(), selector: s.selector.clone() })
            }
            None => Ok(Paths {
                spec: "spec.replicas".to_owned(),
                status: "status.replicas".to_owned(),
                selector: None,
            }),
        }
    }

    /// GET of `/scale`.
    pub(crate) fn scale(&self, call: &Call) -> Result<Answer> {
        let paths = self.scale_paths(call)?;
        let live = self.live(call)?.value();
        let scale = scale_of(call, &paths, &live)?;
        if call.def.is_custom() && meta::dotted(&live, &paths.spec).is_none() {
            return Err(no_replicas(&paths));
        }
        Ok(Answer::Value { code: 200, value: scale })
    }

    /// PUT and PATCH of `/scale`: the replicas of the object change, under its own version.
    pub(crate) fn write_scale(&mut self, call: &mut Call, write: ScaleWrite<'_>) -> Result<Answer> {
        let paths = self.scale_paths(call)?;
        let live = self.live(call)?;
        let object = live.value();
        let current = scale_of(call, &paths, &object)?;
        let scale = match write {
            ScaleWrite::Patch(PatchKind::Apply, body) => {
                let mut out = current.clone();
                let applied = codec::yaml(body)
                    .map_err(|e| Status::bad_request(format!("error decoding YAML: {e}")))?
                    .value;
                merge_into(&mut out, &applied);
                out
            }
            ScaleWrite::Patch(kind, body) => self.patched(call, kind, &current, body)?,
            ScaleWrite::Put(sent) => {
                if sent["kind"] != "Scale" && !sent["kind"].is_null() {
                    return Err(Status::bad_request(
                        "no kind is registered for the type v1.Scale in scheme \"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30\"",
                    ));
                }
                sent
            }
        };
        let scale = self.mutate(call, Operation::Update, scale, Some(&current), |_| {})?;
        let version = meta::text(&scale, "resourceVersion");
        if !version.is_empty() && version != "0" {
            check_version(call, version, &live)?;
        }
        let replicas = &scale["spec"]["replicas"];
        if replicas.is_null() && call.def.is_custom() && meta::dotted(&object, &paths.spec).is_none() {
            return Err(Status::bad_request(format!(
                "the spec replicas field {} cannot be empty",
                go_quote(&paths.spec)
            )));
        }
        if !replicas.is_null() && !replicas.is_i64() && !replicas.is_u64() {
            let why = format!(
                "json: cannot unmarshal {} into Go struct field ScaleSpec.spec.replicas of type int32",
                if replicas.is_string() { "string" } else { "object" }
            );
            let quoted = Value::String(scale.to_string());
            return Err(Status::invalid_as("", "", "", vec![Cause::invalid("patch", &quoted, &why)]));
        }
        if self.has_hooks() {
            let asked = Asked { operation: Operation::Update, object: Some(&scale), old: Some(&current) };
            self.review_only(call, &asked, false)?;
        }
        let mut new = self.view(&call.def, &object);
        if !meta::set_dotted(&mut new, &paths.spec, json!(replicas.as_i64().unwrap_or(0))) {
            return Err(Status::internal(format!("cannot set {}", paths.spec)));
        }
        self.scale_update(call, &live, new, &paths)
    }

    fn scale_update(
        &mut self,
        call: &mut Call,
        live: &std::sync::Arc<crate::store::Stored>,
        mut new: Value,
        paths: &Paths,
    ) -> Result<Answer> {
        let old = self.stored_view(&call.def, live);
        let replicas = |v: &Value| meta::dotted(v, &paths.spec).and_then(Value::as_i64);
        let changed = replicas(&new).filter(|now| replicas(&old) != Some(*now));
        let api_version = call.def.api_version();
        managed::track_scale(&old, &mut new, &paths.spec, changed, &call.record(&api_version));
        match self.update(call, live, &old, new, Origin::Patch)? {
            Answer::Object { object, .. } => {
                Ok(Answer::Value { code: 200, value: scale_of(call, paths, &object.value())? })
            }
            other => Ok(other),
        }
    }

    /// POST of an eviction: a delete, unless a disruption budget forbids it.
    pub(crate) fn evict(&mut self, call: &mut Call, body: &Value) -> Result<Answer> {
        let live = self.live(call)?;
        let body = &self.mutate(call, Operation::Create, body.clone(), None, |_| {})?;
        let name = meta::name(body);
        if !name.is_empty() && name != call.name {
            return Err(Status::bad_request("name in URL does not match name in Eviction object"));
        }
        if self.has_hooks() {
            let asked = Asked { operation: Operation::Create, object: Some(body), old: None };
            self.review_only(call, &asked, false)?;
        }
        let phase = live.pinned()["status"]["phase"].as_str().unwrap_or("");
        if !matches!(phase, "Succeeded" | "Failed" | "Pending") && !meta::is_deleting(&live.value()) {
            self.check_budgets(call, &live.value())?;
        }
        let options = DeleteOptions::parse(
            body.get("deleteOptions").filter(|v| v.is_object()).or(Some(&json!({}))),
            &Params::default(),
        )?;
        self.delete(call, &options)?;
        Ok(Answer::Value { code: 201, value: created() })
    }

    /// Webhooks see what is posted to a subresource.
    fn review_created(&mut self, call: &mut Call, body: &Value) -> Result<()> {
        if !self.has_hooks() {
            return Ok(());
        }
        let asked = Asked { operation: Operation::Create, object: Some(body), old: None };
        self.review_only(call, &asked, true)
    }

    fn check_budgets(&self, call: &Call, pod: &Value) -> Result<()> {
        let Some(def) = self.registry.get("policy", "v1", "poddisruptionbudgets") else { return Ok(()) };
        let prefix = format!("{}/", call.namespace);
        for (_, budget) in self.store.range(def.table, &prefix, "") {
            let b = budget.pinned();
            if !LabelSelector::from_object(&b["spec"]["selector"]).matches(pod) {
                continue;
            }
            let status = &b["status"];
            if status["disruptionsAllowed"].as_i64().unwrap_or(0) > 0 {
                continue;
            }
            let name = meta::name(b);
            let text = format!(
                "The disruption budget {name} needs {} healthy pods and has {} currently",
                status["desiredHealthy"].as_i64().unwrap_or(0),
                status["currentHealthy"].as_i64().unwrap_or(0)
            );
            let refusal = "Cannot evict pod as it would violate the pod's disruption budget.";
            return Err(Status::new(429, "TooManyRequests", refusal)
                .details(json!({"causes": [{"reason": "DisruptionBudget", "message": text}]})));
        }
        Ok(())
    }

    /// POST of a binding: the pod gets its node.
    pub(crate) fn bind(&mut self, call: &mut Call, body: &Value) -> Result<Answer> {
        let target = &body["target"];
        let (kind, node) =
            (target["kind"].as_str().unwrap_or(""), target["name"].as_str().unwrap_or("").to_owned());
        let mut why = Vec::new();
        if !kind.is_empty() && kind != "Node" {
            why.push(format!(
                "target.kind: Unsupported value: \"{kind}\": supported values: \"Node\", \"<empty>\""
            ));
        }
        if node.is_empty() {
            why.push("target.name: Required value".to_owned());
        }
        if !why.is_empty() {
            let text = if why.len() == 1 { why.remove(0) } else { format!("[{}]", why.join(", ")) };
            return Err(Status::bare(text));
        }
        let live = self.live(call)?;
        let refuse = |text: String| {
            Err(Status::new(
                409,
                "Conflict",
                format!("Operation cannot be fulfilled on pods/binding \"{}\": {text}", call.name),
            )
            .details(json!({"name": call.name, "kind": "pods/binding"})))
        };
        if meta::is_deleting(&live.value()) {
            return refuse(format!("pod {} is being deleted, cannot be assigned to a host", call.name));
        }
        if let Some(n) = live.pinned()["spec"]["nodeName"].as_str().filter(|n| !n.is_empty()) {
            return refuse(format!("pod {} is already assigned to node \"{n}\"", call.name));
        }
        self.review_created(call, body)?;
        let mut next = Value::clone(&live.value());
        next["spec"]["nodeName"] = json!(node);
        let now = meta::time(call.now);
        let scheduled = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
        let mut conditions = next["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.retain(|c| c["type"] != "PodScheduled");
        conditions.push(scheduled);
        next["status"]["conditions"] = Value::Array(conditions);
        // It has its node; none is kept for it any more (ClearingNominatedNodeNameAfterBinding).
        if let Some(status) = next["status"].as_object_mut() {
            status.shift_remove("nominatedNodeName");
        }
        for (k, v) in meta::get(body, "annotations").and_then(Value::as_object).into_iter().flatten() {
            let notes = meta::of(&mut next).entry("annotations").or_insert_with(|| json!({}));
            if notes.is_object() {
                notes[k.as_str()] = v.clone();
            }
        }
        let api_version = call.def.api_version();
        managed::track_update(call.def.schema(), Some(&live.value()), &mut next, &call.record(&api_version));
        if !call.options.dry_run {
            self.commit(call, next);
        }
        Ok(Answer::Value { code: 201, value: created() })
    }

    /// POST of a TokenRequest: an unsigned token that this server recognises.
    pub(crate) fn token(&mut self, call: &mut Call, body: &Value) -> Result<Answer> {
        let live = self.live(call)?;
        let seconds = body["spec"]["expirationSeconds"].as_i64().unwrap_or(3600);
        if seconds < 600 {
            let cause = Cause::invalid(
                "spec.expirationSeconds",
                &json!(seconds),
                "may not specify a duration less than 10 minutes",
            );
            return Err(Status::invalid_as("authentication.k8s.io", "TokenRequest", "", vec![cause]));
        }
        self.review_created(call, body)?;
        let end = call.now.checked_add(SignedDuration::from_secs(seconds.min(1 << 32))).unwrap_or(call.now);
        let audiences = body["spec"]["audiences"]
            .as_array()
            .filter(|l| !l.is_empty())
            .map_or_else(|| json!([ISSUER]), |l| json!(l));
        let subject = format!("system:serviceaccount:{}:{}", call.namespace, call.name);
        let claims = json!({"aud": audiences, "exp": end.as_second(), "iat": call.now.as_second(),
            "iss": ISSUER, "sub": subject, "jti": self.new_uid(call)});
        let token = self.token_key.sign(&claims);
        let value = json!({"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": call.name, "namespace": call.namespace, "uid": meta::uid(&live.value()),
                "creationTimestamp": meta::time(call.now)},
            "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": body["spec"]["boundObjectRef"]},
            "status": {"token": token, "expirationTimestamp": meta::time(end)}});
        Ok(Answer::Value { code: 201, value })
    }

    /// PUT of a namespace's `/finalize`: the only way to change spec.finalizers.
    pub(crate) fn finalize(&mut self, call: &mut Call, body: &Value) -> Result<Answer> {
        let live = self.live(call)?;
        let version = meta::text(body, "resourceVersion");
        if !version.is_empty() {
            check_version(call, version, &live)?;
        }
        let mut next = Value::clone(&live.value());
        next["spec"] = body.get("spec").cloned().unwrap_or_else(|| json!({}));
        let list = next["spec"]["finalizers"].as_array().cloned().unwrap_or_default();
        for (i, f) in list.iter().enumerate() {
            let text = f.as_str().unwrap_or("");
            if text != "kubernetes" && crate::names::qualified(text).is_some() {
                let why = crate::names::qualified(text).unwrap_or_default();
                let cause = Cause::invalid(format!("spec.finalizers[{i}]"), f, &why);
                return Err(Status::invalid(&call.def, &call.name, vec![cause]));
            }
        }
        if list.is_empty() {
            next["spec"] = json!({});
        }
        let empty = list.is_empty() && meta::finalizers(&next).is_empty();
        if meta::is_deleting(&next) && empty {
            self.remove(call, &live);
            return Ok(call.loose(200, next));
        }
        if next == *live.value() {
            return Ok(call.loose(200, next));
        }
        let stored = self.commit(call, next);
        Ok(call.loose(200, Value::clone(&stored.value())))
    }

    /// Checks a log request and resolves the container; None when the pod runs nowhere (204 without a body).
    pub(crate) fn log_request(&self, call: &Call, params: &Params) -> Result<Option<(Value, LogOptions)>> {
        let live = self.live(call)?;
        let pod = live.pinned();
        let mut causes = Vec::new();
        let tail = params.int("tailLines")?;
        if let Some(n) = tail.filter(|n| *n < 0) {
            causes.push(Cause::invalid("tailLines", &json!(n), "must be greater than or equal to 0"));
        }
        let limit = params.int("limitBytes")?;
        if let Some(n) = limit.filter(|n| *n < 1) {
            causes.push(Cause::invalid("limitBytes", &json!(n), "must be greater than 0"));
        }
        let since = params.int("sinceSeconds")?;
        if let Some(n) = since.filter(|n| *n < 1) {
            causes.push(Cause::invalid("sinceSeconds", &json!(n), "must be greater than 0"));
        }
        let since_time = match params.text("sinceTime") {
            "" => None,
            text => match text.parse::<jiff::Timestamp>() {
                Ok(t) => Some(t),
                Err(_) => {
                    return Err(Status::bad_request(format!(
                        "parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?} as \"2006\""
                    )));
                }
            },
        };
        if since.is_some() && since_time.is_some() {
            causes
                .push(Cause::forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified"));
        }
        if !causes.is_empty() {
            return Err(Status::invalid_as("", "PodLogOptions", &call.name, causes));
        }
        let container = container(pod, &call.name, params.text("container"))?;
        if pod["spec"]["nodeName"].as_str().unwrap_or("").is_empty() {
            return Ok(None);
        }
        let options = LogOptions {
            container,
            previous: params.flag("previous"),
            tail_lines: tail.map(|n| n as u64),
            limit_bytes: limit.map(|n| n as u64),
            since_seconds: since,
            since_time,
            timestamps: params.flag("timestamps"),
            follow: params.flag("follow"),
        };
        Ok(Some((pod.clone(), options)))
    }
}

fn created() -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})
}

fn merge_into(target: &mut Value, from: &Value) {
    match (target.as_object_mut(), from.as_object()) {
        (Some(map), Some(other)) => {
            for (k, v) in other {
                merge_into(map.entry(k.as_str()).or_insert(Value::Null), v);
            }
        }
        _ => *target = from.clone(),
    }
}

fn container(pod: &Value, name: &str, asked: &str) -> Result<String> {
    let names = |list: &str| -> Vec<String> {
        let all = pod["spec"][list].as_array().into_iter().flatten();
        all.filter_map(|c| c["name"].as_str().map(str::to_owned)).collect()
    };
    let own = names("containers");
    if asked.is_empty() {
        return match own.as_slice() {
            [one] => Ok(one.clone()),
            many => Err(Status::bad_request(format!(
                "a container name must be specified for pod {name}, choose one of: [{}]",
                many.join(" ")
            ))),
        };
    }
    let known = [own, names("initContainers"), names("ephemeralContainers")].concat();
    if known.iter().any(|c| c == asked) {
        Ok(asked.to_owned())
    } else {
        Err(Status::bad_request(format!("container {asked} is not valid for pod {name}")))
    }
}

/// The autoscaling/v1 Scale of an object.
fn no_replicas(paths: &Paths) -> Status {
    Status::internal(format!("the spec replicas field {} does not exist", go_quote(&paths.spec)))
}

/// The scale of an object; a place that holds something else than it should is a failure of the server.
fn scale_of(call: &Call, paths: &Paths, object: &Value) -> Result<Value> {
    let at = |path: &str, wanted: &str, fits: fn(&Value) -> bool| {
        validate::nested(object, path, wanted, fits).map_err(Status::bare)
    };
    let number = |path: &str| at(path, "int64", |v| v.as_i64().is_some()).map(|v| v.and_then(Value::as_i64));
    let mut m = json!({});
    for key in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(v) = meta::get(object, key) {
            m[key] = v.clone();
        }
    }
    let mut spec = json!({});
    if let Some(n) = number(&paths.spec)?.filter(|n| *n != 0) {
        spec["replicas"] = json!(n);
    }
    let mut status = json!({"replicas": number(&paths.status)?.unwrap_or(0)});
    let selector = match (&paths.selector, call.def.is_custom()) {
        (Some(path), _) => at(path, "string", Value::is_string)?.and_then(Value::as_str).map(str::to_owned),
        (None, true) => None,
        (None, false) => Some(selector_text(&object["spec"]["selector"])),
    };
    if let Some(s) = selector.filter(|s| !s.is_empty()) {
        status["selector"] = json!(s);
    }
    Ok(
        json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": m, "spec": spec, "status": status}),
    )
}

/// `metav1.FormatLabelSelector`: labels sorted, then expressions.
fn selector_text(selector: &Value) -> String {
    let mut out: Vec<String> = selector["matchLabels"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or("")))
        .collect();
    out.sort();
    for e in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = e["key"].as_str().unwrap_or("");
        let values: Vec<&str> =
            e["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        out.push(match e["operator"].as_str() {
            Some("In") => format!("{key} in ({})", values.join(",")),
            Some("NotIn") => format!("{key} notin ({})", values.join(",")),
            Some("Exists") => key.to_owned(),
            _ => format!("!{key}"),
        });
    }
    out.join(",")
}
