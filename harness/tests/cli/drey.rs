//! Runs the built `drey` as a process, away from terminals and from the environment of whoever runs the tests.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The root of the repository: paths in output are relative to where `drey` runs.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository").to_path_buf()
}

/// `drey` with arguments, to be run in a folder.
pub fn drey(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drey"));
    command.args(arguments).current_dir(folder);
    for name in ["NO_COLOR", "KUBECONFIG", "RUST_LOG", "DREY_SEED", "DREY_BLESS"] {
        command.env_remove(name);
    }
    command
}

/// What a finished `drey` said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

pub fn run(folder: &Path, arguments: &[&str]) -> Said {
    said(&drey(folder, arguments).output().expect("drey starts"))
}

pub fn said(output: &Output) -> Said {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("drey writes UTF-8");
    let said = Said {
        code: output.status.code().expect("drey ends by itself"),
        out: text(&output.stdout),
        err: text(&output.stderr),
    };
    assert!(!said.err.contains("panicked"), "drey panicked: {said:?}");
    said
}
