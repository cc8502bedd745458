//! Helm 3 with a chart of ours (`tests/clients/chart`): a CRD, an object of it, hooks, a workload to wait for.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::{World, built, file, story};

const JOBS: &str = "/apis/batch/v1/namespaces/shop/jobs";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/shop/deployments/demo";
const GADGET: &str = "/apis/toys.example.com/v1/namespaces/shop/gadgets/demo";

/// A Helm in the namespace `shop`.
pub(super) struct Helm<'a> {
    pub(super) program: PathBuf,
    pub(super) world: &'a World,
}

impl Helm<'_> {
    pub(super) fn try_run(&self, args: &[&str]) -> Result<String, String> {
        let out = Command::new(&self.program)
            .env("KUBECONFIG", self.world.path("config"))
            .env("HOME", self.world.folder.path())
            .args(["--namespace", "shop"])
            .args(args)
            .output()
            .expect("helm runs");
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        if out.status.success() { Ok(text(&out.stdout)) } else { Err(text(&out.stderr)) }
    }

    pub(super) fn run(&self, args: &[&str]) -> String {
        self.try_run(args).unwrap_or_else(|e| panic!("helm {args:?}: {e}"))
    }

    /// Revision, status and description of each revision.
    pub(super) fn history(&self) -> Vec<(u64, String, String)> {
        let all: Vec<Value> =
            serde_json::from_str(&self.run(&["history", "demo", "-o", "json"])).expect("JSON");
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let row =
            |r: &Value| (r["revision"].as_u64().unwrap_or(0), text(&r["status"]), text(&r["description"]));
        all.iter().map(row).collect()
    }
}

#[test]
fn a_release_from_install_to_uninstall() {
    let Some(program) = built("helm") else { return };
    let chart = file("chart");
    story(&[], async |world| {
        let helm = Helm { program, world: &world };
        let wait = ["--wait", "--wait-for-jobs", "--timeout", "80s"];
        let install = [&["install", "demo", &chart, "--create-namespace"][..], &wait].concat();
        let installed = helm.run(&install);
        assert!(installed.contains("STATUS: deployed") && installed.contains("demo says one"), "{installed}");
        let gadget = world.get(GADGET).await.expect("a gadget");
        assert_eq!((&gadget["spec"]["size"], &gadget["spec"]["colour"]), (&3.into(), &"red".into()));
        let ready = |d: &Value| d["status"]["readyReplicas"] == 2;
        assert!(ready(&world.get(DEPLOYMENT).await.expect("a deployment")), "install waited");
        let jobs: Vec<String> =
            world.items(JOBS).await.iter().map(|j| j["metadata"]["name"].to_string()).collect();
        assert_eq!(
            jobs,
            ["\"demo-after\"", "\"demo-batch\""],
            "the hook that succeeded is gone, the other stays"
        );

        // It looks things up in the cluster, and asks it what it serves.
        let planned = helm.run(&["upgrade", "demo", &chart, "--dry-run=server"]);
        assert!(planned.contains("seen: \"yes\"") && planned.contains("serves: \"true\""), "{planned}");
        assert_eq!(helm.history(), [(1, "deployed".to_owned(), "Install complete".to_owned())]);
        upgrades(&helm, &chart, &wait).await;
        let shown = helm.run(&["get", "manifest", "demo"]);
        assert!(shown.contains("text: one") && !shown.contains("text: two"), "{shown}");
        assert!(helm.run(&["get", "hooks", "demo"]).contains("demo-before"));
        let tested = helm.run(&["test", "demo", "--logs", "--timeout", "60s"]);
        assert!(tested.contains("Phase:          Succeeded") && tested.contains("tested"), "{tested}");

        helm.run(&["uninstall", "demo", "--wait", "--timeout", "60s"]);
        for path in [DEPLOYMENT, GADGET, "/api/v1/namespaces/shop/configmaps/demo"] {
            world.until_gone(path).await;
        }
        assert!(helm.run(&["list", "--all", "-o", "json"]).trim() == "[]");
        let crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gadgets.toys.example.com";
        assert!(world.get(crd).await.is_some(), "CRDs of a chart stay");
        caches_are_believed(&world);
    });
}

async fn upgrades(helm: &Helm<'_>, chart: &str, wait: &[&str]) {
    let text = async || {
        let found = helm.world.get("/api/v1/namespaces/shop/configmaps/demo").await;
        found.and_then(|c| c["data"]["text"].as_str().map(str::to_owned)).unwrap_or_default()
    };
    helm.run(&[&["upgrade", "demo", chart, "--set", "text=two", "--set", "replicas=1"], wait].concat());
    assert_eq!(text().await, "two");
    let deployment = helm.world.get(DEPLOYMENT).await.expect("a deployment");
    assert_eq!(deployment["status"]["readyReplicas"], 1);

    // The server's own validation stops an upgrade, and its words arrive.
    let refused = helm.try_run(&["upgrade", "demo", chart, "--set", "size=7"]).expect_err("too large");
    let why = "Gadget.toys.example.com \"demo\" is invalid: spec.size: Invalid value: 7: \
        spec.size in body should be less than or equal to 5";
    assert!(refused.contains(why), "{refused}");

    helm.run(&[&["rollback", "demo", "1"], wait].concat());
    assert_eq!(text().await, "one");
    let rows = helm.history();
    let short: Vec<(u64, &str)> = rows.iter().map(|(n, s, _)| (*n, s.as_str())).collect();
    assert_eq!(short, [(1, "superseded"), (2, "superseded"), (3, "failed"), (4, "deployed")]);
    assert_eq!(rows[3].2, "Rollback to 1");
}

/// Helm forgets discovery before each command and asks again with the tags of its cache.
fn caches_are_believed(world: &World) {
    let asked = world.asked_by("Helm/");
    let documents = |a: &&super::Asked| a.uri.starts_with("/openapi") || a.uri == "/api" || a.uri == "/apis";
    let unchanged = asked.iter().filter(documents).filter(|a| a.code == 304).count();
    assert!(unchanged > 0, "no conditional request was answered 304: {asked:#?}");
    let refused: Vec<_> =
        asked.iter().filter(|a| a.code >= 400 && !matches!(a.code, 404 | 409 | 422)).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    println!("helm: {} requests, {unchanged} of them answered 304", asked.len());
}
