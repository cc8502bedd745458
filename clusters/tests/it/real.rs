//! The real tools. `ci/test-clusters` builds kind, starts a docker daemon and makes the stub node image; without what it
//! sets in the environment these tests say that they were skipped. kubectl is a stand-in: stub nodes run no API server.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use drey_clusters::host::Place;
use drey_clusters::record::{Record, State};
use drey_clusters::{
    Call, ClusterFile, Clusters, Host, Outcome, Permission, Processes, Provider, Runner, Trouble, Which,
};

use crate::kind::bare;

/// Real kind and docker, with records of its own.
struct Real {
    folder: tempfile::TempDir,
    path: String,
    docker: String,
    engine: String,
    _turn: MutexGuard<'static, ()>,
}

/// They share a daemon, and one of them removes all it finds there.
static TURN: Mutex<()> = Mutex::new(());

/// `None` was said aloud.
fn real(engine: Option<String>, what: &str) -> Option<Real> {
    let kind = std::env::var("DREY_KIND").ok().map(PathBuf::from);
    let (Some(kind), Some(engine), Some(docker)) = (kind, engine, docker()) else {
        eprintln!("skipped: {what}: `make test-clusters` brings kind and docker");
        return None;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let kubectl = folder.path().join("kubectl");
    fs::write(&kubectl, "#!/bin/sh\necho '{\"gitVersion\":\"stub\"}'\n").expect("a stand-in");
    fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755)).expect("a program");
    let wrapper = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci/stub-node/bin");
    let folders =
        [folder.path(), &wrapper, kind.parent().expect("a folder"), Path::new("/usr/bin"), Path::new("/bin")];
    let path = folders.map(|folder| folder.display().to_string()).join(":");
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    Some(Real { folder, path, docker, engine, _turn })
}

fn docker() -> Option<String> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join("docker"))
        .find(|f| f.exists())
        .map(|f| f.display().to_string())
}

fn with_nodes() -> Option<Real> {
    real(std::env::var("DREY_DOCKER_HOST").ok(), "real kind with stub nodes")
}

impl Real {
    fn host(&self) -> Host {
        let folder = self.folder.path().display().to_string();
        Host::default().with("HOME", &folder).with("DREY_STATE", folder).with("DOCKER_HOST", &self.engine)
    }

    fn runner(&self, interrupted: &Arc<AtomicBool>) -> Processes {
        Processes::new(interrupted.clone()).env("PATH", &self.path).env("DREY_REAL_DOCKER", &self.docker)
    }

    fn with<T>(&self, act: impl FnOnce(&Clusters<'_>) -> T) -> T {
        let (runner, host) = (self.runner(&Arc::default()), self.host());
        act(&Clusters::new(&runner, &host, &|_: &str| ()))
    }

    fn run(&self, program: &str, args: &[&str]) -> Outcome {
        let call = Call::new(program, args.iter().copied()).env("DOCKER_HOST", &self.engine);
        self.runner(&Arc::default()).run(&call.within(Duration::from_secs(60))).expect("it runs")
    }

    /// Nodes and claims of a name.
    fn left(&self, name: &str) -> String {
        let label = format!("label=io.x-k8s.kind.cluster={name}");
        let nodes = self.run("docker", &["ps", "-aq", "--filter", &label]).stdout;
        nodes
            + &self
                .run("docker", &["volume", "ls", "-q", "--filter", &format!("label=drey.io/cluster={name}")])
                .stdout
    }
}

fn file(name: &str) -> ClusterFile {
    ClusterFile {
        name: name.to_owned(),
        node_image: Some("drey/stub-node:1".to_owned()),
        wait: Duration::from_secs(30),
        ..bare(Provider::Auto)
    }
}

#[test]
fn without_docker_the_engine_is_blamed() {
    let Some(real) = real(Some("unix:///nonexistent.sock".to_owned()), "real kind without docker") else {
        return;
    };
    let problem =
        real.with(|c| c.up(&ClusterFile { provider: Provider::Kind, ..file("a") }, &Permission::default()));
    let problem = problem.expect_err("no docker");
    assert_eq!(problem.trouble, Trouble::EngineDown, "{problem}");
    // What kind itself says is understood, too.
    for args in [&["get", "clusters"][..], &["create", "cluster", "--name", "a"]] {
        let call = Call::new("kind", args.iter().copied());
        let problem = drey_clusters::explain::exit("ask kind", &call, &real.run("kind", args));
        assert_eq!(problem.trouble, Trouble::EngineDown, "{problem}");
    }
    eprintln!("real kind without docker: 3 calls");
}

#[test]
fn up_load_status_down() {
    let Some(real) = with_nodes() else { return };
    let file = ClusterFile { images: vec!["drey/hello:1".to_owned()], workers: 1, ..file("life") };
    let ready = real.with(|c| c.up(&file, &Permission::default())).expect("it is made");
    assert_eq!((ready.provider, ready.context.as_str()), ("kind", "kind-life"));
    let kubeconfig = fs::read_to_string(&ready.kubeconfig).expect("a kubeconfig");
    assert!(
        kubeconfig.contains("server: https://127.0.0.1:") && kubeconfig.contains("kind-life"),
        "{kubeconfig}"
    );
    assert!(!real.folder.path().join(".kube").exists(), "kind wrote to the user's kubeconfig");
    for node in ["life-control-plane", "life-worker"] {
        let imported = real.run("docker", &["exec", node, "cat", "/imported"]);
        assert!(
            imported.stdout.trim().parse::<u64>().is_ok_and(|bytes| bytes > 1024),
            "{node}: {imported:?}"
        );
    }
    let nodes = real.left("life");
    real.with(|c| c.up(&file, &Permission::default())).expect("again");
    assert_eq!(real.left("life"), nodes, "a second `up` made something");
    real.with(|c| c.load_images("life", &["drey/hello:1".to_owned()])).expect("loaded");
    let missing =
        real.with(|c| c.load_images("life", &["drey/nope:1".to_owned()])).expect_err("no such image");
    assert_eq!(missing.trouble, Trouble::ImageMissing, "{missing}");
    assert_eq!(real.with(|c| c.status(None)).expect("listed").len(), 1);
    assert_eq!(real.with(|c| c.down("life")), Ok(true));
    assert_eq!((real.left("life").as_str(), real.with(|c| c.down("life"))), ("", Ok(false)));
    eprintln!("real kind with stub nodes: 1 life");
}

#[test]
fn a_cluster_that_kind_made_for_somebody_else_stays() {
    let Some(real) = with_nodes() else { return };
    let kubeconfig = real.folder.path().join("theirs").display().to_string();
    let made = real.run(
        "kind",
        &[
            "create",
            "cluster",
            "--name",
            "theirs",
            "--image",
            "drey/stub-node:1",
            "--kubeconfig",
            &kubeconfig,
        ],
    );
    assert!(made.is_success(), "{made:?}");
    let up = real.with(|c| c.up(&file("theirs"), &Permission::default())).expect_err("not ours");
    let down = real.with(|c| c.down("theirs")).expect_err("not ours");
    let pruned = real.with(|c| c.prune(&Which::All, true)).expect("looked");
    let nodes = real.left("theirs");
    real.run("kind", &["delete", "cluster", "--name", "theirs", "--kubeconfig", &kubeconfig]);
    assert_eq!((up.trouble, down.trouble), (Trouble::ForeignCluster, Trouble::ForeignCluster), "{up} {down}");
    assert!(!pruned.removed.contains(&"theirs".to_owned()), "{pruned:?}");
    assert!(!nodes.is_empty());
}

#[test]
fn a_failure_leaves_nothing() {
    let Some(real) = with_nodes() else { return };
    let pull = ClusterFile { node_image: Some("127.0.0.1:1/nope:1".to_owned()), ..file("fails") };
    let problem = real.with(|c| c.up(&pull, &Permission::default())).expect_err("no such image");
    assert_eq!(problem.trouble, Trouble::PullFailed, "{problem}");
    assert_eq!(real.left("fails"), "");
    assert!(!Place::of(&real.host(), "fails").folder.exists());
}

#[test]
fn ctrl_c_takes_back_what_was_begun() {
    let Some(real) = with_nodes() else { return };
    let flag = Arc::new(AtomicBool::new(false));
    let (runner, host) = (real.runner(&flag), real.host());
    // As soon as creating is said, which is before anything is there.
    let say = |text: &str| {
        if text.starts_with("create") {
            let flag = flag.clone();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(700));
                flag.store(true, Ordering::Relaxed);
            });
        }
    };
    let problem = Clusters::new(&runner, &host, &say).up(&file("stopped"), &Permission::default());
    assert_eq!(problem.expect_err("interrupted").trouble, Trouble::Interrupted);
    assert_eq!(real.left("stopped"), "");
}

#[test]
fn runs_beside_each_other_have_clusters_of_their_own() {
    let Some(real) = with_nodes() else { return };
    let names = [1, 2].map(|salt| drey_clusters::name::unique("side", salt));
    let permission = Permission { is_temporary: true, ..Permission::default() };
    std::thread::scope(|scope| {
        for name in &names {
            let (real, permission) = (&real, &permission);
            scope.spawn(move || real.with(|c| c.up(&file(name), permission)).expect("it is made"));
        }
    });
    assert_eq!(real.with(|c| c.status(None)).expect("listed").len(), 2);
    let pruned =
        real.with(|c| c.prune(&Which::Strays { older_than: Duration::ZERO }, false)).expect("pruned");
    assert_eq!(pruned.removed, names);
    assert_eq!(names.map(|name| real.left(&name)), ["", ""]);
}

/// The other half of the next test: makes a cluster, in a process that is killed.
#[test]
fn child_makes_a_cluster() {
    let Ok(folder) = std::env::var("DREY_TEST_CHILD") else { return };
    let Some(real) = with_nodes() else { return };
    let host = real.host().with("DREY_STATE", folder);
    let runner = real.runner(&Arc::default());
    let made = Clusters::new(&runner, &host, &|_: &str| ()).up(&file("killed"), &Permission::default());
    panic!("nobody killed this process: {made:?}");
}

#[test]
fn kill_9_leaves_nothing_that_prune_does_not_find() {
    let Some(real) = with_nodes() else { return };
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "real::child_makes_a_cluster", "--nocapture"])
        .env("DREY_TEST_CHILD", real.folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let place = Place::of(&real.host(), "killed");
    wait_for("the record", || Record::load(&place).is_some());
    wait_for("a node", || {
        !real.run("docker", &["ps", "-aq", "--filter", "name=killed-control-plane"]).stdout.is_empty()
    });
    child.kill().expect("killed");
    child.wait().expect("gone");
    assert_eq!(Record::load(&place).expect("a record").state, State::Creating);
    // The tool lives on for a moment and finishes what it was told.
    wait_for("kind", || !real.run("kind", &["get", "clusters"]).stdout.is_empty());
    std::thread::sleep(Duration::from_secs(5));
    let strays = Which::Strays { older_than: Duration::from_secs(3600) };
    let found = real.with(|c| c.prune(&strays, false)).expect("pruned");
    assert_eq!((found.removed, real.left("killed")), (vec!["killed".to_owned()], String::new()));

    // With the records gone, too, as in a fresh container of CI, the label on the engine remains.
    real.with(|c| c.up(&file("lost"), &Permission::default())).expect("it is made");
    fs::remove_dir_all(real.folder.path().join("clusters")).expect("forgotten");
    assert_eq!(real.with(|c| c.prune(&strays, true)).expect("looked").of_others, ["lost"]);
    assert_eq!(real.with(|c| c.prune(&Which::All, false)).expect("pruned").removed, ["lost"]);
    assert_eq!(real.left("lost"), "");
}

fn wait_for(what: &str, is_there: impl Fn() -> bool) {
    for _ in 0..300 {
        if is_there() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{what} did not come");
}

/// k3d and Colima come from no registry that is reachable everywhere: they are asked where somebody installed them.
#[test]
fn installed_tools_know_our_flags() {
    for (program, args) in [("k3d", ["cluster", "create"]), ("colima", ["start", "default"])] {
        let runner = Processes::new(Arc::default());
        if !runner.has(program) {
            eprintln!("skipped: real {program}: not on PATH");
            continue;
        }
        let help = runner.run(&Call::new(program, args).arg("--help")).expect("it runs").stdout;
        let wanted = match program {
            "k3d" => &["--api-port", "--timeout", "--agents", "--k3s-arg", "--kubeconfig-update-default"][..],
            _ => &["--activate", "--cpus", "--memory", "--disk", "--kubernetes"],
        };
        let missing: Vec<&&str> = wanted.iter().filter(|flag| !help.contains(**flag)).collect();
        assert!(missing.is_empty(), "{program} does not know {missing:?}");
    }
}
