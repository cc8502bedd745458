//! Lifecycle hooks and the order of endings, as a user of a cluster sees them, in virtual time.

use std::sync::Arc;

use fake_kube::{Knobs, PodSelector, Shell};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::*;

fn told(tell: impl AsyncFnOnce(World)) {
    story(Knobs::instant(), Arc::new(Shell), |w| async move { tell(w).await });
}

fn container(name: &str, lifecycle: Value) -> Value {
    json!({"name": name, "image": "i:1", "lifecycle": lifecycle})
}

fn sh(script: &str) -> Value {
    json!({"exec": {"command": ["sh", "-c", script]}})
}

fn status<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let lists = ["containerStatuses", "initContainerStatuses"];
    let all = lists.iter().filter_map(|l| pod["status"][*l].as_array()).flatten();
    all.into_iter().find(|c| c["name"] == name).unwrap_or(&Value::Null)
}

fn time(v: &Value) -> Timestamp {
    v.as_str().expect("a time").parse().expect("a timestamp")
}

fn reasons(w: &World) -> Vec<String> {
    w.events("Pod").iter().map(|e| e.split(" (x").next().unwrap_or("").to_owned()).collect()
}

#[test]
fn a_container_is_told_to_run_when_its_post_start_is_done() {
    told(async |w| {
        let hook = json!({"postStart": sh("sleep 20; echo ready > /var/run/ready")});
        let containers = [container("slow", hook), container("next", json!({}))];
        w.create("pods", pod("p", json!({"containers": containers})));
        w.pass(19).await;
        let p = w.get("pods", "p").expect("it");
        assert_eq!(status(&p, "slow")["state"], json!({"waiting": {"reason": "ContainerCreating"}}));
        assert_eq!(status(&p, "next")["state"], json!({"waiting": {"reason": "ContainerCreating"}}));
        assert_eq!(p["status"]["phase"], "Pending");
        let events = reasons(&w);
        assert!(events.iter().filter(|e| e.starts_with("Started")).count() == 1, "{events:?}");
        let p = w.ready_pod().await;
        let [slow, next] = ["slow", "next"].map(|c| time(&status(&p, c)["state"]["running"]["startedAt"]));
        assert_eq!(next.duration_since(slow).as_secs(), 20, "one after the other");
    });
}

#[test]
fn a_failed_post_start_kills_the_container_and_says_why() {
    told(async |w| {
        let hook = json!({"postStart": sh("echo no; exit 3")});
        w.create(
            "pods",
            pod("p", json!({"containers": [container("c", hook)], "terminationGracePeriodSeconds": 5})),
        );
        let failed = |w: &World| {
            w.get("pods", "p")
                .filter(|p| status(p, "c")["state"]["waiting"]["reason"] == "PostStartHookError")
        };
        let p = w.until("it failed", failed).await;
        let uid = p["metadata"]["uid"].as_str().expect("a uid");
        assert_eq!(
            status(&p, "c")["state"]["waiting"]["message"],
            format!(
                "Exec lifecycle hook ([sh -c echo no; exit 3]) for Container \"c\" in Pod \"p_default({uid})\" failed - \
                 error: command 'sh -c echo no; exit 3' exited with 3: , message: \"no\\n\""
            )
        );
        assert_eq!(status(&p, "c")["lastState"]["terminated"]["exitCode"], 143);
        let held = |w: &World| {
            w.get("pods", "p").filter(|p| status(p, "c")["state"]["waiting"]["reason"] == "CrashLoopBackOff")
        };
        let p = w.until("it is held", held).await;
        assert!(status(&p, "c")["restartCount"].as_i64() >= Some(1));
        let events = reasons(&w);
        assert!(events.contains(&"FailedPostStartHook: PostStartHook failed".to_owned()), "{events:?}");
        assert!(events.contains(&"Killing: FailedPostStartHook".to_owned()), "{events:?}");
    });
}

#[test]
fn without_a_restart_a_failed_post_start_ends_the_pod() {
    told(async |w| {
        // Nothing listens on the port.
        let hook = json!({"postStart": {"httpGet": {"path": "/warm", "port": 9}}});
        w.create("pods", pod("p", json!({"restartPolicy": "Never", "containers": [container("c", hook)]})));
        let p = w.until("over", |w| w.get("pods", "p").filter(|p| p["status"]["phase"] == "Failed")).await;
        assert_eq!(status(&p, "c")["state"]["terminated"]["exitCode"], 143);
    });
}

/// Seconds between the deletion of a pod and its end.
async fn deletion(w: &World, name: &str) -> u64 {
    w.ready_pod().await;
    let begun = tokio::time::Instant::now();
    w.delete("pods", name, json!({}));
    w.until("gone", |w| w.get("pods", name).is_none().then_some(())).await;
    begun.elapsed().as_secs()
}

fn check_stop(hook: Value, grace: i64, expected_secs: u64, is_failing: bool) {
    told(async |w| {
        let containers = [container("c", json!({"preStop": hook}))];
        w.create("pods", pod("p", json!({"terminationGracePeriodSeconds": grace, "containers": containers})));
        assert_eq!(deletion(&w, "p").await, expected_secs, "{hook}");
        let events = reasons(&w);
        let failed = events.contains(&"FailedPreStopHook: PreStopHook failed".to_owned());
        assert_eq!(failed, is_failing, "{hook}: {events:?}");
        assert!(events.contains(&"Killing: Stopping container c".to_owned()), "{events:?}");
    });
}

#[test]
fn pre_stop_takes_its_time_of_the_grace() {
    check_stop(json!({"sleep": {"seconds": 7}}), 30, 7, false);
    check_stop(sh("sleep 4; nginx -s quit"), 30, 4, false);
    check_stop(sh("sleep 4; exit 1"), 30, 4, true);
    check_stop(json!({"httpGet": {"port": 9}}), 30, 0, true);
    // Longer than there is time: the process is asked to end then; a command dies with its container.
    check_stop(json!({"sleep": {"seconds": 60}}), 10, 10, false);
    check_stop(sh("sleep 60"), 10, 10, true);
}

#[test]
fn a_hook_that_hangs_is_given_up_after_the_grace() {
    told(async |w| {
        let containers = [container("c", json!({"preStop": sh("sleep 1")}))];
        w.create("pods", pod("p", json!({"terminationGracePeriodSeconds": 10, "containers": containers})));
        w.ready_pod().await;
        w.cluster.pods().hang(&PodSelector::labels([("app", "p")]));
        // Two seconds more are for the process, which hangs as well.
        assert_eq!(deletion(&w, "p").await, 12);
    });
}

#[test]
fn sidecars_end_last_and_the_first_of_them_at_the_very_end() {
    told(async |w| {
        let sidecar = |name: &str| json!({"name": name, "image": "i:1", "restartPolicy": "Always"});
        let main = container("main", json!({"preStop": {"sleep": {"seconds": 5}}}));
        let spec = json!({"initContainers": [sidecar("a"), sidecar("b")], "containers": [main]});
        let mut p = pod("p", spec);
        p["metadata"]["finalizers"] = json!(["test/look"]);
        w.create("pods", p);
        w.ready_pod().await;
        w.delete("pods", "p", json!({}));
        w.pass(4).await;
        let p = w.get("pods", "p").expect("it");
        for name in ["a", "b", "main"] {
            assert!(status(&p, name)["state"]["running"].is_object(), "{name} runs on: {p}");
        }
        let over =
            |w: &World| w.get("pods", "p").filter(|p| status(p, "a")["state"]["terminated"].is_object());
        let p = w.until("all ended", over).await;
        let [main, b, a] =
            ["main", "b", "a"].map(|c| time(&status(&p, c)["state"]["terminated"]["finishedAt"]));
        assert!(main <= b && b <= a);
    });
}
