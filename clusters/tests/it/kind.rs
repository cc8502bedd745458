//! kind: what is called, and what its failures are told as.

use drey_clusters::file::{Ingress, Mount, S3};
use drey_clusters::{ClusterFile, Provider, Trouble};

use crate::stage::{ENGINE, Stage};

pub const CREATE: &str =
    "create cluster --name drey --config $STATE/kind.json --kubeconfig $STATE/kubeconfig --wait 300s";
const DELETE: &str = "delete cluster --name drey --kubeconfig $STATE/kubeconfig";
pub const MARK: &str =
    "volume create --label drey.io/cluster=drey --label drey.io/provider=kind drey-cluster-drey";
const MARKS: &str = "volume ls --filter label=drey.io/cluster --format {{.Label \"drey.io/cluster\"}} {{.Label \"drey.io/provider\"}}";
const KUBECTL: &str = "--kubeconfig $STATE/kubeconfig --context kind-drey";

/// A file with nothing to install, so that a test says what it is about.
pub fn bare(provider: Provider) -> ClusterFile {
    ClusterFile { provider, has_crds: false, ..ClusterFile::default() }
}

/// kind is installed, has no cluster, and would make one.
pub fn stage() -> Stage {
    let stage = Stage::new();
    stage.recorded("kind", "version", "kind/version");
    stage.recorded("kind", "get clusters", "kind/daemon-get-clusters-none");
    stage.says("docker", MARKS, "");
    stage.says("docker", MARK, "drey-cluster-drey\n");
    stage.says("docker", "volume rm drey-cluster-drey", "drey-cluster-drey\n");
    stage.fails("docker", "rm -f -v drey-registry", "Error: No such container: drey-registry\n");
    stage.recorded("kind", "get kubeconfig --name drey", "kind/stub-get-kubeconfig");
    stage.recorded("kind", DELETE, "kind/stub-delete");
    stage.says("kubectl", &format!("{KUBECTL} get --raw /readyz --request-timeout=10s"), "ok");
    stage
}

#[test]
fn up_makes_a_cluster_with_a_kubeconfig_of_its_own() {
    let stage = stage();
    stage.recorded("kind", CREATE, "kind/stub-create");
    let ready = stage.up(&bare(Provider::Kind)).expect("it is made");
    assert_eq!((ready.provider, ready.context.as_str()), ("kind", "kind-drey"));
    assert!(std::fs::read_to_string(&ready.kubeconfig).unwrap().contains("https://127.0.0.1:40021"));
    assert_eq!(stage.changes(), [format!("docker {MARK}"), format!("kind {CREATE}")]);
    assert!(!stage.path().join(".kube").exists(), "the user's kubeconfig was touched");
    use std::os::unix::fs::PermissionsExt;
    let mode = ready.kubeconfig.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "others may read the keys");
}

#[test]
fn up_again_makes_nothing_again() {
    let stage = stage();
    stage.recorded("kind", CREATE, "kind/stub-create");
    stage.up(&bare(Provider::Kind)).expect("it is made");
    let before = stage.changes().len();
    stage.recorded("kind", "get clusters", "kind/stub-get-clusters");
    stage.says("docker", MARKS, "drey kind\n");
    let again = stage.up(&bare(Provider::Auto)).expect("it is there");
    assert_eq!(again.context, "kind-drey");
    assert_eq!(stage.changes().len(), before, "{:?}", stage.changes());
}

#[test]
fn the_engine_is_said_once_and_to_every_tool() {
    let mut stage = stage();
    stage.host = stage.host.clone().with("DOCKER_HOST", "unix:///elsewhere.sock");
    stage.recorded("kind", CREATE, "kind/stub-create");
    stage.up(&bare(Provider::Kind)).expect("it is made");
    let env = std::fs::read_to_string(stage.path().join("env.kind")).unwrap();
    assert_eq!(env.trim(), "DOCKER_HOST=unix:///elsewhere.sock");
    assert!(!stage.calls().iter().any(|call| call.contains("context inspect")), "DOCKER_HOST goes first");
}

/// A recorded failure of `kind create`, and what is said of it.
fn check_failed_create(recording: &str, trouble: Trouble, why: &str, next: &str) {
    let stage = stage();
    stage.recorded("kind", CREATE, recording);
    let problem = stage.up(&bare(Provider::Kind)).expect_err(recording);
    assert_eq!(problem.trouble, trouble, "{problem}");
    let text = problem.to_string();
    assert!(text.contains(why) && text.contains(next), "{text}");
    assert!(
        text.starts_with("create the cluster with kind: ") && text.contains("What was begun is taken back"),
        "{text}"
    );
    // The claim goes last, and only then the record.
    let changes = stage.changes();
    let end = &changes[changes.len() - 3..];
    assert_eq!(
        end,
        [&format!("kind {DELETE}"), "docker rm -f -v drey-registry", "docker volume rm drey-cluster-drey"]
    );
    assert!(!stage.state("").exists(), "its files stayed");
}

#[test]
fn failures_of_creation_are_explained_and_taken_back() {
    check_failed_create(
        "kind/daemon-create-image-pull-fails",
        Trouble::PullFailed,
        "dial tcp",
        "docker pull",
    );
    check_failed_create(
        "kind/daemon-create-privileged-refused",
        Trouble::PrivilegedRefused,
        "unable to apply caps",
        "kubeconfig",
    );
    check_failed_create("kind/config-port-taken", Trouble::PortTaken, "127.0.0.1:18081", "another port");
    check_failed_create("kind/daemon-create-exists", Trouble::NameTaken, "already exist", "--name");
    check_failed_create("kind/nodaemon-create", Trouble::EngineDown, "no container engine", "docker version");
}

/// kind says `not present locally` of every image when the daemon is down.
#[test]
fn an_engine_that_is_down_is_not_blamed_on_the_image() {
    let stage = Stage::empty();
    stage.recorded("docker", "context inspect", "docker/context-inspect");
    stage.recorded("kind", "version", "kind/version");
    let down =
        "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?\n";
    stage.fails("docker", "version --format {{.Server.Version}}", down);
    let file = ClusterFile { images: vec!["drey/x:1".to_owned()], ..bare(Provider::Kind) };
    let problem = stage.up(&file).expect_err("no daemon");
    assert_eq!(problem.trouble, Trouble::EngineDown, "{problem}");
    assert!(problem.to_string().contains(ENGINE), "{problem}");
    assert!(!stage.state("").exists());
}

#[test]
fn images_are_looked_for_before_anything_is_made() {
    let stage = stage();
    stage.recorded("docker", "image inspect drey/nope:1", "docker/image-inspect-missing");
    let file = ClusterFile { images: vec!["drey/nope:1".to_owned()], ..bare(Provider::Kind) };
    let problem = stage.up(&file).expect_err("no such image");
    assert_eq!(problem.trouble, Trouble::ImageMissing, "{problem}");
    assert_eq!(stage.changes(), [""; 0]);
}

#[test]
fn images_are_loaded() {
    let stage = stage();
    stage.recorded("kind", CREATE, "kind/stub-create");
    stage.recorded("docker", "image inspect drey/hello:1", "docker/image-inspect");
    stage.recorded("kind", "load docker-image drey/hello:1 --name drey", "kind/stub-load-docker-image");
    let file = ClusterFile { images: vec!["drey/hello:1".to_owned()], ..bare(Provider::Kind) };
    stage.up(&file).expect("it is made");
    assert_eq!(stage.changes().last().unwrap(), "kind load docker-image drey/hello:1 --name drey");
}

/// docker would make an empty folder of it, owned by root.
#[test]
fn a_missing_mount_is_refused() {
    let stage = stage();
    let mount = Mount { host: stage.path().join("nope"), node: "/data".to_owned(), is_read_only: true };
    let problem =
        stage.up(&ClusterFile { mounts: vec![mount], ..bare(Provider::Kind) }).expect_err("no such folder");
    assert_eq!(problem.trouble, Trouble::MountMissing, "{problem}");
    assert!(!stage.path().join("nope").exists());
}

#[test]
fn a_taken_port_is_told_before_minutes_are_spent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let problem =
        stage().up(&ClusterFile { api_port: Some(port), ..bare(Provider::Kind) }).expect_err("taken");
    assert_eq!(problem.trouble, Trouble::PortTaken, "{problem}");
    assert!(problem.why.contains(&format!("127.0.0.1:{port}")), "{problem}");
}

#[test]
fn ports_of_the_configuration_are_on_loopback() {
    let stage = stage();
    let file = ClusterFile {
        ingress: Some(Ingress { port: 28080, image: "traefik:v3".to_owned() }),
        ports: vec![drey_clusters::file::Port { host: 28081, node: 30081 }],
        workers: 1,
        registry: Some(25000),
        ..bare(Provider::Kind)
    };
    let config: serde_json::Value = serde_json::from_str(&drey_clusters::maker::kind_config(&file)).unwrap();
    let mappings = config["nodes"][0]["extraPortMappings"].as_array().unwrap();
    assert_eq!(mappings.len(), 2);
    assert!(mappings.iter().all(|mapping| mapping["listenAddress"] == "127.0.0.1"), "{mappings:?}");
    assert_eq!(config["networking"]["apiServerAddress"], "127.0.0.1");
    assert_eq!(config["nodes"][1]["extraPortMappings"].as_array().unwrap().len(), 0, "a port maps once");
    drop(stage);
}

#[test]
fn what_goes_into_the_cluster_goes_through_kubectl() {
    let stage = stage();
    stage.recorded("kind", CREATE, "kind/stub-create");
    let args = [
        "get crd flinkdeployments.flink.apache.org --ignore-not-found -o json --request-timeout=10s",
        "apply --server-side --field-manager=drey --request-timeout=10s -f -",
        "wait --for=condition=Established --timeout=300s crd/flinkdeployments.flink.apache.org",
        "-n drey-system rollout status deployment/s3 --timeout=300s",
    ];
    for args in args {
        stage.says("kubectl", &format!("{KUBECTL} {args}"), "");
    }
    stage.says(
        "docker",
        "network inspect kind",
        include_str!("../recordings/docker/network-kind-inspect.json"),
    );
    let file = ClusterFile {
        has_crds: true,
        has_host: true,
        s3: Some(S3 { bucket: "drey".to_owned(), image: "minio/minio".to_owned() }),
        ..bare(Provider::Kind)
    };
    stage.up(&file).expect("it is furnished");
    let applied = stage.calls().iter().filter(|call| call.contains(" apply ")).count();
    assert_eq!(applied, 4, "CRDs, namespace, host, S3: {:?}", stage.calls());
}

#[test]
fn a_crd_of_another_version_is_not_written_over() {
    let stage = stage();
    stage.recorded("kind", CREATE, "kind/stub-create");
    let get = "get crd flinkdeployments.flink.apache.org --ignore-not-found -o json --request-timeout=10s";
    stage.says("kubectl", &format!("{KUBECTL} {get}"), r#"{"spec":{"versions":[{"name":"v1alpha1"}]}}"#);
    let problem = stage.up(&ClusterFile { has_crds: true, ..bare(Provider::Kind) }).expect_err("another CRD");
    assert_eq!(problem.trouble, Trouble::CrdVersion, "{problem}");
    assert!(problem.why.contains("v1alpha1") && problem.why.contains("v1beta1"), "{problem}");
}
