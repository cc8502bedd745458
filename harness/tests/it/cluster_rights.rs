//! A kubeconfig whose user lacks one right: that right is named before anything is played, whichever it is.

use std::fmt::Write;
use std::path::Path;

use drey_harness::modes::cluster::RemoteOptions;
use drey_harness::modes::{OperatorRights, OperatorUnderTest, RemoteCluster};
use drey_harness::run::rights::Right;
use drey_harness::world::{CommandLine, TimeOfDay};
use jiff::Timestamp;

use crate::cluster_bad_input::{Served, write};
use crate::rights::granted;
use crate::support::repository;

const RBAC: &str = "rbac.authorization.k8s.io";

fn right(text: &str) -> Right {
    let (verb, what) = text.split_once(' ').expect("verb and resource");
    let (resource, group) = what.split_once('.').unwrap_or((what, ""));
    Right { group: group.to_owned(), resource: resource.to_owned(), verb: verb.to_owned() }
}

/// What a case does with the user's own rights, the operator's apart. The pods' account gets `*` of some resources, and nobody
/// gives away what they do not have.
fn of_a_case() -> Vec<Right> {
    let mut rights = vec!["create namespaces".to_owned(), "delete namespaces".to_owned()];
    for verb in ["get", "list", "watch", "create", "patch", "delete"] {
        rights.push(format!("{verb} flinkdeployments.flink.apache.org"));
    }
    for resource in ["deployments.apps", "pods", "configmaps", "services", "events"] {
        rights.extend(["get", "list", "watch"].map(|verb| format!("{verb} {resource}")));
    }
    for resource in
        ["serviceaccounts", "roles.rbac.authorization.k8s.io", "rolebindings.rbac.authorization.k8s.io"]
    {
        rights.push(format!("create {resource}"));
    }
    rights.iter().map(|text| right(text)).collect()
}

/// For who may give away what they do not have.
fn beyond() -> Vec<Right> {
    ["escalate", "bind"]
        .map(|verb| Right { group: RBAC.to_owned(), resource: "roles".to_owned(), verb: verb.to_owned() })
        .to_vec()
}

/// What the chart grants, but for what only OpenShift asks for.
fn of_the_operator() -> Vec<Right> {
    granted("drey.operatorRules")
        .into_iter()
        .filter(|right| !right.resource.ends_with("/finalizers"))
        .collect()
}

fn unique(rights: impl IntoIterator<Item = Right>) -> Vec<Right> {
    let all: std::collections::BTreeSet<Right> = rights.into_iter().collect();
    all.into_iter().collect()
}

/// Users `user-0`, `user-1`, .., each with a list of rights, over the whole cluster.
fn start(folder: &Path, users: &[Vec<Right>]) -> Served {
    let (mut tokens, mut objects) = ("root,root,0,\"system:masters\"\n".to_owned(), String::new());
    for (index, rights) in users.iter().enumerate() {
        let user = format!("user-{index}");
        writeln!(tokens, "{user},{user},{index},\"dev\"").expect("text");
        writeln!(
            objects,
            "---\napiVersion: {RBAC}/v1\nkind: ClusterRole\nmetadata: {{name: {user}}}\nrules:"
        )
        .expect("text");
        for Right { group, resource, verb } in rights {
            writeln!(objects, "- {{apiGroups: ['{group}'], resources: ['{resource}'], verbs: ['{verb}']}}")
                .expect("text");
        }
        writeln!(
            objects,
            "---\napiVersion: {RBAC}/v1\nkind: ClusterRoleBinding\nmetadata: {{name: {user}}}\n\
             roleRef: {{apiGroup: {RBAC}, kind: ClusterRole, name: {user}}}\n\
             subjects: [{{apiGroup: {RBAC}, kind: User, name: {user}}}]"
        )
        .expect("text");
    }
    let (tokens, objects) = (write(folder, "tokens", &tokens), write(folder, "roles.yaml", &objects));
    let plain = |path: &Path| path.to_str().expect("a plain path").to_owned();
    let crds = plain(&repository("deploy/crds"));
    Served::start(
        folder,
        &["--token-auth", &plain(&tokens), "--manifests", &plain(&objects), "--crds", &crds],
    )
}

/// Refused with this text, or admitted.
fn connect(
    served: &Served,
    user: usize,
    operator: OperatorUnderTest,
    rights: Option<OperatorRights>,
) -> Result<(), String> {
    let options = RemoteOptions {
        kubeconfig: Some(served.of(&format!("user-{user}"))),
        context: None,
        namespace: None,
        operator,
        time: TimeOfDay::starting(Timestamp::UNIX_EPOCH),
        flink_control: None,
        rights,
        control: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(RemoteCluster::connect(&options)).map(drop).map_err(|error| format!("{error:#}"))
}

#[test]
fn each_right_that_is_missing_is_named() {
    let needed = unique(of_a_case().into_iter().chain(of_the_operator()));
    assert!(needed.len() > 30, "{needed:?}");
    let all = [needed.clone(), beyond()].concat();
    let mut users = vec![all.clone()];
    users.extend(needed.iter().map(|one| all.iter().filter(|other| *other != one).cloned().collect()));
    let folder = tempfile::tempdir().expect("a folder");
    let served = start(folder.path(), &users);
    assert_eq!(connect(&served, 0, OperatorUnderTest::InProcess, None), Ok(()));
    for (index, one) in needed.iter().enumerate() {
        let told =
            connect(&served, index + 1, OperatorUnderTest::InProcess, None).expect_err(&one.to_string());
        assert!(
            told.contains(&format!("its user may not {one}")) && told.contains("\nnext: "),
            "{one}: {told}"
        );
    }
}

#[test]
fn nobody_gives_away_what_they_do_not_have() {
    let stars = ["pods", "configmaps", "deployments.apps", "deployments/finalizers.apps"];
    let stars: Vec<Right> = stars.iter().map(|resource| right(&format!("* {resource}"))).collect();
    let applied =
        ["serviceaccounts", "roles.rbac.authorization.k8s.io", "rolebindings.rbac.authorization.k8s.io"];
    let applied = applied.map(|resource| right(&format!("patch {resource}")));
    let account = applied.into_iter().chain([right("create serviceaccounts/token")]);
    let case = of_a_case();
    let chart: Vec<Right> =
        granted("drey.operatorRules").into_iter().chain(granted("drey.leaseRules")).collect();
    let accounts = unique(case.clone().into_iter().chain(account));
    let users = [
        case.clone(),
        [case, stars.clone()].concat(),
        [accounts.clone(), stars.clone()].concat(),
        [accounts.clone(), stars, chart].concat(),
        [accounts, beyond()].concat(),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let served = start(folder.path(), &users);
    let program =
        || OperatorUnderTest::Command(std::sync::Arc::new(CommandLine::new("true").expect("a command")));
    let rights = || Some(OperatorRights::read(&repository("deploy/golden/full.yaml")).expect("rules"));
    let check = |user: usize, rights: Option<OperatorRights>, refused: &[&str]| {
        let told = connect(&served, user, program(), rights);
        assert_eq!(told.is_err(), !refused.is_empty(), "{user}: {told:?}");
        let text = told.err().unwrap_or_default();
        assert!(refused.iter().all(|part| text.contains(part)), "{user}: {refused:?} in {text}");
    };
    check(
        0,
        None,
        &["* pods, * configmaps", "which the account of Flink's pods gets", "`escalate` and `bind`"],
    );
    check(1, None, &[]);
    check(
        1,
        rights(),
        &["patch serviceaccounts", "create serviceaccounts/token", "the operator's own account"],
    );
    check(2, rights(), &["which --operator-rights gives the operator", "nobody gives away"]);
    check(3, rights(), &[]);
    check(4, rights(), &[]);
}
