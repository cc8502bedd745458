//! A stage for `drey cluster` without the tools: a folder of stand-ins that is the whole PATH. A stand-in plays recorded
//! answers by its exact argument list, in order where there are several, and fails on any other. What was called is logged.

use std::cell::{Cell, RefCell};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use drey_clusters::{ClusterFile, Clusters, Host, Permission, Problem, Processes, Ready};
use serde_json::Value;

pub struct Stage {
    folder: tempfile::TempDir,
    rows: Cell<usize>,
    pub host: Host,
    pub said: RefCell<Vec<String>>,
}

/// Where the engine of the stage is, as docker's context says it.
pub const ENGINE: &str = "unix:///var/run/docker.sock";

impl Stage {
    /// With kubectl and docker, whose daemon answers.
    pub fn new() -> Stage {
        let stage = Stage::empty();
        stage.recorded("docker", "context inspect", "docker/context-inspect");
        stage.says("docker", "version --format {{.Server.Version}}", "20.10.24\n");
        stage
    }

    pub fn empty() -> Stage {
        let folder = tempfile::tempdir().expect("a folder for the stage");
        fs::create_dir_all(folder.path().join("bin")).expect("its bin");
        let host = Host::default()
            .with("HOME", folder.path().display().to_string())
            .with("DREY_STATE", folder.path().join("state").display().to_string());
        Stage { folder, rows: Cell::new(0), host, said: RefCell::default() }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A file of the cluster `drey`.
    pub fn state(&self, file: &str) -> PathBuf {
        self.path().join("state/clusters/drey").join(file)
    }

    /// Plays a recording for these arguments, `$STATE` being the folder of the cluster `drey`.
    pub fn recorded(&self, program: &str, args: &str, recording: &str) {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings").join(format!("{recording}.json"));
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let recording: Value = serde_json::from_str(&text).expect("a recording");
        let said = |key: &str| recording[key].as_str().unwrap_or_default().to_owned();
        let code = recording["exit"].as_i64().expect("its exit code");
        self.row(program, args, code, &said("stdout"), &said("stderr"));
    }

    pub fn says(&self, program: &str, args: &str, stdout: &str) {
        self.row(program, args, 0, stdout, "");
    }

    pub fn fails(&self, program: &str, args: &str, stderr: &str) {
        self.row(program, args, 1, "", stderr);
    }

    fn row(&self, program: &str, args: &str, code: i64, stdout: &str, stderr: &str) {
        self.install(program);
        let index = self.rows.replace(self.rows.get() + 1);
        let row = self.path().join("rows").join(program).join(format!("{index:03}"));
        fs::create_dir_all(&row).expect("a row");
        let args = args.replace("$STATE", self.state("").display().to_string().trim_end_matches('/'));
        let (args, code) = (format!("{args}\n"), code.to_string());
        for (name, text) in [("args", args.as_str()), ("out", stdout), ("err", stderr), ("code", &code)] {
            fs::write(row.join(name), text).expect("a row's file");
        }
    }

    fn install(&self, program: &str) {
        let file = self.path().join("bin").join(program);
        if file.exists() {
            return;
        }
        let script =
            STAND_IN.replace("@ROOT@", &self.path().display().to_string()).replace("@PROGRAM@", program);
        fs::write(&file, script).expect("a stand-in");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("a program");
    }

    pub fn runner(&self) -> Processes {
        Processes::new(Arc::new(AtomicBool::new(false))).env("PATH", self.path().join("bin"))
    }

    pub fn with<T>(&self, act: impl FnOnce(&Clusters<'_>) -> T) -> T {
        let runner = self.runner();
        let say = |text: &str| self.said.borrow_mut().push(text.to_owned());
        act(&Clusters::new(&runner, &self.host, &say))
    }

    pub fn up(&self, file: &ClusterFile) -> Result<Ready, Problem> {
        self.with(|clusters| clusters.up(file, &Permission::default()))
    }

    /// Every call so far, without the stage's folder. Arguments the stand-ins did not know begin with `UNKNOWN`.
    pub fn calls(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path().join("log")).unwrap_or_default();
        let state = self.state("").display().to_string();
        log.replace(state.trim_end_matches('/'), "$STATE").lines().map(str::to_owned).collect()
    }

    /// Those that made or removed something.
    pub fn changes(&self) -> Vec<String> {
        let asks = [
            "colima status",
            "inspect",
            "list",
            " get ",
            "version",
            "volume ls",
            "/readyz",
            "current-context",
            "config view",
        ];
        let calls = self.calls();
        calls.into_iter().filter(|call| !asks.iter().any(|word| call.contains(word))).collect()
    }
}

/// Finds the first row with these arguments that was not played, else the last that was.
const STAND_IN: &str = r#"#!/bin/sh
PATH=/usr/bin:/bin
root='@ROOT@'
printf '%s\n' "@PROGRAM@ $*" >> "$root/log"
env | grep -E '^(DOCKER_HOST|DOCKER_SOCK|LOG_COLORS)=' | sort | tr '\n' ' ' > "$root/env.@PROGRAM@"
for row in "$root/rows/@PROGRAM@"/*; do
  IFS= read -r args < "$row/args"
  [ "$*" = "$args" ] || continue
  found=$row
  [ -e "$row/played" ] || break
done
if [ -z "$found" ]; then
  printf '%s\n' "UNKNOWN @PROGRAM@ $*" >> "$root/log"
  echo "stand-in: no answer of @PROGRAM@ for: $*" >&2
  exit 97
fi
: > "$found/played"
cat > /dev/null
cat "$found/out"
cat "$found/err" >&2
exit "$(cat "$found/code")"
"#;
