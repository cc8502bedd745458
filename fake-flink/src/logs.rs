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

/// What stands around logger and message.
const AROUND: usize = 40;
const LOGGER_WIDTH: usize = 60;

pub fn line(now: Timestamp, level: Level, name: &str, message: &str) -> String {
    let level = match level {
        Level::Info => "INFO ",
        Level::Warn => "WARN ",
        Level::Error => "ERROR",
    };
    let at = jiff::tz::Offset::UTC.to_datetime(now);
    let number = |n: i8| n.unsigned_abs().into();
    let logger = logger(name);
    let mut line = String::with_capacity(AROUND + logger.len().max(LOGGER_WIDTH) + message.len());
    // Put together by hand: a quarter of what a checkpoint costs went into formatting its two lines.
    for (before, n, width) in [
        ("", at.year().unsigned_abs(), 4),
        ("-", number(at.month()), 2),
        ("-", number(at.day()), 2),
        (" ", number(at.hour()), 2),
        (":", number(at.minute()), 2),
        (":", number(at.second()), 2),
        (",", at.millisecond().unsigned_abs(), 3),
    ] {
        line.push_str(before);
        push_digits(&mut line, n, width);
    }
    for text in [" ", level, " ", logger] {
        line.push_str(text);
    }
    line.extend(std::iter::repeat_n(' ', LOGGER_WIDTH.saturating_sub(logger.len())));
    line.push_str(" [] - ");
    line.push_str(message);
    line
}

fn push_digits(line: &mut String, n: u16, width: u32) {
    for place in (0..width).rev() {
        line.push(char::from(b'0' + (n / 10_u16.pow(place) % 10) as u8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout() {
        let text = line(Timestamp::UNIX_EPOCH, Level::Info, "JobMaster", "hello");
        let expected = "1970-01-01 00:00:00,000 INFO  org.apache.flink.runtime.jobmaster.JobMaster                 [] - hello";
        assert_eq!(text, expected);
        let later = Timestamp::from_millisecond(1_795_252_309_087).expect("a moment");
        let name = "org.apache.flink.kubernetes.highavailability.KubernetesLeaderElectionHaServices";
        let text = line(later, Level::Warn, "KubernetesLeaderElectionHaServices", "");
        assert_eq!(text, format!("2026-11-21 09:11:49,087 WARN  {name} [] - "));
    }
}
