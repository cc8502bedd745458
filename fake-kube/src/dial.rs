//! The network inside the cluster: names and addresses to the process behind them, as cluster DNS and kube-proxy do.
//! Leaves out DNS caching, UDP and node ports.

use std::sync::Arc;

use serde_json::Value;

use crate::controllers::endpoints::target_port;
use crate::json::*;
use crate::view::{Key, View, resource as r};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialError {
    /// No such Service, or a headless one without ready pods: DNS knows no address.
    NoSuchHost,
    /// No ready endpoint, or nothing listens on the port.
    Refused,
    /// No answer: the pod hangs, its node is away, or the address belongs to nobody.
    Unreachable,
}

impl std::fmt::Display for DialError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            DialError::NoSuchHost => "no such host",
            DialError::Refused => "connection refused",
            DialError::Unreachable => "i/o timeout",
        })
    }
}

impl std::error::Error for DialError {}

/// The pods a host leads to, and the port on them; `turn` rotates over the endpoints of a Service.
pub fn resolve(view: &View, host: &str, port: u16, turn: usize) -> Result<(Key, u16), DialError> {
    let service = match host.parse::<std::net::IpAddr>() {
        Ok(_) => view.list(r::SERVICES).map(|(_, s)| s).find(|s| text(s, "/spec/clusterIP") == host),
        Err(_) => Some(by_name(view, host).ok_or(DialError::NoSuchHost)?),
    };
    let Some(service) = service else {
        let pod = view.list(r::PODS).find(|(_, p)| {
            text(p, "/status/podIP") == host && !matches!(text(p, "/status/phase"), "Succeeded" | "Failed")
        });
        return pod.map(|(k, _)| (k.clone(), port)).ok_or(DialError::Unreachable);
    };
    let headless = text(service, "/spec/clusterIP") == "None";
    let ready = ready_pods(view, service);
    if ready.is_empty() {
        return Err(if headless { DialError::NoSuchHost } else { DialError::Refused });
    }
    let pod = &ready[turn % ready.len()];
    let key = Key::of(r::PODS, pod);
    if headless {
        // DNS answers the pods themselves: the port is not translated.
        return Ok((key, port));
    }
    let service_port = items(service, "/spec/ports").iter().find(|p| p["port"].as_u64() == Some(port.into()));
    // kube-proxy has no rule for other ports, and packets to them vanish.
    let service_port = service_port.ok_or(DialError::Unreachable)?;
    let target = target_port(service_port, pod).and_then(|p| u16::try_from(p).ok());
    target.map(|t| (key, t)).ok_or(DialError::Refused)
}

/// `svc.ns`, `svc.ns.svc`, `svc.ns.svc.cluster.local`; a bare name is looked up in `default`.
fn by_name<'a>(view: &'a View, host: &str) -> Option<&'a Arc<Value>> {
    let host = host.trim_end_matches('.');
    let host = host.strip_suffix(".cluster.local").unwrap_or(host);
    let host = host.strip_suffix(".svc").unwrap_or(host);
    let (name, namespace) = host.split_once('.').unwrap_or((host, "default"));
    view.get(r::SERVICES, namespace, name)
}

/// As the Endpoints object says it, so that a controller that is switched off or slow shows.
fn ready_pods(view: &View, service: &Value) -> Vec<Arc<Value>> {
    let Some(endpoints) = view.get(r::ENDPOINTS, namespace(service), name(service)) else {
        return Vec::new();
    };
    items(endpoints, "/subsets")
        .iter()
        .flat_map(|s| items(s, "/addresses"))
        .filter_map(|a| view.by_uid(text(a, "/targetRef/uid")))
        .map(|(_, pod)| pod)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::{pod, view};
    use serde_json::json;

    fn service(cluster_ip: &str) -> (&'static str, Value) {
        let o = json!({"metadata": {"name": "c-rest", "namespace": "n", "uid": "u-s"},
            "spec": {"clusterIP": cluster_ip, "selector": {"app": "d"}, "ports": [{"port": 8081, "targetPort": 9000}]}});
        (r::SERVICES, o)
    }

    fn endpoints(ready: bool) -> (&'static str, Value) {
        let part = if ready { "addresses" } else { "notReadyAddresses" };
        let mut o = json!({"metadata": {"name": "c-rest", "namespace": "n"}, "subsets": [{}]});
        o["subsets"][0][part] = json!([{"ip": "10.1.2.3", "targetRef": {"uid": "u-p"}}]);
        (r::ENDPOINTS, o)
    }

    #[test]
    fn hosts() {
        let check = |objects: Vec<(&str, Value)>, host: &str, port: u16, expected: Result<u16, DialError>| {
            let got = resolve(&view(objects), host, port, 0).map(|(_, port)| port);
            assert_eq!(got, expected, "{host}:{port}");
        };
        let p = || (r::PODS, pod("p", ("X", "x", "x"), true));
        let full = || vec![service("10.96.0.7"), endpoints(true), p()];
        check(full(), "c-rest.n", 8081, Ok(9000));
        check(full(), "c-rest.n.svc.cluster.local", 8081, Ok(9000));
        check(full(), "10.96.0.7", 8081, Ok(9000));
        check(full(), "10.1.2.3", 6123, Ok(6123));
        check(full(), "c-rest.other", 8081, Err(DialError::NoSuchHost));
        check(full(), "c-rest.n", 80, Err(DialError::Unreachable));
        check(full(), "10.9.9.9", 80, Err(DialError::Unreachable));
        check(vec![service("10.96.0.7"), endpoints(false), p()], "c-rest.n", 8081, Err(DialError::Refused));
        check(vec![service("None"), endpoints(true), p()], "c-rest.n", 6123, Ok(6123));
        check(vec![service("None"), endpoints(false), p()], "c-rest.n", 6123, Err(DialError::NoSuchHost));
    }
}
