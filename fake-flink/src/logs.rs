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
/// Enough for most messages.
const MESSAGE: usize = 200;

/// What a message consists of, for those that are written often: putting them together with the formatter took longer than
/// all else about them.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    Text(&'a str),
    Number(i64),
}

pub fn message(parts: &[Part]) -> String {
    let mut out = String::with_capacity(MESSAGE);
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Number(n) => push_number(&mut out, *n),
        }
    }
    out
}

fn push_number(out: &mut String, n: i64) {
    if n < 0 {
        out.push('-');
    }
    let mut digits = [0_u8; 20];
    let (mut at, mut left) = (digits.len(), n.unsigned_abs());
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.push_str(std::str::from_utf8(&digits[at..]).unwrap_or_default());
}

const BLANKS: &str = "                                                            ";

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
    let mut time = Vec::with_capacity(AROUND);
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
        time.extend(before.bytes());
        push_digits(&mut time, n, width);
    }
    line.push_str(std::str::from_utf8(&time).unwrap_or_default());
    for text in [" ", level, " ", logger] {
        line.push_str(text);
    }
    line.push_str(&BLANKS[..LOGGER_WIDTH.saturating_sub(logger.len())]);
    line.push_str(" [] - ");
    line.push_str(message);
    line
}

fn push_digits(time: &mut Vec<u8>, n: u16, width: u32) {
    for place in (0..width).rev() {
        time.push(b'0' + (n / 10_u16.pow(place) % 10) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_in_parts() {
        use super::Part::{Number, Text};
        let parts =
            [Text("a "), Number(0), Text(" "), Number(-17), Text("/"), Number(i64::MIN), Number(i64::MAX)];
        assert_eq!(message(&parts), format!("a 0 -17/{}{}", i64::MIN, i64::MAX));
        assert_eq!(BLANKS.len(), LOGGER_WIDTH);
    }

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
