//! This machine as the commands see it: its environment, read once, and where our own files are kept.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The environment variables that matter, as values.
#[derive(Clone, Debug, Default)]
pub struct Host {
    env: BTreeMap<String, String>,
}

impl Host {
    pub fn of_process() -> Host {
        let text =
            |(key, value): (OsString, OsString)| Some((key.into_string().ok()?, value.into_string().ok()?));
        Host { env: std::env::vars_os().filter_map(text).collect() }
    }

    pub fn with(mut self, key: &str, value: impl Into<String>) -> Host {
        self.env.insert(key.to_owned(), value.into());
        self
    }

    /// Empty counts as unset, as most tools have it.
    pub fn var(&self, key: &str) -> Option<&str> {
        self.env.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub fn home(&self) -> PathBuf {
        PathBuf::from(self.var("HOME").unwrap_or("/"))
    }

    /// Where every cluster has a folder. Below the home, for that is what Colima's VM can see.
    pub fn clusters(&self) -> PathBuf {
        let state = match (self.var("DREY_STATE"), self.var("XDG_STATE_HOME")) {
            (Some(own), _) => return PathBuf::from(own).join("clusters"),
            (None, Some(state)) => PathBuf::from(state),
            (None, None) => self.home().join(".local/state"),
        };
        state.join("drey/clusters")
    }

    /// The kubeconfig that kubectl would write to.
    pub fn kubeconfig(&self) -> PathBuf {
        let first = self.var("KUBECONFIG").and_then(|list| std::env::split_paths(list).next());
        first.unwrap_or_else(|| self.home().join(".kube/config"))
    }
}

/// The files of one cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    pub name: String,
    pub folder: PathBuf,
}

impl Place {
    pub fn of(host: &Host, name: &str) -> Place {
        Place { name: name.to_owned(), folder: host.clusters().join(name) }
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    pub fn record(&self) -> PathBuf {
        self.folder.join("record.json")
    }

    pub fn kind_config(&self) -> PathBuf {
        self.folder.join("kind.json")
    }

    pub fn lock(&self) -> PathBuf {
        self.folder.join("lock")
    }
}

/// Writes a file that nobody else may read: kubeconfigs hold keys. In one piece, so that no half of it is ever read.
pub(crate) fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_files_are_below_the_home_unless_said_otherwise() {
        let check = |host: Host, clusters: &str| assert_eq!(host.clusters(), Path::new(clusters));
        let home = Host::default().with("HOME", "/h");
        check(home.clone(), "/h/.local/state/drey/clusters");
        check(home.clone().with("XDG_STATE_HOME", "/s"), "/s/drey/clusters");
        check(home.clone().with("XDG_STATE_HOME", ""), "/h/.local/state/drey/clusters");
        check(home.clone().with("DREY_STATE", "/d"), "/d/clusters");
        assert_eq!(home.kubeconfig(), Path::new("/h/.kube/config"));
        assert_eq!(home.with("KUBECONFIG", "/a:/b").kubeconfig(), Path::new("/a"));
    }
}
