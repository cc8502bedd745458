//! What the jobs of a JobManager went through, left beside its storage for those who ask a later JobManager of the cluster:
//! one that lives for a moment is hardly ever asked itself.
//!
//! Leaves out those that are killed: they write nothing. Where the storage is no folder, nothing is left.

use std::path::{Path, PathBuf};

use fake_flink::image::surroundings::variable;
use fake_flink::serve::Hosted;
use serde_json::{Value, json};

/// The newest so many are told.
const TOLD_MAX: usize = 20;
/// Of one file; a history has at most two thousand entries.
const FILE_MAX: u64 = 4 << 20;

#[derive(Clone)]
pub struct Chronicle {
    folder: PathBuf,
    pod: String,
}

impl Chronicle {
    /// `storage` as FAKE_FLINK_STORAGE has it.
    pub fn beside(storage: &str, cluster: &str) -> Option<Chronicle> {
        let is_folder = !storage.contains("://") && Path::new(storage).is_absolute();
        let folder = PathBuf::from(format!("{storage}.history")).join(cluster);
        let pod = variable("POD_NAME").or_else(|| variable("HOSTNAME"))?;
        is_folder.then_some(Chronicle { folder, pod })
    }

    /// Leaves what this one went through. Nobody waits for it: a disk that is full keeps no process.
    pub fn leave(&self, hosted: &Hosted) {
        let Value::Array(mut history) = hosted.history().to_json() else { return };
        let last =
            history.last().map(|fact| fact["at"].as_str().unwrap_or_default().replace([':', '.'], "-"));
        let Some(last) = last else { return };
        history.iter_mut().for_each(|fact| fact["pod"] = json!(self.pod));
        let text = Value::Array(history).to_string();
        let path = self.folder.join(format!("{last}-{}.json", self.pod));
        let _ = std::fs::create_dir_all(&self.folder).and_then(|()| std::fs::write(path, text));
    }

    /// What those before this one left, the oldest first.
    pub fn told(&self) -> Vec<Value> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.sort();
        let newest = files.split_off(files.len().saturating_sub(TOLD_MAX));
        newest.iter().flat_map(|file| read(file).unwrap_or_default()).collect()
    }
}

fn read(file: &Path) -> Option<Vec<Value>> {
    let is_small = std::fs::metadata(file).ok()?.len() <= FILE_MAX;
    let text = is_small.then(|| std::fs::read_to_string(file).ok())??;
    serde_json::from_str(&text).ok()
}
