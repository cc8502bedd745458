//! What is ours, what is not, and what `prune` finds.

use std::time::Duration;

use drey_clusters::host::Place;
use drey_clusters::record::{Lock, Origin, Record, State};
use drey_clusters::{ClusterFile, Health, Permission, Provider, Trouble, Which};

use crate::kind::{self, bare};
use crate::stage::{ENGINE, Stage};

const MARKS: &str = "volume ls --filter label=drey.io/cluster --format {{.Label \"drey.io/cluster\"}} {{.Label \"drey.io/provider\"}}";

fn record(state: State) -> Record {
    Record {
        name: "drey".to_owned(),
        origin: Origin::Kind { engine: ENGINE.to_owned() },
        context: "kind-drey".to_owned(),
        state,
        owned_vm: None,
        is_temporary: false,
        is_merged: false,
    }
}

fn save(stage: &Stage, record: &Record) {
    record.save(&Place::of(&stage.host, &record.name)).expect("a record");
}

#[test]
fn a_cluster_of_another_tool_is_not_touched() {
    let stage = Stage::new();
    stage.recorded("kind", "version", "kind/version");
    stage.recorded("kind", "get clusters", "kind/stub-get-clusters");
    stage.says("docker", MARKS, "");
    let problem = stage.up(&bare(Provider::Kind)).expect_err("not ours");
    assert_eq!(problem.trouble, Trouble::ForeignCluster, "{problem}");
    let problem = stage.with(|clusters| clusters.down("drey")).expect_err("not ours");
    assert_eq!(problem.trouble, Trouble::ForeignCluster, "{problem}");
    assert_eq!(stage.changes(), [""; 0]);
}

#[test]
fn a_context_is_used_only_by_its_name() {
    let stage = Stage::empty();
    stage.says("kubectl", "config current-context", "prod\n");
    let problem = stage.up(&bare(Provider::Kubeconfig)).expect_err("not ours");
    assert_eq!(problem.trouble, Trouble::ForeignContext, "{problem}");
    assert!(problem.next.contains("--yes-use-context prod"), "{problem}");
    let other = Permission { context: Some("dev".to_owned()), ..Permission::default() };
    let problem = stage.with(|c| c.up(&bare(Provider::Kubeconfig), &other)).expect_err("another name");
    assert!(problem.why.contains("`dev`") && problem.why.contains("`prod`"), "{problem}");
    assert_eq!(stage.changes(), [""; 0]);
}

#[test]
fn a_name_belongs_to_one_context() {
    let stage = Stage::empty();
    save(
        &stage,
        &Record { origin: Origin::Kubeconfig { context: "dev".to_owned() }, ..record(State::Ready) },
    );
    stage.says("kubectl", "config current-context", "prod\n");
    let permission = Permission { context: Some("prod".to_owned()), ..Permission::default() };
    let problem =
        stage.with(|c| c.up(&bare(Provider::Kubeconfig), &permission)).expect_err("another context");
    assert_eq!(problem.trouble, Trouble::NameTaken, "{problem}");
    assert!(stage.state("record.json").exists());
}

/// What kubectl says of a server, as it was seen of 1.32, and what is told.
#[test]
fn a_server_that_cannot_be_used_is_explained() {
    let check = |stderr: &str, trouble: Trouble| {
        let stage = Stage::empty();
        stage.says("kubectl", "config current-context", "prod\n");
        stage.says("kubectl", "config view --raw --minify --flatten --context prod", "apiVersion: v1\n");
        let ready = "--kubeconfig $STATE/kubeconfig --context prod get --raw /readyz --request-timeout=10s";
        stage.fails("kubectl", ready, stderr);
        let mut file = bare(Provider::Kubeconfig);
        file.wait = Duration::from_secs(1);
        let permission = Permission { context: Some("prod".to_owned()), ..Permission::default() };
        let problem = stage.with(|c| c.up(&file, &permission)).expect_err(stderr);
        assert_eq!(problem.trouble, trouble, "{problem}");
    };
    check(
        "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?\n",
        Trouble::Unreachable,
    );
    check("Unable to connect to the server: dial tcp 10.0.0.1:6443: i/o timeout\n", Trouble::Unreachable);
    check(
        "Unable to connect to the server: tls: failed to verify certificate: x509: certificate has expired or is not yet valid\n",
        Trouble::CertificateBad,
    );
    check("error: You must be logged in to the server (Unauthorized)\n", Trouble::Forbidden);
    check(
        "Error from server (Forbidden): forbidden: User \"u\" cannot get path \"/readyz\"\n",
        Trouble::Forbidden,
    );
}

#[test]
fn what_was_given_up_halfway_is_made_again() {
    let stage = Stage::new();
    save(&stage, &record(State::Creating));
    stage.recorded("kind", "version", "kind/version");
    stage.recorded("kind", "get clusters", "kind/daemon-get-clusters-after-retain");
    stage.says("docker", MARKS, "drey kind\n");
    stage.says("docker", kind::MARK, "drey-cluster-drey\n");
    stage.recorded("kind", "delete cluster --name drey --kubeconfig $STATE/kubeconfig", "kind/stub-delete");
    stage.recorded("kind", kind::CREATE, "kind/stub-create");
    stage.recorded("kind", "get kubeconfig --name drey", "kind/stub-get-kubeconfig");
    stage.says(
        "kubectl",
        "--kubeconfig $STATE/kubeconfig --context kind-drey get --raw /readyz --request-timeout=10s",
        "ok",
    );
    stage.up(&bare(Provider::Kind)).expect("it is made again");
    let changes = stage.changes();
    assert!(changes[1].starts_with("kind delete") && changes[2].starts_with("kind create"), "{changes:?}");
}

/// A cluster whose CRDs could not be installed is there all the same.
#[test]
fn what_has_a_kubeconfig_is_gone_on_with() {
    let stage = kind::stage();
    stage.recorded("kind", kind::CREATE, "kind/stub-create");
    let crd = "--kubeconfig $STATE/kubeconfig --context kind-drey get crd \
               flinkdeployments.flink.apache.org --ignore-not-found -o json --request-timeout=10s";
    stage.says("kubectl", crd, r#"{"spec":{"versions":[{"name":"v1alpha1"}]}}"#);
    let with_crds = ClusterFile { has_crds: true, ..bare(Provider::Kind) };
    stage.up(&with_crds).expect_err("another CRD");
    let health = stage.with(|c| c.status(None)).expect("listed").remove(0).health;
    assert_eq!(health, Health::HalfMade);

    let before = stage.changes();
    stage.recorded("kind", "get clusters", "kind/stub-get-clusters");
    stage.says("docker", MARKS, "drey kind\n");
    stage.up(&bare(Provider::Kind)).expect("it goes on");
    assert_eq!(stage.changes(), before, "it was made again");
}

/// After kill -9 there is a record that says `creating`, perhaps a claim, perhaps nodes: all go.
#[test]
fn prune_finds_what_a_killed_run_left() {
    let stage = kind::stage();
    save(&stage, &record(State::Creating));
    let strays = Which::Strays { older_than: Duration::from_secs(3600) };
    let pruned = stage.with(|c| c.prune(&strays, false)).expect("pruned");
    assert_eq!(pruned.removed, ["drey"]);
    assert!(stage.changes().iter().any(|call| call == "docker volume rm drey-cluster-drey"));
    assert!(!stage.state("").exists());
}

#[test]
fn prune_leaves_what_is_used_and_tells_of_what_it_does_not_know() {
    let stage = Stage::new();
    save(&stage, &record(State::Ready));
    stage.says("docker", MARKS, "drey kind\nelsewhere k3d\n");
    let strays = Which::Strays { older_than: Duration::ZERO };
    let pruned = stage.with(|c| c.prune(&strays, false)).expect("looked");
    assert_eq!((pruned.removed.len(), pruned.of_others), (0, vec!["elsewhere".to_owned()]));

    // One made for a run, and old enough; but somebody is at work on it.
    save(&stage, &Record { is_temporary: true, ..record(State::Ready) });
    let lock = Lock::take(&Place::of(&stage.host, "drey")).unwrap().expect("free");
    assert_eq!(stage.with(|c| c.prune(&strays, true)).unwrap().removed, [""; 0]);
    drop(lock);
    assert_eq!(stage.with(|c| c.prune(&strays, true)).unwrap().removed, ["drey"]);
    assert_eq!(stage.with(|c| c.prune(&Which::All, true)).unwrap().removed, ["drey", "elsewhere"]);
    assert_eq!(stage.changes(), [""; 0], "a dry run changed something");
}

#[test]
fn two_runs_of_one_name_do_not_meet() {
    let stage = Stage::new();
    let _lock = Lock::take(&Place::of(&stage.host, "drey")).unwrap().expect("free");
    let problem = stage.up(&bare(Provider::Kind)).expect_err("in use");
    assert_eq!(problem.trouble, Trouble::InUse, "{problem}");
    assert!(problem.next.contains("--unique"), "{problem}");
}

#[test]
fn a_name_belongs_to_one_provider() {
    let stage = Stage::new();
    save(&stage, &record(State::Ready));
    stage.recorded("k3d", "version", "k3d/version");
    let problem = stage.up(&bare(Provider::K3d)).expect_err("kind has it");
    assert_eq!(problem.trouble, Trouble::NameTaken, "{problem}");
}

#[test]
fn status_tells_the_version_or_why_there_is_none() {
    let stage = Stage::new();
    save(&stage, &record(State::Ready));
    let version =
        "--kubeconfig $STATE/kubeconfig --context kind-drey get --raw /version --request-timeout=10s";
    stage.says("kubectl", version, r#"{"gitVersion":"v1.33.1"}"#);
    stage.fails("kubectl", version, "The connection to the server 127.0.0.1:1 was refused\n");
    let health = || stage.with(|c| c.status(None)).expect("listed").remove(0).health;
    assert_eq!(health(), Health::Ready("v1.33.1".to_owned()));
    let Health::NotReady(problem) = health() else { panic!("ready") };
    assert_eq!(problem.trouble, Trouble::Unreachable);
    let unknown = stage.with(|c| c.status(Some("other"))).expect_err("unknown");
    assert!(unknown.next.contains("drey"), "{unknown}");
}

#[test]
fn down_of_nothing_is_said_and_leaves_nothing() {
    let stage = Stage::new();
    stage.says("docker", MARKS, "");
    assert_eq!(stage.with(|c| c.down("drey")), Ok(false));
    assert!(!stage.state("").exists());
}

/// The user's kubeconfig is written to when asked, its current context stays.
#[test]
fn merging_keeps_the_current_context() {
    let stage = kind::stage();
    stage.recorded("kind", kind::CREATE, "kind/stub-create");
    let user = stage.path().join(".kube/config").display().to_string();
    stage.says("kubectl", &format!("config current-context --kubeconfig {user}"), "work\n");
    stage.says("kubectl", "config view --raw --flatten", "merged\n");
    stage.says("kubectl", &format!("config use-context work --kubeconfig {user}"), "");
    let permission = Permission { merge: true, ..Permission::default() };
    stage.with(|c| c.up(&bare(Provider::Kind), &permission)).expect("merged");
    assert_eq!(std::fs::read_to_string(&user).unwrap(), "merged\n");

    // `down` takes it out again; what the user took out meanwhile is gone already.
    stage.recorded("kind", "get clusters", "kind/daemon-get-clusters-none");
    stage.says("kubectl", &format!("config delete-context kind-drey --kubeconfig {user}"), "");
    let missing = format!("error: cannot delete cluster kind-drey, not in {user}\n");
    stage.fails("kubectl", &format!("config delete-cluster kind-drey --kubeconfig {user}"), &missing);
    stage.says("kubectl", &format!("config delete-user kind-drey --kubeconfig {user}"), "");
    assert_eq!(stage.with(|c| c.down("drey")), Ok(true));
}
