//! A Kubernetes API server in one process: MVCC store and HTTP semantics.
