//! Pure: effective configuration, validation, spec diff and the Kubernetes objects of a Flink cluster.
