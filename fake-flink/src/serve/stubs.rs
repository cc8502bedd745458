//! Answers in front of the live model, as `wiremock` has them: which requests, what they get instead, how often. The
//! first stub that strikes decides; everything else is the model's.
//!
//! [`StubSpec`] is the form they are written in (docs/fake-flink.md).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::control::Span;

/// A stub as it is written and shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct StubSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, rename = "match")]
    pub matches: Match,
    pub answer: Answer,
    /// Strikes so often at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// Lets so many pass first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skip: u64,
    /// Ends after this time of the cluster.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Span>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// All members must match; what is absent matches everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Match {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Without `/v1`; `:x` is any one segment, `*` any text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Query parameters, `*` any text in their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, String>,
    /// JSON: objects need these members at least, everything else is equal. A text matches bodies that contain it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
}

/// A `status` answers instead of the model; without one the model answers, late or in vain.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// A text is sent as it is, anything else as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop: Option<Drop>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Drop {
    /// The connection is cut before anything is done.
    Before,
    /// Carried out, and the answer is lost.
    After,
    /// Accepted and never answered.
    Never,
}

/// What becomes of a request.
#[derive(Debug)]
pub struct Struck {
    /// In time of the cluster.
    pub delay: Duration,
    pub then: Then,
}

#[derive(Debug)]
pub enum Then {
    Model,
    Respond(Response<Bytes>),
    Drop(Drop),
}

/// A stub with what became of it so far.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stub {
    pub id: String,
    #[serde(flatten)]
    pub spec: StubSpec,
    /// Requests that matched.
    pub seen: u64,
    /// Requests that were struck.
    pub hits: u64,
    #[serde(skip)]
    until: Option<Timestamp>,
}

/// The stubs of one cluster; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Stubs(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    stubs: Vec<Stub>,
    added: u64,
}

const STUBS_MAX: usize = 256;

impl Stubs {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// # Errors
    /// The answer cannot be sent, or there are too many.
    pub fn add(&self, spec: StubSpec, now: Timestamp) -> Result<Stub, String> {
        spec.answer.check()?;
        let mut inner = self.lock();
        if inner.stubs.len() >= STUBS_MAX {
            return Err(format!("there are {STUBS_MAX} stubs already: remove some"));
        }
        inner.added += 1;
        let until = spec.lasts.map(|span| now.checked_add(span.0).unwrap_or(Timestamp::MAX));
        let stub = Stub { id: format!("s{}", inner.added), spec, seen: 0, hits: 0, until };
        inner.stubs.push(stub.clone());
        Ok(stub)
    }

    pub fn list(&self) -> Vec<Stub> {
        self.lock().stubs.clone()
    }

    /// By id or name.
    pub fn remove(&self, which: &str) -> Option<Stub> {
        let mut inner = self.lock();
        let at = inner.stubs.iter().position(|s| s.id == which || s.spec.name.as_deref() == Some(which))?;
        Some(inner.stubs.remove(at))
    }

    pub fn clear(&self) -> usize {
        std::mem::take(&mut self.lock().stubs).len()
    }

    /// The first stub that strikes.
    pub fn judge(&self, request: &Request<Bytes>, now: Timestamp) -> Option<Struck> {
        let mut inner = self.lock();
        inner.stubs.iter_mut().find_map(|stub| stub.judge(request, now))
    }
}

impl Stub {
    fn judge(&mut self, request: &Request<Bytes>, now: Timestamp) -> Option<Struck> {
        let is_over = self.until.is_some_and(|until| now >= until);
        if is_over || !self.spec.matches.accepts(request) {
            return None;
        }
        self.seen += 1;
        if self.seen <= self.spec.skip || self.spec.times.is_some_and(|times| self.hits >= times) {
            return None;
        }
        self.hits += 1;
        Some(self.spec.answer.struck())
    }
}

impl Match {
    pub fn accepts(&self, request: &Request<Bytes>) -> bool {
        let path = request.uri().path();
        let path = path.strip_prefix("/v1").filter(|rest| rest.starts_with('/')).unwrap_or(path);
        let is_method = |method: &String| request.method().as_str().eq_ignore_ascii_case(method);
        self.method.as_ref().is_none_or(is_method)
            && self.path.as_deref().is_none_or(|pattern| path_matches(pattern, path))
            && self.accepts_query(request.uri().query().unwrap_or_default())
            && self.body.as_ref().is_none_or(|body| body_matches(body, request.body()))
    }

    fn accepts_query(&self, query: &str) -> bool {
        let given = |key: &str, pattern: &str| {
            form_urlencoded::parse(query.as_bytes()).any(|(k, v)| k == key && glob(pattern, &v))
        };
        self.query.iter().all(|(key, pattern)| given(key, pattern))
    }
}

impl Answer {
    fn check(&self) -> Result<(), String> {
        if self.status.is_none() && (self.body.is_some() || !self.headers.is_empty()) {
            return Err("answer: a body or headers want a status, for example 200".to_owned());
        }
        if self.status.is_none() && self.delay.is_none() && self.drop.is_none() {
            return Err("answer: say what the request gets: status, delay or drop".to_owned());
        }
        if self.status.is_some() && self.drop.is_some() {
            return Err("answer: status and drop exclude each other".to_owned());
        }
        self.response().map(|_| ())
    }

    fn response(&self) -> Result<Option<Response<Bytes>>, String> {
        let Some(code) = self.status else { return Ok(None) };
        let (kind, body) = match &self.body {
            None => (None, Bytes::new()),
            Some(Value::String(text)) => (Some("text/plain; charset=UTF-8"), Bytes::from(text.clone())),
            Some(json) => (Some("application/json; charset=UTF-8"), Bytes::from(json.to_string())),
        };
        let mut response = Response::new(body);
        let status = StatusCode::from_u16(code).ok().filter(|_| (200..=599).contains(&code));
        *response.status_mut() =
            status.ok_or_else(|| format!("answer.status: {code} is no code from 200 to 599"))?;
        if let Some(kind) = kind {
            response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        for (name, value) in &self.headers {
            let wrong = |_| format!("answer.headers: {name}: {value} is no header");
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong(()))?;
            response.headers_mut().insert(key, HeaderValue::from_str(value).map_err(|_| wrong(()))?);
        }
        Ok(Some(response))
    }

    fn struck(&self) -> Struck {
        let then = match (self.drop, self.response()) {
            (Some(drop), _) => Then::Drop(drop),
            (None, Ok(Some(response))) => Then::Respond(response),
            (None, _) => Then::Model,
        };
        Struck { delay: self.delay.map(|span| span.0).unwrap_or_default(), then }
    }
}

/// Segment by segment; a last `*` takes the rest.
fn path_matches(pattern: &str, path: &str) -> bool {
    if !pattern.contains(':') {
        return glob(pattern, path);
    }
    let (mut wanted, mut found) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), found.next()) {
            (None, None) => return true,
            (Some("*"), Some(_)) if wanted.clone().next().is_none() => return true,
            (Some(want), Some(have)) if want.starts_with(':') => {
                if have.is_empty() {
                    return false;
                }
            }
            (Some(want), Some(have)) if glob(want, have) => {}
            _ => return false,
        }
    }
}

/// `*` stands for any text.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(last)
}

fn body_matches(wanted: &Value, body: &[u8]) -> bool {
    match wanted {
        Value::String(part) => String::from_utf8_lossy(body).contains(part.as_str()),
        json => serde_json::from_slice(body).is_ok_and(|found| covers(&found, json)),
    }
}

fn covers(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            wanted.iter().all(|(key, value)| found.get(key).is_some_and(|have| covers(have, value)))
        }
        (found, wanted) => found == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request(method: &str, uri: &str, body: &str) -> Request<Bytes> {
        Request::builder().method(method).uri(uri).body(Bytes::from(body.to_owned())).unwrap()
    }

    fn matches(spec: Value, method: &str, uri: &str, body: &str) -> bool {
        serde_json::from_value::<Match>(spec).unwrap().accepts(&request(method, uri, body))
    }

    #[test]
    fn requests_are_matched_by_every_member() {
        for (spec, expected) in [
            (json!({}), true),
            (json!({"method": "post"}), true),
            (json!({"method": "GET"}), false),
            (json!({"path": "/jobs/:id/savepoints"}), true),
            (json!({"path": "/jobs/*"}), true),
            (json!({"path": "/jobs/:id"}), false),
            (json!({"path": "/v1/jobs/*"}), false),
            (json!({"query": {"get": "a*"}}), true),
            (json!({"query": {"get": "b", "x": "y"}}), false),
            (json!({"body": {"cancel-job": true}}), true),
            (json!({"body": {"cancel-job": false}}), false),
            (json!({"body": "target"}), true),
        ] {
            let body = r#"{"cancel-job": true, "target-directory": "s3://x"}"#;
            assert_eq!(
                matches(spec.clone(), "POST", "/v1/jobs/ab/savepoints?get=abc", body),
                expected,
                "{spec}"
            );
        }
    }

    #[test]
    fn a_stub_strikes_as_often_as_it_says() {
        let stubs = Stubs::default();
        let spec = json!({"match": {"path": "/overview"}, "answer": {"status": 503, "body": {"errors": ["no"]}},
            "skip": 1, "times": 2, "for": "10s"});
        let start = Timestamp::UNIX_EPOCH;
        stubs.add(serde_json::from_value(spec).unwrap(), start).unwrap();
        let ask = |now| stubs.judge(&request("GET", "/overview", ""), now).is_some();
        assert_eq!([ask(start), ask(start), ask(start), ask(start)], [false, true, true, false]);
        assert_eq!((stubs.list()[0].seen, stubs.list()[0].hits), (4, 2));
        assert!(stubs.remove("s1").is_some() && stubs.remove("s1").is_none());
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        for answer in [
            json!({}),
            json!({"status": 99}),
            json!({"body": "x"}),
            json!({"status": 200, "drop": "after"}),
            json!({"status": 200, "headers": {"a b": "c"}}),
        ] {
            let spec =
                StubSpec { answer: serde_json::from_value(answer.clone()).unwrap(), ..StubSpec::default() };
            assert!(Stubs::default().add(spec, Timestamp::UNIX_EPOCH).is_err(), "{answer}");
        }
    }

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abc", true),
            ("a*c", "ab", false),
            ("*b*", "abc", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }
}
