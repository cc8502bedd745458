//! Configuration files: standard YAML (`config.yaml`) and the flat lines of old (`flink-conf.yaml`).

use std::collections::BTreeMap;
use std::fmt;

use drey_api::FlinkConfiguration;
use serde_json::Value;

/// A configuration file that cannot be read.
#[derive(Debug)]
pub struct ConfigFileError(String);

impl fmt::Display for ConfigFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "read the configuration: {}", self.0)
    }
}

impl std::error::Error for ConfigFileError {}

/// `config.yaml`: nested or dotted keys; lists become `a;b`.
pub fn parse_standard(text: &str) -> Result<BTreeMap<String, String>, ConfigFileError> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(BTreeMap::new());
    }
    // YAML 1.2, as Flink's own reader: `y` and `on` are texts.
    let options = serde_saphyr::options! { strict_booleans: true };
    let value: Value = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| ConfigFileError(error.to_string()))?;
    match value {
        Value::Null => Ok(BTreeMap::new()),
        Value::Object(_) => Ok(FlinkConfiguration::from_value(value).flatten()),
        other => Err(ConfigFileError(format!("a map of keys and values is needed, the file holds {other}"))),
    }
}

/// `flink-conf.yaml`: one `key: value` per line, `#` starts a comment. A line without `: ` says nothing, as in
/// Flink, and is returned so that someone can mention it.
pub fn parse_legacy(text: &str) -> (BTreeMap<String, String>, Vec<String>) {
    let mut map = BTreeMap::new();
    let mut ignored = Vec::new();
    for line in text.lines() {
        let content = line.split('#').next().unwrap_or_default().trim();
        if content.is_empty() {
            continue;
        }
        match content.split_once(": ").map(|(key, value)| (key.trim(), value.trim())) {
            Some((key, value)) if !key.is_empty() && !value.is_empty() => {
                map.insert(key.to_owned(), value.to_owned());
            }
            _ => ignored.push(line.to_owned()),
        }
    }
    (map, ignored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_yaml_is_flattened() {
        let text = "a:\n  b: 1\n  c.d: [x, y]\nkubernetes.operator.reconcile.interval: 15 s\n";
        let map = parse_standard(text).unwrap();
        assert_eq!(map["a.b"], "1");
        assert_eq!(map["a.c.d"], "x;y");
        assert_eq!(map["kubernetes.operator.reconcile.interval"], "15 s");
        assert!(parse_standard("# nothing\n").unwrap().is_empty());
        assert!(parse_standard("just text").is_err());
    }

    #[test]
    fn legacy_lines() {
        let (map, ignored) = parse_legacy("# head\na.b: 1 # note\nuri: file:///x\nbroken:1\nempty: \n\n");
        assert_eq!(map["a.b"], "1");
        assert_eq!(map["uri"], "file:///x");
        assert_eq!(ignored, ["broken:1", "empty: "]);
    }
}
