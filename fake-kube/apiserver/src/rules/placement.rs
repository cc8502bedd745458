//! Where a pod may go: affinity, spread constraints, gates; and what names it resolves (ValidatePodSpec in
//! pkg/apis/core/validation). Leaves out: `matchLabelKeys`.

use fake_kube_schema::Cause;
use serde_json::{Value, json};

use super::Rule::{Code, Each, In, OneOf};
use super::selector::{LABEL_SELECTOR, label_name, label_values, list};
use super::{Rule, Walk, join, present, text};
use crate::names;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub(crate) const AFFINITY: &[Rule] = &[
    In("nodeAffinity", &[In(REQUIRED, &[Code(node_selector)]), Each(PREFERRED, &[Code(preferred_nodes)])]),
    In("podAffinity", PODS),
    In("podAntiAffinity", PODS),
];

const PODS: &[Rule] =
    &[Each(REQUIRED, POD_TERM), Each(PREFERRED, &[Code(weight), In("podAffinityTerm", POD_TERM)])];

const POD_TERM: &[Rule] = &[
    In("labelSelector", LABEL_SELECTOR),
    In("namespaceSelector", LABEL_SELECTOR),
    Code(namespaces),
    Code(topology_key),
];

fn node_selector(w: &mut Walk<'_>, selector: &Value, path: &str) {
    let (terms, at) = (list(selector, "nodeSelectorTerms"), join(path, "nodeSelectorTerms"));
    if terms.is_empty() {
        w.out.push(Cause::required(at, "must have at least one node selector term"));
        return;
    }
    for (i, term) in terms.iter().enumerate() {
        node_term(w, term, true, &format!("{at}[{i}]"));
    }
}

fn preferred_nodes(w: &mut Walk<'_>, term: &Value, path: &str) {
    weight(w, term, path);
    // Values that no label can have do no harm where nothing is required.
    node_term(w, &term["preference"], false, &join(path, "preference"));
}

fn weight(w: &mut Walk<'_>, term: &Value, path: &str) {
    let weight = term["weight"].as_i64().unwrap_or(0);
    if !(1..=100).contains(&weight) {
        w.invalid(join(path, "weight"), &json!(weight), "must be in the range 1-100");
    }
}

fn node_term(w: &mut Walk<'_>, term: &Value, is_required: bool, path: &str) {
    for (i, label) in list(term, "matchExpressions").iter().enumerate() {
        node_label(w, label, is_required, &format!("{path}.matchExpressions[{i}]"));
    }
    for (i, field) in list(term, "matchFields").iter().enumerate() {
        node_field(w, field, &format!("{path}.matchFields[{i}]"));
    }
}

fn node_label(w: &mut Walk<'_>, requirement: &Value, is_required: bool, path: &str) {
    let (values, at) = (list(requirement, "values"), join(path, "values"));
    match text(requirement, "operator") {
        "In" | "NotIn" if values.is_empty() => {
            w.out.push(Cause::required(at.clone(), "must be specified when `operator` is 'In' or 'NotIn'"));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            w.out.push(Cause::forbidden(at.clone(), why));
        }
        "Gt" | "Lt" if values.len() != 1 => {
            let why = "must be specified single value when `operator` is 'Lt' or 'Gt'";
            w.out.push(Cause::required(at.clone(), why));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => w.invalid(join(path, "operator"), &json!(other), "not a valid selector operator"),
    }
    label_name(w, text(requirement, "key"), &join(path, "key"));
    if is_required {
        label_values(w, values, &at);
    }
}

/// A node is known by one field, its name.
fn node_field(w: &mut Walk<'_>, requirement: &Value, path: &str) {
    let values = list(requirement, "values");
    match text(requirement, "operator") {
        "In" | "NotIn" if values.len() != 1 => {
            let why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            w.out.push(Cause::required(join(path, "values"), why));
        }
        "In" | "NotIn" => {}
        other => w.invalid(join(path, "operator"), &json!(other), "not a valid selector operator"),
    }
    let key = text(requirement, "key");
    if key != "metadata.name" {
        w.invalid(join(path, "key"), &json!(key), "not a valid field selector key");
        return;
    }
    for (i, value) in values.iter().enumerate() {
        for why in names::subdomain(value.as_str().unwrap_or("")) {
            w.invalid(format!("{path}.values[{i}]"), value, &why);
        }
    }
}

fn namespaces(w: &mut Walk<'_>, term: &Value, path: &str) {
    for name in list(term, "namespaces") {
        for why in names::label(name.as_str().unwrap_or("")) {
            // The real server's path has no index and no plural.
            w.invalid(join(path, "namespace"), name, &why);
        }
    }
}

fn topology_key(w: &mut Walk<'_>, term: &Value, path: &str) {
    let (key, at) = (text(term, "topologyKey"), join(path, "topologyKey"));
    if key.is_empty() {
        w.out.push(Cause::required(at.clone(), "can not be empty"));
    }
    label_name(w, key, &at);
}

pub(crate) const SPREAD: &[Rule] =
    &[Code(skew), Rule::Required("topologyKey", "can not be empty"), Code(unsatisfiable)];
/// The rest of a constraint, behind the look at those that follow it.
const SPREAD_REST: &[Rule] = &[
    Code(domains),
    OneOf("nodeAffinityPolicy", &["Honor", "Ignore"]),
    OneOf("nodeTaintsPolicy", &["Honor", "Ignore"]),
    In("labelSelector", LABEL_SELECTOR),
];

pub(crate) fn spread(w: &mut Walk<'_>, spec: &Value, path: &str) {
    let all = list(spec, "topologySpreadConstraints");
    let sort = |c: &Value| (text(c, "topologyKey").to_owned(), text(c, "whenUnsatisfiable").to_owned());
    for (i, constraint) in all.iter().enumerate() {
        let at = format!("{path}.topologySpreadConstraints[{i}]");
        w.apply(SPREAD, constraint, &at);
        let (key, when) = sort(constraint);
        if all[i + 1..].iter().any(|other| sort(other) == sort(constraint)) {
            let field = join(&at, "{topologyKey, whenUnsatisfiable}");
            w.out.push(Cause::duplicate(field, &json!(format!("{{{key}, {when}}}"))));
        }
        w.apply(SPREAD_REST, constraint, &at);
    }
}

fn skew(w: &mut Walk<'_>, constraint: &Value, path: &str) {
    let skew = constraint["maxSkew"].as_i64().unwrap_or(0);
    if skew <= 0 {
        w.invalid(join(path, "maxSkew"), &json!(skew), "must be greater than zero");
    }
}

fn unsatisfiable(w: &mut Walk<'_>, constraint: &Value, path: &str) {
    let (when, known) = (text(constraint, "whenUnsatisfiable"), ["DoNotSchedule", "ScheduleAnyway"]);
    if !known.contains(&when) {
        w.out.push(Cause::not_supported(join(path, "whenUnsatisfiable"), &json!(when), &known));
    }
}

fn domains(w: &mut Walk<'_>, constraint: &Value, path: &str) {
    let Some(count) = constraint["minDomains"].as_i64() else { return };
    let at = join(path, "minDomains");
    if count <= 0 {
        w.invalid(at.clone(), &json!(count), "must be greater than zero");
    }
    let when = text(constraint, "whenUnsatisfiable");
    if when != "DoNotSchedule" {
        let why = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {when}");
        w.invalid(at, &json!(count), &why);
    }
}

pub(crate) fn gates(w: &mut Walk<'_>, spec: &Value, path: &str) {
    for (i, gate) in list(spec, "readinessGates").iter().enumerate() {
        label_name(w, text(gate, "conditionType"), &format!("{path}.readinessGates[{i}].conditionType"));
    }
    let mut seen = Vec::new();
    for (i, gate) in list(spec, "schedulingGates").iter().enumerate() {
        let (name, at) = (text(gate, "name"), format!("{path}.schedulingGates[{i}]"));
        label_name(w, name, &at);
        if seen.contains(&name) {
            w.out.push(Cause::duplicate(at, &json!(name)));
        }
        seen.push(name);
    }
}

const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_BYTES_MAX: usize = 2048;

pub(crate) fn dns(w: &mut Walk<'_>, spec: &Value, path: &str) {
    let (config, at) = (present(spec, "dnsConfig"), join(path, "dnsConfig"));
    let is_alone = text(spec, "dnsPolicy") == "None";
    let Some(config) = config else {
        if is_alone {
            w.out.push(Cause::required(at, "must provide `dnsConfig` when `dnsPolicy` is None"));
        }
        return;
    };
    let servers = list(config, "nameservers");
    if is_alone && servers.is_empty() {
        let why = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        w.out.push(Cause::required(join(&at, "nameservers"), why));
        return;
    }
    if servers.len() > NAMESERVERS_MAX {
        let why = format!("must not have more than {NAMESERVERS_MAX} nameservers");
        w.invalid(join(&at, "nameservers"), &config["nameservers"], &why);
    }
    for (i, server) in servers.iter().enumerate() {
        ip(w, server, format!("{at}.nameservers[{i}]"));
    }
    let searches = list(config, "searches");
    if searches.len() > SEARCHES_MAX {
        let why = format!("must not have more than {SEARCHES_MAX} search paths");
        w.invalid(join(&at, "searches"), &config["searches"], &why);
    }
    let bytes: usize = searches.iter().filter_map(Value::as_str).map(|s| s.len() + 1).sum();
    if bytes > SEARCH_BYTES_MAX + 1 {
        let why = format!(
            "must not have more than {SEARCH_BYTES_MAX} characters (including spaces) in the search list"
        );
        w.invalid(join(&at, "searches"), &config["searches"], &why);
    }
    for (i, option) in list(config, "options").iter().enumerate() {
        if text(option, "name").is_empty() {
            w.out.push(Cause::required(format!("{at}.options[{i}]"), "must not be empty"));
        }
    }
}

/// IsValidIP.
pub(crate) fn ip(w: &mut Walk<'_>, value: &Value, path: String) {
    if value.as_str().is_none_or(|text| text.parse::<std::net::IpAddr>().is_err()) {
        w.invalid(path, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    }
}

pub(crate) fn host_aliases(w: &mut Walk<'_>, alias: &Value, path: &str) {
    let address = json!(text(alias, "ip"));
    ip(w, &address, join(path, "ip"));
    for (i, name) in list(alias, "hostnames").iter().enumerate() {
        for why in names::subdomain(name.as_str().unwrap_or("")) {
            w.invalid(format!("{path}.hostnames[{i}]"), name, &why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rules: &'static [Rule], value: Value, expected: &[&str]) {
        let mut walk = Walk::new(&value);
        walk.apply(rules, &value, "spec");
        assert_eq!(walk.out.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{value}");
    }

    #[test]
    fn nodes_are_chosen_by_what_labels_can_say() {
        let required = |terms: Value| json!({"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}});
        let at = format!("spec.nodeAffinity.{REQUIRED}.nodeSelectorTerms");
        check(
            AFFINITY,
            required(json!([{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}])),
            &[],
        );
        let none = format!("{at}: Required value: must have at least one node selector term");
        check(AFFINITY, required(json!([])), &[&none]);
        let several = json!([{"matchExpressions": [
            {"key": "zone", "operator": "In"}, {"key": "zone", "operator": "Exists", "values": ["a"]},
            {"key": "n", "operator": "Gt", "values": ["1", "2"]}, {"key": "n", "operator": "Near"}],
            "matchFields": [{"key": "metadata.uid", "operator": "In", "values": ["x"]}]}]);
        let lines = [
            "matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
            "matchExpressions[1].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            "matchExpressions[2].values: Required value: must be specified single value when `operator` is 'Lt' or 'Gt'",
            "matchExpressions[3].operator: Invalid value: \"Near\": not a valid selector operator",
            "matchFields[0].key: Invalid value: \"metadata.uid\": not a valid field selector key",
        ];
        let lines: Vec<String> = lines.iter().map(|line| format!("{at}[0].{line}")).collect();
        check(AFFINITY, required(several), &lines.iter().map(String::as_str).collect::<Vec<_>>());
    }

    #[test]
    fn pods_are_kept_together_by_a_topology() {
        let preferred = json!({"podAntiAffinity": {PREFERRED: [{"weight": 101, "podAffinityTerm":
            {"topologyKey": "zone", "labelSelector": {"matchExpressions": [{"key": "app", "operator": "In"}]}}}]}});
        let at = format!("spec.podAntiAffinity.{PREFERRED}[0]");
        let weight = format!("{at}.weight: Invalid value: 101: must be in the range 1-100");
        let values = format!(
            "{at}.podAffinityTerm.labelSelector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"
        );
        check(AFFINITY, preferred, &[&weight, &values]);
    }

    #[test]
    fn constraints_differ() {
        let of = |constraints: Value| json!({"topologySpreadConstraints": constraints});
        let one = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"});
        let rules = const { &[Code(spread)] };
        check(rules, of(json!([one])), &[]);
        check(
            rules,
            of(json!([one, one])),
            &[
                "spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: \"{zone, DoNotSchedule}\"",
            ],
        );
        check(
            rules,
            of(json!([{"maxSkew": 0, "whenUnsatisfiable": "Never", "minDomains": 1}])),
            &[
                "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
                "spec.topologySpreadConstraints[0].topologyKey: Required value: can not be empty",
                "spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: \"Never\": supported values: \"DoNotSchedule\", \"ScheduleAnyway\"",
                "spec.topologySpreadConstraints[0].minDomains: Invalid value: 1: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not Never",
            ],
        );
    }

    #[test]
    fn names_are_resolved_somewhere() {
        let rules = const { &[Code(dns)] };
        check(
            rules,
            json!({"dnsPolicy": "None"}),
            &["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
        );
        check(
            rules,
            json!({"dnsPolicy": "None", "dnsConfig": {"searches": ["a"]}}),
            &[
                "spec.dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None",
            ],
        );
        check(
            rules,
            json!({"dnsConfig": {"nameservers": ["10.0.0.1", "x"]}}),
            &[
                "spec.dnsConfig.nameservers[1]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ],
        );
    }
}
