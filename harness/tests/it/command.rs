//! `--operator command`: an operator that is a program of its own, on the simulated cluster and on one that is known by
//! its kubeconfig only. Ours as a binary stands in for any; programs of others come with `make test-clients`.

use std::path::Path;
use std::process::Output;

use crate::support::{Play, drey, operator_binary, repository, text};

/// The operator dies when the JobManager is created and nobody has told it so.
fn scenario(folder: &Path, calls_to_flink: &str) -> String {
    let manifest = repository("scenarios/manifests/basic-example.yaml").canonicalize().expect("the manifest");
    let of = "FlinkDeployment/basic-example";
    let scenario = format!(
        "apiVersion: drey/v1
kind: Scenario
metadata: {{name: a-program}}
modes: [loopback, cluster]
world: {{kubelet: {{instant: true}}, flink: {{instant: true}}}}
steps:
  - crashOperator: {{on: {{write: {{kind: Deployment, verb: create}}}}, at: acceptedReplyLost, restartAfter: 1s}}
  - api: {{match: {{kind: Service, verb: create}}, respond: {{code: 500}}, times: 1}}
  - apply: {{file: {}}}
  - eventually: {{within: 60s, of: {of}, match: {{status: {{lifecycleState: STABLE}}}}}}
  - writes: {{kind: Deployment, verb: create, by: operator, count: 1}}
  - calls: {{to: api, match: {{method: POST, kind: Deployment}}, count: {{min: 2}}}}
  - calls: {{to: flink, match: {{method: GET}}, count: {calls_to_flink}}}
  - pauseOperator: {{for: 2s}}
  - watch: {{kind: FlinkDeployment, do: disconnect}}
  - delete: {{of: {of}, wait: 60s}}
",
        manifest.display()
    );
    let path = folder.join("a-program.yaml");
    std::fs::write(&path, scenario).expect("written");
    path.to_str().expect("a plain path").to_owned()
}

fn run(scenario: &str, place: &[&str], operator: &str) -> (Option<i32>, String) {
    let mut command = drey();
    command.args(["run", scenario, "--verbose"]).args(place).args(["--operator", "command", operator]);
    told(&command.output().expect("drey runs"))
}

fn told(out: &Output) -> (Option<i32>, String) {
    (out.status.code(), format!("{}{}", text(&out.stdout), text(&out.stderr)))
}

fn our_operator() -> String {
    let options =
        "--flink-transport proxy --listen off --log warn ${DREY_NAMESPACE:+--namespaces $DREY_NAMESPACE}";
    format!("exec {} --kubeconfig $KUBECONFIG {options}", operator_binary().display())
}

#[track_caller]
fn passes((code, said): (Option<i32>, String)) {
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

#[test]
fn a_program_is_tested_on_the_simulated_cluster() {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, said) = run(&scenario(folder.path(), "0"), &["--mode", "loopback"], &our_operator());
    assert!(said.contains("calls to Flink are not seen"), "the check that is deaf is told: {said}");
    passes((code, said));
}

/// Three processes; what is broken is broken on the way between two of them, and calls to Flink that go through the API
/// server are heard there.
#[test]
fn a_program_is_tested_on_a_cluster() {
    let folder = tempfile::tempdir().expect("a folder");
    let play = Play::start(folder.path(), &["--empty", "--no-operator", "--time-scale", "10", "--quiet"]);
    let kubeconfig = play.kubeconfig.to_str().expect("a plain path");
    passes(run(
        &scenario(folder.path(), "{min: 1}"),
        &["--mode", "cluster", "--kubeconfig", kubeconfig],
        &our_operator(),
    ));
}

#[test]
fn a_program_that_cannot_run_is_told_with_what_it_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = folder.path().join("s.yaml");
    let step = "eventually: {within: 1s, of: ConfigMap/none, match: {data: {a: b}}}";
    let text = format!(
        "apiVersion: drey/v1\nkind: Scenario\nmetadata: {{name: s}}\nmodes: [loopback]\nsteps: [{{{step}}}]\n"
    );
    std::fs::write(&scenario, text).expect("written");
    let (code, said) =
        run(scenario.to_str().expect("a plain path"), &["--mode", "loopback"], "no-such-program-here");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no-such-program-here") && said.contains("does not find the command"), "{said}");
}
