//! Where scenario files come from: the disk, or a table in memory for tests and editors with unsaved text.
//! Leaves out: parsing, and writing of any kind.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Reads texts by path. Scenarios, fragments and object files all come through here.
pub trait Files {
    fn read(&self, path: &Path) -> io::Result<String>;
    fn exists(&self, path: &Path) -> bool;
    /// Names beside a missing file, for the "nearest" hint. May be empty.
    fn siblings(&self, path: &Path) -> Vec<String>;
}

/// Files as they are on the disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

/// Nobody writes a scenario this long; somebody passes the wrong file.
const MAX_BYTES: u64 = 4 << 20;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<String> {
        if std::fs::metadata(path)?.len() > MAX_BYTES {
            return Err(io::Error::other("larger than 4 MiB"));
        }
        std::fs::read_to_string(path)
    }

    fn exists(&self, path: &Path) -> bool {
        path.is_file()
    }

    fn siblings(&self, path: &Path) -> Vec<String> {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).take(1000).collect();
        names.sort();
        names
    }
}

/// Files in memory, keyed by normalised path.
#[derive(Clone, Debug, Default)]
pub struct Memory(BTreeMap<PathBuf, String>);

impl Memory {
    pub fn with(mut self, path: impl AsRef<Path>, text: impl Into<String>) -> Memory {
        self.0.insert(normalise(path.as_ref()), text.into());
        self
    }
}

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<String> {
        self.0.get(&normalise(path)).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn exists(&self, path: &Path) -> bool {
        self.0.contains_key(&normalise(path))
    }

    fn siblings(&self, path: &Path) -> Vec<String> {
        let path = normalise(path);
        let same_folder = self.0.keys().filter(|p| p.parent() == path.parent());
        same_folder.filter_map(|p| p.file_name()?.to_str().map(str::to_owned)).collect()
    }
}

/// `a/./b/../c` as `a/c`, without asking the disk: two spellings of one path must compare equal.
pub fn normalise(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalising_keeps_leading_parents() {
        let check = |from: &str, to: &str| assert_eq!(normalise(Path::new(from)), Path::new(to), "{from}");
        check("a/./b/../c.yaml", "a/c.yaml");
        check("../lib/x.yaml", "../lib/x.yaml");
        check("a/../../x", "../x");
        check("/a/../b", "/b");
    }
}
