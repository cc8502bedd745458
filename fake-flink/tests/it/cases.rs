//! The 152 black-box cases, recorded on real session clusters of 1.20.3 and 2.2.1, run in process under virtual time.
//!
//! `tests/data/cases.jsonl` holds one case per line. Known failures are listed with their reasons; a listed case that
//! passes fails the test, so the list stays true.

use super::driver::{Driver, HOST, start_time};
use super::normal::{Normaliser, shape, sorted_text};
use fake_flink::{Event, ResourceManager, StartOptions, Version};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Cases that do not pass, with the reason: `(version, case, why)`.
const KNOWN_FAILURES: &[(&str, &str, &str)] = &[];

const CASES: &str = include_str!("../data/cases.jsonl");

#[test]
fn cases_of_1_20_3() {
    run_all("1.20.3", Version::V1_20);
}

#[test]
fn cases_of_2_2_1() {
    run_all("2.2.1", Version::V2_2);
}

fn run_all(name: &str, version: Version) {
    let mut cases: Vec<Value> = CASES.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(cases.len(), 152, "the copied cases are complete");
    let rank = |c: &Value| (c["fresh"] != json!(true), c["last"] == json!(true));
    cases.sort_by_key(rank);
    let mut driver = session(version);
    let (mut passed, mut wrong) = (0, Vec::new());
    for case in &cases {
        let id = case["id"].as_str().unwrap();
        let outcome = Run::new(case, &mut driver).execute(name);
        let known = KNOWN_FAILURES.iter().find(|(v, c, _)| *v == name && *c == id);
        match (outcome, known) {
            (Ok(()), None) => passed += 1,
            (Ok(()), Some(_)) => wrong.push(format!("{id}: passes, take it off the list of known failures")),
            (Err(why), None) => wrong.push(format!("{id}: {why}")),
            (Err(_), Some((_, _, why))) => println!("{id}: known failure: {why}"),
        }
    }
    println!(
        "cases of {name}: {passed} of {} pass, {} known failures",
        cases.len(),
        cases.len() - passed - wrong.len()
    );
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn session(version: Version) -> Driver {
    let options = StartOptions {
        resources: ResourceManager::Standalone,
        seed: 7,
        ..StartOptions::session(version, start_time())
    }
    .config("taskmanager.numberOfTaskSlots", "4")
    .config("parallelism.default", "2")
    .config("web.refresh-interval", "100 ms")
    .config("metrics.fetcher.update-interval", "100 ms");
    let mut driver = Driver::start(options, start_time());
    driver.pass(Duration::from_secs(5));
    driver.event(Event::TaskManagerUp { id: "localhost:40001-5e55ed".to_owned(), slots: 4 });
    driver
}

struct Run<'a> {
    case: &'a Value,
    driver: &'a mut Driver,
    variables: BTreeMap<String, String>,
    jobs: Vec<String>,
    jars: Vec<String>,
}

struct Got {
    status: u16,
    kind: String,
    body: Value,
}

impl<'a> Run<'a> {
    fn new(case: &'a Value, driver: &'a mut Driver) -> Run<'a> {
        let id = case["id"].as_str().unwrap();
        // Anything fresh per case will do.
        let hash = id
            .bytes()
            .fold(7u128, |h, b| h.wrapping_mul(0x1_0000_01b3).wrapping_add(u128::from(b)).rotate_left(31));
        let variables = BTreeMap::from([
            ("dir".to_owned(), format!("/tmp/cases/{id}")),
            ("fresh".to_owned(), format!("{hash:032x}")),
        ]);
        Run { case, driver, variables, jobs: Vec::new(), jars: Vec::new() }
    }

    fn execute(mut self, version: &str) -> Result<(), String> {
        let mut problems = Vec::new();
        let mut got = Vec::new();
        let steps = self.case["steps"].as_array().unwrap().clone();
        for (n, step) in steps.iter().enumerate() {
            let result = self.step(step, &mut problems).map_err(|why| format!("step {}: {why}", n + 1));
            match result {
                Ok(one) => got.push(one),
                Err(why) => {
                    self.clean_up();
                    return Err(why);
                }
            }
        }
        self.clean_up();
        let sent = Value::Array(steps.iter().map(|s| s["request"].clone()).collect()).to_string();
        let normal = Normaliser::new(&self.variables, &sent);
        for (n, (step, got)) in steps.iter().zip(got).enumerate() {
            let Some(got) = got else { continue };
            let have = observation(step, &got, &normal);
            let want = expectation(step, version);
            if sorted_text(&have) != sorted_text(&want) {
                problems.push(format!(
                    "step {} {}\n   expected {want}\n   observed {have}",
                    n + 1,
                    step["request"]["path"]
                ));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
    }

    fn step(&mut self, step: &Value, problems: &mut Vec<String>) -> Result<Option<Got>, String> {
        if let Some(seconds) = step.get("sleep").and_then(Value::as_f64) {
            self.driver.pass(Duration::from_secs_f64(seconds));
            return Ok(None);
        }
        let mut got = self.until(step)?;
        for (name, path) in step.get("capture").and_then(Value::as_object).into_iter().flatten() {
            let path = path.as_str().unwrap();
            let (path, base) = path.strip_suffix("#base").map_or((path, false), |p| (p, true));
            match pointer(&got.body, &self.fill(path)) {
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
            if !compare(check[1].as_str().unwrap(), left.as_ref(), &self.filled(&check[2])) {
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
    fn until(&mut self, step: &Value) -> Result<Got, String> {
        let mut last = String::new();
        for _ in 0..2000 {
            let got = self.once(&step["request"]);
            let conditions = step.get("until").and_then(Value::as_array).cloned().unwrap_or_default();
            let holds = |c: &Value| {
                compare(c[1].as_str().unwrap(), self.left(&c[0], &got).as_ref(), &self.filled(&c[2]))
            };
            let all = conditions.iter().all(holds);
            self.driver.pass(Duration::from_millis(if all { 3 } else { 50 }));
            if all {
                return Ok(got);
            }
            last = format!("{} {}", got.status, got.body);
        }
        Err(format!("{} is never true; last {last}", step["until"]))
    }

    fn left(&self, path: &Value, got: &Got) -> Option<Value> {
        match path.as_str().unwrap() {
            "status" => Some(json!(got.status)),
            path => pointer(&got.body, &self.fill(path)),
        }
    }

    fn once(&mut self, request: &Value) -> Got {
        let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
        let path = encode(&self.fill(request["path"].as_str().unwrap()), "/%:@,;=+$!*'()~?&");
        let pairs: Vec<(String, String)> = match &request["query"] {
            Value::Object(m) => m.iter().map(|(k, v)| (k.clone(), self.fill(&text(v)))).collect(),
            Value::Array(l) => l.iter().map(|p| (text(&p[0]), self.fill(&text(&p[1])))).collect(),
            _ => Vec::new(),
        };
        let query: Vec<String> =
            pairs.iter().map(|(k, v)| format!("{}={}", encode(k, ""), encode(v, ""))).collect();
        let uri = if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) };
        let mut builder = http::Request::builder()
            .method(request["method"].as_str().unwrap())
            .uri(uri)
            .header("host", HOST);
        let body = if let Some(parts) = request.get("upload").and_then(Value::as_array) {
            builder = builder.header("content-type", "multipart/form-data; boundary=conformance");
            form(parts)
        } else {
            builder = builder.header("content-type", "application/json");
            match (request.get("body"), request.get("raw")) {
                (Some(body), _) => self.filled(body).to_string().into_bytes(),
                (None, Some(raw)) => self.fill(raw.as_str().unwrap()).into_bytes(),
                (None, None) => Vec::new(),
            }
        };
        let answer = self.driver.send(builder.body(body.into()).unwrap());
        if request["method"] == "POST" {
            if let Some(job) = answer.body.get("jobid").and_then(Value::as_str) {
                self.jobs.push(job.to_owned());
            }
            if let Some(file) = answer.body.get("filename").and_then(Value::as_str) {
                self.jars.push(file.rsplit('/').next().unwrap().to_owned());
            }
        }
        Got { status: answer.status, kind: answer.kind, body: answer.body }
    }

    fn trim(&self, step: &Value, got: &mut Got) {
        for path in step.get("drop").and_then(Value::as_array).into_iter().flatten() {
            remove(&mut got.body, path.as_str().unwrap());
        }
        if let Some(picks) = step.get("pick").and_then(Value::as_array) {
            let picked = picks
                .iter()
                .map(|p| p.as_str().unwrap())
                .map(|p| (p.to_owned(), pointer(&got.body, &self.fill(p)).unwrap_or(json!("{{absent}}"))));
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
            self.driver.call("PATCH", &format!("/jobs/{job}"), None);
        }
        for jar in std::mem::take(&mut self.jars) {
            self.driver.call("DELETE", &format!("/jars/{jar}"), None);
        }
        self.driver.pass(Duration::from_secs(1));
        let overview = self.driver.get("/overview");
        assert_eq!(
            overview["slots-available"], overview["slots-total"],
            "{}: slots stay taken",
            self.case["id"]
        );
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

fn form(parts: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        let content: &[u8] = match (part.get("content").and_then(Value::as_str), part["jar"].as_str()) {
            (Some(text), _) => text.as_bytes(),
            (None, Some("Job.jar")) => include_bytes!("../data/Job.jar"),
            (None, Some("nomanifest.jar")) => include_bytes!("../data/nomanifest.jar"),
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

/// JSON pointer with `key=x`, `key^x` in lists and `#` for the length.
fn pointer(value: &Value, path: &str) -> Option<Value> {
    let mut at = value.clone();
    for segment in path.split('/').skip(1) {
        let segment = segment.replace("~1", "/").replace("~0", "~");
        at = match &at {
            Value::Array(l) if segment == "#" => json!(l.len()),
            Value::Object(m) if segment == "#" => json!(m.len()),
            Value::Array(l) => {
                let text = |e: &Value, k: &str| {
                    e.get(k).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
                };
                if let Ok(index) = segment.parse::<usize>() {
                    l.get(index)?.clone()
                } else if let Some((k, x)) = segment.split_once('=') {
                    l.iter().find(|e| text(e, k).is_some_and(|t| t == x))?.clone()
                } else {
                    let (k, x) = segment.split_once('^')?;
                    l.iter().find(|e| text(e, k).is_some_and(|t| t.starts_with(x)))?.clone()
                }
            }
            Value::Object(m) => m.get(&segment)?.clone(),
            _ => return None,
        };
    }
    Some(at)
}

fn remove(value: &mut Value, path: &str) {
    let (head, rest) = path[1..].split_once('/').map_or((&path[1..], None), |(h, r)| (h, Some(r)));
    match (value, rest) {
        (Value::Array(l), Some(rest)) if head == "*" => {
            l.iter_mut().for_each(|v| remove(v, &format!("/{rest}")))
        }
        (Value::Object(m), Some(rest)) if head == "*" => {
            m.values_mut().for_each(|v| remove(v, &format!("/{rest}")))
        }
        (Value::Object(m), Some(rest)) => {
            if let Some(next) = m.get_mut(head) {
                remove(next, &format!("/{rest}"));
            }
        }
        (Value::Array(l), Some(rest)) => {
            if let Some(next) = head.parse::<usize>().ok().and_then(|i| l.get_mut(i)) {
                remove(next, &format!("/{rest}"));
            }
        }
        (Value::Object(m), None) => {
            m.shift_remove(head);
        }
        _ => {}
    }
}

fn compare(op: &str, left: Option<&Value>, right: &Value) -> bool {
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    if op == "exists" {
        return left.is_some() == (right != &json!(false));
    }
    let Some(left) = left else { return false };
    let number = |v: &Value| v.as_f64().or_else(|| v.as_str()?.parse().ok()).unwrap_or(f64::NAN);
    let length = || match left {
        Value::Array(l) => l.len(),
        Value::Object(m) => m.len(),
        other => text(other).len(),
    };
    match op {
        "in" => right.as_array().is_some_and(|l| l.contains(left)),
        "eq" => left == right || text(left) == text(right),
        "ne" => text(left) != text(right),
        "gt" => number(left) > number(right),
        "ge" => number(left) >= number(right),
        "lt" => number(left) < number(right),
        "le" => number(left) <= number(right),
        "contains" => text(left).contains(&text(right)),
        "matches" => regex::Regex::new(&text(right)).unwrap().is_match(&text(left)),
        "len" => length() as f64 == number(right),
        "minlen" => length() as f64 >= number(right),
        other => panic!("unknown operator {other}"),
    }
}

fn observation(step: &Value, got: &Got, normal: &Normaliser) -> Value {
    let mut out = json!({"status": got.status});
    if got.kind != "application/json; charset=UTF-8" {
        out["type"] = json!(got.kind);
    }
    if step.get("ignore_body").is_none() {
        let mut body = normal.clean(&got.body, "");
        if step.get("shape").is_some() {
            body = shape(&got.body);
        }
        for path in step.get("unordered").and_then(Value::as_array).into_iter().flatten() {
            if let Some(Value::Array(list)) = body.pointer_mut(path.as_str().unwrap()) {
                list.sort_by_key(sorted_text);
            }
        }
        out["body"] = body;
    }
    out
}

fn expectation(step: &Value, version: &str) -> Value {
    let mut out = step["expect"].clone();
    for (key, value) in step["variants"][version].as_object().into_iter().flatten() {
        match (key.as_str(), value) {
            ("patch", Value::Object(patch)) => {
                patch.iter().for_each(|(path, new)| apply(&mut out["body"], path, new))
            }
            (key, value) if value == "{{none}}" => {
                out.as_object_mut().unwrap().shift_remove(key);
            }
            (key, value) => out[key] = value.clone(),
        }
    }
    for path in step.get("unordered").and_then(Value::as_array).into_iter().flatten() {
        if let Some(Value::Array(list)) = out["body"].pointer_mut(path.as_str().unwrap()) {
            list.sort_by_key(sorted_text);
        }
    }
    out
}

fn apply(body: &mut Value, path: &str, new: &Value) {
    let (above, last) = path.rsplit_once('/').unwrap_or(("", ""));
    let last = last.replace("~1", "/").replace("~0", "~");
    if path.is_empty() {
        *body = new.clone();
        return;
    }
    match body.pointer_mut(above) {
        Some(Value::Object(m)) if new == "{{none}}" => {
            m.shift_remove(&last);
        }
        Some(Value::Object(m)) => {
            m.insert(last, new.clone());
        }
        Some(Value::Array(l)) => l[last.parse::<usize>().unwrap()] = new.clone(),
        _ => panic!("a patch of {path} has nowhere to go"),
    }
}
