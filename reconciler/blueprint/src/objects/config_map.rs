//! ConfigMaps of a cluster: Flink's configuration with the log files, and the TaskManagers' pod template.

use std::collections::BTreeMap;

use drey_api::{FlinkDeployment, FlinkVersion};
use serde_json::{Map, Value, json};

use super::log_files::{LOG4J, LOGBACK};
use super::{ObjectsError, labels};
use crate::config::{ConfValue, FlinkConf, keys};

pub(super) const POD_TEMPLATE_FILE: &str = "taskmanager-pod-template.yaml";

/// Keys that make sense on the submitting side only, or would bind a process to the wrong address.
const NOT_SHIPPED: [&str; 6] = [
    "kubernetes.config.file",
    "$internal.deployment.config-dir",
    "rest.bind-address",
    "jobmanager.bind-host",
    "taskmanager.bind-host",
    "taskmanager.host",
];

/// Flink's configuration as a file: flat lines for 1.x, nested YAML from 2.0 on.
pub(super) struct ConfigurationFile {
    pub name: &'static str,
    pub text: String,
}

impl ConfigurationFile {
    pub fn of(version: Option<FlinkVersion>, shipped: &FlinkConf) -> Result<Self, ObjectsError> {
        let mut conf = shipped.clone();
        conf.retain(|key| !NOT_SHIPPED.contains(&key));
        if version.is_some_and(|version| version >= FlinkVersion::V2_0) {
            if let Some((shorter, longer)) = overlapping_keys(&conf) {
                return Err(ObjectsError::OverlappingKeys { shorter, longer });
            }
            return Ok(Self { name: "config.yaml", text: nested_yaml(&conf) });
        }
        Ok(Self { name: "flink-conf.yaml", text: flat_lines(&conf) })
    }
}

/// The first pair of keys of which one is a dotted prefix of the other.
pub fn overlapping_keys(conf: &FlinkConf) -> Option<(String, String)> {
    let all = conf.as_map();
    all.keys().find_map(|longer| {
        let shorter =
            longer.match_indices('.').map(|(at, _)| &longer[..at]).find(|head| all.contains_key(*head))?;
        Some((shorter.to_owned(), longer.clone()))
    })
}

/// One line per key. A line break inside a value would start another key.
fn flat_lines(conf: &FlinkConf) -> String {
    conf.iter().map(|(key, value)| format!("{key}: {}\n", one_line(value))).collect()
}

fn one_line(value: &str) -> String {
    let lines: Vec<&str> = value.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.len() > 1 { lines.join(" ") } else { value.trim_end_matches(['\n', '\r']).to_owned() }
}

fn nested_yaml(conf: &FlinkConf) -> String {
    let mut root = Map::new();
    for (key, value) in conf.iter() {
        insert(&mut root, key, typed(key, value));
    }
    let mut text = String::new();
    write_map(&root, 0, &mut text);
    text
}

/// Lists are written as lists: nested YAML is read by type.
fn typed(key: &str, value: &str) -> Value {
    let lists = [keys::PIPELINE_JARS.name, keys::PIPELINE_CLASSPATHS.name, keys::INTERNAL_PROGRAM_ARGS.name];
    match lists.contains(&key) {
        true => json!(Vec::<String>::parse(value).unwrap_or_default()),
        false => json!(value),
    }
}

fn insert(map: &mut Map<String, Value>, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            map.insert(key.to_owned(), value);
        }
        Some((head, rest)) => insert(super::pod_template::object(map, head), rest, value),
    }
}

/// Texts in double quotes, as JSON writes them: valid YAML that no reader takes for a number or a date.
fn write_map(map: &Map<String, Value>, depth: usize, text: &mut String) {
    for (key, value) in map {
        let indent = "  ".repeat(depth);
        let key = if is_plain_key(key) { key.clone() } else { json!(key).to_string() };
        match value {
            Value::Object(inner) => {
                text.push_str(&format!("{indent}{key}:\n"));
                write_map(inner, depth + 1, text);
            }
            scalar_or_list => text.push_str(&format!("{indent}{key}: {scalar_or_list}\n")),
        }
    }
}

fn is_plain_key(key: &str) -> bool {
    let starts_well = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '$' || c == '_');
    starts_well && key.chars().all(|c| c.is_ascii_alphanumeric() || "$_-/".contains(c)) && !is_yaml_word(key)
}

fn is_yaml_word(text: &str) -> bool {
    ["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_lowercase().as_str())
}

pub(super) fn flink_config(
    cr: &FlinkDeployment,
    logs: &BTreeMap<String, String>,
    file: &ConfigurationFile,
) -> Value {
    let mut data = logs.clone();
    data.insert(file.name.to_owned(), file.text.clone());
    config_map(cr, flink_config_name(cr.name()), json!(data))
}

/// Files of that ConfigMap in the order they are mounted.
pub(super) fn mounted_files(logs: &BTreeMap<String, String>, file: &ConfigurationFile) -> Vec<String> {
    let logs = [LOGBACK, LOG4J].into_iter().filter(|name| logs.contains_key(*name));
    logs.chain([file.name]).map(str::to_owned).collect()
}

pub(super) fn pod_template(cr: &FlinkDeployment, template: &Value) -> Value {
    // JSON is YAML; pretty-printed it stays readable, and no writer's taste decides how texts are quoted.
    let text = serde_json::to_string_pretty(template).expect("a JSON value prints");
    config_map(cr, pod_template_name(cr.name()), json!({POD_TEMPLATE_FILE: text}))
}

pub(super) fn flink_config_name(cluster_id: &str) -> String {
    format!("flink-config-{cluster_id}")
}

pub(super) fn pod_template_name(cluster_id: &str) -> String {
    format!("pod-template-{cluster_id}")
}

fn config_map(cr: &FlinkDeployment, name: String, data: Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": cr.namespace(), "labels": labels::common(cr.name())},
        "data": data,
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn conf(entries: &[(&str, &str)]) -> FlinkConf {
        entries.iter().copied().collect()
    }

    #[test]
    fn flat_file_for_1_x() {
        let conf =
            conf(&[("rest.port", "8081"), ("env.java.opts", "-Da=1\n-Db=2\n"), ("taskmanager.host", "x")]);
        let file = ConfigurationFile::of(Some(FlinkVersion::V1_20), &conf).unwrap();
        assert_eq!(file.name, "flink-conf.yaml");
        assert_eq!(file.text, "env.java.opts: -Da=1 -Db=2\nrest.port: 8081\n");
    }

    #[test]
    fn nested_file_for_2_x() {
        let conf = conf(&[
            ("rest.port", "8081"),
            ("rest.profiling.enabled", "true"),
            ("pipeline.jars", "local:///a.jar"),
            ("$internal.application.program-args", "--a;'x;y'"),
            ("env.on", "say \"hi\"\nthere"),
        ]);
        let file = ConfigurationFile::of(Some(FlinkVersion::V2_0), &conf).unwrap();
        assert_eq!(file.name, "config.yaml");
        expect![[r#"
            $internal:
              application:
                program-args: ["--a","x;y"]
            env:
              "on": "say \"hi\"\nthere"
            pipeline:
              jars: ["local:///a.jar"]
            rest:
              port: "8081"
              profiling:
                enabled: "true"
        "#]]
        .assert_eq(&file.text);
        let back = crate::config::parse_standard(&file.text).unwrap();
        assert_eq!(back["env.on"], "say \"hi\"\nthere");
        assert_eq!(back["rest.profiling.enabled"], "true");
    }

    #[test]
    fn a_key_that_is_also_a_parent_has_no_place_in_nested_yaml() {
        let conf =
            conf(&[("high-availability", "kubernetes"), ("high-availability.storageDir", "file:///ha")]);
        assert!(ConfigurationFile::of(Some(FlinkVersion::V1_20), &conf).is_ok());
        let error = ConfigurationFile::of(Some(FlinkVersion::V2_0), &conf).err().unwrap();
        assert_eq!(
            error.to_string(),
            "Overlapping key prefixes detected (high-availability -> high-availability.storageDir), \
             please replace with Flink v2 compatible, non-deprecated keys."
        );
    }
}
