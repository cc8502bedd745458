//! The corpus of bad input: each folder below `tests/bad` is a command line (`args`) with its files and, in `told.txt`,
//! what its author is told. Always: exit code 2, no panic, nothing written. `UPDATE_EXPECT=1` rewrites the answers; read
//! them before you commit.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use expect_test::expect_file;

use crate::drey::{Said, run};

fn corpus() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let entries = std::fs::read_dir(folder).expect("the corpus is there");
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    folders.sort();
    folders
}

#[test]
fn every_bad_input_is_answered_as_recorded() {
    let corpus = corpus();
    assert!(corpus.len() >= 20, "the corpus shrank to {}", corpus.len());
    for folder in corpus {
        let arguments = std::fs::read_to_string(folder.join("args")).expect("a case has args");
        let before = files_below(&folder);
        let said = run(&folder, &arguments.split_whitespace().collect::<Vec<_>>());
        assert_eq!(said.code, 2, "{}: {said:?}", folder.display());
        assert_eq!(files_below(&folder), before, "{} left something behind", folder.display());
        expect_file![folder.join("told.txt")].assert_eq(&told(&said));
    }
}

fn told(said: &Said) -> String {
    let out = if said.out.is_empty() { String::new() } else { format!("{}---\n", said.out) };
    let text = format!("{out}{}", said.err);
    // How long it took is nobody's business here.
    let line = |line: &str| match line.split_once(" of scenario time in ") {
        Some((before, _)) => format!("{before} of scenario time in ..)\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(files_below(&path));
        }
        // The answer itself may be new, with UPDATE_EXPECT.
        if path.file_name().is_some_and(|name| name != "told.txt") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The port differs from run to run, so this one has no recorded answer.
#[test]
fn a_port_in_use_is_told_with_a_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("a bound socket has an address").to_string();
    let said = run(Path::new(env!("CARGO_MANIFEST_DIR")), &["play", "--listen", &address]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains(&address), "{said:?}");
    assert!(said.err.to_lowercase().contains("in use"), "{said:?}");
}
