//! Helm 4 with the chart that Helm 3 has (`tests/clients/chart`): it applies on the server's side, and waits by watching
//! what kstatus says of each object.

use serde_json::json;

use super::helm::Helm;
use super::{built, file, story};

const CONFIG: &str = "/api/v1/namespaces/shop/configmaps/demo";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/shop/deployments/demo";
const GADGET: &str = "/apis/toys.example.com/v1/namespaces/shop/gadgets/demo";

#[test]
fn a_release_that_is_applied_by_the_server() {
    let Some(program) = built("helm4") else { return };
    let chart = file("chart");
    story(&[], async |world| {
        let helm = Helm { program, world: &world };
        let wait = ["--wait", "--wait-for-jobs", "--timeout", "80s"];
        helm.run(&[&["install", "demo", &chart, "--create-namespace"][..], &wait].concat());
        let gadget = world.get(GADGET).await.expect("a gadget");
        assert_eq!((&gadget["spec"]["size"], &gadget["spec"]["colour"]), (&3.into(), &"red".into()));
        let deployment = world.get(DEPLOYMENT).await.expect("a deployment");
        assert_eq!(deployment["status"]["readyReplicas"], 2, "install waited");
        let config = world.get(CONFIG).await.expect("a ConfigMap");
        let fields = &config["metadata"]["managedFields"][0];
        assert_eq!((&fields["operation"], &fields["manager"]), (&json!("Apply"), &json!("helm")));

        helm.run(
            &[&["upgrade", "demo", &chart, "--set", "text=two", "--set", "replicas=1"][..], &wait].concat(),
        );
        assert_eq!(world.get(CONFIG).await.expect("a ConfigMap")["data"]["text"], "two");
        assert_eq!(world.get(DEPLOYMENT).await.expect("a deployment")["status"]["readyReplicas"], 1);

        // What somebody else has made its own since is a conflict, until it is taken by force.
        let mine = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"text": "mine"}});
        assert_eq!(world.apply(CONFIG, "somebody", &mine).await["data"]["text"], "mine");
        let refused =
            helm.try_run(&["upgrade", "demo", &chart, "--set", "text=three"]).expect_err("a conflict");
        assert!(refused.contains("conflict with \"somebody\": .data.text"), "{refused}");
        helm.run(&["upgrade", "demo", &chart, "--set", "text=three", "--force-conflicts"]);
        assert_eq!(world.get(CONFIG).await.expect("a ConfigMap")["data"]["text"], "three");

        helm.run(&[&["rollback", "demo", "1"][..], &wait].concat());
        assert_eq!(world.get(CONFIG).await.expect("a ConfigMap")["data"]["text"], "one");
        let rows = helm.history();
        let short: Vec<(u64, &str)> = rows.iter().map(|(n, s, _)| (*n, s.as_str())).collect();
        let expected =
            [(1, "superseded"), (2, "superseded"), (3, "failed"), (4, "superseded"), (5, "deployed")];
        assert_eq!(short, expected);

        helm.run(&["uninstall", "demo", "--wait", "--timeout", "60s"]);
        for path in [DEPLOYMENT, GADGET, CONFIG] {
            world.until_gone(path).await;
        }
        let asked = world.asked_by("Helm/");
        let watched = asked.iter().filter(|a| a.verb == "watch" && a.code == 200).count();
        assert!(watched > 0, "it waited without a watch: {asked:#?}");
        let refused: Vec<_> =
            asked.iter().filter(|a| a.code >= 400 && !matches!(a.code, 404 | 409 | 422)).collect();
        assert!(refused.is_empty(), "{refused:#?}");
        println!("helm 4: {} requests, {watched} of them watches", asked.len());
    });
}
