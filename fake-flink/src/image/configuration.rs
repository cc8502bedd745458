//! The configuration a Flink process finds in its conf folder: `flink-conf.yaml` (flat) or `config.yaml` (nested).

use std::collections::BTreeMap;

use serde_json::Value;

/// Where the image keeps it.
pub const FOLDER: &str = "/opt/flink/conf";

/// What was read, and which file it came from.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    pub entries: BTreeMap<String, String>,
    /// `config.yaml` is read by Flink 1.19 and later, and is the only file 2.x knows.
    pub is_nested_file: bool,
}

/// Flink prefers `flink-conf.yaml` where both lie there (1.19, 1.20); 2.x reads `config.yaml` only. `file` gives the text
/// of a file of the folder by its name.
pub fn read(file: impl Fn(&str) -> Option<String>) -> Configuration {
    if let Some(text) = file("flink-conf.yaml") {
        return Configuration { entries: flat(&text), is_nested_file: false };
    }
    match file("config.yaml") {
        Some(text) => Configuration { entries: nested(&text), is_nested_file: true },
        None => Configuration::default(),
    }
}

/// `key: value` lines; a `#` starts a comment; quotes are part of the value, as in Flink's own reader.
pub fn flat(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let entries = lines.filter_map(|line| line.split_once(": "));
    entries.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect()
}

fn nested(text: &str) -> BTreeMap<String, String> {
    // YAML 1.2, as Flink's reader has it: `y` and `on` are texts.
    let options = serde_saphyr::options! { strict_booleans: true };
    let tree: Value = serde_saphyr::from_str_with_options(text, options).unwrap_or_default();
    let mut out = BTreeMap::new();
    flatten("", &tree, &mut out);
    out
}

fn flatten(path: &str, value: &Value, out: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&path, value, out);
            }
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(text_of).collect();
            out.insert(path.to_owned(), items.join(";"));
        }
        Value::Null => {}
        scalar => {
            out.insert(path.to_owned(), text_of(scalar));
        }
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: &str, text: &str, expected: &[(&str, &str)]) {
        let files = |name: &str| (name == file).then(|| text.to_owned());
        let expected = expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        assert_eq!(read(files).entries, expected.collect());
    }

    #[test]
    fn flat_files_are_lines() {
        check("flink-conf.yaml", "a.b: 1\nc: x: y # why\n#d: 2\n", &[("a.b", "1"), ("c", "x: y")]);
    }

    #[test]
    fn nested_files_are_flattened() {
        check(
            "config.yaml",
            "a:\n  b: 1\n  c: true\nd.e: [x, y]\n",
            &[("a.b", "1"), ("a.c", "true"), ("d.e", "x;y")],
        );
    }
}
