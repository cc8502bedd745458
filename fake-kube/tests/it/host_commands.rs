//! Beside a container that is a process of this machine, as kubectl and the kubelet start it: commands in terminals, attached
//! clients, copies, probes and hooks by command.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::host::{Cluster, PODS, SHELL, state};

/// kubectl at a terminal of 120 by 40, with somebody who types: `script` makes the terminal.
struct Typist {
    child: Child,
    shown: Arc<Mutex<String>>,
}

impl Typist {
    fn at(cluster: &Cluster, words: &str) -> Typist {
        let kubectl = format!("stty cols 120 rows 40; kubectl --kubeconfig {} {words}", cluster.kubeconfig());
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &kubectl, "/dev/null"]);
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = script.spawn().expect("script runs");
        let shown = Arc::new(Mutex::new(String::new()));
        let (screen, mut output) = (shown.clone(), child.stdout.take().expect("its output"));
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut piece) {
                screen.lock().expect("shown").push_str(&String::from_utf8_lossy(&piece[..n]));
            }
        });
        Typist { child, shown }
    }

    fn sees(&self, part: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let shown = self.shown.lock().expect("shown").clone();
            if shown.contains(part) {
                return;
            }
            assert!(Instant::now() < deadline, "{part:?} in {shown:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn types(&mut self, text: &str) {
        let input = self.child.stdin.as_mut().expect("an input");
        input.write_all(text.as_bytes()).and_then(|()| input.flush()).expect("it is typed");
    }

    fn ends(mut self, code: i32) {
        assert_eq!(
            self.child.wait().expect("it ends").code(),
            Some(code),
            "{}",
            self.shown.lock().expect("shown")
        );
    }
}

fn has_terminals() -> bool {
    let is_there = Command::new("script").arg("--version").output().is_ok_and(|out| out.status.success());
    if !is_there {
        println!("skipped: no script (util-linux) to make terminals with");
    }
    is_there && crate::kubectl::is_installed()
}

fn kubectl(cluster: &Cluster, words: &[&str], typed: &str) -> (Option<i32>, String, String) {
    let mut kubectl = Command::new("kubectl");
    kubectl.args(["--kubeconfig", &cluster.kubeconfig()]).args(words);
    let child = kubectl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("kubectl runs");
    child.stdin.take().expect("an input").write_all(typed.as_bytes()).expect("it is typed");
    let out = child.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.code(), text(&out.stdout), text(&out.stderr))
}

fn running(cluster: &Cluster, name: &str, spec: Value) {
    cluster.run(name, spec);
    cluster.wait(name, "it runs", |pod| !state(pod)["running"].is_null());
}

#[test]
fn a_command_has_a_terminal_of_its_own() {
    if !has_terminals() {
        return;
    }
    let cluster = Cluster::start(&["--run", SHELL]);
    running(&cluster, "one", json!({"containers": [{"image": "tool:1", "args": ["exec sleep 1000"]}]}));
    std::fs::write(
        cluster.folder().join("script.sh"),
        "tty; echo $TERM; while [ \"$(stty size)\" != '40 120' ]; do sleep 0.05; done; echo sized\n\
         read word; echo got $word; trap 'echo caught; exit 9' INT; echo ready; sleep 1000 & wait\n",
    )
    .expect("a script");
    let script = cluster.folder().join("script.sh");
    let mut typist = Typist::at(&cluster, &format!("exec -it one -- sh {}", script.display()));
    for part in ["/dev/pts/", "xterm", "sized"] {
        typist.sees(part);
    }
    // The terminal shows what is typed, and what was deleted is not read.
    typist.types("hellp\u{7f}o\r");
    typist.sees("got hello");
    typist.sees("ready");
    typist.types("\u{3}");
    typist.sees("caught");
    typist.ends(9);
    // A shell at a terminal has jobs, and ends with Control-D.
    let mut typist = Typist::at(&cluster, "exec -it one -- sh");
    typist.types("echo in $((6 * 7))\r");
    typist.sees("in 42");
    typist.types("\u{4}");
    typist.ends(0);
    // Without a terminal there is none.
    let (code, out, _) = kubectl(&cluster, &["exec", "one", "--", "tty"], "");
    assert_eq!((code, out.as_str()), (Some(1), "not a tty\n"));
}

#[test]
fn clients_attach_themselves_to_what_runs() {
    if !has_terminals() {
        return;
    }
    let cluster = Cluster::start(&["--run", SHELL]);
    let script = "while read word; do echo you said $word; [ $word = end ] && exit 4; done";
    running(
        &cluster,
        "one",
        json!({"restartPolicy": "Never",
            "containers": [{"image": "tool:1", "args": [script], "stdin": true, "tty": true}]}),
    );
    let mut typist = Typist::at(&cluster, "attach -it one");
    typist.types("hello\r");
    typist.sees("you said hello");
    // Another client hears the same, and goes without ending anything.
    let mut second = Typist::at(&cluster, "attach one");
    second.types("");
    std::thread::sleep(Duration::from_millis(500));
    typist.types("again\r");
    typist.sees("you said again");
    second.child.kill().and_then(|()| second.child.wait()).expect("it goes");
    typist.types("end\r");
    typist.sees("you said end");
    let pod = cluster.wait("one", "it ends", |pod| !state(pod)["terminated"].is_null());
    assert_eq!(state(&pod)["terminated"]["exitCode"], 4);
    typist.child.wait().expect("its client ends with it");
    let log = cluster.log("one");
    assert!(log.lines().any(|line| line == "you said hello"), "{log:?}");

    // `kubectl run -i` attaches itself, and the end of its input is the end of the program's.
    let words = ["run", "two", "--image=tool:1", "-i", "--rm", "--restart=Never", "--quiet", "--", "sort"];
    let (code, out, err) = kubectl(&cluster, &words, "b\na\n");
    assert_eq!((code, out.as_str()), (Some(0), "a\nb\n"), "{err}");
}

#[test]
fn files_are_copied_in_and_out() {
    if !has_terminals() {
        return;
    }
    let cluster = Cluster::start(&["--run", SHELL]);
    running(
        &cluster,
        "one",
        json!({"containers": [{"image": "tool:1", "args": ["mkdir in; exec sleep 1000"]}]}),
    );
    let (mine, back) = (cluster.folder().join("mine.txt"), cluster.folder().join("back.txt"));
    std::fs::write(&mine, "x".repeat(300_000)).expect("a file");
    let (mine, back) = (mine.display().to_string(), back.display().to_string());
    for words in [["cp", &mine, "one:in/there.txt"], ["cp", "one:in/there.txt", &back]] {
        let (code, _, err) = kubectl(&cluster, &words, "");
        assert_eq!(code, Some(0), "{words:?}: {err}");
    }
    assert_eq!(std::fs::read_to_string(back).expect("a file").len(), 300_000);
}

fn events(cluster: &Cluster, name: &str) -> Vec<String> {
    let path = format!("/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3D{name}");
    let list: Value = serde_json::from_str(&cluster.send("GET", &path, &Value::Null).1).expect("a list");
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let word = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().replace('"', "");
    let text = |event: &Value| format!("{} {}", word(event, "reason"), word(event, "message"));
    items.iter().map(text).collect()
}

#[test]
fn probes_by_command_are_asked_beside_it() {
    let cluster = Cluster::start(&["--run", SHELL]);
    let by = |command: Value, timeout: i64| json!({"exec": {"command": command}, "periodSeconds": 1, "timeoutSeconds": timeout, "failureThreshold": 1});
    let script = "while [ ! -e asked ]; do sleep 0.05; done; touch ready; exec sleep 1000";
    let probe = by(json!(["sh", "-c", "touch asked; echo $WHO is late; [ -e ready ]"]), 20);
    let env = json!([{"name": "WHO", "value": "me"}]);
    cluster.run(
        "one",
        json!({"containers": [{"image": "tool:1", "args": [script], "env": env, "readinessProbe": probe}]}),
    );
    cluster.wait("one", "it is ready", |pod| pod["status"]["containerStatuses"][0]["ready"] == true);
    let told = events(&cluster, "one");
    let expected = "Unhealthy Readiness probe failed: me is late";
    assert!(told.iter().any(|event| event.starts_with(expected)), "{told:?}");
    // One that does not answer has failed, and so has one that is not there.
    for (name, command, expected) in [
        (
            "slow",
            json!(["sleep", "1000"]),
            "Liveness probe failed: command timed out: sleep 1000 timed out after 1s",
        ),
        ("none", json!(["no-such-program"]), "Liveness probe failed: start no-such-program: "),
    ] {
        let args = json!(["exec sleep 1000"]);
        cluster.run(
            name,
            json!({"containers": [{"image": "tool:1", "args": args, "livenessProbe": by(command, 1)}]}),
        );
        cluster.wait(name, "it is started again", |pod| {
            pod["status"]["containerStatuses"][0]["restartCount"].as_u64() >= Some(1)
        });
        let told = events(&cluster, name);
        assert!(told.iter().any(|event| event.contains(expected)), "{told:?}");
    }
}

#[test]
fn hooks_by_command_run_beside_it() {
    let cluster = Cluster::start(&["--run", SHELL]);
    let sign = cluster.folder().join("sign").display().to_string();
    let farewell = format!("echo $POD_NAME goes > {sign}");
    let script = "while [ ! -e begun ]; do sleep 0.05; done; echo seen; exec sleep 1000";
    let lifecycle = json!({"postStart": {"exec": {"command": ["touch", "begun"]}},
        "preStop": {"exec": {"command": ["sh", "-c", farewell]}}});
    running(
        &cluster,
        "one",
        json!({"containers": [{"image": "tool:1", "args": [script], "lifecycle": lifecycle}]}),
    );
    cluster.wait("one", "its hook was there", |_| cluster.log("one").contains("seen"));
    cluster.send("DELETE", &format!("{PODS}/one"), &Value::Null);
    cluster.wait("one", "it is gone", |pod| pod["kind"] == "Status");
    assert_eq!(std::fs::read_to_string(&sign).expect("its farewell"), "one goes\n");
    // One that fails takes the container with it.
    let lifecycle = json!({"postStart": {"exec": {"command": ["sh", "-c", "echo sorry; exit 3"]}}});
    cluster.run(
        "two",
        json!({"restartPolicy": "Never",
            "containers": [{"image": "tool:1", "args": ["exec sleep 1000"], "lifecycle": lifecycle}]}),
    );
    cluster.wait("two", "it fails", |pod| pod["status"]["phase"] == "Failed");
    let told = events(&cluster, "two");
    assert!(told.iter().any(|event| event.starts_with("FailedPostStartHook")), "{told:?}");
}
