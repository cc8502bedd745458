//! The HTTP face: a `tower::Service` that turns requests into calls and answers into responses.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use fake_kube_schema::proto::Message;
use futures::future::BoxFuture;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Value, json};

use crate::admission::Reviews;
use crate::answer::{Answer, ApiBody};
use crate::codec;
use crate::discovery::{self, Document};
use crate::fault::{RequestRecord, Verdict};
use crate::fields::Filter;
use crate::negotiate::{self, Encoding, Form, Wording};
use crate::patch::PatchKind;
use crate::rbac::Attributes;
use crate::rbac::impersonate::Asked;
use crate::request::{self, DeleteOptions, Params, RequestInfo, Route, WriteOptions};
use crate::resource::Definition;
use crate::server::{ApiServer, State, User};
use crate::status::{BODY_MAX, Result, Status};
use crate::subresource::ScaleWrite;
use crate::watch::{Fate, WatchStream};
use crate::websocket::{Handshake, Messages};
use crate::write::Call;

/// The connection was cut by a fault: no answer, or an answer that stops midway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionCut;

impl fmt::Display for ConnectionCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connection reset by peer")
    }
}

impl std::error::Error for ConnectionCut {}

impl From<Infallible> for ConnectionCut {
    fn from(never: Infallible) -> ConnectionCut {
        match never {}
    }
}

/// See [`ApiServer::service`].
#[derive(Clone)]
pub struct ApiService {
    server: ApiServer,
    user: Arc<User>,
}

impl ApiService {
    pub(crate) fn new(server: ApiServer, user: User) -> ApiService {
        ApiService { server, user: Arc::new(user) }
    }
}

impl<B> tower::Service<Request<B>> for ApiService
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<ApiBody>;
    type Error = ConnectionCut;
    type Future = BoxFuture<'static, std::result::Result<Response<ApiBody>, ConnectionCut>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), ConnectionCut>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let exchange = Exchange::new(&this, &head);
            let verdict = exchange.judge();
            match &verdict {
                Verdict::DropBefore => {
                    exchange.tell(0, "", "connection cut before the request");
                    return Err(ConnectionCut);
                }
                Verdict::Delay(d) => {
                    let now = this.server.now();
                    let wait = jiff::SignedDuration::try_from(*d).unwrap_or(jiff::SignedDuration::MAX);
                    let until = now.checked_add(wait).unwrap_or(jiff::Timestamp::MAX);
                    this.server.shared.clock.sleep_until(until).await;
                }
                _ => {}
            }
            let body = match Limited::new(body, BODY_MAX).collect().await {
                Ok(b) => Ok(b.to_bytes()),
                Err(e) if e.downcast_ref::<LengthLimitError>().is_some() => Err(Status::too_large()),
                Err(e) => Err(Status::bad_request(format!("error reading the request body: {e}"))),
            };
            let response = match (&verdict, body) {
                (Verdict::Fail(status), _) => exchange.failure(status),
                (_, Err(status)) => exchange.failure(&status),
                (_, Ok(body)) => exchange.run(&body, &verdict).await,
            };
            if verdict == Verdict::DropAfterCommit {
                return Err(ConnectionCut);
            }
            Ok(response)
        })
    }
}

/// One request on its way through the server.
struct Exchange {
    server: ApiServer,
    user: Arc<User>,
    /// Why the request is not made at all.
    refused: Option<Status>,
    method: Method,
    path: String,
    route: Option<Route>,
    params: Params,
    info: RequestInfo,
    accept: String,
    if_none_match: String,
    websocket: Option<Handshake>,
}

impl Exchange {
    fn new(service: &ApiService, head: &http::request::Parts) -> Exchange {
        let text = |name: header::HeaderName| {
            let all: Vec<&str> = head.headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).collect();
            all.join(",")
        };
        let path = head.uri.path().to_owned();
        let params = Params::parse(head.uri.query().unwrap_or(""));
        let route = request::route(&path);
        let (user, refused) = acting(service, head);
        let info = RequestInfo {
            user: user.name.clone(),
            user_agent: text(header::USER_AGENT),
            content_type: text(header::CONTENT_TYPE),
            ..RequestInfo::of_route(&head.method, &path, route.as_ref(), &params)
        };
        Exchange {
            server: service.server.clone(),
            user,
            refused,
            method: head.method.clone(),
            path,
            route,
            params,
            info,
            accept: text(header::ACCEPT),
            if_none_match: text(header::IF_NONE_MATCH),
            websocket: Handshake::of(&head.method, &head.headers),
        }
    }

    fn judge(&self) -> Verdict {
        let gate = self.server.shared.gate.read().unwrap_or_else(PoisonError::into_inner).clone();
        gate.map_or(Verdict::Pass, |g| g.judge(&self.info))
    }

    fn tell(&self, code: u16, reason: &str, message: &str) {
        self.server.tell_request(|| RequestRecord {
            info: self.info.clone(),
            at: self.server.now(),
            code,
            reason: reason.to_owned(),
            message: message.to_owned(),
            dry_run: self.params.get("dryRun").is_some(),
            revision: self.server.revision(),
        });
    }

    fn failure(&self, status: &Status) -> Response<ApiBody> {
        self.tell(status.code, &status.reason, &status.message);
        if status.plain {
            return text_response(status.code, &status.message);
        }
        let form = Form { encoding: negotiate::for_errors(&self.accept), ..Form::JSON };
        let encoding = form.encoding;
        let mut response =
            respond(status.code, form.content_type(), negotiate::encode(&status.to_value(), encoding));
        if let Some(seconds) = status.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    async fn run(&self, body: &Bytes, verdict: &Verdict) -> Response<ApiBody> {
        let refusal = self.refused.clone().or_else(|| self.unauthorized()).or_else(|| self.proxied());
        if let Some(status) = refusal {
            return self.failure(&status);
        }
        match &self.route {
            None => self.document(),
            Some(route) => match self.resource(route, body, verdict).await {
                Ok(response) => response,
                Err(status) => self.failure(&status),
            },
        }
    }

    /// Nobody carries proxied requests here: those that could be carried meet nobody either.
    fn proxied(&self) -> Option<Status> {
        if !self.route.as_ref().is_some_and(|r| r.subresource.starts_with("proxy")) {
            return None;
        }
        Some(match self.server.proxy_target(&self.path.parse().ok()?)? {
            Err(status) => status,
            Ok(target) => {
                let at = format!("{}:{}", target.host, target.port);
                let text =
                    format!("error trying to reach service: dial tcp {at}: connect: connection refused");
                Status::new(503, "ServiceUnavailable", text)
            }
        })
    }

    fn unauthorized(&self) -> Option<Status> {
        if !self.server.shared.rbac || self.user.is_master() {
            return None;
        }
        let method = self.method.as_str();
        let asked = Attributes::of(method, &self.path, &self.info.verb, self.route.as_ref(), &self.params);
        self.server.with(|s| s.authorize(&self.user, &asked)).err()
    }

    /// Paths outside resources.
    fn document(&self) -> Response<ApiBody> {
        let path = self.path.as_str();
        let get = self.method == Method::GET;
        if let Some(text) = discovery::health(path, self.params.get("verbose").is_some()) {
            self.tell(200, "", "");
            return text_response(200, &text);
        }
        if path == "/version" || path == "/version/" {
            if !get {
                return self.failure(&Status::method_not_allowed());
            }
            self.tell(200, "", "");
            return respond(
                200,
                "application/json",
                negotiate::encode(&discovery::version(), Encoding::Json),
            );
        }
        if matches!(path, "/" | "/index.html") {
            self.tell(200, "", "");
            return respond(200, "application/json", self.server.with(|s| s.index()).into());
        }
        if path.starts_with("/openapi/") {
            let hash = self.params.get("hash");
            let found = self.server.with(|s| s.openapi(path, hash, &self.accept));
            let answer = found.map_or_else(
                || response(404, ApiBody::full(Bytes::new())),
                |document| document.answer(hash.is_some(), &self.if_none_match),
            );
            let code = answer.status().as_u16();
            self.tell(code, if code == 404 { "NotFound" } else { "" }, "");
            return answer;
        }
        let address = self.server.shared.address.read().unwrap_or_else(PoisonError::into_inner).clone();
        match self.server.with(|s| s.discovery(path, &self.accept, &address)) {
            Some(Ok(d)) => self.send_document(d),
            Some(Err(status)) => self.failure(&status),
            None => self.failure(&Status::not_found_page()),
        }
    }

    fn send_document(&self, d: Document) -> Response<ApiBody> {
        let matched = d.etag.as_ref().is_some_and(|e| *e == self.if_none_match);
        self.tell(if matched { 304 } else { 200 }, "", "");
        let mut r = if matched {
            response(304, ApiBody::full(Bytes::new()))
        } else {
            respond(200, d.content_type, negotiate::encode(&d.value, Encoding::Json))
        };
        if let Some(v) = d.etag.and_then(|e| HeaderValue::from_str(&e).ok()) {
            r.headers_mut().insert(header::ETAG, v);
            r.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
            r.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
        }
        r
    }

    async fn resource(&self, route: &Route, body: &Bytes, verdict: &Verdict) -> Result<Response<ApiBody>> {
        let def = self.definition(route)?;
        let verb = self.info.verb.as_str();
        self.check_method(&def, route, verb)?;
        let wording = if def.is_custom() {
            Wording::Custom
        } else {
            Wording::Builtin { collection: matches!(verb, "list" | "watch") }
        };
        let form = if route.subresource == "log" {
            Form::JSON
        } else {
            let messages = || !def.is_custom() && Message::of(&def.api_version(), &def.kind).is_some();
            negotiate::choose(&self.accept, &self.params, wording, messages, verb == "watch")?
        };
        if verb != "watch" {
            self.params.check_timeout()?;
        }
        let mut reviews = Reviews::default();
        let (call, answer) = loop {
            let mut call = self.call(&def, route, verb)?;
            call.warnings.extend(deprecation(&def));
            if route.subresource == "log" {
                return self.log(&call);
            }
            call.now = reviews.begin(call.now);
            call.reviews = reviews;
            let answer = self.server.with(|s| self.dispatch(s, &mut call, route, verb, body, verdict));
            let Some(question) = call.reviews.question.take() else { break (call, answer) };
            reviews = call.reviews;
            let answered = self.server.ask(&question).await;
            reviews.answered(answered);
        };
        let answer = match answer {
            Ok(a) => a,
            Err(status) => {
                let mut r = self.failure(&status);
                warn(&mut r, &call.warnings);
                return Ok(r);
            }
        };
        let mut r = self.render(answer, form, verdict);
        warn(&mut r, &call.warnings);
        Ok(r)
    }

    fn definition(&self, route: &Route) -> Result<Arc<Definition>> {
        self.server.with(|s| {
            let found = s.registry.get(&route.group, &route.version, &route.resource).cloned();
            let builtin = s.registry.is_builtin_group(&route.group);
            let unknown = || if builtin { Status::unknown_path() } else { Status::not_found_page() };
            let def = found.ok_or_else(unknown)?;
            let sub = route.subresource.as_str();
            let fits = if def.namespaced { route.scoped || (route.name.is_empty()) } else { !route.scoped };
            if !fits {
                return Err(if def.namespaced && self.method == Method::POST && builtin {
                    Status::method_not_allowed()
                } else {
                    unknown()
                });
            }
            if !sub.is_empty() && def.subresource(sub).is_none() {
                // Custom resources: the Status of a missing object, whether it exists or not (kube-api.md 2.3).
                let known = matches!(sub, "status" | "scale");
                return Err(match (def.is_custom(), known) {
                    (true, true) => Status::not_found(&def, &route.name),
                    _ => unknown(),
                });
            }
            Ok(def)
        })
    }

    /// 405 and its relatives (kube-api.md 1.1).
    fn check_method(&self, def: &Definition, route: &Route, verb: &str) -> Result<()> {
        let collection = route.name.is_empty();
        let across = collection && def.namespaced && !route.scoped;
        let offered = |v: &str| match def.subresource(&route.subresource) {
            Some(s) => s.verbs.iter().any(|x| x == v),
            None => def.verbs.iter().any(|x| x == v) || def.is_custom(),
        };
        if def.is_custom() {
            let refuse = || {
                let shown = if verb == "options" || verb == "head" { "" } else { verb };
                let kind = def.qualified_resource();
                Status::new(
                    405,
                    "MethodNotAllowed",
                    format!("{shown} is not supported on resources of kind \"{kind}\""),
                )
                .details(json!({"group": def.group, "kind": def.plural}))
            };
            return match verb {
                "update" | "patch" if collection => Err(Status::bad_request("name must be provided")),
                "options" | "head" => Err(refuse()),
                _ if !route.subresource.is_empty() && !offered(verb) => Err(refuse()),
                "create" if across => Err(Status::not_found_page()),
                _ => Ok(()),
            };
        }
        let fits = match verb {
            "create" => (collection || !route.subresource.is_empty()) && !across,
            "update" | "patch" => !collection,
            "deletecollection" => !across,
            "options" | "head" => false,
            _ => true,
        };
        if fits && offered(verb) { Ok(()) } else { Err(Status::method_not_allowed()) }
    }

    fn call(&self, def: &Arc<Definition>, route: &Route, verb: &str) -> Result<Call> {
        let apply = self.info.content_type.starts_with("application/apply-patch+yaml");
        let options = match verb {
            "create" => WriteOptions::parse(&self.params, "CreateOptions", false, &self.info.user_agent)?,
            "update" => WriteOptions::parse(&self.params, "UpdateOptions", false, &self.info.user_agent)?,
            "patch" => {
                // The patch type is refused before its options are looked at.
                PatchKind::of(def, &self.info.content_type)?;
                WriteOptions::parse(&self.params, "PatchOptions", apply, &self.info.user_agent)?
            }
            _ => WriteOptions {
                manager: request::default_manager(&self.info.user_agent),
                ..WriteOptions::default()
            },
        };
        Ok(Call {
            def: def.clone(),
            namespace: if def.namespaced { route.namespace.clone() } else { String::new() },
            name: route.name.clone(),
            subresource: route.subresource.clone(),
            options,
            actor: Arc::from(self.info.user.as_str()),
            user: Some(self.user.clone()),
            now: self.server.now(),
            warnings: Vec::new(),
            reviews: Reviews::default(),
        })
    }

    fn dispatch(
        &self,
        s: &mut State,
        call: &mut Call,
        route: &Route,
        verb: &str,
        body: &Bytes,
        verdict: &Verdict,
    ) -> Result<Handled> {
        let stale = match verdict {
            Verdict::Stale { revision } => Some(*revision),
            _ => None,
        };
        let def = call.def.clone();
        let (namespace, params) = (call.namespace.clone(), &self.params);
        let done = |a: Result<Answer>| a.map(Handled::Answer);
        match (verb, route.subresource.as_str()) {
            ("get", "scale") => done(s.scale(call)),
            ("get", _) => done(s.get(&def, &namespace, &call.name, params.text("resourceVersion"), stale)),
            ("list", _) => done(s.list(&def, &namespace, params, stale)),
            ("watch", _) => {
                let mut params = params.clone();
                if route.watch_prefix && !route.name.is_empty() {
                    params.and_field(&format!("metadata.name={}", route.name));
                }
                s.watch(&def, &namespace, &params, call.now, stale).map(|p| Handled::Watch(Box::new(p)))
            }
            ("create", "") => {
                let decoded = codec::object(&def, body, codec::media(&self.info.content_type)?)?;
                done(s.create(call, decoded))
            }
            ("create", sub) => {
                let value = self.body_of(sub, body)?;
                done(match sub {
                    "eviction" => s.evict(call, &value),
                    "binding" => s.bind(call, &value),
                    "token" => s.token(call, &value),
                    _ => Err(Status::bad_request("Upgrade request required")),
                })
            }
            ("update", sub @ "scale") => done(s.write_scale(call, ScaleWrite::Put(self.body_of(sub, body)?))),
            ("update", sub @ "finalize") => done(s.finalize(call, &self.body_of(sub, body)?)),
            ("update", _) => {
                let decoded = codec::object(&def, body, codec::media(&self.info.content_type)?)?;
                done(s.put(call, decoded))
            }
            ("patch", sub) => {
                let kind = PatchKind::of(&def, &self.info.content_type)?;
                done(if sub == "scale" {
                    s.write_scale(call, ScaleWrite::Patch(kind, body))
                } else {
                    s.patch(call, kind, body)
                })
            }
            ("delete" | "deletecollection", _) => {
                let value = delete_body(body, &self.info.content_type)?;
                let options = DeleteOptions::parse(value.as_ref(), params)?;
                call.options.dry_run = options.dry_run;
                if verb == "delete" {
                    return done(s.delete(call, &options));
                }
                let filter = Filter::parse(&def, params)?;
                let limit = params.int("limit")?.unwrap_or(0).max(0) as usize;
                done(s.delete_collection(call, &options, &filter, limit))
            }
            _ => Err(Status::method_not_allowed()),
        }
    }

    fn render(&self, handled: Handled, form: Form, verdict: &Verdict) -> Response<ApiBody> {
        let now = self.server.now();
        match handled {
            Handled::Answer(Answer::Object { code, def, object }) => {
                self.tell(code, "", "");
                respond(code, form.content_type(), negotiate::object(&def, &object, form, now))
            }
            Handled::Answer(Answer::Value { code, value }) => {
                self.tell(code, "", "");
                respond(code, form.content_type(), negotiate::encode(&value, form.encoding))
            }
            Handled::Answer(Answer::List { def, page }) => {
                self.tell(200, "", "");
                if let Some(pages) = negotiate::long_list(&def, &page, form) {
                    let mut r = response(200, ApiBody::pages(pages));
                    let kind = HeaderValue::from_static(form.content_type());
                    r.headers_mut().insert(header::CONTENT_TYPE, kind);
                    return r;
                }
                respond(200, form.content_type(), negotiate::list(&def, &page, form, now))
            }
            Handled::Watch(plan) => {
                let fate = match verdict {
                    Verdict::CutWatch => Fate::Cut,
                    Verdict::Expire => Fate::Expire,
                    Verdict::Disturb(disturbance) => Fate::Disturbed(disturbance.clone()),
                    _ => Fate::Live,
                };
                let stream = WatchStream::new(self.server.clone(), *plan, form, fate);
                if let Some(asked) = &self.websocket {
                    let messages =
                        if form.encoding == Encoding::Protobuf { Messages::Binary } else { Messages::Text };
                    let r = asked.answer(messages, || ApiBody::watch(Box::new(stream)));
                    self.tell(r.status().as_u16(), "", "");
                    return r;
                }
                self.tell(200, "", "");
                let mut r = response(200, ApiBody::watch(Box::new(stream)));
                let kind = HeaderValue::from_static(form.watch_content_type());
                r.headers_mut().insert(header::CONTENT_TYPE, kind);
                r
            }
        }
    }

    /// What was sent to a subresource.
    fn body_of(&self, subresource: &str, body: &[u8]) -> Result<Value> {
        let (api_version, kind) = match subresource {
            "eviction" => ("policy/v1", "Eviction"),
            "token" => ("authentication.k8s.io/v1", "TokenRequest"),
            "scale" => ("autoscaling/v1", "Scale"),
            "finalize" => ("v1", "Namespace"),
            _ => ("v1", "Binding"),
        };
        codec::loose(body, codec::media(&self.info.content_type)?, api_version, kind)
    }

    fn log(&self, call: &Call) -> Result<Response<ApiBody>> {
        let found = self.server.with(|s| s.log_request(call, &self.params))?;
        let Some((pod, options)) = found else {
            self.tell(204, "", "");
            return Ok(response(204, ApiBody::full(Bytes::new())));
        };
        let backend = self.server.shared.pods.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(backend) = backend else {
            return Err(Status::internal(format!("no kubelet answers for pod {}", call.name)));
        };
        if options.follow {
            let stream = backend.follow(&pod, &options)?;
            self.tell(200, "", "");
            let mut r = response(200, ApiBody::log(stream));
            r.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            return Ok(r);
        }
        let text = backend.log(&pod, &options)?;
        self.tell(200, "", "");
        Ok(respond(200, "text/plain", text.into()))
    }
}

/// Whom a request is made as, and the refusal when it may not be made as that.
fn acting(service: &ApiService, head: &http::request::Parts) -> (Arc<User>, Option<Status>) {
    if Asked::of(&head.headers).is_none() {
        return (service.user.clone(), None);
    }
    match service.server.acting(&service.user, &head.headers) {
        Ok(user) => (Arc::new(user), None),
        Err(status) => (service.user.clone(), Some(status)),
    }
}

enum Handled {
    Answer(Answer),
    Watch(Box<crate::watch::WatchPlan>),
}

fn delete_body(body: &Bytes, content_type: &str) -> Result<Option<Value>> {
    if body.is_empty() {
        return Ok(None);
    }
    let value = codec::loose(body, codec::media(content_type)?, "v1", "DeleteOptions")?;
    let kind = value["kind"].as_str().unwrap_or("");
    if !kind.is_empty() && kind != "DeleteOptions" {
        let version = value["apiVersion"].as_str().unwrap_or("");
        return Err(Status::bad_request(format!(
            "no kind \"{kind}\" is registered for version \"{version}\" in scheme \"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30\""
        )));
    }
    Ok(Some(value))
}

/// The warning every use of a deprecated version earns.
fn deprecation(def: &Definition) -> Option<String> {
    match (def.group.as_str(), def.plural.as_str()) {
        ("", "endpoints") => {
            Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".to_owned())
        }
        ("", "componentstatuses") => Some("v1 ComponentStatus is deprecated in v1.19+".to_owned()),
        _ => def.custom.as_ref().and_then(|c| c.warning.clone()),
    }
}

fn warn(response: &mut Response<ApiBody>, warnings: &[String]) {
    let mut seen: Vec<&String> = Vec::new();
    for text in warnings {
        if seen.contains(&text) {
            continue;
        }
        seen.push(text);
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(v) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(header::WARNING, v);
        }
    }
}

fn response(code: u16, body: ApiBody) -> Response<ApiBody> {
    let mut r = Response::new(body);
    *r.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    r
}

fn respond(code: u16, content_type: &'static str, body: Bytes) -> Response<ApiBody> {
    let mut r = response(code, ApiBody::full(body));
    r.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    r
}

/// As Go's `http.Error` writes a message.
fn text_response(code: u16, text: &str) -> Response<ApiBody> {
    let mut r = respond(code, "text/plain; charset=utf-8", Bytes::copy_from_slice(text.as_bytes()));
    r.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    r
}
