//! Snapshots in a folder of this machine: survives restarts, and can be looked at, copied and spoiled by hand.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::medium::{FILE_MAX, LIST_MAX, Medium, join, split};

#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    place: Place,
    written: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// `file:/sp/one` lies at `ROOT/file/sp/one`, `s3://b/x` at `ROOT/s3/b/x`.
    Below,
    /// `file:/sp/one` is `/sp/one`, as in a container with its volumes; other schemes have no place.
    AsNamed,
}

/// Deeper than this is no path of Flink's.
const DEPTH_MAX: usize = 64;

impl Directory {
    /// # Errors
    /// The folder cannot be made or written.
    pub fn open(root: &Path) -> io::Result<Directory> {
        fs::create_dir_all(root)?;
        let root = root.canonicalize()?;
        let directory = Directory { root, place: Place::Below, written: AtomicU64::new(0) };
        let probe = directory.temporary(&directory.root);
        fs::write(&probe, b"")?;
        fs::remove_file(&probe)?;
        Ok(directory)
    }

    /// Local paths are what they say.
    pub fn as_named() -> Directory {
        Directory { root: PathBuf::from("/"), place: Place::AsNamed, written: AtomicU64::new(0) }
    }

    fn file(&self, path: &str) -> io::Result<PathBuf> {
        let no_place = || io::Error::new(io::ErrorKind::Unsupported, format!("no place for {path}"));
        let (scheme, segments) = split(path).ok_or_else(no_place)?;
        let mut file = self.root.clone();
        match self.place {
            Place::Below => file.push(scheme),
            Place::AsNamed if scheme == "file" => {}
            Place::AsNamed => return Err(no_place()),
        }
        for segment in segments {
            // `..` and the like would lead out of the folder.
            let is_plain = Path::new(segment).components().all(|part| matches!(part, Component::Normal(_)));
            if !is_plain || segment.contains('\0') {
                return Err(no_place());
            }
            file.push(segment);
        }
        Ok(file)
    }

    /// Beside the file it becomes, under a name nobody else takes.
    fn temporary(&self, folder: &Path) -> PathBuf {
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        folder.join(format!(".fake-flink-{}-{number}", std::process::id()))
    }

    /// The path of a file below the root.
    fn path(&self, file: &Path) -> Option<String> {
        let segments = file.strip_prefix(&self.root).ok()?.components();
        let segments: Option<Vec<String>> =
            segments.map(|part| part.as_os_str().to_str().map(str::to_owned)).collect();
        let segments = segments?;
        match self.place {
            Place::AsNamed => Some(join("file", &segments)),
            Place::Below => segments.split_first().map(|(scheme, rest)| join(scheme, rest)),
        }
    }

    fn walk(&self, folder: &Path, depth: usize, found: &mut Vec<String>) -> io::Result<()> {
        let entries = match fs::read_dir(folder) {
            Err(error) if is_absent(&error) => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if found.len() >= LIST_MAX {
                return Ok(());
            }
            let is_ours = !entry.file_name().as_encoded_bytes().starts_with(b".");
            if kind.is_dir() && depth < DEPTH_MAX {
                self.walk(&entry.path(), depth + 1, found)?;
            } else if kind.is_file() && is_ours {
                found.extend(self.path(&entry.path()));
            }
        }
        Ok(())
    }
}

impl Medium for Directory {
    /// A crash of this process leaves the old file or the new one; one of the machine may leave neither.
    fn put(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let file = self.file(path)?;
        let folder = file.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder)?;
        let temporary = self.temporary(folder);
        let written = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, &file));
        if written.is_err() {
            // Why it could not be written matters more than what is left of it.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    fn get(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        use std::io::Read as _;
        let file = match fs::File::open(self.file(path)?) {
            Err(error) if is_absent(&error) => return Ok(None),
            file => file?,
        };
        let mut bytes = Vec::new();
        file.take(FILE_MAX).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let file = self.file(path)?;
        match fs::remove_file(&file) {
            Err(error) if !is_absent(&error) => return Err(error),
            _ => {}
        }
        // Folders that are empty now go with it; the first that is not ends this.
        let mut folder = file.parent();
        while let Some(empty) = folder.filter(|folder| folder.starts_with(&self.root) && *folder != self.root)
        {
            if self.place == Place::AsNamed || fs::remove_dir(empty).is_err() {
                // A volume's own folders stay; a snapshot's is removed.
                let _ = fs::remove_dir(empty);
                break;
            }
            folder = empty.parent();
        }
        Ok(())
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        self.walk(&self.file(folder)?, 0, &mut found)?;
        Ok(found)
    }

    fn all(&self) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        if self.place == Place::Below {
            self.walk(&self.root, 0, &mut found)?;
        }
        Ok(found)
    }
}

/// Not there, or below something that is no folder.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_under_flinks_paths() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::open(root.path()).unwrap();
        for path in ["file:/sp/one/_metadata", "s3://b/x/_metadata"] {
            directory.put(path, b"old").unwrap();
            directory.put(path, b"new").unwrap();
            assert_eq!(directory.get(path).unwrap().as_deref(), Some(&b"new"[..]), "{path}");
        }
        assert!(root.path().join("file/sp/one/_metadata").is_file());
        let mut all = directory.all().unwrap();
        all.sort();
        assert_eq!(all, ["file:/sp/one/_metadata", "s3://b/x/_metadata"]);
        directory.remove("file:/sp/one/_metadata").unwrap();
        directory.remove("file:/sp/one/_metadata").unwrap();
        assert!(!root.path().join("file").exists(), "empty folders go");
        assert_eq!(directory.get("file:/sp/one/_metadata").unwrap(), None);
    }

    #[test]
    fn no_path_leads_out() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::open(root.path()).unwrap();
        for path in ["file:/../x", "file:/a/../../x", "file:/", "nothing", "file:/a/./x"] {
            assert!(directory.put(path, b"").is_err(), "{path}");
        }
        assert!(Directory::as_named().put("s3://b/x", b"").is_err());
    }
}
