//! The page over a cluster that others run, in a headless Chromium: `fake-kube serve` is a process, Flink's containers are
//! processes that it starts, the operator is one more, and the page knows them by a kubeconfig alone. `make test-playground`
//! runs it, with the programs beside `DREY_PLAYGROUND`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::browser::{Browser, Play, STATES, chromium};

/// Ended with the test.
struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> Process {
        Process(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // What it has started itself ends with it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const DEPLOYMENT: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: flink, namespace: default}
---
apiVersion: flink.apache.org/v1beta1
kind: FlinkDeployment
metadata: {name: orders, namespace: default}
spec:
  image: flink:1.20
  flinkVersion: v1_20
  serviceAccount: flink
  flinkConfiguration:
    taskmanager.numberOfTaskSlots: '2'
    high-availability.type: kubernetes
    high-availability.storageDir: s3://flink/ha
    execution.checkpointing.interval: 10 s
    execution.checkpointing.dir: s3://flink/checkpoints
    execution.checkpointing.savepoint-dir: s3://flink/savepoints
  jobManager: {resource: {memory: 1g, cpu: 0.5}}
  taskManager: {resource: {memory: 1g, cpu: 0.5}}
  job: {jarURI: 'local:///opt/flink/examples/streaming/StateMachineExample.jar', parallelism: 2, upgradeMode: last-state, state: running}
";

fn kubectl(kubeconfig: &Path, args: &[&str]) {
    let out = Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .args(args)
        .output()
        .expect("kubectl runs");
    assert!(out.status.success(), "kubectl {args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn a_page_over_a_cluster_in_a_browser() {
    let (Some(drey), Some(chromium)) = (std::env::var_os("DREY_PLAYGROUND"), chromium()) else {
        println!("skipped: no Chromium, or no DREY_PLAYGROUND=path of drey; make test-playground has both");
        return;
    };
    let drey = PathBuf::from(drey);
    let beside = |name: &str| drey.with_file_name(name);
    let folder = tempfile::tempdir().expect("a folder");
    let (kubeconfig, root) =
        (folder.path().join("kubeconfig"), Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    let state = folder.path().join("state");
    let flink = format!(
        "*flink*=FAKE_FLINK_STORAGE={} {} container",
        state.display(),
        beside("fake-flink").display()
    );
    let mut server = Command::new(beside("fake-kube"));
    server.args(["serve", "--run", &flink, "--kubeconfig"]).arg(&kubeconfig);
    let _server = Process::start(&mut server);
    let deadline = Instant::now() + Duration::from_secs(60);
    while !kubeconfig.exists() {
        assert!(Instant::now() < deadline, "fake-kube tells where it is");
        std::thread::sleep(Duration::from_millis(20));
    }
    kubectl(&kubeconfig, &["apply", "-f", &root.join("deploy/crds").display().to_string()]);
    let manifest = folder.path().join("orders.yaml");
    std::fs::write(&manifest, DEPLOYMENT).expect("written");
    kubectl(&kubeconfig, &["apply", "-f", &manifest.display().to_string()]);
    let mut operator = Command::new(beside("drey-operator"));
    operator.env("KUBECONFIG", &kubeconfig).args(["--flink-transport", "proxy", "--listen", "off"]);
    let _operator = Process::start(&mut operator);

    let mut command = Command::new(&drey);
    command.arg("play").arg(format!("--cluster={}", kubeconfig.display()));
    let play = Play::of(command);
    let mut page = Browser::open(&chromium, folder.path(), &play.url);
    page.wait("a stable deployment", &format!("{STATES} === 'STABLE'"));
    let press = |page: &mut Browser, label: &str| {
        let found =
            format!("[...document.querySelectorAll('.job button')].find(b => b.textContent === '{label}')");
        assert_eq!(page.ask(&format!("{found} !== undefined && !{found}.disabled")), json!(true), "{label}");
        page.ask(&format!("{found}.click()"));
    };
    press(&mut page, "suspend");
    page.wait("it is suspended", &format!("{STATES} === 'SUSPENDED'"));
    press(&mut page, "resume");
    page.wait("it runs again", &format!("{STATES} === 'STABLE'"));
    press(&mut page, "kill JM pod");
    page.wait(
        "the loss",
        "[...document.querySelectorAll('#rows tr.gone')].some(r => r.textContent.includes('Podorders-'))",
    );
    page.wait("another pod", &format!("{STATES} === 'STABLE'"));
    // What is not the page's to do on a cluster of others is switched off, and says why.
    let off = "[...document.querySelectorAll('button')].filter(b => b.disabled && b.title !== '').length > 0";
    assert_eq!(page.ask(off), json!(true), "the clock and faults are switched off with the reason");
    drop(play);
    kubectl(&kubeconfig, &["get", "flinkdeployment", "orders"]);
}
