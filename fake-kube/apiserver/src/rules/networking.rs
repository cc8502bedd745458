//! Ingresses (pkg/apis/networking/validation; case val-ingress). Leaves out: resource backends, NetworkPolicies.

use fake_kube_schema::Cause;
use serde_json::{Value, json};

use super::Rule::{Code, Each, In, OneOf, Text};
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
    backend(w, &value["backend"], &join(path, "backend"));
}

fn backend(w: &mut Walk<'_>, value: &Value, path: &str) {
    let service = match (present(value, "resource"), present(value, "service")) {
        (Some(_), Some(_)) => {
            return w.invalid(path.to_owned(), &json!(""), "cannot set both resource and service backends");
        }
        (Some(_), None) => return,
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
