//! The container in a cluster: JobManager and TaskManager as separate processes under the image's own names, against
//! `fake-kube serve` as a third, through the code that a real pod takes.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use fake_flink::kubernetes::Api;
use http::Method;
use serde_json::{Value, json};

use crate::forms::{call, eventually};

/// Killed with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Cluster {
    folder: tempfile::TempDir,
    api: Api,
    address: (String, String),
    _server: Process,
}

/// `make test` builds it; a test of this crate alone may find none.
fn fake_kube() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_BIN_EXE_fake-flink")).with_file_name("fake-kube");
    beside.is_file().then_some(beside)
}

impl Cluster {
    /// With the application's Deployment. None, aloud, where there is no fake-kube.
    fn deployed() -> Option<Cluster> {
        let Some(binary) = fake_kube() else {
            eprintln!("skipped: no fake-kube beside the binary; cargo build -p fake-kube");
            return None;
        };
        let cluster = Cluster::start(&binary);
        cluster.deploy();
        Some(cluster)
    }

    fn start(binary: &Path) -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        std::fs::write(
            file("tokens"),
            "secret-token,system:serviceaccount:default:flink,1,\"system:masters\"\n",
        )
        .unwrap();
        std::fs::write(file("token"), "secret-token\n").unwrap();
        std::fs::write(file("namespace"), "default").unwrap();
        let mut server = Command::new(binary)
            .args(["serve", "--token-auth", file("tokens").to_str().unwrap()])
            .args(["--kubeconfig", file("kubeconfig").to_str().unwrap()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines().map(Result::unwrap);
        let ready = lines.find_map(|line| line.strip_prefix("ready https://").map(str::to_owned)).unwrap();
        let (host, port) = ready.rsplit_once(':').unwrap();
        let kubeconfig = std::fs::read_to_string(file("kubeconfig")).unwrap();
        let ca = kubeconfig.lines().find_map(|line| line.trim().strip_prefix("certificate-authority-data: "));
        let ca = base64::engine::general_purpose::STANDARD.decode(ca.unwrap().trim_matches('"')).unwrap();
        std::fs::write(file("ca.crt"), ca).unwrap();
        let api = Api::new(host, port, folder.path()).unwrap();
        Cluster { api, address: (host.to_owned(), port.to_owned()), folder, _server: Process(server) }
    }

    fn get(&self, path: &str) -> Option<Value> {
        self.api.get(path).ok()
    }

    /// What the operator has made before the JobManager's pod starts.
    fn deploy(&self) {
        let container = json!({"name": "flink-main-container", "image": "flink:1.20"});
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app"}, "spec": {
            "replicas": 0, "selector": {"matchLabels": {"app": "app"}},
            "template": {"metadata": {"labels": {"app": "app"}}, "spec": {"containers": [container]}}}});
        self.api.call(&Method::POST, DEPLOYMENTS, Some(&deployment)).unwrap();
    }

    /// A process under the entry point's name, with the arguments of a pod.
    fn container(&self, arguments: &[&str]) -> Process {
        let entry = self.folder.path().join("docker-entrypoint.sh");
        if !entry.exists() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_fake-flink"), &entry).unwrap();
        }
        let child = Command::new(entry)
            .args(arguments)
            .env("FLINK_CONF_DIR", self.folder.path())
            .env("KUBERNETES_SERVICE_HOST", &self.address.0)
            .env("KUBERNETES_SERVICE_PORT", &self.address.1)
            .env("FAKE_FLINK_SERVICE_ACCOUNT", self.folder.path())
            .env("_POD_IP_ADDRESS", "127.0.0.1")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Process(child)
    }

    fn pod(&self, name: &str) -> Option<Value> {
        self.get(&format!("/api/v1/namespaces/default/pods/{name}"))
    }

    /// Runs what a TaskManager pod says, as its kubelet would.
    fn run_pod(&self, name: &str) -> Process {
        eventually(name, || self.pod(name).is_some());
        let args = self.pod(name).unwrap()["spec"]["containers"][0]["args"].clone();
        let args: Vec<&str> = args.as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
        self.container(&args)
    }

    fn map(&self, name: &str) -> Option<Value> {
        self.get(&format!("/api/v1/namespaces/default/configmaps/{name}"))
    }
}

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const JOB_MANAGER: [&str; 3] = ["bash", "-c", "kubernetes-jobmanager.sh kubernetes-application "];

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Configures a native application with HA; gives the port of its REST API.
fn configure(cluster: &Cluster) -> u16 {
    let (rest, rpc) = (free_port(), free_port());
    let state = cluster.folder.path().display();
    let conf = format!(
        "kubernetes.cluster-id: app\nkubernetes.namespace: default\nkubernetes.container.image: flink:1.20\n\
         high-availability.type: kubernetes\nhigh-availability.storageDir: file://{state}/ha\n\
         high-availability.cluster-id: app\nhigh-availability.kubernetes.leader-election.lease-duration: 2 s\n\
         $internal.pipeline.job-id: 0000000000000000000000000000000a\n\
         execution.checkpointing.interval: 500 ms\nexecution.checkpointing.dir: file://{state}/checkpoints\n\
         restart-strategy.type: fixed-delay\nrestart-strategy.fixed-delay.attempts: 100\n\
         rest.bind-port: {rest}\nrest.bind-address: localhost\njobmanager.bind-host: localhost\njobmanager.rpc.port: {rpc}\n\
         high-availability.jobmanager.port: {rpc}\n"
    );
    std::fs::write(cluster.folder.path().join("flink-conf.yaml"), conf).unwrap();
    rest
}

#[test]
fn a_native_application_with_ha() {
    let Some(cluster) = Cluster::deployed() else { return };
    let rest = configure(&cluster);
    let mut job_manager = cluster.container(&JOB_MANAGER);
    let task_manager = cluster.run_pod("app-taskmanager-1-1");
    let pod = cluster.pod("app-taskmanager-1-1").unwrap();
    assert_eq!(pod["metadata"]["ownerReferences"][0]["name"], "app");
    assert_eq!(pod["metadata"]["labels"]["component"], "taskmanager");
    let address = format!("127.0.0.1:{rest}");
    let state = || call(&address, "GET", "/jobs/overview", "", "").1["jobs"][0]["state"].clone();
    eventually("the job runs", || state() == "RUNNING");
    let job_map = "app-0000000000000000000000000000000a-config-map";
    let has_checkpoint = || {
        let map = cluster.map(job_map).unwrap_or_default();
        map["data"].as_object().is_some_and(|data| data.keys().any(|key| key.starts_with("checkpointID-")))
    };
    eventually("a checkpoint is in the map", has_checkpoint);
    let leader = |map: &Value| map["data"].to_string().contains("org.apache.flink.k8s.leader.");
    assert!(leader(&cluster.map("app-cluster-config-map").unwrap()));

    // A TaskManager that is gone is missed, and another asked for.
    drop(task_manager);
    let task_manager = cluster.run_pod("app-taskmanager-1-2");
    eventually("the job runs again", || state() == "RUNNING");

    // A stopped JobManager gives up the lead and leaves everything else.
    Command::new("kill").args(["-TERM", &job_manager.0.id().to_string()]).status().unwrap();
    assert_eq!(job_manager.0.wait().unwrap().code(), Some(143));
    assert!(!leader(&cluster.map("app-cluster-config-map").unwrap()));
    assert!(has_checkpoint());

    // The successor finds the stored job and its checkpoint, and the TaskManager finds it by the lock.
    let mut job_manager = cluster.container(&JOB_MANAGER);
    eventually("a JobManager answers", || std::net::TcpStream::connect(&address).is_ok());
    eventually("the job is restored", || {
        let path = "/jobs/0000000000000000000000000000000a/checkpoints";
        call(&address, "GET", path, "", "").1["latest"]["restored"]["id"].as_u64().is_some()
    });
    eventually("it runs", || state() == "RUNNING");
    drop(task_manager);

    // The end of the cluster is the end of its Deployment and of the lock; maps of jobs that did not end stay.
    assert_eq!(call(&address, "DELETE", "/cluster", "", "").0, 200);
    assert_eq!(job_manager.0.wait().unwrap().code(), Some(0));
    eventually("the lock is gone", || cluster.map("app-cluster-config-map").is_none());
    eventually("the Deployment is gone", || cluster.get(&format!("{DEPLOYMENTS}/app")).is_none());
    assert!(has_checkpoint());
}

#[test]
fn metadata_that_others_delete_is_not_made_anew_and_the_next_life_begins_from_nothing() {
    let Some(cluster) = Cluster::deployed() else { return };
    let address = format!("127.0.0.1:{}", configure(&cluster));
    let checkpoints =
        || call(&address, "GET", "/jobs/0000000000000000000000000000000a/checkpoints", "", "").1;
    let completed = || checkpoints()["latest"]["completed"]["id"].as_u64();
    let mut job_manager = cluster.container(&JOB_MANAGER);
    let task_manager = cluster.run_pod("app-taskmanager-1-1");
    eventually("a JobManager answers", || std::net::TcpStream::connect(&address).is_ok());
    eventually("an eighth checkpoint", || completed() >= Some(8));
    let names = ["app-0000000000000000000000000000000a-config-map", "app-cluster-config-map"];
    for name in names {
        let path = format!("/api/v1/namespaces/default/configmaps/{name}");
        cluster.api.call(&Method::DELETE, &path, None).unwrap();
    }
    // Flink's own: the lock "is deleted externally", a fatal error.
    assert_eq!(job_manager.0.wait().unwrap().code(), Some(2));
    for name in names {
        assert_eq!(cluster.map(name), None);
    }
    drop(task_manager);

    let _job_manager = cluster.container(&JOB_MANAGER);
    let _task_manager = cluster.run_pod("app-taskmanager-2-1");
    eventually("a JobManager answers", || std::net::TcpStream::connect(&address).is_ok());
    eventually("checkpoints are counted anew", || completed().is_some_and(|id| id < 8));
    assert_eq!(checkpoints()["latest"]["restored"], Value::Null);
}

#[test]
fn standalone_processes_find_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let entry = folder.path().join("docker-entrypoint.sh");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_fake-flink"), &entry).unwrap();
    let (rest, rpc) = (free_port(), free_port());
    let properties = format!(
        "rest.port: {rest}\nrest.bind-address: localhost\njobmanager.bind-host: localhost\njobmanager.rpc.port: {rpc}\n"
    );
    let start = |word: &str| {
        let mut command = Command::new(&entry);
        command.arg(word).env("FLINK_PROPERTIES", &properties).env("JOB_MANAGER_RPC_ADDRESS", "localhost");
        command.env("TASK_MANAGER_NUMBER_OF_TASK_SLOTS", "3").env("FLINK_VERSION", "2.2.1");
        Process(command.env("FLINK_CONF_DIR", folder.path()).stdout(Stdio::null()).spawn().unwrap())
    };
    let (_job_manager, _task_manager) = (start("jobmanager"), start("taskmanager"));
    let address = format!("127.0.0.1:{rest}");
    eventually("a JobManager answers", || std::net::TcpStream::connect(&address).is_ok());
    let overview = || call(&address, "GET", "/overview", "", "").1;
    eventually("3 slots", || overview()["slots-total"] == 3);
    assert_eq!(overview()["flink-version"], "2.2.1");
    let unknown = Command::new(&entry).arg("history-server").output().unwrap();
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("standalone-job"));
}
