//! The program as somebody meets it who starts it by hand.

use std::process::{Command, Output};

fn drey_operator(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drey-operator"));
    for variable in ["KUBECONFIG", "RUST_LOG", "WATCH_NAMESPACES", "OPERATOR_NAMESPACE", "POD_NAME"] {
        command.env_remove(variable);
    }
    command.args(args).output().unwrap()
}

/// The program must refuse to start, with code 2, and say all of this.
fn check(args: &[&str], expected: &[&str]) {
    let output = drey_operator(args);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    for part in expected {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
}

fn file(name: &str, text: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn kubeconfig(name: &str, server: &str) -> String {
    file(
        name,
        &format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: laptop\n\
             contexts: [{{name: laptop, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: \"{server}\"}}}}]\n\
             users: [{{name: u, user: {{}}}}]\n"
        ),
    )
}

#[test]
fn a_kubeconfig_that_points_nowhere() {
    let path = kubeconfig("nowhere.yaml", "http://127.0.0.1:1");
    check(
        &["--kubeconfig", &path, "--listen", "off"],
        &[&path, "context laptop", "http://127.0.0.1:1", "refused", "next: start that cluster"],
    );
}

#[test]
fn a_kubeconfig_that_does_not_exist() {
    check(&["--kubeconfig", "/nowhere/config"], &["/nowhere/config", "next: check --kubeconfig"]);
}

#[test]
fn a_context_that_does_not_exist() {
    let path = kubeconfig("contexts.yaml", "http://127.0.0.1:1");
    check(
        &["--kubeconfig", &path, "--context", "moon"],
        &["no context `moon`", "its contexts: laptop", "next: choose one"],
    );
}

#[test]
fn a_configuration_that_cannot_be_used_is_told_before_connecting() {
    let path = kubeconfig("config.yaml", "http://127.0.0.1:1");
    let wrong = file("wrong.yaml", "kubernetes.operator.reconcile.interval: soon\n");
    check(
        &["--kubeconfig", &path, "--config", &wrong],
        &["wrong.yaml", "kubernetes.operator.reconcile.interval", "soon"],
    );
    check(&["--kubeconfig", &path, "--config", "/nowhere.yaml"], &["/nowhere.yaml"]);
    check(&["--set", "novalue"], &["KEY=VALUE"]);
}

#[test]
fn help_teaches() {
    let output = drey_operator(&["--help"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for part in ["Examples:", "--flink-transport", "--leader-elect", "Exit codes"] {
        assert!(text.contains(part), "{part}");
    }
}
