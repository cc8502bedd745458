//! The kept corpus of the fuzz targets and everything they ever found, through the same functions (docs/fuzzing.md).

use std::path::Path;

#[path = "../../../../fuzz/src/kept.rs"]
mod kept;
#[path = "../../../../fuzz/src/targets.rs"]
pub mod targets;
#[path = "../../../../fuzz/src/text.rs"]
pub mod text;

const TARGETS: [kept::Target; 7] = [
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
    kept::come_back(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz"), &TARGETS, 3);
}
