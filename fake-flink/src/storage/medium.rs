//! Where snapshots are kept beyond memory, as files under Flink's own paths; and what is in such a file.
//!
//! A path is the one spelling of [`super::normal`] (`file:/sp/one`, `s3://bucket/sp/one`); a savepoint is a folder with
//! `_metadata`. The content is our own: a line that says so, then JSON. Real `_metadata` is not read or written.

use std::fmt;
use std::io;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads and writes wait for the medium; each has a bound of its own on how long.
pub trait Medium: fmt::Debug + Send + Sync {
    /// Whole or not at all.
    fn put(&self, path: &str, bytes: &[u8]) -> io::Result<()>;
    /// None: there is no such file.
    fn get(&self, path: &str) -> io::Result<Option<Vec<u8>>>;
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Paths of files below a folder, at most [`LIST_MAX`].
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;
    /// Paths of all files that an opened storage should know of.
    fn all(&self) -> io::Result<Vec<String>>;
    /// Somebody far away answers: whoever asks should have a thread to wait on.
    fn is_remote(&self) -> bool {
        false
    }
}

/// Local paths here, all others there.
#[derive(Debug)]
pub struct ByScheme {
    local: super::Directory,
    others: Arc<dyn Medium>,
}

impl ByScheme {
    pub fn new(local: super::Directory, others: Arc<dyn Medium>) -> ByScheme {
        ByScheme { local, others }
    }

    fn of(&self, path: &str) -> &dyn Medium {
        if path.starts_with("file:") { &self.local } else { &*self.others }
    }
}

impl Medium for ByScheme {
    fn put(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.of(path).put(path, bytes)
    }

    fn get(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        self.of(path).get(path)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.of(path).remove(path)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.of(folder).list(folder)
    }

    fn is_remote(&self) -> bool {
        self.others.is_remote()
    }

    fn all(&self) -> io::Result<Vec<String>> {
        let mut paths = self.local.all()?;
        paths.extend(self.others.all()?);
        Ok(paths)
    }
}

pub const LIST_MAX: usize = 100_000;
/// A file of ours is small; what is larger is somebody else's.
pub const FILE_MAX: u64 = 4 << 20;

const MARK: &[u8] = b"fake-flink 1\n";

/// None: not to be written down.
pub fn encode(what: &impl Serialize) -> Option<Vec<u8>> {
    let mut bytes = MARK.to_vec();
    bytes.extend(serde_json::to_vec(what).ok()?);
    Some(bytes)
}

/// None: truncated, or never ours.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes.strip_prefix(MARK)?).ok()
}

/// What we wrote, and not all of it.
pub fn is_cut(bytes: &[u8]) -> bool {
    match bytes.strip_prefix(MARK) {
        Some(text) => serde_json::from_slice::<serde_json::Value>(text).is_err_and(|why| why.is_eof()),
        None => MARK.starts_with(bytes),
    }
}

/// Scheme and the segments of a path.
pub fn split(path: &str) -> Option<(&str, Vec<&str>)> {
    let (scheme, rest) = path.split_once(':')?;
    let segments: Vec<&str> = rest.split('/').filter(|segment| !segment.is_empty()).collect();
    (!segments.is_empty()).then_some((scheme, segments))
}

/// The path of these segments again.
pub fn join(scheme: &str, segments: &[String]) -> String {
    let slashes = if scheme == "file" { "/" } else { "//" };
    format!("{scheme}:{slashes}{}", segments.join("/"))
}
