//! Case files: one JSON file per topic.

use std::path::Path;

use serde_json::Value;

/// One file of cases.
#[derive(Clone, Debug)]
pub struct Topic {
    pub name: String,
    pub cases: Vec<Case>,
}

/// One case; `raw` holds the steps as recorded.
#[derive(Clone, Debug)]
pub struct Case {
    pub id: String,
    pub title: String,
    pub priority: String,
    pub needs: Vec<String>,
    pub managed_fields: bool,
    /// Servers that were asked when the case was recorded.
    pub recorded: Vec<String>,
    pub raw: Value,
}

impl Case {
    /// The case as `server` is expected to answer: its variants put in the place of what the first server said.
    pub fn as_answered_by(&self, server: &str) -> Case {
        let mut case = self.clone();
        for step in case.raw["steps"].as_array_mut().into_iter().flatten() {
            let Some(variant) = step["variants"].get(server).and_then(Value::as_object).cloned() else {
                continue;
            };
            let Some(expect) = step["expect"].as_object_mut() else { continue };
            for (member, value) in variant {
                if value == "{{none}}" {
                    expect.shift_remove(&member);
                } else {
                    expect.insert(member, value);
                }
            }
        }
        case
    }

    /// Whether a server that has only `provided` can answer the case.
    pub fn needs_only(&self, provided: &[&str]) -> bool {
        self.needs.iter().all(|n| provided.contains(&n.as_str()))
    }
}

/// An object the cases rely on, created before them.
#[derive(Clone, Debug)]
pub struct Fixture {
    pub path: String,
    pub ready: Option<String>,
    pub object: Value,
}

/// Reads every `*.json` of a folder; `fixtures.json` holds the fixtures.
pub fn load(folder: &Path) -> Result<(Vec<Topic>, Vec<Fixture>), String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .map_err(|e| format!("read {}: {e}", folder.display()))?
        .filter_map(|f| f.ok().map(|f| f.path()))
        .filter(|p| p.extension().is_some_and(|x| x == "json"))
        .collect();
    names.sort();
    let (mut topics, mut fixtures) = (Vec::new(), Vec::new());
    for path in names {
        let text = std::fs::read_to_string(&path).map_err(|e| format!("read {}: {e}", path.display()))?;
        let doc: Value = serde_json::from_str(&text).map_err(|e| format!("parse {}: {e}", path.display()))?;
        let string = |v: &Value, k: &str| v[k].as_str().unwrap_or("").to_owned();
        let strings = |v: &Value, k: &str| -> Vec<String> {
            v[k].as_array().into_iter().flatten().filter_map(|n| n.as_str().map(str::to_owned)).collect()
        };
        if path.file_name().is_some_and(|n| n == "fixtures.json") {
            fixtures.extend(doc["objects"].as_array().into_iter().flatten().map(|f| Fixture {
                path: string(f, "path"),
                ready: f["ready"].as_str().map(str::to_owned),
                object: f["object"].clone(),
            }));
            continue;
        }
        let cases = doc["cases"].as_array().into_iter().flatten().map(|c| Case {
            id: string(c, "id"),
            title: string(c, "title"),
            priority: string(c, "priority"),
            needs: strings(c, "needs"),
            managed_fields: c["managedFields"] == true,
            recorded: strings(c, "recorded"),
            raw: c.clone(),
        });
        topics.push(Topic { name: string(&doc, "topic"), cases: cases.collect() });
    }
    Ok((topics, fixtures))
}
