//! Lifecycle stories: what a user of a cluster sees, in virtual time. Rules and texts: kube-api.md 2.7 and 3.

use std::sync::Arc;
use std::time::Duration;

use fake_kube::{Controller, Knobs, PodSelector, Shell};
use serde_json::{Value, json};

use crate::support::*;

fn waiting(pod: &Value) -> &str {
    pod.pointer("/status/containerStatuses/0/state/waiting/reason").and_then(Value::as_str).unwrap_or("")
}

fn restarts(pod: &Value) -> i64 {
    pod.pointer("/status/containerStatuses/0/restartCount").and_then(Value::as_i64).unwrap_or(-1)
}

#[test]
fn a_deployment_comes_up_and_a_deleted_pod_is_replaced() {
    plain(|w| async move {
        w.create("deployments", deployment("d", 1));
        let first = w.ready_pod().await;
        let name = first["metadata"]["name"].as_str().expect("a name").to_owned();
        let done = |w: &World| w.get("deployments", "d").filter(|d| is_true(d, "Available"));
        let d = w.until("available", done).await;
        assert_eq!(condition(&d, "Progressing")["reason"], "NewReplicaSetAvailable");
        assert_eq!(d["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "1");
        assert_eq!(first["status"]["phase"], "Running");
        let rs = w.list("replicasets").remove(0);
        let hash = rs["metadata"]["labels"]["pod-template-hash"].as_str().expect("a hash").to_owned();
        assert_eq!(rs["metadata"]["name"], format!("d-{hash}"));
        assert_eq!(
            w.events("Deployment"),
            [format!("ScalingReplicaSet: Scaled up replica set d-{hash} from 0 to 1")]
        );
        let pod_events: Vec<String> =
            w.events("Pod").iter().map(|e| e.split(':').next().unwrap_or("").to_owned()).collect();
        let mut sorted = pod_events.clone();
        sorted.sort();
        assert_eq!(sorted, ["Created", "Pulled", "Pulling", "Scheduled", "Started"]);
        w.delete("pods", &name, json!({}));
        let replaced = |w: &World| {
            let pods = w.list("pods");
            pods.into_iter().find(|p| p["metadata"]["name"] != name && is_true(p, "Ready"))
        };
        w.until("a replacement", replaced).await;
        w.until("the old one gone", |w| w.get("pods", &name).is_none().then_some(())).await;
        assert!(w.events("Pod").contains(&"Killing: Stopping container c".to_owned()));
    });
}

#[test]
fn a_crash_loop_backs_off_10_20_40_seconds() {
    plain(|w| async move {
        w.create(
            "pods",
            pod(
                "p",
                json!({"containers": [{"name": "c", "image": "b:1", "command": ["sh", "-c", "exit 3"]}]}),
            ),
        );
        let mut starts = Vec::new();
        for n in 0..5 {
            w.until("the next run", |w| {
                w.get("pods", "p").filter(|p| {
                    restarts(p) >= n && p["status"]["containerStatuses"][0]["containerID"].is_string()
                })
            })
            .await;
            starts.push(tokio::time::Instant::now());
        }
        let gaps: Vec<u64> = starts.windows(2).map(|s| (s[1] - s[0]).as_secs()).collect();
        // Each start takes a second to be noticed and a moment to happen.
        assert!((1..=2).contains(&gaps[0]), "the first restart is immediate: {gaps:?}");
        for (gap, expected) in gaps[1..].iter().zip([10, 20, 40]) {
            assert!((expected..expected + 3).contains(gap), "{gaps:?}");
        }
        let p = w.until("held", |w| w.get("pods", "p").filter(|p| waiting(p) == "CrashLoopBackOff")).await;
        let uid = p["metadata"]["uid"].as_str().expect("a uid");
        let status = &p["status"]["containerStatuses"][0];
        assert_eq!(
            status["state"]["waiting"]["message"],
            format!("back-off 1m20s restarting failed container=c pod=p_default({uid})")
        );
        assert_eq!(status["lastState"]["terminated"]["exitCode"], 3);
        assert_eq!(status["lastState"]["terminated"]["reason"], "Error");
        assert_eq!(p["status"]["phase"], "Running");
        assert_eq!(condition(&p, "Ready")["reason"], "ContainersNotReady");
        assert!(w.events("Pod").iter().any(|e| {
            e.starts_with(&format!(
                "BackOff: Back-off restarting failed container c in pod p_default({uid}) (x"
            ))
        }));
    });
}

#[test]
fn image_pulls_alternate_between_error_and_back_off() {
    plain(|w| async move {
        let fault = w.cluster.pods().image_pull_backoff(&PodSelector::labels([("app", "p")]), "");
        w.create("pods", pod("p", json!({"containers": [{"name": "c", "image": "nope:1"}]})));
        for expected in ["ErrImagePull", "ImagePullBackOff", "ErrImagePull", "ImagePullBackOff"] {
            w.until(expected, |w| w.get("pods", "p").filter(|p| waiting(p) == expected)).await;
        }
        let p = w.get("pods", "p").expect("the pod");
        assert_eq!(p["status"]["phase"], "Pending");
        let events = w.events("Pod");
        assert!(
            events.iter().any(|e| e.starts_with("Failed: Failed to pull image \"nope:1\": rpc error")),
            "{events:?}"
        );
        assert!(
            events.iter().any(|e| e.starts_with("BackOff: Back-off pulling image \"nope:1\"")),
            "{events:?}"
        );
        w.cluster.pods().lift(fault);
        w.ready_pod().await;
    });
}

#[test]
fn a_pod_that_fits_nowhere_says_why() {
    plain(|w| async move {
        let resources = json!({"requests": {"memory": "1Ti"}});
        w.create(
            "pods",
            pod("p", json!({"containers": [{"name": "c", "image": "b:1", "resources": resources}]})),
        );
        let p = w
            .until("refused", |w| {
                w.get("pods", "p").filter(|p| condition(p, "PodScheduled")["status"] == "False")
            })
            .await;
        let message = "0/1 nodes are available: 1 Insufficient memory. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
        assert_eq!(condition(&p, "PodScheduled")["message"], message);
        assert_eq!(condition(&p, "PodScheduled")["reason"], "Unschedulable");
        assert_eq!(w.events("Pod"), [format!("FailedScheduling: {message}")]);
    });
}

#[test]
fn never_schedule_ends_when_lifted() {
    plain(|w| async move {
        let fault = w.cluster.pods().never_schedule(&PodSelector::default(), "node(s) were unschedulable");
        w.create("pods", pod("p", json!({"containers": [{"name": "c", "image": "b:1"}]})));
        w.pass(30).await;
        assert_eq!(w.get("pods", "p").expect("it")["spec"].get("nodeName"), None);
        w.cluster.pods().lift(fault);
        w.ready_pod().await;
    });
}

#[test]
fn a_rolling_update_keeps_a_pod_available() {
    plain(|w| async move {
        w.create("deployments", deployment("d", 3));
        let ready =
            |n: i64| move |w: &World| w.get("deployments", "d").filter(|d| d["status"]["readyReplicas"] == n);
        w.until("3 ready", ready(3)).await;
        let image =
            json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "busybox:2"}]}}}});
        w.patch("deployments", "d", image);
        let mut least = 3;
        w.until("the new revision", |w| {
            let d = w.get("deployments", "d")?;
            least = least.min(d["status"]["availableReplicas"].as_i64().unwrap_or(0));
            let done = d["status"]["observedGeneration"] == 2
                && d["status"]["updatedReplicas"] == 3
                && d["status"]["replicas"] == 3
                && d["status"]["availableReplicas"] == 3;
            done.then_some(())
        })
        .await;
        // 25 % of 3 rounds down to none unavailable.
        assert_eq!(least, 3);
        let d = w.get("deployments", "d").expect("it");
        assert_eq!(d["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "2");
        assert_eq!(w.list("replicasets").len(), 2);
        assert!(
            w.list("pods")
                .iter()
                .filter(|p| p["metadata"]["deletionTimestamp"].is_null())
                .all(|p| p["spec"]["containers"][0]["image"] == "busybox:2")
        );
    });
}

#[test]
fn foreground_deletion_takes_the_pods_first() {
    plain(|w| async move {
        w.create("deployments", deployment("d", 1));
        w.ready_pod().await;
        w.delete("deployments", "d", json!({"propagationPolicy": "Foreground"}));
        w.pass(0).await;
        let mut saw_pods_gone_first = false;
        w.until("all gone", |w| {
            let pods = w.list("pods").len();
            let there = w.get("deployments", "d").is_some();
            assert!(there || pods == 0, "the owner goes last");
            saw_pods_gone_first |= there;
            (!there && w.list("replicasets").is_empty()).then_some(())
        })
        .await;
        assert!(saw_pods_gone_first);
    });
}

#[test]
fn background_deletion_collects_everything() {
    plain(|w| async move {
        w.create("deployments", deployment("d", 2));
        w.ready_pod().await;
        w.delete("deployments", "d", json!({}));
        assert!(w.get("deployments", "d").is_none());
        w.until("pods gone", |w| w.list("pods").is_empty().then_some(())).await;
        assert!(w.list("replicasets").is_empty());
    });
}

#[test]
fn a_pod_with_restart_policy_never_fails_for_good() {
    plain(|w| async move {
        let spec = json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "b:1"}]});
        w.create("pods", pod("p", spec));
        w.ready_pod().await;
        assert_eq!(w.cluster.pods().oom(&PodSelector::labels([("app", "p")])), 1);
        let p = w.until("failed", |w| w.get("pods", "p").filter(|p| p["status"]["phase"] == "Failed")).await;
        let ended = &p["status"]["containerStatuses"][0]["state"]["terminated"];
        assert_eq!((&ended["exitCode"], &ended["reason"]), (&json!(137), &json!("OOMKilled")));
        assert_eq!(condition(&p, "Ready")["reason"], "PodFailed");
        w.pass(60).await;
        assert_eq!(restarts(&w.get("pods", "p").expect("it stays")), 0);
    });
}

#[test]
fn an_evicted_pod_is_failed_and_replaced() {
    plain(|w| async move {
        w.create("deployments", deployment("d", 1));
        let first = w.ready_pod().await;
        w.cluster.pods().evict(&PodSelector::labels([("app", "d")]), "");
        let name = first["metadata"]["name"].as_str().expect("a name").to_owned();
        let p =
            w.until("evicted", |w| w.get("pods", &name).filter(|p| p["status"]["phase"] == "Failed")).await;
        assert_eq!(p["status"]["reason"], "Evicted");
        let replaced = |w: &World| {
            w.list("pods").into_iter().find(|p| p["metadata"]["name"] != name && is_true(p, "Ready"))
        };
        w.until("a replacement", replaced).await;
    });
}

#[test]
fn a_missing_config_map_holds_the_pod_until_it_appears() {
    plain(|w| async move {
        let spec = json!({"containers": [{"name": "c", "image": "b:1", "volumeMounts": [{"name": "v", "mountPath": "/c"}]}],
            "volumes": [{"name": "v", "configMap": {"name": "conf"}}]});
        w.create("pods", pod("p", spec));
        w.pass(20).await;
        let p = w.get("pods", "p").expect("it");
        assert_eq!(waiting(&p), "ContainerCreating");
        let told = "FailedMount: MountVolume.SetUp failed for volume \"v\" : configmap \"conf\" not found (x";
        assert!(w.events("Pod").iter().any(|e| e.starts_with(told)), "{:?}", w.events("Pod"));
        w.create("configmaps", json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf"}, "data": {"a": "b"}}));
        w.ready_pod().await;
    });
}

#[test]
fn init_containers_run_one_after_the_other() {
    plain(|w| async move {
        let init = |n: &str| json!({"name": n, "image": "b:1", "command": ["sh", "-c", "echo hi; sleep 2"]});
        let spec =
            json!({"initContainers": [init("a"), init("b")], "containers": [{"name": "c", "image": "b:1"}]});
        w.create("pods", pod("p", spec));
        let p = w
            .until("b runs", |w| {
                w.get("pods", "p")
                    .filter(|p| !p["status"]["initContainerStatuses"][1]["state"]["running"].is_null())
            })
            .await;
        assert_eq!(p["status"]["initContainerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
        assert_eq!(condition(&p, "Initialized")["message"], "containers with incomplete status: [b]");
        assert_eq!(waiting(&p), "PodInitializing");
        w.ready_pod().await;
    });
}

#[test]
fn a_service_answers_through_ready_endpoints_only() {
    plain(|w| async move {
        let request = || http::Request::get("/").body(bytes::Bytes::new()).expect("a request");
        let dial = |w: &World| {
            w.cluster.dial("s.default", 80, request()).map(|r| r.status().as_u16()).map_err(|e| e.to_string())
        };
        assert_eq!(dial(&w), Err("no such host".into()));
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
            "spec": {"selector": {"app": "p"}, "ports": [{"port": 80, "targetPort": "web"}]}});
        w.create("services", service);
        w.pass(1).await;
        assert_eq!(dial(&w), Err("connection refused".into()));
        let container = json!({"name": "c", "image": "b:1", "ports": [{"name": "web", "containerPort": 8080}],
            "readinessProbe": {"httpGet": {"port": "web"}, "periodSeconds": 1}});
        w.create("pods", pod("p", json!({"containers": [container]})));
        w.ready_pod().await;
        w.pass(1).await;
        assert_eq!(dial(&w), Ok(200));
        let slices = w.list("endpointslices");
        let slice = slices
            .iter()
            .find(|s| s["metadata"]["labels"]["kubernetes.io/service-name"] == "s")
            .expect("a slice");
        assert_eq!(slice["endpoints"][0]["conditions"]["ready"], true);
        let fault = w.cluster.pods().hang(&PodSelector::labels([("app", "p")]));
        assert_eq!(dial(&w), Err("i/o timeout".into()));
        w.until("unready", |w| w.get("pods", "p").filter(|p| !is_true(p, "Ready"))).await;
        w.pass(1).await;
        assert_eq!(dial(&w), Err("connection refused".into()));
        w.cluster.pods().lift(fault);
        w.ready_pod().await;
    });
}

#[test]
fn a_lost_node_loses_its_pods_after_five_minutes() {
    plain(|w| async move {
        w.create("deployments", deployment("d", 1));
        let p = w.ready_pod().await;
        w.cluster.pods().node_lost("node-1");
        w.pass(39).await;
        assert!(is_true(&w.list("pods")[0], "Ready"));
        w.pass(5).await;
        assert!(!is_true(&w.list("pods")[0], "Ready"));
        let name = p["metadata"]["name"].as_str().expect("a name");
        w.pass(290).await;
        assert!(w.get("pods", name).expect("tolerated for 300 s")["metadata"]["deletionTimestamp"].is_null());
        w.pass(20).await;
        assert!(
            !w.get("pods", name).expect("no kubelet confirms")["metadata"]["deletionTimestamp"].is_null()
        );
        w.cluster.pods().node_back("node-1");
        w.until("gone", |w| w.get("pods", name).is_none().then_some(())).await;
        w.ready_pod().await;
    });
}

#[test]
fn controllers_can_be_switched_off() {
    let knobs = Knobs::default().without(&[Controller::Garbage]);
    story(knobs, Arc::new(Shell), |w| async move {
        w.create("deployments", deployment("d", 1));
        w.ready_pod().await;
        w.delete("deployments", "d", json!({}));
        w.pass(60).await;
        assert_eq!(w.list("replicasets").len(), 1, "nobody collects it, as in envtest");
    });
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let tell = |seed: u64| {
        story(Knobs { seed, ..Knobs::default() }, Arc::new(Shell), |w| async move {
            w.create("deployments", deployment("d", 3));
            w.ready_pod().await;
            w.cluster.pods().crash_loop(&PodSelector::labels([("app", "d")]), 1, Duration::from_millis(700));
            w.pass(120).await;
            let mut all = w.list("events");
            all.extend(w.list("pods"));
            all.extend(w.list("replicasets"));
            serde_json::to_string(&all).expect("JSON")
        })
    };
    let first = tell(7);
    assert_eq!(first, tell(7));
    assert_ne!(first, tell(8));
}

/// Ignores SIGTERM and answers nothing: the kubelet has to kill it.
struct Stubborn;

impl fake_kube::Programs for Stubborn {
    fn start(&self, _: &fake_kube::ProcessStart) -> Box<dyn fake_kube::Process> {
        Box::new(Stubborn)
    }
}

impl fake_kube::Process for Stubborn {
    fn step(&mut self, _: jiff::Timestamp) -> Vec<fake_kube::ProcessEvent> {
        Vec::new()
    }
    fn next_due(&self) -> Option<jiff::Timestamp> {
        None
    }
    fn http(
        &mut self,
        _: u16,
        _: &http::Request<bytes::Bytes>,
        _: jiff::Timestamp,
    ) -> Option<http::Response<bytes::Bytes>> {
        None
    }
    fn signal(&mut self, signal: fake_kube::Signal, _: jiff::Timestamp) -> Vec<fake_kube::ProcessEvent> {
        match signal {
            fake_kube::Signal::Term => Vec::new(),
            fake_kube::Signal::Kill => vec![fake_kube::ProcessEvent::exit(137)],
        }
    }
}

#[test]
fn a_process_that_ignores_term_is_killed_after_its_grace() {
    story(Knobs::default(), Arc::new(Stubborn), |w| async move {
        let spec = json!({"terminationGracePeriodSeconds": 7, "containers": [{"name": "c", "image": "b:1"}]});
        w.create("pods", pod("p", spec));
        w.ready_pod().await;
        let asked = tokio::time::Instant::now();
        w.delete("pods", "p", json!({}));
        let p = w.get("pods", "p").expect("still there");
        assert_eq!(p["metadata"]["deletionGracePeriodSeconds"], 7);
        w.until("gone", |w| w.get("pods", "p").is_none().then_some(())).await;
        let took = asked.elapsed();
        assert!(took >= Duration::from_secs(6) && took < Duration::from_secs(9), "{took:?}");
    });
}

#[test]
fn a_failing_liveness_probe_restarts_the_container() {
    story(Knobs::default(), Arc::new(Stubborn), |w| async move {
        let probe =
            json!({"httpGet": {"path": "/live", "port": 80}, "periodSeconds": 2, "failureThreshold": 3});
        let container = json!({"name": "c", "image": "b:1", "livenessProbe": probe});
        w.create("pods", pod("p", json!({"terminationGracePeriodSeconds": 3, "containers": [container]})));
        let p = w.until("a restart", |w| w.get("pods", "p").filter(|p| restarts(p) == 1)).await;
        let last = &p["status"]["containerStatuses"][0]["lastState"]["terminated"];
        assert_eq!((&last["exitCode"], &last["reason"]), (&json!(137), &json!("Error")));
        let events = w.events("Pod");
        let ip = p["status"]["podIP"].as_str().expect("an address");
        assert!(
            events.contains(&"Killing: Container c failed liveness probe, will be restarted".to_owned()),
            "{events:?}"
        );
        let unhealthy = format!(
            "Unhealthy: Liveness probe failed: Get \"http://{ip}:80/live\": dial tcp {ip}:80: connect: connection refused (x"
        );
        assert!(events.iter().any(|e| e.starts_with(&unhealthy)), "{events:?}");
    });
}

#[test]
fn a_job_runs_to_completion_and_one_that_fails_gives_up() {
    plain(|w| async move {
        let job = |name: &str, command: &str| {
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
                "spec": {"completions": 2, "parallelism": 1, "backoffLimit": 1, "template": {"spec": {"restartPolicy": "Never",
                    "containers": [{"name": "c", "image": "b:1", "command": ["sh", "-c", command]}]}}}})
        };
        w.create("jobs", job("ok", "echo hi; sleep 1"));
        w.create("jobs", job("bad", "exit 2"));
        let ok = w.until("complete", |w| w.get("jobs", "ok").filter(|j| is_true(j, "Complete"))).await;
        assert_eq!((&ok["status"]["succeeded"], ok["status"].get("active")), (&json!(2), None));
        let bad = w.until("failed", |w| w.get("jobs", "bad").filter(|j| is_true(j, "Failed"))).await;
        assert_eq!(condition(&bad, "Failed")["reason"], "BackoffLimitExceeded");
        assert_eq!(bad["status"]["failed"], 2);
        assert!(w.list("pods").iter().all(|p| p["metadata"].get("finalizers").is_none()), "tracking ended");
    });
}

#[test]
fn a_stateful_set_starts_in_order_and_stops_from_the_end() {
    plain(|w| async move {
        let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "s"},
            "spec": {"replicas": 3, "serviceName": "s", "selector": {"matchLabels": {"app": "s"}},
                "template": {"metadata": {"labels": {"app": "s"}}, "spec": {"containers": [{"name": "c", "image": "b:1"}]}}}});
        w.create("statefulsets", set);
        let is_ready = |w: &World, n: &str| w.get("pods", n).is_some_and(|p| is_true(&p, "Ready"));
        w.until("all three", |w| {
            assert!(w.get("pods", "s-1").is_none() || is_ready(w, "s-0"), "s-1 waits for s-0");
            assert!(w.get("pods", "s-2").is_none() || is_ready(w, "s-1"), "s-2 waits for s-1");
            is_ready(w, "s-2").then_some(())
        })
        .await;
        w.patch("statefulsets", "s", json!({"spec": {"replicas": 1}}));
        w.until("one left", |w| {
            assert!(w.get("pods", "s-1").is_some() || w.get("pods", "s-2").is_none(), "s-2 goes first");
            (w.list("pods").len() == 1).then_some(())
        })
        .await;
    });
}

fn job(name: &str, spec: Value) -> Value {
    let mut job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec});
    job["spec"]["template"] = json!({"spec": {"restartPolicy": "Never",
        "containers": [{"name": "c", "image": "busybox:1", "command": ["sh", "-c", "sleep 5"]}]}});
    job
}

#[test]
fn an_indexed_job_has_a_pod_for_each_index() {
    plain(|w| async move {
        w.create("jobs", job("j", json!({"completions": 3, "parallelism": 2, "completionMode": "Indexed"})));
        w.until("two at once", |w| (w.list("pods").len() == 2).then_some(())).await;
        let pod = w.list("pods").remove(0);
        assert_eq!(pod["spec"]["hostname"], "j-0");
        assert_eq!(pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"], "0");
        let done = w.until("done", |w| w.get("jobs", "j").filter(|j| is_true(j, "Complete"))).await;
        assert_eq!(done["status"]["completedIndexes"], "0-2");
        assert_eq!(done["status"]["succeeded"], 3);
        let mut names: Vec<String> =
            w.list("pods").iter().filter_map(|p| p["spec"]["hostname"].as_str().map(str::to_owned)).collect();
        names.sort();
        assert_eq!(names, ["j-0", "j-1", "j-2"]);
    });
}

#[test]
fn a_suspended_job_has_no_pods_until_it_is_resumed() {
    plain(|w| async move {
        w.create("jobs", job("j", json!({"suspend": true})));
        let held = w.until("held", |w| w.get("jobs", "j").filter(|j| is_true(j, "Suspended"))).await;
        assert_eq!(condition(&held, "Suspended")["reason"], "JobSuspended");
        assert_eq!((held["status"].get("startTime"), w.list("pods").len()), (None, 0));
        w.patch("jobs", "j", json!({"spec": {"suspend": false}}));
        let done = w.until("done", |w| w.get("jobs", "j").filter(|j| is_true(j, "Complete"))).await;
        assert_eq!(condition(&done, "Suspended")["reason"], "JobResumed");
        assert!(done["status"]["startTime"].is_string());
        let mut reasons: Vec<String> =
            w.events("Job").iter().filter_map(|e| e.split(':').next().map(str::to_owned)).collect();
        reasons.sort();
        assert_eq!(reasons, ["Completed", "Resumed", "SuccessfulCreate", "Suspended"]);
    });
}

#[test]
fn a_claim_in_use_stays_until_its_pod_is_gone_and_takes_its_volume_along() {
    plain(|w| async move {
        let classes = fake_kube_apiserver::Resource::new("storage.k8s.io", "v1", "storageclasses");
        let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "standard"},
            "provisioner": "example.com/made-up"});
        w.client.create(&classes, "", class).expect("a class");
        w.create(
            "persistentvolumeclaims",
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "v"},
                "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "standard",
                    "resources": {"requests": {"storage": "1Gi"}}}}),
        );
        let spec = json!({"containers": [{"name": "c", "image": "busybox:1"}],
            "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "v"}}]});
        w.create("pods", pod("p", spec));
        w.ready_pod().await;
        let volumes = |w: &World| {
            let all = w.client.list(&resource("persistentvolumes"), "", "").expect("a list");
            all.iter().map(|v| v["status"]["phase"].as_str().unwrap_or("").to_owned()).collect::<Vec<_>>()
        };
        w.until("bound", |w| (volumes(w) == ["Bound"]).then_some(())).await;
        w.delete("persistentvolumeclaims", "v", json!({}));
        w.pass(60).await;
        assert!(w.get("persistentvolumeclaims", "v").is_some(), "its pod runs");
        w.delete("pods", "p", json!({}));
        w.until("the claim gone", |w| w.get("persistentvolumeclaims", "v").is_none().then_some(())).await;
        w.until("the volume gone", |w| volumes(w).is_empty().then_some(())).await;
    });
}
