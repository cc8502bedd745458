//! AdmissionReview as it is sent and as it comes back (admission.k8s.io/v1; cases hook-mutate, hook-delete).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::asking::{Answered, Question};
use super::chain::Asked;
use super::hooks::Hook;
use super::matching::{Invocation, converted, name_of};
use crate::resource::Definition;
use crate::write::Call;

/// What a webhook decided, or how the call failed.
pub(crate) enum Verdict {
    Allowed { patch: Option<Value>, warnings: Vec<String> },
    Denied { status: Value, warnings: Vec<String> },
    Failed(String),
}

/// `AdmissionRequest`. `def` is the version the webhook is called for.
pub(crate) fn request(call: &Call, def: &Definition, asked: &Asked<'_>, uid: &str) -> Value {
    let own = own_kind(&call.def.plural, &call.subresource);
    let kind = |d: &Definition| match own {
        Some((group, version, kind)) => json!({"group": group, "version": version, "kind": kind}),
        None => json!({"group": d.group, "version": d.version, "kind": d.kind}),
    };
    let resource = |d: &Definition| json!({"group": d.group, "version": d.version, "resource": d.plural});
    let shown = |object: Option<&Value>| match object {
        // A subresource's own kind has no other version.
        Some(object) if own.is_some() => object.clone(),
        Some(object) => converted(object, &call.def, def),
        None => Value::Null,
    };
    let mut out = json!({"uid": uid, "kind": kind(def), "resource": resource(def)});
    if !call.subresource.is_empty() {
        out["subResource"] = json!(call.subresource);
    }
    out["requestKind"] = kind(&call.def);
    out["requestResource"] = resource(&call.def);
    if !call.subresource.is_empty() {
        out["requestSubResource"] = json!(call.subresource);
    }
    let name = name_of(call, asked.object);
    if !name.is_empty() {
        out["name"] = json!(name);
    }
    let namespace = if call.def.is("", "namespaces") { name } else { &call.namespace };
    if !namespace.is_empty() {
        out["namespace"] = json!(namespace);
    }
    out["operation"] = json!(asked.operation.name());
    out["userInfo"] = user_info(call);
    out["object"] = shown(asked.object);
    out["oldObject"] = shown(asked.old);
    out["dryRun"] = json!(call.options.dry_run);
    out["options"] = options(call, asked);
    out
}

/// Group, version and kind of the objects of a subresource, where they are not those of the resource.
fn own_kind(plural: &str, subresource: &str) -> Option<(&'static str, &'static str, &'static str)> {
    match subresource {
        "scale" => Some(("autoscaling", "v1", "Scale")),
        "eviction" => Some(("policy", "v1", "Eviction")),
        "binding" => Some(("", "v1", "Binding")),
        "token" => Some(("authentication.k8s.io", "v1", "TokenRequest")),
        other => super::connect::kind(plural, other).map(|kind| ("", "v1", kind)),
    }
}

fn user_info(call: &Call) -> Value {
    let Some(user) = &call.user else {
        return json!({"username": &*call.actor, "groups": ["system:masters", "system:authenticated"]});
    };
    let mut out = json!({"username": user.name});
    if !user.uid.is_empty() {
        out["uid"] = json!(user.uid);
    }
    out["groups"] = json!(user.groups);
    if !user.extra.is_empty() {
        let extra: serde_json::Map<String, Value> =
            user.extra.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
        out["extra"] = Value::Object(extra);
    }
    out
}

/// The options as they were sent; those of a patch are told as an update's, or a create's when it creates.
fn options(call: &Call, asked: &Asked<'_>) -> Value {
    let Some(kind) = asked.operation.options_kind() else { return Value::Null };
    let mut out = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
    for (key, value) in call.options.sent.as_object().into_iter().flatten() {
        out[key.as_str()] = value.clone();
    }
    if call.options.dry_run {
        out["dryRun"] = json!(["All"]);
    }
    out
}

pub(crate) fn question(
    call: &Call,
    hook: &Hook,
    version: &str,
    invocation: &Invocation,
    asked: &Asked<'_>,
    uid: &str,
) -> Question {
    let seconds = hook.timeout_seconds;
    let (base, path) = address(&hook.client);
    let path = format!("{path}?timeout={seconds}s");
    Question {
        client: hook.client.clone(),
        url: format!("{base}{path}"),
        path,
        review: json!({"kind": "AdmissionReview", "apiVersion": format!("admission.k8s.io/{version}"),
            "request": request(call, &invocation.def, asked, uid)}),
        timeout: std::time::Duration::from_secs(seconds),
    }
}

/// `https://host:port` and the path of a webhook.
fn address(client: &Value) -> (String, String) {
    let service = &client["service"];
    if service.is_object() {
        let text = |key: &str| service[key].as_str().unwrap_or("");
        let port = service["port"].as_u64().unwrap_or(443);
        let path = text("path").trim_start_matches('/');
        return (format!("https://{}.{}.svc:{port}", text("name"), text("namespace")), format!("/{path}"));
    }
    let url = client["url"].as_str().unwrap_or("");
    let rest = url.strip_prefix("https://").unwrap_or(url);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    (format!("https://{host}"), format!("/{path}"))
}

/// Reads an answer the way the real server does, refusals in its words.
pub(crate) fn verdict(answer: &Answered, uid: &str, version: &str, mutating: bool) -> Verdict {
    match read(answer, uid, version, mutating) {
        Ok(v) => v,
        Err(why) => Verdict::Failed(why),
    }
}

fn read(answer: &Answered, uid: &str, version: &str, mutating: bool) -> Result<Verdict, String> {
    let (code, body) = answer.as_ref().map_err(|why| format!("failed to call webhook: {why}"))?;
    if !(200..300).contains(code) {
        return Err(format!("failed to call webhook: {}", refused(*code, body)));
    }
    let review: Value = serde_json::from_slice(body).map_err(|_| {
        let text = String::from_utf8_lossy(body);
        format!("failed to call webhook: couldn't get version/kind; json parse error: invalid character {} looking for beginning of value", text.chars().next().map_or_else(|| "''".to_owned(), |c| format!("'{c}'")))
    })?;
    let wrong = |why: String| Err(format!("received invalid webhook response: {why}"));
    let Some(response) = review.get("response").filter(|r| r.is_object()) else {
        return wrong("webhook response was absent".to_owned());
    };
    if version == "v1" {
        let answered = response["uid"].as_str().unwrap_or("");
        if answered != uid {
            return wrong(format!("expected response.uid=\"{uid}\", got \"{answered}\""));
        }
        let (api_version, kind) =
            (review["apiVersion"].as_str().unwrap_or(""), review["kind"].as_str().unwrap_or(""));
        if api_version != "admission.k8s.io/v1" || kind != "AdmissionReview" {
            return wrong(format!(
                "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {api_version}, Kind={kind}"
            ));
        }
    }
    let patch = response["patch"].as_str().filter(|p| !p.is_empty());
    let kind = response["patchType"].as_str();
    if mutating && version == "v1" {
        match (patch, kind) {
            (Some(_), None) => {
                return wrong("webhook returned response.patch but not response.patchType".to_owned());
            }
            (None, Some(_)) => {
                return wrong("webhook returned response.patchType but not response.patch".to_owned());
            }
            (_, Some("")) => return wrong("webhook returned invalid response.patchType of \"\"".to_owned()),
            _ => {}
        }
    } else if !mutating && version == "v1" {
        if patch.is_some() {
            return wrong("validating webhook may not return response.patch".to_owned());
        }
        if kind.is_some() {
            return wrong("validating webhook may not return response.patchType".to_owned());
        }
    }
    let warnings = response["warnings"].as_array().into_iter().flatten();
    let warnings: Vec<String> = warnings.filter_map(|w| w.as_str().map(str::to_owned)).collect();
    if response["allowed"] != true {
        return Ok(Verdict::Denied { status: response["status"].clone(), warnings });
    }
    if let Some(other) = kind.filter(|k| *k != "JSONPatch") {
        return Err(format!("unsupported patch type \"{other}\""));
    }
    let undecodable = |why: String| format!("received undecodable patch in webhook response: {why}");
    let patch = match patch.filter(|_| mutating) {
        None => None,
        Some(text) => {
            let bytes = STANDARD.decode(text).map_err(|e| undecodable(e.to_string()))?;
            Some(serde_json::from_slice(&bytes).map_err(|e| undecodable(e.to_string()))?)
        }
    };
    Ok(Verdict::Allowed { patch, warnings })
}

/// client-go's text for an answer that is no success: the Status it carries, or one made up from the code.
fn refused(code: u16, body: &[u8]) -> String {
    if let Ok(status) = serde_json::from_slice::<Value>(body)
        && status["kind"] == "Status"
        && let Some(message) = status["message"].as_str()
    {
        return message.to_owned();
    }
    let text = String::from_utf8_lossy(body).trim().to_owned();
    match code {
        401 => "Unauthorized".to_owned(),
        403 => "unknown".to_owned(),
        404 => "the server could not find the requested resource".to_owned(),
        405 => "the server does not allow this method on the requested resource".to_owned(),
        503 => "the server is currently unable to handle the request".to_owned(),
        500.. if text.is_empty() => {
            "an error on the server (\"\") has prevented the request from succeeding".to_owned()
        }
        500.. => format!("an error on the server ({text:?}) has prevented the request from succeeding"),
        _ => "the server rejected our request for an unknown reason".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn check(code: u16, body: &str, mutating: bool, expected: &str) {
        let answer = Ok((code, Bytes::copy_from_slice(body.as_bytes())));
        let got = match verdict(&answer, "u", "v1", mutating) {
            Verdict::Allowed { patch, .. } => format!("allowed {}", patch.unwrap_or_default()),
            Verdict::Denied { status, .. } => format!("denied {status}"),
            Verdict::Failed(why) => why,
        };
        assert_eq!(got, expected, "{code} {body}");
    }

    #[test]
    fn answers_are_held_to_the_protocol() {
        let review = |response: &str| {
            format!(
                r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{response}}}"#
            )
        };
        check(200, &review(r#"{"uid":"u","allowed":true}"#), false, "allowed null");
        check(200, &review(r#"{"uid":"u","allowed":false}"#), false, "denied null");
        check(
            200,
            &review(r#"{"uid":"u","allowed":true,"patchType":"JSONPatch","patch":"W10="}"#),
            true,
            "allowed []",
        );
        check(
            200,
            &review(r#"{"uid":"x","allowed":true}"#),
            false,
            "received invalid webhook response: expected response.uid=\"u\", got \"x\"",
        );
        check(
            200,
            &review(r#"{"uid":"u","allowed":true,"patch":"W10="}"#),
            true,
            "received invalid webhook response: webhook returned response.patch but not response.patchType",
        );
        check(
            200,
            &review(r#"{"uid":"u","allowed":true,"patchType":"JSONPatch","patch":"W10="}"#),
            false,
            "received invalid webhook response: validating webhook may not return response.patch",
        );
        check(200, "{}", false, "received invalid webhook response: webhook response was absent");
        check(404, "gone", false, "failed to call webhook: the server could not find the requested resource");
        check(
            500,
            "boom",
            false,
            "failed to call webhook: an error on the server (\"boom\") has prevented the request from succeeding",
        );
    }

    #[test]
    fn addresses() {
        let check = |client: Value, expected: &str| {
            let (base, path) = address(&client);
            assert_eq!(format!("{base}{path}"), expected);
        };
        check(json!({"url": "https://h:8443/a/b"}), "https://h:8443/a/b");
        check(json!({"url": "https://h"}), "https://h/");
        check(json!({"service": {"name": "s", "namespace": "n", "path": "/p"}}), "https://s.n.svc:443/p");
        check(json!({"service": {"name": "s", "namespace": "n", "port": 9443}}), "https://s.n.svc:9443/");
    }
}
