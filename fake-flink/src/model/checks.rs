//! What the configuration of a job is refused for: by its environment in `main()`, or by the JobMaster that starts it.
//! Options that neither reads may hold anything.

use crate::conf::{Conf, NotADuration, parse_millis};
use crate::throwable::{Throwable, class};
use crate::version::Version;

const INTERVAL: &str = "execution.checkpointing.interval";
const DURATIONS: &[&str] = &[
    "pipeline.auto-watermark-interval",
    INTERVAL,
    "execution.checkpointing.timeout",
    "execution.checkpointing.min-pause",
];
const INTERVAL_MIN_MS: i64 = 10;
const MODES: [&str; 2] = ["EXACTLY_ONCE", "AT_LEAST_ONCE"];
const NO_SCHEME: &str = "The scheme (hdfs://, file://, etc) is null. Please specify the file system scheme explicitly in the URI.";

/// What the environment refuses when it reads the configuration.
pub(crate) fn in_main(conf: &Conf, version: Version) -> Result<(), Throwable> {
    number_of(conf, "pipeline.max-parallelism", 1, "The maximum parallelism must be greater than 0.")?;
    mode(conf, version)?;
    for key in DURATIONS {
        let Some(text) = conf.get(key) else { continue };
        if duration(key, text, version)? < INTERVAL_MIN_MS && *key == INTERVAL {
            let text = "Checkpoint interval must be larger than or equal to 10 ms";
            return Err(Throwable::new(class::ILLEGAL_ARGUMENT, text));
        }
    }
    let concurrent = "The maximum number of concurrent attempts must be at least one.";
    number_of(conf, "execution.checkpointing.max-concurrent-checkpoints", 1, concurrent)?;
    number_of(conf, "execution.checkpointing.tolerable-failed-checkpoints", i64::MIN, "")?;
    if !version.is_2() && !has_scheme(conf) {
        return Err(Throwable::new(class::ILLEGAL_ARGUMENT, NO_SCHEME));
    }
    if version.since_1_20() {
        return Ok(());
    }
    // Up to 1.18 the environment loads the state backend and the restart strategy itself (recorded).
    backend(conf)
        .map_err(|cause| Throwable::wrap("org.apache.flink.util.WrappingRuntimeException", cause))?;
    restart_strategy(conf, version)
}

/// What the JobMaster refuses when it makes the scheduler of the job.
pub(super) fn by_job_master(conf: &Conf, version: Version) -> Result<(), Throwable> {
    if version.since_1_20() {
        backend(conf).map_err(|cause| not_instantiated("state backend", cause))?;
    }
    if version.is_2() && !has_scheme(conf) {
        let invalid = "org.apache.flink.configuration.IllegalConfigurationException";
        let cause = Throwable::new(invalid, "Invalid configuration for the state backend")
            .caused_by(Throwable::new(class::ILLEGAL_ARGUMENT, NO_SCHEME));
        return Err(not_instantiated("checkpoint storage", cause));
    }
    if version.since_1_20() { restart_strategy(conf, version) } else { Ok(()) }
}

fn not_instantiated(what: &str, cause: Throwable) -> Throwable {
    let text = format!("Could not instantiate configured {what}");
    let cause =
        Throwable::new("org.apache.flink.runtime.client.JobExecutionException", text).caused_by(cause);
    Throwable::wrap(class::RUNTIME, cause)
}

fn restart_strategy(conf: &Conf, version: Version) -> Result<(), Throwable> {
    let Some(kind) = conf.get("restart-strategy.type") else { return Ok(()) };
    let options: (&[&str], &[&str]) = match kind.to_ascii_lowercase().as_str() {
        "none" | "off" | "disable" => (&[], &[]),
        "fixed-delay" | "fixeddelay" => {
            (&["restart-strategy.fixed-delay.attempts"], &["restart-strategy.fixed-delay.delay"])
        }
        "failure-rate" | "failurerate" => (
            &["restart-strategy.failure-rate.max-failures-per-interval"],
            &["restart-strategy.failure-rate.failure-rate-interval", "restart-strategy.failure-rate.delay"],
        ),
        "exponential-delay" | "exponentialdelay" => (
            &[],
            &[
                "restart-strategy.exponential-delay.initial-backoff",
                "restart-strategy.exponential-delay.max-backoff",
                "restart-strategy.exponential-delay.reset-backoff-threshold",
            ],
        ),
        _ => {
            let text = match version.since_1_20() {
                true => format!("{kind} is an unknown value of RestartStrategyType."),
                false => format!("Unknown restart strategy {kind}."),
            };
            return Err(Throwable::new(class::ILLEGAL_ARGUMENT, text));
        }
    };
    for key in options.0 {
        conf.get(key).map_or(Ok(0), |text| whole_number(key, text))?;
    }
    for key in options.1 {
        conf.get(key).map_or(Ok(0), |text| duration(key, text, version))?;
    }
    Ok(())
}

/// State backends by short name or factory class; anything else is looked for as a class and not found.
fn backend(conf: &Conf) -> Result<(), Throwable> {
    let Some(name) = conf.get("state.backend.type") else { return Ok(()) };
    let known = ["hashmap", "jobmanager", "filesystem", "rocksdb", "forst"];
    if known.contains(&name.to_ascii_lowercase().as_str()) || name.contains('.') {
        return Ok(());
    }
    let text = format!("Cannot find configured state backend factory class: {name}");
    Err(Throwable::new("org.apache.flink.util.DynamicCodeLoadingException", text)
        .caused_by(Throwable::new("java.lang.ClassNotFoundException", name)))
}

fn mode(conf: &Conf, version: Version) -> Result<(), Throwable> {
    let key = "execution.checkpointing.mode";
    let known = |text: &str| MODES.iter().any(|m| m.eq_ignore_ascii_case(&text.replace('-', "_")));
    match conf.get(key).filter(|text| !known(text)) {
        None => Ok(()),
        Some(text) => {
            let class = match version.since_1_20() {
                true => "core.execution.CheckpointingMode",
                false => "streaming.api.CheckpointingMode",
            };
            let expected = format!(
                "Could not parse value for enum class org.apache.flink.{class}. Expected one of: [[EXACTLY_ONCE, AT_LEAST_ONCE]]"
            );
            Err(unparsed(key, text, Throwable::new(class::ILLEGAL_ARGUMENT, expected)))
        }
    }
}

fn has_scheme(conf: &Conf) -> bool {
    conf.get("execution.checkpointing.dir").is_none_or(|dir| dir.contains(":/") || dir.starts_with('/'))
}

fn number_of(conf: &Conf, key: &str, min: i64, too_small: &str) -> Result<(), Throwable> {
    let Some(text) = conf.get(key) else { return Ok(()) };
    if whole_number(key, text)? < min {
        return Err(Throwable::new(class::ILLEGAL_ARGUMENT, too_small));
    }
    Ok(())
}

pub(crate) fn whole_number(key: &str, text: &str) -> Result<i64, Throwable> {
    text.trim().parse::<i32>().map(i64::from).map_err(|_| {
        let cause = format!("For input string: \"{text}\"");
        unparsed(key, text, Throwable::new("java.lang.NumberFormatException", cause))
    })
}

fn duration(key: &str, text: &str, version: Version) -> Result<i64, Throwable> {
    parse_millis(text).map_err(|why| {
        let cause = match why {
            NotADuration::Unit(unit) => Throwable::new(
                class::ILLEGAL_ARGUMENT,
                format!("Time interval unit label '{unit}' does not match any of the recognized units: DAYS: (d | day | days), HOURS: (h | hour | hours), MINUTES: (min | m | minute | minutes), SECONDS: (s | sec | secs | second | seconds), MILLISECONDS: (ms | milli | millis | millisecond | milliseconds), MICROSECONDS: (µs | micro | micros | microsecond | microseconds), NANOSECONDS: (ns | nano | nanos | nanosecond | nanoseconds)"),
            ),
            NotADuration::NoNumber => {
                let iso = if version.is_2() {
                    format!(", and is not a valid ISO-8601 duration format: {text}")
                } else {
                    String::new()
                };
                let cause = format!("text does not start with a number{iso}");
                Throwable::new("java.lang.NumberFormatException", cause)
            }
        };
        unparsed(key, text, cause)
    })
}

fn unparsed(key: &str, text: &str, cause: Throwable) -> Throwable {
    let message = format!("Could not parse value '{text}' for key '{key}'.");
    Throwable::new(class::ILLEGAL_ARGUMENT, message).caused_by(cause)
}
