//! Replaces what varies between runs by placeholders that keep identity and order, as the recorder did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use regex::{Captures, Regex};
use serde_json::{Map, Value, json};

use super::value::Variables;

const LETTERS: &str = "bcdfghjklmnpqrstvwxz2456789";

struct Patterns {
    uuid: Regex,
    stamp: Regex,
    age: Regex,
    generate: Regex,
    simple: Vec<(Regex, &'static str)>,
    precondition: Regex,
    address: Regex,
    yaml_version: Regex,
    yaml_managed: Regex,
}

fn patterns() -> &'static Patterns {
    static ALL: OnceLock<Patterns> = OnceLock::new();
    ALL.get_or_init(|| {
        let re = |s: &str| Regex::new(s).expect("the patterns of this file are valid");
        Patterns {
            uuid: re("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
            stamp: re(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"),
            age: re(r"^(\d+y)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?$"),
            generate: re(r#""generateName":\s*"([^"]*)""#),
            simple: vec![
                (re(r"too old resource version: (\d+) \(\d+\)"), "too old resource version: $1 ({{n}})"),
                (
                    re(r"Too large resource version: \d+, current: \d+"),
                    "Too large resource version: {{n}}, current: {{n}}",
                ),
                (re(r"hash=[0-9A-F]{16,}"), "hash={{hash}}"),
                (
                    re(r#"Invalid value: "\{\\"(?:apiVersion|kind|metadata).*\}": "#),
                    "Invalid value: \"{{object}}\": ",
                ),
                (re(r"Key: /[^,]+,"), "Key: {{key}},"),
                (re(r"0x[0-9a-f]{6,}"), "{{ptr}}"),
                (re(r#"in scheme "[^"]*""#), "in scheme \"{{scheme}}\""),
                (re(r"eyJ[\w-]+\.[\w-]+\.[\w-]+"), "{{jwt}}"),
                (re(r":3[0-2]\d{3}/(TCP|UDP)"), ":{{nodePort}}/$1"),
            ],
            precondition: re(r"(precondition|record) \((\d+)\)"),
            address: re(r"\b10\.(?:96|0|43)\.\d+\.\d+\b"),
            yaml_version: re(r#"resourceVersion: "(\d+)""#),
            yaml_managed: re(r"  managedFields:\n(  [- ] .*\n)+"),
        }
    })
}

pub(super) struct Normaliser {
    reverse: Vec<(String, String)>,
    address: String,
    sent: String,
    keep_managed: bool,
    now: i64,
    uids: BTreeMap<String, usize>,
    names: Vec<(String, String)>,
    versions: BTreeSet<u64>,
    generated: Vec<Regex>,
}

impl Normaliser {
    pub(super) fn new(
        vars: &Variables,
        address: String,
        sent: String,
        keep_managed: bool,
        now: i64,
    ) -> Normaliser {
        let mut reverse: Vec<(String, String)> =
            vars.iter().map(|(k, v)| (v.clone(), format!("{{{{{k}}}}}"))).collect();
        reverse.sort_by_key(|(v, _)| std::cmp::Reverse(v.len()));
        let bases: BTreeSet<String> =
            patterns().generate.captures_iter(&sent).map(|c| c[1].to_owned()).collect();
        let generated = bases
            .iter()
            .filter(|b| !b.is_empty())
            .filter_map(|b| Regex::new(&format!("{}([{LETTERS}]{{5}})", regex::escape(b))).ok())
            .collect();
        Normaliser {
            reverse,
            address,
            sent,
            keep_managed,
            now,
            uids: BTreeMap::new(),
            names: Vec::new(),
            versions: BTreeSet::new(),
            generated,
        }
    }

    fn knows(&self, name: &str) -> bool {
        self.names.iter().any(|(n, _)| n == name)
    }

    /// First pass, in sorted key order: resource versions, uids, generated names.
    pub(super) fn survey(&mut self, v: &Value, parent: &str) {
        match v {
            Value::Object(m) => {
                self.survey_object(m, parent);
                let mut keys: Vec<&String> = m.keys().collect();
                keys.sort();
                for k in keys {
                    self.survey(&m[k], last_segment(k));
                }
            }
            Value::Array(l) => l.iter().for_each(|x| self.survey(x, parent)),
            Value::String(s) => self.survey_text(s),
            _ => {}
        }
    }

    fn survey_object(&mut self, m: &Map<String, Value>, parent: &str) {
        let text = |k: &str| m.get(k).and_then(Value::as_str);
        if let (Some(base), Some(name)) = (text("generateName"), text("name"))
            && let Some(tail) = name.strip_prefix(base)
            && tail.len() == 5
            && tail.chars().all(|c| LETTERS.contains(c))
            && !self.knows(name)
        {
            self.names.push((name.to_owned(), format!("{base}{{{{rand}}}}")));
        }
        for key in ["pod-template-hash", "controller-revision-hash"] {
            if let Some(h) = text(key).filter(|h| h.len() >= 6 && !self.knows(h) && !self.sent.contains(h)) {
                let n = 1 + self.names.iter().filter(|(_, p)| p.contains("hash#")).count();
                self.names.push((h.to_owned(), format!("{{{{hash#{n}}}}}")));
            }
        }
        if parent == "metadata"
            && m.contains_key("uid")
            && let Some(n) = text("resourceVersion").and_then(|v| v.parse().ok())
        {
            self.versions.insert(n);
        }
    }

    fn survey_text(&mut self, s: &str) {
        let mut found: Vec<String> = Vec::new();
        for g in &self.generated {
            for m in g.find_iter(s) {
                let next = s[m.end()..].chars().next();
                if next.is_none_or(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit())) {
                    found.push(m.as_str().to_owned());
                }
            }
        }
        for name in found {
            if !self.knows(&name) {
                let mark = format!("{}{{{{rand}}}}", &name[..name.len() - 5]);
                self.names.push((name, mark));
            }
        }
        for u in patterns().uuid.find_iter(s) {
            if !self.sent.contains(u.as_str()) {
                let next = self.uids.len() + 1;
                self.uids.entry(u.as_str().to_owned()).or_insert(next);
            }
        }
    }

    pub(super) fn finish_survey(&mut self) {
        self.names.sort_by_key(|(n, _)| std::cmp::Reverse(n.len()));
    }

    fn version(&self, text: &str, is_object: bool) -> String {
        let n: u64 = text.parse().unwrap_or(0);
        if is_object && let Some(at) = self.versions.iter().position(|v| *v == n) {
            return format!("{{{{rv#{}}}}}", at + 1);
        }
        if n == 0 || self.sent.contains(&format!("\"{text}\"")) {
            return text.to_owned();
        }
        format!("{{{{rv#{}+}}}}", self.versions.iter().filter(|v| **v <= n).count())
    }

    pub(super) fn text(&self, s: &str) -> String {
        let p = patterns();
        let mut s = p.stamp.replace_all(s, |c: &Captures<'_>| self.stamp(c)).into_owned();
        s = p
            .uuid
            .replace_all(&s, |c: &Captures<'_>| {
                self.uids.get(&c[0]).map_or_else(|| c[0].to_owned(), |n| format!("{{{{uid#{n}}}}}"))
            })
            .into_owned();
        for (name, mark) in &self.names {
            if s.contains(name.as_str()) {
                let mut mark = mark.clone();
                for (raw, ph) in self.names.iter().filter(|(raw, _)| raw != name) {
                    mark = mark.replace(raw.as_str(), ph);
                }
                s = s.replace(name.as_str(), &mark);
            }
        }
        for (actual, mark) in &self.reverse {
            s = s.replace(actual.as_str(), mark);
        }
        s = s.replace(&self.address, "{{addr}}");
        s = hashes(&s);
        for (re, to) in &p.simple {
            s = re.replace_all(&s, *to).into_owned();
        }
        s = p
            .precondition
            .replace_all(&s, |c: &Captures<'_>| format!("{} ({})", &c[1], self.version(&c[2], true)))
            .into_owned();
        p.address
            .replace_all(
                &s,
                |c: &Captures<'_>| {
                    if self.sent.contains(&c[0]) { c[0].to_owned() } else { "{{ip}}".to_owned() }
                },
            )
            .into_owned()
    }

    fn stamp(&self, c: &Captures<'_>) -> String {
        let whole = &c[0];
        let seconds = format!("{}Z", &whole[..19]).parse::<jiff::Timestamp>().map_or(0, |t| t.as_second());
        if (seconds - self.now).abs() > 86_400 * 400 || self.sent.contains(whole) {
            return whole.to_owned();
        }
        if c.get(1).is_some() { "{{microtime}}".to_owned() } else { "{{time}}".to_owned() }
    }

    pub(super) fn clean(&self, v: &Value, key: &str) -> Value {
        match v {
            Value::Object(m) => {
                let sorted;
                let m = if m.get("details").is_some_and(Value::is_object) {
                    sorted = any_order(m);
                    &sorted
                } else {
                    m
                };
                let own = last_segment(key);
                let mut out = Map::new();
                for (k, x) in m {
                    let name = if k.starts_with('/') { last_segment(k) } else { k.as_str() };
                    if name == "managedFields" && !self.keep_managed {
                        continue;
                    }
                    let (k, x) = self.member(k, name, x, own, m);
                    out.insert(k, x);
                }
                Value::Object(out)
            }
            Value::Array(l) => Value::Array(l.iter().map(|x| self.clean(x, key)).collect()),
            Value::String(s) => Value::String(self.text(s)),
            other => other.clone(),
        }
    }

    fn member(&self, k: &str, name: &str, x: &Value, own: &str, of: &Map<String, Value>) -> (String, Value) {
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        let value = match (name, x) {
            (_, Value::String(s)) if k == "resourceVersion" && own == "metadata" && digits(s) => {
                json!(self.version(s, of.contains_key("uid")))
            }
            ("storageVersionHash", _) if self.sent.contains("{{id}}") => json!("{{hash}}"),
            ("continue", Value::String(s)) if !s.is_empty() && s != "{{absent}}" => json!("{{continue}}"),
            ("nodePort", Value::Number(n)) if !self.sent.contains(&n.to_string()) => json!("{{nodePort}}"),
            ("cells", Value::Array(l)) => Value::Array(
                l.iter()
                    .map(|c| match c {
                        Value::String(s) if !s.is_empty() && patterns().age.is_match(s) => json!("{{age}}"),
                        other => self.clean(other, ""),
                    })
                    .collect(),
            ),
            _ => return (self.text(k), self.clean(x, k)),
        };
        (k.to_owned(), value)
    }

    pub(super) fn yaml(&self, s: &str) -> String {
        let p = patterns();
        let mut s = p
            .yaml_version
            .replace_all(s, |c: &Captures<'_>| format!("resourceVersion: \"{}\"", self.version(&c[1], true)))
            .into_owned();
        if !self.keep_managed {
            s = p.yaml_managed.replace_all(&s, "").into_owned();
        }
        self.text(&s)
    }
}

fn last_segment(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

/// `x-<8..10 letters>` is a template hash, with five more letters a pod name.
fn hashes(s: &str) -> String {
    let b = s.as_bytes();
    let alnum = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let letters = |t: &[u8]| t.iter().all(|c| LETTERS.as_bytes().contains(c));
    let run = |from: usize| from + b[from..].iter().take_while(|c| alnum(**c)).count();
    let (mut out, mut i) = (Vec::new(), 0);
    while i < b.len() {
        out.push(b[i]);
        i += 1;
        if b[i - 1] != b'-' || i < 2 || !alnum(b[i - 2]) {
            continue;
        }
        let end = run(i);
        if !(8..=10).contains(&(end - i)) || !letters(&b[i..end]) {
            continue;
        }
        out.extend_from_slice(b"{{hash}}");
        i = end;
        if b.get(end) == Some(&b'-') {
            let tail = run(end + 1);
            if tail - end - 1 == 5 && letters(&b[end + 1..tail]) {
                out.extend_from_slice(b"-{{rand}}");
                i = tail;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| s.to_owned())
}

/// Sorts causes where a real server walks a map: custom resource schema errors, apply conflicts.
fn any_order(status: &Map<String, Value>) -> Map<String, Value> {
    let mut out = status.clone();
    let details = &status["details"];
    let mut causes = details["causes"].as_array().cloned().unwrap_or_default();
    let text = |c: &Value, k: &str| c[k].as_str().unwrap_or("None").to_owned();
    if causes.first().is_some_and(|c| c["reason"] == "FieldManagerConflict") {
        causes.sort_by_key(|c| (text(c, "message"), text(c, "field")));
        out["details"]["causes"] = Value::Array(causes);
        return out;
    }
    if !details["group"].as_str().unwrap_or("").ends_with("example.com") {
        return out;
    }
    let items = |l: &[Value]| {
        l.iter()
            .map(|c| format!("{}: {}", text(c, "field"), text(c, "message")))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let message = status.get("message").and_then(Value::as_str).unwrap_or("");
    let Some((head, listed)) = message.split_once(" is invalid: ") else { return out };
    if causes.len() > 1 && listed == format!("[{}]", items(&causes)) {
        causes.sort_by_key(|c| (c["field"] == "<nil>", text(c, "field"), text(c, "message")));
        out["message"] = json!(format!("{head} is invalid: [{}]", items(&causes)));
        out["details"]["causes"] = Value::Array(causes);
    }
    out
}
