//! DaemonSets, CronJobs, revisions, policies of Jobs, and pods that look at each other, in a cluster in virtual time.

use std::sync::Arc;

use fake_kube::{Controller, Knobs, NodeSpec, Shell};
use serde_json::{Value, json};

use crate::support::{World, is_true, story, story_with};

fn nodes(names: &[&str]) -> Knobs {
    let node = |name: &&str| NodeSpec {
        name: (*name).to_owned(),
        labels: vec![("zone".to_owned(), format!("zone-{name}"))],
        ..NodeSpec::default()
    };
    Knobs { nodes: names.iter().map(node).collect(), ..Knobs::default() }
}

fn told(knobs: Knobs, tell: impl AsyncFnOnce(World)) {
    story(knobs, Arc::new(Shell), |w| async move { tell(w).await });
}

fn pod_spec(image: &str) -> Value {
    json!({"containers": [{"name": "c", "image": image}]})
}

fn set(kind: &str, spec: Value) -> Value {
    let mut set = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "s"}, "spec": {
        "selector": {"matchLabels": {"app": "s"}},
        "template": {"metadata": {"labels": {"app": "s"}}, "spec": pod_spec("i:1")}}});
    for (k, v) in spec.as_object().into_iter().flatten() {
        set["spec"][k] = v.clone();
    }
    set
}

fn images(w: &World) -> Vec<String> {
    let mut all: Vec<String> = w
        .list("pods")
        .iter()
        .filter(|p| p["metadata"]["deletionTimestamp"].is_null())
        .filter_map(|p| p["spec"]["containers"][0]["image"].as_str().map(str::to_owned))
        .collect();
    all.sort();
    all
}

fn new_image(image: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}})
}

#[test]
fn a_daemon_set_is_everywhere_and_rolls_node_by_node() {
    told(nodes(&["a", "b", "c"]), async |w| {
        w.create("daemonsets", set("DaemonSet", json!({})));
        let all = |w: &World, key: &str| w.get("daemonsets", "s").is_some_and(|s| s["status"][key] == 3);
        w.until("ready everywhere", |w| all(w, "numberAvailable").then_some(())).await;
        let mut places: Vec<Value> = w.list("pods").iter().map(|p| p["spec"]["nodeName"].clone()).collect();
        places.sort_by_key(Value::to_string);
        assert_eq!(places, ["a", "b", "c"]);
        w.patch("daemonsets", "s", new_image("i:2"));
        w.until("all of them new", |w| {
            let ready = w.list("pods").iter().filter(|p| is_true(p, "Ready")).count();
            assert!(ready >= 2, "one at a time");
            (images(w) == ["i:2", "i:2", "i:2"] && all(w, "numberAvailable")).then_some(())
        })
        .await;
        let stored = w.get("daemonsets", "s").expect("it is there");
        assert_eq!(stored["status"]["updatedNumberScheduled"], 3);
        assert_eq!(stored["status"]["observedGeneration"], 2);
        let mut revisions: Vec<Value> =
            w.list("controllerrevisions").iter().map(|r| r["revision"].clone()).collect();
        revisions.sort_by_key(Value::as_i64);
        assert_eq!(revisions, [1, 2]);
        // Deleting one brings one back to the same node.
        let gone = w.list("pods").remove(0);
        w.delete("pods", gone["metadata"]["name"].as_str().expect("a name"), json!({}));
        w.until("back", |w| {
            let new = |p: &Value| p["metadata"]["uid"] != gone["metadata"]["uid"] && is_true(p, "Ready");
            w.list("pods")
                .iter()
                .any(|p| p["spec"]["nodeName"] == gone["spec"]["nodeName"] && new(p))
                .then_some(())
        })
        .await;
    });
}

#[test]
fn each_new_controller_can_be_switched_off() {
    let knobs = nodes(&["a"]).without(&[Controller::DaemonSet, Controller::CronJob]);
    told(knobs, async |w| {
        w.create("daemonsets", set("DaemonSet", json!({})));
        w.create("cronjobs", cron(json!({})));
        w.pass(600).await;
        assert_eq!((w.list("pods").len(), w.list("jobs").len()), (0, 0));
    });
}

/// A server that keeps texts shows its controllers no more of an object than they look at: enough for these, too.
#[test]
fn a_server_of_texts_runs_them_as_well() {
    story_with(Some(1), nodes(&["a", "b"]), Arc::new(Shell), |w| async move {
        w.create("daemonsets", set("DaemonSet", json!({})));
        let is_done =
            |w: &World| w.get("daemonsets", "s").is_some_and(|s| s["status"]["numberAvailable"] == 2);
        w.until("ready on both nodes", |w| is_done(w).then_some(())).await;
        assert_eq!(images(&w), ["i:1", "i:1"]);
        w.create("cronjobs", cron(json!({})));
        w.pass(301).await;
        assert_eq!(w.list("jobs").len(), 1);
    });
}

fn cron(spec: Value) -> Value {
    let mut cron = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"}, "spec": {"schedule": "*/5 * * * *",
        "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never",
            "containers": [{"name": "c", "image": "busybox:1", "command": ["sh", "-c", "sleep 5"]}]}}}}}});
    for (k, v) in spec.as_object().into_iter().flatten() {
        cron["spec"][k] = v.clone();
    }
    cron
}

#[test]
fn a_cron_job_runs_on_time_and_keeps_three() {
    told(nodes(&["a"]), async |w| {
        w.create("cronjobs", cron(json!({})));
        w.pass(240).await;
        assert_eq!(w.list("jobs").len(), 0, "not yet");
        w.pass(61).await;
        let jobs = w.list("jobs");
        assert_eq!(jobs.len(), 1);
        let name = jobs[0]["metadata"]["name"].as_str().expect("a name").to_owned();
        let stamp = "batch.kubernetes.io/cronjob-scheduled-timestamp";
        assert_eq!(jobs[0]["metadata"]["annotations"][stamp], "2026-01-01T00:05:00Z");
        assert_eq!(
            w.get("cronjobs", "c").expect("it is there")["status"]["active"][0]["name"],
            name.as_str()
        );
        w.pass(60).await;
        let status = w.get("cronjobs", "c").expect("it is there")["status"].clone();
        assert_eq!(status["lastScheduleTime"], "2026-01-01T00:05:00Z");
        assert!(status["active"].is_null() && status["lastSuccessfulTime"].is_string(), "{status}");
        let events = w.events("CronJob");
        assert!(events.contains(&format!("SuccessfulCreate: Created job {name}")), "{events:?}");
        assert!(
            events.contains(&format!("SawCompletedJob: Saw completed job: {name}, condition: Complete")),
            "{events:?}"
        );
        w.pass(1500).await;
        assert_eq!(w.list("jobs").len(), 3, "successfulJobsHistoryLimit");
        w.patch("cronjobs", "c", json!({"spec": {"suspend": true}}));
        let before = w.list("jobs");
        w.pass(900).await;
        assert_eq!(w.list("jobs").len(), before.len());
    });
}

#[test]
fn a_stateful_set_goes_back_to_an_earlier_revision() {
    told(nodes(&["a"]), async |w| {
        let partition = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}});
        w.create(
            "statefulsets",
            set("StatefulSet", json!({"replicas": 2, "serviceName": "s", "updateStrategy": partition})),
        );
        let ready = |w: &World, n: usize| w.list("pods").iter().filter(|p| is_true(p, "Ready")).count() == n;
        w.until("two", |w| ready(w, 2).then_some(())).await;
        w.patch("statefulsets", "s", new_image("i:2"));
        w.until("the upper one is new", |w| (images(w) == ["i:1", "i:2"] && ready(w, 2)).then_some(())).await;
        // Below the partition a pod comes back as it was.
        w.delete("pods", "s-0", json!({}));
        w.pass(60).await;
        assert_eq!(images(&w), ["i:1", "i:2"]);
        w.patch("statefulsets", "s", new_image("i:1"));
        w.until("back", |w| (images(w) == ["i:1", "i:1"] && ready(w, 2)).then_some(())).await;
        let revisions: Vec<(Value, Value)> = w
            .list("controllerrevisions")
            .iter()
            .map(|r| {
                let image = &r["data"]["spec"]["template"]["spec"]["containers"][0]["image"];
                (r["revision"].clone(), image.clone())
            })
            .collect();
        assert_eq!(revisions.len(), 2, "{revisions:?}");
        assert!(revisions.contains(&(json!(3), json!("i:1"))), "{revisions:?}");
    });
}

#[test]
fn pods_keep_company_and_distance() {
    told(nodes(&["a", "b"]), async |w| {
        let apart = json!({"requiredDuringSchedulingIgnoredDuringExecution":
            [{"labelSelector": {"matchLabels": {"app": "s"}}, "topologyKey": "zone"}]});
        let mut spec = pod_spec("i:1");
        spec["affinity"] = json!({"podAntiAffinity": apart});
        let template = json!({"metadata": {"labels": {"app": "s"}}, "spec": spec});
        w.create("deployments", set("Deployment", json!({"replicas": 3, "template": template})));
        let waiting = w
            .until("two run, one waits", |w| {
                let running = w.list("pods").iter().filter(|p| is_true(p, "Ready")).count();
                let waiting = |p: &&Value| p["status"]["conditions"][0]["reason"] == "Unschedulable";
                w.list("pods").iter().find(waiting).filter(|_| running == 2).cloned()
            })
            .await;
        assert_eq!(
            waiting["status"]["conditions"][0]["message"],
            "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules. preemption: 0/2 nodes are \
             available: 2 No preemption victims found for incoming pod."
        );
        w.patch("deployments", "s", json!({"spec": {"replicas": 2}}));
        w.until("two", |w| (w.list("pods").len() == 2).then_some(())).await;
    });
}

#[test]
fn a_job_fails_by_its_policy() {
    told(nodes(&["a"]), async |w| {
        let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {
            "podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]},
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox:1", "command": ["sh", "-c", "sleep 5; exit 42"]}]}}}});
        w.create("jobs", job);
        let failed = w.until("failed", |w| w.get("jobs", "j").filter(|j| is_true(j, "Failed"))).await;
        let pods = w.list("pods");
        assert_eq!(pods.len(), 1, "no second try");
        let conditions = failed["status"]["conditions"].as_array().expect("conditions");
        let pod = pods[0]["metadata"]["name"].as_str().expect("a name");
        for condition in conditions {
            assert_eq!(condition["reason"], "PodFailurePolicy");
            assert_eq!(
                condition["message"],
                format!("Container c for pod default/{pod} failed with exit code 42 matching FailJob rule at index 0").as_str()
            );
        }
        assert_eq!(conditions.len(), 2);
    });
}

#[test]
fn each_index_of_a_job_has_its_limit() {
    told(nodes(&["a"]), async |w| {
        // Index n ends with code n: the first succeeds, the second is tried twice, the third is given up at once.
        let container = json!({"name": "c", "image": "busybox:1", "command": ["sh", "-c", "exit $(JOB_COMPLETION_INDEX)"]});
        let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {
            "completionMode": "Indexed", "completions": 3, "parallelism": 3, "backoffLimitPerIndex": 1,
            "podFailurePolicy": {"rules": [{"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [2]}}]},
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}});
        w.create("jobs", job);
        let failed = w.until("failed", |w| w.get("jobs", "j").filter(|j| is_true(j, "Failed"))).await;
        let status = &failed["status"];
        assert_eq!((&status["completedIndexes"], &status["failedIndexes"]), (&json!("0"), &json!("1,2")));
        assert_eq!((&status["succeeded"], &status["failed"]), (&json!(1), &json!(3)));
        let condition = crate::support::condition(&failed, "Failed");
        assert_eq!(
            (&condition["reason"], &condition["message"]),
            (&json!("FailedIndexes"), &json!("Job has failed indexes"))
        );
        let count =
            |p: &Value| p["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"].clone();
        let mut counts: Vec<Value> = w.list("pods").iter().map(count).collect();
        counts.sort_by_key(Value::to_string);
        assert_eq!(counts, ["0", "0", "0", "1"]);
        for pod in w.list("pods") {
            assert_eq!(pod["metadata"].get("finalizers"), None, "all are counted");
        }
    });
}

#[test]
fn pods_of_a_held_job_are_no_failures() {
    told(nodes(&["a"]), async |w| {
        let container = json!({"name": "c", "image": "busybox:1", "command": ["sh", "-c", "sleep 60"]});
        let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {
            "parallelism": 2, "completions": 2, "podReplacementPolicy": "Failed",
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}});
        w.create("jobs", job);
        let running = |w: &World| w.list("pods").iter().filter(|p| is_true(p, "Ready")).count();
        w.until("both run", |w| (running(w) == 2).then_some(())).await;
        w.patch("jobs", "j", json!({"spec": {"suspend": true}}));
        w.until("none runs", |w| w.list("pods").is_empty().then_some(())).await;
        let held = w.get("jobs", "j").expect("it");
        assert!(is_true(&held, "Suspended") && held["status"].get("failed").is_none(), "{held}");
        w.patch("jobs", "j", json!({"spec": {"suspend": false, "parallelism": 1}}));
        w.until("one runs", |w| (running(w) == 1).then_some(())).await;
        let done = w.until("done", |w| w.get("jobs", "j").filter(|j| is_true(j, "Complete"))).await;
        assert_eq!((&done["status"]["succeeded"], done["status"].get("failed")), (&json!(2), None));
    });
}

#[test]
fn claims_of_a_stateful_set_go_as_its_policy_says() {
    let knobs = Knobs { furnished: true, ..nodes(&["a"]) };
    told(knobs, async |w| {
        let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}}});
        let policy = json!({"whenScaled": "Delete", "whenDeleted": "Delete"});
        w.create(
            "statefulsets",
            set(
                "StatefulSet",
                json!({"replicas": 2, "serviceName": "s",
            "volumeClaimTemplates": [claim], "persistentVolumeClaimRetentionPolicy": policy}),
            ),
        );
        let claims = |w: &World| -> Vec<String> {
            let all = w.list("persistentvolumeclaims");
            all.iter().filter_map(|c| c["metadata"]["name"].as_str().map(str::to_owned)).collect()
        };
        let ready = |w: &World, n: usize| w.list("pods").iter().filter(|p| is_true(p, "Ready")).count() == n;
        w.until("two", |w| ready(w, 2).then_some(())).await;
        assert_eq!(claims(&w), ["data-s-0", "data-s-1"]);
        w.patch("statefulsets", "s", json!({"spec": {"replicas": 1}}));
        w.until("the second claim is gone", |w| (claims(w) == ["data-s-0"]).then_some(())).await;
        w.patch("statefulsets", "s", json!({"spec": {"replicas": 2}}));
        w.until("a new one", |w| (ready(w, 2) && claims(w).len() == 2).then_some(())).await;
        w.delete("statefulsets", "s", json!({}));
        w.until("none", |w| claims(w).is_empty().then_some(())).await;
    });
}

#[test]
fn a_cron_job_runs_by_the_clocks_of_its_zone() {
    told(nodes(&["a"]), async |w| {
        // Ten to six in Kathmandu is five past midnight in Greenwich, where the story begins.
        w.create("cronjobs", cron(json!({"schedule": "50 5 * * *", "timeZone": "Asia/Kathmandu"})));
        w.pass(301).await;
        let stamp = "batch.kubernetes.io/cronjob-scheduled-timestamp";
        assert_eq!(w.list("jobs")[0]["metadata"]["annotations"][stamp], "2026-01-01T05:50:00+05:45");
        let refused = w.client.create(
            &crate::support::resource("cronjobs"),
            "default",
            cron(json!({"timeZone": "Asia/Nowhere"})),
        );
        let refused = refused.expect_err("there is no such zone");
        assert_eq!(
            refused.message,
            "CronJob.batch \"c\" is invalid: spec.timeZone: Invalid value: \"Asia/Nowhere\": unknown time zone Asia/Nowhere"
        );
    });
}
