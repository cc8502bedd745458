//! Cluster health: restart count and checkpoint progress (reconciler.md 5.4).
//!
//! The record is a JSON text in `clusterInfo`, in Apache's format. QUIRK left behind: there it is written in every pass,
//! since the count of checkpoints moves all the time. Here the newest one is kept in memory, and the stored one follows
//! when the verdict or the restart count changes, or after a while: an operator that starts anew knows at most that
//! much less, and takes what it then sees for progress.

use crate::ask::Ask;
use crate::observation::{JobFact, MetricFacts, Seen};
use crate::pass::{Flow, Pass};
use crate::settings::HealthSettings;
use serde::{Deserialize, Serialize};
use std::time::Duration;

pub const RECORD: &str = "ClusterHealthInfo";

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthRecord {
    pub time_stamp: i64,
    pub num_restarts: i64,
    pub num_restarts_evaluation_time_stamp: i64,
    pub num_completed_checkpoints: i64,
    pub num_completed_checkpoints_increased_time_stamp: i64,
    pub health_result: HealthResult,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthResult {
    pub healthy: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Default for HealthResult {
    fn default() -> Self {
        HealthResult { healthy: true, error: None }
    }
}

/// Looks at the metrics of a job that runs and updates the record.
pub fn observe(p: &mut Pass, job: &JobFact) -> Flow {
    let Some(settings) = p.configs.observe.health.clone() else { return Ok(()) };
    let o = p.o;
    let Seen::Known(metrics) = p.need(&o.flink.metrics, Ask::Metrics { job: job.id.clone() })? else {
        p.note("5.4", "health could not be observed: no metrics");
        return Ok(());
    };
    let Some(restarts) = metrics.num_restarts.or(metrics.full_restarts) else {
        p.note("5.4", "health could not be observed: no restart count among the metrics");
        return Ok(());
    };
    let stored = stored(p);
    let latest = p.memo.health.take().filter(|latest| is_newer(latest, stored.as_ref())).or(stored.clone());
    let next = evaluate(latest.as_ref(), restarts, metrics, &settings, p.now_ms());
    if !next.health_result.healthy {
        p.note("5.4", format!("unhealthy: {}", next.health_result.error.as_deref().unwrap_or_default()));
    }
    if stored.is_none_or(|stored| is_outdated(&stored, &next)) {
        p.status.cluster_info.insert(RECORD.into(), text(&next));
    }
    p.memo.health = Some(next);
    Ok(())
}

/// Of the same cluster: a deployment drops the stored record.
fn is_newer(latest: &HealthRecord, stored: Option<&HealthRecord>) -> bool {
    stored.is_some_and(|stored| latest.time_stamp >= stored.time_stamp)
}

/// How far the stored record may lag behind. The shortest window of checkpoints is 20 minutes by default.
const LAG_MAX: Duration = Duration::from_secs(10 * 60);

fn is_outdated(stored: &HealthRecord, next: &HealthRecord) -> bool {
    stored.health_result != next.health_result
        || stored.num_restarts != next.num_restarts
        || stored.time_stamp.saturating_add(millis(LAG_MAX)) <= next.time_stamp
}

/// What the last look said, if anything.
pub fn stored(p: &Pass) -> Option<HealthRecord> {
    serde_json::from_str(p.status.cluster_info.get(RECORD)?).ok()
}

pub fn forget(p: &mut Pass) {
    p.memo.health = None;
    p.status.cluster_info.remove(RECORD);
}

fn text(record: &HealthRecord) -> String {
    serde_json::to_string(record).unwrap_or_default()
}

/// The next record and verdict.
pub fn evaluate(
    stored: Option<&HealthRecord>,
    restarts: i64,
    metrics: &MetricFacts,
    settings: &HealthSettings,
    now: i64,
) -> HealthRecord {
    let checkpoints = metrics.completed_checkpoints.unwrap_or_default();
    let Some(stored) = stored else {
        return HealthRecord {
            time_stamp: now,
            num_restarts: restarts,
            num_restarts_evaluation_time_stamp: now,
            num_completed_checkpoints: checkpoints,
            num_completed_checkpoints_increased_time_stamp: now,
            health_result: HealthResult::default(),
        };
    };
    let mut next = HealthRecord { time_stamp: now, ..stored.clone() };
    let problems = [
        restart_problem(&mut next, restarts, settings, now),
        metrics.completed_checkpoints.and_then(|count| checkpoint_problem(&mut next, count, settings, now)),
    ];
    let problems: Vec<String> = problems.into_iter().flatten().collect();
    next.health_result = match problems.is_empty() {
        true => HealthResult::default(),
        false => HealthResult { healthy: false, error: Some(problems.join("|")) },
    };
    next
}

fn restart_problem(
    next: &mut HealthRecord,
    restarts: i64,
    settings: &HealthSettings,
    now: i64,
) -> Option<String> {
    if restarts < next.num_restarts {
        // The JobManager restarted and counts from zero.
        next.num_restarts = restarts;
        next.num_restarts_evaluation_time_stamp = now;
        return None;
    }
    let window = millis(settings.restarts_window);
    let elapsed = (now - next.num_restarts_evaluation_time_stamp).max(1);
    let share = (window as f64 / elapsed as f64).min(1.0);
    let counted = ((restarts - next.num_restarts) as f64 * share).floor() as i64;
    if next.num_restarts_evaluation_time_stamp < now - window {
        next.num_restarts = restarts;
        next.num_restarts_evaluation_time_stamp = now;
    }
    (counted > settings.restarts_threshold)
        .then(|| format!("Restart count hit threshold: {}", settings.restarts_threshold))
}

fn checkpoint_problem(
    next: &mut HealthRecord,
    count: i64,
    settings: &HealthSettings,
    now: i64,
) -> Option<String> {
    let window = checkpoint_window(settings)?;
    if count != next.num_completed_checkpoints {
        next.num_completed_checkpoints = count;
        next.num_completed_checkpoints_increased_time_stamp = now;
        return None;
    }
    (next.num_completed_checkpoints_increased_time_stamp.saturating_add(window) < now)
        .then(|| "Cluster is not able to complete checkpoints".to_owned())
}

/// The configured window, raised to what checkpoints may take; `None`: nothing to measure against (T73).
fn checkpoint_window(settings: &HealthSettings) -> Option<i64> {
    if !settings.checkpoint_progress
        || (settings.checkpoint_window.is_none() && settings.checkpoint_interval.is_none())
    {
        return None;
    }
    let longest = settings.checkpoint_interval.unwrap_or_default().max(settings.checkpoint_timeout);
    let least = millis(longest).saturating_mul(settings.tolerable_failures.max(0).saturating_add(2));
    Some(settings.checkpoint_window.map_or(least, |window| millis(window).max(least)))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn settings() -> HealthSettings {
        HealthSettings {
            restarts_window: Duration::from_secs(120),
            restarts_threshold: 64,
            checkpoint_progress: true,
            checkpoint_window: None,
            checkpoint_interval: None,
            checkpoint_timeout: Duration::from_secs(600),
            tolerable_failures: 0,
        }
    }

    fn at(stored: Option<&HealthRecord>, restarts: i64, minute: i64) -> HealthRecord {
        evaluate(stored, restarts, &MetricFacts::default(), &settings(), minute * MINUTE)
    }

    #[test]
    fn t72_a_lower_restart_count_is_a_new_baseline() {
        let first = at(None, 50, 1);
        let second = at(Some(&first), 3, 2);
        assert!(second.health_result.healthy);
        assert_eq!(second.num_restarts, 3);
    }

    #[test]
    fn t72_restarts_are_averaged_over_the_window() {
        let first = at(None, 0, 0);
        assert!(at(Some(&first), 100, 4).health_result.healthy, "100 in 4 min count as 50 in 2 min");
        let fast = at(Some(&first), 100, 2);
        assert_eq!(fast.health_result.error.as_deref(), Some("Restart count hit threshold: 64"));
    }

    #[test]
    fn t73_the_checkpoint_window_is_at_least_what_checkpoints_may_take() {
        let window = |configured: Option<u64>, interval: Option<u64>, tolerable| {
            checkpoint_window(&HealthSettings {
                checkpoint_window: configured.map(Duration::from_secs),
                checkpoint_interval: interval.map(Duration::from_secs),
                tolerable_failures: tolerable,
                ..settings()
            })
        };
        assert_eq!(window(Some(60), Some(60), 0), Some(20 * MINUTE), "raised to twice the timeout");
        assert_eq!(window(Some(60), Some(60), 1), Some(30 * MINUTE));
        assert_eq!(window(Some(7200), None, 0), Some(120 * MINUTE));
        assert_eq!(window(None, None, 0), None, "nothing to measure against");
    }
}
