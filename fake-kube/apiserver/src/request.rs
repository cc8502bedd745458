//! Reading the request line: what is asked of which resource, with which parameters.

use http::Method;
use serde_json::{Value, json};

use crate::status::{Result, Status};
use fake_kube_schema::Cause;

/// What a fault gate, an observer and the authoriser see of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestInfo {
    pub user: String,
    pub user_agent: String,
    /// get, list, watch, create, update, patch, delete, deletecollection; the lower-case method outside resources.
    pub verb: String,
    pub group: String,
    pub version: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    pub method: String,
    pub path: String,
    pub content_type: String,
}

impl RequestInfo {
    /// What the request line alone says.
    pub fn of(method: &Method, uri: &http::Uri) -> RequestInfo {
        let params = Params::parse(uri.query().unwrap_or(""));
        RequestInfo::of_route(method, uri.path(), route(uri.path()).as_ref(), &params)
    }

    pub(crate) fn of_route(
        method: &Method,
        path: &str,
        route: Option<&Route>,
        params: &Params,
    ) -> RequestInfo {
        let mut info = RequestInfo {
            verb: method.as_str().to_lowercase(),
            method: method.as_str().to_owned(),
            path: path.to_owned(),
            ..RequestInfo::default()
        };
        if let Some(r) = route {
            verb(method, r, params).clone_into(&mut info.verb);
            info.group.clone_from(&r.group);
            info.version.clone_from(&r.version);
            info.resource.clone_from(&r.resource);
            info.subresource.clone_from(&r.subresource);
            info.namespace.clone_from(&r.namespace);
            info.name.clone_from(&r.name);
        }
        info
    }
}

/// A path below /api or /apis, taken apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Route {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) resource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) subresource: String,
    /// Reached through the old `/watch/` prefix.
    pub(crate) watch_prefix: bool,
    /// The path names a namespace (`/namespaces/x/pods`), even if the resource turns out cluster-scoped.
    pub(crate) scoped: bool,
}

/// None for a path that is no resource path (`/version`, `/apis/apps`).
pub(crate) fn route(path: &str) -> Option<Route> {
    let parts: Vec<String> = path.split('/').skip(1).map(decode).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (group, version, mut rest) = match parts.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let mut out = Route { group: group.to_owned(), version: version.to_owned(), ..Route::default() };
    if let ["watch", more @ ..] = rest {
        out.watch_prefix = true;
        rest = more;
    }
    // `namespaces/x/status` and `namespaces/x/finalize` are subresources of a namespace.
    match rest {
        [] | [""] => return None,
        ["namespaces", name, sub @ ("status" | "finalize")] if group.is_empty() => {
            (out.resource, out.name, out.subresource) =
                ("namespaces".to_owned(), (*name).to_owned(), (*sub).to_owned());
        }
        ["namespaces", namespace, resource, more @ ..] => {
            out.namespace = (*namespace).to_owned();
            out.scoped = true;
            out.resource = (*resource).to_owned();
            fill(&mut out, more);
        }
        [resource, more @ ..] => {
            out.resource = (*resource).to_owned();
            fill(&mut out, more);
        }
    }
    Some(out)
}

fn fill(out: &mut Route, more: &[&str]) {
    if let Some((name, sub)) = more.split_first() {
        out.name = (*name).to_owned();
        out.subresource = sub.join("/");
    }
}

fn decode(segment: &str) -> String {
    if !segment.bytes().any(|b| matches!(b, b'%' | b'&' | b'=' | b'+')) {
        return segment.to_owned();
    }
    // form decoding would turn `+` into a blank, which a path does not do.
    let kept = segment.replace('+', "%2B");
    form_urlencoded::parse(kept.as_bytes()).next().map(|(k, _)| k.into_owned()).unwrap_or_default()
}

/// The query, in order. Empty pairs (kube-rs sends `?&limit=1`) do not count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    pub(crate) fn parse(query: &str) -> Params {
        Params(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    pub(crate) fn all(&self, key: &str) -> Vec<&str> {
        self.0.iter().filter(|(k, _)| k == key).map(|(_, v)| v.as_str()).collect()
    }

    /// Adds a clause to the field selector.
    pub(crate) fn and_field(&mut self, clause: &str) {
        match self.0.iter_mut().find(|(k, _)| k == "fieldSelector") {
            Some((_, v)) if !v.is_empty() => *v = format!("{v},{clause}"),
            _ => self.0.push(("fieldSelector".to_owned(), clause.to_owned())),
        }
    }

    pub(crate) fn text(&self, key: &str) -> &str {
        self.get(key).unwrap_or("")
    }

    pub(crate) fn int(&self, key: &str) -> Result<Option<i64>> {
        match self.get(key) {
            None | Some("") => Ok(None),
            Some(v) => v.parse().map(Some).map_err(|_| {
                Status::bad_request(format!("strconv.ParseInt: parsing {}: invalid syntax", json!(v)))
            }),
        }
    }

    /// `timeout` must be a Go duration; this server answers at once and ignores its value.
    pub(crate) fn check_timeout(&self) -> Result<()> {
        let text = self.text("timeout");
        let bare = text.trim_start_matches(['+', '-']);
        let units = ["ns", "us", "ms", "s", "m", "h"];
        let mut rest = bare;
        let mut good = bare == "0";
        while !rest.is_empty() && !good {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let unit = rest[digits..]
                .find(|c: char| c.is_ascii_digit() || c == '.')
                .map_or(&rest[digits..], |n| &rest[digits..digits + n]);
            if digits == 0 || !units.contains(&unit) {
                break;
            }
            rest = &rest[digits + unit.len()..];
            good = rest.is_empty();
        }
        if good || text.is_empty() {
            return Ok(());
        }
        Err(Status::bad_request(format!(
            "invalid timeout specified in the request URL - time: invalid duration {}",
            json!(text)
        )))
    }

    /// Go's reading of a flag: present and neither `0` nor `false`.
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.get(key).is_some_and(|v| v != "0" && !v.eq_ignore_ascii_case("false"))
    }
}

/// The verb of a request on a resource path.
pub(crate) fn verb(method: &Method, route: &Route, params: &Params) -> &'static str {
    let collection = route.name.is_empty();
    match (method.as_str(), collection) {
        ("GET", _) if route.watch_prefix => "watch",
        ("GET", true) if params.flag("watch") => "watch",
        ("GET", true) => "list",
        ("GET", false) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "deletecollection",
        ("DELETE", false) => "delete",
        ("HEAD", _) => "head",
        _ => "options",
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    #[default]
    Warn,
    Strict,
    Ignore,
}

/// CreateOptions, UpdateOptions and PatchOptions in one.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteOptions {
    pub(crate) dry_run: bool,
    pub(crate) manager: String,
    pub(crate) force: Option<bool>,
    pub(crate) validation: FieldValidation,
    /// The options as the client sent them, for webhooks to see.
    pub(crate) sent: Value,
}

impl WriteOptions {
    /// Reads and checks the query; `kind` is the options kind named in errors. `agent` is the manager by default.
    pub(crate) fn parse(params: &Params, kind: &str, apply: bool, agent: &str) -> Result<WriteOptions> {
        let mut causes = Vec::new();
        let dry_run = params.all("dryRun");
        let force = match params.get("force").filter(|_| kind == "PatchOptions") {
            None => None,
            Some(v) => Some(parse_bool(v)?),
        };
        if kind == "PatchOptions" {
            if apply && params.text("fieldManager").is_empty() {
                causes.push(Cause::required("fieldManager", "is required for apply patch"));
            }
            if !apply && force.is_some() {
                causes.push(Cause::forbidden("force", "may not be specified for non-apply patch"));
            }
        }
        let manager = params.text("fieldManager");
        if manager.len() > 128 {
            causes.push(Cause::too_long("fieldManager", 128));
        }
        if let Some((at, c)) = manager.char_indices().find(|(_, c)| c.is_control()) {
            let why = format!("invalid character U+{:04X} (at position {at})", u32::from(c));
            causes.push(Cause::invalid("fieldManager", &json!(manager), &why));
        }
        if !dry_run.is_empty() && dry_run.iter().any(|v| *v != "All") {
            causes.push(Cause::not_supported("dryRun", &json!(dry_run), &["All"]));
        }
        let validation = match params.text("fieldValidation") {
            "" | "Warn" => FieldValidation::Warn,
            "Strict" => FieldValidation::Strict,
            "Ignore" => FieldValidation::Ignore,
            other => {
                let allowed = ["", "Ignore", "Strict", "Warn"];
                causes.push(Cause::not_supported("fieldValidation", &json!(other), &allowed));
                FieldValidation::Warn
            }
        };
        if !causes.is_empty() {
            return Err(Status::invalid_as("meta.k8s.io", kind, "", causes));
        }
        let sent = ["fieldManager", "fieldValidation"]
            .into_iter()
            .filter_map(|key| Some((key.to_owned(), json!(params.get(key).filter(|v| !v.is_empty())?))))
            .collect();
        let manager = if manager.is_empty() { default_manager(agent) } else { manager.to_owned() };
        Ok(WriteOptions {
            dry_run: !dry_run.is_empty(),
            manager,
            force,
            validation,
            sent: Value::Object(sent),
        })
    }
}

/// The User-Agent up to its first slash names the manager (kube-api.md 2.8).
pub(crate) fn default_manager(agent: &str) -> String {
    let name = agent.split('/').next().unwrap_or("");
    let printable: String = name.chars().filter(|c| !c.is_control()).take(128).collect();
    if printable.is_empty() { "unknown".to_owned() } else { printable }
}

fn parse_bool(v: &str) -> Result<bool> {
    match v {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        other => {
            Err(Status::bad_request(format!("strconv.ParseBool: parsing {}: invalid syntax", json!(other))))
        }
    }
}

/// DeleteOptions, from the body or else the query.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) dry_run: bool,
    pub(crate) grace: Option<i64>,
    pub(crate) policy: Option<Policy>,
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
    /// As the client sent them, for webhooks to see.
    pub(crate) sent: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Background,
    Foreground,
    Orphan,
}

impl DeleteOptions {
    pub(crate) fn parse(body: Option<&Value>, params: &Params) -> Result<DeleteOptions> {
        let from_query;
        let options = match body {
            Some(v) => v,
            None => {
                from_query = query_options(params)?;
                &from_query
            }
        };
        let mut causes = Vec::new();
        let policy_text = options.get("propagationPolicy").and_then(Value::as_str);
        let orphan = options.get("orphanDependents").and_then(Value::as_bool);
        let policy = match (policy_text, orphan) {
            (Some(text), Some(_)) => {
                let why = "orphanDependents and deletionPropagation cannot be both set";
                causes.push(Cause::invalid("propagationPolicy", &json!(text), why));
                None
            }
            (Some("Background"), None) | (None, Some(false)) => Some(Policy::Background),
            (Some("Foreground"), None) => Some(Policy::Foreground),
            (Some("Orphan"), None) | (None, Some(true)) => Some(Policy::Orphan),
            (Some(other), None) => {
                let allowed = ["Foreground", "Background", "Orphan", "nil"];
                causes.push(Cause::not_supported("propagationPolicy", &json!(other), &allowed));
                None
            }
            (None, None) => None,
        };
        let dry_run = options.get("dryRun").and_then(Value::as_array).filter(|l| !l.is_empty());
        if dry_run.is_some_and(|l| l.iter().any(|v| v != "All")) {
            causes.push(Cause::not_supported("dryRun", &json!(dry_run), &["All"]));
        }
        if !causes.is_empty() {
            return Err(Status::invalid_as("meta.k8s.io", "DeleteOptions", "", causes));
        }
        let precondition = |key: &str| {
            let v = options.get("preconditions").and_then(|p| p.get(key)).and_then(Value::as_str);
            v.map(str::to_owned)
        };
        Ok(DeleteOptions {
            dry_run: dry_run.is_some(),
            grace: options.get("gracePeriodSeconds").and_then(Value::as_i64).map(|g| g.max(0)),
            policy,
            uid: precondition("uid"),
            resource_version: precondition("resourceVersion"),
            sent: options.as_object().map_or(Value::Null, |o| {
                let shown = o.iter().filter(|(k, _)| !matches!(k.as_str(), "kind" | "apiVersion"));
                Value::Object(shown.map(|(k, v)| (k.clone(), v.clone())).collect())
            }),
        })
    }
}

fn query_options(params: &Params) -> Result<Value> {
    let mut out = json!({});
    if let Some(v) = params.get("propagationPolicy") {
        out["propagationPolicy"] = json!(v);
    }
    if let Some(v) = params.get("orphanDependents") {
        out["orphanDependents"] = json!(parse_bool(v)?);
    }
    if let Some(v) = params.int("gracePeriodSeconds")? {
        out["gracePeriodSeconds"] = json!(v);
    }
    let dry_run = params.all("dryRun");
    if !dry_run.is_empty() {
        out["dryRun"] = json!(dry_run);
    }
    Ok(out)
}
