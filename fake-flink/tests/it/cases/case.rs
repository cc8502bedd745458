//! One case: its steps carried out against a server, what came of them trimmed, normalised and compared with what is
//! recorded.

use super::pointer;
use super::server::Server;
use crate::driver::Answer;
use crate::normal::{Normaliser, shape, sorted_text};
use bytes::Bytes;
use http::Request;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// A case under way.
pub struct Run<'a> {
    case: &'a Value,
    server: &'a mut dyn Server,
    variables: BTreeMap<String, String>,
    jobs: Vec<String>,
    jars: Vec<String>,
}

/// Carries a case out; what was observed at each step that is compared.
pub fn observe(case: &Value, server: &mut dyn Server) -> Result<Vec<Option<Value>>, String> {
    let mut run = Run::new(case, server);
    let outcome = run.steps();
    run.clean_up();
    let (got, problems) = outcome?;
    if !problems.is_empty() {
        return Err(problems.join("\n"));
    }
    let steps = case["steps"].as_array().unwrap();
    let sent = Value::Array(steps.iter().map(|s| s["request"].clone()).collect()).to_string();
    let normal = Normaliser::new(&run.variables, run.server.address(), &sent);
    let seen = steps.iter().zip(got).map(|(step, got)| Some(observation(step, &got?, &normal)));
    Ok(seen.collect())
}

/// Carries a case out and says what differs from the recording of a version.
pub fn check(case: &Value, server: &mut dyn Server, version: &str) -> Result<(), String> {
    let mut problems = Vec::new();
    for (n, (step, have)) in case["steps"].as_array().unwrap().iter().zip(observe(case, server)?).enumerate()
    {
        let Some(have) = have else { continue };
        let want = expectation(step, version);
        if sorted_text(&have) != sorted_text(&want) {
            let (method, path) = (&step["request"]["method"], &step["request"]["path"]);
            problems.push(format!("step {} {method} {path}{}", n + 1, difference(&want, &have, "")));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

/// The places where two values differ, a line for each.
fn difference(want: &Value, have: &Value, at: &str) -> String {
    let inner = |keys: Vec<String>| -> String {
        let step = |k: &String| {
            let path = format!("{at}/{}", k.replace('~', "~0").replace('/', "~1"));
            let (w, h) = (pointer::find(want, &path[at.len()..]), pointer::find(have, &path[at.len()..]));
            match (w, h) {
                (Some(w), Some(h)) if sorted_text(&w) == sorted_text(&h) => String::new(),
                (Some(w), Some(h)) => difference(&w, &h, &path),
                (w, h) => format!("\n   {path}: expected {}, observed {}", shown(w), shown(h)),
            }
        };
        keys.iter().map(step).collect()
    };
    match (want, have) {
        (Value::Object(w), Value::Object(h)) => {
            let mut keys: Vec<String> = w.keys().cloned().collect();
            keys.extend(h.keys().filter(|k| !w.contains_key(*k)).cloned());
            inner(keys)
        }
        (Value::Array(w), Value::Array(h)) if w.len() == h.len() => {
            inner((0..w.len()).map(|i| i.to_string()).collect())
        }
        _ => format!("\n   {at}: expected {want}\n   {at}: observed {have}"),
    }
}

fn shown(value: Option<Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |v| v.to_string())
}

type Steps = (Vec<Option<Answer>>, Vec<String>);

impl<'a> Run<'a> {
    fn new(case: &'a Value, server: &'a mut dyn Server) -> Run<'a> {
        let id = case["id"].as_str().unwrap();
        // Anything fresh per case will do.
        let hash = id
            .bytes()
            .chain(server.salt().bytes())
            .fold(7u128, |h, b| h.wrapping_mul(0x1_0000_01b3).wrapping_add(u128::from(b)).rotate_left(31));
        let variables = BTreeMap::from([
            ("dir".to_owned(), format!("/tmp/drey-cases/{hash:032x}")),
            ("fresh".to_owned(), format!("{hash:032x}")),
        ]);
        Run { case, server, variables, jobs: Vec::new(), jars: Vec::new() }
    }

    fn steps(&mut self) -> Result<Steps, String> {
        let (mut got, mut problems) = (Vec::new(), Vec::new());
        for (n, step) in self.case["steps"].as_array().unwrap().iter().enumerate() {
            got.push(self.step(step, &mut problems).map_err(|why| format!("step {}: {why}", n + 1))?);
        }
        Ok((got, problems))
    }

    fn step(&mut self, step: &Value, problems: &mut Vec<String>) -> Result<Option<Answer>, String> {
        if let Some(seconds) = step.get("sleep").and_then(Value::as_f64) {
            self.server.pass(Duration::from_secs_f64(seconds));
            return Ok(None);
        }
        let mut got = self.until(step)?;
        for (name, path) in step.get("capture").and_then(Value::as_object).into_iter().flatten() {
            let path = path.as_str().unwrap();
            let (path, base) = path.strip_suffix("#base").map_or((path, false), |p| (p, true));
            match pointer::find(&got.body, &self.fill(path)) {
                Some(Value::String(s)) if base => {
                    self.variables.insert(name.clone(), s.rsplit('/').next().unwrap().to_owned());
                }
                Some(v) => {
                    let text = v.as_str().map_or_else(|| v.to_string(), str::to_owned);
                    self.variables.insert(name.clone(), text);
                }
                None if step.get("ignore").is_some() => {
                    return Err(format!("nothing at {path} in {} {}", got.status, got.body));
                }
                None => {}
            }
        }
        for check in step.get("assert").and_then(Value::as_array).into_iter().flatten() {
            let left = self.left(&check[0], &got);
            if !pointer::holds(check[1].as_str().unwrap(), left.as_ref(), &self.filled(&check[2])) {
                problems.push(format!("{check} does not hold: {left:?}"));
            }
        }
        for _ in 1..step.get("repeat").and_then(Value::as_u64).unwrap_or(1) {
            got = self.until(step)?;
        }
        if step.get("ignore").is_some() {
            return Ok(None);
        }
        self.trim(step, &mut got);
        Ok(Some(got))
    }

    /// Polls every 50 virtual milliseconds until the conditions hold.
    fn until(&mut self, step: &Value) -> Result<Answer, String> {
        let mut last = String::new();
        for _ in 0..2000 {
            let got = self.once(&step["request"]);
            let conditions = step.get("until").and_then(Value::as_array).cloned().unwrap_or_default();
            let holds = |c: &Value| {
                pointer::holds(c[1].as_str().unwrap(), self.left(&c[0], &got).as_ref(), &self.filled(&c[2]))
            };
            let all = conditions.iter().all(holds);
            self.server.pass(Duration::from_millis(if all { 3 } else { 50 }));
            if all {
                return Ok(got);
            }
            last = format!("{} {}", got.status, got.body);
        }
        Err(format!("{} is never true; last {last}", step["until"]))
    }

    fn left(&self, path: &Value, got: &Answer) -> Option<Value> {
        match path.as_str().unwrap() {
            "status" => Some(json!(got.status)),
            path => pointer::find(&got.body, &self.fill(path)),
        }
    }

    fn once(&mut self, request: &Value) -> Answer {
        let path = encode(&self.fill(request["path"].as_str().unwrap()), "/%:@,;=+$!*'()~?&");
        let pairs: Vec<(String, String)> = match &request["query"] {
            Value::Object(m) => m.iter().map(|(k, v)| (k.clone(), self.fill(&pointer::text(v)))).collect(),
            Value::Array(l) => {
                l.iter().map(|p| (pointer::text(&p[0]), self.fill(&pointer::text(&p[1])))).collect()
            }
            _ => Vec::new(),
        };
        let query: Vec<String> =
            pairs.iter().map(|(k, v)| format!("{}={}", encode(k, ""), encode(v, ""))).collect();
        let uri = if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) };
        let mut builder = Request::builder().method(request["method"].as_str().unwrap()).uri(uri);
        for (name, value) in request.get("headers").and_then(Value::as_object).into_iter().flatten() {
            builder = builder.header(name, value.as_str().unwrap());
        }
        let body = if let Some(parts) = request.get("upload").and_then(Value::as_array) {
            builder = builder.header("content-type", "multipart/form-data; boundary=conformance");
            form(parts, self.server.job())
        } else {
            let given = request["headers"].as_object().is_some_and(|h| h.contains_key("Content-Type"));
            if !given && (request.get("body").is_some() || request.get("raw").is_some()) {
                builder = builder.header("content-type", "application/json");
            }
            match (request.get("body"), request.get("raw")) {
                (Some(body), _) => self.filled(body).to_string().into_bytes(),
                (None, Some(raw)) => self.fill(raw.as_str().unwrap()).into_bytes(),
                (None, None) => Vec::new(),
            }
        };
        let answer = self.server.send(builder.body(body.into()).unwrap());
        if request["method"] == "POST" {
            if let Some(job) = answer.body.get("jobid").and_then(Value::as_str) {
                self.jobs.push(job.to_owned());
            }
            if let Some(file) = answer.body.get("filename").and_then(Value::as_str) {
                self.jars.push(file.rsplit('/').next().unwrap().to_owned());
            }
        }
        answer
    }

    fn trim(&self, step: &Value, got: &mut Answer) {
        for path in step.get("drop").and_then(Value::as_array).into_iter().flatten() {
            pointer::remove(&mut got.body, path.as_str().unwrap());
        }
        if let Some(picks) = step.get("pick").and_then(Value::as_array) {
            let picked = picks.iter().map(|p| p.as_str().unwrap()).map(|p| {
                (p.to_owned(), pointer::find(&got.body, &self.fill(p)).unwrap_or(json!("{{absent}}")))
            });
            got.body = picked.collect::<Map<_, _>>().into();
        }
        if let Some(names) = step.get("names").and_then(Value::as_array) {
            let list = got.body.as_array().cloned().unwrap_or_default();
            let name = |e: &Value| ["id", "key", "name"].iter().find_map(|k| e.get(*k)).cloned();
            let have: Vec<Value> = list.iter().filter_map(name).collect();
            got.body = names
                .iter()
                .map(|n| (n.as_str().unwrap().to_owned(), json!(have.contains(n))))
                .collect::<Map<_, _>>()
                .into();
        }
    }

    /// Cancels the jobs and deletes the jars of the case, and waits until the slots are free.
    fn clean_up(&mut self) {
        if self.case["last"] == json!(true) {
            return;
        }
        for job in std::mem::take(&mut self.jobs) {
            self.plain("PATCH", &format!("/jobs/{job}"));
        }
        for jar in std::mem::take(&mut self.jars) {
            self.plain("DELETE", &format!("/jars/{}", encode(&jar, "")));
        }
        for _ in 0..300 {
            let overview = self.plain("GET", "/overview").body;
            if overview["jobs-running"] == 0 && overview["slots-available"] == overview["slots-total"] {
                return;
            }
            self.server.pass(Duration::from_millis(50));
        }
        panic!("{}: slots stay taken", self.case["id"]);
    }

    fn plain(&mut self, method: &str, path: &str) -> Answer {
        let request = Request::builder().method(method).uri(path).body(Bytes::new());
        self.server.send(request.expect("a path of an id"))
    }

    fn fill(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for (name, value) in &self.variables {
            out = out.replace(&format!("{{{{{name}}}}}"), value);
        }
        out
    }

    fn filled(&self, value: &Value) -> Value {
        match value {
            Value::String(s) => json!(self.fill(s)),
            Value::Array(l) => l.iter().map(|v| self.filled(v)).collect(),
            Value::Object(m) => {
                m.iter().map(|(k, v)| (self.fill(k), self.filled(v))).collect::<Map<_, _>>().into()
            }
            other => other.clone(),
        }
    }
}

fn form(parts: &[Value], job: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        let content: &[u8] = match (part.get("content").and_then(Value::as_str), part["jar"].as_str()) {
            (Some(text), _) => text.as_bytes(),
            (None, Some("Job.jar")) => job,
            (None, Some("nomanifest.jar")) => include_bytes!("../../data/nomanifest.jar"),
            (None, other) => panic!("no jar {other:?} among the test data"),
        };
        let name = part
            .get("filename")
            .and_then(Value::as_str)
            .map_or_else(String::new, |f| format!("; filename=\"{f}\""));
        let field = part.get("field").and_then(Value::as_str).unwrap_or("jarfile");
        out.extend(
            format!("--conformance\r\nContent-Disposition: form-data; name=\"{field}\"{name}\r\n\r\n")
                .bytes(),
        );
        out.extend(content);
        out.extend(b"\r\n");
    }
    out.extend(b"--conformance--\r\n");
    out
}

fn encode(text: &str, safe: &str) -> String {
    let keep = |b: u8| b.is_ascii_alphanumeric() || b"_.-~".contains(&b) || safe.as_bytes().contains(&b);
    text.bytes().map(|b| if keep(b) { (b as char).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Lists whose order does not count.
fn sort(step: &Value, body: &mut Value) {
    for path in step.get("unordered").and_then(Value::as_array).into_iter().flatten() {
        if let Some(Value::Array(list)) = body.pointer_mut(path.as_str().unwrap()) {
            list.sort_by_key(sorted_text);
        }
    }
}

fn observation(step: &Value, got: &Answer, normal: &Normaliser) -> Value {
    let mut out = json!({"status": got.status});
    if got.kind != "application/json; charset=UTF-8" {
        out["type"] = json!(got.kind);
    }
    for name in step.get("headers").and_then(Value::as_array).into_iter().flatten() {
        let name = name.as_str().unwrap();
        let have = got.headers.get(name).map_or("{{absent}}", |v| v.to_str().unwrap());
        out["headers"][name] = json!(have);
    }
    if step.get("ignore_body").is_none() {
        let mut body = normal.clean(&got.body, "");
        if step.get("shape").is_some() {
            body = shape(&got.body);
        }
        sort(step, &mut body);
        out["body"] = body;
    }
    out
}

pub fn expectation(step: &Value, version: &str) -> Value {
    let mut out = step["expect"].clone();
    for (key, value) in step["variants"][version].as_object().into_iter().flatten() {
        match (key.as_str(), value) {
            ("patch", Value::Object(patch)) => {
                patch.iter().for_each(|(path, new)| pointer::apply(&mut out["body"], path, new))
            }
            (key, value) if value == "{{none}}" => {
                out.as_object_mut().unwrap().shift_remove(key);
            }
            (key, value) => out[key] = value.clone(),
        }
    }
    if let Some(body) = out.get_mut("body") {
        sort(step, body);
    }
    out
}
