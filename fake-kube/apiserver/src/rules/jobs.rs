//! Jobs and CronJobs (pkg/apis/batch/validation; case val-job). Leaves out: generated selectors, and what the status says.

use fake_kube_schema::{Cause, Reason};
use serde_json::{Value, json};

use super::Rule::{Code, In, NotNegative, OneOf, Required};
use super::update::{differ_except, immutable};
use super::{Rule, Walk, join, pod, present, text};
use crate::cron::{Schedule, zone};

/// `maxPodFailurePolicyRules`, `maxSuccessPolicyRule`, `maxPodFailurePolicyOnPodConditionsPatterns`
const RULES_MAX: u64 = 20;
const EXIT_CODES_MAX: u64 = 255;
/// `maxParallelismForIndexedJob`, `maxFailedIndexesForIndexedJob`, `completionsSoftLimit`
const INDEXES_MAX: i64 = 100_000;
/// Above the soft limit.
const HIGH_MAX: i64 = 10_000;
const INDEX_TEXT_MAX: u64 = 64 << 10;
const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
const NAME_MAX: usize = 52;

pub(crate) fn job(w: &mut Walk<'_>, job: &Value, _: &str) {
    let spec = &job["spec"];
    w.apply(JOB, spec, "spec");
    if let Some(n) = spec["completions"].as_i64().filter(|n| *n > 0 && is_indexed(spec)) {
        let name = crate::meta::name(job);
        let host = format!("{name}-{}", n - 1);
        if !crate::names::label(&host).is_empty() {
            let why = format!("will not able to create pod with invalid DNS label: {host}");
            w.invalid("metadata.name".to_owned(), &json!(name), &why);
        }
    }
}

const JOB: &[Rule] = &[
    NotNegative("parallelism"),
    NotNegative("completions"),
    NotNegative("activeDeadlineSeconds"),
    NotNegative("backoffLimit"),
    NotNegative("ttlSecondsAfterFinished"),
    NotNegative("backoffLimitPerIndex"),
    NotNegative("maxFailedIndexes"),
    Code(limits),
    Code(policies),
    Code(template),
];

fn is_indexed(spec: &Value) -> bool {
    spec["completionMode"] == "Indexed"
}

/// How many pods, indexes and failures of indexes there may be.
fn limits(w: &mut Walk<'_>, spec: &Value, path: &str) {
    let number = |key: &str| spec[key].as_i64();
    let (failed, per_index) = (number("maxFailedIndexes"), number("backoffLimitPerIndex"));
    let (completions, parallelism) = (number("completions"), number("parallelism"));
    let at = |key: &str| join(path, key);
    if failed.is_some() && per_index.is_none() {
        w.out.push(Cause::required(at("backoffLimitPerIndex"), "when maxFailedIndexes is specified"));
    }
    w.apply(const { &[OneOf("completionMode", &["NonIndexed", "Indexed"])] }, spec, path);
    if !is_indexed(spec) {
        for (key, n) in [("backoffLimitPerIndex", per_index), ("maxFailedIndexes", failed)] {
            if let Some(n) = n {
                w.invalid(at(key), &json!(n), "requires indexed completion mode");
            }
        }
        return;
    }
    if completions.is_none() {
        w.out.push(Cause::required(at("completions"), "when completion mode is Indexed"));
    }
    let mut at_most = |key: &str, n: Option<i64>, max: i64, when: &str| {
        if let Some(n) = n.filter(|n| *n > max) {
            w.invalid(join(path, key), &json!(n), &format!("must be less than or equal to {max}{when}"));
        }
    };
    at_most("parallelism", parallelism, INDEXES_MAX, " when completion mode is Indexed");
    if let (Some(completions), Some(failed)) = (completions, failed)
        && failed > completions
    {
        w.invalid(at("maxFailedIndexes"), &json!(failed), "must be less than or equal to completions");
    }
    let mut at_most = |key: &str, n: Option<i64>, max: i64, when: &str| {
        if let Some(n) = n.filter(|n| *n > max) {
            w.invalid(join(path, key), &json!(n), &format!("must be less than or equal to {max}{when}"));
        }
    };
    at_most("maxFailedIndexes", failed, INDEXES_MAX, "");
    if completions.is_some_and(|n| n > INDEXES_MAX) && per_index.is_some() {
        let when = format!(" when completions are above {INDEXES_MAX} and used with backoff limit per index");
        at_most("parallelism", parallelism, HIGH_MAX, &when);
        at_most("maxFailedIndexes", failed, HIGH_MAX, &when);
        if failed.is_none() {
            let why = format!("must be specified when completions is above {INDEXES_MAX}");
            w.out.push(Cause::required(at("maxFailedIndexes"), &why));
        }
    }
}

fn policies(w: &mut Walk<'_>, spec: &Value, path: &str) {
    if let Some(policy) = present(spec, "podFailurePolicy") {
        failure(w, spec, policy, &join(path, "podFailurePolicy.rules"));
    }
    if let Some(policy) = present(spec, "successPolicy") {
        let at = join(path, "successPolicy");
        match is_indexed(spec) {
            true => success(w, spec, policy, &join(&at, "rules")),
            false => w.invalid(at, &shown(policy), "requires indexed completion mode"),
        }
    }
    let (replacement, at) = (&spec["podReplacementPolicy"], join(path, "podReplacementPolicy"));
    let allowed: &[&str] = match present(spec, "podFailurePolicy") {
        Some(_) => &["Failed"],
        None => &["Failed", "TerminatingOrFailed"],
    };
    if replacement.as_str().is_some_and(|r| !allowed.contains(&r)) {
        w.out.push(Cause::not_supported(at, replacement, allowed));
    }
}

/// A success policy as Go prints it.
fn shown(policy: &Value) -> Value {
    let rules = policy["rules"].as_array().into_iter().flatten();
    let rule =
        |r: &Value| json!({"SucceededIndexes": r["succeededIndexes"], "SucceededCount": r["succeededCount"]});
    json!({"Rules": rules.map(rule).collect::<Vec<_>>()})
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// One of these words has to be there.
fn word(w: &mut Walk<'_>, value: &Value, key: &str, path: &str, allowed: &[&str]) {
    match text(value, key) {
        "" => w.out.push(Cause::required(join(path, key), &format!("valid values: {}", quoted(allowed)))),
        other if !allowed.contains(&other) => {
            w.out.push(Cause::not_supported(join(path, key), &json!(other), allowed));
        }
        _ => {}
    }
}

/// Go's `%q` of a list.
fn quoted(words: &[&str]) -> String {
    format!("[{}]", words.iter().map(|w| format!("{w:?}")).collect::<Vec<_>>().join(" "))
}

fn failure(w: &mut Walk<'_>, spec: &Value, policy: &Value, path: &str) {
    let rules = list(policy, "rules");
    if rules.len() as u64 > RULES_MAX {
        w.out.push(Cause::too_many(path, rules.len(), RULES_MAX));
    }
    for (i, rule) in rules.iter().enumerate() {
        let at = format!("{path}[{i}]");
        let action = text(rule, "action");
        if action == "FailIndex" && present(spec, "backoffLimitPerIndex").is_none() {
            let why = "requires the backoffLimitPerIndex to be set";
            w.invalid(join(&at, "action"), &rule["action"], why);
        }
        word(w, rule, "action", &at, &ACTIONS);
        let (codes, conditions) = (present(rule, "onExitCodes"), list(rule, "onPodConditions"));
        if let Some(codes) = codes {
            exit_codes(w, spec, codes, &join(&at, "onExitCodes"));
        }
        pod_conditions(w, conditions, &join(&at, "onPodConditions"));
        let bare = |why: &str| {
            let message = format!("Invalid value: {why}");
            Cause { field: at.clone(), reason: Reason::Invalid, message }
        };
        match (codes.is_some(), !conditions.is_empty()) {
            (true, true) => {
                w.out.push(bare("specifying both OnExitCodes and OnPodConditions is not supported"));
            }
            (false, false) => {
                w.out.push(bare("specifying one of OnExitCodes and OnPodConditions is required"));
            }
            _ => {}
        }
    }
}

fn exit_codes(w: &mut Walk<'_>, spec: &Value, rule: &Value, path: &str) {
    word(w, rule, "operator", path, &["In", "NotIn"]);
    let pod = &spec["template"]["spec"];
    let mut all = list(pod, "containers").iter().chain(list(pod, "initContainers"));
    if let Some(name) = present(rule, "containerName")
        && !all.any(|c| c["name"] == *name)
    {
        let why = "must be one of the container or initContainer names in the pod template";
        w.invalid(join(path, "containerName"), name, why);
    }
    let (values, at) = (list(rule, "values"), join(path, "values"));
    if values.is_empty() {
        w.invalid(at.clone(), &rule["values"], "at least one value is required");
    } else if values.len() as u64 > EXIT_CODES_MAX {
        w.out.push(Cause::too_many(at.clone(), values.len(), EXIT_CODES_MAX));
    }
    for (i, value) in values.iter().enumerate() {
        let at = format!("{at}[{i}]");
        if rule["operator"] == "In" && value.as_i64() == Some(0) {
            w.invalid(at.clone(), value, "must not be 0 for the In operator");
        }
        if values[..i].contains(value) {
            w.out.push(Cause::duplicate(at, value));
        }
    }
    if values.windows(2).any(|pair| pair[0].as_i64() > pair[1].as_i64()) {
        w.invalid(at, &rule["values"], "must be ordered");
    }
}

fn pod_conditions(w: &mut Walk<'_>, conditions: &[Value], path: &str) {
    if conditions.len() as u64 > RULES_MAX {
        w.out.push(Cause::too_many(path, conditions.len(), RULES_MAX));
    }
    for (i, condition) in conditions.iter().enumerate() {
        let at = format!("{path}[{i}]");
        let kind = text(condition, "type");
        if let Some(why) = crate::names::qualified(kind) {
            w.invalid(join(&at, "type"), &json!(kind), &why);
        }
        word(w, condition, "status", &at, &STATUSES);
    }
}

fn success(w: &mut Walk<'_>, spec: &Value, policy: &Value, path: &str) {
    let rules = list(policy, "rules");
    if rules.is_empty() {
        let why = "at least one rules must be specified when the successPolicy is specified";
        w.out.push(Cause::required(path, why));
    }
    if rules.len() as u64 > RULES_MAX {
        w.out.push(Cause::too_many(path, rules.len(), RULES_MAX));
    }
    let completions = spec["completions"].as_i64().unwrap_or(0);
    for (i, rule) in rules.iter().enumerate() {
        let at = format!("{path}[{i}]");
        let (count, written) = (rule["succeededCount"].as_i64(), rule["succeededIndexes"].as_str());
        if count.is_none() && written.is_none() {
            let why = "at least one of succeededCount or succeededIndexes must be specified";
            w.out.push(Cause::required(at.clone(), why));
        }
        let mut total = 0;
        if let Some(written) = written {
            let at = join(&at, "succeededIndexes");
            if written.len() as u64 > INDEX_TEXT_MAX {
                w.out.push(Cause::too_long(at.clone(), INDEX_TEXT_MAX));
            }
            match indexes(written, completions) {
                Ok(n) => total = n,
                Err(why) => {
                    w.invalid(at, &json!(written), &format!("error parsing succeededIndexes: {why}"));
                }
            }
        }
        w.apply(const { &[NotNegative("succeededCount")] }, rule, &at);
        let at = join(&at, "succeededCount");
        let Some(count) = count else { continue };
        if count > completions {
            let why =
                format!("must be less than or equal to {completions} (the number of specified completions)");
            w.invalid(at.clone(), &json!(count), &why);
        }
        if written.is_some() && count > total {
            let why = format!(
                "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
            );
            w.invalid(at, &json!(count), &why);
        }
    }
}

/// How many indexes `0,2-4` names (`validateIndexesFormat`).
fn indexes(written: &str, completions: i64) -> Result<i64, String> {
    let number = |text: &str| -> Result<i64, String> {
        let n: i64 =
            text.parse().map_err(|_| format!("cannot convert string to integer for index: {text:?}"))?;
        if n >= completions { Err(format!("too large index: {text:?}")) } else { Ok(n) }
    };
    let (mut total, mut before) = (0, None);
    let order = |a: i64, b: i64| format!("non-increasing order, previous: {a}, current: {b}");
    for part in written.split(',').filter(|_| !written.is_empty()) {
        let limits: Vec<&str> = part.split('-').collect();
        let (first, last) = match limits.as_slice() {
            [one] => (number(one)?, None),
            [first, last] => (number(first)?, Some(number(last)?)),
            _ => {
                return Err(format!(
                    "the fragment {part:?} violates the requirement that an index interval can have at most two parts \
                     separated by '-'"
                ));
            }
        };
        if let Some(last) = last.filter(|last| first >= *last) {
            return Err(order(first, last));
        }
        if let Some(before) = before.filter(|b| *b >= first) {
            return Err(order(before, first));
        }
        total += last.unwrap_or(first) - first + 1;
        before = Some(last.unwrap_or(first));
    }
    Ok(total)
}

/// Pods of a Job end; a missing policy was defaulted to one that restarts them.
fn template(w: &mut Walk<'_>, spec: &Value, path: &str) {
    let (template, at) = (&spec["template"]["spec"], format!("{path}.template.spec"));
    w.apply(pod::POD, template, &at);
    let at = join(&at, "restartPolicy");
    match text(template, "restartPolicy") {
        "OnFailure" if present(spec, "podFailurePolicy").is_some() => {
            let why = "only \"Never\" is supported when podFailurePolicy is specified";
            w.invalid(at, &template["restartPolicy"], why);
        }
        "OnFailure" | "Never" => {}
        "Always" | "" => w.out.push(Cause::required(at, "valid values: \"OnFailure\", \"Never\"")),
        other => w.out.push(Cause::not_supported(at, &json!(other), &["OnFailure", "Never"])),
    }
}

pub(crate) const CRON_JOB: &[Rule] = &[
    Required("schedule", ""),
    Code(schedule),
    NotNegative("startingDeadlineSeconds"),
    Code(time_zone),
    OneOf("concurrencyPolicy", &["Allow", "Forbid", "Replace"]),
    In("jobTemplate", &[In("spec", JOB)]),
    NotNegative("successfulJobsHistoryLimit"),
    NotNegative("failedJobsHistoryLimit"),
    Code(cron_name),
];

fn schedule(w: &mut Walk<'_>, spec: &Value, path: &str) {
    let schedule = text(spec, "schedule");
    if schedule.is_empty() {
        return;
    }
    let at = join(path, "schedule");
    if schedule.contains("TZ") {
        // What is behind it is read by the library, too.
        let rest = schedule.split_once(' ').map_or("", |(_, rest)| rest);
        if let Err(why) = Schedule::parse(rest) {
            w.invalid(at.clone(), &spec["schedule"], &why);
        }
        let why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        return w.invalid(at, &spec["schedule"], why);
    }
    if let Err(why) = Schedule::parse(schedule) {
        w.invalid(at, &spec["schedule"], &why);
    }
}

/// https://data.iana.org/time-zones/theory.html#naming
fn time_zone(w: &mut Walk<'_>, spec: &Value, path: &str) {
    let Some(zone_name) = spec["timeZone"].as_str() else { return };
    let (value, at) = (&spec["timeZone"], join(path, "timeZone"));
    if w.old.is_some_and(|old| old["spec"]["timeZone"] == *value) {
        return;
    }
    if zone_name.is_empty() {
        return w.invalid(at, value, "timeZone must be nil or non-empty string");
    }
    let is_part = |part: &str| {
        let is_plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_' | b'+');
        !matches!(part, "." | "..")
            && !part.starts_with('-')
            && (1..=14).contains(&part.len())
            && part.bytes().all(is_plain)
    };
    if !zone_name.split('/').all(is_part) {
        return w.invalid(at, value, &format!("unknown time zone {zone_name}"));
    }
    if zone_name.eq_ignore_ascii_case("Local") {
        let why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        w.invalid(at.clone(), value, why);
        if zone_name == "Local" {
            return;
        }
    }
    if let Err(why) = zone(zone_name) {
        w.invalid(at, value, &why);
    }
}

/// Its Jobs are called by it and eleven characters more.
fn cron_name(w: &mut Walk<'_>, _: &Value, _: &str) {
    let name = crate::meta::name(w.object);
    if name.len() > NAME_MAX && w.old.is_none() {
        w.invalid("metadata.name".to_owned(), &json!(name), "must be no more than 52 characters");
    }
}

/// What a suspended Job may still change of its template: where its pods go.
const DIRECTIVES: [&str; 3] = ["nodeSelector", "tolerations", "affinity"];

/// What an update may not change (ValidateJobUpdate, case val-job).
pub(crate) fn change(object: &Value, old: &Value) -> Vec<Cause> {
    let (spec, was) = (&object["spec"], &old["spec"]);
    let elastic = spec["completionMode"] == "Indexed" && spec["completions"] == spec["parallelism"];
    let mut out: Vec<Cause> = Vec::new();
    if !elastic {
        out.extend(immutable(object, old, "spec.completions"));
    }
    out.extend(immutable(object, old, "spec.selector"));
    let (template, before) = (&spec["template"], &was["template"]);
    let movable = was["suspend"] == true && present(&old["status"], "startTime").is_none();
    let changed = if movable {
        let labels = |t: &Value| t["metadata"]["labels"].is_null();
        labels(template) != labels(before) || differ_except(&template["spec"], &before["spec"], &DIRECTIVES)
    } else {
        template != before
    };
    if changed {
        out.push(Cause::invalid("spec.template", template, "field is immutable"));
    }
    for member in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"]
    {
        out.extend(immutable(object, old, &format!("spec.{member}")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(spec: Value, expected: &[&str]) {
        let mut whole = json!({"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}});
        for (key, value) in spec.as_object().into_iter().flatten() {
            whole[key] = value.clone();
        }
        let object = json!({"metadata": {"name": "j"}, "spec": whole});
        let mut walk = Walk::new(&object);
        for rule in &JOB[..JOB.len() - 1] {
            walk.one(rule, &object["spec"], "spec");
        }
        let said: Vec<String> = walk.out.iter().map(ToString::to_string).collect();
        assert_eq!(said, expected, "{spec}");
    }

    #[test]
    fn limits_per_index() {
        check(
            json!({"completionMode": "Indexed", "completions": 3, "backoffLimitPerIndex": 1, "maxFailedIndexes": 2}),
            &[],
        );
        check(
            json!({"backoffLimitPerIndex": 1}),
            &["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"],
        );
        check(
            json!({"completionMode": "Indexed", "completions": 3, "maxFailedIndexes": 4}),
            &[
                "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
                "spec.maxFailedIndexes: Invalid value: 4: must be less than or equal to completions",
            ],
        );
        check(
            json!({"completionMode": "Indexed"}),
            &["spec.completions: Required value: when completion mode is Indexed"],
        );
    }

    #[test]
    fn policies_are_held_to_their_form() {
        let rule = |rule: Value| json!({"podFailurePolicy": {"rules": [rule]}});
        check(rule(json!({"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1, 42]}})), &[]);
        check(
            rule(
                json!({"action": "FailIndex", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}),
            ),
            &[
                "spec.podFailurePolicy.rules[0].action: Invalid value: \"FailIndex\": requires the backoffLimitPerIndex to be set",
            ],
        );
        check(
            rule(
                json!({"action": "Stop", "onExitCodes": {"containerName": "x", "operator": "In", "values": [3, 0, 3]}}),
            ),
            &[
                "spec.podFailurePolicy.rules[0].action: Unsupported value: \"Stop\": supported values: \"Count\", \"FailIndex\", \"FailJob\", \"Ignore\"",
                "spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: \"x\": must be one of the container or initContainer names in the pod template",
                "spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
                "spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Duplicate value: 3",
                "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [3,0,3]: must be ordered",
            ],
        );
        check(
            rule(json!({"action": "Count"})),
            &[
                "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
            ],
        );
        let mut mixed = rule(json!({"action": "Count", "onExitCodes": {"operator": "In", "values": [1]}}));
        mixed["podReplacementPolicy"] = json!("TerminatingOrFailed");
        check(
            mixed,
            &[
                "spec.podReplacementPolicy: Unsupported value: \"TerminatingOrFailed\": supported values: \"Failed\"",
            ],
        );
    }

    #[test]
    fn success_names_indexes_there_are() {
        let of = |rule: Value| json!({"completionMode": "Indexed", "completions": 5, "successPolicy": {"rules": [rule]}});
        check(of(json!({"succeededIndexes": "0,2-4", "succeededCount": 2})), &[]);
        let at = "spec.successPolicy.rules[0]";
        let wrong = |written: &str, why: &str| {
            let text = format!(
                "{at}.succeededIndexes: Invalid value: {written:?}: error parsing succeededIndexes: {why}"
            );
            check(of(json!({"succeededIndexes": written})), &[&text]);
        };
        wrong("5", "too large index: \"5\"");
        wrong("3,1", "non-increasing order, previous: 3, current: 1");
        wrong("2-2", "non-increasing order, previous: 2, current: 2");
        wrong("a", "cannot convert string to integer for index: \"a\"");
        let count = format!(
            "{at}.succeededCount: Invalid value: 3: must be less than or equal to 2 (the number of indexes in the specified succeededIndexes field)"
        );
        check(of(json!({"succeededIndexes": "0,1", "succeededCount": 3})), &[&count]);
    }

    #[test]
    fn schedules_and_zones() {
        let check = |spec: Value, expected: &[&str]| {
            let object = json!({"metadata": {"name": "c"}, "spec": spec});
            let mut walk = Walk::new(&object);
            walk.one(&CRON_JOB[1], &object["spec"], "spec");
            walk.one(&CRON_JOB[3], &object["spec"], "spec");
            let said: Vec<String> = walk.out.iter().map(ToString::to_string).collect();
            assert_eq!(said, expected);
        };
        check(json!({"schedule": "*/5 * * * *", "timeZone": "America/New_York"}), &[]);
        check(
            json!({"schedule": "99 * * * *", "timeZone": "Mars/Base"}),
            &[
                "spec.schedule: Invalid value: \"99 * * * *\": end of range (99) above maximum (59): 99",
                "spec.timeZone: Invalid value: \"Mars/Base\": unknown time zone Mars/Base",
            ],
        );
        check(
            json!({"schedule": "TZ=UTC 0 0 * * *", "timeZone": ""}),
            &[
                "spec.schedule: Invalid value: \"TZ=UTC 0 0 * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
                "spec.timeZone: Invalid value: \"\": timeZone must be nil or non-empty string",
            ],
        );
        check(
            json!({"schedule": "@daily", "timeZone": "../etc"}),
            &["spec.timeZone: Invalid value: \"../etc\": unknown time zone ../etc"],
        );
    }
}
