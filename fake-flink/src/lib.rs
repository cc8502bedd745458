//! fake-flink: a Flink JobManager REST server with a job model behind it.
