//! Failures that no recording holds, by the texts of the programs, and versions that are too old.

use drey_clusters::{Call, Outcome, Provider, Trouble, explain};

use crate::kind::bare;
use crate::stage::Stage;

fn check(program: &str, stderr: &str, trouble: Trouble, next: &str) {
    let outcome = Outcome { code: Some(1), stdout: String::new(), stderr: stderr.to_owned() };
    let problem = explain::exit("do it", &Call::new(program, ["x"]), &outcome);
    assert_eq!(problem.trouble, trouble, "{problem}");
    let text = problem.to_string();
    assert!(text.contains(next) && text.starts_with("do it: ") && !text.contains('\n'), "{text}");
}

#[test]
fn texts() {
    // docker, of a socket of root.
    check(
        "docker",
        "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock: Get \"http://%2Fvar%2Frun%2Fdocker.sock/v1.41/version\": dial unix /var/run/docker.sock: connect: permission denied\n",
        Trouble::SocketDenied,
        "usermod -aG docker",
    );
    check(
        "kind",
        "ERROR: failed to load image: write /tmp/images.tar: no space left on device\n",
        Trouble::OutOfDisk,
        "prune",
    );
    check(
        "docker",
        "docker: Error response from daemon: pull access denied for nope\n",
        Trouble::PullFailed,
        "docker pull",
    );
    check(
        "kind",
        "ERROR: failed to create cluster: failed to init node with kubeadm: exit status 1\n",
        Trouble::NeverReady,
        "inotify",
    );
    // Words of an engine in the mouth of kubectl are about the API server, and the other way round.
    check(
        "kubectl",
        "Unable to connect to the server: dial tcp: lookup api.example.com: no such host\n",
        Trouble::Unreachable,
        "drey cluster status",
    );
    check(
        "kubectl",
        "error: context was not found for specified context: nope\n",
        Trouble::NothingThere,
        "get-contexts",
    );
    check("kubectl", "error: current-context is not set\n", Trouble::NothingThere, "get-contexts");
    check("docker", "something new\n", Trouble::Other, "run that command yourself");
}

#[test]
fn a_very_long_line_is_cut() {
    let outcome =
        Outcome { code: None, stdout: String::new(), stderr: format!("error: {}", "x".repeat(100_000)) };
    let problem = explain::exit("do it", &Call::new("kind", ["x"]), &outcome);
    assert!(problem.why.len() < 600 && problem.why.contains("a signal"), "{problem}");
}

#[test]
fn a_tool_that_is_too_old_is_named_with_its_age() {
    let stage = Stage::new();
    stage.says("kind", "version", "kind v0.11.1 go1.16.5 linux/amd64\n");
    let problem = stage.up(&bare(Provider::Kind)).expect_err("too old");
    assert_eq!(problem.trouble, Trouble::TooOld, "{problem}");
    assert!(problem.why.contains("0.11") && problem.why.contains("0.20"), "{problem}");
}

#[test]
fn a_tool_that_is_missing_is_named_with_how_to_get_it() {
    for (provider, how) in
        [(Provider::Kind, "go install"), (Provider::K3d, "k3d.io"), (Provider::Colima, "brew install")]
    {
        let problem = Stage::new().up(&bare(provider)).expect_err("missing");
        assert_eq!(problem.trouble, Trouble::NotInstalled, "{problem}");
        assert!(problem.next.contains(how), "{problem}");
    }
}
