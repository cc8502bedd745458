//! Rows of built-in kinds, as `pkg/printers/internalversion` prints them (reference 1.5, cases tab-*).

use jiff::Timestamp;
use serde_json::{Value, json};

/// Makes the cells of a row.
pub(super) type RowOf = fn(&Value, Timestamp) -> Vec<Value>;

/// The row function of a resource that has one.
pub(super) fn row_of(group: &str, plural: &str) -> Option<RowOf> {
    Some(match (group, plural) {
        ("", "pods") => pod,
        ("", "services") => service,
        ("", "configmaps") => config_map,
        ("", "secrets") => secret,
        ("", "endpoints") => endpoints,
        ("", "namespaces") => namespace,
        ("", "serviceaccounts") => name_and_age,
        ("", "limitranges") => created_at,
        ("", "persistentvolumes") => volume,
        ("", "resourcequotas") => quota,
        ("scheduling.k8s.io", "priorityclasses") => priority_class,
        ("storage.k8s.io", "storageclasses") => storage_class,
        ("", "nodes") => node,
        ("", "persistentvolumeclaims") => claim,
        ("" | "events.k8s.io", "events") => event,
        ("apps", "deployments") => deployment,
        ("apps", "replicasets") => replica_set,
        ("apps", "statefulsets") => stateful_set,
        ("apps", "daemonsets") => daemon_set,
        ("batch", "jobs") => job,
        ("batch", "cronjobs") => cron_job,
        ("coordination.k8s.io", "leases") => lease,
        ("discovery.k8s.io", "endpointslices") => endpoint_slice,
        ("networking.k8s.io", "ingresses") => ingress,
        ("networking.k8s.io", "networkpolicies") => network_policy,
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => role_binding,
        ("rbac.authorization.k8s.io", "roles" | "clusterroles") => created_at,
        ("apiextensions.k8s.io", "customresourcedefinitions") => created_at,
        ("policy", "poddisruptionbudgets") => disruption_budget,
        ("autoscaling", "horizontalpodautoscalers") => autoscaler,
        ("admissionregistration.k8s.io", _) => webhooks,
        _ => return None,
    })
}

const NONE: &str = "<none>";

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn or_none(value: &str) -> &str {
    if value.is_empty() { NONE } else { value }
}

fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn count(object: &Value, pointer: &str) -> usize {
    object.pointer(pointer).map_or(0, |v| v.as_object().map_or(v.as_array().map_or(0, Vec::len), |m| m.len()))
}

fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

fn age(object: &Value, now: Timestamp) -> String {
    match text(object, "/metadata/creationTimestamp") {
        "" => "<unknown>".into(),
        created => age_of(created, now),
    }
}

/// How long ago, as `duration.HumanDuration` says it: `5s`, `3m4s`, `5h`, `2d3h`, `400d`.
pub(super) fn age_of(time: &str, now: Timestamp) -> String {
    match time.parse::<Timestamp>() {
        Err(_) => "<invalid>".into(),
        Ok(time) => human(now.as_second() - time.as_second()),
    }
}

fn human(seconds: i64) -> String {
    let two = |big: i64, unit: &str, small: i64, small_unit: &str| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{small_unit}") }
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    match seconds {
        s if s < -1 => "<invalid>".into(),
        s if s < 0 => "0s".into(),
        s if s < 120 => format!("{s}s"),
        s if minutes < 10 => two(minutes, "m", s % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 24 * 8 => two(days, "d", hours % 24, "h"),
        _ if hours < 24 * 365 * 2 => format!("{days}d"),
        _ if hours < 24 * 365 * 8 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

/// `a=b,c=d`, or `<none>`.
fn labels(selector: Option<&Value>) -> String {
    let mut pairs: Vec<String> = selector
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default()))
        .collect();
    pairs.sort();
    or_none(&pairs.join(",")).to_string()
}

/// A LabelSelector in selector syntax.
fn selector(selector: Option<&Value>) -> String {
    let Some(selector) = selector.filter(|s| !s.is_null()) else { return NONE.into() };
    let mut parts: Vec<String> = Vec::new();
    let plain = labels(selector.get("matchLabels"));
    if plain != NONE {
        parts.push(plain);
    }
    for expression in list(selector, "/matchExpressions") {
        let key = text(expression, "/key");
        let values: Vec<&str> = list(expression, "/values").iter().filter_map(Value::as_str).collect();
        parts.push(match text(expression, "/operator") {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_string(),
        });
    }
    or_none(&parts.join(",")).to_string()
}

fn containers(object: &Value, pointer: &str) -> (String, String) {
    let of = |key: &str| -> String {
        let names: Vec<&str> = list(object, pointer).iter().map(|c| text(c, key)).collect();
        names.join(",")
    };
    (of("/name"), of("/image"))
}

fn name_and_age(o: &Value, now: Timestamp) -> Vec<Value> {
    vec![json!(name(o)), json!(age(o, now))]
}

fn created_at(o: &Value, _: Timestamp) -> Vec<Value> {
    vec![json!(name(o)), json!(text(o, "/metadata/creationTimestamp"))]
}

fn config_map(o: &Value, now: Timestamp) -> Vec<Value> {
    vec![json!(name(o)), json!(count(o, "/data") + count(o, "/binaryData")), json!(age(o, now))]
}

fn secret(o: &Value, now: Timestamp) -> Vec<Value> {
    vec![json!(name(o)), json!(text(o, "/type")), json!(count(o, "/data")), json!(age(o, now))]
}

fn namespace(o: &Value, now: Timestamp) -> Vec<Value> {
    vec![json!(name(o)), json!(text(o, "/status/phase")), json!(age(o, now))]
}

fn webhooks(o: &Value, now: Timestamp) -> Vec<Value> {
    vec![json!(name(o)), json!(count(o, "/webhooks")), json!(age(o, now))]
}

fn priority_class(o: &Value, now: Timestamp) -> Vec<Value> {
    let global = o.get("globalDefault").and_then(Value::as_bool).unwrap_or(false);
    let policy = text(o, "/preemptionPolicy");
    vec![json!(name(o)), json!(number(o, "/value")), json!(global), json!(age(o, now)), json!(policy)]
}

fn storage_class(o: &Value, now: Timestamp) -> Vec<Value> {
    let default = "/metadata/annotations/storageclass.kubernetes.io~1is-default-class";
    let marker = if text(o, default) == "true" { " (default)" } else { "" };
    vec![
        json!(format!("{}{marker}", name(o))),
        json!(text(o, "/provisioner")),
        json!(text(o, "/reclaimPolicy")),
        json!(text(o, "/volumeBindingMode")),
        json!(o.get("allowVolumeExpansion").and_then(Value::as_bool).unwrap_or(false)),
        json!(age(o, now)),
    ]
}

/// `used/hard` of every resource whose name starts as wanted.
fn quota(o: &Value, now: Timestamp) -> Vec<Value> {
    let mut hard: Vec<(&String, &Value)> =
        o.pointer("/status/hard").and_then(Value::as_object).into_iter().flatten().collect();
    hard.sort_by_key(|(key, _)| *key);
    let shown = |limits: bool| -> String {
        let mine = hard.iter().filter(|(key, _)| key.starts_with("limits") == limits);
        let parts: Vec<String> = mine
            .map(|(key, value)| {
                let used =
                    o.pointer("/status/used").and_then(|u| u.get(key.as_str())).and_then(Value::as_str);
                format!("{key}: {}/{}", used.unwrap_or("0"), value.as_str().unwrap_or_default())
            })
            .collect();
        parts.join(", ")
    };
    vec![json!(name(o)), json!(shown(false)), json!(shown(true)), json!(age(o, now))]
}

fn volume(o: &Value, now: Timestamp) -> Vec<Value> {
    let claim = match (text(o, "/spec/claimRef/namespace"), text(o, "/spec/claimRef/name")) {
        (_, "") => String::new(),
        (namespace, name) => format!("{namespace}/{name}"),
    };
    let deleted = !text(o, "/metadata/deletionTimestamp").is_empty();
    vec![
        json!(name(o)),
        json!(text(o, "/spec/capacity/storage")),
        json!(access_modes(o, "/spec/accessModes")),
        json!(text(o, "/spec/persistentVolumeReclaimPolicy")),
        json!(if deleted { "Terminating" } else { text(o, "/status/phase") }),
        json!(claim),
        json!(text(o, "/spec/storageClassName")),
        json!(o.pointer("/spec/volumeAttributesClassName").and_then(Value::as_str).unwrap_or("<unset>")),
        json!(text(o, "/status/reason")),
        json!(age(o, now)),
        json!(o.pointer("/spec/volumeMode").and_then(Value::as_str).unwrap_or("<unset>")),
    ]
}

fn access_modes(o: &Value, pointer: &str) -> String {
    let short = |mode: &str| match mode {
        "ReadWriteOnce" => "RWO".to_string(),
        "ReadOnlyMany" => "ROX".to_string(),
        "ReadWriteMany" => "RWX".to_string(),
        "ReadWriteOncePod" => "RWOP".to_string(),
        other => other.to_string(),
    };
    let modes: Vec<String> = list(o, pointer).iter().filter_map(Value::as_str).map(short).collect();
    modes.join(",")
}

fn lease(o: &Value, now: Timestamp) -> Vec<Value> {
    vec![json!(name(o)), json!(text(o, "/spec/holderIdentity")), json!(age(o, now))]
}

fn deployment(o: &Value, now: Timestamp) -> Vec<Value> {
    let ready = format!("{}/{}", number(o, "/status/readyReplicas"), number(o, "/spec/replicas"));
    let (names, images) = containers(o, "/spec/template/spec/containers");
    vec![
        json!(name(o)),
        json!(ready),
        json!(number(o, "/status/updatedReplicas")),
        json!(number(o, "/status/availableReplicas")),
        json!(age(o, now)),
        json!(names),
        json!(images),
        json!(selector(o.pointer("/spec/selector"))),
    ]
}

fn replica_set(o: &Value, now: Timestamp) -> Vec<Value> {
    let (names, images) = containers(o, "/spec/template/spec/containers");
    vec![
        json!(name(o)),
        json!(number(o, "/spec/replicas")),
        json!(number(o, "/status/replicas")),
        json!(number(o, "/status/readyReplicas")),
        json!(age(o, now)),
        json!(names),
        json!(images),
        json!(selector(o.pointer("/spec/selector"))),
    ]
}

fn stateful_set(o: &Value, now: Timestamp) -> Vec<Value> {
    let ready = format!("{}/{}", number(o, "/status/readyReplicas"), number(o, "/spec/replicas"));
    let (names, images) = containers(o, "/spec/template/spec/containers");
    vec![json!(name(o)), json!(ready), json!(age(o, now)), json!(names), json!(images)]
}

fn daemon_set(o: &Value, now: Timestamp) -> Vec<Value> {
    let (names, images) = containers(o, "/spec/template/spec/containers");
    let mut out = vec![json!(name(o))];
    for field in [
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    ] {
        out.push(json!(number(o, &format!("/status/{field}"))));
    }
    out.extend([
        json!(labels(o.pointer("/spec/template/spec/nodeSelector"))),
        json!(age(o, now)),
        json!(names),
        json!(images),
    ]);
    out.push(json!(selector(o.pointer("/spec/selector"))));
    out
}

fn job(o: &Value, now: Timestamp) -> Vec<Value> {
    let holds =
        |kind: &str| list(o, "/status/conditions").iter().any(|c| c["type"] == kind && c["status"] == "True");
    let order = ["Complete", "Failed", "Suspended", "FailureTarget", "SuccessCriteriaMet"];
    let status = match order.into_iter().find(|kind| holds(kind)) {
        Some(kind) => kind,
        None if !text(o, "/metadata/deletionTimestamp").is_empty() => "Terminating",
        None => "Running",
    };
    let done = number(o, "/status/succeeded");
    let completions = match o.pointer("/spec/completions").and_then(Value::as_i64) {
        Some(wanted) => format!("{done}/{wanted}"),
        None if number(o, "/spec/parallelism") > 1 => {
            format!("{done}/1 of {}", number(o, "/spec/parallelism"))
        }
        None => format!("{done}/1"),
    };
    let started = text(o, "/status/startTime").parse::<Timestamp>().ok();
    let ended = text(o, "/status/completionTime").parse::<Timestamp>().unwrap_or(now);
    let duration = started.map(|s| human(ended.as_second() - s.as_second())).unwrap_or_default();
    let (names, images) = containers(o, "/spec/template/spec/containers");
    vec![
        json!(name(o)),
        json!(status),
        json!(completions),
        json!(duration),
        json!(age(o, now)),
        json!(names),
        json!(images),
        json!(selector(o.pointer("/spec/selector"))),
    ]
}

fn cron_job(o: &Value, now: Timestamp) -> Vec<Value> {
    let last = text(o, "/status/lastScheduleTime");
    let last = if last.is_empty() { NONE.into() } else { age_of(last, now) };
    let suspend = o.pointer("/spec/suspend").and_then(Value::as_bool).unwrap_or(false);
    let (names, images) = containers(o, "/spec/jobTemplate/spec/template/spec/containers");
    vec![
        json!(name(o)),
        json!(text(o, "/spec/schedule")),
        json!(or_none(text(o, "/spec/timeZone"))),
        json!(if suspend { "True" } else { "False" }),
        json!(count(o, "/status/active")),
        json!(last),
        json!(age(o, now)),
        json!(names),
        json!(images),
        json!(selector(o.pointer("/spec/jobTemplate/spec/selector"))),
    ]
}

fn service(o: &Value, now: Timestamp) -> Vec<Value> {
    let kind = text(o, "/spec/type");
    let joined = |pointer: &str| {
        let all: Vec<&str> = list(o, pointer).iter().filter_map(Value::as_str).collect();
        all.join(",")
    };
    let ingress: Vec<&str> = list(o, "/status/loadBalancer/ingress")
        .iter()
        .map(|i| if text(i, "/ip").is_empty() { text(i, "/hostname") } else { text(i, "/ip") })
        .collect();
    let external = joined("/spec/externalIPs");
    let external = match kind {
        "LoadBalancer" => {
            let parts: Vec<String> =
                [ingress.join(","), external].into_iter().filter(|p| !p.is_empty()).collect();
            if parts.is_empty() { "<pending>".to_string() } else { parts.join(",") }
        }
        "ExternalName" => text(o, "/spec/externalName").to_string(),
        _ => or_none(&external).to_string(),
    };
    let ports: Vec<String> = list(o, "/spec/ports")
        .iter()
        .map(|p| {
            let (port, protocol) = (number(p, "/port"), text(p, "/protocol"));
            match number(p, "/nodePort") {
                0 => format!("{port}/{protocol}"),
                node => format!("{port}:{node}/{protocol}"),
            }
        })
        .collect();
    vec![
        json!(name(o)),
        json!(kind),
        json!(or_none(text(o, "/spec/clusterIP"))),
        json!(external),
        json!(or_none(&ports.join(","))),
        json!(age(o, now)),
        json!(labels(o.pointer("/spec/selector"))),
    ]
}

fn ingress(o: &Value, now: Timestamp) -> Vec<Value> {
    let hosts: Vec<&str> =
        list(o, "/spec/rules").iter().map(|r| text(r, "/host")).filter(|h| !h.is_empty()).collect();
    let hosts = if hosts.is_empty() { "*".to_string() } else { hosts.join(",") };
    let addresses: Vec<&str> = list(o, "/status/loadBalancer/ingress")
        .iter()
        .map(|i| if text(i, "/ip").is_empty() { text(i, "/hostname") } else { text(i, "/ip") })
        .collect();
    let ports = if list(o, "/spec/tls").is_empty() { "80" } else { "80, 443" };
    vec![
        json!(name(o)),
        json!(or_none(text(o, "/spec/ingressClassName"))),
        json!(hosts),
        json!(addresses.join(",")),
        json!(ports),
        json!(age(o, now)),
    ]
}

fn network_policy(o: &Value, now: Timestamp) -> Vec<Value> {
    vec![json!(name(o)), json!(selector(o.pointer("/spec/podSelector"))), json!(age(o, now))]
}

fn role_binding(o: &Value, now: Timestamp) -> Vec<Value> {
    let role = format!("{}/{}", text(o, "/roleRef/kind"), text(o, "/roleRef/name"));
    let of = |kind: &str| -> String {
        let subjects = list(o, "/subjects").iter().filter(|s| s["kind"] == kind);
        let names: Vec<String> = subjects
            .map(|s| match (kind, text(s, "/namespace")) {
                ("ServiceAccount", namespace) => format!("{namespace}/{}", text(s, "/name")),
                _ => text(s, "/name").to_string(),
            })
            .collect();
        names.join(", ")
    };
    vec![
        json!(name(o)),
        json!(role),
        json!(age(o, now)),
        json!(of("User")),
        json!(of("Group")),
        json!(of("ServiceAccount")),
    ]
}

fn disruption_budget(o: &Value, now: Timestamp) -> Vec<Value> {
    let amount = |key: &str| match o.pointer(key) {
        None => json!("N/A"),
        Some(Value::String(s)) => json!(s),
        Some(other) => json!(other.to_string()),
    };
    vec![
        json!(name(o)),
        amount("/spec/minAvailable"),
        amount("/spec/maxUnavailable"),
        json!(number(o, "/status/disruptionsAllowed")),
        json!(age(o, now)),
    ]
}

fn autoscaler(o: &Value, now: Timestamp) -> Vec<Value> {
    let target = format!("{}/{}", text(o, "/spec/scaleTargetRef/kind"), text(o, "/spec/scaleTargetRef/name"));
    let metrics: Vec<String> = list(o, "/spec/metrics")
        .iter()
        .map(|m| {
            let resource = text(m, "/resource/name");
            let current = list(o, "/status/currentMetrics")
                .iter()
                .find(|c| text(c, "/resource/name") == resource)
                .and_then(|c| c.pointer("/resource/current/averageUtilization").and_then(Value::as_i64))
                .map_or("<unknown>".to_string(), |u| format!("{u}%"));
            match m.pointer("/resource/target/averageUtilization").and_then(Value::as_i64) {
                Some(wanted) => format!("{resource}: {current}/{wanted}%"),
                None => "<unknown>/<auto>".to_string(),
            }
        })
        .collect();
    vec![
        json!(name(o)),
        json!(target),
        json!(or_none(&metrics.join(", "))),
        json!(o.pointer("/spec/minReplicas").map_or("<unset>".to_string(), Value::to_string)),
        json!(number(o, "/spec/maxReplicas")),
        json!(number(o, "/status/currentReplicas")),
        json!(age(o, now)),
    ]
}

/// At most three of a list, then how many more.
fn first_three(mut parts: Vec<String>) -> String {
    let more = parts.len().saturating_sub(3);
    parts.truncate(3);
    match (parts.is_empty(), more) {
        (true, _) => NONE.into(),
        (false, 0) => parts.join(","),
        (false, more) => format!("{} + {more} more...", parts.join(",")),
    }
}

fn endpoints(o: &Value, now: Timestamp) -> Vec<Value> {
    let mut all = Vec::new();
    for subset in list(o, "/subsets") {
        let addresses = list(subset, "/addresses");
        for port in list(subset, "/ports") {
            all.extend(addresses.iter().map(|a| format!("{}:{}", text(a, "/ip"), number(port, "/port"))));
        }
        if list(subset, "/ports").is_empty() {
            all.extend(addresses.iter().map(|a| text(a, "/ip").to_string()));
        }
    }
    vec![json!(name(o)), json!(first_three(all)), json!(age(o, now))]
}

fn endpoint_slice(o: &Value, now: Timestamp) -> Vec<Value> {
    let ports = list(o, "/ports").iter().map(|p| number(p, "/port").to_string()).collect();
    let addresses = list(o, "/endpoints")
        .iter()
        .flat_map(|e| list(e, "/addresses").iter().filter_map(Value::as_str).map(str::to_string))
        .collect();
    vec![
        json!(name(o)),
        json!(text(o, "/addressType")),
        json!(first_three(ports).replace(NONE, "<unset>")),
        json!(first_three(addresses).replace(NONE, "<unset>")),
        json!(age(o, now)),
    ]
}

fn node(o: &Value, now: Timestamp) -> Vec<Value> {
    let ready = list(o, "/status/conditions").iter().find(|c| c["type"] == "Ready");
    let mut status = match ready.map(|c| text(c, "/status")) {
        Some("True") => "Ready".to_string(),
        Some(_) => "NotReady".to_string(),
        None => "Unknown".to_string(),
    };
    if o.pointer("/spec/unschedulable") == Some(&Value::Bool(true)) {
        status.push_str(",SchedulingDisabled");
    }
    let mut roles: Vec<&str> = o
        .pointer("/metadata/labels")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(k, _)| k.strip_prefix("node-role.kubernetes.io/"))
        .collect();
    roles.sort_unstable();
    let address = |kind: &str| {
        list(o, "/status/addresses")
            .iter()
            .find(|a| a["type"] == kind)
            .map_or(NONE, |a| text(a, "/address"))
            .to_string()
    };
    let info = |key: &str| match text(o, &format!("/status/nodeInfo/{key}")) {
        "" => "<unknown>".to_string(),
        value => value.to_string(),
    };
    vec![
        json!(name(o)),
        json!(status),
        json!(or_none(&roles.join(","))),
        json!(age(o, now)),
        json!(text(o, "/status/nodeInfo/kubeletVersion")),
        json!(address("InternalIP")),
        json!(address("ExternalIP")),
        json!(info("osImage")),
        json!(info("kernelVersion")),
        json!(info("containerRuntimeVersion")),
    ]
}

fn claim(o: &Value, now: Timestamp) -> Vec<Value> {
    let phase = if text(o, "/metadata/deletionTimestamp").is_empty() {
        text(o, "/status/phase")
    } else {
        "Terminating"
    };
    vec![
        json!(name(o)),
        json!(phase),
        json!(text(o, "/spec/volumeName")),
        json!(text(o, "/status/capacity/storage")),
        json!(access_modes(o, "/status/accessModes")),
        json!(text(o, "/spec/storageClassName")),
        json!(o.pointer("/spec/volumeAttributesClassName").and_then(Value::as_str).unwrap_or("<unset>")),
        json!(age(o, now)),
        json!(o.pointer("/spec/volumeMode").and_then(Value::as_str).unwrap_or("<unset>")),
    ]
}

fn event(o: &Value, now: Timestamp) -> Vec<Value> {
    // Both views of an event are printed from the same stored object.
    let either = |a: &str, b: &str| {
        if text(o, a).is_empty() { text(o, b).to_string() } else { text(o, a).to_string() }
    };
    let ago = |times: &[&str]| {
        let time = times.iter().map(|t| text(o, t)).find(|t| !t.is_empty());
        time.map_or("<unknown>".to_string(), |t| age_of(t, now))
    };
    let subject = if o.get("regarding").is_some() { "/regarding" } else { "/involvedObject" };
    let object = format!(
        "{}/{}",
        text(o, &format!("{subject}/kind")).to_lowercase(),
        text(o, &format!("{subject}/name"))
    );
    let component = {
        let old = either("/source/component", "/deprecatedSource/component");
        if old.is_empty() { either("/reportingComponent", "/reportingController") } else { old }
    };
    let host = either("/source/host", "/deprecatedSource/host");
    let source = [component, host].into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join(", ");
    let times =
        o.pointer("/series/count").or(o.get("count")).or(o.get("deprecatedCount")).and_then(Value::as_i64);
    vec![
        json!(ago(&["/series/lastObservedTime", "/lastTimestamp", "/deprecatedLastTimestamp", "/eventTime"])),
        json!(text(o, "/type")),
        json!(text(o, "/reason")),
        json!(object),
        json!(text(o, &format!("{subject}/fieldPath"))),
        json!(source),
        json!(either("/message", "/note").trim()),
        json!(ago(&["/firstTimestamp", "/deprecatedFirstTimestamp", "/eventTime"])),
        json!(times.unwrap_or(0).max(1)),
        json!(name(o)),
    ]
}

/// The state of one container in a word, empty when it runs.
fn container_reason(status: &Value) -> String {
    if let Some(waiting) = status.pointer("/state/waiting") {
        return text(waiting, "/reason").to_string();
    }
    let Some(terminated) = status.pointer("/state/terminated") else { return String::new() };
    match (text(terminated, "/reason"), number(terminated, "/signal")) {
        ("", 0) => format!("ExitCode:{}", number(terminated, "/exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_string(),
    }
}

/// The Status column.
fn pod_status(o: &Value) -> String {
    let mut reason = match text(o, "/status/reason") {
        "" => text(o, "/status/phase").to_string(),
        reason => reason.to_string(),
    };
    let gated = |c: &Value| c["type"] == "PodScheduled" && c["reason"] == "SchedulingGated";
    if list(o, "/status/conditions").iter().any(gated) {
        reason = "SchedulingGated".into();
    }
    let inits = list(o, "/status/initContainerStatuses");
    let mut initializing = false;
    for (i, status) in inits.iter().enumerate() {
        if status.pointer("/state/terminated/exitCode") == Some(&json!(0)) {
            continue;
        }
        let sidecar = list(o, "/spec/initContainers")
            .iter()
            .any(|c| c["name"] == status["name"] && c.get("restartPolicy") == Some(&json!("Always")));
        if sidecar && status.get("started") == Some(&Value::Bool(true)) {
            continue;
        }
        reason = match container_reason(status).as_str() {
            "" | "PodInitializing" => format!("Init:{i}/{}", count(o, "/spec/initContainers")),
            why => format!("Init:{why}"),
        };
        initializing = true;
        break;
    }
    if !initializing {
        let mut running = false;
        for status in list(o, "/status/containerStatuses").iter().rev() {
            match container_reason(status) {
                why if !why.is_empty() => reason = why,
                _ => running |= status["ready"] == true && status.pointer("/state/running").is_some(),
            }
        }
        if reason == "Completed" && running {
            let ready =
                list(o, "/status/conditions").iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
            reason = if ready { "Running".into() } else { "NotReady".into() };
        }
    }
    if !text(o, "/metadata/deletionTimestamp").is_empty() {
        let finished = matches!(text(o, "/status/phase"), "Succeeded" | "Failed");
        if text(o, "/status/reason") == "NodeLost" {
            reason = "Unknown".into();
        } else if !finished {
            reason = "Terminating".into();
        }
    }
    reason
}

fn pod(o: &Value, now: Timestamp) -> Vec<Value> {
    let statuses = list(o, "/status/containerStatuses");
    let ready =
        statuses.iter().filter(|s| s["ready"] == true && s.pointer("/state/running").is_some()).count();
    let restarts: i64 = statuses.iter().map(|s| number(s, "/restartCount")).sum();
    let last = statuses.iter().map(|s| text(s, "/lastState/terminated/finishedAt")).max().unwrap_or_default();
    let restarts = match (restarts, last) {
        (0, _) | (_, "") => restarts.to_string(),
        (n, last) => format!("{n} ({} ago)", age_of(last, now)),
    };
    let gates = list(o, "/spec/readinessGates");
    let passed = gates
        .iter()
        .filter(|g| {
            list(o, "/status/conditions")
                .iter()
                .any(|c| c["type"] == g["conditionType"] && c["status"] == "True")
        })
        .count();
    let gates = if gates.is_empty() { NONE.to_string() } else { format!("{passed}/{}", gates.len()) };
    vec![
        json!(name(o)),
        json!(format!("{ready}/{}", count(o, "/spec/containers"))),
        json!(pod_status(o)),
        json!(restarts),
        json!(age(o, now)),
        json!(or_none(text(o, "/status/podIP"))),
        json!(or_none(text(o, "/spec/nodeName"))),
        json!(or_none(text(o, "/status/nominatedNodeName"))),
        json!(gates),
    ]
}
