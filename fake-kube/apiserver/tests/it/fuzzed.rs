//! The kept corpus of the fuzz targets and everything they ever found, through the same functions (docs/fuzzing.md).

use std::path::Path;
use std::time::{Duration, Instant};

#[path = "../../../../fuzz/src/targets.rs"]
pub mod targets;

/// What the fuzzer calls a hang is ten times that.
const SLOW: Duration = Duration::from_secs(5);

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 7] = [
    ("http", targets::http),
    ("patch", targets::patch),
    ("selector", targets::selector),
    ("crd", targets::crd),
    ("cel", targets::cel),
    ("protobuf", targets::protobuf),
    ("yaml", targets::yaml),
];

#[test]
fn kept_inputs_come_back() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    for (name, target) in TARGETS {
        let mut ran = 0;
        for folder in ["corpus", "findings"] {
            let Ok(files) = std::fs::read_dir(root.join(folder).join(name)) else { continue };
            for file in files {
                let path = file.expect("an entry").path();
                let input = std::fs::read(&path).expect("a file");
                let began = Instant::now();
                let outcome = std::panic::catch_unwind(|| target(&input));
                assert!(outcome.is_ok(), "{} panics", path.display());
                assert!(began.elapsed() < SLOW, "{} takes {:?}", path.display(), began.elapsed());
                ran += 1;
            }
        }
        assert!(ran > 3, "{name}: {ran} inputs");
    }
}
