//! Colima: a VM with Kubernetes, with docker alone, stopped, absent; and what `auto` makes of a machine.

use drey_clusters::file::Mount;
use drey_clusters::{ClusterFile, Permission, Provider, Trouble};

use crate::kind::bare;
use crate::stage::Stage;

const MARKS: &str = "volume ls --filter label=drey.io/cluster --format {{.Label \"drey.io/cluster\"}} {{.Label \"drey.io/provider\"}}";
const RUNNING: &str = r#"{"name":"default","status":"Running","arch":"aarch64","cpus":4,"runtime":"docker"}"#;
const STATUS: &str = r#"{"display_name":"colima","runtime":"docker","docker_socket":"unix:///h/.colima/default/docker.sock","kubernetes":false}"#;

fn allowed(context: &str) -> Permission {
    Permission { context: Some(context.to_owned()), ..Permission::default() }
}

/// A VM whose docker answers, with kind beside it.
fn docker_only() -> Stage {
    let stage = Stage::new();
    stage.says("colima", "list --json", &format!("{RUNNING}\n"));
    stage.says("colima", "status default --json", STATUS);
    stage.recorded("kind", "version", "kind/version");
    stage.recorded("kind", "get clusters", "kind/daemon-get-clusters-none");
    stage.says("docker", MARKS, "");
    stage
}

#[test]
fn kubernetes_of_a_vm_that_is_not_ours_wants_a_word() {
    let stage = Stage::empty();
    stage.recorded("colima", "list --json", "colima/stub-running-list-json");
    stage.says("colima", "status default --json", STATUS);
    stage.says("docker", "version --format {{.Server.Version}}", "27.0\n");
    let problem = stage.up(&bare(Provider::Colima)).expect_err("not ours");
    assert_eq!(problem.trouble, Trouble::ForeignContext, "{problem}");
    assert!(problem.next.contains("--yes-use-context colima"), "{problem}");

    stage.says("kubectl", "config view --raw --minify --flatten --context colima", "apiVersion: v1\n");
    stage.says(
        "kubectl",
        "--kubeconfig $STATE/kubeconfig --context colima get --raw /readyz --request-timeout=10s",
        "ok",
    );
    let ready = stage.with(|c| c.up(&bare(Provider::Colima), &allowed("colima"))).expect("allowed");
    assert_eq!((ready.provider, ready.context.as_str()), ("colima", "colima"));
    // The VM is the user's: `down` leaves it.
    let remove = "--kubeconfig $STATE/kubeconfig --context colima delete \
                  ingressclasses,clusterrolebindings,clusterroles,namespaces -l drey.io/cluster=drey --ignore-not-found --wait=true";
    stage.says("kubectl", remove, "");
    assert_eq!(stage.with(|c| c.down("drey")), Ok(true));
    assert!(!stage.calls().iter().any(|call| call.starts_with("colima delete")), "{:?}", stage.calls());
}

#[test]
fn a_vm_with_docker_alone_has_kind_inside() {
    let stage = docker_only();
    stage.says("docker", crate::kind::MARK, "drey-cluster-drey\n");
    stage.recorded("kind", crate::kind::CREATE, "kind/stub-create");
    stage.recorded("kind", "get kubeconfig --name drey", "kind/stub-get-kubeconfig");
    stage.says(
        "kubectl",
        "--kubeconfig $STATE/kubeconfig --context kind-drey get --raw /readyz --request-timeout=10s",
        "ok",
    );
    let ready = stage.up(&bare(Provider::Colima)).expect("it is made");
    assert_eq!(ready.provider, "kind");
    let env = std::fs::read_to_string(stage.path().join("env.kind")).unwrap();
    assert_eq!(env.trim(), "DOCKER_HOST=unix:///h/.colima/default/docker.sock");
    assert!(stage.said.borrow()[0].contains("kind works inside it"), "{:?}", stage.said);
}

/// The VM mounts the home alone: from elsewhere a node sees an empty folder.
#[test]
fn a_mount_that_the_vm_cannot_see_is_refused() {
    let stage = docker_only();
    let mount = Mount { host: "/usr".into(), node: "/data".to_owned(), is_read_only: true };
    let file = ClusterFile { mounts: vec![mount], ..bare(Provider::Colima) };
    let problem = stage.up(&file).expect_err("outside of the home");
    assert_eq!(problem.trouble, Trouble::MountNotShared, "{problem}");
}

/// Made by us: recorded before it boots, and deleted by `down`.
#[test]
fn a_vm_that_is_missing_is_made_and_goes_with_the_cluster() {
    let stage = Stage::empty();
    stage.recorded("colima", "list --json", "colima/stub-none-list-json");
    let start = "start default --activate=false --cpus 4 --memory 8 --disk 60 --kubernetes";
    stage.says("colima", start, "");
    let with_k3s = RUNNING.replace("docker\"", "docker+k3s\"");
    stage.says("colima", "list --json", &format!("{with_k3s}\n"));
    stage.says("colima", "status default --json", STATUS);
    stage.says("docker", "version --format {{.Server.Version}}", "27.0\n");
    stage.says("kubectl", "config view --raw --minify --flatten --context colima", "apiVersion: v1\n");
    stage.says(
        "kubectl",
        "--kubeconfig $STATE/kubeconfig --context colima get --raw /readyz --request-timeout=10s",
        "ok",
    );
    stage.up(&bare(Provider::Colima)).expect("it is made");
    stage.says("colima", "delete default -f", "");
    assert_eq!(stage.with(|c| c.down("drey")), Ok(true));
    assert_eq!(stage.changes(), [format!("colima {start}"), "colima delete default -f".to_owned()]);
}

#[test]
fn a_stopped_vm_of_somebody_is_not_started() {
    let stage = Stage::empty();
    stage.recorded("colima", "list --json", "colima/stub-running-list-json");
    let mut file = bare(Provider::Colima);
    file.colima.profile = "drey".to_owned();
    let problem = stage.up(&file).expect_err("stopped");
    assert_eq!(problem.trouble, Trouble::ForeignCluster, "{problem}");
    assert!(problem.next.contains("colima start drey"), "{problem}");
}

#[test]
fn without_lima_the_next_step_is_to_install_it() {
    let stage = Stage::empty();
    stage.recorded("colima", "list --json", "colima/nolima-list-json");
    let problem = stage.up(&bare(Provider::Colima)).expect_err("no Lima");
    assert_eq!(problem.trouble, Trouble::NotInstalled, "{problem}");
    assert!(problem.next.contains("brew install lima"), "{problem}");
}

#[test]
fn auto_says_what_it_chose_and_why() {
    let stage = crate::kind::stage();
    stage.recorded("kind", crate::kind::CREATE, "kind/stub-create");
    stage.up(&bare(Provider::Auto)).expect("it is made");
    assert_eq!(
        stage.said.borrow()[0],
        "kind: kind is installed and docker answers (unix:///var/run/docker.sock)"
    );
}

#[test]
fn auto_with_nothing_there_lists_what_it_looked_for() {
    let stage = Stage::empty();
    let problem = stage.up(&bare(Provider::Auto)).expect_err("nothing");
    assert_eq!(problem.trouble, Trouble::NothingThere);
    for program in ["docker: ", "k3d: ", "kind: ", "Colima: ", "kubeconfig: "] {
        assert!(problem.why.contains(program), "{problem}");
    }
    assert!(!stage.state("").exists());
}
