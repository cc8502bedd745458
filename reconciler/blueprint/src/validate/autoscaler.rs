//! Options of the autoscaler (reconciler.md 8.1 #29). They count only while it is enabled.

use super::{Verdict, require};
use crate::config::{FlinkConf, Key, OperatorConfig, duration_text, keys};
use crate::cron::Cron;

pub(super) fn options(conf: &FlinkConf, operator: &OperatorConfig, rule: &'static str) -> Verdict {
    if !conf.value(keys::AUTOSCALER_ENABLED) {
        return Ok(());
    }
    for Range { key, least, most } in ranges(conf) {
        let fits = conf.get(key).is_none_or(|value| value >= least && most.is_none_or(|most| value <= most));
        require(fits, rule, || {
            let most = most.map_or("+Infinity".to_owned(), number_text);
            let least = number_text(least);
            format!(
                "The AutoScalerOption {} is invalid, it should be a value within the range [{least}, {most}]",
                key.name
            )
        })?;
    }
    for period in conf.value(keys::AUTOSCALER_EXCLUDED_PERIODS) {
        let problem = period_problem(&period);
        require(problem.is_none(), rule, || {
            format!(
                "Invalid value {period} in the autoscaler config {}: {}",
                keys::AUTOSCALER_EXCLUDED_PERIODS.name,
                problem.unwrap_or_default()
            )
        })?;
    }
    let window = conf.value(keys::AUTOSCALER_METRICS_WINDOW);
    let interval = operator.value(keys::RECONCILE_INTERVAL);
    require(window >= interval, rule, || {
        format!(
            "The autoscaler metric window ({}) must not be smaller than the operator reconcile interval ({}): set {} to at least that",
            duration_text(window),
            duration_text(interval),
            keys::AUTOSCALER_METRICS_WINDOW.name
        )
    })
}

/// Bounds of one option, both inclusive.
struct Range {
    key: Key<f64>,
    least: f64,
    most: Option<f64>,
}

/// The utilisation bounds lie on either side of the target; options of a feature count only while it is on.
fn ranges(conf: &FlinkConf) -> Vec<Range> {
    let target = conf.value(keys::AUTOSCALER_TARGET_UTILIZATION);
    let share = |key| Range { key, least: 0.0, most: Some(1.0) };
    let positive = |key| Range { key, least: 0.0, most: None };
    let mut ranges = vec![
        positive(keys::AUTOSCALER_MAX_SCALE_DOWN),
        positive(keys::AUTOSCALER_MAX_SCALE_UP),
        share(keys::AUTOSCALER_TARGET_UTILIZATION),
        positive(keys::AUTOSCALER_UTILIZATION_BOUNDARY),
        Range { key: keys::AUTOSCALER_UTILIZATION_MAX, least: target, most: Some(1.0) },
        Range { key: keys::AUTOSCALER_UTILIZATION_MIN, least: 0.0, most: Some(target) },
        share(keys::AUTOSCALER_GC_PRESSURE),
        share(keys::AUTOSCALER_HEAP_USAGE),
    ];
    if conf.value(keys::AUTOSCALER_SCALABILITY_ENABLED) {
        ranges.push(Range { key: keys::AUTOSCALER_SCALABILITY_MIN, least: 0.01, most: Some(1.0) });
    }
    if conf.value(keys::AUTOSCALER_EFFECTIVENESS_ENABLED) {
        ranges.push(share(keys::AUTOSCALER_EFFECTIVENESS_THRESHOLD));
    }
    if conf.value(keys::AUTOSCALER_MEMORY_TUNING_ENABLED) {
        ranges.push(share(keys::AUTOSCALER_MEMORY_TUNING_OVERHEAD));
    }
    ranges
}

/// `0` prints as `0.0`, as users know it.
fn number_text(value: f64) -> String {
    format!("{value:?}")
}

/// `cron && HH:mm:ss-HH:mm:ss`, either half alone will do.
fn period_problem(period: &str) -> Option<String> {
    let halves: Vec<&str> = period.split("&&").map(str::trim).collect();
    let mut problems = halves.iter().filter_map(|half| match half.split_whitespace().count() {
        1 => time_range_problem(half),
        _ => Cron::parse(half).err(),
    });
    let too_many = || (halves.len() > 2).then(|| "at most one cron expression and one time range".to_owned());
    problems.next().or_else(too_many)
}

fn time_range_problem(text: &str) -> Option<String> {
    let time = |text: &str| text.trim().parse::<jiff::civil::Time>().ok();
    let range = text.split_once('-').and_then(|(from, to)| Some((time(from)?, time(to)?)));
    match range {
        Some((from, to)) if from < to => None,
        _ => Some(format!("'{text}' is not a time range such as 09:00:00-17:00:00")),
    }
}
