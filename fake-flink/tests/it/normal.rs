//! Normalisation of answers, by the rules of the conformance tool: what varies between runs becomes a placeholder.

use regex::{Captures, Regex};
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::LazyLock;

fn re(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

static HEX: LazyLock<Regex> = LazyLock::new(|| re(r"^[0-9a-f]{32}$"));
static WORD: LazyLock<Regex> = LazyLock::new(|| re(r"[0-9a-zA-Z]+"));
static SAVEPOINT: LazyLock<Regex> = LazyLock::new(|| re(r"savepoint-([0-9a-f]{6})-[0-9a-f]{12}"));
static UUID: LazyLock<Regex> =
    LazyLock::new(|| re(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"));
static UPLOAD: LazyLock<Regex> = LazyLock::new(|| re(r"(file:)?(/[\w.+-]+)+/flink-web-upload"));
static TM: LazyLock<Regex> = LazyLock::new(|| re(r"\b[\w.-]+:\d{4,5}-[0-9a-f]{6}\b"));
static RPC: LazyLock<Regex> = LazyLock::new(|| re(r#"pekko\.(ssl\.)?tcp://[^\s"]+"#));
static ENDPOINT: LazyLock<Regex> = LazyLock::new(|| re(r"\b(localhost|127\.0\.0\.1):\d{4,5}\b"));
static HASH: LazyLock<Regex> = LazyLock::new(|| re(r"OperationKey@[0-9a-f]+\b"));
static JACKSON: LazyLock<Regex> = LazyLock::new(|| re(r"^(Caused by: )?(\S*jackson\S*): .*"));
static NUMBER: LazyLock<Regex> = LazyLock::new(|| re(r"^(-?[\d.]+(E-?\d+)?|NaN)$"));

const DURATIONS: &[&str] = &[
    "duration",
    "end_to_end_duration",
    "net-runtime",
    "checkpoint_duration",
    "sync",
    "async",
    "processing",
    "alignment",
    "start_delay",
    "accumulated-backpressured-time",
    "accumulated-idle-time",
    "accumulated-busy-time",
    "refresh-interval",
];
const BYTES: &[&str] = &[
    "read-bytes",
    "write-bytes",
    "state_size",
    "checkpointed_size",
    "processed_data",
    "persisted_data",
    "alignment_buffered",
    "buffered",
    "size",
    "physicalMemory",
    "freeMemory",
    "processed",
    "persisted",
];
const TRACES: &[&str] =
    &["stack-trace", "stacktrace", "root-exception", "exception", "errors", "failure_message"];

/// The lines of a trace that carry class and message.
pub fn trace(text: &str) -> String {
    let keep = |l: &&str| !l.trim().is_empty() && !l.starts_with('\t');
    let lines: Vec<&str> = text.split('\n').filter(keep).collect();
    let mut out: Vec<String> = Vec::new();
    for line in &lines {
        let line = JACKSON.replace(line, "$1{{jackson}}").into_owned();
        let over = line.ends_with("{{jackson}}");
        out.push(line);
        if over {
            if lines.last().is_some_and(|l| l.starts_with("End of exception")) {
                out.push("End of exception on server side>".to_owned());
            }
            break;
        }
    }
    out.join("\n")
}

/// Types instead of values; of a list the merged shape of its elements.
pub fn shape(value: &Value) -> Value {
    match value {
        Value::Object(m) => m.iter().map(|(k, v)| (k.clone(), shape(v))).collect::<Map<_, _>>().into(),
        Value::Array(items) => {
            let mut seen: Vec<Value> = Vec::new();
            for shape in items.iter().map(shape) {
                if !seen.contains(&shape) {
                    seen.push(shape);
                }
            }
            seen.sort_by_key(sorted_text);
            seen.into()
        }
        Value::Bool(_) => json!("bool"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("string"),
        Value::Null => json!("null"),
    }
}

/// JSON text with sorted keys.
pub fn sorted_text(value: &Value) -> String {
    match value {
        Value::Object(m) => {
            let sorted: BTreeMap<&String, String> = m.iter().map(|(k, v)| (k, sorted_text(v))).collect();
            format!("{sorted:?}")
        }
        Value::Array(items) => format!("{:?}", items.iter().map(sorted_text).collect::<Vec<_>>()),
        other => other.to_string(),
    }
}

pub struct Normaliser {
    reverse: Vec<(String, String)>,
    jobs: Vec<String>,
    /// The server asked.
    address: String,
    sent: String,
    ids: RefCell<BTreeMap<String, Vec<String>>>,
}

impl Normaliser {
    pub fn new(variables: &BTreeMap<String, String>, address: &str, sent: &str) -> Normaliser {
        let known = variables.iter().filter(|(_, v)| v.len() >= 8 && !sent.contains(v.as_str()));
        let mut reverse: Vec<(String, String)> =
            known.map(|(k, v)| (v.clone(), format!("{{{{{k}}}}}"))).collect();
        reverse.sort_by_key(|(v, _)| std::cmp::Reverse(v.len()));
        let jobs = variables.values().filter(|v| v.len() == 32 && HEX.is_match(v)).cloned().collect();
        let sent = format!("{sent}{}", sent.to_lowercase());
        Normaliser { reverse, jobs, address: address.to_owned(), sent, ids: RefCell::default() }
    }

    fn token(&self, kind: &str, value: &str) -> String {
        let mut ids = self.ids.borrow_mut();
        let same = ids.entry(kind.to_owned()).or_default();
        let at = same.iter().position(|v| v == value).unwrap_or_else(|| {
            same.push(value.to_owned());
            same.len() - 1
        });
        format!("{{{{{kind}#{}}}}}", at + 1)
    }

    fn text(&self, text: &str, kind: &str) -> String {
        let mut s = text.to_owned();
        for (actual, mark) in &self.reverse {
            s = s.replace(actual.as_str(), mark);
        }
        let hex = |m: &Captures| {
            if !HEX.is_match(&m[0]) || self.sent.contains(&m[0]) {
                m[0].to_owned()
            } else {
                self.token(kind, &m[0])
            }
        };
        s = WORD.replace_all(&s, hex).into_owned();
        let short = |m: &Captures| {
            let own = self.jobs.iter().any(|j| j.starts_with(&m[1]));
            format!("savepoint-{{{{{}}}}}-{{{{rand}}}}", if own { "short" } else { "other" })
        };
        s = SAVEPOINT.replace_all(&s, short).into_owned();
        s = UUID.replace_all(&s, "{{uuid}}").into_owned();
        s = UPLOAD.replace_all(&s, "{{path}}/flink-web-upload").into_owned();
        s = TM.replace_all(&s, |m: &Captures| self.token("tm", &m[0])).into_owned();
        s = RPC.replace_all(&s, "{{rpc}}").into_owned();
        s = s.replace(&self.address, "{{addr}}");
        s = ENDPOINT.replace_all(&s, "{{endpoint}}").into_owned();
        HASH.replace_all(&s, "OperationKey@{{hash}}").into_owned()
    }

    pub fn clean(&self, value: &Value, key: &str) -> Value {
        match value {
            Value::Object(m) => self.object(m, key),
            Value::Array(items) => items.iter().map(|v| self.clean(v, key)).collect(),
            Value::Number(n) => number(n.as_f64().unwrap_or(0.0), value, key),
            Value::String(s) => self.string(s, key),
            Value::Bool(_) | Value::Null => value.clone(),
        }
    }

    fn object(&self, m: &Map<String, Value>, key: &str) -> Value {
        if m.contains_key("read-bytes") && m.contains_key("read-bytes-complete") {
            let mark = |k: &String| if k.ends_with("-complete") { "{{bool}}" } else { "{{n}}" };
            return m.keys().map(|k| (k.clone(), json!(mark(k)))).collect::<Map<_, _>>().into();
        }
        if key == "aggregated" || key == "status-duration" {
            return numberless(&Value::Object(m.clone()));
        }
        let mut out = Map::new();
        for (k, v) in m {
            let inner = if k.starts_with('/') { k.rsplit('/').next().unwrap() } else { k };
            out.insert(self.text(k, "id"), self.clean(v, inner));
        }
        let metric = m.len() == 2
            && m.contains_key("id")
            && m.get("value").and_then(Value::as_str).is_some_and(|v| NUMBER.is_match(v));
        if metric {
            out.insert("value".to_owned(), json!("{{num}}"));
        }
        let aggregate = ["min", "max", "avg", "sum"].iter().any(|k| m.contains_key(*k))
            && m.iter().all(|(k, v)| v.is_number() || k == "id" || v == "NaN");
        if aggregate {
            let mark = |k: &str, v: &Value| {
                if k == "id" {
                    v.clone()
                } else if v == "NaN" {
                    json!("{{nan}}")
                } else {
                    json!("{{num}}")
                }
            };
            out = m.iter().map(|(k, v)| (k.clone(), mark(k, v))).collect();
        }
        Value::Object(out)
    }

    fn string(&self, s: &str, key: &str) -> Value {
        if s.starts_with("rO0AB") {
            return json!(if key == "serialized-throwable" { "{{throwable}}" } else { "{{serialized}}" });
        }
        if ["flink-revision", "flink-commit", "timezone-name", "host"].contains(&key) {
            return json!(format!("{{{{{key}}}}}"));
        }
        if ["endpoint", "location"].contains(&key) && re(r"^[\w.-]+:\d+$").is_match(s) {
            return json!("{{endpoint}}");
        }
        if ["taskmanager-id", "taskManagerId"].contains(&key)
            && !self.reverse.iter().any(|(v, _)| s.contains(v.as_str()))
        {
            return json!(self.token("tm", s));
        }
        let text = if TRACES.contains(&key) { trace(s) } else { s.to_owned() };
        let kind = match key {
            "jid" | "jobid" => "job",
            "slotSharingGroupId" => "group",
            "request-id" => "trigger",
            _ => "id",
        };
        json!(self.text(&text, kind))
    }
}

fn number(n: f64, value: &Value, key: &str) -> Value {
    let sized = [
        "heap",
        "nonHeap",
        "direct",
        "mapped",
        "memorySegments",
        "netty",
        "managed",
        "network",
        "task",
        "framework",
        "jvm",
        "total",
    ];
    let mark = if n > 1e12 && n < 1e13 {
        "{{ms}}"
    } else if ["ratio", "idleRatio", "busyRatio"].contains(&key) {
        "{{num}}"
    } else if DURATIONS.contains(&key) && n >= 0.0 {
        "{{dur}}"
    } else if BYTES.contains(&key) && n >= 0.0 {
        "{{bytes}}"
    } else if ["read-records", "write-records"].contains(&key) && n >= 0.0 {
        "{{n}}"
    } else if ["port", "dataPort", "jmxPort"].contains(&key) && n > 0.0 {
        "{{port}}"
    } else if sized.iter().any(|p| key.starts_with(p)) && value.is_i64() && n > 1000.0 {
        "{{bytes}}"
    } else {
        return value.clone();
    };
    json!(mark)
}

fn numberless(value: &Value) -> Value {
    match value {
        Value::Object(m) => m.iter().map(|(k, v)| (k.clone(), numberless(v))).collect::<Map<_, _>>().into(),
        _ => json!("{{n}}"),
    }
}
