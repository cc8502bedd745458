//! Services (ValidateService; cases val-service*). Leaves out: dual stack, external IPs, topology annotations.

use fake_kube_schema::{Cause, Reason};
use serde_json::{Value, json};

use super::Rule::{Code, Each, Labels, OneOf, Port, Required, Text, Within};
use super::{Rule, Walk, join, present, text};
use crate::names;

pub(crate) const SERVICE: &[Rule] = &[
    Code(ports_required),
    Code(by_type),
    Code(ports_named),
    Each("ports", PORT),
    Labels("selector"),
    OneOf("sessionAffinity", &["ClientIP", "None"]),
    Code(addresses),
    OneOf("type", &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]),
    Code(node_ports),
    Code(duplicate_ports),
    OneOf("externalTrafficPolicy", &["Cluster", "Local"]),
    OneOf("internalTrafficPolicy", &["Cluster", "Local"]),
];

const PORT: &[Rule] = &[
    Text("name", names::label),
    Within("port", 1, 65535),
    OneOf("protocol", &["SCTP", "TCP", "UDP"]),
    Port("targetPort"),
    Text("appProtocol", |p| names::qualified(p).into_iter().collect()),
];

fn ports(spec: &Value) -> &[Value] {
    spec["ports"].as_array().map_or(&[], Vec::as_slice)
}

fn ports_required(w: &mut Walk<'_>, spec: &Value, path: &str) {
    if spec["clusterIP"] != "None" && text(spec, "type") != "ExternalName" {
        w.apply(const { &[Required("ports", "")] }, spec, path);
    }
}

fn by_type(w: &mut Walk<'_>, spec: &Value, path: &str) {
    let kind = text(spec, "type");
    match kind {
        "LoadBalancer" | "NodePort" if spec["clusterIP"] == "None" => {
            let why = format!("may not be set to 'None' for {kind} services");
            w.invalid(format!("{path}.clusterIPs[0]"), &json!("None"), &why);
        }
        "ExternalName" => {
            if !text(spec, "clusterIP").is_empty() {
                let why = "may not be set for ExternalName services";
                w.out.push(Cause::forbidden(join(path, "clusterIPs"), why));
            }
            let name = text(spec, "externalName").trim_end_matches('.');
            if name.is_empty() {
                w.out.push(Cause::required(join(path, "externalName"), ""));
            }
            for why in names::subdomain(name).into_iter().filter(|_| !name.is_empty()) {
                w.invalid(join(path, "externalName"), &json!(name), &why);
            }
        }
        _ => {}
    }
}

/// Several ports need names that differ.
fn ports_named(w: &mut Walk<'_>, spec: &Value, path: &str) {
    let mut seen: Vec<&str> = Vec::new();
    for (i, p) in ports(spec).iter().enumerate() {
        let (name, at) = (text(p, "name"), format!("{path}.ports[{i}].name"));
        if name.is_empty() && ports(spec).len() > 1 {
            w.out.push(Cause::required(at, ""));
        } else if !name.is_empty() && seen.contains(&name) {
            w.out.push(Cause::duplicate(at, &json!(name)));
        }
        seen.push(name);
    }
}

fn addresses(w: &mut Walk<'_>, spec: &Value, path: &str) {
    let ip = text(spec, "clusterIP");
    if text(spec, "type") != "ExternalName"
        && !matches!(ip, "" | "None")
        && ip.parse::<std::net::IpAddr>().is_err()
    {
        let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        w.invalid(format!("{path}.clusterIPs[0]"), &json!(ip), why);
    }
}

fn node_ports(w: &mut Walk<'_>, spec: &Value, path: &str) {
    let cluster = matches!(text(spec, "type"), "" | "ClusterIP");
    let mut seen: Vec<(i64, &str)> = Vec::new();
    for (i, p) in ports(spec).iter().enumerate() {
        let Some(n) = p["nodePort"].as_i64().filter(|n| *n != 0) else { continue };
        let at = format!("{path}.ports[{i}].nodePort");
        let key = (n, text(p, "protocol"));
        if cluster {
            w.out.push(Cause::forbidden(at, "may not be used when `type` is 'ClusterIP'"));
        } else if seen.contains(&key) {
            w.out.push(Cause::duplicate(at, &json!(n)));
        }
        seen.push(key);
    }
}

fn duplicate_ports(w: &mut Walk<'_>, spec: &Value, path: &str) {
    let mut seen: Vec<(i64, &str)> = Vec::new();
    for (i, p) in ports(spec).iter().enumerate() {
        let Some(n) = present(p, "port").and_then(Value::as_i64) else { continue };
        let key = (n, text(p, "protocol"));
        if seen.contains(&key) {
            // Printed as the Go struct with all but protocol and port at rest.
            let message = format!(
                "Duplicate value: {{\"Name\":\"\",\"Protocol\":{},\"AppProtocol\":null,\"Port\":{n},\
                 \"TargetPort\":0,\"NodePort\":0}}",
                json!(key.1)
            );
            let field = format!("{path}.ports[{i}]");
            w.out.push(Cause { field, reason: Reason::Duplicate, message });
        }
        seen.push(key);
    }
}
