//! The same cases against real clusters, whose addresses `make test-real-flink` gives: a recording that a real cluster
//! no longer confirms is wrong. With `DREY_RECORD=FILE` cases of that file are recorded instead and put among the probes.

use super::server::Http;
use super::{PROBES, all, case, read};
use serde_json::{Value, json};
use std::fmt::Write as _;

const CLUSTERS: [(&str, &str); 2] =
    [("1.20.3", "DREY_REAL_FLINK_1_20_3"), ("2.2.1", "DREY_REAL_FLINK_2_2_1")];
/// The version whose answers are the expectation itself; others are variants of it.
const BASE: &str = "1.20.3";

#[test]
fn real_clusters_answer_as_recorded() {
    let mut wrong = String::new();
    for (version, variable) in CLUSTERS {
        let Ok(url) = std::env::var(variable) else {
            println!("skipped: real Flink {version}, which {variable} does not name (make test-real-flink)");
            continue;
        };
        match std::env::var("DREY_RECORD") {
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
    let mut server = Http::new(url, 1.0);
    let (mut passed, mut wrong, mut lines) = (0, 0, String::new());
    for case in all().iter().filter(|c| comparable(c) && !c["skip"][version].is_string()) {
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
    let mut server = Http::new(url, 1.0);
    for given in read(&text) {
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

fn write(step: &mut Value, version: &str, seen: Option<Value>) {
    let Some(seen) = seen else { return };
    if version == BASE {
        step["expect"] = seen;
    } else if crate::normal::sorted_text(&step["expect"]) != crate::normal::sorted_text(&seen) {
        step["variants"][version] = seen;
    }
}
