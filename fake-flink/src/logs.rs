//! Log lines in the layout of the image's console appender: time, level, logger, message.

use jiff::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Info,
    Warn,
    Error,
}

/// Loggers by the simple names used in the model.
fn logger(name: &str) -> &str {
    match name {
        "ClusterEntrypoint" => "org.apache.flink.runtime.entrypoint.ClusterEntrypoint",
        "RestEndpoint" => "org.apache.flink.runtime.dispatcher.DispatcherRestEndpoint",
        "DefaultDispatcherRunner" => "org.apache.flink.runtime.dispatcher.runner.DefaultDispatcherRunner",
        "Dispatcher" => "org.apache.flink.runtime.dispatcher.StandaloneDispatcher",
        "ApplicationDispatcherBootstrap" => {
            "org.apache.flink.client.deployment.application.ApplicationDispatcherBootstrap"
        }
        "EmbeddedExecutor" => "org.apache.flink.client.deployment.application.executors.EmbeddedExecutor",
        "JobMaster" => "org.apache.flink.runtime.jobmaster.JobMaster",
        "ExecutionGraph" => "org.apache.flink.runtime.executiongraph.ExecutionGraph",
        "CheckpointCoordinator" => "org.apache.flink.runtime.checkpoint.CheckpointCoordinator",
        "CheckpointFailureManager" => "org.apache.flink.runtime.checkpoint.CheckpointFailureManager",
        "DefaultCompletedCheckpointStoreUtils" => {
            "org.apache.flink.runtime.checkpoint.DefaultCompletedCheckpointStoreUtils"
        }
        "DefaultJobGraphStore" => "org.apache.flink.runtime.jobmanager.DefaultJobGraphStore",
        "DefaultExecutionPlanStore" => "org.apache.flink.runtime.jobmanager.DefaultExecutionPlanStore",
        "KubernetesLeaderElectionHaServices" => {
            "org.apache.flink.kubernetes.highavailability.KubernetesLeaderElectionHaServices"
        }
        "ActiveResourceManager" => "org.apache.flink.runtime.resourcemanager.active.ActiveResourceManager",
        "StandaloneResourceManager" => "org.apache.flink.runtime.resourcemanager.StandaloneResourceManager",
        "JobMasterServiceLeadershipRunner" => {
            "org.apache.flink.runtime.jobmaster.JobMasterServiceLeadershipRunner"
        }
        other => other,
    }
}

pub fn line(now: Timestamp, level: Level, name: &str, message: &str) -> String {
    let level = match level {
        Level::Info => "INFO",
        Level::Warn => "WARN",
        Level::Error => "ERROR",
    };
    let at = jiff::tz::Offset::UTC.to_datetime(now);
    let (year, month, day) = (at.year(), at.month(), at.day());
    let (hour, minute, second, ms) = (at.hour(), at.minute(), at.second(), at.millisecond());
    // Written out: a pattern to be parsed each time costs more than the line.
    format!(
        "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02},{ms:03} {level:<5} {:<60} [] - {message}",
        logger(name)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout() {
        let text = line(Timestamp::UNIX_EPOCH, Level::Info, "JobMaster", "hello");
        let expected = "1970-01-01 00:00:00,000 INFO  org.apache.flink.runtime.jobmaster.JobMaster                 [] - hello";
        assert_eq!(text, expected);
    }
}
