//! The real runner: deadlines, Ctrl-C, groups, output.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use drey_clusters::{Call, Processes, RunError, Runner};

fn runner() -> Processes {
    Processes::new(Arc::new(AtomicBool::new(false)))
}

fn sh(script: &str) -> Call {
    Call::new("sh", ["-c", script])
}

#[test]
fn output_and_codes() {
    let outcome = runner().run(&sh("cat; echo err >&2; exit 3").stdin("in")).expect("it runs");
    assert_eq!((outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str()), (Some(3), "in", "err\n"));
    let killed = runner().run(&sh("kill -9 $$")).expect("it ran");
    assert_eq!(killed.code, None);
    assert!(!killed.is_success());
}

#[test]
fn a_missing_program_is_named() {
    let error = runner().run(&Call::new("no-such-tool", ["x"])).expect_err("missing");
    assert!(matches!(error, RunError::Missing { program } if program == "no-such-tool"));
}

/// The child of the child goes, too: tools start docker, and docker waits.
#[test]
fn a_deadline_ends_the_whole_group() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let script = format!("sleep 600 & echo $! > {}; echo begun; wait", pid.display());
    let start = Instant::now();
    let error = runner().run(&sh(&script).within(Duration::from_millis(300))).expect_err("too slow");
    assert!(start.elapsed() < Duration::from_secs(20));
    let RunError::TimedOut { said, .. } = error else { panic!("{error}") };
    assert_eq!(said.stdout, "begun\n");
    gone(&std::fs::read_to_string(pid).unwrap());
}

/// A process in the background does not keep the caller waiting for its output.
#[test]
fn what_stays_behind_is_ended() {
    let start = Instant::now();
    let outcome = runner().run(&sh("sleep 600 & echo $!")).expect("it ends");
    assert!(start.elapsed() < Duration::from_secs(20));
    gone(&outcome.stdout);
}

fn gone(pid: &str) {
    let stat = format!("/proc/{}/stat", pid.trim());
    let is_running = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z"));
    for _ in 0..200 {
        if !is_running() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("process {pid} still runs");
}

#[test]
fn ctrl_c_ends_what_runs_and_starts_nothing_but_removals() {
    let flag = Arc::new(AtomicBool::new(false));
    let runner = Processes::new(flag.clone());
    let waker = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        flag.store(true, Ordering::Relaxed);
    });
    let error = runner.run(&sh("sleep 600")).expect_err("interrupted");
    assert!(matches!(error, RunError::Interrupted { .. }), "{error}");
    waker.join().unwrap();
    assert!(runner.run(&sh("true")).is_err());
    assert!(runner.run(&sh("true").undo()).expect("a removal").is_success());
}
