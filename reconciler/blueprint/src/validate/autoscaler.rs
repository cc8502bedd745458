//! Options of the autoscaler (reconciler.md 8.1 #29).

use super::{Verdict, require};
use crate::config::{FlinkConf, Key, OperatorConfig, duration_text, keys};

/// Lower and upper bounds; an option that is not set is within them.
const RANGES: [(Key<f64>, f64, f64); 6] = [
    (keys::AUTOSCALER_MAX_SCALE_DOWN, 0.0, f64::INFINITY),
    (keys::AUTOSCALER_MAX_SCALE_UP, 0.0, f64::INFINITY),
    (keys::AUTOSCALER_TARGET_UTILIZATION, 0.0, f64::INFINITY),
    (keys::AUTOSCALER_UTILIZATION_BOUNDARY, 0.0, f64::INFINITY),
    (keys::AUTOSCALER_UTILIZATION_MAX, 0.0, f64::INFINITY),
    (keys::AUTOSCALER_UTILIZATION_MIN, 0.0, f64::INFINITY),
];

pub(super) fn options(conf: &FlinkConf, operator: &OperatorConfig, rule: &'static str) -> Verdict {
    if !conf.value(keys::AUTOSCALER_ENABLED) {
        return Ok(());
    }
    for (key, least, most) in RANGES {
        let fits = conf.get(key).is_none_or(|value| (least..=most).contains(&value));
        require(fits, rule, || {
            let bound = |value: f64| match value.is_finite() {
                true => format!("{value:.1}"),
                false => "+Infinity".to_owned(),
            };
            format!(
                "The AutoScalerOption {} is invalid, it should be a value within the range [{}, {}]",
                key.name,
                bound(least),
                bound(most)
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
