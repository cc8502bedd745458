//! `drey cluster` with a cluster that is there already: the real kubectl puts CRDs, the S3 store and nothing else into
//! `drey play`, after its context was named; `down` takes back what is ours.

use std::path::Path;
use std::process::Output;

use crate::support::{Play, drey, has_kubectl, kubectl, text};

const FILE: &str = "apiVersion: drey/v1
kind: Cluster
metadata: {name: borrowed}
provider: kubeconfig
wait: 60s
s3: {bucket: checkpoints}
";

fn cluster(folder: &Path, play: &Play, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = drey();
    command.env("DREY_STATE", folder.join("state")).env("HOME", folder).env("KUBECONFIG", &play.kubeconfig);
    let Output { status, stdout, stderr } = command.arg("cluster").args(args).output().expect("drey runs");
    (status.code(), text(&stdout), text(&stderr))
}

fn said(play: &Play, args: &[&str]) -> String {
    let out = kubectl(&play.kubeconfig, args);
    text(&out.stdout) + &text(&out.stderr)
}

#[test]
fn a_borrowed_cluster_is_furnished_and_given_back() {
    if !has_kubectl() {
        eprintln!("skipped: kubectl is not on the PATH");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let play = Play::start(folder.path(), &["--empty", "--quiet", "--time-scale", "10"]);
    let file = folder.path().join("cluster.yaml");
    std::fs::write(&file, FILE).expect("written");
    let file = file.display().to_string();
    let context = said(&play, &["config", "current-context"]).trim().to_owned();

    let (code, _, stderr) = cluster(folder.path(), &play, &["up", "--config", &file]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains(&format!("--yes-use-context {context}")), "{stderr}");
    assert!(!said(&play, &["get", "namespaces"]).contains("drey-system"), "it was touched");

    let allow = ["up", "--config", &file, "--yes-use-context", &context];
    let (code, stdout, stderr) = cluster(folder.path(), &play, &allow);
    assert_eq!(code, Some(0), "{stderr}");
    let kubeconfig = Path::new(stdout.trim()).to_path_buf();
    assert!(text(&kubectl(&kubeconfig, &["get", "flinkdeployments"]).stderr).contains("No resources found"));
    assert!(said(&play, &["-n", "drey-system", "get", "deployment", "s3"]).contains("1/1"));
    let (code, _, stderr) = cluster(folder.path(), &play, &allow);
    assert_eq!(code, Some(0), "a second time: {stderr}");

    let (code, stdout, _) = cluster(folder.path(), &play, &["status", "--name", "borrowed"]);
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.contains("borrowed  kubeconfig") && stdout.contains("ready, Kubernetes v1."), "{stdout}");
    let (code, _, stderr) = cluster(folder.path(), &play, &["load-image", "x:1", "--name", "borrowed"]);
    assert_eq!(code, Some(1), "{stderr}");

    let (code, stdout, stderr) = cluster(folder.path(), &play, &["down", "--name", "borrowed"]);
    assert_eq!((code, stdout.as_str()), (Some(0), "cluster `borrowed` is gone\n"), "{stderr}");
    assert!(!said(&play, &["get", "namespaces"]).contains("drey-system"));
    assert!(said(&play, &["get", "crds"]).contains("flinkdeployments.flink.apache.org"), "the CRDs stay");
}

#[test]
fn slips_are_answered_before_anything_happens() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("cluster.yaml");
    std::fs::write(&file, FILE.replace("wait:", "wiat:")).expect("written");
    let check = |args: &[&str], code: i32, part: &str| {
        let out = drey().env("DREY_STATE", folder.path().join("state")).arg("cluster").args(args).output();
        let out = out.expect("drey runs");
        let said = text(&out.stderr) + &text(&out.stdout);
        assert_eq!(out.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(part), "{args:?}: {said}");
    };
    check(&["up", "--config", &file.display().to_string()], 2, "nearest: wait");
    check(&["up", "--provider", "k3s"], 2, "k3d");
    check(&["up", "--name", "Bad_Name"], 2, "bad-name");
    check(&["up", "--config", "/nope.yaml"], 2, "cannot be read");
    check(&["status"], 0, "no clusters");
    check(&["status", "--name", "x"], 1, "drey cluster up");
    check(&["load-image"], 2, "IMAGES");
    assert!(!folder.path().join("state").exists(), "something was written");
}
