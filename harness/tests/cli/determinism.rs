//! The same seed gives the same run, byte for byte, in every process; and the comparison that says so can fail.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::process::Command;

use drey_harness::determinism::on_seeded_thread;

use crate::drey::{drey, root, said};

/// Two processes play the whole library, on different numbers of threads. All they have in common is the seed. Runs
/// that crash the operator at each write repeat a cell many times over; one of them is compared below.
#[test]
fn every_scenario_is_the_same_in_two_processes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let start = |name: &str, jobs: &str| {
        let report = folder.path().join(name);
        let report = report.to_str().expect("a path in UTF-8");
        let mut command = drey(
            &root(),
            &["run", "scenarios", "--no-golden", "--quick", "--jobs", jobs, "--report", report],
        );
        // Neither size of the environment nor zone of time may matter.
        command
            .env("TZ", if jobs == "1" { "UTC" } else { "Asia/Kathmandu" })
            .env(format!("PADDING_{name}"), "x".repeat(100));
        command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("drey starts")
    };
    let (first, second) = (start("first", "1"), start("second", "2"));
    for child in [first, second] {
        let said = said(&child.wait_with_output().expect("drey ends"));
        assert_ne!(said.code, 2, "nothing ran: {said:?}");
    }
    let [first, second] = ["first", "second"].map(|name| Recorded::read(&folder.path().join(name)));
    assert!(!first.transcripts.is_empty(), "there are transcripts to compare");
    let found = differences(&first, &second);
    assert!(found.is_empty(), "two processes, two runs:\n{}", found.join("\n"));
}

/// Of a report: what must be the same twice. Wall times are not in it.
#[derive(Clone)]
struct Recorded {
    transcripts: BTreeMap<String, String>,
    /// Every event with all its details, in order.
    events: Vec<String>,
}

impl Recorded {
    fn read(report: &Path) -> Recorded {
        let read = |path: &Path| {
            std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let files = std::fs::read_dir(report.join("transcripts")).expect("a report has transcripts");
        let paths = files.map(|entry| entry.expect("a file").path());
        let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
        let events = read(&report.join("events.jsonl"));
        Recorded {
            transcripts: paths.map(|path| (name(&path), read(&path))).collect(),
            events: events
                .lines()
                .filter(|line| line.starts_with(r#"{"type":"event""#))
                .map(str::to_owned)
                .collect(),
        }
    }
}

/// One line per file that differs, with the first line that does.
fn differences(first: &Recorded, second: &Recorded) -> Vec<String> {
    let mut found = Vec::new();
    let names: std::collections::BTreeSet<&String> =
        first.transcripts.keys().chain(second.transcripts.keys()).collect();
    for name in names {
        match (first.transcripts.get(name), second.transcripts.get(name)) {
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) => found.push(format!("{name}: {}", first_difference(a.lines(), b.lines()))),
            _ => found.push(format!("{name} is in one of them only")),
        }
    }
    if first.events != second.events {
        let lines = |recorded: &Recorded| recorded.events.clone();
        found.push(format!("events: {}", first_difference(lines(first), lines(second))));
    }
    found
}

fn first_difference<A: AsRef<str>>(a: impl IntoIterator<Item = A>, b: impl IntoIterator<Item = A>) -> String {
    let (mut a, mut b) = (a.into_iter(), b.into_iter());
    for number in 1_usize.. {
        match (a.next(), b.next()) {
            (None, None) => break,
            (a, b) => {
                let text = |line: &Option<A>| {
                    line.as_ref().map_or("(ends)".to_owned(), |line| line.as_ref().to_owned())
                };
                if text(&a) != text(&b) {
                    return format!("line {number}\n  - {}\n  + {}", text(&a), text(&b));
                }
            }
        }
    }
    "only in line ends".to_owned()
}

#[test]
fn the_comparison_finds_two_events_that_changed_places() {
    let lines = ["00:00:01 a", "00:00:02 b", "00:00:02 c"].map(str::to_owned);
    let one =
        Recorded { transcripts: [("x.txt".to_owned(), lines.join("\n"))].into(), events: lines.to_vec() };
    assert!(differences(&one, &one).is_empty());
    let mut other = one.clone();
    other.events.swap(1, 2);
    other.transcripts.insert("x.txt".to_owned(), other.events.join("\n"));
    let found = differences(&one, &other);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("x.txt: line 2\n  - 00:00:02 b\n  + 00:00:02 c"), "{found:?}");
    other.transcripts.insert("y.txt".to_owned(), String::new());
    assert!(differences(&one, &other).iter().any(|line| line.contains("y.txt is in one of them only")));
}

#[test]
fn a_run_with_a_crash_is_the_same_in_two_processes() {
    let file = "scenarios/chaos/crash-at-every-write-upgrade.yaml";
    let case = "upgradeMode=savepoint,crash=9-reply-lost";
    let play = || said(&drey(&root(), &["replay", file, "--case", case]).output().expect("drey starts")).out;
    let first = play();
    assert!(first.lines().count() > 20, "there is a transcript: {first}");
    assert_eq!(first, play());
}

/// Other seeds give other runs, or "the same for the same seed" would say nothing.
#[test]
fn another_seed_is_another_run() {
    let play = |seed: &str| {
        let output =
            drey(&root(), &["replay", "scenarios/upgrade/running-keeps-state.yaml", "--seed", seed]).output();
        // The head names the seed and differs anyway.
        let out = said(&output.expect("drey starts")).out;
        out.lines().filter(|line| !line.contains("seed")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(play("1").len() > 20, "there is a transcript");
    assert_ne!(play("1"), play("2"));
}

const CHILD: &str = "DREY_TEST_ORDER_OF_A_HASH_SET";

/// Chance planted on purpose: the order of a hash set, on a scenario's thread and on any other, in two processes. What
/// makes runs repeatable holds on the one and, as it must, not on the other.
#[test]
fn chance_is_the_same_in_every_process_on_a_scenario_thread_only() {
    if std::env::var_os(CHILD).is_some() {
        let order = || (0..64).collect::<HashSet<u32>>().into_iter().collect::<Vec<u32>>();
        let seeded = on_seeded_thread(1, "scenario", order).expect("the thread ends well");
        let free = std::thread::spawn(order).join().expect("the thread ends well");
        println!("\nseeded {seeded:?}\nfree {free:?}");
        return;
    }
    let in_a_process = || {
        let own = std::env::current_exe().expect("a test is a program");
        let name = "determinism::chance_is_the_same_in_every_process_on_a_scenario_thread_only";
        let output = Command::new(own).args(["--exact", name, "--nocapture"]).env(CHILD, "1").output();
        let out = String::from_utf8(output.expect("the test starts itself").stdout).expect("UTF-8");
        let line = |head: &str| {
            out.lines()
                .find(|line| line.starts_with(head))
                .unwrap_or_else(|| panic!("no `{head}` in {out}"))
                .to_owned()
        };
        (line("seeded"), line("free"))
    };
    let (first, second) = (in_a_process(), in_a_process());
    assert_eq!(first.0, second.0);
    assert_ne!(first.1, second.1, "64 numbers came in the same order twice by chance");
}
