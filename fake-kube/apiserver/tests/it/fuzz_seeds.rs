//! Writes the seed corpus of the fuzz targets from the recorded cases: `DREY_BLESS=1 cargo test -p fake-kube-apiserver
//! fuzz_seeds`. Inputs are small on purpose, and few.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::fuzzed::text::BREAK;

const SIZE_MAX: usize = 1500;
/// Files of a target.
const FILES_MAX: usize = 48;

type Corpus = BTreeMap<&'static str, Vec<Vec<u8>>>;

#[test]
fn fuzz_seeds() {
    if std::env::var_os("DREY_BLESS").is_none() {
        return;
    }
    let cases = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../cases"));
    let mut files: Vec<_> =
        std::fs::read_dir(cases).expect("the cases").map(|f| f.expect("a file").path()).collect();
    files.sort();
    let mut corpus = Corpus::new();
    for file in files.iter().filter(|f| !f.ends_with("fixtures.json")) {
        let text = std::fs::read_to_string(file).expect("a case file");
        let topic: Value = serde_json::from_str(&text).expect("JSON");
        for case in topic["cases"].as_array().into_iter().flatten() {
            take(case, &mut corpus);
        }
    }
    for rule in RULES {
        corpus.entry("cel").or_default().push(rule.as_bytes().to_vec());
    }
    for (target, inputs) in corpus {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        std::fs::create_dir_all(&folder).expect("a folder");
        let step = inputs.len().div_ceil(FILES_MAX).max(1);
        for (i, input) in inputs.iter().step_by(step).enumerate() {
            std::fs::write(folder.join(format!("seed-{i:02}")), input).expect("written");
        }
    }
}

/// Rules of each function family (kube-api.md 2.6 names them).
const RULES: [&str; 12] = [
    "self.i >= 0 && self.i <= 10",
    "self.l.all(x, x.size() < 3) || self.l.exists_one(x, x == 'a')",
    "self.m.map(k, k + 'x').filter(k, k.startsWith('k')).size() > 0",
    "has(self.o) && self.o.n > 1.0",
    "self.i == oldSelf.i || self.s.matches('^[a-z]+$')",
    "self.t > timestamp('2020-01-01T00:00:00Z') && self.d < duration('2h')",
    "type(self.x) == string ? int(self.x) > 3 : self.x > 3",
    "self.s.lowerAscii().split('e').join('-').replace('t', 'T').indexOf('x') >= 0",
    "quantity('1Gi').isGreaterThan(quantity('200Mi'))",
    "ip('10.0.0.1').family() == 4 && cidr('10.0.0.0/8').containsIP('10.1.2.3')",
    "url('https://example.com/a?b=c').getHostname() == 'example.com'",
    "[1, 2, 3].sum() == 6 && [3, 1].isSorted() && self.l.indexOf('b') == 1",
];

fn take(case: &Value, corpus: &mut Corpus) {
    let mut sequence: Vec<u8> = Vec::new();
    for step in case["steps"].as_array().into_iter().flatten() {
        let request = if step["request"].is_object() { &step["request"] } else { &step["watch"] };
        if !request.is_object() {
            continue;
        }
        let one = as_text(request);
        if sequence.len() + one.len() < SIZE_MAX {
            if !sequence.is_empty() {
                sequence.push(BREAK);
            }
            sequence.extend(one);
        }
        singly(request, corpus);
    }
    if !sequence.is_empty() {
        corpus.entry("http").or_default().push(sequence);
    }
}

fn filled(text: &str) -> String {
    let mut out = text.replace("{{ns}}", "default").replace("{{id}}", "x");
    while let (Some(from), Some(to)) = (out.find("{{"), out.find("}}")) {
        if to < from {
            break;
        }
        out.replace_range(from..to + 2, "1");
    }
    out
}

fn body(request: &Value) -> String {
    match (&request["body"], &request["raw"]) {
        (Value::Null, Value::String(raw)) => filled(raw),
        (Value::Null, _) => String::new(),
        (Value::String(text), _) => filled(text),
        (value, _) => filled(&value.to_string()),
    }
}

fn target(request: &Value) -> String {
    let mut out = filled(request["path"].as_str().unwrap_or("/"));
    let query: Vec<String> = request["query"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}={}", filled(v.as_str().unwrap_or(&v.to_string()))))
        .map(|p| p.replace(' ', "%20").replace('"', "%22"))
        .collect();
    if !query.is_empty() {
        out.push_str(&format!("?{}", query.join("&")));
    }
    out
}

fn as_text(request: &Value) -> Vec<u8> {
    let method = request["method"].as_str().unwrap_or("GET");
    let mut out = format!("{method} {}", target(request));
    for (key, value) in request["headers"].as_object().into_iter().flatten() {
        if let Some(value) = value.as_str() {
            out.push_str(&format!("\n{key}: {value}"));
        }
    }
    format!("{out}\n\n{}", body(request)).into_bytes()
}

/// What a request is a seed of besides.
fn singly(request: &Value, corpus: &mut Corpus) {
    let (path, text) = (request["path"].as_str().unwrap_or(""), body(request));
    if text.len() > SIZE_MAX {
        return;
    }
    let mut keep = |target: &'static str, first: &[u8], rest: &[u8]| {
        corpus.entry(target).or_default().push([first, rest].concat());
    };
    let media = request["headers"]["Content-Type"].as_str().unwrap_or("");
    let kinds = ["json-patch+json", "/merge-patch+json", "strategic-merge-patch+json", "apply-patch+yaml"];
    if let Some(kind) = kinds.iter().position(|k| media.contains(k)) {
        let object = ["configmaps", "deployments", "widgets", "pods"];
        let object = object.iter().position(|o| path.contains(o)).unwrap_or(0);
        keep("patch", &[kind as u8, object as u8], text.as_bytes());
    }
    if media.contains("yaml") {
        let kind = ["configmaps", "deployments", "widgets"].iter().position(|o| path.contains(o));
        keep("yaml", &[kind.unwrap_or(0) as u8], text.as_bytes());
    }
    for (key, kind) in [("labelSelector", 0), ("fieldSelector", 1)] {
        if let Some(selector) = request["query"][key].as_str() {
            keep("selector", &[kind], filled(selector).as_bytes());
        }
    }
    for version in request["body"]["spec"]["versions"].as_array().into_iter().flatten() {
        let schema = filled(&version["schema"]["openAPIV3Schema"].to_string());
        if schema.len() < SIZE_MAX {
            let object = br#"{"apiVersion":"t.example.com/v1","kind":"One","metadata":{"name":"a"},"spec":{"a":"1","size":1,"items":[{"name":"x"}]}}"#;
            keep("crd", schema.as_bytes(), &[&[BREAK][..], object].concat());
        }
    }
    let kinds = ["Pod", "ConfigMap", "Deployment", "Service", "Job", "Lease"];
    let kind = kinds.iter().position(|k| request["body"]["kind"] == *k);
    if let (Some(kind), "POST") = (kind, request["method"].as_str().unwrap_or("")) {
        let version = request["body"]["apiVersion"].as_str().unwrap_or("");
        let object: Value = serde_json::from_str(&text).unwrap_or_default();
        if let Some(message) = fake_kube_schema::proto::Message::of(version, kinds[kind]) {
            keep("protobuf", &[kind as u8], &message.encode(&object));
        }
    }
}
