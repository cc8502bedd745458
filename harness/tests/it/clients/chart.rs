//! The chart of the operator with the real Helm 3: linted, rendered as its golden files say, installed, upgraded and
//! removed on `drey play`. `DREY_BLESS=1 make test-clients` keeps other renderings.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster_bad_input::{Served, write};
use crate::support::{Play, binary, drey, kubectl, repository, text};

/// Says so if there is no helm.
fn helm() -> Option<PathBuf> {
    let helm = std::env::var_os("DREY_CLIENTS").map(|folder| PathBuf::from(folder).join("helm"));
    let found = helm.filter(|helm| helm.exists());
    if found.is_none() {
        println!("skipped: helm is not built; make test-clients does");
    }
    found
}

fn run(helm: &Path, kubeconfig: &Path, args: &[&str]) -> Result<String, String> {
    let mut command = Command::new(helm);
    command.current_dir(repository("")).env("KUBECONFIG", kubeconfig).args(["--namespace", "flink-operator"]);
    let out =
        command.env("HOME", kubeconfig.parent().expect("a folder")).args(args).output().expect("helm runs");
    if out.status.success() { Ok(text(&out.stdout)) } else { Err(text(&out.stderr)) }
}

const CHART: &str = "deploy/chart";
const FULL: &str = "deploy/golden/full-values.yaml";

#[test]
fn lint_finds_nothing_and_renderings_are_the_golden_ones() {
    let Some(helm) = helm() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let run = |args: &[&str]| run(&helm, &folder.path().join("none"), args);
    for values in [&[][..], &["--values", FULL]] {
        let linted = run(&[&["lint", "--strict", CHART], values].concat()).expect("lint");
        assert!(linted.contains("1 chart(s) linted, 0 chart(s) failed"), "{linted}");
    }
    for (name, values) in [("default", &[][..]), ("full", &["--values", FULL])] {
        let rendered = run(&[&["template", "drey", CHART, "--kube-version", "1.33.0"], values].concat())
            .expect("template");
        let golden = repository("deploy/golden").join(format!("{name}.yaml"));
        if std::env::var_os("DREY_BLESS").is_some() {
            std::fs::write(&golden, &rendered).expect("written");
        }
        let kept = std::fs::read_to_string(&golden).unwrap_or_default();
        assert!(rendered == kept, "{} differs; DREY_BLESS=1 keeps this:\n{rendered}", golden.display());
    }
    let refused = |value: &str, part: &str| {
        let error =
            run(&["template", "drey", CHART, "--kube-version", "1.33.0", "--set", value]).expect_err(value);
        assert!(error.contains(part), "{value}: {error}");
    };
    refused("webhook.create=true", "this operator has no webhook");
    refused("defaultConfiguration.flink-conf\\.yaml=x", "write `config.yaml`");
    println!("chart: 6 renderings");
}

#[test]
fn a_release_from_install_to_uninstall() {
    let Some(helm) = helm() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let play = Play::start(folder.path(), &["--empty", "--quiet", "--no-operator", "--time-scale", "10"]);
    let run =
        |args: &[&str]| run(&helm, &play.kubeconfig, args).unwrap_or_else(|e| panic!("helm {args:?}: {e}"));
    let get = |args: &[&str]| {
        let out = kubectl(&play.kubeconfig, &[&["-n", "flink-operator", "get", "-o", "name"], args].concat());
        text(&out.stdout) + &text(&out.stderr)
    };
    let wait = ["--wait", "--timeout", "80s"];
    let installed = run(&[&["install", "drey", CHART, "--create-namespace"][..], &wait].concat());
    assert!(installed.contains("STATUS: deployed") && installed.contains("the whole cluster"), "{installed}");
    assert_eq!(get(&["deployments"]), "deployment.apps/drey-operator\n");
    assert!(
        get(&["clusterroles", "flink-operator"])
            .contains("clusterrole.rbac.authorization.k8s.io/flink-operator")
    );

    // Two replicas in chosen namespaces: Roles instead of ClusterRoles, and leases.
    for namespace in ["team-a", "team-b"] {
        assert!(kubectl(&play.kubeconfig, &["create", "namespace", namespace]).status.success());
    }
    let priority = ["create", "priorityclass", "high", "--value", "1000"];
    assert!(kubectl(&play.kubeconfig, &priority).status.success());
    run(&[&["upgrade", "drey", CHART, "--values", FULL, "--set", "fullnameOverride="][..], &wait].concat());
    assert!(get(&["clusterroles", "flink-operator"]).contains("not found"));
    assert!(get(&["roles", "flink-operator-leases"]).contains("flink-operator-leases"));
    assert_eq!(get(&["pods", "--field-selector", "status.phase=Running"]).lines().count(), 2);
    let configured = get(&["configmap", "flink-operator-config", "-o", "jsonpath={.data.config\\.yaml}"]);
    assert!(configured.contains("watched.namespaces: \"team-a,team-b\""), "{configured}");

    run(&["uninstall", "drey", "--wait", "--timeout", "60s"]);
    assert_eq!(get(&["deployments"]), "");
    assert!(get(&["crds"]).contains("flinkdeployments.flink.apache.org"), "CRDs of a chart stay");
    let jobs =
        kubectl(&play.kubeconfig, &["-n", "team-a", "get", "role,rolebinding,serviceaccount", "-o", "name"]);
    let jobs = text(&jobs.stdout);
    for kept in [
        "role.rbac.authorization.k8s.io/flink\n",
        "rolebinding.rbac.authorization.k8s.io/flink-role-binding",
        "serviceaccount/flink\n",
    ] {
        assert!(jobs.contains(kept), "what running jobs need went with the release: {jobs}");
    }
    assert!(!jobs.contains("flink-operator"), "{jobs}");
    println!("chart: 1 release");
}

/// The operator's container as a process of this machine: the paths of its image lie below its folder, and `0.0.0.0` is its
/// own address. Everything else is as the chart says.
const CONTAINER: &str = r#"#!/bin/sh
account=$CONTAINER_ROOT/var/run/secrets/kubernetes.io/serviceaccount
cat >"$CONTAINER_ROOT/kubeconfig" <<END
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: {server: "https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT", certificate-authority: "$account/ca.crt"}}]
users: [{name: u, user: {tokenFile: "$account/token"}}]
END
for word do
  shift
  case $word in
  --config=*) word=--config=$CONTAINER_ROOT${word#--config=} ;;
  --listen=0.0.0.0:*) word=--listen=$POD_IP:${word##*:} ;;
  esac
  set -- "$@" "$word"
done
exec "$OPERATOR" --kubeconfig "$CONTAINER_ROOT/kubeconfig" --flink-transport proxy "$@"
"#;

/// The chart's Deployment, account, rights, configuration and probes, with the operator's program in its pod and fake-flink's
/// in those of Flink: a scenario over the cluster finds the operator deployed. Beyond the chart's rights it may use the
/// Service proxy, since names of Services lead nowhere on this machine.
#[test]
fn the_operator_of_a_release_is_tested() {
    let Some(helm) = helm() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = |path: &Path| path.to_str().expect("a plain path").to_owned();
    let script = write(folder.path(), "container", CONTAINER);
    let state = path(&folder.path().join("state"));
    let operator =
        format!("*drey-operator*=OPERATOR={} sh {}", path(&binary("drey-operator")), path(&script));
    let flink = format!(
        "*flink*=FAKE_FLINK_STORAGE={state} FAKE_FLINK_CONTROL=9250 {} container",
        path(&binary("fake-flink"))
    );
    let options = ["--time-scale", "10", "--control", "127.0.0.1:0", "--run", &operator, "--run", &flink];
    let served = Served::start(folder.path(), &options);
    let apply = |args: &[&str]| {
        let out = kubectl(&served.kubeconfig, args);
        assert!(out.status.success(), "{args:?}: {}", text(&out.stderr));
    };
    apply(&[
        "create",
        "clusterrole",
        "flink-proxy",
        "--verb=get,create,update,patch,delete",
        "--resource=services/proxy",
    ]);
    let account = "--serviceaccount=flink-operator:flink-operator";
    apply(&["create", "clusterrolebinding", "flink-proxy", "--clusterrole=flink-proxy", account]);
    let install = [
        "install",
        "drey",
        CHART,
        "--create-namespace",
        "--set",
        "image.tag=dev",
        "--wait",
        "--timeout",
        "120s",
    ];
    run(&helm, &served.kubeconfig, &install).unwrap_or_else(|error| panic!("helm install: {error}"));

    let manifest = repository("scenarios/manifests/basic-example.yaml").canonicalize().expect("the manifest");
    let of = "FlinkDeployment/basic-example";
    let scenario = format!(
        "apiVersion: drey/v1
kind: Scenario
metadata: {{name: of-a-release}}
modes: [cluster]
steps:
  - apply: {{file: {}}}
  - eventually: {{within: 2m, of: {of}, match: {{status: {{lifecycleState: STABLE, jobStatus: {{state: RUNNING}}}}}}}}
  - patch: {{of: {of}, merge: {{spec: {{job: {{parallelism: 4}}}}}}}}
  - eventually: {{within: 2m, of: {of}, match: {{status: {{lifecycleState: STABLE, observedGeneration: 2}}}}}}
  - starts: {{name: basic-example, count: 2}}
  - delete: {{of: {of}, wait: 1m}}
",
        manifest.display()
    );
    let scenario = write(folder.path(), "of-a-release.yaml", &scenario);
    let mut command = drey();
    command.arg("run").arg(&scenario).args(["--mode", "cluster", "--verbose", "--operator", "deployed"]);
    let out = command.args(["--flink-control", "9250", "--kubeconfig"]).arg(&served.kubeconfig).output();
    let out = out.expect("drey runs");
    let logs = kubectl(&served.kubeconfig, &["-n", "flink-operator", "logs", "deployment/drey-operator"]);
    let said = format!("{}{}\nthe operator: {}", text(&out.stdout), text(&out.stderr), text(&logs.stdout));
    assert_eq!(out.status.code(), Some(0), "{said}");
    assert!(said.contains("1 passed") && !said.contains("skipped step"), "{said}");
    println!("chart: 1 scenario of the operator that it deploys");
}
