//! What kubectl 1.32 does beyond the first steps of `kubectl`: protobuf bodies, rights, streams, editors, roll-backs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::kubectl::{MANIFEST, Served, is_installed, kubectl, serve};

const POD: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data: {k: "value\n"}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers:
  - name: c
    image: busybox:1
    command: [nginx]
    env: [{name: COLOUR, value: blue}]
    ports: [{containerPort: 8080}]
    volumeMounts: [{name: v, mountPath: /etc/conf}]
  volumes: [{name: v, configMap: {name: conf}}]
---
apiVersion: v1
kind: Pod
metadata: {name: talker}
spec:
  restartPolicy: Never
  containers:
  - {name: c, image: "busybox:1", command: [sh, -c, "echo one; sleep 15; echo two; sleep 15; echo three"]}
"#;

/// Exit code, output and errors of one call, with something to read.
fn outcome(folder: &Path, args: &[&str], input: &str) -> (i32, String, String) {
    ended(&mut command(folder, args), input)
}

fn ended(command: &mut Command, input: &str) -> (i32, String, String) {
    let mut child = command.stdin(Stdio::piped()).spawn().expect("kubectl runs");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("written");
    let out = child.wait_with_output().expect("it ends");
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    (out.status.code().unwrap_or(-1), text(&out.stdout), text(&out.stderr))
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("kubectl");
    command.env("KUBECONFIG", folder.join("config")).env("HOME", folder).args(args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A kubectl that goes on until it is dropped. It is killed by its own output when nobody reads that.
struct Running(Child, #[expect(dead_code, reason = "kept open")] BufReader<ChildStdout>);

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone is fine: the test is over either way.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts one and takes the port out of its first line: `.. 127.0.0.1:PORT ..`.
fn listening(folder: &Path, args: &[&str]) -> (Running, u16) {
    let mut child = command(folder, args).spawn().expect("kubectl runs");
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    output.read_line(&mut line).expect("a line");
    let rest = line.split("127.0.0.1:").nth(1).unwrap_or_default();
    let port = rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse();
    let port = port.unwrap_or_else(|_| {
        let mut why = String::new();
        child.stderr.take().map(|mut e| e.read_to_string(&mut why));
        panic!("{args:?} says {line:?} {why}")
    });
    (Running(child, output), port)
}

fn http_get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer
}

/// A folder with a kubeconfig, and the server behind it; None without kubectl.
fn world(args: &[&str]) -> Option<(tempfile::TempDir, Served)> {
    if !is_installed() {
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let served = serve(folder.path(), args);
    Some((folder, served))
}

#[test]
fn objects_and_rights_in_protobuf() {
    let Some((folder, _served)) = world(&["--rbac"]) else { return };
    let folder = folder.path();
    let k = |args: &[&str]| kubectl(folder, args);
    assert_eq!(k(&["create", "namespace", "team"]), "namespace/team created\n");
    assert_eq!(k(&["create", "configmap", "c", "--from-literal=a=1"]), "configmap/c created\n");
    assert_eq!(k(&["get", "configmap", "c", "-o", "jsonpath={.data}"]), r#"{"a":"1"}"#);
    assert_eq!(k(&["create", "secret", "generic", "s", "--from-literal=p=x"]), "secret/s created\n");
    assert_eq!(k(&["create", "serviceaccount", "robot"]), "serviceaccount/robot created\n");
    assert_eq!(k(&["create", "quota", "q", "--hard=pods=9"]), "resourcequota/q created\n");
    k(&["create", "job", "j", "--image=busybox:1", "--", "true"]);
    k(&["create", "ingress", "i", "--rule=a.b/*=svc:80"]);
    k(&["create", "deployment", "d", "--image=busybox:1", "--replicas=2"]);
    assert_eq!(k(&["get", "deployment", "d", "-o", "jsonpath={.spec.replicas}"]), "2");
    let binding = ["create", "rolebinding", "r", "--clusterrole=view", "--serviceaccount=default:robot"];
    assert_eq!(k(&binding), "rolebinding.rbac.authorization.k8s.io/r created\n");
    let robot = "--as=system:serviceaccount:default:robot";
    assert_eq!(k(&["auth", "can-i", "list", "pods", robot]), "yes\n");
    let (code, no, _) = outcome(folder, &["auth", "can-i", "delete", "pods", robot], "");
    assert_eq!((code, no.as_str()), (1, "no\n"));
    let listed = k(&["auth", "can-i", "--list", robot]);
    assert!(listed.contains("configmaps") && listed.contains("[get list watch]"), "{listed}");
    assert!(k(&["auth", "whoami"]).contains("kubernetes-admin"));
    let token = k(&["create", "token", "robot", "--duration=10m"]);
    assert_eq!(token.trim().split('.').count(), 3, "{token}");
    // The token is of use.
    let (_, who, why) = outcome(folder, &["auth", "whoami", "--token", token.trim()], "");
    assert!(who.contains("kubernetes-admin") || who.contains("robot"), "{who}{why}");
    let (code, _, why) = outcome(folder, &["delete", "configmap", "c", robot], "");
    assert_eq!(code, 1);
    assert!(why.contains("forbidden"), "{why}");
}

#[test]
fn streams() {
    let Some((folder, _served)) = world(&[]) else { return };
    let folder = folder.path();
    let k = |args: &[&str]| kubectl(folder, args);
    let run = |args: &[&str], input: &str| outcome(folder, args, input);
    let manifest = folder.join("pod.yaml");
    std::fs::write(&manifest, POD).expect("written");
    k(&["apply", "-f", manifest.to_str().expect("a plain path")]);
    k(&["wait", "--for=condition=Ready", "pod/web", "pod/talker", "--timeout=30s"]);

    // Follows until the container ends.
    let started = Instant::now();
    assert_eq!(run(&["logs", "-f", "talker"], "").1, "one\ntwo\nthree\n");
    assert!(started.elapsed() > Duration::from_secs(2), "it waited for what came");
    assert_eq!(k(&["logs", "talker", "--tail=1"]), "three\n");
    let stamped = k(&["logs", "talker", "--timestamps", "--tail=1"]);
    assert!(stamped.ends_with("Z three\n"), "{stamped}");
    assert_eq!(k(&["logs", "talker", "--limit-bytes=5"]), "one\nt");
    assert_eq!(k(&["logs", "talker", "--since=1m"]).lines().last(), Some("three"));
    assert_eq!(k(&["logs", "talker", "--since-time=2001-01-01T00:00:00Z"]), "one\ntwo\nthree\n");
    let (code, _, why) = run(&["logs", "-p", "talker"], "");
    assert_eq!(code, 1);
    assert!(why.contains("previous terminated container \"c\" in pod \"talker\" not found"), "{why}");

    assert_eq!(run(&["exec", "web", "--", "echo", "hi"], ""), (0, "hi\n".into(), String::new()));
    assert_eq!(run(&["exec", "web", "--", "cat", "/etc/conf/k"], "").1, "value\n");
    assert_eq!(run(&["exec", "web", "--", "hostname"], "").1, "web\n");
    assert!(run(&["exec", "web", "--", "env"], "").1.contains("COLOUR=blue\n"));
    assert_eq!(run(&["exec", "-i", "web", "--", "cat"], "what is typed\n").1, "what is typed\n");
    assert_eq!(run(&["exec", "-i", "web", "--", "sh"], "echo $COLOUR\nls /etc\n").1, "blue\nconf\n");
    let (code, _, why) = run(&["exec", "web", "--", "sh", "-c", "echo bad >&2 || exit 3"], "");
    assert_ne!(code, 0, "{why}");
    let (code, _, why) = run(&["exec", "web", "--", "sh", "-c", "exit 3"], "");
    assert_eq!((code, why.contains("command terminated with exit code 3")), (3, true), "{why}");
    let (code, _, why) = run(&["exec", "web", "--", "nope"], "");
    assert_eq!(code, 127, "{why}");
    assert!(why.contains("exec: \"nope\": executable file not found in $PATH: unknown"), "{why}");
    let (code, _, why) = run(&["exec", "web", "-c", "x", "--", "true"], "");
    assert_eq!((code, why.contains("container x is not valid for pod web")), (1, true), "{why}");
    let (code, _, why) = run(&["exec", "talker", "--", "true"], "");
    assert_eq!((code, why.contains("cannot exec into a container in a completed pod")), (1, true), "{why}");

    // As kubectl before 1.31 and programs in Go do.
    let spdy = |args: &[&str], input: &str| {
        ended(command(folder, args).env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false"), input)
    };
    assert_eq!(spdy(&["exec", "web", "--", "echo", "hi"], ""), (0, "hi\n".into(), String::new()));
    assert_eq!(spdy(&["exec", "-i", "web", "--", "cat"], "what is typed\n").1, "what is typed\n");
    assert_eq!(spdy(&["exec", "-i", "web", "--", "sh"], "echo $COLOUR\nls /etc\n").1, "blue\nconf\n");
    let (code, _, why) = spdy(&["exec", "web", "--", "sh", "-c", "exit 3"], "");
    assert_eq!((code, why.contains("command terminated with exit code 3")), (3, true), "{why}");
    let (code, _, why) = spdy(&["exec", "web", "--", "nope"], "");
    assert_eq!(code, 127, "{why}");

    let (_forward, port) = listening(folder, &["port-forward", "pod/web", ":8080"]);
    for _ in 0..3 {
        let answer = http_get(port, "/");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"), "{answer}");
    }
    let (_proxy, port) = listening(folder, &["proxy", "--port=0"]);
    assert!(http_get(port, "/api/v1/namespaces/default/pods/web").contains("\"name\":\"web\""));
}

#[test]
fn changes_and_roll_backs() {
    let Some((folder, _served)) = world(&[]) else { return };
    let folder = folder.path();
    let k = |args: &[&str]| kubectl(folder, args);
    let manifest = folder.join("web.yaml");
    std::fs::write(&manifest, MANIFEST).expect("written");
    let file = manifest.to_str().expect("a plain path");
    assert_eq!(k(&["apply", "--server-side", "-f", file]), "deployment.apps/web serverside-applied\n");
    assert_eq!(outcome(folder, &["diff", "-f", file], "").0, 0);
    k(&["rollout", "status", "deploy/web", "--timeout=30s"]);
    std::fs::write(&manifest, MANIFEST.replace("busybox:1", "busybox:2")).expect("written");
    let (code, diff, _) = outcome(folder, &["diff", "--server-side", "-f", file], "");
    assert_eq!(code, 1);
    assert!(diff.contains("-      - command:") || diff.contains("busybox:2"), "{diff}");
    k(&["apply", "--server-side", "-f", file]);
    k(&["rollout", "status", "deploy/web", "--timeout=30s"]);
    let history = k(&["rollout", "history", "deploy/web"]);
    assert_eq!(
        history.lines().filter(|l| l.starts_with(|c: char| c.is_ascii_digit())).count(),
        2,
        "{history}"
    );
    assert_eq!(k(&["rollout", "undo", "deploy/web"]), "deployment.apps/web rolled back\n");
    let image = "jsonpath={.spec.template.spec.containers[0].image}";
    assert_eq!(k(&["get", "deploy", "web", "-o", image]), "busybox:1");
    k(&["rollout", "status", "deploy/web", "--timeout=30s"]);

    let edited = command(folder, &["edit", "deploy/web"])
        .env("KUBE_EDITOR", "sed -i 's/replicas: 1/replicas: 2/'")
        .output()
        .expect("kubectl runs");
    assert_eq!(String::from_utf8_lossy(&edited.stdout), "deployment.apps/web edited\n");
    k(&["wait", "--for=jsonpath={.status.readyReplicas}=2", "deploy/web", "--timeout=30s"]);
    k(&["scale", "deploy/web", "--replicas=1"]);
    k(&["set", "image", "deploy/web", "c=busybox:3"]);
    k(&["rollout", "restart", "deploy/web"]);
    k(&["label", "deploy/web", "tier=front"]);
    k(&["annotate", "deploy/web", "note=x"]);
    assert!(k(&["events"]).contains("ScalingReplicaSet"));
    assert!(k(&["api-resources"]).contains("deployments"));
    assert!(k(&["api-versions"]).contains("apps/v1\n"));
    assert!(k(&["explain", "pods", "--recursive"]).contains("terminationGracePeriodSeconds"));
    assert!(k(&["get", "all"]).contains("deployment.apps/web"));
    let (code, _, why) = outcome(folder, &["top", "pods"], "");
    assert_eq!((code, why.as_str()), (1, "error: Metrics API not available\n"));
    let drained = k(&["drain", "node-1", "--ignore-daemonsets", "--force", "--timeout=60s"]);
    assert!(drained.contains("node/node-1 drained"), "{drained}");
    assert!(k(&["get", "node", "node-1"]).contains("SchedulingDisabled"));
    assert_eq!(k(&["uncordon", "node-1"]), "node/node-1 uncordoned\n");
}
