//! `fake-kube serve` as its users meet it: the binary, a kubeconfig, kubectl over TLS.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        // Already gone is fine: the test is over either way.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn serve(folder: &Path, args: &[&str]) -> Served {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fake-kube"))
        .args(["serve", "--time-scale", "5", "--kubeconfig"])
        .arg(folder.join("config"))
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    assert!(line.starts_with("ready https://127.0.0.1:"), "{line:?}");
    Served(child)
}

/// Output of one kubectl call; fails on a bad exit code.
pub fn kubectl(folder: &Path, args: &[&str]) -> String {
    let out = Command::new("kubectl")
        .env("KUBECONFIG", folder.join("config"))
        .env("HOME", folder)
        .arg("--request-timeout=20s")
        .args(args)
        .output()
        .expect("kubectl runs");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "kubectl {args:?}: {text}{}", String::from_utf8_lossy(&out.stderr));
    text
}

/// Without kubectl the tests with it are skipped, unless DREY_REQUIRE_KUBECTL=1.
pub fn is_installed() -> bool {
    let installed = Command::new("kubectl").args(["version", "--client"]).output().is_ok();
    if !installed {
        assert_ne!(std::env::var("DREY_REQUIRE_KUBECTL").as_deref(), Ok("1"), "kubectl is not installed");
        println!("skipped: no kubectl");
    }
    installed
}

/// A Deployment of one pod that says hello and stays.
pub const MANIFEST: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: c, image: "busybox:1", command: [sh, -c, "echo hello; sleep 3600"]}
"#;

#[test]
fn kubectl_works_against_the_binary() {
    if !is_installed() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let _served = serve(folder, &[]);
    let k = |args: &[&str]| kubectl(folder, args);
    let manifest = folder.join("web.yaml");
    std::fs::write(&manifest, MANIFEST).expect("written");
    let manifest = manifest.to_str().expect("a plain path");
    assert_eq!(k(&["apply", "-f", manifest]), "deployment.apps/web created\n");
    assert_eq!(k(&["apply", "-f", manifest]), "deployment.apps/web unchanged\n");
    assert_eq!(
        k(&["wait", "--for=condition=Available", "deploy/web", "--timeout=30s"]),
        "deployment.apps/web condition met\n"
    );
    assert!(k(&["rollout", "status", "deploy/web", "--timeout=30s"]).contains("successfully rolled out"));
    let pods = k(&["get", "pods", "-l", "app=web", "-o", "name"]);
    assert!(pods.starts_with("pod/web-"), "{pods}");
    assert_eq!(k(&["logs", "deploy/web"]), "hello\n");
    let described = k(&["describe", pods.trim()]);
    for word in ["Scheduled", "Pulling", "Pulled", "Created", "Started", "node-1", "ContainersReady"] {
        assert!(described.contains(word), "{word}: {described}");
    }
    let events = k(&["get", "events", "-o", "jsonpath={.items[*].reason}"]);
    assert!(events.contains("ScalingReplicaSet") && events.contains("SuccessfulCreate"), "{events}");
    assert_eq!(
        k(&["patch", "deploy", "web", "-p", r#"{"spec":{"replicas":2}}"#]),
        "deployment.apps/web patched\n"
    );
    k(&["wait", "--for=jsonpath={.status.readyReplicas}=2", "deploy/web", "--timeout=30s"]);
    assert!(k(&["explain", "deployment.spec.replicas"]).contains("replicas <integer>"));
    assert!(k(&["get", "nodes", "-o", "name"]).contains("node/node-1"));
    assert!(k(&["delete", "deploy", "web", "--cascade=foreground", "--timeout=60s"]).contains("deleted"));
    assert_eq!(k(&["get", "pods", "-l", "app=web", "-o", "name"]), "");
}
