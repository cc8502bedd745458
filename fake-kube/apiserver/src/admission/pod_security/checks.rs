//! The checks of the pod security standards, in the order their findings are told: those of `baseline`, then those of
//! `restricted` (pod-security-admission v0.35, policy).

use std::collections::BTreeSet;

use serde_json::Value;

use super::Level;

/// What is wrong with a pod: `privileged (container "c" must not set securityContext.privileged=true)`.
#[derive(Debug, PartialEq)]
pub(super) struct Finding {
    pub(super) reason: String,
    pub(super) detail: String,
}

fn finding(reason: &str, detail: String) -> Option<Finding> {
    Some(Finding { reason: reason.to_owned(), detail })
}

struct Check {
    level: Level,
    /// Minor versions from which, and before which, it is made.
    since: u32,
    /// Not made at the level `restricted`, where another check says more.
    overridden: bool,
    run: fn(&Pod<'_>) -> Option<Finding>,
}

const fn baseline(run: fn(&Pod<'_>) -> Option<Finding>) -> Check {
    Check { level: Level::Baseline, since: 0, overridden: false, run }
}

const fn restricted(since: u32, run: fn(&Pod<'_>) -> Option<Finding>) -> Check {
    Check { level: Level::Restricted, since, overridden: false, run }
}

const fn overridden(check: Check) -> Check {
    Check { overridden: true, ..check }
}

const CHECKS: &[Check] = &[
    baseline(app_armor),
    overridden(baseline(added_capabilities)),
    baseline(host_namespaces),
    overridden(baseline(host_paths)),
    baseline(host_ports),
    Check { since: 34, ..baseline(probe_hosts) },
    baseline(privileged),
    baseline(proc_mount),
    baseline(se_linux),
    overridden(Check { since: 19, ..baseline(seccomp_values) }),
    baseline(sysctls),
    baseline(host_process),
    restricted(8, privilege_escalation),
    restricted(22, dropped_capabilities),
    restricted(35, proc_mount_of_all),
    restricted(0, volume_types),
    restricted(0, non_root),
    restricted(23, root_user),
    restricted(19, seccomp),
];

pub(super) fn run(level: Level, version: u32, metadata: &Value, spec: &Value) -> Vec<Finding> {
    let pod = Pod { metadata, spec, version };
    CHECKS
        .iter()
        .filter(|c| c.level <= level && c.since <= version)
        .filter(|c| !(c.overridden && level == Level::Restricted))
        .filter_map(|c| (c.run)(&pod))
        .collect()
}

struct Pod<'a> {
    metadata: &'a Value,
    spec: &'a Value,
    version: u32,
}

impl Pod<'_> {
    fn containers(&self) -> impl Iterator<Item = &Value> {
        ["initContainers", "containers", "ephemeralContainers"]
            .into_iter()
            .flat_map(|list| self.spec[list].as_array().into_iter().flatten())
    }

    /// Names of the containers that are wrong.
    fn bad(&self, is_bad: impl Fn(&Value) -> bool) -> Vec<String> {
        self.containers().filter(|c| is_bad(c)).map(|c| text(c, "name")).collect()
    }

    fn context(&self) -> &Value {
        &self.spec["securityContext"]
    }

    fn is_windows(&self) -> bool {
        self.version >= 25 && self.spec["os"]["name"] == "windows"
    }

    /// Users of the pod are not those of the node.
    fn has_own_users(&self) -> bool {
        self.version >= 35 && self.spec["hostUsers"] == false
    }

    /// Who sets something wrong: `pod and container "c"`; None: nobody.
    fn setters(&self, pod_is_bad: bool, containers: &[String]) -> Option<String> {
        let mut out = Vec::new();
        if pod_is_bad {
            out.push("pod".to_owned());
        }
        if !containers.is_empty() {
            out.push(named("container", containers));
        }
        (!out.is_empty()).then(|| out.join(" and "))
    }
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or("").to_owned()
}

fn plural(singular: &str, count: usize) -> String {
    if count == 1 { singular.to_owned() } else { format!("{singular}s") }
}

fn quoted<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> String {
    let all: Vec<String> = items.into_iter().map(|i| format!("\"{}\"", i.as_ref())).collect();
    all.join(", ")
}

/// `containers "a", "b"`.
fn named(what: &str, names: &[String]) -> String {
    format!("{} {}", plural(what, names.len()), quoted(names))
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn app_armor(pod: &Pod<'_>) -> Option<Finding> {
    let bad = |context: &Value| {
        let kind = context["appArmorProfile"]["type"].as_str()?;
        (!matches!(kind, "RuntimeDefault" | "Localhost")).then(|| kind.to_owned())
    };
    let containers = pod.bad(|c| bad(&c["securityContext"]).is_some());
    let mut values: BTreeSet<String> = pod.containers().filter_map(|c| bad(&c["securityContext"])).collect();
    values.extend(bad(pod.context()));
    let annotations = pod.metadata["annotations"].as_object().into_iter().flatten();
    let mut forbidden: Vec<String> = annotations
        .filter(|(k, _)| k.starts_with("container.apparmor.security.beta.kubernetes.io/"))
        .filter_map(|(k, v)| Some((k, v.as_str()?)))
        .filter(|(_, v)| !v.is_empty() && *v != "runtime/default" && !v.starts_with("localhost/"))
        .map(|(k, v)| format!("{k}={v:?}"))
        .collect();
    forbidden.sort();
    let mut setters: Vec<String> =
        pod.setters(bad(pod.context()).is_some(), &containers).into_iter().collect();
    let mut all: Vec<String> = values.into_iter().collect();
    if !forbidden.is_empty() {
        setters.push(plural("annotation", forbidden.len()));
        all.extend(forbidden);
    }
    if setters.is_empty() {
        return None;
    }
    finding(
        &plural("forbidden AppArmor profile", all.len()),
        format!("{} must not set AppArmor profile type to {}", setters.join(" and "), quoted(&all)),
    )
}

const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Capabilities a container adds beyond those allowed.
fn added<'a>(container: &'a Value, allowed: &'a [&str]) -> impl Iterator<Item = &'a str> {
    strings(&container["securityContext"]["capabilities"]["add"]).filter(|c| !allowed.contains(c))
}

fn added_capabilities(pod: &Pod<'_>) -> Option<Finding> {
    let bad = pod.bad(|c| added(c, &CAPABILITIES).next().is_some());
    let values: BTreeSet<&str> = pod.containers().flat_map(|c| added(c, &CAPABILITIES)).collect();
    if bad.is_empty() {
        return None;
    }
    finding(
        "non-default capabilities",
        format!(
            "{} must not include {} in securityContext.capabilities.add",
            named("container", &bad),
            quoted(values)
        ),
    )
}

fn host_namespaces(pod: &Pod<'_>) -> Option<Finding> {
    let set: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .iter()
        .filter(|key| pod.spec[**key] == true)
        .map(|key| format!("{key}=true"))
        .collect();
    if set.is_empty() { None } else { finding("host namespaces", set.join(", ")) }
}

fn volumes<'a>(pod: &'a Pod<'_>) -> impl Iterator<Item = &'a Value> {
    pod.spec["volumes"].as_array().into_iter().flatten()
}

fn host_paths(pod: &Pod<'_>) -> Option<Finding> {
    let bad: Vec<String> =
        volumes(pod).filter(|v| v["hostPath"].is_object()).map(|v| text(v, "name")).collect();
    if bad.is_empty() { None } else { finding("hostPath volumes", named("volume", &bad)) }
}

fn host_ports(pod: &Pod<'_>) -> Option<Finding> {
    let ports = |c: &Value| -> Vec<i64> {
        let all = c["ports"].as_array().into_iter().flatten();
        all.filter_map(|p| p["hostPort"].as_i64()).filter(|p| *p != 0).collect()
    };
    let bad = pod.bad(|c| !ports(c).is_empty());
    let values: BTreeSet<String> = pod.containers().flat_map(ports).map(|p| p.to_string()).collect();
    if bad.is_empty() {
        return None;
    }
    let uses = if bad.len() == 1 { "uses" } else { "use" };
    let list: Vec<&str> = values.iter().map(String::as_str).collect();
    finding(
        "hostPort",
        format!(
            "{} {uses} {} {}",
            named("container", &bad),
            plural("hostPort", values.len()),
            list.join(", ")
        ),
    )
}

fn probe_hosts(pod: &Pod<'_>) -> Option<Finding> {
    let hosts = |c: &Value| -> Vec<String> {
        let handlers = [
            &c["livenessProbe"],
            &c["readinessProbe"],
            &c["startupProbe"],
            &c["lifecycle"]["postStart"],
            &c["lifecycle"]["preStop"],
        ];
        let all = handlers.into_iter().flat_map(|h| [&h["httpGet"]["host"], &h["tcpSocket"]["host"]]);
        all.filter_map(Value::as_str).filter(|h| !h.is_empty()).map(str::to_owned).collect()
    };
    let mut bad = pod.bad(|c| !hosts(c).is_empty());
    bad.sort();
    bad.dedup();
    let values: BTreeSet<String> = pod.containers().flat_map(hosts).collect();
    if bad.is_empty() {
        return None;
    }
    let uses = if bad.len() == 1 { "uses" } else { "use" };
    finding(
        "probe or lifecycle host",
        format!(
            "{} {uses} {} {}",
            named("container", &bad),
            plural("probe or lifecycle host", values.len()),
            quoted(values)
        ),
    )
}

fn privileged(pod: &Pod<'_>) -> Option<Finding> {
    let bad = pod.bad(|c| c["securityContext"]["privileged"] == true);
    if bad.is_empty() {
        return None;
    }
    finding(
        "privileged",
        format!("{} must not set securityContext.privileged=true", named("container", &bad)),
    )
}

fn proc_mount(pod: &Pod<'_>) -> Option<Finding> {
    if pod.has_own_users() { None } else { proc_mount_of_all(pod) }
}

fn proc_mount_of_all(pod: &Pod<'_>) -> Option<Finding> {
    let mount =
        |c: &Value| c["securityContext"]["procMount"].as_str().filter(|m| *m != "Default").map(str::to_owned);
    let bad = pod.bad(|c| mount(c).is_some());
    let values: BTreeSet<String> = pod.containers().filter_map(mount).collect();
    if bad.is_empty() {
        return None;
    }
    finding(
        "procMount",
        format!("{} must not set securityContext.procMount to {}", named("container", &bad), quoted(values)),
    )
}

fn se_linux(pod: &Pod<'_>) -> Option<Finding> {
    let own = |context: &Value| context["seLinuxOptions"].clone();
    let bad_type = |o: &Value| {
        let kind = o["type"].as_str().unwrap_or("");
        let known = matches!(kind, "" | "container_t" | "container_init_t" | "container_kvm_t")
            || (kind == "container_engine_t" && pod.version >= 31);
        (!known).then(|| kind.to_owned())
    };
    let is_set = |o: &Value, key: &str| o[key].as_str().is_some_and(|v| !v.is_empty());
    let is_bad = |o: &Value| bad_type(o).is_some() || is_set(o, "user") || is_set(o, "role");
    let containers = pod.bad(|c| is_bad(&own(&c["securityContext"])));
    let setters = pod.setters(is_bad(&own(pod.context())), &containers)?;
    let mut all: Vec<Value> = pod.containers().map(|c| own(&c["securityContext"])).collect();
    all.push(own(pod.context()));
    let types: BTreeSet<String> = all.iter().filter_map(bad_type).collect();
    let mut what = Vec::new();
    if !types.is_empty() {
        what.push(format!("{} {}", plural("type", types.len()), quoted(&types)));
    }
    for key in ["user", "role"] {
        if all.iter().any(|o| is_set(o, key)) {
            what.push(format!("{key} may not be set"));
        }
    }
    finding(
        "seLinuxOptions",
        format!("{setters} set forbidden securityContext.seLinuxOptions: {}", what.join("; ")),
    )
}

/// A profile that is set and not allowed.
fn bad_seccomp(context: &Value) -> Option<String> {
    let profile = context.get("seccompProfile").filter(|p| p.is_object())?;
    let kind = profile["type"].as_str().unwrap_or("");
    (!matches!(kind, "RuntimeDefault" | "Localhost")).then(|| kind.to_owned())
}

fn seccomp_values(pod: &Pod<'_>) -> Option<Finding> {
    let containers = pod.bad(|c| bad_seccomp(&c["securityContext"]).is_some());
    let setters = pod.setters(bad_seccomp(pod.context()).is_some(), &containers)?;
    let mut values: BTreeSet<String> =
        pod.containers().filter_map(|c| bad_seccomp(&c["securityContext"])).collect();
    values.extend(bad_seccomp(pod.context()));
    finding(
        "seccompProfile",
        format!("{setters} must not set securityContext.seccompProfile.type to {}", quoted(values)),
    )
}

fn sysctls(pod: &Pod<'_>) -> Option<Finding> {
    let allowed = |name: &str| match name {
        "kernel.shm_rmid_forced"
        | "net.ipv4.ip_local_port_range"
        | "net.ipv4.tcp_syncookies"
        | "net.ipv4.ping_group_range"
        | "net.ipv4.ip_unprivileged_port_start" => true,
        "net.ipv4.ip_local_reserved_ports" => pod.version >= 27,
        "net.ipv4.tcp_keepalive_time"
        | "net.ipv4.tcp_fin_timeout"
        | "net.ipv4.tcp_keepalive_intvl"
        | "net.ipv4.tcp_keepalive_probes" => pod.version >= 29,
        "net.ipv4.tcp_rmem" | "net.ipv4.tcp_wmem" => pod.version >= 32,
        _ => false,
    };
    let all = pod.context()["sysctls"].as_array().into_iter().flatten();
    let bad: Vec<&str> = all.filter_map(|s| s["name"].as_str()).filter(|n| !allowed(n)).collect();
    if bad.is_empty() { None } else { finding("forbidden sysctls", bad.join(", ")) }
}

fn host_process(pod: &Pod<'_>) -> Option<Finding> {
    let is_bad = |context: &Value| context["windowsOptions"]["hostProcess"] == true;
    let containers = pod.bad(|c| is_bad(&c["securityContext"]));
    let setters = pod.setters(is_bad(pod.context()), &containers)?;
    finding("hostProcess", format!("{setters} must not set securityContext.windowsOptions.hostProcess=true"))
}

fn privilege_escalation(pod: &Pod<'_>) -> Option<Finding> {
    let bad = pod.bad(|c| c["securityContext"]["allowPrivilegeEscalation"] != false);
    if bad.is_empty() || pod.is_windows() {
        return None;
    }
    finding(
        "allowPrivilegeEscalation != false",
        format!("{} must set securityContext.allowPrivilegeEscalation=false", named("container", &bad)),
    )
}

fn dropped_capabilities(pod: &Pod<'_>) -> Option<Finding> {
    if pod.is_windows() {
        return None;
    }
    let keeps = pod.bad(|c| !strings(&c["securityContext"]["capabilities"]["drop"]).any(|d| d == "ALL"));
    let allowed = ["NET_BIND_SERVICE"];
    let adds = pod.bad(|c| added(c, &allowed).next().is_some());
    let values: BTreeSet<&str> = pod.containers().flat_map(|c| added(c, &allowed)).collect();
    let mut what = Vec::new();
    if !keeps.is_empty() {
        what.push(format!(
            "{} must set securityContext.capabilities.drop=[\"ALL\"]",
            named("container", &keeps)
        ));
    }
    if !adds.is_empty() {
        what.push(format!(
            "{} must not include {} in securityContext.capabilities.add",
            named("container", &adds),
            quoted(values)
        ));
    }
    if what.is_empty() { None } else { finding("unrestricted capabilities", what.join("; ")) }
}

const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

fn volume_types(pod: &Pod<'_>) -> Option<Finding> {
    let kind = |v: &Value| {
        let members = v.as_object().into_iter().flatten();
        let source = members.map(|(k, _)| k.as_str()).find(|k| *k != "name");
        source.unwrap_or("unknown").to_owned()
    };
    let bad: Vec<&Value> = volumes(pod).filter(|v| !VOLUMES.contains(&kind(v).as_str())).collect();
    if bad.is_empty() {
        return None;
    }
    let names: Vec<String> = bad.iter().map(|v| text(v, "name")).collect();
    let types: BTreeSet<String> = bad.iter().map(|v| kind(v)).collect();
    let uses = if names.len() == 1 { "uses" } else { "use" };
    finding(
        "restricted volume types",
        format!(
            "{} {uses} {} {}",
            named("volume", &names),
            plural("restricted volume type", types.len()),
            quoted(types)
        ),
    )
}

fn non_root(pod: &Pod<'_>) -> Option<Finding> {
    if pod.has_own_users() {
        return None;
    }
    let reason = "runAsNonRoot != true";
    let explicit = pod.bad(|c| c["securityContext"]["runAsNonRoot"] == false);
    if let Some(setters) = pod.setters(pod.context()["runAsNonRoot"] == false, &explicit) {
        return finding(reason, format!("{setters} must not set securityContext.runAsNonRoot=false"));
    }
    let by_pod = pod.context()["runAsNonRoot"] == true;
    let implicit = pod.bad(|c| !by_pod && c["securityContext"]["runAsNonRoot"].is_null());
    if implicit.is_empty() {
        return None;
    }
    finding(
        reason,
        format!("pod or {} must set securityContext.runAsNonRoot=true", named("container", &implicit)),
    )
}

fn root_user(pod: &Pod<'_>) -> Option<Finding> {
    if pod.has_own_users() {
        return None;
    }
    let containers = pod.bad(|c| c["securityContext"]["runAsUser"] == 0);
    let setters = pod.setters(pod.context()["runAsUser"] == 0, &containers)?;
    finding("runAsUser=0", format!("{setters} must not set runAsUser=0"))
}

fn seccomp(pod: &Pod<'_>) -> Option<Finding> {
    if pod.is_windows() {
        return None;
    }
    if let Some(found) = seccomp_values(pod) {
        return Some(found);
    }
    let by_pod = pod.context()["seccompProfile"].is_object();
    let bad = pod.bad(|c| !by_pod && !c["securityContext"]["seccompProfile"].is_object());
    if bad.is_empty() {
        return None;
    }
    finding(
        "seccompProfile",
        format!(
            "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
            named("container", &bad)
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(level: Level, spec: Value, expected: &[&str]) {
        let found = run(level, u32::MAX, &json!({}), &spec);
        let got: Vec<String> = found.iter().map(|f| format!("{}: {}", f.reason, f.detail)).collect();
        assert_eq!(got, expected, "{spec}");
    }

    fn containers(context: Value) -> Value {
        json!([{"name": "a", "securityContext": context}, {"name": "b", "securityContext": context}])
    }

    #[test]
    fn baseline_pods() {
        let b = Level::Baseline;
        check(b, json!({"containers": containers(json!({}))}), &[]);
        check(
            b,
            json!({"containers": containers(json!({"capabilities": {"add": ["NET_ADMIN", "CHOWN"]}}))}),
            &[
                "non-default capabilities: containers \"a\", \"b\" must not include \"NET_ADMIN\" in securityContext.capabilities.add",
            ],
        );
        check(
            b,
            json!({"containers": [{"name": "a", "ports": [{"containerPort": 80, "hostPort": 8080}]}],
                "volumes": [{"name": "v", "hostPath": {"path": "/"}}], "hostPID": true}),
            &[
                "host namespaces: hostPID=true",
                "hostPath volumes: volume \"v\"",
                "hostPort: container \"a\" uses hostPort 8080",
            ],
        );
        check(
            b,
            json!({"securityContext": {"seLinuxOptions": {"type": "x", "user": "u"}, "sysctls": [{"name": "kernel.msgmax"}]},
                "containers": [{"name": "a"}]}),
            &[
                "seLinuxOptions: pod set forbidden securityContext.seLinuxOptions: type \"x\"; user may not be set",
                "forbidden sysctls: kernel.msgmax",
            ],
        );
    }

    #[test]
    fn restricted_pods() {
        let good = json!({"allowPrivilegeEscalation": false, "runAsNonRoot": true, "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"}});
        check(Level::Restricted, json!({"containers": containers(good.clone())}), &[]);
        check(
            Level::Restricted,
            json!({"containers": containers(good.clone()), "securityContext": {"runAsUser": 0},
                "volumes": [{"name": "v", "nfs": {}}]}),
            &[
                "restricted volume types: volume \"v\" uses restricted volume type \"nfs\"",
                "runAsUser=0: pod must not set runAsUser=0",
            ],
        );
        let mut explicit = good;
        explicit["runAsNonRoot"] = json!(false);
        check(
            Level::Restricted,
            json!({"containers": containers(explicit)}),
            &[
                "runAsNonRoot != true: containers \"a\", \"b\" must not set securityContext.runAsNonRoot=false",
            ],
        );
    }

    #[test]
    fn older_versions_ask_for_less() {
        let spec = json!({"containers": [{"name": "a", "livenessProbe": {"httpGet": {"host": "h"}}}]});
        assert_eq!(run(Level::Baseline, 33, &json!({}), &spec).len(), 0);
        assert_eq!(run(Level::Baseline, 34, &json!({}), &spec).len(), 1);
    }
}
