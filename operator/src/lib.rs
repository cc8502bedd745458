//! The shell around the reconciler: watches, Flink and Kubernetes clients, status writer, leader election.
