//! `--state FILE`: everything the server stores, kept over restarts and crashes.
//!
//! Each change is appended before its answer goes out: whoever writes waits until the disk has it, and those who write
//! meanwhile share the next sync. When the file has grown to a multiple of what lives in it, it is written anew beside its
//! place and renamed into it. Leaves out what processes hold in memory: after a restart containers start again.

mod file;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use fake_kube_apiserver::{ApiServer, Change, ChangeKind, Observer, Options, RequestRecord};
use tokio::sync::{Notify, watch};

/// A file smaller than this is not worth writing anew.
const REWRITE_MIN: u64 = 8 << 20;
/// Growth, as a multiple of what was live, after which it is.
const REWRITE_FACTOR: u64 = 4;

/// The state file of a running server. Clones are the same file.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    api: ApiServer,
    waiting: Mutex<Waiting>,
    more: Notify,
    /// The revision that is on the disk; an error for ever.
    durable: watch::Sender<Result<u64, String>>,
}

/// Changes that are not on the disk yet.
#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    revision: u64,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("path", &self.shared.path).finish()
    }
}

/// Starts a server with what the file holds, or an empty one when there is no file yet; from then on the file follows it.
/// Second: what there is to tell the user.
pub fn open(path: &Path, options: Options) -> anyhow::Result<(ApiServer, Journal, Option<String>)> {
    let mut note = None;
    let api = match std::fs::read(path) {
        Ok(bytes) => {
            let read = file::read(&bytes).with_context(|| format!("restore {}", path.display()))?;
            if read.torn > 0 {
                note =
                    Some(format!("{}: dropped {} bytes of an unfinished write", path.display(), read.torn));
            }
            ApiServer::from_contents(read.contents, options)
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => ApiServer::new(options),
        Err(e) => return Err(e).with_context(|| format!("read {}", path.display())),
    };
    // Told of changes first, so that none falls between the file and them.
    let (durable, _) = watch::channel(Ok(0));
    let shared = Shared {
        path: path.to_owned(),
        api: api.clone(),
        waiting: Mutex::default(),
        more: Notify::new(),
        durable,
    };
    let journal = Journal { shared: Arc::new(shared) };
    api.set_observer(Arc::new(Appender(Arc::downgrade(&journal.shared))));
    let (file, live) = journal.shared.rewrite()?;
    tokio::spawn(follow(journal.shared.clone(), file, live));
    Ok((api, journal, note))
}

impl Journal {
    /// Waits until everything up to this revision is on the disk.
    pub async fn durable(&self, revision: u64) -> Result<(), String> {
        let mut known = self.shared.durable.subscribe();
        let reached = known.wait_for(|d| d.as_ref().map_or(true, |r| *r >= revision)).await;
        match reached.as_deref() {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(why)) => Err(why.clone()),
            Err(_) => Err("the state file is closed".to_owned()),
        }
    }
}

/// The server holds its observer, which must not hold the server.
struct Appender(std::sync::Weak<Shared>);

impl Observer for Appender {
    fn on_request(&self, _: &RequestRecord) {}

    fn on_change(&self, c: &Change) {
        let Some(shared) = self.0.upgrade() else { return };
        let deleted = c.kind == ChangeKind::Deleted;
        let line = file::change(&c.resource, &c.object, deleted, c.revision, shared.api.drawn());
        let mut waiting = shared.waiting();
        waiting.bytes.extend(line);
        waiting.revision = waiting.revision.max(c.revision);
        drop(waiting);
        shared.more.notify_one();
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the file anew; it is open for appending then. With the size of what lives.
    fn rewrite(&self) -> anyhow::Result<(File, u64)> {
        let context = || format!("write {}", self.path.display());
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let contents = self.api.contents();
        let bytes = file::write(&contents);
        let mut fresh = tempfile::NamedTempFile::new_in(folder).with_context(context)?;
        fresh.write_all(&bytes).with_context(context)?;
        fresh.as_file().sync_all().with_context(context)?;
        fresh.persist(&self.path).with_context(context)?;
        // The new name is on the disk once the folder is.
        File::open(folder).and_then(|f| f.sync_all()).with_context(context)?;
        let file = OpenOptions::new().append(true).open(&self.path).with_context(context)?;
        self.reached(contents.revision);
        Ok((file, bytes.len() as u64))
    }

    fn reached(&self, revision: u64) {
        self.durable.send_modify(|d| {
            if let Ok(known) = d {
                *known = revision.max(*known);
            }
        });
    }

    fn append(&self, file: &mut File, batch: &[u8]) -> std::io::Result<()> {
        file.write_all(batch)?;
        file.sync_data()
    }
}

async fn follow(shared: Arc<Shared>, mut file: File, mut live: u64) {
    let mut grown = 0_u64;
    loop {
        let batch = std::mem::take(&mut *shared.waiting());
        if batch.bytes.is_empty() {
            shared.more.notified().await;
            continue;
        }
        grown += batch.bytes.len() as u64;
        let again = grown > REWRITE_MIN.max(live * REWRITE_FACTOR);
        let working = shared.clone();
        // Disks take their time: not on the thread that serves.
        let done = tokio::task::spawn_blocking(move || -> anyhow::Result<(File, Option<u64>)> {
            working
                .append(&mut file, &batch.bytes)
                .with_context(|| format!("write {}", working.path.display()))?;
            working.reached(batch.revision);
            if !again {
                return Ok((file, None));
            }
            let (fresh, live) = working.rewrite()?;
            Ok((fresh, Some(live)))
        });
        match done.await {
            Ok(Ok((next, size))) => {
                file = next;
                if let Some(size) = size {
                    (live, grown) = (size, 0);
                }
            }
            Ok(Err(e)) => {
                shared.durable.send_modify(|d| *d = Err(format!("{e:#}")));
                return;
            }
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use fake_kube_apiserver::{ManualClock, Resource};
    use serde_json::{Value, json};

    use super::*;

    fn options() -> Options {
        Options::new(Arc::new(ManualClock::new(jiff::Timestamp::UNIX_EPOCH)))
    }

    /// A file that holds one object of 100 kB and is changed for 20 MB: written anew twice, whole at every moment.
    #[tokio::test]
    async fn what_has_grown_is_written_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state");
        let (api, journal, _) = open(&path, options()).expect("a new file");
        let (client, maps) = (api.client("test"), Resource::core("configmaps"));
        let object = |n: usize| -> Value {
            json!({"metadata": {"name": "big"}, "data": {"n": n.to_string(), "k": "x".repeat(100_000)}})
        };
        client.create(&maps, "default", object(0)).expect("created");
        let (mut before, mut largest, mut rewrites) = (0, 0, 0);
        for n in 1..=200 {
            client.update(&maps, "default", object(n)).expect("updated");
            journal.durable(api.revision()).await.expect("on the disk");
            let length = std::fs::metadata(&path).expect("a file").len();
            rewrites += usize::from(length < before);
            (before, largest) = (length, largest.max(length));
            if n % 40 == 0 {
                // What a crash at this moment would leave.
                let copy = file::read(&std::fs::read(&path).expect("a file")).expect("undamaged");
                let kept = copy.contents.objects.iter().find(|(_, o)| o["metadata"]["name"] == "big");
                assert_eq!(kept.map(|(_, o)| o["data"]["n"].clone()), Some(json!(n.to_string())));
            }
        }
        assert!(rewrites >= 2, "{rewrites} times, {largest} bytes at most");
        assert!((REWRITE_MIN..REWRITE_MIN + (1 << 20)).contains(&largest), "{largest}");
        let revision = api.revision();
        drop((api, client, journal));
        let (again, _, note) = open(&path, options()).expect("the same file");
        assert_eq!((again.revision(), note), (revision, None));
        let kept = again.client("test").get(&maps, "default", "big").expect("it is there");
        assert_eq!(kept["data"]["n"], "200");
    }
}
