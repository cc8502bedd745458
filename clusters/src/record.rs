//! Which clusters are ours. Told twice before anything is made: by a record in the cluster's folder, and by a labelled empty
//! volume on its engine, which `prune` finds after kill -9 and from another machine, too. kind takes no labels of ours for
//! its containers; a volume of our own serves kind and k3d alike.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::engine::Engine;
use crate::host::{Host, Place, write_private};
use crate::maker::Maker;

/// On volumes, containers and Kubernetes objects: the cluster's name.
pub const LABEL: &str = "drey.io/cluster";
/// On the volume: who made it, `kind` or `k3d`.
pub const MAKER_LABEL: &str = "drey.io/provider";

/// What made the cluster, with what it takes to get at it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "provider")]
pub enum Origin {
    Kind { engine: String },
    K3d { engine: String },
    Colima { profile: String },
    Kubeconfig { context: String },
}

impl Origin {
    pub fn provider(&self) -> &'static str {
        match self {
            Origin::Kind { .. } => "kind",
            Origin::K3d { .. } => "k3d",
            Origin::Colima { .. } => "colima",
            Origin::Kubeconfig { .. } => "kubeconfig",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Written before the first call; what is found in this state later was given up halfway.
    Creating,
    /// Nodes and kubeconfig are there; what goes into the cluster may not be.
    Made,
    Ready,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    pub name: String,
    pub origin: Origin,
    pub context: String,
    pub state: State,
    /// The Colima VM that was made for it, and goes with it.
    #[serde(default)]
    pub owned_vm: Option<String>,
    /// Made for one run: nobody misses it after some hours.
    #[serde(default)]
    pub is_temporary: bool,
    /// Whether its context was merged into the user's kubeconfig.
    #[serde(default)]
    pub is_merged: bool,
}

impl Record {
    /// `None`: there is none, or none that can be read.
    pub fn load(place: &Place) -> Option<Record> {
        let text = std::fs::read_to_string(place.record()).ok()?;
        serde_json::from_str(&text).ok()
    }

    pub fn save(&self, place: &Place) -> std::io::Result<()> {
        write_private(&place.record(), &serde_json::to_string_pretty(self)?)
    }

    /// Removes all that is kept of a cluster.
    pub fn forget(place: &Place) -> std::io::Result<()> {
        match std::fs::remove_dir_all(&place.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Names with a folder, sorted.
    pub fn names(host: &Host) -> Vec<String> {
        let entries = std::fs::read_dir(host.clusters()).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.path().is_dir());
        let mut names: Vec<String> =
            folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// How long ago it was last written; `None` where the system cannot tell.
    pub fn age(place: &Place) -> Option<Duration> {
        std::fs::metadata(place.record()).ok()?.modified().ok()?.elapsed().ok()
    }

    pub fn maker(&self) -> Option<(Maker, &str)> {
        match &self.origin {
            Origin::Kind { engine } => Some((Maker::Kind, engine)),
            Origin::K3d { engine } => Some((Maker::K3d, engine)),
            Origin::Colima { .. } | Origin::Kubeconfig { .. } => None,
        }
    }

    pub fn provider(&self) -> &'static str {
        self.origin.provider()
    }
}

fn volume(name: &str) -> String {
    format!("drey-cluster-{name}")
}

/// Claims the name on the engine. Doing so again changes nothing.
pub fn mark(name: &str, maker: Maker, engine: &Engine) -> Call {
    let labels = [format!("{LABEL}={name}"), format!("{MAKER_LABEL}={}", maker.program())];
    engine.docker(["volume", "create", "--label", &labels[0], "--label", &labels[1], &volume(name)])
}

pub fn unmark(name: &str, engine: &Engine) -> Call {
    engine.docker(["volume", "rm", &volume(name)])
}

/// All claims on an engine: per line a name and a maker.
pub fn marks(engine: &Engine) -> Call {
    let filter = format!("label={LABEL}");
    let format = format!("{{{{.Label \"{LABEL}\"}}}} {{{{.Label \"{MAKER_LABEL}\"}}}}");
    engine.docker(["volume", "ls", "--filter", &filter, "--format", &format])
}

pub fn parse_marks(text: &str) -> Vec<(String, Maker)> {
    let maker = |word: &str| match word {
        "kind" => Some(Maker::Kind),
        "k3d" => Some(Maker::K3d),
        _ => None,
    };
    text.lines()
        .filter_map(|line| line.trim().split_once(' '))
        .filter_map(|(name, word)| Some((name.to_owned(), maker(word)?)))
        .collect()
}

/// Held while a cluster is changed: two `up` of one name wait for nobody, the second is told. The system lets go of it
/// when the process ends, however it ends.
pub struct Lock(std::fs::File);

impl Drop for Lock {
    /// Closing the file is not enough: a program that another thread is just starting has a copy of it until it runs.
    fn drop(&mut self) {
        // What cannot be let go of is let go of by the end of this process.
        let _ = self.0.unlock();
    }
}

impl Lock {
    /// `Ok(None)`: somebody else holds it.
    pub fn take(place: &Place) -> std::io::Result<Option<Lock>> {
        std::fs::create_dir_all(&place.folder)?;
        let path: PathBuf = place.lock();
        let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    }
}
