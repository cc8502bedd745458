//! From paths to scenarios: folders are searched, fragments and object files are passed over.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use drey_language::files::{Disk, Files, normalise};
use drey_language::{Diagnostic, Diagnostics, Scenario, Source, Vocabulary, parse, yaml};

use super::manifests::Manifests;
use crate::world::kinds;

/// What lies below the paths.
#[derive(Default)]
pub struct Found {
    /// Sorted by path.
    pub scenarios: Vec<Scenario>,
    /// Files that are scenarios and cannot be read as such, and manifests they apply that cannot be meant so.
    pub problems: Vec<Diagnostics>,
}

/// Reads every scenario below the paths. A path that does not exist is an error with the nearest name there.
pub fn find(paths: &[PathBuf], vocabulary: &Vocabulary) -> anyhow::Result<Found> {
    let mut found = Found::default();
    let mut seen = BTreeSet::new();
    let mut manifests = Manifests::default();
    for path in paths {
        anyhow::ensure!(path.exists(), "{}", missing(path));
        let files = if path.is_dir() { scenario_files(path)? } else { vec![path.clone()] };
        for file in files {
            if !seen.insert(normalise(&file)) {
                continue;
            }
            if let Some(problem) = not_a_scenario(&file) {
                found.problems.push(problem.into());
                continue;
            }
            match parse(&file, vocabulary) {
                Ok(scenario) => {
                    for crd in scenario.cases.iter().take(1).flat_map(|case| case.crds.iter()) {
                        kinds::declare(crd).with_context(|| format!("read {}", file.display()))?;
                    }
                    found
                        .problems
                        .extend(Some(manifests.check(&scenario)).filter(|problems| !problems.is_empty()));
                    found.scenarios.push(scenario);
                }
                Err(problems) => found.problems.push(problems),
            }
        }
    }
    Ok(found)
}

/// A file that was named by hand and is something else altogether: a list of its wrong keys would help nobody.
fn not_a_scenario(path: &Path) -> Option<Diagnostic> {
    let text = Disk.read(path).ok()?;
    let source = Source::new(path.display().to_string(), text);
    let documents = yaml::parse_documents(&source).ok()?;
    let document = documents.first()?;
    let text = |key: &str| document.get(key).and_then(|value| value.as_text()).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if kind.is_empty() || api_version.is_empty() || api_version.starts_with("drey") {
        return None;
    }
    let span = document.get("kind").map_or(&document.span, |kind| &kind.span);
    let problem = Diagnostic::error(
        "not-a-scenario",
        span,
        format!("this is a {kind} of `{api_version}`, not a scenario"),
    );
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Some(problem.at("kind").help(format!(
        "a scenario applies it by the step `- apply: {{file: {name}}}`; `drey lint {}` checks it by itself",
        path.display()
    )))
}

/// What is said of a path that leads nowhere.
pub fn missing(path: &Path) -> String {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names: Vec<String> = std::fs::read_dir(parent)
        .map(|entries| {
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
        })
        .unwrap_or_default();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let hint = match drey_language::diagnostics::nearest(&name, &names) {
        Some(near) => format!("did you mean {}?", parent.join(near).display()),
        None => format!("look at what is in {}", parent.display()),
    };
    format!("read {}: no such file or folder; {hint}", path.display())
}

/// `*.yaml` files of kind Scenario, sorted. A file that cannot even be read is kept: parsing will say why.
fn scenario_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = files_below(folder).with_context(|| format!("read {}", folder.display()))?;
    files.retain(|path| is_scenario(path));
    Ok(files)
}

/// Every file below the folder, sorted. Hidden folders are passed over.
pub(super) fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            // A link to a folder is not followed: it may lead back here.
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Says at the top that it is one of ours and not that it is a fragment. A misspelt kind is not passed over in silence.
pub fn is_scenario(path: &Path) -> bool {
    let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    is_yaml
        && std::fs::read_to_string(path).map_or(true, |text| {
            let says =
                |key: &str, word: &str| text.lines().any(|line| line.starts_with(key) && line.contains(word));
            says("kind:", "Scenario") || (says("apiVersion:", "drey/") && !says("kind:", "Fragment"))
        })
}
