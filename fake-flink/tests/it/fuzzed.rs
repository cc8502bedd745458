//! The kept corpus of the fuzz targets and everything they ever found, through the same functions (docs/fuzzing.md).
//!
//! `DREY_BLESS=1 cargo test -p fake-flink fuzz_seeds` writes the corpus from the recorded cases and the programs of the
//! documentation; inputs are small on purpose, and few.

use super::cases::CASES;
use serde_json::Value;
use std::path::{Path, PathBuf};

#[path = "../../../fuzz/src/flink.rs"]
pub mod flink;
#[path = "../../../fuzz/src/kept.rs"]
mod kept;
#[path = "../../../fuzz/src/text.rs"]
pub mod text;

const TARGETS: [kept::Target; 3] =
    [("flink", flink::flink), ("graph", flink::graph), ("program", flink::program)];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

#[test]
fn kept_inputs_come_back() {
    kept::come_back(&root(), &TARGETS, 1);
}

/// Of each target.
const FILES_MAX: usize = 48;
const SIZE_MAX: usize = 1500;

#[test]
fn fuzz_seeds() {
    if std::env::var_os("DREY_BLESS").is_none() {
        return;
    }
    let cases = CASES.lines().map(|line| serde_json::from_str::<Value>(line).expect("a case"));
    let requests: Vec<Vec<u8>> =
        cases.enumerate().map(|(n, case)| requests(n, &case)).filter(|text| text.len() < SIZE_MAX).collect();
    let graphs = [
        [&[1][..], include_bytes!("../data/submitted-1.20.3.bin")].concat(),
        [&[2][..], include_bytes!("../data/submitted-2.2.1.bin")].concat(),
    ];
    let documents = include_str!("../../../docs/fake-flink-jobs.md");
    let programs: Vec<Vec<u8>> = documents
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .chain(["name: small\nvertices: [{name: \"Source: a -> b\"}]\n", "throws: {message: no}\n"])
        .map(|text| text.as_bytes().to_vec())
        .collect();
    for (target, inputs) in [("flink", requests), ("graph", graphs.to_vec()), ("program", programs)] {
        let folder = root().join("corpus").join(target);
        std::fs::create_dir_all(&folder).expect("a folder");
        let step = inputs.len().div_ceil(FILES_MAX).max(1);
        for (i, input) in inputs.iter().step_by(step).enumerate() {
            std::fs::write(folder.join(format!("seed-{i:02}")), input).expect("written");
        }
    }
}

/// The requests of a case, as the target `flink` reads them.
fn requests(n: usize, case: &Value) -> Vec<u8> {
    let of = |step: &Value| {
        let request = step.get("request").filter(|request| request.get("upload").is_none())?;
        let (method, path) = (request["method"].as_str()?, request["path"].as_str()?);
        let body = request.get("body").map_or_else(String::new, Value::to_string);
        let text = format!("{method} {path}\n\n{body}");
        Some(
            ["jar", "job"]
                .iter()
                .fold(text, |text, name| text.replace(&format!("{{{{{name}}}}}"), &format!("{{{name}}}"))),
        )
    };
    let steps = case["steps"].as_array().expect("steps");
    let requests: Vec<String> = steps.iter().filter_map(of).collect();
    let text = requests.join(&char::from(text::BREAK).to_string());
    [&[n as u8 % 3], text.replace("{{v0}}", "{vertex}").as_bytes()].concat()
}
