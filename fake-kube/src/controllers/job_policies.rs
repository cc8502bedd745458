//! What a Job says about failures and about success: `podFailurePolicy` (count, ignore, fail the Job) and `successPolicy`
//! (kubernetes 1.35 pkg/controller/job: matchPodFailurePolicy, matchSuccessPolicy).

use std::collections::BTreeSet;

use serde_json::Value;

use crate::json::*;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    Counts,
    Ignored,
    /// The index of the pod is not tried again.
    FailsIndex,
    /// With the reason told.
    FailsJob(String),
}

/// What the failure of a pod means: the first rule that fits decides.
pub fn judge(job: &Value, pod: &Value) -> Failure {
    for (index, rule) in items(job, "/spec/podFailurePolicy/rules").iter().enumerate() {
        let at = format!("{}/{}", namespace(pod), name(pod));
        let action = rule["action"].as_str().unwrap_or("Count");
        let rule_text = format!("matching {action} rule at index {index}");
        let why = match (&rule["onExitCodes"], items(rule, "/onPodConditions")) {
            (Value::Object(_), _) => exit_code(pod, &rule["onExitCodes"]).map(|(container, code)| {
                format!("Container {container} for pod {at} failed with exit code {code} {rule_text}")
            }),
            (_, wanted) => items(pod, "/status/conditions")
                .iter()
                .find(|c| wanted.iter().any(|w| w["type"] == c["type"] && w["status"] == c["status"]))
                .map(|c| format!("Pod {at} has condition {} {rule_text}", text(c, "/type"))),
        };
        match (why, action) {
            (None, _) => {}
            (Some(_), "Ignore") => return Failure::Ignored,
            (Some(why), "FailJob") => return Failure::FailsJob(why),
            (Some(_), "FailIndex") => return Failure::FailsIndex,
            (Some(_), _) => return Failure::Counts,
        }
    }
    Failure::Counts
}

/// The first container that ended as the rule says.
fn exit_code(pod: &Value, rule: &Value) -> Option<(String, i64)> {
    let lists = ["/status/containerStatuses", "/status/initContainerStatuses"];
    let ended = lists.iter().flat_map(|l| items(pod, l)).filter_map(|status| {
        let code = at(status, "/state/terminated/exitCode").as_i64().filter(|code| *code != 0)?;
        Some((text(status, "/name"), code))
    });
    let fits = |(container, code): &(&str, i64)| {
        let listed = items(rule, "/values").iter().any(|v| v.as_i64() == Some(*code));
        rule["containerName"].as_str().is_none_or(|wanted| wanted == *container)
            && match rule["operator"].as_str() {
                Some("In") => listed,
                Some("NotIn") => !listed,
                _ => false,
            }
    };
    ended.into_iter().find(fits).map(|(container, code)| (container.to_owned(), code))
}

/// The message of the first rule that is met by these indexes.
pub fn success(
    job: &Value,
    succeeded: &BTreeSet<i64>,
    parse: impl Fn(&str) -> BTreeSet<i64>,
) -> Option<String> {
    if succeeded.is_empty() {
        return None;
    }
    let met = |rule: &Value| {
        let count = rule["succeededCount"].as_i64();
        let total = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        match rule["succeededIndexes"].as_str().map(&parse) {
            Some(wanted) if wanted.is_empty() => false,
            Some(wanted) => {
                let there = total(wanted.intersection(succeeded).count());
                there >= count.unwrap_or(total(wanted.len()))
            }
            None => count.is_some_and(|count| total(succeeded.len()) >= count),
        }
    };
    let index = items(job, "/spec/successPolicy/rules").iter().position(met)?;
    Some(format!("Matched rules at index {index}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_rule_that_fits_decides() {
        let job = json!({"spec": {"podFailurePolicy": {"rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {"action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "In", "values": [42]}},
            {"action": "Count", "onExitCodes": {"operator": "In", "values": [1]}},
            {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [9]}},
            {"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [1, 2]}}]}}});
        let check = |container: &str, code: i64, conditions: Value, expected: Failure| {
            let pod = json!({"metadata": {"name": "p", "namespace": "n"}, "status": {"conditions": conditions,
                "containerStatuses": [{"name": container, "state": {"terminated": {"exitCode": code}}}]}});
            assert_eq!(judge(&job, &pod), expected, "{container} {code}");
        };
        let disrupted = json!([{"type": "DisruptionTarget", "status": "True"}]);
        check("main", 42, disrupted, Failure::Ignored);
        let text = |n: i64, i: usize| {
            Failure::FailsJob(format!(
                "Container main for pod n/p failed with exit code {n} matching FailJob rule at index {i}"
            ))
        };
        check("main", 42, json!([]), text(42, 1));
        check("main", 1, json!([]), Failure::Counts);
        check("main", 7, json!([]), text(7, 4));
        check("main", 2, json!([]), Failure::Counts);
        check("main", 0, json!([]), Failure::Counts);
        check("main", 9, json!([]), Failure::FailsIndex);
    }

    #[test]
    fn enough_indexes_are_a_success() {
        let parse: fn(&str) -> BTreeSet<i64> = |t| t.split(',').filter_map(|n| n.parse().ok()).collect();
        let job = |rule: Value| json!({"spec": {"successPolicy": {"rules": [{"succeededCount": 9}, rule]}}});
        let check = |rule: Value, done: &[i64], expected: bool| {
            let found = success(&job(rule.clone()), &done.iter().copied().collect(), parse);
            assert_eq!(found.as_deref(), expected.then_some("Matched rules at index 1"), "{rule}");
        };
        check(json!({"succeededIndexes": "0,2"}), &[0, 1], false);
        check(json!({"succeededIndexes": "0,2"}), &[0, 2], true);
        check(json!({"succeededIndexes": "0,2", "succeededCount": 1}), &[2], true);
        check(json!({"succeededCount": 2}), &[5, 6], true);
        check(json!({"succeededCount": 2}), &[], false);
    }
}
