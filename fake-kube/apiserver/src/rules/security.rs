//! Security contexts of pods and containers (validatePodSpecSecurityContext, ValidateSecurityContext). Leaves out:
//! Windows, and privileges that a server can be told to refuse.

use fake_kube_schema::Cause;
use serde_json::{Value, json};

use super::Rule::{Code, In, OneOf, Within};
use super::selector::list;
use super::{Rule, Walk, is_empty, join, present, text};

/// `MaxInt32`, the highest user and group.
const ID_MAX: i64 = 2_147_483_647;
const SYSCTL_MAX: usize = 253;

pub(crate) const POD: &[Rule] = &[
    Within("fsGroup", 0, ID_MAX),
    Within("runAsUser", 0, ID_MAX),
    Within("runAsGroup", 0, ID_MAX),
    Code(groups),
    Code(sysctls),
    OneOf("fsGroupChangePolicy", &["Always", "OnRootMismatch"]),
    In("seccompProfile", &[Code(seccomp)]),
    In("appArmorProfile", &[Code(app_armor)]),
    OneOf("supplementalGroupsPolicy", &["Merge", "Strict"]),
    OneOf("seLinuxChangePolicy", &["MountOption", "Recursive"]),
];

pub(crate) const CONTAINER: &[Rule] = &[
    Within("runAsUser", 0, ID_MAX),
    Within("runAsGroup", 0, ID_MAX),
    OneOf("procMount", &["Default", "Unmasked"]),
    In("seccompProfile", &[Code(seccomp)]),
    In("appArmorProfile", &[Code(app_armor)]),
];

fn groups(w: &mut Walk<'_>, context: &Value, path: &str) {
    for (i, group) in list(context, "supplementalGroups").iter().enumerate() {
        if group.as_i64().is_some_and(|group| !(0..=ID_MAX).contains(&group)) {
            let why = format!("must be between 0 and {ID_MAX}, inclusive");
            w.invalid(format!("{path}.supplementalGroups[{i}]"), group, &why);
        }
    }
}

fn sysctls(w: &mut Walk<'_>, context: &Value, path: &str) {
    let mut seen = Vec::new();
    for (i, sysctl) in list(context, "sysctls").iter().enumerate() {
        let (name, at) = (text(sysctl, "name"), format!("{path}.sysctls[{i}].name"));
        if name.is_empty() {
            w.out.push(Cause::required(at, ""));
        } else if !is_sysctl(name) {
            let why = format!(
                "must have at most {SYSCTL_MAX} characters and match regex \
                 ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
            );
            w.invalid(at, &json!(name), &why);
        } else if seen.contains(&name) {
            w.out.push(Cause::duplicate(at, &json!(name)));
        }
        seen.push(name);
    }
}

fn is_sysctl(name: &str) -> bool {
    let is_edge = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let is_segment = |segment: &str| {
        let bytes = segment.as_bytes();
        is_edge(bytes.first().copied())
            && is_edge(bytes.last().copied())
            && bytes.iter().all(|c| is_edge(Some(*c)) || matches!(c, b'-' | b'_'))
    };
    name.len() <= SYSCTL_MAX && name.split(['.', '/']).all(is_segment)
}

const PROFILES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];

fn profile_type(w: &mut Walk<'_>, profile: &Value, missing: &str, path: &str) {
    let kind = text(profile, "type");
    if kind.is_empty() {
        w.out.push(Cause::required(join(path, "type"), missing));
    } else if !PROFILES.contains(&kind) {
        w.out.push(Cause::not_supported(join(path, "type"), &json!(kind), &PROFILES));
    }
}

fn seccomp(w: &mut Walk<'_>, profile: &Value, path: &str) {
    profile_type(w, profile, "type is required when seccompProfile is set", path);
    let at = join(path, "localhostProfile");
    let file = present(profile, "localhostProfile").and_then(Value::as_str);
    match (text(profile, "type") == "Localhost", file) {
        (true, None) => w.out.push(Cause::required(at, "must be set when seccomp type is Localhost")),
        (true, Some(file)) => {
            if file.starts_with('/') {
                w.invalid(at.clone(), &json!(file), "must be a relative path");
            }
            if file.split('/').any(|part| part == "..") {
                w.invalid(at, &json!(file), "must not contain '..'");
            }
        }
        (false, Some(file)) => {
            // Printed as the Go struct.
            let shown = json!({"Type": text(profile, "type"), "LocalhostProfile": file});
            w.invalid(at, &shown, "can only be set when seccomp type is Localhost");
        }
        (false, None) => {}
    }
}

fn app_armor(w: &mut Walk<'_>, profile: &Value, path: &str) {
    let (kind, at) = (text(profile, "type"), join(path, "localhostProfile"));
    let name = present(profile, "localhostProfile").and_then(Value::as_str);
    let needed = "must be set when AppArmor type is Localhost";
    match (kind, name) {
        ("Localhost", None) => w.out.push(Cause::required(at, needed)),
        ("Localhost", Some(name)) if name.trim() != name => {
            w.invalid(at, &json!(name), "must not be padded with whitespace");
        }
        ("Localhost", Some("")) => w.out.push(Cause::required(at, needed)),
        ("RuntimeDefault" | "Unconfined", Some(name)) => {
            w.invalid(at, &json!(name), "can only be set when AppArmor type is Localhost");
        }
        _ => profile_type(w, profile, "type is required when appArmorProfile is set", path),
    }
}

/// What a pod takes of its node: a security context of the pod also knows what stands beside it in the spec.
pub(crate) fn of_pod(w: &mut Walk<'_>, spec: &Value, path: &str) {
    if spec["shareProcessNamespace"] == true && spec["hostPID"] == true {
        let why = "ShareProcessNamespace and HostPID cannot both be enabled";
        w.invalid(format!("{path}.securityContext.shareProcessNamespace"), &json!(true), why);
    }
}

/// With the node's network a port of a container is one of the node.
pub(crate) fn host_network(w: &mut Walk<'_>, spec: &Value, path: &str) {
    if spec["hostNetwork"] != true {
        return;
    }
    // A template may leave it to the server, which fills it in when the pod is made.
    let is_pod = w.object["kind"] == "Pod";
    for (i, container) in list(spec, "containers").iter().enumerate() {
        for (j, port) in list(container, "ports").iter().enumerate() {
            let host = port["hostPort"].as_i64().unwrap_or(0);
            if (is_pod || host != 0) && Some(host) != port["containerPort"].as_i64() {
                let at = format!("{path}.containers[{i}].ports[{j}].hostPort");
                w.invalid(at, &json!(host), "must match `containerPort` when `hostNetwork` is true");
            }
        }
    }
}

/// A user namespace of its own goes with no namespace of the node.
pub(crate) fn host_users(w: &mut Walk<'_>, spec: &Value, path: &str) {
    if spec["hostUsers"] != false {
        return;
    }
    for (key, shown) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if !is_empty(&spec[key]) && spec[key] == true {
            w.out.push(Cause::forbidden(join(path, shown), "when `pod.Spec.HostUsers` is false"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rules: &'static [Rule], value: Value, expected: &[&str]) {
        let mut walk = Walk::new(&value);
        walk.apply(rules, &value, "at");
        assert_eq!(walk.out.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{value}");
    }

    #[test]
    fn users_groups_and_profiles() {
        check(
            POD,
            json!({"runAsUser": 1000, "fsGroup": 0, "supplementalGroups": [1], "seccompProfile": {"type": "RuntimeDefault"}}),
            &[],
        );
        check(
            POD,
            json!({"runAsUser": -1, "supplementalGroups": [2, -3]}),
            &[
                "at.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
                "at.supplementalGroups[1]: Invalid value: -3: must be between 0 and 2147483647, inclusive",
            ],
        );
        check(
            CONTAINER,
            json!({"seccompProfile": {"type": "Local"}}),
            &[
                "at.seccompProfile.type: Unsupported value: \"Local\": supported values: \"Localhost\", \"RuntimeDefault\", \"Unconfined\"",
            ],
        );
        check(
            CONTAINER,
            json!({"seccompProfile": {"type": "Localhost"}}),
            &[
                "at.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost",
            ],
        );
        check(
            CONTAINER,
            json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "/a/../b"}}),
            &[
                "at.seccompProfile.localhostProfile: Invalid value: \"/a/../b\": must be a relative path",
                "at.seccompProfile.localhostProfile: Invalid value: \"/a/../b\": must not contain '..'",
            ],
        );
    }

    #[test]
    fn kernel_parameters() {
        check(
            POD,
            json!({"sysctls": [{"name": "kernel.shm_rmid_forced"}, {"name": "net/ipv4/tcp_syncookies"}]}),
            &[],
        );
        let lines = check_sysctls(&["a", "", "a", "A.b"]);
        assert!(lines[0].starts_with("at.sysctls[1].name: Required value"), "{lines:?}");
        assert_eq!(lines[1], "at.sysctls[2].name: Duplicate value: \"a\"");
        assert!(lines[2].contains("must have at most 253 characters and match regex ^"), "{lines:?}");
    }

    fn check_sysctls(names: &[&str]) -> Vec<String> {
        let all: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        let value = json!({"sysctls": all});
        let mut walk = Walk::new(&value);
        walk.apply(POD, &value, "at");
        walk.out.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_the_nodes() {
        let rules = const { &[Code(host_network), Code(host_users), Code(of_pod)] };
        let port = |host: i64| json!([{"ports": [{"containerPort": 80, "hostPort": host}]}]);
        check(rules, json!({"kind": "Pod", "hostNetwork": true, "containers": port(80)}), &[]);
        check(rules, json!({"hostNetwork": true, "containers": port(0)}), &[]);
        check(
            rules,
            json!({"kind": "Pod", "hostNetwork": true, "containers": port(0)}),
            &[
                "at.containers[0].ports[0].hostPort: Invalid value: 0: must match `containerPort` when `hostNetwork` is true",
            ],
        );
        check(
            rules,
            json!({"hostUsers": false, "hostPID": true, "shareProcessNamespace": true}),
            &[
                "at.HostPID: Forbidden: when `pod.Spec.HostUsers` is false",
                "at.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled",
            ],
        );
    }
}
