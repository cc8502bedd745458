//! The same cases against real clusters, whose addresses `make test-real-flink` gives: a recording that a real cluster
//! no longer confirms is wrong. With `DREY_RECORD=FILE` cases of that file are recorded instead and put among the probes;
//! what 1.18.1 answers otherwise goes into a file of its own, of all cases with `DREY_RECORD=all`.

use super::server::Http;
use super::{OLD, OLD_ANSWERS, PROBES, USUAL, all, case, is_of, of_cluster, read};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

const CLUSTERS: [(&str, &str); 3] = [
    ("1.20.3", "DREY_REAL_FLINK_1_20_3"),
    ("2.2.1", "DREY_REAL_FLINK_2_2_1"),
    (OLD, "DREY_REAL_FLINK_1_18_1"),
];
/// The version whose answers are the expectation itself; others are variants of it.
const BASE: &str = "1.20.3";

/// Which configuration the real clusters have: a name of `clusters.txt`.
fn asked_cluster() -> String {
    std::env::var("DREY_REAL_FLINK_CLUSTER").unwrap_or_else(|_| USUAL.to_owned())
}

#[test]
fn real_clusters_answer_as_recorded() {
    let mut wrong = String::new();
    for (version, variable) in CLUSTERS {
        let Ok(url) = std::env::var(variable) else {
            println!("skipped: real Flink {version}, which {variable} does not name (make test-real-flink)");
            continue;
        };
        match std::env::var("DREY_RECORD") {
            Ok(file) if version == OLD => record_old(&file, &url),
            Ok(file) => record(&file, version, &url),
            Err(_) => wrong += &confirm(version, &url),
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// What is left out: a real cluster answers these by chance, or they end it.
fn comparable(case: &Value) -> bool {
    case["fresh"] != json!(true) && case["last"] != json!(true)
}

fn confirm(version: &str, url: &str) -> String {
    let mut server = real(url, version);
    let (mut passed, mut wrong, mut lines) = (0, 0, String::new());
    for case in of_cluster(&asked_cluster(), version).iter().filter(|c| comparable(c)) {
        match case::check(case, &mut server, version) {
            Ok(()) => passed += 1,
            Err(why) => {
                wrong += 1;
                writeln!(lines, "real {version}: {}: {why}", case["id"].as_str().unwrap()).unwrap();
            }
        }
    }
    println!("real Flink {version}: {passed} cases as recorded, {wrong} not");
    print!("{lines}");
    // A busy machine makes a real cluster late now and then.
    if wrong * 50 > passed { lines } else { String::new() }
}

/// Runs the cases of a file and writes the probes with what was seen, those of the same id replaced.
fn record(file: &str, version: &str, url: &str) {
    let text = std::fs::read_to_string(file).unwrap_or_else(|why| panic!("read {file}: {why}"));
    let probes = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/probes.jsonl");
    let mut kept = read(&std::fs::read_to_string(probes).unwrap_or_else(|_| PROBES.to_owned()));
    let mut server = real(url, version);
    let cluster = asked_cluster();
    for given in read(&text).into_iter().filter(|case| is_of(case, &cluster)) {
        let known = kept.iter().position(|c| c["id"] == given["id"]);
        let mut case = known.filter(|_| version != BASE).map_or(given, |at| kept[at].clone());
        match case::observe(&case, &mut server) {
            Ok(seen) => {
                for (step, seen) in case["steps"].as_array_mut().unwrap().iter_mut().zip(seen) {
                    write(step, version, seen);
                }
            }
            Err(why) => {
                println!("not recorded: {} on {version}: {why}", case["id"]);
                case["skip"][version] = json!("not recorded");
            }
        }
        match known {
            Some(at) => kept[at] = case,
            None => kept.push(case),
        }
    }
    let lines: Vec<String> = kept.iter().map(Value::to_string).collect();
    std::fs::write(probes, lines.join("\n") + "\n").unwrap();
}

fn real(url: &str, version: &str) -> Http {
    let server = Http::new(url, 1.0);
    if version == OLD { server.with_job(include_bytes!("../../data/Job-1.18.jar")) } else { server }
}

/// What the oldest release answers otherwise than the base, of the cases of a file or of all.
fn record_old(file: &str, url: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/cases-1.18.1.jsonl");
    let by_id = |line: Value| (line["id"].as_str().unwrap().to_owned(), line);
    let old = std::fs::read_to_string(path).unwrap_or_else(|_| OLD_ANSWERS.to_owned());
    let mut kept: BTreeMap<String, Value> = read(&old).into_iter().map(by_id).collect();
    let asked: Vec<Value> = match file {
        "all" => all().into_iter().filter(comparable).collect(),
        file => read(&std::fs::read_to_string(file).unwrap_or_else(|why| panic!("read {file}: {why}"))),
    };
    // What was recorded a moment ago on the base is in the file only.
    let probes = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/probes.jsonl"));
    let probes = probes.unwrap_or_else(|_| PROBES.to_owned());
    let known: BTreeMap<String, Value> =
        read(&probes).into_iter().chain(read(super::CASES)).map(by_id).collect();
    let mut server = real(url, OLD);
    let cluster = asked_cluster();
    for given in asked.into_iter().filter(|case| is_of(case, &cluster)) {
        let id = given["id"].as_str().unwrap().to_owned();
        let case = known.get(&id).unwrap_or_else(|| panic!("{id} is recorded on {BASE} first"));
        kept.remove(&id);
        match case::observe(case, &mut server) {
            Err(why) => {
                println!("not recorded: {id} on {OLD}: {why}");
                let why = format!("not recorded: {}", why.lines().next().unwrap_or_default());
                kept.insert(id.clone(), json!({"id": id, "skip": why.chars().take(300).collect::<String>()}));
            }
            Ok(seen) => {
                let steps = case["steps"].as_array().unwrap().iter().zip(seen).enumerate();
                let differing = steps.filter_map(|(at, (step, seen))| {
                    let (mut seen, base) = (seen?, case::expectation(step, BASE));
                    if crate::normal::sorted_text(&base) == crate::normal::sorted_text(&seen) {
                        return None;
                    }
                    for key in base
                        .as_object()?
                        .keys()
                        .filter(|key| seen.get(*key).is_none())
                        .cloned()
                        .collect::<Vec<_>>()
                    {
                        seen[key] = json!("{{none}}");
                    }
                    Some((at.to_string(), seen))
                });
                let steps: Map<String, Value> = differing.collect();
                if !steps.is_empty() {
                    kept.insert(id.clone(), json!({"id": id, "steps": steps}));
                }
            }
        }
    }
    let lines: String = kept.values().map(|line| format!("{line}\n")).collect();
    std::fs::write(path, lines).unwrap();
}

fn write(step: &mut Value, version: &str, seen: Option<Value>) {
    let Some(seen) = seen else { return };
    if version == BASE {
        step["expect"] = seen;
    } else if crate::normal::sorted_text(&step["expect"]) != crate::normal::sorted_text(&seen) {
        step["variants"][version] = seen;
    }
}
