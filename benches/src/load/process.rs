//! A server under measurement: started here, or found by its kubeconfig; its CPU time and memory as the system counts
//! them (Linux: /proc).

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::client::Endpoint;

/// What can be started.
#[derive(Clone, Debug)]
pub enum Program {
    /// `fake-kube serve` with these further arguments.
    Ours { binary: PathBuf, arguments: Vec<String> },
    /// ci/real-crd-server.
    Real { binary: PathBuf },
    /// `fake-flink serve` with these arguments.
    Flink { binary: PathBuf, arguments: Vec<String> },
}

/// A server that runs. One that was started here ends with this value.
pub struct Served {
    pub endpoint: Endpoint,
    /// From the start of the process to its `ready` line; None when it ran already.
    pub ready: Option<Duration>,
    pub began: Instant,
    pid: Option<u32>,
    child: Option<Child>,
    /// Holds the store of the real server.
    _folder: Option<tempfile::TempDir>,
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // One that ended by itself is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The binary that was named, or the one of that name beside this program.
pub fn beside(named: Option<&PathBuf>, name: &str) -> anyhow::Result<PathBuf> {
    match named {
        Some(binary) => Ok(binary.clone()),
        None => Ok(std::env::current_exe().context("find this program")?.with_file_name(name)),
    }
}

impl Served {
    pub fn start(program: &Program) -> anyhow::Result<Served> {
        let folder = tempfile::tempdir().context("make a folder")?;
        let (binary, mut command) = match program {
            Program::Ours { binary, arguments } => {
                let mut command = Command::new(binary);
                command
                    .args(["serve", "--http"])
                    .args(arguments)
                    .stdout(Stdio::piped())
                    .stderr(Stdio::inherit());
                (binary, command)
            }
            Program::Flink { binary, arguments } => {
                let mut command = Command::new(binary);
                command.arg("serve").args(arguments).stdout(Stdio::piped()).stderr(Stdio::inherit());
                (binary, command)
            }
            Program::Real { binary } => {
                let mut command = Command::new(binary);
                command.args(["-listen", "127.0.0.1:0"]).stdout(Stdio::null()).stderr(Stdio::piped());
                (binary, command)
            }
        };
        let began = Instant::now();
        let mut child = command
            .env("TMPDIR", folder.path())
            .spawn()
            .with_context(|| format!("start {}; build it first", binary.display()))?;
        let said: Box<dyn Read + Send> = match (child.stdout.take(), child.stderr.take()) {
            (Some(out), _) => Box::new(out),
            (None, Some(err)) => Box::new(err),
            (None, None) => bail!("{} has no output to wait on", binary.display()),
        };
        let pid = child.id();
        let mut served = Served {
            endpoint: Endpoint::Url(String::new()),
            ready: None,
            began,
            pid: Some(pid),
            child: Some(child),
            _folder: Some(folder),
        };
        let mut lines = BufReader::new(said).lines();
        let url = loop {
            let line =
                lines.next().with_context(|| format!("{} ended before it was ready", binary.display()))?;
            if let Some(url) = ready_url(&line.context("read what the server says")?) {
                break url;
            }
        };
        served.ready = Some(began.elapsed());
        served.endpoint = Endpoint::Url(url);
        // Its log is read on, or the pipe fills and it waits.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(served)
    }

    /// One that runs already. Without its process id there are no figures of CPU and memory.
    pub fn found(kubeconfig: &Path, pid: Option<u32>) -> Served {
        Served::running(Endpoint::Kubeconfig(kubeconfig.to_owned()), pid)
    }

    pub fn running(endpoint: Endpoint, pid: Option<u32>) -> Served {
        Served { endpoint, ready: None, began: Instant::now(), pid, child: None, _folder: None }
    }

    /// CPU time of all threads so far.
    pub fn cpu(&self) -> Option<Duration> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid?)).ok()?;
        let nanos = threads.flatten().filter_map(|thread| {
            let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        });
        Some(Duration::from_nanos(nanos.sum()))
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid?)).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
    }
}

/// `ready http://127.0.0.1:1` of ours, `.. ready url=http://127.0.0.1:1 after=1s` of the real one.
fn ready_url(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("ready ")?;
    let url = rest.split_whitespace().next()?;
    Some(url.strip_prefix("url=").unwrap_or(url).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_lines_of_both() {
        let url = |line| ready_url(line).unwrap_or_default();
        assert_eq!(url("ready https://127.0.0.1:4711"), "https://127.0.0.1:4711");
        assert_eq!(url("2026/01/01 00:00:00 ready url=http://127.0.0.1:1 after=1.2s"), "http://127.0.0.1:1");
        assert_eq!(url("starting"), "");
    }
}
