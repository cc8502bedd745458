//! LimitRanges: what they bound is a resource, and their bounds fit each other (ValidateLimitRange).

use std::collections::BTreeSet;

use fake_kube_schema::{Cause, quantity_nanos};
use serde_json::{Value, json};

use super::selector::list;
use super::{Walk, is_empty, join, pod, quota, text};
use crate::names;

const TYPES: [&str; 3] = ["Pod", "Container", "PersistentVolumeClaim"];

pub(crate) fn range(w: &mut Walk<'_>, spec: &Value, path: &str) {
    let mut seen = Vec::new();
    for (i, limit) in list(spec, "limits").iter().enumerate() {
        let at = format!("{path}.limits[{i}]");
        let kind = text(limit, "type");
        type_name(w, kind, &join(&at, "type"));
        if seen.contains(&kind) {
            w.out.push(Cause::duplicate(join(&at, "type"), &json!(kind)));
        }
        seen.push(kind);
        for key in ["max", "min"] {
            names_of(w, limit, key, &at);
        }
        for key in ["default", "defaultRequest"] {
            if kind != "Pod" {
                names_of(w, limit, key, &at);
            } else if !is_empty(&limit[key]) {
                w.out.push(Cause::forbidden(join(&at, key), "may not be specified when `type` is 'Pod'"));
            }
        }
        if kind == "PersistentVolumeClaim"
            && ["min", "max"].iter().all(|key| limit[*key]["storage"].is_null())
        {
            let why = "either minimum or maximum storage value is required, but neither was provided";
            w.out.push(Cause::required(join(&at, "limits"), why));
        }
        names_of(w, limit, "maxLimitRequestRatio", &at);
        let all = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];
        let resources: BTreeSet<&String> =
            all.iter().filter_map(|key| limit[*key].as_object()).flat_map(|map| map.keys()).collect();
        resources.into_iter().for_each(|resource| amounts(w, limit, resource, &at));
    }
}

fn type_name(w: &mut Walk<'_>, kind: &str, path: &str) {
    let wrong = names::qualified_all(kind);
    for why in &wrong {
        w.invalid(path.to_owned(), &json!(kind), why);
    }
    if wrong.is_empty() && !kind.contains('/') && !TYPES.contains(&kind) {
        w.invalid(path.to_owned(), &json!(kind), "must be a standard limit type or fully qualified");
    }
}

fn names_of(w: &mut Walk<'_>, limit: &Value, key: &str, path: &str) {
    let is_of_containers = matches!(text(limit, "type"), "Pod" | "Container");
    for (name, _) in limit[key].as_object().into_iter().flatten() {
        let at = format!("{path}.{key}[{name}]");
        if is_of_containers {
            pod::resource_name(w, name, &at);
        } else if !name.contains('/') && !quota::is_standard(name) && name != "storage" {
            w.invalid(at, &json!(name), "must be a standard resource type or fully qualified");
        }
    }
}

/// How the bounds of one resource stand to each other: (whose is wrong, whose is shown, lower, higher, in words).
fn amounts(w: &mut Walk<'_>, limit: &Value, resource: &str, path: &str) {
    const ORDER: [(&str, &str, &str, &str); 6] = [
        ("min", "min", "max", "min value {} is greater than max value {}"),
        ("defaultRequest", "min", "defaultRequest", "min value {} is greater than default request value {}"),
        ("defaultRequest", "defaultRequest", "max", "default request value {} is greater than max value {}"),
        (
            "defaultRequest",
            "defaultRequest",
            "default",
            "default request value {} is greater than default limit value {}",
        ),
        ("default", "min", "default", "min value {} is greater than default value {}"),
        ("default", "default", "max", "default value {} is greater than max value {}"),
    ];
    let amount = |key: &str| {
        let value = limit[key].get(resource)?;
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Some((quantity_nanos(&shown)?, shown))
    };
    for (wrong, lower, higher, words) in ORDER {
        let (Some((low, low_shown)), Some((high, high_shown))) = (amount(lower), amount(higher)) else {
            continue;
        };
        if low > high {
            let why = words.replacen("{}", &low_shown, 1).replacen("{}", &high_shown, 1);
            // Of a default the amount it is held against is shown.
            let shown = match (wrong, lower) {
                ("default", "min") => low_shown,
                ("default", _) => high_shown,
                _ => amount(wrong).map_or(low_shown, |(_, shown)| shown),
            };
            w.invalid(format!("{path}.{wrong}[{resource}]"), &json!(shown), &why);
        }
    }
    if let Some((_, shown)) = amount("maxLimitRequestRatio").filter(|(ratio, _)| *ratio < 1_000_000_000) {
        let why = format!("ratio {shown} is less than 1");
        w.invalid(format!("{path}.maxLimitRequestRatio[{resource}]"), &json!(shown), &why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(limit: Value, expected: &[&str]) {
        let value = json!({"limits": [limit]});
        let mut walk = Walk::new(&value);
        range(&mut walk, &value, "spec");
        assert_eq!(walk.out.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{value}");
    }

    #[test]
    fn bounds_fit() {
        check(
            json!({"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "100m"}, "default": {"cpu": "1"}}),
            &[],
        );
        check(
            json!({"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "2"}}),
            &["spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1"],
        );
        check(
            json!({"type": "Container", "max": {"cpu": "1"}, "default": {"cpu": "2"}}),
            &[
                "spec.limits[0].default[cpu]: Invalid value: \"1\": default value 2 is greater than max value 1",
            ],
        );
        check(
            json!({"type": "Pod", "default": {"cpu": "1"}}),
            &["spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'"],
        );
        check(
            json!({"type": "PersistentVolumeClaim"}),
            &[
                "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided",
            ],
        );
        check(
            json!({"type": "Box", "max": {"apples": "1"}}),
            &[
                "spec.limits[0].type: Invalid value: \"Box\": must be a standard limit type or fully qualified",
                "spec.limits[0].max[apples]: Invalid value: \"apples\": must be a standard resource type or fully qualified",
            ],
        );
        check(
            json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "500m"}}),
            &["spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"500m\": ratio 500m is less than 1"],
        );
    }
}
