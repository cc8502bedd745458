//! Labels of the change under review, by which people let through what the gate refuses. Leaves out: who may set a label;
//! that is the forge's to know.

use serde_json::Value;

use crate::verdict::Override;

/// Where labels are told, the nearest first. GitLab sets the second; the template for GitHub sets the first.
pub const VARIABLES: [&str; 2] = ["DREY_GATE_LABELS", "CI_MERGE_REQUEST_LABELS"];
/// GitHub writes the event that began the run into this file.
const EVENT: &str = "GITHUB_EVENT_PATH";
/// An event is some hundred kB at most.
const EVENT_MAX: u64 = 16 << 20;

/// The override, when the label is among those of the command line, else of the environment.
pub fn find(
    label: &str,
    given: Option<&str>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Option<Override> {
    let (source, labels) = match given {
        Some(list) => ("--labels".to_owned(), split(list)),
        None => told(environment)?,
    };
    labels.iter().any(|one| one == label).then(|| Override { label: label.to_owned(), source })
}

fn told(environment: &dyn Fn(&str) -> Option<String>) -> Option<(String, Vec<String>)> {
    let listed = VARIABLES.iter().find_map(|name| {
        let list = environment(name).filter(|list| !list.trim().is_empty())?;
        Some(((*name).to_owned(), split(&list)))
    });
    listed.or_else(|| Some((EVENT.to_owned(), of_event(&environment(EVENT)?)?)))
}

fn split(list: &str) -> Vec<String> {
    list.split(',').map(|label| label.trim().to_owned()).filter(|label| !label.is_empty()).collect()
}

/// An event that cannot be read has no labels: the gate then stays closed.
fn of_event(path: &str) -> Option<Vec<String>> {
    if std::fs::metadata(path).ok()?.len() > EVENT_MAX {
        return None;
    }
    let event: Value = serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()?;
    let labels = event.pointer("/pull_request/labels")?.as_array()?;
    Some(labels.iter().filter_map(|label| label["name"].as_str().map(str::to_owned)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_source_decides() {
        let environment = |name: &str| match name {
            "DREY_GATE_LABELS" => Some("slower is fine, docs".to_owned()),
            "CI_MERGE_REQUEST_LABELS" => Some("other".to_owned()),
            _ => None,
        };
        let check = |label: &str, given: Option<&str>, source: Option<&str>| {
            let found = find(label, given, &environment);
            assert_eq!(found.map(|found| found.source).as_deref(), source, "{label}");
        };
        check("docs", None, Some("DREY_GATE_LABELS"));
        check("slower is fine", None, Some("DREY_GATE_LABELS"));
        check("slower", None, None);
        check("other", None, None);
        check("other", Some("a,other"), Some("--labels"));
        check("docs", Some(""), None);
        assert_eq!(find("x", None, &|_| None), None);
    }
}
