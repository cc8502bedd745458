//! The durable storage that outlives clusters: checkpoints, savepoints and HA files, shared by clones.
//!
//! It holds meaning, not bytes: a snapshot knows the job's monotonic `progress`, so a judge outside can tell what a
//! restore lost. Faults (lose, corrupt, unreachable) are set on it directly. It knows nothing of time.
//!
//! In memory it is a pair of maps. On a [`Medium`] (a folder, an S3 server) every read asks the medium, so that what
//! somebody removed or spoiled there is gone or unreadable here; the maps then only know what was seen.

mod directory;
mod medium;
#[cfg(feature = "s3")]
mod s3;

pub use directory::Directory;
pub use medium::{ByScheme, Medium};
#[cfg(feature = "s3")]
pub use s3::{S3, S3Options};

use crate::hash::QuickHash;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub job: String,
    pub id: u64,
    pub savepoint: bool,
    /// `CANONICAL` or `NATIVE` for savepoints.
    pub format: Option<String>,
    /// How far the job had come; grows while it runs.
    pub progress: u64,
    /// Ids of the operators whose state is inside.
    pub operators: Vec<String>,
    /// Their maximum parallelism, in the same order; empty where it was not noted.
    #[serde(default)]
    pub max_parallelism: Vec<u32>,
    pub bytes: u64,
    pub triggered_ms: i64,
}

/// A file of the HA storage directory that ConfigMaps point to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum HaFile {
    /// `completedCheckpoint<hex>`: where the state lies, or the state itself for JobManager storage.
    Checkpoint { path: String, snapshot: Snapshot },
    /// `submittedJobGraph<hex>` / `submittedExecutionPlan<hex>`: what a recovery runs, whatever `main()` says by then.
    Plan(Box<Plan>),
    /// `job-result-store/...json`.
    Result { job: String, state: String },
}

/// A stored job: its program under its arguments and the configuration it was submitted with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub job: String,
    pub program: crate::program::Job,
    pub parallelism: u32,
    pub conf: crate::conf::Conf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    Missing,
    /// The directory is there, `_metadata` is not.
    NoMetadata,
    Corrupt,
    /// The metadata ends too early.
    Truncated,
    Unreachable,
    UnknownScheme(String),
    /// A `file` address that names a host.
    LocalHost {
        host: String,
        path: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteError {
    ReadOnly,
    Unreachable,
    UnknownScheme(String),
    /// A `file` address that names a host.
    LocalHost {
        host: String,
        path: String,
    },
}

#[derive(Debug, Default)]
struct Inner {
    /// By path, hashed: in a tree each step of a search reads another path, and they are long and alike.
    snapshots: IndexMap<String, Entry, QuickHash>,
    /// Paths of the snapshots of a job.
    by_job: IndexMap<String, BTreeSet<String>, QuickHash>,
    files: BTreeMap<String, HaFile>,
    unreachable: BTreeSet<String>,
}

#[derive(Debug)]
struct Entry {
    snapshot: Arc<Snapshot>,
    corrupt: bool,
}

/// Schemes a Flink image with its bundled plugins can read.
const SCHEMES: &[&str] = &["file", "s3", "s3a", "s3p", "gs", "hdfs", "abfs", "abfss", "wasb", "wasbs", "oss"];
const METADATA: &str = "/_metadata";
/// Nobody can create directories here on Linux; the recorded failures use it.
const READ_ONLY: &str = "file:/proc";

#[derive(Clone, Debug, Default)]
pub struct SnapshotStore {
    inner: Arc<Mutex<Inner>>,
    medium: Option<Arc<dyn Medium>>,
}

impl SnapshotStore {
    pub fn new() -> SnapshotStore {
        SnapshotStore::default()
    }

    /// On a medium, with what lies there already.
    ///
    /// # Errors
    /// The medium cannot be read.
    pub fn open(medium: Arc<dyn Medium>) -> io::Result<SnapshotStore> {
        let store = SnapshotStore { inner: Arc::default(), medium: Some(medium.clone()) };
        for path in medium.all()? {
            if let Some(folder) = path.strip_suffix(METADATA) {
                // What cannot be read is known when somebody wants it.
                let _ = store.read(folder);
            }
        }
        Ok(store)
    }

    /// Reads and writes may wait for another machine.
    pub fn is_remote(&self) -> bool {
        self.medium.as_ref().is_some_and(|medium| medium.is_remote())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self, path: &str, snapshot: impl Into<Arc<Snapshot>>) -> Result<(), WriteError> {
        let snapshot = snapshot.into();
        let normal = one_spelling(path);
        self.check_writable(path, &normal)?;
        if let Some(medium) = &self.medium {
            let path = &normal;
            let bytes = medium::encode(&*snapshot).ok_or(WriteError::Unreachable)?;
            medium.put(&format!("{path}{METADATA}"), &bytes).map_err(|why| match why.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => WriteError::ReadOnly,
                _ => WriteError::Unreachable,
            })?;
        }
        self.lock().put(normal.into_owned(), snapshot);
        Ok(())
    }

    /// Whether snapshots can be put below an address that somebody gave.
    pub fn check_target(&self, path: &str) -> Result<(), WriteError> {
        if let Some(host) = local_host(path) {
            return Err(WriteError::LocalHost { host: host.to_owned(), path: path.to_owned() });
        }
        self.check_writable(path, &one_spelling(path))
    }

    fn check_writable(&self, path: &str, normal: &str) -> Result<(), WriteError> {
        let scheme = scheme(path);
        if !SCHEMES.contains(&scheme) {
            return Err(WriteError::UnknownScheme(scheme.to_owned()));
        }
        if self.lock().is_unreachable(normal) {
            return Err(WriteError::Unreachable);
        }
        if normal == READ_ONLY || normal.starts_with("file:/proc/") {
            return Err(WriteError::ReadOnly);
        }
        Ok(())
    }

    pub fn read(&self, path: &str) -> Result<Snapshot, ReadError> {
        let scheme = scheme(path);
        if !SCHEMES.contains(&scheme) {
            return Err(ReadError::UnknownScheme(scheme.to_owned()));
        }
        if let Some(host) = local_host(path) {
            return Err(ReadError::LocalHost { host: host.to_owned(), path: path.to_owned() });
        }
        let path = normal(path);
        if self.lock().is_unreachable(&path) {
            return Err(ReadError::Unreachable);
        }
        if let Some(medium) = &self.medium {
            return self.read_from(&**medium, &path);
        }
        let inner = self.lock();
        match inner.snapshots.get(&path) {
            Some(entry) if entry.corrupt => Err(ReadError::Corrupt),
            Some(entry) => Ok((*entry.snapshot).clone()),
            None if path == READ_ONLY || inner.has_below(&path) => Err(ReadError::NoMetadata),
            None => Err(ReadError::Missing),
        }
    }

    fn read_from(&self, medium: &dyn Medium, path: &str) -> Result<Snapshot, ReadError> {
        let bytes = medium.get(&format!("{path}{METADATA}")).map_err(|_| ReadError::Unreachable)?;
        let Some(bytes) = bytes else {
            self.lock().remove(path);
            let below = medium.list(path).map_err(|_| ReadError::Unreachable)?;
            let is_folder = path == READ_ONLY || !below.is_empty();
            return Err(if is_folder { ReadError::NoMetadata } else { ReadError::Missing });
        };
        match medium::decode::<Snapshot>(&bytes) {
            Some(snapshot) => {
                self.lock().put(path.to_owned(), snapshot.clone().into());
                Ok(snapshot)
            }
            None => {
                self.lock().corrupt(path);
                Err(if medium::is_cut(&bytes) { ReadError::Truncated } else { ReadError::Corrupt })
            }
        }
    }

    /// Removes a snapshot; false when there was none.
    pub fn delete(&self, path: &str) -> bool {
        let path = one_spelling(path);
        // A medium that is away keeps it: the next read will tell.
        if let Some(medium) = &self.medium {
            let _ = medium.remove(&format!("{path}{METADATA}"));
        }
        self.lock().remove(&path)
    }

    /// Fault: the files of a snapshot are gone.
    pub fn lose(&self, path: &str) -> bool {
        self.delete(path)
    }

    /// Fault: the metadata can no longer be read.
    pub fn corrupt(&self, path: &str) -> bool {
        let path = normal(path);
        if let Some(medium) = &self.medium {
            let file = format!("{path}{METADATA}");
            let bytes = medium.get(&file).ok().flatten().unwrap_or_default();
            // Half a file is what a full disk leaves.
            if bytes.is_empty() || medium.put(&file, &bytes[..bytes.len() / 2]).is_err() {
                return false;
            }
        }
        self.lock().corrupt(&path)
    }

    /// Fault: everything below `prefix` cannot be read or written until it is made reachable again.
    pub fn set_reachable(&self, prefix: &str, reachable: bool) {
        let mut inner = self.lock();
        if reachable {
            inner.unreachable.remove(&normal(prefix));
        } else {
            inner.unreachable.insert(normal(prefix));
        }
    }

    /// Every readable snapshot by path.
    pub fn snapshots(&self) -> BTreeMap<String, Snapshot> {
        let inner = self.lock();
        inner
            .snapshots
            .iter()
            .filter(|(_, e)| !e.corrupt)
            .map(|(p, e)| (p.clone(), (*e.snapshot).clone()))
            .collect()
    }

    /// The readable snapshots of these jobs by path.
    pub fn snapshots_of<'a>(&self, jobs: impl IntoIterator<Item = &'a String>) -> BTreeMap<String, Snapshot> {
        let inner = self.lock();
        let paths = jobs.into_iter().filter_map(|job| inner.by_job.get(job)).flatten();
        paths.filter_map(|path| Some((path.clone(), inner.readable(path)?.clone()))).collect()
    }

    /// The snapshot of a path in its one spelling, if it can be read.
    pub fn readable(&self, path: &str) -> Option<Snapshot> {
        self.lock().readable(path).cloned()
    }

    /// A medium that is away loses it, as a JobManager whose HA storage fails loses what it cannot write.
    pub fn put_file(&self, path: &str, file: HaFile) {
        let path = normal(path);
        if let (Some(medium), Some(bytes)) = (&self.medium, medium::encode(&file)) {
            let _ = medium.put(&path, &bytes);
        }
        self.lock().files.insert(path, file);
    }

    pub fn file(&self, path: &str) -> Option<HaFile> {
        let path = normal(path);
        if self.lock().is_unreachable(&path) {
            return None;
        }
        match &self.medium {
            Some(medium) => match medium.get(&path).ok()? {
                Some(bytes) => medium::decode(&bytes),
                None => None,
            },
            None => self.lock().files.get(&path).cloned(),
        }
    }

    pub fn remove_file(&self, path: &str) {
        let path = normal(path);
        if let Some(medium) = &self.medium {
            let _ = medium.remove(&path);
        }
        self.lock().files.remove(&path);
    }

    pub fn files(&self) -> Vec<String> {
        self.lock().files.keys().cloned().collect()
    }
}

impl Inner {
    fn put(&mut self, path: String, snapshot: Arc<Snapshot>) {
        self.remove(&path);
        match self.by_job.get_mut(&snapshot.job) {
            Some(paths) => drop(paths.insert(path.clone())),
            None => drop(self.by_job.insert(snapshot.job.clone(), BTreeSet::from([path.clone()]))),
        }
        self.snapshots.insert(path, Entry { snapshot, corrupt: false });
    }

    fn corrupt(&mut self, path: &str) -> bool {
        self.snapshots.get_mut(path).map(|entry| entry.corrupt = true).is_some()
    }

    fn remove(&mut self, path: &str) -> bool {
        let Some(gone) = self.snapshots.swap_remove(path) else { return false };
        if let Some(paths) = self.by_job.get_mut(&gone.snapshot.job) {
            paths.remove(path);
            if paths.is_empty() {
                self.by_job.swap_remove(&gone.snapshot.job);
            }
        }
        true
    }

    fn readable(&self, path: &str) -> Option<&Snapshot> {
        self.snapshots.get(path).filter(|entry| !entry.corrupt).map(|entry| &*entry.snapshot)
    }

    fn is_unreachable(&self, path: &str) -> bool {
        self.unreachable.iter().any(|prefix| path.starts_with(prefix.as_str()))
    }

    fn has_below(&self, path: &str) -> bool {
        let prefix = format!("{path}/");
        self.snapshots.keys().any(|path| path.starts_with(&prefix))
    }
}

fn scheme(path: &str) -> &str {
    match path.split_once(':') {
        Some((scheme, rest)) if rest.starts_with('/') => scheme,
        _ => "file",
    }
}

/// The host in `file://host/path`, which no local file system has.
fn local_host(path: &str) -> Option<&str> {
    let host = path.strip_prefix("file://")?.split('/').next()?;
    (!host.is_empty()).then_some(host)
}

/// The one spelling of a path: `file:/x` for every way to write a local one, no `_metadata`, no trailing slash.
pub fn normal(path: &str) -> String {
    one_spelling(path).into_owned()
}

fn one_spelling(path: &str) -> Cow<'_, str> {
    let path = path.strip_suffix("/_metadata").unwrap_or(path).trim_end_matches('/');
    if let Some(rest) = path.strip_prefix("file:") {
        return format!("file:/{}", rest.trim_start_matches('/')).into();
    }
    if path.starts_with('/') {
        return format!("file:{path}").into();
    }
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        Snapshot {
            job: "a".into(),
            id: 1,
            savepoint: true,
            format: None,
            progress: 7,
            operators: vec![],
            max_parallelism: vec![],
            bytes: 1,
            triggered_ms: 0,
        }
    }

    #[test]
    fn one_path_many_spellings() {
        let store = SnapshotStore::new();
        store.write("file:///sp/one", snapshot()).unwrap();
        for path in ["file:/sp/one", "/sp/one", "file:///sp/one/", "file:///sp/one/_metadata"] {
            assert_eq!(store.read(path).map(|s| s.progress), Ok(7), "{path}");
        }
        assert_eq!(store.read("/sp"), Err(ReadError::NoMetadata));
        assert_eq!(store.read("/other"), Err(ReadError::Missing));
        assert_eq!(store.read("nope://host/x"), Err(ReadError::UnknownScheme("nope".into())));
    }

    #[test]
    fn jobs_have_their_own_snapshots() {
        let store = SnapshotStore::new();
        let of = |job: &str| Snapshot { job: job.into(), ..snapshot() };
        for (path, job) in [("/sp/1", "a"), ("/sp/2", "b"), ("/sp/3", "a"), ("/sp/2", "a"), ("/sp/4", "b")] {
            store.write(path, of(job)).unwrap();
        }
        let paths = |jobs: &[&str]| {
            let jobs: Vec<String> = jobs.iter().map(|job| (*job).to_owned()).collect();
            store.snapshots_of(&jobs).into_keys().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(paths(&["a"]), "file:/sp/1 file:/sp/2 file:/sp/3");
        assert!(store.delete("/sp/1") && store.corrupt("/sp/3"));
        assert_eq!(paths(&["a", "b", "c"]), "file:/sp/2 file:/sp/4");
        assert!(store.readable("file:/sp/2").is_some() && store.readable("file:/sp/3").is_none());
    }

    #[test]
    fn faults_are_visible_to_every_clone() {
        let store = SnapshotStore::new();
        let other = store.clone();
        store.write("s3://b/one", snapshot()).unwrap();
        other.set_reachable("s3://b", false);
        assert_eq!(store.read("s3://b/one"), Err(ReadError::Unreachable));
        assert_eq!(store.write("s3://b/two", snapshot()), Err(WriteError::Unreachable));
        other.set_reachable("s3://b", true);
        assert!(other.corrupt("s3://b/one"));
        assert_eq!(store.read("s3://b/one"), Err(ReadError::Corrupt));
    }

    #[derive(Debug)]
    struct Away;

    impl Medium for Away {
        fn put(&self, _: &str, _: &[u8]) -> io::Result<()> {
            Err(io::ErrorKind::TimedOut.into())
        }
        fn get(&self, _: &str) -> io::Result<Option<Vec<u8>>> {
            Err(io::ErrorKind::TimedOut.into())
        }
        fn remove(&self, _: &str) -> io::Result<()> {
            Err(io::ErrorKind::TimedOut.into())
        }
        fn list(&self, _: &str) -> io::Result<Vec<String>> {
            Err(io::ErrorKind::TimedOut.into())
        }
        fn all(&self) -> io::Result<Vec<String>> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn a_medium_that_is_away_is_unreachable() {
        let store = SnapshotStore::open(Arc::new(Away)).unwrap();
        assert_eq!(store.write("s3://b/one", snapshot()), Err(WriteError::Unreachable));
        assert_eq!(store.read("s3://b/one"), Err(ReadError::Unreachable));
    }

    #[test]
    fn a_folder_outlives_the_process_and_shows_what_was_done_to_it() {
        let root = tempfile::tempdir().unwrap();
        let open = || SnapshotStore::open(Arc::new(Directory::open(root.path()).unwrap())).unwrap();
        let first = open();
        for path in ["/sp/whole", "s3://b/gone", "/sp/half", "/sp/spoiled", "/sp/empty"] {
            first.write(path, snapshot()).unwrap();
        }
        let file = |path: &str| root.path().join(path).join("_metadata");
        std::fs::remove_file(file("s3/b/gone")).unwrap();
        std::fs::write(file("file/sp/half"), &std::fs::read(file("file/sp/half")).unwrap()[..20]).unwrap();
        std::fs::rename(file("file/sp/empty"), root.path().join("file/sp/empty/other")).unwrap();
        assert!(first.corrupt("/sp/spoiled"));
        for store in [first, open()] {
            assert_eq!(store.read("/sp/whole").map(|s| s.progress), Ok(7));
            assert_eq!(store.read("s3://b/gone"), Err(ReadError::Missing));
            assert_eq!(store.read("/sp/half"), Err(ReadError::Truncated));
            assert_eq!(store.read("/sp/spoiled"), Err(ReadError::Truncated));
            assert_eq!(store.read("/sp/empty"), Err(ReadError::NoMetadata));
            assert_eq!(store.snapshots().into_keys().collect::<Vec<_>>(), ["file:/sp/whole"]);
        }
    }
}
