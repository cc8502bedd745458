//! Indexes of indexed Jobs: lists of them as the status writes them, which have failed where each has its own limit, and
//! how a pod comes to know which one it is (kubernetes 1.35 pkg/controller/job/indexed_job_utils.go).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::job::{is_failed, is_tracked};
use super::job_policies::{self, Failure};
use crate::json::*;

const INDEX: &str = "batch.kubernetes.io/job-completion-index";
const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
const IGNORED: &str = "batch.kubernetes.io/job-index-ignored-failure-count";
/// More indexes than these are not listed by anybody (validation allows as many).
const INDEXES_MAX: i64 = 100_000;

pub(super) fn is_indexed(job: &Value) -> bool {
    text(job, "/spec/completionMode") == "Indexed"
}

pub(super) fn index_of(pod: &Value) -> Option<i64> {
    annotation(pod, INDEX)?.parse().ok().filter(|i| *i >= 0)
}

/// Its index, if the Job has such a one.
pub(super) fn valid(job: &Value, pod: &Value) -> Option<i64> {
    index_of(pod).filter(|i| *i < int(job, "/spec/completions"))
}

/// `0-2,5`.
pub(super) fn show(indexes: &BTreeSet<i64>) -> String {
    let mut ranges: Vec<(i64, i64)> = Vec::new();
    for &i in indexes {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == i => *last = i,
            _ => ranges.push((i, i)),
        }
    }
    let shown: Vec<String> = ranges
        .iter()
        .map(|(first, last)| match last - first {
            0 => first.to_string(),
            1 => format!("{first},{last}"),
            _ => format!("{first}-{last}"),
        })
        .collect();
    shown.join(",")
}

/// The indexes below `completions`.
pub(super) fn parse(text: &str, completions: i64) -> BTreeSet<i64> {
    let most = completions.min(INDEXES_MAX) - 1;
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<i64>().ok()?..=last.parse::<i64>().ok()?.min(most))
    };
    text.split(',').filter_map(range).flatten().collect()
}

/// The indexes that failed for good; None where there is no limit per index.
pub(super) fn failed(job: &Value, pods: &[&Arc<Value>]) -> Option<BTreeSet<i64>> {
    let limit = at(job, "/spec/backoffLimitPerIndex").as_i64()?;
    let mut all = parse(text(job, "/status/failedIndexes"), int(job, "/spec/completions"));
    let is_last = |pod: &Value| {
        is_failed(job, pod)
            && match job_policies::judge(job, pod) {
                Failure::FailsIndex => true,
                Failure::Ignored => false,
                Failure::Counts | Failure::FailsJob(_) => count(pod, FAILURES) >= limit,
            }
    };
    all.extend(pods.iter().filter(|p| is_tracked(p) && is_last(p)).filter_map(|p| valid(job, p)));
    Some(all)
}

/// By index that waits for a pod: its last failed one, whose count the next takes over.
pub(super) fn delayed<'a>(
    job: &Value,
    pods: &[&'a Arc<Value>],
    active: &[&Arc<Value>],
    succeeded: &BTreeSet<i64>,
    failed: &BTreeSet<i64>,
) -> BTreeMap<i64, &'a Arc<Value>> {
    let busy: BTreeSet<i64> = active.iter().filter_map(|p| index_of(p)).collect();
    let mut out: BTreeMap<i64, &Arc<Value>> = BTreeMap::new();
    for pod in pods.iter().filter(|p| is_tracked(p) && is_failed(job, p)) {
        let Some(index) = valid(job, pod) else { continue };
        if succeeded.contains(&index) || failed.contains(&index) || busy.contains(&index) {
            continue;
        }
        let is_later = out
            .get(&index)
            .is_none_or(|last| failures(last) <= failures(pod) && finished(last) <= finished(pod));
        if is_later {
            out.insert(index, pod);
        }
    }
    out
}

fn count(pod: &Value, key: &str) -> i64 {
    annotation(pod, key).and_then(|n| n.parse().ok()).filter(|n| *n >= 0).unwrap_or(0)
}

/// Failures of an index before this pod, those that do not count with them.
pub(super) fn failures(pod: &Value) -> i64 {
    count(pod, FAILURES) + count(pod, IGNORED)
}

/// When a pod was over (`getFinishedTime`).
pub(super) fn finished(pod: &Value) -> Option<Timestamp> {
    let sidecars: BTreeSet<&str> = items(pod, "/spec/initContainers")
        .iter()
        .filter(|c| c["restartPolicy"] == "Always")
        .filter_map(|c| c["name"].as_str())
        .collect();
    let main = items(pod, "/status/containerStatuses").iter();
    let init = items(pod, "/status/initContainerStatuses").iter();
    let all: Vec<Option<Timestamp>> = main
        .chain(init.filter(|c| c["name"].as_str().is_some_and(|n| sidecars.contains(n))))
        .map(|c| time(c, "/state/terminated/finishedAt"))
        .collect();
    let by_containers = || all.iter().copied().collect::<Option<Vec<_>>>()?.into_iter().max();
    let by_condition = || {
        let ready = condition(pod, "Ready").filter(|c| c["status"] == "False")?;
        time(ready, "/lastTransitionTime")
    };
    let by_deletion = || {
        let grace = SignedDuration::from_secs(int(pod, "/metadata/deletionGracePeriodSeconds"));
        time(pod, "/metadata/deletionTimestamp")?.checked_sub(grace).ok()
    };
    by_containers()
        .or_else(by_condition)
        .or_else(by_deletion)
        .or_else(|| time(pod, "/metadata/creationTimestamp"))
}

/// What tells a pod of an indexed Job which one it is: name, host name, annotation, label and variable; and how often
/// those before it failed, where each index has its limit.
pub(super) fn give(pod: &mut Value, job: &Value, index: i64, replaced: Option<&Arc<Value>>) {
    set(pod, "/metadata/generateName", format!("{}-{index}-", name(job)).into());
    set(pod, "/spec/hostname", format!("{}-{index}", name(job)).into());
    for map in ["annotations", "labels"] {
        set(pod, &format!("/metadata/{map}/{}", INDEX.replace('/', "~1")), index.to_string().into());
    }
    if at(job, "/spec/backoffLimitPerIndex").is_number() {
        let (mut counted, mut ignored) = (0, 0);
        if let Some(last) = replaced {
            (counted, ignored) = (count(last, FAILURES), count(last, IGNORED));
            match job_policies::judge(job, last) {
                Failure::Ignored => ignored += 1,
                _ => counted += 1,
            }
        }
        for (key, n) in [(FAILURES, Some(counted)), (IGNORED, Some(ignored).filter(|n| *n > 0))] {
            if let Some(n) = n {
                set(pod, &format!("/metadata/annotations/{}", key.replace('/', "~1")), n.to_string().into());
            }
        }
    }
    let variable = json!({"name": "JOB_COMPLETION_INDEX",
        "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": format!("metadata.labels['{INDEX}']")}}});
    for list in ["initContainers", "containers"] {
        for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
            let is_there = items(container, "/env").iter().any(|v| v["name"] == "JOB_COMPLETION_INDEX");
            if !is_there {
                let mut all = items(container, "/env").clone();
                all.push(variable.clone());
                container["env"] = all.into();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_told_as_ranges() {
        for (text, shown) in [("", ""), ("3", "3"), ("0,1", "0,1"), ("0-2,5", "0-2,5"), ("2,1,0", "0-2")] {
            assert_eq!(show(&parse(text, 100)), shown);
        }
        assert_eq!(show(&parse("0-9,12", 4)), "0-3");
    }
}
