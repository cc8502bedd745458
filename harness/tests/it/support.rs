//! What several tests need: the repository's folders, the `drey` command as a process, kubectl.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A file or folder of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

pub fn drey() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drey"));
    // Whatever the person who tests has set must not matter.
    command.env_remove("KUBECONFIG").env("NO_COLOR", "1");
    command
}

/// Our operator as a binary, of this state of the sources.
pub fn operator_binary() -> PathBuf {
    build("drey-operator")
}

/// A program of the crate of that name. A run of all tests has put it beside `drey`; a run of this crate's alone may have to
/// build it.
pub fn binary(name: &str) -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_drey")).with_file_name(name);
    if beside.is_file() { beside } else { build(name) }
}

/// Without `-p`: as part of the workspace, so with the features, and the libraries, that a run of all tests has built. And
/// without what cargo tells a test of its package: build scripts that look at that would run anew, and what rests on them
/// would be built anew, here and in the next build outside.
fn build(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_drey")).parent().expect("a file in a folder");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--quiet", "--locked", "--bin", name, "--target-dir"])
        .arg(folder.parent().expect("a profile's folder"))
        .current_dir(repository(""));
    for (name, _) in std::env::vars() {
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(name);
        }
    }
    let built = cargo.status().expect("cargo runs");
    assert!(built.success(), "{name} builds");
    folder.join(name)
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A running `drey play`, ended by force if the test ends first.
pub struct Play {
    child: Child,
    lines: BufReader<ChildStdout>,
    pub kubeconfig: PathBuf,
}

impl Play {
    /// Starts it and waits until it can be used. Everything it says up to there must come within the lines it prints.
    pub fn start(folder: &Path, args: &[&str]) -> Play {
        let kubeconfig = folder.join("kubeconfig");
        let mut child = drey()
            .arg("play")
            .args(args)
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            .stdout(Stdio::piped())
            .spawn()
            .expect("drey starts");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        let mut play = Play { child, lines, kubeconfig };
        play.wait_for("Ctrl-C ends it.");
        play
    }

    /// Reads on until a line contains this; answers that line. Fails when the output ends first, or the scenario does.
    pub fn wait_for(&mut self, part: &str) -> String {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).expect("text");
            assert_ne!(read, 0, "the output ended before {part:?}:\n{seen}");
            seen.push_str(&line);
            assert!(
                !line.contains("The world stays open as it is"),
                "the scenario failed before {part:?}:\n{seen}"
            );
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Ctrl-C, then the exit code and what was still said.
    pub fn interrupt(mut self) -> (Option<i32>, String) {
        let id = self.child.id().to_string();
        let killed = Command::new("kill").args(["-INT", &id]).status().expect("kill runs");
        assert!(killed.success(), "the process was gone already");
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.lines, &mut rest).expect("text");
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match self.child.try_wait().expect("the process can be asked") {
                Some(status) => return (status.code(), rest),
                None => assert!(Instant::now() < deadline, "still there 20 s after Ctrl-C: {rest}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        // Already gone is fine: the test is over either way.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether kubectl is there; where it must be and is not, the test fails.
pub fn has_kubectl() -> bool {
    if Command::new("kubectl").args(["version", "--client"]).output().is_ok() {
        return true;
    }
    assert_ne!(std::env::var("DREY_REQUIRE_KUBECTL").as_deref(), Ok("1"), "kubectl is not installed");
    println!("skipped: no kubectl");
    false
}

/// One call of kubectl, from the repository's root; its home is the folder of the kubeconfig.
pub fn kubectl(kubeconfig: &Path, args: &[&str]) -> Output {
    Command::new("kubectl")
        .current_dir(repository(""))
        .env("KUBECONFIG", kubeconfig)
        .env("HOME", kubeconfig.parent().expect("a file in a folder"))
        .args(args)
        .output()
        .expect("kubectl runs")
}
