//! What may change in a Pod, and the diff a refusal shows (ValidatePodUpdate; cases val-pod-update, sub-ephemeral).
//!
//! A real server prints a unified diff of the internal Go structs. The tables here give the order and the zero values
//! of their members for PodSpec and Container; members of other structs are printed in the order of the object.

use fake_kube_schema::Cause;
use serde_json::{Map, Value, json};

use super::{present, text};

const REFUSAL: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub(crate) fn causes(new: &Value, old: &Value) -> Vec<Cause> {
    let (spec, was) = (&new["spec"], &old["spec"]);
    let mut out = Vec::new();
    for list in ["containers", "initContainers"] {
        let count = |s: &Value| s[list].as_array().map_or(0, Vec::len);
        if count(spec) != count(was) {
            let why = "pod updates may not add or remove containers";
            out.push(Cause::forbidden(format!("spec.{list}"), why));
        }
    }
    if !out.is_empty() {
        return out;
    }
    if let Some(cause) = deadline(spec, was) {
        return vec![cause];
    }
    if let Some(cause) = tolerations(spec, was) {
        out.push(cause);
    }
    let munged = munge(spec, was);
    if munged != *was {
        let diff = unified(&lines(was), &lines(&munged));
        out.push(Cause::forbidden("spec", &format!("{REFUSAL}\n{diff}")));
    }
    out
}

/// A deadline may only come closer.
fn deadline(spec: &Value, was: &Value) -> Option<Cause> {
    let at = "spec.activeDeadlineSeconds";
    let before = was["activeDeadlineSeconds"].as_i64()?;
    match spec["activeDeadlineSeconds"].as_i64() {
        None => {
            Some(Cause::invalid(at, &Value::Null, "must not update from a positive integer to nil value"))
        }
        Some(n) if n > before => {
            let why = format!("must be less than or equal to previous value: {before}");
            Some(Cause::invalid(at, &json!(n), &why))
        }
        Some(_) => None,
    }
}

/// Existing tolerations stay, but for their seconds.
fn tolerations(spec: &Value, was: &Value) -> Option<Cause> {
    let list = |s: &Value| s["tolerations"].as_array().cloned().unwrap_or_default();
    let bare = |t: &Value| {
        let mut t = t.clone();
        if let Some(map) = t.as_object_mut() {
            map.shift_remove("tolerationSeconds");
        }
        t
    };
    let now: Vec<Value> = list(spec).iter().map(bare).collect();
    let kept = list(was).iter().all(|t| now.contains(&bare(t)));
    (!kept).then(|| {
        Cause::forbidden(
            "spec.tolerations",
            "existing toleration can not be modified except its tolerationSeconds",
        )
    })
}

/// The new spec with everything that may change put back.
fn munge(spec: &Value, was: &Value) -> Value {
    let mut out = spec.clone();
    for list in ["containers", "initContainers"] {
        let before = was[list].as_array().map_or(&[][..], Vec::as_slice);
        let now = out.get_mut(list).and_then(Value::as_array_mut);
        for (c, b) in now.into_iter().flatten().zip(before) {
            super::update::put_back(c, b, "image");
        }
    }
    let mut free = vec!["activeDeadlineSeconds", "tolerations"];
    let grace = |s: &Value| s["terminationGracePeriodSeconds"].as_i64();
    if grace(was).is_some_and(|n| n < 0) && grace(spec) == Some(1) {
        free.push("terminationGracePeriodSeconds");
    }
    // A gated pod may still choose where it goes, and lose gates.
    if present(was, "schedulingGates").is_some() {
        free.extend(["schedulingGates", "nodeSelector", "affinity"]);
    }
    for key in free {
        super::update::put_back(&mut out, was, key);
    }
    if text(spec, "serviceAccountName").is_empty() {
        super::update::put_back(&mut out, was, "serviceAccount");
    }
    out
}

/// A Go struct: names as Go prints them, the JSON member, and how its absence prints.
type Fields = &'static [(&'static str, &'static str, Zero)];

#[derive(Clone, Copy)]
enum Zero {
    Null,
    Empty,
    False,
    Number,
    /// A struct that is always there.
    Struct(Fields),
    /// A pointer to such a struct.
    Pointer(Fields),
    /// A list of such structs.
    List(Fields),
    /// Such structs with the container they look into.
    Debugged(Fields),
}

use Zero::{Debugged, Empty, False, List, Null, Number, Pointer, Struct};

const POD: Fields = &[
    ("Volumes", "volumes", List(VOLUME)),
    ("InitContainers", "initContainers", List(CONTAINER)),
    ("Containers", "containers", List(CONTAINER)),
    ("EphemeralContainers", "ephemeralContainers", Debugged(CONTAINER)),
    ("RestartPolicy", "restartPolicy", Empty),
    ("TerminationGracePeriodSeconds", "terminationGracePeriodSeconds", Null),
    ("ActiveDeadlineSeconds", "activeDeadlineSeconds", Null),
    ("DNSPolicy", "dnsPolicy", Empty),
    ("NodeSelector", "nodeSelector", Null),
    ("ServiceAccountName", "serviceAccountName", Empty),
    ("AutomountServiceAccountToken", "automountServiceAccountToken", Null),
    ("NodeName", "nodeName", Empty),
    ("SecurityContext", "securityContext", Pointer(SECURITY)),
    ("ImagePullSecrets", "imagePullSecrets", Null),
    ("Hostname", "hostname", Empty),
    ("Subdomain", "subdomain", Empty),
    ("SetHostnameAsFQDN", "setHostnameAsFQDN", Null),
    ("Affinity", "affinity", Null),
    ("SchedulerName", "schedulerName", Empty),
    ("Tolerations", "tolerations", List(TOLERATION)),
    ("HostAliases", "hostAliases", Null),
    ("PriorityClassName", "priorityClassName", Empty),
    ("Priority", "priority", Null),
    ("PreemptionPolicy", "preemptionPolicy", Null),
    ("DNSConfig", "dnsConfig", Null),
    ("ReadinessGates", "readinessGates", Null),
    ("RuntimeClassName", "runtimeClassName", Null),
    ("Overhead", "overhead", Null),
    ("EnableServiceLinks", "enableServiceLinks", Null),
    ("TopologySpreadConstraints", "topologySpreadConstraints", Null),
    ("OS", "os", Null),
    ("SchedulingGates", "schedulingGates", Null),
    ("ResourceClaims", "resourceClaims", Null),
    ("Resources", "resources", Null),
    ("HostnameOverride", "hostnameOverride", Null),
];

const CONTAINER: Fields = &[
    ("Name", "name", Empty),
    ("Image", "image", Empty),
    ("Command", "command", Null),
    ("Args", "args", Null),
    ("WorkingDir", "workingDir", Empty),
    ("Ports", "ports", List(PORT)),
    ("EnvFrom", "envFrom", Null),
    ("Env", "env", List(ENV)),
    ("Resources", "resources", Struct(RESOURCES)),
    ("ResizePolicy", "resizePolicy", Null),
    ("RestartPolicy", "restartPolicy", Null),
    ("RestartPolicyRules", "restartPolicyRules", Null),
    ("VolumeMounts", "volumeMounts", List(MOUNT)),
    ("VolumeDevices", "volumeDevices", Null),
    ("LivenessProbe", "livenessProbe", Null),
    ("ReadinessProbe", "readinessProbe", Null),
    ("StartupProbe", "startupProbe", Null),
    ("Lifecycle", "lifecycle", Null),
    ("TerminationMessagePath", "terminationMessagePath", Empty),
    ("TerminationMessagePolicy", "terminationMessagePolicy", Empty),
    ("ImagePullPolicy", "imagePullPolicy", Empty),
    ("SecurityContext", "securityContext", Null),
    ("Stdin", "stdin", False),
    ("StdinOnce", "stdinOnce", False),
    ("TTY", "tty", False),
];

const SECURITY: Fields = &[
    ("HostNetwork", "hostNetwork", False),
    ("HostPID", "hostPID", False),
    ("HostIPC", "hostIPC", False),
    ("ShareProcessNamespace", "shareProcessNamespace", Null),
    ("HostUsers", "hostUsers", Null),
    ("SELinuxOptions", "seLinuxOptions", Null),
    ("WindowsOptions", "windowsOptions", Null),
    ("RunAsUser", "runAsUser", Null),
    ("RunAsGroup", "runAsGroup", Null),
    ("RunAsNonRoot", "runAsNonRoot", Null),
    ("SupplementalGroups", "supplementalGroups", Null),
    ("SupplementalGroupsPolicy", "supplementalGroupsPolicy", Null),
    ("FSGroup", "fsGroup", Null),
    ("FSGroupChangePolicy", "fsGroupChangePolicy", Null),
    ("Sysctls", "sysctls", Null),
    ("SeccompProfile", "seccompProfile", Null),
    ("AppArmorProfile", "appArmorProfile", Null),
    ("SELinuxChangePolicy", "seLinuxChangePolicy", Null),
];

const RESOURCES: Fields =
    &[("Limits", "limits", Null), ("Requests", "requests", Null), ("Claims", "claims", Null)];
const ENV: Fields = &[("Name", "name", Empty), ("Value", "value", Empty), ("ValueFrom", "valueFrom", Null)];
const VOLUME: Fields = &[("Name", "name", Empty)];
const PORT: Fields = &[
    ("Name", "name", Empty),
    ("HostPort", "hostPort", Number),
    ("ContainerPort", "containerPort", Number),
    ("Protocol", "protocol", Empty),
    ("HostIP", "hostIP", Empty),
];
const MOUNT: Fields = &[
    ("Name", "name", Empty),
    ("ReadOnly", "readOnly", False),
    ("RecursiveReadOnly", "recursiveReadOnly", Null),
    ("MountPath", "mountPath", Empty),
    ("SubPath", "subPath", Empty),
    ("MountPropagation", "mountPropagation", Null),
    ("SubPathExpr", "subPathExpr", Empty),
];
const TOLERATION: Fields = &[
    ("Key", "key", Empty),
    ("Operator", "operator", Empty),
    ("Value", "value", Empty),
    ("Effect", "effect", Empty),
    ("TolerationSeconds", "tolerationSeconds", Null),
];

/// The spec as Go prints the internal struct, indented by one blank.
fn lines(spec: &Value) -> Vec<String> {
    let mut spec = spec.clone();
    // The internal struct keeps what concerns the host's namespaces in the security context.
    for key in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers"] {
        if let Some(v) = present(&spec, key).cloned() {
            spec["securityContext"][key] = v;
        }
    }
    let printed = structure(&spec, POD);
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b" ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    // Writing a value to memory cannot fail.
    let _ = serde::Serialize::serialize(&printed, &mut serializer);
    String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
}

fn structure(value: &Value, fields: Fields) -> Value {
    let mut out = Map::new();
    for (name, key, zero) in fields {
        let member = value.get(*key).unwrap_or(&Value::Null);
        out.insert((*name).to_owned(), field(member, *zero));
    }
    // Members without a row, such as the source of a volume.
    for (key, member) in value.as_object().into_iter().flatten() {
        if !fields.iter().any(|(_, k, _)| k == key) && !std::ptr::eq(fields, POD) {
            out.insert(capital(key), free(member));
        }
    }
    Value::Object(out)
}

fn field(member: &Value, zero: Zero) -> Value {
    match (zero, member) {
        (Struct(fields), v) => structure(v, fields),
        (Pointer(fields), v) if v.is_object() => structure(v, fields),
        (List(fields), Value::Array(items)) => items.iter().map(|v| structure(v, fields)).collect(),
        (Debugged(fields), Value::Array(items)) => items.iter().map(|v| debugged(v, fields)).collect(),
        (Empty, Value::Null) => json!(""),
        (False, Value::Null) => json!(false),
        (Number, Value::Null) => json!(0),
        (_, v) => free(v),
    }
}

fn debugged(value: &Value, fields: Fields) -> Value {
    let mut out = structure(value, fields);
    out["TargetContainerName"] = json!(text(value, "targetContainerName"));
    out
}

/// A struct without a table: what the object has. Keys of maps are data and stay.
fn free(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(free).collect(),
        Value::Object(map) if map.values().any(|v| !v.is_string()) => {
            map.iter().map(|(k, v)| (capital(k), free(v))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

fn capital(key: &str) -> String {
    let mut chars = key.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

const CONTEXT: usize = 3;

/// A unified diff with three lines of context. The two texts share a skeleton, so a longest common subsequence over
/// the part between common ends is small.
fn unified(old: &[String], new: &[String]) -> String {
    let edits = edits(old, new);
    let mut out = String::new();
    let changed: Vec<usize> = edits.iter().enumerate().filter(|(_, e)| e.0 != ' ').map(|(i, _)| i).collect();
    let mut next = 0;
    while next < changed.len() {
        let mut last = next;
        while last + 1 < changed.len() && changed[last + 1] - changed[last] <= 2 * CONTEXT {
            last += 1;
        }
        let from = changed[next].saturating_sub(CONTEXT);
        let to = (changed[last] + CONTEXT + 1).min(edits.len());
        let count = |part: &[(char, &String)], not: char| part.iter().filter(|e| e.0 != not).count();
        let (before, hunk) = (&edits[..from], &edits[from..to]);
        out.push_str(&format!(
            "@@ -{},{} +{},{} @@\n",
            count(before, '+') + 1,
            count(hunk, '+'),
            count(before, '-') + 1,
            count(hunk, '-')
        ));
        for (sign, line) in hunk {
            out.push_str(&format!("{sign}{line}\n"));
        }
        next = last + 1;
    }
    out
}

/// Lines common (` `), removed (`-`) and added (`+`).
fn edits<'a>(old: &'a [String], new: &'a [String]) -> Vec<(char, &'a String)> {
    let (mut head, mut tail) = (
        old.iter().zip(new).take_while(|(a, b)| a == b).count(),
        old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count(),
    );
    // Where both claim a line the longer end has it, as difflib prefers the longest match (case sub-ephemeral).
    let most = old.len().min(new.len());
    if head > tail {
        tail = tail.min(most - head);
    } else {
        head = head.min(most - tail);
    }
    let (a, b) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    // lengths[i][j]: longest common subsequence of a[i..] and b[j..].
    let mut lengths = vec![vec![0u32; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            lengths[i][j] = if a[i] == b[j] {
                lengths[i + 1][j + 1] + 1
            } else {
                lengths[i + 1][j].max(lengths[i][j + 1])
            };
        }
    }
    let mut out: Vec<(char, &String)> = old[..head].iter().map(|l| (' ', l)).collect();
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            out.push((' ', &a[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < a.len() && (j == b.len() || lengths[i + 1][j] >= lengths[i][j + 1]) {
            out.push(('-', &a[i]));
            i += 1;
        } else {
            out.push(('+', &b[j]));
            j += 1;
        }
    }
    out.extend(old[old.len() - tail..].iter().map(|l| (' ', l)));
    out
}
