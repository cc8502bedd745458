//! The `proxy` subresource of services, pods and nodes: where it leads, and what it says when it leads nowhere (case
//! sub-proxy; ResourceLocation in pkg/registry/core/{service,pod,node}).
//!
//! The server itself carries nothing: whoever owns the network dials the address found here. Leaves out TLS to the
//! target, and upgrades.

use http::Uri;
use serde_json::Value;

use crate::request;
use crate::server::{ApiServer, State};
use crate::status::{Result, Status};
use crate::store;

/// Where a proxied request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyTarget {
    /// The address of a pod, or the name of a node.
    pub host: String,
    pub port: u16,
    /// Path and query for whoever is there.
    pub path: String,
}

impl ApiServer {
    /// The target of a proxy path; None for any other path.
    pub fn proxy_target(&self, uri: &Uri) -> Option<Result<ProxyTarget>> {
        let route = request::route(uri.path())?;
        let rest = route.subresource.strip_prefix("proxy")?;
        if !route.group.is_empty() || !(rest.is_empty() || rest.starts_with('/')) {
            return None;
        }
        let found = match (route.resource.as_str(), route.scoped) {
            ("services", true) => self.with(|s| s.behind_service(&route.namespace, &route.name)),
            ("pods", true) => self.with(|s| s.behind_pod(&route.namespace, &route.name)),
            ("nodes", false) => self.with(|s| s.behind_node(&route.name)),
            _ => return None,
        };
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let path = if rest.is_empty() { "/" } else { rest };
        Some(found.map(|(host, port)| ProxyTarget { host, port, path: format!("{path}{query}") }))
    }
}

impl State {
    fn core(&self, plural: &str, namespace: &str, name: &str) -> Result<&Value> {
        let def = self.registry.get("", "v1", plural).ok_or_else(Status::unknown_path)?;
        let found = self.store.get(def.table, &store::key(namespace, name));
        found.map(|s| s.pinned()).ok_or_else(|| Status::not_found(def, name))
    }

    fn behind_service(&self, namespace: &str, id: &str) -> Result<(String, u16)> {
        let (name, port) = name_and_port(id, "service")?;
        let unavailable = |text: String| Status::new(503, "ServiceUnavailable", text);
        let mut port_name = port;
        if let Ok(number) = port.parse::<u64>() {
            let service = self.core("services", namespace, name)?;
            let ports = service["spec"]["ports"].as_array().map_or(&[][..], Vec::as_slice);
            let declared = ports.iter().find(|p| p["port"].as_u64() == Some(number));
            let declared = declared.ok_or_else(|| {
                unavailable(format!("no service port {number} found for service \"{name}\""))
            })?;
            port_name = declared["name"].as_str().unwrap_or("");
        }
        // The real server looks for the Endpoints object and words its absence as that of the service.
        let Ok(endpoints) = self.core("endpoints", namespace, name) else {
            let def = self.registry.get("", "v1", "services").ok_or_else(Status::unknown_path)?;
            return Err(Status::not_found(def, name));
        };
        let subsets = endpoints["subsets"].as_array().map_or(&[][..], Vec::as_slice);
        for subset in subsets {
            let address = subset["addresses"].as_array().and_then(|a| a.first());
            let ports = subset["ports"].as_array().map_or(&[][..], Vec::as_slice);
            let port = ports.iter().find(|p| p["name"].as_str().unwrap_or("") == port_name);
            if let (Some(ip), Some(port)) =
                (address.and_then(|a| a["ip"].as_str()), port.and_then(|p| p["port"].as_u64()))
                && let Ok(port) = u16::try_from(port)
            {
                return Ok((ip.to_owned(), port));
            }
        }
        let shown = if subsets.is_empty() { name } else { id };
        Err(unavailable(format!("no endpoints available for service \"{shown}\"")))
    }

    fn behind_pod(&self, namespace: &str, id: &str) -> Result<(String, u16)> {
        let (name, port) = name_and_port(id, "pod")?;
        let pod = self.core("pods", namespace, name)?;
        let containers = pod["spec"]["containers"].as_array().map_or(&[][..], Vec::as_slice);
        let first = containers.iter().find_map(|c| c["ports"][0]["containerPort"].as_u64());
        let given = if port.is_empty() { first } else { port.parse().ok() };
        let ip = pod["status"]["podIP"].as_str().filter(|ip| !ip.is_empty());
        let ip = ip.ok_or_else(|| Status::bad_request("address not allowed"))?;
        Ok((ip.to_owned(), given.and_then(|p| u16::try_from(p).ok()).unwrap_or(80)))
    }

    fn behind_node(&self, id: &str) -> Result<(String, u16)> {
        let (name, port) = name_and_port(id, "node")?;
        self.core("nodes", "", name)?;
        Ok((name.to_owned(), port.parse().unwrap_or(10250)))
    }
}

/// `name`, `name:port` or `scheme:name:port`.
fn name_and_port<'a>(id: &'a str, what: &str) -> Result<(&'a str, &'a str)> {
    let parts: Vec<&str> = id.split(':').collect();
    match parts.as_slice() {
        [name] if !name.is_empty() => Ok((name, "")),
        [name, port] if !name.is_empty() => Ok((name, port)),
        ["http" | "https" | "", name, port] if !name.is_empty() => Ok((name, port)),
        _ => Err(Status::bad_request(format!("invalid {what} request \"{id}\""))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_named_in_three_ways() {
        let check = |id: &str, expected: Option<(&str, &str)>| {
            assert_eq!(name_and_port(id, "service").ok(), expected, "{id}");
        };
        check("a", Some(("a", "")));
        check("a:80", Some(("a", "80")));
        check("https:a:web", Some(("a", "web")));
        check("ftp:a:21", None);
        check("", None);
        check("http:a:1:2", None);
    }
}
