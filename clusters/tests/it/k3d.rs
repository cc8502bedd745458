//! k3d: its traps, each shown to be avoided.

use drey_clusters::{ClusterFile, Provider, Trouble};

use crate::kind::bare;
use crate::stage::Stage;

const MARKS: &str = "volume ls --filter label=drey.io/cluster --format {{.Label \"drey.io/cluster\"}} {{.Label \"drey.io/provider\"}}";
const MARK: &str =
    "volume create --label drey.io/cluster=drey --label drey.io/provider=k3d drey-cluster-drey";
const CREATE: &str = "cluster create drey --api-port 127.0.0.1:16550 --timeout 300s --agents 0 \
                      --k3s-arg --disable=traefik@server:* --wait --kubeconfig-update-default=false";

fn file() -> ClusterFile {
    ClusterFile { api_port: Some(16550), ..bare(Provider::K3d) }
}

fn stage() -> Stage {
    let stage = Stage::new();
    stage.recorded("k3d", "version", "k3d/version");
    stage.recorded("k3d", "cluster list -o json", "k3d/daemon-list-none-json");
    stage.says("docker", MARKS, "");
    stage.says("docker", MARK, "drey-cluster-drey\n");
    stage.says("docker", "volume rm drey-cluster-drey", "drey-cluster-drey\n");
    stage.fails(
        "docker",
        "rm -f -v drey-registry",
        "Error response from daemon: No such container: drey-registry\n",
    );
    stage.says("docker", "network rm k3d-drey", "k3d-drey\n");
    stage.says("docker", "volume rm k3d-drey-images", "k3d-drey-images\n");
    stage.recorded("k3d", "cluster delete drey", "k3d/daemon-delete-missing");
    stage.recorded("k3d", "kubeconfig get drey", "k3d/stub-kubeconfig-get");
    stage.says(
        "kubectl",
        "--kubeconfig $STATE/kubeconfig --context k3d-drey get --raw /readyz --request-timeout=10s",
        "ok",
    );
    stage
}

/// Its defaults are the API server on 0.0.0.0, an endless wait, and the user's kubeconfig written to: all three are said.
#[test]
fn up_leaves_no_default_to_k3d() {
    let stage = stage();
    stage.recorded("k3d", CREATE, "k3d/stub-create");
    let ready = stage.up(&file()).expect("it is made");
    assert_eq!((ready.provider, ready.context.as_str()), ("k3d", "k3d-drey"));
    assert_eq!(stage.changes(), [format!("docker {MARK}"), format!("k3d {CREATE}")]);
    let kubeconfig = std::fs::read_to_string(&ready.kubeconfig).unwrap();
    assert!(kubeconfig.starts_with("---") && kubeconfig.contains("k3d-drey"), "{kubeconfig}");
}

/// A creation that fails before there is a node leaves a network and a volume, and `cluster delete` leaves them, too.
#[test]
fn what_k3d_leaves_behind_is_removed() {
    let check = |recording: &str, trouble: Trouble, why: &str| {
        let stage = stage();
        stage.recorded("k3d", CREATE, recording);
        let problem = stage.up(&file()).expect_err(recording);
        assert_eq!(problem.trouble, trouble, "{problem}");
        assert!(problem.why.contains(why), "{problem}");
        let changes = stage.changes();
        let removed = [
            "k3d cluster delete drey",
            "docker rm -f -v drey-registry",
            "docker network rm k3d-drey",
            "docker volume rm k3d-drey-images",
            "docker volume rm drey-cluster-drey",
        ];
        assert_eq!(changes[changes.len() - 5..], removed);
        assert!(!stage.state("").exists());
    };
    check("k3d/daemon-create-image-pull-fails", Trouble::PullFailed, "rancher/k3s");
    check("k3d/daemon-create-privileged-refused", Trouble::PullFailed, "k3d-io/k3d-tools");
    check("k3d/stub-create-node-never-ready", Trouble::NeverReady, "k3s is up and running");
    check("k3d/stub-create-exists", Trouble::NameTaken, "already exists");
    check("k3d/config-port-taken", Trouble::NameTaken, "A registry node with that name already exists");
}

/// `k3d image import a b` with b missing: exit 0 and "Successfully imported 2 image(s)".
#[test]
fn a_missing_image_is_not_reported_as_imported() {
    let stage = stage();
    stage.recorded("k3d", CREATE, "k3d/stub-create");
    stage.up(&file()).expect("it is made");
    stage.recorded("docker", "image inspect drey/hello:1", "docker/image-inspect");
    stage.recorded("docker", "image inspect drey/nope:1", "docker/image-inspect-missing");
    let both = ["drey/hello:1".to_owned(), "drey/nope:1".to_owned()];
    let problem = stage.with(|clusters| clusters.load_images("drey", &both)).expect_err("one is missing");
    assert_eq!(problem.trouble, Trouble::ImageMissing, "{problem}");
    assert!(problem.why.contains("drey/nope:1") && !problem.why.contains("drey/hello:1"), "{problem}");
    assert!(!stage.changes().iter().any(|call| call.contains("image import")), "{:?}", stage.changes());

    // Gone between the look and the import: each is imported by a call of its own, whose code is honest.
    stage.recorded("docker", "image inspect drey/nope:1", "docker/image-inspect");
    stage.recorded("k3d", "image import drey/hello:1 -c drey", "k3d/stub-image-import");
    stage.recorded("k3d", "image import drey/nope:1 -c drey", "k3d/stub-image-import-missing");
    stage.with(|clusters| clusters.load_images("drey", &both)).expect_err("one is missing");
}

/// `k3d cluster delete` without a daemon: exit 0.
#[test]
fn a_deletion_that_met_no_daemon_is_no_success() {
    let stage = stage();
    stage.recorded("k3d", CREATE, "k3d/stub-create");
    stage.up(&file()).expect("it is made");
    stage.recorded("k3d", "cluster delete drey", "k3d/nodaemon-delete");
    let down =
        "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?\n";
    stage.fails("docker", "version --format {{.Server.Version}}", down);
    let problem = stage.with(|clusters| clusters.down("drey")).expect_err("no daemon");
    assert_eq!(problem.trouble, Trouble::EngineDown, "{problem}");
    assert!(stage.state("record.json").exists(), "the cluster was forgotten and is still there");
}

/// The tools container mounts /var/run/docker.sock whatever DOCKER_HOST says, and docker makes a directory of it.
#[test]
fn a_socket_elsewhere_is_said_twice() {
    let mut stage = stage();
    stage.host = stage.host.clone().with("DOCKER_HOST", "unix:///run/user/1000/docker.sock");
    stage.recorded("k3d", CREATE, "k3d/stub-create");
    stage.up(&file()).expect("it is made");
    let env = std::fs::read_to_string(stage.path().join("env.k3d")).unwrap();
    let expected = "DOCKER_HOST=unix:///run/user/1000/docker.sock DOCKER_SOCK=/run/user/1000/docker.sock LOG_COLORS=false";
    assert_eq!(env.trim(), expected);
}

#[test]
fn a_socket_that_was_made_a_directory_is_explained() {
    let mut stage = stage();
    let socket = stage.path().join("docker.sock");
    std::fs::create_dir(&socket).unwrap();
    stage.host = stage.host.clone().with("DOCKER_HOST", format!("unix://{}", socket.display()));
    stage.fails(
        "docker",
        "version --format {{.Server.Version}}",
        "Cannot connect to the Docker daemon. Is the docker daemon running?\n",
    );
    // The first answer of the stage was a daemon's.
    stage.runner();
    drop(stage.up(&file()));
    let problem = stage.up(&file()).expect_err("a directory");
    assert_eq!(problem.trouble, Trouble::EngineDown);
    assert!(problem.why.contains("is a directory") && problem.next.contains("sudo rmdir"), "{problem}");
}

#[test]
fn a_stopped_cluster_is_started() {
    let stage = stage();
    stage.recorded("k3d", CREATE, "k3d/stub-create");
    stage.up(&file()).expect("it is made");
    stage.says("k3d", "cluster list -o json", r#"[{"name":"drey","serversRunning":0,"serversCount":1}]"#);
    stage.says("docker", MARKS, "drey k3d\n");
    stage.recorded("k3d", "cluster start drey --timeout 300s", "k3d/stub-start");
    stage.up(&file()).expect("it is started");
    assert_eq!(stage.changes().last().unwrap(), "k3d cluster start drey --timeout 300s");
}
