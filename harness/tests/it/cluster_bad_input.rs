//! What is wrong with a cluster is told before anything is played there, with the next step and exit code 2.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use drey_harness::world::{Hands, kinds};
use kube::config::{KubeConfigOptions, Kubeconfig};
use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;

use crate::support::{binary, drey, repository, text};

pub const SCENARIO: &str = "apiVersion: drey/v1
kind: Scenario
metadata: {name: waits}
modes: [cluster]
steps: [{advance: 1s}]
";

pub fn write(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).expect("written");
    path
}

/// Must end with 2 and say these; nothing may have run.
pub fn refused(folder: &Path, scenario: &str, kubeconfig: &Path, more: &[&str], said: &[&str]) {
    let scenario = write(folder, "waits.yaml", scenario);
    let mut command = drey();
    command.arg("run").arg(scenario).args(["--mode", "cluster", "--kubeconfig"]).arg(kubeconfig).args(more);
    let out = command.output().expect("drey runs");
    let all = format!("{}{}", text(&out.stdout), text(&out.stderr));
    assert_eq!(out.status.code(), Some(2), "{all}");
    for part in said {
        assert!(all.contains(part), "{part:?} in: {all}");
    }
    assert!(!all.contains("passed waits"), "{all}");
}

pub fn kubeconfig(folder: &Path, server: &str, ca: &str, user: &str) -> PathBuf {
    let ca = STANDARD.encode(ca);
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- name: c\n  context: {{cluster: k, user: u}}\n\
         clusters:\n- name: k\n  cluster: {{server: \"{server}\", certificate-authority-data: {ca}}}\n\
         users:\n- name: u\n  user: {{{user}}}\n"
    );
    write(folder, "kubeconfig", &text)
}

/// `fake-kube serve`, ended with the test.
pub struct Served {
    child: Child,
    pub kubeconfig: PathBuf,
}

impl Drop for Served {
    fn drop(&mut self) {
        // Already gone is fine: the test is over either way.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    pub fn start(folder: &Path, args: &[&str]) -> Served {
        let kubeconfig = folder.join("kubeconfig");
        let mut command = Command::new(binary("fake-kube"));
        command.args(["serve", "--rbac"]).arg("--kubeconfig").arg(&kubeconfig).args(args);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("fake-kube starts");
        let mut lines = std::io::BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        std::io::BufRead::read_line(&mut lines, &mut line).expect("a line");
        assert!(line.starts_with("ready"), "{line}");
        Served { child, kubeconfig }
    }

    /// As [`refused`], and what is on the cluster is what was there.
    fn refuses(&self, folder: &Path, scenario: &str, kubeconfig: &Path, more: &[&str], said: &[&str]) {
        let before = self.there();
        refused(folder, scenario, kubeconfig, more, said);
        assert_eq!(self.there(), before, "something was left behind");
    }

    /// What a run makes first.
    fn there(&self) -> Vec<String> {
        let kinds = ["Namespace", "CustomResourceDefinition", "Role", "RoleBinding"];
        kinds.iter().flat_map(|kind| self.names(kind)).collect()
    }

    /// Of the objects of a kind, in the default namespace if it has namespaces.
    pub fn names(&self, kind: &str) -> Vec<String> {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig).expect("a kubeconfig");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let config =
                kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
            let client = kube::Client::try_from(config.expect("usable")).expect("a client");
            let info = kinds::find(kind).expect("a kind");
            let objects = Hands::new(client, "default").list(info, "default").await.expect("a list");
            let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            objects.iter().map(name).collect()
        })
    }

    /// The kubeconfig of somebody else.
    pub fn of(&self, token: &str) -> PathBuf {
        let own = std::fs::read_to_string(&self.kubeconfig).expect("a kubeconfig");
        let lines = own.lines().map(|line| match line.trim_start().starts_with("token:") {
            true => format!("    token: {token}"),
            false => line.to_owned(),
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        write(self.kubeconfig.parent().expect("a folder"), "other-kubeconfig", &text)
    }
}

#[test]
fn nobody_listens() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = KeyPair::generate().expect("a key");
    let ca = CertificateParams::default().self_signed(&key).expect("a certificate").pem();
    let config = kubeconfig(folder.path(), "https://127.0.0.1:1", &ca, "token: t");
    refused(
        folder.path(),
        SCENARIO,
        &config,
        &[],
        &["could not reach", "https://127.0.0.1:1", "next: start that"],
    );
}

#[test]
fn rights_that_do_not_reach() {
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = write(folder.path(), "tokens", "secret,root,1,\"system:masters\"\nweak,alice,2,\"dev\"\n");
    let served = Served::start(folder.path(), &["--token-auth", tokens.to_str().expect("a plain path")]);
    let alice = served.of("weak");
    let folder = folder.path();
    let said = ["may not create namespaces, delete namespaces", "next: work in a namespace that is there"];
    served.refuses(folder, SCENARIO, &alice, &[], &said);
    let in_default = ["--namespace", "default"];
    let said =
        ["get flinkdeployments.flink.apache.org", "in namespace default", "next: let an administrator"];
    served.refuses(folder, SCENARIO, &alice, &in_default, &said);
    served.refuses(folder, SCENARIO, &served.of("wrong"), &[], &["does not accept the credentials"]);
}

#[test]
fn a_crd_of_another_version() {
    let own = std::fs::read_to_string(repository("deploy/crds/flinkdeployments.flink.apache.org-v1.yml"));
    let own = own.expect("the CRD");
    let check = |from: &str, to: &str, said: &[&str]| {
        let folder = tempfile::tempdir().expect("a folder");
        let crds = folder.path().join("crds");
        std::fs::create_dir(&crds).expect("a folder");
        assert!(own.contains(from), "{from}");
        write(&crds, "other.yaml", &own.replace(from, to));
        let served = Served::start(folder.path(), &["--crds", crds.to_str().expect("a plain path")]);
        let said = [&["it is of another version", "next: apply deploy/crds/"], said].concat();
        served.refuses(folder.path(), SCENARIO, &served.kubeconfig, &[], &said);
    };
    check("name: v1beta1", "name: v1alpha1", &["serves v1alpha1 and not v1beta1"]);
    check("lifecycleState:", "lifecycle:", &["its v1beta1 does not know status.lifecycleState"]);
    check("upgradeMode:", "modeOfUpgrades:", &["its v1beta1 does not know spec.job.upgradeMode"]);
}

/// The last of the CRDs is of another version: the first ones, which are missing, are not installed on the way to it.
#[test]
fn a_crd_of_another_version_behind_missing_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = std::fs::read_to_string(repository("deploy/crds/flinkstatesnapshots.flink.apache.org-v1.yml"));
    let crds = folder.path().join("crds");
    std::fs::create_dir(&crds).expect("a folder");
    write(&crds, "other.yaml", &own.expect("the CRD").replace("name: v1beta1", "name: v1alpha1"));
    let served = Served::start(folder.path(), &["--crds", crds.to_str().expect("a plain path")]);
    let said = ["CRD flinkstatesnapshots.flink.apache.org", "serves v1alpha1 and not v1beta1"];
    served.refuses(folder.path(), SCENARIO, &served.kubeconfig, &[], &said);
}

#[test]
fn a_scenario_of_other_worlds() {
    let folder = tempfile::tempdir().expect("a folder");
    let served = Served::start(folder.path(), &[]);
    let scenario = SCENARIO.replace("[cluster]", "[virtual]");
    let said = ["runs in virtual only", "nothing ran: no scenario can be run in mode cluster"];
    refused(folder.path(), &scenario, &served.kubeconfig, &["--verbose"], &said);
}
