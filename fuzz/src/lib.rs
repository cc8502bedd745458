//! What the fuzz targets do; `fuzz_targets/` hands it bytes, and so does a test of fake-kube-apiserver with the kept
//! corpus.

pub mod targets;
