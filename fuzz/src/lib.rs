//! What the fuzz targets do; `fuzz_targets/` hands it bytes, and so do tests of fake-kube-apiserver and
//! fake-flink with the kept corpus.

pub mod flink;
pub mod kept;
pub mod targets;
pub mod text;
