//! Ingresses, their classes and NetworkPolicies (pkg/apis/networking/validation; case val-ingress).

use fake_kube_schema::Cause;
use serde_json::{Value, json};

use super::Rule::{Code, Each, In, OneOf, Port, Text};
use super::selector::{LABEL_SELECTOR, list};
use super::{Rule, Walk, is_empty, join, port_name, present, text};
use crate::names;

pub(crate) const INGRESS: &[Rule] = &[
    Code(something),
    In("defaultBackend", &[Code(backend)]),
    Each("rules", &[Text("host", host), In("http", &[Rule::Required("paths", ""), Each("paths", PATH)])]),
    Each("tls", &[Code(tls)]),
    Text("ingressClassName", names::subdomain),
];

const PATH: &[Rule] = &[Code(path)];

fn something(w: &mut Walk<'_>, spec: &Value, path: &str) {
    if is_empty(&spec["rules"]) && present(spec, "defaultBackend").is_none() {
        let why = "either `defaultBackend` or `rules` must be specified";
        w.invalid(path.to_owned(), &Value::Null, why);
    }
}

fn host(name: &str) -> Vec<String> {
    if name.parse::<std::net::IpAddr>().is_ok() {
        return vec!["must be a DNS name, not an IP address".to_owned()];
    }
    // One leading wildcard stands for a label.
    names::subdomain(name.strip_prefix("*.").unwrap_or(name))
}

fn tls(w: &mut Walk<'_>, tls: &Value, path: &str) {
    for (i, name) in tls["hosts"].as_array().into_iter().flatten().enumerate() {
        let text = name.as_str().unwrap_or("");
        for why in names::subdomain(text.strip_prefix("*.").unwrap_or(text)) {
            w.invalid(format!("{path}.hosts[{i}]"), name, &why);
        }
    }
    w.apply(const { &[Text("secretName", names::subdomain)] }, tls, path);
}

fn path(w: &mut Walk<'_>, value: &Value, path: &str) {
    let (kind, route) = (text(value, "pathType"), text(value, "path"));
    if kind.is_empty() {
        w.out.push(Cause::required(join(path, "pathType"), "pathType must be specified"));
        return;
    }
    w.apply(const { &[OneOf("pathType", &["Exact", "ImplementationSpecific", "Prefix"])] }, value, path);
    let free = route.is_empty() && kind == "ImplementationSpecific";
    if !free && !route.starts_with('/') {
        w.invalid(join(path, "path"), &json!(route), "must be an absolute path");
    }
    if matches!(kind, "Exact" | "Prefix") {
        for sequence in ["//", "/./", "/../", "%2f", "%2F"].into_iter().filter(|s| route.contains(s)) {
            w.invalid(join(path, "path"), &json!(route), &format!("must not contain '{sequence}'"));
        }
        for end in ["/..", "/."].into_iter().filter(|end| route.ends_with(end)) {
            w.invalid(join(path, "path"), &json!(route), &format!("cannot end with '{end}'"));
        }
    }
    backend(w, &value["backend"], &join(path, "backend"));
}

fn backend(w: &mut Walk<'_>, value: &Value, path: &str) {
    let service = match (present(value, "resource"), present(value, "service")) {
        (Some(_), Some(_)) => {
            return w.invalid(path.to_owned(), &json!(""), "cannot set both resource and service backends");
        }
        (Some(resource), None) => return reference(w, resource, &join(path, "resource")),
        (None, None) => {
            return w.invalid(path.to_owned(), &json!(""), "resource or service backend is required");
        }
        (None, Some(service)) => service,
    };
    let name = text(service, "name");
    if name.is_empty() {
        w.out.push(Cause::required(format!("{path}.service.name"), ""));
    } else {
        for why in names::label_1035(name) {
            w.invalid(format!("{path}.service.name"), &json!(name), &why);
        }
    }
    let (port, number) = (text(&service["port"], "name"), service["port"]["number"].as_i64().unwrap_or(0));
    let at = format!("{path}.service.port");
    if !port.is_empty() && number != 0 {
        w.invalid(path.to_owned(), &json!(""), "cannot set both port name & port number");
    } else if !port.is_empty() {
        for why in port_name(port) {
            w.invalid(join(&at, "name"), &json!(port), &why);
        }
    } else if number != 0 {
        w.apply(const { &[Rule::Within("number", 1, 65535)] }, &service["port"], &at);
    } else {
        w.out.push(Cause::required(path, "port name or number is required"));
    }
}

/// An object of the same namespace by group, kind and name.
fn reference(w: &mut Walk<'_>, value: &Value, path: &str) {
    w.apply(const { &[Text("apiGroup", names::subdomain)] }, value, path);
    for key in ["kind", "name"] {
        let given = text(value, key);
        if given.is_empty() {
            w.out.push(Cause::required(join(path, key), ""));
        }
        for why in names::NameRule::PathSegment.check(given) {
            w.invalid(join(path, key), &json!(given), &why);
        }
    }
}

const CONTROLLER_MAX: u64 = 250;

/// ValidateIngressClass.
pub(crate) fn class(w: &mut Walk<'_>, spec: &Value, path: &str) {
    let (controller, at) = (text(spec, "controller"), join(path, "controller"));
    if controller.is_empty() {
        w.out.push(Cause::required(at, ""));
    } else {
        if controller.len() as u64 > CONTROLLER_MAX {
            w.out.push(Cause::too_long(at.clone(), CONTROLLER_MAX));
        }
        domain_prefixed(w, controller, &at);
    }
    let Some(parameters) = present(spec, "parameters") else { return };
    let path = join(path, "parameters");
    reference(w, parameters, &path);
    let namespace = present(parameters, "namespace");
    match (text(parameters, "scope"), namespace) {
        ("", _) => w.out.push(Cause::required(join(&path, "scope"), "")),
        ("Namespace", None) => {
            let why = "`parameters.scope` is set to 'Namespace'";
            w.out.push(Cause::required(join(&path, "namespace"), why));
        }
        ("Namespace", Some(name)) => {
            for why in names::label(name.as_str().unwrap_or("")) {
                w.invalid(join(&path, "namespace"), name, &why);
            }
        }
        ("Cluster", Some(_)) => {
            w.out.push(Cause::forbidden(join(&path, "namespace"), "`parameters.scope` is set to 'Cluster'"));
        }
        ("Cluster", None) => {}
        (other, _) => {
            w.out.push(Cause::not_supported(join(&path, "scope"), &json!(other), &["Cluster", "Namespace"]));
        }
    }
}

/// IsDomainPrefixedPath.
fn domain_prefixed(w: &mut Walk<'_>, value: &str, path: &str) {
    let Some((domain, rest)) =
        value.split_once('/').filter(|(domain, rest)| !domain.is_empty() && !rest.is_empty())
    else {
        let why = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        w.invalid(path.to_owned(), &json!(value), why);
        return;
    };
    for why in names::subdomain(domain) {
        w.invalid(path.to_owned(), &json!(domain), &why);
    }
    let is_path = |c: u8| c.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:%".contains(&c);
    if !rest.bytes().all(is_path) {
        let why = "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
        w.invalid(path.to_owned(), &json!(rest), why);
    }
}

pub(crate) const POLICY: &[Rule] = &[
    In("podSelector", LABEL_SELECTOR),
    Each("ingress", &[Each("ports", POLICY_PORT), Each("from", PEER)]),
    Each("egress", &[Each("ports", POLICY_PORT), Each("to", PEER)]),
    Code(directions),
];

const POLICY_PORT: &[Rule] = &[Code(policy_port)];
const PEER: &[Rule] = &[
    In("podSelector", LABEL_SELECTOR),
    In("namespaceSelector", LABEL_SELECTOR),
    In("ipBlock", &[Code(block)]),
    Code(peer),
];

fn policy_port(w: &mut Walk<'_>, value: &Value, path: &str) {
    w.apply(const { &[OneOf("protocol", &["TCP", "UDP", "SCTP"])] }, value, path);
    let (end, at) = (value["endPort"].as_i64(), join(path, "endPort"));
    let port = present(value, "port");
    let is_named = port.is_some_and(Value::is_string);
    if let (Some(end), true) = (end, is_named) {
        w.invalid(at.clone(), &json!(end), "may not be specified when `port` is non-numeric");
    }
    w.apply(const { &[Port("port")] }, value, path);
    match (port.and_then(Value::as_i64), end) {
        (Some(port), Some(end)) => {
            if end < port {
                w.invalid(at, &json!(end), "must be greater than or equal to `port`");
            }
            w.apply(const { &[Rule::Within("endPort", 1, 65535)] }, value, path);
        }
        (None, Some(end)) if !is_named => {
            w.invalid(at, &json!(end), "may not be specified when `port` is not specified");
        }
        _ => {}
    }
}

fn peer(w: &mut Walk<'_>, value: &Value, path: &str) {
    let has = |key: &str| present(value, key).is_some();
    match (has("podSelector") || has("namespaceSelector"), has("ipBlock")) {
        (false, false) => w.out.push(Cause::required(path, "must specify a peer")),
        (true, true) => w.out.push(Cause::forbidden(path, "may not specify both ipBlock and another peer")),
        _ => {}
    }
}

/// An address with the length of its network.
fn network(text: &str) -> Option<(u128, u32, bool)> {
    let (address, length) = text.split_once('/')?;
    let length: u32 = length.parse().ok()?;
    match address.parse().ok()? {
        std::net::IpAddr::V4(ip) if length <= 32 => Some((u128::from(ip.to_bits()) << 96, length, true)),
        std::net::IpAddr::V6(ip) if length <= 128 => Some((ip.to_bits(), length, false)),
        _ => None,
    }
}

fn block(w: &mut Walk<'_>, block: &Value, path: &str) {
    const BAD: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    let (cidr, at) = (text(block, "cidr"), join(path, "cidr"));
    if cidr.is_empty() {
        w.out.push(Cause::required(at, ""));
        return;
    }
    let Some((whole, length, is_v4)) = network(cidr) else {
        w.invalid(at, &json!(cidr), BAD);
        return;
    };
    for (i, except) in list(block, "except").iter().enumerate() {
        let at = format!("{path}.except[{i}]");
        let Some((part, part_length, part_is_v4)) = network(except.as_str().unwrap_or("")) else {
            w.invalid(at, except, BAD);
            continue;
        };
        let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
        let is_inside = is_v4 == part_is_v4 && whole & mask == part & mask && length < part_length;
        if !is_inside {
            w.invalid(at, except, "must be a strict subset of `cidr`");
        }
    }
}

fn directions(w: &mut Walk<'_>, spec: &Value, path: &str) {
    const KNOWN: [&str; 2] = ["Ingress", "Egress"];
    let types = list(spec, "policyTypes");
    if types.len() > KNOWN.len() {
        let why = "may not specify more than two policyTypes";
        w.invalid(join(path, "policyTypes"), &spec["policyTypes"], why);
        return;
    }
    for (i, direction) in types.iter().enumerate() {
        if !direction.as_str().is_some_and(|d| KNOWN.contains(&d)) {
            w.out.push(Cause::not_supported(format!("{path}.policyTypes[{i}]"), direction, &KNOWN));
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
    fn policies_say_who_and_where() {
        let ports = |port: Value| json!({"ingress": [{"ports": [port]}]});
        let from = |peer: Value| json!({"ingress": [{"from": [peer]}]});
        check(POLICY, ports(json!({"protocol": "TCP", "port": 80, "endPort": 90})), &[]);
        check(POLICY, from(json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}})), &[]);
        check(
            POLICY,
            ports(json!({"protocol": "ICMP", "port": 80, "endPort": 70})),
            &[
                "spec.ingress[0].ports[0].protocol: Unsupported value: \"ICMP\": supported values: \"TCP\", \"UDP\", \"SCTP\"",
                "spec.ingress[0].ports[0].endPort: Invalid value: 70: must be greater than or equal to `port`",
            ],
        );
        check(
            POLICY,
            ports(json!({"port": "http", "endPort": 70})),
            &[
                "spec.ingress[0].ports[0].endPort: Invalid value: 70: may not be specified when `port` is non-numeric",
            ],
        );
        check(
            POLICY,
            ports(json!({"endPort": 70})),
            &[
                "spec.ingress[0].ports[0].endPort: Invalid value: 70: may not be specified when `port` is not specified",
            ],
        );
        check(POLICY, from(json!({})), &["spec.ingress[0].from[0]: Required value: must specify a peer"]);
        check(
            POLICY,
            from(
                json!({"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16", "10.0.0.0/8", "x"]}}),
            ),
            &[
                "spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`",
                "spec.ingress[0].from[0].ipBlock.except[1]: Invalid value: \"10.0.0.0/8\": must be a strict subset of `cidr`",
                "spec.ingress[0].from[0].ipBlock.except[2]: Invalid value: \"x\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
                "spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer",
            ],
        );
        check(
            POLICY,
            json!({"policyTypes": ["Sideways"]}),
            &[
                "spec.policyTypes[0]: Unsupported value: \"Sideways\": supported values: \"Ingress\", \"Egress\"",
            ],
        );
    }

    #[test]
    fn classes_name_a_controller() {
        let rules = const { &[Code(class)] };
        check(rules, json!({"controller": "example.com/ingress"}), &[]);
        check(rules, json!({}), &["spec.controller: Required value"]);
        check(
            rules,
            json!({"controller": "ingress"}),
            &[
                "spec.controller: Invalid value: \"ingress\": must be a domain-prefixed path (such as \"acme.io/foo\")",
            ],
        );
        check(
            rules,
            json!({"controller": "e.com/i", "parameters": {"kind": "K", "name": "n", "scope": "Namespace"}}),
            &["spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"],
        );
    }

    #[test]
    fn paths_are_plain() {
        let value = json!({"pathType": "Prefix", "path": "/a//b/..", "backend": {"service": {"name": "s", "port": {"number": 80}}}});
        check(
            PATH,
            value,
            &[
                "spec.path: Invalid value: \"/a//b/..\": must not contain '//'",
                "spec.path: Invalid value: \"/a//b/..\": cannot end with '/..'",
            ],
        );
    }
}
