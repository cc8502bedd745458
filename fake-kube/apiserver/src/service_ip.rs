//! Cluster IPs, node ports and the defaults of Services (pkg/registry/core/service).

use std::collections::BTreeSet;

use fake_kube_schema::Cause;
use serde_json::{Value, json};

use crate::meta;
use crate::status::{Result, Status};
use crate::write::Call;

/// Addresses and ports in use. Addresses come from 10.96.0.0/12, node ports from 30000-32767.
#[derive(Clone, Default)]
pub(crate) struct Allocated {
    ips: BTreeSet<String>,
    ports: BTreeSet<i64>,
    last_ip: u32,
    last_port: i64,
}

impl Allocated {
    /// Defaults the spec; an update allocates what it newly needs. A dry run allocates nothing.
    pub(crate) fn prepare(&mut self, call: &Call, service: &mut Value, old: Option<&Value>) -> Result<()> {
        if !service["spec"].is_object() {
            service["spec"] = json!({});
        }
        let kind = service["spec"]["type"].as_str().unwrap_or("ClusterIP").to_owned();
        if let Some(old) = old {
            drop_dependent(&mut service["spec"], &old["spec"], &kind);
        }
        defaults(&mut service["spec"], &kind);
        if old.is_none() {
            // A new Service gets its addresses once it is found valid.
            return Ok(());
        }
        self.allocate(call, service, old)
    }

    /// Gives the Service the addresses and ports it needs.
    pub(crate) fn allocate(&mut self, call: &Call, service: &mut Value, old: Option<&Value>) -> Result<()> {
        let kind = service["spec"]["type"].as_str().unwrap_or("ClusterIP").to_owned();
        if kind == "ExternalName" {
            if let Some(old) = old.filter(|_| !call.options.dry_run) {
                self.release(old);
            }
            return Ok(());
        }
        self.cluster_ip(call, service, old)?;
        self.node_ports(call, service, &kind, old)
    }

    fn cluster_ip(&mut self, call: &Call, service: &mut Value, old: Option<&Value>) -> Result<()> {
        let kept = old.map(|o| &o["spec"]["clusterIP"]).and_then(Value::as_str).unwrap_or("").to_owned();
        let asked = service["spec"]["clusterIP"].as_str().unwrap_or("").to_owned();
        if !kept.is_empty() && (asked.is_empty() || asked == kept) {
            let old = old.expect("kept came from it");
            for key in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                if service["spec"][key].is_null() {
                    service["spec"][key] = old["spec"][key].clone();
                }
            }
            return Ok(());
        }
        if !kept.is_empty() {
            let cause = Cause::invalid("spec.clusterIPs[0]", &json!([asked]), "may not change once set");
            return Err(Status::invalid(&call.def, &call.name, vec![cause]));
        }
        let ip = if asked.is_empty() { self.next_ip() } else { asked };
        if ip != "None" && ip.parse::<std::net::IpAddr>().is_ok() {
            let taken = self.ips.contains(&ip).then_some("provided IP is already allocated");
            let foreign = (!in_range(&ip)).then_some("the provided network does not match the current range");
            if let Some(why) = foreign.or(taken) {
                let why = format!("failed to allocate IP {ip}: {why}");
                let cause = Cause::invalid("spec.clusterIPs", &json!([ip]), &why);
                return Err(Status::invalid(&call.def, meta::name(service), vec![cause]));
            }
            if !call.options.dry_run {
                self.ips.insert(ip.clone());
            }
        }
        // A headless service without selector is not tied to the address family of its pods.
        let open =
            ip == "None" && service["spec"]["selector"].as_object().is_none_or(serde_json::Map::is_empty);
        let (families, policy) = if open {
            (json!(["IPv4", "IPv6"]), "RequireDualStack")
        } else {
            (json!(["IPv4"]), "SingleStack")
        };
        let spec = &mut service["spec"];
        spec["clusterIPs"] = json!([ip]);
        spec["clusterIP"] = json!(ip);
        if spec["ipFamilies"].is_null() {
            spec["ipFamilies"] = families;
        }
        if spec["ipFamilyPolicy"].is_null() {
            spec["ipFamilyPolicy"] = json!(policy);
        }
        Ok(())
    }

    fn node_ports(
        &mut self,
        call: &Call,
        service: &mut Value,
        kind: &str,
        old: Option<&Value>,
    ) -> Result<()> {
        if kind != "NodePort" && kind != "LoadBalancer" {
            return Ok(());
        }
        let held: BTreeSet<i64> = old.map(ports_of).unwrap_or_default();
        let mut refused = None;
        for (i, port) in service["spec"]["ports"].as_array_mut().into_iter().flatten().enumerate() {
            let asked = port["nodePort"].as_i64().unwrap_or(0);
            if asked != 0 && !held.contains(&asked) {
                let range =
                    "provided port is not in the valid range. The range of valid ports is 30000-32767";
                let foreign = (!(30_000..=32_767).contains(&asked)).then_some(range);
                let taken = self.ports.contains(&asked).then_some("provided port is already allocated");
                if let Some(why) = foreign.or(taken) {
                    let at = format!("spec.ports[{i}].nodePort");
                    refused = Some(Cause::invalid(at, &json!(asked), why));
                    break;
                }
            }
            if asked == 0 {
                port["nodePort"] = json!(self.next_port());
            }
            if !call.options.dry_run
                && let Some(n) = port["nodePort"].as_i64()
            {
                self.ports.insert(n);
            }
        }
        match refused {
            Some(cause) => Err(Status::invalid(&call.def, meta::name(service), vec![cause])),
            None => Ok(()),
        }
    }

    /// Takes what a stored Service has.
    pub(crate) fn occupy(&mut self, service: &Value) {
        let ip = service["spec"]["clusterIP"].as_str().filter(|ip| in_range(ip));
        self.ips.extend(ip.map(str::to_owned));
        self.ports.extend(ports_of(service));
    }

    fn next_ip(&mut self) -> String {
        loop {
            self.last_ip += 1;
            // From the upper part of the range, as a real allocator does for dynamic addresses.
            let n = 0x0a60_0100 + self.last_ip % 0x000f_0000;
            let ip = std::net::Ipv4Addr::from(n).to_string();
            if !self.ips.contains(&ip) {
                return ip;
            }
        }
    }

    fn next_port(&mut self) -> i64 {
        for _ in 0..2768 {
            self.last_port = (self.last_port + 1) % 2768;
            if !self.ports.contains(&(30_000 + self.last_port)) {
                break;
            }
        }
        30_000 + self.last_port
    }

    pub(crate) fn release(&mut self, service: &Value) {
        if let Some(ip) = service["spec"]["clusterIP"].as_str() {
            self.ips.remove(ip);
        }
        for port in service["spec"]["ports"].as_array().into_iter().flatten() {
            if let Some(n) = port["nodePort"].as_i64() {
                self.ports.remove(&n);
            }
        }
    }
}

fn ports_of(service: &Value) -> BTreeSet<i64> {
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    ports.filter_map(|p| p["nodePort"].as_i64()).collect()
}

/// 10.96.0.0/12, the range of kubeadm.
fn in_range(ip: &str) -> bool {
    ip.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| u32::from(ip) & 0xfff0_0000 == 0x0a60_0000)
}

/// What the old type needed and the new one has no use for goes, unless the client changed it too
/// (dropTypeDependentFields in pkg/registry/core/service/strategy.go; case val-service-ip).
fn drop_dependent(spec: &mut Value, old: &Value, kind: &str) {
    let was = old["type"].as_str().unwrap_or("ClusterIP");
    let node = |k: &str| matches!(k, "NodePort" | "LoadBalancer");
    let unchanged = |spec: &Value, key: &str| spec[key] == old[key];
    let remove = |spec: &mut Value, key: &str| {
        if let Some(map) = spec.as_object_mut() {
            map.shift_remove(key);
        }
    };
    if was != "ExternalName" && kind == "ExternalName" {
        for key in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
            if unchanged(spec, key) {
                remove(spec, key);
            }
        }
    }
    if !node(was) || node(kind) {
        return;
    }
    let ports = |s: &Value| ports_of(&json!({"spec": {"ports": s["ports"]}}));
    if ports(spec) == ports(old) {
        for port in spec["ports"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            port.shift_remove("nodePort");
        }
    }
    for key in
        ["externalTrafficPolicy", "healthCheckNodePort", "allocateLoadBalancerNodePorts", "loadBalancerClass"]
    {
        if unchanged(spec, key) {
            remove(spec, key);
        }
    }
}

fn defaults(spec: &mut Value, kind: &str) {
    let Some(map) = spec.as_object_mut() else { return };
    map.insert("type".to_owned(), json!(kind));
    let mut put = |key: &str, value: Value| {
        let slot = map.entry(key).or_insert(Value::Null);
        if slot.is_null() {
            *slot = value;
        }
    };
    put("sessionAffinity", json!("None"));
    if kind != "ExternalName" {
        put("internalTrafficPolicy", json!("Cluster"));
    }
    if kind == "NodePort" || kind == "LoadBalancer" {
        put("externalTrafficPolicy", json!("Cluster"));
    }
    if kind == "LoadBalancer" {
        put("allocateLoadBalancerNodePorts", json!(true));
    }
    for port in map.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if !port.is_object() {
            continue;
        }
        if port["protocol"].is_null() {
            port["protocol"] = json!("TCP");
        }
        if port["targetPort"].is_null() {
            port["targetPort"] = port["port"].clone();
        }
    }
}
