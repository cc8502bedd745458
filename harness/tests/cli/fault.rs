//! `drey fault` against a running `drey play --control`: what the two processes say to each other and to the user.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};

use crate::drey::{Said, drey, run, said};

/// A world on a port, killed at the end.
struct Play {
    child: Child,
    kubeconfig: String,
    url: String,
    control: String,
}

impl Drop for Play {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn play(folder: &Path) -> Play {
    let kubeconfig = folder.join("kubeconfig").to_str().expect("a name").to_owned();
    let arguments = ["play", "--no-operator", "--control", "--kubeconfig", &kubeconfig];
    let mut child = drey(folder, &arguments).stdout(Stdio::piped()).spawn().expect("drey starts");
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    let mut greeting = String::new();
    while !greeting.contains("Ctrl-C ends it") {
        assert_ne!(out.read_line(&mut greeting).expect("a line"), 0, "{greeting}");
    }
    let word = |before: &str| {
        let rest = greeting.split_once(before).unwrap_or_else(|| panic!("{before} in {greeting}")).1;
        rest.split([' ', '\n']).next().unwrap_or("").trim_end_matches('.').to_owned()
    };
    let (url, control) = (word("listens on "), word("DREY_CONTROL="));
    // Nobody reads on: the pipe is large enough for what happens here.
    std::mem::forget(out);
    Play { child, kubeconfig, url, control }
}

/// `drey fault ..` as somebody with the world's kubeconfig runs it.
fn fault(folder: &Path, kubeconfig: &str, arguments: &[&str]) -> Said {
    let arguments = [&["fault"], arguments].concat();
    let mut command = drey(folder, &arguments);
    command.env_remove("DREY_CONTROL").env("KUBECONFIG", kubeconfig);
    said(&command.output().expect("drey ends"))
}

#[test]
fn faults_come_strike_and_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let play = play(folder);
    let fault = |arguments: &[&str]| fault(folder, &play.kubeconfig, arguments);
    assert!(play.url.starts_with("https://127.0.0.1:"));

    assert_eq!(fault(&["list"]).out, "no faults\n");
    let add = ["add", "--name", "down", "--path", "/version", "--status", "503", "--times", "2"];
    let added = fault(&add);
    assert_eq!(
        added.out,
        "added f1 down [active, struck 0 of 0] every request at \"/version\" -> status 503 ServiceUnavailable, 2 times at most\n",
        "{added:?}"
    );
    let shown = fault(&["list", "--json"]);
    assert!(shown.out.contains("\"hits\": 0"), "{shown:?}");
    let misspelt = fault(&["add", "--verb", "pacth", "--resource", "flinkdeployments", "--delay", "1s"]);
    assert_eq!(misspelt.code, 2, "{misspelt:?}");
    assert!(misspelt.err.contains("match.verbs: no verb is called \"pacth\""), "{misspelt:?}");
    assert!(misspelt.err.contains("did you mean `patch`?"), "{misspelt:?}");
    let none = fault(&["add", "--verb", "get"]);
    assert!(
        none.err.contains("verdict: expected exactly one of delay, status, drop, stale, watch"),
        "{none:?}"
    );
    let both = fault(&["add", "--delay", "1s", "--drop", "before"]);
    assert!(both.err.contains("expected exactly one of"), "{both:?}");
    std::fs::write(
        folder.join("fault.yaml"),
        "match: {resource: FlinkDeployment, verbs: write}\nverdict: {delay: 2s}\n",
    )
    .expect("written");
    let from_file = fault(&["add", "--file", "fault.yaml"]);
    assert!(from_file.out.contains("flinkdeployments -> 2s later"), "{from_file:?}");
    let clock = fault(&["clock", "--jump", "1h"]);
    assert!(clock.err.contains("the clock of this world cannot be moved"), "{clock:?}");
    let removed = fault(&["remove", "down"]);
    assert!(removed.out.starts_with("removed f1 down"), "{removed:?}");
    let again = fault(&["remove", "down"]);
    assert_eq!(again.code, 2, "{again:?}");
    assert!(again.err.contains("no fault is called \"down\""), "{again:?}");
    assert_eq!(fault(&["clear"]).out, "removed 1 faults\n");
}

/// The address can be told in three ways; the nearest to the command counts.
#[test]
fn the_endpoint_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let play = play(folder);
    let host = play.control.strip_prefix("http://").expect("plain HTTP");
    let listed = |command: &mut std::process::Command| said(&command.output().expect("drey ends")).out;
    let list = ["fault", "list"];
    assert_eq!(listed(drey(folder, &list).env("DREY_CONTROL", host)), "no faults\n");
    assert_eq!(listed(&mut drey(folder, &["fault", "list", "--control", &play.control])), "no faults\n");
    let empty = folder.join("other");
    std::fs::write(&empty, "apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers: []\n")
        .expect("written");
    let nowhere = fault(folder, empty.to_str().expect("a name"), &["list"]);
    assert_eq!(nowhere.code, 2);
    assert!(
        nowhere.err.contains("drey play --control") && nowhere.err.contains("DREY_CONTROL"),
        "{nowhere:?}"
    );
    let closed = run(folder, &["fault", "list", "--control", "http://127.0.0.1:9"]);
    assert_eq!(closed.code, 2);
    assert!(closed.err.contains("is the server that was started with --control still there?"), "{closed:?}");
    let other = TcpStream::connect(host).and_then(|mut s| {
        s.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let mut text = String::new();
        s.read_to_string(&mut text)?;
        Ok(text)
    });
    assert!(other.expect("an answer").contains("/v1/faults"));
}
