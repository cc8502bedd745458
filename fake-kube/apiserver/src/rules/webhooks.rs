//! Configurations of webhooks (case hook-config; pkg/apis/admissionregistration/validation).
//! Leaves out: the cost of match conditions, and what is wrong with label selectors.

use std::collections::BTreeSet;

use fake_kube_schema::{Cause, Expression};
use serde_json::{Value, json};

use super::Rule::{Code, Each};
use super::{Rule, Walk, join, text};

const FORM: &str = "; desired format: https://host[/path]";
const VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const CONDITIONS_MAX: u64 = 64;

pub(crate) const VALIDATING: &[Rule] = &[Code(unique_names), Each("webhooks", WEBHOOK)];
pub(crate) const MUTATING: &[Rule] = &[Code(unique_names), Each("webhooks", MUTATING_WEBHOOK)];

const WEBHOOK: &[Rule] =
    &[Code(name), Each("rules", RULE), Code(policies), Code(client), Code(conditions), Code(versions)];
const MUTATING_WEBHOOK: &[Rule] = &[
    Code(name),
    Each("rules", RULE),
    Code(policies),
    Code(reinvocation),
    Code(client),
    Code(conditions),
    Code(versions),
];
const RULE: &[Rule] = &[Code(operations), Code(groups), Code(api_versions), Code(resources), Code(scope)];

fn unique_names(w: &mut Walk<'_>, object: &Value, _: &str) {
    let mut seen = BTreeSet::new();
    for (i, hook) in object["webhooks"].as_array().into_iter().flatten().enumerate() {
        let name = text(hook, "name");
        if !name.is_empty() && !seen.insert(name) {
            w.out.push(Cause::duplicate(format!("webhooks[{i}].name"), &json!(name)));
        }
    }
}

/// IsFullyQualifiedName.
fn name(w: &mut Walk<'_>, hook: &Value, path: &str) {
    let (name, at) = (text(hook, "name"), join(path, "name"));
    if name.is_empty() {
        w.out.push(Cause::required(at, ""));
    } else if let why @ [_, ..] = crate::names::subdomain(name).as_slice() {
        w.invalid(at, &json!(name), &why.join(","));
    } else if name.split('.').count() < 3 {
        w.invalid(at, &json!(name), "should be a domain with at least three segments separated by dots");
    }
}

fn list<'a>(value: &'a Value, key: &str) -> Vec<&'a str> {
    value[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// A list that must not be empty, and in which `*` stands alone.
fn wildcard(w: &mut Walk<'_>, rule: &Value, path: &str, key: &str, what: &str) {
    let all = list(rule, key);
    if all.is_empty() {
        w.out.push(Cause::required(join(path, key), ""));
    }
    if all.len() > 1 && all.contains(&"*") {
        w.invalid(join(path, key), &json!(all), &format!("if '*' is present, must not specify other {what}"));
    }
}

fn operations(w: &mut Walk<'_>, rule: &Value, path: &str) {
    wildcard(w, rule, path, "operations", "operations");
    let known = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
    for (i, operation) in list(rule, "operations").iter().enumerate().filter(|(_, o)| !known.contains(o)) {
        let at = format!("{}[{i}]", join(path, "operations"));
        w.out.push(Cause::not_supported(at, &json!(operation), &known));
    }
}

fn groups(w: &mut Walk<'_>, rule: &Value, path: &str) {
    wildcard(w, rule, path, "apiGroups", "API groups");
}

fn api_versions(w: &mut Walk<'_>, rule: &Value, path: &str) {
    wildcard(w, rule, path, "apiVersions", "API versions");
    for (i, _) in list(rule, "apiVersions").iter().enumerate().filter(|(_, v)| v.is_empty()) {
        w.out.push(Cause::required(format!("{}[{i}]", join(path, "apiVersions")), ""));
    }
}

/// validateResources: what a wildcard covers must not be said again.
fn resources(w: &mut Walk<'_>, rule: &Value, path: &str) {
    let (all, at) = (list(rule, "resources"), join(path, "resources"));
    if all.is_empty() {
        w.out.push(Cause::required(at.clone(), ""));
    }
    let (mut whole, mut subs) = (BTreeSet::new(), BTreeSet::new());
    let has_all = all.contains(&"*/*");
    for (i, item) in all.iter().enumerate() {
        let place = format!("{at}[{i}]");
        if item.is_empty() {
            w.out.push(Cause::required(place, ""));
            continue;
        }
        let value = json!(item);
        if has_all && *item != "*/*" {
            w.invalid(place, &value, "if '*/*' is present, must not specify other resources");
            continue;
        }
        let Some((resource, sub)) = item.split_once('/') else { continue };
        if subs.contains(sub) {
            w.invalid(place.clone(), &value, &format!("if '*/{sub}' is present, must not specify {item}"));
        }
        if whole.contains(resource) {
            w.invalid(place, &value, &format!("if '{resource}/*' is present, must not specify {item}"));
        }
        if sub == "*" {
            whole.insert(resource);
        }
        if resource == "*" {
            subs.insert(sub);
        }
    }
    if all.len() > 1 && all.contains(&"*") && all.iter().any(|r| !r.contains('/') && *r != "*") {
        w.invalid(
            at,
            &json!(all),
            "if '*' is present, must not specify other resources without subresources",
        );
    }
}

fn scope(w: &mut Walk<'_>, rule: &Value, path: &str) {
    one_of(w, rule, path, "scope", &["*", "Cluster", "Namespaced"]);
}

fn one_of(w: &mut Walk<'_>, value: &Value, path: &str, key: &str, known: &[&str]) {
    if let Some(given) = value[key].as_str().filter(|g| !known.contains(g)) {
        w.out.push(Cause::not_supported(join(path, key), &json!(given), known));
    }
}

fn policies(w: &mut Walk<'_>, hook: &Value, path: &str) {
    one_of(w, hook, path, "failurePolicy", &["Fail", "Ignore"]);
    one_of(w, hook, path, "matchPolicy", &["Equivalent", "Exact"]);
    if hook["sideEffects"].is_null() {
        let why = "must specify one of None, NoneOnDryRun";
        w.out.push(Cause::required(join(path, "sideEffects"), why));
    }
    one_of(w, hook, path, "sideEffects", &["None", "NoneOnDryRun"]);
    if let Some(seconds) = hook["timeoutSeconds"].as_i64().filter(|s| !(1..=30).contains(s)) {
        let why = "the timeout value must be between 1 and 30 seconds";
        w.invalid(join(path, "timeoutSeconds"), &json!(seconds), why);
    }
}

fn reinvocation(w: &mut Walk<'_>, hook: &Value, path: &str) {
    one_of(w, hook, path, "reinvocationPolicy", &["IfNeeded", "Never"]);
}

fn client(w: &mut Walk<'_>, hook: &Value, path: &str) {
    let (client, path) = (&hook["clientConfig"], join(path, "clientConfig"));
    match (client["url"].as_str(), client["service"].is_object()) {
        (Some(url), false) => url_of(w, url, join(&path, "url")),
        (None, true) => service(w, &client["service"], &join(&path, "service")),
        _ => w.out.push(Cause::required(path, "exactly one of url or service is required")),
    }
}

fn url_of(w: &mut Walk<'_>, url: &str, at: String) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = if scheme.is_empty() { "" } else { rest.split('/').next().unwrap_or("") };
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if scheme != "https" {
        w.invalid(at.clone(), &json!(scheme), &format!("'https' is the only allowed URL scheme{FORM}"));
    }
    if host.is_empty() {
        w.invalid(at.clone(), &json!(host), &format!("host must be specified{FORM}"));
    }
    for (given, why) in [
        (user, "user information is not permitted in the URL"),
        (fragment, "fragments are not permitted in the URL"),
        (query, "query parameters are not permitted in the URL"),
    ] {
        if !given.is_empty() {
            w.invalid(at.clone(), &json!(given), why);
        }
    }
}

fn service(w: &mut Walk<'_>, service: &Value, path: &str) {
    for key in ["name", "namespace"] {
        if text(service, key).is_empty() {
            w.out.push(Cause::required(join(path, key), ""));
        }
    }
    if let Some(port) = service["port"].as_i64().filter(|p| !(1..=65535).contains(p)) {
        let why = "port is not valid: must be between 1 and 65535, inclusive";
        w.invalid(join(path, "port"), &json!(port), why);
    }
    let given = text(service, "path");
    if given.is_empty() || given == "/" {
        return;
    }
    let (at, value) = (join(path, "path"), json!(given));
    if !given.starts_with('/') {
        w.invalid(at.clone(), &value, "must start with a '/'");
    }
    let steps = given.strip_prefix('/').unwrap_or(given);
    for (i, step) in steps.strip_suffix('/').unwrap_or(steps).split('/').enumerate() {
        if step.is_empty() {
            w.invalid(at.clone(), &value, &format!("segment[{i}] may not be empty"));
        }
        for why in crate::names::subdomain(step).iter().filter(|_| !step.is_empty()) {
            w.invalid(at.clone(), &value, &format!("segment[{i}]: {why}"));
        }
    }
}

fn conditions(w: &mut Walk<'_>, hook: &Value, path: &str) {
    let all = hook["matchConditions"].as_array().map_or(&[][..], Vec::as_slice);
    let path = join(path, "matchConditions");
    if all.len() as u64 > CONDITIONS_MAX {
        w.out.push(Cause::too_many(path.clone(), all.len(), CONDITIONS_MAX));
    }
    let mut seen = BTreeSet::new();
    for (i, condition) in all.iter().enumerate() {
        let at = format!("{path}[{i}]");
        let expression = text(condition, "expression").trim();
        if expression.is_empty() {
            w.out.push(Cause::required(join(&at, "expression"), ""));
        } else if let Err(why) = Expression::parse(expression) {
            let why = format!("compilation failed: {why}");
            w.invalid(join(&at, "expression"), &json!(expression), &why);
        }
        let name = text(condition, "name");
        if name.is_empty() {
            w.out.push(Cause::required(join(&at, "name"), ""));
        } else if let Some(why) = crate::names::qualified(name) {
            w.invalid(join(&at, "name"), &json!(name), &why);
        } else if !seen.insert(name) {
            w.out.push(Cause::duplicate(join(&at, "name"), &json!(name)));
        }
    }
}

fn versions(w: &mut Walk<'_>, hook: &Value, path: &str) {
    let (all, at) = (list(hook, "admissionReviewVersions"), join(path, "admissionReviewVersions"));
    if all.is_empty() {
        w.out.push(Cause::required(at, "must specify one of v1, v1beta1"));
        return;
    }
    let mut seen = BTreeSet::new();
    for (i, version) in all.iter().enumerate() {
        if !seen.insert(version) {
            w.invalid(format!("{at}[{i}]"), &json!(version), "duplicate version");
        }
    }
    if !all.iter().any(|v| VERSIONS.contains(v)) {
        w.invalid(at, &json!(all), "must include at least one of v1, v1beta1");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: Value, expected: &[&str]) {
        let mut hook = json!({"name": "w.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": {"url": "https://h/x"},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]});
        for (key, value) in change.as_object().into_iter().flatten() {
            hook[key.as_str()] = value.clone();
        }
        let object = json!({"webhooks": [hook]});
        let mut walk = Walk::new(&object);
        walk.apply(MUTATING, &object, "");
        let got: Vec<String> = walk.out.iter().map(ToString::to_string).collect();
        assert_eq!(got, expected, "{change}");
    }

    #[test]
    fn webhooks() {
        check(json!({}), &[]);
        check(
            json!({"name": "w"}),
            &[
                "webhooks[0].name: Invalid value: \"w\": should be a domain with at least three segments separated by dots",
            ],
        );
        check(
            json!({"clientConfig": {}}),
            &["webhooks[0].clientConfig: Required value: exactly one of url or service is required"],
        );
        check(
            json!({"clientConfig": {"service": {"name": "s", "namespace": "n", "path": "x"}}}),
            &["webhooks[0].clientConfig.service.path: Invalid value: \"x\": must start with a '/'"],
        );
        check(
            json!({"admissionReviewVersions": ["v2"]}),
            &[
                "webhooks[0].admissionReviewVersions: Invalid value: [\"v2\"]: must include at least one of v1, v1beta1",
            ],
        );
        check(
            json!({"reinvocationPolicy": "Often"}),
            &[
                "webhooks[0].reinvocationPolicy: Unsupported value: \"Often\": supported values: \"IfNeeded\", \"Never\"",
            ],
        );
        check(
            json!({"rules": [{"apiGroups": ["*", "a"], "apiVersions": ["v1"], "operations": ["READ"], "resources": ["*/*", "pods"]}]}),
            &[
                "webhooks[0].rules[0].operations[0]: Unsupported value: \"READ\": supported values: \"*\", \"CONNECT\", \"CREATE\", \"DELETE\", \"UPDATE\"",
                "webhooks[0].rules[0].apiGroups: Invalid value: [\"*\",\"a\"]: if '*' is present, must not specify other API groups",
                "webhooks[0].rules[0].resources[1]: Invalid value: \"pods\": if '*/*' is present, must not specify other resources",
            ],
        );
    }
}
