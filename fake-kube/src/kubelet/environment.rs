//! What a container finds around itself: environment variables, and files from ConfigMap, Secret, projected and
//! downward API volumes. Resolved when the container starts; leaves out later refreshes of mounted files.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::json::*;
use crate::view::{View, resource as r};

/// A part that is not there yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Missing {
    /// The volume it is for; `None`: an environment variable.
    pub volume: Option<String>,
    pub message: String,
}

/// The first volume that cannot be mounted yet, over the whole pod.
pub fn check_volumes(view: &View, pod: &Value) -> Result<(), Missing> {
    for volume in items(pod, "/spec/volumes") {
        let in_volume = |message| Missing { volume: volume["name"].as_str().map(str::to_owned), message };
        volume_files(view, pod, volume).map_err(in_volume)?;
    }
    Ok(())
}

/// The files of one container by absolute path.
pub fn files(view: &View, pod: &Value, container: &Value) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for mount in items(container, "/volumeMounts") {
        let volume = items(pod, "/spec/volumes").iter().find(|v| v["name"] == mount["name"]);
        let Some(Ok(files)) = volume.map(|v| volume_files(view, pod, v)) else { continue };
        let path = mount["mountPath"].as_str().unwrap_or("/").trim_end_matches('/');
        match mount["subPath"].as_str().filter(|s| !s.is_empty()) {
            Some(sub) => {
                for (name, text) in files {
                    if name == sub {
                        out.insert(path.to_owned(), text);
                    } else if let Some(rest) = name.strip_prefix(&format!("{sub}/")) {
                        out.insert(format!("{path}/{rest}"), text);
                    }
                }
            }
            None => out.extend(files.into_iter().map(|(name, text)| (format!("{path}/{name}"), text))),
        }
    }
    out
}

fn volume_files(view: &View, pod: &Value, volume: &Value) -> Result<BTreeMap<String, String>, String> {
    if volume["configMap"].is_object() {
        let source = &volume["configMap"];
        return object_files(view, pod, r::CONFIG_MAPS, source["name"].as_str(), source);
    }
    if volume["secret"].is_object() {
        let source = &volume["secret"];
        return object_files(view, pod, r::SECRETS, source["secretName"].as_str(), source);
    }
    if volume["downwardAPI"].is_object() {
        return Ok(downward_files(pod, &volume["downwardAPI"]));
    }
    let mut out = BTreeMap::new();
    for source in items(volume, "/projected/sources") {
        for (part, resource) in [("configMap", r::CONFIG_MAPS), ("secret", r::SECRETS)] {
            if source[part].is_object() {
                out.extend(object_files(view, pod, resource, source[part]["name"].as_str(), &source[part])?);
            }
        }
        if source["downwardAPI"].is_object() {
            out.extend(downward_files(pod, &source["downwardAPI"]));
        }
    }
    Ok(out)
}

fn object_files(
    view: &View,
    pod: &Value,
    resource: &str,
    wanted: Option<&str>,
    source: &Value,
) -> Result<BTreeMap<String, String>, String> {
    let wanted = wanted.unwrap_or("");
    let Some(object) = view.get(resource, namespace(pod), wanted) else {
        if source["optional"] == true {
            return Ok(BTreeMap::new());
        }
        return Err(format!("{} \"{wanted}\" not found", resource.trim_end_matches('s')));
    };
    let data = data_of(object);
    let chosen = items(source, "/items");
    if chosen.is_empty() {
        return Ok(data);
    }
    let mut out = BTreeMap::new();
    for item in chosen {
        let (key, path) = (item["key"].as_str().unwrap_or(""), item["path"].as_str().unwrap_or(""));
        match data.get(key) {
            Some(text) => {
                out.insert(path.to_owned(), text.clone());
            }
            None if source["optional"] == true => {}
            None => return Err("references non-existent config key: ".to_owned() + key),
        }
    }
    Ok(out)
}

/// ConfigMap `data` as it is, `binaryData` and Secret data decoded (lossily: files are text here).
fn data_of(object: &Value) -> BTreeMap<String, String> {
    let decode = |v: &Value| {
        let bytes = STANDARD.decode(v.as_str().unwrap_or("")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let secret = object["kind"] == "Secret";
    let plain = object["data"].as_object().into_iter().flatten();
    let binary = object["binaryData"].as_object().into_iter().flatten();
    plain
        .map(|(k, v)| (k.clone(), if secret { decode(v) } else { v.as_str().unwrap_or("").to_owned() }))
        .chain(binary.map(|(k, v)| (k.clone(), decode(v))))
        .collect()
}

fn downward_files(pod: &Value, source: &Value) -> BTreeMap<String, String> {
    items(source, "/items")
        .iter()
        .filter_map(|i| {
            let text = field(pod, i["fieldRef"]["fieldPath"].as_str()?)?;
            Some((i["path"].as_str()?.to_owned(), text))
        })
        .collect()
}

/// `metadata.name`, `status.podIP`, `metadata.labels['a']` and the like.
pub fn field(pod: &Value, path: &str) -> Option<String> {
    if let Some((map, key)) = path.strip_suffix("']").and_then(|p| p.split_once("['")) {
        return at(pod, &format!("/{}", map.replace('.', "/")))[key].as_str().map(str::to_owned);
    }
    match at(pod, &format!("/{}", path.replace('.', "/"))) {
        Value::String(s) => Some(s.clone()),
        Value::Object(m) => Some(
            m.iter()
                .map(|(k, v)| format!("{k}={:?}", v.as_str().unwrap_or("")))
                .collect::<Vec<_>>()
                .join("\n"),
        ),
        Value::Null if path == "status.podIPs" || path == "status.hostIPs" => Some(String::new()),
        Value::Array(a) => Some(a.iter().filter_map(|i| i["ip"].as_str()).collect::<Vec<_>>().join(",")),
        _ => None,
    }
}

/// The variables of one container: service links, `envFrom`, then `env` with `$(NAME)` expanded.
pub fn variables(view: &View, pod: &Value, container: &Value) -> Result<BTreeMap<String, String>, Missing> {
    let mut out = service_links(view, pod);
    for source in items(container, "/envFrom") {
        let prefix = source["prefix"].as_str().unwrap_or("");
        for (part, resource) in [("configMapRef", r::CONFIG_MAPS), ("secretRef", r::SECRETS)] {
            let reference = &source[part];
            if reference.is_object() {
                let data = referenced(view, pod, resource, reference)?;
                out.extend(data.into_iter().flatten().map(|(k, v)| (format!("{prefix}{k}"), v)));
            }
        }
    }
    for entry in items(container, "/env") {
        let name = entry["name"].as_str().unwrap_or("");
        if let Some(value) = variable(view, pod, container, entry, &out)? {
            out.insert(name.to_owned(), value);
        }
    }
    Ok(out)
}

fn referenced(
    view: &View,
    pod: &Value,
    resource: &str,
    reference: &Value,
) -> Result<Option<BTreeMap<String, String>>, Missing> {
    let name = reference["name"].as_str().unwrap_or("");
    match view.get(resource, namespace(pod), name) {
        Some(object) => Ok(Some(data_of(object))),
        None if reference["optional"] == true => Ok(None),
        None => {
            let message = format!("{} \"{name}\" not found", resource.trim_end_matches('s'));
            Err(Missing { volume: None, message })
        }
    }
}

fn variable(
    view: &View,
    pod: &Value,
    container: &Value,
    entry: &Value,
    known: &BTreeMap<String, String>,
) -> Result<Option<String>, Missing> {
    let from = &entry["valueFrom"];
    if !from.is_object() {
        return Ok(Some(expand(entry["value"].as_str().unwrap_or(""), known)));
    }
    if let Some(path) = from["fieldRef"]["fieldPath"].as_str() {
        return Ok(Some(field(pod, path).unwrap_or_default()));
    }
    if let Some(resource) = from["resourceFieldRef"]["resource"].as_str() {
        return Ok(Some(resource_field(container, resource)));
    }
    for (part, resource, kind) in
        [("configMapKeyRef", r::CONFIG_MAPS, "ConfigMap"), ("secretKeyRef", r::SECRETS, "Secret")]
    {
        let reference = &from[part];
        if !reference.is_object() {
            continue;
        }
        let key = reference["key"].as_str().unwrap_or("");
        let data = referenced(view, pod, resource, reference)?;
        let optional = reference["optional"] == true;
        return match data.and_then(|mut d| d.remove(key)) {
            Some(value) => Ok(Some(value)),
            None if optional => Ok(None),
            None => {
                let name = reference["name"].as_str().unwrap_or("");
                let message = format!("couldn't find key {key} in {kind} {}/{name}", namespace(pod));
                Err(Missing { volume: None, message })
            }
        };
    }
    Ok(None)
}

/// Divisor 1: whole cores rounded up, bytes.
fn resource_field(container: &Value, resource: &str) -> String {
    let (list, name) = resource.split_once('.').unwrap_or(("limits", resource));
    let quantity = container["resources"][list][name].as_str().and_then(crate::quantity::milli).unwrap_or(0);
    ((quantity + 999) / 1000).to_string()
}

/// `$(NAME)` of known names; `$$` is one dollar (kubernetes/third_party/forked/golang/expansion).
pub fn expand(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(i) = rest.find('$') {
        out.push_str(&rest[..i]);
        rest = &rest[i + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|r| r.split_once(')')) {
            match known.get(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out + rest
}

/// `<SVC>_SERVICE_HOST` and `_PORT` of the namespace's Services and of `kubernetes`.
fn service_links(view: &View, pod: &Value) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let own =
        view.list_in(r::SERVICES, namespace(pod)).filter(|_| at(pod, "/spec/enableServiceLinks") != false);
    let master = view.get(r::SERVICES, "default", "kubernetes");
    for service in own.map(|(_, s)| s).chain(master) {
        let ip = text(service, "/spec/clusterIP");
        if ip.is_empty() || ip == "None" {
            continue;
        }
        let prefix = name(service).to_uppercase().replace('-', "_");
        out.insert(format!("{prefix}_SERVICE_HOST"), ip.to_owned());
        if let Some(port) = items(service, "/spec/ports").first().and_then(|p| p["port"].as_i64()) {
            out.insert(format!("{prefix}_SERVICE_PORT"), port.to_string());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::view;
    use serde_json::json;

    fn pod() -> Value {
        json!({"metadata": {"name": "p", "namespace": "n", "labels": {"a": "b"}},
            "spec": {"nodeName": "node", "volumes": [
                {"name": "conf", "configMap": {"name": "m", "items": [{"key": "k", "path": "sub/k.yaml"}]}},
                {"name": "sec", "secret": {"secretName": "s"}}]},
            "status": {"podIP": "10.0.0.1"}})
    }

    fn objects() -> Vec<(&'static str, Value)> {
        vec![
            (
                r::CONFIG_MAPS,
                json!({"kind": "ConfigMap", "metadata": {"name": "m", "namespace": "n"}, "data": {"k": "v: 1\n"}}),
            ),
            (
                r::SECRETS,
                json!({"kind": "Secret", "metadata": {"name": "s", "namespace": "n"}, "data": {"p": "aGk="}}),
            ),
        ]
    }

    #[test]
    fn files_of_mounts() {
        let container = json!({"volumeMounts": [{"name": "conf", "mountPath": "/opt/conf/"}, {"name": "sec", "mountPath": "/s/p", "subPath": "p"}]});
        let files = files(&view(objects()), &pod(), &container);
        let expected = [("/opt/conf/sub/k.yaml", "v: 1\n"), ("/s/p", "hi")];
        assert_eq!(files, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    }

    #[test]
    fn missing_volumes_are_named() {
        let missing = check_volumes(&view(vec![]), &pod()).expect_err("no ConfigMap");
        assert_eq!(missing.volume.as_deref(), Some("conf"));
        assert_eq!(missing.message, "configmap \"m\" not found");
        check_volumes(&view(objects()), &pod()).expect("all there");
    }

    #[test]
    fn variables_of_every_source() {
        let check = |entry: Value, expected: Result<Option<&str>, &str>| {
            let container = json!({"env": [{"name": "A", "value": "1"}, entry]});
            let got = variables(&view(objects()), &pod(), &container);
            let got = got.map(|v| v.get("X").cloned()).map_err(|m| m.message);
            assert_eq!(got.as_ref().map(Option::as_deref).map_err(String::as_str), expected);
        };
        check(json!({"name": "X", "value": "$(A)-$$(A)-$(B)"}), Ok(Some("1-$(A)-$(B)")));
        check(
            json!({"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}),
            Ok(Some("10.0.0.1")),
        );
        check(
            json!({"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}}),
            Ok(Some("b")),
        );
        check(json!({"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "p"}}}), Ok(Some("hi")));
        check(
            json!({"name": "X", "valueFrom": {"configMapKeyRef": {"name": "q", "key": "p"}}}),
            Err("configmap \"q\" not found"),
        );
        check(
            json!({"name": "X", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "p"}}}),
            Err("couldn't find key p in ConfigMap n/m"),
        );
        check(
            json!({"name": "X", "valueFrom": {"configMapKeyRef": {"name": "q", "key": "p", "optional": true}}}),
            Ok(None),
        );
    }
}
