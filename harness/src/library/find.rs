//! From paths to scenarios: folders are searched, fragments and object files are passed over.

use std::path::{Path, PathBuf};

use drey_language::{Diagnostics, Scenario, Vocabulary, parse};

/// What lies below the paths.
#[derive(Default)]
pub struct Found {
    /// Sorted by path.
    pub scenarios: Vec<Scenario>,
    /// Files that are scenarios and cannot be read as such.
    pub problems: Vec<Diagnostics>,
}

/// Reads every scenario below the paths. A path that does not exist is an error with the nearest name there.
pub fn find(paths: &[PathBuf], vocabulary: &Vocabulary) -> anyhow::Result<Found> {
    let mut found = Found::default();
    for path in paths {
        anyhow::ensure!(path.exists(), "{}", missing(path));
        let files = if path.is_dir() { scenario_files(path)? } else { vec![path.clone()] };
        for file in files {
            match parse(&file, vocabulary) {
                Ok(scenario) => found.scenarios.push(scenario),
                Err(problems) => found.problems.push(problems),
            }
        }
    }
    Ok(found)
}

fn missing(path: &Path) -> String {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names: Vec<String> = std::fs::read_dir(parent)
        .map(|entries| entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let hint = match drey_language::diagnostics::nearest(&name, &names) {
        Some(near) => format!("did you mean {}?", parent.join(near).display()),
        None => "`drey list` shows the scenarios there are".to_owned(),
    };
    format!("read {}: no such file or folder; {hint}", path.display())
}

/// `*.yaml` files of kind Scenario, sorted. A file that cannot even be read is kept: parsing will say why.
fn scenario_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if is_scenario(&path) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn is_scenario(path: &Path) -> bool {
    let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    is_yaml
        && std::fs::read_to_string(path)
            .is_ok_and(|text| text.lines().any(|line| line.trim_end() == "kind: Scenario"))
}
