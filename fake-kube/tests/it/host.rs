//! `fake-kube serve --run`: containers that are processes of this machine. The programs are lines of shell.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::served::{Served, refused};

/// A cluster with RBAC and the administrator's kubeconfig, spoken to with `curl`-like requests over TLS.
pub struct Cluster {
    served: Option<Served>,
    client: kube::Client,
    runtime: tokio::runtime::Runtime,
    folder: tempfile::TempDir,
}

impl Cluster {
    pub fn start(args: &[&str]) -> Cluster {
        let folder = tempfile::tempdir().expect("a folder");
        let kubeconfig = folder.path().join("kubeconfig");
        let file = kubeconfig.to_str().expect("a plain path");
        let common = ["--rbac", "--time-scale", "10", "--kubeconfig", file];
        let served = Served::start(&[&common[..], args].concat());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let client = runtime.block_on(async {
            let read = kube::config::Kubeconfig::read_from(&kubeconfig).expect("a kubeconfig");
            let config = kube::Config::from_custom_kubeconfig(read, &Default::default()).await;
            let mut config = config.expect("a configuration");
            // A 503 is an answer here.
            config.default_retry = false;
            kube::Client::try_from(config).expect("a client")
        });
        Cluster { served: Some(served), client, runtime, folder }
    }

    pub fn kubeconfig(&self) -> String {
        self.folder.path().join("kubeconfig").display().to_string()
    }

    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub fn send(&self, method: &str, path: &str, body: &Value) -> (u16, String) {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request =
            http::Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = request.body(kube::client::Body::from(body)).expect("a request");
        self.runtime.block_on(async {
            let answer = self.client.send(request).await.expect("an answer");
            let code = answer.status().as_u16();
            let bytes = answer.into_body().collect_bytes().await.expect("a body");
            (code, String::from_utf8_lossy(&bytes).into_owned())
        })
    }

    pub fn run(&self, name: &str, spec: Value) {
        let mut spec = spec;
        spec["containers"][0]["name"] = json!("main");
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
        let (code, said) = self.send("POST", PODS, &pod);
        assert_eq!(code, 201, "{said}");
    }

    pub fn pod(&self, name: &str) -> Value {
        serde_json::from_str(&self.send("GET", &format!("{PODS}/{name}"), &Value::Null).1).unwrap_or_default()
    }

    /// Empty as long as it has not begun.
    pub fn log(&self, name: &str) -> String {
        let (code, said) = self.send("GET", &format!("{PODS}/{name}/log"), &Value::Null);
        if code == 200 { said } else { String::new() }
    }

    /// Waits until the pod is as wanted.
    pub fn wait(&self, name: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let pod = self.pod(name);
            if is_so(&pod) {
                return pod;
            }
            assert!(Instant::now() < deadline, "{what}: {:#}\n{}", pod["status"], self.log(name));
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

pub const PODS: &str = "/api/v1/namespaces/default/pods";

pub fn state(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]["state"]
}

fn is_alive(pid: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    // What nobody has waited for is gone all the same.
    state.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn gone(pid: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while is_alive(pid) {
        assert!(Instant::now() < deadline, "process {pid} is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// `CONTAINER_ROOT` and what else a process has by itself is in the shell's own words.
pub const SHELL: &str = "tool:*=sh -c";

#[test]
fn a_process_finds_what_a_container_has() {
    let cluster = Cluster::start(&["--run", SHELL]);
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf"}, "data": {"a.txt": "hello"}});
    assert_eq!(cluster.send("POST", "/api/v1/namespaces/default/configmaps", &map).0, 201);
    let script = "cat $CONTAINER_ROOT/etc/conf/a.txt; echo; echo \"$WHO at $POD_IP as $POD_NAME in $POD_NAMESPACE of $CONTAINER_IMAGE\"; \
        echo words: $0 $1; wc -c < $CONTAINER_ROOT/var/run/secrets/kubernetes.io/serviceaccount/token; \
        cat $CONTAINER_ROOT/var/run/secrets/kubernetes.io/serviceaccount/namespace; echo; \
        echo clock $CLUSTER_CLOCK; echo api $KUBERNETES_SERVICE_HOST; echo oops >&2; exit 3";
    cluster.run(
        "one",
        json!({"restartPolicy": "Never",
        "volumes": [{"name": "conf", "configMap": {"name": "conf"}}],
        "containers": [{"image": "tool:1", "args": [script, "zero", "one $(WHO)"],
            "env": [{"name": "WHO", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            "volumeMounts": [{"name": "conf", "mountPath": "/etc/conf"}]}]}),
    );
    let pod = cluster.wait("one", "it ends", |pod| pod["status"]["phase"] == "Failed");
    assert_eq!(state(&pod)["terminated"]["exitCode"], 3);
    let (log, ip) = (cluster.log("one"), pod["status"]["podIP"].as_str().expect("an address"));
    assert!(ip.starts_with("127."), "{ip}");
    for line in [
        "hello",
        &format!("one at {ip} as one in default of tool:1"),
        "words: zero one one",
        "default",
        "clock 10,20",
        "api 127.0.0.1",
        "oops",
    ] {
        assert!(log.lines().any(|said| said.starts_with(line)), "{line} in:\n{log}");
    }
    let token: usize = log.lines().find_map(|line| line.trim().parse().ok()).expect("the size of the token");
    assert!(token > 100, "{log}");
    assert!(!log.contains("HOME="), "nothing else of who started the cluster");
}

#[test]
fn what_it_says_and_how_it_ends_is_the_containers() {
    let cluster = Cluster::start(&["--run", SHELL, "--run-max", "2"]);
    cluster.run("again", json!({"containers": [{"image": "tool:1", "args": ["echo try; exit 1"]}]}));
    let pod =
        cluster.wait("again", "it is held back", |pod| state(pod)["waiting"]["reason"] == "CrashLoopBackOff");
    assert!(pod["status"]["containerStatuses"][0]["restartCount"].as_u64() >= Some(1));
    assert!(cluster.log("again").contains("try"));
    // `$$$$` is `$$` once the kubelet has expanded variables. A process that does not heed SIGTERM is killed when its grace is over, and its children with it.
    let script = "trap 'echo asked' TERM; echo $$$$; sleep 1000 & echo $!; while :; do sleep 0.05; done";
    cluster.run(
        "deaf",
        json!({"terminationGracePeriodSeconds": 10, "containers": [{"image": "tool:1", "args": [script]}]}),
    );
    cluster.wait("deaf", "it runs", |_| cluster.log("deaf").lines().count() >= 2);
    let log = cluster.log("deaf");
    let pids: Vec<&str> = log.lines().collect();
    assert!(pids.iter().all(|pid| is_alive(pid)), "{pids:?}");
    // One runs; two more are one too many, and the third says so.
    cluster.run("two", json!({"containers": [{"image": "tool:1", "args": ["sleep 1000"]}]}));
    cluster.wait("two", "it runs", |pod| {
        pod["status"]["phase"] == "Running" && !state(pod)["running"].is_null()
    });
    cluster.run(
        "three",
        json!({"restartPolicy": "Never", "containers": [{"image": "tool:1", "args": ["true"]}]}),
    );
    let pod = cluster.wait("three", "it fails", |pod| pod["status"]["phase"] == "Failed");
    let why = &state(&pod)["terminated"];
    assert_eq!((&why["reason"], &why["exitCode"]), (&json!("StartError"), &json!(128)));
    assert!(why["message"].as_str().expect("why").contains("--run-max"), "{why}");

    cluster.send("DELETE", &format!("{PODS}/deaf"), &Value::Null);
    pids.iter().for_each(|pid| gone(pid));
    cluster.wait("deaf", "it is gone", |pod| pod["kind"] == "Status");
}

#[test]
fn commands_beside_a_process_find_what_it_has() {
    if !crate::kubectl::is_installed() {
        return;
    }
    let cluster = Cluster::start(&["--run", SHELL]);
    let script = "echo first run; [ -e /tmp/$POD_NAME-$POD_IP ] && echo again && exec sleep 1000; touch /tmp/$POD_NAME-$POD_IP; exit 1";
    let env = json!([{"name": "WHO", "value": "me"}]);
    cluster.run("one", json!({"containers": [{"image": "tool:1", "args": [script], "env": env}]}));
    cluster.wait("one", "it is started again", |pod| {
        pod["status"]["containerStatuses"][0]["restartCount"] == 1 && !state(pod)["running"].is_null()
    });
    // It has looked for the sign before that goes.
    cluster.wait("one", "it goes on", |_| cluster.log("one").contains("again"));
    let ip = cluster.pod("one")["status"]["podIP"].as_str().expect("an address").to_owned();
    std::fs::remove_file(format!("/tmp/one-{ip}")).expect("the sign of its first run");
    let exec = |flags: &[&str], typed: &str, command: &[&str]| {
        let mut kubectl = Command::new("kubectl");
        kubectl
            .args(["--kubeconfig", &cluster.kubeconfig(), "exec"])
            .args(flags)
            .arg("one")
            .arg("--")
            .args(command);
        let child = kubectl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("kubectl runs");
        child.stdin.take().expect("an input").write_all(typed.as_bytes()).expect("it is typed");
        let out = child.wait_with_output().expect("it ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (out.status.code().unwrap_or_default(), text(&out.stdout), text(&out.stderr))
    };
    let check = |flags: &[&str], typed: &str, command: &[&str], expected: (i32, &str), complaint: &str| {
        let (code, out, err) = exec(flags, typed, command);
        assert_eq!((code, out.as_str()), expected, "{command:?}: {err}");
        assert!(err.contains(complaint), "{command:?}: {err}");
    };
    check(
        &[],
        "",
        &["sh", "-c", "echo $WHO in $POD_NAME; [ $PWD = $CONTAINER_ROOT ]"],
        (0, "me in one\n"),
        "",
    );
    check(&[], "", &["sh", "-c", "echo out; echo oops >&2; exit 7"], (7, "out\n"), "oops");
    check(&["-i"], "b\na\n", &["sort"], (0, "a\nb\n"), "");
    check(&["-i"], "echo $((6 * 7)); exit 3\n", &["sh"], (3, "42\n"), "");
    check(&[], "", &["no-such-program"], (127, ""), "no-such-program");
    // What it says is passed on however much it is.
    let (code, out, _) = exec(&[], "", &["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"]);
    assert_eq!((code, out.len()), (0, 3_000_000));
    // One that goes on ends with its client.
    let mut kubectl = Command::new("kubectl");
    kubectl.args([
        "--kubeconfig",
        &cluster.kubeconfig(),
        "exec",
        "one",
        "--",
        "sh",
        "-c",
        "echo $$; exec sleep 1000",
    ]);
    let mut child = kubectl.stdout(Stdio::piped()).spawn().expect("kubectl runs");
    let mut pid = String::new();
    BufReader::new(child.stdout.take().expect("its output")).read_line(&mut pid).expect("it says something");
    assert!(is_alive(&pid), "{pid}");
    child.kill().and_then(|()| child.wait()).expect("it goes");
    gone(&pid);
    // What its first run said.
    let previous = cluster.send("GET", &format!("{PODS}/one/log?previous=true"), &Value::Null);
    assert_eq!(previous, (200, "first run\n".to_owned()));
}

/// A server of one file, in a line of shell and Python, which every machine with this repository has.
fn python() -> bool {
    let is_there = Command::new("python3").arg("--version").output().is_ok();
    if !is_there {
        println!("skipped: no python3 that could serve HTTP");
    }
    is_there
}

#[test]
fn its_port_is_reached_through_the_api_server_and_by_probes() {
    if !python() {
        return;
    }
    let cluster = Cluster::start(&["--run", SHELL]);
    let script = "echo found > index.html; exec python3 -m http.server --bind $POD_IP 8080";
    let probe = |path: &str| json!({"httpGet": {"path": path, "port": 8080}, "periodSeconds": 1, "timeoutSeconds": 20});
    for (name, path) in [("good", "/"), ("bad", "/missing")] {
        cluster.run(
            name,
            json!({"containers": [{"image": "tool:1", "args": [script], "readinessProbe": probe(path),
            "ports": [{"containerPort": 8080}]}]}),
        );
    }
    let is_ready = |pod: &Value| pod["status"]["containerStatuses"][0]["ready"] == true;
    cluster.wait("good", "it is ready", is_ready);
    let (code, page) = cluster.send("GET", &format!("{PODS}/good:8080/proxy/"), &Value::Null);
    assert_eq!((code, page.trim()), (200, "found"));
    let (code, why) = cluster.send("GET", &format!("{PODS}/good:81/proxy/"), &Value::Null);
    assert!(code == 503 && why.contains("connection refused"), "{code} {why}");
    cluster.wait("bad", "it is asked", |_| cluster.log("bad").contains("404"));
    assert!(!is_ready(&cluster.pod("bad")));
}

#[test]
fn nothing_outlives_the_cluster() {
    for signal in ["TERM", "INT", "KILL"] {
        let mut cluster = Cluster::start(&["--run", SHELL]);
        cluster
            .run("one", json!({"containers": [{"image": "tool:1", "args": ["echo $$$$; exec sleep 1000"]}]}));
        cluster.wait("one", "it runs", |_| !cluster.log("one").trim().is_empty());
        let pid = cluster.log("one");
        assert!(is_alive(&pid), "{pid}");
        let served = cluster.served.take().expect("it runs");
        assert!(served.signal(signal));
        gone(&pid);
        drop(served);
    }
}

#[test]
fn mistakes_are_told() {
    let check = |args: &[&str], part: &str| {
        let said = refused(args);
        assert!(said.contains(part), "{args:?}: {said}");
    };
    check(&["--run", "flink"], "IMAGE=COMMAND");
    check(&["--run", "a=b", "--http"], "over TLS");
    check(&["--run-max", "3"], "--run");
}
