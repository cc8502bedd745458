//! Running one case and comparing what came with what was recorded.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::case::{Case, Fixture};
use super::normalise::Normaliser;
use super::transport::{Events, Reply, Sent, Start, Transport};
use super::value::{self, Variables};

const KEPT_HEADERS: [&str; 4] = ["warning", "retry-after", "location", "allow"];
const DIFFERENCES_MAX: usize = 6;

/// How a case went; empty `problems` is a pass.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub problems: Vec<String>,
}

impl Outcome {
    pub fn passed(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Creates the fixtures and waits until they are served.
pub fn install(transport: &mut dyn Transport, fixtures: &[Fixture]) -> Result<(), String> {
    for f in fixtures {
        let credentials = transport.credentials();
        let sent =
            sent(credentials.clone(), "POST", &f.path, &Value::Null, Some(f.object.to_string().into_bytes()));
        let reply = transport.request(&sent)?;
        if reply.status != 201 && reply.status != 409 {
            return Err(format!(
                "fixture {}: {} {}",
                f.path,
                reply.status,
                String::from_utf8_lossy(&reply.body)
            ));
        }
        let Some(ready) = &f.ready else { continue };
        let deadline = transport.elapsed() + 20.0;
        let asked = self::sent(credentials, "GET", ready, &Value::Null, None);
        while transport.request(&asked)?.status != 200 {
            if transport.elapsed() > deadline {
                return Err(format!("fixture {ready} is not served"));
            }
            transport.sleep(0.05);
        }
    }
    Ok(())
}

/// Runs one case. `seed` makes its namespace and names unique.
pub fn run(case: &Case, transport: &mut dyn Transport, seed: &str) -> Outcome {
    let mut run = Run::new(case, transport, seed);
    let problems = match run.steps() {
        Ok(()) => run.compare(),
        Err(e) => vec![e],
    };
    Outcome { problems: run.problems.into_iter().chain(problems).collect() }
}

/// What a server answered, step by step, in the form of `expect`; `None` where a step compares nothing.
pub struct Observations {
    pub steps: Vec<Option<Value>>,
    /// Assertions that did not hold, and what kept the case from running to its end.
    pub problems: Vec<String>,
}

/// Runs one case for what the server answers, whatever was recorded: to compare two servers with each other.
pub fn observe(case: &Case, transport: &mut dyn Transport, seed: &str) -> Observations {
    let mut run = Run::new(case, transport, seed);
    let stopped = run.steps().err();
    let steps = run.observations();
    Observations { steps, problems: run.problems.into_iter().chain(stopped).collect() }
}

/// What one step saw, before normalisation.
#[derive(Default)]
struct Seen {
    reply: Option<Reply>,
    body: Option<Value>,
    events: Option<Value>,
    closed: Option<bool>,
    codes: Option<Value>,
    frames: Option<Value>,
}

struct Run<'a> {
    case: &'a Case,
    transport: &'a mut dyn Transport,
    fixed: Variables,
    vars: Variables,
    streams: BTreeMap<String, Box<dyn Events>>,
    problems: Vec<String>,
    seen: Vec<Option<Seen>>,
}

fn sent(
    credentials: Option<String>,
    method: &str,
    target: &str,
    headers: &Value,
    body: Option<Vec<u8>>,
) -> Sent {
    let mut all = vec![
        ("User-Agent".to_owned(), "kube-conformance/1".to_owned()),
        ("Accept".to_owned(), "application/json".to_owned()),
    ];
    all.extend(credentials.map(|c| ("Authorization".to_owned(), c)));
    if body.is_some() {
        all.push(("Content-Type".to_owned(), "application/json".to_owned()));
    }
    for (k, v) in headers.as_object().into_iter().flatten() {
        all.retain(|(name, _)| !name.eq_ignore_ascii_case(k));
        if let Some(v) = v.as_str() {
            all.push((k.clone(), v.to_owned()));
        }
    }
    Sent { method: method.to_owned(), target: target.to_owned(), headers: all, body }
}

fn quote(s: &str, safe: &str) -> String {
    s.bytes()
        .map(|b| {
            let c = char::from(b);
            if b.is_ascii_alphanumeric() || "_.-~".contains(c) || (b.is_ascii() && safe.contains(c)) {
                c.to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

impl<'a> Run<'a> {
    fn new(case: &'a Case, transport: &'a mut dyn Transport, seed: &str) -> Run<'a> {
        let fixed: Variables = [("ns".to_owned(), format!("ns-{seed}")), ("id".to_owned(), seed.to_owned())]
            .into_iter()
            .collect();
        let mut vars = fixed.clone();
        for (name, v) in case.raw["variables"].as_object().into_iter().flatten() {
            vars.insert(name.clone(), plain(v));
        }
        Run { case, transport, vars, fixed, streams: BTreeMap::new(), problems: Vec::new(), seen: Vec::new() }
    }

    fn step_list(&self) -> &'a [Value] {
        self.case.raw["steps"].as_array().map_or(&[], Vec::as_slice)
    }

    fn steps(&mut self) -> Result<(), String> {
        if let Some(answers) = self.case.raw.get("webhooks") {
            let (url, bundle) =
                self.transport.webhooks(answers).ok_or("this transport has no webhooks for the case")?;
            for (name, value) in [("webhook", url), ("bundle", bundle)] {
                self.fixed.insert(name.to_owned(), value.clone());
                self.vars.insert(name.to_owned(), value);
            }
        }
        if self.case.raw.to_string().contains("{{ns}}") {
            let body =
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.fixed["ns"]}});
            self.transport.request(&sent(
                self.transport.credentials(),
                "POST",
                "/api/v1/namespaces",
                &Value::Null,
                Some(body.to_string().into_bytes()),
            ))?;
        }
        for (n, step) in self.step_list().iter().enumerate() {
            let seen = self.step(step).map_err(|e| format!("step {}: {e}", n + 1))?;
            if let Some(seen) = &seen {
                self.capture(step, seen);
                self.assert(n, step, seen);
            }
            self.seen.push(seen.map(|s| trim(step, s)));
        }
        self.streams.clear();
        Ok(())
    }

    fn request_of(&self, request: &Value) -> Result<Sent, String> {
        let path =
            quote(&value::text(request["path"].as_str().unwrap_or(""), &self.vars)?, "/%:@,;=+$!*'()~?&");
        let query = value::substitute(&request["query"], &self.vars)?;
        let pairs: Vec<(String, String)> = match &query {
            Value::Object(m) => m.iter().map(|(k, v)| (k.clone(), plain(v))).collect(),
            Value::Array(l) => l.iter().map(|p| (plain(&p[0]), plain(&p[1]))).collect(),
            _ => vec![],
        };
        let encoded: Vec<String> =
            pairs.iter().map(|(k, v)| format!("{}={}", quote(k, "/"), quote(v, "/"))).collect();
        let target = if encoded.is_empty() { path } else { format!("{path}?{}", encoded.join("&")) };
        let body = if let Some(b) = request.get("body") {
            Some(spaced(&value::substitute(b, &self.vars)?).into_bytes())
        } else if let Some(raw) = request["raw"].as_str() {
            Some(value::text(raw, &self.vars)?.into_bytes())
        } else if let Some(b64) = request["base64"].as_str() {
            use base64::Engine;
            Some(base64::engine::general_purpose::STANDARD.decode(b64).map_err(|e| e.to_string())?)
        } else {
            None
        };
        let headers = value::substitute(&request["headers"], &self.vars)?;
        Ok(sent(
            self.transport.credentials(),
            request["method"].as_str().unwrap_or("GET"),
            &target,
            &headers,
            body,
        ))
    }

    fn step(&mut self, step: &Value) -> Result<Option<Seen>, String> {
        if let Some(s) = step["sleep"].as_f64() {
            self.transport.sleep(s);
            return Ok(None);
        }
        if let Some(name) = step["received"].as_str() {
            let mut all = self.transport.received(name);
            let last = step["last"].as_u64().unwrap_or(1) as usize;
            let body = Value::Array(all.split_off(all.len().saturating_sub(last)));
            return Ok(Some(Seen { body: Some(body), ..Seen::default() }));
        }
        if let Some(c) = step.get("collect") {
            return self.collect(step, c).map(Some);
        }
        let request = &step["request"];
        if let Some(w) = step.get("websocket") {
            return self.websocket(request, w).map(Some);
        }
        if let Some(w) = step.get("watch") {
            return self.watch(step, request, w).map(Some);
        }
        for key in ["parallel", "repeat"] {
            if let Some(n) = step[key].as_u64() {
                return self.repeat(request, n).map(Some);
            }
        }
        let deadline = self.transport.elapsed() + step["seconds"].as_f64().unwrap_or(10.0);
        loop {
            let reply = self.transport.request(&self.request_of(request)?)?;
            let body = parse(&reply);
            let Some(until) = step["until"].as_array() else {
                return Ok(Some(Seen { reply: Some(reply), body: Some(body), ..Seen::default() }));
            };
            let mut all = true;
            for u in until {
                let (path, want) = (u[0].as_str().unwrap_or(""), value::substitute(&u[2], &self.vars)?);
                all &= if path == "status" {
                    want == json!(reply.status)
                } else {
                    value::holds(u[1].as_str().unwrap_or(""), value::pointer(&body, path), &want)
                };
            }
            let late = self.transport.elapsed() > deadline;
            if all || late {
                if late && !all {
                    self.problems.push(format!("never true: {}", step["until"]));
                }
                return Ok(Some(Seen { reply: Some(reply), body: Some(body), ..Seen::default() }));
            }
            self.transport.sleep(0.05);
        }
    }

    /// `parallel` runs one after the other: the codes compared are a multiset either way.
    fn repeat(&mut self, request: &Value, n: u64) -> Result<Seen, String> {
        let mut codes: BTreeMap<String, u64> = BTreeMap::new();
        for i in 0..n {
            self.vars.insert("i".to_owned(), i.to_string());
            let reply = self.transport.request(&self.request_of(request)?)?;
            *codes.entry(reply.status.to_string()).or_default() += 1;
        }
        Ok(Seen { codes: Some(json!(codes)), ..Seen::default() })
    }

    fn collect(&mut self, step: &Value, c: &Value) -> Result<Seen, String> {
        let Some(stream) = self.streams.get_mut(c["watch"].as_str().unwrap_or("")) else {
            return Ok(Seen { events: Some(json!([])), ..Seen::default() });
        };
        let events = stream.read(count(c), c["seconds"].as_f64().unwrap_or(5.0))?;
        let closed = (c["closed"] == true).then(|| stream.closed());
        Ok(Seen { events: Some(skip_types(step, events)), closed, ..Seen::default() })
    }

    fn watch(&mut self, step: &Value, request: &Value, w: &Value) -> Result<Seen, String> {
        let started = self.transport.elapsed();
        match self.transport.watch(&self.request_of(request)?)? {
            Start::Refused(reply) => {
                let body = parse(&reply);
                Ok(Seen { reply: Some(reply), body: Some(body), ..Seen::default() })
            }
            Start::Stream { status, headers, mut events } => {
                let reply = Reply { status, headers, body: vec![] };
                if let Some(name) = w["name"].as_str() {
                    self.streams.insert(name.to_owned(), events);
                    return Ok(Seen { reply: Some(reply), ..Seen::default() });
                }
                let list = events.read(count(w), w["seconds"].as_f64().unwrap_or(5.0))?;
                let closed = (w["closed"] == true).then(|| events.closed());
                let took = self.transport.elapsed() - started;
                if let (Some(low), Some(high)) = (w["between"][0].as_f64(), w["between"][1].as_f64())
                    && !(low..=high).contains(&took)
                {
                    self.problems.push(format!("the watch lasted {took:.1} s, not {low}..{high}"));
                }
                Ok(Seen {
                    reply: Some(reply),
                    events: Some(skip_types(step, list)),
                    closed,
                    ..Seen::default()
                })
            }
        }
    }

    fn websocket(&mut self, request: &Value, w: &Value) -> Result<Seen, String> {
        let mut sent = self.request_of(request)?;
        let upgrade = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "MDEyMzQ1Njc4OWFiY2RlZg=="),
        ];
        sent.headers.extend(upgrade.map(|(k, v)| (k.to_owned(), v.to_owned())));
        match self.transport.websocket(&sent)? {
            Start::Refused(reply) => {
                let body = parse(&reply);
                Ok(Seen { reply: Some(reply), body: Some(body), ..Seen::default() })
            }
            Start::Stream { status, headers, mut events } => {
                let wanted = w["frames"].as_u64().map(|n| n as usize);
                let frames = events.read(wanted, w["seconds"].as_f64().unwrap_or(5.0))?;
                let reply = Reply { status, headers, body: vec![] };
                Ok(Seen { reply: Some(reply), frames: Some(Value::Array(frames)), ..Seen::default() })
            }
        }
    }

    fn capture(&mut self, step: &Value, seen: &Seen) {
        for (name, path) in step["capture"].as_object().into_iter().flatten() {
            let path = path.as_str().unwrap_or("");
            let found = match (path.strip_prefix("header:"), &seen.reply) {
                (Some(h), Some(r)) => header(r, &h.to_lowercase()).map(str::to_owned),
                (Some(_), None) => None,
                (None, _) => root(seen).and_then(|b| value::pointer(b, path).map(plain)),
            };
            if let Some(v) = found {
                self.vars.insert(name.clone(), v);
            }
        }
    }

    fn assert(&mut self, n: usize, step: &Value, seen: &Seen) {
        for a in step["assert"].as_array().into_iter().flatten() {
            let (path, op) = (a[0].as_str().unwrap_or(""), a[1].as_str().unwrap_or(""));
            let have = root(seen).and_then(|b| value::pointer(b, path));
            let ok = value::substitute(&a[2], &self.vars).is_ok_and(|want| value::holds(op, have, &want));
            if !ok {
                self.problems.push(format!("step {}: {path} {op} {} does not hold: {have:?}", n + 1, a[2]));
            }
        }
    }

    fn observations(&self) -> Vec<Option<Value>> {
        let requests: Vec<Value> = self.step_list().iter().map(|s| s["request"].clone()).collect();
        let template = Value::Array(requests).to_string();
        let mut norm = Normaliser::new(
            &self.fixed,
            self.transport.address(),
            template,
            self.case.managed_fields,
            self.transport.server_time(),
        );
        for s in self.seen.iter().flatten() {
            for part in [&s.body, &s.events, &s.frames].into_iter().flatten() {
                norm.survey(part, "");
            }
        }
        norm.finish_survey();
        let steps = self.step_list().iter().zip(&self.seen);
        steps
            .map(|(step, seen)| {
                let seen = seen.as_ref().filter(|_| step["ignore"] != true)?;
                Some(observation(step, seen, &norm))
            })
            .collect()
    }

    fn compare(&self) -> Vec<String> {
        let mut out = Vec::new();
        for (n, (step, got)) in self.step_list().iter().zip(self.observations()).enumerate() {
            let Some(got) = got else { continue };
            let Some(want) = step.get("expect") else {
                out.push(format!("step {}: nothing recorded to compare with", n + 1));
                continue;
            };
            let mut lines = Vec::new();
            value::differences("", want, &got, &mut lines, DIFFERENCES_MAX);
            if !lines.is_empty() {
                let r = &step["request"];
                out.push(format!(
                    "step {}: {} {} {}",
                    n + 1,
                    plain(&r["method"]),
                    plain(&r["path"]),
                    r["query"]
                ));
                out.extend(lines.into_iter().map(|l| format!("    {l}")));
            }
        }
        out
    }
}

/// What pointers of a step are relative to.
fn root(seen: &Seen) -> Option<&Value> {
    seen.body.as_ref().or(seen.events.as_ref())
}

fn count(v: &Value) -> Option<usize> {
    v["events"].as_u64().map(|n| n as usize)
}

fn skip_types(step: &Value, events: Vec<Value>) -> Value {
    let skipped = step["skip_types"].as_array();
    Value::Array(events.into_iter().filter(|e| skipped.is_none_or(|s| !s.contains(&e["type"]))).collect())
}

fn plain(v: &Value) -> String {
    v.as_str().map_or_else(|| v.to_string(), str::to_owned)
}

/// JSON with blanks after separators, as the recorder sent it: some messages quote the body.
fn spaced(v: &Value) -> String {
    match v {
        Value::Object(m) => {
            let all: Vec<String> = m.iter().map(|(k, v)| format!("{}: {}", json!(k), spaced(v))).collect();
            format!("{{{}}}", all.join(", "))
        }
        Value::Array(l) => format!("[{}]", l.iter().map(spaced).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    reply.headers.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
}

fn parse(reply: &Reply) -> Value {
    if reply.body.starts_with(b"k8s\0") {
        return json!("{{protobuf}}");
    }
    serde_json::from_slice(&reply.body).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(&reply.body);
        let trim = header(reply, "content-type").is_some_and(|t| t.contains("text/plain"));
        json!(if trim { text.trim() } else { &text })
    })
}

fn trim(step: &Value, mut seen: Seen) -> Seen {
    let strings = |k: &str| -> Vec<String> {
        step[k].as_array().into_iter().flatten().filter_map(|p| p.as_str().map(str::to_owned)).collect()
    };
    for part in [&mut seen.body, &mut seen.events].into_iter().flatten() {
        strings("drop").iter().for_each(|p| value::drop_at(part, p));
        for p in strings("unordered") {
            let list = if p.is_empty() { Some(&mut *part) } else { part.pointer_mut(&p) };
            if let Some(Value::Array(l)) = list {
                l.sort_by_key(sorted_text);
            }
        }
    }
    if step.get("pick").is_some() {
        let pick = |v: &Value| {
            let mut out = Map::new();
            for p in strings("pick") {
                let found = value::pointer(v, &p).cloned().unwrap_or_else(|| json!("{{absent}}"));
                out.insert(p, found);
            }
            Value::Object(out)
        };
        if let Some(b) = &seen.body {
            seen.body = Some(pick(b));
        }
        if let Some(Value::Array(l)) = &seen.events {
            seen.events = Some(Value::Array(l.iter().map(pick).collect()));
        }
    }
    seen
}

/// JSON with sorted keys, to order lists whose order does not count.
fn sorted_text(v: &Value) -> String {
    match v {
        Value::Object(m) => {
            let mut all: Vec<String> =
                m.iter().map(|(k, v)| format!("{}: {}", json!(k), sorted_text(v))).collect();
            all.sort();
            format!("{{{}}}", all.join(", "))
        }
        Value::Array(l) => format!("[{}]", l.iter().map(sorted_text).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn observation(step: &Value, seen: &Seen, norm: &Normaliser) -> Value {
    let mut out = Map::new();
    let mut kind = String::new();
    if let Some(reply) = &seen.reply {
        out.insert("status".to_owned(), json!(reply.status));
        let parts = header(reply, "content-type").unwrap_or("").split(';');
        kind = parts.map(str::trim).collect::<Vec<_>>().join(";");
        if kind != "application/json" {
            out.insert("type".to_owned(), json!(kind));
        }
        let heads = headers(step, reply, norm);
        if !heads.is_empty() {
            out.insert("headers".to_owned(), Value::Object(heads));
        }
    }
    if let Some(body) = seen.body.as_ref().filter(|_| step["ignore_body"] != true) {
        let cleaned = match body {
            Value::String(s) if kind.contains("yaml") => json!(norm.yaml(s)),
            other => norm.clean(other, ""),
        };
        out.insert("body".to_owned(), cleaned);
    }
    if let Some(events) = &seen.events {
        out.insert("events".to_owned(), merge_bookmarks(norm.clean(events, "")));
    }
    if let Some(frames) = &seen.frames {
        out.insert("frames".to_owned(), norm.clean(frames, ""));
    }
    if let Some(c) = seen.closed {
        out.insert("closed".to_owned(), json!(c));
    }
    if let Some(c) = &seen.codes {
        out.insert("codes".to_owned(), c.clone());
    }
    Value::Object(out)
}

fn headers(step: &Value, reply: &Reply, norm: &Normaliser) -> Map<String, Value> {
    let asked =
        step["headers"].as_array().into_iter().flatten().filter_map(|h| h.as_str().map(str::to_lowercase));
    let present = KEPT_HEADERS.iter().filter(|h| header(reply, h).is_some()).map(|h| (*h).to_owned());
    let mut out = Map::new();
    for name in present.chain(asked).filter(|n| n != "date") {
        let mut values: Vec<Value> = reply
            .headers
            .iter()
            .filter(|(k, _)| *k == name)
            .map(|(_, v)| if name == "etag" && is_hash(v) { json!("{{etag}}") } else { json!(norm.text(v)) })
            .collect();
        if values.is_empty() {
            values.push(json!("{{absent}}"));
        }
        let value = if values.len() == 1 { values.remove(0) } else { Value::Array(values) };
        out.insert(name, value);
    }
    out
}

fn is_hash(v: &str) -> bool {
    let inner = v.trim_matches('"');
    v.len() == 130
        && inner.len() == 128
        && inner.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b))
}

/// Plain bookmarks in a row count as one.
fn merge_bookmarks(events: Value) -> Value {
    let Value::Array(list) = events else { return events };
    let plain = |e: &Value| e["type"] == "BOOKMARK" && e["object"]["metadata"].get("annotations").is_none();
    let mut out: Vec<Value> = Vec::new();
    for e in list {
        if plain(&e) && out.last().is_some_and(plain) {
            out.pop();
        }
        out.push(e);
    }
    Value::Array(out)
}
