//! `drey play` as its users meet it: the command, a kubeconfig, the real kubectl. With `DREY_BLESS=1` the session's
//! transcript is written into docs/playground.md.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::support::{Play, drey, has_kubectl, kubectl, repository, text};

/// A session that keeps what was typed and what was answered.
struct Session {
    play: Play,
    transcript: String,
}

impl Session {
    /// One command; fails unless kubectl succeeds. Words with blanks are quoted in the transcript.
    fn run(&mut self, args: &[&str]) -> String {
        let out = kubectl(&self.play.kubeconfig, args);
        let (said, warned) = (text(&out.stdout), text(&out.stderr));
        assert!(out.status.success(), "kubectl {args:?}: {said}{warned}");
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,".contains(c);
        let shown = args.iter().map(|arg| match arg.chars().all(plain) {
            true => (*arg).to_owned(),
            false => format!("'{arg}'"),
        });
        self.transcript
            .push_str(&format!("$ kubectl {}\n{said}{warned}\n", shown.collect::<Vec<_>>().join(" ")));
        said
    }

    fn wait(&mut self, path: &str, value: &str) {
        let condition = format!("--for=jsonpath={{{path}}}={value}");
        self.run(&["wait", "flinkdeployment/basic-example", &condition, "--timeout=60s"]);
    }
}

#[test]
fn a_session_with_kubectl() {
    if !has_kubectl() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let play = Play::start(folder.path(), &["--empty", "--time-scale", "10", "--quiet"]);
    let mut s = Session { play, transcript: String::new() };

    let applied = s.run(&["apply", "-f", "scenarios/manifests/basic-example.yaml"]);
    assert_eq!(applied, "flinkdeployment.flink.apache.org/basic-example created\n");
    s.wait(".status.lifecycleState", "STABLE");
    let listed = s.run(&["get", "flinkdeployments,deployments,services,pods"]);
    for word in ["basic-example", "RUNNING", "STABLE", "service/basic-example-rest", "1/1", "taskmanager-1-1"]
    {
        assert!(listed.contains(word), "{word}: {listed}");
    }
    let logs = s.run(&["logs", "deployment/basic-example", "--tail=5"]);
    assert!(!logs.trim().is_empty(), "the JobManager says something");

    let patch = r#"{"spec":{"job":{"parallelism":4}}}"#;
    assert!(
        s.run(&["patch", "flinkdeployment", "basic-example", "--type=merge", "-p", patch])
            .contains("patched")
    );
    s.wait(".status.observedGeneration", "2");
    s.wait(".status.lifecycleState", "STABLE");
    let spec = kubectl(
        &s.play.kubeconfig,
        &["get", "deployment", "basic-example", "-o", "jsonpath={.metadata.generation}"],
    );
    assert!(spec.status.success(), "the JobManager's Deployment is there: {}", text(&spec.stderr));

    let old = s.run(&["get", "pods", "-l", "component=jobmanager", "-o", "name"]);
    s.run(&["delete", "pod", "-l", "component=jobmanager"]);
    s.run(&["rollout", "status", "deployment/basic-example", "--timeout=60s"]);
    s.wait(".status.jobStatus.state", "RUNNING");
    let new = s.run(&["get", "pods", "-l", "component=jobmanager", "-o", "name"]);
    assert!(new.starts_with("pod/") && new != old, "another pod took over: {old} {new}");

    let described = s.run(&["describe", "flinkdeployment", "basic-example"]);
    for word in
        ["Lifecycle State", "Job Manager Deployment Status", "Last Reconciled Spec", "Submit", "SpecChanged"]
    {
        assert!(described.contains(word), "{word}: {described}");
    }
    let events = s.run(&["get", "events", "--field-selector", "involvedObject.kind=FlinkDeployment"]);
    assert!(events.contains("SpecChanged"), "{events}");
    s.run(&["delete", "flinkdeployment", "basic-example", "--timeout=60s"]);
    let left = s.run(&["get", "flinkdeployments,deployments,pods"]);
    assert_eq!(left, "", "everything went with it");

    let (kubeconfig, transcript) = (s.play.kubeconfig.clone(), s.transcript.clone());
    let (code, rest) = s.play.interrupt();
    assert_eq!((code, rest.contains("closed;")), (Some(0), true), "{rest}");
    assert!(!kubeconfig.exists(), "the kubeconfig is removed");
    document(&transcript);
}

const BEGIN: &str =
    "<!-- session: begin, written by the test `a_session_with_kubectl` with DREY_BLESS=1 -->\n";
const END: &str = "<!-- session: end -->";

/// Times and generated names differ between runs, so the page is written when asked and not compared.
fn document(transcript: &str) {
    let page = repository("docs/playground.md");
    let old = std::fs::read_to_string(&page).expect("docs/playground.md is there");
    let (before, rest) = old.split_once(BEGIN).expect("the page has the mark of the beginning");
    let (session, after) = rest.split_once(END).expect("the page has the mark of the end");
    assert!(session.contains("$ kubectl apply"), "the page shows a session");
    if std::env::var_os("DREY_BLESS").is_some() {
        let new = format!("{before}{BEGIN}\n```console\n{}\n```\n\n{END}{after}", transcript.trim_end());
        std::fs::write(&page, new).expect("written");
    }
}

#[test]
fn a_scenario_stands_still_before_a_step() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = repository("scenarios/upgrade/running-keeps-state.yaml");
    let scenario = scenario.to_str().expect("a plain path");
    let mut play =
        Play::start(folder.path(), &[scenario, "--pause-at", "patch", "--time-scale", "60", "--quiet"]);
    let line = play.wait_for("stands before step");
    assert!(line.contains("patch"), "{line}");
    if has_kubectl() {
        let state = [
            "get",
            "flinkdeployment",
            "app",
            "-o",
            "jsonpath={.status.lifecycleState} {.metadata.generation}",
        ];
        assert_eq!(text(&kubectl(&play.kubeconfig, &state).stdout), "STABLE 1");
    }
    let (code, _) = play.interrupt();
    assert_eq!(code, Some(0));
}

/// A command of `drey` that must succeed, with the kubeconfig of a world.
fn drey_with(kubeconfig: &Path, args: &[&str]) -> String {
    let out = drey().args(args).env("KUBECONFIG", kubeconfig).output().expect("drey runs");
    assert!(out.status.success(), "drey {args:?}: {}{}", text(&out.stdout), text(&out.stderr));
    text(&out.stdout)
}

#[test]
fn what_is_done_by_hand_is_saved_and_replays_in_virtual_time() {
    if !has_kubectl() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("session.yaml");
    let saved = file.to_str().expect("a plain path");
    let play = Play::start(
        folder.path(),
        &["--quiet", "--time-scale", "20", "--control", "--no-page", "--save", saved],
    );
    let mut s = Session { play, transcript: String::new() };
    let wait = |s: &mut Session, name: &str, path: &str, value: &str| {
        let (of, until) = (format!("flinkdeployment/{name}"), format!("--for=jsonpath={{{path}}}={value}"));
        s.run(&["wait", &of, &until, "--timeout=60s"]);
    };
    for name in ["orders", "payments", "clicks"] {
        wait(&mut s, name, ".status.lifecycleState", "STABLE");
    }
    let patch = r#"{"spec":{"job":{"parallelism":3}}}"#;
    s.run(&["patch", "flinkdeployment", "orders", "--type=merge", "-p", patch]);
    wait(&mut s, "orders", ".status.observedGeneration", "2");
    wait(&mut s, "orders", ".status.lifecycleState", "STABLE");
    let fault = [
        "fault",
        "add",
        "--verb",
        "patch",
        "--resource",
        "flinkdeployments/status",
        "--status",
        "409",
        "--times",
        "2",
    ];
    drey_with(&s.play.kubeconfig, &fault);
    s.run(&["delete", "pod", "-l", "app=clicks,component=jobmanager"]);
    s.run(&["rollout", "status", "deployment/clicks", "--timeout=60s"]);
    wait(&mut s, "clicks", ".status.jobStatus.state", "RUNNING");
    s.run(&["apply", "-f", "scenarios/manifests/basic-example.yaml"]);
    s.run(&["delete", "flinkdeployment", "payments", "--timeout=60s"]);
    wait(&mut s, "basic-example", ".status.lifecycleState", "STABLE");
    let (code, rest) = s.play.interrupt();
    assert_eq!((code, rest.contains("saved;")), (Some(0), true), "{rest}");

    let text = std::fs::read_to_string(&file).expect("it is saved");
    for word in [
        "parallelism: 3",
        "code: 409",
        "do: delete",
        "name: basic-example",
        "FlinkDeployment/payments",
        "absent:",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!text.contains("Not in here"), "{text}");
    let again = || drey().args(["run", saved, "--seed", "1"]).output().expect("drey runs");
    let (first, said) =
        (again(), |out: &std::process::Output| String::from_utf8_lossy(&out.stdout).into_owned());
    assert!(first.status.success(), "a session needs no golden: {}\n{text}", said(&first));
    let golden = std::path::Path::new(saved).with_extension("golden.txt");
    std::fs::write(&golden, "something else\n").expect("written");
    assert_eq!(again().status.code(), Some(1), "one that is there is compared");
    std::fs::remove_file(&golden).expect("removed");
    // A file that is there already is somebody's.
    check_refusal(&["--save", saved], &[saved, "exists already", "next:"]);
}

/// A page over a cluster, ended with the test.
struct Shown(Child, String);

impl Drop for Shown {
    fn drop(&mut self) {
        // Already gone is fine: the test is over either way.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Shown {
    /// What the page's server answers; a stream is read up to a part of it.
    fn ask(&self, request: &str, part: &str) -> String {
        let mut stream = TcpStream::connect(&self.1).expect("the page's server");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
        stream.write_all(request.replace("HOST", &self.1).as_bytes()).expect("sent");
        let mut seen = String::new();
        for line in BufReader::new(stream).lines() {
            seen.push_str(&line.expect("text"));
            seen.push('\n');
            if seen.contains(part) {
                return seen;
            }
        }
        panic!("no {part:?} in: {seen}");
    }

    fn post(&self, path: &str, body: &str, part: &str) -> String {
        let page = self.ask("GET / HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\r\n", "name=\"token\"");
        let token = page.split("name=\"token\" content=\"").nth(1).and_then(|rest| rest.split('"').next());
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: HOST\r\norigin: http://HOST\r\nx-drey-token: {}\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            token.expect("a token"),
            body.len()
        );
        self.ask(&request, part)
    }
}

/// The cluster is another process here; to the page it is any cluster.
#[test]
fn the_page_over_a_cluster_shows_what_can_be_seen_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Play::start(folder.path(), &["--quiet", "--time-scale", "10", "--no-page"]);
    let mut child = drey()
        .args(["play", &format!("--cluster={}", cluster.kubeconfig.display())])
        .stdout(Stdio::piped())
        .spawn()
        .expect("drey starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let url = lines.find_map(|line| {
        let line = line.expect("text");
        line.split_once("http://").map(|(_, url)| url.trim_end_matches('/').to_owned())
    });
    let page = Shown(child, url.expect("an address"));
    const STREAM: &str = "GET /v1/stream HTTP/1.1\r\nhost: HOST\r\n\r\n";
    for name in ["orders", "payments", "clicks"] {
        let is = format!("\"name\":\"{name}\",\"ref\":\"default/{name}\"");
        page.ask(STREAM, &is);
    }
    page.ask(STREAM, "\"state\":\"STABLE\"");
    page.ask(STREAM, "\"kind\":\"Pod\"");
    page.post("/v1/clock", "{\"do\":\"pause\"}", "its time runs as it does");
    page.post("/v1/steps", "crashOperator: {}", "a real cluster cannot be made to do this");
    let delete = "pod: {select: {labels: {app: clicks, component: jobmanager}}, do: delete}";
    page.post("/v1/steps", delete, "\"done\"");
    page.ask(STREAM, "\"gone\":true");
    let patch = "patch: {of: 'default:FlinkDeployment/orders', merge: {spec: {restartNonce: 7}}}";
    page.post("/v1/steps", patch, "\"done\"");
    page.ask(STREAM, "\"nonce\":7");
    let refused = drey().args(["play", "--cluster=nowhere.yaml"]).output().expect("drey runs");
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("nowhere.yaml"), "{}", text(&refused.stderr));
}

/// What `drey play` says when it cannot start: exit code 2 and these words.
fn check_refusal(args: &[&str], words: &[&str]) {
    let out = drey().arg("play").args(args).output().expect("drey runs");
    let said = text(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{args:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{args:?}: {word:?} is not in: {said}");
    }
}

#[test]
fn refusals_say_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let kubeconfig = folder.path().join("mine");
    let kubeconfig = kubeconfig.to_str().expect("a plain path");
    check_refusal(
        &["--listen", &address, "--kubeconfig", kubeconfig],
        &[&address, "in use", "next:", "127.0.0.1:0"],
    );
    assert!(!std::path::Path::new(kubeconfig).exists(), "nothing is left behind");
    check_refusal(&["--listen", "0.0.0.0:0", "--kubeconfig", kubeconfig], &["0.0.0.0:0", "loopback"]);
    std::fs::write(kubeconfig, "mine").expect("written");
    check_refusal(&["--kubeconfig", kubeconfig], &[kubeconfig, "exists already", "next:"]);
    assert_eq!(std::fs::read_to_string(kubeconfig).expect("read"), "mine", "it is not touched");
    check_refusal(&["--time-scale", "0"], &["--time-scale", "positive"]);
    check_refusal(&["nowhere.yaml"], &["nowhere.yaml", "no such file"]);
    let scenario = repository("scenarios/upgrade/running-keeps-state.yaml");
    let scenario = scenario.to_str().expect("a plain path");
    check_refusal(&[scenario, "--pause-at", "patsch"], &["patsch", "its steps are", "patch"]);
    check_refusal(&[scenario, "--pause-at", "99"], &["99", "its steps are"]);
}
